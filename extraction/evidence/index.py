"""The indices of contexts, in which evidence is found: the words of pages, the numbered lines of a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from extraction.document import Document, Window
from extraction.evidence.evidence import Evidence, LineEvidence, PageEvidence
from extraction.evidence.ground import ground

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
        """The lines that an answer cites, and for its other values the first of them that has the value's text."""
        cites = contract.fields("line")
        numbers = {leaf.path: leaf.value for leaf in leaves if set(leaf.path) & set(cites)}
        cited = {
            path: LineEvidence(self.lines[number - 1], line=number)
            for path, number in numbers.items()
            if isinstance(number, int) and 1 <= number <= len(self.lines)
        }
        found: dict[Path, Evidence] = dict(cited)
        for leaf in leaves:
            wanted = str(leaf.value).casefold()
            place = next((place for place in cited.values() if wanted in place.text.casefold()), None)
            if leaf.path not in numbers and place:
                found[leaf.path] = place
        return found
