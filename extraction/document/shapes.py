"""Signs of one shape that OCR takes for each other, and blanks that it passes over, where print leaves no choice.

Each rule names what no page prints: a litre is no one, no word begins with a small ell and a consonant. What could be
printed stays as it was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from extraction.values.signs import is_rtl

_LETTER = r"[^\W\d_]"
_HARD = "bcdfgkmnpqrstvwxz"

_SHAPES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # "mg/1", "I/I": beside a slash it is the small ell of litre, not a one or a capital I, which no unit has there.
    (re.compile(rf"(?:(?<={_LETTER}/)|(?<=10[\^*E]\d/)|(?<=10[\^*E]\d\d/))[1I](?![\w.,])|\bI(?=/[lI]\b)"), "l"),
    # "mlU/mL": the capital I of international units, which is what no unit has before a U.
    (re.compile(r"(?:(?<=\b[mµμukn])|\b)lU(?=/|$)"), "IU"),
    # "lgG", "lNR", "lnsulin": no word begins with a small ell and a consonant but for "lpm", "lbs", "ln".
    (re.compile(rf"\bl(?=[{_HARD}][a-zà-ÿ]{{2}}|g[AEGMD]\d?\b|[{_HARD.upper()}]{{2}})"), "I"),
    (re.compile(r"\blon(?=[io-]|$)"), "Ion"),
    # "VIll", "Xl": a number in Roman letters.
    (
        re.compile(r"(?<=\b[VX])l+\b|(?<=\b[VX]I)l+\b|(?<=\b[VX]II)l+\b|(?<=\bX[VX])l+\b"),
        lambda found: "I" * len(found[0]),
    ),
    # "Alfa-l-antitrypsine".
    (re.compile(rf"(?<={_LETTER}{_LETTER}-)l(?=-{_LETTER})"), "1"),
)

_BLANKS = re.compile(
    rf"(?<={_LETTER}{_LETTER},)(?={_LETTER}{_LETTER})"  # "Total,Serum"
    rf"|(?<={_LETTER}{_LETTER}:)(?=\d)"  # "Birth:31.01.1932"
    r"|(?<=\d[./-]\d{4})(?=\d{1,2}:\d\d)"  # "03/07/201713:34:27"
    r"|(?<=\d)(?=10[*^]\d{1,2}/)"  # "1.4410*3/uL"
)


def put_right(word: str) -> str:
    """A word as OCR read it, with signs that cannot stand where they do as those they look like."""
    for pattern, right in _SHAPES:
        word = pattern.sub(right, word)
    return word


def parted(word: str) -> Iterator[tuple[str, int, int]]:
    """The words in one that OCR read without the blanks between, each with where it begins and ends in it.

    One of letters from right to left stays whole: where its parts stand is not in proportion from the left.
    """
    ends = [0, *(found.start() for found in _BLANKS.finditer(word) if not is_rtl(word)), len(word)]
    for start, end in pairwise(ends):
        yield word[start:end], start, end
