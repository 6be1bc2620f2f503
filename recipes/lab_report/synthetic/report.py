"""Makes reports: a PDF and its gold record from a family and a seed, and whole folders of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reportlab.lib.pagesizes import A4, LETTER, landscape

from extraction.files import whole_folder

from .blank import BlankPage
from .content import Composer, stable_random
from .families import FAMILIES
from .flow import Flow, TooNarrowError
from .furniture import Furniture
from .habits import in_script, with_habits
from .parts import Content
from .portal import Portal
from .prose import Cards, Gauges, Lines, Matrix, Narrative
from .sheet import Cell, Gold, Sheet
from .style import Style
from .table import Table
from .vocabulary import places

_LAYOUTS = {
    "table": Table, "cards": Cards, "lines": Lines, "narrative": Narrative, "gauge": Gauges, "matrix": Matrix,
    "portal": Portal,
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """A synthetic report; `cells` has each printed value's place, in PDF points from the top left."""

    pdf: bytes
    record: dict[str, Any]
    cells: list[Cell]
    family: str
    seed: int
    language: str


def make_report(family: str, seed: int, *, max_rows: int | None = None, locale: str | None = None) -> Report:
    """Make one report; the same arguments give the same bytes.

    With `locale` ("el-GR") it is written in that language, whatever the family would have drawn.
    Raises KeyError for an unknown family or locale, ValueError for a max_rows below 1 or the locale of a further
    language for a family of the demo.
    """
    if family not in FAMILIES:
        raise KeyError(f"no family {family!r}; FAMILIES names the {len(FAMILIES)} there are")
    if max_rows is not None and max_rows < 1:
        raise ValueError(f"max_rows must be at least 1, not {max_rows}")
    rng = stable_random("report", family, seed)
    style = with_habits(FAMILIES[family].sample(rng), FAMILIES[family], stable_random("habits", family, seed), locale)
    if locale:
        if style.edition == "base" and locale not in places():
            raise ValueError(f"{family} is one of the demo's families, which have no words for {locale}")
        style = replace(style, locale=locale)
    style = in_script(style, stable_random("script", family, seed))
    content = Composer(style, rng, max_rows).compose()
    # The footer prints the number of pages, which only a first drawing tells.
    pages, pdf, gold = 1, b"", Gold()
    for _ in range(3):
        try:
            sheet, gold = _draw(style, content, pages, f"{family}/{seed}")
        except TooNarrowError:
            style = replace(style, frames=1)
            sheet, gold = _draw(style, content, pages, f"{family}/{seed}")
        pdf = sheet.finish()
        if sheet.page == pages:
            break
        pages = sheet.page
    return Report(pdf, gold.record(), gold.cells, family, seed, content.place["language"])


def _draw(style: Style, content: Content, pages: int, key: str) -> tuple[Sheet, Gold]:
    size = LETTER if content.place["paper"] == "letter" else A4
    sheet = Sheet(landscape(size) if style.landscape else size, content.headline, mirrored=content.rtl)
    gold = Gold()
    furniture = Furniture(sheet, gold, content, style, pages, stable_random("draw", key))
    if content.picks["cover"] < style.cover and content.sections:
        top, bottom = furniture.begin(results=False)
        furniture.paragraphs(content.letter, top + 10, bottom)
        sheet.next_page()
    blank = BlankPage(sheet, content, style, furniture, stable_random("blank", key))
    place, _, kind = style.extra_page.partition(":")
    if place == "before" and content.sections:
        top, bottom = furniture.begin(results=False)
        blank.draw(kind, top + 10, bottom)
        sheet.next_page()
    flow = Flow(sheet, style, furniture)
    if content.sections:
        table = _LAYOUTS[style.layout](sheet, gold, content, style, flow)
        table.draw()
    else:
        blank.draw(style.blank or "apology", flow.y + 20, flow.bottom)
    # In a page of two frames the closing goes below the longer one, which is the left unless both are short.
    if (style.frames == 1 or not content.sections) and not style.blank:
        furniture.closing(flow.y, flow.bottom)
    if place == "after" and content.sections:
        sheet.next_page()
        top, bottom = furniture.begin(results=False)
        blank.draw(kind, top + 10, bottom)
    if content.sections and content.picks["appendix"] < style.appendix:
        sheet.next_page()
        top, bottom = furniture.begin(results=False)
        words = content.words
        lines = [words["legend_title"].split(";")[0], *content.legend, *words["long"].split(";")]
        furniture.paragraphs(lines, top + 6, bottom)
    gold.cells = [replace(cell, box=sheet.shown(cell.box)) for cell in gold.cells]
    return sheet, gold


# Folders of different seeds have no report in common, up to so many reports a folder.
SEEDS = 1_000_000


def write_reports(out: Path, *, names: Sequence[str], count: int, seed: int, max_rows: int | None = None) -> list[Path]:
    """Write `count` reports, cycling through the families `names`, into the new or empty folder `out`.

    Each NAME.pdf has its record beside it as NAME.json; manifest.jsonl has a line a file with its family,
    language, seed and cells. The folder appears whole or not at all. Returns the PDFs' paths.
    Raises FileExistsError where `out` has files already, ValueError where `names` is empty.
    """
    if not names or count < 1:
        raise ValueError("write_reports needs at least one family and a count of at least 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder; choose another or remove what is in it")
    files = []
    with whole_folder(out) as partial, (partial / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number in range(count):
            name = names[number % len(names)]
            report = make_report(name, seed * SEEDS + number, max_rows=max_rows)
            stem = f"{name}-{seed}-{number:05d}"
            (partial / f"{stem}.pdf").write_bytes(report.pdf)
            text = json.dumps(report.record, ensure_ascii=False, indent=1)
            (partial / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
            cells = [asdict(cell) | {"box": [round(edge, 2) for edge in cell.box]} for cell in report.cells]
            entry = {"file": f"{stem}.pdf", "family": name, "language": report.language,
                     "seed": report.seed, "cells": cells}  # fmt: skip
            manifest.write(json.dumps(entry, ensure_ascii=False) + "\n")
            files.append(out / f"{stem}.pdf")
    return files
