"""Which token may attend to which, for prompts with images: exact masks, computed from positions and not from places.

A token attends to what stands before it in its own document, and a token of an image to all of that image, also to
what follows. Where the layer slides, nothing further back than the window is seen; the distance is that of positions,
so documents that share a row (each counting from 0) are each as if they stood alone.
"""

from __future__ import annotations

import torch

PADDING = -1
"""The document of a token that is only padding."""


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


def document_masks(
    documents: torch.Tensor, positions: torch.Tensor, is_image: torch.Tensor, window: int
) -> dict[str, torch.Tensor]:
    """Masks for rows that hold several documents, in the form that transformers' Gemma 3 takes as `attention_mask`.

    On sliding layers a token of an image sees all that follows it in the image, however far; so does transformers.

    Args:
        documents: int [rows, length]; tokens of one document have one number, padding has -1.
        positions: int [rows, length]; each document counts from 0.
        is_image: bool [rows, length].
        window: of the sliding layers, in positions: that many are seen, the token's own included.

    Returns:
        `full_attention` and `sliding_attention`, bool [rows, 1, length, length] (query, key), True where attended.
        Padding sees itself alone: a row of a mask that is empty would make NaN of it.
    """
    blocks = image_blocks(is_image, documents)
    queries, keys = documents[:, :, None], documents[:, None, :]
    same = (queries == keys) & (queries != PADDING)
    ahead = (blocks[:, :, None] == blocks[:, None, :]) & (blocks[:, :, None] >= 0)
    at, of = positions[:, :, None], positions[:, None, :]
    itself = torch.eye(documents.shape[1], dtype=torch.bool, device=documents.device)
    full = (same & ((of <= at) | ahead)) | itself
    sliding = full & (of > at - window)
    return {"full_attention": full[:, None], "sliding_attention": sliding[:, None]}


def see_images(masks: dict[str, torch.Tensor], blocks: torch.Tensor, window: int) -> dict[str, torch.Tensor]:
    """Causal masks of a prompt that is read in one go, opened within each image.

    Args:
        masks: bool [1, 1, length, length] by kind of layer.
        blocks: int [1, length], see `image_blocks`.
        window: of the sliding layers.
    """
    ahead = ((blocks[:, :, None] == blocks[:, None, :]) & (blocks[:, :, None] >= 0))[:, None]
    at = torch.arange(blocks.shape[1], device=blocks.device)
    near = at[None, :] > at[:, None] - window
    return {kind: mask | (ahead & near if kind == "sliding_attention" else ahead) for kind, mask in masks.items()}
