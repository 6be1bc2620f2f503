"""Chooses which printed words are evidence for the values of rows whose names have their place."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from extraction.evidence.columns import Column, Option, Relation, Sample, around, column, support
from extraction.evidence.printed import Printed, Spot
from extraction.evidence.room import Room
from extraction.evidence.walls import Walls

if TYPE_CHECKING:
    from extraction.evidence.ground import PlacedCell, PlacedRow

Wish = tuple[float, int, int, Spot, "PlacedCell"]
_COST: dict[Relation, float] = {"beside": 0.0, "below": 1.0, "left": 1.2, "flow": 1.5}
_PLAIN = re.compile(r"\d+(?:[.,]\d+)?")
_SUPPORT = 3.0  # what agreement with the rows around counts against the relation


class Placer:
    """Chooses the spots of all tables of a record; a printed word serves one row, and one of its values, only."""

    def __init__(self, printed: Printed):
        self.printed = printed
        self.walls = Walls(printed)
        self.claimed: set[int] = set()
        self.room = Room(printed, self.walls, self.claimed)

    def place_all(self, tables: Sequence[Sequence[PlacedRow]]) -> None:
        """Choose a spot for every cell of tables: all rows get their places first."""
        later = [self._stand(rows) for rows in tables]
        for rows, places in zip(tables, later, strict=True):
            self._place(rows, places)

    def _stand(self, rows: Sequence[PlacedRow]) -> dict[int, Spot]:
        """Let the rows of a table stand at their places, but for those whose names are no words among others.

        A number that a row was called by may be the value of another row.

        Returns:
            The places of rows that do not stand yet, by their numbers.
        """
        worded = [row.name is not None and any(map(str.isalpha, row.name.text)) for row in rows]
        later: dict[int, Spot] = {}
        for number in sorted(range(len(rows)), key=lambda number: -rows[number].score):
            row = rows[number]
            if row.anchor and any(worded) and not worded[number]:
                later[number], row.anchor = row.anchor, None
            else:
                self._claim(row)
        return later

    def _claim(self, row: PlacedRow) -> None:
        """Let a row stand at its anchor, if nothing else has taken that."""
        if row.anchor and self.claimed.intersection(row.anchor.atoms):
            row.anchor = None
        elif row.anchor:
            self.claimed.update(row.anchor.atoms)
            self.walls.stand(id(row), row.anchor)

    def _place(self, rows: Sequence[PlacedRow], later: Mapping[int, Spot]) -> None:
        """Choose a spot for every cell of a table's rows that has one in the row's neighbourhood."""
        samples = self._samples(rows)
        for number, row in enumerate(rows):
            if row.anchor:
                self._choose(number, row, row.anchor, samples)
        for number, anchor in later.items():
            rows[number].anchor = anchor
            self._claim(rows[number])
        for number in later:
            if (found := rows[number].anchor) is not None:
                self._choose(number, rows[number], found, samples)
        self._adopt(rows)
        fields = dict.fromkeys(cell.field for row in rows for cell in row.cells if cell.carried)
        for name in fields:
            self._carry([(row, cell) for row in rows for cell in row.cells if cell.carried and cell.field == name])

    def _own(self, row: PlacedRow) -> list[PlacedCell]:
        return [cell for cell in row.cells if cell is not row.name and not cell.carried]

    def _under(self, row: PlacedRow, anchor: Spot) -> set[int]:
        """The atoms of carried values, a method for one, right below a row's name: their line is no other row's."""
        line, carried = anchor.last + 1, [cell for cell in row.cells if cell.carried]
        ends = [(cell, bisect_left(cell.lines, line), bisect_left(cell.lines, line + 1)) for cell in carried]
        return {atom for cell, start, end in ends for spot in cell.spots[start:end] for atom in spot.atoms}

    def _options(self, row: PlacedRow, cell: PlacedCell, own: Collection[int] = ()) -> Iterator[Option]:
        """The spots of a cell in its row's neighbourhood that no other value has taken."""
        anchor = row.anchor
        if anchor is None:
            return
        limit = self.walls.reach(anchor)
        for spot in cell.spots[bisect_left(cell.lines, anchor.line - 1) :]:
            if spot.page != anchor.page or spot.box[1] > limit:
                if spot.line > anchor.last:
                    break
                continue
            if not self.claimed.intersection(spot.atoms):
                relation = self.walls.relation(anchor, spot, id(row), own)
                if relation:
                    yield Option(spot, relation)

    def _samples(self, rows: Sequence[PlacedRow]) -> dict[str, list[Sample]]:
        """By field, the values that stand at one spot only of their row's neighbourhood.

        A plain number is the value of a row, and no range.
        """
        samples: dict[str, list[Sample]] = defaultdict(list)
        for number, row in enumerate(rows):
            cells = self._own(row) if row.anchor else []
            under = self._under(row, row.anchor) if row.anchor else ()
            numbers = {cell.text for cell in cells if cell.role == "value" and _PLAIN.fullmatch(cell.text)}
            for cell in cells:
                if cell.role == "range" and cell.text in numbers:
                    continue
                options = list(self._options(row, cell, under))
                if len(options) == 1 and row.anchor:
                    samples[cell.field].append(Sample(number, row.anchor, *options[0]))
        return samples

    def _choose(self, number: int, row: PlacedRow, anchor: Spot, samples: dict[str, list[Sample]]) -> None:
        """Choose the row's own values: first those beside the name, then those for which it has no room there."""
        own = {*anchor.atoms, *self._under(row, anchor)}
        cells = self._own(row)
        near = {field: around(samples[field], number) for field in {*samples, *(cell.field for cell in cells)}}
        # Where a line is running text, values are in line by chance only.
        apart = not self.walls.running(anchor.last) or self.walls.alone(anchor)
        columns = {key: column(found, anchor) if apart else None for key, found in near.items()}
        if row.name:
            row.name.choice = anchor
        for step in range(3):
            wishes: list[Wish] = []
            for order, cell in enumerate(cells):
                for option in self._options(row, cell, own) if cell.choice is None else ():
                    beside = option.relation in ("beside", "left")
                    if step == 0 and not beside:
                        continue
                    usual = columns[cell.field]
                    if not self.room.stands(option, row, cell, usual, own) and not (
                        cell.role == "value" and self.room.alone_below(option, row, cell.field, near, columns, own)
                    ):
                        continue
                    cost = _COST[option.relation]
                    if usual:
                        cost -= _SUPPORT * support(option, anchor, near[cell.field])
                    cost += 0.1 * max(0, option.spot.line - anchor.last)
                    wishes.append((cost, order, option.spot.runs[0][0], option.spot, cell))
            barred = self._barred(wishes, anchor, near, columns)
            for _, _, _, spot, cell in sorted(wishes, key=lambda wish: wish[:3]):
                if id(cell) in barred:
                    continue
                if cell.choice is None and not self.claimed.intersection(spot.atoms):
                    cell.choice = spot
                    self.claimed.update(spot.atoms)
                    own.update(spot.atoms)

    def _barred(
        self,
        wishes: Sequence[Wish],
        anchor: Spot,
        near: Mapping[str, Sequence[Sample]],
        columns: Mapping[str, Column | None],
    ) -> set[int]:
        """Cells that must not take the only spot of a text that two cells of the row have.

        A result that is the same word as the normal one, printed once: it is the value in whose column it stands or
        that rows around have (there), and if they do not tell, the last one in the record's order. A plain number
        is the value of a row, and no range.
        """
        barred: set[int] = set()
        spots: dict[str, dict[int, Spot]] = defaultdict(dict)
        rivals: dict[str, list[PlacedCell]] = defaultdict(list)
        for _, _, place, spot, cell in wishes:
            spots[cell.text][place] = spot
            if cell not in rivals[cell.text]:
                rivals[cell.text].append(cell)
        for text, cells in rivals.items():
            if len(cells) > len(spots[text]) == 1:
                option = Option(next(iter(spots[text].values())), "beside")
                number = bool(_PLAIN.fullmatch(text))
                ranks = []
                for at, cell in enumerate(cells):
                    usual = columns[cell.field]
                    stands = usual is not None and usual.holds(option.spot.box, anchor.box)
                    alike = support(option, anchor, near[cell.field]) * len(near[cell.field])
                    ranks.append((number and cell.role == "value", stands, round(alike), bool(near[cell.field]), at))
                most = max(ranks)[-1]
                barred.update(id(cell) for at, cell in enumerate(cells) if at != most)
        return barred

    def _adopt(self, rows: Sequence[PlacedRow]) -> None:
        """Place rows whose name is not printed on the only free line that has all of three or more other values."""
        for row in rows:
            cells = [cell for cell in self._own(row) if cell.spots]
            if row.anchor or (row.name and row.name.spots) or len(cells) < 3:
                continue
            here: dict[int, list[Spot]] = defaultdict(list)
            for cell in cells:
                free = {s.line: s for s in reversed(cell.spots) if not self.claimed.intersection(s.atoms)}
                for line, spot in free.items():
                    here[line].append(spot)
            full = [line for line, spots in here.items() if len(spots) == len(cells) and self.walls.free(line)]
            if len(full) == 1:
                for cell, spot in zip(cells, here[full[0]], strict=True):
                    if not self.claimed.intersection(spot.atoms):
                        cell.choice = spot
                        self.claimed.update(spot.atoms)
                row.anchor = here[full[0]][0]

    def _carry(self, pairs: Sequence[tuple[PlacedRow, PlacedCell]]) -> None:
        """Choose the spots of one field that headings may give: in the row where that is the rule, else above."""
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

    def _within(self, row: PlacedRow, cell: PlacedCell) -> list[Option]:
        """The spots of a carried cell beside its row's name or right below the row's other lines."""
        spots = [other.choice for other in row.cells if other.choice]
        if not spots:
            return []
        lowest, height = max(spot.box[3] for spot in spots), spots[0].box[3] - spots[0].box[1]
        return [option for option in self._options(row, cell) if option.spot.box[1] < lowest + height]

    def _above(self, cell: PlacedCell, row: PlacedRow, last: dict[str, Spot]) -> Spot | None:
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
