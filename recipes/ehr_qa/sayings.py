"""What people call things: the words of a name, other ways to say it in the tables, in English and other languages."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any, NamedTuple

from rapidfuzz import fuzz

from recipes.ehr_qa.compounds import has
from recipes.ehr_qa.hierarchy import GROUPS
from recipes.ehr_qa.vocabulary import FORMS, MARKS, MEDICATIONS, PRINTED, SECTIONS_CALLED, SYNONYMS, sayings

SPELLED = 88.0
"""Two words of four letters and more with this ratio (0 to 100, of edits) are one, spelled in two ways."""
SILENT = frozenset(
    "a an and any by for from his her in is my of on or the their to value values level levels test tests result"
    " results reading readings measurement count score vaccine vaccination vaccines immunization shot allergy allergies"
    " disease disorder problem problems patient thing things stuff issue issues trouble troubles with to at ever"
    " already again checked tested".split()
)
_POINTING = frozenset(
    "a all an any her his my of our the their these this your active current known patient pt pz aktive aktuelle actif"
    " actifs actives actuels actuelles activo activos activas actuales actieve huidige attivi attive attuali"
    " ativos ativas atuais del des du van do da".split()
)
_LETTERED = frozenset(
    "hepatitis hepatite epatite hep vitamin vitamine vitamina type typ tipo group gruppe groupe grupo gruppo influenza"
    " lipoprotein".split()
)  # "hepatitis a"
_VISITS = frozenset("visit visits encounter encounters appointment appointments".split())
# Alone they would be in the name of every tablet or panel: "allergy tablets", "allergy panel".
_KINDS = frozenset(
    "tablet tablets pill pills capsule capsules injection injections spray sprays patch patches cream creams drop drops"
    " syrup inhaler inhalers solution med meds medication medications medicine medicines drug drugs panel panels clinic"
    " activity".split()
)
SPECIMENS = frozenset("urine blood serum plasma saliva stool csf".split())
_SPELLINGS = (  # of Britain and America, of operations elsewhere, of vitamins
    (re.compile("ae|oe|œ|æ"), "e"),
    (re.compile("sulph"), "sulf"),
    (re.compile(r"is(?=ation|ed\b)"), "iz"),
    (re.compile(r"(?<=[a-z]{3})our\b"), "or"),
    (re.compile(r"e[ck]tomi[ae]\b"), "ectomy"),
    (re.compile("zy(?=st|t[eo])"), "cy"),  # "Cholezystektomie", "Leukozyten"
    (re.compile(r"\b(vitamin[ae]? [a-z]) (?=\d{1,2}\b)"), r"\1"),  # "Vitamin B 12"
    (re.compile(r"\bcalcium (?=scor)"), "calcium"),  # of the heart's arteries, and no calcium
)

WITHOUT = re.compile(r"\b(?:without|w/o|ohne|sans|sin|senza|zonder|sem)\b[^,;()]*", re.IGNORECASE)
"""What a name says that there is not: "without angina pectoris"."""

Words = frozenset[str]


@lru_cache(maxsize=100_000)
def words(text: str) -> Words:
    """The words of a name by which it is compared; all of them where none says anything."""
    found = _split(text)
    told = [word for place, word in enumerate(found)
            if word not in SILENT or (place and found[place - 1] in _LETTERED)]  # fmt: skip
    told = found if set(told) <= SPECIMENS | _VISITS | _KINDS else told
    return frozenset(map(_singular, told))


def _split(text: str) -> list[str]:
    """The words of a text in order, in small letters, without accents, in one spelling."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    for british, american in _SPELLINGS:
        plain = british.sub(american, plain)
    return re.findall(r"[^\W_]+", re.sub(r"(?<=\w)['’]s\b", "", plain))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2:] not in ("ss", "us", "is") else word


def alike(one: str, other: str) -> bool:
    """Whether two words are one, spelled in two ways: never two that a table knows, and no opposites."""
    if one == other:
        return True
    if one in _known() or min(len(one), len(other)) <= 3 or fuzz.ratio(one, other) < SPELLED:
        return False
    opposed = any((prefix in one) != (prefix in other) for prefix in ("hypo", "hyper"))
    return not opposed and not any(
        one == prefix + other or other == prefix + one for prefix in ("nor", "es", "de", "re", "pre")
    )


@cache
def _known() -> Words:
    """Every word of the tables."""
    phrases = [phrase for kind in SYNONYMS for row in rows_of(kind) for phrase in row.english]
    drugs = [drug for names in MEDICATIONS.values() for drug in names]
    return frozenset(word for phrase in (*phrases, *drugs, *GROUPS) for word in words(phrase) if len(word) > 4)


@cache
def _marks(kind: str) -> dict[str, Words]:
    return {
        "" if word == "all" else next(iter(words(word))): frozenset(one for mark in own for one in words(mark))
        for word, own in MARKS.get(kind, {}).items()
    }


def another(form: Words, own: Words, kind: str, of_all: bool = True) -> bool:
    """Whether a name's words are those of another thing than a form's: a ratio, one who never smoked, a heat stroke.

    Args:
        of_all: marks of any name count, not only those of the form's words.
    """
    marks = _marks(kind)
    return any((own & marks.get(word, frozenset())) - form for word in (*form, *([""] if of_all else [])))


class Row(NamedTuple):
    """The ways to say one thing, its plain name first.

    Attributes:
        english: in the words of records.
        other: all others, in other languages and forms ("diabetic").
        abroad: of these its names in other languages.
    """

    english: tuple[str, ...]
    other: tuple[str, ...] = ()
    abroad: tuple[str, ...] = ()


@cache
def rows_of(kind: str) -> tuple[Row, ...]:
    """What a section's tables have as the same; a report may be called as what it is the report of."""
    rows = [Row((name, *others)) for name, others in SYNONYMS.get(kind, {}).items()]
    kinds = (kind, "procedure") if kind == "report" else (kind,)
    printed = [row for own in kinds for row in PRINTED.get(own, {}).items()]
    rows += [Row((name,), tuple(others), tuple(others)) for name, others in printed]
    for row in (row for own in kinds for row in sayings(own)):
        ways = [row, *(row[form] for form in FORMS if form in row)]
        other = [said for way in ways for found in way.values() if isinstance(found, list) for said in found]
        names = {language: found for language, found in row.items() if language not in ("which", "en", "said", *FORMS)}
        rows.append(
            Row((row["which"], *row["en"]), tuple(other), tuple(name for own in names.values() for name in own))
        )
    return tuple(rows)


@cache
def table_of(kind: str) -> dict[Words, tuple[int, ...]]:
    """By the words of each way to say something, the places of the rows that have it.

    What is English for one thing, word for word, is not another one because it is in another language ("angina" of the
    throat) or with words that say nothing ("pregnancy problems").
    """
    found: dict[Words, dict[int, None]] = {}
    taken = {form for row in rows_of(kind) for form in map(_whole, row.english) if form}
    for place, row in enumerate(rows_of(kind)):
        english, abroad = {*map(_whole, row.english)}, {*map(words, row.abroad)}
        for phrase in (*row.english, *row.other):
            form = words(phrase)
            if form in english or form not in taken or not (form in abroad or phrase in row.english):
                found.setdefault(form, {})[place] = None
    return {key: tuple(places) for key, places in found.items()}


@lru_cache(maxsize=100_000)
def _whole(phrase: str) -> Words:
    """The words of a phrase by which it is compared, where that is all of them; else none."""
    form = words(phrase)
    return form if len(form) == len(_split(phrase)) else frozenset()


@lru_cache(maxsize=10_000)
def called(which: str, kind: str) -> tuple[int, ...]:
    """The places of the rows that have a name, or that are spelled like it where none has."""
    asked, table = words(which), table_of(kind)
    # One letter makes another drug; a record's own names are compared by spelling elsewhere.
    if asked in table or kind == "medication" or not any(len(word) > 4 for word in asked):
        return table.get(asked, ())
    if found := _made_alike(asked, kind):
        return found
    near = [key for key in table if len(key) == len(asked) and all(any(alike(a, b) for b in key) for a in asked - key)]
    return tuple(dict.fromkeys(place for key in near for place in table[key])) if len(near) < 4 else ()


def _made_alike(asked: Words, kind: str) -> tuple[int, ...]:
    """The rows whose plain name or English is made of the same: "broken hip" is a hip fracture."""
    from recipes.ehr_qa.terms import SECTIONS, standard  # which needs the words of names

    own = standard(asked) if kind in SECTIONS else asked
    return _by_parts(kind).get(own, ()) if len(own) > 1 and own != asked else ()


@cache
def _by_parts(kind: str) -> dict[Words, tuple[int, ...]]:
    from recipes.ehr_qa.terms import standard

    found: dict[Words, dict[int, None]] = {}
    for place, row in enumerate(rows_of(kind)):
        for form in map(standard, map(words, row.english)):
            found.setdefault(form, {})[place] = None
    return {form: tuple(places) for form, places in found.items()}


@lru_cache(maxsize=10_000)
def rows_called(which: str, kind: str) -> tuple[int, ...]:
    """The places of the rows that have a name, and of those in the other table with the plain name of one."""
    own = called(which, kind)
    return tuple(
        dict.fromkeys((*own, *(one for place in own for one in called(rows_of(kind)[place].english[0], kind))))
    )


def synonyms(which: str, kind: str) -> tuple[str, ...]:
    """Other ways to say a name; of several drugs' ways only those of the one."""
    rows = rows_of(kind)
    return tuple(dict.fromkeys(phrase for place in rows_called(which, kind) for phrase in rows[place].english))


@lru_cache(maxsize=10_000)
def abroad(which: str, kind: str) -> tuple[Words, ...]:
    """The words of a name in other languages, without those that are other things in English ("PCR")."""
    rows, places = rows_of(kind), rows_called(which, kind)
    found = {form for place in places for form in map(words, rows[place].abroad) if form}
    english = [words(name) for place, row in enumerate(rows) if found and place not in places for name in row.english]
    return tuple(form for form in found if not any(form <= other for other in english))


@cache
def _foreign(kind: str) -> dict[Words, Words]:
    """By the words of names in other languages, and of brands, those of the plain name; none that is all English."""
    rows = rows_of(kind)
    english = {word for row in rows for name in row.english for word in words(name)}
    forms = ((form, row) for row in rows for form in map(words, row.abroad))
    found = {form: words(row.english[0]) for form, row in forms if not form <= english}
    return found | _brands() if kind == "medication" else found


@cache
def _brands() -> dict[Words, Words]:
    """By other names of a drug that are of one word and of it alone, the words of its plain name."""
    rows, plain = rows_of("medication"), _plain_words()
    return {
        form: words(rows[places[0]].english[0])
        for form, places in table_of("medication").items()
        if len(form) == 1 and not form & plain and len({rows[place].english[0] for place in places}) == 1
        and len("".join(form)) > 4 and form in map(words, rows[places[0]].english)
    }  # fmt: skip


@cache
def _plain_words() -> Words:
    return frozenset(word for row in rows_of("medication") for word in words(row.english[0]))


@lru_cache(maxsize=100_000)
def in_english(name: str, kind: str) -> tuple[Words, ...]:
    """The words of the plain names of what a name has in other languages, or says in another way."""
    own = words(name)
    said = (words(rows_of(kind)[place].english[0]) for place in table_of(kind).get(own, ()))
    return tuple(dict.fromkeys((*said, *(plain for form, plain in _foreign(kind).items() if has(own, form)))))


def is_all(which: str, kind: str) -> bool:
    """Whether a name is that of a section as a whole ("meds", "allergies"), and of no one thing in it."""
    return _said(which) in _wholes(kind)


@cache
def _wholes(kind: str) -> frozenset[Words]:
    return frozenset(map(_said, SECTIONS_CALLED.get(kind, ())))


def _said(name: str) -> Words:
    """The words of a name without those that only point at it ("his meds")."""
    return frozenset(map(_singular, _split(name))) - _POINTING


def meaning(which: str | None, kind: str | None) -> frozenset[Any]:
    """What a name means whatever the record: the places of the rows that have it, else its words alone.

    Two names mean the same where these have one in common; of what is no name, where both are empty.
    """
    if not which or is_all(which, kind or ""):
        return frozenset()
    return frozenset(called(which, kind or "")) or frozenset([words(which)])
