"""Which row of a record stands where on the page: one place a row, in the page's order where the record keeps it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a row may stand: its position in reading order, how well the row agrees with what is there."""

    position: int
    score: float


def align(rows: Sequence[Sequence[Candidate]], back: float) -> list[int | None]:
    """Choose one candidate a row, or none, each position once.

    Maximises the sum of scores less `back` for every step back on the page from one chosen row to the next. A
    row without candidates costs nothing. Rows that end up on one position are told apart by score; the others
    then take the best of what is left.

    The maximum is found row by row, with the best sum for every position reached so far in a Fenwick tree of
    prefix maxima: O(n log n) for n candidates.

    Returns:
        For each row the index of its candidate, or None.
    """
    positions = sorted({candidate.position for row in rows for candidate in row})
    place = {position: i for i, position in enumerate(positions)}
    best = _PrefixMaximum(len(positions))
    steps: list[tuple[int, int, int]] = []  # row, candidate, step before (-1: none)
    top, top_step = 0.0, -1
    for number, row in enumerate(rows):
        reached: list[tuple[int, float, int]] = []
        for index, candidate in enumerate(row):
            at = place[candidate.position]
            total, before = best.below(at)
            if top - back > total:
                total, before = top - back, top_step
            steps.append((number, index, before))
            reached.append((at, total + candidate.score, len(steps) - 1))
        for at, total, step in reached:
            best.put(at, total, step)
            if total > top:
                top, top_step = total, step
    chosen: list[int | None] = [None] * len(rows)
    while top_step >= 0:
        number, index, top_step = steps[top_step]
        chosen[number] = index
    _settle(rows, chosen)
    return chosen


def _settle(rows: Sequence[Sequence[Candidate]], chosen: list[int | None]) -> None:
    """Leave each position to the row that agrees best with it; give the others what is left, the best first."""
    taken: dict[int, int] = {}
    for number, index in enumerate(chosen):
        if index is None:
            continue
        candidate = rows[number][index]
        holder = taken.get(candidate.position)
        if holder is not None:
            held = chosen[holder]
            if held is not None and rows[holder][held].score >= candidate.score:
                chosen[number] = None
                continue
            chosen[holder] = None
        taken[candidate.position] = number
    open_rows = [number for number, index in enumerate(chosen) if index is None and rows[number]]
    known = [number for number, index in enumerate(chosen) if index is not None]
    wishes: list[tuple[float, int, int, int]] = []
    for number in open_rows:
        near = _near(rows, chosen, known, number)
        for index, candidate in enumerate(rows[number]):
            if candidate.position not in taken:
                wishes.append((-candidate.score, abs(candidate.position - near), number, index))
    for _, _, number, index in sorted(wishes):
        position = rows[number][index].position
        if chosen[number] is None and position not in taken:
            chosen[number] = index
            taken[position] = number


def _near(rows: Sequence[Sequence[Candidate]], chosen: Sequence[int | None], known: Sequence[int], number: int) -> int:
    """The position of the placed row before `number`, or after it where there is none before."""
    if not known:
        return 0
    neighbour = known[max(0, bisect_left(known, number) - 1)]
    index = chosen[neighbour]
    return rows[neighbour][index].position if index is not None else 0


class _PrefixMaximum:
    """A Fenwick tree: the largest value put at any place before a given one."""

    def __init__(self, size: int):
        self._tree: list[tuple[float, int]] = [(0.0, -1)] * (size + 1)

    def put(self, place: int, value: float, mark: int) -> None:
        at = place + 1
        while at < len(self._tree):
            if value > self._tree[at][0]:
                self._tree[at] = (value, mark)
            at += at & -at

    def below(self, place: int) -> tuple[float, int]:
        """The largest (value, mark) at places before `place`, (0, -1) where there is none."""
        best = (0.0, -1)
        at = place
        while at > 0:
            if self._tree[at][0] > best[0]:
                best = self._tree[at]
            at -= at & -at
        return best
