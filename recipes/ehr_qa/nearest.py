"""What a name that no table has is nearly called: the thing one of whose sayings shares its telling words."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

from rapidfuzz import fuzz

from recipes.ehr_qa.sayings import Words, rows_of, table_of, words

NEAREST = 0.4
"""A saying that no table has is taken for one as near as this, 0 to 1; see `scripts/choose_name_guess.py`."""
AHEAD = 0.1
"""By how much the nearest thing must be nearer than the next."""
MISSPELLED = 84.0
"""A word with this ratio to one word of the sayings alone is that word, like `resolve.NEAR`."""


def nearest(which: str, kind: str) -> int | None:
    """The place of the row that has a way to say nearly this; None where none is near, or more than one."""
    asked = words(which)
    if all(len(word) < 4 for word in asked):  # "PA" is short for many things
        return None
    found = ranked_rows(_spelled_right(asked, kind), kind)
    others = (near for near, place in found if rows_of(kind)[place].english[0] != rows_of(kind)[found[0][1]].english[0])
    if not found or found[0][0] < NEAREST or found[0][0] - next(others, 0.0) < AHEAD:
        return None
    return found[0][1]


def ranked_rows(asked: Words, kind: str, but: Words = frozenset()) -> list[tuple[float, int]]:
    """How near the nearest saying of each row is to some words, 0 to 1, and the row's place; the nearest first.

    That is the weight of the words that they share, of that of all their words; a word weighs the logarithm of how few
    rows have it.

    Args:
        but: the words of a saying that is not looked at.
    """
    weight, unheard = _weights(kind), math.log(2 * len(rows_of(kind)) + 2)
    best: dict[int, float] = {}
    for own in {own for word in asked for own in _sayings_with(kind).get(word, ())} - {but}:
        shared, either = (sum(weight.get(word, unheard) for word in part) for part in (own & asked, own | asked))
        for place in table_of(kind)[own]:
            best[place] = max(best.get(place, 0.0), shared / either)
    return sorted(((near, place) for place, near in best.items()), key=lambda one: (-one[0], one[1]))


def _spelled_right(asked: Words, kind: str) -> Words:
    """Words that no saying has as the one word of the sayings that is spelled like them."""
    known = _sayings_with(kind)
    near = {word: [one for one in known if len(one) > 4 and fuzz.ratio(word, one) >= MISSPELLED]
            for word in asked if word not in known and len(word) > 4}  # fmt: skip
    return frozenset(near[word][0] if len(near.get(word, ())) == 1 else word for word in asked)


@cache
def _sayings_with(kind: str) -> dict[str, list[Words]]:
    found: dict[str, list[Words]] = {}
    for own in table_of(kind):
        for word in own:
            found.setdefault(word, []).append(own)
    return found


@cache
def _weights(kind: str) -> dict[str, float]:
    rows: dict[int, set[str]] = {}
    for own, places in table_of(kind).items():
        for place in places:
            rows.setdefault(place, set()).update(own)
    counts = Counter(word for own in rows.values() for word in own)
    return {word: math.log((len(rows) + 1) / (count + 0.5)) for word, count in counts.items()}
