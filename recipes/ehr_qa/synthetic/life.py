"""What happens to an invented patient: visits with what is found, prescribed and done at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from recipes.ehr_qa.hierarchy import wider
from recipes.ehr_qa.synthetic.body import Body
from recipes.ehr_qa.synthetic.chart import Chart, Resource
from recipes.ehr_qa.synthetic.habits import Picker
from recipes.ehr_qa.synthetic.orders import Meeting, Orders, of_sex
from recipes.ehr_qa.synthetic.people import Clinician, Person
from recipes.ehr_qa.vocabulary import (
    CARE,
    CONDITIONS,
    MEDICATIONS,
    PANELS,
    SINGLE,
    SURVEYS,
    VACCINES,
    VACCINES_OF_CHILDREN,
    VITALS,
    Condition,
)

YEARS = 10  # before the last entry, in which routine visits lie
# classes of medications.yaml that are given without much ado
_STRAY: tuple[str, ...] = (
    *("analgesic", "nsaid", "opioid", "antibiotic", "antihistamine", "cough", "acid", "laxative", "vitamin", "iron"),
    *("topical steroid", "emergency", "sleep", "antifungal", "gut"),
)
# groups of lasting conditions that may end
_ENDING = {"mood disorder", "anxiety disorder", "skin disorder", "anemia", "upper respiratory disorder", "infection"}
_CLASSES = {"checkup": "AMB", "illness": "AMB", "followup": "AMB", "emergency": "EMER", "inpatient": "IMP"}


@dataclass(frozen=True)
class Illness:
    """A condition of the patient with its resource."""

    condition: Condition
    onset: date
    resource: Resource

    @property
    def groups(self) -> set[str]:
        """Its name and its groups."""
        return {self.condition.name, *wider(self.condition.groups)}


class Life(Orders):
    """Lets things happen until the record is long enough.

    Args:
        chart: what it is written to; the patient and the clinicians stand in it already.
        picker: picks names.
        person: the patient.
        clinicians: the first is the patient's own.
        target: about how many lines the record is to have.
    """

    def __init__(self, chart: Chart, picker: Picker, person: Person, clinicians: Sequence[Clinician], target: int):
        super().__init__(chart, picker, Body(chart.rng, chart.habits, person), person, clinicians)
        self.target = target
        self.routine = chart.habits.routine
        self.illnesses: list[Illness] = []
        rng = self.rng
        gap = rng.choice((364, 371, 364, 182, 728, 1092))
        start = max(person.born + timedelta(days=30), person.last - timedelta(days=365 * YEARS))
        self._start = start
        self._days: list[date] = []
        last = person.last - timedelta(days=rng.randint(0, min(300, (person.last - start).days)))
        self._checkups = [last - timedelta(days=gap * turn) for turn in range((last - start).days // gap + 1)]
        self._vitals = rng.sample(picker.known(VITALS), rng.randint(1, 5))
        smoking = SURVEYS[:1] if rng.random() < 0.6 else ()
        self._surveys = list(dict.fromkeys((*smoking, *rng.sample(picker.known(SURVEYS), rng.randint(0, 2)))))
        self._panels = rng.sample(sorted(PANELS), rng.randint(1, 3))

    @property
    def room(self) -> int:
        """Lines still wanted."""
        return self.target - self.chart.lines

    def live(self) -> None:
        """All of it."""
        self.trouble()
        self.checkup()
        allergic = self.rng.random() < 0.5
        events: list[tuple[Callable[[], None], float]] = [
            (self.checkup, 6),
            (self.trouble, 1.5 if self.routine else 5),
            (self.visit, 0.3 if self.routine else 3),
            (self.circumstance, 1),
            (self.allergies, allergic * (0.2 if self.routine else 1)),
            (self.stray_prescription, 0.7 if self.routine else 1),
        ]
        while self.room > 0:
            self.rng.choices([event for event, _ in events], [weight for _, weight in events])[0]()

    def checkup(self) -> None:
        """A routine visit: vital signs, perhaps a panel, vaccines, a prescription renewed."""
        rng, day = self.rng, self._checkups.pop(0) if self._checkups else self.some_day()
        meeting = self.meet("checkup", day)
        groups = self.groups(day)
        if rng.random() < 0.8:
            self.pressure(meeting, groups)
        asked = self._surveys if self.person.age(day) > 13 else []
        for what in [*self._vitals, *asked][: max(3, self.room)]:
            self.observe(what, meeting, groups)
        vaccines = VACCINES if self.person.age(day) > 10 else (*VACCINES[:1], *VACCINES_OF_CHILDREN)
        given = {VACCINES[0] if rng.random() < 0.8 else self.picker.pick(vaccines): 0}
        given |= {self.picker.pick(vaccines): 0 for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3)))}
        if rng.random() < 0.75 or not self.vaccinated:
            for vaccine in given:
                self.vaccinate(vaccine, meeting)
        for panel in self._panels if self.routine else [rng.choice(self._panels)]:
            if self.room > 4 and rng.random() < 0.5:
                self.panel(panel, meeting, groups, self.room)
        if self.room > 0 and rng.random() < 0.35:
            self.treat(None, meeting)
        self.renew(meeting, 0.08 if self.routine else 0.25)

    def trouble(self) -> None:
        """A condition with what is done about it: at once, and later where it stays."""
        rng = self.rng
        day = self.some_day() if rng.random() < 0.7 else self.any_day()
        fitting = [one for one in CONDITIONS if self.fits(one, day) and one.course in ("acute", "chronic")]
        if not self.illnesses and not self.routine:
            fitting = [one for one in fitting if one.treat] or fitting
        if not self.picker.known(fitting):
            return
        condition = self.picker.pick(fitting)
        groups = {condition.name, *wider(condition.groups)}
        urgent = bool(groups & {"injury", "cerebrovascular disease", "ischemic heart disease"}) or rng.random() < 0.1
        meeting = self.meet("emergency" if urgent else "illness", day, condition)
        illness = self.diagnose(condition, meeting.start)
        known = self.groups(day)
        for what in [one for one in self.picker.known(SINGLE) if one.after & groups and of_sex(one, self.person)]:
            if self.room > 0 and rng.random() < 0.4:
                self.observe(what, meeting, known)
        if self.room > 3 and urgent and rng.random() < 0.4:
            meeting = self.meet("inpatient", day, condition)
        first = len(self.illnesses) == 1 and not self.routine  # one prescription says what it is for
        if condition.treat and (first or rng.random() < (0.6 if self.routine else 0.85)):
            drugs = [drug for kind in condition.treat for drug in MEDICATIONS[kind]]
            for drug in {self.picker.pick(drugs): 0 for _ in range(1 + (rng.random() < 0.3))}:
                self.prescribe(drug, meeting, illness.resource, condition, first)
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            if self.room > 0:
                self.treat(groups, meeting, illness.resource)
        if self.room > 0 and rng.random() < 0.3:
            self.plan(groups, meeting, illness.resource, condition.course == "chronic")
        if self.room > 8 and rng.random() < 0.25:
            self.panel(rng.choice(sorted(PANELS)), meeting, known, self.room)

    def visit(self) -> None:
        """A visit for a condition that stays: a measurement, a prescription renewed."""
        staying = [one for one in self.illnesses if one.condition.course == "chronic" and one.onset < self.person.last]
        if not staying:
            return self.trouble()
        illness = self.rng.choice(staying)
        day = illness.onset + timedelta(days=self.rng.randint(1, (self.person.last - illness.onset).days))
        meeting = self.meet("followup", max(day, min(self._start, self.person.last)), illness.condition)
        known = self.groups(meeting.start.date())
        for what in [one for one in self.picker.known(SINGLE) if one.after & illness.groups]:
            if of_sex(what, self.person) and self.rng.random() < 0.6:
                self.observe(what, meeting, known)
        if self.room > 0 and self.rng.random() < 0.3:
            self.treat(illness.groups, meeting, illness.resource)
        self.renew(meeting, 0.6)
        return None

    def circumstance(self) -> None:
        """A history or a finding, of no treatment."""
        day = self.any_day()
        fitting = [one for one in CONDITIONS if self.fits(one, day) and one.course in ("past", "state")]
        if self.picker.known(fitting):
            start = self.chart.at(day)
            if self.room > 1 and self.rng.random() < 0.6:
                start = self.meet("checkup", day).start
            self.diagnose(self.picker.pick(fitting), start)

    def stray_prescription(self) -> None:
        """A medication whose reason the record does not say."""
        day = self.any_day()
        mother = self.person.sex == "f" and 15 < self.person.age(day) < 50
        kind = self.rng.choice((*_STRAY, "contraceptive") if mother else _STRAY)
        self.prescribe(self.picker.pick(MEDICATIONS[kind]), self.meet(self.rng.choice(("illness", "followup")), day))

    def allergies(self) -> None:
        """Some allergies, recorded on one day."""
        when = self.chart.at(self.any_day())
        for _ in range(self.rng.randint(1, 3)):
            self.allergy(when)

    def diagnose(self, condition: Condition, onset: datetime) -> Illness:
        """The Condition of one that begins."""
        rng, chart = self.rng, self.chart
        ends: datetime | None = None
        if condition.course == "acute" and rng.random() < 0.93:
            ends = onset + timedelta(days=rng.choice((7, 10, 14, 21, 28, 35, 60, 90)))
            ends = ends if ends.date() <= self.person.last else None
        elif condition.course == "chronic" and wider(condition.groups) & _ENDING and rng.random() < 0.3:
            ends = onset + timedelta(days=rng.randint(200, 2000))
            ends = ends if ends.date() <= self.person.last else None
        status = "resolved" if ends else "active"
        if not ends and condition.course == "chronic" and rng.random() < 0.05:
            status = rng.choice(("recurrence", "remission", "inactive"))
        resource = chart.add(
            "Condition",
            onset,
            clinicalStatus=chart.coded("condition-clinical", status),
            verificationStatus=chart.coded("condition-ver-status", "confirmed"),
            code=chart.concept(condition.name, code=condition.code, tag=condition.tag),
            onsetDateTime=chart.stamp_short(onset),
            abatementDateTime=chart.stamp_short(ends) if ends else None,
            recordedDate=chart.stamp(onset),
        )
        illness = Illness(condition, onset.date(), resource)
        self.illnesses.append(illness)
        return illness

    def fits(self, condition: Condition, day: date) -> bool:
        """Whether the patient may get a condition on a day: a lasting one only once."""
        had = condition.course != "acute" and any(one.condition is condition for one in self.illnesses)
        first, last = condition.ages
        return not had and of_sex(condition, self.person) and first <= self.person.age(day) <= last

    def groups(self, day: date) -> set[str]:
        """Names and groups of the conditions by a day."""
        return {group for one in self.illnesses if one.onset <= day for group in one.groups}

    def some_day(self) -> date:
        """A day of the last years, now and then one of another visit."""
        recent = [day for day in self._days if day >= self._start]
        if recent and self.rng.random() < 0.08:
            return self.rng.choice(recent)
        return self._start + timedelta(days=self.rng.randint(0, (self.person.last - self._start).days))

    def any_day(self) -> date:
        """A day of the whole life."""
        return self.person.born + timedelta(days=self.rng.randint(20, (self.person.last - self.person.born).days))

    def meet(self, kind: str, day: date, reason: Condition | None = None) -> Meeting:
        """An encounter."""
        rng, chart = self.rng, self.chart
        start = chart.at(day)
        self._days.append(day)
        who = self.clinicians[0] if rng.random() < (0.95 if self.routine else 0.6) else rng.choice(self.clinicians)
        minutes = rng.choice((15, 15, 30, 60)) if kind != "inpatient" else 1440 * rng.randint(1, 9)
        code = rng.choice(("AMB", "AMB", "VR", "HH")) if kind == "followup" else _CLASSES[kind]
        sort = "child" if kind == "checkup" and self.person.age(day) < 12 else kind
        resource = chart.add(
            "Encounter",
            start,
            status="finished",
            type=[chart.concept(self.picker.pick(CARE["encounters"][sort]))],
            participant=[{"individual": chart.refer(who.resource, who.name)}],
            period=chart.period(start, minutes),
            serviceProvider=chart.refer(who.house),
            reasonCode=[chart.concept(reason.name, code=reason.code, tag=reason.tag)] if reason else None,
            **{"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}},
        )
        return Meeting(resource, start, who)
