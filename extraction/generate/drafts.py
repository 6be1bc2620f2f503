"""Guesses of what comes next, taken from the page's own lines and from the answer so far.

An extraction mostly copies. A guess costs little to verify (a pass over 32 tokens takes about twice the time of a pass
over one), and a wrong one changes nothing: the decode loop accepts exactly what token-by-token decoding would have
written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from extraction.values.dates import moments

_LONGEST = 4  # tokens of context that a place is looked up by
_CHARS = 4  # text to guess for each token asked for: tokens of rows are shorter
_AHEAD = 40  # lines: how far below the last row its next one is looked for
_STRING = re.compile(r'(?<=[\[,:])"((?:[^"\\]|\\.)*)"')
_NUMBER, _REMARK = re.compile(r"[<>≤≥=+-]*\s?\d"), re.compile(r":|[.;,!]$")

# A row as text: what stays, and which cell of a line goes between, cut to what was taken of it.
_Example = list[str | tuple[int, Callable[[str], str]]]


class Drafter:
    """Drafts rows from the page's lines as earlier lines became rows, else by looking up the last tokens.

    Attributes:
        lookup: the guesses without those of rows.

    Args:
        hint: lines of the page in the shape of an answer, `["cell","cell"],["cell"],` (`Target.hint`).
    """

    def __init__(self, hint: str, encode: Callable[[str], list[int]], piece: Callable[[int], str]):
        self._encode, self._piece = encode, piece
        lines = _lines(hint)
        self.lookup = Lookup(encode(hint + "".join(f'":"{date}"' for date in _dates(lines))) if hint else [])
        self._rows = Rows(lines)
        # The text since the last bracket, whether that opened, and the tokens it is in with what they have before it.
        self._text, self._open, self._tokens, self._before = "", False, list[int](), ""
        self._quoted = self._escaped = False

    def accept(self, token: int) -> None:
        """Tell the drafter what was written."""
        self.lookup.accept(token)
        self._tokens.append(token)
        piece = self._piece(token)
        for place, char in enumerate(piece):
            self._text += char
            if self._quoted:
                self._quoted = self._escaped or char != '"'
                self._escaped = char == "\\" and not self._escaped
            elif char == '"':
                self._quoted = True
            elif char in "[{":
                self._text, self._open, self._tokens, self._before = char, True, [token], piece[:place]
            elif char in "]}":
                if self._open:
                    self._rows.learn(self._text)
                self._text, self._open, self._tokens, self._before = "", False, [token], piece[: place + 1]

    def propose(self, limit: int) -> list[int]:
        """At most `limit` tokens that may follow."""
        guess = self._rows.guess(self._text, self._open, limit * _CHARS)
        if not guess:
            return self.lookup.propose(limit)
        # The tokens of the whole row less those written: alone, the guess may have others at its beginning.
        written = self._tokens
        whole = self._encode(self._before + self._text + guess)
        return (whole[len(written) :] if whole[: len(written)] == written else self._encode(guess))[:limit]


class Lookup:
    """What followed the last tokens where they stood before: in the hint, on from the last place, or in the answer."""

    def __init__(self, hint: Sequence[int]):
        self._hint, self._answer, self._at = list(hint), list[int](), 0
        self._in_hint: dict[tuple[int, ...], list[int]] = {}
        self._in_answer: dict[tuple[int, ...], list[int]] = {}
        for end in range(1, len(self._hint) + 1):
            _enter(self._in_hint, self._hint, end)

    def accept(self, token: int) -> None:
        """Tell it what was written."""
        self._answer.append(token)
        _enter(self._in_answer, self._answer, len(self._answer))

    def propose(self, limit: int) -> list[int]:
        """At most `limit` tokens that may follow."""
        for n in range(min(_LONGEST, len(self._answer)), 0, -1):
            context = tuple(self._answer[-n:])
            if places := self._in_hint.get(context):
                self._at = next((place for place in places if place >= self._at - n), places[-1])
                return self._hint[self._at : self._at + limit]
            if len(before := self._in_answer[context]) > 1:
                return self._answer[before[-2] : before[-2] + limit]
        return []


def _enter(places: dict[tuple[int, ...], list[int]], tokens: Sequence[int], end: int) -> None:
    for n in range(1, min(_LONGEST, end) + 1):
        places.setdefault(tuple(tokens[end - n : end]), []).append(end)


class Rows:
    """Rows by example: what became of one line is guessed for those of its kind below it.

    Args:
        lines: the page's cells, escaped as in JSON.
    """

    def __init__(self, lines: list[list[str]]):
        self._lines = lines
        self._at = 0  # the line after the last row's
        self._examples: dict[tuple[str, ...], _Example] = {}

    def learn(self, text: str) -> None:
        """Take a finished list or object of scalars as the example of the line it was read from."""
        values = _STRING.findall(text)

        def score(line: int) -> int:
            cells = self._lines[line]
            whole = [value in cells for value in values]
            parts = [any(value and value in cell for cell in cells) for value in values]
            return sum(whole) + sum(parts) + sum(whole[:1])

        line = max(self._ahead(self._at), key=score, default=None)
        if line is None or score(line) < 2:
            return
        example: _Example = []
        end, used = 0, set[int]()
        for match in _STRING.finditer(text):
            if source := _source(match[1], self._lines[line], used):
                example += [text[end : match.start(1)], source]
                end = match.end(1)
                used.add(source[0])
        self._examples[_kinds(self._lines[line])] = [*example, text[end:]]
        self._at = line + 1

    def guess(self, text: str, inside: bool, chars: int) -> str:
        """About `chars` characters that may follow: the end of the open row, then the rows of the lines below.

        Args:
            text: what is written of the row or, if not `inside` one, behind it.
            inside: whether a list or object of scalars is open.
            chars: how much is wanted.
        """
        if not inside or text == "[":
            rows = self._following(self._at, chars) if self._examples and text in ("", ",", "[") else ""
            return rows.removeprefix("," if text else "")
        for line in self._ahead(self._at):
            for row in (self._row(line), *self._rest(line, text)):
                if row.startswith(text) and row != text:
                    return row[len(text) :] + self._following(line + 1, chars)
        return ""

    def _ahead(self, line: int) -> range:
        return range(line, min(line + _AHEAD, len(self._lines)))

    def _row(self, line: int) -> str:
        """A line as its like became a row; one of several cells and a new kind as it is."""
        cells = self._lines[line]
        if example := self._examples.get(_kinds(cells)):
            return "".join(part if isinstance(part, str) else part[1](cells[part[0]]) for part in example)
        return _list(cells) if len(cells) > 1 else ""

    def _following(self, line: int, chars: int) -> str:
        out = ""
        for below in self._ahead(line):
            if (row := self._row(below)) and len(out) < chars:
                out += "," + row
        return out

    def _rest(self, line: int, text: str) -> Iterator[str]:
        """What is written of a list of the line's cells, then the cell that is begun and those behind it."""
        cells, values = self._lines[line], _STRING.findall(text)
        head, _, begun = text.rpartition('"')
        if values and text[0] == "[" and head[-1] in "[," and any(cell.startswith(values[0]) for cell in cells):
            last = max((n for n, cell in enumerate(cells) if cell.startswith(tuple(values))), default=-1)
            for n, cell in enumerate(cells):
                if cell.startswith(begun) and (begun or n == last + 1):
                    yield head + _list(cells[n:])[1:]


def _list(cells: Sequence[str]) -> str:
    return '["' + '","'.join(cells) + '"]'


def _source(value: str, cells: Sequence[str], used: set[int]) -> tuple[int, Callable[[str], str]] | None:
    """The cell that a value is or is in, best one not `used`, and how to cut the like of it from another cell."""
    fits = [(cell != value, n in used, n) for n, cell in enumerate(cells) if value and value in cell]
    if not fits:
        return None
    number = min(fits)[2]
    before, _, after = cells[number].partition(value)
    return number, lambda cell: cell.removeprefix(before).removesuffix(after)


def _kinds(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple("number" if _NUMBER.match(c) else "remark" if _REMARK.search(c) else "text" for c in cells)


def _dates(lines: Sequence[Sequence[str]]) -> list[str]:
    """The dates of a page as they are mostly asked for, day first and year first, those with a time of day first."""
    out = []
    for moment in (moment for line in lines for cell in line for moment in moments(cell)):
        for year, month, day in moment.readings.values():
            time = " {:02}:{:02}:{:02}".format(*(part or 0 for part in moment.time)) if moment.time else ""
            out.append(f"{day:02}-{month:02}-{year}{time}")
            out.append(f"{year}-{month:02}-{day:02}{time.replace(' ', 'T')}")
    return sorted(dict.fromkeys(out), key=lambda date: ":" not in date)


def _lines(hint: str) -> list[list[str]]:
    """The hint's cells, escaped as in JSON."""
    try:
        lines = json.loads(f"[{hint.rstrip(',')}]")
    except ValueError:
        return []
    return [[json.dumps(str(cell), ensure_ascii=False)[1:-1] for cell in line] for line in lines
            if isinstance(line, list) and line]  # fmt: skip
