"""Lays out rows as tables: ruled, borderless, zebra, monospaced, in one column of the page or in two."""

from __future__ import annotations

from dataclasses import replace

from recipes.lab_report.fields import ROW

from .blocks import Block, Pen
from .cells import Cells, dated
from .columns import RIGHT_PAD, column_widths
from .flow import Flow, TooNarrowError
from .parts import Content, Row, Section
from .sheet import Box, Gold, Run, Sheet, face, shrink, text_width, wrap
from .style import Style

_TINT = "#eef2f6"


class Table:
    """Draws sections one below the other with shared columns."""

    def __init__(self, sheet: Sheet, gold: Gold, content: Content, style: Style, flow: Flow):
        self.sheet, self.gold, self.content, self.style, self.flow = sheet, gold, content, style, flow
        self.columns = style.columns.split()
        self.size = style.size
        self.fit()
        self.zebra = 0
        self.place: dict[str, tuple[str, Box]] = {}  # inherited values and where their heading was drawn
        self.part_top = 0.0
        self.specimen = ""
        self.sample = ""
        self.drawing: Section | None = None
        self.spanned: list[tuple[Row, float, float]] = []  # rows beside a group's cell, with their top and bottom

    def title(self, kind: str, section: Section | None) -> str:
        """A column's title."""
        content = self.content
        if kind in ("prev1", "prev2"):
            date = content.previous_dates[int(kind[-1]) - 1]
            # Under bare dates every value is a row of its own (style.dates); those of the demo's families have none.
            return (
                date
                if self.style.date_header and self.style.edition == "base"
                else f"{content.titles['previous']} {date}"
            )
        if kind == "prevd":
            return content.titles["previous"]
        if kind == "marker":
            return ""
        if kind == "prevw":
            return content.titles["previous"]
        if dated(kind):
            return content.dates[int(kind[1:])]
        if kind == "no":
            return "#"
        text = content.titles["code" if kind == "tariff" else kind]
        if kind == "result" and self.style.date_header and self.style.time != "none":
            text = content.collected_day
            if self.style.ref_header:
                text = f"{next(value for name, _, value in content.fields if name == 'ref')} {text}"
        if kind == "result" and self.style.unit_place == "header" and section and section.unit:
            text = f"{text} ({section.unit})"
        return text

    def fit(self) -> None:
        """Find column widths, making the type smaller while the columns do not fit."""
        while True:
            self.cells = Cells(self.content, self.style, self.size)
            self.leading = self.size * self.style.leading
            self.column_widths, fits = column_widths(self.cells, self.title, self.flow.width)
            self.x_offsets = [sum(self.column_widths[:i]) for i in range(len(self.columns))]
            if fits:
                return
            if self.size < 6 and self.style.frames > 1:
                raise TooNarrowError
            if self.size < 5:
                return
            self.size -= 0.4

    @property
    def in_result(self) -> bool:
        """Whether comments stand in the column of results (of the demo's families each line where it fits)."""
        style = self.style
        wished = style.edition != "base" and style.comment_place == "result" and style.layout == "table"
        return wished and not style.result_below and self.result_x < self.span * 0.7

    @property
    def result_x(self) -> float:
        """Where the column of results begins, the first of them where there is one for every date."""
        return self.x_offsets[self.columns.index("result" if "result" in self.columns else "d0")]

    @property
    def span(self) -> float:
        """Width of the table in points."""
        return sum(self.column_widths)

    def balance(self) -> None:
        """Where everything fits on one page of two frames, let the first end about half way."""
        if self.style.frames < 2:
            return
        height = 0.0
        for section in self.content.sections:
            rows = [self.row_lines(row, section) for row in section.rows]
            lines = sum(max(len(cell) for cell in cells) for cells in rows)
            lines += sum(len(row.comments) for row in section.rows)
            pad = 6.0 if self.style.rules in ("grid", "rows") else 0.0
            height += self.heading_height(section) + lines * self.leading + pad * len(rows) + 10
        if height < 1.8 * (self.flow.bottom - self.flow.top):
            self.flow.first_limit = self.flow.top + height * 0.5 + self.leading

    def draw_titles(self, section: Section | None) -> None:
        """Draw the row of column titles."""
        style, flow, sheet = self.style, self.flow, self.sheet
        fill = {"grey": "#d9d9d9", "colour": style.colour}.get(style.header_fill)
        ink = "#ffffff" if style.header_fill == "colour" else "#000000"
        font = self.cells.font
        wrapped = []
        for kind, width in zip(self.columns, self.column_widths, strict=True):
            run = Run(self.title(kind, section), None, True, False, ink, self.size, font)
            wrapped.append(wrap(run, width - RIGHT_PAD + 2))
        lines = max(len(runs) for runs in wrapped)
        height = lines * self.leading + 4
        x, y = flow.x, flow.y
        if fill:
            sheet.rect(Box(x, y, x + self.span, y + height), fill=fill, stroke=None)
        for kind, runs, offset, width in zip(self.columns, wrapped, self.x_offsets, self.column_widths, strict=True):
            for number, run in enumerate(runs):
                align = style.align if kind == "result" else "left"
                sheet.line(x + offset + 2, y + self.leading * (number + 0.8) + 1, [run], align, width - RIGHT_PAD)
        if style.rules == "ascii":
            self.ascii_rule(y + height + self.leading * 0.4)
            height += self.leading * 0.8
        elif style.rules in ("header", "rows", "dotted", "zebra", "box") and not fill:
            sheet.rule(x, y + height, x + self.span, y + height, 0.8)
            if style.rules != "zebra":
                sheet.rule(x, y, x + self.span, y, 0.8)
        elif style.rules == "grid":
            self.grid(y, y + height)
        flow.y += height + 2 * (style.rules != "grid")

    def ascii_rule(self, y: float) -> None:
        """A rule of hyphens, as terminals print."""
        font = self.cells.font
        count = int(self.span / text_width("-", face(font), self.size))
        self.sheet.run(self.flow.x, y, Run("-" * count, size=self.size, font=font))

    def grid(self, top: float, bottom: float) -> None:
        """Rules around the cells of one row."""
        x = self.flow.x
        for offset in [*self.x_offsets, self.span]:
            self.sheet.rule(x + offset - 1, top, x + offset - 1, bottom, 0.4, "#606060")
        for y in (top, bottom):
            left = x + (self.x_offsets[1] if self.columns[0] == "group" else 0.0)
            self.sheet.rule(left - 1, y, x + self.span - 1, y, 0.4, "#606060")

    def heading_height(self, section: Section) -> float:
        """Room that a section's headings need."""
        lines = len(section.headings) + 1.2 + bool(section.sample)
        lines += self.style.specimen in ("line", "outer") or self.style.time == "section"
        return lines * (self.leading + 4) + (2 * self.leading if self.style.section_titles else 0)

    def draw_headings(self, section: Section, since: int = 0, continued: bool = False) -> None:
        """Draw the headings from depth `since` on, with specimen and time where they are printed there."""
        style, flow, sheet, content = self.style, self.flow, self.sheet, self.content
        if style.specimen not in ("outer", "sample"):
            self.place.clear()
        if section.sample and (section.sample != self.sample or continued):
            self.draw_sample(section)
        if style.spans and not section.culture:
            return
        if style.specimen == "outer" and (section.specimen != self.specimen or continued):
            self.specimen = section.specimen
            flow.y += 4
            height = self.leading + 4
            sheet.rect(Box(flow.x, flow.y, flow.x + self.span, flow.y + height), fill=_TINT, stroke="#404040")
            run = Run(section.specimen, "specimen", True, False, "#000000", self.size + 1, style.font)
            boxes = sheet.line(flow.x, flow.y + height - 5, [run], "center", self.span)
            self.place["specimen"] = (section.specimen, boxes[0])
            flow.y += height + 2
        names = section.headings
        for depth in range(since, len(names)):
            flow.y += 3
            text = names[depth].upper() if style.heading == "upper" and depth == 0 else names[depth]
            bold = style.heading in ("bold", "upper", "fill", "center") and (depth == 0 or style.heading == "fill")
            run = Run(text, None, bold, style.heading == "italic" or (depth > 0 and not bold), "#000000",
                      self.size + (0.8 if depth == 0 else 0.3), style.font)  # fmt: skip
            x = flow.x + 2 + depth * max(style.indent, 4)
            if style.heading == "fill":
                fill = Box(flow.x, flow.y, flow.x + self.span, flow.y + self.leading + 2)
                sheet.rect(fill, fill=_TINT if depth == 0 else "#f6f6f6", stroke=None)
            y = flow.y + self.leading - 1.5
            tail = [Run(f" {content.continued}", size=self.size - 1, font=style.font)] if continued else []
            named = section.fluid and depth == len(names) - 1  # a heading that is a specimen gives it to its rows
            inline = style.specimen == "inline" and depth == len(names) - 1 and not named
            if inline:
                before, after = content.inline_form.split("{}")
                value = Run(section.specimen, "specimen", size=self.size - 0.5, font=style.font)
                inner = [replace(value, text=before, field=None), value, replace(value, text=after, field=None)]
                tail = [part for part in inner if part.text] + tail
            align = "center" if style.heading == "center" and depth == 0 else "left"
            boxes = sheet.line(x, y, [run, *tail], align, self.span - 4)
            box = boxes[0]
            if inline:
                self.place["specimen"] = (section.specimen, boxes[1 + tail.index(value)])
            if named:
                self.place["specimen"] = (text, box)
            if style.heading == "underline":
                sheet.rule(box.x0, y + 2, box.x1, y + 2, 0.6)
            names = [text if i == depth else name for i, name in enumerate(names)]
            self.place["panel"] = (text, box)
            flow.y += self.leading + 2
            if depth == len(names) - 1 and style.specimen == "heading" and not named and self.span - run.width > 170:
                label = Run(f"{content.specimen_label}: ", size=self.size - 1, font=style.font)
                value = Run(section.specimen, "specimen", size=self.size - 1, font=style.font)
                boxes = sheet.line(flow.x, y, [label, value], "right", self.span - 6)
                self.place["specimen"] = (section.specimen, boxes[1])
        under: list[Run] = []
        narrow = style.specimen == "heading" and "specimen" not in self.place
        if (style.specimen == "line" and not section.fluid) or narrow:
            under += [self.small(f"{content.specimen_label}: "), self.small(section.specimen, "specimen")]
        if style.time == "section":
            gap = "    " if under else ""
            under.append(self.small(f"{gap}{content.collected_label}: {section.collected[0]}"))
        if under:
            boxes = sheet.line(flow.x + 4 + style.indent, flow.y + self.leading - 3, under)
            for run, box in zip(under, boxes, strict=True):
                if run.field:
                    self.place[run.field] = (run.text, box)
            flow.y += self.leading
        if style.section_titles:
            self.draw_titles(section)

    def small(self, text: str, field: str | None = None) -> Run:
        """A run in the smaller type of headings' second lines."""
        return Run(text, field, size=self.size - 0.8, font=self.style.font)

    def panel(self, section: Section) -> str:
        """The headings as printed, outermost first."""
        names = list(section.headings)
        if names and self.style.heading == "upper":
            names[0] = names[0].upper()
        return " > ".join(names)

    def inherit(self, row: Row, section: Section) -> None:
        """Give a row what its headings or the report's head say."""
        style, gold, page = self.style, self.gold, self.sheet.page
        if section.headings:
            panel = self.panel(section)
            text, box = self.place.get("panel", ("", None))
            gold.put(row.index, "panel", panel, page, box if text == panel and not style.spans else None)
        else:
            gold.rows.setdefault(row.index, dict.fromkeys(ROW))
        if style.specimen not in ("report", "column") and "specimen" in self.place:
            gold.put(row.index, "specimen", section.specimen, page, self.place["specimen"][1])
        elif style.specimen == "report":
            gold.put(row.index, "specimen", section.specimen, page, None)
        if row.taken:
            gold.put(row.index, "sample_collection_time", row.taken[1], page, None)
        elif style.time in ("report", "date"):
            gold.put(row.index, "sample_collection_time", self.content.collected[1], page, None)
        elif style.time in ("section", "column", "sample"):
            gold.put(row.index, "sample_collection_time", section.collected[1], page, None)

    def row_lines(self, row: Row, section: Section) -> list[list[list[Run]]]:
        """Every column's lines of runs."""
        depth = (len(section.headings) - 1 if self.style.indent else 0) + (1 if self.style.indent else 0)
        found = []
        for kind, width in zip(self.columns, self.column_widths, strict=True):
            if kind == "name":
                room = self.span * 0.9 if self.style.result_below else width - RIGHT_PAD - depth * self.style.indent
                lines = self.cells.name(row, room)
            else:
                room = width - RIGHT_PAD - (self.cells.gutter if kind == "result" else 0.0)
                lines = self.cells.column(kind, row, section, room)
                for line in lines:
                    for number, run in enumerate(line):
                        if run.field == "collected":  # normalised in the record, so not a printed value
                            line[number] = Run(run.text, None, size=run.size, font=run.font)
            shrink(lines, room)
            found.append(lines)
        return found

    def comment_lines(self, texts: list[str]) -> list[Run]:
        """Comments under a row, wrapped."""
        runs: list[Run] = []
        room = self.span * self.style.comment_share
        if self.in_result:
            room = min(room, self.span - self.result_x)
        for text in texts:
            run = Run(text, None, False, self.style.font != "Courier", "#303030", self.size - 0.8, self.cells.font)
            runs += wrap(run, room)
        return runs

    def draw_row(self, row: Row, section: Section) -> None:
        """Draw one row, on the next page under repeated titles where it does not fit."""
        style, flow, sheet = self.style, self.flow, self.sheet
        columns, comments = self.row_lines(row, section), self.comment_lines(row.comments)
        rest = max((len(lines) for lines in columns[1:]), default=1)
        below = style.result_below
        count = len(columns[0]) + rest if below else max(len(columns[0]), rest)
        pad = 3.0 if style.rules in ("grid", "rows", "box") else 0.0
        height = count * self.leading + 2 * pad
        split = style.split_comments and len(comments) > 1
        if not flow.fits(height + (1 if split else len(comments)) * self.leading):
            self.end_part()
            flow.advance()
            self.start_part(section)
            self.draw_headings(section, continued=True)
        top, x = flow.y, flow.x
        if style.rules == "zebra":
            self.zebra += 1
            if self.zebra % 2:
                sheet.rect(Box(x, top, x + self.span, top + height), fill=_TINT, stroke=None)
        depth = len(section.headings) if style.indent else 0
        own = [one for one in row.series if one] or [row]
        for one in own:
            self.inherit(one, section)
        for kind, lines, offset, width in zip(self.columns, columns, self.x_offsets, self.column_widths, strict=True):
            first = kind == "name"
            start = top + pad + self.leading * 0.78
            if below and not first:
                start += self.leading * len(columns[0])
            if not below:
                start += (count - len(lines)) * self.leading * {"top": 0, "middle": 0.5, "bottom": 1}[style.value_at]
            shift = depth * style.indent if first else 0.0
            owner = row.series[int(kind[1:])] if dated(kind) else row
            if owner is None:
                continue
            align = (
                style.align
                if kind in ("result", "prev1", "prev2") or dated(kind)
                else "center"
                if kind == "flag"
                else "left"
            )
            if kind == "result" and self.cells.hanging:
                self.hang_flag(row, lines, x + offset + 2, start)
                continue
            self.gold.lines(sheet, owner.index, lines, x + offset + 2 + shift, start, self.leading, align,
                            width - RIGHT_PAD - shift)  # fmt: skip
            if first and style.leader and not below and lines:
                used = sum(run.width for run in lines[-1])
                dot = text_width(".", face(self.cells.font), self.size)
                dots = int((width - RIGHT_PAD - shift - used - 6) / dot)
                if dots > 2:
                    run = Run("." * dots, size=self.size, font=self.cells.font)
                    left = x + offset + width - RIGHT_PAD - dots * dot
                    sheet.run(left, start + self.leading * (len(lines) - 1), run)
        if "low" in self.columns:
            self.gold.join_ends(row.index)
        for one in own:
            self.gold.share(row.index, one.index, ("name", "unit", "range", "method"))
        if row.struck:
            self.strike(row)
        self.spanned.append((row, top, top + height))
        if style.rules == "grid":
            self.grid(top, top + height)
        elif style.rules == "rows":
            left = x + (self.x_offsets[1] if self.columns[0] == "group" else 0.0)
            sheet.rule(left, top + height, x + self.span, top + height, 0.3, "#909090")
        elif style.rules == "dotted":
            sheet.rule(x, top + height - 1, x + self.span, top + height - 1, 0.4, "#808080", (1, 2))
        flow.y = top + height
        for run in comments:
            if split and not flow.fits(self.leading):
                self.end_part()
                flow.advance()
                self.start_part(section)
                self.draw_headings(section, continued=True)
            result = self.result_x if style.comment_place == "result" else 0.0
            left = x + (result if result + run.width < self.span and not below else 14)
            if style.edition != "base":
                left = x + (result if self.in_result else 0.0 if style.comment_place == "margin" else 14)
            sheet.run(left, flow.y + self.leading * 0.72, run)
            flow.y += self.leading
        flow.y += 1.5 if comments else 0
        left = x + (self.result_x if self.in_result and row.index % 2 else 14)
        self.draw_blocks([row.block] if row.block else [], left, section)

    def strike(self, row: Row) -> None:
        """Draw a line through a row's name."""
        box = next(cell.box for cell in reversed(self.gold.cells) if (cell.row, cell.field) == (row.index, "name"))
        if box.y1 - box.y0 < self.size * 1.3:
            y = box.y1 - 0.45 * self.size
            self.sheet.rule(box.x0, y, box.x1, y, 0.6)

    def draw_blocks(self, blocks: list[Block], x: float, section: Section) -> None:
        """Draw what is no result below a row or section, as far as there is room."""
        flow, pen = self.flow, Pen(self.sheet, self.style.font, self.size - 0.8)
        for block in blocks:
            width = flow.right - x - 4
            if flow.fits(pen.height(block, width) + 4):
                flow.y = pen.draw(block, x, flow.y + 2, width) + 2

    def draw_sample(self, section: Section) -> None:
        """Draw the heading of a sample: what it is, and when it was taken."""
        flow, content, size = self.flow, self.content, self.size
        self.sample = section.sample
        flow.y += 4
        height = self.leading + 4
        if content.picks["tint"] < 0.6:
            fill = _TINT if content.picks["tint"] < 0.4 else None
            self.sheet.rect(Box(flow.x, flow.y, flow.x + self.span, flow.y + height), fill=fill, stroke="#404040")
        named = content.picks["cover"] < 0.5
        label = f" {content.specimen_label}: " if named else " - "
        pieces = [(section.sample, None), (label, None), (section.specimen, "specimen"),
                  (f"   {content.collected_label}: {section.collected[0]}", None)]  # fmt: skip
        runs = [Run(text, field, not field, False, "#000000", size, self.style.font) for text, field in pieces]
        shrink([runs], self.span - 8)
        boxes = self.sheet.line(flow.x + 4, flow.y + height - 5, runs)
        self.place["specimen"] = (section.specimen, boxes[2])
        flow.y += height + 2

    def draw_culture(self, section: Section) -> None:
        """Draw an organism's heading and its antibiotics with MIC and letter, in columns of their own."""
        flow, culture = self.flow, section.culture
        assert culture
        *outer, organism = section.headings
        self.draw_headings(replace(section, headings=outer))
        if self.style.heading == "upper" and not outer:
            organism = organism.upper()
        self.begin_culture(section, organism, False)
        for row in section.rows:
            if not flow.fits(self.leading + 2):
                self.end_part()
                flow.advance()
                self.start_part(section)
                self.draw_headings(replace(section, headings=outer))
                self.begin_culture(section, organism, True)
            self.inherit(row, section)
            cells = [(row.name, "name"), (row.printed.result, "result"), (row.letter, None)]
            for share, (text, field) in zip((0.0, 0.42, 0.62), cells, strict=True):
                run = Run(text, field, size=self.size, font=self.cells.font)
                self.gold.lines(self.sheet, row.index, [[run]], flow.x + 8 + share * self.span,
                                flow.y + self.leading * 0.78, self.leading)  # fmt: skip
            flow.y += self.leading

    def begin_culture(self, section: Section, organism: str, continued: bool) -> None:
        """Draw an organism's heading and the titles below it."""
        flow, culture, font = self.flow, section.culture, self.style.font
        assert culture
        tail = f"   {culture.colonies}" if culture.colonies else ""
        tail += f" {self.content.continued}" if continued else ""
        bold = self.style.heading != "italic"
        runs = [Run(culture.prefix, None, bold, size=self.size, font=font),
                Run(organism, None, bold, not bold, size=self.size + 0.3, font=font),
                Run(tail, size=self.size, font=font)]  # fmt: skip
        boxes = self.sheet.line(flow.x + 4, flow.y + self.leading, runs)
        self.place["panel"] = (organism, boxes[1])
        flow.y += self.leading * 1.4
        for share, text in zip((0.0, 0.42, 0.62), culture.titles, strict=True):
            self.sheet.run(flow.x + 8 + share * self.span, flow.y + self.leading * 0.78,
                           Run(text, None, True, size=self.size - 0.5, font=self.cells.font))  # fmt: skip
        flow.y += self.leading

    def end_span(self, section: Section) -> None:
        """Draw the group's name beside the rows drawn since the last one."""
        rows, self.spanned = self.spanned, []
        if not self.style.spans or not rows or not section.headings or "group" not in self.columns:
            return
        column = self.columns.index("group")
        width, left = self.column_widths[column] - RIGHT_PAD, self.flow.x + self.x_offsets[column] + 2
        top, bottom = rows[0][1], rows[-1][2]
        size, text = self.size, self.panel(section)
        while True:
            runs = wrap(Run(text, "panel", True, size=size, font=self.style.font), width)
            high = size * 1.2 * len(runs)
            if (high <= bottom - top and max(run.width for run in runs) <= width) or size < 3:
                break
            size -= 0.3
        spare = max(0.0, bottom - top - high)
        y = top + {"top": 0.0, "middle": 0.5, "bottom": 1.0}[self.style.spans] * spare
        gold = self.gold
        gold.lines(self.sheet, rows[0][0].index, [[run] for run in runs], left, y + size * 0.95, size * 1.2)
        cell = gold.cells[-1]
        for row, _, _ in rows[1:]:
            gold.put(row.index, "panel", text, cell.page, cell.box)
        for y in (top, bottom) if self.style.rules == "grid" else (bottom,):
            self.sheet.rule(self.flow.x, y, self.flow.x + self.span, y, 0.3, "#909090")

    def hang_flag(self, row: Row, lines: list[list[Run]], x: float, y: float) -> None:
        """Draw a result with its flag hanging left of it, so that results line up."""
        gutter = self.cells.gutter
        first = next((number for number, line in enumerate(lines) if line), 0)
        line = lines[first] if lines else []
        end = next((number for number, run in enumerate(line) if run.field == "result"), 0)
        if end and not row.corrected:  # the last run before the result is the space between them
            flag, lines = line[: end - 1], [*lines[:first], line[end:], *lines[first + 1 :]]
            boxes = self.sheet.line(x - 2, y + first * self.leading, flag, "right", gutter - 2)
            for run, box in zip(flag, boxes, strict=True):
                if run.field:
                    self.gold.put(row.index, run.field, run.text, self.sheet.page, box)
        self.gold.lines(self.sheet, row.index, lines, x + gutter, y, self.leading)

    def start_part(self, section: Section | None) -> None:
        """Begin a part of the table at the top of a frame."""
        self.part_top = self.flow.y
        self.place.clear()
        self.specimen = self.sample = ""
        if self.style.titles:
            self.draw_titles(section)

    def end_part(self) -> None:
        """Close the box around a part, and the cell beside its last rows."""
        if self.drawing:
            self.end_span(self.drawing)
        if self.style.rules == "box":
            flow = self.flow
            self.sheet.rect(Box(flow.x - 3, self.part_top, flow.x + self.span + 1, flow.bottom), width=0.8)
            for offset in self.x_offsets[1:] if not self.style.comments else []:
                self.sheet.rule(flow.x + offset - 2, self.part_top, flow.x + offset - 2, flow.bottom, 0.5)

    def draw_clinical(self) -> None:
        """Draw the physician's question on a line of its own, in the columns of name and result."""
        label, _, text = self.content.clinical.partition(":")
        flow = self.flow
        y = flow.y + self.leading * 0.8
        head = self.cells.run(label.strip())
        self.sheet.run(flow.x + 2, y, head)
        left = max(flow.x + self.result_x + 2, flow.x + head.width + 10)
        self.sheet.run(left, y, self.cells.run(text.strip()))
        flow.y += self.leading * 1.4

    def draw_note(self, text: str) -> None:
        """Draw a long interpretation below a panel."""
        flow = self.flow
        run = Run(text, None, False, False, "#202020", self.size - 0.8, self.style.font)
        lines = wrap(run, self.span - 16)
        if not flow.fits(len(lines) * self.leading + 6):
            return
        flow.y += 4
        for line in lines:
            self.sheet.run(flow.x + 8, flow.y + self.leading * 0.75, line)
            flow.y += self.leading
        flow.y += 2

    def draw(self) -> None:
        """Draw all sections."""
        flow = self.flow
        before: list[str] = []
        self.balance()
        self.start_part(self.content.sections[0] if self.content.sections else None)
        if self.content.clinical:
            self.draw_clinical()
        for section in self.content.sections:
            need = self.heading_height(section) + 2 * self.leading
            again = not flow.fits(need)
            if again:
                self.end_part()
                flow.advance()
                self.start_part(section)
                before = []
            self.drawing = section
            shared = 0
            if section.sample != self.sample:
                before = []
            while shared < len(section.headings) - 1 and section.headings[: shared + 1] == before[: shared + 1]:
                shared += 1
            if shared == 0 and before:
                flow.y += self.leading * 0.5
            if section.culture:
                self.draw_culture(section)
            elif section.silent and not again:
                self.place.pop("panel", None)
            else:
                self.draw_headings(section, shared, continued=section.silent)
            before = section.headings
            for row in section.rows if not section.culture else ():
                if not row.series or row is next(one for one in row.series if one):
                    self.draw_row(row, section)
            self.end_span(section)
            if section.note:
                self.draw_note(section.note)
            if section.trailer:
                self.draw_note(section.trailer)
            self.draw_blocks(section.blocks, flow.x + 4, section)
        self.end_part()
