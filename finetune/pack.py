"""Rows filled to the budget with several examples each: what is trained is each of them, with nothing between."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from extraction.generate.masks import CONTEXT, image_blocks


def pack(rows: Sequence[dict[str, Any]], budget: int) -> list[dict[str, Any]]:
    """The rows of `encode` in as few rows of at most `budget` tokens as best fit finds, the longest first.

    Returns:
        Rows as `encode` has them, with `lengths`, the tokens of each example in the row; `unpacked` takes them apart.
    """
    bins = list[list[int]]()
    free = list[tuple[int, int]]()  # what is left of each bin, and which it is
    for number in sorted(range(len(rows)), key=lambda number: -len(rows[number]["input_ids"])):
        length = len(rows[number]["input_ids"])
        at = bisect_left(free, (length, -1))
        room, place = free.pop(at) if at < len(free) else (budget, len(bins))
        if place == len(bins):
            bins.append([])
        bins[place].append(number)
        insort(free, (room - length, place))
    return [_joined([rows[number] for number in own]) for own in bins]


def _joined(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {key: [one for row in rows for one in row[key]] for key in ("input_ids", "labels")}
    made["lengths"] = [len(row["input_ids"]) for row in rows]
    if any("branches" in row for row in rows):
        made["branches"] = [one for row in rows for one in row.get("branches") or [CONTEXT] * len(row["input_ids"])]
    if images := [image for row in rows for image in row.get("images") or ()]:
        made["images"] = images
    return made


def unpacked(row: dict[str, Any], soft: int | None) -> Iterator[dict[str, Any]]:
    """The examples of a row of `pack`, each a row of its own; another row as it is.

    Args:
        row: with `files` in the place of `images`, where it shows any.
        soft: the token that images are made of; a file is a stretch of them.
    """
    if not row.get("lengths"):
        yield row
        return
    start = shown = 0
    for length in row["lengths"]:
        part = slice(start, start + length)
        own = {key: row[key][part] for key in ("input_ids", "labels", "branches") if row.get(key)}
        if row.get("files"):
            shows = torch.eq(torch.tensor([own["input_ids"]]), -1 if soft is None else soft)
            count = int(image_blocks(shows).max()) + 1
            own["files"] = row["files"][shown : shown + count]
            shown += count
        start += length
        yield own
