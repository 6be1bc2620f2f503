"""A page's lines as examples of the answer's rows: what became of one line is guessed for those below it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from extraction.values.dates import moments

_AHEAD = 40  # lines: how far below the last row its next one is looked for
_SHORT = 3  # characters: a cell so short that no row takes is a flag, to be left out from then on
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)|[,:]|[^",:\s]+')
_NUMBER, _RANGE = re.compile(r"[<>≤≥=+-]*\s?\d[\d.,]*$"), re.compile(r"[\[(<>≤≥=]*\s?\d[^A-Za-z]*$")
_JOINED = re.compile(r"([<>≤≥=]*\s?\d[\d.,]*)\s+([^\s\d<>≤≥–-].*)$")
_MOMENT = re.compile("date|time", re.IGNORECASE)
_DIGIT = re.compile(r"\d")


@dataclass
class Part:
    """The beginning of a list or object of scalars, `["a","b` say; strings without quotes, escaped as in JSON.

    Attributes:
        keyed: whether it is an object.
        keys, values: those that are whole; values as JSON.
        partial: the value or key that is being written, None between two.
        expects: `key`, `colon`, `value` or `comma`; the one being written counts as still expected.
    """

    keyed: bool
    keys: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    partial: str | None = None
    expects: str = "value"

    @classmethod
    def of(cls, text: str) -> Part:
        """Read what stands behind the opening bracket, the closing one included or not."""
        part = cls(text[0] == "{")
        part.expects = first = "key" if part.keyed else "value"
        for token in _SCALAR.findall(text[1:].rstrip("]}") if text.endswith(("]", "}")) else text[1:]):
            if token in ",:":
                part.expects = first if token == "," else "value"
            elif token[0] == '"' and (len(token) == 1 or not re.fullmatch(r'"(?:[^"\\]|\\.)*"', token)):
                part.partial = token[1:]
            elif part.expects == "key":
                part.keys.append(token[1:-1])
                part.expects = "colon"
            else:
                part.values.append(token)
                part.expects = "comma"
        return part


@dataclass(frozen=True)
class Slot:
    """Where a value of a row comes from: a cell of its line behind `head`, or always the same JSON text."""

    key: str
    cell: int | None
    head: str
    constant: str
    kind: str


class Rows:
    """Learns from every finished row or heading, and guesses the next ones.

    Attributes:
        at: the line after the last row's.
        shapes: how the cells of a line became values, by the kinds of its cells; the latest example counts.

    Args:
        hint: `["cell","cell"],["cell"],`, one list a line.
        keys: names of properties that may be written, in the schema's order.
    """

    def __init__(self, hint: str, keys: Sequence[str] = ()):
        self._lines, self._keys = _lines(hint), list(keys)
        dates = [text for line in self._lines for cell in line for text in _dates(cell)]
        self._dates = sorted(dates, key=lambda date: ":" not in date)  # a time of day is the sample's, not a birthday's
        self.at = 0
        self.shapes: dict[tuple[str, ...], list[Slot]] = {}
        self._keyed: dict[tuple[str, ...], bool] = {}
        self._last: tuple[str, ...] = ()
        self._flags: set[str] = set()
        self._tails: set[str] = set()
        self._split = False
        self._heading = ""

    def _cells(self, line: int) -> list[str]:
        """The cells that become values: flags left out, marks at their end cut, values cut from their units."""
        out: list[str] = []
        for cell in self._lines[line]:
            for tail in self._tails:
                cell = cell.removesuffix(tail)
            if not cell or cell in self._flags:
                continue
            joined = _JOINED.match(cell) if self._split and out else None
            out += joined.groups() if joined else [cell]
        return out

    def learn(self, text: str) -> None:
        """Take a finished list or object of scalars as the example of the line it was read from."""
        part = Part.of(text)
        values = [value[1:-1] if value[0] == '"' else value for value in part.values]
        line = self._find(values)
        if line is None or (part.keyed and len(part.keys) != len(values)):
            return
        raw = self._lines[line]
        for value in values:
            self._flags.discard(value)
            for cell in raw:
                joined = _JOINED.match(cell)
                if joined and value in (cell, joined[1]) and cell != raw[0]:
                    self._split = value != cell
                for text in joined.groups() if joined and self._split else (cell,):
                    tail = text[len(value) :] if text.startswith(value) else ""
                    if 0 < len(tail) <= _SHORT and (tail[0] == " " or not any(map(str.isalnum, tail))):
                        self._tails.add(tail)
        cells = self._cells(line)
        taken = _places(values, cells)
        last = max((place for place in taken if place is not None), default=-1)
        idle = {c for i, c in enumerate(cells[:last]) if i not in taken and len(c) <= _SHORT and not _DIGIT.search(c)}
        if idle:
            self._flags |= idle
            cells = self._cells(line)
            taken = _places(values, cells)
        kinds = _kinds(cells)
        slots = []
        for number, (value, place) in enumerate(zip(values, taken, strict=True)):
            key, head = part.keys[number] if part.keyed else "", ""
            if place is None and len(cells) == 1 and value.endswith(" " + cells[0]):
                place, head = 0, value.removesuffix(cells[0])
            if place is None:  # a cell that went on in the line below
                place = next((i for i, c in enumerate(cells) if value.startswith(c + " ") and i not in taken), None)
            if place is not None or not (part.keyed and len(cells) == 1):
                kind = kinds[place] if place is not None else ""
                slots.append(Slot(key, place, head, part.values[number], kind))
        self.shapes[kinds] = slots
        self._keyed[kinds] = part.keyed
        if len(cells) > 1:
            self._last = kinds
        elif part.keyed:
            self._heading = values[0]
        self.at = line + 1

    def _ahead(self, line: int) -> range:
        return range(line, min(line + _AHEAD, len(self._lines)))

    def _find(self, values: Sequence[str]) -> int | None:
        """The line below the last row that has most of the values, its first above all."""

        def score(line: int) -> int:
            cells = {*self._lines[line], *self._cells(line)}
            cells |= {joined[1] for cell in self._lines[line] if (joined := _JOINED.match(cell))}
            found = [v in cells or (len(cells) == 1 and v.endswith(" " + next(iter(cells)))) for v in values if v]
            loose = [any(cell.startswith(v) for cell in cells) for v in values[:1] if v]
            return 2 * sum(found) + sum(found[:1]) + sum(loose)

        best = max(self._ahead(self.at), key=lambda line: (score(line), -line), default=None)
        return best if best is not None and score(best) > 1 else None

    def _slots(self, cells: Sequence[str]) -> list[Slot]:
        """How a line becomes a row: as one with the same kinds of cells did, else with values of the last's kinds."""
        kinds = _kinds(cells)
        if kinds in self.shapes:
            return self.shapes[kinds]
        example = self.shapes.get(self._last, []) if len(cells) > 1 else []
        slots: list[Slot] = []
        place = 0
        for number, slot in enumerate(example):
            enough = len(cells) - place >= len(example) - number
            constant = slot.constant if slot.cell is None else "null"
            if place < len(cells) and (enough or (slot.cell is not None and kinds[place] == slot.kind)):
                slots.append(Slot(slot.key, place, "", "", kinds[place]))
                place += 1
            else:
                slots.append(Slot(slot.key, None, "", constant, ""))
        return slots or [Slot("", place, "", "", "") for place in range(len(cells)) if len(cells) > 1]

    def next(self, line: int) -> tuple[str, int] | None:
        """The next whole row or heading from `line` on, and the line after it."""
        for number in self._ahead(line):
            cells = self._cells(number)
            known = _kinds(cells) in self.shapes
            if self._lines[number] in self._lines[: self.at]:
                continue  # what is printed again is the table's head or the page's
            if len(cells) > 1 or (len(cells) == 1 and known and self._is_heading(number)):
                slots = self._slots(cells)
                keyed = self._keyed.get(_kinds(cells), self._keyed.get(self._last, False))
                return _json(keyed, [(slot.key, _render(slot, cells)) for slot in slots]), number + 1
        return None

    def _is_heading(self, line: int) -> bool:
        """Whether a line of one cell stands over rows; remarks end like sentences or hold a colon or a number."""
        cell = self._lines[line][0]
        if len(self._lines[line]) > 1 or len(cell) > 45 or re.search(r"[\d:]|[.;,!)]$", cell):
            return False
        below = next((c for c in self._lines[line + 1 : line + 4] if len(c) > 1 or ":" not in c[0]), [])
        return len(below) > 1

    def first(self) -> str:
        """The first heading, guessed before any was written: the last line of one cell before a line with a number."""
        for line, cells in enumerate(self._lines[1:]):
            if self._keys and len(cells) > 1 and "n" in _kinds(cells) and self._is_heading(line):
                return f'{{"{self._keys[0]}":"{self._lines[line][0]}"{self._more([self._keys[0]])}'
        return ""

    def _more(self, keys: Sequence[str]) -> str:
        """The rest of a first heading that has `keys`: when, if the page has a date, and its end."""
        key = next((key for key in self._keys if _MOMENT.search(key) and key not in keys), None)
        return f',"{key}":"{self._dates[0]}"}}' if key and self._dates else "}"

    def finish(self, text: str) -> tuple[str, int] | None:
        """The rest of the row or heading that begins with `text`, and the line after it; None where none fits."""
        part = Part.of(text)
        if part.keyed and (found := self._by_key(part)):
            return found, self.at
        for line, wanted in self._candidates(part):
            rest = _rest(part, wanted)
            if rest is not None:
                if part.keyed and not self.shapes and part.expects == "value":
                    rest = rest.removesuffix("}") + self._more(part.keys)
                return rest, line + 1
        return None

    def _by_key(self, part: Part) -> str:
        """The rest of an object by what its keys say: dates, and in the first one the keys themselves."""
        written = part.partial or ""
        if part.expects in ("value", "colon") and part.keys and _MOMENT.search(part.keys[-1]):
            opening = (":" if part.expects == "colon" else "") + ('"' if part.partial is None else "")
            date = next((date for date in self._dates if date.startswith(written)), None)
            return f'{opening}{date[len(written) :]}"}}' if date else ""
        if self.shapes or part.expects not in ("key", "comma"):
            return ""
        if part.expects == "comma":
            return self._more(part.keys)
        key = next((key for key in self._keys if key.startswith(written) and key not in part.keys), None)
        return ('"' if part.partial is None else "") + f'{key[len(written) :]}":"' if key else ""

    def _candidates(self, part: Part) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """Lines the row may be read from, likeliest first, with the keys and JSON values that would follow."""
        values = [value[1:-1] if value[0] == '"' else value for value in part.values]
        if values:
            line = self._find(values)
            lines: Sequence[int] = [] if line is None else [line]
        else:
            lines = self._ahead(self.at)
        for line in lines:
            cells = self._cells(line)
            slots = self._slots(cells)
            yield from self._wrapped(part, line, cells)
            if values or self._keyed.get(_kinds(cells), False) == part.keyed:
                yield from ((line, wanted) for wanted in _continuations(slots, cells, values, part))
        if part.expects == "value" and part.partial and not values:
            yield from self._nested(part)
        if part.partial and part.expects == "value":
            for cells in self._lines:
                for cell in cells:
                    for text in (cell, cell.partition(": ")[2]):
                        if text.startswith(part.partial):
                            yield self.at - 1, [("", f'"{text}"')]

    def _wrapped(self, part: Part, line: int, cells: Sequence[str]) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """A cell that goes on in a line below."""
        partial = part.partial if part.partial and part.expects == "value" else ""
        for cell in cells:
            for below in self._ahead(line + 1)[:2]:
                if partial.startswith(cell + " "):
                    yield below, [("", f'"{cell} {self._lines[below][0]}"')]

    def _nested(self, part: Part) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """A heading under a heading: what is written, then the next line that looks like one."""
        partial = part.partial or ""
        head, _, tail = partial.rpartition(" ")
        for line in self._ahead(self.at):
            if self._is_heading(line):
                cell = self._lines[line][0]
                if self._heading.startswith(partial):
                    yield line, [("", f'"{self._heading} > {cell}"')]
                if tail and cell.startswith(tail):
                    yield line, [("", f'"{head} {cell}"')]
                elif not tail[-1:].isalnum():
                    yield line, [("", f'"{partial.rstrip()} {cell}"')]


def _continuations(
    slots: Sequence[Slot], cells: Sequence[str], values: Sequence[str], part: Part
) -> Iterator[list[tuple[str, str]]]:
    """What follows the values written: by the example where they agree with it, else the line's cells in order."""
    count = len(values)
    places = _places(values, cells, loose=True)
    if count <= len(slots) and all(slot.cell == place for slot, place in zip(slots, places, strict=False)):
        yield [(slot.key, _render(slot, cells)) for slot in slots[count:]]
    last = max((place for place in places if place is not None), default=-1)
    keys = [slot.key for slot in slots[count:]]
    for place in range(last + 1, len(cells)):
        following = [f'"{cell}"' for cell in cells[place:]]
        yield list(zip(keys + [""] * len(following), following, strict=False))
        if part.partial is None:
            break


def _rest(part: Part, wanted: Sequence[tuple[str, str]]) -> str | None:
    """The text after `part` when `wanted` are its next keys and values; None where what is written disagrees."""
    if part.partial is not None and not wanted:
        return None
    key, value = wanted[0] if wanted else ("", "")
    begun = '"' + part.partial if part.partial is not None else ""
    if part.expects == "value":
        text = value
    elif part.keyed and part.expects == "key":
        text = f'"{key}":{value}'
    else:
        body = _json(part.keyed, wanted)[1:]
        return {"comma": "," if wanted else "", "colon": ":"}[part.expects] + (
            body if part.expects == "comma" else value + "}"
        )
    if not text.startswith(begun) or (not wanted):
        return None
    more = _json(part.keyed, wanted[1:])[1:]
    return text[len(begun) :] + ("," if len(wanted) > 1 else "") + more


def _json(keyed: bool, items: Sequence[tuple[str, str]]) -> str:
    """A list (trailing nulls left out) or an object of JSON values."""
    if keyed:
        return "{" + ",".join(f'"{key}":{value}' for key, value in items) + "}"
    values = [value for _, value in items]
    while len(values) > 1 and values[-1] == "null":
        values.pop()
    return "[" + ",".join(values) + "]"


def _render(slot: Slot, cells: Sequence[str]) -> str:
    if slot.cell is None:
        return slot.constant
    return f'"{slot.head}{cells[slot.cell]}"' if slot.cell < len(cells) else "null"


def _places(values: Sequence[str], cells: Sequence[str], loose: bool = False) -> list[int | None]:
    """Which cell each value is (or, if `loose`, begins): from left to right where that is possible."""
    out: list[int | None] = []
    last = -1
    for value in values:
        places = [place for place, cell in enumerate(cells) if cell == value and place not in out]
        if loose and not places:
            places = [p for p, cell in enumerate(cells) if value and cell.startswith(value) and p not in out]
        out.append(next((place for place in places if place > last), places[0] if places else None))
        last = out[-1] if out[-1] is not None else last
    return out


def _kinds(cells: Sequence[str]) -> tuple[str, ...]:
    """A number, a range or other text, for each cell; the first is a name whatever it looks like."""
    return ("a", *("n" if _NUMBER.match(c) else "r" if _RANGE.match(c) else "a" for c in cells[1:]))


def _dates(text: str) -> Iterator[str]:
    """The dates in a text as they are mostly asked for, day first and year first, times of day included."""
    for moment in moments(text):
        for year, month, day in moment.readings.values():
            time = " {:02}:{:02}:{:02}".format(*(part or 0 for part in moment.time)) if moment.time else ""
            yield f"{day:02}-{month:02}-{year}{time}"
            yield f"{year}-{month:02}-{day:02}{time.replace(' ', 'T')}"


def _lines(hint: str) -> list[list[str]]:
    """The hint's cells, escaped as in JSON."""
    try:
        lines = json.loads(f"[{hint.rstrip(',')}]")
    except ValueError:
        return []
    return [[json.dumps(str(cell), ensure_ascii=False)[1:-1] for cell in line] for line in lines
            if isinstance(line, list) and line]  # fmt: skip
