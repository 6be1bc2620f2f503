"""Gemma 3, MedGemma: image tokens see the whole of their image, in all layers.

Arxiv 2503.19786 (Gemma 3), 2507.05201 (MedGemma). Prompts and pixels are those of transformers' `Gemma3Processor`,
built from the model's config; a processor's file beside the model is only compared with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from extraction.errors import AssayError
from extraction.example import ImagePart
from extraction.families.base import Family

if TYPE_CHECKING:
    import torch
    from PIL import Image

# Pan and scan by Gemma3Processor's defaults.
_SMALLEST_CROP, _MOST_CROPS, _LEAST_RATIO = 256, 4, 1.2


class Gemma3(Family):
    """See the module."""

    model_types = ("gemma3", "gemma3_text")
    control = (
        r"<(?=/?(?:start_of_turn|end_of_turn|start_of_image|end_of_image|image_soft_token|bos|eos|pad|unk|mask"
        r"|unused\d+)>)"
    )
    # MedGemma 1.5 may think without being asked to.
    thinking = ("<unused94>", "<unused95>")
    towers: ClassVar[Mapping[str, str]] = {"vision": "vision_tower", "projector": "multi_modal_projector"}
    tower_layers = r".*vision_tower.*layers\.\d+\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])"
    # A bare parameter, which PEFT takes by name and not by module. Its other way, `modules_to_save`, trains a whole
    # copy of the projector in the base's own precision: in bfloat16 small steps are rounded away.
    projection: ClassVar[Mapping[str, list[str]]] = {
        "target_parameters": ["multi_modal_projector.mm_input_projection_weight"]
    }
    marker = "<start_of_image>"
    image_tokens = (marker, "<image_soft_token>", "<end_of_image>")
    image_ids = ("boi_token_index", "image_token_id", "eoi_token_index")
    inputs = ("pixel_values",)  # [pictures, 3, side, side] in -1 to 1, float32
    token_types = "token_type_ids"
    features_once = True
    masks_by_kind = True

    def _open_images(self) -> None:
        super()._open_images()
        config = self.config
        self._side, self._tokens = config.vision_config.image_size, config.mm_tokens_per_image
        self._check_processor(Path(getattr(config, "_name_or_path", "") or "."))

    def _check_processor(self, folder: Path) -> None:
        """Compare the processor's files in the model's folder, where there are any, with the model."""
        side, tokens = self._side, self._tokens
        for file in ("processor_config.json", "preprocessor_config.json"):
            try:
                values = json.loads((folder / file).read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise AssayError(f"{folder / file} cannot be read: {error}.") from None
            own = values.get("image_processor", values)
            size = own.get("size", {"height": side, "width": side})
            if size != {"height": side, "width": side} or values.get("image_seq_length", tokens) != tokens:
                raise AssayError(
                    f"{folder / file} does not belong to the model beside it: that one takes images of {side} x {side} "
                    f"pixels as {tokens} tokens; take the processor from the model's own folder."
                )
            if any(own.get(key, [0.5] * 3) != [0.5] * 3 for key in ("image_mean", "image_std")):
                raise AssayError(
                    f"{folder / file} scales pixels otherwise than Gemma 3 does (-1 to 1); it cannot be used."
                )

    @cached_property
    def processor(self) -> Any:
        """The image processor."""
        from transformers import Gemma3ImageProcessorPil

        return Gemma3ImageProcessorPil(
            size={"height": self._side, "width": self._side},
            pan_and_scan_min_crop_size=_SMALLEST_CROP,
            pan_and_scan_max_num_crops=_MOST_CROPS,
            pan_and_scan_min_ratio_to_activate=_LEAST_RATIO,
        )

    def blocks(self, image: ImagePart) -> int:
        """The image, and its crops."""
        import numpy as np

        if not image.pan_and_scan:
            return 1
        width, height = image.size
        blank = np.broadcast_to(np.uint8(0), (3, height, width))
        return 1 + len(self.processor.pan_and_scan(blank, _SMALLEST_CROP, _MOST_CROPS, _LEAST_RATIO))

    def image_text(self, image: ImagePart) -> str:
        """Word for word as `Gemma3Processor` writes it."""
        one = f"\n\n{self.marker}{'<image_soft_token>' * self._tokens}<end_of_image>\n\n"
        crops = self.blocks(image) - 1
        if not crops:
            return one
        return f"Here is the original image {one} and here are some crops to help you see better " + " ".join(
            [one] * crops
        )

    def pictures(self, image: ImagePart) -> list[Image.Image]:
        """The image and its crops, in the size the model sees."""
        from PIL import Image

        made = self.processor(
            image.draw(), do_pan_and_scan=image.pan_and_scan, do_rescale=False, do_normalize=False, return_tensors="np"
        )["pixel_values"]
        return [Image.fromarray(values.astype("uint8").transpose(1, 2, 0)) for values in made]

    @property
    def opened(self) -> Collection[str]:
        """All layers."""
        return ("full_attention", "sliding_attention")

    def features(self, made: Sequence[torch.Tensor]) -> Any:
        """All images take the same number of tokens."""
        import torch

        return torch.stack(list(made))


FAMILY = Gemma3
