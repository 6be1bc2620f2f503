"""Numbers as documents print them: every value that a text can mean, and the one it means where that is certain."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

DecimalMark = Literal["auto", ",", "."]

NUM = r"[0-9]+(?:[.,'][0-9]+)*(?: [0-9]{3}(?![0-9]))*(?:[.,][0-9]+)?"
"""Digits with marks of decimals and thousands, as a pattern; all patterns here are for texts of plain signs."""
_THOUSANDS = r"1[.,' ]?000(?:[.,' ]?000)?(?![\d.,])"
_POWER = rf"(?:[eE][+-]?[0-9]{{1,3}}(?![\w.,])| ?[x*хХ·∙⋅] ?(?:10\^[+-]?[0-9]{{1,3}}|{_THOUSANDS}))?"
VALUE = rf"[+-]?(?:10\^[+-]?[0-9]{{1,3}}|{NUM}{_POWER})(?![0-9])"
"""A number with its sign and its power of ten."""
COMPARATOR = r"<=|>=|=<|=>|[<>≤≥~]"

_PARTS = re.compile(rf"(?P<sign>[+-]?)(?:10\^(?P<ten>[+-]?[0-9]{{1,3}})|(?P<number>{NUM})(?P<power>{_POWER}))")
_PLAIN = re.compile(r"([0-9]+)(?:([.,])([0-9]+))?")
_GROUPED = re.compile(r"([1-9][0-9]{0,2}([.,' ])[0-9]{3}(?:\2[0-9]{3})*)(?:(?!\2)([.,])([0-9]+))?")
_INDIAN = re.compile(r"([1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})(\.[0-9]+)?")  # lakhs and crores: 2,25,000
_MARKED = re.compile(r"(?<![\w.,'^])[0-9]+(?:[.,'][0-9]+)+")
_MARKED_OR_SPACED = re.compile(rf"(?<![\w.,'^]){NUM}")


class UncertainError(ValueError):
    """A text that can mean more than one thing, or nothing; says why."""


def comparator(sign: str | None) -> str:
    """A comparator in one spelling: `<`, `<=`, `>`, `>=`, `~` or empty."""
    return {"≤": "<=", "≥": ">=", "=<": "<=", "=>": ">="}.get(sign or "", sign or "")


def readings(text: str) -> dict[str, Decimal]:
    """What a printed number means, by the decimal mark (`,` or `.`) of its document; empty if it is no number.

    A mark is of thousands where it is repeated or stands before another one, always with groups of three digits behind
    it; blanks and apostrophes are so always. One mark before exactly three digits can be either: `1,000` is 1 or 1000,
    but `0.125` is no such case. The digits are those printed, no more and no fewer.
    """
    match = _PARTS.fullmatch(text)
    if match is None:
        return {}
    if match["ten"]:
        found, power = {",": "1", ".": "1"}, match["ten"]
    else:
        found, power = _marks(match["number"]), match["power"] or ""
        exponent = re.search(r"(?:[eE]|\^)([+-]?[0-9]+)$", power)
        power = exponent[1] if exponent else str(power.count("0"))  # of `x 1.000`
    # Not scaleb, which rounds to the context's precision.
    return {mark: Decimal(f"{match['sign']}{digits}E{power}") for mark, digits in found.items()}


def _marks(text: str) -> dict[str, str]:
    """Digits with a point for the decimal mark and without marks of thousands, by the decimal mark."""
    found: dict[str, str] = {}
    if match := _PLAIN.fullmatch(text):
        whole, mark, fraction = match.groups()
        found = {mark: f"{whole}.{fraction}"} if mark else {",": whole, ".": whole}
    if match := _GROUPED.fullmatch(text):
        whole, thousands, mark, fraction = match.groups()
        for other in mark or ",.".replace(thousands, ""):
            found[other] = whole.replace(thousands, "") + (f".{fraction}" if mark else "")
    if match := _INDIAN.fullmatch(text):
        found["."] = match[1].replace(",", "") + (match[2] or "")
    return found


def number(text: str, decimal: DecimalMark = "auto") -> Decimal:
    """The value of a printed number, with sign and power of ten, where it can have one only (see `readings`).

    Args:
        text: the number, of plain signs.
        decimal: the document's decimal mark, if it is known.

    Raises:
        UncertainError: the number can mean two things or is none.
    """
    found = readings(text)
    if not found:
        raise UncertainError(f"`{text}` is no number, or not grouped as thousands are")
    if decimal != "auto" and decimal not in found:
        raise UncertainError(f"`{text}` has another decimal mark than the document")
    values = {found[decimal]} if decimal != "auto" else set(found.values())
    if len(values) > 1:
        raise UncertainError(f"`{text}` may have decimals or thousands")
    return values.pop()


def shortest(value: Decimal) -> str:
    """The digits of a number without an exponent and without zeros that end its decimals."""
    digits = f"{value:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def settle(text: str, blanks: bool = False) -> str:
    """A text whose numbers with marks stand in plain digits, each that can mean one thing only: `1.234,50` as `1234.5`.

    Args:
        text: of plain signs.
        blanks: whether a blank may part thousands, as in a text that is known to be a value.
    """
    return (_MARKED_OR_SPACED if blanks else _MARKED).sub(_settled, text)


def _settled(match: re.Match[str]) -> str:
    values = set(readings(match[0]).values())
    return match[0] if match[0].isdigit() or len(values) != 1 else shortest(values.pop())
