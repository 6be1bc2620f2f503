"""JSON Schemas as the rest of the package uses them: checked once, references resolved, never fetched.

A schema may come from anyone and the data from a model: `check_schema` refuses what would have no end, and
`validator` (of `extraction.validation`) bounds the time of what only the data decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from extraction.errors import AssayError
from extraction.validation import compiled, validator

__all__ = ["Schema", "allows_null", "check_schema", "load_schema", "map_subschemas", "pointer", "resolve", "validator"]

Schema = dict[str, Any]

_DEEPEST = 100  # levels of JSON; llguidance's own parser stops at 128, and the target adds a few
_VALUES = 1_000_000
_IN_PLACE = 10_000  # schemas that can apply to one value
_STEPS = 64  # references or alternatives that lead to one another


def load_schema(source: Schema | type | str | Path) -> Schema:
    """A JSON Schema from a dict, a pydantic model class or a file, checked against its own meta-schema.

    Raises:
        AssayError: the file cannot be read, or it is not a valid JSON Schema of an object.
    """
    name = "the schema"
    if isinstance(source, str | Path):
        name = str(source)
        try:
            schema = json.loads(Path(source).read_text(encoding="utf-8"))
        except OSError as error:
            raise AssayError(f"The schema {name} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise AssayError(f"The schema {name} is not valid JSON: {error}.") from None
        except RecursionError:
            raise AssayError(f"The schema {name} nests deeper than {_DEEPEST} levels.") from None
    elif isinstance(source, type) and hasattr(source, "model_json_schema"):
        schema = source.model_json_schema()
    else:
        schema = source
    if not isinstance(schema, dict):
        raise AssayError(f"{name} must be a JSON object (a JSON Schema), not {type(schema).__name__}.")
    check_schema(schema, name)
    return schema


def check_schema(schema: Schema, name: str = "the schema") -> None:
    """Raise AssayError with a JSON pointer where `schema` is not a valid JSON Schema of an object.

    Also refused: what is not JSON, references that lead elsewhere or in circles, patterns that are no regular
    expressions, and schemas too deep or with too many alternatives for one value to be followed.
    """
    import jsonschema
    from jsonschema.validators import validator_for

    _check_json(schema, name)
    if not isinstance(schema.get("$schema", ""), str):
        raise AssayError(f"{name} is not a valid JSON Schema at /$schema: it must be the address of a draft.")
    try:
        cls: Any = validator_for(schema, default=jsonschema.Draft202012Validator)
        cls.check_schema(schema, format_checker=jsonschema.FormatChecker(formats=()))
    except jsonschema.SchemaError as error:
        where = pointer(error.absolute_path) or "its root"
        raise AssayError(f"{name} is not a valid JSON Schema at {where}: {error.message[:300]}.") from None
    except (ValueError, RecursionError) as error:
        raise AssayError(f"{name} cannot be checked as a JSON Schema: {type(error).__name__}, {error}.") from None
    _check_parts(schema, name)
    root = resolve(schema, schema)
    if root.get("type", "object") != "object" or not ("properties" in root or "anyOf" in root or "oneOf" in root):
        raise AssayError(
            f'{name} must describe an object with "properties"; wrap a list as {{"items": [...]}} to extract one.'
        )


def _check_json(schema: Schema, name: str) -> None:
    """Raise AssayError unless the schema is JSON of a size and depth that everything after this can walk."""
    todo: list[tuple[Any, int]] = [(schema, 1)]
    count = 0
    while todo:
        value, depth = todo.pop()
        count += 1
        if depth > _DEEPEST:
            raise AssayError(f"{name} nests deeper than {_DEEPEST} levels.")
        if count > _VALUES:
            raise AssayError(f"{name} has more than {_VALUES:,} values.")
        if isinstance(value, dict):
            if any(not isinstance(key, str) for key in value):
                raise AssayError(f"{name} is not JSON: it has a key that is not text.")
            todo += [(child, depth + 1) for child in value.values()]
        elif isinstance(value, list):
            todo += [(child, depth + 1) for child in value]
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise AssayError(f"{name} is not JSON: {error}.") from None


def _check_parts(root: Schema, name: str) -> None:
    """Raise AssayError at a subschema, or the target of a reference, that cannot be followed or bounded."""
    todo: list[tuple[Any, tuple[str | int, ...], bool]] = [(root, (), False)]
    address = "id" if re.search(r"draft-0[34]", root.get("$schema", "")) else "$id"
    seen: set[tuple[int, bool]] = set()
    keywords: set[str] = set()
    known: dict[int, tuple[int, int]] = {}
    while todo:
        part, path, foreign = todo.pop()
        if not isinstance(part, dict) or (id(part), foreign) in seen:
            continue
        seen.add((id(part), foreign))
        at = pointer(path) or "its root"
        if path and "$schema" in part:
            raise AssayError(f'{name} has a "$schema" at {at}; it may only stand at the root.')
        # Within a schema with an address of its own, references would count from there.
        foreign = foreign or bool(path and not str(part.get(address, "#")).startswith("#"))
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            if key not in part:
                continue
            reference = part[key]
            if not isinstance(reference, str) or not reference.startswith("#") or foreign:
                raise AssayError(_not_followed(reference, key))
            if key == "$ref":
                todo.append((_target(reference, root), ("$ref", reference), False))
        patterns = [(key, part[key]) for key in ("pattern",) if isinstance(part.get(key), str)]
        if isinstance(named := part.get("patternProperties"), dict):
            patterns += [("patternProperties", pattern) for pattern in named]
        keywords |= {key for key in ("patternProperties", "unevaluatedProperties") if key in part}
        if len(keywords) == 2:
            raise AssayError(
                f'{name} has both "patternProperties" and "unevaluatedProperties", which is not supported; '
                'use "additionalProperties".'
            )
        for key, pattern in patterns:
            try:
                compiled(pattern)
            except Exception as error:  # regex has errors of its own, and deep nesting is a RecursionError
                where = pointer((*path, key))
                raise AssayError(f"{name} has at {where} no regular expression: {pattern[:80]} ({error}).") from None
        if _in_place(part, root, known)[0] > _IN_PLACE:
            raise AssayError(f"{name} has at {at} more than {_IN_PLACE:,} alternatives for one value.")
        todo += [(sub, (*path, *step), foreign) for sub, step in _subschemas(part)]


def _in_place(part: Any, root: Schema, known: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
    """How many schemas apply to the very value that `part` applies to, and how many steps lead to the furthest.

    Args:
        part: a schema.
        root: where references lead.
        known: answers by the id of a schema; (0, 0) for those that are being counted.
        depth: how many schemas led here.

    Raises:
        AssayError: a schema that refers to itself without going a step down in the data.
    """
    if not isinstance(part, dict):
        return 1, 1
    if known.get(id(part)) == (0, 0):
        raise AssayError("The schema refers to itself in a circle; each turn must go down into a property or item.")
    if id(part) not in known:
        known[id(part)] = 0, 0
        parts = [_target(part["$ref"], root)] if isinstance(part.get("$ref"), str) else []
        parts += [sub for sub, step in _subschemas(part) if step[0] in _SAME_VALUE]
        below = [_in_place(sub, root, known, depth + 1) for sub in parts] if depth <= _STEPS else [(0, _STEPS)]
        known[id(part)] = 1 + sum(count for count, _ in below), 1 + max((steps for _, steps in below), default=0)
    if known[id(part)][1] > _STEPS:
        raise AssayError(f"The schema has more than {_STEPS} references that lead to one another.")
    return known[id(part)]


def resolve(schema: Schema | bool, root: Schema) -> Schema:
    """Follow local `$ref`s (`#/...`) until a schema without one; references to elsewhere are never fetched.

    Raises:
        AssayError: a reference that leaves the schema, or leads nowhere.
    """
    seen: set[str] = set()
    while isinstance(schema, dict) and "$ref" in schema:
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#") or reference in seen:
            raise AssayError(_not_followed(reference))
        seen.add(reference)
        target = _target(reference, root)
        if isinstance(target, bool):
            target = {} if target else {"not": {}}
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema if isinstance(schema, dict) else {}


def _not_followed(reference: Any, key: str = "$ref") -> str:
    return f'The schema\'s "{key}": "{reference}" is not followed; copy the definition into the schema\'s "$defs".'


def _target(reference: str, root: Schema) -> Any:
    """The schema, or boolean, that a local reference names.

    Raises:
        AssayError: it leads nowhere.
    """
    if reference != "#" and not reference.startswith("#/"):
        raise AssayError(_not_followed(reference))
    target: Any = root
    for part in reference.lstrip("#").strip("/").split("/"):
        if part:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdecimal():
                target = target[int(key)] if int(key) < len(target) else None
            else:
                target = target.get(key) if isinstance(target, Mapping) else None
    if target is None:
        raise AssayError(f'The schema\'s "$ref": "{reference}" leads nowhere.')
    if not isinstance(target, bool | Mapping):
        raise AssayError(f'The schema\'s "$ref": "{reference}" does not lead to a schema.')
    return target


def pointer(path: Any) -> str:
    """A JSON pointer (RFC 6901) from a sequence of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "additionalItems")
# The rest of the vocabulary, which no grammar has.
_MORE_MAPS = ("dependentSchemas", "dependencies")
_MORE_SINGLE = tuple(
    "not if then else contains propertyNames unevaluatedItems unevaluatedProperties contentSchema".split()
)
_SAME_VALUE = frozenset("allOf anyOf oneOf not if then else dependentSchemas dependencies".split())


def _subschemas(schema: Schema) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    """Every direct subschema of any keyword, with the path to it from here."""
    for key, value in schema.items():
        if key in (*_MAPS, *_MORE_MAPS) and isinstance(value, dict):
            yield from ((sub, (key, name)) for name, sub in value.items())
        elif key in (*_LISTS, "items") and isinstance(value, list):
            yield from ((sub, (key, index)) for index, sub in enumerate(value))
        elif key in (*_SINGLE, *_MORE_SINGLE):
            yield value, (key,)


def map_subschemas(schema: Schema, change: Callable[[Any, tuple[str | int, ...]], Any]) -> Schema:
    """A copy of `schema` whose direct subschemas are `change(subschema, path from here)`."""
    out: Schema = {}
    for key, value in schema.items():
        if key in _MAPS and isinstance(value, dict):
            out[key] = {name: change(sub, (key, name)) for name, sub in value.items()}
        elif key in _LISTS and isinstance(value, list):
            out[key] = [change(sub, (key, index)) for index, sub in enumerate(value)]
        elif key in _SINGLE:
            out[key] = change(value, (key,))
        else:
            out[key] = value
    return out


def allows_null(schema: Schema, root: Schema) -> bool:
    """Whether null is a valid value of `schema`."""
    return validator(schema, root).is_valid(None)
