"""Recall at k: how often the right caption (or image) is among the first k that a search gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

KS = (1, 5, 10)
_BLOCK = 1024


def ranks(queries: np.ndarray, found: np.ndarray, query_groups: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The rank, from 0, of the best right candidate of each query by cosine similarity.

    Args:
        queries, found: vectors [n, width] and [m, width] of length 1.
        query_groups, groups: [n] and [m]; a candidate of a query's number is right. Every query has at least one.

    Returns:
        [n]; wrong candidates that are as similar as the best right one stand before it.
    """
    made = []
    for start in range(0, len(queries), _BLOCK):
        similarity = queries[start : start + _BLOCK] @ found.T
        right = query_groups[start : start + _BLOCK, None] == groups[None, :]
        best = np.where(right, similarity, -np.inf).max(1, keepdims=True)
        made.append(((similarity >= best) & ~right).sum(1))
    return np.concatenate(made)


def recalls(image: np.ndarray, text: np.ndarray, groups: Sequence[int] | np.ndarray) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions, and the mean of the two.

    Args:
        image, text: vectors [n, width] of length 1; those of one row are a pair.
        groups: [n]; equal captions are one, so that any of them is a hit. Each query has one hit or none.
    """
    numbers = np.asarray(groups)
    # Equal captions are one candidate: their copies would take the first places from others.
    _, first = np.unique(numbers, return_index=True)
    sides = {
        "image_to_text": ranks(image, text[first], numbers, numbers[first]),
        "text_to_image": ranks(text[first], image, numbers[first], numbers),
    }
    figures = {f"{side}_recall@{k}": float((rank < k).mean()) for side, rank in sides.items() for k in KS}
    means = {
        f"recall@{k}": (figures[f"image_to_text_recall@{k}"] + figures[f"text_to_image_recall@{k}"]) / 2 for k in KS
    }
    return figures | means


def interval(right: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927)."""
    found = binomtest(right, total).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
