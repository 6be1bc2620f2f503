"""From words with boxes to lines of text that keep the page's columns, in as few characters as they need.

The words of a page are gathered into lines (vertical overlap), a line's words into cells (gaps), and cells
into columns (equal left or equal right edges). Each column then gets the smallest character offset at which
every line still has two blanks between its cells and columns keep their order: a longest path over the
columns from left to right. Space that no line needs disappears, alignment stays.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from extraction.document.pages import Page, Word

_CELL_GAP = 0.6  # of a word's height: a wider gap starts a cell (a blank has about 0.25)
_COLUMN_GAP = 2  # blanks between cells
_INDENT = 12  # most blanks before a block that starts right of the page's left edge


@dataclass(frozen=True, slots=True)
class Line:
    """One line of laid-out text.

    `spans` holds (start, end, index) for each word: `text[start:end]` is `page.words[index].text`.
    A line without spans is an empty one and marks a vertical gap.
    """

    text: str
    spans: list[tuple[int, int, int]]


@dataclass(slots=True)
class _Cell:
    words: list[int]
    text: str
    x0: float
    x1: float
    anchor: int = -1
    right: bool = False


@dataclass(slots=True)
class _Row:
    """A line being built: the indices of its words and the band of height they take."""

    words: list[int]
    y0: float
    y1: float
    weight: float
    cells: list[_Cell] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2


def page_text(page: Page) -> str:
    """The page's laid-out lines, joined by newlines."""
    return "\n".join(line.text for line in layout_lines(page))


def layout_lines(page: Page) -> list[Line]:
    """The page's words as lines from top to bottom, columns aligned by blanks.

    Every word appears exactly once. Words of one cell are one blank apart, cells at least two. A vertical gap
    clearly larger than the distance of lines gives one empty line.
    """
    words = page.words
    if not words:
        return []
    rows = _rows(words)
    for row in rows:
        row.cells = _cells(row, words)
    height = median(word.box[3] - word.box[1] for word in words)
    width = median((word.box[2] - word.box[0]) / max(1, len(word.text)) for word in words) or 1.0
    tolerance = max(0.2 * height, 0.01)
    blocks = _blocks(rows, tolerance)
    left = min(cell.x0 for row in rows for cell in row.cells)
    lines: dict[int, Line] = {}
    for block in blocks:
        start = min(rows[i].cells[0].x0 for i in block)
        indent = min(_INDENT, round((start - left) / width))
        chosen = [rows[i] for i in block]
        offsets = _offsets(chosen, tolerance, width)
        for i, row in zip(block, chosen, strict=True):
            lines[i] = _compose(row, offsets, indent, words)
    pitch = _pitch(rows)
    result: list[Line] = []
    for i, row in enumerate(rows):
        if i and row.middle - rows[i - 1].middle > 1.4 * pitch:
            result.append(Line("", []))
        result.append(lines[i])
    return result


def _rows(words: Sequence[Word]) -> list[_Row]:
    """Gather words whose boxes share most of their height and do not cover each other."""
    order = sorted(range(len(words)), key=lambda i: (words[i].box[1] + words[i].box[3], words[i].box[0], i))
    rows: list[_Row] = []
    for index in order:
        x0, y0, x1, y1 = words[index].box
        best, best_share = None, 0.5
        # Words come by their middle, so only the last rows can still take one.
        for row in reversed(rows[-12:]):
            low = min(y1 - y0, row.y1 - row.y0)
            share = (min(y1, row.y1) - max(y0, row.y0)) / low if low > 0 else float(y0 == row.y0)
            if share > best_share and not _covers(words, row.words, x0, x1):
                best, best_share = row, share
        if best is None:
            rows.append(_Row([index], y0, y1, max(x1 - x0, 0.01)))
            continue
        # The band is the mean of its words, weighted by width: a chain of small shifts does not widen it.
        weight = max(x1 - x0, 0.01)
        total = best.weight + weight
        best.y0 = (best.y0 * best.weight + y0 * weight) / total
        best.y1 = (best.y1 * best.weight + y1 * weight) / total
        best.weight = total
        best.words.append(index)
    rows.sort(key=lambda row: row.middle)
    for row in rows:
        row.words.sort(key=lambda i: (words[i].box[0], words[i].box[2], i))
    return rows


def _covers(words: Sequence[Word], taken: list[int], x0: float, x1: float) -> bool:
    """Whether a word from x0 to x1 would lie on one of the `taken` words."""
    for index in taken:
        a0, _, a1, _ = words[index].box
        if min(a1, x1) - max(a0, x0) > 0.3 * min(a1 - a0, x1 - x0):
            return True
    return False


def _cells(row: _Row, words: Sequence[Word]) -> list[_Cell]:
    cells: list[_Cell] = []
    last: Word | None = None
    for index in row.words:
        word = words[index]
        if last is not None:
            height = min(last.box[3] - last.box[1], word.box[3] - word.box[1])
            if word.box[0] - last.box[2] <= _CELL_GAP * height:
                cell = cells[-1]
                cell.words.append(index)
                cell.text += " " + word.text
                cell.x1 = max(cell.x1, word.box[2])
                last = word
                continue
        cells.append(_Cell([index], word.text, word.box[0], word.box[2]))
        last = word
    return cells


def _pitch(rows: list[_Row]) -> float:
    """The usual distance from line to line."""
    steps = [b.middle - a.middle for a, b in zip(rows, rows[1:], strict=False)]
    heights = [row.y1 - row.y0 for row in rows]
    # Lines side by side in different blocks give steps of nearly nothing.
    real = [step for step in steps if step > 0.6 * median(heights)]
    return median(real) if real else 2 * median(heights)


def _blocks(rows: list[_Row], tolerance: float) -> list[list[int]]:
    """Indices of rows that share one set of columns: parted by wide gaps, rejoined where columns agree."""
    pitch = _pitch(rows)
    parts: list[list[int]] = [[0]]
    for i in range(1, len(rows)):
        if rows[i].middle - rows[i - 1].middle > 2.2 * pitch:
            parts.append([])
        parts[-1].append(i)
    edges = [_common_edges([rows[i] for i in part], tolerance) for part in parts]
    group = list(range(len(parts)))
    for b in range(len(parts)):
        for a in range(b):
            shared = sum(any(abs(x - y) <= tolerance for y in edges[a]) for x in edges[b])
            if shared >= 2:
                group[b] = group[a]
                break
    blocks: dict[int, list[int]] = defaultdict(list)
    for number, part in zip(group, parts, strict=True):
        blocks[number].extend(part)
    return list(blocks.values())


def _common_edges(rows: list[_Row], tolerance: float) -> list[float]:
    """Left edges that cells right of the first share in these rows, the columns of a table."""
    edges = _cluster([cell.x0 for row in rows for cell in row.cells[1:]], tolerance)
    return [middle for middle, _, _ in edges]


def _cluster(values: list[float], tolerance: float) -> list[tuple[float, float, int]]:
    """(mean, highest, count) of groups of values that lie within `tolerance` of each other, ascending."""
    groups: list[list[float]] = []
    for value in sorted(values):
        if groups and value - groups[-1][0] <= tolerance:
            groups[-1].append(value)
        else:
            groups.append([value])
    return [(sum(group) / len(group), group[-1], len(group)) for group in groups]


def _offsets(rows: list[_Row], tolerance: float, width: float) -> list[int]:
    """Tie each cell to a column by its left or its right edge; return the columns' character offsets."""
    cells = [cell for row in rows for cell in row.cells]
    lefts = _cluster([cell.x0 for cell in cells], tolerance)
    rights = _cluster([cell.x1 for cell in cells], tolerance)
    left_ends, right_ends = [group[1] for group in lefts], [group[1] for group in rights]
    used: dict[tuple[bool, int], list[int]] = {}
    for line, row in enumerate(rows):
        for place, cell in enumerate(row.cells):
            left, right = bisect_left(left_ends, cell.x0), bisect_left(right_ends, cell.x1)
            cell.right = place > 0 and rights[right][2] > lefts[left][2]
            cell.anchor = right if cell.right else left
            span = used.setdefault((cell.right, cell.anchor), [line, line])
            span[0], span[1] = min(span[0], line), max(span[1], line)
    columns = sorted((((rights if right else lefts)[number][0], right, number) for right, number in used))
    place_of = {(right, number): i for i, (_, right, number) in enumerate(columns)}
    for cell in cells:
        cell.anchor = place_of[cell.right, cell.anchor]
    extents = [used[right, number] for _, right, number in columns]

    # before[b]: (a, n) where column b starts (ends, if right-aligned) at least n characters after column a.
    before: list[dict[int, int]] = [{} for _ in columns]
    offsets = [0] * len(columns)
    for row in rows:
        previous: _Cell | None = None
        for cell in row.cells:
            own = len(cell.text) if cell.right else 0
            if previous is None:
                offsets[cell.anchor] = max(offsets[cell.anchor], own)
            else:
                need = (0 if previous.right else len(previous.text)) + _COLUMN_GAP + own
                a, b = previous.anchor, cell.anchor
                if a < b:
                    before[b][a] = max(before[b].get(a, 0), need)
            previous = cell
    for b in range(len(columns)):
        for a in range(max(0, b - 40), b):
            if extents[a][0] - 2 <= extents[b][1] and extents[b][0] - 2 <= extents[a][1]:
                step = (columns[b][0] - columns[a][0]) / width
                before[b][a] = max(before[b].get(a, 0), min(_COLUMN_GAP, round(step)))
        for a, need in before[b].items():
            offsets[b] = max(offsets[b], offsets[a] + need)
    return offsets


def _compose(row: _Row, offsets: list[int], indent: int, words: Sequence[Word]) -> Line:
    text = ""
    spans: list[tuple[int, int, int]] = []
    for cell in row.cells:
        start = indent + offsets[cell.anchor] - (len(cell.text) if cell.right else 0)
        if text:
            start = max(start, len(text) + _COLUMN_GAP)
        text = text.ljust(max(0, start))
        for place, index in enumerate(cell.words):
            if place:
                text += " "
            spans.append((len(text), len(text) + len(words[index].text), index))
            text += words[index].text
    return Line(text, spans)
