"""How often a record that says `ok` is wrong in silence: reports of unseen layouts, clean and under every nuisance.

    .venv/bin/python scripts/stress_records.py [--count 12] [--seed 41] [--kinds "scan,photo"] [--json FILE]

For each kind of nuisance (`recipes.lab_report.synthetic.nuisance`) other reports of the test families are made, spoiled
and read. A value of a record whose status is `ok` is wrong in silence where it is not the report's, lost where the
record lacks it, invented where the report lacks it. Counted are the fields that a row is worth nothing without.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

CLEAN = "clean"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/stress_records.py", description="What `ok` records get wrong.")
    parser.add_argument("--model", default="lab-report-270m", help="what reads")
    parser.add_argument("--count", type=int, default=12, help="reports of each kind")
    parser.add_argument("--seed", type=int, default=41, help="of the reports")
    parser.add_argument("--split", default="test", choices=("validation", "test"), help="whose families")
    parser.add_argument("--kinds", help="only these, parted by commas")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Make, spoil, read, count; print the table, and write the figures after each kind where a file is named."""
    from rich.console import Console
    from rich.table import Table

    from extraction import Extractor
    from extraction.errors import AssayError
    from extraction.files import write_whole
    from recipes.lab_report.synthetic.nuisance import NUISANCES

    known = [CLEAN, *NUISANCES]
    kinds = [kind.strip() for kind in arguments.kinds.split(",")] if arguments.kinds else known
    if unknown := [kind for kind in kinds if kind not in known]:
        raise AssayError(f"There is no kind {unknown[0]}; known are {', '.join(known)}.")
    extractor = Extractor.from_pretrained(arguments.model)
    rows = []
    for number, kind in enumerate(kinds):
        rows.append(stress(extractor, kind, arguments.split, arguments.count, 100 * arguments.seed + number))
        if arguments.json:
            write_whole(arguments.json, json.dumps([*rows, summed(rows)], indent=1) + "\n")
    rows.append(summed(rows))
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "kind" else "right")
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    total = rows[-1]
    silent = sum(total[name] for name in ("wrong", "lost", "invented"))
    print(f"{silent} of {total['values in ok']} values of `ok` records wrong, lost or invented in silence")
    if clean := next((row for row in rows if row["kind"] == CLEAN), None):
        print(f"{clean['one page, ok']} of {clean['one page']} clean reports of one page are `ok`")


def stress(extractor: Any, kind: str, split: str, count: int, seed: int) -> dict[str, Any]:
    """The figures of one kind."""
    from random import Random

    from tqdm import tqdm

    from extraction.score import Pair, score
    from recipes.lab_report.synthetic import families, make_report
    from recipes.lab_report.synthetic.nuisance import NUISANCES

    names = families(split)
    pairs, statuses, pages = [], [], []
    for number in tqdm(range(count), desc=kind, unit="report", leave=False):
        report = make_report(names[(seed + number) % len(names)], seed * 1000 + number)
        spoiled = None if kind == CLEAN else NUISANCES[kind](report.pdf, Random(f"{kind}/{seed}/{number}"))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"report{spoiled.suffix if spoiled else '.pdf'}"
            path.write_bytes(spoiled.data if spoiled else report.pdf)
            record = extractor.extract(path)
        pairs.append(Pair(None, report.record, f"{kind} {number}").predicted(record.to_dict()))
        statuses.append(record.status)
        pages.append(len(record.views))
    core = score(pairs, extractor.contract).core
    counts: Counter[str] = Counter()
    for one, status in zip(core.documents, statuses, strict=True):
        if status == "ok":
            wrong = sum(min(cells.fp, cells.fn) for cells in one.fields.values())
            counts["wrong"] += wrong
            counts["lost"] += one.counts.fn - wrong
            counts["invented"] += one.counts.fp - wrong
            counts["values in ok"] += one.counts.tp + one.counts.fn
    single = [status for status, number in zip(statuses, pages, strict=True) if number == 1]
    return {
        "kind": kind,
        "reports": count,
        "ok": statuses.count("ok"),
        "failed": statuses.count("failed"),
        "one page": len(single),
        "one page, ok": single.count("ok"),
        "values": core.counts.tp + core.counts.fn,
        "F1": core.micro_f1,
        **{name: counts[name] for name in ("values in ok", "wrong", "lost", "invented")},
    }


def summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all kinds, F1 as their mean."""
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "kind"}
    return {"kind": "all", **total, "F1": total["F1"] / len(rows)}


if __name__ == "__main__":
    main()
