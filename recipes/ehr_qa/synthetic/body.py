"""What is measured of an invented patient: values that run through the years and follow from the conditions."""

from __future__ import annotations

import random
from collections.abc import Set
from datetime import date
from typing import Any

from recipes.ehr_qa.synthetic.chart import LOINC, SNOMED, Resource
from recipes.ehr_qa.synthetic.habits import Habits
from recipes.ehr_qa.synthetic.people import Person
from recipes.ehr_qa.vocabulary import Measurement

UCUM = "http://unitsofmeasure.org"


class Body:
    """Each measurement has a level of its own, drifts slowly, and scatters from day to day."""

    def __init__(self, rng: random.Random, habits: Habits, person: Person):
        self._rng = rng
        self._habits = habits
        self._person = person
        self._levels: dict[str, tuple[float, float]] = {}
        self._words: dict[str, str] = {}
        self._height = rng.gauss(163 if person.sex == "f" else 177, 6.5)

    def measure(self, what: Measurement, day: date, groups: Set[str]) -> dict[str, Any]:
        """An Observation's value.

        Args:
            what: the measurement.
            day: its day.
            groups: conditions by then, and their groups.
        """
        if what.words:
            word = self._words.setdefault(what.name, self._rng.choice(what.words))
            word = word if self._rng.random() < 0.75 else self._rng.choice(what.words)
            kind = ("valueString", word) if self._rng.random() < 0.2 else ("valueCodeableConcept", None)
            return {kind[0]: kind[1] or {"coding": [{"system": SNOMED, "display": word}], "text": word}}
        value, unit = self._number(what, day, groups), what.unit
        fields: dict[str, Any] = {}
        if self._habits.flags and not what.range[0] <= value <= what.range[1]:
            fields["interpretation"] = [{"text": "High" if value > what.range[1] else "Low"}]
        if what.si and self._habits.si:
            unit, value = what.si[0], value * what.si[1]
        return {"valueQuantity": self.quantity(value, unit, what.places), **fields}

    def pressure(self, day: date, groups: Set[str]) -> list[Resource]:
        """The components of a blood pressure."""
        high = frozenset({"hypertensive disorder"})
        parts = [
            Measurement("Systolic Blood Pressure", "Systolic blood pressure", "mm[Hg]", (98, 139), high=high),
            Measurement("Diastolic Blood Pressure", "Diastolic blood pressure", "mm[Hg]", (62, 89), high=high),
        ]
        return [
            {
                "code": {"coding": [{"system": LOINC, "display": self.label(part)}], "text": self.label(part)},
                "valueQuantity": self.quantity(self._number(part, day, groups), part.unit),
            }
            for part in (parts if self._habits.systolic_first else parts[::-1])
        ]

    def label(self, what: Measurement) -> str:
        """The name of a measurement in this bundle."""
        return what.short if self._habits.short else what.name

    def quantity(self, value: float, unit: str, places: int | None = None) -> Resource:
        """A Quantity with as many digits as the bundle gives."""
        if places != 0 and self._habits.long_numbers:
            shown: float = value
        else:
            usual = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
            places = usual if places is None else places
            shown = round(value) if places == 0 else round(value, places)
        comparator = {"comparator": self._rng.choice("<>")} if self._rng.random() < 0.004 else {}
        return {**comparator, "value": shown, "unit": unit, "system": UCUM, "code": unit}

    def _number(self, what: Measurement, day: date, groups: Set[str]) -> float:
        rng, age = self._rng, (day - self._person.born).days / 365.25
        level, drift = self._levels.setdefault(what.name, (rng.random(), rng.gauss(0, 0.025)))
        share = min(1.04, max(-0.04, level + drift * (age - self._person.age(self._person.last)) + rng.gauss(0, 0.11)))
        low, high = what.range
        if what.name in ("Body Height", "Body Weight", "Body Mass Index"):
            height = min(self._height, 76 + 6 * age)
            mass, drift = self._levels.setdefault("mass", (rng.uniform(18.5, 33), rng.gauss(0, 0.15)))
            mass = mass + drift * (age - self._person.age(self._person.last)) if age > 18 else 15 + 0.3 * age
            mass = max(13.0, mass + rng.gauss(0, 0.2))
            return {"Body Height": height, "Body Mass Index": mass}.get(what.name, mass * height**2 / 10_000)
        if groups & what.high:
            return high + (high - low) * (0.05 + abs(share))
        if groups & what.low:
            return low * (1 - 0.4 * abs(share)) if low > 0 else low - (high - low) * 0.4 * abs(share)
        return max(low + (high - low) * share, low * 0.8)
