"""Read a folder of labelled reports with a model and print how well: by document, and over all, beside plain rules.

    .venv/bin/python scripts/score_reports.py FOLDER [--model DIR] [--scans] [--json FILE]

FOLDER holds NAME.pdf with NAME.json (a record) or NAME.labels.json beside it, also in folders below. With `--scans`
each report is read as a scan of itself: its pages at 200 dpi, grey, a little askew, as JPEG.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/score_reports.py", description="Score a model on labelled reports.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="lab-report-270m", help="a merged model's or adapter's folder")
    parser.add_argument("--scans", action="store_true", help="draw each report and read it through OCR")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments.folder, arguments.model, arguments.scans, arguments.json))


def scan(pdf: Path, folder: str) -> Path:
    """A PDF of pictures of a report's pages, in `folder`."""
    from PIL import Image

    from extraction.document.reader import open_document, render_pages

    rng, numbers = random.Random(pdf.stem), range(1, len(open_document(pdf).pages) + 1)
    pages = [
        page.convert("L").rotate(rng.uniform(-0.6, 0.6), Image.Resampling.BICUBIC, fillcolor=255)
        for page in render_pages(pdf, numbers, dpi=200)
    ]
    target = Path(folder) / pdf.name
    pages[0].save(target, save_all=True, append_images=pages[1:], resolution=200, quality=70)
    return target


def run(folder: Path, model: str, scans: bool, out: Path | None) -> None:
    """Read each report, print the tables, and write the figures where a file is named."""
    from rich.console import Console
    from rich.table import Table
    from rules import read_by_rules
    from tqdm import tqdm

    from extraction.api import Extractor
    from extraction.errors import AssayError
    from extraction.files import write_whole
    from extraction.record.record import REVIEW_BELOW
    from extraction.score import read_gold, score
    from recipes.lab_report.fields import HEAD

    documents = [
        (pdf, gold)
        for pdf in sorted(folder.rglob("*.pdf"))
        for gold in (pdf.with_suffix(".labels.json"), pdf.with_suffix(".json"))
        if gold.exists()
    ]
    if not documents:
        raise AssayError(f"{folder} holds no PDF with a label file beside it.")
    extractor = Extractor.from_pretrained(model)
    contract = extractor.contract
    pairs, by_rules, read = [], [], []
    for pdf, gold in tqdm(documents, desc="reading", unit="report", leave=False):
        with tempfile.TemporaryDirectory() as drawn:
            shown = scan(pdf, drawn) if scans else pdf
            start = time.time()
            record = extractor.extract(shown)
            seconds = time.time() - start
        pair = read_gold(gold, pdf.stem, contract).predicted(record.to_dict())
        pairs.append(pair)
        by_rules.append(pair.predicted(read_by_rules(record.document) if record.document else None))
        read.append((record.status, round(seconds, 1)))
    full = score(pairs, contract)
    core, fields = full.core, " + ".join(full.core_fields) or "all fields"
    rules = score(by_rules, contract, fields=full.core_fields or None)
    rows = [
        {
            "document": one.name,
            "status": status,
            "rows": one.rows_gold,
            "found": one.rows_predicted,
            "omitted": one.omissions,
            "invented": one.inventions,
            "wrong": one.wrong_values,
            "F1": one.f1,
            "rules F1": plain.f1,
            "seconds": seconds,
        }
        for one, plain, (status, seconds) in zip(core.documents, rules.documents, read, strict=True)
    ]
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("document", "status") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    console = Console()
    console.print(table)
    low, high = core.interval["micro_f1"] or (core.micro_f1, core.micro_f1)
    console.print(
        f"{fields}: micro F1 {core.micro_f1:.3f} (95% {low:.3f} to {high:.3f}), macro {core.macro_f1:.3f}; "
        f"all labelled fields: micro F1 {full.micro_f1:.3f}; wrong values: {core.wrong_values}"
    )
    console.print(f"by field (values in gold): {_by_field(full.fields)}")
    if "flag" in contract.roles:
        with suppress(AssayError):  # labels of people seldom have any
            beside = score(pairs, contract, fields=(*HEAD, "flag"))
            if beside.counts.tp + beside.counts.fn:
                console.print(f"heads and flags: micro F1 {beside.micro_f1:.3f}: {_by_field(beside.fields)}")
    console.print(
        f"plain rules (scripts/rules.py), {fields}: micro F1 {rules.micro_f1:.3f}, "
        f"macro {rules.macro_f1:.3f}; wrong values: {rules.wrong_values}"
    )
    if full.reliability:
        review = full.reliability.review(REVIEW_BELOW)
        console.print(
            f"records with status ok: {review.ok_values} values, {review.silent} of them wrong and neither named by an "
            f"issue nor of a confidence below {REVIEW_BELOW}"
        )
        console.print(full.reliability.table())
    if out:
        values = {"core": core.to_dict(), "fields": full.to_dict(), "rules": rules.to_dict(), "documents": rows}
        write_whole(out, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _by_field(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {counts.f1:.3f} ({counts.tp + counts.fn})" for name, counts in fields.items())


if __name__ == "__main__":
    main()
