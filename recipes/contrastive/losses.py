"""What tells pairs from others, for batches in which captions repeat."""

from __future__ import annotations

import torch
from torch import nn

from recipes.contrastive.model import Temperature


def info_nce(
    image: torch.Tensor,
    text: torch.Tensor,
    temperature: Temperature | nn.Module,
    groups: torch.Tensor | None = None,
    hard_negatives: float = 0.0,
) -> torch.Tensor:
    """Symmetric InfoNCE (CLIP, arXiv 2103.00020), the mean over rows and columns.

    Args:
        image, text: vectors [n, width] of length 1; those of one row are a pair.
        groups: [n]; pairs of one number are right for each other, and share the target evenly (UniCL, arXiv
            2204.03610). None: only a row's own.
        hard_negatives: beta of arXiv 2010.04592: wrong pairs weigh exp(beta x similarity), on average 1.
    """
    similarity = image @ text.T
    logits = temperature(similarity)
    right = _right(similarity, groups)
    if hard_negatives:
        logits = logits + _hardness(similarity.detach(), right, hard_negatives)
    target = right / right.sum(1, keepdim=True)  # symmetric: equal for rows and columns
    rows = -(target * logits.log_softmax(1)).sum(1).mean()
    columns = -(target * logits.log_softmax(0)).sum(0).mean()
    return (rows + columns) / 2


def sigmoid(
    image: torch.Tensor,
    text: torch.Tensor,
    temperature: Temperature | nn.Module,
    groups: torch.Tensor | None = None,
) -> torch.Tensor:
    """The sigmoid loss (SigLIP, arXiv 2303.15343): every pair of the batch is right or wrong on its own.

    The sum over a row, and the mean over rows, as transformers has it.

    Args:
        image, text, groups: as in `info_nce`.
    """
    logits = temperature(image @ text.T)
    right = _right(logits, groups)
    return -nn.functional.logsigmoid((2 * right - 1) * logits).sum(1).mean()


def _right(like: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
    """[n, n], 1 where an image and a text belong together."""
    if groups is None:
        return torch.eye(len(like), device=like.device)
    return (groups[:, None] == groups[None, :]).float()


def _hardness(similarity: torch.Tensor, right: torch.Tensor, beta: float) -> torch.Tensor:
    """What is added to the logits of wrong pairs, so that they weigh more the more alike they are; 0 for right ones."""
    wrong = right == 0
    weight = torch.where(wrong, (beta * similarity).exp(), torch.zeros_like(similarity))
    average = weight.sum() / wrong.sum().clamp(min=1)
    return torch.where(wrong, beta * similarity - average.clamp(min=1e-12).log(), torch.zeros_like(similarity))
