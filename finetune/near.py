"""Texts that are nearly the same, by the word sequences that they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_WORDS = 5  # of a sequence: rows of two reports with the same tests differ in it by their results
NEAR = 0.8
"""From which share of common sequences on (Jaccard) two texts are nearly the same."""
_AT_ONCE = 256


def near_pairs(texts: Sequence[str], others: Sequence[str], least: float = NEAR) -> list[tuple[int, int, float]]:
    """For each of `texts` that has one, the most similar of `others`: both indices, and how similar (Jaccard).

    Exact, as products of sparse matrices, which are fast enough to need no sketch (MinHash).
    """
    known: dict[tuple[str, ...], int] = {}
    own, theirs = (_matrix(group, known) for group in (texts, others))
    if not known:
        return []
    own.resize(len(texts), len(known))  # the second group has named more sequences
    sizes, other_sizes = (matrix.getnnz(axis=1) for matrix in (own, theirs))
    pairs = []
    for start in range(0, len(texts), _AT_ONCE):
        common = (own[start : start + _AT_ONCE] @ theirs.T).tocoo()
        best: dict[int, tuple[float, int]] = {}
        for row, column, count in zip(common.row, common.col, common.data, strict=True):
            at = start + int(row)
            share = float(count / (sizes[at] + other_sizes[column] - count))
            best[at] = max(best.get(at, (0.0, 0)), (share, int(column)))
        pairs += [(at, column, share) for at, (share, column) in best.items() if share >= least]
    return pairs


def _matrix(texts: Sequence[str], known: dict[tuple[str, ...], int]) -> Any:
    """A row for each text, a column for each sequence of words, 1 where the text has it."""
    from scipy.sparse import csr_matrix

    rows: list[int] = []
    columns: list[int] = []
    for number, text in enumerate(texts):
        words = re.findall(r"\w+", text.casefold())
        # A text shorter than that is one sequence; one without words is like nothing.
        starts = range(max(1, len(words) - _WORDS + 1)) if words else ()
        own = {known.setdefault(tuple(words[at : at + _WORDS]), len(known)) for at in starts}
        rows += [number] * len(own)
        columns += own
    return csr_matrix(([1] * len(rows), (rows, columns)), shape=(len(texts), max(1, len(known))), dtype="int32")
