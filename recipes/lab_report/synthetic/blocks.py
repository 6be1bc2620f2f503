"""What stands between results and is none, though it has names and numbers: tables of what values mean, decision
limits, grids of risk, legends, paragraphs, curves of earlier values, scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from .sheet import Box, Run, Sheet, face, shrink, text_width, wrap
from .vocabulary import choices

if TYPE_CHECKING:
    from .content import Composer
    from .parts import Row, Section

_GREENS = ("#d7ead0", "#fdf3c4", "#f9d5a7", "#f0b5ab")


@dataclass(frozen=True)
class Block:
    """One of them: its kind, how it is drawn (a number that the kind interprets), its texts, and figures 0..1."""

    kind: str
    form: int
    title: str
    cells: list[list[str]]
    points: list[float] = field(default_factory=list)


class Pen:
    """Draws blocks below each other in one type."""

    def __init__(self, sheet: Sheet, font: str, size: float):
        self.sheet, self.font, self.size = sheet, font, size
        self.leading = size * 1.35

    def height(self, block: Block, width: float) -> float:
        """Room that a block needs, in points."""
        title = self.leading if block.title else 0.0
        if block.kind == "prose":
            return title + self.leading * len(self.lines(block.cells[0][0], width)) + 4
        if block.kind in ("trend", "scale"):
            return title + (58.0 if block.kind == "trend" else 24.0)
        if block.form == 0 and block.kind == "bands":
            return title + self.leading * len(self.lines(self.joined(block), width)) + 4
        return title + (self.leading + 2) * len(block.cells) + 6

    def draw(self, block: Block, x: float, y: float, width: float) -> float:
        """Draw a block from y on; return the y below it."""
        below = y + self.height(block, width)
        if block.title:
            title = [self.run(block.title, bold=block.form % 2 == 0)]
            shrink([title], width)
            self.sheet.line(x, y + self.leading * 0.75, title)
            y += self.leading
        getattr(self, block.kind)(block, x, y + 2, width)
        return below

    def run(self, text: str, bold: bool = False, small: float = 0.0) -> Run:
        """A run in the block's type."""
        return Run(text, None, bold, False, "#202020", self.size - small, self.font)

    def write(self, text: str, x: float, y: float, bold: bool = False, small: float = 0.0) -> None:
        """Write a text at x."""
        self.sheet.run(x, y, self.run(text, bold, small))

    def lines(self, text: str, width: float) -> list[Run]:
        """A text in lines."""
        return wrap(self.run(text), width)

    @staticmethod
    def joined(block: Block) -> str:
        """The cells of a block as one text."""
        return (" / ", "; ", "   ")[len(block.cells) % 3].join(" ".join(row) for row in block.cells)

    def prose(self, block: Block, x: float, y: float, width: float) -> None:
        """A paragraph."""
        for number, run in enumerate(self.lines(block.cells[0][0], width)):
            self.sheet.run(x, y + self.leading * (number + 0.75), run)

    def bands(self, block: Block, x: float, y: float, width: float) -> None:
        """What values mean: in one line, in columns, or in a frame."""
        if block.form == 0:
            for number, run in enumerate(self.lines(self.joined(block), width)):
                self.sheet.run(x, y + self.leading * (number + 0.75), run)
            return
        self.columns(block.cells, x, y, framed=block.form == 2, title=False)

    def legend(self, block: Block, x: float, y: float, width: float) -> None:
        """Signs and what they mean, in the columns of a table or with a sign of equality."""
        if block.form == 0:
            for number, row in enumerate(block.cells):
                self.write(" = ".join(row), x, y + (self.leading + 2) * number + self.leading * 0.75)
        else:
            self.columns(block.cells, x, y, framed=block.form == 2, title=False)

    def kidney(self, block: Block, x: float, y: float, width: float) -> None:
        """A grid of risk; its colours say what words say in another form."""
        self.columns(block.cells, x, y, framed=True, title=True, tinted=block.form != 1)

    def columns(self, cells: Sequence[Sequence[str]], x: float, y: float, *, framed: bool, title: bool,
                tinted: bool = False) -> None:  # fmt: skip
        """A small table."""
        step, font = self.leading + 2, face(self.font, False)
        widths = [max(text_width(row[i], font, self.size) for row in cells) + 12 for i in range(len(cells[0]))]
        for number, row in enumerate(cells):
            at = x
            for column, (text, width) in enumerate(zip(row, widths, strict=True)):
                box = Box(at, y + step * number, at + width, y + step * (number + 1))
                if tinted and number and column > 1:
                    tint = _GREENS[min(3, max(0, number - 2) + column - 2)]
                    self.sheet.rect(box, fill=tint, stroke=None)
                if framed:
                    self.sheet.rect(box, stroke="#808080", width=0.3)
                self.write(text, at + 4, box.y1 - 4, bold=title and number == 0)
                at += width

    def trend(self, block: Block, x: float, y: float, width: float) -> None:
        """A line of earlier values over their dates, with figures at its axis."""
        dates, ticks = block.cells
        left, wide, high = x + 34, min(width * 0.6, 190.0), 40.0
        for number, tick in enumerate(ticks):
            at = y + high - high * number / max(1, len(ticks) - 1)
            self.write(tick, x, at + 2, small=1.5)
            self.sheet.rule(left, at, left + wide, at, 0.2, "#b0b0b0")
        places = [left + wide * (i + 0.5) / len(dates) for i in range(len(dates))]
        heights = [y + high - high * point for point in block.points]
        for (x0, y0), (x1, y1) in pairwise(zip(places, heights, strict=True)):
            self.sheet.rule(x0, y0, x1, y1, 1, "#3060a0")
        for place, height, date in zip(places, heights, dates, strict=True):
            self.sheet.disc(place, height, 1.8, "#3060a0")
            run = self.run(date, small=2)
            self.sheet.run(place - run.width / 2, y + high + 9, run)

    def scale(self, block: Block, x: float, y: float, width: float) -> None:
        """A bar from low to high with its limits and words."""
        (low, high), words = block.cells
        wide = min(width, 210.0)
        for part, shade in enumerate(("#f0b5ab", "#d7ead0", "#f0b5ab")):
            left = x + wide * part / 3
            self.sheet.rect(Box(left, y + 8, left + wide / 3 - 0.5, y + 13), fill=shade, stroke=None)
            if block.form != 1:
                self.write(words[part], left + 2, y + 6, small=1.5)
        for text, share in ((low, 1 / 3), (high, 2 / 3)):
            run = self.run(text, small=1)
            self.sheet.run(x + wide * share - run.width / 2, y + 21, run)
        self.sheet.disc(x + wide * block.points[0], y + 10.5, 2.2, "#303030")


def after_row(composer: Composer, row: Row) -> Block | None:
    """What may stand under one result with figures."""
    style, rng, printed = composer.style, composer.more, row.printed
    words = habit_words_of(composer)
    if words is None or printed.pending or printed.ends is None or not printed.unit:
        return None
    low, high, decimals = printed.ends
    figure, unit = composer.writer.number, printed.unit
    usual = max(share for share in (low, high) if share is not None) if (low or high) else 1.0
    if rng.random() < style.bands:
        return bands(composer, row, usual, decimals)
    if rng.random() < style.prose:
        a, b, c = (figure(usual * share, decimals) for share in sorted(rng.uniform(0.4, 1.6) for _ in range(3)))
        prose = words["prose"].split("|")
        texts = rng.sample(prose, min(len(prose), rng.choice((1, 1, 2))))
        text = " ".join(texts).format(a=a, b=b, c=c, u=unit, n=rng.randrange(2, 24), d=rng.randrange(3, 30))
        return Block("prose", 1, row.name if rng.random() < 0.2 else "", [[text]])
    if rng.random() < style.scale and low is not None and high is not None:
        spot = 0.5 + 0.22 * max(-2, min(2, printed.level)) * (1.5 if abs(printed.level) < 2 else 0.9)
        names = words["scale"].split("|")
        ends = [figure(low, decimals), figure(high, decimals)]
        return Block("scale", rng.randrange(2), "", [ends, names], [min(max(spot, 0.04), 0.96)])
    if rng.random() < style.trend:
        return trend(composer, words, usual, decimals)
    return None


def bands(composer: Composer, row: Row, usual: float, decimals: int) -> Block:
    """Words for spans of values: a table, or one line."""
    rng, words, unit = composer.more, habit_words_of(composer) or {}, row.printed.unit
    names = rng.choice(choices(words["bands"])).split("|")
    first = usual * rng.uniform(0.4, 1.1)
    marks = [first * rng.choice((1.3, 1.6)) ** i for i in range(len(names) - 1)]
    step = 10.0**-decimals
    low = [composer.writer.number(mark, decimals) for mark in marks]
    below = [composer.writer.number(mark - step, decimals) for mark in marks]
    sign, dash = rng.choice(("< ", "<", "≤ ")), rng.choice((" - ", "-", " – "))
    spans = [f"{sign}{low[0]}", *(f"{a}{dash}{b}" for a, b in zip(low, below[1:], strict=False))]
    spans.append(rng.choice(("> ", ">", "≥ ")) + low[-1])
    if rng.random() < 0.5:
        spans = [f"{span} {unit}" for span in spans]
    held = composer.style.edition == "held"
    form = rng.choice((1, 2, 2) if held else (0, 0, 1, 2))
    cells = [[span, name] if held and form else [name, span] for name, span in zip(names, spans, strict=True)]
    title = rng.choice(choices(words["bands_title"])) if rng.random() < 0.6 else ""
    if title and rng.random() < 0.4:
        title = f"{title} {row.name}"
    return Block("bands", form, title, cells)


def trend(composer: Composer, words: dict[str, str], usual: float, decimals: int) -> Block:
    """A drawn line of earlier values: dates below, figures beside."""
    rng = composer.more
    dates = [composer.moment(composer.day(-rng.randrange(20, 400) * i), True)[0] for i in range(rng.randrange(3, 6))]
    ticks = [composer.writer.number(usual * share, decimals) for share in (0, 0.5, 1, 1.5)][: rng.choice((3, 4))]
    points = [rng.uniform(0.15, 0.95) for _ in dates]
    title = rng.choice(choices(words["trend"])) if rng.random() < 0.7 else ""
    return Block("trend", rng.randrange(2), title, [dates[::-1], ticks], points)


def after_sections(composer: Composer, sections: list[Section]) -> None:
    """Put legends and grids of risk below the sections that have rows."""
    style, rng, words = composer.style, composer.more, habit_words_of(composer)
    filled = [section for section in sections if section.rows]
    if words is None or not filled:
        return
    if style.legend_rows:
        rows = [text.split("|") for text in choices(words["legend"])]
        chosen = sorted(rng.sample(range(len(rows)), rng.randrange(3, len(rows) + 1)))
        cells = [rows[number] for number in chosen]
        where = filled[-1] if rng.random() < 0.7 else rng.choice(filled)
        where.blocks.append(Block("legend", rng.choice((0, 1) if style.edition == "train" else (1, 2)), "", cells))
    if style.kidney:
        rng.choice(filled).blocks.append(kidney(rng, words, style.edition == "held"))


def kidney(rng: Random, words: dict[str, str], held: bool) -> Block:
    """The grid of risk by filtration rate and albuminuria."""
    rate, albumin, *risks = words["kidney"].split("|")
    unit, bounds = rng.choice((("mg/g", ("< 30", "30 - 300", "> 300")), ("mg/mmol", ("< 3", "3 - 30", "> 30"))))
    spans = ("≥ 90", "60 - 89", "45 - 59", "30 - 44", "15 - 29", "< 15")
    names = ("G1", "G2", "G3a", "G3b", "G4", "G5")
    cells = [["", rate, *(f"A{i + 1} {bound} {unit}" for i, bound in enumerate(bounds))]]
    form = 1 if held else rng.randrange(2)
    for number, (name, span) in enumerate(zip(names, spans, strict=True)):
        shares = [risks[min(3, max(0, number - 1) + i)] if form else "" for i in range(3)]
        cells.append([name, span, *shares])
    if held:
        cells = [[*row[:2], *row[2:][::-1]] for row in cells]
    return Block("kidney", form, albumin if rng.random() < 0.5 else "", cells)


def habit_words_of(composer: Composer) -> dict[str, str] | None:
    """The words of the report's language for habits."""
    from .vocabulary import habit_words

    return habit_words(composer.language, composer.style.edition)
