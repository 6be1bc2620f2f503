"""Writes what stands below results and is no result: grey zones, targets, bands, antibiograms, conclusions."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random
from typing import Any

from .values import Printed, Writer
from .vocabulary import choices

_DRUGS = (
    "Amoxicillin", "Amoxicillin/clavulanate", "Ampicillin", "Cefazolin", "Cefuroxime", "Ceftriaxone", "Ceftazidime",
    "Meropenem", "Ciprofloxacin", "Levofloxacin", "Gentamicin", "Amikacin", "Nitrofurantoin", "Fosfomycin",
    "Trimethoprim/sulfa", "Doxycycline", "Linezolid", "Vancomycin", "Clindamycin", "Temocillin",
)  # fmt: skip
_GROWTH = re.compile("coli|aureus|Klebsiella|Proteus|faecalis|agalactiae")
_INDEXED = {  # panels whose words stand for a measured index
    "serology", "serology_viral", "serology_bacterial", "hepatitis", "immunology", "autoimmunity", "tb", "toxicology",
    "viral_load",
}  # fmt: skip
_UNITS = ("U/mL", "AU/mL", "kU/L", "IU/mL", "RU/mL")


class Remarks:
    """Makes the remarks of one report, with figures in the report's own manner."""

    def __init__(self, writer: Writer, words: dict[str, Any], rng: Random):
        self.writer, self.words, self.rng = writer, words, rng

    def figure(self, low: float, high: float, decimals: int | None = None) -> str:
        """A figure between two limits, as the report prints figures."""
        decimals = self.rng.choice((0, 1, 2)) if decimals is None else decimals
        return self.writer.number(self.rng.uniform(low, high), decimals)

    def for_result(self, printed: Printed, panel: str) -> list[str]:
        """Lines under a result: a measured index, a target, or bands of interpretation."""
        rng, words, unit = self.rng, self.words, printed.unit
        numeric = printed.result[-1:].isdigit() and not printed.pending
        if not numeric:
            if printed.pending or panel not in _INDEXED:
                return []
            low = rng.choice((0.5, 0.9, 10.0, 16.0))
            decimals = rng.choice((1, 2)) if low < 1 else 1
            text = rng.choice(choices(words["zones"]))
            return [
                text.format(
                    v=self.figure(0.05, low * 8, decimals),
                    u=rng.choice(_UNITS),
                    a=self.writer.number(low, decimals),
                    b=self.writer.number(low * rng.choice((1.1, 1.4)), decimals),
                )
            ]
        if rng.random() < 0.8:
            immunity, *others = choices(words["limits"])
            text = immunity if panel in _INDEXED and "U/" in (unit or "") else rng.choice(others)
            detection = text == others[-1]
            share = rng.uniform(0.01, 0.2) if detection else rng.uniform(0.5, 1.6)
            return [text.format(a=self.near(printed.result, share), u=unit or "").rstrip()]
        return self.bands(printed.result, unit)

    def near(self, result: str, share: float) -> str:
        """A figure that is a share of a result, with as many decimals."""
        value, decimals = self.value(result)
        return self.writer.number(max(value * share, 10.0**-decimals), decimals)

    def value(self, result: str) -> tuple[float, int]:
        """A result's figure and its decimals."""
        mark = re.escape(self.writer.decimal)
        found = re.search(rf"\d+(?:{mark}(\d+))?$", result)
        if not found:
            return 1.0, 1
        return float(found[0].replace(self.writer.decimal, ".")), len(found[1] or "")

    def bands(self, result: str, unit: str | None) -> list[str]:
        """A small table of what values mean, a line a band."""
        rng = self.rng
        names = rng.choice(choices(self.words["bands"])).split("|")
        value, decimals = self.value(result)
        first = max(value * rng.uniform(0.4, 1.2), 10.0**-decimals)
        growth = rng.choice((1.25, 1.5, 2.0))
        step = 10.0**-decimals
        shown = [self.writer.number(first * growth**i + step * i, decimals) for i in range(len(names) - 1)]
        tail = f" {unit}" if unit and rng.random() < 0.6 else ""
        joint = rng.choice((": ", "   ", " : ", " = "))
        limits = [f"< {shown[0]}", *(f"{a} - {b}" for a, b in pairwise(shown)), f"> {shown[-1]}"]
        return [f"{name}{joint}{limit}{tail}" for name, limit in zip(names, limits, strict=True)]

    def antibiogram(self, result: str) -> list[str]:
        """Susceptibilities of an organism, a line a drug; none where nothing grew. With a MIC they are rows."""
        rng = self.rng
        if not _GROWTH.search(result):
            return []
        drugs = sorted(rng.sample(_DRUGS, rng.randrange(3, 12)))
        lines = [rng.choice(choices(self.words["antibiogram"]))] if rng.random() < 0.6 else []
        for drug in drugs:
            lines.append(f"{drug}   {rng.choice('SSSRRI')}")
        return [*lines, self.words["sir"]] if rng.random() < 0.3 else lines

    def paragraph(self, remarks: list[str]) -> str:
        """A few remarks as one text."""
        return " ".join(self.rng.sample(remarks, min(len(remarks), self.rng.randrange(2, 5))))

    def conclusion(self) -> list[str]:
        """The heading of a conclusion and its sentences."""
        title = self.rng.choice(choices(self.words["conclusion"]))
        return [f"{title}:", *self.rng.sample(choices(self.words["conclusions"]), self.rng.randrange(1, 4))]
