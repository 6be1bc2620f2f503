"""What the engine for folders gains over one file at a time, on real reading; and its memory over many files.

    .venv/bin/python scripts/bench_batch.py [--reports 24] [--scans 4] [--files 2000] [--workers 1] [--json FILE]

Two parts, a table each:

- Synthetic lab reports, of families that the adapter which ships with Assay was not trained on, some scanned (read
  by OCR): each file alone through `Extractor.extract` in turn, then the same folder through the engine. Documents an
  hour, and whether the records are the same.
- A few one-page reports under many names, by a model of random weights that writes one word of a list: resident memory
  of the process with the model and of those that read, at the start, in the middle and at the end, and the slope over
  the second half, which must be about nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path

SCHEMA = {"type": "object", "properties": {"kind": {"enum": ["blood", "urine"]}}, "required": ["kind"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_batch.py", description="Speed and memory of a batch.")
    parser.add_argument("--reports", type=int, default=24, help="lab reports that are read both ways; 0: none")
    parser.add_argument("--scans", type=int, default=4, help="how many of them are scanned")
    parser.add_argument("--max-rows", type=int, help="most rows of a report")
    parser.add_argument("--model", help="what reads them", default="lab-report-270m")
    parser.add_argument("--dtype", default="auto", help="float32: the same records to the last digit")
    parser.add_argument("--files", type=int, default=2000, help="small files for the look at the memory; 0: none")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--every", type=int, default=100, help="files between two looks at the memory")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    from extraction.files import write_whole

    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.reports:
            folder = reports(Path(scratch), arguments.reports, arguments.scans, arguments.max_rows)
            figures["reading"] = both_ways(folder, arguments.model, arguments.dtype, arguments.workers)
            show(figures["reading"]["rows"])
            print(
                f"Of {arguments.reports} records {figures['reading']['same']} have the same values, issues and places, "
                f"{figures['reading']['same to the digit']} the same confidences to the last digit too."
            )
            print(*figures["reading"]["differences"], sep="\n")
        if arguments.files:
            model = tiny_model(Path(scratch) / "model")
            folder = many_files(Path(scratch) / "many", arguments.files)
            figures["memory"] = over_many(folder, str(model), arguments.workers, arguments.every)
            samples = figures["memory"]["samples"]
            print(", ".join(f"{key} {value}" for key, value in figures["memory"].items() if key != "samples"))
            show([samples[0], samples[len(samples) // 2], samples[-1]])
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def reports(scratch: Path, count: int, scans: int, max_rows: int | None) -> Path:
    """A folder of reports of the test families in turn, the last ones as pictures of their pages."""
    from recipes.lab_report.synthetic import families, write_reports

    sources = write_reports(scratch / "reports", names=families("test"), count=count, seed=11, max_rows=max_rows)
    for pdf in sources[count - scans :]:
        scan(pdf)
    return scratch / "reports"


def scan(pdf: Path) -> None:
    """A report's pages as pictures, in the place of the report."""
    from extraction.document import open_document
    from extraction.document.reader import render_pages

    numbers = range(1, len(open_document(pdf).pages) + 1)
    pages = [page.convert("L") for page in render_pages(pdf, numbers, dpi=200)]
    pages[0].save(pdf, save_all=True, append_images=pages[1:], resolution=200, quality=70)


def both_ways(folder: Path, model: str, dtype: str, workers: int) -> dict:
    """Times, and how many records are the same, of a folder read file by file and by the engine.

    CPU seconds are those of the process with the model: what other programs do on the machine does not count in them.
    """
    from extraction.api import Extractor
    from extraction.readers import Readers, answered

    paths = sorted(folder.glob("*.pdf"))
    extractor = Extractor.from_pretrained(model, dtype=dtype)
    random.Random(0).shuffle(paths)  # scans among the others
    extractor.extract(paths[0])  # grammar, OCR: what is loaded once counts for neither
    start, busy = time.monotonic(), time.process_time()
    alone = {path.name: extractor.extract(path).to_dict() for path in paths}
    middle, then = time.monotonic(), time.process_time()
    with Readers(workers, extractor.contract.view) as readers:
        readers.add((path.name, path) for path in paths)
        together = {name: record.to_dict() for name, record in answered(extractor, readers)}
    end, at_end = time.monotonic(), time.process_time()
    ways = {
        "one file at a time": (middle - start, then - busy),
        f"engine, {workers} reading": (end - middle, at_end - then),
    }
    exact = sum(alone[name] == together[name] for name in alone)
    for record in (*alone.values(), *together.values()):  # several rows are rounded otherwise than one
        for place in record["evidence"].values():
            del place["confidence"]
    different = [name for name in sorted(alone) if alone[name] != together[name]]
    return {
        "rows": [
            {
                "way": way,
                "documents": len(paths),
                "seconds": round(taken, 1),
                "CPU seconds": round(worked, 1),
                "documents/hour": round(3600 * len(paths) / taken),
                "times as many": round((middle - start) / taken, 2),
            }
            for way, (taken, worked) in ways.items()
        ],
        "same": len(paths) - len(different),
        "same to the digit": exact,
        "differences": [f"{name}: {difference(alone[name], together[name])}" for name in different],
    }


def difference(one: object, other: object, at: str = "") -> str:
    """The first place at which two records are not the same."""
    if type(one) is type(other) and isinstance(one, dict | list) and len(one) == len(other):
        keys = one if isinstance(one, dict) else range(len(one))
        for key in keys:
            if one[key] != (other.get(key) if isinstance(other, dict) else other[key]):
                return difference(one[key], other.get(key) if isinstance(other, dict) else other[key], f"{at}/{key}")
    return f"{at}: {str(one)[:60]} alone, {str(other)[:60]} together"


def over_many(folder: Path, model: str, workers: int, every: int) -> dict:
    from extraction.api import Extractor
    from extraction.batch import Batch, run_batch, task_id
    from extraction.folder import find_files
    from extraction.readers import Readers

    batch = Batch(folder.with_name("out"), task_id(model, None))
    jobs = batch.jobs(find_files([folder]))
    samples, statuses = [], {}
    start = first = time.monotonic()
    with Readers(workers) as readers:
        readers.add((job, job.path) for job in jobs)
        for number, (_, record) in enumerate(run_batch(lambda: Extractor.from_pretrained(model), readers, batch), 1):
            statuses[record.status] = statuses.get(record.status, 0) + 1
            if number == 1:
                first = time.monotonic()
            if number == workers + 1 or number % every == 0 or number == len(jobs):
                samples.append({"files": number, "seconds": round(time.monotonic() - start, 1), **memory()})
    return {
        "files": len(jobs),
        "workers": workers,
        "files/s": round((len(jobs) - 1) / (time.monotonic() - first), 2),
        "statuses": statuses,
        **{f"{part} KB/file": round(slope(samples, f"{part} MB") * 1024, 3) for part in ("model", "readers")},
        "samples": samples,
    }


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
    """Resident megabytes of this process and of those that read, processes that end meanwhile left out."""
    import psutil

    def resident(process):
        try:
            return process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    own = psutil.Process()
    return {
        "model MB": round(resident(own), 2),
        "readers MB": round(sum(map(resident, own.children())), 2),
    }


def slope(samples: list[dict], key: str) -> float:
    """Megabytes a file over the second half, by least squares."""
    half = samples[len(samples) // 2 :]
    files, values = [s["files"] for s in half], [s[key] for s in half]
    middle, mean = sum(files) / len(half), sum(values) / len(half)
    spread = sum((x - middle) ** 2 for x in files)
    return sum((x - middle) * (y - mean) for x, y in zip(files, values, strict=True)) / spread if spread else 0.0


def show(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "way" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
