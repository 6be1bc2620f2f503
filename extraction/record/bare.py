"""Values that a model made up beside a row whose every word was read: taken out, they leave nothing open."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from extraction.contract import Contract
from extraction.document import Document, Page
from extraction.document.windows import Box, overlap
from extraction.evidence import PageEvidence
from extraction.record.record import SetAside
from extraction.schema import pointer

Path = tuple[str | int, ...]

_DOWN = 2.0  # times a row's height: what a row says below its line stands no further down
_OVERLAP = 0.3  # share of a word's box: less is a neighbour's edge


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


def _unread(page: Page, own: Collection[PageEvidence], places: Collection[PageEvidence]) -> Iterator[str]:
    """Words of a row that no value was read from: any on its own lines, numbers below them."""
    top, bottom = min(place.box[1] for place in own), max(place.box[3] for place in own)
    boxes = [place.rest.box if place.rest else place.box for place in places if place.page == page.number]
    height = min(place.box[3] - place.box[1] for place in own)
    below = [box[1] for box in boxes if box[1] > bottom - 0.5 * height]
    end = min([bottom + _DOWN * height, *below])
    for word in page.words:
        middle = (word.box[1] + word.box[3]) / 2
        counts = any(map(str.isalnum if middle <= bottom else str.isdigit, word.text))
        if top <= middle <= end and counts and not any(_covers(box, word.box) for box in boxes):
            yield word.text


def _covers(box: Box, word: Box) -> bool:
    return overlap(box, word) > _OVERLAP
