"""Draws a result for an analyte and writes it, its unit and its reference range as a laboratory would."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .style import Style
from .vocabulary import COUNT_UNITS, Quantity, choices, count_units, manners

# Kinds of qualitative result whose second and later words are no abnormality.
_NEUTRAL = {"colour", "clarity", "abo", "rh", "consistency"}
# ... and those of the larger vocabulary, any word of which is as likely.
_FREE = {"look", "source", "pattern", "allele", "apoe", "morph", "done", "micro", "stone", "germ"}
# Other ways to write a unit, which leave the number as it is.
_SPELLINGS = {
    "U/L": ("IU/L", "UI/L", "U/l 37°C"), "mg/dL": ("mg/100 mL", "mg%"), "mmol/L": ("mM", "mmol/l"),
    "pg": ("pg/cell", "pg/cel"), "fL": ("µm3", "fl", "µ³"), "mm/h": ("mm/1h", "mm", "mm/uur"), "s": ("sec", "sec."),
    "ng/mL": ("µg/L", "ng/ml"), "µg/L": ("mcg/L", "ng/mL"), "g/dL": ("g/100 mL", "gr/dL", "g%"), "g/L": ("gr/L",),
    "IU/mL": ("kIU/L", "UI/mL", "IE/mL"), "mU/L": ("mIU/L", "µIU/mL"), "µmol/L": ("umol/L", "µM"),
    "10^9/L": ("x 10^9/L", "x10e9/L", "10E9/L", "10*3/uL"), "10^12/L": ("x 10^12/L", "x10e12/L", "10E12/L", "10*6/uL"),
}  # fmt: skip
_DASH_WORDS = {"en": " to ", "nl": " tot ", "de": " bis ", "fr": " à ", "es": " a ", "it": " a "}


@dataclass
class Printed:
    """A result as printed. `level` is -2..2: far below, below, within, above, far above the range."""

    result: str
    unit: str | None
    range_lines: list[str]
    level: int = 0
    previous: list[str] = field(default_factory=list)
    pending: bool = False
    ends: tuple[float | None, float | None, int] | None = None  # of a range in figures: low, high, decimals


class Writer:
    """Writes numbers, units and ranges in one report's manner, so that a report is consistent in itself."""

    def __init__(self, style: Style, language: str, place: dict[str, Any], words: dict[str, Any], rng: Random):
        self.style, self.language, self.words, self.rng = style, language, words, rng
        self.decimal, self.group = place["decimal"], place["group"]
        self.system = place["units"] if style.units < 0 else style.units
        self.counts = {unit: rng.choice(count_units(unit, language)) for unit in COUNT_UNITS}
        lower_litre = {"de": 0.6, "fr": 0.15}.get(language, 0.15)
        self.lower_litre = rng.random() < lower_litre
        self.ascii_micro = rng.random() < 0.2
        self.hpf = rng.choice(choices(words["hpf"]))
        self.kinds = {kind: choices(rng.choice(text.split("|"))) for kind, text in words["kinds"].items()} | {
            "abo": ("A", "0" if language in ("de", "it") else "O", "B", "AB"),
        }
        self.kinds["rh"] = (self.kinds["neg"][1], self.kinds["neg"][0])
        self.wide = style.edition != "base"
        self.spellings: dict[str, str] = {}
        self.sign_gap = ""
        if self.wide:
            self.spellings = {unit: rng.choice(forms) for unit, forms in _SPELLINGS.items() if rng.random() < 0.2}
            self.sign_gap = " " if rng.random() < 0.15 else ""
            if self.decimal == "," and rng.random() < 0.2:  # some laboratories' systems do not know the comma
                self.decimal, self.group = ".", " "
        self.dash = (_DASH_WORDS.get(language) or words["words"]["to"]) if style.dash == "to" else style.dash
        # Laboratories that write in another script keep Latin units now and then.
        manner = manners(language)
        self.letters: dict[str, str] = {}
        if "units" in manner and rng.random() > manner["latin"]:
            self.letters = manner["units"]
        self.upto = rng.choice(choices(words["words"]["upto"]))
        self.over = rng.choice(choices(words["words"]["over"]))

    def number(self, value: float, decimals: int) -> str:
        """A number with the report's decimal mark and thousand separator."""
        text = f"{abs(value):.{decimals}f}"
        whole, _, part = text.partition(".")
        if self.style.groups and len(whole) > 3:
            head = len(whole) % 3
            pieces = [whole[:head]] if head else []
            whole = self.group.join(pieces + [whole[i : i + 3] for i in range(head, len(whole), 3)])
        minus = "-" if value < 0 and float(text) else ""
        return minus + whole + (self.decimal + part if part else "")

    def unit(self, unit: str | None) -> str | None:
        """The unit in the report's spelling."""
        if unit is None:
            return None
        if self.letters and unit not in self.counts:
            parts = re.split(r"([/ ]|(?<=\d)(?=[A-Za-z]))", unit)
            if all(part in self.letters or not re.search("[A-Za-zµ]", part) for part in parts):
                return "".join(self.letters.get(part, part) for part in parts).replace("1.73", f"1{self.decimal}73")
        translated = self.letters and unit in self.counts
        if unit in self.spellings and not translated and self.counts.get(unit, ("", 1.0, 0))[1] == 1:
            return self.spellings[unit]
        if unit in self.counts:
            unit = self.counts[unit][0]
        unit = unit.replace("1.73", f"1{self.decimal}73")
        if self.lower_litre:
            litres = ("dL", "mL", "µL", "L", "fL")
            unit = "/".join(part[:-1] + "l" if part in litres else part for part in unit.split("/"))
        return unit.replace("µ", "u") if self.ascii_micro else unit

    def limits(self, low: float | None, high: float | None, decimals: int) -> str:
        """A reference range, two-sided or one-sided, as printed."""
        style = self.style
        if low is not None and high is not None:
            text = self.number(low, decimals) + self.dash + self.number(high, decimals)
        elif high is not None:
            shown = self.number(high, decimals)
            if style.less == "upto":
                text = self.upto.format(shown)
            elif style.less == "zero":
                text = self.number(0, decimals) + self.dash + shown
            else:
                text = style.less.format(shown)
        elif low is not None:
            shown = self.number(low, decimals)
            text = self.over.format(shown) if style.more == "over" else style.more.format(shown)
        else:
            return ""
        if style.bracket:
            return style.bracket[0] + text + style.bracket[1]
        return text

    def draw(self, options: tuple[Quantity, ...]) -> Printed:
        """A result for one of an analyte's quantities."""
        numeric = [q for q in options if q.kind is None]
        if numeric and (len(numeric) == len(options) or self.rng.random() < 0.5):
            return self._numeric(numeric[min(self.system, len(numeric) - 1)])
        return self._qualitative(self.rng.choice([q for q in options if q.kind]).kind or "neg")

    def invent(self, unit: str, low: float | None, high: float, decimals: int) -> Printed:
        """A result for limits that are made up."""
        return self._numeric(Quantity(unit, low, high, decimals))

    def _qualitative(self, kind: str) -> Printed:
        rng = self.rng
        if kind == "hpf":
            low = rng.choice((0, 0, 0, 1, 2, 2, 5, 10, 20))
            top = low + rng.choice((1, 2, 3, 5))
            result = f">{rng.choice((50, 100))}" if rng.random() < 0.06 else f"{low}-{top}"
            level = 1 if result.startswith(">") or top > 5 else 0
            inside = self.style.unit_place != "column"
            unit = f" {self.hpf}" if inside else ""
            return Printed(result + unit, None if inside else self.hpf, ["0-5" + unit], level)
        if kind == "titre":
            step = rng.choice((0, 0, 80, 160, 320, 640))
            return Printed(f"1:{step}" if step else "<1:80", None, ["<1:80"], 1 if step > 80 else 0)
        words = self.kinds[kind]
        if kind in _FREE:
            result = rng.choice(words)
            return Printed(result, None, [], 0, [result.replace("\n", ", ")] * 2)
        index = 0 if rng.random() < 0.8 else rng.randrange(len(words))
        if kind in ("abo", "rh", "colour"):
            index = rng.randrange(len(words))
        level = 0 if kind in _NEUTRAL or index == 0 else min(2, index)
        shown = [words[0]] if kind not in _NEUTRAL or (kind == "clarity" and rng.random() < 0.4) else []
        previous = [words[0] if rng.random() < 0.8 else rng.choice(words) for _ in range(2)]
        result = words[index]
        if self.wide and kind in ("neg", "react") and rng.random() < 0.08:  # the measured value beside the word
            result = f"{result} ({self.number(rng.uniform(0.02, 0.8) if index == 0 else rng.uniform(1.2, 60), 2)})"
        return Printed(result, None, shown, level, previous)

    def _numeric(self, quantity: Quantity) -> Printed:
        rng, low, high, decimals = self.rng, quantity.low, quantity.high, quantity.decimals
        factor, fewer = 1.0, 0
        if quantity.unit in self.counts:
            _, factor, fewer = self.counts[quantity.unit]
        # Laboratories do not share their limits to the last digit.
        sway = rng.choice((1.0, 1.0, 1.0, 0.95, 1.05, 1.1))
        if decimals > 1 and quantity.unit is None:
            sway = 1.0
        low = None if low is None else round(low * sway, decimals) * factor
        high = None if high is None else round(high * sway, decimals) * factor
        if quantity.unit == "%" and high is not None and quantity.high is not None and quantity.high <= 100:
            high = min(high, 100.0)
        counted, decimals = decimals, max(0, decimals - fewer)
        if low is not None and high is not None and low >= high:
            low = None
        value, sign = self._value(low, high, decimals, quantity.unit)
        if factor > 1:  # counted in thousands, printed in units
            value = round(value / factor, max(counted, 1)) * factor
        level = 0
        reach = (high - low) if high is not None and low is not None else (high or low or 1.0)
        rounded = round(value, decimals)
        if sign != "<" and high is not None and rounded > high:
            level = 2 if rounded > high + reach else 1
        if low is not None and rounded < low:
            level = -2 if rounded < low - abs(reach) * 0.5 else -1
        previous = [self.number(max(value * rng.uniform(0.85, 1.15), 0), decimals) for _ in range(2)]
        unit = self.unit(quantity.unit)
        lines = self._range(low, high, decimals, unit)
        sign = sign and sign + self.sign_gap
        ends = (low, high, decimals)
        return Printed(sign + self.number(value, decimals), unit, lines, level, previous, ends=ends)

    def _value(self, low: float | None, high: float | None, decimals: int, unit: str | None) -> tuple[float, str]:
        rng = self.rng
        step = 10.0**-decimals
        normal = rng.random() < 0.76
        if low is not None and high is not None:
            middle, spread = (low + high) / 2, (high - low) / 5
            if normal:
                value = min(max(rng.gauss(middle, spread), low), high)
            elif rng.random() < 0.55:
                value = high + (high - low) * rng.expovariate(2.5) + step
            else:
                value = low - min(abs(low) * 0.6, (high - low) * rng.expovariate(3)) - step
            sign = ""
        elif high is not None:
            value, sign = high * rng.uniform(0.3 if high >= 100 else 0.12, 0.97), ""
            if not normal:
                value = high * (1.05 + rng.expovariate(0.8)) + step
                if rng.random() < 0.06:
                    value, sign = high * rng.choice((10, 20, 50)), ">"
            elif high < 100 and rng.random() < 0.15:
                value, sign = max(step, high * rng.choice((0.02, 0.05, 0.1))), "<"
        else:
            low = low or 1.0
            value, sign = low * rng.uniform(1.02, 1.9), ""
            if not normal:
                value = low * rng.uniform(0.3, 0.97)
            elif rng.random() < 0.15:
                value, sign = low * 1.5, ">"
        if unit == "%":
            value = min(value, 100.0)
        if low is None or low >= 0:
            value = max(value, 0.0)
        return value, sign

    def _range(self, low: float | None, high: float | None, decimals: int, unit: str | None) -> list[str]:
        rng, style = self.rng, self.style
        text = self.limits(low, high, decimals)
        words = self.words["words"]
        if rng.random() < style.sexes and (low is not None or high is not None):
            scaled = self.limits(None if low is None else low * 0.92, None if high is None else high * 0.94, decimals)
            if rng.random() < 0.6:
                index = rng.randrange(len(choices(words["men"])))
                men, women = choices(words["men"])[index], choices(words["women"])[index]
                return [f"{men}: {text}", f"{women}: {scaled}"]
            years = rng.choice(self.words["ages"])
            return [f"{years.format(1, 17)}: {scaled}", f"{years.format(18, 99)}: {text}"]
        if high is not None and rng.random() < style.targets:
            return [f"{text} ({words['target']}: {self.style_less(high * 0.9, decimals)})"]
        return [text]

    def style_less(self, limit: float, decimals: int) -> str:
        """An upper limit in the report's manner, never in words."""
        form = self.style.less if "{}" in self.style.less else "<{}"
        return form.format(self.number(limit, decimals))
