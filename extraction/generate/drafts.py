"""Guesses of what comes next, taken from the page's own words and from the answer so far.

An extraction mostly copies. A guess costs next to nothing to verify (a pass over 16 tokens takes little longer
than a pass over one), and a wrong one changes nothing: the decode loop accepts exactly what greedy decoding
would have written.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 3


class Drafter:
    """Prompt-lookup drafts with a reading position.

    Args:
        hint: token ids of text the answer will repeat in pieces, in about its order.
    """

    def __init__(self, hint: Sequence[int]):
        self._hint = list(hint)
        self._answer: list[int] = []
        self._in_hint = _index(self._hint)
        self._in_answer: dict[tuple[int, ...], list[int]] = {}
        self._at = 0

    def accept(self, tokens: Sequence[int]) -> None:
        """Tell the drafter what was written."""
        for token in tokens:
            self._answer.append(token)
            end = len(self._answer)
            for n in range(1, min(_LONGEST, end) + 1):
                self._in_answer.setdefault(tuple(self._answer[end - n : end]), []).append(end)
            if self._at < len(self._hint) and self._hint[self._at] == token:
                self._at += 1
            else:
                self._at = self._find() or self._at

    def _find(self) -> int | None:
        """The place in the hint after the longest suffix of the answer, the next one in reading order."""
        for n in range(min(_LONGEST, len(self._answer)), 0, -1):
            places = self._in_hint.get(tuple(self._answer[-n:]))
            if places:
                return next((place for place in places if place >= self._at), places[0])
        return None

    def propose(self, limit: int) -> list[int]:
        """At most `limit` tokens that may follow."""
        if self._answer and self._at > 0 and self._hint[self._at - 1] == self._answer[-1]:
            return self._hint[self._at : self._at + limit]
        for n in range(min(_LONGEST, len(self._answer)), 1, -1):
            places = self._in_answer.get(tuple(self._answer[-n:]), ())
            if len(places) > 1:
                return self._answer[places[-2] : places[-2] + limit]
        return self._hint[self._at : self._at + limit]


def _index(tokens: Sequence[int]) -> dict[tuple[int, ...], list[int]]:
    places: dict[tuple[int, ...], list[int]] = {}
    for end in range(1, len(tokens) + 1):
        for n in range(1, min(_LONGEST, end) + 1):
            places.setdefault(tuple(tokens[end - n : end]), []).append(end)
    return places
