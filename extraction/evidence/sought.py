"""Where a value of a record may be printed: text, number, joined headings, normalised time."""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

from extraction.evidence.printed import Printed, PrintedWord, Spot
from extraction.values.atoms import atoms, is_grouped, is_number
from extraction.values.dates import Day, Moment, moment, moments
from extraction.values.numbers import readings
from extraction.values.units import unit

_ONE_MARK = re.compile(r"([<>]=?|[≤≥~+-])?\s?\d+([.,])(?!\d{3}$)\d+")
_CHARGES = ("+", "-", "++", "2+")
"""What a name may lack of an ion's: `Na` for a printed `Na+`."""
_OTHER_MARK = str.maketrans(".,", ",.")


class Sought:
    """Looks up values of every kind in the index of a document."""

    def __init__(self, printed: Printed):
        self.printed = printed
        self._numbers: dict[Decimal, list[Spot]] | None = None
        self._days: dict[Day, list[tuple[Spot, Moment]]] | None = None
        self._units: dict[str, list[PrintedWord]] | None = None
        self._known: dict[tuple[type, Any, str | None], list[Spot]] = {}

    def spots(self, value: Any, role: str | None = None) -> list[Spot]:
        """All places of a value in reading order; empty where the document does not print it.

        A text is looked for as it stands, then with the other decimal mark (`4.2` for a printed `4,2`), in any
        case of letters (not in the role `value` or `unit`, where case has meaning), as the moment or, in the role
        `unit`, as the unit it names, in the role `name` with the charge of an ion, and, where it joins headings
        (`A > B`), as its pieces: the places are then those of the last piece.
        """
        key = (type(value), value, role)
        if key not in self._known:
            self._known[key] = self._look(value, role)
        return self._known[key]

    def _look(self, value: Any, role: str | None) -> list[Spot]:
        if isinstance(value, bool):
            return self.printed.find(str(value).lower(), fold=True)
        if isinstance(value, int | float):
            return self._number(value)
        text = str(value)
        found = self.printed.find(text)
        if not found and _ONE_MARK.fullmatch(text):
            found = self.printed.find(text.translate(_OTHER_MARK))
        if not found and role not in ("value", "unit"):
            found = self.printed.find(text, fold=True)
        if not found and (when := moment(text)):
            found = self._moment(when, role)
        if not found and role == "unit":
            found = self._unit(text)
        if not found and role == "heading":
            found = self._by_slash(text)
        if not found and role == "name":
            found = [spot for sign in _CHARGES for spot in self.printed.find(text + sign)]
        if not found and " > " in text:
            pieces = [self._look(piece, role) for piece in text.split(" > ")]
            found = pieces[-1] if all(pieces) else []
        return found

    def _number(self, value: float) -> list[Spot]:
        if self._numbers is None:
            self._numbers = self._index_numbers()
        return self._numbers.get(Decimal(repr(value)), [])

    def _index_numbers(self) -> dict[Decimal, list[Spot]]:
        """Printed numbers by every value they can have."""
        index: dict[Decimal, list[Spot]] = defaultdict(list)
        keys = [atom.key for atom in self.printed.atoms]
        texts = {key for key in keys if is_number(key)}
        texts |= {f"{left} {right}" for left, right in pairwise(keys) if is_grouped(left, right)}
        for text in texts:
            for sign in ("", "-"):
                spots = self.printed.find(sign + text)
                for meaning in set(readings(sign + text).values()) if spots else ():
                    index[meaning] += spots
        return {number: sorted(spots, key=lambda spot: spot.runs) for number, spots in index.items()}

    def _unit(self, text: str) -> list[Spot]:
        if self._units is None:
            self._units = defaultdict(list)
            for word in self.printed.words:
                self._units[unit(word.text)].append(word)
        return [self.printed.spot([[word.first, word.last]]) for word in self._units.get(unit(text), ())]

    def _by_slash(self, text: str) -> list[Spot]:
        """Places in words of several values: `Male` in `Male/75`; not for every role, as a unit (`mg/24h`) is one."""
        own, printed, found = [key.casefold() for key in atoms(text)], self.printed, []
        for word in printed.words:
            keys = [printed.atoms[at].key.casefold() for at in range(word.first, word.last + 1)]
            for start in range(len(keys) - len(own) + 1) if own and "/" in keys else ():
                stop = start + len(own)
                if keys[start:stop] == own and {*keys[max(0, start - 1) : start], *keys[stop : stop + 1]} == {"/"}:
                    found.append(printed.spot([[word.first + start, word.first + stop - 1]]))
        return found

    def _moment(self, when: Moment, role: str | None) -> list[Spot]:
        if self._days is None:
            self._days = self._index_days()
        found = self._days.get(when.day, [])
        if when.clock is None:
            return [spot for spot, _ in found]
        exact = [spot for spot, other in found if other.clock == when.clock]
        bare = [spot for spot, other in found if other.clock is None]
        if exact or when.clock == (0, 0, 0):
            return exact or bare
        if role == "time":  # the hour of `3:58 PM` is read from the page, whatever was made of it (record/days.py)
            halves = [s for s, other in found if other.half and other.clock and other.clock[1:] == when.clock[1:]]
            if halves:
                return halves
        # Date and time in fields of their own.
        clocks = [clock for text in _clocks(*when.clock) for clock in self.printed.find(text)]
        return [s for s in bare if any(c.page == s.page and abs(c.line - s.line) <= 2 for c in clocks)]

    def _index_days(self) -> dict[Day, list[tuple[Spot, Moment]]]:
        index: dict[Day, list[tuple[Spot, Moment]]] = defaultdict(list)
        printed = self.printed
        for _, first, end in printed.lines:
            words = printed.words[first:end]
            text = " ".join(word.text for word in words)
            for found in moments(text):
                at, inside = 0, []
                for word in words:
                    if at < found.end and found.start < at + len(word.text):
                        inside.append(word)
                    at += len(word.text) + 1
                spot = printed.spot([[inside[0].first, inside[-1].last]])
                for day in found.days:
                    index[day].append((spot, found))
        return index


def _clocks(hour: int, minute: int, second: int) -> list[str]:
    seconds = f":{second:02}" if second else ""
    texts = [f"{hour:02}:{minute:02}{seconds}", f"{hour}:{minute:02}{seconds}"]
    if not second:
        texts += [f"{hour:02}:{minute:02}:00", f"{hour:02}h{minute:02}"]
    return texts
