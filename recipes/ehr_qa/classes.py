"""Which classes a record's names belong to: statins, heart diseases, blood tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache

from recipes.ehr_qa.compounds import has
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.hierarchy import GROUPS, groups_of
from recipes.ehr_qa.sayings import WITHOUT, Words, another, in_english, rows_of, table_of, words
from recipes.ehr_qa.terms import SECTIONS, standard
from recipes.ehr_qa.vocabulary import CLASSES, MEDICATIONS, PANELS_CALLED, members

DOSE = re.compile(r"\b\d[\d.,]* ?(?:hr|mg|ml|mcg|ug|g|iu|unt|actuat|%)?\b", re.IGNORECASE)


@cache
def _class_names(kind: str) -> dict[Words, str]:
    tables: dict[str, Iterable[str]] = {"condition": GROUPS, "medication": (*MEDICATIONS, *CLASSES)}
    return {words(name): name for name in (*members(kind), *tables.get(kind, ()))}


def class_of(phrase: str, kind: str) -> str | None:
    """The class that a phrase names; None where it names none."""
    return _class_names(kind).get(words(phrase))


@cache
def _panels() -> dict[Words, str]:
    return {words(said): name for name, own in PANELS_CALLED["called"].items() for said in own}


def panel_of(phrase: str, kind: str) -> str | None:
    """The class of observations that an organ or a panel is asked for by ("kidney function"); None where none is."""
    return _panels().get(words(phrase)) if kind == "observation" else None


def is_member(phrase: str, kind: str, name: str) -> bool:
    """Whether a phrase is a class's name only without words that say nothing, and that of a member: "iron" of tests."""
    whole = phrase.casefold().split() == name.casefold().split()
    return kind == "observation" and not whole and words(phrase) in _members(kind).get(name, ())


def is_known(which: str, kind: str) -> bool:
    """Whether a section's tables have a name or a class."""
    return words(which) in table_of(kind) or (class_of(which, kind) or panel_of(which, kind)) is not None


def classes_of(fact: Fact) -> frozenset[str] | None:
    """The classes that a fact belongs to; None where no table knows it."""
    return _of_names(fact.kind, (fact.name, *fact.also), tuple(fact.codes))


@lru_cache(maxsize=100_000)
def _of_names(kind: str, names: tuple[str, ...], codes: tuple[str, ...]) -> frozenset[str] | None:
    names = tuple(WITHOUT.sub("", name) for name in names)
    own = [form for name in names for form in (words(DOSE.sub(" ", name)), *in_english(name, kind))]
    own += [standard(form) for form in own] if kind in SECTIONS else []
    found = {
        name
        for name, parts in _members(kind).items()
        if any(has(one, part) and not another(part, one, kind, of_all=False) for part in parts for one in own)
    }
    if kind == "condition":
        groups = groups_of(codes, names[0])
        return None if groups is None and not found else frozenset({*(groups or ()), *found})
    if not found and kind in ("medication", "allergy"):
        return None
    return frozenset(found | {wide for wide, narrow in CLASSES.items() if found & {*narrow}})


@cache
def _members(kind: str) -> dict[str, tuple[Words, ...]]:
    """Of each class of a section the words of its members' names."""
    made = dict(_ingredients()) if kind == "medication" else {}
    for name, own in members(kind).items():
        made[name] = tuple(dict.fromkeys((*made.get(name, ()), *filter(None, map(words, own)))))
    if kind in SECTIONS:
        made = {name: tuple(dict.fromkeys((*own, *map(standard, own)))) for name, own in made.items()}
    return made


@cache
def _ingredients() -> dict[str, tuple[Words, ...]]:
    """Of each class of medications the words that name its drugs, as what stands before the form (`Oral Tablet`)."""
    form = re.compile(
        r" (?:oral|injection|topical|inhal\w*|ophthalmic|tablets?|capsules?|vaginal|nasal)\b.*", re.IGNORECASE
    )
    salt = frozenset(
        "hydrochloride hcl sodium sulfate phosphate bitartrate succinate tartrate maleate acetate er xr".split()
    )
    made: dict[str, tuple[Words, ...]] = {}
    for kind, drugs in MEDICATIONS.items():
        if kind == "statin":  # its table has other drugs against lipids, too
            drugs = tuple(drug for drug in drugs if "statin" in drug.casefold())
        bare = {words(form.sub("", DOSE.sub(" ", re.sub(r"\[.*", "", drug)))) - salt for drug in drugs}
        brands = {words(brand) for drug in drugs for brand in re.findall(r"\[([^\]]+)\]", drug)}
        made[kind] = tuple(one for one in bare | brands if one)
    # Other names of the same drugs.
    for kind, own in made.items():
        places = (place for one in own for place in table_of("medication").get(one, ()))
        also = {words(other) for place in places for other in rows_of("medication")[place].english}
        made[kind] = tuple(dict.fromkeys((*own, *(also - {frozenset()}))))
    return made
