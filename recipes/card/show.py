"""The table of a card: in the terminal, as JSON, as a page."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from extraction.errors import AssayError
from extraction.files import write_whole
from recipes.card.lines import Line
from recipes.card.measures import Measured
from recipes.card.rows import MODELS, Row

_HEAD = ("row", "figure", "n", "this model", "95%", "blind", *MODELS)
_SHORT = ("row", "n", "this", "95%", "blind", "G3 4B", "MG1 4B", "MG1.5 4B", "MG1 27B")  # for a terminal's width


Entry = dict[str, Any]
"""A line of the table as `card.json` has it."""


def _cells(entry: Entry) -> list[list[str]]:
    """The cells of a line, one list a figure."""
    made: list[list[str]] = []
    for name in entry["order"]:
        own, published = entry["figures"].get(name), entry["published"].get(name)
        bare = own is None and not published
        if bare and (made or not entry["missing"]):  # a row without any figure has one line nevertheless
            continue
        beside, others = entry["blind"].get(name), [(published or {}).get(model) for model in MODELS]
        made.append(
            [
                entry["title"] if not made else "",
                name,
                str(own["n"]) if own else "",
                f"{own['value']:.1f}" if own else "-",
                "{:.1f}–{:.1f}".format(*own["interval"]) if own and own["interval"] else "",
                "" if beside is None else f"{beside:.1f}",
                *("" if value is None else f"{value:.1f}" for value in others),
            ]
        )
    return made


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


def table(entries: Sequence[Entry]) -> Table:
    """The table for a terminal of a hundred columns: Gemma 3 as G3, MedGemma 1 and 1.5 as MG1 and MG1.5."""
    made = Table(show_edge=False, pad_edge=False, box=box.SIMPLE_HEAD)
    for number, name in enumerate(_SHORT):
        made.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=bool(number))
    for entry in entries:
        for cells in _cells(entry):
            made.add_row(f"{entry['title']}: {cells[1]}", *cells[2:])
    return made


def entry_of(line: Line, settings: Mapping[str, Any]) -> Entry:
    """A line with all that is said of it and the settings it was measured with."""

    def numbers(measured: dict[str, Measured] | None) -> dict[str, Any]:
        made: dict[str, dict[str, Any]] = {}
        for name, one in (measured or {}).items():
            ends = None if math.isnan(one.low) else [round(one.low, 2), round(one.high, 2)]
            made[name] = {"value": round(one.value, 2), "interval": ends, "n": one.n, "contexts": one.contexts}
            made[name]["interval_by"] = "Clopper-Pearson" if one.exact else "bootstrap"
        return made

    figures = line.row.figures
    return {
        "row": line.name,
        "title": line.row.title,
        "by": line.by,
        "figures": numbers(line.figures),
        "order": [figure.name for figure in figures],
        "blind": {name: round(one.value, 2) for name, one in (line.blind or {}).items()},
        "blind_rule": line.rule,
        "published": {f.name: dict(zip(MODELS, f.published, strict=False)) for f in figures if f.published},
        "ungraded": line.ungraded or {},
        "left_out": line.left_out or {},
        "missing": line.missing,
        "said": list(line.said),
        "notes": notes(line),
        "settings": dict(settings),
    }


def earlier(out: Path, model: str, weights: str) -> dict[str, Entry]:
    """The rows that were measured before at `out`, by their names.

    Raises:
        AssayError: `card.json` is of another model, or no card.
    """
    path = out / "card.json"
    if not path.exists():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        own, rows = card["weights"] == weights, {row["row"]: row for row in card["rows"] if row["figures"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise AssayError(f"{path} is no card that rows can be added to; delete it, or choose another --out.") from None
    if not own:
        raise AssayError(
            f"{path} is the card of {card['model']}, which is another model than {model} (or other weights in its "
            "folder); choose another --out, or delete it."
        )
    return rows


def differing(entry: Entry, settings: Mapping[str, Any]) -> list[str]:
    """What must be known of a row that stands among others of other settings, in a sentence."""
    names = [name for name, value in settings.items() if entry["settings"].get(name) != value]

    def option(name: str, value: Any) -> str:
        if isinstance(value, bool):
            return f"--{name}" if value else f"--no-{name}"
        return f"no --{name}" if value is None else f"--{name} {value}"

    before, last = (", ".join(option(name, of.get(name)) for name in names) for of in (entry["settings"], settings))
    return [f"Of an earlier run with other settings: {before}; the last run has {last}."] if names else []


def to_json(entries: Sequence[Entry], absent: Sequence[Row], model: str, weights: str) -> str:
    """The table as JSON."""
    missing = [{"row": row.name, "title": row.title, "access": row.access} for row in absent]
    card = {"model": model, "weights": weights, "rows": list(entries), "absent": missing}
    return json.dumps(card, indent=1, ensure_ascii=False) + "\n"


def page(entries: Sequence[Entry], absent: Sequence[Row], model: str, settings: Mapping[str, Any]) -> str:
    """The table as one HTML page that asks nothing of any network."""

    def row(cells: Sequence[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = []
    for entry in entries:
        body += [row(cells) for cells in _cells(entry)]
        told = "<br>".join(map(html.escape, [*differing(entry, settings), *entry["notes"]]))
        body.append(f'<tr class="note"><td colspan="{len(_HEAD)}">{told}</td></tr>' if told else "")
    rest = "".join(f"<li><b>{html.escape(r.title)}</b>: {html.escape(r.access)}</li>" for r in absent)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Card</title><style>"
        "body{font:15px system-ui;margin:2em auto;max-width:75em}table{border-collapse:collapse;width:100%}"
        "td,th{text-align:right;padding:.3em .6em;border-top:1px solid #ddd}td:nth-child(n+3){white-space:nowrap}"
        "td:nth-child(-n+2),th:nth-child(-n+2)"
        "{text-align:left}.note td{text-align:left;border:0;color:#666;font-size:.85em}</style>"
        f"<h1>{html.escape(model)}</h1><table>{row(_HEAD, 'th')}{''.join(body)}</table>"
        "<p>In percent. Published figures: MedGemma 1.5's model card. The blind answer is that of "
        "the best rule, on these very questions, that sees no image.</p>"
        + (f"<h2>Not here</h2><ul>{rest}</ul>" if rest else "")
        + "</html>\n"
    )


def save(
    out: Path, entries: Sequence[Entry], absent: Sequence[Row], model: str, weights: str, settings: Mapping[str, Any]
) -> None:
    """`card.json` and `card.html`."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "card.json", to_json(entries, absent, model, weights))
    write_whole(out / "card.html", page(entries, absent, model, settings))
