"""The page of a volume: the slices as a model is shown them, with windows to look through."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from extraction.volume.volume import Volume, told_left
from extraction.volume.windows import WINDOWS, chosen, label, protocol_of, shown


def geometry_told(volume: Volume) -> str:
    """A volume's modality, size, distances and plane, in a line."""
    count, rows, columns = volume.shape
    told = [volume.modality or "no modality", f"{count} slice{'s' if count > 1 else ''} of {columns} x {rows}"]
    if any(volume.spacing):
        distances = [f"{one:.4g}" if one else "?" for one in volume.spacing]
        told.append(f"{' x '.join(distances)} mm (slice, row, column)")
    return ", ".join([*told, *filter(None, [volume.plane])])


def volume_page(
    volume: Volume,
    protocol: str = "",
    folder: Path | None = None,
    answers: Sequence[Mapping[str, Any]] = (),
    before: int = 0,
) -> str:
    """One self-contained HTML file with the chosen slices, without names of files and patients.

    Args:
        answers: on its study (`findings.read_answers`); the slices that they name are buttons.
        before: slices that are shown of the volumes before it in the study, from which numbers go on.

    The windows of the page are made from the pixels that a model is shown, so that what can't be seen in them is not
    seen by the model either.

    Raises:
        AssayError: as `shown`.
    """
    protocol = protocol_of(volume, protocol)
    numbers, paths = chosen(volume.shape[0]), shown(volume, protocol, folder)
    _, height, width = (one or 1.0 for one in volume.spacing)
    # A page is passed on: without names of files, which may be a patient's.
    left = [f"Left out: {told_left(volume.left_out, named=0)}."] if volume.left_out else []
    values = {
        "title": geometry_told(volume),
        "protocol": protocol,
        "windows": WINDOWS.get(protocol),
        "said": [*volume.said, *left],
        "aspect": height / width,
        "slices": [
            {"label": label(at) if len(numbers) > 1 or before else "", "number": number + 1, "image": _data_uri(path)}
            for at, (number, path) in enumerate(zip(numbers, paths, strict=True), before + 1)
        ],
        "answers": [
            {key: answer.get(key) or ([] if key == "evidence" else "-") for key in ("question", "said", "evidence")}
            for answer in answers
        ],
        "count": volume.shape[0],
    }
    template = (files("extraction.volume") / "volume.html").read_text(encoding="utf-8")
    return template.replace("__VOLUME__", json.dumps(values, ensure_ascii=False).replace("<", "\\u003c"))


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
