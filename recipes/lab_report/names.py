"""Names of results, shown so that a row has one: without a column of their abbreviations, on one line.

Reports in Chinese and Japanese have a column of Latin abbreviations beside the names, which a small model takes for
them. A name too long for its column goes on below; where its values stand beside one of its lines, a small model takes
that line alone for the name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from extraction.document import Document, Page, Word
from extraction.document.rows import gather_rows
from recipes.lab_report.lines import Cell, cells_of, names_columns, touch

_CODE_TITLE = re.compile(r"(?:英文)?(?:缩写|縮寫|代号|代號|代码|简称|名称|名稱|略語|略称|略号|コード)")
_NAME_TITLE = re.compile(r".*(?:项目|項目|检验|检查|検査|名称|名稱).*")
_CODE = re.compile(r"[A-Za-z0-9αβγ%#*+./()_-]{1,16}")
_PAST = 1.6  # times a line's height: lines of one name are no further apart
_HALF = 0.8  # times a line's height: values in the middle of a name of two lines are so far from both at most
_BLANK = 0.25  # of a line's height: a blank between words
_COUNTED = 3  # numbers one after the other, which no names begin with
_EDGE = 3.0  # points: lines of one name begin so far apart at most


def with_plain_names(document: Document) -> Document:
    """The document without columns of abbreviations beside names or numbers before them, and with each name on the line
    of its values.
    """
    return replace(document, pages=[_joined(_without_numbers(_without_codes(page))) for page in document.pages])


def _without_numbers(page: Page) -> Page:
    """A page without the numbers that count its results, where OCR took their column into the cells of the names."""
    counted: list[int] = []
    last = None
    for row in gather_rows(page.words) if page.words else ():
        cells = [*cells_of(page, row)]
        valued = any(char.isdigit() for cell in cells[1:] for char in cell.text)
        number = re.match(r"(\d{1,3})[.)]? (?=[^\W\d_])", cells[0].text) if valued else None
        if number and last in (None, int(number[1]) - 1):
            counted.append(cells[0].words[0])
            last = int(number[1])
    if len(counted) < _COUNTED:
        return page
    return replace(page, words=[word for index, word in enumerate(page.words) if index not in counted])


def _without_codes(page: Page) -> Page:
    hidden: set[int] = set()
    name: Cell | None = None
    code: Cell | None = None
    for row in gather_rows(page.words) if page.words else ():
        cells = list(cells_of(page, row))
        if len(cells) > 2 and names_columns("  ".join(cell.text for cell in cells)):
            name = next((cell for cell in cells if _NAME_TITLE.fullmatch(cell.text)), None)
            code = next((cell for cell in cells if cell != name and _CODE_TITLE.fullmatch(cell.text)), None)
            if name and code:
                hidden.update(code.words)
        elif name and code and len(cells) > 2:
            own = [cell for cell in cells if touch(cell, code)]
            named = any(touch(cell, name) and not cell.text.isascii() for cell in cells)
            if named and len(own) == 1 and _CODE.fullmatch(own[0].text):
                hidden.update(own[0].words)
    if not hidden:
        return page
    return replace(page, words=[word for index, word in enumerate(page.words) if index not in hidden])


def _joined(page: Page) -> Page:
    """The page with the words of each name of several lines on the line of its values."""
    lines = _uncounted([[*cells_of(page, row)] for row in gather_rows(page.words)] if page.words else [])
    moved: dict[int, Word] = {}
    number = 0
    while number < len(lines):
        chain = _chain(page, lines, number)
        if len(chain) > 1:
            [at] = [n for n in chain if _valued(lines[n])]
            moved.update(
                _on_one_line(page, [part for n in chain if (part := _part(lines[n], lines[number]))], lines[at])
            )
        number = max(chain, default=number) + 1
    return replace(page, words=[moved.get(index, word) for index, word in enumerate(page.words)]) if moved else page


def _uncounted(lines: list[list[Cell]]) -> list[list[Cell]]:
    """Lines without the numbers that count them, one after the other, which stand left of the names."""
    counted: dict[int, list[Cell]] = {}
    for number, cells in enumerate(lines):
        if len(cells) > 1 and re.fullmatch(rf"{len(counted) + 1}[.)]?", cells[0].text):
            counted[number] = cells[1:]
    return [counted.get(number, cells) for number, cells in enumerate(lines)] if len(counted) >= _COUNTED else lines


def _chain(page: Page, lines: Sequence[Sequence[Cell]], first: int) -> list[int]:
    """The numbers of the lines of a name that begins on line `first`, and of its values; empty where it has only one.

    The values stand beside one line, or beside none and between two.
    """
    begins = _part(lines[first], lines[first])
    if not begins or not begins.is_name or goes_on(begins.text):
        return []
    chain, parts = [first], [lines[first][0]]
    for number in range(first + 1, len(lines)):
        part, valued = _part(lines[number], lines[first]), _valued(lines[number])
        if valued and any(_valued(lines[n]) for n in chain):
            break
        if part is None:
            if not valued or lines[number][0].box[0] < parts[0].box[2]:
                break
        elif _is_near(parts[-1], part) and (
            is_open(parts)
            or (goes_on(part.text) and _is_full(page, parts[-1], part, lines))
            or (_is_exact(page) and part.text[0] not in "([" and _is_around(parts[-1], part, lines[chain[-1]]))
        ):
            parts.append(part)
        else:
            break
        chain.append(number)
    whole = len(parts) > 1 and any(_valued(lines[number]) for number in chain)
    return chain if whole else []


def _valued(cells: Sequence[Cell]) -> bool:
    return any(cell.is_value and not cell.is_range for cell in cells)


def _part(cells: Sequence[Cell], first: Sequence[Cell]) -> Cell | None:
    """What a line has where names begin: letters, no label, no title of a column, and no other name behind it."""
    if not cells or abs(cells[0].box[0] - first[0].box[0]) > _EDGE or names_columns("  ".join(c.text for c in cells)):
        return None
    text = cells[0].text
    alone = ":" not in text and not cells[0].qualifies and not any(cell.is_name for cell in cells[1:2])
    return cells[0] if alone and sum(map(str.isalpha, text)) > 1 else None


def goes_on(text: str) -> bool:
    """Whether a text looks like no beginning of a name: a word in small letters, or a bracket with more behind it.

    A bracket alone is more often the method than a part of the name.
    """
    word = re.match(r"[^\W\d_]{2,}(?=[\s,;)\]]|$)", text)
    more = text[:1] in ("(", "[") and not re.fullmatch(r"[(\[][^()\[\]]*[)\]]", text)
    return more or bool(word and word[0].islower())


def is_open(parts: Sequence[Cell]) -> bool:
    """Whether a name cannot be at its end: a comma, a slash or a dash is its last sign, or a bracket is open."""
    text = " ".join(part.text for part in parts)
    return text[-1:] in (",", "/", "-", "|") or text.count("(") > text.count(")")


def _is_near(one: Cell, other: Cell) -> bool:
    """Whether no more than a line stands between two parts of a name."""
    return other.box[1] - one.box[1] < 2 * _PAST * (one.box[3] - one.box[1])


def _is_exact(page: Page) -> bool:
    """Whether a page's words stand where they are printed, to a fraction of a line: OCR's do not."""
    return all(word.score == 1.0 for word in page.words)


def _is_around(one: Cell, other: Cell, values: Sequence[Cell]) -> bool:
    """Whether values stand half a line below a part of a name and half a line above the next, as beside one cell."""
    box = next((cell.box for cell in values if cell.is_value and not cell.is_range), one.box)
    above, below = (box[1] + box[3] - one.box[1] - one.box[3]) / 2, (other.box[1] + other.box[3] - box[1] - box[3]) / 2
    return above > 0 and below > 0 and max(above, below) < _HALF * (one.box[3] - one.box[1])


def _is_full(page: Page, one: Cell, other: Cell, lines: Sequence[Sequence[Cell]]) -> bool:
    """Whether the first word of a line below another found no place behind it in the column of names."""
    names = [cells[0].box[2] for cells in lines if _valued(cells[1:]) and abs(cells[0].box[0] - one.box[0]) < _EDGE]
    word = page.words[other.words[0]].box
    return one.box[2] + (word[2] - word[0]) + _BLANK * (one.box[3] - one.box[1]) > max(names, default=0.0)


def _on_one_line(page: Page, parts: Sequence[Cell], values: Sequence[Cell]) -> dict[int, Word]:
    """The words of the lines of a name side by side, as wide as the widest, at the height of its values."""
    x0, x1 = min(part.box[0] for part in parts), max(part.box[2] for part in parts)
    _, y0, _, y1 = next(cell.box for cell in values if cell.is_value and not cell.is_range)
    words = [index for part in parts for index in part.words]
    step = (x1 - x0) / sum(len(page.words[index].text) + 1 for index in words)
    moved: dict[int, Word] = {}
    for index in words:
        end = x0 + step * len(page.words[index].text)
        moved[index] = replace(page.words[index], box=(x0, y0, end, y1))
        x0 = end + step
    return moved
