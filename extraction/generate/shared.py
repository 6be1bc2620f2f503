"""A key/value cache in which many sequences share their beginning, which is read and kept once.

Fifty questions on a record of 4,000 tokens differ in their last forty. Copying the record's keys and values for every
question would cost fifty times its memory; here they stand once, every sequence has slots of its own behind them, and
one row of tokens goes through the model, whatever sequences they belong to. Masks come from positions, so each sequence
computes what it would alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from extraction.generate.cache import RowCache

# A shorter beginning is not worth a row's longer masks.
_LEAST = 256


class SharedCache:
    """Keys and values of `rows` sequences behind a common beginning.

    Attributes:
        lengths: [rows] int64 on the CPU; how many slots of each sequence, behind the beginning, hold tokens.

    Args:
        config: the text model's config.
        rows: number of sequences.
        prefix: the beginning, read by a cache of one row.
    """

    def __init__(self, config: Any, rows: int, prefix: RowCache):
        self._window = config.sliding_window if any(prefix.sliding) else 0
        self._prefix = int(prefix.lengths[0])
        self._rows, self._slots, self.sliding = rows, 0, prefix.sliding
        # A sliding layer never looks further back than its window.
        self._near = min(self._prefix, self._window - 1) if self._window else 0
        self._store = [
            tuple(part[:, :, self._prefix - self._kept(layer) : self._prefix] for part in parts)
            for layer, parts in enumerate(prefix.stored)
        ]
        self._grow(64)
        self.lengths = torch.zeros(rows, dtype=torch.long)

    def _kept(self, layer: int) -> int:
        return self._near if self.sliding[layer] else self._prefix

    def advance(self, widths: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Make room for new tokens, `widths[row]` of each sequence; the lengths stay as they are.

        Returns:
            Boolean attention masks by kind of layer, [1, 1, tokens, keys], and position ids [1, tokens]; the tokens
            are those of the first sequence, then those of the next.
        """
        rows = torch.repeat_interleave(torch.arange(self._rows), torch.tensor(widths))
        places = torch.cat([length + torch.arange(width) for length, width in zip(self.lengths, widths, strict=True)])
        if len(places) and (needed := int(places.max()) + 1) > self._slots:
            self._grow(max(needed, 2 * self._slots))
        self._at = rows * self._slots + places
        own = torch.arange(self._rows * self._slots)
        mask = (own // self._slots == rows[:, None]) & (own % self._slots <= places[:, None])
        seen = torch.ones(len(places), self._prefix, dtype=torch.bool)
        masks = {"full_attention": torch.cat([seen, mask], 1)}
        if self._window:
            back = torch.arange(self._near, 0, -1)  # how far before the end of the beginning a key stands
            near = back + places[:, None] < self._window
            mask = mask & (own % self._slots > places[:, None] - self._window)
            masks["sliding_attention"] = torch.cat([near, mask], 1)
        device = self._store[0][0].device
        self._at, positions = self._at.to(device), (self._prefix + places)[None].to(device)
        return {kind: mask[None, None].to(device) for kind, mask in masks.items()}, positions

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values ([1, heads, tokens, size]); return those the masks speak of."""
        all_keys, all_values = self._store[layer]
        at = self._kept(layer) + self._at
        all_keys[:, :, at], all_values[:, :, at] = keys, values
        return all_keys, all_values

    def _grow(self, slots: int) -> None:
        """Give every sequence `slots` slots."""
        for layer, parts in enumerate(self._store):
            kept, made = self._kept(layer), []
            for old in parts:
                new = old.new_zeros(1, old.shape[1], kept + self._rows * slots, old.shape[3])
                new[:, :, :kept] = old[:, :, :kept]
                if self._slots:
                    shape = (1, old.shape[1], self._rows, -1, old.shape[3])
                    new[:, :, kept:].view(shape)[:, :, :, : self._slots] = old[:, :, kept:].view(shape)
                made.append(new)
            self._store[layer] = tuple(made)
        self._slots = slots


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens at their beginning prompts share, if that is worth reading once; else 0.

    At least one token of every prompt is left: what follows it is asked of the model.
    """
    if len(prompts) < 2:
        return 0
    length = common_length(prompts)
    return length if length >= _LEAST and 2 * length >= max(map(len, prompts)) else 0


def common_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens at their beginning prompts have in common, one of every prompt left over."""
    ordered = sorted(map(list, prompts))
    low, high = ordered[0], ordered[-1]  # what these two share, all between them share
    most = min(map(len, prompts)) - 1
    return next((i for i in range(most) if low[i] != high[i]), most)
