"""The table of a card: in the terminal, as JSON, as a page."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from extraction.files import write_whole
from recipes.card.lines import Line
from recipes.card.measures import Measured
from recipes.card.rows import MODELS, Row

_HEAD = ("row", "figure", "n", "this model", "95%", "blind", *MODELS)
_SHORT = ("row", "n", "this", "95%", "blind", "G3 4B", "MG1 4B", "MG1.5 4B", "MG1 27B")  # for a terminal's width


def _cells(line: Line) -> list[list[str]]:
    """The cells of a line, one list a figure."""
    made: list[list[str]] = []
    for figure in line.row.figures:
        own = (line.figures or {}).get(figure.name)
        bare = own is None and not figure.published
        if bare and (made or not line.missing):  # a row without any figure has one line nevertheless
            continue
        beside = (line.blind or {}).get(figure.name)
        others = [*figure.published, *[None] * (len(MODELS) - len(figure.published))]
        made.append(
            [
                line.row.title if not made else "",
                figure.name,
                str(own.n) if own else "",
                f"{own.value:.1f}" if own else "-",
                _interval(own),
                f"{beside.value:.1f}" if beside else "",
                *("" if value is None else f"{value:.1f}" for value in others),
            ]
        )
    return made


def _interval(measured: Measured | None) -> str:
    if measured is None or math.isnan(measured.low):
        return ""
    return f"{measured.low:.1f}–{measured.high:.1f}"


def notes(line: Line) -> list[str]:
    """What must be known of a line, in sentences."""
    told = [f"No figure: {line.missing.rstrip('.')}."] if line.missing else []
    if line.unread and line.row.access and line.row.access not in line.missing:
        told = [f"No figure: {line.missing.rstrip('.')}. Data: {line.row.access}."]
    if line.by == "likelihood":
        told.append("By the likelihood of the options, which is another figure than the published ones.")
    if line.ungraded:
        many = ", ".join(f"{count} {why}" for why, count in line.ungraded.items())
        told.append(f"Replies that could not be graded, counted as wrong: {many}.")
    if line.rule:
        told.append(f"Blind, the best of its rules on these very questions: {line.rule}.")
    exact = [name for name, one in (line.figures or {}).items() if one.exact]
    if exact:
        told.append(
            f"All contexts agree in {', '.join(exact)}: intervals are the exact bound by contexts (Clopper-Pearson)."
        )
    published = line.row.n if any(figure.published for figure in line.row.figures) else None
    own = next(iter((line.figures or {}).values()), None)
    if own and published and own.n != published:
        told.append(f"The published figures are on {published} questions.")
    return [*told, *line.said]


def table(lines: Sequence[Line]) -> Table:
    """The table for a terminal of a hundred columns: Gemma 3 as G3, MedGemma 1 and 1.5 as MG1 and MG1.5."""
    made = Table(show_edge=False, pad_edge=False, box=box.SIMPLE_HEAD)
    for number, name in enumerate(_SHORT):
        made.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=bool(number))
    for line in lines:
        for cells in _cells(line):
            made.add_row(f"{line.row.title}: {cells[1]}", *cells[2:])
    return made


def to_json(lines: Sequence[Line], absent: Sequence[Row], model: str) -> str:
    """The table as JSON, with all that is said of it."""

    def numbers(measured: dict[str, Measured] | None) -> dict[str, Any]:
        made: dict[str, dict[str, Any]] = {}
        for name, one in (measured or {}).items():
            ends = None if math.isnan(one.low) else [round(one.low, 2), round(one.high, 2)]
            made[name] = {"value": round(one.value, 2), "interval": ends, "n": one.n, "contexts": one.contexts}
            made[name]["interval_by"] = "Clopper-Pearson" if one.exact else "bootstrap"
        return made

    rows = [
        {
            "row": line.name,
            "title": line.row.title,
            "by": line.by,
            "figures": numbers(line.figures),
            "blind": {name: round(one.value, 2) for name, one in (line.blind or {}).items()},
            "blind_rule": line.rule,
            "published": {
                f.name: dict(zip(MODELS, f.published, strict=False)) for f in line.row.figures if f.published
            },
            "ungraded": line.ungraded or {},
            "left_out": line.left_out or {},
            "missing": line.missing,
            "said": list(line.said),
        }
        for line in lines
    ]
    missing = [{"row": row.name, "title": row.title, "access": row.access} for row in absent]
    return json.dumps({"model": model, "rows": rows, "absent": missing}, indent=1, ensure_ascii=False) + "\n"


def page(lines: Sequence[Line], absent: Sequence[Row], model: str) -> str:
    """The table as one HTML page that asks nothing of any network."""

    def row(cells: Sequence[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = []
    for line in lines:
        body += [row(cells) for cells in _cells(line)]
        told = " ".join(notes(line))
        body.append(f'<tr class="note"><td colspan="{len(_HEAD)}">{html.escape(told)}</td></tr>' if told else "")
    rest = "".join(f"<li><b>{html.escape(r.title)}</b>: {html.escape(r.access)}</li>" for r in absent)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Card</title><style>"
        "body{font:15px system-ui;margin:2em auto;max-width:75em}table{border-collapse:collapse;width:100%}"
        "td,th{text-align:right;padding:.3em .6em;border-top:1px solid #ddd}td:nth-child(-n+2),th:nth-child(-n+2)"
        "{text-align:left}.note td{text-align:left;border:0;color:#666;font-size:.85em}</style>"
        f"<h1>{html.escape(model)}</h1><table>{row(_HEAD, 'th')}{''.join(body)}</table>"
        "<p>In percent. Published figures: MedGemma 1.5's model card. The blind answer is that of "
        "the best rule, on these very questions, that sees no image.</p>"
        + (f"<h2>Not here</h2><ul>{rest}</ul>" if rest else "")
        + "</html>\n"
    )


def save(out: Path, lines: Sequence[Line], absent: Sequence[Row], model: str) -> None:
    """`card.json` and `card.html`."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "card.json", to_json(lines, absent, model))
    write_whole(out / "card.html", page(lines, absent, model))
