"""A document's lines from the first page to the last, and stretches of them that fit one prompt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from extraction.document.layout import Line, layout_lines
from extraction.document.pages import Document, Page

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Moved:
    """A part of a page, as it is shown, whose words stand `right` points (negative: left) of where they are printed."""

    page: int
    box: Box
    right: float


class Lines:
    """Every laid-out line of a document, numbered from 0 over all its pages.

    `whole` is the document as it was opened, where not all of its words are in the lines; `moved` are those parts of it
    that stand elsewhere in the lines.
    """

    def __init__(self, document: Document, whole: Document | None = None, moved: Sequence[Moved] = ()):
        self.document, self.whole, self.moved = document, whole or document, tuple(moved)
        self.lines: list[tuple[Page, Line]] = [(page, line) for page in document.pages for line in layout_lines(page)]

    def __len__(self) -> int:
        return len(self.lines)

    def find(self, page: int, box: Box) -> int:
        """The number of the line that has what is printed in `box` (points) of page `page` (from 1).

        Where several lines touch the box it is the one whose words it covers most; -1 where none does.
        """
        best, most = -1, 0.0
        for number in range(self._first[page], self._first[page + 1]):
            covered = sum(overlap(own, box) for own in self._boxes[number] if own[1] < box[3] and own[3] > box[1])
            if covered > most:
                best, most = number, covered
        return best

    def printed(self, page: int, box: Box) -> Box:
        """Where on its page what stands in `box` of the lines is printed."""
        x0, y0, x1, y1 = box
        for part in self.moved:
            if part.page == page and overlap(part.box, ((x0 + x1) / 2, y0, (x0 + x1) / 2 + 0.1, y1)) > 0:
                return x0 - part.right, y0, x1 - part.right, y1
        return box

    @cached_property
    def _boxes(self) -> list[list[Box]]:
        """For each line the boxes of its words, where they are printed."""
        return [
            [self.printed(page.number, page.words[index].box) for _, _, index in line.spans]
            for page, line in self.lines
        ]

    def before(self, page: int) -> int:
        """How many lines stand on the pages before page `page`."""
        return bisect_left([own.number for own, _ in self.lines], page)

    @cached_property
    def _first(self) -> dict[int, int]:
        """For each page's number, and one more, the number of its first line."""
        numbers = [page.number for page, _ in self.lines]
        last = max((page.number for page in self.document.pages), default=0)
        return {number: bisect_left(numbers, number) for number in range(last + 2)}

    def ends_page(self, number: int) -> bool:
        """Whether line `number` is its page's last."""
        return number + 1 == len(self.lines) or self.lines[number][0] is not self.lines[number + 1][0]


@dataclass(frozen=True)
class Window:
    """The lines [start, stop) of a document, shown to the model in one prompt.

    `pages` are the numbers of the pages whose pixels are shown; where there are any, the lines are all of theirs.
    `head` is the number of a line above them that is shown too, such as the one that names a table's columns.
    """

    lines: Lines
    start: int
    stop: int
    pages: tuple[int, ...] = ()
    head: int | None = None

    @property
    def texts(self) -> list[str]:
        """The window's text, page by page."""
        return ["\n".join(line.text for _, line in pairs) for _, pairs in self._pages]

    @property
    def _pages(self) -> Iterator[tuple[int, Iterator[tuple[Page, Line]]]]:
        head = [] if self.head is None else [self.lines.lines[self.head]]
        return groupby([*head, *self.lines.lines[self.start : self.stop]], key=lambda pair: pair[0].number)

    @property
    def document(self) -> Document:
        """The document with no other words than those of the window."""
        if self.start == 0 and self.stop == len(self.lines):
            return self.lines.document
        pages = []
        for _, pairs in self._pages:
            shown = list(pairs)
            page = shown[0][0]
            indices = sorted(index for _, line in shown for _, _, index in line.spans)
            pages.append(replace(page, words=[page.words[index] for index in indices]))
        return replace(self.lines.document, pages=pages)

    def part(self, start: int) -> Window:
        """The window from line `start` on."""
        return Window(self.lines, start, self.stop)


def split(window: Window, fits: Callable[[Sequence[str]], bool], overlap: int) -> list[Window]:
    """Windows that each fit a prompt and together show every line of `window`; it alone where it fits.

    A window ends with a page where one ends in its second half. Each begins `overlap` lines before the end of the one
    before it (fewer where windows are short), so that a row cut by one is whole in the other. A line that does not fit
    alone is a window of its own.
    """
    windows: list[Window] = []
    start = window.start
    while start < window.stop and not fits(window.part(start).texts):
        # The number of lines that fit; more lines never take fewer tokens.
        sizes = range(1, window.stop - start + 1)
        size = max(1, bisect_left(sizes, True, key=lambda n: not fits(Window(window.lines, start, start + n).texts)))
        stop = start + size
        ends = (n for n in range(stop, start + size // 2, -1) if window.lines.ends_page(n - 1))
        stop = next(ends, stop)
        windows.append(Window(window.lines, start, stop))
        if stop == window.stop:
            return windows
        start = stop - min(overlap, (stop - start) // 2)
    return [*windows, window.part(start)]


def split_pages(lines: Lines, fits: Callable[[Window], bool], first: int = 1, last: int | None = None) -> list[Window]:
    """Windows of the whole pages `first` to `last`, for a model that is shown their pixels: as many as fit a prompt.

    A page that does not fit alone is a window of its own.
    """

    def over(start: int, stop: int) -> Window:
        return Window(lines, lines.before(start), lines.before(stop), tuple(range(start, stop)))

    windows: list[Window] = []
    start, end = first, (last or len(lines.document.pages)) + 1
    while start < end:
        stop = start + 1
        while stop < end and fits(over(start, stop + 1)):
            stop += 1
        windows.append(over(start, stop))
        start = stop
    return windows


def overlap(one: Box, other: Box) -> float:
    """The area two boxes share, as a part of the smaller one's."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / smaller if smaller > 0 else 0.0
