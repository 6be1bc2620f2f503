"""The neighbourhood of a row on the page: how far it reaches before another row begins."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from extraction.evidence.columns import Relation
from extraction.evidence.printed import Printed, PrintedWord, Spot

_REACH = 7.0  # times the height of the name: how far below it a row's values may begin
_ALIGNED = 1.5  # points within which the left edges of names are in line


class _Wall(NamedTuple):
    """A name, or what looks like one, of another row on a line."""

    x0: float
    x1: float
    row: int


class Walls:
    """The names of all rows of a record where they stand, as walls between the rows' neighbourhoods.

    A row that the record lacks stands there all the same: words in the column of names, with something beside
    them that is no name, are a wall as well.
    """

    def __init__(self, printed: Printed):
        self.printed = printed
        self._walls: dict[int, list[_Wall]] = defaultdict(list)
        self._lefts: dict[int, list[float]] = defaultdict(list)
        self._colons: set[int] = set()
        self._looks: dict[int, list[tuple[_Wall, range]]] = {}
        self._repeated: dict[tuple[int, float], bool] = {}

    def stand(self, row: int, anchor: Spot) -> None:
        """Let the row with an id stand at its anchor."""
        for first, last in anchor.runs:
            x0, _, x1, _ = self.printed.box([[first, last]])
            insort(self._walls[self.printed.atoms[first].line], _Wall(x0, x1, row))
        if self.printed.words[self.printed.atoms[anchor.runs[-1][1]].word].text.endswith(":"):
            self._colons.add(anchor.page)
        insort(self._lefts[anchor.page], anchor.box[0])

    def free(self, line: int) -> bool:
        """Whether no row stands on a line."""
        return not self._walls.get(line)

    def reach(self, anchor: Spot) -> float:
        """How far down the page a row's values may begin."""
        return anchor.box[3] + _REACH * (anchor.box[3] - anchor.box[1]) / (anchor.last - anchor.line + 1)

    def end(self, anchor: Spot, line: int, row: int) -> float:
        """Where on one of its lines a row ends: at the next name on the right."""
        ends = [wall.x0 for wall in self._others(range(line, line + 1), row) if wall.x0 > anchor.box[0]]
        return min(ends, default=float("inf"))

    def relation(self, anchor: Spot, spot: Spot, row: int, own: Collection[int]) -> Relation | None:
        """How a spot stands to a row's anchor, None if it is outside of the row.

        Args:
            anchor: the row's name.
            spot: a place on the same page, not above the line before the anchor's.
            row: the row's id.
            own: atoms that are known to be the row's.
        """
        x0, _, x1, _ = spot.box
        left, right = anchor.box[0], anchor.box[2]
        if spot.line <= anchor.last:
            # A value of several lines may begin above a name that stands beside its middle.
            if spot.last < anchor.line or self._others(range(spot.line, anchor.line), row):
                return None
            line = max(spot.line, anchor.line)
            others = self._others(range(line, line + 1), row)
            if x0 >= left:
                return None if any(left < wall.x0 <= x0 for wall in others) else "beside"
            return None if any(wall.x0 < left for wall in others) else "left"
        on_line = self._others(range(spot.line, spot.line + 1), row)
        if x1 < left:
            if self._flows(anchor, spot, own):
                return "flow"
            if on_line:
                return None
        between = self._others(range(anchor.last + 1, spot.line + 1), row)
        between += self._lookalikes(range(anchor.last + 1, spot.line + 1), anchor, spot, own)
        if any(wall.x1 >= left and wall.x0 <= x1 for wall in between):
            return None
        if any(wall.x0 <= x0 and self._joined(wall, spot) for wall in on_line):
            return None
        # Below several names of one line: the one above the value, else the next one on its left.
        beside = self._others(range(anchor.line, anchor.last + 1), row)
        if beside:
            x0, x1 = self.cell(spot)
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

    def running(self, line: int) -> bool:
        """Whether a line is running text: nothing on it stands apart but brackets."""
        _, first, end = self.printed.lines[line]
        return not any(word.opens and word.text[0] not in "([" for word in self.printed.words[first + 1 : end])

    def alone(self, anchor: Spot) -> bool:
        """Whether nothing stands on a name's last line but the name."""
        end = self.printed.lines[anchor.last][2]
        return anchor.runs[-1][1] >= self.printed.words[end - 1].first

    def _flows(self, anchor: Spot, spot: Spot, own: Collection[int]) -> bool:
        """Whether a spot begins the line of running text after one whose last word is the row's."""
        last = self.printed.words[self.printed.lines[anchor.last][2] - 1]
        first = self.printed.words[self.printed.lines[spot.line][1]]
        if spot.line != anchor.last + 1 or first.first != spot.runs[0][0] or last.last not in own:
            return False
        return self.running(anchor.last)

    def _joined(self, wall: _Wall, spot: Spot) -> bool:
        """Whether a name and a spot further right on its line are in one run of text."""
        return self.cell(spot)[0] <= wall.x1

    def cell(self, spot: Spot) -> tuple[float, float]:
        """Where the cell of a line that holds the beginning of a spot starts and ends."""
        words = self.printed.words
        first = last = self.printed.atoms[spot.runs[0][0]].word
        while not words[first].opens:
            first -= 1
        while not words[last].closes:
            last += 1
        return words[first].box[0], words[last].box[2]

    def _lookalikes(self, lines: range, anchor: Spot, spot: Spot, own: Collection[int]) -> list[_Wall]:
        taken = set(spot.atoms)
        return [
            wall
            for line in lines
            for wall, atoms in self._lookalikes_on(line)
            if not any(atom in own or atom in taken for atom in atoms)
            and (wall.x0 < anchor.box[2] or not self._repeats(anchor.page, wall.x0))
        ]

    def _repeats(self, page: int, left: float) -> bool:
        """Whether a column says the same again and again, as those of kinds and methods do and no names.

        A row that was called by such a word makes no column of names of it.
        """
        if (page, left) not in self._repeated:
            lines = [line for line, (number, *_) in enumerate(self.printed.lines) if number == page]
            cells = (cell for line in lines for cell in self._cells(line))
            texts = [self._text(cell) for cell in cells if abs(cell[0].box[0] - left) < _ALIGNED]
            self._repeated[page, left] = len(texts) > 3 and 2 * len(set(texts)) <= len(texts)
        return self._repeated[page, left]

    def _lookalikes_on(self, line: int) -> list[tuple[_Wall, range]]:
        """Cells of a line that look like names, with their atoms."""
        known = self._looks.get(line)
        if known is None:
            page = self.printed.lines[line][0]
            cells = self._cells(line)
            lefts = self._lefts.get(page, [])
            named = [any(abs(cell[0].box[0] - left) < _ALIGNED for left in lefts) for cell in cells]
            known = self._looks[line] = []
            for place, cell in enumerate(cells):
                follows = place + 1 < len(cells) and not named[place + 1]
                colon = page in self._colons and any(word.text.endswith(":") for word in cell[:-1])
                text = self._text(cell)
                aside = text[0] in "([" and text[-1] in ")]"  # a method for one, below a name of several lines
                if named[place] and not aside and sum(map(str.isalpha, text)) > 1 and (follows or colon):
                    wall = _Wall(cell[0].box[0], cell[-1].box[2], -1)
                    known.append((wall, range(cell[0].first, cell[-1].last + 1)))
        return known

    def _cells(self, line: int) -> list[list[PrintedWord]]:
        """The words of a line, those of each cell together."""
        _, first, end = self.printed.lines[line]
        cells: list[list[PrintedWord]] = []
        for word in self.printed.words[first:end]:
            if word.opens or not cells:
                cells.append([])
            cells[-1].append(word)
        return cells

    @staticmethod
    def _text(cell: Sequence[PrintedWord]) -> str:
        return " ".join(word.text for word in cell)
