"""A record as a table for the terminal."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from extraction.schema import pointer

if TYPE_CHECKING:
    from extraction.record.record import Issue, Record

_SHOWN = 8  # of what was left out
_COLOURS = {"ok": "green", "partial": "yellow", "failed": "red"}


def record_table(record: Record, review: Collection[str] = ()) -> Group:
    """Status, single values, then one table for each array of objects; columns that are empty are left out.

    Args:
        record: what was read.
        review: JSON pointers of the values that get a mark.
    """
    parts: list[Any] = [Text.assemble((f"{record.source}  ", "bold"), (record.status, _COLOURS[record.status]))]
    parts += [Text(f"  {issue_told(record, issue)}", style="yellow") for issue in record.issues]
    for number, data in enumerate(record.reports):
        at = ("reports", number) if record.several else ()
        if record.several:
            parts.append(Text(f"report {number + 1} of {len(record.reports)}", style="bold"))
        parts += [_told(key, value, (*at, key), review) for key, value in (data or {}).items()]
    rows = [one for one in record.set_aside if isinstance(one.data, dict | list)]
    if rows:
        parts.append(Text(f"set aside ({len(rows)}), not among the data:", style="dim"))
        parts += [Text(f"  {_printed(one.data)}: {one.reason}", style="dim") for one in rows]
    if review:
        parts.append(Text(f"to review: {len(review)} of {len(record.fields)} values (?)", style="yellow"))
    return Group(*parts)


def issue_told(record: Record, issue: Issue) -> str:
    """An issue with its place, for a person."""
    page = f"page {issue.page}" if issue.page and len(record.views) > 1 else ""
    place = ", ".join(filter(None, (page, record.place(issue.path) if issue.path else "")))
    return f"{place[:1].upper()}{place[1:]}: {issue.message}" if place else issue.message


def _told(key: str, value: Any, path: tuple[str | int, ...], review: Collection[str]) -> Table | Text:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _rows(key, value, path, review)
    if value not in (None, [], {}):
        return Text.assemble(f"{key}: ", _value(value, pointer(path) in review))
    return Text(f"{key}: none", style="dim")


def _printed(row: dict[str, Any] | list[Any]) -> str:
    if isinstance(row, list):
        return ", ".join(map(str, row[:_SHOWN])) + (", ..." if len(row) > _SHOWN else "")
    return "  ".join(str(value) for value in row.values() if value not in (None, [], {}))


def _rows(title: str, rows: list[dict[str, Any]], path: tuple[str | int, ...], review: Collection[str]) -> Table:
    columns = [key for key in rows[0] if any(row.get(key) is not None for row in rows)]
    table = Table(title=f"{title} ({len(rows)})", title_justify="left", header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for number, row in enumerate(rows):
        table.add_row(*(_value(row.get(key), pointer((*path, number, key)) in review) for key in columns))
    return table


def _value(value: Any, doubtful: bool) -> Text:
    # The mark is not a colour alone: a pipe has none.
    return Text(f"{value} ?", style="yellow") if doubtful else Text("" if value is None else str(value))
