"""Train an adapter: TRL's SFTTrainer, judged by what it reads from held-out documents."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.files import write_whole
from extraction.generate.models import load_model, load_tokenizer, quiet_libraries, shipped
from extraction.generate.vision import Vision, load_vision
from finetune.adapter import check_adapter, targets
from finetune.config import RunConfig
from finetune.dataset import Example, check_split, read_examples
from finetune.encode import encode, training_order
from finetune.features import image_collator
from finetune.pixels import keep_pixels
from finetune.run import VERSIONS, RunFolder, versions
from finetune.task import Task, contract_of, load_task


def train(config: RunConfig) -> Path:
    """Run, or go on with, the training that `config` describes.

    Returns:
        The folder of the finished adapter: the checkpoint that read the held-out documents best, with its
        contract and versions beside it.

    Raises:
        AssayError: wrong data, model, or output folder; nothing is half-written.
    """
    quiet_libraries()
    task = load_task(config.recipe)
    contract = contract_of(task, config.contract)
    if config.adapter.start and not (Path(shipped(config.adapter.start)) / "adapter_config.json").exists():
        raise AssayError(f"adapter.start: {config.adapter.start} holds no adapter (adapter_config.json).")
    check_adapter(config.adapter)
    if contract.view == "text" and (config.adapter.vision or config.adapter.projector):
        raise AssayError(
            "adapter.vision and adapter.projector train what sees a page, and the contract shows its text alone; set "
            "contract.view=image or both, or leave them out."
        )
    folder = RunFolder(config.train.output)
    folder.open(config)
    if (folder.adapter / VERSIONS).exists():
        say(f"{folder.path} is finished; its adapter is in {folder.adapter}.")
        return folder.adapter
    tokenizer = load_tokenizer(config.model)
    vision = load_vision(config.model, tokenizer) if contract.view != "text" else None
    make_data(config, task)
    say(f"Reading documents of {config.data.train} and {config.data.validation}")
    examples = read_examples(config.data.train, contract)
    held_out = read_examples(config.data.validation, contract)
    check_split(examples, held_out)
    encoded = list(encode_all(examples, config, contract, tokenizer, vision))
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        # datasets keeps its fingerprints in a cache; the user's documents must not stay there.
        os.environ.setdefault("HF_DATASETS_CACHE", scratch)
        if vision:
            say("Drawing the pages that are trained on")
            encoded = keep_pixels(encoded, vision, Path(scratch))
        trainer = build_trainer(config, contract, task, folder, tokenizer, encoded, held_out, vision)
        checkpoint = folder.last_checkpoint()
        if checkpoint:
            say(f"Going on from {checkpoint.name}")
            folder.keep_metrics_until(int(checkpoint.name.rpartition("-")[2]))
        else:
            folder.keep_metrics_until(-1)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.is_world_process_zero():
        shutil.rmtree(folder.features, ignore_errors=True)
        keep_best(trainer, config, contract, folder)
    return folder.adapter


def encode_all(
    examples: Sequence[Example], config: RunConfig, contract: Contract, tokenizer: Any, vision: Vision | None = None
) -> Iterator[dict[str, Any]]:
    """Training examples of all documents; the length of windows is drawn anew for each document."""
    lengths = random.Random(config.train.seed)
    for example in examples:
        wanted = lengths.randint(*config.data.window_tokens) if config.data.window_tokens else None
        yield from encode(example, contract, tokenizer, config.data.max_length, wanted, vision)


def say(text: str) -> None:
    """A line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def make_data(config: RunConfig, task: Task) -> None:
    """Generate the synthetic documents a configuration asks for, where their folder does not exist yet."""
    for split, wanted in config.data.synthetic.items():
        target: Path = getattr(config.data, split)
        if target.exists():
            continue
        if task.synthesize is None:
            raise AssayError(f"The recipe {task.name} has no generator; put documents into {target}.")
        say(f"Making {wanted.count} documents in {target}")
        task.synthesize(target, split, wanted)


def build_trainer(
    config: RunConfig,
    contract: Contract,
    task: Task,
    folder: RunFolder,
    tokenizer: Any,
    encoded: Sequence[dict[str, Any]],
    held_out: Sequence[Example],
    vision: Vision | None = None,
) -> Any:
    """The trainer for a configuration, ready to run."""
    import torch
    from datasets import Dataset
    from trl import SFTConfig

    from finetune.trainer import FieldTrainer

    settings = config.train
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        # accelerate counts physical cores and gives a virtual machine of two but one thread.
        cores = os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    if on_gpu and settings.dtype != "float32" and not torch.cuda.is_bf16_supported():
        raise AssayError("This GPU has no bfloat16; set train.dtype=float32.")
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    global_batch = settings.batch_size * settings.accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    epochs = math.ceil(settings.epochs)
    order = training_order([len(e["input_ids"]) for e in encoded], epochs, global_batch, settings.seed)
    order = order[: max(1, round(len(encoded) * settings.epochs))]
    dataset = Dataset.from_list([encoded[index] for index in order])
    arguments = SFTConfig(
        remove_unused_columns=vision is None,
        output_dir=str(folder.checkpoints),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="sequential",
        num_train_epochs=1,
        max_steps=settings.max_steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        use_cpu=not on_gpu,
        bf16=on_gpu and settings.dtype != "float32",
        gradient_checkpointing=settings.activation_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        activation_offloading=settings.activation_offloading,
        logging_steps=settings.log_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=settings.checkpoint_steps,
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=settings.keep_checkpoints + 1,
        metric_for_best_model="eval_micro_f1",
        greater_is_better=True,
        report_to="none",
        dataloader_pin_memory=on_gpu,
        disable_tqdm=True,
    )
    model = load_model(config.model, dtype=settings.dtype, quantization=settings.quantization)
    model.config.use_cache = False
    model = add_adapter(model, config)
    # The loader reads a batch ahead of the last step.
    last = (settings.max_steps + 1) * global_batch if settings.max_steps > 0 else None
    seen, pad = [encoded[index] for index in dict.fromkeys(order[:last])], tokenizer.pad_token_id
    # TRL's own collator knows no image files; without images it stays.
    collator = image_collator(model, vision, pad, seen, folder.features, bool(arguments.bf16)) if vision else None
    return FieldTrainer(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=dataset,
        data_collator=collator,
        eval_dataset=dataset.select([0]),
        held_out=held_out[: config.evaluate.documents],
        contract=contract,
        task=task,
        rows=config.evaluate.rows,
        folder=folder,
    )


def add_adapter(model: Any, config: RunConfig) -> Any:
    """The model with a trainable adapter: a new one, or the one that the configuration starts from."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import set_seed

    settings = config.adapter
    check_adapter(settings)
    if (settings.vision or settings.projector) and getattr(model.config, "vision_config", None) is None:
        raise AssayError(f"adapter.vision and adapter.projector: {config.model} has no vision tower; leave them out.")
    set_seed(config.train.seed)
    if settings.start is None:
        lora = LoraConfig(
            r=settings.r,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            **targets(settings),
            use_dora=settings.use_dora,
            use_rslora=settings.use_rslora,
            task_type="CAUSAL_LM",
        )
        try:
            return get_peft_model(model, lora)
        except ValueError as error:
            raise AssayError(
                f"adapter.target_modules: the adapter cannot be put on {config.model}: {str(error).splitlines()[0]}"
            ) from None
    try:
        return PeftModel.from_pretrained(model, str(shipped(settings.start)), is_trainable=True)
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise AssayError(f"The adapter in {settings.start} does not fit {config.model}: {reason}") from None


def keep_best(trainer: Any, config: RunConfig, contract: Contract, folder: RunFolder) -> None:
    """Put the best checkpoint's adapter, with contract and versions, into the run's `adapter` folder."""
    from finetune.merge import fingerprint

    best = trainer.state.best_model_checkpoint
    source = Path(best) if best and Path(best).is_dir() else folder.last_checkpoint()
    if source is None:
        raise AssayError("The run ended before its first checkpoint; lower train.checkpoint_steps.")
    temporary = Path(tempfile.mkdtemp(prefix=".adapter-", dir=folder.path))
    shutil.copy2(source / "adapter_model.safetensors", temporary)
    settings = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    # The name the user gave, not the folder it meant on this machine.
    settings["base_model_name_or_path"] = config.model
    write_whole(temporary / "adapter_config.json", json.dumps(settings, indent=1) + "\n")
    contract.save(temporary)
    facts = {
        "base_model": config.model,
        "base_sha256": fingerprint(config.model),
        "quantization": config.train.quantization,
        "checkpoint": source.name,
        "eval_micro_f1": trainer.state.best_metric,
        "versions": versions(),
        "seconds": round(time.time() - trainer.started, 1),
    }
    write_whole(temporary / VERSIONS, json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(folder.adapter, ignore_errors=True)
    temporary.chmod(0o755)
    temporary.replace(folder.adapter)
    mark = f"F1 {trainer.state.best_metric:.3f}" if trainer.state.best_metric is not None else "no evaluation"
    say(f"Best: {source.name} ({mark}); adapter in {folder.adapter}")
