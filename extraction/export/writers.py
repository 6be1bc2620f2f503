"""Tables as CSV, Excel, Parquet and SQLite files, written row by row in bounded memory.

Text stays text in all of them: `001`, `1,5` and `=A1` come out as they went in.

- `csv`: UTF-8 after RFC 4180. CSV has no types: a spreadsheet that opens the file by a double click takes `1-5` for a
  date and what begins with `=`, `+`, `-` or `@` for a formula. Import it with every column as text instead (in Excel:
  Data, From Text/CSV, Transform Data, type Text), or take `xlsx`.
- `xlsx`: every text is a cell of the format Text; nothing becomes a formula, a date or a link.
- `parquet`, `sqlite`: columns of text, integers and doubles.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from extraction.errors import AssayError

Cell = str | int | float | None

_BATCH = 10_000  # rows of a table that are held before they become a row group of Parquet


class Format(StrEnum):
    """What tables can be written as."""

    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    SQLITE = "sqlite"


@dataclass(frozen=True)
class Table:
    """The name of a table and the types (str, int or float) of its columns by their names."""

    name: str
    columns: dict[str, type]


class Writer(Protocol):
    """Writes rows, in any order of tables, until it is closed."""

    def write(self, table: str, cells: list[Cell]) -> None:
        """Add a row to the table of that name, a cell a column."""

    def close(self) -> None:
        """Finish the files."""


def open_writer(to: Format, path: Path, tables: list[Table]) -> Writer:
    """A writer of `path`; CSV and Parquet have the first table there, and each other in `NAME.TABLE.csv` beside it."""
    writers: dict[Format, Callable[[Path, list[Table]], Writer]] = {
        Format.CSV: _Csv,
        Format.XLSX: _Xlsx,
        Format.PARQUET: _Parquet,
        Format.SQLITE: _Sqlite,
    }
    return writers[to](path, tables)


def check_installed(to: Format) -> None:
    """Raise AssayError where the format's library is missing."""
    if to is Format.XLSX:
        try:
            import xlsxwriter  # noqa: F401
        except ImportError:
            raise AssayError(
                "XlsxWriter is missing here; install the extra assay[export]: pip install -e '.[export]'."
            ) from None


def _a_file_each(path: Path, tables: list[Table]) -> dict[str, Path]:
    others = {table.name: path.with_name(f"{path.stem}.{table.name}{path.suffix}") for table in tables[1:]}
    return {tables[0].name: path, **others}


class _Csv:
    def __init__(self, path: Path, tables: list[Table]):
        paths = _a_file_each(path, tables)
        self._files = {name: file.open("w", encoding="utf-8", newline="") for name, file in paths.items()}
        self._writers = {name: csv.writer(file) for name, file in self._files.items()}
        for table in tables:
            self._writers[table.name].writerow(table.columns)

    def write(self, table: str, cells: list[Cell]) -> None:
        self._writers[table].writerow(cells)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _Xlsx:
    def __init__(self, path: Path, tables: list[Table]):
        from xlsxwriter import Workbook

        scratch = path.with_name(f"{path.name}.parts")
        scratch.mkdir()
        self._book = Workbook(str(path), {"constant_memory": True, "tmpdir": str(scratch)})
        self._text = self._book.add_format({"num_format": "@"})
        bold = self._book.add_format({"bold": True})
        self._sheets = {table.name: self._book.add_worksheet(table.name) for table in tables}
        self._rows = dict.fromkeys(self._sheets, 0)
        for table in tables:
            self._sheets[table.name].freeze_panes(1, 0)
            self._sheets[table.name].ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
            self._write(table.name, list(table.columns), bold)

    def write(self, table: str, cells: list[Cell]) -> None:
        self._write(table, cells, self._text)

    def _write(self, table: str, cells: list[Any], style: Any) -> None:
        sheet, row = self._sheets[table], self._rows[table]
        for column, cell in enumerate(cells):
            if cell is None:
                continue
            text = isinstance(cell, str)
            refused = sheet.write_string(row, column, cell, style) if text else sheet.write_number(row, column, cell)
            if refused:
                why = f"a text in the table {table} for {cells[0]} is longer than the 32,767 characters of a cell"
                if refused == -1:
                    why = f"the table {table} has more than the 1,048,576 rows or 16,384 columns of a sheet"
                raise AssayError(f"Excel cannot hold this: {why}. Export to csv, parquet or sqlite.")
        self._rows[table] += 1

    def close(self) -> None:
        from xlsxwriter.exceptions import XlsxFileError

        try:
            self._book.close()
        except XlsxFileError as error:
            raise OSError(str(error)) from None


class _Parquet:
    def __init__(self, path: Path, tables: list[Table]):
        import pyarrow
        from pyarrow import parquet

        types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
        self._schemas = {
            table.name: pyarrow.schema([(name, types[kind]) for name, kind in table.columns.items()])
            for table in tables
        }
        paths = _a_file_each(path, tables)
        self._writers = {name: parquet.ParquetWriter(file, self._schemas[name]) for name, file in paths.items()}
        self._rows: dict[str, list[list[Cell]]] = {name: [] for name in paths}

    def write(self, table: str, cells: list[Cell]) -> None:
        self._rows[table].append(cells)
        if len(self._rows[table]) == _BATCH:
            self._flush(table)

    def _flush(self, table: str) -> None:
        import pyarrow

        schema, rows = self._schemas[table], self._rows[table]
        if rows:
            cells = dict(zip(schema.names, zip(*rows, strict=True), strict=True))
            self._writers[table].write_table(pyarrow.table(cells, schema=schema))
        self._rows[table] = []

    def close(self) -> None:
        for table, writer in self._writers.items():
            self._flush(table)
            writer.close()


class _Sqlite:
    def __init__(self, path: Path, tables: list[Table]):
        types = {str: "TEXT", int: "INTEGER", float: "REAL"}
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")  # the file is thrown away if anything fails
        self._database.execute("BEGIN")
        for table in tables:
            columns = ", ".join(f"{_quoted(name)} {types[kind]}" for name, kind in table.columns.items())
            self._database.execute(f"CREATE TABLE {_quoted(table.name)} ({columns})")
        self._inserts = {
            table.name: f"INSERT INTO {_quoted(table.name)} VALUES ({', '.join('?' * len(table.columns))})"
            for table in tables
        }

    def write(self, table: str, cells: list[Cell]) -> None:
        self._database.execute(self._inserts[table], cells)

    def close(self) -> None:
        if self._database.in_transaction:
            self._database.execute("COMMIT")
        self._database.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
