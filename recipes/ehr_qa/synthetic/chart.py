"""A bundle in the making: FHIR R4 resources as Synthea writes them, and the lines that their record will have."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from recipes.ehr_qa.bundle import SHARED
from recipes.ehr_qa.facts import KINDS
from recipes.ehr_qa.synthetic.habits import Habits

Resource = dict[str, Any]

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX = "http://hl7.org/fhir/sid/cvx"
NPI = "http://hl7.org/fhir/sid/us-npi"
_HL7 = "http://terminology.hl7.org/CodeSystem/"
_OWNER = {"Immunization", "AllergyIntolerance", "Claim", "ExplanationOfBenefit", "Device"}


class Chart:
    """Collects the resources of one patient.

    Args:
        rng: decides all that is drawn.
        habits: how the bundle is written.
    """

    def __init__(self, rng: random.Random, habits: Habits):
        self.rng = rng
        self.habits = habits
        self._entries: list[tuple[str, Resource]] = []
        self._sections: set[str] = set()
        self._lines = 1  # the last one counts what has no line
        self._patient: Resource = {}

    @property
    def lines(self) -> int:
        """How many lines the record has so far."""
        return self._lines + len(self._sections - {"patient"})

    def add(self, kind: str, when: datetime | None = None, **fields: Any) -> Resource:
        """One more resource, of the patient where its type has one; None among the fields is left out."""
        resource: Resource = {"resourceType": kind, "id": str(UUID(int=self.rng.getrandbits(128), version=4))}
        resource |= {name: value for name, value in fields.items() if value is not None}
        if kind == "Patient":
            self._patient = resource
        elif kind == "Provenance":
            resource["target"] = [self.refer(self._patient)]
        elif kind not in SHARED:
            resource["patient" if kind in _OWNER else "subject"] = self.refer(self._patient)
        if kind in KINDS:
            self._lines += 1
            self._sections.add(KINDS[kind][0])
        self._entries.append((when.isoformat() if when else "", resource))
        return resource

    def bundle(self) -> Resource:
        """The transaction bundle: people and houses first, then all else as it happened."""
        resources = [resource for _, resource in sorted(self._entries, key=lambda entry: entry[0])]
        return {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "fullUrl": f"urn:uuid:{resource['id']}",
                    "resource": resource,
                    "request": {"method": "POST", "url": resource["resourceType"]},
                }
                for resource in resources
            ],
        }

    def refer(self, resource: Resource, display: str = "") -> Resource:
        """A reference to a resource of this bundle."""
        number = resource["identifier"][0]["value"] if resource["resourceType"] == "Practitioner" else ""
        by_number = number and self.habits.by_number
        text = f"Practitioner?identifier={NPI}|{number}" if by_number else f"urn:uuid:{resource['id']}"
        return {"reference": text, "display": display} if display and self.habits.displays else {"reference": text}

    def concept(self, name: str, system: str = SNOMED, code: str = "", tag: str = "") -> Resource:
        """A name as a CodeableConcept; a code only where the tables have one."""
        display = f"{name} ({tag})" if tag and self.habits.tags else name
        coding = {"system": system, "display": display} | ({"code": code} if code else {})
        return {"coding": [coding], "text": display}

    def coded(self, system: str, code: str) -> Resource:
        """A code of one of HL7's own systems."""
        return {"coding": [{"system": _HL7 + system, "code": code}]}

    def at(self, day: date) -> datetime:
        """A day's time at which something starts."""
        clock = self.habits.clock or time(self.rng.randint(7, 18), self.rng.choice((0, 10, 15, 30, 40, 45)))
        return datetime.combine(day, clock)

    def stamp(self, when: datetime) -> str:
        """A FHIR dateTime."""
        return when.isoformat(timespec="seconds") + self.habits.offset

    def stamp_short(self, when: datetime) -> str:
        """A dateTime where many systems have a date only."""
        return when.date().isoformat() if self.habits.day_only else self.stamp(when)

    def period(self, start: datetime, minutes: int) -> dict[str, str]:
        """A period from a start on."""
        return {"start": self.stamp(start), "end": self.stamp(start + timedelta(minutes=minutes))}

    def results(self, title: str, tests: Sequence[Resource], when: datetime, encounter: Resource) -> None:
        """A report on observations."""
        self.add(
            "DiagnosticReport",
            when,
            status="final",
            category=[self.coded("v2-0074", "LAB")],
            code=self.concept(title, LOINC),
            encounter=self.refer(encounter),
            effectiveDateTime=self.stamp(when),
            issued=self.stamp(when),
            result=[self.refer(test, test["code"]["text"]) for test in tests],
        )
