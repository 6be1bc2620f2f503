"""When two values count as the same: the only normalisation that the scorer does.

Dates, numbers and units are read by `extraction.values`; this says which of their readings the scorer takes.

Everywhere
    Unicode NFKC, after superscript digits have become `^9` (NFKC alone makes `10⁹` into `109`); white space
    collapsed; all dashes are `-`; `≤` is `<=`, which is not `<`; no space after a comparator (`< 5` is `<5`)
    nor around the dash of a range (`4 - 6` is `4-6`). An empty text is null.
Case
    Ignored, except in the role `value` (in a Rh phenotype `C` is not `c`).
Numbers
    A decimal comma is a decimal point: `4,2` is `4.2`. Zeros that end a decimal fraction are dropped: `5.0`
    is `5`, so that a JSON number and a printed one compare by value. Marks of thousands are dropped where
    they can be nothing else: two kinds of mark (`1,234.5` is `1.234,5`), a repeated one (`1,234,567`), an
    apostrophe, and in the roles `value` and `range` a blank (`12 500` is `12'500`). ONE point or comma with
    exactly three digits behind it and one to three before it, the first not 0, may be either: it is left as
    printed, so `1,000`, `1.000`, `1000` and `1` all differ. Leading zeros of whole numbers are kept.
Units (the role `unit`)
    As `extraction.values.units` reads them: `x10⁹/L` is `10*9/l`, `K/µL` is `10^3/uL`, `mcg` is `µg`. No unit is
    converted.
Times (a text that is a date as a whole, with or without time of day)
    Compared as `DD-MM-YYYY HH:MM:SS`, in all forms and languages that `extraction.values.dates` reads. The day stands
    first where day and month can be read in either order; missing seconds are `00`. A date without a time of day
    equals only itself, one with a year of two digits only its own text. Eight digits are a date in the role `time`.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

from extraction.values.dates import moment
from extraction.values.numbers import settle, shortest
from extraction.values.signs import fold, plain
from extraction.values.units import unit


def normal(value: Any, role: str | None = None) -> str | None:
    """The text by which a JSON scalar is compared, or None where it counts as absent.

    Args:
        value: text, number, boolean or null.
        role: what its field is for: `unit`, `value`, `range` and `time` have rules of their own, see the module's text.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float):
        value = shortest(Decimal(repr(value or 0.0)))
    return (unit(str(value)) if role == "unit" else _text(str(value), role)) or None


@lru_cache(maxsize=1 << 16)
def _text(text: str, role: str | None) -> str:
    text = plain(text)
    if time := _time(text, role):
        return time
    text = text.replace("≤", "<=").replace("≥", ">=")
    text = re.sub(r"([<>]=?) +", r"\1", text if role == "value" else fold(text))
    return settle(re.sub(r"(?<=\d) ?- ?(?=[\d<>])", "-", text), blanks=role in ("value", "range"))


def _time(text: str, role: str | None) -> str | None:
    when = moment(text)
    if when is None or when.short or (text.isdigit() and role != "time"):
        return None
    year, month, day = when.day
    date = f"{day:02}-{month:02}-{year:04}"
    return date + (" {:02}:{:02}:{:02}".format(*when.clock) + when.zone if when.clock else "")
