"""Where a value of a record may be printed: text, number, joined headings, normalised time."""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from typing import Any

from extraction.evidence.printed import Printed, Spot
from extraction.values.dates import Day, Moment, moment, moments

_CASED = re.compile(r"result|value|(?:.*_)?units?", re.IGNORECASE)
_ONE_MARK = re.compile(r"([<>]=?|[≤≥~+-])?\s?\d+([.,])(?!\d{3}$)\d+")
_OTHER_MARK = str.maketrans(".,", ",.")


class Sought:
    """Looks up values of every kind in the index of a document."""

    def __init__(self, printed: Printed):
        self.printed = printed
        self._numbers: dict[Decimal, list[Spot]] | None = None
        self._days: dict[Day, list[tuple[Spot, Moment]]] | None = None
        self._known: dict[tuple[type, Any, bool], list[Spot]] = {}

    def spots(self, value: Any, field: str) -> list[Spot]:
        """All places of a value in reading order; empty where the document does not print it.

        A text is looked for as it stands, then with the other decimal mark (`4.2` for a printed `4,2`), in any
        case of letters (not for results and units, where case has meaning), as the moment it names, and, where
        it joins headings (`A > B`), as its pieces: the places are then those of the last piece.
        """
        cased = bool(_CASED.fullmatch(field))
        key = (type(value), value, cased)
        if key not in self._known:
            self._known[key] = self._look(value, cased)
        return self._known[key]

    def _look(self, value: Any, cased: bool) -> list[Spot]:
        if isinstance(value, bool):
            return self.printed.find(str(value).lower(), fold=True)
        if isinstance(value, int | float):
            return self._number(value)
        text = str(value)
        found = self.printed.find(text)
        if not found and _ONE_MARK.fullmatch(text):
            found = self.printed.find(text.translate(_OTHER_MARK))
        if not found and not cased:
            found = self.printed.find(text, fold=True)
        if not found and (when := moment(text)):
            found = self._moment(when)
        if not found and " > " in text:
            pieces = [self._look(piece, cased) for piece in text.split(" > ")]
            found = pieces[-1] if all(pieces) else []
        return found

    def _number(self, value: float) -> list[Spot]:
        if self._numbers is None:
            self._numbers = self._index_numbers()
        try:
            return self._numbers.get(Decimal(repr(value)).normalize(), [])
        except InvalidOperation:
            return []

    def _index_numbers(self) -> dict[Decimal, list[Spot]]:
        """Printed numbers by every value they can have."""
        index: dict[Decimal, list[Spot]] = defaultdict(list)
        texts = {atom.key for atom in self.printed.atoms if atom.key[:1].isdigit()}
        for text in texts:
            for sign in ("", "-"):
                spots = self.printed.find(sign + text)
                for meaning in _values(text) if spots else ():
                    index[Decimal(sign + meaning).normalize()] += spots
        return {number: sorted(spots, key=lambda spot: spot.runs) for number, spots in index.items()}

    def _moment(self, when: Moment) -> list[Spot]:
        if self._days is None:
            self._days = self._index_days()
        # A record writes the day first, so that only a text that cannot be read so is read otherwise.
        day = when.readings.get("DMY") or next(iter(when.readings.values()))
        found = self._days.get(day, [])
        if when.time is None:
            return [spot for spot, _ in found]
        exact = [spot for spot, other in found if other.time and _same_time(when.time, other.time)]
        if exact:
            return exact
        hour, minute, second = when.time
        bare = [spot for spot, other in found if other.time is None]
        if (hour, minute, second or 0) == (0, 0, 0):
            return bare
        # Date and time in fields of their own.
        clocks = [clock for text in _clocks(hour, minute, second) for clock in self.printed.find(text)]
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


def _same_time(wanted: tuple[int, int, int | None], printed: tuple[int, int, int | None]) -> bool:
    """Whether a time is the printed one; seconds that are not printed are 00."""
    return wanted[:2] == printed[:2] and (wanted[2] or 0) == (printed[2] or 0)


def _clocks(hour: int, minute: int, second: int | None) -> list[str]:
    seconds = f":{second:02}" if second else ""
    texts = [f"{hour:02}:{minute:02}{seconds}", f"{hour}:{minute:02}{seconds}"]
    if not second:
        texts += [f"{hour:02}:{minute:02}:00", f"{hour:02}h{minute:02}"]
    return texts


def _values(text: str) -> set[str]:
    """The values a printed number can have, as decimal texts: one mark before three digits may be of either kind."""
    text = text.replace("'", "")
    marks = re.findall("[.,]", text)
    if len(marks) <= 1:
        values = {text.replace(",", ".")}
        if re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", text):
            values.add(re.sub("[.,]", "", text))
        return values
    if not re.fullmatch(r"\d{1,3}([.,])\d{3}(\1\d{3})*([.,]\d+)?", text):
        return set()
    whole, fraction = text, ""
    if marks[-1] != marks[0]:
        whole, fraction = text[: text.rindex(marks[-1])], "." + text[text.rindex(marks[-1]) + 1 :]
    return {re.sub("[.,]", "", whole) + fraction}
