"""Cards of results side by side, as patients' portals print them, shown one column after the other.

A card has a name, what is normal with its label below it, and the value below that: read line by line, the values of
two cards side by side are taken for each other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from extraction.checks import Sheet
from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from recipes.lab_report.lines import Cell, cells_of

_ABOVE = 3  # lines of a card above its label, the most
_EDGE = 3.0  # points: what begins a column begins so far apart at most
_LINES = 2  # with one label twice: fewer are a line of a patient's data


def card_sheets(document: Document) -> list[Sheet]:
    """A document with two columns of cards as often as it has columns, each time with one; otherwise as it is.

    The first time what stands around the cards is shown too; then what stands above them alone.
    """
    edges = {page.number: edge for page in document.pages if (edge := _edge(page))}
    if not edges:
        return [Sheet(document)]
    columns = ([_column(page, edges.get(page.number), right) for page in document.pages] for right in (False, True))
    return [Sheet(replace(document, pages=pages)) for pages in columns]


def _column(page: Page, edge: tuple[float, float, float] | None, right: bool) -> Page:
    """A page with one column of its cards and what stands above them; what else there is goes with the left one."""
    if edge is None:
        return replace(page, words=[]) if right else page
    top, bottom, x = edge

    def shown(box: tuple[float, float, float, float]) -> bool:
        middle = (box[1] + box[3]) / 2
        return (box[0] >= x) == right or middle < top or (middle > bottom and not right)

    return replace(page, words=[word for word in page.words if shown(word.box)])


def _edge(page: Page) -> tuple[float, float, float] | None:
    """Where a page's cards begin and end, and where those of the right column begin; None where it has none."""
    lines = [list(cells_of(page, row)) for row in gather_rows(page.words)] if page.words else []
    twice = [number for number, cells in enumerate(lines) if _label_twice(cells)]
    if len(twice) < _LINES:
        return None
    x = min(lines[number][1].box[0] for number in twice)
    # Names, and values below them, stand above the first label, in the same two places.
    start = twice[0]
    while start > max(0, twice[0] - _ABOVE) and _in_two(lines[start - 1], x):
        start -= 1
    stop = next((n for n in range(twice[-1] + 1, len(lines)) if _crosses(lines[n], x)), len(lines))
    if any(_crosses(lines[number], x) for number in range(start, stop)):
        return None
    top = min(cell.box[1] for cell in lines[start])
    bottom = max(cell.box[3] for cell in lines[stop - 1])
    return top, bottom, x - 1


def _label_twice(cells: Sequence[Cell]) -> bool:
    """Whether a line has two cells that begin with one label and go on with a value."""
    labels = [cell.text.partition(":") for cell in cells]
    said = len(cells) == 2 and all(colon and any(map(str.isdigit, rest)) for _, colon, rest in labels)
    return said and labels[0][0].casefold() == labels[1][0].casefold()


def _in_two(cells: Sequence[Cell], x: float) -> bool:
    """Whether a line has something without a label in both columns, and nothing across them."""
    both = len(cells) > 1 and cells[0].box[0] < x - _EDGE and any(cell.box[0] > x - _EDGE for cell in cells)
    return both and not any(":" in cell.text for cell in cells) and not _crosses(cells, x)


def _crosses(cells: Sequence[Cell], x: float) -> bool:
    return any(cell.box[0] < x - 1 and cell.box[2] > x for cell in cells)
