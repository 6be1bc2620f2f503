"""Where the rows of a table print a value: the column that rows around a row show."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from extraction.evidence.printed import Spot

Relation = Literal["beside", "left", "flow", "below"]
"""How a value stands to the name of its row.

`beside` it on its lines; `left` of it, where no other name stands further left; `below` it, before the next name
in the same column; `flow`: at the beginning of the next line after a row that reaches the end of its own, as in
running text.
"""

Frame = Literal["page", "left", "middle", "right"]
_AROUND = 8  # rows before and after one that show where its columns are
_EDGE = 2.5  # points within which edges are in line
Box = tuple[float, float, float, float]


class Option(NamedTuple):
    """A spot that may be chosen for a cell."""

    spot: Spot
    relation: Relation


class Sample(NamedTuple):
    """A value that stands at one spot only of its row's neighbourhood: number and anchor of the row, the spot."""

    row: int
    anchor: Spot
    spot: Spot
    relation: Relation


@dataclass(frozen=True)
class Column:
    """Where rows have a value: how it stands to their names, how far below their tops and bottoms, its edges.

    `frames` holds extents in points, each list measured from one place: the page's edge, or the left edge, the
    middle or the right edge of the row's name.
    """

    relation: Relation
    fall: tuple[float, float]
    frames: tuple[tuple[Frame, tuple[tuple[float, float], ...]], ...]

    def holds(self, box: Box, anchor: Box) -> bool:
        """Whether a box of the row at an anchor stands in the column."""
        slack = 0.6 * (box[3] - box[1])
        # Names of several lines are lined up by their tops or by their bottoms.
        if self.relation == "below" and all(
            box[1] > anchor[edge] + fall + slack for edge, fall in zip((1, 3), self.fall, strict=True)
        ):
            return False
        for frame, extents in self.frames:
            shift = _origin(frame, anchor)
            if any(min(x1, box[2] - shift) > max(x0, box[0] - shift) for x0, x1 in extents):
                return True
        return False


def _origin(frame: Frame, anchor: Box) -> float:
    if frame == "page":
        return 0.0
    return {"left": anchor[0], "middle": (anchor[0] + anchor[2]) / 2, "right": anchor[2]}[frame]


def around(samples: Sequence[Sample], row: int) -> list[Sample]:
    """The samples of the rows near a row; `samples` are in the order of rows."""
    start = bisect_left(samples, row - _AROUND, key=lambda sample: sample.row)
    end = bisect_left(samples, row + _AROUND + 1, key=lambda sample: sample.row)
    return [sample for sample in samples[start:end] if sample.row != row]


def column(samples: Sequence[Sample], anchor: Spot) -> Column | None:
    """The column that four samples of five share, for the row at an anchor; None where they share none.

    In line are left edges, right edges or middles. A column of the page is one of rows whose names are in one.
    """
    relations = [sample.relation for sample in samples]
    relation = max(set(relations), key=relations.count, default=None)
    same = [sample for sample in samples if sample.relation == relation]
    if relation is None or len(same) < (3 if relation == "beside" else 2) or 5 * len(same) < 4 * len(samples):
        return None
    left, _, right, _ = anchor.box
    under = [s for s in same if min(right, s.anchor.box[2]) > max(left, s.anchor.box[0])]
    pairs = [(frame, _in_line(under if frame == "page" else same, frame)) for frame in get_args(Frame)]
    frames = tuple((frame, extents) for frame, extents in pairs if extents)
    fall = tuple(max(sample.spot.box[1] - sample.anchor.box[edge] for sample in same) for edge in (1, 3))
    return Column(relation, (fall[0], fall[1]), frames) if frames else None


def _in_line(samples: Sequence[Sample], frame: Frame) -> tuple[tuple[float, float], ...]:
    boxes = []
    for sample in samples:
        shift = _origin(frame, sample.anchor.box)
        boxes.append((sample.spot.box[0] - shift, sample.spot.box[2] - shift))
    if len(boxes) < 2:
        return ()
    for edges in ([x0 for x0, _ in boxes], [x1 for _, x1 in boxes], [(x0 + x1) / 2 for x0, x1 in boxes]):
        middle = sorted(edges)[len(edges) // 2]
        fitting = tuple(box for box, edge in zip(boxes, edges, strict=True) if abs(edge - middle) < _EDGE)
        if 5 * len(fitting) >= 4 * len(boxes):
            return fitting
    return ()


def support(option: Option, anchor: Spot, samples: Sequence[Sample]) -> float:
    """The share of samples that stand to their names as the option stands to the anchor."""
    return sum(_alike(option, anchor, sample) for sample in samples) / len(samples) if samples else 0.0


def level(option: Option, anchor: Spot, samples: Sequence[Sample]) -> bool:
    """Whether three values or more, and most of those that stand below their names, do so as far as the option."""
    below = [sample for sample in samples if sample.relation == option.relation == "below"]
    like = sum(_falls_alike(option, anchor, sample) for sample in below)
    return like > 2 and 2 * like > len(below)


def _alike(option: Option, anchor: Spot, sample: Sample) -> bool:
    x0, _, x1, _ = option.spot.box
    shift = sample.anchor.box[0] - anchor.box[0]
    low, high = sample.spot.box[0], sample.spot.box[2]
    if not (min(high, x1) > max(low, x0) or min(high, x1 + shift) > max(low, x0 + shift)):
        return False
    if option.relation != "below" or sample.relation != "below":
        return True
    return _falls_alike(option, anchor, sample)


def _falls_alike(option: Option, anchor: Spot, sample: Sample) -> bool:
    """Whether two values stand equally far below their names."""
    y0, y1 = option.spot.box[1], option.spot.box[3]
    fall, other = sample.spot.box[1] - sample.anchor.box[3], y0 - anchor.box[3]
    return abs(fall - other) < 0.6 * (y1 - y0)
