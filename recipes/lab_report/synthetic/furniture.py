"""Draws what surrounds the results: letterhead, patient block, footers, watermark, letters and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from random import Random

from .forms import FormBlock
from .head import Piece, head_pieces, of_head
from .parts import Content
from .patient import PatientBlock
from .sheet import Box, Gold, Run, Sheet, face, shrink, text_width, wrap
from .style import Style

_MARKS = ("COPY", "DUPLICATE", "FINAL", "DRAFT", "SPECIMEN")
_GREY = "#d9d9d9"


class Furniture:
    """Draws the parts of a page that hold no results; the same seed gives the same drawing on every pass."""

    def __init__(self, sheet: Sheet, gold: Gold, content: Content, style: Style, pages: int, rng: Random):
        self.sheet, self.gold, self.content, self.style, self.pages, self.rng = sheet, gold, content, style, pages, rng
        self.left, self.right = style.margin, sheet.width - style.margin
        self.watermark = rng.choice(_MARKS) if content.picks["watermark"] < style.watermark else ""
        self.mark_angle = rng.choice((35, 45, 55, 20))
        self.logo_shape = rng.choice(("disc", "squares", "cross", "rings", "initials"))
        self.page_align = rng.choice(("left", "center", "right"))
        self.columns = rng.choice((2, 2, 3))
        self.foot_last = rng.random() < 0.6
        self.first_results = True
        self.side_width = 105.0

    def text(self, text: str | Sequence[Piece], x: float, y: float, size: float, bold: bool = False,
             align: str = "left", width: float = 0, colour: str = "#000000", italic: bool = False) -> None:  # fmt: skip
        """A line of the page's own type, made smaller where it would run off the page.

        Pieces of it that name a field of the report's head are put into the record.
        """
        pieces = [(text, "")] if isinstance(text, str) else [piece for piece in text if piece[0]]
        run = Run("".join(part for part, _ in pieces), None, bold, italic, colour, size, self.style.font)
        # A script of two faces or from right to left changes where a text is drawn as one with its neighbours.
        apart = self.sheet.mirrored or "+" in run.face
        line = [replace(run, text=part) for part, _ in pieces] if apart else [run]
        limit = width or self.sheet.width - 14 - x
        shrink([line], limit)
        boxes = self.sheet.line(x, y, line, align, width)
        if not apart:
            x0, y0, _, y1 = boxes[0]
            edges = list(accumulate((text_width(part, run.face, line[0].size) for part, _ in pieces), initial=x0))
            boxes = [Box(left, y0, right, y1) for left, right in pairwise(edges)]
        for (part, field), box in zip(pieces, boxes, strict=True):
            if field:
                self.gold.put_head(field, part, self.sheet.page, box)

    def begin(self, results: bool = True) -> tuple[float, float]:
        """Draw a page's furniture; return where its contents may begin and must end (y in points)."""
        if self.watermark:
            self.sheet.watermark(self.watermark, self.mark_angle)
        bottom = self.footer()
        full = self.sheet.page == 1 or self.style.repeat == "full" or (results and self.first_results)
        if results:
            self.first_results = False
        if full:
            return self.patient(self.letterhead()), bottom
        y = self.style.margin * 0.7 + 10
        if self.style.repeat == "line":
            patient, ref = (next(of_head(entry) for entry in self.content.fields if entry[0] == kind)
                            for kind in ("patient", "ref"))  # fmt: skip
            self.text([(self.content.lab, "laboratory")], self.left, y, 8, bold=True)
            self.text([patient, ("   ", ""), ref], self.left, y, 8, align="right", width=self.right - self.left)
            self.sheet.rule(self.left, y + 5, self.right, y + 5)
            y += 16
        return y + 6, bottom

    def letterhead(self) -> float:
        """Draw the laboratory's head; return the y below it."""
        content, style, left, right = self.content, self.style, self.left, self.right
        kind, y, width = style.letterhead, style.margin * 0.8, self.right - self.left
        lab = [(content.lab, "laboratory")]
        address = " - ".join(content.address) if kind in ("center", "bar") else ""
        if kind == "none":
            self.text(content.headline, left, y + 14, 15, bold=True)
            return y + 24
        if kind == "bar":
            self.sheet.rect(Box(0, 0, self.sheet.width, y + 26), fill=style.colour, stroke=None)
            self.text(lab, left, y + 6, 16, bold=True, colour="#ffffff")
            self.text(address, left, y + 19, 7.5, colour="#ffffff")
            self.text(content.headline, left, y + 44, 11, bold=True)
            return y + 52
        if kind == "center":
            self.text(lab, left, y + 10, 15, bold=True, align="center", width=width, colour=style.colour)
            self.text(address, left, y + 22, 8, align="center", width=width)
            self.text(content.headline, left, y + 38, 10.5, bold=True, align="center", width=width)
            if style.rules != "ascii":
                self.sheet.rule(left, y + 44, right, y + 44, 1, style.colour)
            return y + 52
        if kind == "plain":
            self.text(lab, left, y + 8, 11, bold=True)
            for number, part in enumerate(content.address):
                self.text(part, left, y + 19 + 10 * number, 8.5)
            self.text(content.headline, left, y + 8, 10, align="right", width=width)
            return y + 26 + 10 * len(content.address)
        if kind == "logo":
            wide = text_width(content.lab, face(style.font, True), 14) + 24
            self.sheet.rect(Box(left, y, left + wide, y + 26), fill=style.colour, stroke=None, radius=9)
            self.text(lab, left + 12, y + 18, 14, bold=True, colour="#ffffff")
            if self.logo_shape != "disc":
                self.text(" - ".join(content.address), left, y + 36, 7)
            self.text(content.headline, left + wide + 10, y + 18, 11, align="right", width=width - wide - 10)
            return y + 46
        shift = 52.0
        if kind == "right":
            self.logo(right - 40, y)
            self.text(lab, left, y + 10, 13, bold=True, align="right", width=width - 50)
            for number, part in enumerate(content.address):
                self.text(part, left, y + 21 + 10 * number, 8, align="right", width=width - 50)
            self.text(content.headline, left, y + 30, 12, bold=True, width=width / 2 - 20)
            return y + 56
        self.logo(left, y)
        self.text(lab, left + shift, y + 10, 13, bold=True, colour=style.colour, width=0)
        for number, part in enumerate(content.address):
            self.text(part, left + shift, y + 21 + 10 * number, 8)
        if kind == "status":
            box = Box(right - 110, y, right, y + 34)
            self.sheet.rect(box, width=1)
            self.text([(content.status, "report_status")], box.x0 + 4, y + 21, 12, align="center", width=102)
            self.text(content.legend[-1], box.x0 - 60, y + 43, 5.5, align="right", width=170)
        else:
            used = shift + text_width(content.lab, face(style.font, True), 13) + 14
            self.text(content.headline, left + used, y + 10, 11, bold=True, align="right", width=width - used)
        return y + 56

    def logo(self, x: float, y: float) -> None:
        """Draw an invented mark, 40 points wide."""
        sheet, colour = self.sheet, self.style.colour
        if self.logo_shape == "disc":
            sheet.disc(x + 20, y + 20, 19, colour)
            sheet.disc(x + 26, y + 16, 9, "#ffffff")
        elif self.logo_shape == "squares":
            for i, shade in enumerate((colour, "#9bb7d4", "#9bb7d4", colour)):
                x0, y0 = x + 20 * (i % 2), y + 20 * (i // 2)
                sheet.rect(Box(x0, y0, x0 + 18, y0 + 18), fill=shade, stroke=None)
        elif self.logo_shape == "cross":
            sheet.rect(Box(x + 13, y, x + 27, y + 40), fill=colour, stroke=None)
            sheet.rect(Box(x, y + 13, x + 40, y + 27), fill=colour, stroke=None)
        elif self.logo_shape == "rings":
            for radius, shade in ((19, colour), (15, "#ffffff"), (11, colour), (6, "#ffffff")):
                sheet.disc(x + 20, y + 20, radius, shade)
        else:
            initials = "".join(word[0] for word in self.content.lab.split() if word[0].isupper())[:2]
            sheet.rect(Box(x, y, x + 40, y + 40), fill=colour, stroke=None, radius=6)
            self.text(initials, x, y + 27, 20, bold=True, align="center", width=40, colour="#ffffff")

    def barcode(self, x: float, y: float) -> None:
        """Draw bars that look like a specimen's barcode."""
        rng, end = Random(self.content.doctor), x + 96
        while x < end:
            width = rng.choice((0.7, 0.7, 1.4, 2.1))
            self.sheet.rect(Box(x, y, x + width, y + 17), fill="#000000", stroke=None)
            x += width + rng.choice((0.7, 1.4, 2.1))

    def patient(self, y: float) -> float:
        """Draw the patient's block; return the y below it."""
        content, style, left, right = self.content, self.style, self.left, self.right
        if content.picks["barcode"] < style.barcode:
            self.barcode(right - 100, y + 2)
            y += 22
        size, step, kind = 8.5, 11.5, style.patient
        if kind == "form":
            return FormBlock(self.sheet, content.form, style, self.text).draw(y, content.code, Random(content.doctor))
        if kind in ("window", "dossier", "bars", "bare", "stacked", "flush"):
            return PatientBlock(self.sheet, content, style, self.text).draw(kind, y)
        fields = [(entry[1], of_head(entry)) for entry in content.fields]
        if kind == "inline":
            line: list[Piece] = []
            for entry in content.fields:
                piece = head_pieces(entry)
                longer = [*line, ("    ", ""), *piece] if line else piece
                if sum(text_width(text, face(style.font), size) for text, _ in longer) > right - left:
                    y += step
                    self.text(line, left, y, size)
                    longer = piece
                line = longer
            self.text(line, left, y + step, size)
            if style.rules == "ascii":
                dash = text_width("-", face(style.font), size)
                self.text("-" * int((right - left) / dash), left, y + 2 * step, size)
            return y + 2.6 * step
        if kind == "boxes":
            who = [entry for entry in content.fields if entry[0] in ("patient", "birth", "sex", "age", "id")]
            rest = [entry for entry in content.fields if entry not in who]
            middle, rows = (left + right) / 2, max(len(who), 3)
            low = y + 8 + step * rows
            self.sheet.rect(Box(left, y, middle - 3, low), fill="#ececec", stroke="#000000")
            self.sheet.rect(Box(middle + 3, y, right, low))
            for number, entry in enumerate(who):
                text = [of_head(entry)] if number == 0 else head_pieces(entry)
                top = y + 11 + step * number
                self.text(text, left + 5, top, size, bold=number == 0, width=middle - left - 14)
            self.text([(content.doctor, "ordered_by")], middle + 9, y + 11, size)
            self.text(content.address[1], middle + 9, y + 11 + step, size)
            lines = (len(rest) + 1) // 2
            self.sheet.rect(Box(left, low + 3, right, low + 9 + step * lines))
            for number, entry in enumerate(rest):
                x = left + 5 if number < lines else middle + 9
                self.text(head_pieces(entry), x, low + 13 + step * (number % lines), size, width=middle - left - 20)
            return low + 20 + step * lines
        if kind == "strip":
            self.sheet.rect(Box(left, y, right, y + 13), fill=_GREY, stroke=None)
            self.text(content.headline, left + 4, y + 9.5, 8.5, bold=True)
            y += 16
        columns = 2 if kind == "table" else self.columns
        rows = -(-len(fields) // columns)
        width = (right - left) / columns
        if kind == "table":
            for row in range(rows + 1):
                self.sheet.rule(left, y + row * 14, right, y + row * 14, 0.4)
            for column in range(columns + 1):
                self.sheet.rule(left + column * width, y, left + column * width, y + rows * 14, 0.4)
            step = 14
        for number, (label, value) in enumerate(fields):
            x, top = left + width * (number // rows) + 4, y + 10 + step * (number % rows)
            gap = min(
                width * 0.42,
                max(text_width(f"{name}:  ", face(style.font, True), size) for name, _ in fields),
            )
            self.text(f"{label}:", x, top, size, bold=kind == "grid", width=gap - 3)
            self.text([value], x + gap, top, size, bold=kind != "grid" and number == 0, width=width - gap - 8)
        return y + 16 + step * rows

    def footer(self) -> float:
        """Draw the foot of the page, now or at its end; return the y that contents must stay above."""
        content, style = self.content, self.style
        lines: list[str | list[Piece]] = [*(content.legend if style.legend == "foot" else []), content.foot[0]]
        if style.letterhead in ("none", "status"):
            named = "laboratory" if style.letterhead == "none" else ""
            lines.append([(content.lab, named), (f" - {' - '.join(content.address)}", "")])
        side = self.foot_block(lines)
        # Files differ in the order in which a page's texts were written.
        if self.foot_last:
            self.sheet.before_end = lambda: self.draw_footer(lines, side)
        else:
            self.draw_footer(lines, side)
        return self.sheet.height - 22 - 9.5 * len(lines) - 15

    def foot_block(self, lines: list[str | list[Piece]]) -> list[str]:
        """Add signatories and addresses to the foot's lines; return what stands in a column left of them."""
        extras = self.content.extras
        columns = self.style.foot_block == "columns"
        room = self.right - self.left - (self.side_width if columns else 0.0)
        for text in extras.foot:
            lines += [run.text for run in wrap(Run(text, size=6.8, font=self.style.font), room)]
        if not columns:
            lines[:0] = extras.marks
            return []
        marks = [Run(text, size=6.8, font=self.style.font) for text in extras.marks]
        side = [run.text for mark in marks for run in wrap(mark, self.side_width - 8)]
        lines += [""] * (len(side) - len(lines))
        return side

    def draw_footer(self, lines: list[str | list[Piece]], side: list[str]) -> None:
        """Draw the page's number and the lines above it."""
        y, width = self.sheet.height - 22, self.right - self.left
        page = self.content.page_form.format(i=self.sheet.page, n=self.pages)
        self.text(page, self.left, y, 7.5, align=self.page_align, width=width)
        y -= 9.5 * len(lines)
        shift = self.side_width if self.style.foot_block == "columns" else 0.0
        for number, text in enumerate(side):
            self.text(text, self.left, y + 9.5 * number, 6.8)
        for number, line in enumerate(lines):
            self.text(line, self.left + shift, y + 9.5 * number, 6.8, width=width - shift)
        if self.style.rules != "ascii":
            self.sheet.rule(self.left, y - 9, self.right, y - 9, 0.4, "#808080")

    def closing(self, y: float, bottom: float) -> None:
        """Draw the legend and the signatory below the last result, where there is room."""
        lines = list(self.content.legend) if self.style.legend == "end" else []
        y += 14
        for line in self.content.extras.conclusion:
            for run in wrap(Run(line, size=9, font=self.style.font), self.right - self.left):
                if y > bottom - 4:
                    return
                self.sheet.run(self.left, y, run)
                y += 12
        for line in lines:
            if y > bottom - 4:
                return
            self.text(line, self.left, y, 7, italic=True)
            y += 9.5
        if self.style.signatory and y + 40 < bottom:
            self.text(self.content.foot[-1], self.left, y + 14, 8)
            self.sheet.rule(self.right - 130, y + 26, self.right, y + 26, 0.4)
            self.text(self.content.doctor, self.right - 130, y + 36, 8, align="center", width=130)

    def paragraphs(self, lines: list[str], y: float, bottom: float) -> None:
        """Draw running text."""
        size = 9.5
        for paragraph in lines:
            for run in wrap(Run(paragraph, size=size, font=self.style.font), self.right - self.left - 40):
                y += size * 1.4
                if y > bottom:
                    return
                self.sheet.run(self.left, y, run)
            y += size * 0.9
