"""The index of a batch: one page that leads to the evidence pages, those first which a person should look at first."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from extraction.files import printable, write_whole
from extraction.record.record import Record
from extraction.tally import REASONS

NAME = "index.html"
_ORDER = ("failed", "partial", "ok")


def write_index(out: Path, records: Iterable[tuple[str, Record]], review_below: float) -> Path:
    """Write `OUT/index.html`, a row a record; it loads nothing.

    Args:
        out: the folder of the records and their pages.
        records: each with the name of its file within the folder, without `.json`; read one after another.
        review_below: as in `Record.review`.
    """
    rows = sorted(_row(out, name, record, review_below) for name, record in records)
    counts = [f"{count} {name}" for name in _ORDER if (count := sum(_ORDER[row[0]] == name for row, _ in rows))]
    page = (files("extraction.record") / "index.html").read_text(encoding="utf-8")
    told = {
        "TITLE": f"{len(rows)} {'record' if len(rows) == 1 else 'records'}",
        "COUNTS": ", ".join(counts),
        "BELOW": f"{review_below:g}",
        "ROWS": "\n".join(row for _, row in rows),  # last: it has text of documents' names
    }
    for name, text in told.items():
        page = page.replace(f"__{name}__", text)
    write_whole(out / NAME, page)
    return out / NAME


def _row(out: Path, name: str, record: Record, review_below: float) -> tuple[tuple[int, int, float, str], str]:
    """What a record is sorted by, and its row."""
    sure = [one.confidence for one in record.fields.values() if one.confidence is not None]
    review, lowest = len(record.review(review_below)), min(sure, default=None)
    codes = dict.fromkeys(issue.code for issue in record.issues)
    reasons = ", ".join(REASONS.get(code, code) for code in codes)
    if record.status == "failed":
        reasons = record.issues[0].message if record.issues else reasons
    elif not record.fields:
        reasons, lowest = reasons or "nothing was found to read", 0.0  # where a table that was missed would hide
    shown = html.escape(printable((Path(name).parent / record.source).as_posix()))
    if (out / f"{name}.html").exists():
        shown = f'<a href="{quote(os.fsencode(name))}.html">{shown}</a>'
    cells = [
        f"<td>{shown}</td>",
        f'<td class="{record.status}">{record.status}</td>',
        *(f'<td class="n">{count}</td>' for count in (len(record.fields), review, len(record.set_aside))),
        f'<td class="n">{min(sure):.2f}</td>' if sure else "<td></td>",
        f"<td>{html.escape(reasons)}</td>",
    ]
    order = (_ORDER.index(record.status), -review, 1.0 if lowest is None else lowest, name)
    return order, f"<tr>{''.join(cells)}</tr>"
