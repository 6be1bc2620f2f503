"""Examples to batches: padded rows, or contexts with their branches in one row under exact masks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from extraction.errors import AssayError
from extraction.generate.masks import CONTEXT, Tokens, image_blocks
from extraction.generate.spans import spans_of

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
        window: of the model's sliding layers; for rows without padding.
        rows: whether all examples share rows without padding, also those without `branches`.
        features: what the model would make of these pixels (`finetune.features`), given in their place.
    """

    pad: int
    soft: int | None = None
    pixels: Callable[[Sequence[str]], torch.Tensor] | None = None
    window: int = 1
    features: Callable[[Sequence[str]], Any] | None = None
    rows: bool = False

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch: tensors of [rows, length], and `pixel_values` or `mm_encoder_outputs` where there are images.

        Padded rows have `token_type_ids` that mark the images, if any. Examples with `branches` (the branch of each
        token, see `Tokens`) share one row without padding: `position_ids`, and for `attention_mask` the `Spans` of each
        kind of layer, which the model must understand (`spans.NAME`).
        """
        files = [file for example in examples for file in example.get("files") or ()]
        in_row = self.rows or any(example.get("branches") for example in examples)
        batch = self._row(examples) if in_row else self._padded(examples)
        if files:
            assert (self.pixels or self.features) and self.soft is not None
            if self.features:
                batch["mm_encoder_outputs"] = {"image": self.features(files)}
            elif self.pixels:
                batch["pixel_values"] = self.pixels(files)
            if not in_row:
                batch["token_type_ids"] = (batch["input_ids"] == self.soft).long()
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

    def _row(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        ids = torch.tensor([[token for example in examples for token in example["input_ids"]]])
        rows = [_tokens(number, example) for number, example in enumerate(examples)]
        documents, branches, positions = (torch.cat(column) for column in zip(*rows, strict=True))
        # The first token of a document or branch is predicted from no token, or from one that is not its neighbour.
        first = torch.ones_like(documents, dtype=torch.bool)
        first[1:] = (documents[1:] != documents[:-1]) | (branches[1:] != branches[:-1])
        labels = torch.tensor([label for example in examples for label in example["labels"]]).masked_fill(
            first, IGNORED
        )
        images = image_blocks(torch.eq(ids, self.soft if self.soft is not None else -1), documents[None])[0]
        row = Tokens(documents, branches, positions, images)
        masks = {"full_attention": spans_of(row), "sliding_attention": spans_of(row, self.window)}
        return {
            "input_ids": ids,
            "labels": labels[None],
            "position_ids": positions[None],
            "attention_mask": masks,
        }


def _tokens(document: int, example: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Document, branch and position of each token of an example."""
    length = len(example["input_ids"])
    branches = torch.tensor(example.get("branches") or [CONTEXT] * length)
    context = int((branches == CONTEXT).sum())
    lengths = torch.bincount(branches)
    starts = lengths.cumsum(0) - lengths - context  # of each branch, behind the context
    starts[CONTEXT] = 0
    return torch.full((length,), document), branches, torch.arange(length) - starts[branches]


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
