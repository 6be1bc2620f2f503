"""Evidence for the values of a record, from the words a document prints and from nothing else.

A record's rows are first placed on the page: the name of a row may stand in many places, the right one is where
the row's other values stand too, in the order in which the record goes down the page (align.py). Every value is
then looked for in its row's neighbourhood: on the lines of the name, and below them down to the next row's name.
A value that is printed elsewhere on the page is no evidence for its row. Only what a heading says for many
rows (a group, a time) may stand above. A printed word is evidence for one row only, and for one of
its values.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from extraction.document import Document
from extraction.evidence.align import Candidate, align
from extraction.evidence.evidence import PageEvidence
from extraction.evidence.place import Placer
from extraction.evidence.printed import Printed, Spot
from extraction.evidence.rests import names_rests
from extraction.evidence.sought import Sought
from extraction.target import Leaf

Path = tuple[str | int, ...]

_NAME, _CLEAN, _BACK = 3.0, 0.6, 4.5
"""Scores of a row's place: its name; each side on which the name is whole; a step back on the page.

Another value counts 1 to 2, by its rarity. Two results that were swapped between rows of the same name must not
pay for the step back that would undo the swap.
"""
_MOST = 120  # places of one name that are looked at for one row
_WORDS = re.compile(r"[^\W\d_]{2}")


@dataclass(slots=True)
class PlacedCell:
    """A value of a row, what its field is for, the places where its text is printed, and the one that was chosen."""

    path: Path
    field: str
    text: str
    carried: bool
    spots: list[Spot]
    lines: list[int]
    role: str | None = None
    choice: Spot | None = None


@dataclass(slots=True)
class PlacedRow:
    """A row of a record: its cells, which of them is its name, and the spot where it stands."""

    cells: list[PlacedCell]
    name: PlacedCell | None = None
    anchor: Spot | None = None
    score: float = 0.0


def ground(
    leaves: Sequence[Leaf],
    document: Document,
    *,
    roles: Mapping[str, str] = {},
    carried: Collection[str] = (),
    pages: Mapping[Path, Collection[int]] | None = None,
) -> dict[Path, PageEvidence]:
    """Find every value of a record on the pages of its document.

    Args:
        leaves: the record's values; rows are told by the numbers in their paths.
        document: the document with its words.
        roles: what fields are for, by their names, as in `Contract.roles`: a `name` names its row (else the first field
            of words does), a `heading` or a `time` may stand above the rows that it holds for; for `value` and `unit`
            see `Sought.spots`.
        carried: names of other fields that a heading above may give for many rows.
        pages: for a path or the beginning of one, the pages (from 1) on which its values may be found.

    Returns:
        Evidence by path. A value without an entry was not found where it would have to stand.
    """
    printed = Printed(document)
    sought = Sought(printed)
    above = {*carried, *(name for name, role in roles.items() if role in ("heading", "time"))}
    tables: dict[Path, dict[Path, list[PlacedCell]]] = defaultdict(lambda: defaultdict(list))
    scalars: list[PlacedCell] = []
    for leaf in leaves:
        last = max((i for i, step in enumerate(leaf.path) if isinstance(step, int)), default=-1)
        name = next((step for step in reversed(leaf.path) if isinstance(step, str)), "")
        spots = _on_pages(sought.spots(leaf.value, roles.get(name)), leaf.path, pages)
        cell = PlacedCell(
            leaf.path, name, str(leaf.value), name in above, spots, [s.line for s in spots], roles.get(name)
        )
        if last < 0:
            scalars.append(cell)
        else:
            shape = tuple("*" if isinstance(step, int) else step for step in leaf.path[: last + 1])
            tables[shape][leaf.path[: last + 1]].append(cell)
    groups = [[PlacedRow(cells) for cells in rows.values()] for rows in tables.values()]
    for rows in groups:
        _align(rows, printed, _name_field(rows, roles))
    placer = Placer(printed)
    # Rows that words name know where they stand; a bare number, as of a group around them, may be any of theirs.
    by_words: dict[bool, list[list[PlacedRow]]] = {True: [], False: []}
    for rows in groups:
        by_words[any(row.name and _WORDS.search(row.name.text) for row in rows)].append(rows)
    for tables_of_kind in by_words.values():
        placer.place_all(tables_of_kind)
    _place_scalars(scalars)
    chosen = [cell for rows in groups for row in rows for cell in row.cells] + scalars
    rests = names_rests(printed, [row for rows in groups for row in rows]) if "name" in roles.values() else {}
    return {
        cell.path: PageEvidence(
            printed.text(cell.choice),
            printed.score(cell.choice),
            page=cell.choice.page,
            box=cell.choice.box,
            rest=rests.get(cell.path),
        )
        for cell in chosen
        if cell.choice
    }


def _on_pages(spots: list[Spot], path: Path, pages: Mapping[Path, Collection[int]] | None) -> list[Spot]:
    if not pages:
        return spots
    allowed = next((pages[path[:end]] for end in range(len(path), -1, -1) if path[:end] in pages), None)
    return spots if allowed is None else [spot for spot in spots if spot.page in allowed]


def _name_field(rows: Sequence[PlacedRow], roles: Mapping[str, str]) -> str | None:
    """The field that names the rows: by its role, the first whose values are words and mostly differ, or the first."""
    told = next((cell.field for row in rows for cell in row.cells if roles.get(cell.field) == "name"), None)
    if told:
        return told
    texts: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for cell in row.cells:
            if not cell.carried:
                texts[cell.field].append(cell.text)
    for key, values in texts.items():
        worded = sum(bool(_WORDS.search(text)) for text in values)
        if 2 * worded >= len(values) and (len(values) < 4 or 4 * len(set(values)) >= len(values)):
            return key
    return next(iter(texts), None)


def _align(rows: Sequence[PlacedRow], printed: Printed, key: str | None) -> None:
    """Give every row of a table the spot of its name (field `key`) that suits its other values and the order best."""
    headings = _Headings(rows)
    ranks: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        row.name = next((cell for cell in row.cells if cell.field == key), None)
        if row.name:
            ranks[row.name.text].append(number)
    choices: list[list[Spot]] = []
    candidates: list[list[Candidate]] = []
    for number, row in enumerate(rows):
        spots = row.name.spots if row.name else []
        if row.name and len(spots) > _MOST:
            same = ranks[row.name.text]
            middle = len(spots) * bisect_left(same, number) // len(same)
            start = max(0, min(middle - _MOST // 2, len(spots) - _MOST))
            spots = spots[start : start + _MOST]
        choices.append(spots)
        others = [cell for cell in row.cells if cell is not row.name and not cell.carried and cell.spots]
        scores = (_NAME + _CLEAN * s.clean + _agreement(s, others, printed) + headings.agree(s, row) for s in spots)
        candidates.append([Candidate(s.runs[0][0], score) for s, score in zip(spots, scores, strict=True)])
    for number, index in enumerate(align(candidates, _BACK)):
        if index is not None:
            rows[number].anchor = choices[number][index]
            rows[number].score = candidates[number][index].score


def _agreement(spot: Spot, others: Sequence[PlacedCell], printed: Printed) -> float:
    """How many of a row's other values stand on the lines of its name, or a little below."""
    score = 0.0
    for cell in others:
        count = len(cell.spots)
        weight = 2.0 if count <= 3 else 1.5 if count <= 12 else 1.0
        at = bisect_left(cell.lines, spot.line)
        if at < len(cell.lines):
            line = cell.lines[at]
            if line <= spot.last:
                score += weight
            elif line <= spot.last + 5 and printed.lines[line][0] == spot.page:
                score += 0.6 * weight
    return score


class _Headings:
    """Which of the headings that a table's rows name stands last above a place."""

    def __init__(self, rows: Sequence[PlacedRow]):
        texts: dict[str, dict[str, list[Spot]]] = defaultdict(dict)
        for row in rows:
            for cell in row.cells:
                if cell.carried and cell.spots:
                    texts[cell.field][cell.text] = cell.spots
        self._places: dict[str, tuple[list[int], list[str]]] = {}
        for key, known in texts.items():
            if len(known) > 1:
                pairs = sorted((spot.line, text) for text, spots in known.items() for spot in spots)
                self._places[key] = ([line for line, _ in pairs], [text for _, text in pairs])

    def agree(self, spot: Spot, row: PlacedRow) -> float:
        """0.5 for every carried value of the row that is the last of its kind above the spot."""
        score = 0.0
        for cell in row.cells:
            if cell.carried and cell.field in self._places:
                lines, texts = self._places[cell.field]
                at = bisect_right(lines, spot.line) - 1
                if at >= 0 and texts[at] == cell.text:
                    score += 0.5
        return score


def _place_scalars(cells: Sequence[PlacedCell]) -> None:
    """Choose the spots of values outside tables: near those of their object that stand in one place only.

    What is printed once is one heading and no other: a person's name is not the sex, too.
    """
    for _, group in groupby(cells, key=lambda cell: cell.path[:-1]):
        members = list(group)
        known = [cell.lines[0] for cell in members if len(cell.spots) == 1]
        middle = sorted(known)[len(known) // 2] if known else 0
        taken: set[int] = set()
        for cell in sorted(members, key=lambda cell: len(cell.spots)):
            free = [spot for spot in cell.spots if not taken.intersection(spot.atoms)]
            if not free and cell.role != "heading":
                free = cell.spots
            if free:
                distances = [(2 - spot.clean, abs(spot.line - middle), at) for at, spot in enumerate(free)]
                cell.choice = free[min(distances)[2]]
                taken.update(cell.choice.atoms)
