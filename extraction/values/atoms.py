"""Atoms: the pieces in which printed words and sought values are compared, and where a value may begin or end.

Atoms are numbers, runs of letters, and single signs. Whether a value may begin or end at an atom of a word is a
matter of what touches it: `4.2` is found in `4.2mmol/L`, `+4.2` and `(4.2)`, but not in `14.2`, `<4.2`, `-4.2` or
`4.2-5.1`, which print other values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from extraction.values.signs import PLAIN, RAISED, lower_powers

_ATOM = re.compile(
    r"[0-9]+(?:[.,'’][0-9]+)*(?:[eE][+-]?[0-9]+(?![^\W\d_]))?"
    rf"|{RAISED}|\^[+-]?[0-9]+"
    r"|<=|>=|\.{3,}|_{3,}|…+|[^\W\d_](?:[^\W\d_]|[\u0300-\u036f])*|\S"
)
_COMPARED = {"<=": "≤", ">=": "≥"}
_OPENING = set("([{*\"'«!°#§•·†‡~↑↓▲▼→↗↘")
_CLOSING = set(")]},;:.!?*^\"'»°§¶†‡#↑↓▲▼→↗↘")
_FLAGS = {"H", "L", "HH", "LL"}
"""Of a result, in front of it without a blank."""
COMPARATORS = set("<>≤≥~")
_ARROWS = set("↑↓▲▼→↗↘!*")
BETWEEN = {"to", "bis", "tot", "à", "a", "al", "au", "y", "e", "and", "und", "en", "et"}
"""Words that stand between the two ends of a range."""


@lru_cache(maxsize=1 << 16)
def atoms(text: str) -> tuple[str, ...]:
    """The atoms of a value: NFKC with superscripts kept as `^9`, all dashes `-`, `µ` one sign, `<=` as `≤`."""
    return tuple(key for key, _, _ in cut(text))


def cut(text: str) -> Iterator[tuple[str, int, int]]:
    """The atoms of a text with their places in it, [start, end)."""
    for match in _ATOM.finditer(text.translate(PLAIN)):
        yield _key(match[0]), match.start(), match.end()


def _key(atom: str) -> str:
    if atom in _COMPARED:
        return _COMPARED[atom]
    if len(atom) > 1 and atom[0] == "^":
        return "^" + atom[1:].lstrip("+")
    return atom if atom.isascii() else unicodedata.normalize("NFKC", lower_powers(atom))


def is_number(key: str) -> bool:
    """Whether an atom is a number."""
    return key[:1].isdigit()


def is_grouped(left: str, right: str) -> bool:
    """Whether two numbers a blank apart are one: `12 500`."""
    return left.isdigit() and len(left) <= 3 and re.match(r"\d{3}(?!\d)", right) is not None


def _is_letters(key: str) -> bool:
    return key[:1].isalpha()


def may_begin(keys: list[str], at: int) -> bool:
    """Whether a value may begin with the atom `at` of a word."""
    key = keys[at]
    if all(other in _OPENING or (len(other) > 2 and other[0] in "._…") for other in keys[:at]):
        return True
    before = keys[at - 1]
    number = is_number(key)
    if before == "+":
        return at == 1 and number
    if before in ":=;,":
        return not (number and at > 1 and is_number(keys[at - 2]))
    if before in ")]([" or (before[0] in "._…" and len(before) > 2):
        return True
    if is_number(before):
        unit = _is_letters(key) or key in "%‰°(["
        sign = key in "/*" and at + 1 < len(keys) and (_is_letters(keys[at + 1]) or keys[at + 1] == "10")
        return unit or sign
    if number and at == 1 and before in _FLAGS:
        return len(key) > 1  # "L1" may be anything
    if key in COMPARATORS and at == 1 and before in _FLAGS:
        return len(keys) > 2 and is_number(keys[2])
    return before in _ARROWS and number


def may_end(keys: list[str], at: int) -> bool:
    """Whether a value may end with the atom `at` of a word."""
    key = keys[at]
    rest = keys[at + 1 :]
    if all(other in _CLOSING or (len(other) > 2 and other[0] in "._…") for other in rest):
        return True
    after = rest[0]
    if after == "<" and len(rest) > 2 and rest[2] == ">" and all(other in _CLOSING for other in rest[3:]):
        return True  # a mark: "106<1>", "62<H>"
    if after in "([" or (after[0] in "._…" and len(after) > 2):
        return True
    if is_number(key):
        if after == "+":
            return len(rest) == 1 and not key.isdigit()
        if after in "/*" or after in "xX":
            return len(rest) > 1 and (_is_letters(rest[1]) or rest[1] == "10")
        if after == ":":
            return not is_number(rest[1])
        return _is_letters(after) or after in "%‰°" or after in _ARROWS
    if key in ")]":
        return True
    if at == 0 and key in _FLAGS and is_number(after):
        return len(after) > 1
    return _is_letters(key) and after in ":=;,"
