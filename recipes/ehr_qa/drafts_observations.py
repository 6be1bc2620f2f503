"""What can be asked of a record's observations: a value, and a value found by way of something else."""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from recipes.ehr_qa.draft import Draft, absent, by_name, choices, day, facts_of, free, latest, sound, whole, yes_no
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.records import PatientRecord
from recipes.ehr_qa.vocabulary import Names

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(?: (.+))?")
ANCHORS = 2  # of each sort, for each measurement
LACKING = 12  # measurements a record does not have


@dataclass(frozen=True)
class Value:
    """A value with its day; `number` is None for words."""

    day: str
    text: str
    fact: Fact

    @property
    def number(self) -> tuple[Decimal, str] | None:
        """Number and unit."""
        found = _NUMBER.fullmatch(self.text)
        return (Decimal(found[1]), found[2] or "") if found else None

    @property
    def kind(self) -> str:
        """How an answer is compared with it."""
        return "number" if self.number else "text"


def _series(record: PatientRecord) -> dict[str, list[Value]]:
    """The values of each measurement, oldest first, of days with exactly one; none of a measurement with a bad date."""
    found: dict[str, list[Value]] = {}
    spoilt: set[str] = set()
    for fact in (fact for fact in record.facts if fact.kind == "observation"):
        if not fact.counts or not sound([fact]) or fact.end:
            spoilt |= {fact.name, *(name for name, _ in fact.values)}
        for name, text in fact.values:
            if not text:
                spoilt.add(name)
            found.setdefault(name, []).append(Value(day(fact), text, fact))
        if not fact.values:
            spoilt.add(fact.name)
    return {
        name: sorted(values, key=lambda value: value.day)
        for name, values in sorted(found.items())
        if name and name not in spoilt
    }


def _last(values: Sequence[Value]) -> Value | None:
    """The value of the last day; None where that day has two."""
    last = [value for value in values if value.day == values[-1].day]
    return last[0] if len(last) == 1 else None


def _all_names(record: PatientRecord) -> list[str]:
    facts = [fact for fact in record.facts if fact.kind == "observation"]
    return [name for fact in facts for name in (fact.name, *(label for label, _ in fact.values))]


def _wrong(value: Value, values: Sequence[Value], rng: random.Random) -> list[str]:
    """Wrong values: others of the same measurement first, then made up around it; none for words that stand alone."""
    others = [other.text for other in values if other.text != value.text]
    rng.shuffle(others)
    if value.number:
        number, unit = value.number
        for factor in ("0.83", "1.19", "1.34"):
            others.append(f"{_scaled(number, factor)} {unit}".strip())
    return [text for text in dict.fromkeys(others) if text != value.text]


def _scaled(number: Decimal, factor: str) -> Decimal:
    return (number * Decimal(factor)).quantize(number, ROUND_HALF_EVEN)


def _above(
    category: str, slots: dict[str, str], value: Value, cited: Sequence[Fact], rng: random.Random
) -> list[Draft]:
    """Whether the value is above a limit, once below and once above it."""
    if not value.number or value.number[0] <= 0:
        return []
    number, unit = value.number
    limits = {_scaled(number, rng.choice(("0.8", "0.9"))), _scaled(number, rng.choice(("1.1", "1.2")))} - {number}
    return [
        yes_no(
            category,
            {**slots, "limit": f"{limit} {unit}".strip()},
            number > limit,
            cited,
            [value.text],
            f"{category}.yes_no",
        )
        for limit in sorted(limits)
    ]


def observation_values(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """The latest value of a measurement, and that of a day."""
    category = "observation_value"
    for name, values in _series(record).items():
        last = _last(values)
        if last:
            yield free(category, last.kind, {"name": name}, last.text, [last.fact])
            yield from choices(category, {"name": name}, last.text, _wrong(last, values, rng), [last.fact], only=True)
            yield from _above(category, {"name": name}, last, [last.fact], rng)
        days = [value.day for value in values]
        single = [value for value in values if days.count(value.day) == 1 and value is not last]
        for value in rng.sample(single, min(ANCHORS, len(single))):
            slots = {"name": name, "date": value.day}
            yield free(category, value.kind, slots, value.text, [value.fact], f"{category}.day")
            wrong = _wrong(value, values, rng)
            yield from choices(category, slots, value.text, wrong, [value.fact], f"{category}.day", only=True)
    if whole(record, "observation"):
        for name in absent(names.measurements, _all_names(record), rng)[:LACKING]:
            yield free(category, "number", {"name": name}, None, ())


def dependent_observations(record: PatientRecord, rng: random.Random, names: Names) -> Iterator[Draft]:
    """A value found by way of a date, a condition's onset, a prescription, or another measurement."""
    category = "dependent_observation"
    series, complete = _series(record), whole(record, "observation")
    visits = sorted({day(fact) for fact in facts_of(record, "encounter") if sound([fact])})
    onsets = {} if record.omitted.get("condition") else _anchors(facts_of(record, "condition"))
    prescribed = [] if record.omitted.get("medication") else facts_of(record, "medication")
    drugs = {name: latest(facts) for name, facts in by_name(prescribed).items() if sound(facts)}
    for name, values in series.items():
        for one in rng.sample(visits, min(ANCHORS, len(visits))):
            slots = {"name": name, "date": one}
            found = yield from _before(category, slots, one, values, [], complete, "before", rng)
            if found:
                yield from _above(category, slots, found, [found.fact], rng)
        for other, facts in _sample(onsets, rng):
            slots = {"name": name, "other": other}
            yield from _before(category, slots, day(facts[0]), values, facts, complete, "onset", rng)
        for other, facts in _sample(drugs, rng):
            yield from _on(
                category, {"name": name, "other": other}, day(facts[0]), values, facts, complete, "drug", rng
            )
        last_days = {
            other: [rows[-1].fact] for other, rows in series.items() if rows[-1].fact.name != values[-1].fact.name
        }
        for other, facts in _sample(last_days, rng):
            slots = {"name": name, "other": other}
            yield from _on(category, slots, day(facts[0]), values, facts, complete, "measured", rng)


def _anchors(facts: Sequence[Fact]) -> dict[str, list[Fact]]:
    """Conditions that are listed once, with a whole date of onset."""
    return {name: found for name, found in by_name(facts).items() if len(found) == 1 and sound(found)}


def _sample(anchors: dict[str, list[Fact]], rng: random.Random) -> list[tuple[str, list[Fact]]]:
    return rng.sample(sorted(anchors.items(), key=lambda item: item[0]), min(ANCHORS, len(anchors)))


def _before(
    category: str,
    slots: dict[str, str],
    limit: str,
    values: Sequence[Value],
    anchor: Sequence[Fact],
    complete: bool,
    wording: str,
    rng: random.Random,
) -> Generator[Draft, None, Value | None]:
    """The latest value before a day; returns it."""
    earlier = [value for value in values if value.day < limit]
    key = f"{category}.{wording}"
    if earlier:
        found = _last(earlier)
        if found:
            cited = [*anchor, found.fact]
            yield free(category, found.kind, slots, found.text, cited, key)
            yield from choices(category, slots, found.text, _wrong(found, values, rng), cited, key, only=True)
        return found
    if complete:
        yield free(category, values[0].kind, slots, None, (), key)
    return None


def _on(
    category: str,
    slots: dict[str, str],
    wanted: str,
    values: Sequence[Value],
    anchor: Sequence[Fact],
    complete: bool,
    wording: str,
    rng: random.Random,
) -> Iterator[Draft]:
    """The value of a day."""
    found = [value for value in values if value.day == wanted]
    key = f"{category}.{wording}"
    if len(found) == 1:
        cited = [*anchor, found[0].fact]
        yield free(category, found[0].kind, slots, found[0].text, cited, key)
        yield from choices(category, slots, found[0].text, _wrong(found[0], values, rng), cited, key, only=True)
    elif not found and complete:
        yield free(category, values[0].kind, slots, None, (), key)
