"""The reader of tables, which knows most published layouts by a row's columns, and what all readers share."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.card.items import Item, Reading, one_patient, settle
from recipes.card.options import LETTERS, at_name, base_of, cell, fault, gold_of, one_hot, options_of, told
from recipes.card.rows import FILE, Row, filled, is_version
from recipes.tables import SUFFIXES, Cells, table

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "validate"),
    "test": ("test", "testing"),
}


_SHEETS = (".xlsx", ".xls", ".ods", ".parquet", ".sav", ".dta")  # tables that are not opened
_NO_PICTURES = (".txt", ".csv", ".json", ".xml", ".md", ".db", ".ini", ".zip", ".pdf", ".xlsx")  # Thumbs.db, notes
_OF_TEXT = ("exams", "notes")  # recipes whose tables may have no images


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
            come_by = f"; {row.access}" if row.access else ""
            raise AssayError(
                f"{folder} has no file of {row.title} for the split {split} (files by split: {known}){come_by}."
            )
        return found
    inner = _part(folder, split)
    tables = _tables(inner) if inner else []
    if tables:
        folder = tables[0].parent
    tables = tables or _tables(folder)
    named = [p for p in tables if p.name.partition(".")[0].casefold() in SPLITS.get(split, ())]
    others = [p for p in tables if p.name.partition(".")[0].casefold() not in sum(SPLITS.values(), ())]
    if named or len(others) == 1:
        return named or others
    which = f"holds several tables ({', '.join(p.name for p in tables)})" if tables else "holds no CSV and no JSONL"
    if not tables and (sheet := next((p for p in sorted(folder.iterdir()) if p.suffix.lower() in _SHEETS), None)):
        raise AssayError(f"{sheet} is no CSV and no JSONL; save its table as a CSV in UTF-8.")
    raise AssayError(f"{folder} {which}; name the one to be read train, validation or test, or in {FILE} (files).")


def _tables(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.name.casefold().endswith(SUFFIXES) and p.is_file() and p.name != FILE
    )


def _part(folder: Path, split: str) -> Path | None:
    """The folder of a split within a data folder."""
    return next((p for p in sorted(folder.iterdir()) if p.is_dir() and split_of(p.name) == split), None)


def split_of(name: Any) -> str | None:
    """The split that a folder, a file or a cell names."""
    said = told(name).casefold()
    return next((split for split, names in SPLITS.items() if said in names), None)


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
        divides = row.columns.get("split") or _split_column(path, rows, row)
        reading.divided |= bool(divides)
        beside = folder if row.files else path.parent  # where the images lie
        for number, (at, cells) in enumerate(rows, 1):
            if not _wanted(cells, row):
                continue
            own = at_name(cells, divides) if divides else split
            if split_of(own) is None:
                reading.leave("its split is none of train, validation and test", f"{at} ({str(own)[:40]!r})")
            elif split_of(own) == split:
                _add(reading, beside, row, (at, cells), f"{path.name}:{number}", base)
    if not row.folders:  # published figures are on all questions of their set
        settle(reading)
    return reading


def _split_column(path: Path, rows: Sequence[tuple[str, Cells]], row: Row) -> str:
    """The column of a team's own table that says by its name and all its cells which split a row is of, if any.

    A file that is of one split, by its own name or its folder's, is taken as that, whatever stands in it.
    """
    by_name = row.files or split_of(path.name.partition(".")[0]) or split_of(path.resolve().parent.name)
    named = [] if row.folders or by_name or not rows else [k for k in rows[0][1] if k.strip().casefold() == "split"]
    return named[0] if named and all(split_of(cells.get(named[0])) for _, cells in rows) else ""


def _check_columns(first: tuple[str, Cells], row: Row) -> None:
    at, cells = first
    optional = {"id", "group", "closed", "patient", "split", "text"} if row.folders and row.files else set()
    for what, names in row.columns.items():
        several = [name.strip() for name in names.split(",")]
        many = what in ("options", "image") or (what, row.grader, len(several)) == ("answer", "box", 4)
        if len(several) > 1 and not many:
            raise AssayError(
                f"{row.name}: `columns: {{{what}: {names}}}` names {len(several)} columns; that can be one, but for "
                "options, images, and for a box: y0, x0, y1, x1."
            )
        for name in several:
            if what not in optional:
                column(cells, name, at, what)
    if row.grader == "choice" and not row.classes and "options" not in row.columns:
        raise AssayError(
            f"{row.name} is graded by choice and has nothing to choose from: say in {FILE} where the options are "
            "(columns: {options: ...}), which classes there are, or another grader (short, yes_no)."
        )
    for what in ("question", "answer"):
        missing = what not in row.columns and not (what == "question" and row.question) and not one_hot(cells, row)
        if missing:
            column(cells, what, at)
    if row.recipe not in _OF_TEXT and "image" not in row.columns:
        column(cells, "image", at)
    for name in row.where:
        column(cells, name, at)


def _wanted(cells: Cells, row: Row) -> bool:
    for name, wanted in row.where.items():
        allowed = (wanted,) if isinstance(wanted, str) else wanted
        if told(at_name(cells, name)) not in allowed:
            return False
    return True


def _add(reading: Reading, folder: Path, row: Row, place: tuple[str, Cells], name: str, base: int) -> None:
    at, cells = place
    options, names = options_of(cells, row)
    gold, why = gold_of(cells, row, options, names, base)
    if str(gold) in row.ignore:
        why = f"its answer is {gold!r}"
    images, unseen, which = _images(folder, cells, row)
    text = cell(cells, row, "text")
    closed = told(cell(cells, row, "closed"))
    item = Item(
        id=told(cell(cells, row, "id")) or name,
        question=row.question.strip() or told(cell(cells, row, "question")),
        gold=gold,
        options={letter: one for letter, one in options.items() if one or not row.folders},
        images=images,
        text="\n".join(map(told, text)) if isinstance(text, list) else told(text),
        patient=one_patient(told(cell(cells, row, "patient"))),
        group=told(cell(cells, row, "group")),
        evidence=tuple(map(int, re.findall(r"\d+", told(cell(cells, row, "evidence"))))) if row.names else (),
        closed=closed.upper() in ("CLOSED", "YES", "TRUE", "1") if closed else None,
        at=at,
    )
    if why := why or fault(item, row):
        reading.leave(why, f"{at} ({str(gold)[:40]!r})" if gold and why.startswith("its answer") else at)
    elif unseen:
        reading.leave(unseen, f"{at} ({which})")
        reading.unseen.append(item)
    else:
        reading.add(item)


def _images(folder: Path, cells: Cells, row: Row) -> tuple[tuple[Path, ...], str, str]:
    """The files of a row's images; why the first of them that cannot be shown cannot, and which it is."""
    if "image" not in row.columns and row.recipe in _OF_TEXT:
        return (), "", ""
    columns = [name.strip() for name in row.columns.get("image", "image").split(",")]
    value = cell(cells, row, "image") if len(columns) == 1 else [at_name(cells, name) for name in columns]
    names = [told(one) for one in (value if isinstance(value, list) else [value])]
    if len(columns) > 1 and not all(names):  # one study alone would be asked what has changed
        return (), "its image is missing", f"nothing in the column {columns[names.index('')]}"
    paths = tuple(_of_any_system(folder / filled(row.images, image=name), row) for name in names if name)
    whole = folder.parent if (folder.parent / FILE).is_file() else folder
    places = [
        Path(os.path.normpath(one.absolute())) for one in (whole, (folder / filled(row.images, image="_")).parent)
    ]
    for path in paths:
        if not any(Path(os.path.normpath(path.absolute())).is_relative_to(place) for place in places):
            return paths, "its image lies outside of the data folder", str(path)
        if why := _unseen(path, row):
            return paths, why, str(path)
    return paths, "" if paths else "its image is missing", "no file is named"


def _of_any_system(path: Path, row: Row) -> Path:
    r"""A file's path, which a table of Windows may write as `images\1.png`."""
    other = Path(str(path).replace("\\", "/"))
    return other if _unseen(path, row) and not _unseen(other, row) else path


def _unseen(path: Path, row: Row) -> str:
    """Why there is no file to open; nothing where there is one."""
    try:
        if path.is_dir():
            return "its image is a folder" if row.shown == "picture" else ""
        return "" if path.is_file() else "its image is missing"
    except (OSError, ValueError):  # a whole text, where a name should be
        return "its image is missing"


def read_folders(folder: Path, split: str, row: Row) -> Reading:
    """A folder of images for each class, `split/class/image`, or `class/image` where there are no splits.

    Raises:
        AssayError: there are not at least two classes, or nothing is asked.
    """
    reading = Reading()
    within = _part(folder, split) or folder
    if row.files:
        within = next((path for pattern in row.files.get(split, ()) for path in folder.glob(pattern)), folder)
    known = _classes_in(within)
    classes = row.classes or {name: name.replace("_", " ") for name in _class_names(folder, row)}
    if len(classes) < 2 or not known:
        raise AssayError(f"{within} has no folder of images for each class; make one a class, with the class's name.")
    if not row.question:
        raise AssayError(f"{row.name}: nothing is asked of the images; say it in {FILE} (question: ...).")
    letters = dict(zip(classes, LETTERS, strict=False))
    options = dict(zip(LETTERS, classes.values(), strict=False))
    for place in known:
        for path in sorted(place.iterdir()):
            if path.name.startswith("."):
                continue
            if place.name not in letters:
                reading.leave("its folder is none of the row's classes", str(path))
            elif path.is_dir():
                for inner in sorted(one for one in path.rglob("*") if one.is_file()):
                    reading.leave("it lies in a folder within its class's", str(inner))
            elif path.suffix.lower() in _NO_PICTURES:
                reading.leave("it is no picture by its name", str(path))
            else:
                name = f"{place.name}/{path.name}"
                reading.add(Item(name, row.question, letters[place.name], options, (path,), at=str(path)))
    seen = {item.gold for item in reading.items}
    if none := [name for name, letter in letters.items() if letter not in seen]:
        reading.said.append(f"{within} has no image of {', '.join(none)}.")
    return reading


def _classes_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _class_names(folder: Path, row: Row) -> list[str]:
    """The classes of all splits: options must be the same in training and test, though one lacks a class."""
    if row.files:
        places = [path for own in row.files.values() for pattern in own for path in folder.glob(pattern)]
    else:
        whole = folder.resolve().parent if split_of(folder.resolve().name) else folder
        places = [path for path in _classes_in(whole) if split_of(path.name)] or [folder]
    return sorted({path.name for place in places for path in _classes_in(place)})


def released(folder: Path) -> Path:
    """The newest version within a folder, as PhysioNet's are (mimic-cxr-jpg/2.1.0); itself, where it has none."""
    versions = [p for p in folder.iterdir() if p.is_dir() and is_version(p)] if folder.is_dir() else []
    return max(versions, key=lambda p: [int(one) for one in p.name.split(".")], default=folder)


def part_of(name: str, shares: Mapping[str, int]) -> str:
    """The part of a split that a patient's name falls into, by what of a hundred each has: always the same."""
    place = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
    for part, share in shares.items():
        if place < share:
            return part
        place -= share
    return "test"


def lines_of(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, Cells]]:
    """The rows of a table that must have some columns (letters may be large or small), each with where it stands."""
    remedy = "its layout is known by its publisher's names: rename the column"
    for at, cells in table(path):
        other = {name: cells[column(cells, name, at, remedy=remedy)] for name in needed if name not in cells}
        yield at, {**cells, **other}


def file_of(folder: Path, name: str, row: Row) -> Path:
    """A file that a data set must have.

    Raises:
        AssayError: it is not there; how to come by it is said.
    """
    if not (folder / name).is_file():
        raise AssayError(f"{folder} has no {name}; {row.access}.")
    return folder / name


def column(row: Mapping[str, Any], name: str, at: str, wanted_for: str = "", remedy: str = "") -> str:
    """The name of a column as a table has it, whatever the case of its letters.

    Raises:
        AssayError: it has none of that name; the nearest is named.
    """
    if name in row:
        return name
    folded = {key.casefold().strip(): key for key in row}
    if name.casefold() in folded:
        return folded[name.casefold()]
    near = difflib.get_close_matches(name, list(row), n=1, cutoff=0.5)
    meant = f"; `{near[0]}` is nearest" if near else ""
    remedy = remedy or f"say which one it is in row.yaml (columns: {{{wanted_for or name}: ...}})" + (
        ", that of the image or study where each is another patient's" if wanted_for == "patient" else ""
    )
    raise AssayError(
        f"{at.rpartition(', ')[0] or at} has no column `{name}`{meant}. Its columns are {', '.join(list(row)[:20])}; "
        f"{remedy}."
    )
