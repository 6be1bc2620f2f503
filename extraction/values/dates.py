"""Dates and times in text: every moment that a text can mean, none that it cannot."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

from extraction.values.signs import PLAIN

DateOrder = Literal["DMY", "MDY", "YMD"]
Day = tuple[int, int, int]
"""Year, month, day."""

_MONTHS = (
    "january januari januar janvier enero gennaio janner janeiro ιανουαριος ιανουαριου январь января януари"
    " січень січня styczen stycznia ocak leden ledna يناير ינואר",
    "february februari februar fevrier febrero febbraio fevereiro φεβρουαριος φεβρουαριου февраль февраля февруари"
    " лютий лютого luty lutego subat unor unora فبراير פברואר",
    "march maart marz maerz mars marzo mrt mrz marco μαρτιος μαρτιου март марта березень березня marzec marca mart"
    " brezen brezna مارس מרץ מרס",
    "april avril abril aprile απριλιος απριλιου απρ апрель апреля април квітень квітня kwiecien kwietnia nisan duben"
    " dubna أبريل ابريل אפריל",
    "may mei mai mayo maggio maio μαιος μαιου май мая травень травня maj maja mayis mayıs kveten kvetna مايو מאי",
    "june juni juin junio giugno junho ιουνιος ιουνιου июнь июня юни червень червня czerwiec czerwca haziran cerven"
    " cervna يونيو יוני",
    "july juli juillet julio luglio julho ιουλιος ιουλιου июль июля юли липень липня lipiec lipca temmuz cervenec"
    " cervence يوليو יולי",
    "august augustus aout agosto augusti αυγουστος αυγουστου август августа серпень серпня sierpien sierpnia agustos"
    " srpen srpna أغسطس اغسطس אוגוסט",
    "september septembre septiembre settembre setembro σεπτεμβριος σεπτεμβριου сентябрь сентября септември вересень"
    " вересня wrzesien wrzesnia eylul zari سبتمبر ספטמבר",
    "october oktober octobre octubre ottobre outubro οκτωβριος οκτωβριου октябрь октября октомври жовтень жовтня"
    " pazdziernik pazdziernika ekim rijen rijna أكتوبر اكتوبر אוקטובר",
    "november novembre noviembre novembro νοεμβριος νοεμβριου ноябрь ноября ноември листопад листопада listopad"
    " listopada listopadu kasim kasım نوفمبر נובמבר",
    "december dezember decembre diciembre dicembre dezembro δεκεμβριος δεκεμβριου декабрь декабря декември грудень"
    " грудня grudzien grudnia aralik aralık prosinec prosince ديسمبر דצמבר",
)
"""Names of months, without accents, in English, Dutch, German, French, Spanish, Italian, Portuguese, Greek, Russian,
Bulgarian, Ukrainian, Polish, Turkish, Czech, Swedish, Arabic and Hebrew; of Slavic languages and Greek also as they
stand behind a day.
"""

_ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925}
"""Japanese eras: the year before their first."""

_TIME = (
    r"(?: ?[гр]\.(?!\w)| r\.(?!\w))?"
    r"(?:(?:[ ,;T|]|- )*(?:(?:at|om|um|ore|a las|a|à|às|h|uur|klo|kl|godz|в|о|στις|saat|v)\.? )?"
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
    _EDGE + r"(?P<a>\d{1,2})(?:st|nd|rd|th|er|º|°|\.)?(?: |-|/|\.)?(?:de |of )?(?P<name>[^\W\d_]{3,12})\.?"
    r"(?:,? |-|/|\.)?(?:del? )?(?P<c>\d{4}|\d{2})" + _END + _TIME
)
_MONTH_NAMED = re.compile(
    r"(?<![^\W_])(?P<name>[^\W\d_]{3,12})\.?[ -](?P<a>\d{1,2})(?:st|nd|rd|th)?(?:, ?| |-)(?P<c>\d{4})" + _END + _TIME
)
_YEAR_NAMED = re.compile(_EDGE + r"(?P<c>\d{4})[ -/](?P<name>[^\W\d_]{3,12})\.?[ -/](?P<a>\d{1,2})" + _END + _TIME)
_EAST_ASIAN = re.compile(
    r"(?<!\d)(?:(?P<year>\d{4})|(?P<era>令和|平成|昭和) ?(?P<of>\d{1,2}|元)) ?年"
    r" ?(?P<b>\d{1,2}) ?月 ?(?P<a>\d{1,2}) ?[日号]"
    r"(?: *(?P<hour>\d{1,2})(?:(?::|时|時)(?P<minute>[0-5]\d)分?)(?:[:](?P<second>[0-5]\d))?(?![\d:]))?"
)
_COMPACT = re.compile(r"(?<![\w.,/-])(?P<a>(?:19|20)\d\d)(?P<b>[01]\d)(?P<c>[0-3]\d)(?![\w-])" + _TIME)


@dataclass(frozen=True)
class Moment:
    """A date in a text, [start, end), perhaps with a time of day.

    `readings` are the days it can mean by the order in which it is read; a date that has one meaning only has
    it under every order that gives it. `time` is (hour, minute, second), the second None where not printed.
    `zone` is `Z` or `+HH:MM` as printed, which moves neither day nor time.
    `half` says that the time is printed with AM or PM.
    `short` says that the year has two digits, read as 19xx and 20xx alike: `readings` then holds 20xx.
    """

    start: int
    end: int
    readings: dict[DateOrder, Day]
    time: tuple[int, int, int | None] | None
    short: bool = False
    zone: str = ""
    half: bool = False

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
    if not re.search(r"\d{2}|年", text):
        return found
    text = text.translate(PLAIN)
    if "年" in text:
        found += [moment for match in _EAST_ASIAN.finditer(text) if (moment := _east_asian(match))]
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
    zone = (time and groups["zone"]) or ""
    return Moment(match.start(), end, readings, time, short, zone, bool(time and groups["half"]))


def _east_asian(match: re.Match[str]) -> Moment | None:
    groups = match.groupdict()
    of = 1 if groups["of"] == "元" else int(groups["of"] or 0)
    year = int(groups["year"]) if groups["year"] else _ERAS[groups["era"]] + of
    day = _day(year, int(groups["b"]), int(groups["a"]))
    if day is None:
        return None
    time = _time({**groups, "half": ""}) if groups["hour"] else None
    end = match.end() if time or not groups["hour"] else match.start("hour")
    return Moment(match.start(), end, dict.fromkeys(("DMY", "MDY", "YMD"), day), time)


def _time(groups: Mapping[str, str | None]) -> tuple[int, int, int | None] | None:
    hour = int(groups["hour"] or 0)
    if groups["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (groups["half"] in "pP")
    if hour > 23:
        return None
    return hour, int(groups["minute"] or 0), int(groups["second"]) if groups["second"] else None


def _year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _day(year: int, month: int, day: int) -> Day | None:
    try:
        date(year, month, day)
    except ValueError:
        return None
    return year, month, day


def _without_accents(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.lower().replace("ß", "ss").replace("ł", "l").replace("ς", "σ"))
    return "".join(char for char in plain if not unicodedata.combining(char))


_PLAIN_MONTHS = [frozenset(map(_without_accents, names.split())) for names in _MONTHS]


@lru_cache(maxsize=1024)
def _month(name: str) -> int | None:
    """The number of the month whose name, in one of the languages, begins so; None if several or none do."""
    plain = _without_accents(name)
    if plain.startswith("ב") and len(plain) > 3:  # Hebrew: "in July"
        plain = plain[1:]
    whole = [i for i, names in enumerate(_PLAIN_MONTHS, 1) if plain in names]
    found = whole or [i for i, names in enumerate(_PLAIN_MONTHS, 1) if any(full.startswith(plain) for full in names)]
    return found[0] if len(found) == 1 else None
