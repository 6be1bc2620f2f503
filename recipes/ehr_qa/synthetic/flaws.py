"""What is absurd or missing in real exports, put into a bundle on purpose."""

from __future__ import annotations

import random
from collections.abc import Callable

from recipes.ehr_qa.synthetic.chart import Resource
from recipes.ehr_qa.synthetic.people import Person

Flaw = Callable[[random.Random, Resource, Person], None]


def _lost(rng: random.Random, kind: str) -> Resource:
    # by type and number: all references by urn:uuid resolve
    return {"reference": f"{kind}/{rng.randint(1000, 99999)}"}


def _no_prescriber(rng: random.Random, resource: Resource, person: Person) -> None:
    resource.pop("requester", None)


def _lost_prescriber(rng: random.Random, resource: Resource, person: Person) -> None:
    display = resource.get("requester", {}).get("display")
    resource["requester"] = _lost(rng, "Practitioner") | ({"display": display} if display else {})


def _lost_reason(rng: random.Random, resource: Resource, person: Person) -> None:
    resource.pop("reasonCode", None)
    resource["reasonReference"] = [_lost(rng, "Condition")]


def _undated(rng: random.Random, resource: Resource, person: Person) -> None:
    resource.pop("authoredOn", None)


def _before_birth(rng: random.Random, resource: Resource, person: Person) -> None:
    resource["onsetDateTime"] = person.born.replace(day=1, year=person.born.year - rng.randint(1, 60)).isoformat()


def _no_such_day(rng: random.Random, resource: Resource, person: Person) -> None:
    resource["onsetDateTime"] = f"{person.last.year}-{rng.choice(('02-30', '06-31', '13-01', '00-00'))}"


def _year_only(rng: random.Random, resource: Resource, person: Person) -> None:
    resource["onsetDateTime"] = resource["onsetDateTime"][: rng.choice((4, 7))]


def _no_status(rng: random.Random, resource: Resource, person: Person) -> None:
    resource.pop("clinicalStatus", None)


def _unsure(rng: random.Random, resource: Resource, person: Person) -> None:
    code = rng.choice(("provisional", "unconfirmed", "refuted", "entered-in-error"))
    resource["verificationStatus"] = {"coding": [{"code": code}]}


def _mistaken(rng: random.Random, resource: Resource, person: Person) -> None:
    resource["status"] = rng.choice(("entered-in-error", "preliminary", "corrected"))


def _no_value(rng: random.Random, resource: Resource, person: Person) -> None:
    for name in ("valueQuantity", "valueString", "valueCodeableConcept", "component"):
        resource.pop(name, None)
    resource["dataAbsentReason"] = {"text": rng.choice(("Not performed", "Unknown", "Error"))}


def _turned(rng: random.Random, resource: Resource, person: Person) -> None:
    period = resource["period"]
    resource["period"] = {"start": period["end"], "end": period["start"]}


FLAWS: tuple[tuple[str, Flaw], ...] = (
    ("MedicationRequest", _no_prescriber),
    ("MedicationRequest", _no_prescriber),
    ("MedicationRequest", _lost_prescriber),
    ("MedicationRequest", _lost_prescriber),
    ("MedicationRequest", _lost_reason),
    ("MedicationRequest", _undated),
    ("Condition", _before_birth),
    ("Condition", _no_such_day),
    ("Condition", _year_only),
    ("Condition", _no_status),
    ("Condition", _unsure),
    ("Observation", _mistaken),
    ("Observation", _no_value),
    ("Observation", _no_value),
    ("Encounter", _turned),
)


def spoil(rng: random.Random, bundle: Resource, person: Person) -> None:
    """Put none, one or some flaws into a bundle."""
    for _ in range(rng.choices((0, 1, 3), (80, 15, 5))[0]):
        kind, flaw = rng.choice(FLAWS)
        found = [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]
        if found:
            flaw(rng, rng.choice(found), person)
