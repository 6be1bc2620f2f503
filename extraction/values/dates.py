"""Dates and times in text: every moment that a text can mean, none that it cannot."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

DateOrder = Literal["DMY", "MDY", "YMD"]
Day = tuple[int, int, int]
"""Year, month, day."""

_MONTHS = (
    "january januari januar janvier enero gennaio janner",
    "february februari februar fevrier febrero febbraio",
    "march maart marz maerz mars marzo mrt mrz",
    "april avril abril aprile",
    "may mei mai mayo maggio",
    "june juni juin junio giugno",
    "july juli juillet julio luglio",
    "august augustus aout agosto",
    "september septembre septiembre settembre",
    "october oktober octobre octubre ottobre",
    "november novembre noviembre",
    "december dezember decembre diciembre dicembre",
)
"""Names of months in English, Dutch, German, French, Spanish and Italian, without accents."""

_TIME = (
    r"(?:(?:[ ,;T|]|- )*(?:(?:at|om|um|ore|a las|a|à|h|uur|klo)\.? )?"
    r"(?P<hour>\d{1,2})(?:[:hH]|(?<=\d)\.)(?P<minute>[0-5]\d)(?:[:.](?P<second>[0-5]\d)(?:\.\d+)?"
    r"(?P<zone>Z\b|[+-]\d\d:?\d\d(?![\d:]))?)?(?![\d.,]*\d)(?: ?(?P<half>[AaPp])\.?[Mm]\b\.?)?)?"
)
_LONGEST = 80  # characters of a date with its time of day
_EDGE, _END = r"(?<![\w.,/-])", r"(?!\d|[-/.]\d)"
_NUMERIC = re.compile(
    _EDGE + r"(?P<year>(?=(?:19|20)\d\d[-/.]))?(?P<a>\d{1,4})(?P<mark>[-/]|\. ?| )(?P<b>\d{1,2})(?P=mark)"
    r"(?P<c>\d{4}|(?(year)\d{1,2}|\d{2}))" + _END + _TIME
)
_DAY_NAMED = re.compile(
    _EDGE + r"(?P<a>\d{1,2})(?:st|nd|rd|th|er|º|°|\.)?(?: |-|/|\.)?(?:de |of )?(?P<name>[^\W\d_]{3,10})\.?"
    r"(?:,? |-|/|\.)?(?:del? )?(?P<c>\d{4}|\d{2})" + _END + _TIME
)
_MONTH_NAMED = re.compile(
    r"(?<![^\W_])(?P<name>[^\W\d_]{3,10})\.?[ -](?P<a>\d{1,2})(?:st|nd|rd|th)?(?:, ?| |-)(?P<c>\d{4})" + _END + _TIME
)
_YEAR_NAMED = re.compile(_EDGE + r"(?P<c>\d{4})[ -/](?P<name>[^\W\d_]{3,10})\.?[ -/](?P<a>\d{1,2})" + _END + _TIME)
_COMPACT = re.compile(r"(?<![\w.,/-])(?P<a>(?:19|20)\d\d)(?P<b>[01]\d)(?P<c>[0-3]\d)(?![\w-])" + _TIME)


@dataclass(frozen=True)
class Moment:
    """A date in a text, [start, end), perhaps with a time of day.

    `readings` are the days it can mean by the order in which it is read; a date that has one meaning only has
    it under every order that gives it. `time` is (hour, minute, second), the second None where not printed.
    `zone` is `Z` or `+HH:MM` as printed, which moves neither day nor time.
    `short` says that the year has two digits, read as 19xx and 20xx alike: `readings` then holds 20xx.
    """

    start: int
    end: int
    readings: dict[DateOrder, Day]
    time: tuple[int, int, int | None] | None
    short: bool = False
    zone: str = ""

    @property
    def day(self) -> Day:
        """The day it means where it must mean one: the day stands first, unless no such day exists."""
        return self.readings.get("DMY") or next(iter(self.readings.values()))

    @property
    def clock(self) -> tuple[int, int, int] | None:
        """The time of day; seconds that are not printed are 00."""
        return self.time and (*self.time[:2], self.time[2] or 0)

    @property
    def days(self) -> set[Day]:
        """Every day it can mean, both centuries of a short year included."""
        days = set(self.readings.values())
        if self.short:
            days |= {day for y, m, d in days if (day := _day(y - 100, m, d))}
        return days


def moments(text: str) -> list[Moment]:
    """All dates in a text, from left to right, without overlaps."""
    found: list[Moment] = []
    if not re.search(r"\d{2}", text):
        return found
    for pattern in (_NUMERIC, _DAY_NAMED, _MONTH_NAMED, _YEAR_NAMED, _COMPACT):
        for match in pattern.finditer(text):
            moment = _moment(match)
            if moment and not any(m.start < moment.end and moment.start < m.end for m in found):
                found.append(moment)
    return sorted(found, key=lambda moment: moment.start)


@lru_cache(maxsize=1 << 14)
def moment(text: str) -> Moment | None:
    """The date that a text is as a whole, or None."""
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    whole = [found for found in moments(text) if found.start == 0 and found.end == len(text)]
    return whole[0] if whole else None


def _moment(match: re.Match[str]) -> Moment | None:
    groups = match.groupdict()
    short = len(groups["c"]) == 2
    readings: dict[DateOrder, Day] = {}
    orders: tuple[DateOrder, ...] = ("DMY", "MDY", "YMD")
    if name := groups.get("name"):
        month = _month(name)
        if day := month and _day(_year(groups["c"]), month, int(groups["a"])):
            readings = dict.fromkeys(orders, day)
    else:
        a, b, c = groups["a"], groups["b"], groups["c"]
        if len(a) > 2:
            short = False
            if len(a) == 4 and len(c) < 3 and (day := _day(int(a), int(b), int(c))):
                readings = dict.fromkeys(orders, day)
        else:
            if day := _day(_year(c), int(b), int(a)):
                readings["DMY"] = day
            if day := _day(_year(c), int(a), int(b)):
                readings["MDY"] = day
            if short and len(a) == 2 and (day := _day(_year(a), int(b), int(c))):
                readings["YMD"] = day
    if not readings:
        return None
    end, time = match.end(), None
    if groups["hour"]:
        time = _time(groups)
        if time is None:
            end = match.end("c") if match.end("c") > match.end("a") else match.end("a")
    return Moment(match.start(), end, readings, time, short, (time and groups["zone"]) or "")


def _time(groups: dict[str, str]) -> tuple[int, int, int | None] | None:
    hour = int(groups["hour"])
    if groups["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (groups["half"] in "pP")
    if hour > 23:
        return None
    return hour, int(groups["minute"]), int(groups["second"]) if groups["second"] else None


def _year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _day(year: int, month: int, day: int) -> Day | None:
    try:
        date(year, month, day)
    except ValueError:
        return None
    return year, month, day


@lru_cache(maxsize=1024)
def _month(name: str) -> int | None:
    """The number of the month whose name, in one of the languages, begins so; None if several or none do."""
    plain = unicodedata.normalize("NFKD", name.lower().replace("ß", "ss"))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    found = [i for i, names in enumerate(_MONTHS, 1) if any(full.startswith(plain) for full in names.split())]
    return found[0] if len(found) == 1 else None
