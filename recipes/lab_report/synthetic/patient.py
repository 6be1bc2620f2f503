"""Draws the blocks of patient, doctor and dates in the forms that habits add to those of furniture.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .head import Piece, head_pieces, of_head
from .parts import Content
from .sheet import Box, Sheet, face, text_width
from .style import Style

_SIZE, _STEP = 8.5, 11.5
_WHO = ("patient", "birth", "sex", "age")


class PatientBlock:
    """Draws one block; `text` is the page's own way of writing a line."""

    def __init__(self, sheet: Sheet, content: Content, style: Style, text: Callable[..., None]):
        self.sheet, self.content, self.style, self.text = sheet, content, style, text
        self.left, self.right = style.margin, sheet.width - style.margin
        values = {entry[0]: of_head(entry) for entry in content.fields}
        about: list[Piece] = []
        for kind in _WHO[1:]:
            if kind in values:
                about += [("  " if about else "", ""), ("°" if kind == "birth" else "", ""), values[kind]]
        self.person: list[str | list[Piece]] = [[values["patient"]], *content.extras.patient_address, about]
        self.doctor: list[str | list[Piece]] = [[(content.doctor, "ordered_by")], *content.extras.doctor_address]
        self.rest = [(entry[1], of_head(entry)) for entry in content.fields if entry[0] not in (*_WHO, "doctor")]

    def draw(self, kind: str, y: float) -> float:
        """Draw a block of this kind from y on; return the y below it."""
        below: float = getattr(self, kind)(y)
        return below

    def lines(self, texts: Sequence[str | list[Piece]], x: float, y: float, width: float, bold: bool = False) -> float:
        """Draw lines one below the other, the first one bold if asked; return the y below them."""
        for number, text in enumerate(texts):
            self.text(text, x, y + _STEP * (number + 1) - 2, _SIZE, bold=bold and number == 0, width=width)
        return y + _STEP * len(texts)

    def pairs(self, y: float, columns: int, lower: bool = False) -> float:
        """Draw the dates and numbers as "label: value" in columns; return the y below them."""
        width = (self.right - self.left) / columns
        rows = -(-len(self.rest) // columns)
        for column in range(columns):
            part = self.rest[column * rows : (column + 1) * rows]
            labels = [f"{label.lower() if lower else label}:" for label, _ in part]
            gap = max((text_width(label, face(self.style.font), _SIZE) for label in labels), default=0.0) + 8
            gap = min(gap, width * 0.5)
            x = self.left + column * width
            for number, (label, (_, value)) in enumerate(zip(labels, part, strict=True)):
                at = y + _STEP * (number + 1) - 2
                self.text(label, x, at, _SIZE, width=gap - 4)
                self.text([value], x + gap, at, _SIZE, width=width - gap - 8)
        return y + _STEP * rows

    def window(self, y: float) -> float:
        """Person and doctor side by side as on an envelope, the dates below."""
        half = (self.right - self.left) / 2 - 12
        middle = (self.left + self.right) / 2
        low = max(self.lines(self.person, self.left, y, half, bold=True), self.lines(self.doctor, middle, y, half))
        low = self.pairs(low + 6, 2)
        self.sheet.rule(self.left, low + 4, self.right, low + 4, 0.4)
        return low + 14

    def dossier(self, y: float) -> float:
        """Grey bars with titles: the request's dates, then person and doctor."""
        y = self.pairs(self.bar(self.content.headline, y), 2, lower=True) + 4
        label = next(label for kind, label, _ in self.content.fields if kind == "patient")
        y = self.bar(label.upper(), y)
        half = (self.right - self.left) / 2 - 12
        middle = (self.left + self.right) / 2
        low = max(self.lines(self.person, self.left + 4, y, half, bold=True), self.lines(self.doctor, middle, y, half))
        return low + 12

    def bar(self, title: str, y: float) -> float:
        """Draw a grey bar with a title; return the y below it."""
        self.sheet.rect(Box(self.left, y, self.right, y + 13), fill="#d9d9d9", stroke=None)
        self.text(title, self.left + 4, y + 9.5, _SIZE, bold=True)
        return y + 16

    def bars(self, y: float) -> float:
        """All fields in lines, parted by upright bars."""
        line: list[Piece] = []
        for entry in self.content.fields:
            piece = head_pieces(entry, " ")
            longer = [*line, ("  |  ", ""), *piece] if line else piece
            if sum(text_width(text, face(self.style.font), _SIZE) for text, _ in longer) > self.right - self.left:
                y += _STEP
                self.text(line, self.left, y, _SIZE)
                longer = piece
            line = longer
        self.text(line, self.left, y + _STEP, _SIZE)
        address = [*self.content.extras.patient_address, *self.content.extras.doctor_address]
        if address:
            y += _STEP
            self.text(", ".join(address), self.left, y + _STEP, _SIZE, width=self.right - self.left)
        return y + 2.4 * _STEP

    def bare(self, y: float) -> float:
        """Nothing but the date of sampling, where the report gives it."""
        for entry in self.content.fields:
            if entry[0] in ("collected", "specimen"):
                y += _STEP
                self.text(head_pieces(entry), self.left, y, _SIZE + 1)
        return y + _STEP

    def stacked(self, y: float) -> float:
        """Small labels above their values, four to a line."""
        fields, width = self.content.fields, (self.right - self.left) / 4
        for number, entry in enumerate(fields):
            x, top = self.left + width * (number % 4), y + 25 * (number // 4)
            self.text(entry[1], x, top + 8, 6.5, width=width - 8)
            self.text([of_head(entry)], x, top + 18, _SIZE, bold=True, width=width - 8)
        return y + 25 * (-(-len(fields) // 4)) + 10

    def flush(self, y: float) -> float:
        """Person and doctor on the left, the dates flush right."""
        half = (self.right - self.left) / 2 - 6
        low = self.lines([*self.person, "", *self.doctor], self.left, y, half)
        for number, (label, value) in enumerate(self.rest):
            at = y + _STEP * (number + 1) - 2
            self.text([(f"{label} ", ""), value], self.left + half, at, _SIZE, align="right", width=half)
        return max(low, y + _STEP * len(self.rest)) + 12
