"""Heads of reports as forms: labels beside or above their values, in one to four columns, in any order.

What a form names is drawn without regard to the rows: a number that is no sample's and a date of printing stand among
the patient's data, one label may hold two values, and the sample's number may stand under a barcode alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from .head import Piece, head_field
from .parts import Form
from .sheet import Box, Sheet, face, text_width
from .style import Style
from .vocabulary import choices, habit_words

if TYPE_CHECKING:
    from .content import Composer

# How often a form names what a report may name.
_SHARES = {
    "patient": 0.96, "birth": 0.85, "sex": 0.8, "id": 0.55, "ref": 0.8, "doctor": 0.75, "received": 0.45,
    "reported": 0.65, "status": 0.35,
}  # fmt: skip
_DATES = ("collected", "received", "reported")


def make_form(composer: Composer, values: Mapping[str, str], printed: str) -> Form:
    """The labelled values of one report's head.

    Args:
        composer: the report's.
        values: of every kind of entry that the report could name.
        printed: a date of printing, which is none of the report's dates.
    """
    rng, words = composer.more, habit_words(composer.language, composer.style.edition)
    if words is None:
        return []

    def piece(kind: str) -> Piece:
        return values[kind], head_field(kind, "")

    def label(kind: str) -> str:
        return rng.choice(choices(composer.words["labels"][kind] if kind == "specimen" else words[kind]))

    shown = [kind for kind, share in _SHARES.items() if kind in values and rng.random() < share]
    shown += [kind for kind in ("collected", "specimen") if kind in values]
    years, form = values["age"], []
    for kind in shown:
        if kind == "sex" and rng.random() < 0.5:
            text, joint = label("sexage"), rng.choice((" / ", "/", ", ", " - "))
            # What the label names first stands first.
            first = text.lower().startswith(("a", "â", "ed", "e", "l"))
            pair: list[Piece] = [(years, ""), (joint, ""), piece("sex")]
            form.append((kind, text, pair if first else pair[::-1]))
        elif kind == "birth" and rng.random() < 0.2:
            form.append((kind, label("birth"), [piece("birth"), (f" ({years})", "")]))
        else:
            form.append((kind, label(kind), [piece(kind)]))
    for text in rng.sample(choices(words["other"]), rng.choice((0, 0, 1, 2, 3))):
        name, value = text.split("|")
        number, day = rng.randrange(10**4, 10**7), rng.randrange(3, 90)
        form.append(("other", name, [(value.format(n=number, d=day, w=rng.choice("ABCEK"), t=printed), "")]))
    order = rng.random()
    if order < 0.3:
        form.sort(key=lambda entry: entry[0] not in _DATES)
    elif order < 0.5:
        rng.shuffle(form)
    return [(text, pieces) for _, text, pieces in form]


class FormBlock:
    """Draws a form; `text` is the page's own way of writing a line."""

    def __init__(self, sheet: Sheet, form: Form, style: Style, text: Callable[..., None]):
        self.sheet, self.form, self.style, self.text = sheet, form, style, text
        self.left, self.right = style.margin, sheet.width - style.margin
        self.size = 8.5

    def draw(self, y: float, code: Piece | None, rng: Random) -> float:
        """Draw it from y on, with a barcode over a number where there is one; return the y below."""
        style = self.style
        if code:
            y = self.barcode(y, code, rng)
        across = max(1, min(style.form_columns, len(self.form)))
        rows = -(-len(self.form) // across)
        above = style.form_labels == "above"
        step = 22.0 if above else 13.0 if style.form_frame == "grid" else 11.5
        width = (self.right - self.left) / across
        bottom = y + step * rows + 6
        self.frame(y, bottom, step, rows, across)
        for column in range(across):
            numbers = [n for n in range(len(self.form)) if (n % across if style.form_across else n // rows) == column]
            cells = [self.form[number] for number in numbers]
            self.column(cells, self.left + column * width + 4, y + 3, width - 10, step)
        return bottom + 8

    def column(self, cells: Sequence[tuple[str, list[Piece]]], x: float, y: float, width: float, step: float) -> None:
        """Draw one column of entries."""
        style, size = self.style, self.size
        labels = [f"{label}{style.form_colon}" for label, _ in cells]
        font = face(style.font, style.form_bold)
        gap = min(width * 0.48, max((text_width(label, font, size) for label in labels), default=0.0) + 7)
        for number, (label, (_, pieces)) in enumerate(zip(labels, cells, strict=True)):
            at = y + step * number
            if style.form_labels == "above":
                self.text(label, x, at + 7, 6.5, width=width)
                self.text(pieces, x, at + 17, size, bold=style.form_bold, width=width)
            elif style.form_labels == "inline":
                self.text([(f"{label} ", ""), *pieces], x, at + 8, size, bold=False, width=width)
            else:
                align = "right" if style.form_labels == "right" else "left"
                self.text(label, x, at + 8, size, bold=style.form_bold, align=align, width=gap - 5)
                self.text(pieces, x + gap, at + 8, size, width=width - gap)

    def frame(self, top: float, bottom: float, step: float, rows: int, across: int) -> None:
        """Draw what is around the entries."""
        kind, sheet = self.style.form_frame, self.sheet
        if kind in ("box", "round"):
            sheet.rect(Box(self.left, top, self.right, bottom), radius=5 if kind == "round" else 0)
        elif kind == "fill":
            sheet.rect(Box(self.left, top, self.right, bottom), fill="#eef2f6", stroke=None)
        elif kind == "rules":
            sheet.rule(self.left, top, self.right, top, 0.6)
            sheet.rule(self.left, bottom, self.right, bottom, 0.6)
        elif kind == "grid":
            for row in range(rows + 1):
                y = top + row * step + (1.5 if row else 0)
                sheet.rule(self.left, y, self.right, y, 0.3, "#808080")
            for column in range(across + 1):
                x = self.left + column * (self.right - self.left) / across
                sheet.rule(x, top, x, top + rows * step + 1.5, 0.3, "#808080")

    def barcode(self, y: float, code: Piece, rng: Random) -> float:
        """Draw bars with their number below, at the left or right."""
        x = start = self.right - 110 if rng.random() < 0.6 else self.left
        while x < start + 100:
            width = rng.choice((0.7, 0.7, 1.4, 2.1))
            self.sheet.rect(Box(x, y, x + width, y + 15), fill="#000000", stroke=None)
            x += width + rng.choice((0.7, 1.4, 2.1))
        stars = rng.random() < 0.2
        pieces = [("*", ""), code, ("*", "")] if stars else [code]
        self.text(pieces, start, y + 23, 7, align="center", width=100)
        return y + 29
