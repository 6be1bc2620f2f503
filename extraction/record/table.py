"""A record as a table for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from extraction.files import printable
from extraction.schema import pointer

if TYPE_CHECKING:
    from extraction.record.record import Record

_SHOWN = 8  # of what was left out
_WIDEST = 28  # characters of a column; what is longer goes on in the next line
_COLOURS = {"ok": "green", "partial": "yellow", "failed": "red"}


def record_table(record: Record, review: Collection[str] = ()) -> Group:
    """Status, single values, then one table for each array of objects; columns that are empty are left out, and what is
    null is named in one line.

    Args:
        record: what was read.
        review: JSON pointers of the values that get a mark.
    """
    parts: list[Any] = [
        Text.assemble((f"{printable(record.source)}  ", "bold"), (record.status, _COLOURS[record.status]))
    ]
    parts += [Text(f"  {record.told(issue)}", style="yellow") for issue in record.issues]
    for number, data in enumerate(record.reports):
        at = ("reports", number) if record.several else ()
        if record.several:
            parts.append(Text(f"report {number + 1} of {len(record.reports)}", style="bold"))
        data = data or {}
        parts += [_told(key, value, (*at, key), review) for key, value in data.items() if value is not None]
        if none := [key for key, value in data.items() if value is None]:
            parts.append(Text(f"none: {', '.join(none)}", style="dim"))
    if record.set_aside:
        parts.append(Text(f"set aside ({len(record.set_aside)}), not among the data:", style="dim"))
        parts += [Text(f"  {told}", style="dim") for told in _aside(record)]
    if review:
        parts.append(Text(f"to review: {len(review)} of {len(record.fields)} values (?)", style="yellow"))
    return Group(*parts)


def _told(key: str, value: Any, path: tuple[str | int, ...], review: Collection[str]) -> _Rows | Text:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _Rows(key, value, path, review)
    if value not in (None, [], {}):
        return Text.assemble(f"{key}: ", _value(value, pointer(path) in review))
    return Text(f"{key}: none{' found in the document' if value == [] else ''}", style="dim")


def _aside(record: Record) -> Iterator[str]:
    """Lines on what was set aside: rows, then values, those that are the same in many rows once."""
    rows = [one for one in record.set_aside if isinstance(one.data, dict | list)]
    yield from (f"{_printed(one.data)}: {one.reason}" for one in rows)
    values: dict[tuple[str, str, str], list[str]] = {}
    for one in record.set_aside:
        if not isinstance(one.data, dict | list):
            name = one.path.rpartition("/")[2]
            values.setdefault((name, str(one.data), one.reason), []).append(record.place(one.path))
    for (name, value, reason), places in values.items():
        yield f"{places[0] if len(places) == 1 else f'{name} of {len(places)} rows'}, “{value}”: {reason}"


def _printed(row: dict[str, Any] | list[Any]) -> str:
    if isinstance(row, list):
        return ", ".join(map(str, row[:_SHOWN])) + (", ..." if len(row) > _SHOWN else "")
    return "  ".join(str(value) for value in row.values() if value not in (None, [], {}))


@dataclass
class _Rows:
    """A list of objects as a table: what all rows share is told once; what is wider than the terminal goes on below."""

    title: str
    rows: list[dict[str, Any]]
    path: tuple[str | int, ...]
    review: Collection[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        keys = [key for key in self.rows[0] if any(row.get(key) is not None for row in self.rows)]
        shared = [
            key for key in keys[1:] if len(self.rows) > 1 and all(r.get(key) == self.rows[0][key] for r in self.rows)
        ]
        doubtful = [
            key for key in shared for n in range(len(self.rows)) if pointer((*self.path, n, key)) in self.review
        ]
        for key in shared:
            yield Text.assemble(
                f"{self.title}, all {len(self.rows)}: {key} ", _value(self.rows[0][key], key in doubtful)
            )
        keys = [key for key in keys if key not in shared]
        cells = {
            key: [_value(row.get(key), pointer((*self.path, n, key)) in self.review) for n, row in enumerate(self.rows)]
            for key in keys
        }
        widths = {
            key: min(_WIDEST, max(cell_len(text) for text in (key, *map(str, own)))) for key, own in cells.items()
        }
        for number, columns in enumerate(_fitting(keys, widths, options.max_width)):
            title = f"{self.title} ({len(self.rows)})" if not number else f"{self.title}, further columns"
            yield Text(title, style="italic")  # as the table's own title it would be broken to the table's width
            table = Table(header_style="bold", pad_edge=False)
            for key in columns:
                table.add_column(key, overflow="fold", min_width=min(cell_len(key), options.max_width // 2))
            for place in range(len(self.rows)):
                table.add_row(*(cells[key][place] for key in columns))
            yield table


def _fitting(keys: list[str], widths: dict[str, int], room: int) -> list[list[str]]:
    """Columns in groups that fit a width, each begun by the first column."""
    groups: list[list[str]] = []
    for key in keys[1:]:
        group = groups[-1] if groups else []
        if not group or sum(widths[one] + 3 for one in (*group, key)) + 1 > room:
            groups.append([keys[0], key])
        else:
            group.append(key)
    return groups or [keys]


def _value(value: Any, doubtful: bool) -> Text:
    # The mark is not a colour alone: a pipe has none.
    return Text(f"{value} ?", style="yellow") if doubtful else Text("" if value is None else str(value))
