"""The headings that stand above results, told by where lines stand: for results whose heading the model read wrongly.

A heading is a line of one short cell, no sentence and no label, that stands no further right than the names below it,
with nothing but other headings, labels and titles of columns between it and a result. One that is further right than
the heading above it belongs to that one. Where lines do not tell, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from recipes.lab_report.lines import Cell, cells_of, is_finding, names_columns, names_limits
from recipes.lab_report.patterns import BLOCKS, LEVEL

Path = tuple[str | int, ...]

_WORDS = 6  # of a heading, the most
_INDENT = 2.0  # points: what is further right is indented
_SAME = 0.5
_GOES_ON = re.compile(
    r"\s*\((?:cont(?:inued|\.|d)?\.?|fortsetzung|forts\.|suite|vervolg|segue|sigue|продолжение)\)$", re.I
)


@dataclass(frozen=True)
class _Heading:
    text: str
    place: PageEvidence

    @property
    def left(self) -> float:
        return self.place.box[0]


def headings(document: Document, names: Mapping[Path, PageEvidence]) -> dict[Path, PageEvidence]:
    """The headings of results ("Chemistry > Electrolytes"), by their rows; without those that lines do not tell.

    Args:
        document: with its words.
        names: where the names of results stand, by their rows.
    """
    found: dict[Path, PageEvidence] = {}
    chain: list[_Heading] | None = []
    begun = False
    for page in document.pages:
        own = {path: place for path, place in names.items() if place.page == page.number}
        lines = [list(cells_of(page, row)) for row in gather_rows(page.words)] if page.words and own else []
        rows = [[path for path, place in own.items() if _stands_on(place, cells)] for cells in lines]
        if any(len(paths) > 1 for paths in rows):
            chain = None  # tables side by side
            continue
        left = [min((own[path].box[0] for path in paths), default=None) for paths in rows]
        new: list[_Heading] = []
        for number, cells in enumerate(lines):
            if rows[number]:
                begun = True
                if new:
                    chain, new = _below(chain, new), []
                if chain:
                    text = " > ".join(one.text for one in chain)
                    found[rows[number][0]] = replace(chain[-1].place, text=text)
            elif len(cells) == 1 and _may_head(cells[0], lines[number + 1 :], left[number + 1 :]):
                text = _GOES_ON.sub("", cells[0].text)
                if not new and chain and any(one.text == text for one in chain):
                    chain = chain[: [one.text for one in chain].index(text)]
                new.append(_Heading(text, _evidence(page, cells[0], len(text))))
            elif _may_be_any(cells):
                chain, new = (None if begun else []), []
    return found


def _may_be_any(cells: Sequence[Cell]) -> bool:
    """Whether a line may be a heading of another kind, or a part of one: then nothing is said of what stands below."""
    words = [cell for cell in cells if cell.is_name and cell.text[-1] not in ".;:" and ":" not in cell.text]
    return len(words) == len(cells) > 0 and all(len(cell.text.split()) <= _WORDS for cell in cells)


def _stands_on(place: PageEvidence, cells: Sequence[Cell]) -> bool:
    return any(overlap(place.box, cell.box) > _SAME for cell in cells)


def _may_head(cell: Cell, below: Sequence[Sequence[Cell]], left: Sequence[float | None]) -> bool:
    """Whether a line's only cell may be a heading: by its words, and by what stands between it and a result.

    `left` says where the names of results begin that stand on the lines below.
    """
    text = cell.text
    if (
        len(text.split()) > _WORDS
        or text[-1] in ".;,:!?"
        or re.search(r"[:=]|\d{3}", text)
        or text[0].islower()
        or text[0] in "(["
    ):
        return False
    if not cell.is_name or LEVEL.fullmatch(text) or is_finding(text):
        return False
    for cells, edge in zip(below, left, strict=True):
        if edge is not None:
            return cell.box[0] <= edge + _INDENT
        label = cells[0].text.partition(":")[0].strip() if cells and ":" in cells[0].text else ""
        titles = names_limits(cells) or names_columns("  ".join(one.text for one in cells))
        if not (BLOCKS["specimen"].fullmatch(label) if label else titles or len(cells) == 1):
            return False
    return False


def _below(chain: list[_Heading] | None, new: list[_Heading]) -> list[_Heading] | None:
    """The headings that hold below `new` ones, which follow each other, where `chain` held above them."""
    inner = [one.left for one in new]
    if len(new) > 1:
        # Of two that begin alike the first may have nothing below it.
        return new if len(new) == 2 and inner[1] > inner[0] + _INDENT else None
    if not chain:
        return None if chain is None else new
    outer = [one for one in chain if one.left < inner[0] - _INDENT]
    if outer:
        return [*outer, *new]
    level = [one for one in chain if abs(one.left - inner[0]) <= _INDENT]
    return new if len(level) == len(chain) == 1 or not level else None


def _evidence(page: Page, cell: Cell, length: int) -> PageEvidence:
    words = [page.words[number] for number in cell.words]
    text = " ".join(word.text for word in words)
    return PageEvidence(text[:length], min(word.score for word in words), page=page.number, box=cell.box)
