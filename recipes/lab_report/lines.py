"""Lines of a report that look like results or like the titles of their columns, by the shapes of their cells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from unicodedata import category

from extraction.checks import MissedLine
from extraction.document import Document, Page
from extraction.document.rows import TextRow, gather_rows
from extraction.evidence import PageEvidence
from extraction.values.dates import moment, moments
from extraction.values.signs import PLAIN, is_rtl
from recipes.lab_report.patterns import (
    AGE,
    BLOCKS,
    COLON,
    EARLIER_TITLE,
    FINDING_CELL,
    FLAG_CELL,
    LEGEND,
    LEVEL,
    LIMITS_TITLE,
    MEASURED_CELL,
    NO_LIMITS_TITLE,
    OTHER_TITLE,
    RANGE_CELL,
    RESULT_TITLE,
    UNIT_CELL,
    VALUE_CELL,
)

_DAY = re.compile(r"(?:19|20)\d\d")
_WIDE = 60.0  # points: values below a name begin at most so far to its right


@dataclass(frozen=True)
class Cell:
    """Words of a line that stand together, typographic signs made plain, and the box around them.

    `words` are their numbers on the page.
    """

    text: str
    box: tuple[float, float, float, float]
    words: tuple[int, ...] = ()

    @property
    def is_name(self) -> bool:
        """Words, no label of a form and no date."""
        letters = sum(map(str.isalpha, self.text))
        return (
            (letters > 1 or (letters == 1 and category(self.text[0]) == "Lo"))
            and 2 * letters > len(self.text)
            and self.text[-1] != ":"
            and not (self.is_value or self.qualifies)
        )

    @property
    def is_value(self) -> bool:
        """A number with what may stand beside it, or a word for a finding."""
        number = VALUE_CELL.fullmatch(self.text) and not AGE.fullmatch(self.text)
        return bool(number or FINDING_CELL.fullmatch(self.text))

    @property
    def has_unit(self) -> bool:
        """A value with its unit."""
        match = VALUE_CELL.fullmatch(self.text)
        return bool(match and match["unit"])

    @property
    def is_measured(self) -> bool:
        """A value with its range, and a unit between them if it has one."""
        return not self.is_range and bool(MEASURED_CELL.fullmatch(self.text))

    @property
    def qualifies(self) -> bool:
        """A unit or a range; "M" alone is a man."""
        return self.is_range or (self.text != "M" and bool(UNIT_CELL.fullmatch(self.text)))

    @property
    def is_range(self) -> bool:
        """Two ends, or one behind a comparator; numbers that fall ("210502-8357") are none."""
        ends = re.fullmatch(r"(\d+) ?- ?(\d+)", self.text)
        return bool(RANGE_CELL.fullmatch(self.text)) and not (ends and int(ends[1]) > int(ends[2]))

    @property
    def is_limit(self) -> bool:
        """A range, or a word for a finding, which may be what is normal."""
        return self.is_range or bool(FINDING_CELL.fullmatch(self.text))


def touch(one: Cell, other: Cell) -> bool:
    """Whether two cells stand one over the other, by any part of their widths."""
    return min(one.box[2], other.box[2]) > max(one.box[0], other.box[0])


def rows_like_results(document: Document) -> list[MissedLine]:
    """What looks like a result (with the box of its value) by the shapes of cells alone, from top to bottom.

    A name, then a value (a number with comparator and flag, or a word for a finding), then a unit or a range;
    `name: value unit (range)` in one cell; or a value with unit or range below a name. Lines with a date, and
    numbers without unit and range, are left out: what is returned is rather too little than too much.
    """
    found: list[MissedLine] = []
    titles: Sequence[Cell] = ()
    for page in document.pages:
        above: list[list[Cell]] = []
        lines = [list(cells_of(page, row)) for row in gather_rows(page.words)] if page.words else []
        leading = sum(any(is_rtl(cell.text) for cell in cells) for cells in lines) > len(lines) / 2
        for cells in lines:
            text = "  ".join(cell.text for cell in cells)
            if names_limits(cells) or names_columns(text):
                titles = cells
            # Days of samples and of earlier results tell nothing; in languages from right to left names stand right.
            told = [] if _is_dated_form(cells) else [cell for cell in cells if not moments(cell.text)]
            values = list(_values(told, above, titles))
            if leading and not values:
                values = list(_values(told[::-1], above, titles))
            found += [MissedLine(page.number, cell.box, text) for cell in values]
            above = [told, *above[:1]]
    return found


def _is_dated_form(cells: Sequence[Cell]) -> bool:
    """Whether a line has a day with a label, as the lines of a patient's data have."""
    for number, cell in enumerate(cells):
        for day in moments(cell.text):
            rest = cell.text[: day.start] + cell.text[day.end :]
            if any(map(str.isalpha, rest)) or (number and cells[number - 1].text.endswith(":")):
                return True
    return False


def names_limits(cells: Sequence[Cell]) -> bool:
    """Whether a line is the titles of a list of what is normal: one of them for units or ranges, none for results."""
    if len(cells) < 2 or any(char.isdigit() or char == ":" for cell in cells for char in cell.text):
        return False
    short = all(len(cell.text.split()) < 4 for cell in cells)
    titles = [cell for cell in cells[1:] if not re.fullmatch(r"norm(?:al\w*|aal)?", cell.text, re.IGNORECASE)]
    return short and any(OTHER_TITLE.search(cell.text) for cell in titles)


def _is_of_limits(cell: Cell, titles: Sequence[Cell]) -> bool:
    """Whether what may be a range stands under titles of units and ranges alone."""
    over = [one.text for one in titles if touch(one, cell)]
    return cell.is_limit and bool(over) and all(map(is_other_title, over))


def is_other_title(title: str) -> bool:
    """Whether a title names a column of units or ranges; one of results and others ("Result Unit") does not."""
    limits = LIMITS_TITLE.search(title) and not NO_LIMITS_TITLE.search(title)
    return bool(limits or (OTHER_TITLE.search(title) and not RESULT_TITLE.search(title)))


def is_finding(text: str) -> bool:
    """Whether a text is a whole word for a finding, such as stands in the legend of a range ("Positive  > 0.54").

    The beginnings of `WORD` do not say it: they are those of names too ("Posaconazole", "Reaktion").
    """
    return bool(LEGEND.fullmatch(text.strip()))


def names_columns(line: str) -> bool:
    """Whether a laid-out line looks like the titles of a table of results: one of them for the result, one for units or
    ranges, no colon, and no digits but those of dates.
    """
    for day in reversed(moments(line)):
        line = line[: day.start] + line[day.end :]
    line = re.sub(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}", "", line)
    # Of a day in words the year may stand on the next line: "Vorwert 29. März".
    line = re.sub(r"(?<=\w) \d{1,2}\.? [^\W\d_]{3,}\.?(?=\s{2,}|$)", "", line)
    titles = re.split(r"\s{2,}", line.strip())
    if len(titles) < 3 or any(char.isdigit() or char == ":" for title in titles for char in title):
        return False
    return any(map(is_result_title, titles)) and any(OTHER_TITLE.search(title) for title in titles)


def names_day(line: str) -> bool:
    """Whether a laid-out line looks like titles of which one is a day, instead of a title for its results."""
    titles = re.split(r"\s{2,}", line.strip())
    others = [title for title in titles if not moment(title)]
    words = not any(char.isdigit() or char == ":" for title in others for char in title)
    return len(others) < len(titles) and len(others) > 1 and words and any(map(OTHER_TITLE.search, others))


def is_result_title(title: str) -> bool:
    """Whether a title names a column of results."""
    return bool(RESULT_TITLE.search(title)) and not OTHER_TITLE.search(title)


def headings_like(document: Document, names: Sequence[PageEvidence]) -> Iterator[str]:
    """Lines that could be a heading of results whose names stand in `names`: words alone, no label, and no name.

    They stand between names, or at most two lines above the first of a page and of the titles of its table, and below
    the labels of a patient's data.
    """
    for page in document.pages:
        own = [name.box if not name.rest else name.rest.box for name in names if name.page == page.number]
        rows = gather_rows(page.words) if page.words and own else []
        middles = [(box[1] + box[3]) / 2 for box in own]
        inside = [number for number, row in enumerate(rows) if any(row.y0 <= middle <= row.y1 for middle in middles)]
        first = min(inside, default=0)
        above = 0
        for number in range(first - 1, -1, -1):
            cells = list(cells_of(page, rows[number]))
            if len(cells) < 2 or not names_columns("  ".join(cell.text for cell in cells)):
                above += 1
            if above > 2 or any(":" in cell.text for cell in cells):
                break
            first = number
        for row in rows[first : max(inside, default=-1)]:
            cells = list(cells_of(page, row))
            named = any(box[1] <= row.middle <= box[3] for box in own)
            if len(cells) == 1 and cells[0].is_name and ":" not in cells[0].text and not named:
                yield cells[0].text


@dataclass(frozen=True)
class Block:
    """A label of whom or what the results below it are of (`kind`: patient, specimen, date), and what it says."""

    kind: str
    page: int
    box: tuple[float, float, float, float]
    text: str

    def under(self, page: int, box: tuple[float, float, float, float]) -> bool:
        """Whether it stands below a box (points) of a page (from 1), or on a later one."""
        return (self.page, self.box[1]) >= (page, (box[1] + box[3]) / 2)


def is_patient(label: str) -> bool:
    """Whether a label is that of a patient's name."""
    return bool(BLOCKS["patient"].fullmatch(label))


def blocks(document: Document) -> list[Block]:
    """The labels of patients, specimens and days of collection in reading order: `label: text` in one cell or two."""
    found = []
    for page in document.pages:
        for row in gather_rows(page.words) if page.words else ():
            cells = list(cells_of(page, row))
            for cell, after in zip(cells, [*cells[1:], None], strict=False):  # of a line of dots there is none
                label, colon, text = cell.text.partition(":")
                text = text.strip() or (after.text if after and ":" not in after.text else "")
                kind = next((kind for kind, words in BLOCKS.items() if words.fullmatch(label.strip())), None)
                # A number is no specimen and nobody's name.
                says = moments(text) if kind == "date" else any(map(str.isalpha, text))
                if colon and kind and text and says:
                    found.append(Block(kind, page.number, cell.box, text))
    return found


class Titles:
    """The titles of a document's tables of results, each line of them holding for what stands below it.

    Args:
        document: its pages' words.
        two_lines: whether titles of two lines ("Previous result", "and date") are known too.
    """

    def __init__(self, document: Document, two_lines: bool = False):
        self._lines: list[tuple[int, float, list[Cell]]] = []
        for page in document.pages:
            above: list[Cell] = []
            for row in gather_rows(page.words) if page.words else ():
                cells = list(cells_of(page, row))
                titles = [cells, *([_two_lines(above, cells)] if two_lines else [])]
                found = next((line for line in titles if names_columns("  ".join(cell.text for cell in line))), None)
                if found:
                    self._lines.append((page.number, max(cell.box[3] for cell in cells), found))
                above = cells

    def earlier(self, page: int, box: tuple[float, float, float, float]) -> str | None:
        """The text of the title nearest above a box (points) of a page, if it is of earlier results."""
        title = self.earlier_title(page, box)
        return title.text if title else None

    def earlier_title(self, page: int, box: tuple[float, float, float, float], touching: bool = False) -> Cell | None:
        """The title nearest above a box (points) of a page (from 1), or the page before, if it is of earlier results.

        With `touching` only where the box stands under no other, or is the title.
        """
        titles = self._over(page, box)
        if not titles or (touching and any(not _away(one, box)[0] for one in titles[1:])):
            return None
        earlier = [one for one in titles if _is_earlier(one)]
        # Two titles a blank apart ("Result Previous") are one cell: then no other is that of the results.
        others = any(map(_is_of_results, (one for one in titles if one not in earlier)))
        return titles[0] if others and titles[0] in earlier else None

    def is_result(self, page: int, box: tuple[float, float, float, float]) -> bool:
        """Whether the title nearest above a box (points) of a page (from 1) is of results that are not earlier ones."""
        titles = self._over(page, box)
        return bool(titles) and _is_of_results(titles[0]) and not _is_earlier(titles[0])

    def many_earlier(self, page: int, box: tuple[float, float, float, float]) -> int:
        """How many of the titles that hold for a box (points) of a page (from 1) are of earlier results."""
        return sum(map(_is_earlier, self._over(page, box)))

    def _over(self, page: int, box: tuple[float, float, float, float]) -> list[Cell]:
        """The titles that hold for a box, the nearest first."""
        above = [line for line in self._lines if page - 1 <= line[0] <= page and (line[0] < page or line[1] <= box[3])]
        return sorted(above[-1][2], key=lambda one: _away(one, box)) if above else []


def _away(title: Cell, box: tuple[float, float, float, float]) -> tuple[float, float]:
    """How far a title and a box stand apart across the page: their edges, then their middles."""
    x0, x1 = title.box[0], title.box[2]
    return max(x0 - box[2], box[0] - x1, 0.0), abs(x0 + x1 - box[0] - box[2])


def _is_earlier(title: Cell) -> bool:
    return bool(EARLIER_TITLE.search(title.text)) and not OTHER_TITLE.search(title.text)


def _is_of_results(title: Cell) -> bool:
    return is_result_title(title.text) or bool(moment(title.text))


def _two_lines(above: Sequence[Cell], cells: Sequence[Cell]) -> list[Cell]:
    """The cells of a line, each with what stands over it alone right above."""
    joined = []
    for cell in cells:
        over = [one for one in above if touch(one, cell) and cell.box[1] - one.box[3] < cell.box[3] - cell.box[1]]
        if len(over) == 1:
            (a0, b0, a1, _), (c0, _, c1, d1) = over[0].box, cell.box
            cell = Cell(f"{over[0].text} {cell.text}", (min(a0, c0), b0, max(a1, c1), d1), over[0].words + cell.words)
        joined.append(cell)
    return joined


@dataclass(frozen=True)
class Earlier:
    """A column of earlier results on a page: its title, and the cells right under it."""

    page: int
    title: str
    cells: tuple[Cell, ...]


def earlier_columns(document: Document) -> list[Earlier]:
    """The columns of earlier results of a document, their titles and the days below those among the cells.

    Only cells of lines with a name, an earlier value and one more are of them, so that a line of text stays whole. A
    value of a column that is set to the other side need not touch its title: its line has as many such values as
    there are such titles, or fewer, and most such lines have another one in the column of the results.
    """
    titles = Titles(document, two_lines=True)
    found = []
    for page in document.pages:
        columns: dict[tuple[str, float], list[Cell]] = {}
        loose: dict[tuple[str, float], list[tuple[Cell, bool]]] = {}
        for row in gather_rows(page.words) if page.words else ():
            cells = list(cells_of(page, row))
            if len(row.cells) < 3 and not all(_DAY.fullmatch(cell.text) or moment(cell.text) for cell in cells):
                continue
            bottom = max([row.y1, *(cell.box[3] for cell in cells)])  # titles too are below their own line
            boxes = [(cell.box[0], row.y0, cell.box[2], bottom) for cell in cells]
            over = [titles.earlier_title(page.number, box, touching=True) for box in boxes]
            results = any(titles.is_result(page.number, box) for box in boxes)
            for cell, box, title in zip(cells, boxes, over, strict=True):
                if title is None:
                    continue
                key = title.text, title.box[0]
                if not _away(title, box)[0]:
                    # Of a title of two lines both are left out.
                    of_title = cell.box[3] <= title.box[3] and {*cell.words} <= {*title.words}
                    columns.setdefault(key, []).append(title if of_title else cell)
                elif cell.is_value and len(over) - over.count(None) <= titles.many_earlier(page.number, box):
                    loose.setdefault(key, []).append((cell, results))
        for key, values in loose.items():
            if 2 * sum(sure for _, sure in values) > len(values):
                columns.setdefault(key, []).extend(cell for cell, _ in values)
        for (text, _), told in columns.items():
            found.append(Earlier(page.number, text, tuple(sorted(told, key=lambda cell: cell.box[1]))))
    return found


def without_earlier(document: Document) -> Document:
    """The document without its columns of earlier results."""
    hidden: dict[int, set[int]] = {}
    for column in earlier_columns(document):
        hidden.setdefault(column.page, set()).update(word for cell in column.cells for word in cell.words)

    def kept(page: Page) -> Page:
        words = [word for index, word in enumerate(page.words) if index not in hidden[page.number]]
        return replace(page, words=words)

    return replace(document, pages=[kept(page) if page.number in hidden else page for page in document.pages])


def cells_of(page: Page, row: TextRow) -> Iterator[Cell]:
    """The cells of a line, from left to right, but for those of dots and lines alone."""
    for cell in row.cells:
        boxes = [page.words[index].box for index in cell.words]
        box = (cell.x0, min(box[1] for box in boxes), cell.x1, max(box[3] for box in boxes))
        text = cell.text.translate(PLAIN).strip(". _" if ".." in cell.text else None)
        if text:
            yield Cell(text, box, tuple(cell.words))


def lines_of(page: Page) -> list[list[Cell]]:
    """The cells of each of a page's lines, from top to bottom, without lines of dots alone."""
    return [cells for row in gather_rows(page.words) if (cells := list(cells_of(page, row)))]


def _values(cells: Sequence[Cell], above: Sequence[Sequence[Cell]], titles: Sequence[Cell]) -> Iterator[Cell]:
    """The cells of a line that are the value of a result; what stands under titles of ranges alone is none."""
    name: Cell | None = None
    labelled = False  # whether the name has a colon, as labels of a patient's data have
    sure = done = ranged = False  # whether a unit or range stands behind the name, and whether the name has its value
    for place, cell in enumerate(cells):
        rest = cells[place + 1 : place + 5]
        # A word that opens the line is its name (Glucose), not a flag (High).
        is_flag = FLAG_CELL.fullmatch(cell.text) and (name is not None or len(cell.text) < 4)
        is_flag = is_flag and not FINDING_CELL.fullmatch(cell.text)
        if is_flag and rest and rest[0].is_value:
            continue
        limits = _is_of_limits(cell, titles)
        measured = cell.is_measured
        # "<0.01" is a range, or a result where its column is one of results.
        below = any(touch(one, cell) and is_result_title(one.text) for one in titles)
        second = cell.is_range and (name is None or done or (ranged and not below))
        if (cell.is_value or measured) and not limits and not second:
            if rest and FLAG_CELL.fullmatch(rest[0].text):
                rest = rest[1:]
            end = next((i for i, other in enumerate(rest) if other.is_name), len(rest))
            follows = measured or cell.has_unit or any(other.qualifies for other in rest[:end])
            named = (
                name is not None
                and not done
                and (not labelled or follows or is_finding(_plain(cell.text)))
                and not LEVEL.fullmatch(name.text)
                and (sure or follows or FINDING_CELL.fullmatch(cell.text))
            )
            numbers_line = bool(cells[place + 1 : place + 2]) and _is_named(cells[place + 1])
            if named or (name is None and follows and not numbers_line and _below_name(cell, above)):
                yield cell
                done = True
        elif (match := COLON.fullmatch(cell.text)) and (match["unit"] or match["range"] or _ranged(rest)):
            if not LEVEL.fullmatch(match["name"]) and not AGE.fullmatch(cell.text.rpartition(": ")[2]):
                yield cell
            name = None
        elif is_finding(_plain(cell.text.rpartition(": ")[2])) and ":" in cell.text:
            yield cell
            name = None
        elif cell.qualifies or limits:
            sure = name is not None
            ranged = ranged or cell.is_range
        elif name is not None and not done and rest and rest[0].text == cell.text:
            # Words for the result, and the same words for what is normal.
            yield cell
            done = True
        elif cell.is_name:
            # A second cell of words, such as a specimen, leaves the row's name without a value yet.
            name, labelled, sure, done, ranged = cell, False, False, False, False
        elif cell.text.endswith(":") and (bare := replace(cell, text=cell.text.rstrip(": "))).is_name:
            name, labelled, sure, done, ranged = bare, True, False, False, False


def _plain(finding: str) -> str:
    """A finding without a number in brackets behind it."""
    return re.sub(r" \([\d., <>+-]+\)$", "", finding)


def _is_named(cell: Cell) -> bool:
    """Whether a cell is a name, also with a colon behind it."""
    return replace(cell, text=cell.text.rstrip(": ") or ":").is_name


def _ranged(rest: Sequence[Cell]) -> bool:
    return bool(rest) and ":" not in rest[0].text and rest[0].is_range


def _below_name(cell: Cell, above: Sequence[Sequence[Cell]]) -> bool:
    """Whether a name that has nothing of its own beside it stands above a value."""
    for line in above:
        if any(other.is_value for other in line):
            return False
        names = [other for other in line if other.is_name]
        if len(line) == 1 and names and cell.box[0] > names[0].box[0] - 2:
            return True
        if any(-2 < cell.box[0] - other.box[0] < _WIDE for other in names):
            return True
    return False
