"""Code that answers a typed question from all facts of a record.

    run(Query(what="observation", which="a1c", operation="latest"), record)

Nothing is left out for want of room and nothing is guessed: an answer has its value, its date and its lines, what was
taken for the name, and how much was searched where nothing was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from extraction.values.units import unit
from recipes.ehr_qa.dates import When, read_when
from recipes.ehr_qa.facts import Fact
from recipes.ehr_qa.operations import OPERATIONS, amount, components, least_or_most
from recipes.ehr_qa.query import Item, Limit, Query, Result
from recipes.ehr_qa.records import SECTIONS, PatientRecord
from recipes.ehr_qa.resolve import Entry, resolve, words
from recipes.ehr_qa.search import ranked

_LINES = 10  # of those that have a text's words
# What stands in a section where nothing else does: that there is nothing, or that nobody knows.
_NONE_KNOWN = re.compile(
    r"^no (?:known|current|active)\b(?! (?:drug|food|medication))|^(?:none|nil) known\b|^nka\b|\bdenies\b"
    r"|^keine\b.*bekannt",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    rf"{_NONE_KNOWN.pattern}|^no (?:known|current|active|history)\b|^no[- ]known-|^nkda\b|^no information\b"
    r"|not on file$|^no-.*-info$",
    re.IGNORECASE,
)
NOT_OWN = re.compile(
    r"^(?:family history|fh\b|no evidence|no history|negative for|(?:at |increased )?risk|screening|suspected|suspicion"
    r"|fear of|rule out|possible|exposure to)\b|\b(?:ruled out|excluded|not present)$",
    re.IGNORECASE,
)


def run(query: Query, record: PatientRecord) -> Result:
    """Answer a query from all facts of a record, which must be whole (`records.read_record` gives it so)."""
    if query.what == "patient":
        return _of_patient(query, record)
    if query.what == "text":
        return _of_words(query, record)
    section = [fact for fact in record.facts if fact.kind == query.what]
    empty = [fact for fact in section if not fact.wrong and _NOTHING.search(fact.name)]
    facts = [fact for fact in section if not fact.wrong and fact not in empty]
    aside = _not_own(query, facts)
    facts = [fact for fact in facts if fact not in aside]
    meant = resolve(query.which, query.what, facts)
    notes = []
    if aside:
        notes.append(
            f"Not counted: {len(aside)} of family history, risk, screening, or of what is suspected or excluded "
            f"(line {', '.join(str(record.numbers[fact.resource]) for fact in aside[:5])})."
        )
    notes += [f"The record has: {fact.text}." for fact in empty[:2]]
    if len(section) > len(facts):
        wrong = [fact for fact in section if fact.wrong]
        notes += [f"{len(wrong)} lines are entered in error, refuted or not done: not counted."] if wrong else []
    entries, missing = _in_time(query, meant.entries, record)
    notes += missing
    if query.value:
        parts = components(entries)
        other = [entry for entry in parts if not _comparable(entry, query.value)]
        if other:
            units = dict.fromkeys(found[1] for entry in other if (found := amount(entry)))
            values = f"{len(other)} value{'s' * (len(other) > 1)} in {', '.join(units)}"
            notes.append(f"Not compared with {query.value.number:g} {query.value.unit}: {values}.")
        entries = [entry for entry in parts if entry not in other and _within(entry, query.value)]
    names = list(dict.fromkeys(entry.name for entry in entries))
    if entries and meant.how == "spelling":
        notes.append(f"“{query.which}” was taken for {_and(names[:3])}.")
    if meant.near and meant.how != "all":
        notes.append(f"Not taken, though it looks alike: {', '.join(meant.near)}.")
    if meant.unknown:
        notes.append(f"Of {meant.unknown} names it is not known whether they are of this class.")
    items = [_item(entry, record) for entry in entries]
    if not entries:
        none = next((fact for fact in empty if _NONE_KNOWN.search(fact.name)), None)
        if none and query.which is None:
            return Result(query, "none", (_item(Entry(none, none.name), record),), f"{none.name}.", tuple(notes))
        limited = meant.how != "" and bool(query.times or query.value)
        return Result(query, None, (), _nothing(query, section, limited), tuple(notes))
    answer, chosen, said, more = OPERATIONS[query.operation](query, entries, items)
    return Result(query, answer, tuple(chosen), said, (*notes, *more))


def _not_own(query: Query, facts: Sequence[Fact]) -> list[Fact]:
    """Of conditions those that name one which the patient is not said to have; what was asked for by its name stays."""
    if query.what != "condition" or not query.which or NOT_OWN.search(query.which):
        return []
    asked = words(query.which)
    return [fact for fact in facts if NOT_OWN.search(fact.name) and words(fact.name) != asked]


def _nothing(query: Query, section: Sequence[Fact], named: bool) -> str:
    searched = f"{len(section)} line{'s' * (len(section) != 1)} of {SECTIONS[query.what].lower()} searched"
    return f"{'None within these limits' if named else 'Not found'} in the record ({searched})."


def _item(entry: Entry, record: PatientRecord) -> Item:
    number = record.numbers[entry.fact.resource]
    when = entry.fact.start or entry.fact.end
    return Item(entry.name, entry.value, when.day if when else "", number, record.lines[number - 1].text)


def _in_time(query: Query, entries: Sequence[Entry], record: PatientRecord) -> tuple[list[Entry], list[str]]:
    """The entries within the limits of time, oldest first, and what is to be said of those without a day."""
    limits, notes = [], []
    for time in query.times:
        day = read_when(time.date)
        if time.step:
            found = run(Query(what=time.step.what, which=time.step.which, operation=time.step.operation), record)
            days = [item for item in found.items if item.date]
            if not days:
                return [], [f"Of “{time.step.which or time.step.what}” there is no day: {found.said}"]
            day = read_when(days[-1].date)
            notes.append(f"“{time.step.which or time.step.what}”: {days[-1].date} (line {days[-1].line}).")
        assert day is not None
        limits.append((time.relation, day))
    undated = [entry for entry in entries if limits and not _day(entry.fact)]
    if undated:
        notes.append(f"{len(undated)} without a day that can be compared: not counted.")
    kept = [entry for entry in entries if all(_holds(entry.fact, *limit) for limit in limits)]
    return kept if query.what == "text" else sorted(kept, key=lambda entry: _order(entry.fact)), notes


def _day(fact: Fact) -> When | None:
    when = fact.start or fact.end
    return when if when and when.problem in ("", "before its start", "before its onset") else None


def _order(fact: Fact) -> tuple[str, str]:
    when = _day(fact)
    return (when.day, when.clock) if when else ("", "")


def _holds(fact: Fact, relation: str, day: When) -> bool:
    """Whether a fact is within a limit; what lasts (a condition, a period) where some of it is."""
    start = _day(fact)
    if start is None:
        return False
    ended = fact.kind == "condition" and fact.status in ("resolved", "inactive", "remission") and fact.end is None
    lasting = (
        (fact.kind in ("condition", "care_plan") and not ended)
        or (fact.kind == "medication" and (fact.end is not None or fact.status == "active"))
        or (fact.kind in ("encounter", "procedure") and fact.end is not None)
    )
    end = fact.end if fact.end and not fact.end.problem else None
    last = (end if end else When("9999")) if lasting else start
    early, late = start.before(day), day.before(last)
    if relation == "before":
        return early
    if relation == "after":
        return late
    if relation == "since":
        return not last.before(day)
    if relation == "until":
        return not day.before(start)
    return not day.before(start) and not last.before(day)


def _comparable(entry: Entry, limit: Limit) -> bool:
    """Whether a value is in a limit's unit, as far as both are known."""
    found = amount(entry)
    return not (limit.unit and found and found[1] and unit(found[1]) != unit(limit.unit))


def _within(entry: Entry, limit: Limit) -> bool:
    """Whether a value is within a limit; of one that is only known to be above or below a number, where that tells."""
    than = Decimal(str(limit.number))
    if bound := least_or_most(entry.value):
        sign, number = bound
        return (
            number >= than
            if sign == ">" and limit.relation in ("above", "at least")
            else (number <= than if sign == "<" and limit.relation in ("below", "at most") else False)
        )
    found = amount(entry)
    if found is None:
        return False
    number = found[0]
    return {"above": number > than, "below": number < than, "at least": number >= than, "at most": number <= than}[
        limit.relation
    ]


def _and(texts: Iterable[str]) -> str:
    return ", ".join(f"“{text}”" for text in texts)


def _of_words(query: Query, record: PatientRecord) -> Result:
    """The lines that have words of a text; what they say has to be read."""
    if not query.which:
        return Result(query, None, (), "This has to be read: name the words to look for.")
    entries, missing = _in_time(query, [Entry(fact, fact.name) for fact in ranked([query.which], record.facts)], record)
    items = tuple(_item(entry, record) for entry in entries[:_LINES])
    if not items:
        return Result(query, None, (), f"Not found in the record ({len(record.facts)} lines searched).", tuple(missing))
    said = f"{len(entries)} lines have words of “{query.which}”" + f", the best {_LINES}." * (len(entries) > _LINES)
    return Result(query, [item.text for item in items], items, said.rstrip(".") + ".", tuple(missing))


def _of_patient(query: Query, record: PatientRecord) -> Result:
    """What the record says of the patient."""
    [patient] = [fact for fact in record.facts if fact.kind == "patient"]
    item = _item(Entry(patient, patient.name), record)
    if query.which is None:
        return Result(query, item.text, (item,), item.text)
    values = (*patient.values, *(("age", age) for age in _age(patient, record)))
    found = resolve(query.which, "patient", [replace(patient, name="", values=values)]).entries
    answer = [entry.value for entry in found if entry.name]
    if not answer:
        what = ", ".join(label for label, _ in values)
        return Result(query, None, (), f"Not found in the record, which has of the patient: {what}.")
    return Result(query, answer[0] if len(answer) == 1 else answer, (item,), f"{', '.join(answer)}.")


def _age(patient: Fact, record: PatientRecord) -> Iterable[str]:
    """The patient's age at death, or on the record's last day."""
    born = patient.start
    days = [when for fact in record.facts if fact is not patient and (when := _day(fact)) and when.sound]
    last = patient.end or max(days, key=lambda when: when.day, default=None)
    if born and born.sound and last and last.sound:
        years = int(last.day[:4]) - int(born.day[:4]) - (last.day[5:] < born.day[5:])
        yield f"{years} years ({'at death' if patient.end else 'on the last day of the record'}, {last.day})"
