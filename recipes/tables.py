"""Tables as data sets have them: CSV, TSV, JSON, JSON lines, gzipped or not; each row with its file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError

SUFFIXES = tuple(f".{kind}{packed}" for kind in ("csv", "tsv", "jsonl", "ndjson", "json") for packed in ("", ".gz"))
Cells = dict[str, Any]


def read_text(path: Path) -> str:
    """A text file as UTF-8, or as UTF-16 where its first bytes say so.

    Raises:
        AssayError: it cannot be read, or is in another encoding (the line is named).
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise AssayError(f"{path} cannot be read ({error}).") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise AssayError(
            f"{path}, line {line}, is not UTF-8 (byte 0x{data[error.start]:02x}, as in Windows-1252); save it as UTF-8."
        ) from None


def table(path: Path, names: Sequence[str] = (), header: bool = True) -> Iterator[tuple[str, Cells]]:
    """The rows of a table, each with where it stands.

    Args:
        names: of the columns, in the place of those in the first line (which is then passed over).
        header: whether the first line has names; else it is a row, and `names` are needed.

    Raises:
        AssayError: the file cannot be read, or a line of it is no row (it is named).
    """
    text, kind = read_text(path), path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind in ("csv", "tsv"):
        yield from _csv(path, text, "\t" if kind == "tsv" else ",", names, header)
        return
    if kind in ("jsonl", "ndjson") or _is_lines(text):
        numbered: Iterable[tuple[int, str]] = enumerate(text.split("\n"), 1)
        loaded = (
            (f"{path}, line {number}", _json(line, f"{path}, line {number}"))
            for number, line in numbered
            if line.strip()
        )
    else:
        whole = _json(text, str(path))
        if isinstance(whole, dict) and len(whole) == 1 and isinstance(next(iter(whole.values())), list):
            [whole] = whole.values()  # under a name: {"data": [...]}
        if isinstance(whole, dict):  # by id, as PubMedQA has it
            whole = [
                {"id": key, **row} if isinstance(row, dict) else {"id": key, "value": row} for key, row in whole.items()
            ]
        if not isinstance(whole, list):
            raise AssayError(f"{path} holds {str(whole)[:40]!r} alone; write a list of objects, one for each row.")
        loaded = ((f"{path}, entry {number}", row) for number, row in enumerate(whole, 1))
    for at, row in loaded:
        if not isinstance(row, dict):
            raise AssayError(f"{at} is no JSON object; write one with a key for each column.")
        yield at, row


def _is_lines(text: str) -> bool:
    """Whether a text holds several JSON values, a line each, as MedMCQA's train.json does despite its name."""
    first, _, rest = text.strip().partition("\n")
    try:
        return bool(rest) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _json(text: str, at: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, at))
    except (ValueError, RecursionError) as error:
        raise AssayError(f"{at} is not JSON ({error}); correct it or take it out.") from None


def _object(pairs: list[tuple[str, Any]], at: str) -> Cells:
    """A JSON object, unless a key is there twice, of which the last would win unasked."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise AssayError(f"{at} has the key `{again}` twice in an object; rename one, or take it out.")
    return made


def _delimiter(text: str, usual: str) -> str:
    """What parts the names of a header: the usual, or, where that parts nothing, the semicolon, tab or comma that does.

    A spreadsheet writes semicolons where the comma is for decimals.
    """
    first = next(iter(text.splitlines()), "")
    cells = {one: len(next(csv.reader([first], delimiter=one), [])) for one in (usual, ";", "\t", ",")}
    return usual if cells[usual] > 1 else max(cells, key=lambda one: cells[one])


def _csv(path: Path, text: str, comma: str, names: Sequence[str], header: bool) -> Iterator[tuple[str, Cells]]:
    csv.field_size_limit(sys.maxsize)  # a report or caption is longer than the module takes a cell to be
    comma = _delimiter(text, comma) if header else comma
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma)
    try:
        first = [name.strip() for name in next(reader, [])] if header else []
        columns = list(names) or first
        if again := [name for place, name in enumerate(columns) if name and name in columns[:place]]:
            raise AssayError(f"{path} has two columns `{again[0]}`; rename one, or take it out.")
        before = reader.line_num
        for cells in reader:
            at, before = f"{path}, line {before + 1}", reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                raise AssayError(
                    f"{at} has {len(cells)} cells for {len(columns)} columns; put values that hold a comma in quotes."
                )
            if len(cells) < len(columns):
                raise AssayError(f"{at} has {len(cells)} cells for {len(columns)} columns; a comma is missing in it.")
            yield at, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise AssayError(f"{path}, line {reader.line_num}, is no CSV ({error}).") from None
