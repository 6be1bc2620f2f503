"""Typed values beside raw text: what a printed result, limit, range or date means, and never a guess.

A text is typed only if it can mean one thing. What can mean two (`1,000`, `03/04/2022`) or does not parse stays
raw, and `note` says why. The numbers of a typed value have the digits that are printed, no more and no fewer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from extraction.values.dates import DateOrder, Moment, moment
from extraction.values.numbers import COMPARATOR, NUM, VALUE, DecimalMark, UncertainError, comparator, number
from extraction.values.signs import PLAIN, lower_powers

Kind = Literal["number", "range", "ordinal", "ratio", "date", "text"]

_UNIT = r"(?: ?(?P<unit>(?:[%‰°μa-zA-ZÅΩа-яА-ЯёіїІЇ]|/ ?(?:10+ )?[μa-zA-Zа-яА-Я])(?:[^\s<>=]|[ ](?=[^\d\s<>=]))*))?"

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
_FLAG_WORDS = re.compile(
    r"(?<=[\d%)]) ?(?:[↑↓▲▼]{1,3}|\(!\)| (?:very |critically )?(?:high|low|normal|abnormal|critical|hoch|erhöht|niedrig"
    r"|hoog|laag|verhoogd|verlaagd|élevé|bas|alto|bajo|baixo|basso|υψηλό|χαμηλό|выше|ниже|повышен|понижен|wysoki|niski"
    r"|yüksek|düşük|vysoký|nízký|hög|låg|مرتفع|منخفض|גבוה|נמוך|偏高|偏低))$",
    re.IGNORECASE,
)
"""Words and arrows behind a value that say where it lies; letters alone (H, L) may be units."""
_LONGEST = 120  # characters: what is longer is a sentence
_NUMBER = re.compile(rf"(?P<comparator>{COMPARATOR})? ?(?P<value>{VALUE}){_UNIT}")
_RANGE = re.compile(rf"(?P<low>{VALUE})(?: ?- ?| (?:{_TO}) )(?P<high>{VALUE}){_UNIT}")
_WORDED = re.compile(rf"(?P<words>[^\W\d_][^\d<>=]*?) ?(?P<value>{VALUE}){_UNIT}")
_PLUS = re.compile(r"(?P<count>[1-9])\+|(?P<plus>\+{1,5})|\((?P<in>\+{1,4})\)|\((?P<weak>\+/-|±)\)|(?P<open>\+/-|±)")
_RATIO = re.compile(rf"(?P<comparator>{COMPARATOR})? ?(?P<left>[0-9]+) ?: ?(?P<right>[0-9]+)")
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

    def to_dict(self) -> dict[str, Any]:
        """What it means as JSON, `kind` first; empty for what stays text.

        Ends of a range are told where they belong to it; a number that a double cannot hold is text.
        """
        if self.kind == "text":
            return {}
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        words = {"comparator": self.comparator, "unit": self.unit, "grade": self.grade, "date": self.date}
        inside = {
            "low_inclusive": self.low is not None and self.low_inclusive,
            "high_inclusive": self.high is not None and self.high_inclusive,
        }
        told = {name: _plain(number) for name, number in numbers.items() if number is not None}
        return {"kind": self.kind, **told, **{name: said for name, said in (words | inside).items() if said}}


def _plain(number: Decimal) -> int | float | str:
    """A number as JSON has it, exact: `7` and `14.8` as numbers, what a double cannot hold as text."""
    if number == number.to_integral_value() and number.as_tuple().exponent == 0 and abs(number) < 2**53:
        return int(number)
    return float(number) if Decimal(repr(float(number))) == number else str(number)


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
    clean = " ".join(text.translate(PLAIN).split())
    clean = _FLAG_WORDS.sub("", clean)
    if len(clean) > _LONGEST:
        return Typed("text", text, note="too long for a value" if _digits(clean) else "")
    clean = re.sub(r"(?<=[^\W\d_])\^(?=\d)", "", lower_powers(clean))  # `m²` as `m2`
    try:
        return _typed(text, clean, decimal, order)
    except UncertainError as error:
        return Typed("text", text, note=str(error))


def _typed(text: str, clean: str, decimal: DecimalMark, order: DateOrder | None) -> Typed:
    if re.fullmatch(r"(?:19|20)[0-9]{6}", clean) and moment(clean):
        raise UncertainError("eight digits may be a date or a number")
    if match := _PLUS.fullmatch(clean):
        return Typed("ordinal", text, grade=_grade(match))
    if when := moment(clean):
        return Typed("date", text, date=_date(when, order))
    if _DATELIKE.fullmatch(clean) and not re.fullmatch(NUM, clean):
        raise UncertainError("looks like a date, but there is no such day")
    inner = clean
    if clean[:1] in _OPENERS and clean.endswith(_OPENERS[clean[0]]) and clean.count(clean[0]) == 1:
        inner = clean[1:-1].strip()
    if match := _RATIO.fullmatch(inner):
        if int(match["left"]) == 0:
            raise UncertainError("a ratio of nothing")
        if match["left"] != "1":
            raise UncertainError(f"`{match['left']}:{match['right']}` may be a ratio or a time")
        return Typed("ratio", text, comparator(match["comparator"]), Decimal(match["right"]))
    if match := _RANGE.fullmatch(inner):
        low, high = number(match["low"], decimal), number(match["high"], decimal)
        if low > high:
            raise UncertainError("the first end of the range is above the second")
        return Typed("range", text, low=low, high=high, unit=_unit(match["unit"]))
    if match := _NUMBER.fullmatch(inner):
        value = number(match["value"], decimal)
        return Typed("number", text, comparator(match["comparator"]), value, _unit(match["unit"]))
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
        raise UncertainError(f"`{unit}` behind the number may be a flag")
    return (unit or "").strip()


def _grade(match: re.Match[str]) -> str:
    if match["count"]:
        return f"{match['count']}+"
    if match["plus"]:
        return f"{len(match['plus'])}+"
    return f"({len(match['in'])}+)" if match["in"] else "+/-"


def _date(when: Moment, order: DateOrder | None) -> str:
    days = set(when.readings.values())
    if when.short:
        raise UncertainError("the year has two digits")
    if order in when.readings:
        days = {when.readings[order]}
    elif order is not None:
        raise UncertainError(f"no day in the order {order}")
    if len(days) > 1:
        raise UncertainError("day and month can be read in two orders")
    year, month, day = days.pop()
    text = f"{year:04}-{month:02}-{day:02}"
    if when.time is None:
        return text
    hour, minute, second = when.time
    return f"{text}T{hour:02}:{minute:02}{'' if second is None else f':{second:02}'}{when.zone}"
