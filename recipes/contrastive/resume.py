"""A run that goes on does so on the data that it began with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.files import write_whole
from finetune.run import RunFolder
from recipes.contrastive.load import read_json

DATA = "data.json"


def check_same_data(folder: RunFolder, checkpoint: Path | None, train: Sequence[Any], held_out: Sequence[Any]) -> None:
    """Write down what a run begins with; when it goes on, refuse other data, as another configuration is refused.

    What was trained and what is left of a pass would else be of two data sets, and nobody would know.

    Args:
        train, held_out: frozen dataclasses with an `image`; told apart by what they say, and their image's size.

    Raises:
        AssayError: there are other rows than when the run began, or others in them.
    """
    now = {"training": _told(train), "held-out": _told(held_out)}
    file = folder.path / DATA
    if checkpoint is None or not file.exists():
        write_whole(file, json.dumps(now, indent=1) + "\n")
        return
    before = read_json(file)
    for name, own in now.items():
        if (known := before.get(name)) != own:
            count = known.get("count") if isinstance(known, dict) else "?"
            raise AssayError(
                f"The {name} data are not those that the run in {folder.path} began with ({count} then, "
                f"{own['count']} now, with changes); put those back, or choose another train.output."
            )


def _told(rows: Sequence[Any]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for row in rows:
        path = row.image.path
        digest.update(f"{row!r} {path.stat().st_size if path.exists() else None}\n".encode())
    return {"count": len(rows), "sha256": digest.hexdigest()}
