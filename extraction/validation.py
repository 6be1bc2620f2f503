"""Data against a JSON Schema, with an end: whatever a schema asks and a model wrote, it takes seconds at most."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_SECONDS = 5.0  # to validate one record
# A brace that is no repetition is a letter to JSON Schema; to the library `regex` it may ask for a fuzzy match.
_BRACE = re.compile(r"\\[pPN]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?!\d*,?\d*\})", re.DOTALL)


class Validator:
    """Checks data against a schema within bounds of time; what could not be checked is an error that says so."""

    def __init__(self, inner: Any, clock: Any):
        self._inner, self._clock = inner, clock

    def iter_errors(self, data: Any) -> Iterator[Any]:
        """jsonschema's errors, each with its `absolute_path`; never raises on account of the data."""
        from jsonschema import ValidationError

        self._clock.start()
        told = False
        try:
            for error in self._inner.iter_errors(data):
                told = told or error.message == self._clock.spent
                yield error
        except TimeoutError as error:
            yield ValidationError(str(error))
        except Exception as error:
            # Numbers beyond what a float holds, nesting beyond what Python holds: the data are a model's.
            yield ValidationError(f"This could not be checked against the schema ({type(error).__name__}: {error}).")
        else:
            # Within a "not" or an "if" a pattern without a verdict must not make the whole valid.
            if self._clock.spent and not told:
                yield ValidationError(self._clock.spent)

    def is_valid(self, data: Any) -> bool:
        """Whether there is no error."""
        return next(self.iter_errors(data), None) is None


def validator(schema: dict[str, Any] | bool, root: dict[str, Any] | None = None) -> Validator:
    """A validator of `schema` that resolves references within `root` only, checks formats and has an end.

    Patterns are matched by the library `regex`, which can be interrupted, since Python's own `re` may take longer
    than the universe on `^(a|a)*$`; all matching and following of references for one record shares `_SECONDS`.
    """
    import jsonschema
    from jsonschema.validators import validator_for
    from referencing import Registry

    root = schema if root is None and isinstance(schema, dict) else root or {}
    cls = _bounded(validator_for(root, default=jsonschema.Draft202012Validator))
    clock = _clock_class()(cls.FORMAT_CHECKER)
    # Where "$schema" stands jsonschema would go on with its own, unbounded class.
    plain = {key: value for key, value in root.items() if key != "$schema"}
    inner = cls(plain, registry=Registry(), format_checker=clock)
    return Validator(inner if schema is root else inner.evolve(schema=schema), clock)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """The regular expression behind a schema's pattern; raises whatever `regex` raises where it is none."""
    import regex

    return regex.compile(_BRACE.sub(lambda match: r"\{" if match.group() == "{" else match.group(), pattern))


@lru_cache(maxsize=1)
def _clock_class() -> Any:
    from jsonschema import FormatChecker, FormatError

    class Clock(FormatChecker):
        """What is left of a validation's time. It is the format checker because that, and nothing else, is handed
        from a jsonschema validator to those of its subschemas.
        """

        def __init__(self, formats: Any):
            self.checkers = formats.checkers
            self.start()

        def start(self) -> None:
            self.end, self.spent = time.monotonic() + _SECONDS, ""

        def check(self, instance: object, format: str) -> None:
            try:
                super().check(instance, format)
            except FormatError:
                raise
            except Exception as error:  # the format "regex" compiles what a model wrote
                raise FormatError(f"{instance!r:.80} is not a {format!r} ({type(error).__name__})") from None

        def tick(self) -> None:
            """Raise TimeoutError when time is up."""
            if time.monotonic() > self.end:
                self.spent = f"This could not be checked against the schema within {_SECONDS:g} s."
                raise TimeoutError(self.spent)

        def found(self, pattern: str, text: str) -> bool:
            """Whether `text` matches; raises TimeoutError when time is up."""
            try:
                return bool(compiled(pattern).search(text, timeout=max(0.001, self.end - time.monotonic())))
            except TimeoutError:
                self.spent = f"This could not be checked against the pattern {pattern[:80]} within {_SECONDS:g} s."
                raise TimeoutError(self.spent) from None

    return Clock


@lru_cache(maxsize=8)
def _bounded(cls: Any) -> Any:
    """A jsonschema validator class whose patterns and references end when time is up."""
    from jsonschema import ValidationError
    from jsonschema.validators import extend

    def pattern(validator: Any, value: str, instance: Any, schema: Any) -> Iterator[Any]:
        if not validator.is_type(instance, "string"):
            return
        try:
            if not validator.format_checker.found(value, instance):
                yield ValidationError(f"{instance!r:.80} does not match {value!r:.80}")
        except TimeoutError as error:
            yield ValidationError(str(error))

    def pattern_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "object"):
            for name, sub in value.items():
                for key, child in instance.items():
                    if validator.format_checker.found(name, key):
                        yield from validator.descend(child, sub, path=key, schema_path=name)

    def additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not validator.is_type(instance, "object"):
            return
        names, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for key, child in instance.items():
            if key in names or any(validator.format_checker.found(name, key) for name in patterns):
                continue
            if value is False:
                yield ValidationError(f"{key!r} is not among the properties of the schema")
            else:
                yield from validator.descend(child, value, path=key)

    def timed(keyword: Any) -> Any:
        def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            validator.format_checker.tick()
            yield from keyword(validator, value, instance, schema) or ()

        return checked

    own = {"pattern": pattern, "patternProperties": pattern_properties, "additionalProperties": additional_properties}
    known = {key: function for key, function in own.items() if key in cls.VALIDATORS}
    following = [key for key in ("$ref", "$dynamicRef", "$recursiveRef") if key in cls.VALIDATORS]
    return extend(cls, {**known, **{key: timed(cls.VALIDATORS[key]) for key in following}})
