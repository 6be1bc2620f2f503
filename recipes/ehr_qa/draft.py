"""A question before it is put into words, and what all categories need to draw one up."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.records import PatientRecord
from recipes.ehr_qa.vocabulary import Names

LONGEST_SET = 8
_COMMON_WORDS = {"tablet", "injection", "solution", "extended", "release", "hydrochloride", "sodium", "capsule"}
_COMMON_WORDS |= {"preservative", "vaccine", "adult", "valent", "injectable", "seasonal", "suspension", "potassium"}
_COMMON_WORDS |= {"nurse", "prof", "med"}
TITLES = ("Dr.", "Prof.", "med.", "Nurse", "MD", "NP", "PA-C", "RN", "DO")


@dataclass(frozen=True)
class Draft:
    """A question without its words.

    Attributes:
        category, format, kind, answer: as in `questions.Question`; a choice's answer is its right option, or None where
            none of the options is.
        wording: a key of `wordings.WORDINGS`, with `slots` for its places.
        facts: the evidence.
        wrong: a choice's wrong options.
        found: what the evidence says, where the answer is only what follows from it (yes, no, a letter).
    """

    category: str
    format: str
    kind: str
    wording: str
    slots: dict[str, str]
    answer: str | tuple[str, ...] | None
    facts: Sequence[Fact] = ()
    wrong: Sequence[str] = field(default=())
    found: Sequence[str] = field(default=())


def free(
    category: str,
    kind: str,
    slots: dict[str, str],
    answer: str | tuple[str, ...] | None,
    facts: Sequence[Fact],
    wording: str = "",
) -> Draft:
    """A question with an open answer; None where the record does not say."""
    return Draft(category, "free", kind, wording or category, slots, answer, facts)


def yes_no(
    category: str,
    slots: dict[str, str],
    truth: bool,
    facts: Sequence[Fact] = (),
    found: Sequence[str] = (),
    wording: str = "",
) -> Draft:
    """A question of yes or no, with what `found` in the facts decides it."""
    answer = "yes" if truth else "no"
    return Draft(category, "yes_no", "yes_no", wording or category, slots, answer, facts, found=found)


def choices(
    category: str,
    slots: dict[str, str],
    right: str,
    wrong: Sequence[str],
    facts: Sequence[Fact],
    wording: str = "",
    only: bool = False,
) -> list[Draft]:
    """A choice that has the right option, and one that has not; none without two wrong options to choose from.

    `only`: nothing but `right` is true, so that the facts also show that it is not among the options.
    """
    wrong = [text for text in dict.fromkeys(wrong) if text != right]
    if len(wrong) < 2:
        return []
    key = wording or category
    made = [Draft(category, "choice", "letter", key, slots, right, facts, wrong[:2], [right])]
    if len(wrong) > 2:
        shown, found = (facts, [right]) if only else ((), ())
        made.append(Draft(category, "choice", "letter", key, slots, None, shown, wrong[:3], found))
    return made


def facts_of(record: PatientRecord, kind: str) -> list[Fact]:
    """The facts of a section that are facts about the patient."""
    return [fact for fact in record.facts if fact.kind == kind and fact.counts]


def whole(record: PatientRecord, kind: str) -> bool:
    """Whether a section shows all there is, so that what it lacks is absent and what it lists is complete."""
    return not record.omitted.get(kind) and all(fact.counts for fact in record.facts if fact.kind == kind)


def by_name(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    """Facts of one name, oldest first as in the record; names in alphabetical order."""
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        found.setdefault(fact.name, []).append(fact)
    return dict(sorted(found.items()))


def sound(facts: Sequence[Fact]) -> bool:
    """Whether all have a whole day that can be."""
    return all(fact.start is not None and fact.start.sound for fact in facts)


def day(fact: Fact) -> str:
    """The day of a sound fact."""
    return fact.start.day if fact.start else ""


def latest(facts: Sequence[Fact]) -> list[Fact]:
    """Those of the last day."""
    last = max(day(fact) for fact in facts)
    return [fact for fact in facts if day(fact) == last]


def earliest(facts: Sequence[Fact]) -> list[Fact]:
    """Those of the first day."""
    first = min(day(fact) for fact in facts)
    return [fact for fact in facts if day(fact) == first]


def absent(pool: Iterable[str], present: Iterable[str], rng: random.Random) -> list[str]:
    """Names of the pool that the record certainly lacks, shuffled: not even one of their own words is in it."""
    taken = frozenset().union(*map(_words, present))
    names = [name for name in dict.fromkeys(pool) if not _words(name) & taken]
    rng.shuffle(names)
    return names


@lru_cache(maxsize=20_000)
def _words(name: str) -> frozenset[str]:
    """The words that tell a name from another."""
    found = {word for word in re.findall(r"[^\W\d_]{3,}", name.lower()) if word not in _COMMON_WORDS}
    return frozenset(found or {name.lower()})


def strangers(like: str, names: Names, rng: random.Random) -> list[str]:
    """Two invented people written as another is, title and digits too: what is wrong about them is not the form."""
    parts = re.findall(r"\S+", like)
    before = [part for part in parts[:2] if part in TITLES]
    behind = [part for part in parts[-1:] if part in TITLES]
    digits = any(part[-1].isdigit() for part in parts)
    made: list[str] = []
    while len(made) < 2:
        name = [rng.choice(names.given), rng.choice(names.families)]
        if digits:
            name = [f"{part}{rng.randint(1, 999)}" for part in name]
        made += absent([" ".join([*before, *name, *behind])], [like, *made], rng)
    return made


def other_days(days: Iterable[str], true: Iterable[str], rng: random.Random) -> list[str]:
    """Wrong dates: those of the record first, then days near the true one."""
    true = set(true)
    near = [
        (date.fromisoformat(one) + timedelta(days=rng.choice((-1, 1)) * rng.randint(2, 400))).isoformat()
        for one in sorted(true)
        for _ in range(3)
        if "1900" < one < "2099"
    ]
    listed = sorted(set(days) - true)
    rng.shuffle(listed)
    return [one for one in dict.fromkeys([*listed, *near]) if one not in true]
