"""Many small files through a batch, with a model that costs nearly nothing: files a second, and memory over time.

    .venv/bin/python scripts/bench_batch.py [--files 10000] [--workers 1] [--every 100] [--json FILE]

A few one-page reports under many names; a model of random weights that writes one word of a list. Prints resident
memory of the parent and of its workers at the start, in the middle and at the end, and the slope over the second half,
which must be about nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

SCHEMA = {"type": "object", "properties": {"kind": {"enum": ["blood", "urine"]}}, "required": ["kind"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_batch.py", description="Memory over many files.")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--every", type=int, default=100, help="files between two looks at the memory")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments.files, arguments.workers, arguments.every, arguments.json))


def run(count: int, workers: int, every: int, out: Path | None) -> None:
    from extraction.batch import Batch, Engine, find_jobs, run_batch, task_id
    from extraction.files import write_whole

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = tiny_model(folder / "model")
        jobs = find_jobs([many_files(folder / "in", count)])
        batch = Batch(folder / "out", task_id(str(model), None))
        samples, statuses = [], {}
        start = first = time.monotonic()
        for number, record in enumerate(run_batch(Engine(str(model)), batch, jobs, workers, 60.0), 1):
            statuses[record.status] = statuses.get(record.status, 0) + 1
            if number == 1:
                first = time.monotonic()
            if number == workers + 1 or number % every == 0 or number == count:
                samples.append({"files": number, "seconds": round(time.monotonic() - start, 1), **memory()})
    figures = {
        "files": count,
        "workers": workers,
        "files/s": round((count - 1) / (time.monotonic() - first), 2),
        "statuses": statuses,
        **{f"{part} KB/file": round(slope(samples, f"{part} MB") * 1024, 3) for part in ("parent", "workers")},
    }
    show(figures, samples)
    if out:
        write_whole(out, json.dumps({**figures, "samples": samples}, indent=1) + "\n")


def tiny_model(folder: Path) -> Path:
    """A folder with Gemma 3's tokenizer, a decoder of random weights and a contract of one field."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig
    from transformers.utils import logging

    from extraction.contract import Contract
    from extraction.generate.models import load_tokenizer

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=262144,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=64,
        layer_types=["sliding_attention", "full_attention"],
    )
    Gemma3ForCausalLM(config).save_pretrained(folder)
    load_tokenizer("gemma-3-270m").save_pretrained(folder)
    Contract(instruction="What kind of report is this?", record_schema=SCHEMA).save(folder)
    return folder


def many_files(folder: Path, count: int) -> Path:
    from recipes.lab_report.synthetic import write_reports

    names = ["us_ruled", "simple_list"]
    sources = write_reports(folder.with_name("sources"), names=names, count=4, seed=7, max_rows=4)
    for number in range(count):
        target = folder / f"{number // 1000:03}" / f"{number:06}.pdf"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(sources[number % len(sources)], target)
    return folder


def memory() -> dict:
    """Resident megabytes of this process and of all below it, processes that end meanwhile left out."""
    import psutil

    def resident(process):
        try:
            return process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    own = psutil.Process()
    return {
        "parent MB": round(resident(own), 2),
        "workers MB": round(sum(map(resident, own.children())), 2),
    }


def slope(samples: list[dict], key: str) -> float:
    """Megabytes a file over the second half, by least squares."""
    half = samples[len(samples) // 2 :]
    files, values = [s["files"] for s in half], [s[key] for s in half]
    middle, mean = sum(files) / len(half), sum(values) / len(half)
    spread = sum((x - middle) ** 2 for x in files)
    return sum((x - middle) * (y - mean) for x, y in zip(files, values, strict=True)) / spread if spread else 0.0


def show(figures: dict, samples: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in samples[0]:
        table.add_column(column, justify="right")
    for sample in (samples[0], samples[len(samples) // 2], samples[-1]):
        table.add_row(*map(str, sample.values()))
    console = Console(width=120)
    console.print(", ".join(f"{key} {value}" for key, value in figures.items()), highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
