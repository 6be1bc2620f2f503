"""Recall at k: how often the right caption (or image) is among the first k that a search gives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binomtest

from recipes.contrastive.data import Pair
from recipes.contrastive.index import Index
from recipes.contrastive.stored import Item

KS = (1, 5, 10)
_BLOCK = 1024
Keys = Collection[tuple[str, str]]


class Right:
    """Which candidates are right for which queries: those that have a key in common.

    Args:
        queries, candidates: the keys of each. Every query has a right candidate.
    """

    def __init__(self, queries: Sequence[Keys], candidates: Sequence[Keys]):
        keys = dict.fromkeys(key for some in (queries, candidates) for one in some for key in one)
        numbers = {key: number for number, key in enumerate(keys)}
        self._queries, self._candidates = (
            csr_array(
                (
                    np.ones(sum(map(len, some)), np.int32),
                    [numbers[key] for one in some for key in one],
                    np.cumsum([0, *map(len, some)]),
                ),
                (len(some), len(numbers)),
            )
            for some in (queries, candidates)
        )

    def of(self, block: slice) -> np.ndarray:
        """Of some queries, bool [queries, candidates]."""
        return np.asarray((self._queries[block] @ self._candidates.T).toarray() > 0)


def captions_of(pairs: Sequence[Pair]) -> tuple[list[str], list[Keys], list[Keys]]:
    """The different captions of pairs, and what makes images and captions right for each other: keys of both.

    Captions that are equal but for blanks and case are one candidate, or their copies would take the first places from
    others. A caption is right for an image that it stands beside, or that has the label of one it stands beside.

    Returns:
        Captions, the keys of each pair's image, the keys of each caption.
    """
    images: list[Keys] = []
    known: dict[str, tuple[str, set[tuple[str, str]]]] = {}
    for pair in pairs:
        own = {" ".join(caption.split()).casefold(): caption for caption in pair.captions}
        images.append({("label", pair.label)} if pair.label else {("text", words) for words in own})
        for words, caption in own.items():
            known.setdefault(words, (caption, set()))[1].add(("label", pair.label) if pair.label else ("text", words))
    return [caption for caption, _ in known.values()], images, [keys for _, keys in known.values()]


def ranks(queries: np.ndarray, found: np.ndarray, right: Right) -> np.ndarray:
    """The rank, from 0, of the best right candidate of each query by cosine similarity.

    Args:
        queries, found: vectors [n, width] and [m, width] of length 1.

    Returns:
        [n]; wrong candidates that are as similar as the best right one stand before it.
    """
    made = []
    for start in range(0, len(queries), _BLOCK):
        some = slice(start, start + _BLOCK)
        similarity = queries[some] @ found.T
        hits = right.of(some)
        best = np.where(hits, similarity, -np.inf).max(1, keepdims=True)
        made.append(((similarity >= best) & ~hits).sum(1))
    return np.concatenate(made)


def recalls(image: np.ndarray, text: np.ndarray, images: Sequence[Keys], texts: Sequence[Keys]) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions, and the mean of the two.

    Args:
        image, text: vectors [n, width] and [m, width] of length 1.
        images, texts: their keys, see `captions_of`. Each query has one hit or none: any right candidate is one.
    """
    sides = {
        "image_to_text": ranks(image, text, Right(images, texts)),
        "text_to_image": ranks(text, image, Right(texts, images)),
    }
    figures = {f"{side}_recall@{k}": float((rank < k).mean()) for side, rank in sides.items() for k in KS}
    means = {
        f"recall@{k}": (figures[f"image_to_text_recall@{k}"] + figures[f"text_to_image_recall@{k}"]) / 2 for k in KS
    }
    return figures | means


def recalls_by_index(
    image: np.ndarray, text: np.ndarray, images: Sequence[Keys], texts: Sequence[Keys]
) -> tuple[dict[str, float], str]:
    """As `recalls`, found by indexes as `assay index` makes them; and how those search, for people."""
    figures: dict[str, float] = {}
    hows = []
    for side, queries, found, right in (
        ("image_to_text", image, text, Right(images, texts)),
        ("text_to_image", text, image, Right(texts, images)),
    ):
        with TemporaryDirectory(prefix="assay-") as folder:
            index = Index(Path(folder) / "index")
            index.begin("", {}, found.shape[1])
            index.add((Item(str(number), 0, 0), vector) for number, vector in enumerate(found))
            hows.append(f"{side.rpartition('_')[2]}s are {index.build()}")
            hits = []
            for start in range(0, len(queries), _BLOCK):
                rows, _ = index.search(queries[start : start + _BLOCK], max(KS))
                known = np.take_along_axis(right.of(slice(start, start + _BLOCK)), np.maximum(rows, 0), 1)
                hits.append(known & (rows >= 0))
        first = np.concatenate(hits)
        figures |= {f"index_{side}@{k}": float(first[:, :k].any(1).mean()) for k in KS}
    return figures, "; ".join(hows)


def interval(right: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927)."""
    found = binomtest(right, total).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
