"""Gemma 4: an image takes as many tokens as its shape asks for, and some layers share keys and values.

Image tokens see the whole of their image in sliding layers alone, and only in models whose config says so
(`use_bidirectional_attention`). Models with experts are not known here; a model's audio part is left idle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, ClassVar

from extraction.errors import AssayError
from extraction.example import ImagePart
from extraction.families.base import Family, own_processor


class Gemma4(Family):
    """See the module."""

    model_types = ("gemma4", "gemma4_text")
    control = (
        r"<(?=\|?(?:turn|channel|think|image|audio|video|tool|tool_call|tool_response)\|?>|\|\"\|>"
        r"|(?:bos|eos|pad|unk|mask|unused\d+)>)"
    )
    thinking = ("<|channel>", "<channel|>")
    towers: ClassVar[Mapping[str, str]] = {"vision": "vision_tower", "projector": "embed_vision"}
    tower_layers = r".*vision_tower.*layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj\.linear"
    projection: ClassVar[Mapping[str, list[str]]] = {"target_modules": [r".*embed_vision\.embedding_projection"]}
    idle = ("audio_tower", "embed_audio")
    marker = "<|image|>"
    image_tokens = ("<|image>", marker, "<image|>")
    # [pictures, patches, size] and [pictures, patches, 2], padded by -1
    inputs = ("pixel_values", "image_position_ids")
    features_once = True
    masks_by_kind = True

    @classmethod
    def check_config(cls, config: Any, name: str) -> None:
        """Refuse experts."""
        if config.get_text_config().enable_moe_block:
            raise AssayError(f"{name} has experts (MoE), which are not known here; take a Gemma 4 without them.")

    @cached_property
    def processor(self) -> Any:
        """The image processor."""
        from transformers import Gemma4ImageProcessorPil

        vision = self.config.vision_config
        return own_processor(
            Gemma4ImageProcessorPil,
            self.config,
            patch_size=vision.patch_size,
            pooling_kernel_size=vision.pooling_kernel_size,
        )

    def image_text(self, image: ImagePart) -> str:
        """As `Gemma4Processor` writes it."""
        from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

        own, (width, height) = self.processor, image.size
        side = own.patch_size * own.pooling_kernel_size
        tall, wide = get_aspect_ratio_preserving_size(
            height, width, own.patch_size, own.max_soft_tokens * own.pooling_kernel_size**2, own.pooling_kernel_size
        )
        return f"<|image>{self.marker * (tall // side * (wide // side))}<image|>"

    @property
    def opened(self) -> Collection[str]:
        """Sliding layers, where the config says so."""
        return ("sliding_attention",) if self.text.use_bidirectional_attention == "vision" else ()


FAMILY = Gemma4
