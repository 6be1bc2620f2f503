"""Where data sets lie: those with a `row.yaml`, and those under their published names."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from extraction.errors import AssayError
from recipes.card.rows import FILE, Row, is_of, is_version, load_row, published

_DEPTH = 3  # folders below the one that is named, in which data sets are looked for


def found(data: Path) -> Iterator[tuple[str, Row | AssayError, Path]]:
    """The data sets of a folder: those with a `row.yaml` (or why it is none), and those under their published names.

    Raises:
        AssayError: there is no such folder.
    """
    if data.is_file():
        raise AssayError(f"{data} is a file; name the folder in which the data sets lie.")
    if not data.is_dir():
        raise AssayError(f"The folder {data} does not exist; name the one in which the data sets lie.")
    listed: list[tuple[str, Row | AssayError, Path]] = []
    seen: set[tuple[str, frozenset[Path]]] = set()
    for folder in _folders(data, _DEPTH):
        own: list[Row] = []
        if (folder / FILE).is_file():
            try:
                own = [checked(load_row(folder / FILE), folder / FILE)]
            except AssayError as error:  # what is wrong with one stops no other
                listed.append((folder.name, error, folder))
                continue
        stands_for_itself = folder == data or not is_version(folder)  # else the folder above is of the same data
        for row in own or [row for row in published().values() if stands_for_itself and is_of(row, folder)]:
            files = {path.resolve() for group in row.files.values() for one in group for path in folder.glob(one)}
            key = row.name, frozenset(files or {folder.resolve()})
            if not own and any(name == row.name and key[1] <= there for name, there in seen):
                continue  # a folder and one within it, whose files are the same
            seen.add(key)
            listed.append((row.name, row, folder))
    yield from _named(data, sorted(listed, key=lambda one: len(one[2].parts)))


def _named(
    data: Path, listed: Sequence[tuple[str, Row | AssayError, Path]]
) -> Iterator[tuple[str, Row | AssayError, Path]]:
    """Data sets by names of their own: where a row is here several times, its lines say of which folder they are."""
    often = Counter(name for name, _, _ in listed)
    taken: set[str] = set()
    for name, row, folder in listed:
        where = folder.resolve().name
        if isinstance(row, Row) and where.casefold() in row.parts:
            name, row = f"{name}.{where}", bare(row, f"{row.title}, {where} alone")
        elif isinstance(row, Row) and often[name] > 1:
            row = row.model_copy(update={"title": f"{row.title} ({folder.relative_to(data)})"})
        for own in (name, f"{name}.{where}", ".".join((name, *folder.relative_to(data).parts))):
            if own not in taken:
                break
        taken.add(own)
        yield own, row, folder


def bare(row: Row, title: str = "") -> Row:
    """A row without published figures, for data that are not those that they are on."""
    figures = tuple(figure.model_copy(update={"published": ()}) for figure in row.figures)
    return row.model_copy(update={"figures": figures, "n": None, "title": title or row.title})


def checked(row: Row, file: Path) -> Row:
    """A row whose recipe asks by rows.

    Raises:
        AssayError: its recipe does not; the nearest is named.
    """
    known = sorted({one.recipe for one in published().values()})
    if row.recipe not in known:
        near = difflib.get_close_matches(row.recipe, known, n=1, cutoff=0.3)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise AssayError(f"{file}: there is no recipe {row.recipe} for rows{meant} Known are {', '.join(known)}.")
    return row


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    if depth:
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.name.startswith("."):
                yield from _folders(inner, depth - 1)
