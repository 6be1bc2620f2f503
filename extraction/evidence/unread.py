"""Lines of a document that look like rows of a list and were not read, told by where their cells stand.

Nobody has said what a row looks like, so there are two cases. Where rows were read, a line looks like one if its cells
stand in the columns of such a row, with numbers where that has numbers. Where none was read, three lines look like rows
when they stand one below the other in the same columns and have numbers there (one, where nothing was read of the whole
document and it has a name, a number and more); four, right below each other, when they have none. Both say rather too
little than too much; `tests/extraction/test_unread.py` measures it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Any

from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from extraction.evidence.evidence import PageEvidence
from extraction.values.dates import moments
from extraction.values.numbers import COMPARATOR, VALUE, readings, settle
from extraction.values.signs import fold, plain

Box = tuple[float, float, float, float]

_AMOUNT = re.compile(
    rf"[(\[]?(?:[^\W\d_]{{1,3}} |[^\w\s]{{1,2}} ?)?(?:{COMPARATOR})? ?(?P<number>{VALUE})(?: ?- ?{VALUE})?[)\]]?"
    r"(?: ?[^\s\d]{1,8}){0,2}"
)
"""A number, or two as a range: a flag, a currency or a comparator before it, a unit or a flag behind it."""
_EDGE = 0.5  # times a line's height: edges so far apart are in line
_STEP = 1.6  # times the usual distance of rows: what stands further below is another block
_BETWEEN = 4  # lines from a row to the next, the most
_LONG = 40  # characters: a longer cell is running text
_TAIL = 3  # columns in common that make a row of a line above the first or below the last one that was read


@dataclass(frozen=True)
class PrintedCell:
    """Words of a line that stand together, their box, and whether a value of a row was read from them."""

    text: str
    box: Box
    told: bool = False

    @cached_property
    def amount(self) -> Decimal | None:
        """The number that the cell is, if it is one."""
        text = plain(self.text)
        match = _AMOUNT.fullmatch(text)
        if not match or moments(text):
            return None
        return next(iter(readings(match["number"]).values()), None)

    def in_line(self, other: PrintedCell) -> bool:
        """Whether the two stand in one column: left edges, right edges or middles in line."""
        (a0, top, a1, bottom), (b0, _, b1, _) = self.box, other.box
        near = _EDGE * (bottom - top)
        return abs(a0 - b0) < near or abs(a1 - b1) < near or abs(a0 + a1 - b0 - b1) < near


@dataclass(frozen=True)
class PrintedLine:
    """A line of a page.

    Attributes:
        page: from 1.
        cells: from left to right.
        fresh: whether nothing was read from it.
        is_row: whether two values of a row were.
    """

    page: int
    cells: tuple[PrintedCell, ...]
    fresh: bool
    is_row: bool

    @property
    def text(self) -> str:
        """Its cells, two blanks apart."""
        return "  ".join(cell.text for cell in self.cells)

    @property
    def box(self) -> Box:
        """The box around its cells, in points."""
        boxes = [cell.box for cell in self.cells]
        return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)

    @property
    def middle(self) -> float:
        """The height of its middle, in points from the page's top."""
        return (self.box[1] + self.box[3]) / 2

    @cached_property
    def amounts(self) -> list[Decimal]:
        """Its numbers, from left to right."""
        return [cell.amount for cell in self.cells if cell.amount is not None]

    def columns(self, other: PrintedLine) -> int:
        """How many columns it has in common with a row; 0 where its first cell or a number that was read has none."""
        same = [
            own
            for own in self.cells
            if any(own.in_line(one) and (own.amount is None) == (one.amount is None) for one in other.cells)
        ]
        numbers = [own for own in same if own.amount is not None]
        read = [one for one in other.cells if one.told and one.amount is not None]
        if self.cells[0] not in same or not bool(numbers) == bool(self.amounts) == bool(other.amounts):
            return 0
        return len(same) if all(any(own.in_line(one) for own in numbers) for one in read) else 0


def unread_rows(
    document: Document,
    rows: Sequence[Mapping[str, Any]],
    places: Collection[PageEvidence],
    fields: Collection[str] = (),
) -> list[PrintedLine]:
    """The lines of a document that look like rows of a record's lists and were not read, from top to bottom.

    Args:
        document: with its words.
        rows: those that were read.
        places: of all values that were read.
        fields: names of the lists' fields: a line that has two of them is taken for the titles of a table.
    """
    told = {_key(value) for row in rows for value in row.values() if value is not None}
    pages = [_lines(page, [place for place in places if place.page == page.number], told) for page in document.pages]
    titled = [line for lines in pages for line in _under_titles(lines, fields)]
    furniture = _repeated(pages)
    pages = [[line for line in lines if _masked(line) not in furniture or line.is_row] for lines in pages]
    shown = [number for number, lines in enumerate(pages) if any(line.is_row for line in lines)]
    beside: list[PrintedLine] = []
    for number, lines in enumerate(pages):
        # A page from which nothing was read goes on like the one before it.
        near = max((other for other in shown if other <= number), default=None)
        if near is not None:
            beside += _beside(lines, [line for line in pages[near] if line.is_row])
    # What opens several of them and no row that was read is the title of a line ("Norm").
    names = {line.cells[0].text for lines in pages for line in lines if line.is_row}
    titles = Counter(line.cells[0].text for line in beside)
    beside = [line for line in beside if line.cells[0].text in names or titles[line.cells[0].text] < 2]
    # A row that was read and stands nowhere is none; beside a table longer than all that was read, those are few.
    longer: list[PrintedLine] = []
    for lines in pages:
        own = [line for line in lines if line.is_row]
        runs = _runs(lines, none=not rows) if own or not shown else []
        longer += [line for run in runs if len(run) > len(own) for line in _without_totals(run, own)]
    return sorted({*titled, *beside, *longer}, key=lambda line: (line.page, line.middle))


def _under_titles(lines: Sequence[PrintedLine], fields: Collection[str]) -> list[PrintedLine]:
    """Lines that nothing was read from, right below titles that are the fields' names, in their columns."""
    names = {_key(name.replace("_", " ")) for name in fields}
    found: list[PrintedLine] = []
    titles: tuple[PrintedCell, ...] = ()
    for line in lines:
        if sum(_key(cell.text) in names for cell in line.cells) > 1:
            titles = line.cells
        elif sum(any(cell.in_line(title) for title in titles) for cell in line.cells) < 2:
            titles = ()
        elif line.fresh:
            found.append(line)
    return _without_totals(found, [line for line in lines if line.is_row])


def _key(value: Any) -> str:
    return settle(fold(plain(str(value)))).replace(" ", "")


def _lines(page: Page, places: Sequence[PageEvidence], told: Collection[str]) -> list[PrintedLine]:
    """A page's lines, and what was read from them."""
    own = [place for place in places if _key(place.text) in told]
    lines = []
    for row in gather_rows(page.words) if page.words else ():
        cells = []
        for cell in row.cells:
            boxes = [page.words[index].box for index in cell.words]
            box = (cell.x0, min(box[1] for box in boxes), cell.x1, max(box[3] for box in boxes))
            cells.append(PrintedCell(cell.text, box, any(_on(place.box, box) for place in own)))
        fresh = not any(_on(place.box, cell.box) for place in places for cell in cells)
        is_row = sum(any(_on(place.box, cell.box) for cell in cells) for place in own) > 1
        lines.append(PrintedLine(page.number, tuple(cells), fresh, is_row))
    return lines


def _on(place: Box, cell: Box) -> bool:
    """Whether a place is on a cell, the middle of one within the other's height."""
    (x0, top, x1, bottom), (a0, above, a1, below) = place, cell
    return min(x1, a1) > max(x0, a0) and (above < (top + bottom) / 2 < below or top < (above + below) / 2 < bottom)


def _masked(line: PrintedLine) -> tuple[str, int]:
    """A line but for the digits of its last cell (the page's number), and where it stands."""
    *cells, last = (cell.text for cell in line.cells)
    return "  ".join((*cells, re.sub(r"\d+", "0", last))), round(line.middle / 4)


def _repeated(pages: Sequence[Sequence[PrintedLine]]) -> set[tuple[str, int]]:
    """Lines that stand in the same place of two pages: heads and feet."""
    counts = Counter(masked for lines in pages for masked in {_masked(line) for line in lines})
    return {masked for masked, count in counts.items() if count > 1}


def _beside(lines: Sequence[PrintedLine], usual: Sequence[PrintedLine]) -> list[PrintedLine]:
    """Lines of a page that were not read, in the columns of the rows around them, or of the `usual` ones."""
    rows = [number for number, line in enumerate(lines) if line.is_row]
    step = _STEP * _pitch([lines[number] for number in rows], lines)
    found: list[PrintedLine] = []
    for number, line in enumerate(lines):
        if not line.fresh or len(line.cells) < 2:
            continue
        above = [lines[other] for other in rows if other < number][-3:]
        below = [lines[other] for other in rows if other > number][:3]
        near = [row for row in above + below or usual[-3:] if len(line.cells) >= len(row.cells) - 1]
        common = max((line.columns(row) for row in near), default=0)
        follows = any(0 < line.middle - other.middle <= step for other in (*above[-1:], *found))
        if line.amounts:
            wanted = 2 if follows or (above and below) else _TAIL
        else:
            # Words alone, as titles are: only right between two rows.
            wanted = _TAIL if follows and below and below[0].middle - line.middle <= step else len(line.cells) + 1
        if common >= wanted:
            found.append(line)
    return _without_totals(found, [lines[number] for number in rows])


def _pitch(rows: Sequence[PrintedLine], lines: Sequence[PrintedLine]) -> float:
    """The usual distance of rows, or of lines where there are few rows."""
    steps = [b.middle - a.middle for a, b in pairwise(rows if len(rows) > 2 else lines)]
    return median(steps) if steps else 0.0


def _without_totals(found: list[PrintedLine], rows: Sequence[PrintedLine]) -> list[PrintedLine]:
    """The lines but for those from the first that gives the sum of what stands above it."""
    if not rows:
        return found
    total, last = Decimal(0), max(line.middle for line in rows)
    for line in sorted({*found, *rows}, key=lambda line: line.middle):
        amount = line.amounts[-1] if line.amounts else Decimal(0)
        if line in found and line.middle > last and amount and abs(amount - total) <= Decimal("0.01"):
            return [other for other in found if other.middle < line.middle]
        total += amount
    return found


def _runs(lines: Sequence[PrintedLine], none: bool) -> list[list[PrintedLine]]:
    """Three or more lines that nothing was read from, one below the other in the same columns; one is enough that has
    a name, a number and more, where `none` was read of the whole document.
    """
    runs: list[list[tuple[int, PrintedLine]]] = []
    for number, line in enumerate(lines):
        if not line.fresh or len(line.cells) < 2 or _is_form(line):
            continue
        # A comment may stand between two rows, and a row's name may take several lines.
        near = (run for run in runs if any(number - at <= _BETWEEN and line.columns(row) > 1 for at, row in run[-3:]))
        run = next(near, None)
        if run is None:
            runs.append([(number, line)])
        else:
            run.append((number, line))
    found = [block for run in runs for block in _blocks([line for _, line in run])]
    return [block for block in found if _is_table(block) or (none and any(map(_is_full, block)))]


def _blocks(run: Sequence[PrintedLine]) -> list[list[PrintedLine]]:
    """A run with numbers as it is, one of words parted where a line stands further below than the others do."""
    if run[0].amounts or len(run) < 3:
        return [list(run)]
    steps = [b.middle - a.middle for a, b in pairwise(run)]
    parts = [[run[0]]]
    for line, step in zip(run[1:], steps, strict=True):
        if step > _STEP * min(steps):
            parts.append([])
        parts[-1].append(line)
    return parts


def _is_form(line: PrintedLine) -> bool:
    """Whether a line is labels with what was filled in behind them."""
    return sum(cell.text.endswith(":") for cell in line.cells) > (len(line.cells) > 2)


def _is_full(line: PrintedLine) -> bool:
    """Whether a line begins with a name, has a number of its own next, and then more, none of it a day."""
    first, *more = line.cells
    return (
        len(more) > 1
        and first.text[0].isalpha()
        and any(cell.amount is not None for cell in more[:2])
        and not any(moments(cell.text) or cell.text.endswith(":") or len(cell.text) > _LONG for cell in line.cells)
    )


def _is_table(run: Sequence[PrintedLine]) -> bool:
    """Whether three lines have numbers, or four as many short texts, of which the first differ."""
    if run[0].amounts:
        return len(run) > 2
    columns = list(zip(*(line.cells for line in run), strict=False))
    return (
        len(run) > 3
        and len(columns) > 2
        and {len(line.cells) for line in run} == {len(columns)}
        and len({line.cells[0].text for line in run}) == len(run)
        and not any(moments(cell.text) or len(cell.text) > _LONG for line in run for cell in line.cells)
    )
