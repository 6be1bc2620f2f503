"""A portal's page: cards in two columns, each with the range below the name and the value above a bar."""

from __future__ import annotations

from random import Random

from .parts import Row, Section
from .prose import Tiles
from .sheet import Box, Line, Run, shrink, wrap
from .vocabulary import choices, habit_words


class Portal(Tiles):
    """The name, "Normal range: a - b unit", the value on a bar, and the limits again at the bar's ends."""

    gap = 16.0

    def draw(self) -> None:
        """Draw the cards of every section, two to a line or one below the other."""
        rng = Random(self.content.doctor)
        words = habit_words(self.content.place["language"], self.style.edition)
        labels = choices(words["normal"]) if words else (f"{self.content.titles['range']}: {{}}",)
        self.label = rng.choice(labels)
        self.framed, self.above = rng.random() < 0.4, rng.random() < 0.75
        across = 1 if self.style.edition == "held" and rng.random() < 0.4 else 2
        self.draw_tiles(across, 80.0, 6.0, 4 if self.framed else None)

    def tile(self, row: Row, section: Section, x: float, y: float, width: float) -> None:
        """Draw one card's contents."""
        cells, sheet, printed, gold = self.cells, self.sheet, row.printed, self.gold
        self.inherit(row, section)
        size = self.size + 1
        run = Run(row.name, "name", True, size=size, font=cells.font)
        while len(wrap(run, width)) > 2 and run.size > 5:
            run = Run(row.name, "name", True, size=run.size - 0.4, font=cells.font)
        names: list[Line] = [[one] for one in wrap(run, width)]
        shrink(names, width)
        gold.lines(sheet, row.index, names, x, y + 12, run.size * 1.15)
        y += 12 + (len(names) - 1) * run.size * 1.15
        ranges = "; ".join(text for text in printed.range_lines if text)
        unit = cells.unit(row) if not printed.pending else None
        before, _, after = self.label.partition("{}")
        if ranges:
            line: Line = [cells.run(before, small=1), cells.run(ranges, "range", small=1)]
            if unit:
                line += [cells.run(" "), Run(unit.text, "unit", size=self.size - 1, font=unit.font)]
            line += [cells.run(after, small=1)] if after else []
            shrink([line], width)
            gold.lines(sheet, row.index, [line], x, y + 11, size)
        value: Line = [Run(printed.result, "result", True, size=self.size + 3, font=cells.font)]
        if unit and not ranges:
            value += [cells.run(" "), unit]
        flag = cells.flag_runs(printed.level)
        if flag:
            value += [cells.run(" "), *flag]
        shrink([value], width)
        wide = sum(one.width for one in value)
        ends = printed.ends
        bar = ends is not None and (ends[0] is not None or ends[1] is not None) and not printed.pending
        if not bar or not self.above:
            gold.lines(sheet, row.index, [value], x, y + 28, size)
        if not bar or ends is None:
            return
        low, high, decimals = ends
        spot = 0.5 + 0.17 * max(-2, min(2, printed.level)) * (1.6 if abs(printed.level) < 2 else 1.2)
        if self.above:
            left = min(max(x, x + width * spot - wide / 2), x + width - wide)
            gold.lines(sheet, row.index, [value], left, y + 32, size)
        top = y + 37
        sheet.rect(Box(x, top, x + width, top + 4), fill="#e3e6ea", stroke=None)
        sheet.rect(Box(x + width * 0.3, top, x + width * 0.7, top + 4), fill="#8fc48f", stroke=None)
        sheet.disc(x + width * spot, top + 2, 3, "#303030")
        for limit, share in ((low, 0.3), (high, 0.7)):
            if limit is not None:
                end = cells.run(f"{limit:.{decimals}f}".replace(".", self.content.decimal), small=1)
                sheet.run(x + width * share - end.width / 2, top + 14, end)
