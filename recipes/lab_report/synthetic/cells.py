"""Turns a row into lines of runs for each column: where units, flags and methods go is decided here."""

from __future__ import annotations

from dataclasses import replace

from .parts import Content, Row, Section
from .sheet import Line, Run, line_width, text_width, wrap
from .style import Style

_RED, _BLUE = "#b00020", "#0b3d91"
_ARROWS = {1: "↑", 2: "↑↑", -1: "↓", -2: "↓↓"}


_WHOLE = (
    "range", "time", "unit", "prev1", "prev2", "prevd", "prevw", "code", "tariff", "no", "low", "high", "lab",
)  # fmt: skip


def dated(kind: str) -> bool:
    """Whether a column is that of one date of several ("d0", "d1")."""
    return kind[0] == "d" and kind[1:].isdigit()


class Cells:
    """Makes the cells of one report's rows; `size` is the type size in points."""

    def __init__(self, content: Content, style: Style, size: float):
        self.content, self.style, self.size = content, style, size
        self.font = style.value_font or style.font
        # Flags before left-aligned results hang in a gutter of their own, so that the results line up.
        hung = style.align == "left" and style.flag_place == "before" and style.flag != "none"
        self.hanging = hung and not style.flag_tight
        self.flag_gap = "" if style.flag_tight else " "
        flags = [self.flag_runs(level, style.fresh) for level in (-2, -1, 1, 2)] if self.hanging else []
        self.gutter = max((line_width(flag) + size * 0.4 for flag in flags if flag), default=0.0)
        self.range_before, _, self.range_after = content.range_form.partition("{}")
        before, _, after = content.method_form.partition("{}")
        self.method_before, self.method_after = before, after

    def run(
        self,
        text: str,
        field: str | None = None,
        bold: bool = False,
        small: float = 0,
        italic: bool = False,
        colour: str = "#000000",
    ) -> Run:
        """A run in the table's type."""
        return Run(text, field, bold, italic, colour, self.size - small, self.font)

    def flag_text(self, level: int) -> str:
        """The mark that says a result is outside its range."""
        words = self.content.words["words"]
        if not level:
            return ""
        high, low = words["high"], words["low"]
        # High and low by their initials, but "H" in French; German laboratories write H and L.
        letters = words.get("letters") or ("HL" if low[0] == "n" else high[0].replace("É", "H") + low[0])
        letter = letters[0] if level > 0 else letters[1]
        text = {
            "HL": letter * abs(level),
            "pm": ("+" if level > 0 else "-") * abs(level),
            "arrow": _ARROWS[level],
            "star": "*" * abs(level),
            "bang": "(!)",
            "word": high if level > 0 else low,
            "bracket": f"[{letter}]",
            "triangle": "▲" if level > 0 else "▼",
        }.get(self.style.flag, "")
        return text and self.style.flag_form.format(text)

    def fresh(self, row: Row) -> str:
        """The mark of a result that is new."""
        return self.style.fresh if row.marker else ""

    def flag_runs(self, level: int, fresh: str = "") -> Line:
        """The flag, and the mark of a new result, as runs; arrows are set in a face that has them."""
        text = self.flag_text(level)
        run = self.run(text, "flag", bold=self.style.flag in ("HL", "word", "bang"))
        colour = _RED if level > 0 else _BLUE
        if self.style.flag in ("arrow", "triangle"):
            run = replace(run, font="Helvetica", bold=False, colour=colour)
        elif self.style.flag == "word":
            run = replace(run, colour=colour)
        line = [run] if text else []
        return [*line, replace(run, text=f" {fresh}" if text else fresh, field=None)] if fresh else line

    def result(self, row: Row) -> Run:
        """The result, marked by weight or colour where the family does so."""
        level, flag = row.printed.level, self.style.flag
        bold = bool(level) and (flag == "bold" or self.style.bold_abnormal)
        colour = _RED if level and flag == "colour" else "#000000"
        return self.run(row.printed.result, "result", bold, colour=colour, italic=row.printed.pending)

    def unit(self, row: Row) -> Run | None:
        """The unit, not printed while a result is pending in the same cell."""
        if not row.printed.unit or (row.printed.pending and self.style.unit_place in ("result", "header")):
            return None
        return self.run(row.printed.unit, "unit")

    def name(self, row: Row, width: float, bold: bool = False) -> list[Line]:
        """The test's name, wrapped, with its mark, unit and method where the family prints them there."""
        early = row.mark and self.style.mark_place == "before"
        head: Line = [self.run(f"{row.mark} ")] if early else []
        lines: list[Line] = [[run] for run in wrap(self.run(row.name, "name", bold), width - line_width(head))]
        lines[0] = [*head, *lines[0]]
        tail: Line = [self.run(row.mark)] if row.mark and not early else []
        unit = self.unit(row)
        if self.style.unit_place == "name" and unit:
            tail += [self.run(" ("), unit, self.run(")")]
        if tail and sum(run.width for run in [*lines[-1], *tail]) > width and unit in tail:
            lines.append([run for run in tail if run.text != " ("] if row.mark else tail[1:-1])
        else:
            lines[-1] += tail
        if self.style.colon:
            lines[-1].append(self.run(":"))
        if self.style.range_below and any(row.printed.range_lines):
            text = "; ".join(filter(None, row.printed.range_lines))
            before = self.run(self.range_before, small=1.5)
            runs = wrap(self.run(text, "range", small=1.5), max(40.0, width - before.width - 12))
            lines += [[before, runs[0]] if before.text else [runs[0]], *([run] for run in runs[1:])]
            if self.range_after:
                lines[-1].append(self.run(self.range_after, small=1.5))
        if self.style.method == "under" and row.method:
            parts = [
                self.run(self.method_before, small=1.8, italic=True),
                self.run(row.method, "method", small=1.8, italic=True),
                self.run(self.method_after, small=1.8, italic=True),
            ]
            lines.append([part for part in parts if part.text])
        return lines

    def value(self, row: Row, width: float) -> list[Line]:
        """The result with flag and unit where they share its cell."""
        result = self.result(row)
        lines: list[Line] = [
            [one] for part in result.text.split("\n") for one in wrap(replace(result, text=part), width)
        ]
        level = 0 if "flag" in self.style.columns.split() else row.printed.level
        fresh = self.fresh(row)
        flag = self.flag_runs(level, fresh)
        if row.corrected:
            before, _, after = row.corrected.partition("{}")
            lines[0] = [self.run(before), *lines[0]] if before else lines[0]
            lines[-1].append(self.run(after))
        if self.style.unit_place == "result":
            unit = self.unit(row)
            if unit:
                tight = unit.text == "%" and self.content.picks["tint"] < 0.5
                lines[-1] += [unit] if tight else [self.run(" "), unit]
        if flag and self.style.flag_place == "before":
            lines[0] = [*flag, self.run(self.flag_gap), *lines[0]]
        elif flag and self.style.flag_place == "after":
            lines[-1] += [self.run(self.flag_gap), *flag]
        words = not row.printed.unit and not any(char.isdigit() for char in row.printed.result)
        return [[], *lines] if self.style.words_below and words and row.below else lines

    def limits(self, row: Row, width: float) -> list[Line]:
        """The reference range, over as many lines as it needs."""
        lines: list[Line] = []
        for text in row.printed.range_lines:
            if text:
                lines += [[run] for run in wrap(self.run(text, "range"), width)]
        unit = self.unit(row)
        if self.style.unit_place == "range" and unit:
            if lines and sum(run.width for run in lines[-1]) + unit.width + 6 <= width:
                lines[-1] += [self.run(" "), unit]
            else:
                lines.append([unit])
        return lines

    def column(self, kind: str, row: Row, section: Section, width: float) -> list[Line]:
        """The lines of one column of a row; an empty list where nothing is printed."""
        printed = row.printed
        if kind == "result":
            return self.value(row, width)
        if kind == "range":
            return self.limits(row, width)
        if kind in ("low", "high"):
            text = self.end(row, kind)
            return [[self.run(text, kind if any(map(str.isdigit, text)) else None)]] if text else []
        if dated(kind):
            one = row.series[int(kind[1:])]
            return self.value(one, width) if one else []
        if kind == "flag":
            flag = self.flag_runs(printed.level)
            return [flag] if flag else []
        unit = self.unit(row) if kind == "unit" else None
        texts: dict[str, tuple[str, str | None]] = {
            "unit": (unit.text if unit else "", "unit"),
            "method": (row.method or "", "method"),
            "specimen": (row.specimen, "specimen"),
            "code": (row.code, None),
            "tariff": (row.tariff, None),
            "no": (str(row.index + 1), None),
            "group": ("", None),
            "lab": (row.lab or self.content.extras.lab, None),
            "prevw": (self.dated(row, "    {}"), None),
            "marker": (row.marker, None),
            "status": (self.content.status, None),
            "time": (row.collected, "collected"),
            "prevd": (self.dated(row), None),
            "prev1": (printed.previous[0] if printed.previous else "", None),
            "prev2": (printed.previous[1] if printed.previous else "", None),
        }
        text, field = texts[kind]
        return [[run] for run in wrap(self.run(text, field), width)] if text else []

    def dated(self, row: Row, form: str = " ({})") -> str:
        """An earlier value with its date in the same cell."""
        previous = row.printed.previous
        return f"{previous[0]}{form.format(self.content.previous_dates[0])}" if previous else ""

    def end(self, row: Row, kind: str) -> str:
        """The lower or upper end of a range of figures; a hyphen, in some reports, where there is none."""
        if row.printed.ends is None:
            return ""
        low, high, decimals = row.printed.ends
        value = low if kind == "low" else high
        if value is None:
            return "-" if self.content.picks["tint"] < 0.4 else ""
        return f"{value:.{decimals}f}".replace(".", self.content.decimal)

    def natural(self, kind: str, row: Row, section: Section) -> tuple[float, float]:
        """The width a cell would like and the least it can bear, in points."""
        lines = self.name(row, 1e6) if kind == "name" else self.column(kind, row, section, 1e6)
        wish = max((sum(run.width for run in line) for line in lines), default=0.0)
        if kind == "group":
            title = " ".join(section.headings[-1:])
            wish = max(self.run(word, bold=True).width for word in title.split(" "))
            return min(wish * 1.3, 90.0), min(wish, 90.0)
        if kind == "result" and self.hanging:
            wish += self.gutter
        least = 0.0
        for line in filter(None, lines):
            if kind in _WHOLE and line:
                bound = max(sum(run.width for run in line[:2]), line[0].width)
                least = max(least, min(bound, 110 if kind == "range" else bound))
            elif (kind == "result" or dated(kind)) and sum(run.width for run in line) < 80:
                least = max(least, sum(run.width for run in line))
            else:
                extra = sum(run.width for run in line[1:])
                words = max(text_width(word, line[0].face, line[0].size) for word in line[0].text.split(" "))
                least = max(least, words + (extra if kind != "name" else 0.0))
        if kind == "result" and self.hanging:
            least += self.gutter
        return wish, least
