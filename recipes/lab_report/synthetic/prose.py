"""Layouts other than one table: cards, name: value lines, running text, gauges, tests side by side."""

from __future__ import annotations

from .parts import Row, Section
from .sheet import Box, Line, Run, line_width, shrink, wrap
from .table import Table


class Cards(Table):
    """Draws every section in its own frame with a title bar, in one or two columns of the page."""

    def draw(self) -> None:
        """Draw all sections as cards."""
        flow = self.flow
        self.balance()
        for section in self.content.sections:
            height = self.heading_height(section) + len(section.rows) * (self.leading + 6) + 20
            if not flow.fits(height) and flow.y > flow.top + 1:
                flow.advance()
            self.start_card(section)
            for row in section.rows:
                self.draw_row(row, section)
            self.end_part()
            flow.y += 14
            self.draw_blocks(section.blocks, flow.x, section)

    def start_card(self, section: Section) -> None:
        """Begin a card."""
        self.start_part(section)
        self.draw_headings(section)

    def start_part(self, section: Section | None) -> None:
        """Leave room for the card's edge."""
        self.place.clear()
        self.specimen = ""
        self.part_top = self.flow.y
        self.flow.y += 3

    def end_part(self) -> None:
        """Draw the card's edge."""
        flow = self.flow
        self.sheet.rect(
            Box(flow.x - 4, self.part_top, flow.right + 3, flow.y + 5), stroke="#7a8a99", width=0.7, radius=4
        )


class Lines(Table):
    """One line a test: "Name: result unit (range)"."""

    def draw_row(self, row: Row, section: Section) -> None:
        """Draw one test on its line, or on two where it is long."""
        flow, style = self.flow, self.style
        indent = 6 + len(section.headings) * style.indent
        head, tail = self.pieces(row)
        split = line_width(head) + line_width(tail) > flow.width - indent
        lines: list[Line] = [head, tail] if split else [[*head, *tail]]
        comments = self.comment_lines(row.comments)
        if not flow.fits((len(lines) + len(comments)) * self.leading):
            flow.advance()
            self.start_part(section)
            self.draw_headings(section, continued=True)
        self.inherit(row, section)
        for number, line in enumerate(lines):
            x = flow.x + indent + 14 * number
            self.gold.lines(self.sheet, row.index, [line], x, flow.y + self.leading * 0.78, self.leading)
            flow.y += self.leading
        for run in comments:
            self.sheet.run(flow.x + indent + 14, flow.y + self.leading * 0.72, run)
            flow.y += self.leading
        self.draw_blocks([row.block] if row.block else [], flow.x + indent + 14, section)

    def pieces(self, row: Row) -> tuple[Line, Line]:
        """The name with its colon, and the value with unit, range, flag and method."""
        cells, printed, style = self.cells, row.printed, self.style
        head: Line = [cells.run(row.name, "name", bold=style.rules == "none"), cells.run(": ")]
        tail: Line = []
        flag = cells.flag_runs(printed.level)
        if flag and style.flag_place == "before":
            tail += [*flag, cells.run(cells.flag_gap)]
        tail.append(cells.result(row))
        unit = None if printed.pending else cells.unit(row)
        if unit and style.unit_place != "range":
            tail += [cells.run(" "), unit]
        if flag and style.flag_place != "before":
            tail += [cells.run(cells.flag_gap), *flag]
        if "range" in self.columns and any(printed.range_lines):
            opened = not style.bracket
            text = "; ".join(printed.range_lines)
            tail += [cells.run("   (" if opened else "   "), cells.run(text, "range")]
            if unit and style.unit_place == "range":
                tail += [cells.run(" "), unit]
            tail += [cells.run(")")] if opened else []
        elif unit and style.unit_place == "range":
            tail += [cells.run(" "), unit]
        if style.method == "under" and row.method:
            tail += [cells.run("  - ", small=1), cells.run(row.method, "method", small=1)]
        return head, tail


class Narrative(Lines):
    """Results in running text, one paragraph a panel."""

    def draw(self) -> None:
        """Draw the panels as paragraphs."""
        flow = self.flow
        self.start_part(None)
        for section in self.content.sections:
            if not flow.fits(self.heading_height(section) + 3 * self.leading):
                flow.advance()
                self.start_part(section)
            self.draw_headings(section)
            x = flow.x + 4
            for position, row in enumerate(section.rows):
                last = position == len(section.rows) - 1
                x = self.flow_row(row, section, x, last)
            flow.y += self.leading * 1.3
            if section.note:
                self.draw_note(section.note)
            self.draw_blocks(section.blocks, flow.x + 4, section)

    def flow_row(self, row: Row, section: Section, x: float, last: bool) -> float:
        """Let one test flow into the paragraph from x on; return where the next one starts."""
        flow = self.flow
        name = self.pieces(row)[0][0]
        line = [name, self.cells.run(" "), *self.pieces(row)[1], self.cells.run("." if last else ", ")]
        pieces: list[Line] = []
        for run in line:  # a value stays whole: break only before names and values
            if run.field in ("name", "result", "range") or not pieces:
                pieces.append([run])
            else:
                pieces[-1].append(run)
        found: list[tuple[Run, Box, int]] = []
        self.inherit(row, section)
        for piece in pieces:
            if x + line_width(piece) > flow.right and x > flow.x + 4:
                x = flow.x + 4
                flow.y += self.leading
                if not flow.fits(self.leading * 1.4):
                    flow.advance()
                    self.start_part(section)
                    self.draw_headings(section, continued=True)
            boxes = self.sheet.line(x, flow.y + self.leading * 0.78, piece)
            found += [(run, box, self.sheet.page) for run, box in zip(piece, boxes, strict=True)]
            x += line_width(piece)
        for run, box, page in found:
            if run.field:
                self.gold.put(row.index, run.field, run.text, page, box)
        return x


class Tiles(Table):
    """A tile for each test, several to a line; what a tile shows is said by the layouts derived from it."""

    gap = 12.0

    def draw_tiles(self, across: int, height: float, space: float, edge: float | None) -> None:
        """Draw the tiles of every section.

        Args:
            across: tiles in a line.
            height: of a tile, in points.
            space: between lines of tiles.
            edge: radius of the corners of the frame around a tile; None for no frame.
        """
        flow, step = self.flow, height + space
        width = (flow.width - self.gap * (across - 1)) / across
        self.start_part(None)
        for section in self.content.sections:
            if not flow.fits(self.heading_height(section) + height):
                flow.advance()
                self.start_part(section)
            self.draw_headings(section)
            for start in range(0, len(section.rows), across):
                if not flow.fits(step):
                    flow.advance()
                    self.start_part(section)
                    self.draw_headings(section, continued=True)
                for number, row in enumerate(section.rows[start : start + across]):
                    x = flow.x + number * (width + self.gap)
                    if edge is not None:
                        self.sheet.rect(Box(x, flow.y, x + width, flow.y + height), stroke="#b0bac5", radius=edge)
                    self.tile(row, section, x + 8, flow.y, width - 16)
                flow.y += step
            flow.y += 6
            self.draw_blocks(section.blocks, flow.x, section)

    def tile(self, row: Row, section: Section, x: float, y: float, width: float) -> None:
        """Draw what a test's tile shows from (x, y) on, `width` wide."""
        raise NotImplementedError


class Gauges(Tiles):
    """A box for each test with a large result and a bar that shows where it lies in its range."""

    def draw(self) -> None:
        """Draw the boxes, two or three to a line."""
        self.draw_tiles(3 if self.flow.width > 600 else 2, 66.0, 8.0, 5)

    def tile(self, row: Row, section: Section, x: float, y: float, width: float) -> None:
        """Draw one box's contents."""
        cells, sheet, printed = self.cells, self.sheet, row.printed
        self.inherit(row, section)
        names = cells.name(row, width)[:2] if self.style.method == "under" else [[run] for run in wrap(
            cells.run(row.name, "name", bold=True), width)]  # fmt: skip
        self.gold.lines(sheet, row.index, names, x, y + 13, self.size + 1)
        below = y + 13 + (len(names) - 1) * (self.size + 1)
        result = cells.result(row)
        big = min(14.0, 14.0 * width * 0.6 / max(result.width * 14 / result.size, 1))
        value: Line = [Run(result.text, "result", True, False, result.colour, big, result.font)]
        unit = None if printed.pending else cells.unit(row)
        if unit:
            value += [cells.run(" "), unit]
        flag = cells.flag_runs(printed.level)
        if flag:
            value += [cells.run("  "), *flag]
        self.gold.lines(sheet, row.index, [value], x, below + 19, 14)
        ranges = "; ".join(text for text in printed.range_lines if text)
        bottom = y + 62
        if ranges:
            label = cells.run(f"{self.content.titles['range']}: ", small=1.5)
            limits = cells.run(ranges, "range", small=1.5)
            if label.width + limits.width > width:
                label = cells.run("")
            self.gold.lines(sheet, row.index, [[label, limits]], x, bottom - 4, self.size)
        if ranges and not printed.pending and any(char.isdigit() for char in ranges) and below < y + 20:
            bar = y + 45
            for part, shade in ((0, "#e6b8b7"), (1, "#bfdcae"), (2, "#e6b8b7")):
                left = x + width * part / 3
                sheet.rect(Box(left, bar - 4, left + width / 3 - 1, bar), fill=shade, stroke=None)
            spot = 0.5 + 0.22 * max(-2, min(2, printed.level)) * (0.9 if abs(printed.level) == 2 else 1.5)
            sheet.disc(x + width * min(max(spot, 0.03), 0.97), bar - 2, 2.6, "#303030")


class Matrix(Table):
    """Tests side by side: names above, results and ranges below, a few columns at a time."""

    def draw(self) -> None:
        """Draw each panel as blocks of up to six tests."""
        flow = self.flow
        across = max(3, min(7, int((flow.width - 70) / 76)))
        self.start_part(None)
        for section in self.content.sections:
            for start in range(0, len(section.rows), across):
                rows = section.rows[start : start + across]
                need = 6.5 * self.leading + (self.heading_height(section) if start == 0 else 0)
                if not flow.fits(need):
                    flow.advance()
                    self.start_part(section)
                    self.draw_headings(section, continued=start > 0)
                elif start == 0:
                    self.draw_headings(section)
                self.block(rows, section, across)
                flow.y += self.leading * 0.8
            self.draw_blocks(section.blocks, flow.x, section)

    def block(self, rows: list[Row], section: Section, across: int) -> None:
        """Draw one block: a line each for names, results, units and ranges."""
        flow, sheet, cells, titles = self.flow, self.sheet, self.cells, self.content.titles
        label_width = 70.0
        width = (flow.width - label_width) / across
        room = width - 6
        bands: list[tuple[str, list[list[Line]]]] = [
            (
                titles["name"],
                [[[run] for run in wrap(cells.run(row.name, "name", True), room)] for row in rows],
            ),
            (titles["result"], [cells.value(row, room) for row in rows]),
        ]
        if "unit" in self.columns:
            units = [cells.unit(row) for row in rows]
            bands.append((titles["unit"], [[[unit]] if unit else [] for unit in units]))
        if "range" in self.columns:
            bands.append((titles["range"], [cells.limits(row, room) for row in rows]))
        for _, columns in bands:
            for lines in columns:
                shrink(lines, room)
        for row in rows:
            self.inherit(row, section)
        right = flow.x + label_width + len(rows) * width
        for label, columns in bands:
            heads: list[Line] = [[part] for part in wrap(cells.run(label, bold=True), label_width - 6)]
            shrink(heads, label_width - 6)
            height = max(len(heads), *(len(lines) for lines in columns)) * self.leading + 4
            sheet.rule(flow.x, flow.y, right, flow.y, 0.4)
            for number, part in enumerate(heads):
                sheet.line(flow.x + 2, flow.y + self.leading * (0.8 + number) + 1, part)
            for number, (row, lines) in enumerate(zip(rows, columns, strict=True)):
                x = flow.x + label_width + number * width
                self.gold.lines(
                    sheet, row.index, lines, x, flow.y + self.leading * 0.8 + 1, self.leading, "center", room
                )
            flow.y += height
        sheet.rule(flow.x, flow.y, right, flow.y, 0.4)
