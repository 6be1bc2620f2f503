"""Pages as a model with eyes sees them: how many tokens each takes, what stands for it in a prompt, its pixels.

Everything here is what Gemma 3's own processor does (transformers, `Gemma3Processor`), built from the model's config;
a processor's file beside the model is only compared with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.document import Document, Limits, render_page
from extraction.errors import AssayError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from extraction.contract import Contract

BEGIN, SOFT, END = "<start_of_image>", "<image_soft_token>", "<end_of_image>"
# Pan and scan by Gemma3Processor's defaults.
_SMALLEST_CROP, _MOST_CROPS, _LEAST_RATIO = 256, 4, 1.2


@dataclass(frozen=True)
class PageImage:
    """A page that is shown as pixels; drawn when it is needed.

    Attributes:
        path: the document.
        number: of the page, from 1.
        dpi: pixels per inch it is drawn at.
        size: width and height in pixels.
        pan_and_scan: whether crops of it are shown too, where it is clearly longer than wide or the reverse.
    """

    path: Path
    number: int
    dpi: int
    size: tuple[int, int]
    pan_and_scan: bool = False

    def draw(self, limits: Limits | None = None) -> Image.Image:
        """The page as RGB.

        Raises:
            DocumentError: the file cannot be drawn any more.
        """
        image = render_page(self.path, self.number, self.dpi, limits)
        # Another renderer may round a side otherwise; the number of crops was decided by this size.
        return image if image.size == self.size else image.resize(self.size)


def page_images(document: Document, numbers: Sequence[int], contract: Contract) -> list[PageImage]:
    """The pages `numbers` of a document as its contract shows them; none where it shows text alone."""
    if contract.view == "text":
        return []
    most = Limits().pixels
    shown = []
    for page in (document.pages[number - 1] for number in numbers):
        if page.pixels:
            dpi, size = max(1, round(72 * page.pixels[0] / page.width)), page.pixels
        else:
            dpi = max(1, min(contract.dpi, int(0.99 * 72 * math.sqrt(most / (page.width * page.height)))))
            size = (math.ceil(page.width * dpi / 72), math.ceil(page.height * dpi / 72))
        shown.append(PageImage(document.path, page.number, dpi, size, contract.pan_and_scan))
    return shown


@dataclass(frozen=True)
class Vision:
    """What a model's eyes take.

    Attributes:
        side: width and height of an image in pixels.
        tokens: how many tokens an image takes, without the words around it.
        soft: id of those tokens.
        marks: ids of all tokens that belong to images: begin, soft, end.
    """

    side: int
    tokens: int
    soft: int
    marks: tuple[int, int, int]

    @property
    def _processor(self) -> Any:
        from transformers import Gemma3ImageProcessorPil

        return Gemma3ImageProcessorPil(
            size={"height": self.side, "width": self.side},
            pan_and_scan_min_crop_size=_SMALLEST_CROP,
            pan_and_scan_max_num_crops=_MOST_CROPS,
            pan_and_scan_min_ratio_to_activate=_LEAST_RATIO,
        )

    def crops(self, image: PageImage) -> int:
        """How many crops are shown besides the page."""
        import numpy as np

        if not image.pan_and_scan:
            return 0
        width, height = image.size
        blank = np.broadcast_to(np.uint8(0), (3, height, width))
        return len(self._processor.pan_and_scan(blank, _SMALLEST_CROP, _MOST_CROPS, _LEAST_RATIO))

    def text(self, image: PageImage) -> str:
        """What stands for a page in a prompt, word for word as Gemma 3's processor writes it."""
        one = f"\n\n{BEGIN}{SOFT * self.tokens}{END}\n\n"
        crops = self.crops(image)
        if not crops:
            return one
        return f"Here is the original image {one} and here are some crops to help you see better " + " ".join(
            [one] * crops
        )

    def pixels(self, images: Sequence[PageImage]) -> torch.Tensor:
        """Pixel values [images and crops, 3, side, side] in -1 to 1, float32.

        Raises:
            DocumentError: a page cannot be drawn.
        """
        import torch

        values = [
            self._processor(image.draw(), do_pan_and_scan=image.pan_and_scan, return_tensors="pt")["pixel_values"]
            for image in images
        ]
        return torch.cat(values)

    def small(self, image: PageImage) -> list[Image.Image]:
        """The page and its crops in the size the model sees, to be kept; `values` makes pixel values of them."""
        from PIL import Image

        made = self._processor(
            image.draw(), do_pan_and_scan=image.pan_and_scan, do_rescale=False, do_normalize=False, return_tensors="np"
        )["pixel_values"]
        return [Image.fromarray(values.astype("uint8").transpose(1, 2, 0)) for values in made]

    def values(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Pixel values of images that have the model's size already; the same as `pixels` gives."""
        made: torch.Tensor = self._processor(list(images), do_resize=False, return_tensors="pt")["pixel_values"]
        return made


def vision_of(config: Any, tokenizer: Any, name: str = "") -> Vision:
    """The eyes of a model.

    Args:
        config: the model's.
        tokenizer: the one it is used with.
        name: of the model: a folder, whose processor is then compared, or what a message calls it.

    Raises:
        AssayError: the model reads text alone, tokenizer or processor belong to another model, or the attention that
            the model was loaded with cannot show all of an image to each of its tokens.
    """
    name = name or getattr(config, "_name_or_path", "") or "This model"
    eyes = getattr(config, "vision_config", None)
    if eyes is None or not hasattr(config, "mm_tokens_per_image"):
        raise AssayError(
            f"{name} reads text alone, and the contract shows pages as pixels; take a model with a vision tower "
            "(google/medgemma-1.5-4b-it), or contract.view=text."
        )
    begin, soft, end = ids = tuple(tokenizer.convert_tokens_to_ids([BEGIN, SOFT, END]))
    wanted = (config.boi_token_index, config.image_token_id, config.eoi_token_index)
    if ids != wanted:
        raise AssayError(
            f"The tokenizer does not belong to {name}: its tokens for images have the ids {begin}, {soft}, {end}, "
            f"the model's are {wanted[0]}, {wanted[1]}, {wanted[2]}; take the tokenizer from the model's own folder."
        )
    if "flash" in str(getattr(config, "_attn_implementation", None) or ""):
        raise AssayError(
            "FlashAttention leaves out the part of the mask that images need; load the model with sdpa or eager."
        )
    _check_processor(Path(name), eyes.image_size, config.mm_tokens_per_image)
    return Vision(eyes.image_size, config.mm_tokens_per_image, soft, (begin, soft, end))


def _check_processor(folder: Path, side: int, tokens: int) -> None:
    """Compare the processor's files in a model's folder, where there are any, with the model."""
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
            raise AssayError(f"{folder / file} scales pixels otherwise than Gemma 3 does (-1 to 1); it cannot be used.")


def load_vision(name: str, tokenizer: Any = None) -> Vision:
    """The eyes of a model by name (an adapter's folder means its base), before its weights are loaded.

    Raises:
        AssayError: as `vision_of`, or there is no such model.
    """
    from transformers import AutoConfig

    from extraction.generate.models import _from_pretrained, load_tokenizer, resolve_model

    source = resolve_model(name)
    adapter = Path(source) / "adapter_config.json"
    if adapter.exists():
        name = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
        source = resolve_model(name)
    config = _from_pretrained(AutoConfig, source)
    if getattr(config, "vision_config", None) is None:
        return vision_of(config, None, name)
    return vision_of(config, tokenizer or load_tokenizer(name), source)
