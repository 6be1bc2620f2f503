"""A record as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from extraction.record.record import Record

_COLOURS = {"ok": "green", "partial": "yellow", "failed": "red"}


def record_table(record: Record) -> Group:
    """Status, single values, then one table for each array of objects; columns that are empty are left out."""
    parts: list[Any] = [Text.assemble((f"{record.source}  ", "bold"), (record.status, _COLOURS[record.status]))]
    parts += [Text(f"  {issue.path or ''} {issue.message}".rstrip(), style="yellow") for issue in record.issues]
    for key, value in (record.data or {}).items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            parts.append(_rows(key, value))
        elif value not in (None, [], {}):
            parts.append(Text(f"{key}: {value}"))
        else:
            parts.append(Text(f"{key}: none", style="dim"))
    return Group(*parts)


def _rows(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = [key for key in rows[0] if any(row.get(key) is not None for row in rows)]
    table = Table(title=f"{title} ({len(rows)})", title_justify="left", header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if row.get(key) is None else str(row[key])) for key in columns))
    return table
