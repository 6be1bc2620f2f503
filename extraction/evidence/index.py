"""The indices of contexts, in which evidence is found: words of pages, lines of a record, labels of images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from extraction.document import Document, Page, Window, Word
from extraction.evidence.evidence import Evidence, ImageEvidence, LineEvidence, PageEvidence
from extraction.evidence.ground import ground
from extraction.evidence.printed import Printed
from extraction.evidence.sought import Sought

if TYPE_CHECKING:
    from extraction.contract import Contract
    from extraction.target import Leaf

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class PageIndex:
    """The words that a window of a document shows."""

    window: Window

    @property
    def document(self) -> Document:
        """The whole document that the window is of."""
        return self.window.lines.whole

    def ground(self, leaves: Sequence[Leaf], contract: Contract) -> dict[Path, PageEvidence]:
        """Where on the pages each value is printed."""
        found = ground(leaves, self.window.document, roles=contract.roles, carried=contract.headings)
        lines = self.window.lines
        return {path: replace(place, box=lines.printed(place.page, place.box)) for path, place in found.items()}


@dataclass(frozen=True)
class LineIndex:
    """The numbered lines of a record; line n, counted from 1, is `lines[n - 1]`."""

    lines: Sequence[str]

    def ground(self, leaves: Sequence[Leaf], contract: Contract) -> dict[Path, Evidence]:
        """The lines that an answer cites, and for its other values the first of them that says the value."""
        cites = contract.fields("line")
        numbers = {leaf.path: leaf.value for leaf in leaves if set(leaf.path) & set(cites)}
        cited = {
            path: LineEvidence(self.lines[number - 1], line=number)
            for path, number in numbers.items()
            if isinstance(number, int) and 1 <= number <= len(self.lines)
        }
        found: dict[Path, Evidence] = dict(cited)
        places = sorted({place for place in cited.values() if place.text.strip()}, key=lambda place: place.line)
        sought = Sought(Printed(_as_page([place.text for place in places])))
        for leaf in leaves:
            if leaf.path in numbers:
                continue
            role = contract.roles.get(next((step for step in reversed(leaf.path) if isinstance(step, str)), ""))
            if spots := sought.spots(leaf.value, role):
                found[leaf.path] = places[min(spot.line for spot in spots)]
        return found


@dataclass(frozen=True)
class LabelIndex:
    """Images that are shown with a label of one line behind each: slices of a volume, patches of a slide."""

    labels: Sequence[str]

    def ground(self, leaves: Sequence[Leaf], contract: Contract) -> dict[Path, ImageEvidence]:
        """The images that an answer names, as they are labelled; a name that was not shown is no evidence."""
        anyone = re.compile("|".join(rf"\b{re.escape(label)}\b" for label in self.labels))
        found: dict[Path, ImageEvidence] = {}
        for leaf in leaves:
            if named := tuple(dict.fromkeys(anyone.findall(str(leaf.value)))) if self.labels else ():
                found[leaf.path] = ImageEvidence(", ".join(named), images=named)
        return found


def _as_page(lines: Sequence[str]) -> Document:
    """Lines of text as a page that prints them one below the other, so that values are looked for as on any page."""
    words = [
        Word(word.group(), (6.0 * word.start(), 20.0 * row, 6.0 * word.end(), 20.0 * row + 10))
        for row, line in enumerate(lines)
        for word in re.finditer(r"\S+", line)
    ]
    width = max((word.box[2] for word in words), default=1.0)
    return Document(FilePath("lines"), "", [Page(1, width, 20.0 * len(lines) + 1, words)])
