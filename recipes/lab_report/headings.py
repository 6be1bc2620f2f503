"""The headings that stand above results, told by where lines stand: for results whose heading the model read wrongly.

A heading is a line of one short cell, no sentence and no label, that is not indented further than the names below it,
with nothing but other headings, labels and titles of columns between it and a result. One that is indented further than
the heading above it belongs to that one; a name that is indented less than those above it ends their heading. Words
from right to left are indented from the right. Where lines do not tell, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from extraction.document import Document, Page
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from extraction.record.record import Issue
from extraction.schema import pointer
from extraction.values.signs import is_rtl
from recipes.lab_report.lines import Cell, is_finding, lines_of, names_columns, names_limits
from recipes.lab_report.patterns import BLOCKS, LEVEL, NAME_TITLE

Path = tuple[str | int, ...]

_WORDS = 6  # of a heading, the most
_INDENT = 2.0  # points: what is further right is indented
_LINE = 1.8  # times a line's height: the next line is no further down
_NEAR = 20.0  # points: what is indented less is of another column
_SAME = 0.5
_SENTENCE = re.compile(r"[.;。；]$|\w \w{3,}\. \w")
_LABELLED = re.compile(r"[:<>≤≥]")
_NO_HEADING = re.compile(r"^[(\[]|[:=<>≤≥]|[,:!?]$|\d{3}| - | \d+(?:[.,]\d+)? ")
"""Behind a dash may stand a specimen, and a number before a word is a limit with its unit, or one of hours."""
_BRACKETS = re.compile(r"\s*\([^()]+\)$")
_GOES_ON = re.compile(
    r"\s*\((?:cont(?:\.|d\.?|inued|inua\w*)?|forts\.?|fortsetzung|fortsättning|suite|vervolg|segue|sigue|c\.? ?d\.?"
    r"|ciąg dalszy|pokrač\w*\.?|devam\w*|прод\.?|продо?л?ж\w*|продължение|συν\.?|συνέχεια"
    r"|המשך|تابع|تتمة|[续續]|続き)\)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Heading:
    """A heading, where its line starts, and where the first name below it does."""

    text: str
    place: PageEvidence
    start: float
    inner: float | None = None

    def holds(self, start: float) -> bool:
        """Whether a name that starts there may be below it."""
        return self.inner is None or start >= self.inner - _INDENT or start > self.start + _INDENT


class _Chain:
    """The headings that hold where one reads down a document: the outermost first, None where that is not known."""

    def __init__(self) -> None:
        self.own: list[_Heading] | None = []
        self.base: float | None = None  # where the outermost ones start; None where one may stand in another anywhere

    def lose(self, base: bool = False) -> None:
        """Know no more what holds, nor with `base` what is outermost."""
        self.own = None
        self.base = None if base else self.base

    def repeat(self, text: str) -> None:
        """End the headings that one which stands above once more was above of, and itself."""
        texts = [one.text for one in self.own or ()]
        if self.own and text in texts:
            self.own = self.own[: texts.index(text)]

    def begin(self, new: list[_Heading]) -> None:
        """Let new headings hold that follow each other."""
        if any(inner.start <= outer.start + _INDENT for outer, inner in pairwise(new)):
            self.lose(base=True)  # of two that start alike the first may have nothing below it
            return
        start = new[0].start
        outer = [one for one in self.own or () if one.start < start - _INDENT]
        if self.own is not None or len(new) > 1 or (self.base is not None and start <= self.base + _INDENT):
            self.own = [*outer, *new]
            self.base = min(self.own[0].start, start if self.base is None else self.base)

    def under(self, start: float) -> list[_Heading]:
        """The headings of a result whose name starts there."""
        held = [one for one in self.own or () if one.holds(start)]
        if self.own is not None:
            self.own = [one if one.inner is not None else replace(one, inner=start) for one in held]
        return held


def headings(document: Document, evidence: Mapping[Path, PageEvidence]) -> dict[Path, PageEvidence]:
    """The headings of results ("Chemistry > Electrolytes"), by their rows; without those that lines do not tell.

    Args:
        document: with its words.
        evidence: where the values of rows stand.
    """
    reader = _Reader()
    for page in document.pages:
        own = {path: place for path, place in evidence.items() if place.page == page.number}
        names = {path[:-1]: place for path, place in own.items() if path[-1] == "name"}
        lines = lines_of(page) if page.words and names else []
        rows = [[path for path, place in names.items() if _stands_on(place, cells)] for cells in lines]
        if all(len(paths) < 2 for paths in rows):
            reader.read(page, lines, own)
            continue
        reader.chain.lose(base=True)
        for strip in _strips(lines, [[names[path] for path in paths] for paths in rows]):
            beside = _Reader()
            beside.read(page, strip, own)
            reader.found |= beside.found
    return reader.found


def _strips(lines: Sequence[list[Cell]], names: Sequence[Sequence[PageEvidence]]) -> Iterator[list[list[Cell]]]:
    """The lines of each of the tables that stand side by side on a page; none where it is not plain which do."""
    many = [sorted(place.box[0] for place in own) for own in names if len(own) > 1]
    lefts = [min(edges) for edges in zip(*many, strict=True)] if len({*map(len, many)}) == 1 and len(many) > 1 else []
    near = all(abs(edge - left) < _NEAR for edges in many for edge, left in zip(edges, lefts, strict=False))
    if not lefts or not near or any(is_rtl(place.text) for own in names for place in own):
        return
    for left, right in pairwise([0.0, *lefts[1:], inf]):
        strip = [[cell for cell in cells if left <= cell.box[0] + _INDENT < right] for cells in lines]
        yield [cells for cells in strip if cells]


class _Reader:
    """Reads down the lines of a document, and notes the headings of its results in `found`."""

    def __init__(self) -> None:
        self.found: dict[Path, PageEvidence] = {}
        self.chain = _Chain()
        self._known: set[str] = set()  # lines of one cell
        self._head: set[str] = set()  # what stands above the first result, but for headings
        self._begun = False

    def read(self, page: Page, lines: Sequence[list[Cell]], own: Mapping[Path, PageEvidence]) -> None:
        """Go on with the lines of a page, `own` being where values of rows stand on it."""
        names = {path[:-1]: place for path, place in own.items() if path[-1] == "name"}
        values = [place for path, place in own.items() if path[-1] in ("result", "unit", "range", "flag")]
        specimens = [place for path, place in own.items() if path[-1] == "specimen"]
        rows = [next((path for path, place in names.items() if _stands_on(place, cells)), None) for cells in lines]
        starts = [_start(names[path]) if path else None for path in rows]
        earlier, self._known = self._known, self._known | {cells[0].text for cells in lines if len(cells) == 1}
        new: list[_Heading] = []
        first, vague = True, -2
        titles: Sequence[Cell] = ()
        for number, (cells, path, start) in enumerate(zip(lines, rows, starts, strict=True)):
            place = None if path or len(cells) > 1 else _heading(page, cells[0], specimens)
            if path and start is not None:
                self._row(cells, path, start, new, values)
                self._head -= {one.text for one in new}
                new, first, self._begun = [], False, True
            elif any(_stands_on(value, cells) for value in values):
                continue
            elif self._begun and first and cells[0].text in self._head:
                continue  # what each page begins with
            elif len(cells) == 1 and number and starts[number - 1] is not None and _goes_on(lines, starts, number):
                new = []
                self.chain.lose()
            elif place and _may_head(cells[0], lines[number + 1 :], starts[number + 1 :]):
                if first and _BRACKETS.sub("", place.text) in earlier - {place.text}:
                    new = []
                    self.chain.lose()  # it may be the one that goes on, or another
                    continue
                if not new and vague == number - 1 and _gap(lines, number) < _LINE * (place.box[3] - place.box[1]):
                    self.chain.lose()  # the line right above may be the outer one
                    continue
                if not new:
                    self.chain.repeat(place.text)
                new.append(_Heading(place.text, place, _start(cells[0])))
            elif _may_be_any(cells) and not any(map(_tells_levels, lines[number : number + 2])):
                new = []
                second = bool(titles) and any(abs(cells[0].box[0] - one.box[0]) < _INDENT for one in titles)
                if self._begun or (titles and len(cells) == 1 and not second):
                    self.chain.lose()
                else:
                    self.chain, vague = _Chain(), number if len(cells) == 1 and not titles else -2
            titles = cells if _names_columns(cells) else titles
            if not self._begun:
                self._head |= {cell.text for cell in cells}

    def _row(
        self, cells: Sequence[Cell], path: Path, start: float, new: list[_Heading], values: Sequence[PageEvidence]
    ) -> None:
        """Note what holds for a result whose name starts at `start`, below `new` headings."""
        if new:
            self.chain.begin(new)
        free = [cell for cell in cells if cell.is_name and not any(_stands_on(one, [cell]) for one in values)]
        if any(_start(cell) < start - _INDENT for cell in free if is_rtl(cell.text) == (start < 0)):
            self.chain.lose(base=True)  # a column of groups
        if above := self.chain.under(start):
            self.found[path] = replace(above[-1].place, text=" > ".join(one.text for one in above))


def _goes_on(lines: Sequence[Sequence[Cell]], starts: Sequence[float | None], number: int) -> bool:
    """Whether a line right below a result may be the rest of its name: it starts as the name does, and is no further
    from it than from the line below.
    """
    name = starts[number - 1]
    text = lines[number][0].text
    in_line = name is not None and abs(_start(lines[number][0]) - name) < _INDENT
    loud = text.isupper() and not lines[number - 1][0].text.isupper()
    return in_line and not loud and not _SENTENCE.search(text) and _gap(lines, number) <= _gap(lines, number + 1) + 1


def _gap(lines: Sequence[Sequence[Cell]], number: int) -> float:
    """How far below the line before it a line stands; without end behind the last."""
    return lines[number][0].box[1] - lines[number - 1][0].box[1] if number < len(lines) else inf


def _start(printed: Cell | PageEvidence) -> float:
    """Where words start: what is indented further has more. Those from right to left start at their right."""
    return -printed.box[2] if is_rtl(printed.text) else printed.box[0]


def _may_be_any(cells: Sequence[Cell]) -> bool:
    """Whether a line may be a heading of another kind, or a part of one: then nothing is said of what stands below."""
    return (
        not _names_columns(cells)
        and all(
            _is_words(cell.text) and not _SENTENCE.search(cell.text) and len(cell.text.split()) <= _WORDS
            for cell in cells
            if not _LABELLED.search(cell.text)
        )
        and not all(_LABELLED.search(cell.text) for cell in cells)
    )


def _is_words(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    return letters > 1 and 2 * letters > len(text)


def _names_columns(cells: Sequence[Cell]) -> bool:
    return names_limits(cells) or names_columns("  ".join(cell.text for cell in cells))


def _tells_levels(cells: Sequence[Cell]) -> bool:
    """Whether a line is one of a legend: a level of the values above, with its limits before or behind it."""
    ranges = [cell for cell in cells if cell.is_range]
    words = [cell for cell in cells if LEVEL.fullmatch(cell.text) or is_finding(cell.text)]
    return len(cells) == 2 and len(ranges) == 1 and (ranges[0] is cells[0] or len(words) == 1)


def _stands_on(place: PageEvidence, cells: Sequence[Cell]) -> bool:
    return any(overlap(place.box, cell.box) > _SAME for cell in cells)


def _may_head(cell: Cell, below: Sequence[Sequence[Cell]], starts: Sequence[float | None]) -> bool:
    """Whether a line's only cell may be a heading: by its words, and by what stands between it and a result.

    `starts` says where the names of results start that stand on the lines below.
    """
    text = cell.text
    if len(text.split()) > _WORDS or _SENTENCE.search(text) or _NO_HEADING.search(text) or text[0].islower():
        return False
    if LEVEL.fullmatch(text) or is_finding(text) or not _is_words(text):
        return False
    for cells, start in zip(below, starts, strict=True):
        if start is not None:
            # The names of some headings begin as findings do ("Trace elements").
            return (cell.is_name or start - _NEAR < _start(cell)) and _start(cell) <= start + _INDENT
        label = cells[0].text.partition(":")[0].strip() if cells and ":" in cells[0].text else ""
        if not (BLOCKS["specimen"].fullmatch(label) if label else _names_columns(cells) or len(cells) == 1):
            return False
    return False


def _heading(page: Page, cell: Cell, specimens: Iterable[PageEvidence]) -> PageEvidence:
    """A heading as it is printed, without "(continued)" and without a specimen behind it."""
    words = [page.words[number] for number in cell.words]
    text = _GOES_ON.sub("", " ".join(word.text for word in words))
    for specimen in specimens:
        if _stands_on(specimen, [cell]):
            text = re.sub(rf"\W+{re.escape(specimen.text)}\W*$", "", text)
    return PageEvidence(text, min(word.score for word in words), page=page.number, box=cell.box)


def rests_of_names(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """The panel that stands nearer to the result above, in line with its name, than to the one below; where several do,
    that is how a report sets its headings.
    """
    found: dict[str, list[tuple[Path, PageEvidence]]] = {}
    panels = {path: place for path, place in evidence.items() if path[-1] == "panel"}
    names = [place for path, place in evidence.items() if path[-1] == "name"]
    for page in document.pages if panels else ():
        lines = lines_of(page)
        own = [place for place in names if place.page == page.number]
        starts = [min((_start(name) for name in own if _stands_on(name, cells)), default=None) for cells in lines]
        for number, cells in enumerate(lines):
            if len(cells) > 1 or not number or starts[number - 1] is None or not _goes_on(lines, starts, number):
                continue
            for path, place in panels.items():
                nearer = _gap(lines, number) < _gap(lines, number + 1) - 1
                if place.page == page.number and _stands_on(place, cells) and nearer:
                    found.setdefault(place.text, []).append((path, place))
    for text, where in found.items() if len(found) == 1 else ():
        for path, place in where:
            message = f"“{text}” stands nearer to the result above, and may be the rest of its name."
            yield Issue("misplaced", message, pointer(path), place.page)


def titles_read(document: Document, evidence: Mapping[Path, PageEvidence]) -> Iterator[Path]:
    """Panels in `evidence` that are the title of the column of names, as "Test" is beside "Result" and "Unit"."""
    panels = {
        path: place for path, place in evidence.items() if path[-1] == "panel" and NAME_TITLE.fullmatch(place.text)
    }
    for page in document.pages if panels else ():
        for cells in lines_of(page):
            if _names_columns(cells):
                yield from (p for p, one in panels.items() if one.page == page.number and _stands_on(one, cells))
