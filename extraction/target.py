"""What the model writes for a record, and how it is read back: one codec for training and serving.

Three styles:

`objects`
    The record as compact JSON, exactly as its schema says. What a model that was never tuned can follow.

`rows`
    Every array of flat objects becomes a list of rows, `["Glucose","70","mg/dL","60 - 100"]`: values in the
    schema's order, trailing nulls left out. Keys named in `carry` (a group, a place, a time that holds
    for many rows) are written once, as an object before the rows they hold for, as a heading stands on a
    page: `{"group":"Tools"}`. What the record says beside its rows is left out where it is null, as it is on every page
    but the first. About a third of the tokens of `objects`, and in the order of reading.

`text`
    The record's one string as it is, without JSON around it, and nothing forbidden: how benchmarks ask ("Final Answer:
    C"), and how reports are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from extraction.errors import AssayError
from extraction.parse import Node, parse
from extraction.schema import Schema, allows_null, map_subschemas, resolve

Style = Literal["objects", "rows", "text"]
_GAP = re.compile(r"\s{2,}")


def dumps(value: Any) -> str:
    """Compact JSON with the characters of the page kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Leaf:
    """One value of a record: its path, the value, and where in the model's text it stands ([start, end))."""

    path: tuple[str | int, ...]
    value: Any
    start: int
    end: int


class Target:
    """The codec between a record that follows `schema` and the text a model writes for it.

    Args:
        schema: JSON Schema of the record, an object.
        style: `objects`, `rows` or `text`.
        carry: keys of row objects that hold until changed (`rows` only).
    """

    def __init__(self, schema: Schema, style: Style = "objects", carry: Sequence[str] = ()):
        self.schema = schema
        self.style = style
        self.carry = tuple(carry)
        self._properties: dict[str, Schema] = resolve(schema, schema).get("properties", {})
        self.tables: dict[str, dict[str, Schema]] = {}
        self._left_out: list[str] = []  # keys beside the tables that are not written where they are null
        if style == "text" and [sub.get("type") for sub in self._properties.values()] != ["string"]:
            raise AssayError("Target style `text` needs a schema with one property, a string; use `objects`.")
        if style == "rows":
            self.tables = self.tables_of(schema)
            known = {key for row in self.tables.values() for key in row}
            missing = [key for key in self.carry if key not in known]
            if not self.tables:
                raise AssayError("Target style `rows` needs a schema with an array of flat objects; use `objects`.")
            if missing:
                raise AssayError(f"The contract carries `{missing[0]}`, which no row of the schema has.")
            for name, row in self.tables.items():
                if set(row) <= set(self.carry):
                    raise AssayError(f"The contract carries every field of `{name}`, so that its rows would be empty.")
            beside = (name for name in self._properties if name not in self.tables)
            self._left_out = [name for name in beside if allows_null(self._properties[name], schema)]

    @property
    def keys(self) -> set[str]:
        """The keys of the record itself that a whole answer has: those that are always written, and the last."""
        names = list(self._properties)
        return {name for name in names if name not in self._left_out} | set(names[-1:])

    @staticmethod
    def tables_of(schema: Schema) -> dict[str, dict[str, Schema]]:
        """The arrays of flat objects that a record has, by name, each with the properties of a row."""
        tables = {}
        for name, sub in resolve(schema, schema).get("properties", {}).items():
            items = resolve(resolve(sub, schema).get("items", {}), schema)
            properties = items.get("properties") or {}
            cells = [resolve(cell, schema) for cell in properties.values()]
            if cells and not any("properties" in cell or "items" in cell for cell in cells):
                tables[name] = dict(properties)
        return tables

    def grammar_schema(self) -> Schema | None:
        """The JSON Schema of the text the model writes (of the record itself for `objects`); None for plain text."""
        if self.style == "text":
            return None
        if self.style == "objects":
            return _nulls_required(self.schema, self.schema)
        properties = {}
        for name, sub in self._properties.items():
            if name in self.tables:
                row = self.tables[name]
                cells = [_nullable(row[key], self.schema) for key in row if key not in self.carry]
                heading = {key: _nullable(row[key], self.schema) for key in row if key in self.carry}
                shapes: list[Schema] = [{"type": "array", "prefixItems": cells, "items": False, "minItems": 1}]
                if heading:
                    shapes.append({"type": "object", "properties": heading, "additionalProperties": False})
                properties[name] = {"type": "array", "items": {"anyOf": shapes}}
            else:
                properties[name] = _nulls_required(sub, self.schema)
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name not in self._left_out],
            "additionalProperties": False,
            **{key: self.schema[key] for key in ("$defs", "definitions") if key in self.schema},
        }

    def encode(self, data: dict[str, Any]) -> str:
        """The text for a record; keys in the schema's order, whatever order `data` has."""
        if self.style == "text":
            return str(data[next(iter(self._properties))])
        if self.style == "objects":
            return dumps(ordered(data, self.schema, self.schema))
        out: dict[str, Any] = {}
        for name, sub in self._properties.items():
            if name in self.tables:
                out[name] = self._encode_rows(data.get(name) or [], self.tables[name])
            elif name not in self._left_out or data.get(name) is not None:
                out[name] = ordered(data.get(name), sub, self.schema)
        return dumps(out)

    def _encode_rows(self, rows: list[dict[str, Any]], columns: dict[str, Schema]) -> list[Any]:
        out: list[Any] = []
        state: dict[str, Any] = {key: None for key in columns if key in self.carry}
        for row in rows:
            heading = {key: row.get(key) for key in state if row.get(key) != state[key]}
            if heading:
                out.append(heading)
                state.update(heading)
            cells = [row.get(key) for key in columns if key not in self.carry]
            while len(cells) > 1 and cells[-1] is None:
                cells.pop()
            out.append(cells)
        return out

    def hint(self, lines: Sequence[str]) -> str:
        """The lines of a page in the shape of an answer, cells as strings: where a decoder's drafts come from."""
        if self.style == "text":
            return "\n".join(lines)
        cells = ([cell for cell in _GAP.split(line.strip()) if cell] for line in lines)
        return "".join('["' + '","'.join(dumps(cell)[1:-1] for cell in row) + '"],' for row in cells if row)

    def parse(self, text: str, whole: bool = True) -> Node | None:
        """The tree of what a model wrote, None where there is no answer in it; `whole` unless it was cut."""
        if self.style != "text":
            return parse(text)
        if not text.strip():
            return None
        said = Node(text, 0, len(text), whole)
        return Node({next(iter(self._properties)): said}, 0, len(text), whole)

    def decode(self, node: Node) -> tuple[Any, list[Leaf]]:
        """The record and its leaves from a parsed text; a row that was cut short is left out.

        A null where the schema has no null (a key that may be left out) is left out.
        """
        if self.style != "rows" or not isinstance(node.value, dict):
            return self._plain(node, ())
        data: dict[str, Any] = dict.fromkeys(self._left_out)
        leaves: list[Leaf] = []
        for name, child in node.value.items():
            if name in self.tables and isinstance(child.value, list):
                data[name], more = self._decode_rows(child, name)
            else:
                data[name], more = self._plain(child, (name,))
            leaves += more
        return data, leaves

    def _decode_rows(self, node: Node, name: str) -> tuple[list[dict[str, Any]], list[Leaf]]:
        columns = self.tables[name]
        own = [key for key in columns if key not in self.carry]
        nullable = {key for key in columns if allows_null(columns[key], self.schema)}
        state: dict[str, Node] = {}
        rows: list[dict[str, Any]] = []
        leaves: list[Leaf] = []
        for item in node.value:
            if not item.complete:
                continue
            if isinstance(item.value, dict):
                state.update(item.value)
            elif isinstance(item.value, list):
                cells = {**state, **dict(zip(own, item.value, strict=False))}
                row: dict[str, Any] = {}
                for key in columns:
                    cell = cells.get(key)
                    value, more = self._plain(cell, (name, len(rows), key)) if cell else (None, [])
                    if value is None and key not in nullable:
                        continue
                    row[key] = value
                    leaves += more
                rows.append(row)
        return rows, leaves

    def _plain(self, node: Node, path: tuple[str | int, ...]) -> tuple[Any, list[Leaf]]:
        leaves: list[Leaf] = []
        if isinstance(node.value, dict):
            out: Any = {}
            for key, child in node.value.items():
                out[key], more = self._plain(child, (*path, key))
                leaves += more
        elif isinstance(node.value, list):
            out = []
            for child in node.value:
                if not child.complete and not _holds_rows(child):
                    continue
                value, more = self._plain(child, (*path, len(out)))
                out.append(value)
                leaves += more
        else:
            out = node.value
            if out is not None:
                leaves.append(Leaf(path, out, node.start, node.end))
        return out, leaves


def _holds_rows(node: Node) -> bool:
    return isinstance(node.value, dict) and any(isinstance(child.value, list) for child in node.value.values())


def _nullable(schema: Schema, root: Schema) -> Schema:
    return schema if allows_null(schema, root) else {"anyOf": [schema, {"type": "null"}]}


def _nulls_required(schema: Any, root: Schema) -> Any:
    """`schema` with every key that may be null required: what a page lacks is written as null, not forgotten."""
    if not isinstance(schema, dict):
        return schema
    out = map_subschemas(schema, lambda sub, _: _nulls_required(sub, root))
    if isinstance(properties := schema.get("properties"), dict):
        required = schema.get("required", [])
        out["required"] = [key for key in properties if key in required or allows_null(properties[key], root)]
    return out


def ordered(value: Any, schema: Schema, root: Schema) -> Any:
    """`value` with the keys of every object in the order of its schema, null for a nullable key it lacks."""
    schema = resolve(schema, root)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        keys = [key for key, sub in properties.items() if key in value or allows_null(sub, root)]
        keys += [key for key in value if key not in properties]
        return {key: ordered(value.get(key), properties.get(key, {}), root) for key in keys}
    if isinstance(value, list):
        items = schema.get("items")
        return [ordered(item, items if isinstance(items, dict) else {}, root) for item in value]
    return value
