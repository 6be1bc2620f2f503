"""Ranges as they are printed, where the model wrote down a part of them.

Ranges of sexes, ages or phases are printed one below the other, and belong together. What stands in brackets behind the
limits ("146 - 270 (target: <190)") is often long, or on two lines, and a small model makes up its end; the limits tell
which of a line's cells it meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from extraction.checks import Path
from extraction.document import Document
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from recipes.lab_report.lines import Cell, lines_of
from recipes.lab_report.patterns import RANGE

_EDGE = 3.0  # points: lines of one cell begin so far apart at most
_STEP = 1.9  # times a line's height: the next line of one cell is no further down
_LABELLED = re.compile(rf"[^\W\d_][^:]{{0,40}}: ?{RANGE}")  # "Follicular phase: 3.5 - 12.5"


def read_ranges(
    document: Document, data: Mapping[str, Any], evidence: Mapping[Path, PageEvidence]
) -> dict[Path, PageEvidence]:
    """The printed cells of ranges that stand nowhere as the model wrote them, but begin with the same limits, or are a
    part of what stands on several lines.

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
        if page is None:
            continue
        lines = lines_of(page)
        if whole := _on_lines(lines, result, str(row.get("range") or "")):
            found[at] = PageEvidence(whole.text, page=result.page, box=whole.box)
            continue
        if not any(map(str.isdigit, limits)):
            continue
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


def cut_ranges(document: Document, data: Mapping[str, Any], evidence: Mapping[Path, PageEvidence]) -> Iterator[Path]:
    """Paths of ranges in `evidence` that are a part of what stands on several lines."""
    for path, place in evidence.items():
        result = evidence.get((*path[:-1], "result"))
        page = next((one for one in document.pages if one.number == place.page), None)
        if path[-1] != "range" or result is None or page is None or result.page != place.page:
            continue
        row: Any = data
        for step in path[:-1]:
            row = row[step]
        said = str(row["range"])
        whole = _on_lines(lines_of(page), result, said)
        if whole and _plain(whole.text) != _plain(said):
            yield path


def _on_lines(lines: Sequence[Sequence[Cell]], result: PageEvidence, said: str) -> Cell | None:
    """The cells of a range on a result's line and right below it, one to a line, of which `said` is a part; any such
    ones where it is empty.
    """
    middle = (result.box[1] + result.box[3]) / 2
    for number, cells in enumerate(lines):
        own = [cell for cell in cells if cell.box[1] < middle < cell.box[3] and cell.box[0] > result.box[2]]
        own = [cell for cell in own if _plain(said) in _plain(cell.text) or _begins(said, cell.text)]
        first = next((cell for cell in own if _LABELLED.fullmatch(cell.text)), None)
        if first is None:
            continue
        whole = [first]
        for below in lines[number + 1 :]:
            step = below[0].box[1] - whole[-1].box[1]
            aligned = abs(below[0].box[0] - first.box[0]) < _EDGE and step < _STEP * (first.box[3] - first.box[1])
            if len(below) > 1 or not aligned or not _LABELLED.fullmatch(below[0].text):
                break
            whole += below
        if len(whole) > 1:
            boxes = [cell.box for cell in whole]
            box = min(b[0] for b in boxes), boxes[0][1], max(b[2] for b in boxes), boxes[-1][3]
            return Cell(" ".join(cell.text for cell in whole), box, tuple(n for cell in whole for n in cell.words))
    return None


def _begins(said: str, text: str) -> bool:
    return _plain(said).startswith(_plain(text))


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
