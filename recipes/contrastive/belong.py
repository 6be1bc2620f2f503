"""Whether towers, preprocessing and tokenizer are of one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.errors import AssayError

if TYPE_CHECKING:
    from recipes.contrastive.load import Dual

FAMILIES = ("clip", "siglip")  # of transformers, by `model_type`
_CLASSES = ("image_processor_type", "feature_extractor_type", "processor_class", "tokenizer_class")


def check_family(file: Path, values: Mapping[str, Any], kind: str) -> None:
    """Refuse a file beside a model that names a class of another family: equal sizes do not make it the model's own.

    A tokenizer may be of a family that is none of ours (SigLIP 2 has Gemma's); who preprocesses images may not.

    Raises:
        AssayError: says which class, and what the model is.
    """
    for key in _CLASSES:
        named = str(values.get(key) or kind).casefold()
        others = key.startswith(("image", "feature")) or named.startswith(FAMILIES)
        if others and not named.startswith(kind):
            raise AssayError(
                f"{file} names {values[key]}, and the model beside it is a {kind}: they do not belong together; take "
                "both from one model."
            )


def checked(dual: Dual) -> Dual:
    """Raise AssayError where preprocessing or tokenizer belong to another model than the towers."""
    model = dual.model
    wanted = model.vision.config.image_size
    if set(dual.preprocess.size) != {wanted}:
        height, width = dual.preprocess.size
        raise AssayError(
            f"{dual.source} has preprocessing to {width} x {height} pixels and a vision tower for {wanted} x {wanted}: "
            "they do not belong together; take both from one model."
        )
    known, highest = model.text.config.vocab_size, len(dual.words.tokenizer)
    if highest > known:
        raise AssayError(
            f"{dual.source} has a tokenizer of {highest:,} words and a text tower that knows {known:,}: they do not "
            "belong together; take both from one model."
        )
    room = model.text.config.max_position_embeddings
    if dual.words.length > room:
        raise AssayError(f"{dual.source} wants texts of {dual.words.length} tokens, and its text tower takes {room}.")
    return dual
