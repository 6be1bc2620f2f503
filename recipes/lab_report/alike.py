"""Lines and cards that look like results because they stand as those that were read: in their columns, or beside them.

By its cells alone "Colour  Yellow" may be anything; between two results, under their names and values, it is a result.
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
from recipes.lab_report.beside import in_line
from recipes.lab_report.lines import Cell, cells_of, is_result_title, names_columns, names_limits

Box = tuple[float, float, float, float]

_EDGE = 0.5  # times a line's height: as far below its name as that beside it
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
        return in_line(self.value, value.box) and abs(self.name[0] - name.box[0]) < _INDENT


def lines_alike(
    document: Document,
    rows: Collection[tuple[PageEvidence, PageEvidence]],
    places: Collection[PageEvidence],
    panels: Collection[PageEvidence],
) -> Iterator[MissedLine]:
    """Lines with a name and a short value in the columns of results above and below them, of which nothing was read.

    Args:
        document: with its words.
        rows: the places of name and value of each result that was read, on one line.
        places: of all values that were read, but for panels.
        panels: of these. The name of a result may have been taken for one: where a unit or a range is beside it.
    """
    for page in document.pages:
        own = [_Row(name.box, value.box) for name, value in rows if name.page == value.page == page.number]
        lines = [list(cells_of(page, line)) for line in gather_rows(page.words)] if len(own) > 1 else []
        taken = [place.box for place in places if place.page == page.number]
        headed = [place.box for place in panels if place.page == page.number]
        step = _STEP * _pitch(own)
        # Results of such a table stand below their names, whatever stands beside these.
        below = any(name.page == value.page == page.number and value.box[1] >= name.box[3] for name, value in rows)
        colons = any(
            cell.text.endswith(":") and overlap(cell.box, row.name) > 0
            for line in lines
            for cell in line
            for row in own
        )
        for above, cells in pairwise([[], *lines]):
            for name, value in _pairs(cells, above, colons, below):
                titles = names_columns(text_of(cells)) or names_limits(cells)
                # With a range or a unit beside it the value may be said in more words: "changed 1.18 (before: 1.14)".
                measured = any(cell.qualifies for cell in cells) and not value.qualifies and not moments(value.text)
                others = taken if measured else [*taken, *headed]
                free = not any(overlap(cell.box, box) > 0 for cell in (name, value) for box in others)
                short = _is_short(value) or (measured and any(map(str.isdigit, value.text)))
                if free and short and not titles and _is_beside(name, value, own, step):
                    yield MissedLine(page.number, value.box, text_of(cells if name in cells else [name, *cells]))
                    break


def cards_alike(
    document: Document, rows: Collection[tuple[PageEvidence, PageEvidence]], places: Collection[PageEvidence]
) -> Iterator[MissedLine]:
    """Values beside one that stands below its name, of which nothing was read although a name stands above them too.

    For cards side by side, as patients' portals show results. Arguments as for `lines_alike`.
    """
    for page in document.pages:
        own = [(name.box, value.box) for name, value in rows if name.page == value.page == page.number]
        own = [(name, value) for name, value in own if value[1] >= name[3]]
        lines = [list(cells_of(page, line)) for line in gather_rows(page.words)] if own else []
        taken = [place.box for place in places if place.page == page.number]
        for name, value in own:
            names, values = _beside(name, lines), _beside(value, lines)
            for title, cell in ((title, cell) for title in names for cell in values):
                shifted = abs((cell.box[0] - title.box[0]) - (value[0] - name[0]))
                free = not any(overlap(one.box, box) > 0 for one in (title, cell) for box in taken)
                if free and shifted < _EDGE * (value[3] - value[1]) and title.is_name and cell.is_value:
                    yield MissedLine(page.number, cell.box, text_of([title, cell]))
                    taken.append(cell.box)  # beside a third card it would be told once more


def _beside(box: Box, lines: Sequence[Sequence[Cell]]) -> list[Cell]:
    """The other cells of the line on which a box stands."""
    middle = (box[1] + box[3]) / 2
    cells = next((line for line in lines if line and line[0].box[1] <= middle <= line[0].box[3]), [])
    return [cell for cell in cells if overlap(cell.box, box) <= 0]


def text_of(cells: Sequence[Cell]) -> str:
    """What a line's cells say, parted as they stand."""
    return "  ".join(cell.text for cell in cells)


def _pairs(cells: Sequence[Cell], above: Sequence[Cell], colons: bool, below: bool) -> Iterator[tuple[Cell, Cell]]:
    """What may be a name with its value: two cells of a line, or one below a line that is a name alone.

    Args:
        colons: whether names have a colon behind them.
        below: whether values may stand below a name that has something else beside it, too.
    """

    def is_name(cell: Cell) -> bool:
        return (replace(cell, text=cell.text.rstrip(": ") or ":") if colons else cell).is_name

    yield from ((name, value) for name, value in combinations(cells, 2) if is_name(name))
    if above and (len(above) == 1 or below) and is_name(above[0]) and cells and cells[0].box[0] > above[0].box[0]:
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
