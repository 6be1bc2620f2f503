"""The parts of a long document put together: what two windows both show is taken once, nothing is lost.

Two items of a list are one when they stand in the same place: a printed word is evidence for one row only. So equal
rows on different lines stay two, and a row that two windows show is one even where they read it differently. The
lines that two windows share are parted in the middle: above it the first window has seen more of what surrounds a
row, below it the second.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

from extraction.contract import Contract
from extraction.document.windows import Lines, overlap
from extraction.evidence import Evidence, PageEvidence
from extraction.record.record import Issue
from extraction.record.reply import Value, WindowReply, plain, printed
from extraction.schema import pointer

_SAME = 0.5  # share of the smaller box that two boxes must have in common to be one place


def join(replies: Sequence[WindowReply], contract: Contract) -> tuple[dict[str, Any], list[Issue]]:
    """One tree from the trees of replies, in the order of their windows, and what is doubtful about the seams.

    Args:
        replies: with at least one tree among them.
        contract: names the keys that hold for the rows after them; a reply's first rows take those that the contract
            carries over from the rows before.
    """
    read = [reply for reply in replies if reply.tree is not None]
    tree: dict[str, Any] = read[0].tree or {}
    issues: list[Issue] = []
    told = 0
    for before, after in pairwise(read):
        told = max(told, before.stop)
        seam = _Seam(after.window.lines, after.window.start, told, contract, issues, before.look or after.look)
        tree = seam.objects(tree, after.tree or {}, ())
    return tree, issues


def drop_repeated(tree: dict[str, Any], contract: Contract, lines: Lines) -> list[Issue]:
    """Take rows out of a tree that were read twice though they are printed once.

    Such a row has no place on the page, since its words are another row's; that one has the same first value, and at
    least half of the others. It is what a model writes that runs in circles, and nothing is lost with it. Of equal rows
    without any place the first stays, and is an issue as such. What was read as a row with the values of the row beside
    it has a place for its name alone: mostly a heading, but it may be a row whose own values are lost, so it is told.
    """
    issues = []
    for key, items in tree.items():
        if not isinstance(items, list):
            continue
        rows = [_own(item, contract.headings) for item in items]
        values = [[cell.value for cell in row] for row in rows]
        placed = [number for number, row in enumerate(rows) if any(cell.evidence for cell in row)]
        repeated = set()
        for number, (row, own) in enumerate(zip(rows, values, strict=True)):
            if len(own) < 2 or any(cell.evidence for cell in row[1:]):
                continue
            if row[0].evidence:
                beside = [near for near in (number - 1, number + 1) if near in placed and own[1] in values[near][1:2]]
                twins = [near for near in beside if rows[near][1].evidence]
            else:
                twins = [other for other in placed if own[0] == values[other][0]]
            half = any(2 * len({*own[1:]} & {*values[twin][1:]}) >= len(own) - 1 for twin in twins)
            if half or (not row[0].evidence and own in values[:number]):
                repeated.add(number)
        read = [cell.evidence for number in placed if number not in repeated for cell in rows[number]]
        if told := [f"“{values[number][0]}”" for number in sorted(repeated) if _has_more(rows[number][0], lines, read)]:
            more = " and others" if len(told) > 5 else ""
            names = f"{', '.join(told[:5])}{more}"
            issues.append(Issue("repeated", f"{names}: read with the values of the row beside it, and left out."))
        tree[key] = [item for number, item in enumerate(items) if number not in repeated]
    return issues


def _has_more(name: Value, lines: Lines, read: Collection[Evidence | None]) -> bool:
    """Whether anything else than a name stands on its line, but for what other rows were read from."""
    place = name.evidence
    if not isinstance(place, PageEvidence) or (number := lines.find(place.page, place.box)) < 0:
        return False
    own = place.rest.box if place.rest else place.box
    page, line = lines.lines[number]
    boxes = (lines.printed(page.number, page.words[index].box) for _, _, index in line.spans)
    taken = [own, *(one.box for one in read if isinstance(one, PageEvidence) and one.page == place.page)]
    return any(all(overlap(box, one) <= _SAME for one in taken) for box in boxes)


def _own(item: Any, carried: Collection[str]) -> list[Value]:
    """The values of a flat object that are its own, in order."""
    if not isinstance(item, dict):
        return []
    return [cell for name, cell in item.items() if name not in carried and isinstance(cell, Value)]


class _Seam:
    """Where two parts meet: the lines [start, stop) that both tell of.

    Args:
        lines: the document's.
        start, stop: numbers of the shared lines.
        contract: names the keys that hold for the rows after them.
        issues: where doubts are added.
        look: whether one of them is a second look, which is not shown what stands above: its headings say nothing.
    """

    def __init__(
        self, lines: Lines, start: int, stop: int, contract: Contract, issues: list[Issue], look: bool = False
    ):
        self.lines, self.start, self.middle = lines, start, (start + stop) / 2
        self.carry, self.issues, self.look = contract.carry, issues, look
        self._page = lines.lines[start][0].number
        self._carried = contract.headings
        self._told, self._values = contract.fields("name", "value"), contract.fields("value")
        self._names = contract.fields("name")

    def objects(self, one: dict[str, Any], other: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
        """Both objects' keys; lists are joined, of two values the first is kept."""
        out = dict(one)
        for key, value in other.items():
            mine = one.get(key)
            if mine is None:
                out[key] = value
            elif isinstance(mine, dict) and isinstance(value, dict):
                out[key] = self.objects(mine, value, (*path, key))
            elif isinstance(mine, list) and isinstance(value, list):
                out[key] = self.lists(mine, value, (*path, key))
            elif isinstance(value, Value) and value.evidence and plain(mine) != value.value:
                self._doubt(f"Also read as “{value.value}”", value.evidence, (*path, key))
        return out

    def lists(self, one: list[Any], other: list[Any], path: tuple[str | int, ...]) -> list[Any]:
        """The items of both in the order of the page; an item in one place is taken once."""
        # What the second part may have read too: what stands on the shared lines, and what follows it without a place.
        shared: list[int] = []
        for index, item in enumerate(one):
            line = self._line(item)
            if line >= self.start or (line < 0 and (shared or not index)):
                shared.append(index)
        twins = self._twins(one, other, shared)
        names = {str(plain(item.get(key))) for item in (*one, *other) if isinstance(item, dict) for key in self._names}
        out: list[Any] = []
        at: list[int] = []  # where each item of the first part is put

        def put(until: int) -> None:
            for item in one[len(at) : until]:
                at.append(len(out))
                out.append(item)

        unknown = set(self.carry)
        last: Any = None
        for number, item in enumerate(other):
            twin = twins.get(number)
            if twin is not None:
                put(twin + 1)
                last = out[at[twin]]
            elif number == 0:
                line = self._line(item)
                put(next((i for i in shared if 0 <= line < self._line(one[i])), len(one)))
                last = out[-1] if out else None
            if isinstance(item, dict):
                unknown -= {key for key in unknown if item.get(key) is not None}
                if isinstance(last, dict):
                    item = {**item, **{key: last.get(key) for key in unknown if key in item}}
            if twin is None:
                last = item
                out.append(item)
            else:
                last = out[at[twin]] = self._settle(out[at[twin]], item, (*path, at[twin]), names)
        put(len(one))
        return out

    def _twins(self, one: list[Any], other: list[Any], free: list[int]) -> dict[int, int]:
        """For items of the second list the one among items `free` of the first that is the same."""
        twins: dict[int, int] = {}
        free = list(free)
        for number, item in enumerate(other):
            twin = next((index for index in free if self._same(one[index], item)), None)
            if twin is not None:
                twins[number] = twin
                free.remove(twin)
        # A reading without a place is known by its neighbours, if it has anything in common.
        for number, item in enumerate(other):
            for near, step in ((number - 1, 1), (number + 1, -1)):
                twin = twins.get(near, -2) + step
                if number not in twins and twin in free and self._alike(one[twin], item):
                    twins[number] = twin
                    free.remove(twin)
        if not twins and one and other and _goes_on(one[-1], other[0]):
            twins[0] = len(one) - 1
        return twins

    def _alike(self, one: Any, other: Any) -> bool:
        """Whether one of two readings has no place, and a value of theirs is the same."""
        if self._line(one) >= 0 and self._line(other) >= 0:
            return False
        if not isinstance(one, dict) or not isinstance(other, dict):
            return False
        values = ((one.get(key), other.get(key)) for key in one if key not in self._carried)
        return any(isinstance(a, Value) and isinstance(b, Value) and a.value == b.value for a, b in values)

    def _settle(self, one: Any, other: Any, path: tuple[str | int, ...], names: Collection[str]) -> Any:
        """One item from two readings of it: that of the window which shows more around it.

        What the other alone has is added: a window that ends within a row has its name without its values. One whose
        value is among the `names` of items is a heading, read with the values of the line below, and says nothing.
        """
        if self._is_shifted(one, names) != self._is_shifted(other, names):
            return other if self._is_shifted(one, names) else one
        if isinstance(one, dict) and isinstance(other, dict) and any(isinstance(v, list) for v in one.values()):
            return self.objects(one, other, path)
        line = self._line(one)
        if self._borne_out(one) != self._borne_out(other):
            mine, theirs = (one, other) if self._borne_out(one) else (other, one)
        elif line < 0 or self._line(other) < 0:
            mine, theirs = (other, one) if line < 0 else (one, other)
        else:
            mine, theirs = (one, other) if line < self.middle else (other, one)
        pairs = [(mine, theirs, path)]
        if isinstance(mine, dict) and isinstance(theirs, dict):
            pairs = [(mine.get(key), theirs.get(key), (*path, key)) for key in mine]
        for kept, left, place in pairs:
            # A value or heading that is not printed where it should be says nothing against one that is.
            printable = place[-1] in self._values or place[-1] in self._carried
            if self.look and place[-1] in self._carried:
                continue
            told = isinstance(left, Value) and (left.evidence or not printable)
            if told and isinstance(kept, Value) and kept.value != left.value:
                self._doubt(f"Two windows show this line; one read “{left.value}”", left.evidence, place)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            own = {key: left for key, left in theirs.items() if key not in self._carried}
            return {key: own.get(key) if kept is None else kept for key, kept in mine.items()}
        return mine

    def _is_shifted(self, item: Any, names: Collection[str]) -> bool:
        """Whether what should be the value of an item is the name of one."""
        cells = [item.get(key) for key in self._values] if isinstance(item, dict) else []
        return any(isinstance(cell, Value) and str(cell.value) in names for cell in cells)

    def _borne_out(self, item: Any) -> bool:
        """Whether what names a row and what is told of it both stand on the page; without such fields no row is."""
        cells = [item.get(key) for key in self._told] if isinstance(item, dict) else []
        return bool(cells) and all(isinstance(cell, Value) and cell.evidence for cell in cells)

    def _doubt(self, message: str, evidence: Evidence | None, path: tuple[str | int, ...]) -> None:
        page = evidence.page if isinstance(evidence, PageEvidence) else None
        self.issues.append(Issue("differs", f"{message}.", pointer(path), page))

    def _same(self, one: Any, other: Any) -> bool:
        mine, theirs = list(printed(one, self._carried)), list(printed(other, self._carried))
        if not mine or not theirs:
            # Without a place, only what is equal and equally placeless can be the same.
            return not mine and not theirs and plain(one) == plain(other)
        return any(a.page == b.page and overlap(a.box, b.box) > _SAME for a in mine for b in theirs)

    def _line(self, item: Any) -> int:
        """The line an item begins on; -1 for one that has no place, 0 for one on an earlier page than the seam."""
        place = next(printed(item, self._carried), None)
        if place is None:
            return -1
        return self.lines.find(place.page, place.box) if place.page >= self._page else 0


def _goes_on(last: Any, item: Any) -> bool:
    """Whether an object that holds a list is continued by another: nothing it says of itself differs."""
    if not isinstance(last, dict) or not isinstance(item, dict):
        return False
    lists = [key for key in last if isinstance(last[key], list) and isinstance(item.get(key), list)]
    others = [key for key in item if key not in lists and item[key] is not None]
    return bool(lists) and all(plain(item[key]) == plain(last.get(key)) for key in others)
