"""What a document prints, as an index in which a value is found as whole words.

A page's words are cut into atoms (atoms.py). A value is cut the same way, so that white space within it does not
matter, and is found where its atoms follow each other on a line or go on below in the same column.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from extraction.values.atoms import BETWEEN, COMPARATORS, atoms, cut, is_grouped, is_number, may_begin, may_end

_GAP = 2.5  # times the height of a word: wider gaps end a value
_WRAP = 0.9  # times the height of a word: a value goes on below at most so far under its last line


@dataclass(frozen=True, slots=True)
class Spot:
    """A place where a value is printed: runs of atoms [first, last], and the box around them in points.

    `line` and `last` number the document's lines from its beginning; `clean` counts the sides (0 to 2) on which
    nothing of the same phrase goes on.
    """

    runs: tuple[tuple[int, int], ...]
    page: int
    line: int
    last: int
    box: tuple[float, float, float, float]
    clean: int

    @property
    def atoms(self) -> Iterator[int]:
        """The numbers of the atoms it takes."""
        for first, last in self.runs:
            yield from range(first, last + 1)


@dataclass(slots=True)
class _Atom:
    key: str
    line: int
    word: int  # number of the word in the document
    start: int
    end: int
    left: bool = False  # may a value begin here, end here
    right: bool = False


@dataclass(slots=True)
class PrintedWord:
    """A word with its line, whether it begins and ends a cell of that line, and its atoms [first, last]."""

    text: str
    box: tuple[float, float, float, float]
    score: float
    line: int
    opens: bool
    closes: bool
    first: int = 0
    last: int = 0

    @property
    def height(self) -> float:
        """The height of its box in points."""
        return self.box[3] - self.box[1]


class Printed:
    """The index of a document. Lines, words and atoms are numbered through all pages in reading order."""

    def __init__(self, document: Document):
        self.words: list[PrintedWord] = []
        self.atoms: list[_Atom] = []
        self.lines: list[tuple[int, int, int]] = []  # page number, first word, one past the last word
        self._places: dict[str, list[int]] = defaultdict(list)
        self._folded: dict[str, list[int]] = defaultdict(list)
        self._spots: dict[tuple[str, bool], list[Spot]] = {}
        for page in document.pages:
            self._add_page(page)
        for _, first, end in self.lines:
            self._bounds(first, end)
        for number, atom in enumerate(self.atoms):
            self._places[atom.key].append(number)
            if (folded := atom.key.casefold()) != atom.key:
                self._folded[folded].append(number)

    def _add_page(self, page: Page) -> None:
        for row in gather_rows(page.words) if page.words else ():
            first = len(self.words)
            for cell in row.cells:
                for index in cell.words:
                    word = page.words[index]
                    opens, closes = index == cell.words[0], index == cell.words[-1]
                    entry = PrintedWord(
                        word.text, word.box, word.score, len(self.lines), opens, closes, len(self.atoms)
                    )
                    for key, start, stop in cut(word.text):
                        self.atoms.append(_Atom(key, len(self.lines), len(self.words), start, stop))
                    entry.last = len(self.atoms) - 1
                    if entry.last >= entry.first:
                        self.words.append(entry)
            if len(self.words) > first:
                self.lines.append((page.number, first, len(self.words)))

    def _bounds(self, first: int, end: int) -> None:
        """Say where values may begin and end among the words [first, end) of a line."""
        for number in range(first, end):
            word = self.words[number]
            keys = [self.atoms[a].key for a in range(word.first, word.last + 1)]
            for place in range(len(keys)):
                atom = self.atoms[word.first + place]
                atom.left, atom.right = may_begin(keys, place), may_end(keys, place)
        for number in range(first, end):
            self._number_bounds(number, first, end)

    def _number_bounds(self, number: int, first: int, end: int) -> None:
        """Bar numbers that are part of a comparison, a range or a longer number in the words around them."""
        word = self.words[number]
        head, tail = self.atoms[word.first], self.atoms[word.last]
        before = self.words[number - 1] if number > first and not word.opens else None
        after = self.words[number + 1] if number + 1 < end and not word.closes else None
        if before and is_number(head.key):
            last = self.atoms[before.last].key
            earlier = self.words[number - 2] if number - 2 >= first and not before.opens else None
            ends_number = earlier is not None and is_number(self.atoms[earlier.last].key)
            second = self.atoms[before.last - 1].key if before.first < before.last else ""
            dash = last == "-" and (is_number(second) or (ends_number and not second))
            if last in COMPARATORS or dash or (ends_number and before.text.lower() in BETWEEN):
                head.left = False
            if is_number(last) and is_grouped(last, head.key):
                head.left = False
        if after and is_number(tail.key):
            follows = self.atoms[after.first].key
            later = self.words[number + 2] if number + 2 < end and not after.closes else None
            second = self.atoms[after.first + 1].key if after.first < after.last else ""
            if not second and later is not None:
                second = self.atoms[later.first].key
            if (follows == "-" or after.text.lower() in BETWEEN) and is_number(second):
                tail.right = False
            if is_number(follows) and is_grouped(tail.key, follows):
                tail.right = False

    def find(self, text: str, fold: bool = False) -> list[Spot]:
        """All places of a text, in reading order; `fold` ignores case."""
        known = self._spots.get((text, fold))
        if known is None:
            keys = atoms(text)
            glued = len(keys) > 1 and keys[0] in "-+" and is_number(keys[1])
            if fold:
                keys = tuple(key.casefold() for key in keys)
            found = (self._match(start, keys, fold, glued) for start in self._at(keys[0], fold)) if keys else ()
            known = self._spots[text, fold] = [spot for spot in found if spot]
        return known

    def _at(self, key: str, fold: bool) -> list[int]:
        exact = self._places.get(key, [])
        if not fold or key not in self._folded:
            return exact
        return sorted(exact + self._folded[key])

    def _same(self, atom: int, key: str, fold: bool) -> bool:
        own = self.atoms[atom].key
        return own == key or (fold and own.casefold() == key)

    def _match(self, start: int, keys: tuple[str, ...], fold: bool, glued: bool) -> Spot | None:
        if not self.atoms[start].left:
            return None
        runs = [[start, start]]
        for place, key in enumerate(keys[1:]):
            at = runs[-1][1]
            if at + 1 < len(self.atoms) and self._same(at + 1, key, fold) and self._adjacent(at):
                if glued and place == 0 and self.atoms[at].word != self.atoms[at + 1].word:
                    return None
                runs[-1][1] = at + 1
                continue
            below = self._below(runs, key, fold)
            if below is None:
                return None
            runs.append([below, below])
        if not self.atoms[runs[-1][1]].right:
            return None
        return self.spot(runs)

    def _adjacent(self, at: int) -> bool:
        a, b = self.atoms[at], self.atoms[at + 1]
        if a.word == b.word:
            return True
        if a.line != b.line:
            return False
        left, right = self.words[a.word], self.words[b.word]
        return right.box[0] - left.box[2] <= _GAP * min(left.height, right.height)

    def _below(self, runs: list[list[int]], key: str, fold: bool) -> int | None:
        """The atom with which a value goes on below its last line, or None."""
        last = self.atoms[runs[-1][1]]
        word = self.words[last.word]
        if runs[-1][1] != word.last:
            return None
        x0 = min(self.words[self.atoms[first].word].box[0] for first, _ in runs)
        x1 = max(self.words[self.atoms[end].word].box[2] for _, end in runs)
        height = word.height
        ends_line = last.word + 1 == self.lines[last.line][2]
        places = self._at(key, fold)
        for at in places[bisect_left(places, runs[-1][1] + 1) :]:
            atom = self.atoms[at]
            other = self.words[atom.word]
            if self.lines[atom.line][0] != self.lines[last.line][0] or other.box[1] > word.box[3] + _WRAP * height:
                break
            if atom.line == last.line or other.first != at or other.box[1] < word.box[1] + 0.3 * height:
                continue
            if ends_line and atom.line == last.line + 1 and atom.word == self.lines[atom.line][1]:
                return at
            aligned = abs(other.box[0] - x0) < 0.5 * height
            if (other.opens or aligned) and other.box[2] > x0 - 0.5 * height and other.box[0] < x1 + 0.5 * height:
                return at
        return None

    def spot(self, runs: list[list[int]]) -> Spot:
        """The spot that runs of atoms [first, last] make."""
        first, last = self.atoms[runs[0][0]], self.atoms[runs[-1][1]]
        return Spot(
            tuple((a, b) for a, b in runs),
            self.lines[first.line][0],
            first.line,
            last.line,
            self.box(runs),
            self._clean_start(runs[0][0]) + self._clean_end(runs[-1][1]),
        )

    def _clean_start(self, at: int) -> bool:
        word = self.words[self.atoms[at].word]
        if word.opens or at != word.first:
            return True
        before = self.words[self.atoms[at].word - 1].text
        return not before[-1].isalnum() and before[-1] not in "-/&+"

    def _clean_end(self, at: int) -> bool:
        word = self.words[self.atoms[at].word]
        if word.closes or at != word.last:
            return True
        after = self.words[self.atoms[at].word + 1].text
        return not after[0].isalpha() and after[0] not in "-/&,"

    def box(self, runs: list[list[int]]) -> tuple[float, float, float, float]:
        """The box around runs of atoms; a part of a word takes its share of the word's width."""
        x0, y0, x1, y1 = float("inf"), float("inf"), float("-inf"), float("-inf")
        for first, last in runs:
            for at, right in ((first, False), (last, True)):
                atom = self.atoms[at]
                word = self.words[atom.word]
                share = (word.box[2] - word.box[0]) / len(word.text)
                edge = word.box[0] + share * (atom.end if right else atom.start)
                x0, x1 = min(x0, edge), max(x1, edge)
                y0, y1 = min(y0, word.box[1]), max(y1, word.box[3])
        return x0, y0, x1, y1

    def score(self, spot: Spot) -> float:
        """How sure the words at a spot are: that of the least sure one."""
        return min(self.words[self.atoms[at].word].score for at in spot.atoms)

    def text(self, spot: Spot) -> str:
        """What is printed at a spot, its words a blank apart."""
        parts: list[str] = []
        for first, last in spot.runs:
            for number in range(self.atoms[first].word, self.atoms[last].word + 1):
                word = self.words[number]
                start = self.atoms[max(first, word.first)].start
                parts.append(word.text[start : self.atoms[min(last, word.last)].end])
        return " ".join(parts)
