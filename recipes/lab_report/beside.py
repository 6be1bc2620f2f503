"""What else stands in the cell of a result or beside a heading: a word before a number is no result, what has a range
beside it no heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from extraction.checks import Path
from extraction.document import Document
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from extraction.record.record import Issue
from extraction.schema import pointer
from extraction.values.dates import moments
from recipes.lab_report.lines import cells_of

Box = tuple[float, float, float, float]

_EDGE = 0.5  # times a line's height: edges so far apart are in line
_AMOUNT = re.compile(r"(?<![\w.,/-])[<>≤≥]? ?\d[\d.,]*(?![\w/-])")
_ASIDE = re.compile(r"[(\[][^()\[\]]*[)\]]")


def in_line(one: Box, other: Box) -> bool:
    """Whether two boxes may stand in one column: their left edges, their right ones or their middles are in line."""
    near = _EDGE * (one[3] - one[1])
    return abs(one[0] - other[0]) < near or abs(one[2] - other[2]) < near or abs(sum(one[::2]) - sum(other[::2])) < near


def beside(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results that are a part of their cells ("changed" of "changed 8"), and panels with a unit or a range beside them.

    Of a result without a figure its cell tells a number that is no other value, in no brackets, and no day. A panel's
    line tells a unit or a range in the column of those of results.
    """
    for page in document.pages:
        own = {path: place for path, place in evidence.items() if place.page == page.number}
        columns = [place.box for path, place in own.items() if path[-1] in ("unit", "range")]
        words = {path: place for path, place in own.items() if path[-1] == "result" and not _has_digit(place.text)}
        panels = {path: place for path, place in own.items() if path[-1] == "panel"}
        for row in gather_rows(page.words) if words or panels else ():
            cells = list(cells_of(page, row))
            for cell in cells:
                path = next((path for path, place in words.items() if overlap(cell.box, place.box) > 0), None)
                if path is None or moments(cell.text):
                    continue
                in_cell = [page.words[number] for number in cell.words]
                free = [w.text for w in in_cell if not any(overlap(w.box, place.box) > 0 for place in own.values())]
                if _AMOUNT.search(_ASIDE.sub("", " ".join(free))):
                    message = f"“{own[path].text}” is only a part of what is printed, “{cell.text}”."
                    yield Issue("misplaced", message, pointer(path), page.number)
            measures = [cell for cell in cells if cell.qualifies and any(in_line(cell.box, box) for box in columns)]
            for path, place in panels.items() if measures else ():
                last = max((cell.box[2] for cell in cells if overlap(cell.box, place.box) > 0), default=None)
                told = next((cell for cell in measures if last is not None and cell.box[0] >= last), None)
                if told:
                    message = (
                        f"“{place.text}” has “{told.text}” beside it, so it is the name of a result, not a heading."
                    )
                    yield Issue("misplaced", message, pointer(path), page.number)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
