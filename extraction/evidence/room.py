"""What speaks against a printed value as that of a row: a column, other numbers, words beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from extraction.evidence.columns import Column, Option, Sample, level
from extraction.evidence.printed import Printed, PrintedWord, Spot
from extraction.evidence.walls import Walls

if TYPE_CHECKING:
    from extraction.evidence.ground import PlacedCell, PlacedRow

_NUMBER = re.compile(r"[<>≤≥=~+-]*\s*\d[\d.,' ]*")


class Room:
    """Tells whether a value stands where a row has room for it.

    Args:
        printed: the words.
        walls: where the rows stand.
        claimed: atoms that are evidence for something; more are added to it while values are chosen.
    """

    def __init__(self, printed: Printed, walls: Walls, claimed: Collection[int]):
        self.printed, self.walls, self.claimed = printed, walls, claimed

    def stands(
        self, option: Option, row: PlacedRow, cell: PlacedCell, usual: Column | None, own: Collection[int]
    ) -> bool:
        """Whether nothing speaks against an option.

        Where the rows around agree on a column, what stands elsewhere (an earlier result, a limit) is no evidence.
        A number that stands where the value should be, and is no other value of the row, is what was printed.
        """
        anchor, (spot, relation) = row.anchor, option
        assert anchor is not None
        if usual:
            if relation == usual.relation or "left" in (relation, usual.relation):
                if relation != usual.relation:
                    return False
                if not usual.holds(spot.box, anchor.box) and not self._sunk(option, anchor, usual):
                    return False
            elif relation == "flow" or (relation == "below" and self._occupied(anchor, id(row), usual)):
                return False
        if not _NUMBER.fullmatch(cell.text):
            return True
        if relation == "beside":
            return not self._number_before(anchor, spot, own)
        # Where values stand below their names, a number beside one is no value: "24 h protein" is a name too.
        stands_so = usual is not None and relation == usual.relation
        return relation == "left" or stands_so or not self._occupied(anchor, id(row), None)

    def _sunk(self, option: Option, anchor: Spot, usual: Column) -> bool:
        """Whether a value opens the next line below the one in which the column has the row's values and has none.

        The cells of a row may be printed a line lower than its others, as a long word for a finding is.
        """
        spot = option.spot
        page, first, end = self.printed.lines[spot.line - 1]
        height, before = spot.box[3] - spot.box[1], self.printed.words[first:end]
        rise = spot.box[1] - min(word.box[1] for word in before)
        opens = self.printed.words[self.printed.lines[spot.line][1]].first == spot.runs[0][0]
        if option.relation != "below" or page != spot.page or not opens or rise > 2 * height:
            return False
        x0, y0, x1, y1 = spot.box
        between = self.printed.lines[anchor.last + 1 : spot.line]
        words = [word for _, start, stop in between for word in self.printed.words[start:stop]]
        empty = not any(usual.holds(word.box, anchor.box) for word in words)
        return empty and usual.holds((x0, y0 - rise, x1, y1 - rise), anchor.box)

    def alone_below(
        self,
        option: Option,
        row: PlacedRow,
        field: str,
        near: Mapping[str, Sequence[Sample]],
        columns: Mapping[str, Column | None],
        own: Collection[int],
    ) -> bool:
        """Whether a value that is not in line with others stands alone as far below its name as they do.

        It may stand over its place in a picture of the range. What is in the column of another field is no value.
        """
        anchor, spot = row.anchor, option.spot
        assert anchor is not None
        if not level(option, anchor, near[field]):
            return False
        for key, usual in columns.items():
            if key != field and usual and usual.holds(spot.box, anchor.box) and level(option, anchor, near[key]):
                return False
        _, first, end = self.printed.lines[spot.line]
        x0, limit = anchor.box[0], self.walls.end(anchor, anchor.last, id(row))
        cell = self.walls.cell(spot)
        for word in self.printed.words[first:end]:
            inside = x0 <= word.box[0] < limit and not cell[0] <= word.box[0] < cell[1]
            if inside and any(map(str.isalnum, word.text)) and word.first not in own:
                return False
        return x0 <= cell[0] < limit

    def _occupied(self, anchor: Spot, row: int, usual: Column | None) -> bool:
        """Whether a word that is no value of a row stands beside the anchor: in a column, or else any number."""
        for line in range(anchor.line, anchor.last + 1):
            _, first, end = self.printed.lines[line]
            limit = self.walls.end(anchor, line, row)
            for word in self.printed.words[first:end]:
                if word.box[0] < anchor.box[0] or word.box[0] >= limit or word.first in self.claimed:
                    continue
                if usual is None:
                    if word.text[:1].isdigit() and word.last not in self.claimed and not self._in_name(word, anchor):
                        return True
                elif any(map(str.isalnum, word.text)) and usual.holds(word.box, anchor.box):
                    return True
        return False

    def _in_name(self, word: PrintedWord, anchor: Spot) -> bool:
        """Whether a number beside a row's name has words before it in a cell of their own, as "Glucose 30 min" has."""
        number = self.printed.atoms[word.first].word
        first = number
        while not self.printed.words[first].opens:
            first -= 1
        letters = sum(char.isalpha() for before in self.printed.words[first:number] for char in before.text)
        return letters > 3 and self.printed.words[first].box[0] > anchor.box[2]

    def _number_before(self, anchor: Spot, spot: Spot, own: Collection[int]) -> bool:
        """Whether running text has a number of no known value between a row's name and a spot."""
        first, last = anchor.runs[-1][1] + 1, spot.runs[0][0]
        if self.printed.atoms[first - 1].line != spot.line:
            return False
        words = self.printed.words[self.printed.atoms[first - 1].word + 1 : self.printed.atoms[last].word + 1]
        if any(word.opens for word in words):
            return False
        return any(word.text[:1].isdigit() and word.first < last and word.first not in own for word in words)
