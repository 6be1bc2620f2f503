"""A linear probe: logistic regression on a tower's vectors, by L-BFGS, its penalty chosen on validation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from recipes.contrastive.retrieval import interval

# CLIP's sweep (arXiv 2103.00020, A.3) in decades; here lambda of the mean loss, and vectors are of length 1.
PENALTIES = tuple(10.0**power for power in range(1, -7, -1))
LABELS = (1, 4, 16, 64)
DRAWS = 5
_T = 2.776  # 97.5% of Student's t with DRAWS - 1 degrees of freedom


@dataclass(frozen=True)
class Probe:
    """Scores are vectors @ weight + bias: weight [width, classes], bias [classes]."""

    weight: np.ndarray
    bias: np.ndarray
    penalty: float

    def accuracy(self, vectors: np.ndarray, labels: np.ndarray) -> float:
        """The share of right classes."""
        return float(((vectors @ self.weight + self.bias).argmax(1) == labels).mean())


@dataclass(frozen=True)
class Curve:
    """Accuracy with so many labels a class: the mean over draws, and its 95% interval.

    Over the draws (Student's t) and over the test images (Wilson), their lengths on either side added as squares
    (Zou and Donner 2008, Statistics in Medicine 27:1693).
    """

    labels: int
    accuracy: float
    interval: tuple[float, float]


def fit(vectors: np.ndarray, labels: np.ndarray, classes: int, penalty: float, start: Probe | None = None) -> Probe:
    """The logistic regression of least cross-entropy plus penalty / 2 times the squared weights.

    Args:
        vectors: [n, width]. labels: [n].
        start: what to begin from; zeros without it.
    """
    features = np.hstack([np.asarray(vectors, np.float64), np.ones((len(vectors), 1))])
    target = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(-1, classes)
        logits = features @ weight
        log_probs = logits - logsumexp(logits, axis=1, keepdims=True)
        gradient = features.T @ (np.exp(log_probs) - target) / len(target)
        gradient[:-1] += penalty * weight[:-1]
        value = -(target * log_probs).sum() / len(target) + penalty / 2 * (weight[:-1] ** 2).sum()
        return float(value), gradient.reshape(-1)

    first = (
        np.zeros(features.shape[1] * classes) if start is None else np.vstack([start.weight, start.bias]).reshape(-1)
    )
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x.reshape(-1, classes)
    return Probe(found[:-1], found[-1], penalty)


def best(vectors: np.ndarray, labels: np.ndarray, held_out: np.ndarray, truth: np.ndarray, classes: int) -> Probe:
    """The probe whose penalty serves held-out vectors best; of equals, the strongest penalty."""
    made: list[Probe] = []
    for penalty in PENALTIES:
        made.append(fit(vectors, labels, classes, penalty, made[-1] if made else None))
    return max(made, key=lambda probe: (probe.accuracy(held_out, truth), probe.penalty))


def fit_best(vectors: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0) -> Probe:
    """A probe on all labels, its penalty chosen on a fifth of them that is left out for that alone."""
    rng = np.random.default_rng(seed)
    chosen = _draw(labels, classes, [max(1, int((labels == c).sum()) // 5) for c in range(classes)], rng)
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    if len(np.unique(labels[rest])) < classes:  # a class of one example
        return fit(vectors, labels, classes, PENALTIES[len(PENALTIES) // 2])
    penalty = best(vectors[rest], labels[rest], vectors[chosen], labels[chosen], classes).penalty
    return fit(vectors, labels, classes, penalty)


def curve(
    vectors: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, classes: int, seed: int = 0
) -> list[Curve]:
    """Accuracy on `test` with 1, 4, 16 and 64 labels a class, as far as every class has twice as many.

    As many again are for choosing the penalty.
    """
    found: dict[int, list[float]] = defaultdict(list)
    for count, taught, chosen in draws(labels, classes, seed):
        probe = best(vectors[taught], labels[taught], vectors[chosen], labels[chosen], classes)
        found[count].append(probe.accuracy(test, truth))
    return [point(count, one, len(truth)) for count, one in found.items()]


def draws(labels: np.ndarray, classes: int, seed: int = 0) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """LABELS a class as far as every class has twice as many, each DRAWS times: how many, and indices of images.

    They are of those to learn from, and of as many again to choose by.
    """
    rng = np.random.default_rng(seed)
    fewest = min(int((labels == number).sum()) for number in range(classes))
    for count in LABELS:
        if 2 * count > fewest:
            break
        for _ in range(DRAWS):
            both = _draw(labels, classes, [2 * count] * classes, rng).reshape(classes, 2 * count)
            yield count, both[:, :count].reshape(-1), both[:, count:].reshape(-1)


def point(count: int, found: Sequence[float], images: int) -> Curve:
    """The point of a curve from the accuracies of draws over so many test images."""
    mean = float(np.mean(found))
    low, high = interval(round(mean * images), images)
    draws = _T * float(np.std(found, ddof=1)) / math.sqrt(len(found))
    under, over = math.hypot(draws, mean - low), math.hypot(draws, high - mean)
    return Curve(count, mean, (max(0.0, mean - under), min(1.0, mean + over)))


def _draw(labels: np.ndarray, classes: int, counts: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Indices of so many examples of each class, class by class."""
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels == number), counts[number], replace=False) for number in range(classes)]
    )
