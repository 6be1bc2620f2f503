"""The reader of tables, which knows most published layouts by a row's columns, and what all readers share."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.card.items import Item, Reading
from recipes.card.options import LETTERS, at_name, base_of, cell, fault, gold_of, one_hot, options_of, told
from recipes.card.rows import FILE, Row, filled
from recipes.tables import SUFFIXES, Cells, table

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "validate"),
    "test": ("test", "testing"),
}


def files_of(folder: Path, split: str, row: Row) -> list[Path]:
    """The files of a split: those that the row names, else one with the split's name, else the only table there is.

    Raises:
        AssayError: there is none, or it is not clear which.
    """
    if row.files:
        patterns = row.files.get(split, ())
        found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
        if not found:
            known = "; ".join(f"{name}: {', '.join(own)}" for name, own in row.files.items())
            raise AssayError(f"{folder} has no file of {row.title} for the split {split} (files by split: {known}).")
        return found
    tables = sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIXES) and p.name != FILE)
    named = [p for p in tables if p.name.partition(".")[0].casefold() in SPLITS.get(split, ())]
    others = [p for p in tables if p.name.partition(".")[0].casefold() not in sum(SPLITS.values(), ())]
    if named or len(others) == 1:
        return named or others
    which = f"holds several tables ({', '.join(p.name for p in tables)})" if tables else "holds no CSV and no JSONL"
    raise AssayError(f"{folder} {which}; name the one to be read train, validation or test, or in {FILE} (files).")


def read_table(folder: Path, split: str, row: Row) -> Reading:
    """Questions in tables, by the row's columns.

    Raises:
        AssayError: a file or a column is missing, or a line is none.
    """
    reading = Reading()
    for path in files_of(folder, split, row):
        rows = list(table(path))
        if rows:
            _check_columns(rows[0], row)
        base = base_of(rows, row)
        for number, (at, cells) in enumerate(rows, 1):
            if _wanted(cells, split, row):
                _add(reading, folder, row, (at, cells), f"{path.name}:{number}", base)
    return reading


def _check_columns(first: tuple[str, Cells], row: Row) -> None:
    at, cells = first
    optional = {"id", "group", "closed", "patient", "split", "text"}
    for what, names in row.columns.items():
        for name in map(str.strip, names.split(",")):
            if what not in optional or row.files == {}:
                column(cells, name, at, what)
    for what in ("question", "answer"):
        missing = what not in row.columns and not (what == "question" and row.question) and not one_hot(cells, row)
        if missing:
            column(cells, what, at)
    for name in row.where:
        column(cells, name, at)


def _wanted(cells: Cells, split: str, row: Row) -> bool:
    for name, wanted in row.where.items():
        allowed = (wanted,) if isinstance(wanted, str) else wanted
        if told(at_name(cells, name)) not in allowed:
            return False
    own = row.columns.get("split")
    return not own or str(cells.get(own, "")).strip().casefold() in SPLITS.get(split, (split,))


def _add(reading: Reading, folder: Path, row: Row, place: tuple[str, Cells], name: str, base: int) -> None:
    at, cells = place
    options, names = options_of(cells, row)
    gold, why = gold_of(cells, row, options, names, base)
    if str(gold) in row.ignore:
        why = f"its answer is {gold!r}"
    images, missing = _images(folder, cells, row)
    text = cell(cells, row, "text")
    closed = told(cell(cells, row, "closed"))
    item = Item(
        id=told(cell(cells, row, "id")) or name,
        question=row.question.strip() or told(cell(cells, row, "question")),
        gold=gold,
        options={letter: one for letter, one in options.items() if one or not row.folders},
        images=images,
        text="\n".join(map(told, text)) if isinstance(text, list) else told(text),
        patient=told(cell(cells, row, "patient")),
        group=told(cell(cells, row, "group")),
        closed=closed.upper() in ("CLOSED", "YES", "TRUE", "1") if closed else None,
        at=at,
    )
    if why := why or fault(item, row):
        reading.leave(why, f"{at} ({str(gold)[:40]!r})" if gold and why.startswith("its answer") else at)
    elif missing:
        reading.leave("its image is missing", f"{at} ({missing})")
        reading.unseen.append(item)
    else:
        reading.add(item)


def _images(folder: Path, cells: Cells, row: Row) -> tuple[tuple[Path, ...], str]:
    """The files of a row's images, and the first that is missing."""
    if "image" not in row.columns:
        return (), ""
    value = cell(cells, row, "image")
    names = [told(one) for one in (value if isinstance(value, list) else [value])]
    paths = tuple(folder / filled(row.images, image=name) for name in names if name)
    missing = next((path for path in paths if not _is_file(path)), None)
    return paths, "no file is named" if not paths else str(missing) if missing else ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a whole text, where a name should be
        return False


def read_folders(folder: Path, split: str, row: Row) -> Reading:
    """A folder of images for each class, `split/class/image`, or `class/image` where there are no splits.

    Raises:
        AssayError: there are not at least two classes.
    """
    reading = Reading()
    within = next((folder / one for one in SPLITS[split] if (folder / one).is_dir()), folder)
    if row.files:
        within = next((path for pattern in row.files.get(split, ()) for path in folder.glob(pattern)), folder)
    known = [path for path in sorted(within.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    classes = row.classes or {path.name: path.name.replace("_", " ") for path in known}
    if len(classes) < 2 or not known:
        raise AssayError(f"{within} has no folder of images for each class; make one a class, with the class's name.")
    letters = dict(zip(classes, LETTERS, strict=False))
    options = dict(zip(LETTERS, classes.values(), strict=False))
    for place in known:
        files = [path for path in sorted(place.iterdir()) if path.is_file() and not path.name.startswith(".")]
        for path in files:
            if place.name not in letters:
                reading.leave("its folder is none of the row's classes", str(path))
                continue
            name = f"{place.name}/{path.name}"
            reading.add(Item(name, row.question, letters[place.name], options, (path,), at=str(path)))
    return reading


def part_of(name: str, shares: Mapping[str, int]) -> str:
    """The part of a split that a patient's name falls into, by what of a hundred each has: always the same."""
    place = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
    for part, share in shares.items():
        if place < share:
            return part
        place -= share
    return "test"


def lines_of(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, Cells]]:
    """The rows of a table that must have some columns, each with where it stands."""
    for number, (at, cells) in enumerate(table(path)):
        if not number:
            for name in needed:
                column(cells, name, at)
        yield at, cells


def column(row: Mapping[str, Any], name: str, at: str, wanted_for: str = "") -> str:
    """The name of a column as a table has it, whatever the case of its letters.

    Raises:
        AssayError: it has none of that name; the nearest is named.
    """
    if name in row:
        return name
    folded = {key.casefold().strip(): key for key in row}
    if name.casefold() in folded:
        return folded[name.casefold()]
    near = difflib.get_close_matches(name, list(row), n=1, cutoff=0.4)
    meant = f"; `{near[0]}` is nearest" if near else ""
    which = wanted_for or name
    raise AssayError(
        f"{at.rpartition(', ')[0] or at} has no column `{name}`{meant}. Its columns are {', '.join(list(row)[:20])}; "
        f"say which one it is in row.yaml (columns: {{{which}: ...}})."
    )
