"""JSON Schema to a grammar over tokens, by llguidance; what a grammar cannot enforce is named, never dropped.

Decoding runs against a simplified schema; the full one validates the result afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from extraction.errors import AssayError
from extraction.schema import Schema, allows_null, pointer, resolve

_ENFORCED = frozenset(
    "type enum const properties required additionalProperties patternProperties items prefixItems additionalItems "
    "minItems maxItems anyOf allOf $ref minLength maxLength pattern format minimum maximum exclusiveMinimum "
    "exclusiveMaximum multipleOf".split()
)
_ANNOTATIONS = frozenset(
    "$schema $id id $anchor $comment $defs definitions title description default examples deprecated readOnly "
    "writeOnly contentMediaType contentEncoding contentSchema x-guidance".split()
)
_FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid uri".split())
_MAPS = ("properties", "patternProperties", "$defs", "definitions")


@dataclass(frozen=True)
class Unenforced:
    """A keyword that only the validation afterwards checks; `at` is its JSON pointer in the schema."""

    at: str
    keyword: str

    def __str__(self) -> str:
        return f'"{self.keyword}" at {self.at or "/"} is checked after decoding, not during it'


def simplify(schema: Schema) -> tuple[Schema, list[Unenforced]]:
    """The part of `schema` that a grammar can enforce, and the keywords that it cannot.

    Objects are closed (`additionalProperties: false` unless stated otherwise) and their nullable keys required,
    so that a value the page lacks is written as null instead of being invented or forgotten.
    """
    notes: list[Unenforced] = []
    return _simplify(schema, schema, (), notes), notes


def _simplify(schema: Any, root: Schema, path: tuple[str | int, ...], notes: list[Unenforced]) -> Any:
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        resolve(schema, root)
    out: Schema = {}
    for key, value in schema.items():
        here = (*path, key)
        if key in _MAPS and isinstance(value, dict):
            out[key] = {name: _simplify(sub, root, (*here, name), notes) for name, sub in value.items()}
        elif key in ("items", "additionalProperties", "additionalItems"):
            out[key] = _simplify(value, root, here, notes)
        elif key in ("anyOf", "allOf", "prefixItems") and isinstance(value, list):
            out[key] = [_simplify(sub, root, (*here, i), notes) for i, sub in enumerate(value)]
        elif key == "oneOf" and isinstance(value, list):
            out["anyOf"] = [_simplify(sub, root, (*here, i), notes) for i, sub in enumerate(value)]
            notes.append(Unenforced(pointer(here), key))
        elif key == "format" and value not in _FORMATS:
            notes.append(Unenforced(pointer(here), key))
        elif key == "pattern" and _compile_error({"type": "string", "pattern": value}):
            notes.append(Unenforced(pointer(here), key))
        elif key in _ENFORCED:
            out[key] = value
        elif key not in _ANNOTATIONS:
            notes.append(Unenforced(pointer(here), key))
    if isinstance(out.get("properties"), dict):
        out.setdefault("additionalProperties", False)
        required = out.get("required", [])
        originals = schema["properties"]
        out["required"] = [k for k in originals if k in required or allows_null(originals[k], root)]
    return out


def _compile_error(schema: Schema) -> str:
    from llguidance import LLMatcher

    try:
        return LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
    except ValueError as error:
        return str(error)


class Grammar:
    """A compiled schema; `matcher()` gives a fresh parser state for one answer.

    Raises:
        AssayError: llguidance refuses what is left of the schema after `simplify`.
    """

    def __init__(self, schema: Schema, tokenizer: Any):
        from llguidance import LLMatcher

        simplified, self.unenforced = simplify(schema)
        # Compact output only: white space between tokens is where small models run in circles.
        self._source = LLMatcher.grammar_from_json_schema(
            simplified, defaults={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        )
        self._tokenizer = tokenizer
        error = LLMatcher.validate_grammar(self._source, tokenizer)
        if error:
            raise AssayError(f"The schema cannot be turned into a grammar: {error.splitlines()[0]}")

    def matcher(self) -> Any:
        """A fresh llguidance matcher."""
        from llguidance import LLMatcher

        return LLMatcher(self._tokenizer, self._source)


@lru_cache(maxsize=2)
def token_table(tokenizer: Any, words: int, stop: tuple[int, ...]) -> Any:
    """llguidance's view of a tokenizer (about half a second to build, so it is kept).

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        words: rows of the model's output layer, which may exceed the tokenizer's words.
        stop: ids that end an answer.
    """
    import llguidance.hf

    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=words, eos_token=list(stop))
