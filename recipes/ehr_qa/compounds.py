"""Words that German, Dutch and their kin write as one, taken apart: "Penicillinallergie" has "Penicillin".

Only at the last parts of vocabulary/compounds.yaml: elsewhere a part of a word is another thing ("hypertension").
"""

from __future__ import annotations

from functools import cache, lru_cache

from recipes.ehr_qa.vocabulary import COMPOUNDS

LINKS = ("", "s", "es", "n", "en", "e")  # "Nahrung-s-mittel", "Pocke-n-impfung"


@cache
def _heads() -> tuple[str, ...]:
    """The longest first: "schutzimpfung" before "impfung"."""
    return tuple(sorted((head for own in COMPOUNDS["heads"].values() for head in own), key=len, reverse=True))


@lru_cache(maxsize=100_000)
def parted(word: str) -> tuple[str, str] | None:
    """A compound's first part, as it stands there, and its last; None where a word is none."""
    head = next((head for head in _heads() if word.endswith(head) and len(word) > len(head) + 1), None)
    return (word.removesuffix(head), head) if head else None


def has(name: frozenset[str], form: frozenset[str]) -> bool:
    """Whether a name's words have all of a form's, as they are or as parts of compounds."""
    if form <= name:
        return True
    joined = _compounds(name)
    return bool(joined) and all(word in name or any(_is_part(word, one) for one in joined) for word in form)


@lru_cache(maxsize=100_000)
def _compounds(name: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in name if parted(word))


def _is_part(word: str, compound: str) -> bool:
    """Whether a word is what a compound is of, or what it is a kind of."""
    first, head = parted(compound) or ("", "")
    kind_of = word == head or (compound.endswith(word) and parted(word) is not None)
    return kind_of or any(first == word + link or word == first + link for link in LINKS)


def without_head(word: str, kind: str) -> str:
    """A compound without a last part that says only of which section it is; the word where it has none."""
    first, head = parted(word) or ("", "")
    return first if first and head in COMPOUNDS["silent"].get(kind, ()) else word
