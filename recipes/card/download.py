"""Open data sets from the hub as tables beside their images: asked for by name, and nothing else is fetched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError, reason
from extraction.files import whole_folder
from finetune.processes import say
from recipes.card.rows import Row, is_of

_NAMES = {"val": "validation", "dev": "dev"}


def fetch(rows: Sequence[Row], data: Path) -> None:
    """Fetch the data sets of rows that have a place on the hub, each into a folder of its published name.

    Raises:
        AssayError: no row is named, or one's data cannot be fetched (or are not open: how to come by them is said).
    """
    if not rows:
        raise AssayError("--download fetches what is named: say --rows too.")
    for row in rows:
        folder = data / row.folders[0]
        if folder.is_dir() and is_of(row, folder):
            continue
        if not row.download:
            raise AssayError(f"{row.title} is not fetched: {row.access}.")
        say(f"Fetching {row.download} into {folder}")
        try:
            from datasets import load_dataset

            sets = load_dataset(row.download)
        except Exception as error:  # the network's, the hub's, a gate's
            raise AssayError(f"{row.download} cannot be fetched ({reason(error)}); {row.access}.") from None
        with whole_folder(folder) as made:
            for split, rows_of in sets.items():
                _write(made, _NAMES.get(split, split), rows_of)


def _write(folder: Path, split: str, rows: Any) -> None:
    """A split as JSON lines; its images as PNG files, each once, named in the place of their pixels."""
    lines, written = list[str](), dict[bytes, str]()
    for number, cells in enumerate(rows):
        for key, value in cells.items():
            if hasattr(value, "save"):
                picture = value.convert("RGB")
                digest = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()
                if digest not in written:
                    written[digest] = f"images/{split}-{number}.png"
                    (folder / "images").mkdir(exist_ok=True)
                    picture.save(folder / written[digest], compress_level=1)
                cells[key] = written[digest]
        lines.append(json.dumps(cells, ensure_ascii=False, default=str) + "\n")
    (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
