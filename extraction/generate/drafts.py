"""Guesses of what comes next, taken from the page's own lines and from the answer so far.

An extraction mostly copies. A guess costs next to nothing to verify (a pass over 32 tokens takes less than twice the
time of a pass over one), and a wrong one changes nothing: the decode loop accepts exactly what greedy decoding would
have written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

_LONGEST = 3  # tokens of context that a place in the hint is found by
_AHEAD = 40  # lines: how far below the last row its next one is looked for


class Drafter:
    """Drafts by the last row's example, else by looking up the last tokens.

    When a row of the answer is finished, the line of the page it was read from shows which cell became which value;
    the next line's cells in the same places are the next row's draft. Everywhere else the tokens after the last place
    where the answer's last tokens stand, in the page or in the answer, are the draft.

    Args:
        hint: lines of the page in the shape of an answer, `["cell","cell"],["cell"],` (`Target.hint`).
        encode: text to token ids.
        piece: a token's text.
    """

    def __init__(self, hint: str, encode: Callable[[str], list[int]], piece: Callable[[int], str]):
        self._encode, self._piece = encode, piece
        self._hint = encode(hint) if hint else []
        self._lines = _lines(hint)
        self._answer: list[int] = []
        self._row = ""
        self._in_hint = _index(self._hint)
        self._in_answer: dict[tuple[int, ...], list[int]] = {}
        self._at = 0
        self._line = 0
        self._plan: list[int] = []

    def accept(self, token: int) -> None:
        """Tell the drafter what was written."""
        self._answer.append(token)
        end = len(self._answer)
        for n in range(1, min(_LONGEST, end) + 1):
            self._in_answer.setdefault(tuple(self._answer[end - n : end]), []).append(end)
        if self._at < len(self._hint) and self._hint[self._at] == token:
            self._at += 1
        else:
            self._at = self._find() or self._at
        self._plan = self._plan[1:] if self._plan[:1] == [token] else []
        self._row += self._piece(token)
        if self._row.endswith("],"):
            start = self._row.find('["', self._row.rfind("},") + 1)
            if start >= 0:
                self._learn(self._row[start:-1])
            self._row = ""

    def _find(self) -> int | None:
        """The place in the hint after the longest suffix of the answer, the next one in reading order."""
        for n in range(min(_LONGEST, len(self._answer)), 0, -1):
            places = self._in_hint.get(tuple(self._answer[-n:]))
            if places:
                return next((place for place in places if place >= self._at), places[0])
        return None

    def _learn(self, row: str) -> None:
        """Find the line a row was read from, and plan the next line's row after its example."""
        try:
            values = list(json.loads(row))
        except ValueError:
            return
        ahead = range(self._line, min(self._line + _AHEAD, len(self._lines)))
        best = max(ahead, key=lambda i: (sum(v in self._lines[i] for v in values if v), -i), default=None)
        if best is None or not any(value in self._lines[best] for value in values if value):
            return
        cells = self._lines[best]
        self._line = best + 1
        if self._line < len(self._lines):
            following = self._lines[self._line]
            draft = [_same_place(cells, cells.index(v), following) if v in cells else None for v in values]
            while draft and draft[-1] is None:
                draft.pop()
            if draft and draft[0]:
                self._plan = self._encode(json.dumps(draft, ensure_ascii=False, separators=(",", ":")) + ",")

    def propose(self, limit: int) -> list[int]:
        """At most `limit` tokens that may follow."""
        if self._plan:
            return self._plan[:limit]
        if self._answer and self._at > 0 and self._hint[self._at - 1] == self._answer[-1]:
            return self._hint[self._at : self._at + limit]
        for n in range(min(_LONGEST, len(self._answer)), 1, -1):
            places = self._in_answer.get(tuple(self._answer[-n:]), ())
            if len(places) > 1:
                return self._answer[places[-2] : places[-2] + limit]
        return self._hint[self._at : self._at + limit]


def _lines(hint: str) -> list[list[str]]:
    try:
        lines = json.loads(f"[{hint.rstrip(',')}]")
    except ValueError:
        return []
    return [line for line in lines if isinstance(line, list)]


def _same_place(cells: Sequence[str], place: int, following: Sequence[str]) -> str | None:
    """The cell of the next line in the same place, counted from the nearer end of a line of another length."""
    if len(cells) != len(following) and place > 0:
        place += len(following) - len(cells)
    return following[place] if 0 <= place < len(following) else None


def _index(tokens: Sequence[int]) -> dict[tuple[int, ...], list[int]]:
    places: dict[tuple[int, ...], list[int]] = {}
    for end in range(1, len(tokens) + 1):
        for n in range(1, min(_LONGEST, end) + 1):
            places.setdefault(tuple(tokens[end - n : end]), []).append(end)
    return places
