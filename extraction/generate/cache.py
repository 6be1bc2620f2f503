"""A key/value cache in which every row has its own length.

Hugging Face's caches grow all rows together, so a batch whose rows accept different numbers of draft tokens
cannot be rolled back, and their sliding-window layers forget what a roll-back would need. Here slot = position:
a row is rolled back by setting its length, nothing is moved, and the masks, computed from positions, are exact
for full and for sliding layers.
"""

from __future__ import annotations

from typing import Any

import torch


class RowCache:
    """Keys and values of `rows` sequences; follows the one method of transformers' `Cache` that models call.

    Attributes:
        lengths: [rows] int64 on the CPU; how many slots of each row hold tokens.
        sliding: for each layer, whether it slides.

    Args:
        config: the text model's config (`layer_types` and `sliding_window` where it has them).
        rows: number of sequences.
        device: where keys and values live.
    """

    def __init__(self, config: Any, rows: int, device: torch.device):
        kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
        self.sliding = [kind == "sliding_attention" for kind in kinds]
        self._window = config.sliding_window if any(self.sliding) else 0
        self._keys: list[torch.Tensor | None] = [None] * len(kinds)
        self._values: list[torch.Tensor | None] = [None] * len(kinds)
        self._rows, self._device, self._capacity = rows, device, 0
        self.lengths = torch.zeros(rows, dtype=torch.long)

    def advance(self, width: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Make room for `width` new tokens a row, behind each row's length; the lengths stay as they are.

        Returns:
            Boolean attention masks by kind of layer, [rows, 1, width, keys], and position ids [rows, width].
        """
        positions = self.lengths[:, None] + torch.arange(width)
        self._high = int(positions.max()) + 1
        self._low = max(0, int(positions[:, 0].min()) - self._window + 1) if self._window else 0
        if self._high > self._capacity:
            self._grow(max(self._high, 2 * self._capacity, 256))
        self._slots = positions.to(self._device)
        self._batch = torch.arange(self._rows, device=self._device)[:, None]
        at = self._slots[:, None, :, None]
        slots = torch.arange(self._high, device=self._device)
        masks = {"full_attention": slots <= at}
        if self._window:
            near = slots[self._low :]
            masks["sliding_attention"] = (near <= at) & (near > at - self._window)
        return masks, self._slots

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values ([rows, heads, width, size]); return those the masks speak of."""
        if self._keys[layer] is None:
            shape = (self._rows, keys.shape[1], self._capacity, keys.shape[3])
            self._keys[layer] = keys.new_zeros(shape)
            self._values[layer] = values.new_zeros(shape)
        all_keys, all_values = self._keys[layer], self._values[layer]
        assert all_keys is not None and all_values is not None
        all_keys[self._batch, :, self._slots] = keys.transpose(1, 2)
        all_values[self._batch, :, self._slots] = values.transpose(1, 2)
        low = self._low if self.sliding[layer] else 0
        return all_keys[:, :, low : self._high], all_values[:, :, low : self._high]

    @property
    def stored(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of each layer, [rows, heads, slots, size]."""
        return [(k, v) for k, v in zip(self._keys, self._values, strict=True) if k is not None and v is not None]

    def adopt(self, row: int, other: RowCache) -> None:
        """Copy the only row of `other` into `row`: a prompt that was read apart joins the batch."""
        length = int(other.lengths[0])
        if length > self._capacity:
            self._grow(max(length, 2 * self._capacity))
        for layer, (keys, values) in enumerate(zip(other._keys, other._values, strict=True)):
            assert keys is not None and values is not None
            if self._keys[layer] is None:
                shape = (self._rows, keys.shape[1], self._capacity, keys.shape[3])
                self._keys[layer] = keys.new_zeros(shape)
                self._values[layer] = values.new_zeros(shape)
            self._keys[layer][row, :, :length] = keys[0, :, :length]  # type: ignore[index]
            self._values[layer][row, :, :length] = values[0, :, :length]  # type: ignore[index]
        self.lengths[row] = length

    def _grow(self, capacity: int) -> None:
        for store in (self._keys, self._values):
            for layer, old in enumerate(store):
                if old is not None:
                    new = old.new_zeros((*old.shape[:2], capacity, old.shape[3]))
                    new[:, :, : self._capacity] = old
                    store[layer] = new
        self._capacity = capacity
