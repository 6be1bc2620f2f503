"""The neighbourhood of a row on the page: which printed words may be evidence for its values.

Relations of a value to the name of its row, best first: `beside` it on its lines; `below` it, before the next
name in the same column; `flow`, at the beginning of the next line after a row that reaches the end of its own, as
in running text; `left` of it, where no other name stands further left.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from extraction.record.printed import Printed, Spot

if TYPE_CHECKING:
    from extraction.record.ground import Cell, Row

Relation = Literal["beside", "left", "flow", "below"]
_COST: dict[Relation, float] = {"beside": 0.0, "below": 1.0, "flow": 1.5, "left": 1.2}
_REACH = 7.0  # times the height of the name: how far below it a row's values may begin
_AROUND = 8  # rows before and after one that show where its columns are
_SUPPORT = 3.0  # what agreement with the columns of the rows around counts against the relation


class Option(NamedTuple):
    """A spot that may be chosen for a cell."""

    spot: Spot
    relation: Relation


class _Wall(NamedTuple):
    x0: float
    x1: float
    row: int


class _Sample(NamedTuple):
    """Where a row that leaves no doubt has a value: its extent in points, and measured from the row's name."""

    spot: Spot
    anchor: Spot
    relation: Relation

    def column(self, other: Spot, anchor: Spot) -> bool:
        """Whether another row's spot stands in the same column, as on the page or as seen from its name."""
        if self._touch(other, 0.0):
            return True
        return self._touch(other, self.anchor.box[0] - anchor.box[0])

    def alike(self, option: Option, anchor: Spot) -> bool:
        """Whether an option of another row is the same column, and if below the name, as far below it."""
        if not self.column(option.spot, anchor):
            return False
        if option.relation != "below" or self.relation != "below":
            return True
        fall, other = self.spot.box[1] - self.anchor.box[3], option.spot.box[1] - anchor.box[3]
        return abs(fall - other) < 0.6 * (option.spot.box[3] - option.spot.box[1])

    def _touch(self, other: Spot, shift: float) -> bool:
        return min(self.spot.box[2], other.box[2] + shift) > max(self.spot.box[0], other.box[0] + shift)


class Neighbourhood:
    """Chooses the spots of rows that have their anchors, of all tables of a record together."""

    def __init__(self, printed: Printed, tables: Sequence[Sequence[Row]]):
        self.printed = printed
        self.claimed: set[int] = set()
        self._walls: dict[int, list[_Wall]] = defaultdict(list)
        for rows in tables:
            for row in sorted(rows, key=lambda row: -row.score):
                if row.anchor and self.claimed.intersection(row.anchor.atoms):
                    row.anchor = None
                elif row.anchor:
                    self._stand(row, row.anchor)

    def _stand(self, row: Row, anchor: Spot) -> None:
        """Let a row stand at an anchor: its words are taken, and rows above end there."""
        row.anchor = anchor
        self.claimed.update(anchor.atoms)
        for first, last in anchor.runs:
            x0, _, x1, _ = self.printed.box([[first, last]])
            walls = self._walls[self.printed.atoms[first].line]
            walls.append(_Wall(x0, x1, id(row)))
            walls.sort()

    def place(self, rows: Sequence[Row]) -> None:
        """Choose a spot for every cell of a table's rows that has one in the row's neighbourhood."""
        samples = self._samples(rows)
        for number, row in enumerate(rows):
            if row.anchor:
                self._choose(number, row, samples)
        self._adopt(rows)
        self._carry(rows)

    def _own(self, row: Row) -> list[Cell]:
        return [cell for cell in row.cells if cell is not row.name and not cell.carried]

    def _samples(self, rows: Sequence[Row]) -> dict[str, tuple[list[int], list[_Sample]]]:
        """By field, the rows that print a value at one spot of their neighbourhood only, and that spot."""
        samples: dict[str, tuple[list[int], list[_Sample]]] = defaultdict(lambda: ([], []))
        for number, row in enumerate(rows):
            for cell in self._own(row) if row.anchor else ():
                options = list(self._options(row, cell, set()))
                if len(options) == 1 and row.anchor:
                    numbers, found = samples[cell.field]
                    numbers.append(number)
                    found.append(_Sample(options[0].spot, row.anchor, options[0].relation))
        return samples

    def _choose(self, number: int, row: Row, samples: dict[str, tuple[list[int], list[_Sample]]]) -> None:
        assert row.anchor is not None
        if row.name:
            row.name.choice = row.anchor
        own = set(row.anchor.atoms)
        # Running text needs the cells in the order of the record: a value goes on where the one before ended.
        for _ in range(2):
            wishes: list[tuple[float, int, int, Spot, Cell]] = []
            for order, cell in enumerate(self._own(row)):
                if cell.choice:
                    continue
                around = self._around(samples[cell.field], number)
                for option in self._options(row, cell, own):
                    support = self._support(option, row.anchor, around, cell)
                    if support is not None:
                        cost = _COST[option.relation] - _SUPPORT * support
                        cost += 0.1 * max(0, option.spot.line - row.anchor.last)
                        wishes.append((cost, order, option.spot.runs[0][0], option.spot, cell))
            for _, _, _, spot, cell in sorted(wishes, key=lambda wish: wish[:3]):
                if cell.choice is None and not self.claimed.intersection(spot.atoms):
                    cell.choice = spot
                    self.claimed.update(spot.atoms)
                    own.update(spot.atoms)

    def _around(self, known: tuple[list[int], list[_Sample]], number: int) -> list[_Sample]:
        numbers, found = known
        start, end = bisect_left(numbers, number - _AROUND), bisect_left(numbers, number + _AROUND + 1)
        return [found[i] for i in range(start, end) if numbers[i] != number]

    def _support(self, option: Option, anchor: Spot, around: Sequence[_Sample], cell: Cell) -> float | None:
        """The share of the rows around that have the value in the same column; None if that speaks against it.

        Where the rows around agree on a column, what stands in another one (an earlier result, a limit) is no
        evidence, and neither is something below while the row has another word in that column beside its name.
        """
        if not around:
            return 0.0
        if len(around) >= 4:
            beside = [sample for sample in around if sample.relation == "beside"]
            if 5 * len(beside) >= 4 * len(around) and _agree(beside):
                if option.relation == "beside":
                    if not any(sample.column(option.spot, anchor) for sample in beside):
                        return None
                elif self._occupied(anchor, beside):
                    return None
        return sum(sample.alike(option, anchor) for sample in around) / len(around)

    def _occupied(self, anchor: Spot, column: Sequence[_Sample]) -> bool:
        """Whether a word that belongs to no name stands beside the anchor in a column that rows around show."""
        for line in range(anchor.line, anchor.last + 1):
            _, first, end = self.printed.lines[line]
            for number in range(first, end):
                word = self.printed.words[number]
                if word.first in self.claimed or not any(char.isalnum() for char in word.text):
                    continue
                for sample in column[:3]:
                    shift = anchor.box[0] - sample.anchor.box[0]
                    x0, x1 = sample.spot.box[0] + shift, sample.spot.box[2] + shift
                    if min(x1, word.box[2]) > max(x0, word.box[0]):
                        return True
        return False

    def _options(self, row: Row, cell: Cell, own: set[int]) -> Iterator[Option]:
        """The spots of a cell in its row's neighbourhood that no other row or cell has taken."""
        anchor = row.anchor
        if anchor is None:
            return
        start = bisect_left(cell.lines, anchor.line - 1)
        limit = anchor.box[3] + _REACH * (anchor.box[3] - anchor.box[1]) / (anchor.last - anchor.line + 1)
        for spot in cell.spots[start:]:
            if spot.page != anchor.page or spot.box[1] > limit:
                if spot.line > anchor.last:
                    break
                continue
            if not self.claimed.intersection(spot.atoms) and (relation := self._relation(anchor, spot, id(row), own)):
                yield Option(spot, relation)

    def _relation(self, anchor: Spot, spot: Spot, row: int, own: set[int]) -> Relation | None:
        x0, _, x1, _ = spot.box
        left, right = anchor.box[0], anchor.box[2]
        if spot.line <= anchor.last:
            # A value of several lines may begin above a name that stands beside its middle.
            if spot.last < anchor.line or self._others(range(spot.line, anchor.line), row):
                return None
            others = self._others(range(max(spot.line, anchor.line), max(spot.line, anchor.line) + 1), row)
            if x0 >= left:
                return None if any(left < wall.x0 <= x0 for wall in others) else "beside"
            return None if any(wall.x0 < left for wall in others) else "left"
        between = self._others(range(anchor.last + 1, spot.line + 1), row)
        on_line = self._others(range(spot.line, spot.line + 1), row)
        if x1 < left:
            end = self.printed.words[self.printed.lines[anchor.last][2] - 1]
            begins = all(wall.x0 > x0 for wall in on_line)
            if spot.line == anchor.last + 1 and begins and own.intersection(range(end.first, end.last + 1)):
                return "flow"
            if on_line:
                return None
        if any(wall.x1 >= left and wall.x0 <= x1 for wall in between):
            return None
        if any(wall.x0 <= x0 and self._joined(wall, spot) for wall in on_line):
            return None
        # Below several names of one line: the one above the value, else the next one on its left.
        beside = self._others(range(anchor.line, anchor.last + 1), row)
        mine = min(right, x1) - max(left, x0)
        if mine > 0:
            if any(min(wall.x1, x1) - max(wall.x0, x0) > mine for wall in beside):
                return None
        elif any(min(wall.x1, x1) > max(wall.x0, x0) or left < wall.x0 <= x0 for wall in beside):
            return None
        if x1 < left and any(wall.x0 < left for wall in beside):
            return None
        return "below"

    def _others(self, lines: range, row: int) -> list[_Wall]:
        return [wall for line in lines for wall in self._walls.get(line, ()) if wall.row != row]

    def _joined(self, wall: _Wall, spot: Spot) -> bool:
        """Whether a name and a spot further right on its line are in one run of text."""
        number = self.printed.atoms[spot.runs[0][0]].word
        while not self.printed.words[number].opens:
            number -= 1
        return self.printed.words[number].box[0] <= wall.x1

    def _adopt(self, rows: Sequence[Row]) -> None:
        """Place rows whose name is not on the page where two or more of their other values share a free line."""
        for row in rows:
            if row.anchor or (row.name and row.name.spots):
                continue
            cells = [cell for cell in self._own(row) if cell.spots]
            if len(cells) < 2:
                continue
            counts: dict[int, int] = defaultdict(int)
            for cell in cells:
                free = {s.line for s in cell.spots if not self.claimed.intersection(s.atoms)}
                for line in free:
                    counts[line] += 1
            full = [line for line, count in counts.items() if count == len(cells) and not self._walls.get(line)]
            if len(full) != 1:
                continue
            pivot = min(cells, key=lambda cell: len(cell.spots))
            spots = [s for s in pivot.spots if s.line == full[0]]
            if len(spots) == 1:
                for cell in cells:
                    here = [s for s in cell.spots if s.line == full[0] and not self.claimed.intersection(s.atoms)]
                    if here:
                        cell.choice = here[0]
                        self.claimed.update(here[0].atoms)
                row.anchor = spots[0]

    def _carry(self, rows: Sequence[Row]) -> None:
        """Choose the spots of values that a heading may give: in the row, else the nearest above, else the first."""
        fields = {cell.field for row in rows for cell in row.cells if cell.carried}
        for name in sorted(fields):
            pairs = [(row, cell) for row in rows for cell in row.cells if cell.carried and cell.field == name]
            inside = [self._within(row, cell) for row, cell in pairs]
            beside = sum(any(option.relation == "beside" for option in options) for options in inside)
            usual = 2 * beside >= len(pairs) or 5 * sum(map(bool, inside)) >= 4 * len(pairs)
            last: dict[str, Spot] = {}
            for (row, cell), options in zip(pairs, inside, strict=True):
                if not cell.spots:
                    continue
                free = [option for option in options if not self.claimed.intersection(option.spot.atoms)]
                near = min(free, key=lambda option: _COST[option.relation], default=None)
                if near and usual:
                    cell.choice = near.spot
                    self.claimed.update(near.spot.atoms)
                    continue
                cell.choice = self._above(cell, row, last) or (near.spot if near else cell.spots[0])
                last[cell.text] = cell.choice

    def _within(self, row: Row, cell: Cell) -> list[Option]:
        """The spots of a carried cell beside its row's name or right below the row's other lines."""
        spots = [other.choice for other in row.cells if other.choice]
        if not spots:
            return []
        lowest, height = max(spot.box[3] for spot in spots), spots[0].box[3] - spots[0].box[1]
        options = self._options(row, cell, set())
        return [option for option in options if option.spot.box[1] < lowest + height]

    def _above(self, cell: Cell, row: Row, last: dict[str, Spot]) -> Spot | None:
        """The heading for a row: the nearest above it, of those that stand by themselves.

        On a page with tables side by side, what stands above the other table is further away.
        """
        anchor = row.anchor
        if anchor is None:
            return last.get(cell.text)
        end = bisect_left(cell.lines, anchor.line + 1)
        above = [s for s in cell.spots[max(0, end - 40) : end] if s.runs < anchor.runs or s.page != anchor.page]
        free = [spot for spot in above if not self.claimed.intersection(spot.atoms)] or above
        extents = [other.choice.box for other in row.cells if other.choice and other.choice.page == anchor.page]
        extents = [box for box in extents if box[3] > anchor.box[1]] or [anchor.box]
        x0, x1 = min(box[0] for box in extents), max(box[2] for box in extents)

        def distance(spot: Spot) -> tuple[bool, int, float]:
            aside = max(0.0, spot.box[0] - x1, x0 - spot.box[2])
            return spot.clean < 2, -spot.page, 2 * aside - spot.box[1]

        return min(free, key=distance, default=None)


def _agree(samples: Sequence[_Sample]) -> bool:
    """Whether four rows of five have a value in one column: left edges, right edges or middles in line."""
    middle = samples[len(samples) // 2]
    shifts = [middle.anchor.box[0] - sample.anchor.box[0] for sample in samples]
    for first, second in ((0, 0), (2, 2), (0, 2)):
        steps = [
            (middle.spot.box[first] - s.spot.box[first] + middle.spot.box[second] - s.spot.box[second]) / 2
            for s in samples
        ]
        aligned = sum(min(abs(step), abs(step - shift)) < 2.5 for step, shift in zip(steps, shifts, strict=True))
        if 5 * aligned >= 4 * len(samples):
            return True
    return False
