"""Family: all that hangs on a model's architecture, in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from extraction.example import ImagePart

if TYPE_CHECKING:
    import torch
    from PIL import Image

Message = dict[str, Any]
"""A turn as chat templates take it: `{"role": "user", "content": [{"type": "text", "text": ...}, {"type": "image",
"image": ImagePart}]}`."""


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt: its token ids, BOS and the opening of the model's turn included, and its images in order."""

    ids: list[int]
    images: tuple[ImagePart, ...] = ()


class Family:
    """What differs between architectures, for one model and its tokenizer.

    A family is registered by the `model_type` of its configs (`register`); an unknown one is refused in one sentence.

    Class attributes:
        model_types: of the configs that are of this family.
        control: regular expression of the control tokens of its turn format: in a document they would give the page a
            voice, so the contract disarms those of all families.
        thinking: what opens and closes thoughts before an answer; None for families that do not think.
        language: regular expression over the names of the language model's linear layers (what LoRA adapts).
        towers: names of the parts that see, and the piece of a module's name that tells them
            (`{"vision": "vision_tower", "projector": "multi_modal_projector"}`).

    Attributes:
        config: the model's config.
        tokenizer: its tokenizer, with a chat template.
        end: id of the token that ends an answer in training.
        stop: ids that end an answer in serving.
        soft: id of the tokens that images are made of; None for a model without eyes.
        marks: ids of all tokens that belong to images.
    """

    model_types: ClassVar[tuple[str, ...]] = ()
    control: ClassVar[str] = ""
    thinking: ClassVar[tuple[str, str] | None] = None
    language: ClassVar[str] = r".*layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
    towers: ClassVar[Mapping[str, str]] = {}

    config: Any
    tokenizer: Any
    end: int
    stop: tuple[int, ...]
    soft: int | None
    marks: frozenset[int]

    def render(self, messages: Sequence[Message]) -> Prompt:
        """Token ids of a prompt; the only way prompts are made, in training and in serving."""
        raise NotImplementedError

    def count(self, messages: Sequence[Message]) -> int:
        """The length of a prompt in tokens, without drawing its images."""
        return len(self.render(messages).ids)

    def encode(self, text: str) -> list[int]:
        """Tokens of an answer's text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def pixels(self, images: Sequence[Image.Image], pan_and_scan: bool = False) -> dict[str, torch.Tensor]:
        """The model's inputs for images (`pixel_values` and what belongs to them), joined along their first axis."""
        raise NotImplementedError
