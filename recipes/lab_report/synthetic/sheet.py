"""Draws text and rules on PDF pages, and remembers which printed text belongs to which field of which row."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import reportlab
from reportlab.lib.colors import Color, HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from recipes.lab_report.fields import HEAD, ROW

from . import faces

FACES = {
    "Helvetica": ("Helvetica", "Helvetica-Bold", "Helvetica-Oblique"),
    "Times": ("Times-Roman", "Times-Bold", "Times-Italic"),
    "Courier": ("Courier", "Courier-Bold", "Courier-Oblique"),
    "Vera": ("Vera", "VeraBd", "VeraIt"),
    **faces.FACES,
}
# Text boxes reach from a little above the capitals to below the descenders, as multiples of the size.
ASCENT, DESCENT = 0.76, 0.22


class Box(NamedTuple):
    """A rectangle in PDF points, origin at the page's top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    def union(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))


@dataclass(frozen=True)
class Cell:
    """Where a value was printed: row in the record (None: its head), field, 1-based page, box from the top left."""

    row: int | None
    field: str
    page: int
    box: Box


@dataclass(frozen=True)
class Run:
    """A piece of text in one face; `field` names the record's field that it is (part of)."""

    text: str
    field: str | None = None
    bold: bool = False
    italic: bool = False
    colour: str = "#000000"
    size: float = 9
    font: str = "Helvetica"

    @property
    def face(self) -> str:
        """The PDF font's name."""
        return face(self.font, self.bold, self.italic)

    @property
    def width(self) -> float:
        """Width in points."""
        return text_width(self.text, self.face, self.size)


Line = list[Run]


def face(font: str, bold: bool = False, italic: bool = False) -> str:
    """The PDF font for a family and weight."""
    return FACES[font][1 if bold else 2 if italic else 0]


@lru_cache(maxsize=50_000)  # a table measures each of its words several times
def text_width(text: str, face_name: str, size: float) -> float:
    """Width of a text in points."""
    _register(face_name)
    if "+" not in face_name:
        return float(pdfmetrics.stringWidth(faces.visual(text), face_name, size))
    return sum(
        float(pdfmetrics.stringWidth(piece.rstrip("\u3000"), face, size))
        for piece, face in faces.pieces(faces.visual(text), face_name)
    )


def line_width(line: Sequence[Run]) -> float:
    """Width of a line of runs in points."""
    return sum(run.width for run in line)


def wrap(run: Run, width: float) -> list[Run]:
    """Break a run at spaces into runs no wider than `width` where words allow it; Chinese and Japanese, where it is
    no value of a field, between any two signs.
    """
    lines: list[str] = []
    anywhere = run.field is None and any(map(faces.is_east_asian, run.text))
    for word in (
        re.findall(r"[\u2e80-\uffef][，。；：、）]*|[^\u2e80-\uffef]+", run.text) if anywhere else run.text.split(" ")
    ):
        longer = word if not lines else f"{lines[-1]}{word}" if anywhere else f"{lines[-1]} {word}"
        if lines and text_width(longer, run.face, run.size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [replace(run, text=line) for line in lines]


def shrink(lines: list[Line], width: float) -> None:
    """Set lines wider than `width` smaller, in place: a long word must not run into the next column."""
    for line in lines:
        wide = line_width(line)
        if wide > width > 0:
            line[:] = [replace(run, size=run.size * width / wide) for run in line]


def _register(face_name: str = "Vera") -> None:
    faces.register(face_name)
    if "Vera" in pdfmetrics.getRegisteredFontNames():
        return
    folder = Path(reportlab.__file__).parent / "fonts"
    for name in FACES["Vera"]:
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))


class Sheet:
    """Pages of one PDF. Coordinates are points from the top left; y of a text is its baseline.

    With `mirrored` everything is drawn as in a mirror, the texts themselves excepted: pages from right to left. Callers
    and the boxes they get know nothing of it.
    """

    def __init__(self, size: tuple[float, float], title: str, mirrored: bool = False):
        _register()
        self.width, self.height = size
        self.mirrored = mirrored
        self.page = 1
        self.before_end: Callable[[], None] | None = None  # draws the foot of a page after its contents
        self._buffer = io.BytesIO()
        # Invariant: no creation time and no random file id, so the same report is the same bytes.
        self._canvas = Canvas(self._buffer, pagesize=size, invariant=1, pageCompression=1)
        self._canvas.setTitle(title)

    def next_page(self) -> None:
        """Finish the page and begin another."""
        self._end()
        self._canvas.showPage()
        self.page += 1

    def _end(self) -> None:
        if self.before_end:
            self.before_end()
        self.before_end = None

    def finish(self) -> bytes:
        """The PDF file."""
        self._end()
        self._canvas.showPage()
        self._canvas.save()
        return self._buffer.getvalue()

    def run(self, x: float, y: float, run: Run) -> Box:
        """Draw a run with its left end at x."""
        canvas, place = self._canvas, self._across(x, x + run.width)
        canvas.setFillColor(HexColor(run.colour))
        _register(run.face)
        shown = faces.signs_from_the_right(run.text) if self.mirrored else run.text
        for piece, name in faces.pieces(faces.visual(shown), run.face):
            canvas.setFont(name, run.size)
            stroked = name in faces.STROKED
            if stroked:
                canvas.setStrokeColor(HexColor(run.colour))
                canvas.setLineWidth(run.size / 30)
            canvas.drawString(place, self.height - y, piece, mode=2 if stroked else None)
            place += float(pdfmetrics.stringWidth(piece.rstrip("\u3000"), name, run.size))
        return Box(x, y - ASCENT * run.size, x + run.width, y + DESCENT * run.size)

    def _across(self, x0: float, x1: float) -> float:
        """The left end on the page of what reaches from x0 to x1."""
        return self.width - x1 if self.mirrored else x0

    def shown(self, box: Box) -> Box:
        """Where a box is on the page."""
        return Box(self._across(box.x0, box.x1), box.y0, self._across(box.x1, box.x0), box.y1)

    def line(self, x: float, y: float, line: Sequence[Run], align: str = "left", width: float = 0) -> list[Box]:
        """Draw runs one after another, aligned within `width`."""
        spare = width - line_width(line)
        x += {"left": 0.0, "right": spare, "center": spare / 2}[align]
        boxes = []
        for run in line:
            boxes.append(self.run(x, y, run))
            x += run.width
        return boxes

    def rule(self, x0: float, y0: float, x1: float, y1: float, width: float = 0.5, colour: str = "#000000",
             dash: tuple[float, float] | None = None) -> None:  # fmt: skip
        """Draw a straight line."""
        self._canvas.setStrokeColor(HexColor(colour))
        self._canvas.setLineWidth(width)
        self._canvas.setDash(*dash) if dash else self._canvas.setDash()
        self._canvas.line(self._across(x0, x0), self.height - y0, self._across(x1, x1), self.height - y1)

    def rect(self, box: Box, fill: str | None = None, stroke: str | None = "#000000", width: float = 0.5,
             radius: float = 0) -> None:  # fmt: skip
        """Draw a rectangle, filled or outlined."""
        if fill:
            self._canvas.setFillColor(HexColor(fill))
        if stroke:
            self._canvas.setStrokeColor(HexColor(stroke))
        self._canvas.setLineWidth(width)
        self._canvas.setDash()
        shape = (self._across(box.x0, box.x1), self.height - box.y1, box.x1 - box.x0, box.y1 - box.y0)
        if radius:
            self._canvas.roundRect(*shape, radius, stroke=int(bool(stroke)), fill=int(bool(fill)))
        else:
            self._canvas.rect(*shape, stroke=int(bool(stroke)), fill=int(bool(fill)))

    def disc(self, x: float, y: float, radius: float, fill: str) -> None:
        """Draw a filled circle."""
        self._canvas.setFillColor(HexColor(fill))
        self._canvas.circle(self._across(x, x), self.height - y, radius, stroke=0, fill=1)

    def watermark(self, text: str, angle: float) -> None:
        """Draw a large pale text across the page."""
        self._canvas.saveState()
        self._canvas.setFillColor(Color(0.5, 0.5, 0.5, alpha=0.13))
        self._canvas.translate(self.width / 2, self.height / 2)
        self._canvas.rotate(angle)
        self._canvas.setFont("Helvetica-Bold", min(110, 560 / max(4, len(text))))
        self._canvas.drawCentredString(0, 0, text)
        self._canvas.restoreState()


class Gold:
    """Collects the record while it is printed: what is not drawn is not in it."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, str | None]] = {}
        self.head: dict[str, str] = {}
        self.cells: list[Cell] = []

    def put(self, row: int, field: str, text: str, page: int, box: Box | None) -> None:
        """Record a field's text, and its place unless it is not printed as such."""
        self.rows.setdefault(row, dict.fromkeys(ROW))[field] = text
        if box is not None:
            self.cells.append(Cell(row, field, page, box))

    def put_head(self, field: str, text: str, page: int, box: Box) -> None:
        """Record a value of the report's head with the place where it is printed first."""
        if text and field not in self.head:
            self.head[field] = text
            self.cells.append(Cell(None, field, page, box))

    def lines(self, sheet: Sheet, row: int, lines: Sequence[Line], x: float, y: float, leading: float,
              align: str = "left", width: float = 0) -> None:  # fmt: skip
        """Draw the lines of a row's cell; the pieces of a field that was wrapped are joined by a space."""
        found: dict[str, tuple[str, Box]] = {}
        for number, line in enumerate(lines):
            boxes = sheet.line(x, y + number * leading, line, align, width)
            for run, box in zip(line, boxes, strict=True):
                if run.field is None:
                    continue
                before = found.get(run.field)
                found[run.field] = (f"{before[0]} {run.text}", before[1].union(box)) if before else (run.text, box)
        for field, (text, box) in found.items():
            self.put(row, field, text, sheet.page, box)

    def join_ends(self, row: int) -> None:
        """Make one range of a low and a high end put under names of their own; one alone gets its sign."""
        found = [cell for cell in self.cells if cell.row == row and cell.field in ("low", "high")]
        low, high = (self.rows[row].pop(end, None) for end in ("low", "high"))
        self.cells = [cell for cell in self.cells if cell not in found]
        if found:
            box = found[0].box
            for cell in found[1:]:
                box = box.union(cell.box)
            text = f"{low} - {high}" if low and high else f">= {low}" if low else f"<= {high}"
            self.put(row, "range", text, found[0].page, box)

    def share(self, row: int, other: int, fields: Sequence[str]) -> None:
        """Give another row what was printed once for both."""
        if row == other:
            return
        for cell in [cell for cell in self.cells if cell.row == row and cell.field in fields]:
            if self.rows[other][cell.field] is None:
                self.put(other, cell.field, self.rows[row][cell.field] or "", cell.page, cell.box)

    def record(self) -> dict[str, Any]:
        """The record: the head as printed, and the tests in reading order."""
        return {
            **{field: self.head.get(field) for field in HEAD},
            "tests": [self.rows[index] for index in sorted(self.rows)],
        }
