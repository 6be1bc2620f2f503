"""Units as documents print them: one text for every spelling of a unit."""

from __future__ import annotations

import re
from functools import lru_cache

from extraction.values.numbers import settle
from extraction.values.signs import fold, plain

_TEN = re.compile(r"(?<![\d.])[x*·]?10(?:\^|\*\*?|e\+?|~)(-?\d+)")
_NAMES = {
    **dict.fromkeys(("k/ul", "thou/ul", "thousand/ul"), "10^3/ul"),
    **dict.fromkeys(("m/ul", "mill/ul", "million/ul"), "10^6/ul"),
    **dict.fromkeys(("cel", "°c", "degc", "degreescelsius"), "c"),
    **dict.fromkeys(("kilogram", "kilograms"), "kg"),
    **dict.fromkeys(("centimeters", "centimetres"), "cm"),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), "lbav"),
    **dict.fromkeys(("°f", "degreesfahrenheit", "fahrenheit"), "degf"),
    **dict.fromkeys(("bpm", "beats/min", "breaths/min"), "/min"),
    "percent": "%",
}
"""Units by other names, without blanks."""


@lru_cache(maxsize=1 << 14)
def unit(text: str) -> str:
    """The text by which a unit is compared; no unit is converted into another.

    No white space and no brackets (UCUM's `mm[Hg]`, `{score}`); `µ` and `μ` are `u`, and so is the `mc` of `mcg`,
    `mcL`, `mcmol`; `per x` is `/x`; powers of ten are `10^9`, however spelled: `x10⁹` `×10^9` `10*9` `10**9` `10E9`
    `10~9`; `K/uL` is `10^3/uL`; `m²` is `m2`. Case is kept in one place: `G/L` and `T/L` (10^9 and 10^12 cells) are not
    `g/L` and `t/L`.
    """
    text = re.sub(r"[\s()\[\]{}_]", "", re.sub(r"(?i)\bper ", "/", plain(text)))
    if re.fullmatch("[GT]/[lL]", text):
        return text[0] + "/l"
    text = re.sub(r"\bmc(?=(?:g|l|mol)\b)", "u", fold(text).replace("μ", "u"))
    text = re.sub(r"(?<=[a-z])\^(?=\d)", "", _TEN.sub(r"10^\1", text))
    return _NAMES.get(text, settle(text))
