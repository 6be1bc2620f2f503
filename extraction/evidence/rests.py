"""What the cells of names say besides the names: a name that is only a part of its cell may be cut.

A cell may take several lines. It goes on below where the next line begins under it as no new cell would (in lower case,
with a bracket that is not all of it), or where what stands before is not at its end (a comma, a dash, an open bracket).
Nothing else says that two lines are one cell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from extraction.evidence.evidence import Rest
from extraction.evidence.printed import Printed, PrintedWord, Spot

if TYPE_CHECKING:
    from extraction.evidence.ground import PlacedRow

Path = tuple[str | int, ...]
Box = tuple[float, float, float, float]

_NEAR = 0.9  # times the height of a word: a cell goes on at most so far below its line
_LINES = 3  # lines that are added to a name above it or below it, the most
_RUNNING = 8  # words: a longer cell that holds a value too is a sentence
_ASIDE = re.compile(r"[(\[][^()\[\]]*[)\]]")
_OPEN = re.compile(r"[,(/\[+&-]$")
_AMOUNT = re.compile(r"[<>≤≥=~±+-]*\s?\d")


class _Piece(NamedTuple):
    """Words of one line that stand together, the numbers [first, end) of the index."""

    first: int
    end: int


def names_rests(printed: Printed, rows: Sequence[PlacedRow]) -> dict[Path, Rest]:
    """By the paths of names that are a part of their cells, what else the cells say.

    Other values that were read from a cell end it: a result behind its name, in one cell with it. What a heading may
    give for many rows does so only at the end of the cell.
    """
    names = [row.name for row in rows if row.name and row.name.choice]
    # A row whose value is printed nowhere near may itself be a piece of a cell that was read as a row.
    told = [row for row in rows if all(cell.choice for cell in row.cells if cell.role == "value")]
    taken = {a for row in told for cell in row.cells if cell.choice and not cell.carried for a in cell.choice.atoms}
    headings = {a for row in rows for cell in row.cells if cell.choice and cell.carried for a in cell.choice.atoms}
    lower = sum(_begins_low(cell.text) for cell in names)
    finder = _Finder(printed, taken, headings, 3 * lower > len(names) > 1)
    found = ((cell.path, finder.rest(cell.choice)) for cell in names if cell.choice)
    return {path: rest for path, rest in found if rest}


def _begins_low(text: str) -> bool:
    """Whether a text begins as the middle of a sentence does: a word of small letters alone, of four or more."""
    word = re.match(r"\w+", text)
    return bool(word and len(word[0]) > 3 and word[0].isalpha() and word[0].islower())


class _Finder:
    """Finds what stands beside names.

    Args:
        printed: the words.
        taken: atoms that values were read from, names included.
        headings: atoms that headings were read from.
        lower: whether names begin in lower case here, so that this says nothing.
    """

    def __init__(self, printed: Printed, taken: Collection[int], headings: Collection[int], lower: bool):
        self.printed, self.taken, self.headings, self.lower = printed, taken, headings, lower

    def rest(self, spot: Spot) -> Rest | None:
        """What the cell of a name says besides it; None where that is nothing."""
        words, atoms, own = self.printed.words, self.printed.atoms, set(spot.atoms)
        first, last = atoms[spot.runs[0][0]], atoms[spot.runs[-1][1]]
        left, right = first.word, last.word
        while not words[left].opens and not self._is_taken(left - 1, own):
            left -= 1
        # A word may hold another value too, as "Na:140" does.
        suffix = words[right].text[last.end : self._free(spot)]
        shared = last.end + len(suffix) < len(words[right].text)
        while not shared and not words[right].closes and not self._is_taken(right + 1, own):
            right += 1
        opens, closes = words[left].opens, words[right].closes and not shared
        if not (opens and closes) and self._length(left, right) > _RUNNING:
            if not any(map(str.isalnum, suffix)):
                return None
            # In a sentence too a name ends where a word does: "DNA(number): 6 IU/mL (< 10) - by PCR".
            left, right, opens, closes = first.word, last.word, False, False
        while right > last.word and (self._is_heading(right) or not any(map(str.isalnum, words[right].text))):
            right -= 1
        head = " ".join([*self._texts(range(left, first.word)), words[first.word].text[: first.start]])
        tail = " ".join([suffix, *self._texts(range(last.word + 1, right + 1))])
        name = self.printed.text(spot)
        top = _Piece(left, atoms[spot.runs[0][1]].word + 1)
        bottom = _Piece(atoms[spot.runs[-1][0]].word, right + 1)
        above = self._above(top, head or name) if opens else []
        below = self._below(bottom, (name + tail).strip(), own) if closes else []
        upper, lower = _joined(map(self._text, above)), _joined(map(self._text, below))
        before, behind = _joined([upper, head.strip()]), _joined([tail.strip(), lower])
        if not before and not behind:
            return None
        pieces = (top, bottom, *above, *below)
        boxes = [spot.box, *(words[number].box for piece in pieces for number in range(*piece))]
        edges = list(zip(*boxes, strict=True))
        box = min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3])
        return Rest(before, behind, _joined([upper, (head + name + tail).strip(), lower]), box)

    def _length(self, left: int, right: int) -> int:
        """How many words the cell of a line that holds the words left to right has."""
        words = self.printed.words
        while not words[left].opens:
            left -= 1
        while not words[right].closes:
            right += 1
        return right - left + 1

    def _free(self, spot: Spot) -> int:
        """Where in the last word of a spot another value begins: its end where none does."""
        atoms, end = self.printed.atoms, spot.runs[-1][1]
        word = self.printed.words[atoms[end].word]
        return min((atoms[a].start for a in range(end + 1, word.last + 1) if a in self.taken), default=len(word.text))

    def _is_taken(self, word: int, own: Collection[int] = ()) -> bool:
        """Whether a value was read from a word, other than from the atoms `own`."""
        entry = self.printed.words[word]
        return any(a in self.taken and a not in own for a in range(entry.first, entry.last + 1))

    def _texts(self, numbers: Sequence[int]) -> list[str]:
        return [self.printed.words[number].text for number in numbers]

    def _text(self, piece: _Piece) -> str:
        return " ".join(self._texts(range(*piece)))

    def _pieces(self, line: int) -> list[_Piece]:
        """The cells of a line."""
        pieces: list[_Piece] = []
        _, first, end = self.printed.lines[line]
        for number in range(first, end):
            if self.printed.words[number].opens or not pieces:
                pieces.append(_Piece(number, number + 1))
            else:
                pieces[-1] = _Piece(pieces[-1].first, number + 1)
        return pieces

    def _below(self, piece: _Piece, text: str, own: Collection[int]) -> list[_Piece]:
        """The cells with which a cell goes on below."""
        found: list[_Piece] = []
        while len(found) < _LINES:
            word = self.printed.words[(found[-1] if found else piece).first]
            cell = self._next(piece, range(word.line + 1, min(word.line + 3, len(self.printed.lines))))
            if cell is None:
                return found
            said = self._text(cell)
            if self._is_heading(cell.end - 1):
                return found
            # A line in brackets may as well be a method.
            bracket = said[0] in "([)" and not _ASIDE.fullmatch(said)
            goes_on = _OPEN.search(text) or bracket or (not self.lower and _begins_low(said))
            if not goes_on or not self._near(word, cell) or not self._is_free(cell, own):
                return found
            found.append(cell)
            text = said
        return found

    def _above(self, piece: _Piece, text: str) -> list[_Piece]:
        """The cells above in which a cell began, from top to bottom."""
        found: list[_Piece] = []
        while len(found) < _LINES:
            first = found[0] if found else piece
            word = self.printed.words[first.first]
            cell = self._next(piece, range(word.line - 1, max(word.line - 3, -1), -1))
            if cell is None:
                return found
            said = self._text(cell)
            bracket = text[0] in "([)" or bool(_OPEN.search(said))
            heading = any(self._is_heading(number) for number in range(*cell))
            goes_on = bracket or (not self.lower and not heading and _begins_low(text))
            near = self._near(self.printed.words[cell.first], first)
            if not goes_on or not near or said.endswith(":") or not self._is_free(cell, ()):
                return found
            found.insert(0, cell)
            text = said
        return found

    def _next(self, piece: _Piece, lines: Iterable[int]) -> _Piece | None:
        """The first cell under or over a piece on the first of the lines that has one."""
        cells = (cell for line in lines for cell in self._pieces(line) if self._in_column(piece, cell))
        return next(cells, None)

    def _in_column(self, piece: _Piece, cell: _Piece) -> bool:
        one, other = self.printed.words[piece.first], self.printed.words[cell.first]
        return abs(one.box[0] - other.box[0]) < 0.5 * one.height

    def _near(self, upper: PrintedWord, cell: _Piece) -> bool:
        lower = self.printed.words[cell.first]
        page, other = self.printed.lines[upper.line][0], self.printed.lines[lower.line][0]
        return page == other and lower.box[1] <= upper.box[3] + _NEAR * upper.height

    def _is_heading(self, word: int) -> bool:
        entry = self.printed.words[word]
        return any(a in self.headings for a in range(entry.first, entry.last + 1))

    def _is_free(self, cell: _Piece, own: Collection[int]) -> bool:
        """Whether nothing was read from a cell, and no number beside it was left unread."""
        if any(self._is_taken(number, own) for number in range(*cell)) or _AMOUNT.match(self._text(cell)):
            return False
        others = [piece for piece in self._pieces(self.printed.words[cell.first].line) if piece.first > cell.first]
        return not any(
            _AMOUNT.match(self._text(piece)) and not any(self._is_taken(number) for number in range(*piece))
            for piece in others
        )


def _blank(text: str) -> str:
    """What stands between a text and what follows it: nothing behind an open bracket or a dash that ends a line."""
    return "" if not text or text[-1] in "([-/" else " "


def _joined(texts: Iterable[str]) -> str:
    """Texts of lines one below the other."""
    out = ""
    for text in texts:
        out += (_blank(out) if text else "") + text
    return out
