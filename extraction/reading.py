"""One document on its way to a record: what the model is shown, what is shown again, and when it is enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from extraction.contract import Contract
from extraction.document import Document, Lines, Window, split, split_pages
from extraction.errors import AssayError
from extraction.evidence import CARRIED, names_columns, without_earlier
from extraction.generate.backend import Generation
from extraction.record.build import build_record, left_out
from extraction.record.part import Part, printed, read_part
from extraction.record.record import Record

OVERLAP = 6
"""Lines that two windows of a document share: more than a row of a table takes, heading or comment included."""
LOOKS = 3
"""How often lines that look like results and are in no row are shown again."""
_LOOK_LINES = 12  # lines of a second look, besides those before and after it: few, so that each gets its due


def text_lines(document: Document, contract: Contract) -> Lines:
    """The lines that a model is shown: where the contract checks rows, without the columns of earlier results.

    They are no part of a record, and a small model takes them for the results where they stand first.
    """
    return Lines(without_earlier(document) if contract.check_rows and contract.view == "text" else document)


def text_windows(window: Window, contract: Contract, fits: Callable[..., bool]) -> list[Window]:
    """Windows that together show the lines of `window`; it alone where it fits.

    Where the contract checks rows, a window is shown the titles of the table it begins in: without them nothing tells
    a column of results from one of earlier results.
    """
    heads = _heads(window.lines) if contract.check_rows else []
    if fits(_under(heads, window).texts):
        return [_under(heads, window)]
    longest = max((window.lines.lines[head][1].text for head in heads), key=len, default="")
    if not heads or not fits([longest]):
        return split(window, fits, OVERLAP)
    return [_under(heads, part) for part in split(window, lambda texts: fits([longest, *texts]), OVERLAP)]


def _heads(lines: Lines) -> list[int]:
    """The numbers of the lines that look like the titles of a table of results."""
    return [number for number, (_, line) in enumerate(lines.lines) if names_columns(line.text)]


def _under(heads: list[int], window: Window) -> Window:
    """A window with the titles last above it, on its first page or the one before, unless it begins with its own."""
    above = [head for head in heads if head < window.start]
    near = range(window.start, window.start + 2)
    if not above or any(head in near for head in heads):
        return window
    first, own = (window.lines.lines[number][0].number for number in (above[-1], window.start))
    return replace(window, head=above[-1]) if own - first <= 1 else window


class Reading:
    """A document being read.

    A document that is longer than a prompt is shown in windows. An answer that was cut within a list is continued: the
    lines below the last item it told of are shown again. Where the contract checks rows, lines that look like results
    and are in no row are shown once more by themselves; of what is read then, only items on those lines are taken.

    Args:
        document: the open document.
        contract: the task.
        fits: whether texts, page by page, fit a prompt; given the numbers of pages too where pixels are shown.

    Attributes:
        windows: what the model is to be shown first.

    Raises:
        AssayError: not even a prompt without any text fits.
    """

    def __init__(self, document: Document, contract: Contract, fits: Callable[..., bool]):
        alone = [()] if contract.view == "text" else [(page.number,) for page in document.pages]
        if not all(fits([], pages) if pages else fits([]) for pages in alone):
            shown = "" if contract.view == "text" else " and the image of one page"
            raise AssayError(
                f"The instruction, with its schema{shown}, is alone longer than "
                f"max_prompt_tokens={contract.max_prompt_tokens}; make the schema smaller, or raise it in the contract."
            )
        self._document, self._contract, self._fits = document, contract, fits
        self._lines = text_lines(document, contract)
        self._parts: list[Part] = []
        self._shown: set[Window] = set()
        self._looks: dict[Window, set[int]] = {}
        self._rounds = 0
        if contract.view == "text":
            self.windows = self._split(Window(self._lines, 0, len(self._lines)))
        else:
            self.windows = self._pages(1)
        self._open = len(self.windows)

    def take(self, window: Window, generation: Generation) -> list[Window]:
        """Note the answer to a window; what the model is to be shown because of it."""
        part = read_part(window, generation, self._contract)
        self._shown.add(window)
        more: list[Window] = []
        if window in self._looks:
            part = self._only(part, self._looks[window])
        else:
            more = self._rest(part)
        self._parts.append(part)
        self._open += len(more) - 1
        if not self._open:
            more = self._second_looks()
            self._open = len(more)
        return more

    @property
    def done(self) -> bool:
        """Whether nothing is left to be shown."""
        return not self._open

    def record(self) -> Record:
        """The record of all that was read."""
        parts = sorted(self._parts, key=lambda part: (part.window.start, part.window.stop))
        return build_record(self._document, parts, self._contract)

    def _rest(self, part: Part) -> list[Window]:
        """Windows over what an answer that was cut did not come to; none where it told of one line or less."""
        if part.window.pages:
            # The same page again would give the same answer: it goes on with the next that was not begun.
            begun = self._lines.lines[part.stop - 1][0].number if part.stop > part.window.start else 0
            first, last = max(begun, part.window.pages[0] + 1), part.window.pages[-1]
            return self._pages(first, last) if part.may_go_on and begun and first <= last else []
        told = part.stop - part.window.start
        start = part.stop - min(OVERLAP, told // 2)
        # The last line it told of may hold more (tables side by side), so the rest is never empty.
        return self._split(part.window.part(start)) if part.may_go_on and told > 1 else []

    def _split(self, window: Window) -> list[Window]:
        return text_windows(window, self._contract, self._fits)

    def _pages(self, first: int, last: int | None = None) -> list[Window]:
        return split_pages(self._lines, lambda window: self._fits(window.texts, window.pages), first, last)

    def _second_looks(self) -> list[Window]:
        """Windows around the lines that look like results and are in no row yet."""
        # Some lines of a page with all of its pixels are a prompt that no model was taught.
        if not self._contract.check_rows or self._rounds == LOOKS or self._contract.view != "text":
            return []
        self._rounds += 1
        places = [place for part in self._parts for place in printed(part.tree)]
        missed = sorted({self._lines.find(line.page, line.box) for line in left_out(self._document, places)} - {-1})
        groups: list[list[int]] = []
        for line in missed:
            if groups and line - groups[-1][-1] <= OVERLAP and line - groups[-1][0] < _LOOK_LINES:
                groups[-1].append(line)
            else:
                groups.append([line])
        windows, heads = [], _heads(self._lines)
        for group in groups:
            window = Window(
                self._lines, max(0, group[0] - OVERLAP), min(len(self._lines), group[-1] + 1 + OVERLAP // 2)
            )
            window = _under(heads, window)
            # The same window again would give the same answer.
            if window not in self._shown and self._fits(window.texts):
                self._looks[window] = set(group)
                windows.append(window)
        return windows

    def _only(self, part: Part, wanted: set[int]) -> Part:
        """A second look's items on the lines it was for, and nothing else of it."""
        carried = {*CARRIED, *self._contract.carry}

        def is_wanted(item: Any) -> bool:
            places = (self._lines.find(place.page, place.box) for place in printed(item, carried))
            return any(line in wanted for line in places)

        lists = {key: value for key, value in (part.tree or {}).items() if isinstance(value, list)}
        tree = {key: [item for item in items if is_wanted(item)] for key, items in lists.items()}
        return replace(part, tree=tree if any(tree.values()) else None, end="stop", look=True)
