"""Draws pages without results: letters, notices, instructions, invoices, request forms, lists of reference values.

They name tests, units, limits, codes and sums of money; a model must learn that none of it is a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .furniture import Furniture
from .parts import Content
from .sheet import Run, Sheet, wrap
from .style import Style
from .vocabulary import choices

# Where the columns of an invoice begin, as shares of the width: training's; the other splits have their own.
_INVOICES: Sequence[dict[str, float]] = (
    {"name": 0.0, "code": 0.5, "price": 0.75},
    {"code": 0.0, "name": 0.2, "price": 0.8},
    {"name": 0.0, "price": 0.7},
    {"code": 0.0, "name": 0.15, "price": 0.65},
)


class BlankPage:
    """Draws the contents of one page that has no results."""

    def __init__(self, sheet: Sheet, content: Content, style: Style, furniture: Furniture, rng: Random):
        self.sheet, self.content, self.style, self.furniture, self.rng = sheet, content, style, furniture, rng
        self.size = 9.5
        self.left, self.right = furniture.left, furniture.right

    def draw(self, kind: str, y: float, bottom: float) -> None:
        """Draw a page of this kind between two heights."""
        words, furniture = self.content.words, self.furniture
        if kind == "letter":
            furniture.paragraphs(self.content.letter, y, bottom)
        elif kind == "apology":
            furniture.paragraphs([self.content.apology], y, bottom)
        elif kind == "notice":
            furniture.paragraphs([self.content.extras.notice], y, bottom)
        elif kind == "guide":
            guide = choices(words["guide"])
            lines = self.rng.sample(guide, self.rng.randrange(2, len(guide) + 1))
            furniture.paragraphs([self.title("guide_title"), *lines], y, bottom)
        elif kind == "interpretation":
            long = choices(words["long"])
            lines = [*self.rng.sample(long, min(2, len(long))), *self.rng.sample(choices(words["conclusions"]), 2)]
            furniture.paragraphs([self.title("conclusion"), *lines], y, bottom)
        else:
            getattr(self, kind)(y, bottom)

    def title(self, key: str) -> str:
        """One of a heading's wordings."""
        return self.rng.choice(choices(self.content.words[key]))

    def line(self, y: float, cells: list[tuple[float, str]], bold: bool = False) -> None:
        """Draw texts at their shares of the width."""
        width = self.right - self.left
        for place, text in cells:
            self.furniture.text(text, self.left + place * width, y, self.size, bold=bold)

    def invoice(self, y: float, bottom: float) -> None:
        """Tests with codes and prices, and their sum."""
        heads, total, terms = choices(self.content.words["invoice_words"])
        titles = dict(zip(("name", "code", "price"), heads.split("|"), strict=True))
        places = {"name": 0.0, "code": 0.55, "price": 0.8}
        if self.style.edition == "train":
            places = self.rng.choice(_INVOICES)
        self.line(y + 12, [(0, self.title("invoice"))], bold=True)
        y += 32
        self.line(y, [(place, titles[kind]) for kind, place in places.items()], bold=True)
        mark, sum_ = self.content.place["decimal"], 0
        for row in self.content.extras.listing:
            y += self.size * 1.5
            if y > bottom - 60:
                break
            cents = self.rng.randrange(150, 6000)
            sum_ += cents
            cells = {"name": row.name, "code": row.code, "price": f"{cents // 100}{mark}{cents % 100:02d}"}
            self.line(y, [(place, cells[kind]) for kind, place in places.items()])
        self.line(y + 20, [(0.55, total), (places["price"], f"{sum_ // 100}{mark}{sum_ % 100:02d}")], bold=True)
        self.furniture.paragraphs([terms], y + 26, bottom)

    def request(self, y: float, bottom: float) -> None:
        """Tests asked for, with boxes to tick, in two columns."""
        heading, tubes, tick, sign = choices(self.content.words["request_words"])
        priced = self.rng.random() < 0.35
        box = self.rng.choice(("[ ]", "[X]", "( )", "-", "o"))
        self.line(y + 12, [(0, self.title("request"))], bold=True)
        self.line(y + 28, [(0, heading), (0.6, tick)])
        y += 34
        for number, row in enumerate(self.content.extras.listing):
            at = y + self.size * 1.5 * (number // 2 + 1)
            if at > bottom - 60:
                break
            ticked = "[X]" if box == "[ ]" and self.rng.random() < 0.4 else box
            cells = [(0.5 * (number % 2), f"{ticked} {row.name}")]
            if priced:
                cents, mark = self.rng.randrange(150, 9000), self.content.place["decimal"]
                cells.append((0.5 * (number % 2) + 0.38, f"{cents // 100}{mark}{cents % 100:02d}"))
            self.line(at, cells)
        y += self.size * 1.5 * (len(self.content.extras.listing) // 2 + 2)
        if y < bottom - 50:
            self.line(y + 10, [(0, tubes)])
            self.line(y + 36, [(0.6, sign)])

    def values(self, y: float, bottom: float) -> None:
        """Reference values by test: names, units and limits, but no result."""
        titles = self.content.titles
        self.line(y + 12, [(0, self.title("answer_form"))], bold=True)
        y += 32
        self.line(y, [(0, titles["name"]), (0.5, titles["unit"]), (0.68, titles["range"])], bold=True)
        for row in self.content.extras.listing:
            lines = [text for text in row.printed.range_lines if text]
            if not lines:
                continue
            if y + self.size * 1.5 * len(lines) > bottom:
                return
            for number, text in enumerate(lines):
                y += self.size * 1.5
                name = row.name if number == 0 else ""
                run = wrap(Run(name, size=self.size, font=self.style.font), (self.right - self.left) * 0.48)[0]
                self.line(y, [(0, run.text), (0.5, (row.printed.unit or "") if number == 0 else ""), (0.68, text)])
