"""What else stands in the cell of a result or of its unit, or beside a heading: a word before a number is no result, a
number before a unit is in the row, what has a range beside it is no heading. And what stands above: no result is under
a title of ranges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from extraction.checks import Path
from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from extraction.record.record import Issue
from extraction.schema import pointer
from extraction.values.dates import moments
from recipes.lab_report.lines import Cell, cells_of, is_other_title, is_result_title, names_columns, names_limits, touch
from recipes.lab_report.patterns import BLOCKS, LEVEL, METHOD_TITLE, PRICE_TITLE, UNIT_CELL

Box = tuple[float, float, float, float]

_EDGE = 0.5  # times a line's height: edges so far apart are in line
_SEVERAL = 3
_WORDS = 4  # of a result in words, the most
_HEADINGS = ("panel", "method", "specimen")
_LINE = 1.6  # times a line's height: the next line of one cell is no further down
_APART = 14.0  # points: names of one column begin so far apart at most
_AMOUNT = re.compile(r"(?<![\w.,/-])[<>≤≥]? ?\d[\d.,]*(?![\w/*^-])")
_ASIDE = re.compile(r"[(\[][^()\[\]]*[)\]]")


def in_line(one: Box, other: Box) -> bool:
    """Whether two boxes may stand in one column: their left edges, their right ones or their middles are in line."""
    near = _EDGE * (one[3] - one[1])
    return abs(one[0] - other[0]) < near or abs(one[2] - other[2]) < near or abs(sum(one[::2]) - sum(other[::2])) < near


def beside(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results that are a part of their cells ("changed" of "changed 8"), numbers that stand before a unit and are not
    its row's result ("B 70   38.6 %", read as 70), units that are words of a longer text, and headings with a unit, a
    range or a value beside them; methods and specimens are none where they do not begin as names do.

    Of a result without a figure its cell tells a number that is no other value, in no brackets, and no day. A panel's
    line tells a unit or a range in the column of those of results.
    """
    for page in document.pages:
        own = {path: place for path, place in evidence.items() if place.page == page.number}
        for row in gather_rows(page.words) if own else ():
            cells = list(cells_of(page, row))
            yield from _in_part(page, cells, own)
            yield from _labels(page, cells, own)
            yield from _label_read(page, cells, own)
            yield from _below(page, cells, own)
            yield from _measured_headings(page, cells, own)


def among_titles(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Names and results that stand on a line of titles of columns."""
    for page in document.pages:
        own = {p: one for p, one in evidence.items() if p[-1] in ("name", "result") and one.page == page.number}
        for row in gather_rows(page.words) if own else ():
            cells = list(cells_of(page, row))
            if not names_columns("  ".join(cell.text for cell in cells)):
                continue
            for path, place in own.items():
                if any(overlap(cell.box, place.box) > 0 for cell in cells):
                    yield Issue("misplaced", f"“{place.text}” is a title of a column.", pointer(path), page.number)


def beside_levels(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results that stand on a line which begins with a level ("Normal  < 5.7"), their own names being elsewhere."""
    for page in document.pages:
        own = {p: one for p, one in evidence.items() if p[-1] == "result" and one.page == page.number}
        for row in gather_rows(page.words) if own else ():
            first = next(cells_of(page, row), None)
            if (
                first is None
                or not LEVEL.fullmatch(first.text)
                or any(map(str.isdigit, first.text))  # "Normal range: 65 - 99" says its own limits
                or any(overlap(first.box, p.box) > 0 for p in own.values())
            ):
                continue
            for path, place in own.items():
                name = evidence.get((*path[:-1], "name"))
                on_line = row.y0 < (place.box[1] + place.box[3]) / 2 < row.y1 and place.box[0] > first.box[2]
                if on_line and name and not row.y0 < (name.box[1] + name.box[3]) / 2 < row.y1:
                    yield Issue(
                        "misplaced", f"“{place.text}” is what “{first.text}” means.", pointer(path), page.number
                    )


def names_elsewhere(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Names that stand right of where the others of their page begin, where in that column another name has no row.

    A specimen that is printed between a name and its result was taken for the name.
    """
    for page in document.pages:
        names = {p: one.box for p, one in evidence.items() if p[-1] == "name" and one.page == page.number}
        if len(names) <= _SEVERAL:
            continue
        lines = [list(cells_of(page, row)) for row in gather_rows(page.words)]
        for path, box in names.items():
            others = [other for at, other in names.items() if at != path]
            value = evidence.get((*path[:-1], "result"))
            if value is None or not box[1] < (value.box[1] + value.box[3]) / 2 < box[3]:
                continue  # of a card, whose name stands above its value
            if any(other[0] > box[0] - _APART for other in others):
                continue
            step = 2 * (box[3] - box[1])
            for cell in (cells[0] for cells in lines if cells):
                above = 0 <= box[1] - cell.box[1] < step and cell.is_name and cell.box[2] < box[2]
                begins = 5 * sum(abs(cell.box[0] - other[0]) < _APART for other in others) >= 4 * len(others)
                if above and begins and not any(overlap(cell.box, other) > 0 for other in others):
                    text = evidence[path].text
                    message = f"“{text}” stands in another column than the other names, beside “{cell.text}”."
                    yield Issue("misplaced", message, pointer(path), page.number)
                    break


def under_other_titles(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Names that stand under a title of specimens or methods alone, which is not the first of its line."""
    for page in document.pages:
        names = {p: one for p, one in evidence.items() if p[-1] == "name" and one.page == page.number}
        titles: Sequence[Cell] = ()
        for row in gather_rows(page.words) if names else ():
            cells = list(cells_of(page, row))
            if names_columns("  ".join(cell.text for cell in cells)):
                titles = cells
            for path, place in names.items():
                over = [title for title in titles if touch(title, Cell("", place.box))]
                if not row.y0 < (place.box[1] + place.box[3]) / 2 < row.y1 or len(over) != 1 or over[0] is titles[0]:
                    continue
                if BLOCKS["specimen"].fullmatch(over[0].text) or METHOD_TITLE.fullmatch(over[0].text):
                    message = f"“{place.text}” stands under “{over[0].text}”, and is no name of a result."
                    yield Issue("misplaced", message, pointer(path), page.number)


def among_prices(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results below two titles of prices and quantities, as invoices have them, and none of results."""
    for page in document.pages:
        results = {p: one for p, one in evidence.items() if p[-1] == "result" and one.page == page.number}
        titles: list[str] = []
        for row in gather_rows(page.words) if results else ():
            cells = list(cells_of(page, row))
            prices = [cell.text for cell in cells if PRICE_TITLE.fullmatch(cell.text)]
            if len(prices) > 1 or names_columns("  ".join(cell.text for cell in cells)):
                titles = prices
            for path, place in results.items():
                if len(titles) > 1 and row.y0 < (place.box[1] + place.box[3]) / 2 < row.y1:
                    message = f"“{place.text}” stands in a list of prices, under “{'”, “'.join(titles)}”."
                    yield Issue("misplaced", message, pointer(path), page.number)


def swapped(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results that stand under a title of ranges alone, their ranges under one of results."""
    for page in document.pages:
        own = {path: place for path, place in evidence.items() if place.page == page.number}
        results = {path: place for path, place in own.items() if path[-1] == "result" and (*path[:-1], "range") in own}
        titles: Sequence[Cell] = ()
        for row in gather_rows(page.words) if results else ():
            cells = list(cells_of(page, row))
            if names_columns("  ".join(cell.text for cell in cells)):
                titles = cells
            for path, place in results.items():
                if not row.y0 < (place.box[1] + place.box[3]) / 2 < row.y1:
                    continue
                limits = own[(*path[:-1], "range")]
                if limits.text.casefold() == place.text.casefold():
                    continue  # which of the two is which says nothing
                over, other = ([one.text for one in titles if touch(one, Cell("", p.box))] for p in (place, limits))
                if len(over) == len(other) == 1 and is_other_title(over[0]) and is_result_title(other[0]):
                    message = f"“{place.text}” stands under “{over[0]}”, and “{limits.text}” under “{other[0]}”."
                    yield Issue("misplaced", message, pointer(path), page.number)


def under_limits(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results that stand under a title of units or ranges, in a list whose titles name no results.

    Catalogues of tests and tables of what is normal are printed as results are. A title is believed where several
    results stand under it alone: other lines of words may look like titles.
    """
    for page in document.pages:
        results = {p: place for p, place in evidence.items() if p[-1] == "result" and place.page == page.number}
        titles: Sequence[Cell] = ()
        found: dict[str, list[tuple[Path, PageEvidence]]] = {}
        for row in gather_rows(page.words) if results else ():
            cells = list(cells_of(page, row))
            if names_columns("  ".join(cell.text for cell in cells)):
                titles = ()
            elif names_limits(cells):
                titles = cells
            for path, place in results.items():
                over = [one.text for one in titles if touch(one, Cell("", place.box))]
                if row.y0 < (place.box[1] + place.box[3]) / 2 < row.y1 and len(over) == 1 and is_other_title(over[0]):
                    found.setdefault(over[0], []).append((path, place))
        for title, under in found.items():
            for path, place in under if len(under) >= _SEVERAL else ():
                message = f"“{place.text}” stands under “{title}”, and beside it is no title of results."
                yield Issue("misplaced", message, pointer(path))


def _in_part(page: Page, cells: Sequence[Cell], own: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    for cell in cells:
        in_cell = [page.words[number] for number in cell.words]
        for path, place in own.items():
            result = own.get((*path[:-1], "result"))
            if path[-1] not in ("result", "unit") or result is None or overlap(cell.box, place.box) <= 0:
                continue
            of_unit = path[-1] == "unit"
            if not of_unit and (any(map(str.isdigit, place.text)) or moments(cell.text)):
                continue
            free = [word for word in in_cell if not any(overlap(word.box, one.box) > 0 for one in own.values())]
            texts = [word.text for word in free if not of_unit or word.box[0] < place.box[0]]
            left = _AMOUNT.search(_ASIDE.sub("", " ".join(texts)))
            words = [word.text for word in free if len(word.text) > 2 and word.text.isalpha()]
            if of_unit and words and not UNIT_CELL.fullmatch(place.text):
                message = f"“{place.text}” is only a part of what is printed, “{cell.text}”."
                yield Issue("misplaced", message, pointer(path), page.number)
            elif left and of_unit:
                message = f"“{left[0].strip()}” stands before the unit of “{result.text}” and is not in its row."
                yield Issue("value_left_out", message, pointer(path[:-1]), page.number)
            elif left:
                message = f"“{result.text}” is only a part of what is printed, “{cell.text}”."
                yield Issue("misplaced", message, pointer(path), page.number)


def _below(page: Page, cells: Sequence[Cell], own: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results in words that go on right below, in brackets or in small letters, where nothing was read."""
    for cell in cells[:1]:  # what stands behind a name is another row's
        goes_on = cell.text[0] in "([" or cell.text[0].islower()
        if not goes_on or cell.is_value or cell.qualifies or any(overlap(cell.box, p.box) > 0 for p in own.values()):
            continue
        for path, place in own.items():
            height = place.box[3] - place.box[1]
            under = 0 < cell.box[1] - place.box[1] < _LINE * height and abs(cell.box[0] - place.box[0]) < _EDGE * height
            if path[-1] == "result" and under and not any(map(str.isdigit, place.text)):
                message = f"“{place.text}” goes on below with “{cell.text}”."
                yield Issue("misplaced", message, pointer(path), page.number)


def _labels(page: Page, cells: Sequence[Cell], own: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Panels with something behind a colon that is no other value ("Colour: amber"): they are names of results."""
    for path, place in own.items():
        cell = next((cell for cell in cells if overlap(cell.box, place.box) > 0), None)
        if path[-1] != "panel" or cell is None:
            continue
        words = [page.words[number] for number in cell.words]
        behind = [word for word in words if word.box[0] > place.box[0] and overlap(word.box, place.box) <= 0]
        free = [word for word in behind if not any(overlap(word.box, one.box) > 0 for one in own.values())]
        text = cell.text.partition(":")[2].strip()
        if text and free and any(char.isalnum() for word in free for char in word.text):
            message = f"“{place.text}” has “{text}” behind it: it is the name of a result, not a heading."
            yield Issue("misplaced", message, pointer(path), page.number)


def _label_read(page: Page, cells: Sequence[Cell], own: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """Results in words with a colon right behind them: they are the name of what stands there."""
    for path, place in own.items():
        cell = next((cell for cell in cells if overlap(cell.box, place.box) > 0), None)
        if path[-1] != "result" or cell is None or any(map(str.isdigit, place.text)):
            continue
        if re.search(rf"{re.escape(place.text)} ?:", cell.text, re.IGNORECASE):
            message = f"“{place.text}” has a colon behind it: it is the name of a result."
            yield Issue("misplaced", message, pointer(path), page.number)


def _is_result(cell: Cell) -> bool:
    return (
        not is_result_title(cell.text)
        and ":" not in cell.text
        and not moments(cell.text)
        and len(cell.text.split()) <= _WORDS
    )


def _measured_headings(page: Page, cells: Sequence[Cell], own: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    if names_limits(cells) or names_columns("  ".join(cell.text for cell in cells)):
        return  # a panel may stand in the place of the first title
    columns = [place.box for path, place in own.items() if path[-1] in ("unit", "range")]
    results = [place.box for path, place in own.items() if path[-1] == "result"]
    names = [place.box for path, place in own.items() if path[-1] == "name"]
    read = [place.box for path, place in own.items() if path[-1] not in _HEADINGS]
    measures = [
        cell
        for cell in cells
        if (cell.qualifies and any(in_line(cell.box, box) for box in columns))
        # What stands in the column of the results is one: "GROUPE SANGUIN  A".
        or (_is_result(cell) and sum(in_line(cell.box, box) for box in results) > 1)
    ]
    measures = [cell for cell in measures if not any(overlap(cell.box, box) > 0 for box in read)]
    for path, place in own.items() if measures else ():
        if path[-1] not in _HEADINGS or (
            path[-1] != "panel" and not any(abs(place.box[0] - box[0]) < _APART for box in names)
        ):
            continue
        end = max((cell.box[2] for cell in cells if overlap(cell.box, place.box) > 0), default=page.width)
        told = next((cell for cell in measures if cell.box[0] >= end), None)
        # Methods stand side by side below the names of cards.
        if told and (path[-1] == "panel" or told.is_value or told.qualifies):
            message = f"“{place.text}” has “{told.text}” beside it: it is the name of a result, not a heading."
            yield Issue("misplaced", message, pointer(path), page.number)
