"""Signs that documents print in several ways, each as one: dashes, comparators, micro signs, blanks, raised digits.

And whether letters run from right to left.
"""

from __future__ import annotations

import re
import unicodedata

PLAIN = str.maketrans(
    dict.fromkeys("‐‑‒–—―−", "-")
    | dict.fromkeys("\xa0\u2007\u2009\u202f", " ")
    | {chr(zero + digit): str(digit) for zero in (0x660, 0x6F0, 0xFF10) for digit in range(10)}
    | dict(zip("．，：／－＋％（）＜＞～٫٬٪", ".,:/-+%()<>~.'%", strict=True))
    | {"µ": "μ", "⩽": "≤", "⩾": "≥", "≈": "~", "×": "x", "’": "'"}
)
"""One sign for each, so that places in a text stay what they are; digits of Arabic and of full width are ours."""

RAISED = "[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"
"""Raised digits, as a pattern."""

_RAISED = re.compile(RAISED)


def lower_powers(text: str) -> str:
    """Raised digits as `^9`; NFKC alone would make `10⁹` into `109`."""
    return _RAISED.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]).translate(PLAIN).lstrip("+"), text)


def plain(text: str) -> str:
    """A text with plain signs: Unicode NFKC, powers as `^9`, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", lower_powers(text)).translate(PLAIN).split())


def fold(text: str) -> str:
    """A text without regard to case."""
    return unicodedata.normalize("NFKC", text.casefold())


def is_rtl(text: str) -> bool:
    """Whether a text has letters of a script that runs from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)
