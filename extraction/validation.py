"""Data against a JSON Schema, with an end: whatever a schema asks and a model wrote, it takes seconds at most."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_SECONDS = 5.0  # of the processor, as `regex` counts, for the patterns of one record; the rest may take as long again
# A brace that is no repetition is a letter to JSON Schema; to the library `regex` it may ask for a fuzzy match.
_BRACE = re.compile(r"\\[pPN]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?!\d*,?\d*\})", re.DOTALL)


# The validation that runs in this thread: the `end` of the time for its patterns, and what to say where one `spent` it.
_time = threading.local()


class Validator:
    """Checks data against a schema within bounds of time; what could not be checked is an error that says so."""

    def __init__(self, inner: Any):
        self._inner = inner

    def iter_errors(self, data: Any) -> Iterator[Any]:
        """jsonschema's errors, each with its `absolute_path`; never raises on account of the data."""
        from jsonschema import ValidationError

        _time.end, _time.spent = time.thread_time() + _SECONDS, ""
        errors: list[Any] = []
        try:
            errors.extend(self._inner.iter_errors(data))
        except Exception as error:
            # Time is up; or numbers beyond a float, nesting beyond Python, patterns that are none: data are a model's.
            why = f"This could not be checked against the schema ({type(error).__name__}: {error})."
            errors.append(ValidationError(why))
        # Within a "not" or an "if" a pattern without a verdict must not make the whole valid.
        if _time.spent and all(error.message != _time.spent for error in errors):
            errors.append(ValidationError(_time.spent))
        for found in errors:
            found.message = _in_words(found)
        return iter(errors)

    def is_valid(self, data: Any) -> bool:
        """Whether there is no error."""
        return next(self.iter_errors(data), None) is None


_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "nothing",
    "object": "an object",
    "array": "a list",
}


def _in_words(error: Any) -> str:
    """What an error says, for somebody who knows no JSON Schema."""
    if error.message.startswith("This could not be checked"):
        return str(error.message)
    if error.validator == "required" and (name := re.match(r"""(['"])(.*)\1 is a required property$""", error.message)):
        return f"{'There is' if error.absolute_path else 'The record has'} no {name[2]}."
    if error.validator == "type":
        wanted = error.validator_value
        kinds = [_TYPES.get(kind, str(kind)) for kind in (wanted if isinstance(wanted, list) else [wanted])]
        return f"{_said(error.instance)} stands where {' or '.join(kinds)} is wanted."
    if error.validator == "enum":
        return f"{_said(error.instance)} is none of the choices: {', '.join(map(_said, error.validator_value))}."
    return str(error.message)


def _said(value: Any) -> str:
    """A value in a sentence, shortened."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    words = {None: "nothing", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else f"“{value!s:.80}”"


def validator(schema: dict[str, Any] | bool, root: dict[str, Any] | None = None) -> Validator:
    """A validator of `schema` that resolves references within `root` only, checks formats and has an end.

    Patterns are matched by the library `regex`, which can be interrupted, since Python's own `re` may take longer
    than the universe on `^(a|a)*$`.
    """
    import jsonschema
    from jsonschema.validators import validator_for
    from referencing import Registry

    root = schema if root is None and isinstance(schema, dict) else root or {}
    cls, formats = _bounded(validator_for(root, default=jsonschema.Draft202012Validator))
    inner = cls(root, registry=Registry(), format_checker=formats)
    return Validator(inner if schema is root else inner.evolve(schema=schema))


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """The regular expression behind a schema's pattern; raises whatever `regex` raises where it is none."""
    import regex

    return regex.compile(_BRACE.sub(lambda match: r"\{" if match.group() == "{" else match.group(), pattern))


def _found(pattern: str, text: str) -> bool:
    """Whether `text` matches; raises TimeoutError when the time for patterns is up."""
    try:
        return bool(compiled(pattern).search(text, timeout=max(0.001, _time.end - time.thread_time())))
    except TimeoutError:
        _time.spent = f"This could not be checked against the pattern {pattern[:80]} within {_SECONDS:g} s."
        raise TimeoutError(_time.spent) from None


@lru_cache(maxsize=8)
def _bounded(cls: Any) -> tuple[Any, Any]:
    """A jsonschema validator class all of whose keywords end when time is up, and its checker of formats."""
    import attrs
    from jsonschema import FormatChecker, ValidationError
    from jsonschema.validators import extend

    def pattern(validator: Any, value: str, instance: Any, schema: Any) -> Iterator[Any]:
        try:
            if validator.is_type(instance, "string") and not _found(value, instance):
                said = f"{_said(instance)} does not have the form that is asked for (pattern {value:.80})."
                yield ValidationError(said)
        except TimeoutError as error:
            yield ValidationError(str(error))

    def pattern_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        for name, sub in value.items() if validator.is_type(instance, "object") else ():
            for key in (key for key in instance if _found(name, key)):
                yield from validator.descend(instance[key], sub, path=key, schema_path=name)

    def additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "object"):
            named = [key for key in instance if any(_found(name, key) for name in schema.get("patternProperties", ()))]
            known = {**schema.get("properties", {}), **dict.fromkeys(named)}
            if value is False:
                if strange := [_said(key) for key in instance if key not in known]:
                    yield ValidationError(f"{', '.join(strange)}: there is no such field in the schema.")
                return
            yield from cls.VALIDATORS["additionalProperties"](validator, value, instance, {"properties": known})

    def timed(keyword: Any) -> Any:
        def checked(*args: Any) -> Any:
            if time.thread_time() > _time.end + _SECONDS:
                raise TimeoutError(f"more than {2 * _SECONDS:g} s")
            return keyword(*args)

        return checked

    own = {"pattern": pattern, "patternProperties": pattern_properties, "additionalProperties": additional_properties}
    keywords = {key: timed(own.get(key, function)) for key, function in cls.VALIDATORS.items()}
    formats = FormatChecker(formats=())
    # The format "regex" compiles what a model wrote, which may raise anything.
    formats.checkers = {name: (check, Exception) for name, (check, _) in cls.FORMAT_CHECKER.checkers.items()}
    bounded = extend(cls, keywords)
    bounded.evolve = attrs.evolve  # jsonschema's own would go on with its own, unbounded class where "$schema" stands
    return bounded, formats
