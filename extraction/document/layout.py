"""From words with boxes to lines of text that keep the page's columns, in as few characters as they need.

The words of a page are gathered into lines (vertical overlap), a line's words into cells (gaps), and cells
into columns (equal left or equal right edges). Each column then gets the smallest character offset at which
every line still has two blanks between its cells and columns keep their order: a longest path over the
columns from left to right. Space that no line needs disappears, alignment stays. A page that is read from right to left
is laid out as in a mirror, so that each line begins with what is read first.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import median

from extraction.document.pages import Page, Word
from extraction.document.rows import GAP, TextCell, TextRow, fresh_rows, row_pitch, runs_left

_COLUMN_GAP = 2  # blanks between cells
_COMPARED = 40  # columns: how many neighbours of a column are looked at
_REACH = 5  # rows: columns further apart need not keep their order
_INDENT = 12  # most blanks before a block that starts right of the page's left edge


@dataclass(frozen=True, slots=True)
class Line:
    """One line of laid-out text.

    `spans` holds (start, end, index) for each word: `text[start:end]` is `page.words[index].text`.
    A line without spans is an empty one and marks a vertical gap.
    """

    text: str
    spans: list[tuple[int, int, int]]


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
    rows = fresh_rows(words)
    if runs_left(words):
        _mirror(rows)
    height = median(word.box[3] - word.box[1] for word in words)
    width = median((word.box[2] - word.box[0]) / max(1, len(word.text)) for word in words) or 1.0
    tolerance = max(0.2 * height, 0.01)
    blocks = _blocks(rows, tolerance)
    starts: dict[int, float] = {}
    for block in blocks:
        starts.update(dict.fromkeys(block, min(rows[i].cells[0].x0 for i in block)))
    # Where most lines' blocks begin: a narrow note in the margin does not indent the page beside it.
    left = sorted(starts.values())[len(starts) // 2]
    lines: dict[int, Line] = {}
    for block in blocks:
        indent = max(0, min(_INDENT, round((starts[block[0]] - left) / width)))
        chosen = [rows[i] for i in block]
        offsets = _offsets(chosen, tolerance, width)
        for i, row in zip(block, chosen, strict=True):
            lines[i] = _compose(row, offsets, indent, words)
    pitch = row_pitch(rows)
    result: list[Line] = []
    for i, row in enumerate(rows):
        if i and row.middle - rows[i - 1].middle > GAP * pitch:
            result.append(Line("", []))
        result.append(lines[i])
    return result


def _mirror(rows: list[TextRow]) -> None:
    """Put the cells of rows where a mirror shows them."""
    for row in rows:
        row.cells.reverse()
        for cell in row.cells:
            cell.x0, cell.x1 = -cell.x1, -cell.x0


def _blocks(rows: list[TextRow], tolerance: float) -> list[list[int]]:
    """Indices of rows that share one set of columns: parted by wide gaps, rejoined where columns agree."""
    pitch = row_pitch(rows)
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
            if shared >= 2 and 2 * shared >= min(len(edges[a]), len(edges[b])):
                group[b] = group[a]
                break
    blocks: dict[int, list[int]] = defaultdict(list)
    for number, part in zip(group, parts, strict=True):
        blocks[number].extend(part)
    return list(blocks.values())


def _common_edges(rows: list[TextRow], tolerance: float) -> list[float]:
    """Left edges that cells right of the first share in these rows, the columns of a table."""
    edges = _cluster([cell.x0 for row in rows for cell in row.cells[1:]], tolerance)
    return [middle for middle, _, _ in edges]


def _cluster(values: list[float], tolerance: float) -> list[tuple[float, float, int]]:
    """(mean, highest, count) of groups of values at most `tolerance` apart, ascending."""
    groups: list[list[float]] = []
    for value in sorted(values):
        if groups and value - groups[-1][-1] <= tolerance and value - groups[-1][0] <= 2 * tolerance:
            groups[-1].append(value)
        else:
            groups.append([value])
    return [(sum(group) / len(group), group[-1], len(group)) for group in groups]


def _offsets(rows: list[TextRow], tolerance: float, width: float) -> list[int]:
    """Tie each cell to a column by its left or its right edge; return the columns' character offsets."""
    cells = [cell for row in rows for cell in row.cells]
    lefts = _cluster([cell.x0 for cell in cells], tolerance)
    rights = _cluster([cell.x1 for cell in cells], tolerance)
    left_ends, right_ends = [group[1] for group in lefts], [group[1] for group in rights]
    ties = [(bisect_left(left_ends, cell.x0), bisect_left(right_ends, cell.x1)) for cell in cells]
    by_right = _right_aligned(ties)
    used: dict[tuple[bool, int], list[int]] = {}
    number = 0
    for line, row in enumerate(rows):
        for cell in row.cells:
            left, right = ties[number]
            number += 1
            cell.right = (left, right) in by_right
            cell.anchor = right if cell.right else left
            span = used.setdefault((cell.right, cell.anchor), [line, line])
            span[1] = line
    columns = sorted((((rights if right else lefts)[number][0], right, number) for right, number in used))
    place_of = {(right, number): i for i, (_, right, number) in enumerate(columns)}
    for cell in cells:
        cell.anchor = place_of[cell.right, cell.anchor]
    extents = [used[right, number] for _, right, number in columns]

    # before[b]: (a, n) where column b starts (ends, if right-aligned) at least n characters after column a.
    before: list[dict[int, int]] = [{} for _ in columns]
    offsets = [0] * len(columns)
    for row in rows:
        previous: TextCell | None = None
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
        for a in range(max(0, b - _COMPARED), b):
            if _near(extents[a], extents[b]):
                step = (columns[b][0] - columns[a][0]) / width
                before[b][a] = max(before[b].get(a, 0), min(_COLUMN_GAP, round(step)))
        for a, need in before[b].items():
            offsets[b] = max(offsets[b], offsets[a] + need)
    _pull_right(rows, columns, extents, before, offsets)
    return offsets


def _near(a: list[int], b: list[int]) -> bool:
    """Whether two columns, given as first and last row, stand beside or close above each other."""
    return a[0] - _REACH <= b[1] and b[0] - _REACH <= a[1]


def _right_aligned(ties: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """Of the cells' (left edge, right edge) groups, those that are columns aligned on the right.

    Numbers of different lengths that end together: several left edges that occur (nearly) only with one right
    edge. Words of a left-aligned column that happen to be equally long share their left edge with others.
    """
    pairs, per_left = Counter(ties), Counter(left for left, _ in ties)
    lefts_of: dict[int, list[int]] = defaultdict(list)
    for (left, right), count in pairs.items():
        if left > 0 and 3 * count >= 2 * per_left[left]:
            lefts_of[right].append(left)
    return {(left, right) for right, lefts in lefts_of.items() if len(lefts) > 1 for left in lefts}


def _pull_right(
    rows: list[TextRow],
    columns: list[tuple[float, bool, int]],
    extents: list[list[int]],
    before: list[dict[int, int]],
    offsets: list[int],
) -> None:
    """Move columns nearer to what follows them (a flag before a value) next to it, where there is room."""
    gaps: dict[int, list[tuple[float, float]]] = defaultdict(list)
    members: dict[int, list[TextCell]] = defaultdict(list)
    for row in rows:
        for place, cell in enumerate(row.cells):
            to_left = cell.x0 - row.cells[place - 1].x1 if place else 0.0
            to_right = row.cells[place + 1].x0 - cell.x1 if place + 1 < len(row.cells) else inf
            gaps[cell.anchor].append((to_left, to_right))
            members[cell.anchor].append(cell)
    starts = [min(cell.x0 for cell in members[a]) for a in range(len(columns))]
    ends = [max(cell.x1 for cell in members[a]) for a in range(len(columns))]
    longest = [max(len(cell.text) for cell in members[a]) for a in range(len(columns))]
    room = [inf] * len(columns)
    for a in range(len(columns) - 1, -1, -1):
        to_left, to_right = (median(side) for side in zip(*gaps[a], strict=True))
        limit = room[a]
        for b in range(a + 1, min(len(columns), a + _COMPARED)):
            distance = max(0.0, starts[b] - ends[a])
            if len(members[b]) > len(members[a]) and distance < to_right and _near(extents[a], extents[b]):
                # A heading above its values: it need not go further than where they start.
                to_right = distance
                limit = min(room[a], offsets[b] - (longest[b] if columns[b][1] else 0))
        if to_right < to_left and limit < inf:
            offsets[a] = max(offsets[a], int(limit))
        for c, need in before[a].items():
            room[c] = min(room[c], offsets[a] - need)


def _compose(row: TextRow, offsets: list[int], indent: int, words: Sequence[Word]) -> Line:
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
