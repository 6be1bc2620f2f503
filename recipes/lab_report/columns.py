"""Columns that say more than one value a row, shown so that a row has one: a column a date, a lower and an upper limit.

A small model reads a table with one column of results. A cumulative report has a column for each day, with the day as
its title: it is shown as often as it has such columns, each time with one of them, and a value that is read from a
column is of its day. Limits in two columns ("Low", "High") are shown as one range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from extraction.checks import Given, MissedLine, Sheet
from extraction.document import Document, Page, Word
from extraction.document.rows import gather_rows
from extraction.document.windows import Moved
from extraction.evidence import PageEvidence
from extraction.record.days import date_order
from extraction.values.dates import DateOrder, Moment, moments
from extraction.values.signs import PLAIN
from recipes.lab_report.lines import (
    Cell,
    cells_of,
    is_result_title,
    names_columns,
    names_day,
    rows_like_results,
    touch,
)

_CLOCK = re.compile(r"([01]?\d|2[0-3])[:hH]([0-5]\d)(?::([0-5]\d))?")
_LOW = re.compile(
    r"(?:\w+\.? )?(?:low(?:er)?|min(?:imum)?|from|unter\w*|von|inf\w*|ondergrens|laag|van|de|du|desde|da|bas)\b.*",
    re.IGNORECASE,
)
_HIGH = re.compile(
    r"(?:\w+\.? )?(?:high|upper|max(?:imum)?|to|ober\w*|bis|sup\w*|bovengrens|hoog|tot|à|au|hasta|a|haut)\b.*",
    re.IGNORECASE,
)
"""Titles of the lower and the upper limit in the commonest languages."""
_LIMIT = re.compile(r"\d+(?:[.,]\d+)*")
_NONE = re.compile(r"[-–—*./]*")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Line:
    """A line of a table, under the titles of days: its cells by the number of the column, and those of none."""

    cells: tuple[Cell, ...]
    under: Mapping[int, list[Cell]]


@dataclass(frozen=True)
class DayTable:
    """A table whose columns of values have days for titles.

    Attributes:
        page: from 1.
        titles: the cells with the days, from left to right; what their lines say is `times`.
        heads: all cells of the titles' lines.
        lines: the lines below with a name and a value for at least one of the days.
        bottom: where the last line of its last row ends.
    """

    page: int
    titles: tuple[Cell, ...]
    times: tuple[str, ...]
    heads: tuple[Cell, ...]
    lines: tuple[_Line, ...]
    bottom: float

    @property
    def band(self) -> tuple[float, float]:
        """The heights on the page at which the table begins and ends."""
        return min(head.box[1] for head in self.heads), self.bottom

    def given(self, column: int) -> Given:
        """What holds for the values of a column: the day of its title."""
        title = self.titles[column]
        boxes = [title.box, *(cell.box for line in self.lines for cell in line.under.get(column, ()))]
        box = min(b[0] for b in boxes), title.box[3], max(b[2] for b in boxes), max(b[3] for b in boxes)
        place = PageEvidence(title.text, page=self.page, box=title.box)
        return Given(self.page, box, "sample_collection_time", self.times[column], place)

    def values(self) -> Iterator[MissedLine]:
        """Every value of every day, with the line's name, its day and itself as text."""
        for line in self.lines:
            for column, cells in line.under.items():
                value = next((cell for cell in cells if cell.is_value), cells[0])
                text = "  ".join((line.cells[0].text, self.titles[column].text, value.text))
                yield MissedLine(self.page, value.box, text)


def day_tables(document: Document) -> list[DayTable]:
    """Tables with a column a day: a line with two days or more and no title of results, below it names with values.

    Two lines must have a name on the left of all days, and one of them values under two days; one line is enough where
    a title of units or ranges stands beside the days. The days are all different, side by side and in order, unlike
    those of a patient's data.
    """
    found = []
    for page in document.pages:
        rows = gather_rows(page.words) if page.words else []
        lines = [_days_apart(page, cells) for row in rows if (cells := list(cells_of(page, row)))]
        starts = [number for number, cells in enumerate(lines) if _days(cells)]
        for start in starts:
            titles = _days(lines[start])
            stop = next((n for n in range(start + 1, len(lines)) if n in starts or _titled(lines[n])), len(lines))
            clocks = _clocks(lines[start + 1], titles) if start + 1 < stop else {}
            heads = [*lines[start], *(lines[start + 1] if clocks else ())]
            below = lines[start + 1 + bool(clocks) : stop]
            told = [(n, line) for n, cells in enumerate(below) if (line := _under(cells, lines[start], titles))]
            enough = len(told) > 1 or (told and names_day("  ".join(cell.text for cell in lines[start])))
            if enough and _of_values([list(line.under.values()) for _, line in told]):
                times = _times([title.text for title in titles], clocks, document)
                bottom = _row_end(below[told[-1][0] :])
                found.append(
                    DayTable(page.number, tuple(titles), times, tuple(heads), tuple(line for _, line in told), bottom)
                )
    return found


def _days_apart(page: Page, cells: list[Cell]) -> list[Cell]:
    """The cells of a line; of several days, those a blank apart are cells of their own."""
    if sum(len(moments(cell.text)) for cell in cells) < 2:
        return cells
    parted = []
    for cell in cells:
        text, ends = "", []
        for index in cell.words:
            text += page.words[index].text.translate(PLAIN) + " "
            ends.append(len(text) - 1)
        days = moments(text)
        # The day a word is of, and None for words between days.
        of = [next((n for n, day in enumerate(days) if day.start < end <= day.end), None) for end in ends]
        groups = [
            [index for _, index in group]
            for _, group in groupby(zip(of, cell.words, strict=True), key=lambda pair: pair[0])
        ]
        parted += [_cell(page, words) for words in groups] if len(groups) > 1 else [cell]
    return parted


def _cell(page: Page, words: Sequence[int]) -> Cell:
    boxes = [page.words[index].box for index in words]
    text = " ".join(page.words[index].text for index in words).translate(PLAIN)
    box = min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
    return Cell(text, box, tuple(words))


def _row_end(lines: Sequence[Sequence[Cell]]) -> float:
    """Where a row ends that begins on the first of these lines: its method or range may go on close below."""
    tops, bottoms = ([edge(cell.box[n] for cell in cells) for cells in lines] for n, edge in ((1, min), (3, max)))
    height = bottoms[0] - tops[0]
    last = next((n for n in range(1, len(lines)) if tops[n] - bottoms[n - 1] > height / 2), len(lines)) - 1
    return bottoms[last]


def day_sheets(document: Document) -> list[Sheet]:
    """A document with a table of days as often as it has days, each time with one of them; otherwise as it is.

    The first time all else is shown too; then only what stands above a table and is no result, and the table.
    """
    tables = day_tables(document)
    if not tables:
        return [Sheet(document)]
    results = rows_like_results(document)
    sheets = []
    for number in range(max(len(table.titles) for table in tables)):
        pages: list[Page] = []
        moved: list[Moved] = []
        for page in document.pages:
            own = [table for table in tables if table.page == page.number]
            hidden = {word for table in own for word in _other_days(table, number)}
            if number:
                hidden |= _elsewhere(page, own, number, [line for line in results if line.page == page.number])
            kept = [word for index, word in enumerate(page.words) if index not in hidden]
            for table in own:
                if number < len(table.titles):
                    kept, parts = _day_first(replace(page, words=kept), table, number)
                    moved += parts
            pages.append(replace(page, words=kept) if hidden or own else page)
        given = tuple(table.given(number) for table in tables if number < len(table.titles))
        sheets.append(Sheet(replace(document, pages=pages), given, tuple(moved)))
    return sheets


def _day_first(page: Page, table: DayTable, number: int) -> tuple[list[Word], list[Moved]]:
    """A page's words with the column of a day in front of those between it and the names, and what was moved.

    A small model takes what stands right behind the names for the results. A line that runs across the columns, such
    as a comment, stays as it is.
    """
    x0, _, x1, _ = table.given(number).box
    behind_names = min(cell.box[0] for line in table.lines for cell in line.cells[1:])
    top, bottom = table.band

    def column(box: Box) -> int | None:
        """0 of names, 1 between them and the day, 2 the day, 3 what is behind."""
        if box[2] <= x0:
            return int(box[0] >= behind_names)
        return 3 if box[0] >= x1 else 2 if x0 - 0.1 <= box[0] and box[2] <= x1 + 0.1 else None

    rows = [row for row in gather_rows(page.words) if top - 1 < row.middle < bottom + 1] if page.words else []
    found = [[(cell, column(cell.box)) for cell in cells_of(page, row)] for row in rows]
    apart = [pair for line in found if all(at is not None for _, at in line) for pair in line]
    between = [cell.box for cell, at in apart if at == 1]
    words, parts = list(page.words), []
    if between:
        steps = {1: x1 - max(box[2] for box in between), 2: min(box[0] for box in between) - x0}
        for cell, step in ((cell, steps[at]) for cell, at in apart if at in steps):
            for index in cell.words:
                words[index] = replace(words[index], box=_aside(words[index].box, step))
            parts.append(Moved(page.number, _aside(cell.box, step), step))
    return words, parts


def _aside(box: Box, step: float) -> Box:
    return box[0] + step, box[1], box[2] + step, box[3]


def _days(cells: Sequence[Cell]) -> list[Cell]:
    """The days that are titles of a line: two or more side by side, in order.

    There are neither labels nor a title of results with them; a day that stands apart is of earlier results.
    """
    days = [cell for cell in cells if _day(cell.text)]
    others = [cell for cell in cells if cell not in days]
    if any(":" in cell.text or cell.is_value or is_result_title(cell.text) for cell in others):
        return []
    times = [(found.day, found.clock or (0, 0, 0)) for cell in days if (found := _day(cell.text))]
    in_order = sorted(times) in (times, times[::-1]) and len({*times}) == len(times) > 1
    start = cells.index(days[0]) if in_order else 0
    return days if in_order and list(cells[start : start + len(days)]) == days else []


def _day(text: str) -> Moment | None:
    """The day that a title is, but for a short word for the time below it ("2021-09-30 kl.")."""
    found = moments(text)
    rest = text[: found[0].start] + text[found[0].end :] if len(found) == 1 else text
    return found[0] if len(found) == 1 and len(re.sub(r"\W", "", rest)) < 4 and not re.search(r"\d", rest) else None


def _of_values(rows: Sequence[Sequence[Sequence[Cell]]]) -> bool:
    """Whether a line has values under two days, and of all that stands under days two of three are values."""
    told = [[any(cell.is_value and not cell.is_range for cell in cells) for cells in row] for row in rows]
    return any(sum(row) > 1 for row in told) and 3 * sum(map(sum, told)) >= 2 * sum(map(len, told))


def _titled(cells: Sequence[Cell]) -> bool:
    return names_columns("  ".join(cell.text for cell in cells))


def _clocks(cells: Sequence[Cell], titles: Sequence[Cell]) -> dict[int, str]:
    """The times of day below days, by the number of the day, where a line has nothing else."""
    if not all(_CLOCK.fullmatch(cell.text) for cell in cells):
        return {}
    own = {n: cell.text for n, title in enumerate(titles) for cell in cells if touch(cell, title)}
    return own if len(own) == len(cells) else {}


def _under(cells: Sequence[Cell], heads: Sequence[Cell], titles: Sequence[Cell]) -> _Line | None:
    """A line with a name left of all days and something under one of them; None for any other."""
    if len(cells) < 2 or not cells[0].is_name or cells[0].box[2] > titles[0].box[0] or ":" in cells[0].text:
        return None
    under: dict[int, list[Cell]] = {}
    for cell in cells[1:]:
        touched = [head for head in heads if touch(cell, head)]
        # A flag behind a value stands under no title: it is of the column that begins last before it.
        before = [head for head in heads if head.box[0] <= cell.box[0]]
        head = touched[0] if len(touched) == 1 else before[-1] if before and not touched else None
        if head in titles and not _NONE.fullmatch(cell.text):
            under.setdefault(titles.index(head), []).append(cell)
    return _Line(tuple(cells), under) if any(map(_has_value, under.values())) else None


def _has_value(cells: Sequence[Cell]) -> bool:
    return any(any(map(str.isalnum, cell.text)) for cell in cells)


def _other_days(table: DayTable, number: int) -> Iterator[int]:
    """The words of a table that are of other days, and of lines that have nothing for this one."""
    for column, title in enumerate(table.titles):
        if column != number:
            yield from title.words
            yield from (w for head in table.heads if head not in table.titles and touch(head, title)
                        for w in head.words)  # fmt: skip
    for line in table.lines:
        for column, cells in line.under.items():
            if column != number:
                yield from (word for cell in cells for word in cell.words)
        if number not in line.under:
            yield from (word for cell in line.cells for word in cell.words)


def _elsewhere(page: Page, tables: Sequence[DayTable], number: int, results: Sequence[MissedLine]) -> set[int]:
    """The words of a page that are of no table with so many days, nor above one without being a result."""
    tables = [table for table in tables if number < len(table.titles)]
    hidden: set[int] = set()
    first = min((table.titles[0].box[1] for table in tables), default=0.0)
    bands = [table.band for table in tables]
    for row in gather_rows(page.words) if page.words else ():
        in_table = any(top <= row.middle <= bottom for top, bottom in bands)
        result = any(line.box[1] <= row.middle <= line.box[3] for line in results)
        if not in_table and (result or row.middle > first):
            hidden.update(row.words)
    return hidden


def written_day(text: str, document: Document) -> str | None:
    """A printed day as the contract writes it (DD-MM-YYYY HH:MM:SS); None where the document leaves two days."""
    [time] = _times((text,), {}, document)
    return time if time != text or re.fullmatch(r"\d\d-\d\d-\d{4}(?: .*)?", text) else None


def _times(titles: Sequence[str], clocks: Mapping[int, str], document: Document) -> tuple[str, ...]:
    """Days as the contract writes them (DD-MM-YYYY HH:MM:SS), read in the one order in which all of them, or else all
    days of the document, are days, or that its language has; as printed where that leaves two.
    """
    days = [found for title in titles if (found := _day(title))]
    orders: list[DateOrder] = ["DMY", "MDY", "YMD"]
    known = [order for order in orders if all(order in day.readings for day in days)]
    if len({tuple(day.readings[order] for day in days) for order in known}) > 1:
        texts = (" ".join(word.text for word in page.words) for page in document.pages)
        every = [found for text in texts for found in moments(text)]
        known = [order for order in known if all(order in day.readings for day in every)]
        order = date_order(document)
        known = [order] if order in known else known
    if len({tuple(day.readings[order] for day in days) for order in known}) != 1:
        return tuple(titles)
    return tuple(_written(day, known[0], clocks.get(number)) for number, day in enumerate(days))


def _written(day: Moment, order: DateOrder, clock: str | None) -> str:
    year, month, date = day.readings[order]
    time = day.clock
    if match := _CLOCK.fullmatch(clock or ""):
        time = int(match[1]), int(match[2]), int(match[3] or 0)
    text = f"{date:02}-{month:02}-{year:04}"
    return text + (f" {time[0]:02}:{time[1]:02}:{time[2]:02}" if time else "")


def with_joined_limits(document: Document) -> Document:
    """The document with limits that stand in two columns, lower and upper, as one range.

    Both limits become `lower - upper`, the dash filling the space between them; one alone `>= lower` or `<= upper`,
    where the sign takes half of the number's place. So each range still stands where its limits do.
    """
    pages = []
    for page in document.pages:
        changed: dict[int, list[Word]] = {}
        limits: tuple[Cell, Cell] | None = None
        heads: list[Cell] = []
        for row in gather_rows(page.words) if page.words else ():
            cells = list(cells_of(page, row))
            pairs = [(a, b) for a, b in pairwise(cells) if _LOW.fullmatch(a.text) and _HIGH.fullmatch(b.text)]
            # The title of the results may stand on two lines, or a blank before that of the limits.
            titles = len(cells) > 2 and not any(char.isdigit() or char == ":" for cell in cells for char in cell.text)
            named = any(is_result_title(cell.text) for cell in cells)
            if (pairs and (titles or named)) or (named and _titled(cells)):
                limits, heads = (pairs[0] if len(pairs) == 1 else None), cells
                if limits:
                    changed.update(_beside(page, *limits))
                continue
            if limits and len(cells) > 2:
                changed.update(_range(page, cells, heads, limits))
        words = [new for index, word in enumerate(page.words) for new in changed.get(index, [word])]
        pages.append(replace(page, words=words) if changed else page)
    return replace(document, pages=pages)


def _beside(page: Page, low: Cell, high: Cell) -> dict[int, list[Word]]:
    """Two titles as one."""
    left, right = page.words[low.words[-1]], page.words[high.words[0]]
    dash = Word("-", (left.box[2], left.box[1], right.box[0], left.box[3]), min(left.score, right.score))
    return {low.words[-1]: [left, dash]}


def _range(
    page: Page, cells: Sequence[Cell], heads: Sequence[Cell], limits: tuple[Cell, Cell]
) -> dict[int, list[Word]]:
    """The words of a line's limits as those of one range, by the numbers of the words in whose place they stand."""
    own = [[c for c in cells if [head for head in heads if touch(c, head)] == [title]] for title in limits]
    if any(len(found) > 1 or any(len(cell.words) > 1 for cell in found) for found in own):
        return {}
    low, high = (page.words[found[0].words[0]] if found else None for found in own)
    numbers = [_is_limit(word) for word in (low, high)]
    if all(numbers) and low and high:
        dash = Word("-", (low.box[2], low.box[1], high.box[0], low.box[3]), min(low.score, high.score))
        return {own[0][0].words[0]: [low, dash]}
    if not any(numbers) or any(word and not _NONE.fullmatch(word.text) for word in (low, high) if not _is_limit(word)):
        return {}
    word, sign = (low, ">=") if numbers[0] else (high, "<=")
    assert word is not None
    x0, y0, x1, y1 = word.box
    halves = [Word(sign, (x0, y0, (x0 + x1) / 2, y1), word.score), replace(word, box=((x0 + x1) / 2, y0, x1, y1))]
    changed: dict[int, list[Word]] = {found[0].words[0]: [] for found in own if found}
    return changed | {own[not numbers[0]][0].words[0]: halves}


def _is_limit(word: Word | None) -> bool:
    return word is not None and bool(_LIMIT.fullmatch(word.text))
