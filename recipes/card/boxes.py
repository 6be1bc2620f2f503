"""Boxes as MedGemma writes them: [y0, x0, y1, x1] in 0 to 1000 of the picture padded to a square."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from recipes.card.words import normal

Box = tuple[float, float, float, float]
"""Top, left, bottom, right, in 0 to 1000 of the padded square."""

_LIST = re.compile(r"\[\s*\{.*?\}\s*\]", re.DOTALL)
_NUMBERS = re.compile(r"[\[(]" + ",".join([r"\s*[\"']?(-?[\d.]+)[\"']?\s*"] * 4) + r"[\])]")


def in_square(box: Sequence[float], width: float, height: float) -> Box:
    """A box in pixels [x0, y0, x1, y1] of a picture as one of the picture padded to a square, itself in the middle."""
    side = max(width, height)
    left, top = (side - width) / 2, (side - height) / 2
    x0, y0, x1, y1 = box
    return (
        1000 * (y0 + top) / side,
        1000 * (x0 + left) / side,
        1000 * (y1 + top) / side,
        1000 * (x1 + left) / side,
    )


def in_pixels(box: Box, width: float, height: float) -> tuple[float, float, float, float]:
    """The reverse of `in_square`: [x0, y0, x1, y1] in pixels of the picture itself."""
    side = max(width, height)
    left, top = (side - width) / 2, (side - height) / 2
    y0, x0, y1, x1 = (value * side / 1000 for value in box)
    return x0 - left, y0 - top, x1 - left, y1 - top


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    if height <= 0 or width <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return height * width / (areas - height * width)


def box_of(reply: str, label: str) -> Box | None:
    """The box that a reply gives for a label: the one of that label, else the first; also in coordinates of 0 to 1.

    A box whose sides are in the wrong order, or that leaves the picture by more than its rounding, is none.
    """
    for text in _LIST.findall(reply):
        try:
            entries = [entry for entry in json.loads(text) if isinstance(entry, dict)]
        except ValueError:
            continue
        named = [entry for entry in entries if normal(str(entry.get("label", ""))) == normal(label)]
        for entry in [*named, *entries]:
            if found := _checked(entry.get("box_2d", entry.get("box"))):
                return found
    match = _NUMBERS.search(reply)
    return _checked([float(value) for value in match.groups()]) if match and _are_numbers(match.groups()) else None


def box_in(value: object) -> Box | None:
    """A true box of a table: four numbers, or a text of them in brackets."""
    if isinstance(value, str):
        value = value.strip().strip("[]()").split(",")
    try:
        return _checked([float(side) for side in value])  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None


def _are_numbers(values: Sequence[str]) -> bool:
    return all(value.count(".") <= 1 and value.strip("-.") for value in values)


def _checked(values: object) -> Box | None:
    if not isinstance(values, list) or len(values) != 4:
        return None
    try:
        sides = [float(value) for value in values]  # some models write them as strings
    except (TypeError, ValueError):
        return None
    scale = 1000.0 if max(sides) <= 1 else 1.0
    y0, x0, y1, x1 = (side * scale for side in sides)
    inside = all(-1 <= value <= 1001 for value in (y0, x0, y1, x1))
    return (y0, x0, y1, x1) if inside and y0 < y1 and x0 < x1 else None


def written(box: Box, label: str) -> str:
    """A box as it is trained."""
    entry = {"box_2d": [round(side) for side in box], "label": label}
    return f"```json[{json.dumps(entry, separators=(',', ':'))}]```"
