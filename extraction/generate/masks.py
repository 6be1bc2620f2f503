"""Which token may attend to which: exact masks, computed from positions and not from places.

A token attends to what stands before it in its own document, and a token of an image to all of that image, also to
what follows. Where the layer slides, nothing further back than the window is seen; the distance is that of positions.
A document may branch: a context, then questions with their answers, each of which sees the context and itself. So
documents that share a row (each counting from 0), and branches that share a context (each counting from its end), are
each as if they stood alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch

PADDING = -1
"""The document of a token that is only padding."""
CONTEXT = 0
"""The branch of a token that all branches of its document see."""


@dataclass(frozen=True)
class Tokens:
    """What a mask depends on, of tokens that stand in a row; int64 [length] each.

    Attributes:
        documents: tokens of one document have one number, padding has -1.
        branches: `CONTEXT`, or the number of the branch of its document.
        positions: each document counts from 0, and each of its branches from the end of its context.
        images: the number of the image that a token belongs to (`image_blocks`), -1 for text.
    """

    documents: torch.Tensor
    branches: torch.Tensor
    positions: torch.Tensor
    images: torch.Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, *parts: slice) -> Tokens:
        """The tokens of some parts of the row."""
        return Tokens(*(torch.cat([getattr(self, field.name)[part] for part in parts]) for field in fields(self)))


def visible(queries: Tokens, keys: Tokens, window: int | None = None) -> torch.Tensor:
    """Bool [queries, keys]: True where attended.

    Args:
        queries, keys: tokens of one row.
        window: of a sliding layer, in positions: that many are seen, the token's own included. A token of an image
            sees all that follows it in the image, however far; so does transformers.
    """

    def same(name: str) -> torch.Tensor:
        return torch.eq(getattr(queries, name)[:, None], getattr(keys, name)[None])

    at, of = queries.positions[:, None], keys.positions[None]
    ahead = same("images") & (queries.images[:, None] >= 0)
    branch = same("branches") | (keys.branches == CONTEXT)[None]
    mask = same("documents") & (queries.documents != PADDING)[:, None] & branch & ((of <= at) | ahead)
    return mask & (of > at - window) if window else mask


def image_blocks(is_image: torch.Tensor, documents: torch.Tensor | None = None) -> torch.Tensor:
    """The number of the image that each token belongs to, -1 for text.

    Args:
        is_image: bool [rows, length]; tokens of one image stand together, two images have text between them.
        documents: int [rows, length], the document of each token, where a row holds several.

    Returns:
        int64 [rows, length], counted from 0 within each row.
    """
    before = torch.nn.functional.pad(is_image, (1, 0))[:, :-1]
    if documents is not None:
        same = documents == torch.nn.functional.pad(documents, (1, 0), value=PADDING)[:, :-1]
        before = before & same
    return torch.where(is_image, (is_image & ~before).long().cumsum(1) - 1, -1)


def see_images(
    masks: dict[str, torch.Tensor], blocks: torch.Tensor, columns: Mapping[str, torch.Tensor], window: int
) -> None:
    """Open causal masks within each image, in place.

    Args:
        masks: bool [1, 1, tokens, keys] by kind of layer; the tokens follow each other.
        blocks: int [tokens], the image that each token belongs to (`image_blocks`).
        columns: for each kind of layer that is to be opened, the places of the tokens among the keys.
    """
    ahead = (blocks[:, None] == blocks[None]) & (blocks[:, None] >= 0)
    at = torch.arange(len(blocks), device=blocks.device)
    for kind, places in columns.items():
        seen = ahead & (at[None] > at[:, None] - window) if kind == "sliding_attention" else ahead
        masks[kind][..., places] |= seen
