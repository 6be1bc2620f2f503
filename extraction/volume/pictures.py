"""Slices that are plain pictures, in the order of their names (runs in the worker)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from extraction.document.frames import RefusalError
from extraction.document.image_files import load_image, open_image
from extraction.slide.tiff import is_slide
from extraction.volume.files import CUT_OFF, SLIDE, Files, Left, UnreadError

_DAMAGED = "the picture is damaged or larger than is allowed: save it again"


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which slice2 stands before slice10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts]


def find(files: Files, kinds: dict[str, str], job: dict[str, Any], left: Left) -> list[dict[str, Any]]:
    """The volumes in pictures (a multi-page TIFF has several), told apart by their size."""
    by_size: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for name in sorted(kinds, key=natural):
        try:
            if kinds[name] == "TIFF":
                _refuse_slide(files, name)
            image, pages = _open(files, name, kinds[name], job)
            sizes = []
            for page in pages:
                image.seek(page)
                sizes.append(image.size)
            if max(width * height for width, height in sizes) > job["pixels"]:
                raise UnreadError(_DAMAGED)
        except MemoryError:
            raise
        except UnreadError as error:
            left(name, str(error))
            continue
        except Exception:
            left(name, _DAMAGED)
            continue
        for page, size in zip(pages, sizes, strict=True):
            by_size[size].append({"name": name, "frame": page, "format": kinds[name]})
    return [_described(size, slices, len(by_size)) for size, slices in by_size.items()]


def _described(size: tuple[int, int], slices: Sequence[dict[str, Any]], volumes: int) -> dict[str, Any]:
    said = ["These are plain pictures: in the order of their names, without distances, shown as they are."]
    if volumes > 1:
        said.append(f"Their folder holds pictures of {volumes} sizes, a volume each.")
    return {
        "kind": "pictures",
        "modality": "",
        "shape": [len(slices), size[1], size[0]],
        "colour": True,
        "said": said,
        "slices": list(slices),
        "spacing": [None, None, None],
        "affine": None,
        "positions": None,
    }


def _refuse_slide(files: Files, name: str) -> None:
    """Raise UnreadError for a whole slide, whose pages are its levels, and for a TIFF that is cut off."""
    file, _ = files.open(name)
    with file:
        try:
            if is_slide(file):
                raise UnreadError(SLIDE)
        except EOFError as error:
            raise UnreadError(CUT_OFF) from error


def _open(files: Files, name: str, image: str, job: dict[str, Any]) -> tuple[Any, list[int]]:
    file, size = files.open(name)
    with file:
        if size > job["file_mb"] << 20:
            raise UnreadError(_DAMAGED)
        return open_image(file.read(), {**job, "image": image})


def read(files: Files, source: dict[str, Any], job: dict[str, Any]) -> np.ndarray:
    """A picture, uint8 [rows, columns, 3].

    Raises:
        UnreadError: it can't be drawn.
    """
    try:
        image, _ = _open(files, source["name"], source["format"], job)
        return np.asarray(load_image(image, source["frame"], {**job, "image": source["format"]}))
    except RefusalError as error:
        raise UnreadError(_DAMAGED) from error
