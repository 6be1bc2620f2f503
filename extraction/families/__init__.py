"""Model families: what differs between architectures, one file each.

A family is added by a file here that defines a `Family` and by its name in `_MODULES`; everything else reads it from the
object. `family_of` gives the one of a model, `disarm` takes the voice from a document.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

from extraction.errors import AssayError
from extraction.families.base import Family, Message, Prompt

__all__ = ["Family", "Message", "Prompt", "disarm", "family_of"]

_MODULES = ("gemma3", "gemma4", "qwen3_vl", "decoder")


@cache
def _families() -> tuple[type[Family], ...]:
    return tuple(import_module(f"{__name__}.{module}").FAMILY for module in _MODULES)


def family_of(config: Any, tokenizer: Any, name: str = "") -> Family:
    """The family of a model.

    Args:
        config: the model's.
        tokenizer: the one it is used with.
        name: of the model, for messages: a folder or a hub id.

    Raises:
        AssayError: no family has this architecture, or the tokenizer belongs to another model.
    """
    for family in _families():
        if config.model_type in family.model_types:
            return family(config, tokenizer, name)
    known = ", ".join(kind for family in _families() for kind in family.model_types)
    raise AssayError(f"{name or 'The model'} is of the architecture {config.model_type}, which is not known here; known are {known}.")


@cache
def _control() -> re.Pattern[str]:
    return re.compile("|".join(family.control for family in _families() if family.control))


def disarm(text: str) -> str:
    """A document's text with the first sign of every control token of any family replaced (`<` by `‹`).

    So the text stays what it was for a reader, and cannot end the user's turn whatever model reads it.
    """
    return _control().sub(lambda match: "‹" + match[0][1:], text)
