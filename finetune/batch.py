"""Examples to batches: padded rows, or documents packed into one row under exact masks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from extraction.errors import AssayError
from extraction.generate.masks import document_masks

IGNORED = -100
"""The label of a token that is not trained."""


@dataclass(frozen=True)
class Collator:
    """Makes a batch of examples (`input_ids` and `labels` of equal length, `files`: their images in order).

    Examples without images give `input_ids`, `labels` and a plain `attention_mask`, so attention keeps its fast path:
    `token_type_ids` of zeros would change no number and build a mask of length x length for every layer.

    Attributes:
        pad: token id of padding.
        soft: id of an image's tokens; None for a model without eyes.
        pixels: the pixel values [images, 3, height, width] of image files.
        features: what the model would make of these pixels (`finetune.features`), given in their place.
        packed: examples with images share one row without padding, each with its own positions, under `window`.
        window: of the model's sliding layers.
    """

    pad: int
    soft: int | None = None
    pixels: Callable[[Sequence[str]], torch.Tensor] | None = None
    packed: bool = False
    window: int = 1
    features: Callable[[Sequence[str]], Any] | None = None

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch: tensors of [rows, length], and `pixel_values` or `mm_encoder_outputs` where there are images.

        With images and padded rows `token_type_ids` mark the images; with packed rows there are `position_ids`, and
        `attention_mask` is the dict of `document_masks`.
        """
        files = [file for example in examples for file in example.get("files") or ()]
        if not files:
            return self._padded(examples)
        assert (self.pixels or self.features) and self.soft is not None
        batch = self._packed(examples) if self.packed else self._padded(examples)
        if not self.packed:
            batch["token_type_ids"] = (batch["input_ids"] == self.soft).long()
        if self.features:
            batch["mm_encoder_outputs"] = {"image": self.features(files)}
        elif self.pixels:
            batch["pixel_values"] = self.pixels(files)
        return batch

    def _padded(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        longest = max(len(example["input_ids"]) for example in examples)

        def rows(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
            return torch.tensor([[*own, *[fill] * (longest - len(own))] for own in values])

        return {
            "input_ids": rows([example["input_ids"] for example in examples], self.pad),
            "labels": rows([example["labels"] for example in examples], IGNORED),
            "attention_mask": rows([[1] * len(example["input_ids"]) for example in examples], 0),
        }

    def _packed(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        ids = torch.tensor([[token for example in examples for token in example["input_ids"]]])
        # The first token of a document is predicted from nothing; in a packed row it would be from its neighbour.
        labels = torch.tensor([[label for e in examples for label in (IGNORED, *e["labels"][1:])]])
        lengths = torch.tensor([len(example["input_ids"]) for example in examples])
        documents = torch.repeat_interleave(torch.arange(len(examples)), lengths)[None]
        positions = torch.cat([torch.arange(length) for length in lengths.tolist()])[None]
        masks = document_masks(documents, positions, torch.eq(ids, self.soft or 0), self.window)
        return {"input_ids": ids, "labels": labels, "position_ids": positions, "attention_mask": masks}


def check_labels(name: str, encoded: dict[str, Any], images: Collection[int]) -> None:
    """Refuse an example that teaches nothing, or that would teach a model to write images.

    Args:
        name: the document's, for the message.
        encoded: `input_ids` and `labels`.
        images: ids of the tokens that images are made of.

    Raises:
        AssayError: no token, or a token of an image, is trained.
    """
    trained = [label for label in encoded["labels"] if label != IGNORED]
    if not trained:
        raise AssayError(f"{name} has no token to learn from: its answer is empty; check its record.")
    if not set(images).isdisjoint(trained):
        raise AssayError(f"The record of {name} holds a token that stands for an image; take it out of the record.")
