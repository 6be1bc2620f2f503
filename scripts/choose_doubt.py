"""What setting doubted rows aside costs and catches, by threshold: `DOUBTED` of `extraction/record/aside.py`.

    .venv/bin/python scripts/choose_doubt.py [--model ADAPTER] [--count 40] [--seed 3] [--json FILE]

Synthetic reports of the validation families are read once, with no row set aside for its confidence. For each threshold
the rows below it are then left out: F1 over the fields that a row is worth nothing without, rows invented and wrong.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/choose_doubt.py", description="Which rows to set aside.")
    parser.add_argument("--model", default="lab-report-270m", help="what reads")
    parser.add_argument("--count", type=int, default=40, help="reports")
    parser.add_argument("--seed", type=int, default=3, help="of the reports")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Read, print the table, and write the figures where a file is named."""
    from unittest.mock import patch

    from extraction import Extractor
    from extraction.files import write_whole
    from recipes.lab_report.synthetic import families, write_reports

    extractor = Extractor.from_pretrained(arguments.model)
    with tempfile.TemporaryDirectory() as folder, patch("extraction.record.aside.DOUBTED", 0.0):
        reports = Path(folder) / "reports"
        write_reports(reports, names=families("validation"), count=arguments.count, seed=arguments.seed)
        files = sorted(reports.glob("*.pdf"))
        records = dict(extractor.extract_all(files))
        golds = [json.loads(file.with_suffix(".json").read_text(encoding="utf-8")) for file in files]
    rows = [at(threshold, records, golds, extractor.contract) for threshold in THRESHOLDS]
    print("threshold     F1  precision  recall  rows set aside  invented  wrong")
    for row in rows:
        print(
            f"{row['threshold']:9.1f}  {row['F1']:.3f}  {row['precision']:9.3f}  {row['recall']:6.3f}  "
            f"{row['set aside']:14}  {row['invented']:8}  {row['wrong']:5}"
        )
    if arguments.json:
        write_whole(arguments.json, json.dumps(rows, indent=1) + "\n")


def at(threshold: float, records: dict[int, Any], golds: list[Any], contract: Any) -> dict[str, Any]:
    """The figures where rows below a threshold are left out."""
    from extraction.score import score

    told, gone, pairs = contract.fields("name", "value"), 0, []
    for number, gold in enumerate(golds):
        data = dict(records[number].data or {})
        for key, items in data.items():
            if isinstance(items, list):
                found = records[number].fields
                sure = [[found.get(f"/{key}/{place}/{name}") for name in told] for place in range(len(items))]
                keep = [all(f is None or (f.confidence or 0) >= threshold for f in fields) for fields in sure]
                gone += keep.count(False)
                data[key] = [item for item, kept in zip(items, keep, strict=True) if kept]
        pairs.append((data, gold))
    core = score(pairs, contract).core
    return {
        "threshold": threshold,
        "F1": core.micro_f1,
        "precision": core.precision,
        "recall": core.recall,
        "set aside": gone,
        "invented": core.inventions,
        "wrong": core.wrong_values,
    }


if __name__ == "__main__":
    main()
