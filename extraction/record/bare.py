"""What a model made up where every word that is printed was read: taken out, it leaves nothing open."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from extraction.contract import Contract
from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from extraction.document.windows import Box, overlap
from extraction.evidence import PageEvidence
from extraction.record.record import SetAside
from extraction.schema import pointer

Path = tuple[str | int, ...]

_DOWN = 2.0  # times a row's height: what a row says below its line stands no further down
_OVERLAP = 0.3  # share of a word's box: less is a neighbour's edge
_PROSE = 5  # words: a cell of so many that are mostly letters is a sentence, and no value


def made_up(
    aside: Collection[SetAside], document: Document, places: Mapping[Path, PageEvidence], contract: Contract
) -> list[SetAside]:
    """Of values that were set aside, units and ranges that stand nowhere and of whose row nothing is left unread.

    That is where the row's own line has no other word, and below it, down to the next row, stands no other number.

    Args:
        aside: what was set aside, with paths into the record's data.
        document: whose words are looked at.
        places: where the values of the record stand.
        contract: whose roles say what a unit and a range is.
    """
    pages = {page.number: page for page in document.pages}
    rows: dict[str, list[PageEvidence]] = {}
    for path, place in places.items():
        if path[-1] not in contract.headings:
            rows.setdefault(pointer(path[:-1]), []).append(place)
    fields = {*contract.fields("unit"), *contract.fields("range")}
    found = []
    for one in aside:
        row, _, field = one.path.rpartition("/")
        own = rows.get(row, [])
        page = pages.get(own[0].page) if own else None
        if field in fields and not one.evidence and page and not any(_unread(page, own, places.values())):
            found.append(one)
    return found


def no_row(
    aside: Collection[tuple[SetAside, Mapping[str, PageEvidence]]],
    document: Document,
    places: Mapping[Path, PageEvidence],
    contract: Contract,
) -> list[SetAside]:
    """Of rows that were set aside, those that are none: headings and lines of text taken for results.

    The name is printed, nothing else on its line is unread, nor is the line below it; its value, unit and range are
    printed nowhere, or there another row was read.

    Args:
        aside: each row with the places of its values, by their fields.
        document: whose words are looked at.
        places: where the values of the rows that are left stand.
        contract: whose roles say what names a row and what is told of it.
    """
    pages = {page.number: page for page in document.pages}
    own = [place for path, place in places.items() if path[-1] not in contract.headings]
    found = []
    for row, cells in aside:
        names = [place for key, place in cells.items() if key in contract.fields("name")]
        values = [place for key, place in cells.items() if key not in (*contract.fields("name"), *contract.headings)]
        free = [value for value in values if not any(_covers(place.box, value.box) for place in own)]
        page = pages.get(names[0].page) if names else None
        if page and not free and not any(_unread(page, names, [*names, *places.values()], str.isalnum)):
            found.append(row)
    return found


def _unread(
    page: Page,
    own: Collection[PageEvidence],
    places: Collection[PageEvidence],
    below_it: Callable[[str], bool] = str.isdigit,
) -> Iterator[str]:
    """Words of a row that no value was read from: any on its own lines, below them those with a sign that `below_it`
    holds for. Sentences are none of it.
    """
    top, bottom = min(place.box[1] for place in own), max(place.box[3] for place in own)
    boxes = [place.rest.box if place.rest else place.box for place in places if place.page == page.number]
    height = min(place.box[3] - place.box[1] for place in own)
    left, right = min(place.box[0] for place in own), max(place.box[2] for place in own)
    below = [box[1] for box in boxes if box[1] > bottom - 0.5 * height and box[0] < right and box[2] > left]
    end = min([bottom + _DOWN * height, *below])
    prose = _prose(page)
    for word in page.words:
        middle = (word.box[1] + word.box[3]) / 2
        counts = any(map(str.isalnum if middle <= bottom else below_it, word.text))
        told = not counts or any(_covers(box, word.box) for box in boxes) or (middle > bottom and word.box in prose)
        if top <= middle <= end and not told:
            yield word.text


def _prose(page: Page) -> set[Box]:
    """The boxes of words in sentences."""
    cells = (cell for row in gather_rows(page.words) for cell in row.cells if len(cell.words) > _PROSE)
    return {
        page.words[number].box
        for cell in cells
        if 3 * sum(map(str.isalpha, cell.text)) > 2 * len(cell.text.replace(" ", ""))
        for number in cell.words
    }


def _covers(box: Box, word: Box) -> bool:
    return overlap(box, word) > _OVERLAP
