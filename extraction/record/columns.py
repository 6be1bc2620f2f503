"""Where the rows of a table print a value: the column that rows around a row show."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from extraction.record.printed import Spot

Relation = Literal["beside", "left", "flow", "below"]
"""How a value stands to the name of its row.

`beside` it on its lines; `left` of it, where no other name stands further left; `below` it, before the next name
in the same column; `flow`: at the beginning of the next line after a row that reaches the end of its own, as in
running text.
"""

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
    """Values in line: extents in points on the page, or if `relative` from the left edge of their row's name."""

    relation: Relation
    relative: bool
    extents: tuple[tuple[float, float], ...]

    def holds(self, box: Box, anchor: Box) -> bool:
        """Whether a box of the row at an anchor stands in the column."""
        shift = anchor[0] if self.relative else 0.0
        return any(min(x1, box[2] - shift) > max(x0, box[0] - shift) for x0, x1 in self.extents)


def around(samples: Sequence[Sample], row: int) -> list[Sample]:
    """The samples of the rows near a row; `samples` are in the order of rows."""
    start = bisect_left(samples, row - _AROUND, key=lambda sample: sample.row)
    end = bisect_left(samples, row + _AROUND + 1, key=lambda sample: sample.row)
    return [sample for sample in samples[start:end] if sample.row != row]


def column(samples: Sequence[Sample]) -> Column | None:
    """The column of four samples of five, by left edges, right edges or middles, or None where they have none."""
    if len(samples) < 2:
        return None
    relations = [sample.relation for sample in samples]
    relation = max(set(relations), key=relations.count)
    same = [sample for sample in samples if sample.relation == relation]
    if 5 * len(same) < 4 * len(samples):
        return None
    for relative in (False, True):
        boxes = []
        for sample in same:
            shift = sample.anchor.box[0] if relative else 0.0
            boxes.append((sample.spot.box[0] - shift, sample.spot.box[2] - shift))
        for edges in ([x0 for x0, _ in boxes], [x1 for _, x1 in boxes], [(x0 + x1) / 2 for x0, x1 in boxes]):
            middle = sorted(edges)[len(edges) // 2]
            fitting = tuple(box for box, edge in zip(boxes, edges, strict=True) if abs(edge - middle) < _EDGE)
            if 5 * len(fitting) >= 4 * len(same):
                return Column(relation, relative, fitting)
    return None


def support(option: Option, anchor: Spot, samples: Sequence[Sample]) -> float:
    """The share of samples that stand to their names as the option stands to the anchor."""
    return sum(_alike(option, anchor, sample) for sample in samples) / len(samples) if samples else 0.0


def _alike(option: Option, anchor: Spot, sample: Sample) -> bool:
    x0, y0, x1, y1 = option.spot.box
    shift = sample.anchor.box[0] - anchor.box[0]
    low, high = sample.spot.box[0], sample.spot.box[2]
    if not (min(high, x1) > max(low, x0) or min(high, x1 + shift) > max(low, x0 + shift)):
        return False
    if option.relation != "below" or sample.relation != "below":
        return True
    fall, other = sample.spot.box[1] - sample.anchor.box[3], y0 - anchor.box[3]
    return abs(fall - other) < 0.6 * (y1 - y0)
