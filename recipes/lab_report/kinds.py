"""Of what kind the values of a row are: a range is no unit, a flag no result.

A model that takes one column for the next is sure of every value: values in each other's column are told by their kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from extraction.values import type_range, type_value
from recipes.lab_report.interpretation import ABSENT
from recipes.lab_report.patterns import FINDING_CELL, LEVEL, RESULT_TITLE

# A power of ten by volume of blood; by mL it may be what a culture counted.
_UNIT = re.compile(r"[%‰]|[^\W\d_]{1,6}/[^\W\d_]{1,6}|x? ?10[\^*eE]?\d{1,2} ?/ ?(?:[fpnµμu]?[lL]|mm[c3³])")
# OCR passes over a slash: "UL", and "μL" of a count, in which nothing is measured.
_NO_SLASH = re.compile(r"[mnpkuµμ]?(?:g|mol|I?U|kat)[dmuµμ]?L|[uµμ]L")
_WITH_FLAG = re.compile(
    r"(?:[A-Za-z]{1,2}|[*!↑↓▲▼+¤†‡§¶»«°#^]+)\d+(?:[.,]\d+)?|\d+(?:[.,]\d+)?(?:[A-Z]{1,2}|[*!↑↓▲▼¤†‡§¶»«#]+)"
)
# Of kidney disease, in the grid of KDIGO 2012 (Kidney Int Suppl 2013;3:1): by filtration and by albumin.
_STAGE = re.compile(r"G[1-5][ab]?|A[1-3]")
_BRACKETED = re.compile(r".*\S\s*[(\[](?P<inside>[^()\[\]]+)[)\]]")


def misplaced(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of a row whose values are of another key's kind, each with the reason."""
    result, unit, limits = (str(row.get(key) or "").strip() for key in ("result", "unit", "range"))
    if unit and (_is_range(unit) or _is_number(unit)):
        yield "unit", f"“{unit}” is no unit but a number or a range"
    if re.search(r"\s(?:[\d.,]+ ?- ?|[<>≤≥]=? ?)\d[\d.,]*$", unit):
        yield "unit", f"“{unit}” is a unit with a range"
    if re.search(r"/(?:\s*[(\[]\w[)\]]|$)", unit):
        yield "unit", f"“{unit}” is no unit that anything is measured in"
    if _NO_SLASH.fullmatch(unit):
        yield "unit", f"“{unit}” is a unit without its slash"
    if re.search(r"\s-\s+[A-Z]{2,}$", unit):
        yield "unit", f"“{unit}” is a unit with a method"
    if re.fullmatch(r"[α-ωΑ-Ω]|[^\w%‰°]", unit):
        yield "unit", f"“{unit}” is no unit but a mark"
    if unit in ("S", "I", "R"):
        yield "unit", f"“{unit}” is no unit but how an organism responds"
    if re.fullmatch(r"[<\[({][A-Z]{1,2}[>\])}]", result):
        yield "result", f"“{result}” is no result but a flag"
    if re.fullmatch(r"[\[(].*[\])]", result) and _is_range(result):
        yield "result", f"“{result}” is no result but a range"
    if _STAGE.fullmatch(str(row.get("name") or "")) and _is_range(result):
        yield "result", f"“{result}” is no result but what stage {row['name']} is"
    if _WITH_FLAG.fullmatch(result) and _is_range(limits):
        yield "result", f"“{result}” is a result with its flag"
    level = LEVEL.fullmatch(result) and not FINDING_CELL.fullmatch(result) and not result.casefold().startswith("norm")
    if level and _is_range(limits):
        yield "result", f"“{result}” is no result but what “{limits}” beside it is called"
    if RESULT_TITLE.match(result) and result.isalpha() and not unit and not limits:
        yield "result", f"“{result}” is no result but the title of a column"
    name = str(row.get("name") or "").strip().casefold()
    named = bool(name) and name in re.findall(r"\w+", result.casefold())
    if named and not any(map(str.isdigit, result)) and _is_range(limits):
        yield "result", f"“{result}” has the name in it, and “{limits}” beside it numbers"
    glued = re.fullmatch(r"([^\W\d_]{3,})\.?-([^\W\d_]{5,})\S*", result)
    if glued and FINDING_CELL.fullmatch(glued[1]) and glued[2].casefold() in name:
        yield "result", f"“{result}” is a finding with the name behind it"
    match = re.fullmatch(r"(\S.*) \(([^()]+)\)", result)
    # "Negative (no growth)" says one thing twice.
    if not limits and match and FINDING_CELL.fullmatch(match[2]) and not ABSENT.fullmatch(match[1]):
        yield "range", f"“{result}” is a result with what is normal"
    if _UNIT.fullmatch(result):
        yield "result", f"“{result}” is no result but a unit"
    bracketed = _BRACKETED.fullmatch(result)
    if bracketed and _UNIT.fullmatch(bracketed["inside"].strip()) and not any(map(str.isdigit, result)):
        yield "result", f"“{result}” is no result but a title with its unit"
    if _UNIT.fullmatch(limits):
        yield "range", f"“{limits}” is no range but a unit"
    if not limits and (match := _BRACKETED.fullmatch(result)) and _is_range(match["inside"].strip()):
        yield "range", f"“{result}” is a result with its range"
    beside = re.fullmatch(r"[<>≤≥]?=? ?\d[\d.,]* ((?:[<>≤≥]=? ?)?\d.*)", result)
    if not limits and beside and _is_range(beside[1]):
        yield "range", f"“{result}” is a result with its range"
    for key in ("method", "specimen"):
        text = str(row.get(key) or "").strip()
        if text and (_is_range(text) or _is_number(text)):
            yield key, f"“{text}” is no {key} but a number or a range"
    if re.fullmatch(r"(?:19|20)\d\d", limits):
        yield "range", f"“{limits}” is no range but a year"
    if result and limits and _is_number(limits) and _is_range(result):
        yield "result", f"“{result}” is a range, and “{limits}” beside it a single number"


def is_stage(text: str) -> bool:
    """Whether a text is what a stage of kidney disease is called."""
    return bool(_STAGE.fullmatch(text))


def _is_number(text: str) -> bool:
    typed = type_value(text)
    return typed.kind == "number" and not typed.unit and not typed.comparator


def _is_range(text: str) -> bool:
    return type_range(text).kind == "range"
