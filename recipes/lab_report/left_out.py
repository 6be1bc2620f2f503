"""What of a report is in no row: lines that look like results, columns of values beside results, units and ranges of
results.

A line looks like a result by the shapes of its cells (`lines.py`), as a value of a day (`columns.py`), or because it
stands as results do that were read (`alike.py`). The last is for tables and cards, whatever the laboratory; reports
without columns have nothing to compare with.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from extraction.checks import MissedLine, Path
from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from extraction.record.record import Issue
from extraction.schema import pointer
from extraction.values.dates import moment, moments
from recipes.lab_report.alike import cards_alike, lines_alike, text_of
from recipes.lab_report.beside import in_line
from recipes.lab_report.columns import day_tables
from recipes.lab_report.kinds import is_stage
from recipes.lab_report.lines import (
    Cell,
    Titles,
    cells_of,
    is_finding,
    is_other_title,
    rows_like_results,
)

if TYPE_CHECKING:
    from extraction.contract import Contract

Box = tuple[float, float, float, float]

_RANGES = 3  # lines with a range, of which nothing was read
_IN_BRACKETS = re.compile(r"[(\[](?:[<>]=? ?\d|\d[\d.,]* ?- ?\d)[^()]*[)\]]")  # a range
_CODE = re.compile(r"0\d{1,2}|\d{5,}")  # of a laboratory, of a test


def lines_left_out(
    document: Document, data: Any, evidence: Mapping[Path, PageEvidence], contract: Contract
) -> list[MissedLine]:
    """Lines that look like results although no row's own name and value in `evidence` were read from them.

    A row tells of the line that its value stands on, and of no other: not of a table beside it at the same height,
    nor of the line that gave it a heading or a time. A row without a value tells of the line of its name.
    """
    names, values = (contract.fields(role) for role in ("name", "value"))
    rows = _by_row({path: place for path, place in evidence.items() if path[-1] not in contract.headings})
    read = [place for row in rows.values() for key, place in row.items() if key in values]
    # What must be at a line's height, and from where to where.
    lines: list[tuple[list[PageEvidence], float, float]] = []
    for path, row in rows.items():
        own = [row[key] for key in (*names, *values) if key in row]
        if own and (any(key in row for key in values) or not _has(data, path, values)):
            lines.append((own, min(p.box[0] for p in row.values()), max(p.box[2] for p in row.values())))

    def at(place: PageEvidence, line: MissedLine) -> bool:
        return place.page == line.page and place.box[1] <= (line.box[1] + line.box[3]) / 2 <= place.box[3]

    def is_read(line: MissedLine) -> bool:
        x0, _, x1, _ = line.box
        return any(at(own, line) and own.box[0] < x1 and own.box[2] > x0 for own in read) or any(
            all(at(one, line) for one in own) and left < x1 and right > x0 for own, left, right in lines
        )

    days = [value for table in day_tables(document) for value in table.values()]
    under = {(line.page, line.box) for line in days}
    titles = Titles(document, two_lines=True)
    looks = [line for line in rows_like_results(document) if (line.page, line.box) not in under]
    looks = [line for line in looks if not titles.earlier(line.page, line.box)]
    told = [line for line in looks if not is_read(line) and not _is_of_others(document, line, evidence.values())]
    pairs = [
        (row[name], row[value])
        for row in rows.values()
        for name in names
        for value in values
        if {name, value} <= {*row}
    ]
    heights = {(line.page, line.box[1]) for line in (*looks, *days)}
    panels = [place for path, place in evidence.items() if path[-1] == "panel"]
    alike = lines_alike(document, pairs, [p for p in evidence.values() if p not in panels], panels)
    told += [line for line in alike if (line.page, line.box[1]) not in heights]
    known = {(line.page, line.box) for line in told}
    cards = cards_alike(document, pairs, list(evidence.values()))
    told += [line for line in cards if (line.page, line.box) not in known]
    return told + [line for line in days if not any(at(p, line) and overlap(p.box, line.box) > 0 for p in read)]


def _is_of_others(document: Document, line: MissedLine, places: Collection[PageEvidence]) -> bool:
    """Whether a line begins as those of a grid of stages do, or is that of the ranges of a table whose tests stand side
    by side, and all of them were read.
    """
    first, _, rest = line.text.partition("  ")
    if is_stage(first) or not is_other_title(first) or len(rest.split("  ")) < 2:
        return is_stage(first)
    page = next(page for page in document.pages if page.number == line.page)
    own = [place.box for place in places if place.page == line.page]
    numbers = [
        word.box
        for word in page.words
        if line.box[1] < (word.box[1] + word.box[3]) / 2 < line.box[3] and any(map(str.isdigit, word.text))
    ]
    return all(any(overlap(box, one) > 0 for one in own) for box in numbers)


def _by_row(evidence: Mapping[Path, PageEvidence]) -> dict[Path, dict[Any, PageEvidence]]:
    """Places of values by the paths of their rows, then by their keys."""
    rows: dict[Path, dict[Any, PageEvidence]] = {}
    for path, place in evidence.items():
        rows.setdefault(path[:-1], {})[path[-1]] = place
    return rows


def _has(data: Any, path: Path, keys: Collection[str]) -> bool:
    """Whether the row at a path has a value for one of the keys; what was set aside is at no path."""
    try:
        for step in path:
            data = data[step]
    except (KeyError, IndexError, TypeError):
        return False
    return any(data.get(key) is not None for key in keys)


def nothing_read(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """An issue where no result was read of a document that has several ranges or measures, each on a line of its own,
    or a whole word for a finding in a cell of its own or behind a colon.

    For reports whose lines no shape of cells tells: letters from right to left with units between name and value, say,
    or serology in prose. A page without results, a request or a letter, has none.
    """
    if any(path[-1] in ("name", "result") for path in evidence):
        return
    for page in document.pages:
        lines = [list(cells_of(page, line)) for line in gather_rows(page.words)] if page.words else []
        ranges = [
            cells
            for cells in lines
            if any(cell.is_range or cell.has_unit or _IN_BRACKETS.search(cell.text) for cell in cells)
            and not any(moments(cell.text) for cell in cells)
        ]
        findings = [cells for cells in lines if len(cells) < 3 and is_finding(text_of(cells).rpartition(": ")[2])]
        findings += [cells for cells in lines if len(cells) == 2 and is_finding(cells[1].text)]
        for told, what in ((ranges if len(ranges) >= _RANGES else [], "a range or a unit"), (findings, "a finding")):
            if told:
                count = f"{len(told)} lines have" if len(told) > 1 else "a line has"
                message = f"No result was read, and {count} {what}, such as: {text_of(told[0])}"
                yield Issue("row_left_out", message, page=page.number)
                break


def columns_left_out(document: Document, evidence: Mapping[Path, PageEvidence], titles: Titles) -> Iterator[Issue]:
    """Numbers beside the results of two rows or more, in one column, that are in no row: limits, other days, units.

    What stands under the title of earlier results is left out on purpose; numbers of a row's range are its own.
    """
    rows = _by_row(evidence)
    named = [row for row in rows.values() if "name" in row and "result" in row]
    left: list[tuple[int, Cell]] = []
    for page in document.pages:
        own = [row for row in named if row["result"].page == page.number]
        places = [(key, one.box) for row in rows.values() for key, one in row.items() if one.page == page.number]
        for line in gather_rows(page.words) if own else ():
            beside = [row for row in own if row["result"].box[1] <= line.middle <= row["result"].box[3]]
            if not beside:
                continue
            start = min(row["name"].box[0] for row in beside)
            told = {text for row in beside if "range" in row for text in re.findall(r"[\d.,]*\d", row["range"].text)}
            for cell in _free(page, cells_of(page, line), places):
                number = any(map(str.isdigit, cell.text)) and cell.is_value and not cell.is_range
                number = number and not moment(cell.text) and cell.box[0] > start
                if number and cell.text not in told and not titles.earlier(page.number, cell.box):
                    left.append((page.number, cell))
    while left:
        page_number, first = left[0]
        same = [
            one
            for one in left
            if one[0] == page_number and one[1].box[0] < first.box[2] and one[1].box[2] > first.box[0]
        ]
        left = [one for one in left if one not in same]
        numbers = [cell.text for _, cell in same]
        counted = numbers == [str(number) for number in range(1, len(numbers) + 1)]  # lines, or footnotes
        coded = all(_CODE.fullmatch(number) for number in numbers) and len({*map(len, numbers)}) == 1
        if len(same) > 1 and not counted and not coded:
            texts = ", ".join(numbers[:5]) + (" and others" if len(numbers) > 5 else "")
            yield Issue("column_left_out", f"A second column of values is in no row: {texts}.", page=page_number)


def _free(page: Page, cells: Iterable[Cell], places: Collection[tuple[Any, Box]]) -> Iterator[Cell]:
    """The cells in which nothing was read, and what is left of those with a result or a unit in them: OCR may take two
    columns for one cell.
    """
    for cell in cells:
        keys = {key for key, box in places if overlap(cell.box, box) > 0}
        if not keys:
            yield cell
        elif keys <= {"result", "unit"}:
            words = [n for n in cell.words if not any(overlap(page.words[n].box, box) > 0 for _, box in places)]
            if words:
                boxes = [page.words[n].box for n in words]
                box = (boxes[0][0], min(b[1] for b in boxes), boxes[-1][2], max(b[3] for b in boxes))
                yield Cell(" ".join(page.words[n].text for n in words), box, tuple(words))


def cells_left_out(
    document: Document, data: Any, evidence: Mapping[Path, PageEvidence], contract: Contract
) -> Iterator[Issue]:
    """Units and ranges on the line of a result that has none: beside it, or in the column of other results' ones.

    A model that reads "not done" for a result may leave out what stands beside it.
    """
    wanted = [key for key in ("unit", "range") if key in contract.roles]
    rows = _by_row(evidence)
    for page in document.pages:
        own = [
            (path, row, lacks)
            for path, row in rows.items()
            if {"name", "result"} <= {*row} and row["result"].page == page.number
            if (lacks := [key for key in wanted if key not in row and not _has(data, path, (key,))])
        ]
        cells = [cell for line in gather_rows(page.words) for cell in cells_of(page, line)] if own else []
        places = [(key, one.box) for row in rows.values() for key, one in row.items() if one.page == page.number]
        for path, row, lacks in own:
            _, top, right, bottom = row["result"].box
            beside = [cell for cell in cells if top <= (cell.box[1] + cell.box[3]) / 2 <= bottom]
            following = min((c for c in beside if c.box[0] >= right), key=lambda c: c.box[0], default=None)
            free = [cell for cell in beside if not any(overlap(cell.box, box) > 0 for _, box in places)]
            for key in lacks:
                column = [box for other, box in places if other == key]
                left = next((c for c in free if _is(key, c) and (c is following or _in_one(c, column))), None)
                if left:
                    message = f"“{left.text}” stands beside “{row['name'].text}” and is not in its row."
                    yield Issue("value_left_out", message, pointer((*path, key)), page=page.number)


def _is(key: str, cell: Cell) -> bool:
    return cell.is_range if key == "range" else cell.qualifies and not cell.is_range


def _in_one(cell: Cell, column: Sequence[Box]) -> bool:
    return any(in_line(cell.box, box) for box in column)
