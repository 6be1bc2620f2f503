"""A patient's record: FHIR resources as numbered lines of plain text, each traceable to its resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recipes.ehr_qa.bundle import SHARED, Bundle, FhirError, References, at, read_bundles
from recipes.ehr_qa.dates import When, read_when
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.facts import KINDS, Reader

SECTIONS = {
    "patient": "",
    "allergy": "Allergies",
    "condition": "Conditions",
    "medication": "Medications",
    "immunization": "Immunizations",
    "procedure": "Procedures and imaging",
    "observation": "Observations",
    "report": "Diagnostic reports",
    "care_plan": "Care plans and goals",
    "encounter": "Encounters",
}

# What a token budget takes away, first to last; in each class the oldest first, what is undated before.
GIVES_WAY = (
    "routine observations (vital signs, surveys, social history) that have a later one of the same name",
    "encounters",
    "diagnostic reports",
    "other observations that have a later one of the same name",
    "care plans and goals",
    "procedures and imaging",
    "immunizations",
    "the latest routine observations",
    "the latest other observations",
    "medications that are not active",
    "conditions that are not active",
)
# Never: the patient, allergies, active conditions, active medications.


@dataclass(frozen=True)
class RecordLine:
    """A line of a record.

    Attributes:
        text: what is printed, without the line's number.
        resource: `Type/id` of the resource it says; None for a heading.
        kind: the section, a key of `SECTIONS`.
    """

    text: str
    resource: str | None
    kind: str


@dataclass(frozen=True)
class PatientRecord:
    """One patient's record as text.

    Attributes:
        patient: the Patient's id.
        facts: what the lines say, in the order of the lines.
        omitted: facts a budget took away, by section.
        not_shown: resources of types that have no line, by type.
        file: of the bundle; of an export the folder or file that it lies in.
        part: what is said where the file is only a part of the record: one page of a search.
    """

    patient: str
    facts: tuple[Fact, ...]
    omitted: Mapping[str, int]
    not_shown: Mapping[str, int]
    file: str = ""
    part: str = ""

    @cached_property
    def lines(self) -> tuple[RecordLine, ...]:
        """The lines; line number n, counted from 1, is `lines[n - 1]`."""
        lines = []
        for kind, title in SECTIONS.items():
            facts, gone = [fact for fact in self.facts if fact.kind == kind], self.omitted.get(kind, 0)
            if title and (facts or gone):
                note = f" ({gone} of {gone + len(facts)} lines left out)" if gone else ""
                lines.append(RecordLine(title + note, None, kind))
            lines += [RecordLine(fact.text, fact.resource, kind) for fact in facts]
        if self.lost:
            lines.append(RecordLine(f"Not shown: {self.lost}", None, "not_shown"))
        if self.part:
            lines.append(RecordLine(self.part, None, "not_shown"))
        return tuple(lines)

    @property
    def lost(self) -> str:
        """The resources that have no line, by type: `39 Claim, 2 Coverage`; empty where there are none."""
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.not_shown.items()))

    @cached_property
    def text(self) -> str:
        """All lines, each behind its number: `12: Viral sinusitis: active, onset 1990-05-06`."""
        return "\n".join(f"{number}: {line.text}" for number, line in enumerate(self.lines, 1))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The line number of each resource, by `Type/id`."""
        return {line.resource: number for number, line in enumerate(self.lines, 1) if line.resource}

    def fit(self, budget: int, count: Callable[[str], int], kept: Sequence[Fact] = ()) -> PatientRecord:
        """The record within a number of tokens: `GIVES_WAY` says what goes first, the headings how much is gone.

        Args:
            budget: the most tokens its text may have.
            count: the number of tokens of a text.
            kept: facts that go after all others, the last of them first.

        Returns:
            The record itself where it fits; otherwise one with as few lines taken away as the order allows. Lines are
            numbered anew.

        Raises:
            FhirError: what never gives way is over the budget already.
        """
        if count(self.text) <= budget:
            return self
        last = {fact.resource: place for place, fact in enumerate(reversed(kept), 1)}
        order = sorted(_giving_way(self.facts), key=lambda fact: last.get(fact.resource, 0))
        low, high = 0, len(order)  # `low` lines away are too few; are `high` enough?
        least = self._without(order)
        needed = count(least.text)
        if needed > budget:
            raise FhirError(
                f"The record of Patient/{self.patient} needs {needed} tokens for its patient, allergies, active "
                f"conditions and active medications alone, over the budget of {budget}; raise the budget."
            )
        while high - low > 1:
            middle = (low + high) // 2
            if count(self._without(order[:middle]).text) <= budget:
                high = middle
            else:
                low = middle
        return self._without(order[:high])

    def _without(self, gone: Sequence[Fact]) -> PatientRecord:
        names = {fact.resource for fact in gone}
        kept = tuple(fact for fact in self.facts if fact.resource not in names)
        omitted = Counter(fact.kind for fact in gone) + Counter(self.omitted)
        return PatientRecord(self.patient, kept, dict(omitted), self.not_shown, self.file, self.part)


def _giving_way(facts: Sequence[Fact]) -> list[Fact]:
    """The facts that a budget may take away, first to last."""
    latest: dict[str, Fact] = {}
    for fact in facts:
        if fact.kind == "observation" and (fact.name not in latest or _age(latest[fact.name]) <= _age(fact)):
            latest[fact.name] = fact

    def rank(fact: Fact) -> int | None:
        if fact.kind == "observation":
            return ((0, 3), (7, 8))[latest[fact.name] is fact][not fact.routine]
        if fact.kind in ("condition", "medication"):
            # a condition without a clinical status may well be active
            return (
                None if fact.status in ("active", "recurrence", "relapse", "") else (10, 9)[fact.kind == "medication"]
            )
        return {"encounter": 1, "report": 2, "care_plan": 4, "procedure": 5, "immunization": 6}.get(fact.kind)

    ranked = [(rank(fact), _age(fact), place, fact) for place, fact in enumerate(facts)]
    kept = [(order, age, place, fact) for order, age, place, fact in ranked if order is not None]
    return [fact for *_, fact in sorted(kept, key=lambda item: item[:3])]


def _age(fact: Fact) -> tuple[str, str]:
    when = fact.start or fact.end
    return (when.day, when.clock) if when else ("", "")


def read_record(path: Path, context: Sequence[Path] = ()) -> PatientRecord:
    """The record of a file's or folder's one patient.

    Args:
        path: see `bundle.read_bundles`.
        context: bundles of hospitals and practitioners that `path` refers to.

    Raises:
        FhirError: it cannot be read, or holds no patient or several.
    """
    records = read_records(path, context)
    if len(records) != 1:
        raise FhirError(f"{path.name} holds {len(records)} patients; name the file of one.")
    return records[0]


def read_records(path: Path, context: Sequence[Path] = ()) -> list[PatientRecord]:
    """The records of all patients of a file or folder, in the order of their ids.

    A `.json` bundle holds one patient. A folder may hold many bundles, each of one patient, and bundles of hospitals
    and practitioners, which serve them all. An NDJSON export may hold many patients: its resources are told apart by
    their `subject` or `patient`.

    Raises:
        FhirError: something cannot be read, a bundle has no patient or two, two records are of one patient, or a
            resource of an export names no patient of it.
    """
    bundles = read_bundles(path)
    beside = [bundle for one in context for bundle in read_bundles(one)]
    own = [bundle for bundle in bundles if not bundle.shared_only]
    beside = [bundle for bundle in bundles if bundle.shared_only] + beside
    records: dict[str, PatientRecord] = {}
    for bundle in own or bundles:
        for part in _patients(bundle):
            record = _record(part, [bundle, *beside])
            if record.patient in records:
                raise FhirError(f"{path.name} holds two records of Patient/{record.patient}; keep one.")
            records[record.patient] = record
    return [records[name] for name in sorted(records)]


def _patients(bundle: Bundle) -> list[Bundle]:
    """A bundle of one patient as it is; an export of several, one bundle a patient."""
    patients = bundle.of_type("Patient")
    if not patients:
        raise FhirError(f"{bundle.name} has no Patient; a record is that of one patient.")
    if len(patients) == 1:
        return [bundle]
    if not bundle.export:
        raise FhirError(
            f"{bundle.name} has {len(patients)} patients ({patients[0]}, {patients[1]}); give one bundle each."
        )
    parts = {name: Bundle(bundle.name) for name in patients}
    references = References(bundle, [])
    for key, resource in bundle.resources.items():
        if resource["resourceType"] in SHARED:
            continue  # found through the whole export
        subject = resource.get("subject") or resource.get("patient") or resource.get("beneficiary")
        if resource["resourceType"] == "Patient":
            parts[key].resources[key] = resource
        elif subject is not None:
            found = references.find(subject, resource)
            if not found or found[0] not in parts:
                named = at(subject, "reference") or at(subject, "display")
                raise FhirError(f"{bundle.name}: {key} is of {named}, who is not among its {len(patients)} patients.")
            parts[found[0]].resources[key] = resource
    return list(parts.values())


def _record(bundle: Bundle, context: Sequence[Bundle]) -> PatientRecord:
    patient = bundle.resources[bundle.of_type("Patient")[0]]
    born = read_when(patient.get("birthDate"))
    days: dict[str, set[When]] = {}
    for key in bundle.of_type("Encounter"):
        start = read_when(at(bundle.resources[key], "period", "start"))
        if start:
            days.setdefault(start.day, set()).add(start)
    starts = {day: next(iter(found)) for day, found in days.items() if len(found) == 1}
    reader = Reader(References(bundle, context), born.day if born and not born.problem else "", starts)
    shown = [(key, resource) for key, resource in bundle.resources.items() if resource["resourceType"] in KINDS]
    sections = list(SECTIONS)
    facts = [reader.read(key, resource) for key, resource in shown]
    facts.sort(key=lambda fact: (sections.index(fact.kind), _age(fact), fact.text, fact.resource))
    other = Counter(
        resource["resourceType"]
        for resource in bundle.resources.values()
        if resource["resourceType"] not in KINDS and resource["resourceType"] not in SHARED
    )
    name = str(patient.get("id") or bundle.of_type("Patient")[0].partition("/")[2])
    return PatientRecord(name, tuple(facts), {}, dict(other), bundle.name, bundle.part)
