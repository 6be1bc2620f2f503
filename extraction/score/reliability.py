"""How far the confidence of values can be relied on: does it rank the wrong ones last, and what does a review catch?

The unit is a predicted value that counts in the score (`JudgedCell`): right when the score counts it as agreed, wrong
when it counts it as only predicted. What is missing from a record has no confidence and is no part of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from extraction.record.record import REVIEW_BELOW, named

if TYPE_CHECKING:
    from rich.console import RenderableType

EDGES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Limits between the rows of the reliability table, and the thresholds whose cost and yield are shown."""


@dataclass(frozen=True)
class JudgedCell:
    """A predicted value that counts in a score.

    Attributes:
        pointer: where it stands in the data (JSON pointer).
        field: what it is counted under.
        right: whether gold has it too.
    """

    pointer: str
    field: str
    right: bool


@dataclass(frozen=True)
class Bin:
    """The values whose confidence is in [low, high) (the last bin: up to and with 1)."""

    low: float
    high: float
    values: int
    right: float  # share of them that is right
    confidence: float  # their mean confidence


@dataclass(frozen=True)
class Review:
    """What a review of the values with a confidence below a threshold, or none, or named by an issue, would do.

    Attributes:
        reviewed: those that a person would look at.
        caught: wrong values among the reviewed.
        ok_values: values in records with status `ok`.
        silent: wrong values in such records that no review would see: the worst error there is.
    """

    below: float
    values: int
    reviewed: int
    wrong: int
    caught: int
    ok_values: int
    silent: int

    def to_dict(self) -> dict[str, Any]:
        """The counts, with the shares of values reviewed and of wrong values caught (None where there are none)."""
        return {
            **vars(self),
            "reviewed_share": self.reviewed / self.values,
            "caught_share": self.caught / self.wrong if self.wrong else None,
            "silent_share": self.silent / self.ok_values if self.ok_values else None,
        }


def area_under_curve(scores: np.ndarray, right: np.ndarray) -> float:
    """The chance that one of those that are right has a higher score than one that is not, ties counted half.

    The area under the ROC curve, by the rank sum (Mann-Whitney U): (R - n(n+1)/2) / nm, where R is the sum of the
    mid-ranks of the n that are right, and m is the number of the others. 0.5 is no better than chance.

    Args:
        scores: [n + m]. right: [n + m], some true and some not.
    """
    from scipy.stats import rankdata  # takes long to import, and most scores have no confidence

    n, m = int(right.sum()), int((~right).sum())
    return float((rankdata(scores)[right].sum() - n * (n + 1) / 2) / (n * m))


@dataclass(frozen=True, eq=False)
class Reliability:
    """The values of a set of records: right or not, beside what the records say of them. All arrays have shape [n].

    Attributes:
        right: bool.
        confidence: float from 0 to 1, NaN where the record does not know it.
        named: bool, whether an issue names the value or something that holds it.
        ok: bool, whether the value's record has status `ok`.
    """

    right: np.ndarray
    confidence: np.ndarray
    named: np.ndarray
    ok: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Which values have a confidence: [n], bool."""
        return ~np.isnan(self.confidence)

    @property
    def auroc(self) -> float | None:
        """The chance that a right value has a higher confidence than a wrong one; None where all are right or wrong."""
        right = self.right[self.known]
        return None if right.all() or not right.any() else area_under_curve(self.confidence[self.known], right)

    @property
    def bins(self) -> list[Bin]:
        """The reliability table: values by confidence, limits at `EDGES`; bins without values are left out."""
        confidence, right = self.confidence[self.known], self.right[self.known]
        place = np.searchsorted(EDGES, confidence, side="right")
        limits = (0.0, *EDGES, 1.0)
        return [
            Bin(limits[i], limits[i + 1], int(own.sum()), float(right[own].mean()), float(confidence[own].mean()))
            for i in range(len(limits) - 1)
            if (own := place == i).any()
        ]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: the sum over bins of (values / all values) * |share right - mean confidence|.

        Guo et al. 2017 (arXiv 1706.04599), equation 3, with the unequal bins of `bins`: nearly all confidences
        are near 1, where bins of equal width would hold everything in one.
        """
        total = int(self.known.sum())
        return sum(bin.values / total * abs(bin.right - bin.confidence) for bin in self.bins)

    def review(self, below: float) -> Review:
        """What a review with this threshold would cost and catch; by the rule of `Record.review`."""
        seen = ~(self.confidence >= below) | self.named  # a NaN is not sure
        wrong = ~self.right
        return Review(
            below=below,
            values=len(seen),
            reviewed=int(seen.sum()),
            wrong=int(wrong.sum()),
            caught=int((wrong & seen).sum()),
            ok_values=int(self.ok.sum()),
            silent=int((wrong & ~seen & self.ok).sum()),
        )

    @property
    def reviews(self) -> list[Review]:
        """The review at each of `EDGES` and at the threshold that records use."""
        return [self.review(below) for below in sorted({*EDGES, REVIEW_BELOW})]

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {
            "values": len(self.right),
            "without_confidence": int((~self.known).sum()),
            "auroc": self.auroc,
            "calibration_error": self.calibration_error,
            "bins": [vars(bin) for bin in self.bins],
            "review_below": REVIEW_BELOW,
            "reviews": [review.to_dict() for review in self.reviews],
        }

    def table(self) -> RenderableType:
        """What a terminal shows: AUROC, the reliability table, cost and yield of each threshold."""
        from extraction.score.table import render_reliability

        return render_reliability(self)


def reliability(documents: Iterable[tuple[Mapping[str, Any], Iterable[JudgedCell]]]) -> Reliability | None:
    """The reliability of records (as saved) whose values were judged; None where no value has a confidence."""
    rows: list[tuple[bool, float, bool, bool]] = []
    for record, cells in documents:
        evidence = record.get("evidence")
        known = evidence if isinstance(evidence, dict) else {}
        doubts = [issue.get("path") for issue in record.get("issues") or () if isinstance(issue, dict)]
        ok = record.get("status") == "ok"
        rows += [(c.right, _confidence(known.get(c.pointer)), named(c.pointer, doubts), ok) for c in cells]
    if all(np.isnan(confidence) for _, confidence, _, _ in rows):
        return None
    right, confidence, doubted, ok_record = zip(*rows, strict=True)
    return Reliability(np.array(right), np.array(confidence, dtype=float), np.array(doubted), np.array(ok_record))


def _confidence(entry: Any) -> float:
    value = entry.get("confidence") if isinstance(entry, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
