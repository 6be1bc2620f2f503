"""How one patient's bundle is written: the habits of the system that it seems to come from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import TypeVar

from recipes.ehr_qa.vocabulary import HELD, Care, Condition, Measurement

Thing = TypeVar("Thing", str, Condition, Measurement, Care)


@dataclass(frozen=True)
class Habits:
    """Choices that hold for a whole bundle.

    Attributes:
        abroad: not in the USA.
        offset: behind each time of day.
        clock: the time at which all encounters start, as Synthea has it; None where each has its own.
        day_only: conditions and prescriptions carry a day without a time.
        tags: displays keep SNOMED's tag.
        digits: names of people end in digits, as Synthea's do.
        short: measurements have their short names.
        si: values are in the other unit, where there is one.
        long_numbers: values have all digits of a computation.
        flags: laboratory values out of range are marked.
        systolic_first: the order of a blood pressure's parts.
        by_number: practitioners are referred to by their number, not by resource.
        displays: references carry a display.
        coded_reasons: reasons are codes instead of references.
        separate_drugs: a prescription refers to a Medication.
        reasons: how often a prescription says what it is for.
        dosage: "", "structured" or "text", how dosage is written.
        routine: a life of check-ups by one clinician, with the same measurements each time, few illnesses, fewer drugs.
    """

    abroad: bool
    offset: str
    clock: time | None
    day_only: bool
    tags: bool
    digits: bool
    short: bool
    si: bool
    long_numbers: bool
    flags: bool
    systolic_first: bool
    by_number: bool
    displays: bool
    coded_reasons: bool
    separate_drugs: bool
    reasons: float
    dosage: str
    routine: bool


def draw_habits(rng: random.Random) -> Habits:
    """Habits in the mixture that records show, Synthea's own the most common."""

    def often(share: float) -> bool:
        return rng.random() < share

    abroad = often(0.3)
    clock = time(rng.randrange(24), rng.randrange(60), rng.randrange(60))
    home = ("+00:00", "+00:00", "-05:00", "-04:00", "-08:00", "Z")
    return Habits(
        abroad=abroad,
        offset=rng.choice(("+01:00", "+02:00", "+00:00", "Z") if abroad else home),
        clock=clock if often(0.75) else None,
        day_only=often(0.12),
        tags=often(0.5),
        digits=often(0.45) and not abroad,
        short=often(0.3),
        si=often(0.8 if abroad else 0.05),
        long_numbers=often(0.5),
        flags=often(0.15),
        systolic_first=often(0.5),
        by_number=often(0.2),
        displays=often(0.4),
        coded_reasons=often(0.15),
        separate_drugs=often(0.1),
        reasons=rng.choice((0.5, 0.75, 0.95)),
        dosage=rng.choice(("", "", "structured", "text")),
        routine=often(0.5),
    )


class Picker:
    """Picks names: in training never one that is held out, in validation these more often than by chance."""

    def __init__(self, rng: random.Random, held_out: bool):
        self._rng = rng
        self.held_out = held_out

    def known(self, things: Sequence[Thing]) -> list[Thing]:
        """Those that may stand in this patient's record."""
        return [one for one in things if self.held_out or _name(one) not in HELD]

    def pick(self, things: Sequence[Thing]) -> Thing:
        """One of several; there must be one that is not held out."""
        if self.held_out and self._rng.random() < 0.35:
            held = [one for one in things if _name(one) in HELD]
            if held:
                return self._rng.choice(held)
        return self._rng.choice(self.known(things))


def _name(thing: str | Condition | Measurement | Care) -> str:
    return thing if isinstance(thing, str) else thing.name
