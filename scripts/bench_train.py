"""Training on lab reports on a CPU: the public MedGemma notebook's settings, TRL's defaults, and the project's trainer,
with what each of its parts contributes.

    .venv/bin/python scripts/bench_train.py [--model MODEL] [--steps 4] [--batch 4] [--ways WAY ...] [--json FILE]

Every way trains the same windows of synthetic reports, of mixed lengths: forward, backward and AdamW, after a pass over
one example that warms up. From TRL's defaults on each way adds a part to the one before:

- notebook: 4-bit weights, eager attention, checkpointing, prompts in the loss, embeddings and head trained whole, and
  one optimiser step for all batches. Its loss is of other weights.
- TRL: its SFTTrainer's defaults (padded batches in the order drawn, bfloat16) on the answers alone.
- precision: as `train.dtype=auto` chooses it for this processor.
- order: windows of similar length share a batch.
- head: the output layer over the words of the data and a sample of the others.
- rows: no padding, and attention over what the masks leave open.
- allocator: memory that is given back (libtcmalloc_minimal, where it is installed).
- checkpointing: layers are computed again instead of kept (`train.activation_checkpointing`; slower, off by default).

Printed are tokens (padding left out) a second, of the clock and of the processor's time, the most memory of the
process, and the largest difference of a batch's loss, by the whole output layer before its step, from TRL's trainer on
the same batches in the same precision. Threads are as many as OMP_NUM_THREADS says, else all. Each way runs in a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from ctypes.util import find_library
from pathlib import Path
from typing import Any

from bench_gpu import notebook_settings
from bench_shared_context import ROOT, apart

PARTS = ("precision", "order", "head", "rows", "allocator", "checkpointing")
WAYS: dict[str, tuple[str, ...]] = {
    "notebook": (),
    "TRL": (),
    **{f"+ {part}": PARTS[: number + 1] for number, part in enumerate(PARTS)},
}
"""The parts of the project that each way has; with the allocator it is the project's trainer whole."""
# Whose losses each way's are compared with: the same weights, batches and precision.
SAME = dict.fromkeys(("+ head", "+ rows", "+ allocator", "+ checkpointing"), "+ order")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/bench_train.py", description="A step of training on a CPU.")
    parser.add_argument("--model", default="gemma-3-270m", help="what is trained")
    parser.add_argument("--steps", type=int, default=4, help="batches that are timed")
    parser.add_argument("--batch", type=int, default=4, help="windows of a batch")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="which are measured")
    parser.add_argument("--json", type=Path, help="also write the figures here, after each way")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the processes that measure, too
    run_command(lambda: run(arguments.model, arguments.steps, arguments.batch, arguments.ways, arguments.json))


def run(model: str, steps: int, batch: int, ways: list[str], out: Path | None) -> None:
    """Measure, print, and write the figures where a file is named."""
    from extraction.files import write_whole

    rows: dict[str, dict[str, Any]] = {}
    for way in ways:
        print(way, file=sys.stderr, flush=True)
        # Loaded before a process begins, and so by one of this name alone.
        allocator = find_library("tcmalloc_minimal") if "allocator" in WAYS[way] else None
        os.environ.update({"LD_PRELOAD": allocator} if allocator else {})
        rows[way] = apart(train, way, model, steps, batch)
        os.environ.pop("LD_PRELOAD", None)
        if out:
            write_whole(out, json.dumps(rows, indent=1) + "\n")
    base = {name: rows.get(name, {}) for name in ("notebook", "TRL")}
    print("way          tokens/s  a CPU second  x notebook  x TRL  peak GB  x notebook  loss difference")
    for way, row in rows.items():
        speed = [row["tokens/s"] / other["tokens/s"] if other else float("nan") for other in base.values()]
        memory = row["GB"] / base["notebook"]["GB"] if base["notebook"] else float("nan")
        same = rows.get(SAME.get(way, ""))
        apart_by = max(abs(a - b) for a, b in zip(row["losses"], same["losses"], strict=True)) if same else None
        print(
            f"{way:<12} {row['tokens/s']:8.1f}  {row['tokens/CPU s']:12.1f}  {speed[0]:10.2f}  {speed[1]:5.2f}  "
            f"{row['GB']:7.2f}  {memory:10.2f}  {'' if apart_by is None else f'{apart_by:.5f}'}"
        )


def train(way: str, model: str, steps: int, size: int) -> dict[str, Any]:
    """Seconds of the steps over all batches, and each batch's loss by the whole output layer before its step."""
    import torch

    trainer, examples = trainer_of(way, model, steps, size)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", cores)))
    trainer.model.train()
    optimizer = torch.optim.AdamW([p for p in trainer.model.parameters() if p.requires_grad], lr=2e-4)
    starts = range(0, len(examples), size)
    batches = [trainer.data_collator([dict(one) for one in examples[start : start + size]]) for start in starts]
    shortest = min(examples, key=lambda one: len(one["input_ids"]))
    warm = trainer.data_collator([dict(shortest)])
    with trainer.accelerator.autocast():
        trainer.compute_loss(trainer.model, warm).backward()
    optimizer.zero_grad()
    losses, wall, spent = [], 0.0, 0.0
    for number, batch in enumerate(batches, 1):
        losses.append(whole_loss(trainer, batch))
        start, cpu = time.perf_counter(), time.process_time()
        with trainer.accelerator.autocast():
            loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
        if way != "notebook" or number == len(batches):
            optimizer.step()
            optimizer.zero_grad()
        wall, spent = wall + time.perf_counter() - start, spent + time.process_time() - cpu
    tokens = sum(len(one["input_ids"]) for one in examples)
    return {
        "tokens": tokens,
        "tokens/s": tokens / wall,
        "tokens/CPU s": tokens / spent,
        "losses": losses,
        "threads": torch.get_num_threads(),
    }


def whole_loss(trainer: Any, batch: dict[str, Any]) -> float:
    """Mean negative log-likelihood of a batch's trained tokens, by the whole output layer, a few tokens at a time: what
    is measured must not hold more than the step.
    """
    import torch

    base = trainer.model.get_base_model()
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    with torch.no_grad(), trainer.accelerator.autocast():
        hidden = base.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        trained = batch["labels"][:, 1:] != -100
        places, wanted = hidden[trained].split(32), batch["labels"][:, 1:][trained].split(32)
        summed = [
            torch.nn.functional.cross_entropy(base.lm_head(some).float(), words, reduction="sum")
            for some, words in zip(places, wanted, strict=True)
        ]
    return float(sum(summed)) / int(trained.sum())


def trainer_of(way: str, model: str, steps: int, size: int) -> tuple[Any, list[dict[str, Any]]]:
    """A trainer, with its examples in the order of training: windows of synthetic reports, the same for all ways."""
    import random

    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from extraction.generate.models import load_family
    from finetune.adapter import base_dtype, load_trainable
    from finetune.config import SyntheticConfig, load_config
    from finetune.data import read_documents
    from finetune.encode import Collator, encode_all, training_order
    from finetune.run import RunFolder
    from finetune.train import build_trainer
    from recipes.lab_report.task import CONTRACT, TASK

    folder, parts = Path(tempfile.mkdtemp(prefix="assay-bench-")), WAYS[way]
    config = load_config(
        ROOT / "recipes" / "lab_report" / "release_first.yaml",
        [
            f"model={model}",
            f"train.output={folder / 'run'}",
            f"train.activation_checkpointing={'checkpointing' in parts}",
        ],
    )
    family = load_family(config.model)
    TASK.synthesize(folder / "reports", "train", SyntheticConfig(count=2 * steps, seed=5))
    made = list(encode_all(read_documents(folder / "reports", CONTRACT), CONTRACT, family, config.data, seed=0))
    random.Random(0).shuffle(made)
    made = made[: size * steps]
    if "order" in parts:
        made = [made[index] for index in training_order([len(one["input_ids"]) for one in made], 1, size, 0)]
    if way == "notebook":
        return notebook(model, made, folder, size), made
    if "head" in parts:
        trainer = build_trainer(config, RunFolder(folder / "run"), family, made, lambda _: {}, "micro_f1")
        if "rows" not in parts:
            trainer.data_collator = Collator(family)
            trainer.model.set_attn_implementation("sdpa")
        if "checkpointing" in parts:  # which a trainer turns on where its training begins
            trainer.model.get_base_model().activation_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
        return trainer, made
    settings = SFTConfig(
        output_dir=str(folder / "run"),
        max_length=None,
        gradient_checkpointing=False,  # as in the project's recipe
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=True,
        report_to="none",
        **({"bf16": base_dtype(config.train) != "float32"} if "precision" in parts else {}),
    )
    rival = SFTTrainer(
        model=load_trainable(config),
        args=settings,
        processing_class=family.tokenizer,
        train_dataset=Dataset.from_list(made),
    )
    return rival, made


def notebook(model: str, examples: list[dict[str, Any]], folder: Path, size: int) -> Any:
    """TRL's trainer with the settings of the public MedGemma notebook, in the bfloat16 that it is written for."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    from extraction.generate.hub import resolve_model
    from extraction.generate.models import load_tokenizer

    quantization, settings, lora = notebook_settings(torch.bfloat16, size)
    base = AutoModelForCausalLM.from_pretrained(
        resolve_model(model),
        dtype=torch.bfloat16,
        attn_implementation="eager",
        quantization_config=quantization,
        trust_remote_code=False,
    )
    trainer = SFTTrainer(
        model=base,
        args=SFTConfig(output_dir=str(folder / "run"), bf16=True, use_cpu=True, **settings),
        train_dataset=Dataset.from_list([{**one, "labels": one["input_ids"]} for one in examples]),
        peft_config=lora,
        processing_class=load_tokenizer(model),
    )
    # Which a trainer turns on where its training begins.
    trainer.model.get_base_model().gradient_checkpointing_enable({"use_reentrant": False})
    trainer.model.enable_input_require_grads()
    return trainer


if __name__ == "__main__":
    main()
