"""Results that the model left out or read wrongly, and units and ranges of those that it read, from their own lines.

A line that looks like a result and is in no row is read by the kinds of its cells: name, value, unit, range, each in
the columns of the results around it where there are any. What has one more cell than these is not read: it may be
another column's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from extraction.checks import Added, MissedLine, Path
from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from extraction.values.dates import moments
from extraction.values.signs import PLAIN
from recipes.lab_report.beside import in_line
from recipes.lab_report.interpretation import contradiction
from recipes.lab_report.kinds import misplaced
from recipes.lab_report.lines import Cell, Titles, cells_of, is_finding, is_other_title, names_columns, names_limits
from recipes.lab_report.names import goes_on, is_open
from recipes.lab_report.patterns import FINDING_CELL, FLAG, GLUED, LEVEL, NUM, RANGE, UNIT, WORD

_VALUE = re.compile(
    rf"(?:{FLAG} |{GLUED})?(?P<value>{NUM}|\d\+|\+{{1,4}}|1:\d+|(?i:{WORD})\.?(?: \([\d.,<>+-]+\))?)"
    rf"(?: ?(?P<unit>{UNIT}))?(?: (?P<range>{RANGE}))?(?: {FLAG}){{0,2}}"
)
_LIMITS = re.compile(rf"(?:(?P<before>{UNIT}) )?(?P<range>{RANGE})(?: ?(?P<unit>{UNIT}))?")
_INLINE = re.compile(r"(?P<name>[^:]{2,60}): *(?P<rest>\S.*)")
_MARKS = re.compile(r"^[*#°»«†‡§¶^•¤\s]+|(?:[*#°»«†‡§¶^•¤:\s¹²³⁰-⁹]|[(\[]\d{1,2}[)\]])+$")
_FLAG = re.compile(rf"{FLAG}|[^\w\s%‰]{{1,3}}")
Box = tuple[float, float, float, float]

_VALUE_LABEL = re.compile(  # portals print it before each value
    r"(?:(?:your|ihr|uw|votre|su|il suo|seu|sua) )?(?:value|result|wert|ergebnis|waarde|uitslag|valeur|résultat|valore?"
    r"|resultado|risultato)",
    re.IGNORECASE,
)
_READ_FROM = 0.7  # OCR's certainty: rows of less are not read
_NEAR = 14.0  # points: names of one table begin so far apart at most
_NEARER = 0.9  # times the least distance of rows: lines of one name are no further apart
_EDGE = 3.0  # points: lines of one name begin so far apart at most
_SAME = 0.5  # share of the smaller of two boxes that is common to both where they are one place
_HEADINGS = ("panel", "method", "specimen", "sample_collection_time")
_NOWHERE = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Row:
    """Where the values of a row that was read stand, by their fields; `path` is the row's."""

    path: Path
    places: Mapping[Any, PageEvidence]

    @property
    def middle(self) -> float:
        box = self.places["result"].box
        return (box[1] + box[3]) / 2


def completed(document: Document, evidence: Mapping[Path, PageEvidence], missed: Collection[MissedLine]) -> list[Added]:
    """Rows read from the lines of `missed`.

    Args:
        document: without what is not a result, such as columns of earlier ones.
        evidence: where the values of the rows that were read stand.
        missed: lines that look like results and are in no row.
    """
    rows = _rows_of(evidence)
    titles = Titles(document, two_lines=True)
    found: list[Added] = []
    for page in document.pages:
        own = [row for row in rows if row.places["result"].page == page.number]
        lines = [list(cells_of(page, line)) for line in gather_rows(page.words)] if page.words else []
        # What a heading is said to be may be the name of a result.
        taken = [p.box for path, p in evidence.items() if p.page == page.number and path[-1] not in _HEADINGS]
        for line in (line for line in missed if line.page == page.number):
            number = next((n for n, cells in enumerate(lines) if any(cell.box == line.box for cell in cells)), None)
            if number is None:
                continue
            cells = _segment(lines[number], line, own)
            told = any(overlap(cell.box, box) > _SAME for cell in cells for box in taken)
            if told or titles.earlier(page.number, line.box) or _goes_on(cells[0], lines, number, own):
                continue
            limits = next((one for one in lines[number::-1] if names_limits(one) or _names_columns(one)), [])
            row = _read(page, cells, line, own, limits)
            read = row is not None and all(place.score >= _READ_FROM for place in row.values())
            if row and read and _is_sound({key: place.text for key, place in row.items()}):
                found.append(_placed(row, lines, own))
                taken += [place.box for place in row.values()]
    return found


def _names_columns(cells: Sequence[Cell]) -> bool:
    return names_columns("  ".join(cell.text for cell in cells))


def _rows_of(evidence: Mapping[Path, PageEvidence]) -> list[_Row]:
    rows: dict[Path, dict[Any, PageEvidence]] = {}
    for path, place in evidence.items():
        rows.setdefault(path[:-1], {})[path[-1]] = place
    return [_Row(path, places) for path, places in rows.items() if {"name", "result"} <= {*places}]


def _segment(cells: Sequence[Cell], line: MissedLine, rows: Collection[_Row]) -> list[Cell]:
    """The cells of a line from the name of its result to the name of a result right of it."""
    at = next(number for number, cell in enumerate(cells) if cell.box == line.box)
    columns = [row.places["name"].box for row in rows]
    start = next((n for n in range(at - 1, -1, -1) if _is_name(cells[n]) and _starts(cells[n], columns)), None)
    if start is None:
        start = next((n for n in range(at) if _is_name(cells[n])), at) if not columns else at
    end = len(cells)
    for number in range(at + 1, len(cells)):
        follows = any(cell.is_value or cell.is_measured for cell in cells[number + 1 : number + 3])
        if _is_name(cells[number]) and (follows or _starts(cells[number], columns)) and not cells[number].is_limit:
            end = number
            break
    return list(cells[start:end])


def _goes_on(name: Cell, lines: Sequence[Sequence[Cell]], number: int, rows: Sequence[_Row]) -> bool:
    """Whether a name may be of several lines: right above or below stands more in its column, without a value, nearer
    than rows are to each other, or as the text of one name goes on.
    """
    middles = sorted({row.middle for row in rows})
    pitch = min((b - a for a, b in pairwise(middles) if b - a > 1), default=0.0)
    height = name.box[3] - name.box[1]
    for cells in (line for line in (lines[max(number - 1, 0)], *lines[number + 1 : number + 2]) if line):
        other, away = cells[0], abs(cells[0].box[1] - name.box[1])
        if other is name or len(cells) > 1 or not other.is_name or abs(other.box[0] - name.box[0]) > _EDGE:
            continue
        first, second = sorted((name, other), key=lambda cell: cell.box[1])
        open_ended = is_open([first]) or goes_on(second.text)
        if ":" not in other.text and (away < _NEARER * pitch or (open_ended and away < 2 * height)):
            return True
    return False


def _is_name(cell: Cell) -> bool:
    bare = _MARKS.sub("", cell.text)
    return bool(bare) and Cell(bare, cell.box).is_name


def _starts(cell: Cell, columns: Collection[Box]) -> bool:
    return any(abs(box[0] - cell.box[0]) < _NEAR or in_line(box, cell.box) for box in columns)


def _read(
    page: Page, cells: Sequence[Cell], line: MissedLine, rows: Sequence[_Row], limits: Sequence[Cell]
) -> dict[str, PageEvidence] | None:
    """The fields of the result in cells of a line; None where a cell has no part in it."""
    value = next(cell for cell in cells if cell.box == line.box)
    found: dict[str, PageEvidence] = {}
    match = _INLINE.fullmatch(value.text)
    if match and cells[0] is value:
        name = _MARKS.sub("", match["name"])
        if not name or not _told(page, value, match["rest"], match.start("rest"), found):
            return None
        found["name"] = _place(page, value, match["name"].find(name), len(name))
    elif cells[0] is value or not _is_name(cells[0]) or not _in_results_column(value, rows):
        return None
    elif _told(page, value, value.text, 0, found):
        name = _MARKS.sub("", cells[0].text)
        found["name"] = _place(page, cells[0], cells[0].text.find(name), len(name))
    else:
        return None
    if found.get("unit") and found["unit"].text in ("H", "L"):
        del found["unit"]  # a flag
    for cell in cells:
        if cell is value or (cell is cells[0] and not match):
            continue
        over = [one.text for one in limits if min(one.box[2], cell.box[2]) > max(one.box[0], cell.box[0])]
        normal = bool(over) and all(map(is_other_title, over)) and bool(FINDING_CELL.fullmatch(cell.text))
        parts = _LIMITS.fullmatch(cell.text) if cell.is_range else None
        if parts and "range" not in found:
            for group, said in parts.groupdict().items():
                field = "range" if group == "range" else "unit"
                if said and field not in found:
                    found[field] = _place(page, cell, parts.start(group), len(said))
        elif (cell.is_range or normal) and "range" not in found:
            found["range"] = _place(page, cell, 0, len(cell.text))
        elif cell.qualifies and not cell.is_range and cell.text not in ("H", "L") and "unit" not in found:
            found["unit"] = _place(page, cell, 0, len(cell.text))
        elif (key := _heading_of(cell, rows)) and key not in found:
            found[key] = _place(page, cell, 0, len(cell.text))
        elif not (_FLAG.fullmatch(cell.text) and len(cell.text) <= 9 and not cell.is_value):
            return None
    return found if "unit" in found or not _measured(found["result"].text, rows) else None


def _measured(result: str, rows: Sequence[_Row]) -> bool:
    """Whether a result is a number, and all numbers around it have a unit."""
    numbers = [row for row in rows if any(map(str.isdigit, row.places["result"].text))]
    return any(map(str.isdigit, result)) and bool(numbers) and all("unit" in row.places for row in numbers)


def _told(page: Page, cell: Cell, text: str, start: int, found: dict[str, PageEvidence]) -> bool:
    """Note value, unit and range that stand in one cell, from `start` on; whether that is all it says."""
    text = text.rstrip(".;") if any(map(str.isdigit, text)) else text.rstrip(";")
    match = _VALUE.fullmatch(text)
    if not match:
        return False
    for key, part in match.groupdict().items():
        field = {"value": "result", "unit": "unit", "range": "range"}.get(key)
        if field and part:
            at = match.start(key) + len(part) - len(part.lstrip())
            found[field] = _place(page, cell, start + at, len(part.strip()))
    return True


def _place(page: Page, cell: Cell, start: int, length: int) -> PageEvidence:
    """A part of a cell, as printed: `start` and `length` in its text."""
    texts = [page.words[number].text for number in cell.words]
    printed = " ".join(texts)
    if printed.translate(PLAIN) != cell.text:
        shift = printed.translate(PLAIN).find(cell.text)
        start += max(shift, 0)
    at, boxes, scores = 0, [], []
    for number, text in zip(cell.words, texts, strict=True):
        word = page.words[number]
        first, last = max(start - at, 0), min(start + length - at, len(text))
        if first < last:
            share = (word.box[2] - word.box[0]) / len(text)
            boxes.append((word.box[0] + share * first, word.box[1], word.box[0] + share * last, word.box[3]))
            scores.append(word.score)
        at += len(text) + 1
    box = min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
    return PageEvidence(printed[start : start + length], min(scores), page=page.number, box=box)


def _in_results_column(cell: Cell, rows: Sequence[_Row]) -> bool:
    """Whether a cell stands as the result of a row around does; where there are no rows, anything does."""
    return not rows or any(in_line(cell.box, row.places["result"].box) for row in rows)


def _heading_of(cell: Cell, rows: Sequence[_Row]) -> str | None:
    """The field of which a row has its own value in the column that a cell stands in."""
    for key in ("specimen", "method"):
        own = [row.places[key].box for row in rows if key in row.places]
        if any(in_line(cell.box, box) for box in own):
            return key
    return None


def _is_sound(row: Mapping[str, str]) -> bool:
    """Whether nothing that is known of names and values speaks against a row."""
    name = row.get("name", "")
    odd = (
        name.startswith(("(", "["))
        or LEVEL.fullmatch(name)
        or is_finding(name)
        or moments(name)
        or is_other_title(name)
        or _VALUE_LABEL.fullmatch(name)
        or is_open([Cell(name, _NOWHERE)])
        or sum(map(str.isalpha, name)) < 2
    )
    return "result" in row and not odd and not any(misplaced(dict(row))) and not contradiction(row)


def _placed(row: dict[str, PageEvidence], lines: Sequence[Sequence[Cell]], rows: Sequence[_Row]) -> Added:
    """A row with where it belongs, and what holds for it as for the row above it, or below."""
    box = row["name"].box
    middle = (box[1] + box[3]) / 2
    beside = [one for one in rows if abs(one.places["name"].box[0] - box[0]) < _NEAR] or list(rows)
    above = max((one for one in beside if one.middle < middle), key=lambda one: one.middle, default=None)
    below = min((one for one in beside if one.middle > middle), key=lambda one: one.middle, default=None)

    def parted(other: _Row) -> bool:
        """Whether a line that may be a heading stands between the two."""
        low, high = sorted((middle, other.middle))
        return any(
            len(cells) == 1 and cells[0].is_name and low < (cells[0].box[1] + cells[0].box[3]) / 2 < high
            for cells in lines
        )

    near = next((one for one in (above, below) if one and not parted(one)), None)
    at = above.path if above else below.path if below else None
    return Added(at, bool(above), near.path if near else None, row)


def _below(row: _Row, lines: Sequence[Sequence[Cell]], rows: Sequence[_Row], taken: Collection[Box]) -> list[Cell]:
    """Unread ranges right below a result, as cards have them, that stand below no other."""
    name, value = row.places["name"].box, row.places["result"].box
    x0, x1, step = min(name[0], value[0]), max(name[2], value[2]), 2 * (value[3] - value[1])
    found = []
    for cell in (cell for cells in lines for cell in cells if cell.is_range):
        under = 0 < cell.box[1] - value[1] < step and cell.box[0] < x1 and cell.box[2] > x0
        free = not any(overlap(cell.box, box) > 0 for box in taken)
        nearer = any(
            value[1] + 1 < other.places["name"].box[1] <= cell.box[1] + 1
            for other in rows
            if other is not row and other.places["name"].box[0] < x1 and other.places["result"].box[2] > x0
        )
        if under and free and not nearer:
            found.append(cell)
    return found


def measures(
    document: Document, data: Mapping[str, Any], evidence: Mapping[Path, PageEvidence]
) -> dict[Path, PageEvidence]:
    """Units and ranges of rows that have none which is printed, where their line has one cell of that kind left, in the
    column of another row's ones, or for a unit right behind the result, for a range right below it.

    Args:
        document: without what is not a result.
        data: the record; only rows that are in it are looked at.
        evidence: where its values stand.
    """
    rows = _rows_of({path: place for path, place in evidence.items() if path[0] in data})
    found: dict[Path, PageEvidence] = {}
    for page in document.pages:
        own = [row for row in rows if row.places["result"].page == row.places["name"].page == page.number]
        lines = [list(cells_of(page, line)) for line in gather_rows(page.words)] if own else []
        taken = [place.box for place in evidence.values() if place.page == page.number]
        for row in own:
            _, top, right, bottom = row.places["result"].box
            beside = [
                cell
                for cells in lines
                for cell in cells
                if top <= (cell.box[1] + cell.box[3]) / 2 <= bottom and cell.box[0] >= row.places["name"].box[2]
            ]
            following = min((c for c in beside if c.box[0] >= right), key=lambda c: c.box[0], default=None)
            free = [cell for cell in beside if not any(overlap(cell.box, box) > 0 for box in taken)]
            for field in ("unit", "range"):
                fits = [cell for cell in free if (cell.is_range if field == "range" else cell.qualifies)]
                fits = [cell for cell in fits if field == "range" or not (cell.is_range or cell.text in ("H", "L"))]
                column = [other.places[field].box for other in own if other is not row and field in other.places]
                near = [c for c in fits if any(in_line(c.box, box) for box in column)]
                near = near or [c for c in fits if field == "unit" and c is following]
                near = near or [c for c in _below(row, lines, own, taken) if field == "range"]
                if field not in row.places and len(near) == 1:
                    found[(*row.path, field)] = _place(page, near[0], 0, len(near[0].text))
    return found
