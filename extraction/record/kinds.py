"""Values of a lab result in each other's column: a model that takes one column for the next is sure of every value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from extraction.values import type_range, type_value

# A power of ten by volume of blood; by mL it may be what a culture counted.
_UNIT = re.compile(r"[%‰]|[^\W\d_]{1,6}/[^\W\d_]{1,6}|x? ?10[\^*eE]?\d{1,2} ?/ ?(?:[fpnµμu]?[lL]|mm[c3³])")
_BRACKETED = re.compile(r".*\S\s*[(\[](?P<inside>[^()\[\]]+)[)\]]")


def misplaced(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys among `result`, `unit` and `range` whose values are of another key's kind, each with the reason."""
    result, unit, limits = (str(row.get(key) or "").strip() for key in ("result", "unit", "range"))
    if unit and (_is_range(unit) or _is_number(unit)):
        yield "unit", f"“{unit}” is no unit but a number or a range"
    if _UNIT.fullmatch(result):
        yield "result", f"“{result}” is no result but a unit"
    if _UNIT.fullmatch(limits):
        yield "range", f"“{limits}” is no range but a unit"
    if not limits and (match := _BRACKETED.fullmatch(result)) and _is_range(match["inside"].strip()):
        yield "range", f"“{result}” is a result with its range"
    if result and limits and _is_number(limits) and _is_range(result):
        yield "result", f"“{result}” is a range, and “{limits}” beside it a single number"


def _is_number(text: str) -> bool:
    typed = type_value(text)
    return typed.kind == "number" and not typed.unit and not typed.comparator


def _is_range(text: str) -> bool:
    return type_range(text).kind == "range"
