"""A LoRA classifier of few labels: an image tower tuned together with the vectors of the classes, from zero-shot on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from recipes.contrastive.adapter import add_towers_adapter, still
from recipes.contrastive.config import TowersConfig
from recipes.contrastive.data import Left
from recipes.contrastive.embed import read_pixels
from recipes.contrastive.load import Dual, encoder
from recipes.contrastive.probe import Curve, draws, point

STEPS, CHECK = 60, 10  # steps of a classifier; after so many the labels beside choose whether to have stopped
BATCH, CHUNK = 32, 8  # images of a step; those that pass through the tower at a time
RATE = 1e-3
ADAPTER = TowersConfig(towers=("image",), r=8, alpha=16, temperature=False)

State = list[torch.Tensor]


class Classifier:
    """The image tower of a dual encoder with LoRA, and a vector for each class; its logits begin as zero-shot's.

    Args:
        dual: an adapter that it has is merged into it, which leaves its vectors as they are.
        classes: [classes, width], of length 1.
    """

    def __init__(self, dual: Dual, classes: np.ndarray):
        base = dual.model.merge_and_unload() if hasattr(dual.model, "merge_and_unload") else dual.model
        for parameter in base.parameters():
            parameter.requires_grad_(False)
        self.model = add_towers_adapter(base, ADAPTER, 0, dual.name)
        still(self.model)
        self.dual, self.preprocess = encoder(self.model), dual.preprocess
        self.classes = torch.nn.Parameter(torch.from_numpy(classes).to(dual.device))
        self.trained = [one for one in self.model.parameters() if one.requires_grad] + [self.classes]
        self.first = self.state()

    def state(self) -> State:
        """What training changes, as it is now."""
        return [one.detach().clone() for one in self.trained]

    def set(self, state: State) -> None:
        """Go back to a state."""
        with torch.no_grad():
            for one, value in zip(self.trained, state, strict=True):
                one.copy_(value)

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, classes] of uint8 pixels [n, height, width, 3]."""
        vectors = self.dual.encode_image(self.preprocess.normalise(pixels.to(self.classes.device)))
        logits: torch.Tensor = self.dual.temperature(vectors @ normalize(self.classes, dim=1).T)
        return logits

    def fit(self, pixels: torch.Tensor, labels: torch.Tensor, held: torch.Tensor, truth: torch.Tensor) -> State:
        """Train from the start on `pixels` [n, height, width, 3]; the state of least cross-entropy on `held`."""
        self.set(self.first)
        optimizer = torch.optim.AdamW(self.trained, RATE, weight_decay=0.0)
        rng = np.random.default_rng(0)
        best, least = self.first, self._loss(held, truth)
        for step in range(1, STEPS + 1):
            some = torch.from_numpy(rng.choice(len(pixels), min(BATCH, len(pixels)), replace=False))
            optimizer.zero_grad()
            for part in some.split(CHUNK):
                loss = cross_entropy(self.logits(pixels[part]).cpu(), labels[part], reduction="sum") / len(some)
                loss.backward()
            optimizer.step()
            if step % CHECK == 0 and (now := self._loss(held, truth)) < least:
                best, least = self.state(), now
        return best

    def _loss(self, pixels: torch.Tensor, labels: torch.Tensor) -> float:
        with torch.inference_mode():
            logits = torch.cat([self.logits(part).cpu() for part in pixels.split(CHUNK)])
        return float(cross_entropy(logits, labels))


def lora_curve(
    dual: Dual,
    classes: np.ndarray,
    pictures: Sequence[Any],
    labels: np.ndarray,
    test: Sequence[Any],
    truth: np.ndarray,
) -> Iterator[Curve]:
    """As `probe.curve`, on the same draws, with a LoRA classifier in the probe's place; each point as it is there.

    As many labels again choose when to stop. The test images are read once for the classifiers of a point.

    Args:
        classes: their vectors [classes, width]. pictures, test: readable ones, with labels [n] and truth [m].
    """
    from tqdm import tqdm

    classifier, every = Classifier(dual, classes), list(draws(labels, len(classes)))
    try:
        with tqdm(total=len(every), desc="LoRA", disable=None, leave=False) as bar:
            for count, some in groupby(every, key=lambda draw: draw[0]):
                made = list[State]()
                for _, taught, chosen in some:
                    both, split = np.concatenate([taught, chosen]), len(taught)
                    pixels, told = _read(dual, [pictures[one] for one in both]), torch.from_numpy(labels[both])
                    made.append(classifier.fit(pixels[:split], told[:split], pixels[split:], told[split:]))
                    bar.update()
                right = _right(classifier, made, test, truth)
                yield point(count, [number / len(truth) for number in right], len(truth))
    finally:
        classifier.model.unload()


def _read(dual: Dual, pictures: Sequence[Any]) -> torch.Tensor:
    return torch.from_numpy(np.stack([pixels for _, pixels in read_pixels(pictures, dual.preprocess, Left())]))


def _right(classifier: Classifier, states: Sequence[State], test: Sequence[Any], truth: np.ndarray) -> list[int]:
    """How many of the test images each state tells right."""
    right = [0] * len(states)
    pixels = read_pixels(test, classifier.preprocess, Left())
    while some := list(islice(pixels, BATCH)):
        labels = torch.from_numpy(truth[[number for number, _ in some]])
        stacked = torch.from_numpy(np.stack([one for _, one in some]))
        for number, state in enumerate(states):
            classifier.set(state)
            with torch.inference_mode():
                right[number] += int((classifier.logits(stacked).cpu().argmax(1) == labels).sum())
    return right
