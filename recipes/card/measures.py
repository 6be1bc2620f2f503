"""From graded answers to figures with an interval: contexts are drawn anew, as their questions depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipes.card.grade import Graded
from recipes.card.items import Item
from recipes.card.rows import Figure

DRAWS = 1000


@dataclass(frozen=True)
class Measured:
    """A figure in percent with its 95% interval, over n questions of so many contexts; `exact`: a bound, not drawn."""

    value: float
    low: float
    high: float
    n: int
    contexts: int
    exact: bool = False


def measure(figure: Figure, items: Sequence[Item], graded: Sequence[Graded], draws: int = DRAWS) -> Measured | None:
    """A figure of graded answers; None where no question has its score, and where it is of yes and there is none.

    The interval holds the middle 95% of the figure over `draws` samples of the contexts (of the patients, where they
    are known), drawn with replacement (percentile bootstrap, Efron and Tibshirani 1993, chapter 13). Where all samples
    agree they say nothing: then at most a share 1 - 0.025^(1/n) of all contexts differs from the n that were seen
    (Clopper and Pearson 1934, Biometrika 26:404, for n of n), and the interval is what such contexts could make of the
    figure; of a mean over groups it is the mean of the groups' bounds.
    """
    pairs = [(i, g) for i, g in zip(items, graded, strict=True) if figure.score in g.scores]
    if not pairs:
        return None
    values = np.array([g.scores[figure.score] for _, g in pairs])
    groups, group_of = np.unique([i.group for i, _ in pairs], return_inverse=True)
    golds, gold_of = np.unique([str(i.gold) for i, _ in pairs], return_inverse=True)
    said_yes = np.array([g.said == "yes" for _, g in pairs])
    true_yes = np.array([i.gold == "yes" for i, _ in pairs])
    units, unit_of = np.unique([i.patient or repr(i.shown) for i, _ in pairs], return_inverse=True)

    def figure_of(weights: np.ndarray) -> float:
        if figure.over == "mean":
            return float((weights * values).sum() / weights.sum())
        if figure.over in ("f1", "precision", "sensitivity"):
            right, told, true = (
                np.bincount(group_of, weights * chosen, len(groups))
                for chosen in (said_yes & true_yes, said_yes, true_yes)
            )
            # A finding that is never said has no precision of its own: as nothing said is right, 0.
            of = {"f1": (told + true) / 2, "precision": np.where(true > 0, np.maximum(told, 1e-9), told)}
            under = of.get(figure.over, true)
            return _mean(np.divide(right, under, out=np.full(len(groups), np.nan), where=under > 0))
        kinds = group_of if figure.over == "macro" else group_of * len(golds) + gold_of
        count = len(groups) * (1 if figure.over == "macro" else len(golds))
        total = np.bincount(kinds, weights, count)
        means = np.divide(
            np.bincount(kinds, weights * values, count), total, out=np.full(count, np.nan), where=total > 0
        )
        if figure.over == "macro":
            return _mean(means)
        return _mean(np.array([_mean(own) for own in means.reshape(len(groups), len(golds))]))

    random = np.random.default_rng(0)
    drawn = (np.bincount(random.integers(len(units), size=len(units)), minlength=len(units)) for _ in range(draws))
    found = [figure_of(counts[unit_of].astype(float)) for counts in drawn]
    value = figure_of(np.ones(len(pairs)))
    if np.isnan(value):
        return None
    low, high = np.nanpercentile(found, [2.5, 97.5]) if len(units) > 1 else (value, value)
    exact = bool(high - low < 1e-9)
    if exact:
        cell_of = group_of * (len(golds) if figure.over == "recall" else 1) * (figure.over != "mean")
        cell_of = cell_of + gold_of * (figure.over == "recall")
        seen = [len(np.unique(unit_of[cell_of == cell])) for cell in np.unique(cell_of)]
        differ = _mean(1 - 0.025 ** (1 / np.array(seen)))
        low, high = value * (1 - differ), value + (1 - value) * differ
    return Measured(100 * value, 100 * float(low), 100 * float(high), len(pairs), len(units), exact)


def _mean(values: np.ndarray) -> float:
    """The mean of the values that there are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
