"""Train an adapter: TRL's SFTTrainer, judged by what it reads from held-out documents."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example
from extraction.families import Family
from extraction.files import whole_folder, write_whole
from extraction.generate import LocalBackend
from extraction.generate.hub import quiet_libraries
from finetune.adapter import base_dtype, load_trainable, trains_towers
from finetune.config import BaseConfig, RunConfig, TrainConfig
from finetune.details import judged
from finetune.encode import collator_for, training_order, whole_batches
from finetune.features import keep_pixels
from finetune.memory import peak, told_when_full
from finetune.page import write_pages
from finetune.processes import on_all, on_main, say, world_size
from finetune.run import VERSIONS, RunFolder, processes_of, versions
from finetune.sets import batch_of, checked, read_data
from finetune.task import Task


def train(config: RunConfig) -> Path:
    """Run, or go on with, the training that `config` describes.

    Returns:
        The folder of the finished adapter: the checkpoint that read the held-out documents best, with its
        contract and versions beside it.

    Raises:
        AssayError: wrong data, model, or output folder; nothing is half-written.
    """
    quiet_libraries()
    task, contract, family = on_all(lambda: checked(config))

    def work(folder: RunFolder, checkpoint: Path | None) -> None:
        # Read once, however many processes there are; and held-out data are the main one's alone.
        rows, held_out, learned = on_main(
            lambda: read_data(config, task, contract, family), others=lambda made: (made[0], list[Example](), made[2])
        )

        trainer = run_trainer(config, folder, (task, contract, family), rows, held_out, checkpoint)

        keep_with_pages(trainer, config, folder, contract, learned)

    return in_folder(config, work)


def run_trainer(
    config: RunConfig,
    folder: RunFolder,
    made: tuple[Task, Contract, Family],
    rows: Sequence[dict[str, Any]],
    held_out: Sequence[Example],
    checkpoint: Path | None = None,
    order: Sequence[int] | None = None,
    watch: Any = None,
) -> Any:
    """Train, from a checkpoint where there is one; what the checkpoints answer is kept in the run's folder.

    Args:
        made: what `checked` returns.
        rows, held_out: what `read_data` returns.
        order: see `build_trainer`.
        watch: a callback of transformers' Trainer that is told of steps, evaluations and checkpoints.

    Returns:
        The trainer, at its end.
    """
    task, contract, family = made

    def judge(model: Any) -> dict[str, float]:
        backend = LocalBackend(model, family.tokenizer, rows=config.evaluate.rows)
        return judged(Extractor(backend, contract), task, held_out, folder, trainer.state.global_step)

    from finetune.trainer import Report

    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        # datasets keeps its fingerprints in a cache; the user's documents must not stay there.
        os.environ.setdefault("HF_DATASETS_CACHE", scratch)
        if any("images" in row for row in rows):
            say("Drawing the pages that are trained on")
            rows = keep_pixels(rows, family, Path(scratch))
        trainer = build_trainer(config, folder, family, rows, judge, task.metric, order)
        begins = config.evaluate.before and checkpoint is None
        trainer.args.eval_on_start = begins and trainer.args.eval_strategy != "no"  # weights that are shared out
        trainer.add_callback(Report(folder, config))
        if watch:
            trainer.add_callback(watch)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer


def in_folder(config: BaseConfig, work: Callable[[RunFolder, Path | None], None]) -> Path:
    """Open a run's folder, or go on in it, and train there; what is finished is not trained again.

    Args:
        work: the training, told its folder and the checkpoint to go on from, if there is one; it leaves the adapter.

    Returns:
        The folder of the adapter.

    Raises:
        AssayError: the folder is another run's; memory does not hold a step; or what `work` raises. A start that fails
            before it has trained leaves no folder behind.
    """
    folder = RunFolder(config.train.output)
    on_main(lambda: folder.open(config))
    if on_main(lambda: (folder.adapter / VERSIONS).exists()):
        say(f"{folder.path} is finished; its adapter is in {folder.adapter}.")
        return folder.adapter
    checkpoint = on_main(lambda: go_on(folder))
    try:
        with told_when_full():
            work(folder, checkpoint)
    except AssayError:
        folder.forget()
        raise
    return folder.adapter


def go_on(folder: RunFolder) -> Path | None:
    """The checkpoint that a run goes on from; metrics of later steps are dropped."""
    checkpoint = folder.last_checkpoint()
    if checkpoint is None:
        folder.keep_metrics_until(-1)
        return None
    before = processes_of(checkpoint)
    if before != world_size():
        raise AssayError(
            f"{checkpoint} was trained by {before} process(es), and now there are {world_size()}, which share the "
            "examples in another way; start as many as before, or choose another train.output."
        )
    say(f"Going on from {checkpoint.name}")
    folder.keep_metrics_until(int(checkpoint.name.rpartition("-")[2]))
    return checkpoint


def build_trainer(
    config: RunConfig,
    folder: RunFolder,
    family: Family,
    rows: Sequence[dict[str, Any]],
    judge: Callable[[Any], dict[str, float]],
    metric: str,
    order: Sequence[int] | None = None,
) -> Any:
    """The trainer for a configuration, ready to run.

    Args:
        rows: of `encode`, their `images` replaced by `files`.
        judge: figures of a model in memory on held-out data.
        metric: the one by which the best checkpoint is chosen.
        order: places of the rows as they are trained, whole batches; the run's own where none is given.
    """
    from datasets import Dataset

    from finetune.trainer import FieldTrainer

    settings = config.train
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    global_batch = batch_of(settings)
    if order is None:
        order = training_order(
            [len(row["input_ids"]) for row in rows], math.ceil(settings.epochs), global_batch, settings.seed
        )
        order = whole_batches(order[: max(1, round(len(rows) * settings.epochs))], global_batch)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    # Arrow takes the columns of the first row for those of all.
    dataset = Dataset.from_list([{key: rows[index].get(key) for key in keys} for index in order])
    arguments = training_arguments(settings, folder, metric)
    model = on_all(lambda: load_trainable(config))
    # A batch without images leaves adapters on the vision tower without gradients, which DDP would wait for.
    arguments.ddp_find_unused_parameters = trains_towers(model, family)
    # The loader reads a batch ahead of the last step.
    last = (settings.max_steps + 1) * global_batch if settings.max_steps > 0 else None
    seen = dict.fromkeys(order[:last])
    return FieldTrainer(
        model=model,
        args=arguments,
        processing_class=family.tokenizer,
        train_dataset=dataset,
        data_collator=collator_for(
            model, family, [rows[index] for index in seen], folder.features, bool(arguments.bf16)
        ),
        eval_dataset=dataset.select([0]),
        judge=judge,
        folder=folder,
    )


def training_arguments(settings: TrainConfig, folder: RunFolder, metric: str) -> Any:
    """A run's settings in the terms of TRL's SFTTrainer."""
    from trl import SFTConfig

    return SFTConfig(
        **common_arguments(settings, folder, metric),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="sequential",
        num_train_epochs=1,
        activation_offloading=settings.activation_offloading,
    )


def common_arguments(settings: TrainConfig, folder: RunFolder, metric: str) -> dict[str, Any]:
    """A run's settings in the terms that TRL's trainers share."""
    import torch

    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        # accelerate counts physical cores and gives a virtual machine of two but one thread.
        # What this process may use: a scheduler or `taskset` leaves fewer than the machine has.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    # On a CPU too: the adapter's own products in float32 are slow beside the base's in bfloat16.
    in_bfloat16 = base_dtype(settings) != "float32"
    # The run's precision holds, whatever a launch file says: Trainer would take that for float32 runs.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if in_bfloat16 else "no"
    if "wandb" in settings.report_to:
        os.environ.setdefault("WANDB_MODE", "offline")  # nothing leaves the machine unless somebody says so
    return {
        "remove_unused_columns": False,
        "output_dir": str(folder.checkpoints),
        "max_steps": settings.max_steps,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "use_cpu": not on_gpu,
        "bf16": in_bfloat16,
        "gradient_checkpointing": settings.activation_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "logging_steps": settings.log_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps",
        "eval_steps": settings.checkpoint_steps,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_steps,
        "save_total_limit": settings.keep_checkpoints + 1,
        "metric_for_best_model": f"eval_{metric}",
        "greater_is_better": True,
        "report_to": list(settings.report_to) or "none",
        "run_name": folder.path.name,
        "dataloader_pin_memory": on_gpu,
        "disable_tqdm": True,
    }


def keep_with_pages(trainer: Any, config: RunConfig, folder: RunFolder, contract: Contract, examples: str) -> None:
    """`keep_best` with the contract and the card beside; `examples` says of what was learned and judged."""

    def beside(made: Path, facts: dict[str, Any]) -> None:
        contract.save(made)
        write_pages(folder, config, contract, {**facts, "examples": examples}, made / "README.md")

    on_main(lambda: keep_best(trainer, config, folder, beside))


def keep_best(
    trainer: Any, config: BaseConfig, folder: RunFolder, beside: Callable[[Path, dict[str, Any]], None]
) -> None:
    """Put the best checkpoint's adapter, with its versions, into the run's `adapter` folder.

    Args:
        beside: writes what else belongs into that folder, given it and what `versions.json` says.
    """
    from extraction.generate.weights import fingerprint, sampled
    from finetune.trainer import spoken

    shutil.rmtree(folder.features, ignore_errors=True)
    best = trainer.state.best_model_checkpoint
    source = Path(best) if best and Path(best).is_dir() else folder.last_checkpoint()
    if source is None:
        raise AssayError("The run ended before its first checkpoint; lower train.checkpoint_steps.")
    settings = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    # The name the user gave, not the folder it meant on this machine.
    settings["base_model_name_or_path"] = config.model
    facts = {
        "recipe": config.recipe,
        "base_model": config.model,
        "base_sha256": fingerprint(config.model),
        "base_sampled": sampled(config.model),
        "quantization": config.train.quantization,
        "checkpoint": source.name,
        trainer.args.metric_for_best_model: trainer.state.best_metric,
        "versions": versions(),
        "seconds": folder.seconds(),
        "peak_bytes": peak(),
    }
    shutil.rmtree(folder.adapter, ignore_errors=True)
    with whole_folder(folder.adapter) as made:
        shutil.copy2(source / "adapter_model.safetensors", made)
        write_whole(made / "adapter_config.json", json.dumps(settings, indent=1) + "\n")
        write_whole(made / VERSIONS, json.dumps(facts, indent=1) + "\n")
        beside(made, facts)
    score = trainer.state.best_metric
    mark = "no evaluation" if score is None else f"{spoken(trainer.args.metric_for_best_model)} {score:.3f}"
    say(f"Best: {source.name} ({mark}); adapter in {folder.adapter}")
