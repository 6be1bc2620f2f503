"""A training step of MedGemma 4B on one GPU: the public notebook's settings and this project's recipes side by side.

    .venv/bin/python scripts/bench_gpu.py [--views text both] [--rounds 2] [--json FILE]
    .venv/bin/python scripts/bench_gpu.py --tiny      # the same on a processor with a tiny model: proof that it runs

The model has MedGemma 4B's shape and random weights, the same for every way (bfloat16; float32 with --tiny). The
examples are random words in the lengths of lab reports, with one page of 896 x 896 pixels each in the view `both`. The
ways:

- notebook: the settings of the public MedGemma fine-tuning notebook, in the SFTTrainer that is installed here: 4-bit
  weights, eager attention, LoRA on all linear layers (the vision tower's too), embeddings and head trained whole, the
  prompt in the loss, batches of 4.
- ours: recipes/lab_report/qlora_medgemma.yaml and lora_medgemma.yaml, through the project's own trainer.

A round shows every example once (one optimiser step of 16 examples for the notebook, two of 8 for the recipes). The
first is not counted. Each way runs in a process of its own; where its batch does not fit, half of it is tried. Printed
are tokens (padding left out) a second, the most memory that PyTorch's tensors took at once (with --tiny the process's
resident memory), the seconds of what is computed once, before the first round (with frozen eyes the recipes compute
what they see of the pages so; they stand in no round), and the loss on the answers' tokens before the first step. It
must be nearly the same for all, 4-bit weights being a little other than bfloat16 ones; but with random weights it would
be so under wrong masks too, and it is the tests of batches (tests/finetune/test_batch.py) that tell these apart.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from extraction.errors import AssayError, run_command

RECIPES = Path(__file__).parents[1] / "recipes" / "lab_report"
# The settings of the notebook are in `notebook`.
WAYS = {"notebook": None, "ours, QLoRA": "qlora_medgemma.yaml", "ours, LoRA": "lora_medgemma.yaml"}
# Tokens of prompt and answer of the first 16 synthetic reports (all families, seed 1) that have results.
LENGTHS = [
    (409, 159), (1182, 309), (438, 101), (935, 572), (826, 278), (1361, 598), (844, 474), (370, 80),
    (374, 180), (416, 125), (726, 462), (315, 54), (772, 187), (365, 81), (1069, 365), (622, 249),
]  # fmt: skip
PAD, EOS, BOS = 0, 1, 2
TINY = {
    "text_config": {
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "vision_config": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 56, "patch_size": 14, "vision_use_head": False,
    },
    "mm_tokens_per_image": 4, "boi_token_index": 500, "eoi_token_index": 501, "image_token_index": 502,
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What a process measures.

    Attributes:
        way: of WAYS.
        view: `text`, or `both`: a page's pixels and its text.
        folder: with model and examples.
        rounds: to count.
        batch: examples at once.
        tiny: on the processor.
    """

    way: str
    view: str
    folder: Path
    rounds: int
    batch: int
    tiny: bool


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_gpu.py", description="A training step of MedGemma 4B.")
    parser.add_argument("--views", nargs="+", choices=("text", "both"), default=["text", "both"])
    parser.add_argument("--rounds", type=int, default=2, help="over all examples, after one to warm up")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the processor")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    run_command(lambda: run(arguments.views, arguments.rounds, arguments.tiny, arguments.json))


def run(views: list[str], rounds: int, tiny: bool, out: Path | None) -> None:
    """Measure every way in every view, print the table, and write the figures where a file is named."""
    import torch

    from extraction.files import write_whole

    if not tiny:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    if not tiny and not torch.cuda.is_available():
        raise AssayError("There is no GPU here, and the model of 4 billion parameters needs one; --tiny runs without.")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch:
        folder = Path(scratch)
        facts = in_process(make, folder, tiny)
        for view in views:
            for way in WAYS:
                rows += tried(way, view, folder, rounds, tiny)
                compare([row for row in rows if row["view"] == view])
                if out:  # after each way: a later one may be killed
                    write_whole(out, json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    show(rows, facts, tiny)


def in_process(function: Any, *arguments: Any) -> Any:
    """The function's value from a fresh process, whose memory and GPU are its own."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    except BrokenProcessPool:
        raise AssayError("A process of the benchmark was killed, most likely for its memory; free some.") from None


def tried(way: str, view: str, folder: Path, rounds: int, tiny: bool) -> list[dict[str, Any]]:
    """Measurements of a way with its own batch size, or with the halves of it until one fits."""
    batch, rows = recipe(way).train.batch_size if WAYS[way] else 4, []
    while batch and (not rows or rows[-1]["out_of_memory"]):
        print(f"{view}: {way}, batches of {batch}", file=sys.stderr, flush=True)
        figures = in_process(measure, Job(way, view, folder, rounds, batch, tiny))
        rows.append({"way": way, "view": view, "batch": batch, **figures})
        batch //= 2
    return rows


def recipe(way: str, overrides: list[str] | None = None) -> Any:
    from finetune.config import load_config

    return load_config(RECIPES / str(WAYS[way]), overrides or ())


def quiet() -> None:
    """What libraries say about the notebook's settings is known, and stands in the way of the figures."""
    import warnings

    from transformers.utils import logging

    from extraction.generate.hub import quiet_libraries

    quiet_libraries()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def make(folder: Path, tiny: bool) -> dict[str, Any]:
    """Write the model and the examples; what they were made on."""
    import torch
    from transformers import AutoModelForImageTextToText, Gemma3Config

    from finetune.preflight import architecture

    quiet()
    shape = Gemma3Config(**TINY) if tiny else architecture("google/medgemma-1.5-4b-it")
    torch.manual_seed(0)
    with torch.device("cpu" if tiny else "cuda"):
        model = AutoModelForImageTextToText.from_config(shape, dtype=torch.float32 if tiny else torch.bfloat16)
        # transformers starts the projector at zero, where every image would look the same.
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.02)
    model.save_pretrained(folder / "model")
    lengths = [(prompt // 16, answer // 16) for prompt, answer in LENGTHS] if tiny else LENGTHS
    for view in ("text", "both"):
        made = [example(n, *sizes, shape, folder, view) for n, sizes in enumerate(lengths)]
        (folder / f"{view}.json").write_text(json.dumps(made), encoding="utf-8")
    packages = ("torch", "transformers", "peft", "trl", "bitsandbytes")
    return {
        "device": "processor" if tiny else torch.cuda.get_device_name(),
        "memory_gb": None if tiny else round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "versions": {name: version(name) for name in packages} | {"cuda": torch.version.cuda},
    }


def example(number: int, prompt: int, answer: int, shape: Any, folder: Path, view: str) -> dict[str, Any]:
    """Random words with labels on the answer, as `finetune.encode` gives them; the page is black on white at random."""
    import numpy as np
    from PIL import Image

    from finetune.encode import IGNORED

    words = random.Random(number)
    ids = [words.randrange(10, min(250_000, shape.text_config.vocab_size - 12)) for _ in range(prompt + answer - 1)]
    if view == "text":
        return {"input_ids": [BOS, *ids], "labels": [IGNORED] * prompt + ids[prompt - 1 :]}
    file = folder / f"{number}.png"
    side = shape.vision_config.image_size
    page = np.random.default_rng(number).random((side // 4, side // 4)) < 0.1
    Image.fromarray(np.where(page, 0, 255).astype(np.uint8).repeat(4, 0).repeat(4, 1)).save(file)
    image = [
        shape.boi_token_index,
        *[shape.image_token_index] * shape.mm_tokens_per_image,
        shape.eoi_token_index,
    ]
    labels = [IGNORED] * (prompt + len(image)) + ids[prompt - 1 :]
    return {"input_ids": [BOS, *image, *ids], "labels": labels, "files": [str(file)]}


def measure(job: Job) -> dict[str, Any]:
    """Train on the examples of a view one way; runs in a process of its own."""
    quiet()
    examples = json.loads((job.folder / f"{job.view}.json").read_text(encoding="utf-8"))
    try:
        with tempfile.TemporaryDirectory(dir=job.folder) as scratch:
            trainer, collate = (ours if WAYS[job.way] else notebook)(job, examples, Path(scratch))
            once = seconds_of_features(Path(scratch))
            watch = stopwatch(trainer, collate, job, examples)
            trainer.add_callback(watch)
            trainer.train()
    except RuntimeError as error:  # PyTorch's own, or that of a library's kernel
        if "out of memory" not in str(error).lower():
            raise
        return {"out_of_memory": True}
    steps = len(watch.times) // (job.rounds + 1)
    seconds = watch.times[-1] - watch.times[steps - 1]
    tokens = sum(len(one["input_ids"]) for one in examples)
    return {
        "out_of_memory": False,
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "tokens": tokens,
        "once_s": round(once, 3),
        "round_s": round(seconds / job.rounds, 3),
        "tokens_per_s": round(tokens * job.rounds / seconds, 1),
        "peak_gb": round(watch.peak / 1e9, 3),
        "loss": round(watch.loss, 5),
    }


def seconds_of_features(folder: Path) -> float:
    """How long a run took for the features that it keeps below `folder`, as their files say."""
    from safetensors import safe_open

    total = 0.0
    for path in folder.rglob("features/**/*.safetensors"):
        with safe_open(path, "pt") as shard:
            total += float(shard.metadata()["seconds"])
    return total


def ours(job: Job, examples: list[dict[str, Any]], scratch: Path) -> tuple[Any, Any]:
    """The recipe's trainer, and what makes its batches."""
    from finetune.run import RunFolder
    from finetune.train import build_trainer

    overrides = [
        f"model={job.folder / 'model'}",
        f"train.output={scratch / 'run'}",
        f"train.epochs={job.rounds + 1}",
        f"train.batch_size={job.batch}",
    ]
    config = recipe(job.way, [*overrides, "train.dtype=float32"] if job.tiny else overrides)
    folder = RunFolder(config.train.output)
    folder.open(config)
    # Nothing is judged: the stopwatch forbids it.
    trainer = build_trainer(config, folder, family(job), examples, lambda _: {}, "micro_f1")
    return trainer, trainer.data_collator


def notebook_settings(dtype: Any, batch: int) -> tuple[Any, dict[str, Any], Any]:
    """What the public notebook gives the model's loader, SFTConfig and PEFT; 16 examples make a step."""
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype,
    )
    settings = {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 16 // batch,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "optim": "adamw_torch_fused",
        "learning_rate": 2e-4,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.03,
        "max_grad_norm": 0.3,
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    lora = LoraConfig(
        r=16,
        lora_alpha=16,
        lora_dropout=0.05,
        bias="none",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        modules_to_save=["lm_head", "embed_tokens"],
    )
    return quantization, settings, lora


def notebook(job: Job, examples: list[dict[str, Any]], scratch: Path) -> tuple[Any, Any]:
    """The public notebook's trainer, its settings whatever they cost, and what makes batches that train answers."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForImageTextToText
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    dtype = torch.float32 if job.tiny else torch.bfloat16
    quantization, settings, lora = notebook_settings(dtype, job.batch)
    model = AutoModelForImageTextToText.from_pretrained(
        job.folder / "model",
        dtype=dtype,
        attn_implementation="eager",
        device_map={"": "cpu" if job.tiny else "cuda"},
        trust_remote_code=False,
        quantization_config=quantization,
    )
    own = family(job)

    def labelled(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = padded(rows, own)
        # Of padding and images alone the notebook takes the labels away.
        untrained = (batch["attention_mask"] == 0) | (batch["token_type_ids"] == 1)
        return {**batch, "labels": batch["input_ids"].masked_fill(untrained, -100)}

    arguments = SFTConfig(
        output_dir=str(scratch),
        num_train_epochs=job.rounds + 1,
        bf16=not job.tiny,
        use_cpu=job.tiny,
        remove_unused_columns=False,
        label_names=["labels"],
        **settings,
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(examples),
        peft_config=lora,
        processing_class=own.tokenizer,
        data_collator=labelled,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, lambda rows: padded(rows, own)


def padded(rows: list[dict[str, Any]], family: Any) -> dict[str, Any]:
    """A batch as the notebook's processor makes it: padded, images as pixels, their tokens always marked."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from finetune.encode import IGNORED, load_pictures

    def filled(key: str, fill: int) -> torch.Tensor:
        return pad_sequence([torch.tensor(row[key]) for row in rows], batch_first=True, padding_value=fill)

    ids = filled("input_ids", PAD)
    files = [file for row in rows for file in row.get("files", ())]
    return {
        "input_ids": ids,
        "labels": filled("labels", IGNORED),
        "attention_mask": (ids != PAD).long(),
        "token_type_ids": (ids == family.soft).long(),
        **(family.pixels(load_pictures(files)) if files else {}),
    }


def family(job: Job) -> Any:
    """The model's family, with enough of a tokenizer for a trainer: the examples are tokens already."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoConfig, PreTrainedTokenizerFast

    from extraction.families import family_of

    shape = AutoConfig.from_pretrained(job.folder / "model", trust_remote_code=False)
    words = {
        **{"<pad>": PAD, "<eos>": EOS, "<bos>": BOS, "<start_of_image>": shape.boi_token_index},
        **{"<image_soft_token>": shape.image_token_index, "<end_of_image>": shape.eoi_token_index},
    }
    return family_of(
        shape,
        PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(WordLevel(words, unk_token="<pad>")), pad_token="<pad>", eos_token="<eos>"
        ),
    )


def stopwatch(trainer: Any, collate: Any, job: Job, examples: list[dict[str, Any]]) -> Any:
    """A callback that takes the loss before the first step, the time of each step, and the most memory of all."""
    import resource
    import time

    import torch
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []
            self.loss, self.peak = 0.0, 0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.loss = answer_loss(trainer, collate, examples, job.batch)
            if not job.tiny:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not job.tiny:
                torch.cuda.synchronize()
            self.times.append(time.perf_counter())
            # Neither documents are read nor checkpoints written.
            control.should_evaluate = control.should_save = False
            resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            self.peak = resident if job.tiny else torch.cuda.max_memory_allocated()

    return Stopwatch()


def answer_loss(trainer: Any, collate: Any, examples: list[dict[str, Any]], batch: int) -> float:
    """Mean negative log-likelihood of the answers' tokens, by the trainer's own loss, in batches as it trains them."""
    import torch

    from finetune.trainer import keep_gradients

    total, count = 0.0, 0
    keep_gradients(trainer.model)
    trainer.model.eval()
    with torch.no_grad(), trainer.compute_loss_context_manager():
        for start in range(0, len(examples), batch):
            inputs = trainer._prepare_inputs(collate(examples[start : start + batch]))
            answers = int((inputs["labels"][:, 1:] != -100).sum())
            total += float(trainer.compute_loss(trainer.model, inputs)) * answers
            count += answers
    return total / count


def compare(rows: list[dict[str, Any]]) -> None:
    """Add to every row how it stands to the notebook's (the batch size that fitted)."""
    base = next((row for row in rows if row["way"] == "notebook" and not row["out_of_memory"]), None)
    for row in rows if base else ():
        if not row["out_of_memory"]:
            row["speed_ratio"] = round(row["tokens_per_s"] / base["tokens_per_s"], 2)
            row["memory_ratio"] = round(row["peak_gb"] / base["peak_gb"], 2)
            row["loss_difference"] = round(row["loss"] - base["loss"], 5)


def show(rows: list[dict[str, Any]], facts: dict[str, Any], tiny: bool) -> None:
    """Print the ways side by side, with the ratios to the notebook's."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    heads = ("view", "way", "batch", "trained", "once, s", "tokens/s", "× notebook", "peak GB", "× notebook")
    for column in (*heads, "loss", "difference"):
        table.add_column(column, justify="left" if column in ("view", "way") else "right")
    for row in rows:
        first = (row["view"], row["way"], str(row["batch"]))
        if row["out_of_memory"]:
            table.add_row(*first, "", "out of memory")
            continue
        keys = ("once_s", "tokens_per_s", "speed_ratio", "peak_gb", "memory_ratio", "loss", "loss_difference")
        table.add_row(*first, f"{row['trained_parameters']:,}", *(str(row.get(key, "")) for key in keys))
    console = Console(width=130)
    memory = "resident memory of the process" if tiny else f"{facts['memory_gb']} GB"
    console.print(f"{facts['device']} ({memory}), {facts['parameters']:,} parameters", highlight=False)
    console.print(table, highlight=False)


if __name__ == "__main__":
    main()
