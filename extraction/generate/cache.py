"""A key/value cache in which every row has its own length.

Hugging Face's caches grow all rows together, so a batch whose rows accept different numbers of draft tokens
cannot be rolled back, and their sliding-window layers forget what a roll-back would need. Here slot = place in the
sequence: a row is rolled back by setting its length, nothing is moved, and the masks, computed from places, are exact
for full and for sliding layers. Rows come and go while others are at work.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from extraction.generate.masks import see_images


class RowCache:
    """Keys and values of `rows` sequences; follows the one method of transformers' `Cache` that models call.

    Attributes:
        lengths: [rows] int64 on the CPU; how many slots of each row hold tokens.
        sliding: for each layer, whether it slides.
        stored: keys and values of each layer, [rows, heads, slots, size]; None where a layer keeps none.

    Args:
        config: the text model's config (`layer_types` and `sliding_window` where it has them).
    """

    def __init__(self, config: Any, rows: int, device: torch.device):
        kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
        self.sliding = [kind == "sliding_attention" for kind in kinds]
        self._window = config.sliding_window if any(self.sliding) else 0
        # Layers that take another one's keys and values (Gemma 4) keep none.
        self.stored: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(kinds)
        self._allocated, self._device, self._capacity = rows, device, 0
        self.lengths = torch.zeros(rows, dtype=torch.long)

    def advance(
        self, width: int, blocks: torch.Tensor | None = None, opened: Collection[str] = ()
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Make room for `width` new tokens a row, behind each row's length; the lengths stay as they are.

        Args:
            width: how many.
            blocks: of the only row, the image that each token belongs to (`image_blocks`), -1 for text.
            opened: kinds of layers in which tokens of an image see all of it.

        Returns:
            Boolean attention masks by kind of layer, [rows, 1, width, keys], and the tokens' places [rows, width] on
            the CPU.
        """
        places = self.lengths[:, None] + torch.arange(width)
        self._high = int(places.max()) + 1
        self._low = max(0, int(places[:, 0].min()) - self._window + 1) if self._window else 0
        if self._high > self._capacity:
            self._allocate(self._allocated, max(self._high, 2 * self._capacity, 256))
        self._slots = places.to(self._device)
        self._batch = torch.arange(len(places), device=self._device)[:, None]
        at = self._slots[:, None, :, None]
        slots = torch.arange(self._high, device=self._device)
        masks = {"full_attention": slots <= at}
        if self._window:
            near = slots[self._low :]
            masks["sliding_attention"] = (near <= at) & (near > at - self._window)
        if blocks is not None:
            first = {"full_attention": 0, "sliding_attention": self._low}
            columns = {kind: self._slots[0] - first[kind] for kind in opened if kind in masks}
            see_images(masks, blocks.to(self._device), columns, self._window)
        return masks, places

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values ([rows, heads, width, size]); return those the masks speak of."""
        store = self._layer(layer, keys, values)
        rows, low = len(self.lengths), self._low if self.sliding[layer] else 0
        for kept, new in zip(store, (keys, values), strict=True):
            kept[self._batch, :, self._slots] = new.transpose(1, 2)
        return store[0][:rows, :, low : self._high], store[1][:rows, :, low : self._high]

    def _layer(self, layer: int, *like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        store = self.stored[layer]
        if store is None:
            keys, values = (
                part.new_zeros(self._allocated, part.shape[1], self._capacity, part.shape[3]) for part in like
            )
            store = self.stored[layer] = keys, values
        return store

    def append(self, other: RowCache) -> None:
        """Add the only row of `other`: a prompt that was read apart joins the batch."""
        row, length = len(self.lengths), int(other.lengths[0])
        rows = self._allocated if row < self._allocated else max(1, 2 * self._allocated)
        if rows > self._allocated or length > self._capacity:
            self._allocate(rows, self._capacity if length <= self._capacity else max(length, 2 * self._capacity))
        for layer, parts in enumerate(other.stored):
            if parts is not None:
                for kept, new in zip(self._layer(layer, *parts), parts, strict=True):
                    kept[row, :, :length] = new[0, :, :length]
        self.lengths = torch.cat([self.lengths, other.lengths])

    def drop(self, row: int) -> None:
        """Forget a row; the last one takes its number, so those at work stand together."""
        last = len(self.lengths) - 1
        length = int(self.lengths[last])
        if row != last:
            for parts in self.stored:
                for kept in parts or ():
                    kept[row, :, :length] = kept[last, :, :length]
            self.lengths[row] = length
        self.lengths = self.lengths[:last]

    def _allocate(self, rows: int, capacity: int) -> None:
        for layer, parts in enumerate(self.stored):
            if parts is not None:
                made = []
                for old in parts:
                    new = old.new_zeros(rows, old.shape[1], capacity, old.shape[3])
                    new[: self._allocated, :, : self._capacity] = old
                    made.append(new)
                self.stored[layer] = made[0], made[1]
        self._allocated, self._capacity = rows, capacity
