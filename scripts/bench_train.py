"""A step of training on lab reports on a CPU: TRL's trainer as it is beside the project's, on the same batches.

    .venv/bin/python scripts/bench_train.py [--model MODEL] [--steps 12] [--batch 4] [--json FILE]

Forward and backward passes of a model with a fresh adapter over batches of windows, without the
optimiser's step, each trainer under the precision it chooses. Losses are compared by the whole output layer. Every way
runs in a process of its own, whose peak memory is printed; the first step warms up and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_shared_context import ROOT, apart


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/bench_train.py", description="A step of training on a CPU.")
    parser.add_argument("--model", default="gemma-3-270m", help="what is trained")
    parser.add_argument("--steps", type=int, default=12, help="batches that are timed")
    parser.add_argument("--batch", type=int, default=4, help="windows of a batch")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the processes that measure, too
    run_command(lambda: run(arguments.model, arguments.steps, arguments.batch, arguments.json))


def run(model: str, steps: int, batch: int, out: Path | None) -> None:
    """Measure, print, and write the figures where a file is named."""
    from extraction.files import write_whole

    rows = {way: apart(train, way, model, steps, batch) for way in ("TRL", "Assay")}
    slowest = rows["TRL"]["median s"]
    print("way    s a step  times less  tokens a step  peak GB  largest loss difference")
    for way, row in rows.items():
        difference = max(abs(a - b) for a, b in zip(row["losses"], rows["TRL"]["losses"], strict=True))
        print(
            f"{way:<6} {row['median s']:8.2f}  {slowest / row['median s']:10.2f}  {row['tokens'] / steps:13.0f}  "
            f"{row['GB']:7.1f}  {difference:.4f}"
        )
    if out:
        write_whole(out, json.dumps(rows, indent=1) + "\n")


def train(way: str, model: str, steps: int, size: int) -> dict[str, Any]:
    """Median seconds of a forward and a backward pass over a batch, and each batch's loss by the whole output layer."""
    import statistics

    import torch

    trainer, examples = trainer_of(way, model, steps, size)
    trainer.model.train()
    batches = [
        trainer.data_collator([dict(one) for one in examples[start : start + size]])
        for start in range(0, len(examples), size)
    ]
    seconds = []
    for batch in [batches[0], *batches]:
        start = time.perf_counter()
        with trainer.accelerator.autocast():
            loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
        seconds.append(time.perf_counter() - start)
    base, losses = trainer.model.get_base_model(), []
    for batch in batches:
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        with torch.no_grad(), trainer.accelerator.autocast():
            hidden = base.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
            trained = batch["labels"][:, 1:] != -100
            logits = base.lm_head(hidden[trained]).float()
        losses.append(float(torch.nn.functional.cross_entropy(logits, batch["labels"][:, 1:][trained])))
    return {
        "median s": statistics.median(seconds[1:]),
        "tokens": sum(len(one["input_ids"]) for one in examples),
        "losses": losses,
        "threads": torch.get_num_threads(),
    }


def trainer_of(way: str, model: str, steps: int, size: int) -> tuple[Any, list[dict[str, Any]]]:
    """A trainer as a run builds it, with its examples: windows of synthetic reports in the order of training."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from extraction.generate.models import load_family
    from finetune.adapter import load_trainable
    from finetune.config import SyntheticConfig, load_config
    from finetune.data import read_documents
    from finetune.encode import encode_all, training_order
    from finetune.run import RunFolder
    from finetune.train import build_trainer
    from recipes.lab_report.task import CONTRACT, TASK

    folder = Path(tempfile.mkdtemp(prefix="assay-bench-"))
    config = load_config(
        ROOT / "recipes" / "lab_report" / "release_first.yaml", [f"model={model}", f"train.output={folder / 'run'}"]
    )
    family = load_family(config.model)
    TASK.synthesize(folder / "reports", "train", SyntheticConfig(count=2 * steps, seed=5))
    made = list(encode_all(read_documents(folder / "reports", CONTRACT), CONTRACT, family, config.data, seed=0))
    order = training_order([len(one["input_ids"]) for one in made], 1, size, 0)[: size * steps]
    examples = [made[index] for index in order]
    if way == "Assay":
        trainer = build_trainer(config, RunFolder(folder / "run"), family, examples, lambda _: {}, "micro_f1")
        return trainer, examples
    settings = SFTConfig(
        output_dir=str(folder / "run"),
        max_length=None,
        per_device_train_batch_size=size,
        gradient_checkpointing=False,  # as in the project's recipe
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=True,
        report_to="none",
    )
    rival = SFTTrainer(
        model=load_trainable(config),
        args=settings,
        processing_class=family.tokenizer,
        train_dataset=Dataset.from_list(examples),
    )
    return rival, examples


if __name__ == "__main__":
    main()
