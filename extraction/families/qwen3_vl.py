"""Qwen3-VL: rotary positions in three axes (time, height, width), image tokens that see what stands before them.

What a token may see goes by its place in the sequence, never by its rotary position: those of an image overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from extraction.example import ImagePart
from extraction.families.base import Family, own_processor

if TYPE_CHECKING:
    import torch


class Qwen3VL(Family):
    """See the module."""

    model_types = ("qwen3_vl",)
    control = r"<(?=\|[\w ]+\|>|/?(?:think|tool_call|tool_response)>)"
    thinking = ("<think>", "</think>")
    towers: ClassVar[Mapping[str, str]] = {"projector": "merger", "vision": "visual"}
    tower_layers = r".*visual\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.linear_fc[12])"
    projection: ClassVar[Mapping[str, list[str]]] = {
        "target_modules": [r".*visual\.(merger|deepstack_merger_list\.\d+)\.linear_fc[12]"]
    }
    marker = "<|image_pad|>"
    image_tokens = ("<|vision_start|>", marker, "<|vision_end|>")
    image_ids = ("vision_start_token_id", "image_token_id", "vision_end_token_id")
    inputs = ("pixel_values", "image_grid_thw")  # [patches, size] of all pictures, and [pictures, 3]
    axes = 3

    @cached_property
    def processor(self) -> Any:
        """The image processor."""
        from transformers import Qwen2VLImageProcessorPil

        vision = self.config.vision_config
        return own_processor(
            Qwen2VLImageProcessorPil,
            self.config,
            patch_size=vision.patch_size,
            temporal_patch_size=vision.temporal_patch_size,
            merge_size=vision.spatial_merge_size,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        )

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of a picture of so much width and height."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        own, (width, height) = self.processor, size
        tall, wide = smart_resize(
            height,
            width,
            own.patch_size * own.merge_size,
            min_pixels=own.size["shortest_edge"],
            max_pixels=own.size["longest_edge"],
        )
        return tall // own.patch_size, wide // own.patch_size

    def image_text(self, image: ImagePart) -> str:
        """As `Qwen3VLProcessor` writes it, between the marks of the chat template."""
        rows, columns = self._grid(image.size)
        return self.marker * (rows * columns // self.processor.merge_size**2)

    def positions(self, ids: Sequence[int], sizes: Sequence[tuple[int, int]]) -> torch.Tensor | None:
        """By the model's own `get_rope_index`."""
        import torch

        if not sizes:
            return None
        tokens = torch.tensor([ids])
        grids = torch.tensor([(1, *self._grid(size)) for size in sizes])
        kinds = torch.eq(tokens, self.soft if self.soft is not None else -1).int()
        positions: torch.Tensor = self._rope.get_rope_index(tokens, kinds, image_grid_thw=grids)[0][:, 0]
        return positions

    @cached_property
    def _rope(self) -> Any:
        from transformers import Qwen3VLModel

        # Its method needs the config alone: the model is not built for it.
        model = Qwen3VLModel.__new__(Qwen3VLModel)
        object.__setattr__(model, "config", self.config)
        return model


FAMILY = Qwen3VL
