"""Where a value was read: a box on a page, a line of a record, a slice of a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """What was read for a value, as it stands in its context, and how sure the least sure of its words is (OCR's, 0 to
    1).
    """

    text: str
    score: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """The place as JSON."""
        return {"text": self.text}


@dataclass(frozen=True)
class Rest:
    """What a printed cell says besides the value that was read from it, on its lines before and behind the value.

    `text` is all of the cell, `box` around it; a cell that goes on in the next line or began in the one before is one.
    """

    before: str
    behind: str
    text: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class PageEvidence(Evidence):
    """Words of a document: their page, from 1, and the box around them (x0, y0, x1, y1), points from the top left.

    `rest` is None, or what a name's cell says besides the name and other values.
    """

    page: int
    box: tuple[float, float, float, float]
    rest: Rest | None = None

    def to_dict(self) -> dict[str, Any]:
        """The place as JSON; the box to a tenth of a point."""
        return {"page": self.page, "box": [round(edge, 1) for edge in self.box], "text": self.text}


@dataclass(frozen=True, kw_only=True)
class LineEvidence(Evidence):
    """A line of a record, by its number, from 1."""

    line: int

    def to_dict(self) -> dict[str, Any]:
        """The place as JSON."""
        return {"line": self.line, "text": self.text}


@dataclass(frozen=True, kw_only=True)
class ImageEvidence(Evidence):
    """Images that an answer names, by the labels under which they were shown (`SLICE 3`), in the answer's order."""

    images: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The place as JSON."""
        return {"images": list(self.images), "text": self.text}
