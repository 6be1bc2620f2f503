"""A key/value cache in which many sequences share their beginning, which is read and kept once.

Fifty questions on a record of 4,000 tokens differ in their last forty. Copying the record's keys and values for every
question would cost fifty times its memory; here they stand once, every sequence has slots of its own behind them, and
one row of tokens goes through the model, whatever sequences they belong to. Masks come from places in the sequence, so
each sequence computes what it would alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from extraction.families import Prompt
from extraction.generate.cache import RowCache
from extraction.generate.masks import see_images


class SharedCache:
    """Keys and values of sequences behind a common beginning.

    Attributes:
        lengths: [rows] int64 on the CPU; how many tokens of each sequence are kept, those of the beginning included.

    Args:
        rows: most sequences at one time; there are none at first.
        prefix: the beginning, read by a cache of one row.
    """

    def __init__(self, config: Any, rows: int, prefix: RowCache):
        self._window = config.sliding_window if any(prefix.sliding) else 0
        self._prefix = int(prefix.lengths[0])
        self._rows, self._slots, self.sliding = rows, 0, prefix.sliding
        # A sliding layer never looks further back than its window.
        self._near = min(self._prefix, self._window - 1) if self._window else 0
        self._store = [
            tuple(part[:, :, self._prefix - self._kept(layer) : self._prefix] for part in parts or ())
            for layer, parts in enumerate(prefix.stored)
        ]
        self._device = next(parts[0].device for parts in self._store if parts)
        self._grow(64)
        self.lengths = torch.zeros(0, dtype=torch.long)

    def _kept(self, layer: int) -> int:
        return self._near if self.sliding[layer] else self._prefix

    def append(self) -> None:
        """Begin another sequence."""
        self.lengths = torch.cat([self.lengths, torch.tensor([self._prefix])])

    def drop(self, row: int) -> None:
        """Forget a sequence; the last one takes its number."""
        last = len(self.lengths) - 1
        if row != last:
            for layer, parts in enumerate(self._store):
                for kept in parts:
                    own = kept[:, :, self._kept(layer) :].unflatten(2, (self._rows, self._slots))
                    own[:, :, row] = own[:, :, last]
            self.lengths[row] = self.lengths[last]
        self.lengths = self.lengths[:last]

    def advance(
        self, widths: Sequence[int], blocks: torch.Tensor | None = None, opened: Collection[str] = ()
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Make room for new tokens, `widths[row]` of each sequence; the lengths stay as they are.

        Args:
            widths: how many.
            blocks: where the tokens are of one sequence, the image that each belongs to (`image_blocks`), -1 for text.
            opened: as in `RowCache.advance`.

        Returns:
            Boolean attention masks by kind of layer, [1, 1, tokens, keys], and the tokens' places in their sequences
            [1, tokens] on the CPU; the tokens are those of the first sequence, then those of the next.
        """
        count = len(self.lengths)
        rows = torch.repeat_interleave(torch.arange(count), torch.tensor(widths))
        own_lengths = self.lengths - self._prefix
        places = torch.cat([length + torch.arange(width) for length, width in zip(own_lengths, widths, strict=True)])
        if len(places) and (needed := int(places.max()) + 1) > self._slots:
            self._grow(max(needed, 2 * self._slots))
        at = rows * self._slots + places
        own = torch.arange(count * self._slots)
        mask = (own // self._slots == rows[:, None]) & (own % self._slots <= places[:, None])
        seen = torch.ones(len(places), self._prefix, dtype=torch.bool)
        masks = {"full_attention": torch.cat([seen, mask], 1)[None, None]}
        if self._window:
            back = torch.arange(self._near, 0, -1)  # how far before the end of the beginning a key stands
            near = back + places[:, None] < self._window
            mask = mask & (own % self._slots > places[:, None] - self._window)
            masks["sliding_attention"] = torch.cat([near, mask], 1)[None, None]
        if blocks is not None:
            first = {"full_attention": self._prefix, "sliding_attention": self._near}
            see_images(masks, blocks, {kind: first[kind] + at for kind in opened if kind in masks}, self._window)
        self._at, self._used = at.to(self._device), count * self._slots
        return {kind: mask.to(self._device) for kind, mask in masks.items()}, (self._prefix + places)[None]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values ([1, heads, tokens, size]); return those the masks speak of."""
        all_keys, all_values = self._store[layer]
        at, stop = self._kept(layer) + self._at, self._kept(layer) + self._used
        all_keys[:, :, at], all_values[:, :, at] = keys, values
        return all_keys[:, :, :stop], all_values[:, :, :stop]

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


def shared_length(prompts: Sequence[Prompt]) -> int:
    """How many tokens at their beginning prompts have in common, the images that stand there included.

    At least one token of every prompt is left over: what follows it is asked of the model. No image is cut.
    """
    length = common_length([prompt.ids for prompt in prompts])
    first = prompts[0]
    for number, place in enumerate(first.places):
        same = all(prompt.images[number : number + 1] == first.images[number : number + 1] for prompt in prompts)
        if place.start < length and (not same or length < place.stop):
            return place.start
    return length


def common_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens at their beginning prompts have in common, one of every prompt left over."""
    ordered = sorted(map(list, prompts))
    low, high = ordered[0], ordered[-1]  # what these two share, all between them share
    most = min(map(len, prompts)) - 1
    return next((i for i in range(most) if low[i] != high[i]), most)
