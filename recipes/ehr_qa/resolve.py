"""What of a record a name means: by code, by class, by the record's own names and synonyms, and by spelling.

A name is compared word by word, without accents, case, plural and words that say nothing ("level of"). Where the record
has the very name, it means that; else every name that has all of its words. What is only near is never taken, but told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

from recipes.ehr_qa.classes import DOSE, class_of, classes_of, is_member, panel_of
from recipes.ehr_qa.compounds import has, without_head
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.sayings import (
    SPECIMENS,
    WITHOUT,
    Words,
    abroad,
    alike,
    another,
    called,
    in_english,
    meaning,
    rows_called,
    rows_of,
    synonyms,
    table_of,
    words,
)
from recipes.ehr_qa.terms import SECTIONS, is_other, made_of

__all__ = ["Entry", "Meant", "bare", "meaning", "resolve", "words"]

NEAR = 84.0
"""A name with a word of this ratio to one that was asked for is told, not taken."""

_KIND_OF_VALUE = re.compile(r"\[[^\]]*\]")  # "[Enzymatic activity/volume]"
# "physio plan" of "Physical therapy procedure"
_SAYS_NOTHING = {"care_plan": frozenset("plan care goal target ziel objectif objetivo doel obiettivo".split())}
_AS_NAMED_IN = {"care_plan": ("care_plan", "observation", "condition")}  # a goal or plan is for what those name
_OF_URINE = frozenset("urine urin harn urines urinaire orina urina".split())
_WORD = re.compile(r"[^\W_]+")
_TREE = re.compile(r"[A-Z]\d\d(?:\.\d{0,2}|[A-Z]{1,2}(?:\d\d)?)?")


@dataclass(frozen=True)
class Entry:
    """A fact, or one component of an observation, with what it is called and its value there."""

    fact: Fact
    name: str
    value: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is called."""
        return (self.name, *self.fact.also) if self.name == self.fact.name else (self.name,)


@dataclass(frozen=True)
class Meant:
    """What a name means in a record.

    Attributes:
        entries: what it means, in the record's order.
        how: `all` where nothing was named, `code`, `class`, `name`, or `spelling`; empty where there is nothing.
        near: other names of the record that look like it.
        unknown: the names of the record that no table of classes knows, where a class was asked for.
    """

    entries: tuple[Entry, ...]
    how: str = ""
    near: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def resolve(which: str | None, kind: str, facts: Sequence[Fact]) -> Meant:
    """The entries of a section that a name means.

    Args:
        which: the name; None for all.
        kind: the section, a key of `records.SECTIONS`.
        facts: the section's facts.
    """
    entries = [entry for fact in facts for entry in _entries(fact)]
    if which is None or not which.strip():
        return Meant(tuple(Entry(fact, fact.name, _joined(fact)) for fact in facts), "all")
    if coded := [Entry(fact, fact.name, _joined(fact)) for fact in facts if _has_code(fact, which.strip())]:
        return Meant(tuple(coded), "code")
    if len(asked := words(which)) == 1 and not called(which, kind):
        which = without_head(next(iter(asked)), kind)
    phrases = [which, *(phrase for one in _AS_NAMED_IN.get(kind, (kind,)) for phrase in synonyms(which, one))]
    # What a class is called in its table ("acid") is no name of its members; and a synonym of which one word is left
    # ("prostate value") says too little.
    silent = _SAYS_NOTHING.get(kind, frozenset())
    forms = [form for phrase in phrases if (form := words(phrase) - silent or words(phrase)) and (
        phrase == which or not (class_of(phrase, kind) or (len(form) == 1 < len(_WORD.findall(phrase)))))]  # fmt: skip
    named = [name for phrase in phrases if (name := class_of(phrase, kind))]
    classes = [name for name in named if not is_member(which, kind, name)]
    classes += [name] if (name := panel_of(which, kind)) else []
    found = _named(forms, entries, kind, which)
    how = "name" if found else ""
    unknown: tuple[str, ...] = ()
    if classes:
        known = {entry.fact.resource: classes_of(entry.fact) for entry in entries}
        unknown = tuple(dict.fromkeys(entry.name for entry in entries if known[entry.fact.resource] is None))
        asked = words(which) | {"non"}  # "non-small cell lung cancer" is a cancer
        those = [entry for entry in entries if any(
            name in (known[entry.fact.resource] or ()) and not another(words(name) | asked, _told(entry.name), kind)
            for name in classes
        )]  # fmt: skip
        if those and (not found or len(those) > len(found)):
            found, how = _once([entry for entry in entries if entry in those or entry in found]), "class"
    if not found:
        found, how = _spelled(forms, entries, kind), "spelling"
    taken = {id(entry.fact) for entry in found}
    others = dict.fromkeys(entry.name for entry in entries if id(entry.fact) not in taken)
    names = {entry.name for entry in found}
    # Not all that is said of it: "water tablet" would make every tablet look alike.
    plain = [words(rows_of(kind)[place].english[0]) for place in called(which, kind)]
    near = [name for name in others if name not in names and (
        words(which) <= words(name) or _is_near(words(which), plain, name))]  # fmt: skip
    if beside := {*named} - {*classes}:  # "iron" is one of the iron studies, of which the record may have others
        own = (entry for entry in entries if beside & (classes_of(entry.fact) or frozenset()))
        near = list(dict.fromkeys((*near, *(entry.name for entry in own if entry.name not in names))))
    return Meant(tuple(found), how if found else "", tuple(near[:5]), unknown)


def _has_code(fact: Fact, code: str) -> bool:
    """Whether a fact has a code, or one below it in the trees of ICD-10 and ATC: E11.90 is below E11."""
    tree = _TREE.fullmatch(code)
    return code in fact.codes or bool(tree and any(own.startswith(code) for own in fact.codes))


def _entries(fact: Fact) -> Iterable[Entry]:
    """A fact, and by itself each component that has another name."""
    yield Entry(fact, fact.name, _joined(fact))
    if len(fact.values) > 1 or any(label != fact.name for label, _ in fact.values):
        yield from (Entry(fact, label, value) for label, value in fact.values if value and label != fact.name)


def _joined(fact: Fact) -> str:
    """A fact's value, or those of its components behind one another."""
    return ", ".join(value if label == fact.name else f"{label} {value}" for label, value in fact.values if value)


@lru_cache(maxsize=100_000)
def bare(name: str) -> str:
    """A name without what LOINC puts behind it ("[Mass/volume] in Blood"), doses and brands, unless that is all."""
    short = re.sub(r" ?\[.*$|/\S.*$| (?:in|of|by) (?:Blood|Serum|Plasma|Arterial|Urine|Automated)\b.*$", "", name)
    return DOSE.sub(" ", short).strip() or name


def _told(name: str) -> Words:
    """The words of a name without LOINC's kind of value, which may be those of another thing ("volume")."""
    return words(_KIND_OF_VALUE.sub(" ", name))


def _base(name: str) -> Words:
    return words(bare(name))


def _named(forms: Sequence[Words], entries: Sequence[Entry], kind: str, which: str) -> list[Entry]:
    """The entries that have a name as it is, or its words before LOINC's or a dose, or all of its words.

    Of observations what fits any form best goes before what fits less: who asks for the weight has no body mass index
    in mind, though its name has the words "body mass". Of conditions, drugs and the like all are meant: essential
    hypertension is hypertension, too. Where no specimen is said, what is not of urine goes first.
    """
    tests: tuple[Callable[[Words, str], bool], ...] = (
        lambda form, name: form == words(name),
        lambda form, name: form == _base(name) and not another(form, _told(name), kind),
        lambda form, name: _has(form, name, kind, words(which)) and not another(form, _told(name), kind),
    )
    found: dict[int, Entry] = {}
    if any(words(which) == words(entry.name) for entry in entries):
        forms = [words(which)]  # the record's very name, and kinds of it
    wanted = (*forms, *abroad(which, kind))
    names = {name for entry in entries for name in entry.names}
    for test in tests if kind == "observation" else tests[-1:]:
        fits = {name for name in names if any(test(form, name) for form in wanted)}
        found |= {id(entry): entry for entry in entries if fits.intersection(entry.names)}
        if found:
            break
    if forms != [words(which)] or not found:  # a name that is itself a saying of the thing
        fits = {name for name in names if set(rows_called(which, kind)) & set(table_of(kind).get(words(name), ()))}
        found |= {id(entry): entry for entry in entries if fits.intersection(entry.names)}
    ordered = [entry for entry in entries if id(entry) in found]
    elsewhere = [entry for entry in ordered if not words(entry.name) & _OF_URINE]
    return _once(elsewhere if elsewhere and not words(which) & (SPECIMENS | _OF_URINE) else ordered)


def _has(form: Words, name: str, kind: str, asked: Words) -> bool:
    """Whether a name, or that of the drug that a brand is of, has all words of a form, or is made of what it is."""
    if kind == "medication" and any(form <= plain for plain in in_english(name, kind)):
        return True
    own = words(_KIND_OF_VALUE.sub(" ", WITHOUT.sub("", name)))
    if kind in SECTIONS and is_other(own, form):
        return False
    return has(own, form) or (kind in SECTIONS and made_of(own, form, form == asked))


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """Without components of observations that are there as a whole."""
    whole = {id(entry.fact) for entry in entries if entry.name == entry.fact.name}
    return [entry for entry in entries if entry.name == entry.fact.name or id(entry.fact) not in whole]


def _spelled(forms: Sequence[Words], entries: Sequence[Entry], kind: str) -> list[Entry]:
    def spells(form: Words, name: str) -> bool:
        own = words(WITHOUT.sub("", name))
        if another(form, _told(name), kind) or (kind in SECTIONS and is_other(own, form)):
            return False
        return all(any(alike(one, word) for word in own) for one in form)

    named = {name for name in {n for e in entries for n in e.names} if any(spells(form, name) for form in forms)}
    return _once([entry for entry in entries if named.intersection(entry.names)])


def _is_near(asked: Words, forms: Sequence[Words], name: str) -> bool:
    """Whether a name has a word that is nearly spelled as one asked for, or one within a word of it or its synonyms."""
    own = [word for word in words(name) - SPECIMENS if len(word) > 4]
    meant = {word for form in (asked, *forms) for word in form - SPECIMENS if len(word) > 4}
    spelled = any(fuzz.ratio(one, word) >= NEAR for one in asked if len(one) > 4 for word in own)
    return spelled or any(one in word or word in one for one in meant for word in own)
