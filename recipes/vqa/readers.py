"""VQA-RAD as it is published, in both of its splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.card.items import Item, Reading
from recipes.card.options import told
from recipes.card.readers import lines_of, split_of
from recipes.card.rows import Row

_PUBLIC, _PICTURES = "VQA_RAD*ataset*ublic*.json", "VQA_RAD*mage*older"
_SPLIT = "vqa_rad_balanced_split*.tsv"
_KEYS = ("qid", "phrase_type", "image_name", "question", "answer", "answer_type")


def _entries(folder: Path) -> Iterator[tuple[str, dict[str, Any], Path]]:
    """The questions with their images' files."""
    file = next(iter(sorted(folder.glob(_PUBLIC))), None)
    if file is None:
        raise AssayError(f"{folder} has no VQA_RAD Dataset Public.json; put it there as it is published.")
    pictures = next(iter(sorted(folder.glob(_PICTURES))), folder / "images")
    for at, cells in lines_of(file, _KEYS):
        yield at, cells, pictures / str(cells["image_name"])


def _add(reading: Reading, at: str, cells: dict[str, Any], picture: Path) -> None:
    if not picture.is_file():
        reading.leave("its image is missing", f"{at} ({picture})")
        return
    said = told(cells["answer"])  # some are numbers
    closed = str(cells["answer_type"]).strip().upper() == "CLOSED"  # and some types end in a blank
    reading.add(Item(str(cells["qid"]), str(cells["question"]).strip(), said, images=(picture,), closed=closed, at=at))


def read_vqa_rad(folder: Path, split: str, row: Row) -> Reading:
    """The balanced split of Yang et al. 2024 (arXiv 2405.03162), by the ids of Google's table; it shares no image.

    Raises:
        AssayError: the questions or the table are missing.
    """
    places = (folder, folder.parent / "google_splits", folder.parent)
    file = next((path for place in places for path in sorted(place.glob(_SPLIT))), None)
    if file is None:
        raise AssayError(f"{folder} has no {_SPLIT}, which says what is trained and what is not; {row.access}.")
    rows = lines_of(file, ("QID_unique", "SPLIT_BALANCED"))
    parts = {str(cells["QID_unique"]).strip(): str(cells["SPLIT_BALANCED"]).strip() for _, cells in rows}
    reading = Reading()
    for at, cells, picture in _entries(folder):
        part = parts.get(str(cells["qid"]))
        if part is None:
            reading.leave("the split does not name it", at)
        elif split_of(part) is None:
            reading.leave("its split is none of train, validation and test", f"{at} ({part[:40]!r})")
        elif split_of(part) == split:
            _add(reading, at, cells, picture)
    return reading


def read_vqa_rad_original(folder: Path, split: str, row: Row) -> Reading:
    """The authors' split: `phrase_type` begins with `test`; the row says how many training images are held out."""
    reading = Reading()
    for at, cells, picture in _entries(folder):
        part = "test" if str(cells["phrase_type"]).startswith("test") else "train"
        if part == split:
            _add(reading, at, cells, picture)
    return reading
