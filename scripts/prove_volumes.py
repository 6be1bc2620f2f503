"""Prove that slices and patches are looked at: a tiny model learns which finding a volume or a slide has, and where.

    .venv/bin/python scripts/prove_volumes.py volume [--steps 1500] [--json FILE]     # `slide` the same of patches

A Gemma 3 with eyes of half a million weights starts from random ones. Volumes are CTs of 24 slices of noisy tissue,
shown by the protocol (three windows, a label behind each slice), of which one has a planted finding: a calcification,
air, or a bleed. Slides are 24 patches of pink tissue, one with a dark, a yellow or a green spot. Two questions are
branches of each: which finding, and where ("SLICE 17"); read, encoded, answered and graded as rows are. It learns
on short stretches of long volumes first (`STAGES`), which cost less and teach the same. Then it answers
on volumes it has never seen, and on the same questions with another volume's slices, where it must fail.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from prove_card import judged, learn, small_model

SIDE, PATCH, RADIUS = 16, 8, 4
# Shares of a long volume's slices that are shown, one after the other.
STAGES, LONG = (1 / 3, 2 / 3, 1), 12
# Hounsfield units in tissue of 30; colours in pink tissue.
FINDINGS = {
    "volume": {"calcification": 600, "air": -900, "bleed": 75},
    "slide": {"dark": (60, 20, 90), "yellow": (230, 220, 60), "green": (60, 170, 80)},
}
NAMES = {"volume": "SLICE", "slide": "PATCH"}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/prove_volumes.py", description="Prove that slices are looked at.")
    parser.add_argument("what", choices=list(FINDINGS))
    parser.add_argument("--steps", type=int, default=1500, help="of 16 volumes each")
    parser.add_argument("--volumes", type=int, default=600, help="to train on; a sixth as many to judge by")
    parser.add_argument("--slices", type=int, default=24, help="an even number")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    from extraction.files import write_whole

    figures = prove(arguments.what, arguments.steps, arguments.volumes, arguments.slices)
    for name, value in figures.items():
        print(f"{name:28} {value:.3f}")
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def prove(what: str, steps: int, count: int, slices: int) -> dict[str, float]:
    """The shares of right answers on volumes that were never trained on, by question, and with slices swapped."""
    from extraction.generate import LocalBackend
    from finetune.config import DataConfig
    from finetune.encode import Collator, encode_all
    from finetune.features import keep_pixels
    from recipes.card.base import contract

    told = contract(prompt=4096, answer=16)
    torch.manual_seed(0)
    model, tokenizer = small_model(SIDE, PATCH)
    backend = LocalBackend(model, tokenizer)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = DataConfig(train=folder, validation=folder, max_length=8192)
        stages = []
        for number, share in enumerate(STAGES if slices > LONG else (1,)):
            part = folder / str(number)
            train = planted(part, what, count, slices, number, max(2, round(share * slices)))
            rows = list(encode_all(train, told, backend.family, settings, 0))
            stages.append(keep_pixels(rows, backend.family, part))
        learn(model, Collator(backend.family, in_row=True), stages, steps)
        test = planted(folder / "test", what, 6 * max(1, count // 36), slices, len(STAGES), slices)
        contexts = [example.context for example in test]
        right = judged(test, contexts, backend, told)
        swapped = judged(test, contexts[1:] + contexts[:1], backend, told)
    return {**right, **{f"{name}, swapped": value for name, value in swapped.items()}}


def planted(folder: Path, what: str, count: int, slices: int, seed: int, shown: int) -> list[Any]:
    """Volumes or slides, one finding in each, with two questions; of each a stretch of `shown` slices around it."""
    from extraction.example import Branch, Context, Example, ImagePart
    from recipes.card.examples import Asked, answer
    from recipes.card.items import Item, Reading
    from recipes.card.rows import Figure, Prompt, Row

    folder.mkdir()
    rng, order = np.random.default_rng(seed), random.Random(seed)
    options = dict(zip("ABC", FINDINGS[what], strict=True))
    rows = {
        name: Row(name=name, title=name, recipe=what, grader=grader, figures=(Figure(name=name, score=score),),
                  prompt=Prompt(ask=f"{name}?", answer="{answer}"))
        for name, grader, score in (("finding", "choice", "right"), ("where", "short", "exact"))
    }  # fmt: skip
    made: list[Any] = []
    for number in range(count):
        # Neighbours have different findings on different slices, so that a swapped one is wrong in both.
        letter, at = "ABC"[number % 3], order.randrange(slices // 2) * 2 + number % 2
        first = order.randint(max(0, at - shown + 1), min(at, slices - shown))
        parts: list[Any] = []
        for place, image in enumerate(drawn(what, shown, at - first, options[letter], rng), first):
            file = folder / f"{number}-{place}.png"
            Image.fromarray(image).save(file, compress_level=1)
            parts += [ImagePart.made(file), f"{NAMES[what]} {place + 1}"]
        golds = {"finding": letter, "where": f"{NAMES[what]} {at + 1}"}
        branches = []
        for name, gold in golds.items():
            item = Item(f"{number}{name}", name, gold, options if name == "finding" else {})
            words = {"answer": answer(item, rows[name])}
            branches.append(Branch((rows[name].prompt.ask,), gold=words, source=Asked(item, rows[name], Reading())))
        made.append(Example(Context(str(number), tuple(parts)), tuple(branches)))
    return made


def drawn(what: str, slices: int, at: int, finding: str, rng: np.random.Generator) -> list[np.ndarray]:
    """The slices as they are shown, the finding in one of them, anywhere."""
    from extraction.volume import window

    noise = rng.normal(0, 6, (slices, SIDE, SIDE))
    y, x = rng.integers(RADIUS, SIDE - RADIUS, 2)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    spot = (rows - y) ** 2 + (columns - x) ** 2 <= RADIUS**2
    if what == "volume":
        values = 30 + noise
        values[at][spot] = FINDINGS[what][finding] + noise[at][spot]
        return [window(one) for one in values]
    pictures = np.array((225, 150, 200)) + noise[..., None]
    pictures[at][spot] = np.array(FINDINGS[what][finding]) + noise[at][spot][:, None]
    return list(pictures.clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
