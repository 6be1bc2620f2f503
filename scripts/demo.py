"""The demo: a real decoder learns lab reports on this machine, from nothing to a validated record.

Stages: make reports, read them with the untrained model, train, read again (documents never trained on, of
layouts it has seen and of layouts it has not), merge, extract one PDF. Writes DIR/summary.json and DIR/report.html.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "recipes" / "lab_report" / "demo.yaml"
# Documents for the figures before and after: other seeds than training and validation.
SEEN, UNSEEN = 20, 16
BEFORE = 4


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Train, measure, merge, extract: the whole way.")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "demo", help="an empty or new folder")
    out: Path = parser.parse_args().out.resolve()

    from extraction.errors import run_command

    run_command(lambda: run(out))


def run(out: Path) -> None:
    from demo_page import write_report
    from rich.console import Console
    from rich.table import Table

    from extraction.api import Extractor
    from extraction.errors import AssayError
    from extraction.files import write_whole
    from extraction.generate import LocalBackend
    from extraction.generate.hub import quiet_libraries
    from extraction.generate.models import load_model, load_tokenizer
    from finetune.adapter import merge
    from finetune.config import load_config
    from finetune.data import read_documents
    from finetune.run import METRICS
    from finetune.task import contract_of, evaluate
    from finetune.train import train
    from recipes.lab_report.synthetic import families, write_reports
    from recipes.lab_report.task import TASK

    if out.exists() and any(out.iterdir()):
        raise AssayError(f"{out} is not empty; choose another folder with --out, or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    quiet_libraries()
    os.chdir(ROOT)
    console = Console()
    seconds: dict[str, float] = {}
    began = time.time()

    @contextmanager
    def stage(name: str, words: str):
        console.print(f"[bold]{words}[/bold]")
        start = time.time()
        yield
        seconds[name] = round(time.time() - start, 1)

    config = load_config(
        CONFIG,
        [
            f"train.output={out / 'run'}",
            f"data.train={out / 'data/train'}",
            f"data.validation={out / 'data/validation'}",
        ],
    )
    contract = contract_of(TASK, config.contract)
    layouts = config.data.synthetic["train"].families
    max_rows = config.data.synthetic["train"].max_rows
    with stage("documents", "1. Making reports that nothing is trained on"):
        sets = {}
        for name, names, count in (("seen", layouts, SEEN), ("unseen", families("test"), UNSEEN)):
            folder = out / "data" / f"test-{name}"
            write_reports(folder, names=names, count=count, seed=1000, max_rows=max_rows)
            sets[name] = read_documents(folder, contract, TASK.fields)
    with stage("model", "2. Loading Gemma 3 270M"):
        model, tokenizer = load_model(config.model), load_tokenizer(config.model)

    def measure(extractor, label, limit=None):
        return {
            name: evaluate(extractor, TASK, examples[:limit], label=f"{label}, {name} layouts").figures
            for name, examples in sets.items()
        }

    with stage("before", f"3. Reading {2 * BEFORE} of them with the untrained model"):
        before = measure(Extractor(LocalBackend(model, tokenizer), contract), "before", BEFORE)
        del model
    with stage("train", "4. Training"):
        train(config)
    with stage("merge", "5. Merging"):
        merged = out / "merged"
        difference = merge(out / "run", merged)
        console.print(f"   {difference}")
    with stage("after", f"6. Reading all {SEEN + UNSEEN} with the trained model"):
        extractor = Extractor.from_pretrained(merged)
        after = measure(extractor, "after")
    with stage("extract", "7. Extracting one PDF of a layout it has seen"):
        document = sets["seen"][0].context.index.document.path
        record = extractor.extract(document)
        path = out / f"{document.stem}.record.json"
        record.save(path)
        console.print(record.table())

    figures = {
        f"{when}, {name} layouts": {
            "documents": BEFORE if when == "before" else len(sets[name]),
            "micro F1": values[name]["micro_f1"],
            "macro F1": values[name]["macro_f1"],
            "micro F1, six fields": values[name]["micro_f1_all_fields"],
        }
        for when, values in (("before", before), ("after", after))
        for name in sets
    }
    write_report(out / "report.html", out / "run" / METRICS, figures, document, record)
    seconds["all"] = round(time.time() - began, 1)
    summary = {
        "before": flat(before),
        "after": flat(after),
        "merge": vars(difference),
        "seconds": seconds,
        "record": str(path.relative_to(out)),
    }
    write_whole(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    table = Table(title="name + result + unit", title_justify="left")
    for column in ("", "documents", "micro F1", "macro F1", "micro F1, six fields"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in figures.items():
        table.add_row(name, *(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()))
    console.print(table)
    console.print(
        f"{seconds['all'] / 60:.1f} minutes. Figures: {out / 'summary.json'}; to look at: {out / 'report.html'}"
    )
    console.print(f"Your own file: {sys.prefix}/bin/assay extract FILE.pdf --model {merged} --out OUT", soft_wrap=True)


def flat(values: dict[str, dict[str, float]]) -> dict[str, float]:
    """The seen layouts' figures by their own names, the unseen ones' with a prefix."""
    return {**values["seen"], **{f"unseen_{key}": value for key, value in values["unseen"].items()}}


if __name__ == "__main__":
    main()
