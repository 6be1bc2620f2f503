"""Tables as data sets have them: CSV, TSV, JSON, JSON lines, gzipped or not; each row with its file and line."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".csv.gz", ".jsonl.gz")
Cells = dict[str, Any]


def read_text(path: Path) -> str:
    """A text file as UTF-8, or as UTF-16 where its first bytes say so.

    Raises:
        AssayError: it cannot be read, or is in another encoding (the line is named).
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise AssayError(f"{path} cannot be read ({error}).") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise AssayError(
            f"{path}, line {line}, is not UTF-8 (byte 0x{data[error.start]:02x}, as in Windows-1252); save it so."
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
    if kind == "jsonl":
        numbered: Iterable[tuple[int, str]] = enumerate(text.split("\n"), 1)
        loaded = (
            (f"{path}, line {number}", _json(line, f"{path}, line {number}"))
            for number, line in numbered
            if line.strip()
        )
    else:
        whole = _json(text, str(path))
        if isinstance(whole, dict):  # by id, as PubMedQA has it
            whole = [
                {"id": key, **row} if isinstance(row, dict) else {"id": key, "value": row} for key, row in whole.items()
            ]
        loaded = ((f"{path}, entry {number}", row) for number, row in enumerate(whole, 1))
    for at, row in loaded:
        if not isinstance(row, dict):
            raise AssayError(f"{at} is no JSON object; write one with a key for each column.")
        yield at, row


def _json(text: str, at: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise AssayError(f"{at} is not JSON ({error}); correct it or take it out.") from None


def _csv(path: Path, text: str, comma: str, names: Sequence[str], header: bool) -> Iterator[tuple[str, Cells]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma)
    try:
        first = [name.strip() for name in next(reader, [])] if header else []
        columns = list(names) or first
        before = reader.line_num
        for cells in reader:
            at, before = f"{path}, line {before + 1}", reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                raise AssayError(
                    f"{at} has {len(cells)} cells for {len(columns)} columns; put values that hold a comma in quotes."
                )
            yield at, dict(zip(columns, (*cells, *[""] * (len(columns) - len(cells))), strict=False))
    except csv.Error as error:
        raise AssayError(f"{path}, line {reader.line_num}, is no CSV ({error}).") from None


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
