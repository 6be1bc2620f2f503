"""What of a record a name means: by code, by class, by the record's own names and synonyms, and by spelling.

A name is compared word by word, without accents, case, plural and words that say nothing ("level of"). Where the record
has the very name, it means that; else every name that has all of its words. What is only near is never taken, but told.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from rapidfuzz import fuzz

from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.hierarchy import GROUPS, groups_of
from recipes.ehr_qa.vocabulary import CLASSES, FORMS, MEDICATIONS, SYNONYMS, members, sayings

SPELLED = 88.0
"""Two words of four letters and more with this ratio (0 to 100, of edits) are one, spelled in two ways."""
NEAR = 84.0
"""A name with a word of this ratio to one that was asked for is told, not taken."""

_SILENT = frozenset(
    "a an and any by for from his her in is my of on or the their to value values level levels test tests result"
    " results reading readings measurement count score vaccine vaccination vaccines immunization shot allergy allergies"
    " disease disorder problem problems patient".split()
)
_LETTERED = frozenset("hepatitis hep vitamin type group influenza".split())  # "hepatitis a"
_MARKS = frozenset("a1c glycated glycosylated ratio".split())
_SPECIMENS = frozenset("urine blood serum plasma saliva stool csf".split())
_SPELLINGS = (  # of Britain and America
    (re.compile("ae|oe|œ|æ"), "e"),
    (re.compile("sulph"), "sulf"),
    (re.compile(r"is(?=ation|ed\b)"), "iz"),
    (re.compile(r"(?<=[a-z]{3})our\b"), "or"),
)
_TREE = re.compile(r"[A-Z]\d\d(?:\.\d{0,2}|[A-Z]{1,2}(?:\d\d)?)?")
_DOSE = re.compile(r"\b\d[\d.,]* ?(?:hr|mg|ml|mcg|ug|g|iu|unt|actuat|%)?\b", re.IGNORECASE)

Words = frozenset[str]


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
        unknown: how many names of the record no table of classes knows, where a class was asked for.
    """

    entries: tuple[Entry, ...]
    how: str = ""
    near: tuple[str, ...] = ()
    unknown: int = 0


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
    phrases = [which, *_synonyms(which, kind)]
    # What a class is called in its table ("acid") is no name of its members.
    forms = [form for phrase in phrases if (form := words(phrase)) and (phrase == which or not _class(phrase, kind))]
    classes = [name for phrase in phrases if (name := _class(phrase, kind))]
    found = _named([*forms, *_abroad(which, kind)], entries, kind, which)
    how = "name" if found else ""
    unknown = 0
    if classes:
        known = {entry.fact.resource: _classes(entry.fact) for entry in entries}
        unknown = len({entry.name for entry in entries if known[entry.fact.resource] is None})
        those = [entry for entry in entries if set(classes) & (known[entry.fact.resource] or set())]
        if those and (not found or len(those) > len(found)):
            found, how = _once([entry for entry in entries if entry in those or entry in found]), "class"
    if not found:
        found, how = _spelled(forms, entries, kind), "spelling"
    taken = {id(entry.fact) for entry in found}
    others = dict.fromkeys(entry.name for entry in entries if id(entry.fact) not in taken)
    names = {entry.name for entry in found}
    # Not all that is said of it: "water tablet" would make every tablet look alike.
    called = [words(_rows(kind)[place][0][0]) for place in _called(which, kind)]
    near = [name for name in others if name not in names and _is_near(words(which), called, name)]
    return Meant(tuple(found), how if found else "", tuple(near[:5]), unknown)


def _has_code(fact: Fact, code: str) -> bool:
    """Whether a fact has a code, or one below it in the trees of ICD-10 and ATC: E11.90 is below E11."""
    tree = _TREE.fullmatch(code)
    return code in fact.codes or bool(tree and any(own.startswith(code) for own in fact.codes))


@lru_cache(maxsize=100_000)
def words(text: str) -> Words:
    """The words of a name by which it is compared; all of them where none says anything."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    for british, american in _SPELLINGS:
        plain = british.sub(american, plain)
    found = re.findall(r"[^\W_]+", re.sub(r"(?<=\w)['’]s\b", "", plain))
    told = [word for place, word in enumerate(found)
            if word not in _SILENT or (place and found[place - 1] in _LETTERED)]  # fmt: skip
    told = found if set(told) <= _SPECIMENS else told
    return frozenset(map(_singular, told))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2:] not in ("ss", "us", "is") else word


def _entries(fact: Fact) -> Iterable[Entry]:
    """A fact, and by itself each component that has another name."""
    yield Entry(fact, fact.name, _joined(fact))
    if len(fact.values) > 1 or any(label != fact.name for label, _ in fact.values):
        yield from (Entry(fact, label, value) for label, value in fact.values if label != fact.name)


def _joined(fact: Fact) -> str:
    """A fact's value, or those of its components behind one another."""
    return ", ".join(value if label == fact.name else f"{label} {value}" for label, value in fact.values if value)


@lru_cache(maxsize=100_000)
def bare(name: str) -> str:
    """A name without what LOINC puts behind it ("[Mass/volume] in Blood"), doses and brands, unless that is all."""
    short = re.sub(r" ?\[.*$|/\S.*$| (?:in|of|by) (?:Blood|Serum|Plasma|Arterial|Urine|Automated)\b.*$", "", name)
    return _DOSE.sub(" ", short).strip() or name


def _base(name: str) -> Words:
    return words(bare(name))


def _named(forms: Sequence[Words], entries: Sequence[Entry], kind: str, which: str) -> list[Entry]:
    """The entries that have a name as it is, or its words before LOINC's or a dose, or all of its words.

    Of observations what fits each form best goes before what fits it less. Of conditions, drugs and the like all are
    meant: essential hypertension is hypertension, too. Where no specimen is said, what is not of urine goes first.
    """
    tests: tuple[Callable[[Words, str], bool], ...] = (
        lambda form, name: form == words(name),
        lambda form, name: form == _base(name),
        lambda form, name: form <= words(name) and not _another(form, name, kind),
    )
    found: dict[int, Entry] = {}
    if any(words(which) == words(name) for entry in entries for name in entry.names):
        forms = [words(which)]  # the record's very name, and kinds of it
    for form in forms:
        for test in tests if kind == "observation" else tests[-1:]:
            fits = {name for name in {n for e in entries for n in e.names} if test(form, name)}
            own = [entry for entry in entries if fits.intersection(entry.names)]
            found |= {id(entry): entry for entry in own}
            if own:
                break
    ordered = [entry for entry in entries if id(entry) in found]
    elsewhere = [entry for entry in ordered if "urine" not in words(entry.name)]
    return _once(elsewhere if elsewhere and not words(which) & _SPECIMENS else ordered)


def _another(form: Words, name: str, kind: str) -> bool:
    """Whether a name of an observation is that of another one: a ratio, or glycated hemoglobin."""
    return kind == "observation" and bool((words(name) & _MARKS) - form)


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """Without components of observations that are there as a whole."""
    whole = {id(entry.fact) for entry in entries if entry.name == entry.fact.name}
    return [entry for entry in entries if entry.name == entry.fact.name or id(entry.fact) not in whole]


def _spelled(forms: Sequence[Words], entries: Sequence[Entry], kind: str) -> list[Entry]:
    def spells(form: Words, name: str) -> bool:
        return not _another(form, name, kind) and all(any(_alike(own, word) for word in words(name)) for own in form)

    named = {name for name in {n for e in entries for n in e.names} if any(spells(form, name) for form in forms)}
    return _once([entry for entry in entries if named.intersection(entry.names)])


def _alike(one: str, other: str) -> bool:
    """Whether two words are one, spelled in two ways: never two that a table knows, and no opposites."""
    if one == other:
        return True
    if one in _known() or min(len(one), len(other)) <= 3 or fuzz.ratio(one, other) < SPELLED:
        return False
    opposed = any((prefix in one) != (prefix in other) for prefix in ("hypo", "hyper"))
    return not opposed and not any(one == prefix + other or other == prefix + one for prefix in ("nor", "es", "de"))


@cache
def _known() -> Words:
    """Every word of the tables."""
    phrases = [phrase for kind in SYNONYMS for same, _ in _rows(kind) for phrase in same]
    drugs = [drug for names in MEDICATIONS.values() for drug in names]
    return frozenset(word for phrase in (*phrases, *drugs, *GROUPS) for word in words(phrase) if len(word) > 4)


def _is_near(asked: Words, forms: Sequence[Words], name: str) -> bool:
    """Whether a name has a word that is nearly spelled as one asked for, or one within a word of it or its synonyms."""
    own = [word for word in words(name) - _SPECIMENS if len(word) > 4]
    meant = {word for form in (asked, *forms) for word in form - _SPECIMENS if len(word) > 4}
    spelled = any(fuzz.ratio(one, word) >= NEAR for one in asked if len(one) > 4 for word in own)
    return spelled or any(one in word or word in one for one in meant for word in own)


_Row = tuple[tuple[str, ...], tuple[str, ...]]
"""The ways to say a name in the words of records, English; and in other languages and forms ("diabetic")."""


@cache
def _rows(kind: str) -> tuple[_Row, ...]:
    """What a section's two tables have as the same, each row with its plain name first."""
    rows: list[_Row] = [((name, *others), ()) for name, others in SYNONYMS.get(kind, {}).items()]
    for row in sayings(kind):
        ways = [row, *(row[form] for form in FORMS if form in row)]
        other = [said for way in ways for found in way.values() if isinstance(found, list) for said in found]
        rows.append(((row["which"], *row["en"]), tuple(other)))
    return tuple(rows)


@cache
def _table(kind: str) -> dict[Words, tuple[int, ...]]:
    """By the words of each way to say something, the places of the rows that have it."""
    found: dict[Words, dict[int, None]] = {}
    for place, (same, other) in enumerate(_rows(kind)):
        for phrase in (*same, *other):
            found.setdefault(words(phrase), {})[place] = None
    return {key: tuple(places) for key, places in found.items()}


@lru_cache(maxsize=10_000)
def _called(which: str, kind: str) -> tuple[int, ...]:
    """The places of the rows that have a name, or that are spelled like it where none has."""
    asked, table = words(which), _table(kind)
    # One letter makes another drug; a record's own names are compared by spelling elsewhere.
    if asked in table or kind == "medication" or not any(len(word) > 4 for word in asked):
        return table.get(asked, ())
    near = [key for key in table if len(key) == len(asked) and all(any(_alike(a, b) for b in key) for a in asked - key)]
    return tuple(dict.fromkeys(place for key in near for place in table[key])) if len(near) < 4 else ()


def _synonyms(which: str, kind: str) -> tuple[str, ...]:
    """Other ways to say a name; of several drugs' ways only those of the one."""
    rows = _rows(kind)
    return tuple(dict.fromkeys(phrase for place in _called(which, kind) for phrase in rows[place][0]))


@lru_cache(maxsize=10_000)
def _abroad(which: str, kind: str) -> tuple[Words, ...]:
    """The words of a name in other languages, without those that are other things in English ("PCR")."""
    if kind == "text":
        return ()
    rows, languages = _rows(kind), [row for row in sayings(kind)]
    first = len(rows) - len(languages)
    found = {
        words(name)
        for place in _called(which, kind)
        if place >= first
        for language, names in languages[place - first].items()
        if language not in ("which", "en", *FORMS)
        for name in names
    }
    english = [(place, words(name)) for place, (same, _) in enumerate(rows) for name in same]
    meant = {*_called(which, kind)}
    return tuple(form for form in found
                 if form and not any(form <= other and place not in meant for place, other in english))  # fmt: skip


def meaning(which: str | None, kind: str | None) -> frozenset[Any]:
    """What a name means whatever the record: the places of the rows that have it, else its words alone.

    Two names mean the same where these have one in common; of what is no name, where both are empty.
    """
    if not which:
        return frozenset()
    return frozenset(_called(which, kind or "")) or frozenset([words(which)])


@cache
def _class_names(kind: str) -> dict[Words, str]:
    tables: dict[str, Iterable[str]] = {"condition": GROUPS, "medication": (*MEDICATIONS, *CLASSES)}
    return {words(name): name for name in (*members(kind), *tables.get(kind, ()))}


def _class(phrase: str, kind: str) -> str | None:
    return _class_names(kind).get(words(phrase))


def _classes(fact: Fact) -> frozenset[str] | None:
    """The classes that a fact belongs to; None where no table knows it."""
    return _classes_of(fact.kind, (fact.name, *fact.also), tuple(fact.codes))


@lru_cache(maxsize=100_000)
def _classes_of(kind: str, names: tuple[str, ...], codes: tuple[str, ...]) -> frozenset[str] | None:
    own = [words(_DOSE.sub(" ", name)) for name in names]
    found = {name for name, parts in _members(kind).items() if any(part <= one for part in parts for one in own)}
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
        bare = {words(form.sub("", _DOSE.sub(" ", re.sub(r"\[.*", "", drug)))) - salt for drug in drugs}
        brands = {words(brand) for drug in drugs for brand in re.findall(r"\[([^\]]+)\]", drug)}
        made[kind] = tuple(one for one in bare | brands if one)
    # Other names of the same drugs.
    for kind, own in made.items():
        places = (place for one in own for place in _table("medication").get(one, ()))
        also = {words(other) for place in places for other in _rows("medication")[place][0]}
        made[kind] = tuple(dict.fromkeys((*own, *(also - {frozenset()}))))
    return made
