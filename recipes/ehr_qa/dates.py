"""Dates as FHIR prints them: kept letter by letter, and marked where they cannot be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

_FORM = re.compile(r"(\d{4}(?:-\d\d(?:-\d\d)?)?)(?:T(\d\d:\d\d(?::\d\d)?(?:\.\d+)?)(Z|[+-]\d\d:\d\d)?)?")
FIRST_YEAR, LAST_YEAR = 1850, 2100


@dataclass(frozen=True, order=True)
class When:
    """A FHIR date or time.

    Attributes:
        day: `YYYY-MM-DD`, `YYYY-MM` or `YYYY`, as printed; all that is printed where it is no date.
        clock: the time of day as printed; empty where only the day is.
        offset: `Z` or `+HH:MM`.
        problem: why it cannot be: "no such date", "not plausible", "before birth"; empty where it can.
    """

    day: str
    clock: str = ""
    offset: str = ""
    problem: str = ""

    @property
    def sound(self) -> bool:
        """Whether it is a whole day that can be: what a question may ask for."""
        return not self.problem and len(self.day) == 10

    @property
    def mark(self) -> str:
        """What stands behind it in the text."""
        return f" [{self.problem}]" if self.problem else ""

    def before(self, other: When) -> bool:
        """Whether it is earlier for certain, as far as both are printed."""
        shared = min(len(self.day), len(other.day))
        if self.day[:shared] != other.day[:shared]:
            return self.day[:shared] < other.day[:shared]
        both = self.clock and other.clock and self.offset == other.offset
        return bool(both) and self.clock < other.clock

    def full(self) -> str:
        """Day and time of day as printed, with a space for the T."""
        return f"{self.day} {self.clock}{self.offset}".strip() + self.mark


def read_when(value: Any, born: str = "") -> When | None:
    """A FHIR `date`, `dateTime` or `instant`; None where there is nothing.

    Args:
        value: the JSON value.
        born: the birth date; what comes before it is marked.
    """
    if value is None or value == "":
        return None
    found = _FORM.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return When(str(value), problem="no such date")
    day, clock, offset = found[1], found[2] or "", found[3] or ""
    shared = min(len(day), len(born))  # a birth date may be a year only
    problem = ""
    try:
        date.fromisoformat(day + "-01-01"[len(day) - 4 :])
    except ValueError:
        problem = "no such date"
    else:
        if not FIRST_YEAR <= int(day[:4]) <= LAST_YEAR:
            problem = "not plausible"
        elif born and day[:shared] < born[:shared]:
            problem = "before birth"
    return When(day, clock, offset, problem)
