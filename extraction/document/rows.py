"""From words with boxes to rows of cells, before columns are looked for."""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from statistics import median
from threading import Lock

from extraction.document.pages import Word
from extraction.values.signs import is_rtl

CELL_GAP = 0.6  # of a word's height: a wider gap starts a cell (a blank has about 0.25)

GAP = 1.4  # times the usual distance of lines: more is shown as an empty line


@dataclass(slots=True)
class TextCell:
    """Words a blank apart, from x0 to x1 points; `anchor` is its column, `right` which edge ties it there."""

    words: list[int]
    text: str
    x0: float
    x1: float
    anchor: int = -1
    right: bool = False


@dataclass(slots=True)
class TextRow:
    """A line being built: its words' indices and horizontal extents, and the band of height they take."""

    words: list[int]
    extents: list[tuple[float, float]]
    y0: float
    y1: float
    weight: float
    cells: list[TextCell] = field(default_factory=list)

    @property
    def middle(self) -> float:
        """The height of the band's centre, in points from the page's top."""
        return (self.y0 + self.y1) / 2


_KEPT = 32  # pages
_gathered: OrderedDict[int, tuple[Sequence[Word], list[TextRow]]] = OrderedDict()
_lock = Lock()


def gather_rows(words: Sequence[Word]) -> list[TextRow]:
    """As `fresh_rows`, which each check of a page asks for: those of the last pages are kept. Not to be changed."""
    with _lock:
        known = _gathered.get(id(words))
    # The list itself is kept too, so that no other can have its number.
    if known is None or known[0] is not words:
        known = words, fresh_rows(words)
        with _lock:
            _gathered[id(words)] = known
            if len(_gathered) > _KEPT:
                _gathered.popitem(last=False)
    return known[1]


def fresh_rows(words: Sequence[Word]) -> list[TextRow]:
    """Gather words whose boxes share most of their height and do not cover each other, from top to bottom."""
    rows = _bands(_straight(words))
    for row in rows:
        row.words.sort(key=lambda i: (words[i].box[0], words[i].box[2], i))
        row.cells = _cells(row, words)
    _part_close_cells(rows, words)
    leading = runs_left(words)
    for row in rows:
        for cell in row.cells:
            labelled = leading and any(_begins_label(words[i]) or words[i].text.endswith(":") for i in cell.words)
            if len(cell.words) > 1 and (labelled or is_rtl(cell.text)):
                _put_in_order(cell, words, leading)
    return rows


def _begins_label(word: Word) -> bool:
    """Whether a word begins a label (":ALT (GPT)"), whose colon a line from right to left has at its left."""
    return len(word.text) > 1 and word.text[0] == ":" and not is_rtl(word.text)


def runs_left(words: Sequence[Word]) -> bool:
    """Whether a page is read from right to left: a good part of its words has letters that are."""
    rtl = sum(is_rtl(word.text) for word in words)
    return rtl > 0 and 4 * rtl > sum(any(map(str.isalpha, word.text)) for word in words)


def _put_in_order(cell: TextCell, words: Sequence[Word], leftwards: bool) -> None:
    """Put a cell's words into the order they are read in; those from left to right keep theirs among themselves.

    Where the page runs from left to right, only the runs of words that do not are turned.
    """
    ordered = sorted(cell.words, key=lambda i: words[i].box[0], reverse=leftwards)
    found: list[int] = []
    for turned, group in groupby(ordered, lambda i: is_rtl(words[i].text) != leftwards):
        run = list(group)
        if turned:
            # Signs at the ends of a run belong to what is around it.
            solid = [place for place, i in enumerate(run) if any(map(str.isalnum, words[i].text))]
            first, last = (solid[0], solid[-1] + 1) if solid else (0, 0)
            # What stands left of a label and its colon comes behind it.
            labels = [place + 1 for place in range(first, last) if leftwards and _begins_label(words[run[place]])]
            if leftwards and last > first and words[run[first]].text.endswith(":"):
                labels.append(first + 1)
            for start, stop in pairwise(sorted({first, *labels, last})):
                run[start:stop] = run[start:stop][::-1]
        found += run
    cell.words = found
    cell.text = " ".join(words[i].text for i in found)


def _slope(words: Sequence[Word]) -> float:
    """How far lines fall per point to the right: 0 for printed text, a little for a page scanned askew."""
    slopes = []
    for a, b in pairwise(words):
        ax0, ay0, ax1, ay1 = a.box
        bx0, by0, bx1, by1 = b.box
        height = min(ay1 - ay0, by1 - by0)
        run, fall = (bx0 + bx1 - ax0 - ax1) / 2, (by0 + by1 - ay0 - ay1) / 2
        if height > 0 and bx0 >= ax1 and run > 2 * height and abs(fall) < 0.8 * height:
            slopes.append(fall / run)
    slope = median(slopes) if len(slopes) >= 8 else 0.0
    return slope if 0.002 < abs(slope) < 0.1 else 0.0


def _straight(words: Sequence[Word]) -> Sequence[Word]:
    slope = _slope(words)
    if not slope:
        return words
    return [
        Word(word.text, (x0, y0 - slope * (x0 + x1) / 2, x1, y1 - slope * (x0 + x1) / 2))
        for word in words
        for x0, y0, x1, y1 in [word.box]
    ]


def _bands(words: Sequence[Word]) -> list[TextRow]:
    order = sorted(range(len(words)), key=lambda i: (words[i].box[1] + words[i].box[3], words[i].box[0], i))
    rows: list[TextRow] = []
    for index in order:
        x0, y0, x1, y1 = words[index].box
        best, best_share = None, 0.5
        # Words come by their middle, so only the last rows can still take one.
        for row in reversed(rows[-12:]):
            low = min(y1 - y0, row.y1 - row.y0)
            share = (min(y1, row.y1) - max(y0, row.y0)) / low if low > 0 else float(y0 == row.y0)
            if share > best_share and not _covers(row.extents, x0, x1):
                best, best_share = row, share
        if best is None:
            rows.append(TextRow([index], [(x0, x1)], y0, y1, max(x1 - x0, 0.01)))
            continue
        # The band is the mean of its words, weighted by width: a chain of small shifts does not widen it.
        weight = max(x1 - x0, 0.01)
        total = best.weight + weight
        best.y0 = (best.y0 * best.weight + y0 * weight) / total
        best.y1 = (best.y1 * best.weight + y1 * weight) / total
        best.weight = total
        best.words.append(index)
        insort(best.extents, (x0, x1))
    return sorted(rows, key=lambda row: row.middle)


def _covers(taken: list[tuple[float, float]], x0: float, x1: float) -> bool:
    """Whether a word from x0 to x1 would lie on one of a row's, whose sorted extents are `taken`."""
    place = bisect_left(taken, (x0, x1))
    # The extents hardly overlap one another, so that only the nearest ones can overlap this one.
    near = taken[max(0, place - 3) : place + 3]
    return any(min(a1, x1) - max(a0, x0) > 0.3 * min(a1 - a0, x1 - x0) for a0, a1 in near)


def _cells(row: TextRow, words: Sequence[Word]) -> list[TextCell]:
    cells: list[TextCell] = []
    last: Word | None = None
    for index in row.words:
        word = words[index]
        if last is not None:
            height = min(last.box[3] - last.box[1], word.box[3] - word.box[1])
            if word.box[0] - last.box[2] <= CELL_GAP * height:
                cell = cells[-1]
                cell.words.append(index)
                cell.text += " " + word.text
                cell.x1 = max(cell.x1, word.box[2])
                last = word
                continue
        cells.append(TextCell([index], word.text, word.box[0], word.box[2]))
        last = word
    return cells


def _part_close_cells(rows: list[TextRow], words: Sequence[Word]) -> None:
    """Part a flag or number from a next word that is only a blank away but starts a column of the page."""
    edges = sorted(cell.x0 for row in rows for cell in row.cells[1:])
    for row in rows:
        parted: list[TextCell] = []
        for cell in row.cells:
            first = words[cell.words[0]]
            if len(cell.words) > 1 and (len(first.text) <= 3 or not any(map(str.isalpha, first.text))):
                second = words[cell.words[1]]
                if second.text.startswith(("(", "[")) and not any(map(str.isdigit, second.text)):
                    parted.append(cell)  # what a short name is short for: "GOT (AST)"
                    continue
                near = 0.1 * (second.box[3] - second.box[1])
                begin = second.box[0]
                if bisect_left(edges, begin + near) - bisect_left(edges, begin - near) >= 2:
                    parted.append(TextCell(cell.words[:1], first.text, cell.x0, first.box[2]))
                    rest = cell.words[1:]
                    cell = TextCell(rest, cell.text[len(first.text) + 1 :], begin, cell.x1)
            parted.append(cell)
        row.cells = parted


def row_pitch(rows: list[TextRow]) -> float:
    """The usual distance from line to line."""
    steps = [b.middle - a.middle for a, b in pairwise(rows)]
    heights = [row.y1 - row.y0 for row in rows]
    # Lines side by side in different blocks give steps of nearly nothing.
    height = median(heights)
    real = sorted(step for step in steps if step > 0.6 * height)
    if not real:
        return 2 * height
    # Where every name has a smaller line below it, two distances alternate, and the larger one is no gap:
    # the largest distance that a third of the lines keep, within 15%.
    usual = median(real)
    for step in real:
        low, high = bisect_left(real, 0.85 * step), bisect_right(real, 1.15 * step)
        if 3 * (high - low) >= len(real):
            usual = max(usual, real[(low + high) // 2])
    return usual
