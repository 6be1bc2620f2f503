"""Slices that belong together, in the order of their places, and what must be said of these (runs in the worker).

All in millimetres and in DICOM's patient coordinates (LPS: x to the patient's left, y to the back, z to the head).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from extraction.volume.files import Left
from extraction.volume.headers import STACKS, Slice

_NEAR = 1e-3  # orientations, spacings, thicknesses nearer than this are the same
_SAME_PLACE = 0.01  # mm: nearer slices lie at one place
_EVEN = 0.02  # of the distance between slices, by which distances may differ
_TILT = 0.1  # degrees between the normal and the way from slice to slice, under which it is rounding
_APART = {"orientation": "orientation", "spacing": "pixel spacing", "thickness": "slice thickness"}
_DISCRETE = ("series", "modality", "rows", "columns", "samples", "photometric")


def group(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices by series, and within it by shape, orientation, spacing and thickness."""
    exact: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    for one in slices:
        known = tuple(one[key] is not None for key in ("position", *_APART))
        # A multi-frame object is a stack of its own, whatever else is in its series.
        whole = one["uid"] or one["name"] if one["whole"] else ""
        exact[(*(one[key] for key in _DISCRETE), known, whole)].append(one)
    found: list[list[Slice]] = []
    for same in exact.values():
        groups: list[tuple[np.ndarray, list[Slice]]] = []
        for one in same:
            traits = np.hstack([one[key] for key in _APART if one[key] is not None] or [0.0])
            for first, members in groups:
                if np.abs(first - traits).max() < _NEAR:
                    members.append(one)
                    break
            else:
                groups.append((traits, [one]))
        found += [members for _, members in groups]
    return found


def differences(groups: Sequence[Sequence[Slice]]) -> list[str]:
    """Why the slices of one series stand in several volumes: in what these differ."""
    said = []
    for key, words in {**_APART, "rows": "size", "modality": "modality", "photometric": "colours"}.items():
        values = [one[0][key] for one in groups]
        if len({str(value) for value in values}) > 1:
            one_number = key == "thickness" and all(value is not None for value in values)
            said.append(f"{words} ({', '.join(f'{v:g} mm' for v in sorted(set(values)))})" if one_number else words)
    if len({one[0]["position"] is None for one in groups}) > 1:
        said.append("whether they state a place that can be used")
    return said


def stacks(slices: list[Slice], left: Left) -> Iterator[list[Slice]]:
    """The volumes in a group: the same object is kept once, stacks at one place are told apart by what they are."""
    unique: dict[tuple[str, int], Slice] = {}
    for one in slices:
        named = (one["uid"] or one["name"], one["frame"])
        if named in unique:
            left(one["name"], "the same object a second time")
        else:
            unique[named] = one
    slices = list(unique.values())
    for key in STACKS if _crowded(slices) else ():
        parts: dict[str, list[Slice]] = defaultdict(list)
        for one in slices:
            parts[one["stack"].get(key, "")].append(one)
        if len(parts) > 1 and not any(map(_crowded, parts.values())):
            yield from parts.values()
            return
    yield slices


def _crowded(slices: Sequence[Slice]) -> bool:
    """Whether several slices lie at one place."""
    if len(slices) < 2 or slices[0]["position"] is None or slices[0]["orientation"] is None:
        return False
    along = np.sort(_along(slices))
    return bool((np.diff(along) < _SAME_PLACE).any())


def _along(slices: Sequence[Slice]) -> np.ndarray:
    """Where slices lie along their normal."""
    orientation = np.array(slices[0]["orientation"])
    return np.array([one["position"] for one in slices]) @ np.cross(orientation[:3], orientation[3:])


def ordered(slices: list[Slice], same: Callable[[Slice, Slice], bool], left: Left) -> tuple[list[Slice], list[str]]:
    """Slices in order: along their normal, in the direction of their numbers; else by what they say."""
    said: list[str] = []
    if misplaced := sum(one["misplaced"] for one in slices):
        which = f" of {misplaced} of the slices" if misplaced < len(slices) else ""
        said.append(f"The place in the headers{which} (ImagePositionPatient) is not three numbers, and is not used.")
    numbers = [one["number"] for one in slices]
    numbered = all(number is not None for number in numbers)
    rank = {id(one): (one["number"] if numbered else 0, one["inside"], one["name"]) for one in slices}
    slices = sorted(slices, key=lambda one: rank[id(one)])
    if len(slices) == 1:
        return slices, said
    orientation = slices[0]["orientation"]
    if orientation is not None and not _square(orientation):
        said.append("The orientation in the headers is no pair of perpendicular unit vectors, and is not used.")
        orientation = None
    if slices[0]["position"] is None or orientation is None:
        return _by_words(slices, numbered, said), said
    along = _along(slices)
    if np.ptp(along) < _SAME_PLACE:
        said.append("All slices state one place; they stand in the order of their numbers, at unknown distances.")
        for one in slices:
            one["position"] = None
        return _by_words(slices, numbered, said), said
    steps = np.sign(np.diff(along))
    direction = -1 if numbered and steps.sum() < 0 else 1
    order = sorted(range(len(slices)), key=lambda at: (round(float(direction * along[at]) / _SAME_PLACE), at))
    kept: list[Slice] = []
    ranks: list[int] = []
    for at in order:
        if kept and abs(along[at] - kept[-1]["along"]) < _SAME_PLACE:
            if same(kept[-1], slices[at]):
                left(slices[at]["name"], "the same slice a second time (place and values)")
            else:
                left(slices[at]["name"], "another slice at the place of one that is kept, of the lower number")
            continue
        kept.append({**slices[at], "along": along[at]})
        ranks.append(at)
    against = int((np.diff(ranks) < 0).sum())
    if against and numbered and not slices[0]["whole"]:
        said.append(f"Numbers and places disagree at {against} of {len(kept) - 1} steps; slices are in order of place.")
    return kept, said


def _square(orientation: Sequence[float]) -> bool:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    return bool(abs(row @ row - 1) < 0.01 and abs(column @ column - 1) < 0.01 and abs(row @ column) < 0.01)


def _by_words(slices: list[Slice], numbered: bool, said: list[str]) -> list[Slice]:
    """The order of slices without places."""
    located = [one["location"] for one in slices]
    if slices[0]["whole"]:
        said.append("The frames state no places; they stand in the file's order, at unknown distances.")
    elif all(value is not None for value in located) and len(set(located)) == len(located):
        slices = sorted(slices, key=lambda one: one["location"])
        said.append("The slices state no usable places but locations, by which they are sorted.")
    elif numbered and len({one["number"] for one in slices}) == len(slices):
        said.append("The slices state no usable places; they are sorted by their numbers, at unknown distances.")
    else:
        said.append("The slices state no usable places and no numbers of their own; they stand by their file names.")
    return slices


def geometry(slices: Sequence[Slice]) -> tuple[dict[str, Any], list[str]]:
    """Spacing (slice, row, column), affine from (column, row, slice) to LPS, positions; None is what is not known."""
    said: list[str] = []
    first, count = slices[0], len(slices)
    spacing: list[float | None] = [None, *(first["spacing"] or (None, None))]
    if first["spacing"] and min(first["spacing"]) <= 0:
        said.append("The pixel spacing in the headers is not above 0; it is taken as unknown.")
        spacing = [None, None, None]
    elif not first["spacing"]:
        said.append("The headers state no pixel spacing.")
    known = first["position"] is not None and first["orientation"] is not None and _square(first["orientation"])
    positions = [list(one["position"]) for one in slices] if known else None
    affine = None
    if positions and count > 1:
        places = np.array(positions)
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        step = (places[-1] - places[0]) / (count - 1)
        said += _uneven(np.abs(np.diff(_along(slices))), steps)
        if any("apart" in one or "missing" in one for one in said):
            step *= _usual(steps) / max(float(np.linalg.norm(step)), 1e-9)
        spacing[0] = float(np.linalg.norm(step))
        said += _tilt(first["orientation"], places, step)
    elif positions:
        # One slice has no neighbour: its thickness stands for a distance.
        spacing[0] = first["thickness"] or None
        step = np.cross(first["orientation"][:3], first["orientation"][3:]) * (spacing[0] or 1.0)
    if positions and None not in spacing[1:]:
        row, column = np.array(first["orientation"][:3]), np.array(first["orientation"][3:])
        whole = np.eye(4)
        # PixelSpacing is that between rows, then between columns (PS3.3, 10.7.1.3).
        whole[:3] = np.stack([row * spacing[2], column * spacing[1], step, np.array(positions[0])], axis=1)
        affine = whole.tolist()
    return {"spacing": spacing, "affine": affine, "positions": positions}, said


def _usual(gaps: np.ndarray) -> float:
    """The middle one of some distances, of two the smaller: one that is there, and no mean of two."""
    return float(np.sort(gaps)[(len(gaps) - 1) // 2])


def _uneven(gaps: np.ndarray, steps: np.ndarray) -> list[str]:
    """Slices that seem to be missing, and distances that differ otherwise."""
    usual = _usual(gaps)
    times = np.round(gaps / usual).astype(int)
    odd = np.abs(gaps - usual) > max(_EVEN * usual, _SAME_PLACE)
    holes = [int(at) for at in np.flatnonzero(odd & (times > 1) & (np.abs(gaps - times * usual) < 0.1 * usual))]
    said = []
    missing = int(sum(times[at] - 1 for at in holes))
    if missing > len(gaps):
        holes = []  # more than there are: these are slices of choice, not a stack with holes
    if holes:
        where = ", ".join(f"{at + 1} and {at + 2}" for at in holes[:3]) + (" and elsewhere" if len(holes) > 3 else "")
        said.append(f"{missing} slice{'s seem' if missing > 1 else ' seems'} to be missing, between slices {where}.")
    rest = np.delete(gaps, holes)
    if np.abs(rest - usual).max() > max(_EVEN * usual, _SAME_PLACE):
        said.append(f"The slices lie {rest.min():.3g} to {rest.max():.3g} mm apart; {usual:.3g} mm is the usual one.")
    return said


def _tilt(orientation: Sequence[float], places: np.ndarray, step: np.ndarray) -> list[str]:
    """Slices that are not stacked along their normal (a tilted gantry), or not along one line."""
    normal = np.cross(orientation[:3], orientation[3:])
    cosine = abs(normal @ step) / (np.linalg.norm(step) * np.linalg.norm(normal))
    angle = float(np.degrees(np.arccos(min(1.0, cosine))))
    said = []
    if angle > _TILT:
        said.append(
            f"The slices are stacked {angle:.1f}° off their normal (gantry tilt): planes lie {abs(normal @ step):.3g} "
            "mm apart, and the volume is a sheared one."
        )
    line = step / np.linalg.norm(step)
    offsets = places - places[0]
    off = float(np.linalg.norm(offsets - np.outer(offsets @ line, line), axis=1).max())
    if off > 0.5:
        said.append(f"The slices do not lie on one line: by up to {off:.1f} mm beside it.")
    return said
