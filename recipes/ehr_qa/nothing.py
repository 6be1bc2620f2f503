"""Names and values that say that there is nothing, that nobody knows, or a thing is not the patient's: seven languages.

The patterns are vocabulary/nothing.yaml.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache

from recipes.ehr_qa.vocabulary import NOTHING


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    return re.compile("|".join(one for found in NOTHING[kind].values() for one in found))


@lru_cache(maxsize=100_000)
def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKD", name.casefold().replace("’", "'"))
    return "".join(char for char in text if not unicodedata.combining(char))


def said_by_code(codes: Iterable[str]) -> str:
    """What a code of IPS or SNOMED CT says of an empty section; empty where none does.

    IPS has `no-known-X` and `no-X-info`.
    """
    for code in sorted(codes):
        if code in NOTHING["codes"]:
            return str(NOTHING["codes"][code])
        if found := re.fullmatch(r"no-known-([a-z-]+)|no-([a-z]+)-info", code):
            return f"No known {found[1].replace('-', ' ')}" if found[1] else f"No information about {found[2]}"
    return ""


def said_none(name: str, codes: Iterable[str]) -> bool:
    """Whether a name or a code says that there is none, perhaps of a part only ("No known drug allergies")."""
    return none_known(name) or none_known(said_by_code(codes))


def unknown(name: str) -> bool:
    """Whether a name says that nobody knows or asked."""
    return bool(_pattern("unknown").search(_plain(name)))


def none_known(name: str) -> bool:
    """Whether a name says that there is none, perhaps of a part only ("No known drug allergies")."""
    return not unknown(name) and bool(_pattern("none").search(_plain(name)) or _plain(name) == "nkda")


def nothing(name: str) -> bool:
    """Whether a name stands where there is nothing: that there is none, or that nobody knows."""
    return unknown(name) or none_known(name)


def of_a_part(name: str) -> bool:
    """Whether a name is of one kind of allergies only."""
    return bool(_pattern("part").search(_plain(name)))


def not_own(name: str) -> bool:
    """Whether a name is of the family, of a risk, or of what is suspected or excluded."""
    return bool(_pattern("not_own").search(_plain(name)))


def negative(value: str) -> bool:
    """Whether an observation's value says that what was looked for is not there: "Never smoker", "Not detected"."""
    return bool(_pattern("negative").search(_plain(value)))
