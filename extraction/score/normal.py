"""When two values count as the same: the only normalisation that the scorer does.

Everywhere
    Unicode NFKC, after superscript digits have become `^9` (NFKC alone makes `10⁹` into `109`); white space
    collapsed; all dashes are `-`; `≤` is `<=`, which is not `<`; no space after a comparator (`< 5` is `<5`)
    nor around the dash of a range (`4 - 6` is `4-6`). An empty text is null.
Case
    Ignored, except in a field called `result` or `value` (in a Rh phenotype `C` is not `c`).
Numbers
    A decimal comma is a decimal point: `4,2` is `4.2`. Zeros that end a decimal fraction are dropped: `5.0`
    is `5`, so that a JSON number and a printed one compare by value. Marks of thousands are dropped where
    they can be nothing else: two kinds of mark (`1,234.5` is `1.234,5`) or a repeated one (`1,234,567`). ONE
    mark with exactly three digits behind it and one to three before it, the first not 0, may be either: it
    is left as printed, so `1,000`, `1.000`, `1000` and `1` all differ. Leading zeros are kept.
Units (a field called `unit` or `units`, or ending in `_unit`, `_units`)
    No white space; `µ` and `μ` are `u`, and so is the `mc` of `mcg`, `mcL`, `mcmol`; `per x` is `/x`; powers
    of ten are `10^9`, however spelled: `x10⁹` `×10^9` `10*9` `10**9` `10E9` `10~9`; `m²` is `m2`. Case is
    kept in one place: `G/L` and `T/L` (10^9 and 10^12 cells) are not `g/L` and `t/L`. No unit is converted.
Times (a text that is a date as a whole, with or without time of day)
    Compared as `DD-MM-YYYY HH:MM:SS`. Read are day first or year first, marks `-` `/` `.` or space, English
    names of months, `AM`/`PM`; missing seconds are `00`. A date without a time of day equals only itself.
"""

import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

CASED = ("result", "value")
"""Names of fields in which case has meaning."""

_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SIGNS = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | {"≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">="})
_NUMBER = re.compile(r"(?<![\w.,^])\d+(?:[.,]\d+)+")
_UNIT_FIELD = re.compile(r"(?:.*_)?units?", re.IGNORECASE)
_TEN = re.compile(r"(?<![\d.])[x×*·]?10(?:\^|\*\*?|e\+?|~)(-?\d+)")
_TIME = re.compile(
    r"(?:(?P<y1>\d{4})[-/.](?P<m1>\d\d?)[-/.](?P<d1>\d\d?)"
    r"|(?P<d2>\d\d?)[-/. ](?P<m2>\d\d?|[a-z]{3,9})[-/. ](?P<y2>\d{4}))"
    r"(?:(?:t|,? )(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))? ?(?P<half>am|pm)?)?"
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


def normal(value: Any, field: str = "") -> str | None:
    """The text by which a JSON scalar is compared, or None where it counts as absent.

    Args:
        value: text, number, boolean or null.
        field: the field's own name, which decides about units and case (see the module's text).
    """
    if value is None:
        return None
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float):
        value = format(Decimal(repr(value)), "f")
        value = value.rstrip("0").rstrip(".") if "." in value else value
        value = "0" if value == "-0" else value
    text = str(value)
    return (_unit(text) if _UNIT_FIELD.fullmatch(field) else _text(text, field.lower() in CASED)) or None


def _characters(text: str) -> str:
    text = _SUPERSCRIPT.sub(lambda match: "^" + match[0].lstrip("⁺"), text)
    return " ".join(unicodedata.normalize("NFKC", text).translate(_SIGNS).split())


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text.casefold())


@lru_cache(maxsize=1 << 16)
def _text(text: str, cased: bool) -> str:
    text = _characters(text)
    if time := _time(text.lower()):
        return time
    text = re.sub(r"([<>]=?) +", r"\1", text if cased else _fold(text))
    text = re.sub(r"(?<=\d) ?- ?(?=[\d<>])", "-", text)
    return _NUMBER.sub(_number, text)


@lru_cache(maxsize=1 << 14)
def _unit(text: str) -> str:
    text = re.sub(r"(?i)\bper ", "/", _characters(text)).replace(" ", "")
    if re.fullmatch("[GT]/[lL]", text):
        return text[0] + "/l"
    text = re.sub(r"\bmc(?=(?:g|l|mol)\b)", "u", _fold(text).replace("μ", "u"))
    text = re.sub(r"(?<=[a-z])\^(?=\d)", "", _TEN.sub(r"10^\1", text))
    return _NUMBER.sub(_number, text)


def _number(match: re.Match[str]) -> str:
    """A number with marks: thousands joined, decimal mark a point, or as printed if that is not certain."""
    printed = match[0]
    marks = re.findall("[.,]", printed)
    first, *groups = re.split("[.,]", printed)
    grouped = 1 <= len(first) <= 3 and first[0] != "0"
    if len(marks) == 1:
        if len(groups[0]) == 3 and grouped:
            return printed
        whole, fraction = first, groups[0]
    elif len(set(marks[:-1])) == 1 and grouped and all(len(group) == 3 for group in groups[:-1]):
        if marks[-1] != marks[0]:
            whole, fraction = first + "".join(groups[:-1]), groups[-1]
        elif len(groups[-1]) == 3:
            whole, fraction = first + "".join(groups), ""
        else:
            return printed
    else:
        return printed
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _time(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    month = match["m1"] or match["m2"]
    if not month.isdigit():
        named = [name for name in _MONTHS if name.startswith(month)]
        if not named:
            return None
        month = str(_MONTHS.index(named[0]) + 1)
    hour = int(match["hour"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (match["half"] == "pm")
    day, year = match["d1"] or match["d2"], match["y1"] or match["y2"]
    try:
        time = datetime(int(year), int(month), int(day), hour, int(match["minute"] or 0), int(match["second"] or 0))
    except ValueError:
        return None
    # Not strftime: it writes years below 1000 without their zeros on some systems.
    date = f"{time.day:02}-{time.month:02}-{time.year:04}"
    return f"{date} {time:%H:%M:%S}" if match["hour"] else date
