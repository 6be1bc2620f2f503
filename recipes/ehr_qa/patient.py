"""What a record says of the patient: name, sex, and the age on a day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from recipes.ehr_qa.dates import When
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.limits import day_of, within
from recipes.ehr_qa.query import Item, Query, Result
from recipes.ehr_qa.records import PatientRecord
from recipes.ehr_qa.resolve import Entry, resolve


def of_patient(query: Query, record: PatientRecord, days: Sequence[When] | None, notes: Sequence[str] = ()) -> Result:
    """What the record says of the patient.

    Args:
        days: those of the query's limits of time, None where one has none: an age is that on these days.
        notes: what is to be said of them.
    """
    notes = tuple(notes)
    [patient] = [fact for fact in record.facts if fact.kind == "patient"]
    line = record.numbers[patient.resource]
    item = Item(patient.name, "", patient.start.day if patient.start else "", line, record.lines[line - 1].text)
    if query.which is None:
        return Result(query, item.text, (item,), item.text)
    if days is None:
        return Result(query, None, (item,), "Not found in the record.", notes)
    values = (*patient.values, *(("age", age) for age in _age(patient, record, days)))
    found = resolve(query.which, "patient", [replace(patient, name="", values=values)]).entries
    answer = [entry.value for entry in found if entry.name]
    entry_names = {entry.name for entry in found}
    if not answer:
        what = ", ".join(label for label, _ in values)
        return Result(query, None, (), f"Not found in the record, which has of the patient: {what}.")
    said = ", ".join(answer)
    if query.times and entry_names != {"age"}:
        notes += ("It has no limits of time, which were not looked at.",)
    if query.value:  # of an age
        number = re.match(r"\d+(?= years)", answer[0]) if len(answer) == 1 else None
        holds = within(Entry(patient, patient.name, number.group()), query.value) if number else None
        if holds is None:
            return Result(query, None, (item,), f"Not compared with {query.value.number:g}: {said}.", notes)
        return Result(query, holds, (item,), f"{'Yes' if holds else 'No'}: {said}.", notes)
    return Result(query, answer[0] if len(answer) == 1 else answer, (item,), f"{said}.", notes)


def _age(patient: Fact, record: PatientRecord, days: Sequence[When]) -> Iterable[str]:
    """The patient's age on each day that is asked for; else at death, or on the record's last day."""
    born = patient.start
    if not born or not born.sound:
        return
    if days:
        yield from (_years(born, day) + f" (on {day.day})" for day in days if not day.problem)
        return
    dated = [when for fact in record.facts if fact is not patient and (when := day_of(fact)) and when.sound]
    dated = [when for when in dated if when.day <= date.today().isoformat()]
    last = patient.end or max(dated, key=lambda when: when.day, default=None)
    if last and last.sound:
        told = "at death" if patient.end else "on the last day of the record"
        yield f"{_years(born, last)} ({told}, {last.day})"


def _years(born: When, day: When) -> str:
    """The age on a day; both that it may be, where only a month or a year is known."""
    if day.before(born):
        return "not born yet"
    rest = born.day[5 : len(day.day)]
    years = int(day.day[:4]) - int(born.day[:4])
    if len(day.day) == 10:
        return f"{years - (day.day[5:] < born.day[5:])} years"
    if rest and day.day[5:] != rest:
        return f"{years - (day.day[5:] < rest)} years"
    return f"{years - 1} or {years} years"
