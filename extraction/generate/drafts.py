"""Guesses of what comes next, taken from the page's own lines and from the answer so far.

An extraction mostly copies. A guess costs little to verify (a pass over 32 tokens takes about twice the time of a pass
over one), and a wrong one changes nothing: the decode loop accepts exactly what token-by-token decoding would have
written. It is prompt lookup (Saxena 2023) in another text than the prompt: the page's lines as an answer would have
them, and its dates as they are mostly asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from extraction.values.dates import moments

_LONGEST = 4  # tokens of context that a place is looked up by


class Drafter:
    """What followed the last tokens where they stood before: in the hint, on from the last place, or in the answer.

    Args:
        hint: tokens that an answer may copy (`hint_text`).
    """

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


def hint_text(lines: str) -> str:
    """What an answer may copy: a page's lines in the shape of an answer (`Target.hint`), then the page's dates.

    Dates follow as they are mostly asked for, day first and year first, those with a time of day before the others.
    """
    dates = []
    for moment in (moment for cell in lines.split('"') for moment in moments(cell)):
        for year, month, day in moment.readings.values():
            time = " {:02}:{:02}:{:02}".format(*(part or 0 for part in moment.time)) if moment.time else ""
            dates.append(f"{day:02}-{month:02}-{year}{time}")
            dates.append(f"{year}-{month:02}-{day:02}{time.replace(' ', 'T')}")
    return lines + "".join(f'":"{date}"' for date in sorted(dict.fromkeys(dates), key=lambda date: ":" not in date))
