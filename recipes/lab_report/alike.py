"""Lines that stand in the columns of results that were read, and were not read: results in words, or bare numbers.

By its cells alone "Colour  Yellow" may be anything; between two results, in the columns of their names and values, it
is one. This is for tables, whatever the laboratory; reports without columns have nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from statistics import median

from extraction.checks import MissedLine
from extraction.document import Document
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from extraction.values.dates import moments
from recipes.lab_report.lines import Cell, cells_of, is_result_title, names_columns

Box = tuple[float, float, float, float]

_EDGE = 0.5  # times a line's height: edges so far apart are in line
_INDENT = 14.0  # points: names of one table begin so far apart at most
_STEP = 1.6  # times the usual distance of rows: what stands further below the last is another block
_WORDS = 4  # of a result in words, the most


@dataclass(frozen=True)
class _Row:
    """The places of the name and of the value of a result that was read."""

    name: Box
    value: Box

    @property
    def middle(self) -> float:
        return (self.value[1] + self.value[3]) / 2

    def like(self, name: Cell, value: Cell) -> bool:
        """Whether two cells stand in its columns."""
        (a0, top, a1, bottom), (b0, _, b1, _) = self.value, value.box
        near = _EDGE * (bottom - top)
        in_line = abs(a0 - b0) < near or abs(a1 - b1) < near or abs(a0 + a1 - b0 - b1) < near
        return in_line and abs(self.name[0] - name.box[0]) < _INDENT


def lines_alike(
    document: Document, rows: Collection[tuple[PageEvidence, PageEvidence]], places: Collection[PageEvidence]
) -> Iterator[MissedLine]:
    """Lines with a name and a short value in the columns of results above and below them, of which nothing was read.

    Args:
        document: with its words.
        rows: the places of name and value of each result that was read, on one line.
        places: of all values that were read.
    """
    for page in document.pages:
        own = [_Row(name.box, value.box) for name, value in rows if name.page == value.page == page.number]
        lines = [list(cells_of(page, line)) for line in gather_rows(page.words)] if len(own) > 1 else []
        taken = [place.box for place in places if place.page == page.number]
        step = _STEP * _pitch(own)
        colons = any(
            cell.text.endswith(":") and overlap(cell.box, row.name) > 0
            for line in lines
            for cell in line
            for row in own
        )
        for above, cells in pairwise([[], *lines]):
            for name, value in _pairs(cells, above, colons):
                free = not any(overlap(cell.box, box) > 0 for cell in (name, value) for box in taken)
                if free and _is_short(value) and not names_columns(_text(cells)) and _is_beside(name, value, own, step):
                    yield MissedLine(page.number, value.box, _text(cells if name in cells else [name, *cells]))
                    break


def _text(cells: Sequence[Cell]) -> str:
    return "  ".join(cell.text for cell in cells)


def _pairs(cells: Sequence[Cell], above: Sequence[Cell], colons: bool) -> Iterator[tuple[Cell, Cell]]:
    """What may be a name with its value: two cells of a line, or one below a line that is a name alone.

    Args:
        colons: whether names have a colon behind them.
    """

    def is_name(cell: Cell) -> bool:
        return (replace(cell, text=cell.text.rstrip(": ") or ":") if colons else cell).is_name

    yield from ((name, value) for name, value in combinations(cells, 2) if is_name(name))
    if len(above) == 1 and is_name(above[0]) and cells and cells[0].box[0] > above[0].box[0]:
        yield above[0], cells[0]


def _pitch(rows: Sequence[_Row]) -> float:
    """The usual distance of results."""
    middles = sorted({row.middle for row in rows})
    return median([b - a for a, b in pairwise(middles)]) if len(middles) > 1 else 0.0


def _is_short(cell: Cell) -> bool:
    told = cell.qualifies or is_result_title(cell.text) or ":" in cell.text or moments(cell.text)
    return not told and len(cell.text.split()) <= _WORDS


def _is_beside(name: Cell, value: Cell, rows: Sequence[_Row], step: float) -> bool:
    """Whether two results stand in the same columns, one above and one below a value, or one right above it.

    What stands right above the first may be titles of columns.
    """
    middle = (value.box[1] + value.box[3]) / 2
    like = [row.middle for row in rows if row.like(name, value)]
    return len(like) > 1 and min(like) < middle < max(like) + step
