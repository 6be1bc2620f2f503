"""Model families: what differs between architectures, one file each.

A family is added by a file here that defines a `Family` and by its name in `_MODULES`; everything else reads it from
the object. `family_of` gives the one of a model, `disarm` takes the voice from a document.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

from extraction.errors import AssayError
from extraction.families.base import Family, Message, Prompt

__all__ = ["Family", "Message", "Prompt", "disarm", "families", "family_class", "family_named", "family_of"]

_MODULES = ("gemma3", "gemma4", "qwen3_vl", "decoder")


@cache
def families() -> tuple[type[Family], ...]:
    """All that are known."""
    return tuple(import_module(f"{__name__}.{module}").FAMILY for module in _MODULES)


def family_class(config: Any, name: str = "") -> type[Family]:
    """The family of a model's config.

    Raises:
        AssayError: no family has this architecture, or the model has parts that its family cannot use.
    """
    family = family_named(config.model_type, name)
    family.check_config(config, name or "The model")
    return family


def family_named(model_type: Any, name: str = "") -> type[Family]:
    """The family of an architecture, by the `model_type` that stands in a model's `config.json`.

    Raises:
        AssayError: no family has it.
    """
    for family in families():
        if model_type in family.model_types:
            return family
    known = ", ".join(kind for family in families() for kind in family.model_types)
    said = f"is of the architecture {model_type}, which is not known here"
    raise AssayError(
        f"{name or 'The model'} {said if model_type else 'names no architecture (model_type in config.json)'}; known "
        f"are {known}. Take a model of one of these, or let a server run it (--server URL)."
    )


def family_of(config: Any, tokenizer: Any, name: str = "") -> Family:
    """The family of a model, with its tokenizer.

    Args:
        name: of the model, for messages: a folder or a hub id.

    Raises:
        AssayError: no family has this architecture, the tokenizer or the image processor beside the model belongs to
            another one, or the model has parts that its family cannot use.
    """
    return family_class(config, name)(config, tokenizer, name)


@cache
def _control() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{family.control})" for family in families() if family.control))


def disarm(text: str) -> str:
    """A document's text with the first sign of every control token of any family replaced (`<` by `‹`).

    So the text stays what it was for a reader, and cannot end the user's turn whatever model reads it.
    """
    return _control().sub(lambda match: "‹" + match[0][1:], text)
