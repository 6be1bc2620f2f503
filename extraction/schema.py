"""JSON Schemas as the rest of the package uses them: checked once, references resolved, never fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from extraction.errors import AssayError

Schema = dict[str, Any]


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
    elif isinstance(source, type) and hasattr(source, "model_json_schema"):
        schema = source.model_json_schema()
    else:
        schema = source
    if not isinstance(schema, dict):
        raise AssayError(f"{name} must be a JSON object (a JSON Schema), not {type(schema).__name__}.")
    check_schema(schema, name)
    return schema


def check_schema(schema: Schema, name: str = "the schema") -> None:
    """Raise AssayError with a JSON pointer where `schema` is not a valid JSON Schema of an object."""
    import jsonschema
    from jsonschema.validators import validator_for

    try:
        validator_for(schema, default=jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.SchemaError as error:
        where = pointer(error.absolute_path) or "its root"
        raise AssayError(f"{name} is not a valid JSON Schema at {where}: {error.message}.") from None
    root = resolve(schema, schema)
    if root.get("type", "object") != "object" or not ("properties" in root or "anyOf" in root or "oneOf" in root):
        raise AssayError(
            f'{name} must describe an object with "properties"; wrap a list as {{"items": [...]}} to extract one.'
        )


def resolve(schema: Schema | bool, root: Schema) -> Schema:
    """Follow local `$ref`s (`#/...`) until a schema without one; references to elsewhere are never fetched.

    Raises:
        AssayError: a reference that leaves the schema, or leads nowhere.
    """
    seen: set[str] = set()
    while isinstance(schema, dict) and "$ref" in schema:
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#") or reference in seen:
            raise AssayError(
                f'The schema\'s "$ref": "{reference}" is not followed; copy the definition into the schema\'s "$defs".'
            )
        seen.add(reference)
        target: Any = root
        for part in reference.lstrip("#").strip("/").split("/"):
            if part:
                key = part.replace("~1", "/").replace("~0", "~")
                target = target.get(key) if isinstance(target, Mapping) else None
        if target is None:
            raise AssayError(f'The schema\'s "$ref": "{reference}" leads nowhere.')
        if isinstance(target, bool):
            target = {} if target else {"not": {}}
        elif not isinstance(target, Mapping):
            raise AssayError(f'The schema\'s "$ref": "{reference}" does not lead to a schema.')
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema if isinstance(schema, dict) else {}


def pointer(path: Any) -> str:
    """A JSON pointer (RFC 6901) from a sequence of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "additionalItems")


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


def validator(schema: Schema, root: Schema | None = None) -> Any:
    """A jsonschema validator that resolves references within `root` only and checks formats."""
    import jsonschema
    from jsonschema.validators import validator_for
    from referencing import Registry

    base = schema if root is None or root is schema else {**schema, **_definitions(root)}
    cls = validator_for(root or schema, default=jsonschema.Draft202012Validator)
    return cls(base, registry=Registry(), format_checker=cls.FORMAT_CHECKER)


def _definitions(root: Schema) -> Schema:
    return {key: root[key] for key in ("$defs", "definitions") if key in root}
