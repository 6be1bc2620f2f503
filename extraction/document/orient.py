"""Which way up a page is, how far it is tilted, and the frame in which its lines are level and its columns upright."""

import math
from collections.abc import Sequence

import numpy as np

from extraction.document.pages import Frame, Page, Word
from extraction.document.rows import fresh_rows

Point = tuple[float, float]
Corners = Sequence[Point]  # of a line of text: top left, top right, bottom right, bottom left

_LEVEL = 0.03  # how far lines may fall, point for point, before a page is straightened: `layout_lines` copes with less
_LINES = 6  # fewer do not tell a page's perspective, only its tilt
_LONG = 3.0  # times longer than high: a line whose direction is known
_STEEP = 0.35  # how far a column's edge may lean (20 degrees)
_LARGER = 2.0  # times the displayed page: no page of paper gets larger when it is straightened
_TABLE = 3  # sideways lines of several cells, one of them with a digit, that are more than a note in the margin


def straighten(lines: Sequence[Corners], width: float, height: float) -> tuple[np.ndarray, float, float] | None:
    """The map (3 x 3) from a page of `width` x `height` points to one where its lines run level, and that page's sides.

    None where the lines are level enough as they are. With few lines only the tilt is undone. With more, the two
    vanishing points are: that of the lines' directions, and that of the edges that lines below each other share (the
    sides of columns). See Hartley and Zisserman, Multiple View Geometry, section 8.6.
    """
    long = [line for line in lines if math.dist(line[0], line[1]) >= _LONG * math.dist(line[0], line[3])]
    if not long:
        return None
    along = np.array([[_middle(line[0], line[3]), _middle(line[1], line[2])] for line in long])
    step = along[:, 1] - along[:, 0]
    slopes = step[:, 1] / np.maximum(step[:, 0], 1e-6)
    if max(abs(np.percentile(slopes, 10)), abs(np.percentile(slopes, 90))) < _LEVEL:
        return None
    tilt = weighted_median(slopes, np.hypot(step[:, 0], step[:, 1]))
    direction = np.array([1.0, tilt, 0.0]) / math.hypot(1.0, tilt)
    level, upright = direction, np.array([-direction[1], direction[0], 0.0])
    if len(long) >= _LINES:
        level = _vanishing(along, direction)
        edges = _edges(lines, upright)
        if len(edges) >= _LINES:
            upright = _vanishing(edges, upright)
    found = _frame(level, upright, width, height)
    return found or _frame(direction, np.array([-direction[1], direction[0], 0.0]), width, height)


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def weighted_median(values: Sequence[float] | np.ndarray, weights: Sequence[float] | np.ndarray) -> float:
    """The first of the ascending values at which half of the weights is reached; 0 where there is none."""
    order = np.argsort(values)
    sums = np.cumsum(np.asarray(weights)[order])
    return float(np.asarray(values)[order][np.searchsorted(sums, sums[-1] / 2)]) if len(order) else 0.0


def _edges(lines: Sequence[Corners], upright: np.ndarray) -> np.ndarray:
    """Segments from the left (right) end of a line to that of one close below it, where both are of one column."""
    segments = []
    for first, last in ((0, 3), (1, 2)):
        ends = [(_middle(line[first], line[last]), math.dist(line[0], line[3])) for line in lines]
        for (ax, ay), size in ends:
            below = []
            for (bx, by), _ in ends:
                down = (bx - ax) * upright[0] + (by - ay) * upright[1]
                aside = abs((bx - ax) * upright[1] - (by - ay) * upright[0])
                if 0.8 * size < down < 8 * size and aside < _STEEP * down and aside < size:
                    below.append((down, (bx, by)))
            if below:
                # The one furthest down: its direction is known best.
                segments.append([(ax, ay), max(below)[1]])
    return np.array(segments).reshape(-1, 2, 2)


def _vanishing(segments: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The point (homogeneous) that most segments run to, near the direction `first`: least squares over the segments'
    lines, those that miss it given less weight, over and over.
    """
    centre = segments.reshape(-1, 2).mean(axis=0)
    size = max(1.0, float(np.abs(segments.reshape(-1, 2) - centre).max()))
    ends = np.concatenate([(segments - centre) / size, np.ones((len(segments), 2, 1))], axis=2)
    rows = np.cross(ends[:, 0], ends[:, 1])
    lengths = np.hypot(rows[:, 0], rows[:, 1])
    rows = rows[lengths > 0] / lengths[lengths > 0, None]
    lengths = lengths[lengths > 0]
    point = np.array([first[0], first[1], 0.0])
    for _ in range(12):
        middles = ends[: len(rows), :, :2].mean(axis=1)
        to = point[:2] - middles * point[2]
        miss = np.abs(rows @ point) / np.maximum(np.hypot(to[:, 0], to[:, 1]), 1e-9)
        scale = max(0.003, 1.5 * float(np.median(miss)))
        weights = lengths / (1 + (miss / scale) ** 2)
        found = np.linalg.svd(rows * weights[:, None])[2][-1]
        point = found if found[:2] @ first[:2] >= 0 else -found
    return np.array([point[0] * size + centre[0] * point[2], point[1] * size + centre[1] * point[2], point[2]])


def _frame(
    level: np.ndarray, upright: np.ndarray, width: float, height: float
) -> tuple[np.ndarray, float, float] | None:
    """The map that takes the two vanishing points to right and down, true to size in the page's middle."""
    centre = np.array([width / 2, height / 2, 1.0])
    columns = []
    for point, direction in ((level, (1.0, 0.0)), (upright, (0.0, 1.0))):
        pull = point[:2] - centre[:2] * point[2]
        length = float(np.hypot(*pull))
        if length < 1e-9:
            return None
        columns.append(point / length if pull @ direction > 0 else -point / length)
    back = np.column_stack([*columns, centre])
    if abs(np.linalg.det(back)) < 1e-6:
        return None
    there = np.linalg.inv(back)
    corners = there @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]], dtype=float)
    if (corners[2] < 0.2).any():
        return None
    xs, ys = corners[0] / corners[2], corners[1] / corners[2]
    x0, y0, wide, high = xs.min(), ys.min(), np.ptp(xs), np.ptp(ys)
    if wide > _LARGER * width or high > _LARGER * height:
        return None
    return np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]]) @ there, float(wide), float(high)


def through(matrix: np.ndarray, points: Corners) -> list[Point]:
    """Points under a projective map."""
    moved = matrix @ np.array([[x for x, _ in points], [y for _, y in points], [1.0] * len(points)])
    return [(float(x / w), float(y / w)) for x, y, w in moved.T]


def framed(turn: int, width: float, height: float, matrix: np.ndarray | None) -> Frame | None:
    """The frame of a page displayed at `width` x `height`, turned, then straightened by `matrix`."""
    found = Frame.quarter(turn, width, height)
    if matrix is None:
        return found
    back = np.array(found.matrix).reshape(3, 3) if found else np.eye(3)
    whole = back @ np.linalg.inv(matrix)
    return Frame(turn % 360, width, height, tuple(float(value) for value in (whole / whole[2, 2]).ravel()))


def sideways_table(page: Page) -> str:
    """What to say of lines that run sideways beside a page's own, as a table's do; empty where there are none."""
    swapped = [Word(word.text, (word.box[1], word.box[0], word.box[3], word.box[2])) for word in page.rotated]
    rows = fresh_rows(swapped) if page.words else []
    table = [row for row in rows if len(row.cells) > 1 and any(map(str.isdigit, "".join(c.text for c in row.cells)))]
    if len(table) < _TABLE:
        return ""
    return f"{len(page.rotated)} words run sideways, as a table's do, beside the page's lines, and were not read."
