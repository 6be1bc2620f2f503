"""Records as rows of tables, for any schema.

- Each list of objects is a table of its name, a row an item; a list within the items of another is a table
  `outer.inner`. Its columns: `document`, the fields outside the list (those of what holds the item), the item's own;
  then `page`, `x0`, `y0`, `x1`, `y1` (the box around its values, in points from the top left), `confidence` (the lowest
  of its values), the record's `status`, and the `issues` that name the row or one of its values (` | ` parts them).
- `documents` has a row a record, those without rows or without data among them: `document`, `status`, `rows`, `views`
  (a page each), all `issues`, and the fields that stand in no list, with page, box and confidence.
- A file with several reports has a row in `documents` for each, called `document#1` and so on, as in every table.
- `set_aside`, where records have such a list: `document`, `path` in the record, the row's fields, `reason`.

Values are text as printed; numbers, booleans and lists of anything but objects are JSON text; nested objects have
columns `outer.inner`. Beside a field whose role (in the contract, or the records) is `value`, `range` or `time` stand
`_comparator`, `_number`, `_unit`, or `_low`, `_high`, or `_date` (ISO 8601), filled where the text can mean only one
thing. A column whose name is taken already gets `_2` behind it.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import BaseModel

from extraction.contract import Contract, Role
from extraction.evidence.evidence import Evidence
from extraction.export.writers import Cell, Table
from extraction.record.record import Field, Issue, Status
from extraction.schema import Schema, pointer, resolve

DOCUMENTS, SET_ASIDE = "documents", "set_aside"

_Keys = tuple[str, ...]
"""The keys that lead to a field or a list from the record's root, without places in lists."""

_TYPED: dict[str | None, tuple[str, ...]] = {
    "value": ("comparator", "number", "unit"),
    "range": ("low", "high"),
    "time": ("date",),
}
_PLACE = ("page", "x0", "y0", "x1", "y1", "confidence")
_TYPES: dict[str, type] = {
    **dict.fromkeys(("rows", "page"), int),
    **dict.fromkeys((*_PLACE[1:], "number", "low", "high"), float),
}


class Place(BaseModel):
    """Where a value was read, as what, how sure the model was, and what its field is for."""

    text: str | None = None
    role: Role | None = None
    confidence: float | None = None
    page: int | None = None
    box: tuple[float, float, float, float] | None = None


class SetAside(BaseModel):
    """A row, a value of one, or what was left out as a list, that is not data, and why."""

    path: str
    data: Any
    reason: str

    @property
    def row(self) -> dict[str, Any]:
        """Its values by their fields."""
        if isinstance(self.data, list):
            return {"values": ", ".join(map(str, self.data))}
        return self.data if isinstance(self.data, dict) else {self.path.rpartition("/")[2]: self.data}


class SavedRecord(BaseModel):
    """A record as its file has it."""

    source: str
    status: Status
    issues: list[Issue]
    data: dict[str, Any] | None
    report_pages: list[list[int]] = []
    views: list[str] = []
    evidence: dict[str, Place] = {}
    set_aside: list[SetAside] | None = None
    derived: dict[str, str] = {}

    @property
    def parts(self) -> list[SavedRecord]:
        """The records of its reports; itself where it is one."""
        return [self._part(number, data) for number, data in self._several] if self._several else [self]

    @property
    def _several(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.data["reports"])) if self.report_pages and self.data else []

    def _part(self, number: int, data: Any) -> SavedRecord:
        at = f"/reports/{number}"

        def own(path: str) -> str | None:
            return (path[len(at) :] or "/") if path == at or path.startswith(f"{at}/") else None

        here = [issue for issue in self.issues if not issue.path and issue.page in self.report_pages[number]]
        here += [replace(issue, path=inner) for issue in self.issues if issue.path and (inner := own(issue.path))]
        first = sum(map(len, self.report_pages[:number]))
        return SavedRecord(
            source=self.source,
            status="failed" if data is None else "partial" if here else "ok",
            issues=here,
            data=data,
            views=self.views[first : first + len(self.report_pages[number])],
            evidence={inner: place for path, place in self.evidence.items() if (inner := own(path))},
            set_aside=[
                one.model_copy(update={"path": inner}) for one in self.set_aside or () if (inner := own(one.path))
            ],
            derived={inner: value for path, value in self.derived.items() if (inner := own(path))},
        )

    @property
    def values(self) -> dict[str, Any]:
        """The data with what the task worked out from it, each in the row that it is about."""
        data = copy.deepcopy(self.data or {})
        for path, value in self.derived.items():
            *steps, last = path.split("/")[1:]
            node: Any = data
            for step in steps:
                node = node[int(step) if isinstance(node, list) else step.replace("~1", "/").replace("~0", "~")]
            node[last] = value
        return data


class _Leaf(NamedTuple):
    keys: _Keys
    at: str  # JSON pointer
    value: Any


class _Row(NamedTuple):
    table: _Keys  # of its list; of the record itself ()
    at: str
    own: list[_Leaf]
    held: list[_Leaf]  # what holds it: the record's own fields, then those of outer lists' items


class _Column(NamedTuple):
    keys: _Keys  # of a field; () for what is said of the row
    part: str = ""  # what of it: the text, or a typed part


class Tables:
    """The tables of records that have been seen, and the rows of each record.

    Args:
        contracts: of the records: their schemas' fields are columns, whether or not a record fills them.
    """

    def __init__(self, contracts: Iterable[Contract] = ()):
        self._roles: dict[str, Role] = {}
        self._headings: set[str] = set()
        self._fields: dict[_Keys, dict[_Keys, None]] = {(): {}}
        self._aside: dict[_Keys, None] | None = None
        self._names: dict[_Keys, str] = {}
        self._columns: dict[_Keys, list[_Column]] = {}
        for contract in contracts:
            self._roles = {**contract.roles, **self._roles}
            self._headings |= contract.headings
            self._describe(contract.record_schema, contract.record_schema, (), (), frozenset())

    def _describe(self, schema: Any, root: Schema, keys: _Keys, table: _Keys, seen: frozenset[str]) -> None:
        """Take tables and fields from a schema; a reference within what it refers to is left to the records."""
        for part, known in _alternatives(schema, root, seen):
            for key, sub in part.get("properties", {}).items():
                here, options = (*keys, key), list(_alternatives(sub, root, known))
                lists = [
                    (option["items"], inner)
                    for option, inner in options
                    if any(_is_object(item) for item, _ in _alternatives(option.get("items"), root, inner))
                ]
                for items, inner in lists:
                    self._fields.setdefault(here, {})
                    self._describe(items, root, here, here, inner)
                if any(_is_object(option) for option, _ in options):
                    self._describe(sub, root, here, table, known)
                # What leads back to what holds it has no columns of its own but those of the records.
                again = any("items" in o and not any(_alternatives(o["items"], root, own)) for o, own in options)
                if not lists and not again and (options or sub is True) and not any(_is_object(o) for o, _ in options):
                    self._fields[table][here] = None

    def see(self, record: SavedRecord) -> None:
        """Take in the tables and columns of a record; what its fields are for, where no contract says it."""
        for path, place in record.evidence.items():
            name = next((step for step in reversed(path.split("/")) if step and not step.isdigit()), "")
            if place.role and name not in self._roles:
                self._roles[name] = place.role
                self._headings |= {name} if place.role in ("heading", "time") else set()
        for row in _rows(record.values):
            self._fields.setdefault(row.table, {}).update(_filled(row.own))
        if record.set_aside is not None:
            self._aside = self._aside or {}
            for aside in record.set_aside:
                self._aside.update(_filled(_flat(aside.row)))

    def layout(self) -> list[Table]:
        """The tables: lists in the schema's order, then `documents` and `set_aside`."""
        lists = [keys for keys in self._fields if keys]
        names = _unique([DOCUMENTS, SET_ASIDE, *(re.sub(r"[^\w.-]+", "_", ".".join(keys))[:27] for keys in lists)])
        self._names = dict(zip(lists, names[2:], strict=True))
        tables = []
        for keys in (*lists, ()):
            holders = [other for other in self._fields if keys[: len(other)] == other]
            fields = [_Column(field) for holder in holders for field in self._fields[holder]]
            whole = []
            for column in fields:
                typed = _TYPED.get(self._roles.get(column.keys[-1]), ())
                whole += [column, *(_Column(column.keys, part) for part in typed)]
            if keys:
                self._columns[keys] = [*_said("document"), *whole, *_said(*_PLACE, "status", "issues")]
            else:
                place = _said(*_PLACE) if whole else []
                self._columns[keys] = [*_said("document", "status", "rows", "views", "issues"), *whole, *place]
            tables.append(Table(self._names.get(keys, DOCUMENTS), _named(self._columns[keys], keys)))
        if self._aside is not None:
            columns = [*_said("document", "path"), *map(_Column, self._aside), *_said("reason")]
            tables.append(Table(SET_ASIDE, _named(columns, ())))
        return tables

    def lines(self, record: SavedRecord, document: str) -> Iterator[tuple[str, list[Cell]]]:
        """The rows of a record that has been seen, each with the name of its table, cells as in `layout`."""
        rows = list(_rows(record.values))
        for row in rows:
            cells: dict[_Column, Cell] = {}
            for leaf in (*row.held, *row.own):
                cells[_Column(leaf.keys)] = _text(leaf.value)
                for part, cell in self._typed(leaf, record).items():
                    cells[_Column(leaf.keys, part)] = cell
            said = self._place(row, record) | {
                "document": document,
                "status": record.status,
                "issues": " | ".join(_told(record.issues, row.at)) or None,
                "views": ", ".join(record.views) or None,
                "rows": len(rows) - 1,
            }
            cells |= {_Column((), part): cell for part, cell in said.items()}
            yield self._names.get(row.table, DOCUMENTS), [cells.get(column) for column in self._columns[row.table]]
        for aside in record.set_aside or ():
            values = {leaf.keys: _text(leaf.value) for leaf in _flat(aside.row)}
            yield SET_ASIDE, [document, aside.path, *map(values.get, self._aside or ()), aside.reason]

    def as_row(self, cells: list[Cell]) -> list[Cell]:
        """A row of `documents` as one of the first table, which has other columns."""
        known = dict(zip(self._columns[()], cells, strict=True))
        return [known.get(column) for column in next(iter(self._columns.values()))]

    def _typed(self, leaf: _Leaf, record: SavedRecord) -> dict[str, Cell]:
        """The typed parts of a value, where its text can mean only one thing."""
        role = self._roles.get(leaf.keys[-1])
        if role not in _TYPED or leaf.value is None or isinstance(leaf.value, list):
            return {}
        place = record.evidence.get(leaf.at)
        typed = Field(leaf.value, "", None, Evidence(place.text) if place and place.text else None, role).typed
        if role == "value" and typed.kind == "number":
            return {"comparator": typed.comparator or None, "number": _double(typed.value), "unit": typed.unit or None}
        if role == "range" and typed.kind == "range":
            return {"low": _double(typed.low), "high": _double(typed.high)}
        return {"date": typed.date} if role == "time" and typed.kind == "date" else {}

    def _place(self, row: _Row, record: SavedRecord) -> dict[str, Cell]:
        """Page and box of a row, and its lowest confidence.

        A heading stands apart from the rows that it holds for, so it counts for the box only where nothing else does.
        """
        places = [
            (leaf.keys[-1], record.evidence[at])
            for leaf in row.own
            for at in _pointers(leaf.at, leaf.value)
            if at in record.evidence
        ]
        sure = [place.confidence for _, place in places if place.confidence is not None]
        said: dict[str, Cell] = {"confidence": min(sure, default=None)}
        boxes = [(name, place.page, place.box) for name, place in places if place.page and place.box]
        boxes = [box for box in boxes if box[0] not in self._headings] or boxes
        if boxes:
            page = said["page"] = Counter(page for _, page, _ in boxes).most_common(1)[0][0]
            x0, y0, x1, y1 = zip(*(box for _, other, box in boxes if other == page), strict=True)
            said |= {"x0": min(x0), "y0": min(y0), "x1": max(x1), "y1": max(y1)}
        return said


def _alternatives(schema: Any, root: Schema, seen: frozenset[str]) -> Iterator[tuple[Schema, frozenset[str]]]:
    """A schema with its reference followed, then its alternatives, each with the references that led there."""
    if not isinstance(schema, dict) or schema.get("$ref") in seen:
        return
    whole, seen = resolve(schema, root), seen | {schema["$ref"]} if "$ref" in schema else seen
    yield whole, seen
    for word in ("allOf", "anyOf", "oneOf"):
        for sub in whole.get(word, ()):
            yield from _alternatives(sub, root, seen)


def _is_object(schema: Schema) -> bool:
    return "properties" in schema or "object" in str(schema.get("type"))


def _rows(data: dict[str, Any]) -> Iterator[_Row]:
    """The record itself as a row, then the items of its lists of objects, each before what it holds."""
    waiting: list[tuple[_Keys, str, dict[str, Any], list[_Leaf]]] = [((), "", data, [])]
    while waiting:
        table, at, node, held = waiting.pop()
        leaves = list(_leaves(node, table, at))
        own = [leaf for leaf in leaves if not _is_table(leaf.value)]
        yield _Row(table, at, own, held)
        waiting += [
            (leaf.keys, f"{leaf.at}/{number}", item, [*held, *own])
            for leaf in reversed(leaves)
            if _is_table(leaf.value)
            for number, item in reversed(list(enumerate(leaf.value)))
        ]


def _leaves(node: dict[str, Any], keys: _Keys, at: str) -> Iterator[_Leaf]:
    """The values of an object and of those nested in it; lists are values."""
    for key, value in node.items():
        here, where = (*keys, key), at + pointer([key])
        if isinstance(value, dict):
            yield from _leaves(value, here, where)
        else:
            yield _Leaf(here, where, value)


def _flat(data: dict[str, Any]) -> list[_Leaf]:
    return list(_leaves(data, (), ""))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _filled(leaves: Iterable[_Leaf]) -> dict[_Keys, None]:
    """The fields that hold something: what is null or empty may be a list or an object elsewhere."""
    return {leaf.keys: None for leaf in leaves if leaf.value not in (None, [])}


def _pointers(at: str, value: Any) -> Iterator[str]:
    """The JSON pointers of the single values within a value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _pointers(at + pointer([key]), inner)
    else:
        yield at


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _double(number: Decimal | None) -> float | None:
    return float(number) if number is not None and math.isfinite(float(number)) else None


def _told(issues: Sequence[Issue], at: str) -> Iterator[str]:
    """The issues that name what is `at` a pointer or within, each with what it names there."""
    for issue in issues:
        path = "" if issue.path in (None, "/") else str(issue.path)
        if path == at or path.startswith(f"{at}/"):
            page = f"page {issue.page}:" if issue.page and not path else ""
            yield f"{path[len(at) + 1 :] or page} {issue.message}".lstrip()


def _said(*parts: str) -> list[_Column]:
    return [_Column((), part) for part in parts]


def _named(columns: list[_Column], table: _Keys) -> dict[str, type]:
    """The names of a table's columns with their types; what is said of every row has its name first."""

    def order(column: _Column) -> tuple[bool, bool, bool]:
        return bool(column.keys), column.keys[: len(table)] != table, bool(column.part)

    chosen = sorted(columns, key=order)
    names = dict(zip(chosen, _unique([_label(column, table) for column in chosen]), strict=True))
    return {names[column]: _TYPES.get(column.part, str) for column in columns}


def _label(column: _Column, table: _Keys) -> str:
    inside = column.keys[: len(table)] == table
    parts = [".".join(column.keys[len(table) :] if inside else column.keys), column.part]
    return "_".join(part for part in parts if part)


def _unique(names: Iterable[str]) -> list[str]:
    """Names that differ also where case does not count, as in SQLite and Excel."""
    taken: dict[str, str] = {}
    for name in names:
        new, number = name, 1
        while new.casefold() in taken:
            number += 1
            new = f"{name}_{number}"
        taken[new.casefold()] = new
    return list(taken.values())
