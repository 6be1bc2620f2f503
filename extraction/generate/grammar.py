"""JSON Schema to a grammar over tokens, by llguidance; what a grammar cannot enforce is named, never dropped.

Decoding runs against a simplified schema; the full one validates the result afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from extraction.errors import AssayError
from extraction.schema import Schema, map_subschemas, pointer, resolve

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


@dataclass(frozen=True)
class Unenforced:
    """A keyword that only the validation afterwards checks; `at` is its JSON pointer in the schema."""

    at: str
    keyword: str

    def __str__(self) -> str:
        return f'"{self.keyword}" at {self.at or "/"} is checked after decoding, not during it'


def simplify(schema: Schema) -> tuple[Schema, list[Unenforced]]:
    """The part of `schema` that a grammar can enforce, and the keywords that it cannot.

    Objects with known properties are closed (`additionalProperties: false` unless stated otherwise).
    """
    notes: list[Unenforced] = []
    return _simplify(schema, schema, (), notes), notes


def _simplify(schema: Any, root: Schema, path: tuple[str | int, ...], notes: list[Unenforced]) -> Any:
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        resolve(schema, root)
    kept: Schema = {}
    for key, value in schema.items():
        if key == "oneOf":  # the grammar allows any of them; that it is only one is for the validation
            kept.setdefault("anyOf", value)
        elif key in ("$defs", "definitions") or (key in _ENFORCED and not _refused(key, value)):
            kept[key] = value
        if key not in kept and key not in _ANNOTATIONS:
            notes.append(Unenforced(pointer((*path, key)), key))
    out = map_subschemas(kept, lambda sub, step: _simplify(sub, root, (*path, *step), notes))
    if "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


def _refused(key: str, value: Any) -> bool:
    if key == "format":
        return value not in _FORMATS
    return key == "pattern" and bool(_compile_error({"type": "string", "pattern": value}))


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


class Anything:
    """The matcher of plain text, in the place of llguidance's: every word may follow, the model ends by itself.

    Args:
        words: of the tokenizer; what the output layer has beyond them is no word.
    """

    def __init__(self, words: int):
        bits = np.zeros(-(-words // 32) * 32, dtype=np.uint8)
        bits[:words] = 1
        self._mask = np.packbits(bits, bitorder="little").view(np.uint32)

    def matcher(self) -> Anything:
        """Itself: it remembers nothing."""
        return self

    deep_copy = matcher

    def compute_bitmask(self) -> bytes:
        """All words."""
        return self._mask.tobytes()

    def consume_token(self, token: int) -> bool:
        """Whatever it is."""
        return True

    def is_stopped(self) -> bool:
        """Never by itself."""
        return False


@lru_cache(maxsize=2)
def token_table(tokenizer: Any, words: int, stop: tuple[int, ...]) -> Any:
    """llguidance's view of a tokenizer (about half a second to build, so it is kept).

    Args:
        words: rows of the model's output layer, which may exceed the tokenizer's words.
    """
    import llguidance.hf

    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=words, eos_token=list(stop))
