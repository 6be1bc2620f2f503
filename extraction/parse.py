"""JSON text to a tree that knows where each value stands, and what of a broken text is whole."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
# Whole only before a delimiter: `1` may go on as `10`, `1.` as `1.5`, `1e` as `1e9`.
_SCALAR = re.compile(r"(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?=[ \t\n\r,\]}])", re.ASCII)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_DEPTH = 200


@dataclass
class Node:
    """A JSON value and its place in the text, [start, end).

    `value` is a scalar, a list of Node or a dict of key to Node. `complete` is False when the text ended, or
    stopped being JSON, before the value's own end; its whole children are kept.
    """

    value: Any
    start: int
    end: int
    complete: bool = True

    def plain(self) -> Any:
        """The value as `json.loads` would give it, but for what no file could hold (see `parse`)."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def parse(text: str) -> Node | None:
    """Parse the first JSON object or array in `text`; what precedes it (a code fence, thoughts) is skipped.

    A text cut at any point gives every value that was whole before the cut: of `[{"a":1},{"a":2},{"a` two
    rows remain, and the nodes that the cut left open say `complete=False`. A number or word that nothing ends
    is not whole: `1` might have become `10`. Half a surrogate pair becomes U+FFFD and a number beyond Python's
    range a string, so that whatever is returned can be written as JSON.

    Returns:
        The root node, or None when no object or array begins in the text.
    """
    start = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=-1)
    if start < 0:
        return None
    return _value(text, start, 0)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int, depth: int) -> Node | None:
    at = _skip(text, at)
    if at >= len(text) or depth > _DEPTH:
        return None
    if text[at] == "{":
        return _object(text, at, depth)
    if text[at] == "[":
        return _array(text, at, depth)
    if text[at] == '"':
        match = _STRING.match(text, at)
        return Node(_string(match.group()), at, match.end()) if match else None
    match = _SCALAR.match(text, at)
    if not match:
        return None
    return Node(_scalar(match.group()), at, match.end())


def _string(text: str) -> str:
    """The string; U+FFFD for half a surrogate pair, which is no character and could not be written to any file."""
    return _LONE_SURROGATE.sub("\ufffd", json.loads(text))


def _scalar(text: str) -> Any:
    """The number, boolean or null; a number that Python cannot hold (1e999, thousands of digits) stays as written."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if value in (math.inf, -math.inf) else value


def _array(text: str, at: int, depth: int) -> Node:
    items: list[Node] = []
    position = _skip(text, at + 1)
    if position < len(text) and text[position] == "]":
        return Node(items, at, position + 1)
    while True:
        item = _value(text, position, depth + 1)
        if item is None:
            return Node(items, at, position, complete=False)
        items.append(item)
        position = _skip(text, item.end)
        if not item.complete or position >= len(text) or text[position] not in ",]":
            return Node(items, at, position, complete=False)
        if text[position] == "]":
            return Node(items, at, position + 1)
        position = _skip(text, position + 1)


def _object(text: str, at: int, depth: int) -> Node:
    entries: dict[str, Node] = {}
    position = _skip(text, at + 1)
    if position < len(text) and text[position] == "}":
        return Node(entries, at, position + 1)
    while True:
        key = _STRING.match(text, position)
        colon = _skip(text, key.end()) if key else len(text)
        value = _value(text, colon + 1, depth + 1) if colon < len(text) and text[colon] == ":" else None
        if key is None or value is None:
            return Node(entries, at, position, complete=False)
        entries[_string(key.group())] = value
        position = _skip(text, value.end)
        if not value.complete or position >= len(text) or text[position] not in ",}":
            return Node(entries, at, position, complete=False)
        if text[position] == "}":
            return Node(entries, at, position + 1)
        position = _skip(text, position + 1)
