"""The patient, the clinicians and the houses of an invented record."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

from recipes.ehr_qa.synthetic.chart import NPI, Chart, Resource
from recipes.ehr_qa.synthetic.habits import Picker
from recipes.ehr_qa.vocabulary import HELD, PEOPLE

_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"


@dataclass(frozen=True)
class Person:
    """The patient.

    Attributes:
        sex: "f" or "m".
        born: the day of birth.
        last: the day of the last entry; of death where `died`.
        died: the record ends with the patient's death.
    """

    sex: str
    born: date
    last: date
    died: bool

    def age(self, day: date) -> int:
        """Whole years on a day."""
        return day.year - self.born.year - ((day.month, day.day) < (self.born.month, self.born.day))


def _written(name: str, chart: Chart) -> str:
    return f"{name}{chart.rng.randint(1, 999)}" if chart.habits.digits else name


def add_patient(chart: Chart, picker: Picker) -> Person:
    """The Patient; a validation patient's family name is never one of training."""
    rng = chart.rng
    age = rng.choice((rng.randint(1, 17), rng.randint(18, 50), rng.randint(40, 90), rng.randint(55, 92)))
    last = date(1985, 1, 1) + timedelta(days=rng.randrange(40 * 365))
    born = last - timedelta(days=age * 365 + rng.randrange(365))
    sex, died = rng.choice("fm"), rng.random() < (0.25 if age > 50 else 0.03)
    person = Person(sex, born, last, died)
    town, state, language, _ = rng.choice([row for row in PEOPLE["towns"] if row[3] != chart.habits.abroad])
    given = [_written(name, chart) for name in rng.sample(PEOPLE["female" if sex == "f" else "male"], 2)]
    families = [name for name in PEOPLE["families"] if (name in HELD) == picker.held_out]
    family = _written(rng.choice(families), chart)
    prefix = rng.choice(PEOPLE["prefixes"][sex]) if age > 17 and rng.random() < 0.7 else ""
    name = {"use": "official", "family": family, "given": given[: rng.choice((1, 1, 2))]}
    married = rng.choice("MSDW") if age > 20 and rng.random() < 0.8 else ""
    at = chart.at(born)
    chart.add(
        "Patient",
        extension=None if chart.habits.abroad else _extensions(rng, language),
        name=[name | ({"prefix": [prefix]} if prefix else {})],
        gender={"f": "female", "m": "male"}[sex],
        birthDate=born.isoformat(),
        deceasedDateTime=chart.stamp(at.combine(last, at.time())) if died else None,
        address=[{"city": town, "state": state} if state else {"city": town}] if rng.random() < 0.9 else None,
        maritalStatus=chart.coded("v3-MaritalStatus", married) | {"text": married} if married else None,
        communication=[{"language": {"text": language}}] if rng.random() < 0.85 else None,
    )
    return person


def _extensions(rng: random.Random, language: str) -> list[Resource]:
    """US Core's race and ethnicity."""
    hispanic = language == "Spanish" or rng.random() < 0.1
    ethnicity = "Hispanic or Latino" if hispanic else "Not Hispanic or Latino"
    return [
        {"url": _CORE + name, "extension": [{"url": "text", "valueString": text}]}
        for name, text in (("race", rng.choice(PEOPLE["races"])), ("ethnicity", ethnicity))
    ]


@dataclass(frozen=True)
class Clinician:
    """A practitioner and how the name is written."""

    resource: Resource
    name: str
    house: Resource


def add_clinicians(chart: Chart, picker: Picker, count: int) -> list[Clinician]:
    """Practitioners, each with the organization they work for; the first is the patient's own."""
    rng, houses = chart.rng, []
    for _ in range(rng.randint(1, max(1, count - 1))):
        pattern = rng.choice(PEOPLE["houses"]["abroad" if chart.habits.abroad else "home"])
        town = rng.choice([row[0] for row in PEOPLE["towns"] if row[3] != chart.habits.abroad])
        name = pattern.format(town if chart.habits.abroad else town.upper())
        houses.append(chart.add("Organization", name=name, active=True))
    found = []
    style = rng.choice(PEOPLE["titles"])
    for _ in range(count):
        before, behind = style if rng.random() < 0.8 else rng.choice(PEOPLE["titles"])
        sex = rng.choice(("female", "male"))
        given, family = _written(rng.choice(PEOPLE[sex]), chart), _written(picker.pick(PEOPLE["families"]), chart)
        name = {"family": family, "given": [given]}
        name |= ({"prefix": [before]} if before else {}) | ({"suffix": [behind]} if behind else {})
        number = str(rng.randrange(10**9, 10**10) if rng.random() < 0.7 else rng.randrange(100, 99999))
        resource = chart.add(
            "Practitioner", identifier=[{"system": NPI, "value": number}], active=True, name=[name], gender=sex
        )
        written = " ".join(part for part in (before, given, family, behind) if part)
        found.append(Clinician(resource, written, rng.choice(houses)))
    return found
