"""Classification without training, and with few labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from extraction.errors import AssayError
from extraction.score.reliability import area_under_curve
from finetune.processes import say
from recipes.contrastive.benchmarks import Benchmark, Labelled, read_labelled
from recipes.contrastive.data import Left
from recipes.contrastive.embed import embed_all
from recipes.contrastive.load import Dual, encode_texts, encoder
from recipes.contrastive.probe import LABELS, Curve, curve
from recipes.contrastive.retrieval import interval

_SHOWN = 10  # names of classes or templates below a table
_Z = 1.96  # 97.5% of the normal distribution


@dataclass(frozen=True)
class Figures:
    """How well classes are told apart.

    Attributes:
        accuracy, auroc: with 95% intervals; AUROC of several classes is the mean of each against the others, told
            by its probability.
        chance: the share of the most frequent class.
    """

    images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    auroc: float
    auroc_interval: tuple[float, float]
    chance: float
    by_class: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def read_features(
    dual: Dual, folder: Path, labelled: Labelled, benchmark: Benchmark, left: Left
) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Vectors [n, width] of a folder's labelled images, the number of each one's class [n], and the images.

    Raises:
        AssayError: no image of a class can be read.
    """
    numbers, vectors = embed_all(dual, labelled.pictures, left, "reading images")
    labels = np.asarray([labelled.labels[number] for number in numbers], dtype=int)
    for number, name in enumerate(benchmark.classes):
        if not (labels == number).any():
            raise AssayError(f"No image of the class “{name}” in {folder} can be read: {left}.")
    return vectors, labels, [labelled.pictures[number] for number in numbers]


def class_vectors(dual: Dual, benchmark: Benchmark) -> np.ndarray:
    """A vector of length 1 for each class: the mean of its templates' vectors (arXiv 2103.00020, 3.1.4).

    Raises:
        AssayError: two classes are the same to the model, as texts are whose difference lies behind the cut.
    """
    said = [template.replace("{}", name) for name in benchmark.classes for template in benchmark.templates]
    if cut := dual.words.told_cut(said, "texts of classes"):
        say(f"Note: {cut}.")
    fed: dict[Any, str] = {}
    ids = dual.words.encode(said)["input_ids"].reshape(len(benchmark.classes), -1).tolist()
    for name, own in zip(benchmark.classes, ids, strict=True):
        if (other := fed.setdefault(tuple(own), name)) != name:
            raise AssayError(
                f"The classes “{other}” and “{name}” are the same {dual.words.length} tokens or fewer to {dual.name}, "
                "and cannot be told apart; shorten the templates, or name the classes by words that it knows."
            )
    vectors = encode_texts(dual, said).numpy().reshape(len(benchmark.classes), len(benchmark.templates), -1).mean(1)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def zero_shot(dual: Dual, vectors: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Logits [n, classes]: cosine similarities by the model's own temperature, whose softmax is its probabilities.

    Args:
        vectors, classes: [n, width] of images and [classes, width].
    """
    import torch

    with torch.inference_mode():
        cosines = torch.from_numpy(vectors @ classes.T).to(dual.device)
        return np.asarray(encoder(dual.model).temperature(cosines).cpu().numpy())


def judged(scores: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Figures:
    """Figures of logits [n, classes]."""
    right = scores.argmax(1) == labels
    parts = [_auroc(scores, labels, number) for number in range(len(names))]
    parts = parts[1:2] if len(names) == 2 else parts
    # Independent or not, the parts' errors together are at most their mean.
    area, low, high = (float(np.mean(some)) for some in zip(*parts, strict=True))
    return Figures(
        len(labels),
        float(right.mean()),
        interval(int(right.sum()), len(right)),
        area,
        (low, high),
        float(np.bincount(labels).max() / len(labels)),
        {name: float(right[labels == number].mean()) for number, name in enumerate(names)},
    )


def _auroc(scores: np.ndarray, labels: np.ndarray, number: int) -> tuple[float, float, float]:
    """Of a class against the others by its probability (softmax), with its 95% interval.

    By the logarithm of its odds, that is, which have the same order: probabilities near 1 would be equal by rounding.
    """
    one = scores[:, number].astype(float) - logsumexp(np.delete(scores, number, axis=1).astype(float), axis=1)
    yes = labels == number
    area = area_under_curve(one, yes)
    return area, *auroc_interval(area, int(yes.sum()), int((~yes).sum()))


def auroc_interval(area: float, n: int, m: int) -> tuple[float, float]:
    """The 95% interval of an area under the ROC curve of n and m images.

    All areas from which the found one is not further than 1.96 of their own standard errors (Newcombe 2006, Statistics
    in Medicine 25:559, method 5, on Hanley and McNeil's variance of 1982), as Wilson's interval is made of a share: it
    has a width where every pair is in order, too, where a bootstrap or the error at 1 itself would say 1 to 1.
    """
    mean = (n + m) / 2 - 1

    def far(one: float) -> bool:
        variance = one * (1 - one) * (1 + mean * (1 - one) / (2 - one) + mean * one / (1 + one)) / (n * m)
        return (area - one) ** 2 > _Z**2 * variance

    ends = []
    for outside in (0.0, 1.0):
        inside = area
        for _ in range(50):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if far(middle) else (middle, outside)
        ends.append(outside)
    return ends[0], ends[1]


@dataclass(frozen=True)
class Classified:
    """What `assay classify` found: without labels, and with them where there are any to learn from."""

    benchmark: Benchmark
    zero_shot: Figures
    probe: Figures | None
    curve: list[Curve]
    lora: list[Curve]
    fewest: int = 0
    """Labels of the class that has the fewest to learn from."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "benchmark": self.benchmark.name,
            "classes": list(self.benchmark.classes),
            "templates": list(self.benchmark.templates),
            "published": self.benchmark.published,
            "zero_shot": self.zero_shot.to_dict(),
            "linear_probe": self.probe.to_dict() if self.probe else None,
            "curve": [asdict(point) for point in self.curve],
            "curve_without": self._without(),
            "lora_curve": [asdict(point) for point in self.lora],
        }

    def table(self) -> list[str]:
        """The rows for people, with a head; those of LoRA stand last, and are no wider than the others."""
        names = ["", "images", "accuracy (95%)", "AUROC (95%)", "chance", "published"]
        rows = [("zero-shot", self.zero_shot)] + ([("linear probe, all labels", self.probe)] if self.probe else [])
        lines = [[name, *self._cells(one, name == "zero-shot")] for name, one in rows]
        for what, points in (("linear probe", self.curve), ("LoRA", self.lora)):
            for point in points:
                (low, high), name = point.interval, f"{what}, {point.labels} a class"
                accuracy = f"{point.accuracy:.3f} ({low:.3f} to {high:.3f})"
                lines.append([name, str(self.zero_shot.images), accuracy, "", "", ""])
        widths = [max(len(row[i]) for row in (names, *lines)) for i in range(len(names))]
        return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (names, *lines)]

    def __str__(self) -> str:
        told = [_few("classes", list(self.benchmark.classes)), _few("templates", list(self.benchmark.templates))]
        if without := self._without():
            told.append(
                f"none of {', '.join(map(str, without))} a class: as many labels again choose the probe's penalty and "
                f"when LoRA stops, and a class has {self.fewest} in all"
            )
        return "\n".join([*self.table(), *told])

    def _without(self) -> list[int]:
        """Numbers of labels a class that there are too few for."""
        known = {point.labels for point in self.curve}
        return [count for count in LABELS if count not in known] if self.probe else []

    def _cells(self, one: Figures, published: bool) -> list[str]:
        (low, high), (under, over) = one.accuracy_interval, one.auroc_interval
        known = self.benchmark.published if published else None
        return [
            str(one.images),
            f"{one.accuracy:.3f} ({low:.3f} to {high:.3f})",
            f"{one.auroc:.3f} ({under:.3f} to {over:.3f})",
            f"{one.chance:.3f}",
            f"{self.benchmark.metric} {known:.4f}" if known else "",
        ]


def _few(what: str, names: Sequence[str]) -> str:
    """Names with their number, the first ones of many."""
    return f"{len(names)} {what}: {'; '.join(names[:_SHOWN])}{'; ...' if len(names) > _SHOWN else ''}"


def classify(
    dual: Dual,
    test: Path,
    train: Path | None,
    benchmark: Benchmark,
    left: Left,
    lora: bool = False,
    soon: Callable[[Classified], None] = lambda part: None,
) -> Classified:
    """Zero-shot figures on `test`; and with `train`, a linear probe's, on all labels and on few.

    Args:
        lora: also a LoRA classifier's on few labels.
        soon: is given what there is before LoRA, and again with each of its points.

    Raises:
        AssayError: see `read_labelled` and `read_features`; or an image is in both.
    """
    from recipes.contrastive.probe import fit_best

    names = list(benchmark.classes)
    told = read_labelled(test, benchmark, left)
    teaching = read_labelled(train, benchmark, left, "train") if train else None
    if teaching:
        known = set(teaching.contents())
        shared = [one for one, has in zip(told.pictures, told.contents(), strict=True) if has and has in known]
        if shared:
            raise AssayError(
                f"{len(shared)} of the {len(told.pictures)} images of {test} are training and test data both (one is "
                f"{shared[0]}), and figures would be worth nothing; take them out of {train}."
            )
    vectors, labels, tested = read_features(dual, test, told, benchmark, left)
    classes = class_vectors(dual, benchmark)
    plain = judged(zero_shot(dual, vectors, classes), labels, names)
    if train is None or teaching is None:
        return Classified(benchmark, plain, None, [], [])
    learned, taught, taught_by = read_features(dual, train, teaching, benchmark, left)
    probe = fit_best(learned, taught, len(names))
    scores = vectors @ probe.weight + probe.bias
    made = curve(learned, taught, vectors, labels, len(names))
    fewest = int(np.bincount(taught, minlength=len(names)).min())
    found = Classified(benchmark, plain, judged(scores, labels, names), made, [], fewest)
    if lora:
        from recipes.contrastive.few import lora_curve

        soon(found)
        for one in lora_curve(dual, classes, taught_by, taught, tested, labels):
            found = replace(found, lora=[*found.lora, one])
            soon(found)
    return found
