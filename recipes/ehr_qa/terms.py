"""Names of conditions and procedures in the plain words that they are made of: "Nierenstein" is a stone of a kidney.

The words are vocabulary/parts.yaml: parts of the body, and what is the matter with them or done to them, in seven
languages. A word that it lacks stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from recipes.ehr_qa.compounds import LINKS, parted
from recipes.ehr_qa.sayings import Words, words
from recipes.ehr_qa.vocabulary import PARTS

SECTIONS = frozenset(["condition", "procedure", "report", "care_plan"])
"""The sections whose names are made of such words."""


def made_of(name: Words, form: Words, wide: bool = True) -> bool:
    """Whether what a name is made of has all that a form is made of, and nothing that makes another thing of it.

    Args:
        wide: what it is a kind of counts, too: an MRI is a scan.
    """
    own, asked = standard(name), standard(form)
    own = _with_wider(own) if wide else own
    return bool(asked) and asked <= own and not (own & _others(asked)) - asked


def is_other(name: Words, form: Words) -> bool:
    """Whether a name that has a form's words is another thing: "removal of a stone of the kidney" is no kidney's."""
    kinds = {plain for word in form for plain in _single().get(word, ())}
    return bool((standard(name) & _others(kinds)) - standard(form))


def _others(kinds: Iterable[str]) -> set[str]:
    return {word for kind in kinds for word in PARTS["other"].get(kind, ())}


@lru_cache(maxsize=100_000)
def standard(own: Words) -> Words:
    """The words of a name, those of the table as its plain words."""
    left, found = set(own), set[str]()
    for form, plain in _phrases():
        if form <= left:
            left -= form
            found |= plain
    for word in left:
        found |= _single().get(word) or _of_compound(word) or _of_stem(word) or {word}
    return frozenset(found - _articles())


def _with_wider(own: Words) -> Words:
    return own | {wide for word in own for wide in PARTS["wider"].get(word, ())}


def _of_compound(word: str) -> Words | None:
    """The plain words of a compound whose two parts the table has."""
    first, head = parted(word) or ("", "")
    of = next((plain for link in LINKS if first.endswith(link)
               and (plain := _single().get(first.removesuffix(link)))), None)  # fmt: skip
    what = _single().get(head)
    return of | what if of and what else None


def _of_stem(word: str) -> Words | None:
    found = _pattern().fullmatch(word)
    return frozenset([_stems()[found[1]], _ends()[found[2]]]) if found else None


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(rf"({'|'.join(_stems())})[oe]?({'|'.join(_ends())})")


@cache
def _stems() -> dict[str, str]:
    return {stem: part for part, own in PARTS["parts"].items() for stem in own.get("stems", ())}


@cache
def _ends() -> dict[str, str]:
    return {end: kind for kind, ends in PARTS["ends"].items() for end in ends}


@cache
def _articles() -> Words:
    return frozenset(PARTS["articles"])


def _said() -> Iterator[tuple[Words, Words]]:
    tables = ({part: own["words"] for part, own in PARTS["parts"].items()}, PARTS["kinds"])
    yield from ((words(one), frozenset([plain])) for table in tables for plain, own in table.items() for one in own)
    yield from ((words(one), frozenset(plain.split())) for plain, own in PARTS["both"].items() for one in own)


@cache
def _single() -> dict[str, Words]:
    return {next(iter(form)): plain for form, plain in _said() if len(form) == 1}


@cache
def _phrases() -> list[tuple[Words, Words]]:
    """What is said in several words, the longest first."""
    said = ((form - _articles(), plain) for form, plain in _said())
    return sorted((one for one in said if len(one[0]) > 1), key=lambda one: -len(one[0]))
