"""Prove that dual encoders learn here: two small towers learn figures with captions from random weights.

    .venv/bin/python scripts/prove_contrastive.py [--steps 700] [--out FOLDER] [--json FILE]

Shape, colour, place and number of drawn figures are told in words; a sixth of all combinations is never trained on, and
is to be found among each other. Then the same drawings come from another apparatus (dim, blurred, on a light ground,
its colours turned): LoRA on both towers of the now frozen pair, trained as `assay train` does, and a linear probe for
the shapes are put side by side, and with few labels a linear probe and a LoRA classifier (`assay classify --lora`).
`--out` keeps the model and the data.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH, CHUNK, RATE = 192, 192, 1e-3
TUNING = 240  # drawings of the shifted domain to tune on


def main() -> None:
    """Read the command line, prove, print."""
    parser = argparse.ArgumentParser(prog="scripts/prove_contrastive.py", description="Prove that dual encoders learn.")
    parser.add_argument("--steps", type=int, default=700, help=f"of training, {BATCH} figures each")
    parser.add_argument("--tuning", type=int, default=60, help="steps of LoRA on the shifted domain")
    parser.add_argument("--batch", type=int, default=BATCH, help="figures of a step")
    parser.add_argument("--count", type=int, default=240, help="figures to find at the end")
    parser.add_argument("--out", type=Path, help="keep the model and the data in this folder")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Prove, print, and write the figures where a file is named."""
    from extraction.files import write_whole

    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        folder = arguments.out or Path(scratch)
        figures = prove(folder, arguments.steps, arguments.tuning, arguments.count, arguments.batch)
    for name, value in figures.items():
        print(f"{name:52} {value}")
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def prove(folder: Path, steps: int, tuning: int, count: int, batch: int = BATCH) -> dict[str, Any]:
    """Train, tune, probe in a folder; what was reached."""
    from recipes.contrastive.synthetic import combinations, write_figures, write_model

    folder.mkdir(parents=True, exist_ok=True)
    seen, unseen = combinations()
    new = write_figures(folder / "unseen", unseen, count, seed=2)
    for name, figures, size, seed in (
        ("tune", seen, TUNING, 3),
        ("tune_check", seen, 60, 4),
        ("shifted", unseen, count, 5),
    ):
        write_figures(folder / name, figures, size, seed, shifted=True)
    for name, size, seed in (("shapes_train", TUNING, 6), ("shapes_test", count, 7)):
        write_figures(folder / name, seen if seed == 6 else unseen, size, seed, shifted=True, classes=True)
    model = write_model(folder / "model")
    start = time.perf_counter()
    figures = {"figures to tell apart": len(unseen), "recall@1 by chance": round(1 / len(unseen), 3)}
    figures |= told("before", model, new)
    pretrain(model, steps, batch)
    figures |= told("after", model, new) | {"seconds of training": round(time.perf_counter() - start)}
    figures |= told("shifted domain, frozen,", model, folder / "shifted" / "captions.csv")
    figures |= shapes("frozen", model, folder, lora=True)
    adapter = tune(folder, tuning)
    figures |= told("shifted domain, LoRA,", adapter, folder / "shifted" / "captions.csv")
    return figures | shapes("LoRA", adapter, folder) | {"seconds": round(time.perf_counter() - start)}


def told(when: str, model: Path, pairs: Path) -> dict[str, float]:
    """Recall at 1 and 5 on pairs that were never trained on."""
    from recipes.contrastive.evaluate import evaluate

    found = evaluate(str(model), pairs)
    return {f"{when} recall@{k} (mean of both ways)": round(found[f"recall@{k}"], 3) for k in (1, 5)}


def shapes(which: str, model: Path, folder: Path, lora: bool = False) -> dict[str, Any]:
    """Accuracy on the shapes of the shifted domain: told by captions, and by a linear probe.

    With `lora` also on few labels, with intervals: by a linear probe, and by a LoRA classifier.
    """
    from recipes.contrastive.benchmarks import benchmark_of
    from recipes.contrastive.classify import classify
    from recipes.contrastive.data import Left
    from recipes.contrastive.load import load

    test = folder / "shapes_test"
    benchmark = benchmark_of(None, test, ("one red {} at the top left", "one blue {} at the bottom right"))
    found = classify(load(str(model)), test, folder / "shapes_train", benchmark, Left(), lora)
    assert found.probe is not None
    few = {
        f"shifted shapes, {which}, {what}, {one.labels} a class": "{:.3f} ({:.3f} to {:.3f})".format(
            one.accuracy, *one.interval
        )
        for what, points in (("linear probe", found.curve), ("LoRA", found.lora))
        for one in points
        if lora
    }
    return {
        f"shifted shapes, {which}, zero-shot accuracy": round(found.zero_shot.accuracy, 3),
        f"shifted shapes, {which}, linear probe accuracy": round(found.probe.accuracy, 3),
        **few,
    }


def pretrain(folder: Path, steps: int, size: int) -> None:
    """Train all weights of the model in a folder from where they are, and write them back."""
    import numpy as np
    import torch
    from safetensors.torch import save_file
    from tqdm import tqdm
    from transformers import get_cosine_schedule_with_warmup

    from recipes.contrastive.cached import cached_backward
    from recipes.contrastive.layouts import published_state
    from recipes.contrastive.load import load
    from recipes.contrastive.losses import info_nce
    from recipes.contrastive.synthetic import combinations

    dual = load(str(folder), "cpu")
    model, rng = dual.model, random.Random(1)
    seen, _ = combinations()
    numbers = {figure.caption: number for number, figure in enumerate(seen)}
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = get_cosine_schedule_with_warmup(optimizer, min(60, steps // 4), steps)
    for _ in tqdm(range(steps), desc="learning figures", disable=None):
        figures = rng.sample(seen, min(size, len(seen)))
        pixels = torch.from_numpy(np.stack([dual.preprocess.pixels(one.draw(rng)) for one in figures]))
        fed = {"pixels": dual.preprocess.normalise(pixels), **dual.words.encode([one.caption for one in figures])}
        groups = torch.tensor([numbers[one.caption] for one in figures])
        chunks = [{key: value[at : at + CHUNK] for key, value in fed.items()} for at in range(0, len(figures), CHUNK)]
        optimizer.zero_grad()
        cached_backward(lambda one: model(**one), chunks, lambda a, b, g=groups: info_nce(a, b, model.temperature, g))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    save_file(published_state(model, "open_clip"), folder / "open_clip_model.safetensors", {"format": "pt"})


def tune(folder: Path, steps: int) -> Path:
    """LoRA on the shifted domain, as `assay train` does it; the adapter's folder."""
    from finetune.config import load_config
    from finetune.run import own_run

    values = {
        "recipe": "contrastive",
        "model": str(folder / "model"),
        "data": {"train": str(folder / "tune/captions.csv"), "validation": str(folder / "tune_check/captions.csv")},
        "adapter": {"r": 16, "alpha": 32, "layers": "all-linear"},
        "train": {
            "output": str(folder / "run"),
            "batch_size": 120,
            "max_steps": steps,
            "epochs": 1000,
            "learning_rate": 0.003,
            "checkpoint_steps": max(1, steps // 3),
            "dtype": "float32",
        },
        "chunk": 120,
    }
    (folder / "tune.json").write_text(json.dumps(values))
    run = own_run("contrastive")
    assert run is not None
    return run.train(load_config(folder / "tune.json"))


if __name__ == "__main__":
    main()
