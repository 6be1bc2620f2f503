"""What is done at a visit: measurements, vaccines, prescriptions, procedures, plans."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from recipes.ehr_qa.synthetic.body import Body
from recipes.ehr_qa.synthetic.chart import CVX, LOINC, RXNORM, Chart, Resource
from recipes.ehr_qa.synthetic.habits import Picker
from recipes.ehr_qa.synthetic.people import Clinician, Person
from recipes.ehr_qa.vocabulary import (
    CARE,
    MEASUREMENTS,
    PANELS,
    PLANS,
    PROCEDURES,
    SURVEYS,
    VITALS,
    Condition,
    Measurement,
)

_GROUPS = dict.fromkeys(VITALS, "vital-signs") | dict.fromkeys(SURVEYS, "survey")
_GROUPS |= {one: "vital-signs" for one in MEASUREMENTS if one.name == "Oral temperature"}
_TIMES = ("once daily", "twice daily", "every 6 hours as needed", "at bedtime", "once a week", "three times a day")


@dataclass(frozen=True)
class Meeting:
    """An encounter."""

    resource: Resource
    start: datetime
    clinician: Clinician


@dataclass(frozen=True)
class Prescription:
    """A prescription that may be renewed."""

    drug: str
    start: datetime
    resource: Resource
    illness: Resource | None
    condition: Condition | None


def of_sex(what: Measurement | Condition | Any, person: Person) -> bool:
    """Whether something happens to people of this sex."""
    return what.sex in ("", person.sex)


class Orders:
    """Writes what is done at visits; see `life.Life`."""

    def __init__(self, chart: Chart, picker: Picker, body: Body, person: Person, clinicians: Sequence[Clinician]):
        self.chart = chart
        self.rng = chart.rng
        self.picker = picker
        self.body = body
        self.person = person
        self.clinicians = clinicians
        self.vaccinated = False
        self.prescriptions: list[Prescription] = []

    def observe(self, what: Measurement, meeting: Meeting, groups: Set[str]) -> Resource:
        """A measurement."""
        return self._observation(
            self.body.label(what),
            _GROUPS.get(what, "laboratory"),
            meeting,
            self.body.measure(what, meeting.start.date(), groups),
        )

    def pressure(self, meeting: Meeting, groups: Set[str]) -> None:
        """A blood pressure, in two components."""
        parts = {"component": self.body.pressure(meeting.start.date(), groups)}
        self._observation(
            "Blood pressure" if self.chart.habits.short else "Blood Pressure", "vital-signs", meeting, parts
        )

    def panel(self, title: str, meeting: Meeting, groups: Set[str], most: int) -> None:
        """At most so many tests of a panel, and mostly a report on them."""
        tests = self.picker.known(PANELS[title])
        if len(tests) > most:
            tests = tests[: max(2, most)]
        made = [self.observe(what, meeting, groups) for what in tests]
        if self.rng.random() < 0.8:
            self.chart.results(title, made, meeting.start, meeting.resource)

    def _observation(self, name: str, group: str, meeting: Meeting, fields: dict[str, Any]) -> Resource:
        chart = self.chart
        return chart.add(
            "Observation",
            meeting.start,
            status="final",
            category=[chart.coded("observation-category", group)],
            code=chart.concept(name, LOINC),
            encounter=chart.refer(meeting.resource),
            effectiveDateTime=chart.stamp(meeting.start),
            issued=chart.stamp(meeting.start),
            **fields,
        )

    def vaccinate(self, vaccine: str, meeting: Meeting) -> None:
        """A dose."""
        chart, self.vaccinated = self.chart, True
        chart.add(
            "Immunization",
            meeting.start,
            status="completed",
            vaccineCode=chart.concept(vaccine, CVX),
            encounter=chart.refer(meeting.resource),
            occurrenceDateTime=chart.stamp(meeting.start),
            primarySource=True,
        )

    def treat(self, groups: Set[str] | None, meeting: Meeting, illness: Resource | None = None) -> None:
        """A procedure for one of these groups, or a routine one; an image now and then."""
        chart, rng = self.chart, self.rng
        grown = self.person.age(meeting.start.date()) > 24
        fitting = [one for one in PROCEDURES if of_sex(one, self.person) and (grown or groups or not one.sex)]
        fitting = [one for one in fitting if (one.after & groups if groups else not one.after)]
        if groups and "injury" in groups and rng.random() < 0.3:
            site, modality = rng.choice([row for row in CARE["imaging"] if row[1] in self.picker.known([row[1]])])
            chart.add(
                "ImagingStudy",
                meeting.start,
                status="available",
                encounter=chart.refer(meeting.resource),
                started=chart.stamp(meeting.start),
                series=[{"uid": "1", "modality": {"display": modality}, "bodySite": {"display": site}}],
            )
        elif self.picker.known(fitting):
            minutes = rng.choice((15, 15, 20, 30, 45, 60, 125))
            chart.add(
                "Procedure",
                meeting.start,
                status="completed",
                code=chart.concept(self.picker.pick(fitting).name, tag="procedure"),
                encounter=chart.refer(meeting.resource),
                performedPeriod=chart.period(meeting.start, minutes),
                reasonReference=[self._because(illness)] if illness and rng.random() < 0.7 else None,
            )

    def plan(self, groups: Set[str], meeting: Meeting, illness: Resource, lasting: bool) -> None:
        """A care plan, where there is one for these groups, and now and then a goal."""
        chart, rng = self.chart, self.rng
        fitting = self.picker.known([one for one in PLANS if one.after & groups])
        if not fitting:
            return
        plan = self.picker.pick(fitting)
        days = 0 if lasting else rng.choice((14, 28, 42, 90))
        end = meeting.start + timedelta(days=days)
        done = bool(days) and end.date() <= self.person.last
        period = {"start": chart.stamp(meeting.start)} | ({"end": chart.stamp(end)} if done else {})
        status = "completed" if done else "active"
        chart.add(
            "CarePlan",
            meeting.start,
            status=status,
            intent="order",
            category=[chart.concept(plan.name)],
            encounter=chart.refer(meeting.resource),
            period=period,
            addresses=[chart.refer(illness, illness["code"]["text"])],
            activity=[
                {"detail": {"code": chart.concept(name), "status": "in-progress"}}
                for name in self.picker.known(plan.do)
            ],
        )
        if lasting and rng.random() < 0.3:
            chart.add(
                "Goal",
                meeting.start,
                lifecycleStatus="accepted",
                achievementStatus=chart.coded("goal-achievement", "in-progress"),
                description={"text": self.picker.pick(CARE["goals"])},
                startDate=meeting.start.date().isoformat() if rng.random() < 0.3 else None,
            )

    def prescribe(
        self,
        drug: str,
        meeting: Meeting,
        illness: Resource | None = None,
        condition: Condition | None = None,
        said: bool = False,
    ) -> None:
        """A prescription; its reason where the bundle's habit or `said` has it."""
        chart, rng, habits = self.chart, self.rng, self.chart.habits
        who = meeting.clinician if habits.routine or rng.random() < 0.85 else rng.choice(self.clinicians)
        coded = chart.concept(drug, RXNORM)
        medicine: dict[str, Any] = {"medicationCodeableConcept": coded}
        if habits.separate_drugs:
            medicine = {"medicationReference": chart.refer(chart.add("Medication", meeting.start, code=coded))}
        if illness and (said or rng.random() < habits.reasons):
            medicine |= {"reasonCode": [illness["code"]]} if habits.coded_reasons else {}
            medicine |= {} if habits.coded_reasons else {"reasonReference": [self._because(illness)]}
        resource = chart.add(
            "MedicationRequest",
            meeting.start,
            status="active",
            intent="order",
            encounter=chart.refer(meeting.resource),
            authoredOn=chart.stamp_short(meeting.start),
            requester=chart.refer(who.resource, who.name) if rng.random() < 0.98 else None,
            dosageInstruction=self._dosage(drug),
            **medicine,
        )
        self.prescriptions.append(Prescription(drug, meeting.start, resource, illness, condition))
        self._settle(drug)

    def renew(self, meeting: Meeting, share: float) -> None:
        """With a chance of `share`, an earlier prescription again, perhaps by another."""
        before = [
            one
            for one in self.prescriptions
            if one.start < meeting.start and (one.condition is None or one.condition.course == "chronic")
        ]
        if before and self.rng.random() < share:
            old = self.rng.choice(before)
            self.prescribe(old.drug, meeting, old.illness, old.condition)

    def _settle(self, drug: str) -> None:
        """Which prescriptions of a drug are active: the last one at most, where it is for something that stays."""
        rng, found = (
            self.rng,
            sorted((one for one in self.prescriptions if one.drug == drug), key=lambda one: one.start),
        )
        for one in found[:-1]:
            one.resource["status"] = "completed" if rng.random() < 0.3 else "stopped"
        last = found[-1]
        stays = last.condition is None or last.condition.course == "chronic"
        active = rng.random() < (0.75 if stays else 0.08)
        last.resource["status"] = "active" if active else "completed" if rng.random() < 0.3 else "stopped"

    def _because(self, illness: Resource) -> Resource:
        return self.chart.refer(illness, illness["code"]["text"])

    def _dosage(self, drug: str) -> list[Resource] | None:
        rng, habit = self.rng, self.chart.habits.dosage
        if rng.random() < 0.35:
            return [{"sequence": 1, "asNeededBoolean": True}] if rng.random() < 0.5 else None
        if habit == "structured":
            hours = rng.choice((None, None, 4, 6, 8, 12))
            repeat = {"frequency": 1 if hours else rng.choice((1, 1, 2)), "period": hours or 1}
            return [
                {
                    "sequence": 1,
                    "timing": {"repeat": {**repeat, "periodUnit": "h" if hours else "d"}},
                    "doseAndRate": [{"doseQuantity": {"value": rng.choice((1, 1, 2))}}],
                }
            ]
        if habit == "text":
            kind = next((word for word in ("tablet", "capsule", "spray", "puff") if word in drug.lower()), "dose")
            return [
                {"text": f"{rng.choice(('Take', 'Use')) if kind == 'dose' else 'Take'} 1 {kind} {rng.choice(_TIMES)}"}
            ]
        return None

    def allergy(self, when: datetime) -> None:
        """An allergy, with or without what it does."""
        chart, rng = self.chart, self.rng
        rows = {row["name"]: row["of"] for row in CARE["allergies"]}
        name = self.picker.pick(tuple(rows))
        reaction = {
            "manifestation": [chart.concept(rng.choice(CARE["reactions"]))],
            "severity": rng.choice(("mild", "moderate", "severe")),
        }
        chart.add(
            "AllergyIntolerance",
            when,
            clinicalStatus=chart.coded("allergyintolerance-clinical", "active" if rng.random() < 0.9 else "resolved"),
            verificationStatus=chart.coded("allergyintolerance-verification", "confirmed"),
            category=[rows[name]] if rng.random() < 0.8 else None,
            criticality=rng.choice(("low", "high")) if rng.random() < 0.4 else None,
            code=chart.concept(name),
            recordedDate=chart.stamp_short(when) if rng.random() < 0.7 else None,
            reaction=[reaction] if rng.random() < 0.4 else None,
        )
