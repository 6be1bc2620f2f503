"""The pixels of training pages: drawn once, kept in the size the model sees, loaded batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from extraction.generate.vision import PageImage, Vision


def keep_pixels(encoded: Sequence[dict[str, Any]], vision: Vision, folder: Path) -> list[dict[str, Any]]:
    """The examples of `encode` with `files` in the place of `images`: PNG files of every page and crop, in order.

    Every page is drawn once, however many examples show it.

    Raises:
        DocumentError: a page cannot be drawn.
    """
    pages = list(dict.fromkeys(image for example in encoded for image in example["images"]))

    def keep(number: int, page: PageImage) -> list[str]:
        files = []
        for crop, image in enumerate(vision.small(page)):
            files.append(str(folder / f"{number}-{crop}.png"))
            # Without loss, and quickly: a page is read back at every step that shows it.
            image.save(files[-1], compress_level=1)
        return files

    with ThreadPoolExecutor() as pool:
        files = dict(zip(pages, pool.map(keep, range(len(pages)), pages), strict=True))
    return [
        {
            **{key: value for key, value in example.items() if key != "images"},
            "files": [file for image in example["images"] for file in files[image]],
        }
        for example in encoded
    ]


def load_pixels(vision: Vision, files: Sequence[str]) -> torch.Tensor:
    """Pixel values [files, 3, side, side] of what `keep_pixels` kept."""
    from PIL import Image

    images = []
    for file in files:
        with Image.open(file) as image:
            images.append(image.convert("RGB"))
    return vision.values(images)


def loader(vision: Vision) -> partial[torch.Tensor]:
    """`load_pixels` for one model, as a collator takes it."""
    return partial(load_pixels, vision)
