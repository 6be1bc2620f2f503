"""A source on its way to its records: what the model is shown, what is shown again, and when it is enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from extraction.checks import Given, MissedLine
from extraction.contract import Contract
from extraction.document import Document, Lines, Window, split, split_pages
from extraction.errors import AssayError, DocumentError
from extraction.evidence import PageIndex
from extraction.example import Branch, Context, Example, ImagePart, Part
from extraction.generate.backend import Backend, Generation
from extraction.record.build import build_answer, build_record
from extraction.record.record import Record
from extraction.record.reply import WindowReply, give, places_of, plain, printed, read_reply, read_window

OVERLAP = 6
"""Lines that two windows of a document share: more than a row of a table takes, heading or comment included."""
LOOKS = 3
"""How often lines that look like rows and are in none are shown again."""
_LOOK_LINES = 12  # lines of a second look, besides those before and after it: few, so that each gets its due

Fits = Callable[[Sequence[Part]], bool]
"""Whether parts of a context fit a prompt."""


class Reading(Protocol):
    """A source being read.

    Attributes:
        examples: what the model is to be shown first.
        done: whether nothing is left to be shown.
    """

    examples: list[Example]

    @property
    def done(self) -> bool:
        """Whether nothing is left to be shown."""
        ...

    def take(self, example: Example, number: int, generation: Generation) -> list[Example]:
        """Note the answer to branch `number` of an example; what the model is to be shown because of it."""
        ...

    def records(self) -> list[Record]:
        """What was read: the record of a document, or one a branch."""
        ...


class ContextReading:
    """A context whose branches are asked as they are; nothing of it is left out."""

    def __init__(self, example: Example, contract: Contract):
        self.examples = [example]
        self._contract, self._example = contract, example
        self._records: dict[int, Record] = {}

    @property
    def done(self) -> bool:
        """Whether every branch has its record."""
        return len(self._records) == len(self._example.branches)

    def take(self, example: Example, number: int, generation: Generation) -> list[Example]:
        """Note an answer."""
        context, branch = example.context, example.branches[number]
        reply = read_reply(generation, self._contract, branch, context.index)
        self._records[number] = build_answer(context, branch, reply, self._contract)
        return []

    def records(self) -> list[Record]:
        """A record a branch, in their order."""
        return [self._records[number] for number in range(len(self._example.branches))]


def record_of(example: Example, generation: Generation, contract: Contract) -> Record:
    """The record of one answer alone: to a window of a document, or to a context's first branch."""
    if in_windows(example):
        window = example.context.index.window  # type: ignore[union-attr]
        return build_record(
            window.lines.whole, [read_window(window, generation, contract, example.branches[0])], contract
        )
    reading = ContextReading(replace(example, branches=example.branches[:1]), contract)
    reading.take(reading.examples[0], 0, generation)
    return reading.records()[0]


def in_windows(example: Example) -> bool:
    """Whether an example is a document to be read as a whole, in windows where it is long, and not asked questions."""
    if len(example.branches) != 1:
        return False
    [branch] = example.branches
    return isinstance(example.context.index, PageIndex) and not (branch.parts or branch.schema)


def document_example(document: Document, contract: Contract, gold: Any = None) -> Example:
    """A document as an example, however long: all of its lines, and its pages' pixels where the contract shows them.

    The lines are those that the task's checks let be shown (`Checks.shown`).
    """
    lines = Lines(contract.rules.shown(document) if contract.view == "text" else document, document)
    pages = () if contract.view == "text" else tuple(page.number for page in document.pages)
    return window_example(Window(lines, 0, len(lines), pages), contract, Branch(gold=gold))


def window_example(window: Window, contract: Contract, branch: Branch) -> Example:
    """What a model is shown of a window, and asked."""
    document = window.lines.document
    images = [ImagePart.of_page(document, number, contract.dpi, contract.pan_and_scan) for number in window.pages]
    texts = window.texts if contract.view != "image" else []
    return Example(Context(document.path.name, (*images, *texts), PageIndex(window), document.sha256), (branch,))


def sheets_of(whole: Window, contract: Contract) -> list[tuple[Window, tuple[Given, ...]]]:
    """All that is shown of a document, one sheet after the other (`Checks.sheets`), and what is given for each.

    `whole` is all of it, and alone where the task's checks know of no more sheets, or a document goes on from a window.
    """
    sheets = contract.rules.sheets(whole.document) if contract.view == "text" and not whole.start else []
    if len(sheets) < 2:
        return [(whole, ())]
    lines = [Lines(sheet.document, whole.lines.whole, sheet.moved) for sheet in sheets]
    return [(Window(own, 0, len(own)), sheet.given) for own, sheet in zip(lines, sheets, strict=True)]


def windows_of(whole: Window, contract: Contract, fits: Fits) -> list[Window]:
    """The windows in which a document is shown: one where it fits a prompt. `whole` is all of it."""
    if contract.view == "text":
        return text_windows(whole, contract, fits)
    return split_pages(whole.lines, _page_fits(contract, fits))


def text_windows(window: Window, contract: Contract, fits: Fits) -> list[Window]:
    """Windows that together show the lines of `window`; it alone where it fits.

    A window is shown the titles of the table it begins in, where the task's checks know them: without them nothing
    tells one column from the next.
    """
    heads = contract.rules.heads(window.lines)
    if fits(_under(heads, window).texts):
        return [_under(heads, window)]
    longest = max((window.lines.lines[head][1].text for head in heads), key=len, default="")
    if not heads or not fits([longest]):
        return split(window, fits, OVERLAP)
    return [_under(heads, part) for part in split(window, lambda texts: fits([longest, *texts]), OVERLAP)]


def _page_fits(contract: Contract, fits: Fits) -> Callable[[Window], bool]:
    return lambda window: fits(window_example(window, contract, Branch()).context.parts)


def _under(heads: list[int], window: Window) -> Window:
    """A window with the titles last above it, on its first page or the one before, unless it begins with its own."""
    above = [head for head in heads if head < window.start]
    near = range(window.start, window.start + 2)
    if not above or any(head in near for head in heads):
        return window
    first, own = (window.lines.lines[number][0].number for number in (above[-1], window.start))
    return replace(window, head=above[-1]) if own - first <= 1 else window


def check_room(example: Example, contract: Contract, fits: Fits) -> None:
    """See that an example can be shown; a document only piece by piece, in windows.

    Raises:
        AssayError: the instruction alone is longer than a prompt.
        DocumentError: the image of one page is, or a context with one of its questions.
    """
    name, most = example.context.name, f"max_prompt_tokens={contract.max_prompt_tokens}"
    if in_windows(example):
        if not fits(()):
            raise AssayError(
                f"The instruction, with its schema, is alone longer than {most}; make the schema smaller, or raise it "
                "in the contract."
            )
        pages = [part for part in example.context.parts if isinstance(part, ImagePart)]
        if large := next((part for part in pages if not fits((part,))), None):
            raise DocumentError(
                f"{name}: the image of page {large.page}, with the instruction and its schema, is longer than {most}; "
                "raise it in the contract."
            )
    elif not all(fits((*example.context.parts, *branch.parts)) for branch in example.branches):
        raise DocumentError(
            f"{name} with a question on it is longer than {most}; show less of it, or raise it in the contract."
        )


class RefusedReading:
    """An example that cannot be shown: nothing is asked of it, and each of its records says why."""

    def __init__(self, example: Example, error: DocumentError):
        self.examples: list[Example] = []
        self.done = True
        self._example, self._error = example, error

    def take(self, example: Example, number: int, generation: Generation) -> list[Example]:
        """Never called: nothing was asked."""
        raise NotImplementedError

    def records(self) -> list[Record]:
        """A failed record a branch."""
        failed = Record.failed(self._example.context.name, "unreadable", str(self._error))
        return [replace(failed) for _ in self._example.branches]


class DocumentReading:
    """A document being read.

    A document that is longer than a prompt is shown in windows. An answer that was cut within a list is continued: the
    lines below the last item it told of are shown again. Where the task's checks look again, lines that look like rows
    and are in none are shown once more by themselves; of what is read then, only items on those lines are taken.

    Args:
        example: the document, see `document_example`.
        contract: the task.
        fits: whether parts fit a prompt.

    """

    def __init__(self, example: Example, contract: Contract, fits: Fits):
        assert isinstance(example.context.index, PageIndex)
        whole = example.context.index.window
        self._document, self._contract, self._fits = whole.lines.whole, contract, fits
        self._branch = example.branches[0]
        self._replies: list[WindowReply] = []
        self._shown: set[Window] = set()
        self._looks: dict[Window, set[int]] = {}
        self._rounds = 0
        sheets = sheets_of(whole, contract)
        self._lines = [sheet.lines for sheet, _ in sheets]
        self._given = {sheet.lines: given for sheet, given in sheets}
        windows = [window for sheet, _ in sheets for window in windows_of(sheet, contract, fits)]
        self.examples = self._examples(windows)
        self._open = len(windows)

    @property
    def done(self) -> bool:
        """Whether nothing is left to be shown."""
        return not self._open

    def take(self, example: Example, number: int, generation: Generation) -> list[Example]:
        """Note the answer to a window; what the model is to be shown because of it."""
        assert isinstance(example.context.index, PageIndex)
        window = example.context.index.window
        reply = read_window(window, generation, self._contract, self._branch)
        reply = replace(reply, tree=give(reply.tree, self._given.get(window.lines, ()), self._contract))
        self._shown.add(window)
        more: list[Window] = []
        if window in self._looks:
            reply = self._only(reply, self._looks[window])
        else:
            more = self._rest(reply)
        self._replies.append(reply)
        self._open += len(more) - 1
        if not self._open:
            more = self._second_looks()
            self._open = len(more)
        return self._examples(more)

    def records(self) -> list[Record]:
        """The record of all that was read."""
        order = {lines: number for number, lines in enumerate(self._lines)}
        replies = sorted(self._replies, key=lambda r: (order[r.window.lines], r.window.start, r.window.stop))
        return [build_record(self._document, replies, self._contract)]

    def _examples(self, windows: Sequence[Window]) -> list[Example]:
        return [window_example(window, self._contract, self._branch) for window in windows]

    def _rest(self, reply: WindowReply) -> list[Window]:
        """Windows over what an answer that was cut did not come to; none where it told of one line or less."""
        window = reply.window
        if window.pages:
            # The same page again would give the same answer: it goes on with the next that was not begun.
            begun = window.lines.lines[reply.stop - 1][0].number if reply.stop > window.start else 0
            first, last = max(begun, window.pages[0] + 1), window.pages[-1]
            return self._pages(first, last) if reply.in_list and begun and first <= last else []
        told = reply.stop - window.start
        start = reply.stop - min(OVERLAP, told // 2)
        # The last line it told of may hold more (tables side by side), so the rest is never empty.
        if not reply.in_list or told <= 1:
            return []
        return text_windows(window.part(start), self._contract, self._fits)

    def _pages(self, first: int, last: int) -> list[Window]:
        return split_pages(self._lines[0], _page_fits(self._contract, self._fits), first, last)

    def _second_looks(self) -> list[Window]:
        """Windows around the lines that look like rows and are in none yet."""
        # Some lines of a page with all of its pixels are a prompt that no model was taught.
        rules = self._contract.rules
        if not rules.looks_again or self._rounds == LOOKS or self._contract.view != "text":
            return []
        self._rounds += 1
        trees = [reply.tree for reply in self._replies if reply.tree]
        data = [plain(tree) for tree in trees]
        missed = rules.missed(self._document, data, places_of(trees), self._contract)
        return [window for lines in self._lines for window in self._looks_at(missed, lines)]

    def _looks_at(self, missed: Sequence[MissedLine], lines: Lines) -> list[Window]:
        numbers = sorted({lines.find(line.page, line.box) for line in missed} - {-1})
        groups: list[list[int]] = []
        for line in numbers:
            if groups and line - groups[-1][-1] <= OVERLAP and line - groups[-1][0] < _LOOK_LINES:
                groups[-1].append(line)
            else:
                groups.append([line])
        windows, heads = [], self._contract.rules.heads(lines)
        for group in groups:
            start, stop = group[0], group[-1] + 1
            around = Window(lines, max(0, start - OVERLAP), min(len(lines), stop + OVERLAP // 2))
            # The same window again would give the same answer: then the lines alone, under their titles.
            looks = (_under(heads, window) for window in (around, Window(lines, start, stop)))
            window = next((one for one in looks if one not in self._shown and self._fits(one.texts)), None)
            if window:
                self._looks[window] = set(group)
                windows.append(window)
        return windows

    def _only(self, reply: WindowReply, wanted: set[int]) -> WindowReply:
        """A second look's items on the lines it was for, and nothing else of it."""

        def is_wanted(item: Any) -> bool:
            lines = reply.window.lines
            places = (lines.find(place.page, place.box) for place in printed(item, self._contract.headings))
            return any(line in wanted for line in places)

        lists = {key: value for key, value in (reply.tree or {}).items() if isinstance(value, list)}
        tree = {key: [item for item in items if is_wanted(item)] for key, items in lists.items()}
        return replace(reply, tree=tree if any(tree.values()) else None, end="stop", look=True)


def serve(readings: Iterable[Reading | None], backend: Backend, contract: Contract) -> Iterator[Reading | None]:
    """Readings as they are done, in whatever order, a backend's rows kept full with what all of them ask.

    A reading is begun only when the backend asks for more, so few are open at a time. `None` among `readings` means
    that none is ready now; the caller gets a `None` for it as soon as the backend has nothing better to do.
    """
    asked: deque[Example] = deque()
    owners: dict[int, tuple[Reading, Example, int]] = {}  # by an example's id; its reading, itself, answers to come
    finished: list[Reading] = []

    def ask(reading: Reading, examples: Iterable[Example]) -> None:
        for example in examples:
            example = replace(example) if id(example) in owners else example  # one that is asked twice
            owners[id(example)] = reading, example, len(example.branches)
            asked.append(example)

    def examples() -> Iterator[Example | None]:
        for reading in readings:
            if reading is None:
                yield None
            elif reading.done:  # nothing is asked of it
                finished.append(reading)
                yield None
            else:
                ask(reading, reading.examples)
            while asked:
                yield asked.popleft()
        while owners:
            yield asked.popleft() if asked else None

    for answer in backend.generate(examples(), contract):
        yield from finished
        finished.clear()
        if answer is None:
            yield None
            continue
        example, number, generation = answer
        reading, _, left = owners.pop(id(example))
        if left > 1:
            owners[id(example)] = reading, example, left - 1
        ask(reading, reading.take(example, number, generation))
        if reading.done:
            yield reading
    yield from finished
