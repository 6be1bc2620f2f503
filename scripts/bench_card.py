"""One image encoded once for all that is asked of it, beside separate examples: tokens, images, passes, seconds.

    .venv/bin/python scripts/bench_card.py [--questions 1 4 11 18] [--side 224] [--patch 14] [--json FILE]

A small random Gemma 3 with eyes (`prove_card.small_model`), whose tokens are bytes. Training: forward and backward of
all weights over one image with its questions as branches, and over as many examples of one question; their summed
losses are compared. Serving: the likelihood of yes and no for each question, together and question by question, and
compared.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from prove_card import small_model

CONDITIONS = (
    "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax Consolidation Edema".split()
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_card.py", description="The cost of questions on an image.")
    parser.add_argument("--questions", type=int, nargs="+", default=[1, 4, 11, 18], help="on one image")
    parser.add_argument("--side", type=int, default=224, help="pixels of the vision tower's square")
    parser.add_argument("--patch", type=int, default=14, help="pixels of a patch, each a token")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    from extraction.files import write_whole
    from extraction.generate import LocalBackend

    model, tokenizer = small_model(arguments.side, arguments.patch)
    backend = LocalBackend(model, tokenizer)
    rows = []
    names = (
        "questions",
        "tokens",
        "apart",
        "ratio",
        "images",
        "train s",
        "apart s",
        "ratio s",
        "loss diff",
        "serve s",
        "one by one s",
        "score diff",
    )
    print("  ".join(f"{name:>12}" for name in names))
    with tempfile.TemporaryDirectory() as folder:
        Image.effect_noise((320, 280), 60).convert("RGB").save(Path(folder) / "chest.png")
        for count in arguments.questions:
            rows.append(dict(zip(names, measured(Path(folder), count, backend), strict=True)))
            print("  ".join(f"{value:12.4g}" for value in rows[-1].values()), flush=True)
    if arguments.json:
        write_whole(arguments.json, json.dumps(rows, indent=1) + "\n")


def measured(folder: Path, count: int, backend: Any) -> list[float]:
    """The figures for so many questions on one image."""
    from extraction.example import Branch, Context, Example, ImagePart
    from finetune.config import DataConfig
    from finetune.encode import encode_all
    from finetune.features import keep_pixels
    from recipes.card.base import contract

    told = contract(prompt=4096, answer=32)
    asked = [f"Is there {CONDITIONS[n % 10].lower()} {n}? Final Answer: yes or no." for n in range(count)]
    context = Context("chest", (ImagePart.of(folder / "chest.png", square=True),))
    branches = tuple(
        Branch((words,), gold={"answer": f"Final Answer: {('yes', 'no')[n % 2]}"}) for n, words in enumerate(asked)
    )
    settings = DataConfig(train=folder, validation=folder, max_length=1 << 16)
    examples = [Example(context, branches)], [Example(context, (branch,)) for branch in branches]
    kept = [
        keep_pixels(list(encode_all(e, told, backend.family, settings, 0)), backend.family, folder) for e in examples
    ]
    tokens = [sum(len(row["input_ids"]) for row in rows) for rows in kept]
    (loss, seconds), (apart, apart_seconds) = (train_on(rows, backend) for rows in kept)
    both = tuple(Branch(b.parts, gold={"answer": f"Final Answer: {said}"}) for b in branches for said in ("yes", "no"))
    start = time.perf_counter()
    scores = backend.log_likelihoods(Example(context, both), told)
    middle = time.perf_counter()
    alone = [s for n in range(count) for s in backend.log_likelihoods(Example(context, both[2 * n : 2 * n + 2]), told)]
    end = time.perf_counter()
    images = sum(len(row["files"]) for row in kept[1]) / sum(len(row["files"]) for row in kept[0])
    difference = max(abs(one - other) for one, other in zip(scores, alone, strict=True))
    return [
        count, tokens[0], tokens[1], tokens[1] / tokens[0], images, seconds, apart_seconds, apart_seconds / seconds,
        abs(loss - apart) / abs(apart), middle - start, end - middle, difference,
    ]  # fmt: skip


def train_on(rows: list[dict[str, Any]], backend: Any) -> tuple[float, float]:
    """The summed loss of rows, one a batch, and the seconds of forward and backward."""
    from extraction.generate.spans import NAME
    from finetune.encode import IGNORED, Collator

    model, collate = backend.model, Collator(backend.family, in_row=True)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    model.train()
    total, start = 0.0, time.perf_counter()
    for row in rows:
        batch = collate([row])
        labels = batch.pop("labels")
        logits = model(**batch).logits[0, :-1].float()
        wanted = labels[0, 1:]
        loss = torch.nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
        loss.backward()
        total += float(loss.detach())
    seconds = time.perf_counter() - start
    model.zero_grad()
    model.eval()
    model.set_attn_implementation(before)
    return total, seconds


if __name__ == "__main__":
    main()
