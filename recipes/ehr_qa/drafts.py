"""What can be asked of a record, category by category.

Only what the record's text answers for certain is asked: of several true values the latest or all of them, nothing
about an absurd date, nothing about a resource entered in error or of an unknown patient.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from recipes.ehr_qa.draft import (
    LONGEST_SET,
    Draft,
    absent,
    by_name,
    choices,
    day,
    earliest,
    facts_of,
    free,
    latest,
    other_days,
    sound,
    strangers,
    whole,
    yes_no,
)
from recipes.ehr_qa.drafts_observations import dependent_observations, observation_values
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.hierarchy import GROUPS, akin, groups_of
from recipes.ehr_qa.names import UNRESOLVED
from recipes.ehr_qa.records import PatientRecord
from recipes.ehr_qa.vocabulary import Names

ACTIVE = ("active", "recurrence", "relapse")


def draft_all(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """All drafts of all categories, in an order that depends on the record and the generator's seed alone.

    `names` holds what a record may lack.
    """
    for make in (
        condition_existence,
        condition_hierarchy,
        immunization_date,
        current_medication,
        medication_existence,
        medication_prescriber,
        medication_date,
        medication_for_condition,
        observation_values,
        dependent_observations,
    ):
        yield from make(record, rng, names)


def _several(category: str, facts: list[Fact]) -> Iterator[Draft]:
    """A question for all names of these facts, where they are few enough to list."""
    names = tuple(by_name(facts))
    if len(names) <= LONGEST_SET:
        yield free(category, "set", {}, names or None, facts, f"{category}.free")


def condition_existence(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """Whether a condition is listed, which are active."""
    category = "condition_existence"
    facts, complete = facts_of(record, "condition"), whole(record, "condition")
    present = by_name(facts)
    listed = [fact.name for fact in record.facts if fact.kind == "condition"]
    lacking = absent(names.conditions, listed, rng) if complete else []
    for name in present:
        yield yes_no(category, {"name": name}, True, present[name], [name])
        rng.shuffle(lacking)
        yield from choices(category, {}, name, lacking, present[name], f"{category}.choice")
    for name in lacking[: len(present) + 1]:
        yield yes_no(category, {"name": name}, False)
    if complete and all(fact.status for fact in facts):
        yield from _several(category, [fact for fact in facts if fact.status in ACTIVE])


def condition_hierarchy(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """Whether a condition of a wider group is listed, and which."""
    category = "condition_hierarchy"
    members: dict[str, list[Fact]] = {}
    perhaps: set[str] = set()
    known = whole(record, "condition")
    for fact in (fact for fact in record.facts if fact.kind == "condition"):
        groups = groups_of(fact.codes, fact.name)
        known = known and groups is not None
        perhaps |= akin(fact.codes, fact.name) if fact.counts else set(GROUPS)
        for group in sorted(groups or ()):
            if fact.counts:
                members.setdefault(group, []).append(fact)
    false = sorted(set(GROUPS) - set(members) - perhaps) if known else []
    for group, facts in sorted(members.items()):
        found = tuple(by_name(facts))
        yield yes_no(category, {"name": group}, True, facts, found)
        if known and group not in perhaps and len(found) <= LONGEST_SET:
            yield free(category, "set", {"name": group}, found, facts, f"{category}.free")
        rng.shuffle(false)
        yield from choices(category, {}, group, false, facts, f"{category}.choice")
    rng.shuffle(false)
    for group in false[: len(members) + 1]:
        yield yes_no(category, {"name": group}, False)
        yield free(category, "set", {"name": group}, None, (), f"{category}.free")


def immunization_date(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """When a vaccine was given."""
    category = "immunization_date"
    facts, complete = facts_of(record, "immunization"), whole(record, "immunization")
    days = [day(fact) for fact in facts if sound([fact])]
    for name, doses in by_name(facts).items():
        if sound(doses):
            yield from _dates(category, name, doses, days, complete, rng)
    listed = [fact.name for fact in record.facts if fact.kind == "immunization"]
    for name in absent(names.vaccines, listed, rng)[:4] if complete else []:
        yield free(category, "date", {"name": name}, None, ())


def _dates(
    category: str, name: str, facts: list[Fact], days: list[str], complete: bool, rng: random.Random
) -> Iterator[Draft]:
    """When something was last done, when first, and whether on a certain day."""
    last, first = latest(facts), earliest(facts)
    wrong = other_days(days, [day(fact) for fact in facts], rng)
    yield free(category, "date", {"name": name}, day(last[0]), last)
    earlier = [day(fact) for fact in facts if fact not in last]
    yield from choices(category, {"name": name}, day(last[0]), [*earlier[-1:], *wrong], last, only=True)
    if complete and len(facts) > 1:
        yield free(category, "date", {"name": name}, day(first[0]), first, f"{category}.first")
    for fact in {day(fact): fact for fact in facts}.values():
        same = [other for other in facts if day(other) == day(fact)]
        yield yes_no(category, {"name": name, "date": day(fact)}, True, same, [day(fact)], f"{category}.yes_no")
    for one in wrong[:2] if complete else []:
        yield yes_no(category, {"name": name, "date": one}, False, last, [day(last[0])], f"{category}.yes_no")


def _drugs(record: PatientRecord) -> tuple[list[Fact], bool, list[str]]:
    """Prescriptions, whether they are all, and every name of the section."""
    names = [fact.name for fact in record.facts if fact.kind == "medication"]
    return facts_of(record, "medication"), whole(record, "medication"), names


def current_medication(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """Which medications are active."""
    category = "current_medication"
    facts, complete, listed = _drugs(record)
    taken = by_name(fact for fact in facts if fact.status == "active")
    past = [name for name in by_name(facts) if name not in taken]
    lacking = absent(names.medications, listed, rng) if complete else []
    for name, found in taken.items():
        yield yes_no(category, {"name": name}, True, found, ["active"])
        wrong = [*past, *lacking] if complete else past
        rng.shuffle(wrong)
        yield from choices(category, {}, name, wrong, found, f"{category}.choice")
    for name in past:
        ended = by_name(facts)[name]
        yield yes_no(category, {"name": name}, False, ended, sorted({fact.status for fact in ended if fact.status}))
    for name in lacking[: max(1, len(taken) - len(past))]:
        yield yes_no(category, {"name": name}, False)
    if complete:
        yield from _several(category, [fact for found in taken.values() for fact in found])


def medication_existence(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """Whether a medication was ever prescribed."""
    category = "medication_existence"
    facts, complete, listed = _drugs(record)
    lacking = absent(names.medications, listed, rng) if complete else []
    for name, found in by_name(facts).items():
        yield yes_no(category, {"name": name}, True, found, [name])
        rng.shuffle(lacking)
        yield from choices(category, {}, name, lacking, found, f"{category}.choice")
    for name in lacking[: len(by_name(facts)) + 1]:
        yield yes_no(category, {"name": name}, False)
    if complete:
        yield from _several(category, facts)


def medication_prescriber(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """Who prescribed a medication last."""
    category = "medication_prescriber"
    facts, complete, listed = _drugs(record)
    people = sorted({fact.who for fact in facts if fact.who})
    for name, found in by_name(facts).items():
        # Of one drug, a budget may take a late prescription that ended and leave an early one that is active.
        if not sound(found) or record.omitted.get("medication"):
            continue
        last = latest(found)
        if not last[0].who or len({fact.who for fact in last}) > 1:
            continue
        who = last[0].who
        wrong = [*absent(people, [who], rng)[:2], *strangers(who, names, rng)[:2]]
        rng.shuffle(wrong)
        yield free(category, "name", {"name": name}, who, last)
        yield yes_no(category, {"name": name, "who": who}, True, last, [who], f"{category}.yes_no")
        yield yes_no(category, {"name": name, "who": wrong[0]}, False, last, [who], f"{category}.yes_no")
        yield from choices(category, {"name": name}, who, wrong, last, only=True)
    for name in absent(names.medications, listed, rng)[: 1 + len(facts) // 3] if complete else []:
        yield free(category, "name", {"name": name}, None, ())


def medication_date(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """When a medication was prescribed."""
    category = "medication_date"
    facts, complete, listed = _drugs(record)
    days = [day(fact) for fact in facts if sound([fact])]
    for name, found in by_name(facts).items():
        if sound(found) and not record.omitted.get("medication"):
            yield from _dates(category, name, found, days, complete, rng)
    for name in absent(names.medications, listed, rng)[: 1 + len(facts) // 3] if complete else []:
        yield free(category, "date", {"name": name}, None, ())


def medication_for_condition(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """What was prescribed for a condition, and for what a medication was."""
    category = "medication_for_condition"
    facts, complete, _ = _drugs(record)
    # A reason that dangles could be any condition.
    complete = complete and not any(UNRESOLVED in fact.reasons for fact in facts)
    treated: dict[str, list[Fact]] = {}
    for fact in facts:
        for reason in fact.reasons:
            treated.setdefault(reason, []).append(fact)
    drugs = list(by_name(facts))
    lacking = absent(names.medications, drugs, rng)
    for name, found in sorted(treated.items()) if complete else []:
        given = tuple(by_name(found))
        others = [drug for drug in drugs if drug not in given]
        if len(given) <= LONGEST_SET:
            yield free(category, "set", {"name": name}, given, found)
        for drug in given:
            these = [fact for fact in found if fact.name == drug]
            yield yes_no(category, {"name": name, "drug": drug}, True, these, [name], f"{category}.yes_no")
            wrong = [*others, *rng.sample(lacking, min(3, len(lacking)))]
            yield from choices(category, {"name": name}, drug, wrong, these, f"{category}.choice", only=True)
        for drug in others[:2]:
            yield _not_for(name, drug, by_name(facts)[drug])
    for drug, found in by_name(facts).items() if complete else []:
        reasons = tuple(dict.fromkeys(reason for fact in found for reason in fact.reasons))
        cited = [fact for fact in found if fact.reasons] or found
        if len(reasons) <= 1:
            answer = reasons[0] if reasons else None
            yield free(category, "text", {"name": drug}, answer, cited, f"{category}.reason")
    untreated = [name for name in by_name(facts_of(record, "condition")) if name not in treated]
    rng.shuffle(untreated)
    for name in untreated[: 1 + len(treated)] if complete else []:
        yield free(category, "set", {"name": name}, None, ())
        for drug in drugs[:1]:
            yield _not_for(name, drug, by_name(facts)[drug])


def _not_for(name: str, drug: str, prescribed: list[Fact]) -> Draft:
    """A drug that was prescribed for other reasons, or for none."""
    category = "medication_for_condition"
    reasons = list(dict.fromkeys(reason for fact in prescribed for reason in fact.reasons))
    cited = [fact for fact in prescribed if fact.reasons] or prescribed
    found = reasons or ["no reason"]
    return yes_no(category, {"name": name, "drug": drug}, False, cited, found, f"{category}.yes_no")
