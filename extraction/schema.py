"""JSON Schemas as the rest of the package uses them: checked once, references resolved, never fetched.

A schema may come from anyone and the data from a model: `check_schema` refuses what would have no end, and
`validator` (of `extraction.validation`) bounds the time of what only the data decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.validation import compiled, validator

Schema = dict[str, Any]
_Path = tuple[str | int, ...]

_DEEPEST = 100  # levels of JSON; llguidance's own parser stops at 128, and the target adds a few
_VALUES = 1_000_000
_IN_PLACE = 10_000  # schemas that can apply to one value
_STEPS = 64  # references or alternatives that lead to one another; thousands end llguidance's process
_OUTSIDE = 'is not followed; copy the definition into the schema\'s "$defs"'
_REFUSED = {"uri-reference": _OUTSIDE, "uri": "may only stand at the root", "regex": "is no regular expression"}


def load_schema(source: Schema | type | str | Path) -> Schema:
    """A JSON Schema from a dict, a pydantic model class or a file, checked against its own meta-schema.

    Raises:
        AssayError: the file cannot be read, or it is not a valid JSON Schema of an object.
    """
    name, schema = "the schema", source
    if isinstance(source, str | Path):
        name = str(source)
        try:
            schema = json.loads(Path(source).read_text(encoding="utf-8"))
        except OSError as error:
            raise AssayError(f"The schema {name} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError) as error:
            raise AssayError(f"The schema {name} is not valid JSON: {error}.") from None
    elif hasattr(source, "model_json_schema"):
        try:
            schema = source.model_json_schema()
        except Exception as error:  # pydantic's own, of several kinds
            raise AssayError(f"{name} has no JSON Schema: {str(error).splitlines()[0]}") from None
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
    # Where the meta-schema asks for an address or an expression.
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("uri")(lambda value: value == schema.get("$schema"))
    formats.checks("uri-reference")(lambda value: str(value).startswith("#") or value == schema.get("$id"))
    formats.checks("regex", raises=Exception)(compiled)
    references = ["#"]
    seen: dict[int, Schema] = {}
    known: dict[int, tuple[int, int]] = {}
    try:
        cls: Any = validator_for(schema, default=jsonschema.Draft202012Validator)
        for reference in references:  # also those found on the way, in case they lead to where no keyword does
            if id(top := _target(reference, schema)) not in seen:
                cls.check_schema(top, format_checker=formats)
                parts = _check_parts(top, schema, f"{name} has at {reference}", known)
                seen |= {id(part): part for part in parts}
                references += [part["$ref"] for part in parts if "$ref" in part]
    except jsonschema.SchemaError as error:
        where = reference[1:] + pointer(error.absolute_path) or "its root"
        if error.validator != "format":
            raise AssayError(f"{name} is not a valid JSON Schema at {where}: {error.message[:300]}.") from None
        why = _REFUSED[str(error.validator_value)] + (f" ({error.cause})" if error.cause else "")
        raise AssayError(f'{name} has at {where} "{error.instance!s:.80}", which {why}.') from None
    except (ValueError, RecursionError) as error:
        raise AssayError(f"{name} cannot be checked as a JSON Schema: {type(error).__name__}, {error}.") from None
    if {"patternProperties", "unevaluatedProperties"} <= {key for part in seen.values() for key in part}:
        raise AssayError(
            f'{name} has both "patternProperties" and "unevaluatedProperties", which is not supported; '
            'use "additionalProperties".'
        )
    top = resolve(schema, schema)
    if top.get("type", "object") != "object" or not {"properties", "anyOf", "oneOf"} & top.keys():
        raise AssayError(
            f'{name} must describe an object with "properties"; wrap a list as {{"items": [...]}} to extract one.'
        )


def _check_json(schema: Schema, name: str) -> None:
    """Raise AssayError unless the schema is JSON of a size and depth that everything after this can walk."""
    values: list[tuple[Any, int]] = [(schema, 1)]
    for value, depth in values:  # which grow
        if depth > _DEEPEST or len(values) > _VALUES:
            raise AssayError(f"{name} nests deeper than {_DEEPEST} levels or has more than {_VALUES:,} values.")
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        values += [(child, depth + 1) for child in children]
    try:
        if json.loads(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()) != schema:
            raise ValueError("written and read again it differs, as where a key is not text")
    except (TypeError, ValueError) as error:
        raise AssayError(f"{name} is not JSON: {error}.") from None


def _check_parts(top: Any, root: Schema, at: str, known: dict[int, tuple[int, int]]) -> list[Schema]:
    """All parts of the schema `top`; AssayError where more schemas apply to one value than can be followed."""
    parts: list[tuple[Any, _Path]] = [(top, ())]
    for part, path in parts:  # which grow
        if not isinstance(part, dict):
            continue
        count, steps = _in_place(part, root, known)
        if count > _IN_PLACE:
            raise AssayError(f"{at}{pointer(path)} more than {_IN_PLACE:,} alternatives for one value.")
        if steps > _STEPS:
            raise AssayError(
                f"{at}{pointer(path)} references that lead to one another in a circle or more than {_STEPS} times; "
                "each turn must go down into a property or item."
            )
        parts += [(sub, (*path, *step)) for sub, step in _subschemas(part)]
    return [part for part, _ in parts if isinstance(part, dict)]


def _in_place(part: Any, root: Schema, known: dict[int, tuple[int, int]], depth: int = 1) -> tuple[int, int]:
    """How many schemas apply to the very value that `part` applies to, and how many steps lead to the furthest.

    A circle has more than `_STEPS`; `known` keeps the answers by the id of a part, `depth` counts what led here.
    """
    if not isinstance(part, dict):
        return 1, 1
    if id(part) not in known:
        known[id(part)] = 1, _STEPS
        parts = [_target(part["$ref"], root)] if "$ref" in part else []
        parts += [sub for sub, step in _subschemas(part) if step[0] in _SAME_VALUE]
        below = [_in_place(sub, root, known, depth + 1) for sub in parts] if depth < _STEPS else [(1, _STEPS)]
        known[id(part)] = 1 + sum(count for count, _ in below), 1 + max((steps for _, steps in below), default=0)
    return known[id(part)]


def resolve(schema: Schema | bool, root: Schema) -> Schema:
    """Follow local `$ref`s (`#/...`) until a schema without one; references to elsewhere are never fetched.

    Raises:
        AssayError: a reference that leaves the schema, or leads nowhere.
    """
    if not isinstance(schema, dict) or "$ref" not in schema:
        return schema if isinstance(schema, dict) else {}
    return {**resolve(_target(schema["$ref"], root), root), **{k: v for k, v in schema.items() if k != "$ref"}}


def _target(reference: Any, root: Schema) -> Any:
    """The schema, or boolean, that a local reference names; AssayError where it names none."""
    from referencing import Registry, Resource

    if reference != "#" and not str(reference).startswith("#/"):
        raise AssayError(f'The schema\'s "$ref": "{reference}" {_OUTSIDE}.')
    try:
        target = Resource.opaque(root).pointer(reference[1:], Registry().resolver()).contents
    except Exception:  # of several kinds
        target = None
    if not isinstance(target, bool | dict):
        raise AssayError(f'The schema\'s "$ref": "{reference}" leads nowhere, or to what is no schema.')
    return target


def pointer(path: Any) -> str:
    """A JSON pointer (RFC 6901) from a sequence of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLE = ("items", "additionalProperties", "additionalItems")
# What is asked about a value rather than what it looks like.
_ASKED = "not if then else contains propertyNames unevaluatedItems unevaluatedProperties contentSchema".split()
_SAME_VALUE = frozenset("allOf anyOf oneOf not if then else dependentSchemas dependencies".split())


def map_subschemas(schema: Schema, change: Callable[[Any, _Path], Any]) -> Schema:
    """A copy of `schema` whose direct subschemas, but for its conditions, are `change(subschema, path from here)`."""
    out = dict(schema)
    for key, value in schema.items():
        if key in _MAPS and isinstance(value, dict):
            out[key] = {name: change(sub, (key, name)) for name, sub in value.items()}
        elif key in _LISTS and isinstance(value, list):
            out[key] = [change(sub, (key, index)) for index, sub in enumerate(value)]
        elif key in _SINGLE:
            out[key] = change(value, (key,))
    return out


def _subschemas(schema: Schema) -> list[tuple[Any, _Path]]:
    """Every direct subschema of any keyword, with the path to it from here."""
    found: list[tuple[Any, _Path]] = [(schema[key], (key,)) for key in _ASKED if key in schema]
    map_subschemas(schema, lambda sub, step: found.append((sub, step)))
    return found


def nodes(schema: Schema, path: Sequence[str | int]) -> list[Schema]:
    """What a schema says of the values on the way to `path` in its data, from the root to the value itself.

    Of alternatives the first that has the next step; empty where none has.
    """

    def below(node: Schema, step: str | int) -> Schema:
        own = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
        if own is None and isinstance(step, str) and isinstance(node.get("additionalProperties"), dict):
            own = node["additionalProperties"]
        if own is not None:
            return resolve(own, schema)
        parts = (part for key in ("anyOf", "oneOf", "allOf") for part in node.get(key, ()))
        return next((found for part in parts if (found := below(resolve(part, schema), step))), {})

    found = [resolve(schema, schema)]
    for step in path:
        found.append(below(found[-1], step))
    return found


def is_choice(schema: Schema, path: Sequence[str | int]) -> bool:
    """Whether a schema offers the value at `path`, or what holds it, as one of a list, or as true or false."""

    def offers(node: Schema) -> bool:
        own = {"enum", "const"} & node.keys() or node.get("type") == "boolean"
        parts = (part for key in ("anyOf", "oneOf", "allOf") for part in node.get(key, ()))
        return bool(own) or any(offers(resolve(part, schema)) for part in parts if isinstance(part, dict))

    return any(offers(node) for node in nodes(schema, path)[1:])


def closed(schema: Schema) -> Schema:
    """A schema whose objects have no properties but those that it names, unless it says otherwise."""
    out = map_subschemas(schema, lambda sub, _: closed(sub) if isinstance(sub, dict) else sub)
    if "properties" in out and not {"allOf", "anyOf", "oneOf", "$ref", "patternProperties"} & out.keys():
        out.setdefault("additionalProperties", False)
    return out


def allows_null(schema: Schema, root: Schema) -> bool:
    """Whether null is a valid value of `schema`."""
    return validator(schema, root).is_valid(None)
