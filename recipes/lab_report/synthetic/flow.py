"""Says where the next line goes: down a frame, then to the next frame or page."""

from __future__ import annotations

from .furniture import Furniture
from .sheet import Sheet
from .style import Style


class TooNarrowError(Exception):
    """Half a page is too narrow for these columns at a legible size."""


class Flow:
    """Where the next thing goes: down a frame, then to the next frame, then to the next page."""

    def __init__(self, sheet: Sheet, style: Style, furniture: Furniture):
        self.sheet, self.style, self.furniture = sheet, style, furniture
        self.top, self.bottom = furniture.begin()
        self.y, self.frame, self.first_limit = self.top, 0, 0.0
        gap = 22 * (style.frames - 1)
        self.width = (sheet.width - 2 * style.margin - gap) / style.frames

    @property
    def x(self) -> float:
        """Left end of the current frame."""
        return self.style.margin + self.frame * (self.width + 22)

    @property
    def right(self) -> float:
        """Right end of the current frame."""
        return self.x + self.width

    def fits(self, height: float) -> bool:
        """Whether a height is still free in the frame."""
        return self.y + height <= self.limit

    @property
    def limit(self) -> float:
        """Where the frame ends: the first of two may be cut short, so that both are filled alike."""
        if self.first_limit and self.frame < self.style.frames - 1:
            return min(self.bottom, self.first_limit)
        return self.bottom

    def advance(self) -> None:
        """Go to the next frame or page."""
        self.frame += 1
        if self.frame >= self.style.frames:
            self.sheet.next_page()
            self.top, self.bottom = self.furniture.begin()
            self.frame, self.first_limit = 0, 0.0
        self.y = self.top
