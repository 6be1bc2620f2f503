"""Ranges as they are printed, where the model wrote down their limits alone as they stand there.

What stands in brackets behind the limits ("146 - 270 (target: <190)") is often long, or on two lines, and a small model
makes up its end; the limits tell which of a line's cells it meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from extraction.checks import Path
from extraction.document import Document
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from recipes.lab_report.lines import Cell, cells_of

_EDGE = 3.0  # points: lines of one cell begin so far apart at most


def read_ranges(
    document: Document, data: Mapping[str, Any], evidence: Mapping[Path, PageEvidence]
) -> dict[Path, PageEvidence]:
    """The printed cells of ranges that stand nowhere as the model wrote them, but begin with the same limits.

    Only a cell right of the result, on its line, of which nothing else was read.
    """
    found: dict[Path, PageEvidence] = {}
    for path, result in evidence.items():
        at = (*path[:-1], "range")
        if path[-1] != "result" or at in evidence:
            continue
        row: Any = data
        for step in path[:-1]:
            row = row[step]
        limits = _plain(str(row.get("range") or "").partition("(")[0])
        page = next((one for one in document.pages if one.number == result.page), None)
        if not limits or page is None or not any(map(str.isdigit, limits)):
            continue
        lines = [list(cells_of(page, line)) for line in gather_rows(page.words)]
        taken = [place.box for place in evidence.values() if place.page == result.page]
        for cells, below in pairwise([*lines, []]):
            for cell in cells:
                beside = cell.box[0] > result.box[2] and cell.box[1] < (result.box[1] + result.box[3]) / 2 < cell.box[3]
                if not beside or not _plain(cell.text).startswith(f"{limits}("):
                    continue
                whole = _closed(cell, below)
                if whole and not any(overlap(whole.box, box) > 0 for box in taken):
                    found[at] = PageEvidence(whole.text, page=result.page, box=whole.box)
    return found


def _plain(text: str) -> str:
    return "".join(text.split())


def _closed(cell: Cell, below: Sequence[Cell]) -> Cell | None:
    """A cell up to the bracket that closes it, which may stand on the line below; None where it stands on neither."""
    if cell.text.endswith(")"):
        return cell
    more = next((one for one in below if abs(one.box[0] - cell.box[0]) < _EDGE and one.text.endswith(")")), None)
    if more is None:
        return None
    (x0, y0, x1, _), (a0, _, a1, b1) = cell.box, more.box
    return Cell(f"{cell.text} {more.text}", (min(x0, a0), y0, max(x1, a1), b1), (*cell.words, *more.words))
