"""Rows of tokens to batches: padded, or contexts with their branches in one row under exact masks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers.integrations import is_deepspeed_zero3_enabled

from extraction.errors import AssayError
from extraction.families import Family
from extraction.generate.masks import CONTEXT, Tokens, image_blocks
from extraction.generate.spans import NAME as SPANS
from extraction.generate.spans import spans_of
from finetune import features
from finetune.adapter import trains_towers
from finetune.features import load_pictures

IGNORED = -100
"""The label of a token that is not trained."""


def collator_for(model: Any, family: Family, rows: Sequence[dict[str, Any]], folder: Path, mixed: bool) -> Collator:
    """What makes batches of rows for a model, whose attention is set accordingly.

    Several processes come here together: they share the work of computing features.

    Args:
        rows: those that training will see; `files` where they show images.
        folder: where features of images are kept.
        mixed: whether training computes in bfloat16 by autocast; the features are then computed so too.
    """
    images = any(row.get("files") for row in rows)
    # On a CPU a row without padding is faster than SDPA over padded ones.
    in_row = images or any(row.get("branches") for row in rows) or model.device.type == "cpu"
    if in_row:
        model.set_attn_implementation(SPANS)
    # ZeRO-3 has no weights in one place before its engine runs.
    once = images and family.features_once and not trains_towers(model, family) and not is_deepspeed_zero3_enabled()
    made = features.keep_features(model.get_base_model(), family, rows, folder, mixed) if once else None
    return Collator(family, made, in_row)


@dataclass(frozen=True)
class Collator:
    """Makes a batch of rows: `input_ids` and `labels` of equal length, in some `branches` and `files`.

    `branches` is the branch of each token (see `Tokens`), `files` are the files of the images that a row shows, in the
    order of their tokens.

    Attributes:
        features: what the model would make of images (`finetune.features`), given in the pixels' place.
        in_row: whether all share a row without padding, also those that have neither branches nor images.
    """

    family: Family
    features: Callable[[Sequence[str]], Any] | None = None
    in_row: bool = False

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch: tensors of [rows, length].

        Rows with branches or images share one without padding: with `position_ids`, and for `attention_mask` the
        `Spans` that the model's attention must understand (`spans.NAME`). Images are `pixel_values` with what belongs
        to them, or `mm_encoder_outputs`.
        """
        files = [file for row in rows for file in row.get("files") or ()]
        if not (self.in_row or files or any(row.get("branches") for row in rows)):
            return self._padded(rows)
        batch = self._joined(rows)
        if files and self.features:
            batch["mm_encoder_outputs"] = {"image": self.features(files)}
        elif files:
            batch |= self.family.pixels(load_pictures(files))
        return batch

    def _padded(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)
        tokenizer = self.family.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

        def filled(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
            return torch.tensor([[*own, *[fill] * (longest - len(own))] for own in values])

        # A plain mask, so attention keeps its fast path.
        return {
            "input_ids": filled([row["input_ids"] for row in rows], pad),
            "labels": filled([row["labels"] for row in rows], IGNORED),
            "attention_mask": filled([[1] * len(row["input_ids"]) for row in rows], 0),
        }

    def _joined(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        family = self.family
        ids = torch.tensor([[token for row in rows for token in row["input_ids"]]])
        each = [_tokens(number, row) for number, row in enumerate(rows)]
        documents, branches, places = (torch.cat(column) for column in zip(*each, strict=True))
        # The first token of a document or branch is predicted from no token, or from one that is not its neighbour.
        first = torch.ones_like(documents, dtype=torch.bool)
        first[1:] = (documents[1:] != documents[:-1]) | (branches[1:] != branches[:-1])
        labels = torch.tensor([label for row in rows for label in row["labels"]]).masked_fill(first, IGNORED)
        images = image_blocks(self._is_image(ids), documents[None])[0]
        tokens = Tokens(documents, branches, places, images)
        masks = {
            kind: spans_of(tokens, window, opened=kind in family.opened) for kind, window in family.windows.items()
        }
        rotary = [self._rotary(row, own) for row, (_, _, own) in zip(rows, each, strict=True)]
        axes = max(len(part) for part in rotary)
        positions = torch.cat([part.expand(axes, -1) for part in rotary], dim=1)
        return {
            "input_ids": ids,
            "labels": labels[None],
            "position_ids": positions[:, None] if axes > 1 else positions,
            "attention_mask": family.masks(masks),
        }

    def _is_image(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.eq(ids, self.family.soft if self.family.soft is not None else -1)

    def _rotary(self, row: dict[str, Any], places: torch.Tensor) -> torch.Tensor:
        """Rotary positions [axes or 1, length] of a row's tokens, each branch as if it alone followed the context."""
        ids, files = row["input_ids"], row.get("files") or ()
        if self.family.axes == 1 or not files:
            return places[None]
        sizes = [_size(file) for file in files]
        branches = row.get("branches") or [CONTEXT] * len(ids)
        context = branches.count(CONTEXT)
        parts = [slice(context)]
        for place in range(context, len(ids)):
            if branches[place] != branches[place - 1]:
                parts.append(slice(place, place))
            parts[-1] = slice(parts[-1].start, place + 1)
        made = list[torch.Tensor]()
        at = shown = 0
        for part in parts:
            blocks = image_blocks(self._is_image(torch.tensor([ids[part]])))
            count = int(blocks.max()) + 1
            before = context if made else 0
            own = self.family.positions(ids[:before] + ids[part], sizes[:shown] + sizes[at : at + count])
            made.append(places[part][None] if own is None else own[:, before:])
            at += count
            shown = shown if before else count
        axes = max(len(part) for part in made)
        return torch.cat([part.expand(axes, -1) for part in made], dim=1)


def _tokens(document: int, row: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Document and branch of each token of a row, and its place in context and branch."""
    length = len(row["input_ids"])
    branches = torch.tensor(row.get("branches") or [CONTEXT] * length)
    context = int((branches == CONTEXT).sum())
    lengths = torch.bincount(branches)
    starts = lengths.cumsum(0) - lengths - context  # of each branch, behind the context
    starts[CONTEXT] = 0
    return torch.full((length,), document), branches, torch.arange(length) - starts[branches]


def _size(file: str) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def check_labels(name: str, answer: Sequence[int], images: Collection[int]) -> None:
    """Refuse an answer that teaches nothing, or that would teach a model to write images.

    Args:
        answer: the tokens that are trained, without the one that ends a turn.
        images: ids of the tokens that images are made of.

    Raises:
        AssayError: no token, or a token of an image, is trained.
    """
    if not answer:
        raise AssayError(f"{name} has no token to learn from: its answer is empty; check its record.")
    if not set(images).isdisjoint(answer):
        raise AssayError(f"The record of {name} holds a token that stands for an image; take it out of the record.")
