"""Typed values beside raw text: what a printed result, limit, range or date means, and never a guess.

A text is typed only if it can mean one thing. What can mean two (`1,000`, `03/04/2022`) or does not parse stays
raw, and `note` says why. The numbers of a typed value have the digits that are printed, no more and no fewer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from extraction.values.dates import DateOrder, moment

Kind = Literal["number", "range", "ordinal", "ratio", "date", "text"]
DecimalMark = Literal["auto", ",", "."]

_SIGNS = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | {"⩽": "≤", "⩾": "≥", "×": "x", "≈": "~", "\xa0": " "})
_SIGNS |= str.maketrans(dict.fromkeys("\u2009\u202f\u2007", " ") | {"’": "'"})
_SUPERSCRIPT = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")

_NUM = r"[0-9]+(?:[.,'][0-9]+)*(?: [0-9]{3}(?![0-9]))*(?:[.,][0-9]+)?"
_THOUSANDS = r"1[.,' ]?000(?:[.,' ]?000)?(?![\d.,])"
_POWER = rf"(?:[eE][+-]?[0-9]{{1,3}}(?![\w.,])| ?[x*] ?(?:10\^[+-]?[0-9]{{1,3}}|{_THOUSANDS}))?"
_VALUE = rf"[+-]?(?:10\^[+-]?[0-9]{{1,3}}|{_NUM}{_POWER})(?![0-9])"
_COMPARATOR = r"<=|>=|=<|=>|[<>≤≥~]"
_UNIT = r"(?: ?(?P<unit>(?:[%‰°µμa-zA-ZÅΩ]|/ ?(?:10+ )?[µμa-zA-Z])(?:[^\s<>=]|[ ](?=[^\d\s<>=]))*))?"

_UPPER = ("up to", "upto", "less than", "below", "bis", "unter", "kleiner", "tot", "jusqu'à", "jusqu'a", "hasta",
          "menor de", "menos de", "inf. à", "inférieur à", "fino a", "inferiore a", "max.", "max")  # fmt: skip
"""Words before an upper limit in English, German, Dutch, French, Spanish, Italian."""
_LOWER = ("from", "over", "above", "more than", "at least", "ab", "über", "mehr als", "vanaf", "boven", "meer dan",
          "sup. à", "supérieur à", "desde", "mayor de", "más de", "oltre", "superiore a", "min.", "min")  # fmt: skip
"""Words before a lower limit."""
_INCLUSIVE = {"up to", "upto", "bis", "tot", "jusqu'à", "jusqu'a", "hasta", "fino a", "max.", "max",
              "from", "at least", "ab", "vanaf", "desde", "min.", "min"}  # fmt: skip
"""Those of them whose limit is itself within."""
_TO = r"to|bis|tot|à|a|al"

_OPENERS, _CLOSERS = {"(": ")", "[": "]"}, {")": "(", "]": "["}
_FLAGS = {"H", "L", "HH", "LL", "N", "A"}
_LONGEST = 120  # characters: what is longer is a sentence
_NUMBER = re.compile(rf"(?P<comparator>{_COMPARATOR})? ?(?P<value>{_VALUE}){_UNIT}")
_RANGE = re.compile(rf"(?P<low>{_VALUE})(?: ?- ?| (?:{_TO}) )(?P<high>{_VALUE}){_UNIT}")
_WORDED = re.compile(rf"(?P<words>[^\W\d_][^\d<>=]*?) ?(?P<value>{_VALUE}){_UNIT}")
_PLUS = re.compile(r"(?P<count>[1-9])\+|(?P<plus>\+{1,5})|\((?P<in>\+{1,4})\)|\((?P<weak>\+/-|±)\)|(?P<open>\+/-|±)")
_RATIO = re.compile(rf"(?P<comparator>{_COMPARATOR})? ?(?P<left>[0-9]+) ?: ?(?P<right>[0-9]+)")
_PARTS = re.compile(rf"(?P<sign>[+-]?)(?:10\^(?P<ten>[+-]?[0-9]+)|(?P<number>{_NUM})(?P<power>{_POWER}))")
_DATELIKE = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}(?:\D.*)?")


@dataclass(frozen=True)
class Typed:
    """What a printed text means.

    Attributes:
        kind: `number` (with `value`), `range` (`low`, `high`), `ordinal` (`grade`), `ratio` (`value` for the
            second part of `1:40`), `date` (`date`), or `text` for what is words or stays raw.
        raw: the text as printed.
        comparator: `<`, `<=`, `>`, `>=`, `~` or empty, of a number or ratio.
        value: the number, exact.
        unit: the unit printed behind it.
        low, high: the ends of a range; None for an open end.
        low_inclusive, high_inclusive: whether an end belongs to the range.
        grade: `1+` to `5+` for plus signs however written, `(1+)` and `+/-` for weak ones.
        date: ISO 8601, with the time of day where printed.
        note: why something stayed raw; empty for plain words and for what was typed.
    """

    kind: Kind
    raw: str
    comparator: str = ""
    value: Decimal | None = None
    unit: str = ""
    low: Decimal | None = None
    high: Decimal | None = None
    low_inclusive: bool = True
    high_inclusive: bool = True
    grade: str = ""
    date: str = ""
    note: str = ""


class _RawError(Exception):
    """The text can mean more than one thing, or nothing; says why."""


def type_value(text: str, *, decimal: DecimalMark = "auto", order: DateOrder | None = None) -> Typed:
    """Type a printed value.

    Args:
        text: the value as printed.
        decimal: the decimal mark that the document uses, if it is known; "auto" types a number only where its
            own marks leave no doubt. `1,000` and `1.000` do.
        order: the order of day, month and year in the document's numeric dates. Without it, a date is typed
            only if every order gives the same day, or one order alone gives a day.

    Never raises; what stays raw is of the kind `text`, with a note.
    """
    clean = " ".join(text.translate(_SIGNS).split())
    if len(clean) > _LONGEST:
        return Typed("text", text, note="too long for a value" if _digits(clean) else "")
    clean = re.sub("(?<=.)[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", _superscript, clean)
    try:
        return _typed(text, clean, decimal, order)
    except _RawError as error:
        return Typed("text", text, note=str(error))


def _superscript(match: re.Match[str]) -> str:
    """`10⁹` as `10^9`, `m²` as `m2`: a power only behind a ten."""
    before = match.string[: match.start()]
    digits = match[0].translate(_SUPERSCRIPT)
    return "^" + digits.lstrip("+") if re.search(r"(?<!\d)10$", before) else digits


def _typed(text: str, clean: str, decimal: DecimalMark, order: DateOrder | None) -> Typed:
    if re.fullmatch(r"(?:19|20)[0-9]{6}", clean) and moment(clean):
        raise _RawError("eight digits may be a date or a number")
    if match := _PLUS.fullmatch(clean):
        return Typed("ordinal", text, grade=_grade(match))
    if when := moment(clean):
        return Typed("date", text, date=_date(when.readings, when.short, when.time, order))
    if _DATELIKE.fullmatch(clean) and not re.fullmatch(_NUM, clean):
        raise _RawError("looks like a date, but there is no such day")
    inner = clean
    if clean[:1] in _OPENERS and clean.endswith(_OPENERS[clean[0]]) and clean.count(clean[0]) == 1:
        inner = clean[1:-1].strip()
    if match := _RATIO.fullmatch(inner):
        if int(match["left"]) == 0:
            raise _RawError("a ratio of nothing")
        if match["left"] != "1":
            raise _RawError(f"`{match['left']}:{match['right']}` may be a ratio or a time")
        return Typed("ratio", text, _comparator(match["comparator"]), Decimal(match["right"]))
    if match := _RANGE.fullmatch(inner):
        low, high = number(match["low"], decimal), number(match["high"], decimal)
        if low > high:
            raise _RawError("the first end of the range is above the second")
        return Typed("range", text, low=low, high=high, unit=_unit(match["unit"]))
    if match := _NUMBER.fullmatch(inner):
        value = number(match["value"], decimal)
        return Typed("number", text, _comparator(match["comparator"]), value, _unit(match["unit"]))
    if (match := _WORDED.fullmatch(inner)) and (words := match["words"].strip().lower()) in _UPPER + _LOWER:
        value, inclusive = number(match["value"], decimal), words in _INCLUSIVE
        if words in _UPPER:
            return Typed("range", text, high=value, high_inclusive=inclusive, unit=_unit(match["unit"]))
        return Typed("range", text, low=value, low_inclusive=inclusive, unit=_unit(match["unit"]))
    return Typed("text", text, note="holds digits but is no number, range or date" if _digits(clean) else "")


def type_range(text: str, *, decimal: DecimalMark = "auto", order: DateOrder | None = None) -> Typed:
    """Type a reference range: as `type_value`, but `< 5` is the range below 5 rather than a number known to be less."""
    typed = type_value(text, decimal=decimal, order=order)
    if typed.kind != "number" or typed.comparator not in ("<", "<=", ">", ">="):
        return typed
    inclusive = typed.comparator.endswith("=")
    if typed.comparator[0] == "<":
        return Typed("range", text, unit=typed.unit, high=typed.value, high_inclusive=inclusive)
    return Typed("range", text, unit=typed.unit, low=typed.value, low_inclusive=inclusive)


def _digits(text: str) -> bool:
    return any(char.isdigit() for char in text)


def _unit(unit: str | None) -> str:
    if unit in _FLAGS:
        raise _RawError(f"`{unit}` behind the number may be a flag")
    return (unit or "").strip()


def _comparator(sign: str | None) -> str:
    return {"≤": "<=", "≥": ">=", "=<": "<=", "=>": ">="}.get(sign or "", sign or "")


def _grade(match: re.Match[str]) -> str:
    if match["count"]:
        return f"{match['count']}+"
    if match["plus"]:
        return f"{len(match['plus'])}+"
    return f"({len(match['in'])}+)" if match["in"] else "+/-"


def number(text: str, decimal: DecimalMark = "auto") -> Decimal:
    """The value of a printed number: sign, digits with marks of decimals and thousands, power of ten.

    A mark is of thousands where groups of three digits follow it and it is repeated, or stands before another
    mark; blanks and apostrophes are so always. One mark before exactly three digits could be either: with a
    known decimal mark it is decided, otherwise the number is not read. `0.125` is no such case.

    Raises:
        ValueError: the number can mean two things or is none.
    """
    match = _PARTS.fullmatch(text)
    if match is None:
        raise _NotANumberError(f"`{text}` is no number")
    if match["ten"]:
        plain, power = Decimal(f"{match['sign']}1"), match["ten"]
    else:
        plain, power = Decimal(match["sign"] + _plain(match["number"], decimal)), match["power"] or ""
        exponent = re.search(r"(?:[eE]|\^)([+-]?[0-9]+)$", power)
        power = exponent[1] if exponent else str(power.count("0"))  # of `x 1.000`
    sign, digits, exponent_of = plain.as_tuple()
    # Not scaleb, which rounds to the context's precision.
    return Decimal((sign, digits, int(exponent_of) + int(power)))


class _NotANumberError(_RawError, ValueError):
    """A number that cannot be read."""


def _plain(text: str, decimal: DecimalMark) -> str:
    """The digits with a point for the decimal mark, marks of thousands removed."""
    if re.search("[ ']", text):
        # Blanks and apostrophes only ever part thousands; the one mark that may follow is the decimal mark.
        if not re.fullmatch(r"[1-9]\d{0,2}([ '])\d{3}(?:\1\d{3})*(?:[.,]\d+)?", text):
            raise _NotANumberError(f"`{text}` is not grouped as thousands are")
        text = re.sub("[ ']", "", text)
        head, _, tail = text.partition("," if "," in text else ".")
        if decimal != "auto" and tail and decimal not in text:
            raise _NotANumberError(f"`{text}` has another decimal mark than the document")
        return f"{head}.{tail}" if tail else head
    marks = re.findall("[.,]", text)
    if not marks:
        return text
    first, *groups = re.split("[.,]", text)
    thousands = 1 <= len(first) <= 3 and first[0] != "0" and all(len(group) == 3 for group in groups[:-1])
    if len(marks) == 1:
        if decimal == marks[0]:
            return f"{first}.{groups[0]}"
        if len(groups[0]) == 3 and thousands:
            if decimal == "auto":
                raise _NotANumberError(f"`{text}` may have decimals or thousands")
            return first + groups[0]
        if decimal != "auto":
            raise _NotANumberError(f"`{text}` has another decimal mark than the document")
        return f"{first}.{groups[0]}"
    if not thousands or len(set(marks[:-1])) > 1:
        raise _NotANumberError(f"`{text}` is not grouped as thousands are")
    if marks[-1] == marks[0]:
        if len(groups[-1]) != 3 or decimal == marks[0]:
            raise _NotANumberError(f"`{text}` is not grouped as thousands are")
        return first + "".join(groups)
    if decimal not in ("auto", marks[-1]):
        raise _NotANumberError(f"`{text}` has another decimal mark than the document")
    return f"{first}{''.join(groups[:-1])}.{groups[-1]}"


def _date(
    readings: dict[DateOrder, tuple[int, int, int]],
    short: bool,
    time: tuple[int, int, int | None] | None,
    order: DateOrder | None,
) -> str:
    days = set(readings.values())
    if short:
        raise _RawError("the year has two digits")
    if order in readings:
        days = {readings[order]}
    elif order is not None:
        raise _RawError(f"no day in the order {order}")
    if len(days) > 1:
        raise _RawError("day and month can be read in two orders")
    year, month, day = days.pop()
    text = f"{year:04}-{month:02}-{day:02}"
    if time is None:
        return text
    seconds = "" if time[2] is None else f":{time[2]:02}"
    return f"{text}T{time[0]:02}:{time[1]:02}{seconds}"
