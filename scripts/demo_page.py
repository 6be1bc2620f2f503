"""A run as a page to look at: loss and F1 over the steps, and a document beside what was read from it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extraction.document import open_document
from extraction.files import write_whole
from extraction.record.html import evidence_page
from extraction.record.record import REVIEW_BELOW, Record
from finetune.run import read_metrics

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-size: 13px } td, th { padding: 3px 10px; text-align: left;
  border-bottom: 1px solid #d8dee4 } th { background: #f3f5f7 } .number { text-align: right }
.charts { display: flex; gap: 1.5rem; flex-wrap: wrap } figure { margin: 0 }
svg text { font: 11px system-ui, sans-serif; fill: #57606a }
iframe { width: 100%; height: 85vh; border: 1px solid #d8dee4 }
"""


def write_report(
    path: Path, metrics: Path, figures: Mapping[str, Mapping[str, Any]], document: Path, record: Record
) -> None:
    """Write one self-contained HTML file.

    Args:
        metrics: a run's metrics.jsonl.
        figures: rows of the table of scores, name to columns.

    Raises:
        DocumentError: the document cannot be drawn.
    """
    rows = read_metrics(metrics)
    loss = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    f1 = [(row["step"], row["eval_micro_f1"]) for row in rows if "eval_micro_f1" in row]
    page = evidence_page(record, record.document or open_document(document), REVIEW_BELOW)
    body = f"""<h1>What the decoder learned</h1>
<div class=charts>{_chart("Training loss", loss)}{_chart("F1 on held-out documents", f1, top=1.0)}</div>
<h2>Before and after</h2>{_table([{"": name, **row} for name, row in figures.items()])}
<h2>A document, and what was read from it</h2>
<iframe title="{html.escape(record.source)}" sandbox="allow-scripts" srcdoc="{html.escape(page)}"></iframe>"""
    head = f"<meta charset=utf-8><title>Assay run</title><style>{_STYLE}</style>"
    write_whole(path, f"<!doctype html><html lang=en>{head}{body}</html>")


def _chart(title: str, points: Sequence[tuple[float, float]], top: float | None = None) -> str:
    """A line chart as SVG, axes from zero."""
    if not points:
        return ""
    width, height, left, bottom = 520, 220, 40, 24
    last = max(x for x, _ in points) or 1
    high = top or max(y for _, y in points) * 1.05 or 1.0
    wide, tall = width - left - 10, height - bottom - 10
    place = [(left + x / last * wide, height - bottom - y / high * tall) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#0969da"><title>step {p[0]}: {p[1]:.3f}</title></circle>'
        for (x, y), p in zip(place, points, strict=True)
    )
    grid = ""
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = height - bottom - share * tall
        grid += f'<line x1="{left}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d8dee4"/>'
        grid += f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{share * high:.2f}</text>'
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg width="{width}" height="{height}" role="img" '
        f'aria-label="{html.escape(title)}">{grid}<polyline points="{line}" fill="none" stroke="#0969da" '
        f'stroke-width="2"/>{dots}<text x="{width - 10}" y="{height - 6}" text-anchor="end">step {last:g}</text>'
        "</svg></figure>"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [key for key in (rows[0] if rows else {}) if any(row.get(key) is not None for row in rows)]
    head = "".join(f"<th>{html.escape(key)}</th>" for key in columns)
    lines = "".join("<tr>" + "".join(_cell(row.get(key)) for key in columns) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"<td class=number>{value:.3f}</td>"
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"
