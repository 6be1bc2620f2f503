"""How often a record that says `ok` is wrong in silence: reports of unseen layouts, clean and under every nuisance.

    .venv/bin/python scripts/stress_records.py [--count 12] [--seed 41] [--kinds "scan;photo, EXIF 90"] [--json FILE]

For each kind of nuisance (`recipes.lab_report.synthetic.nuisance`) other reports of the test families are made, spoiled
and read. A value of a record whose status is `ok` is wrong in silence where it is not the report's, lost where the
record lacks it, invented where the report lacks it. Counted are the fields that a row is worth nothing without. The
reports of `ok` records with such values are named, by kind, family and seed, with their fields.

Chinese and Japanese reports are read clean alone: their PDFs name fonts and do not carry them, and where a machine has
none of these, nothing of their letters is on the page that is drawn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

CLEAN = "clean"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/stress_records.py", description="What `ok` records get wrong.")
    parser.add_argument("--model", default="lab-report-270m", help="what reads")
    parser.add_argument("--count", type=int, default=12, help="reports of each kind")
    parser.add_argument("--seed", type=int, default=41, help="of the reports")
    parser.add_argument("--split", default="test", choices=("validation", "test"), help="whose families")
    parser.add_argument("--kinds", help="only these, parted by semicolons")
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
    kinds = [kind.strip() for kind in arguments.kinds.split(";")] if arguments.kinds else known
    if unknown := [kind for kind in kinds if kind not in known]:
        raise AssayError(f"There is no kind {unknown[0]}; known are {', '.join(known)}.")
    extractor = Extractor.from_pretrained(arguments.model)
    rows, silent = [], {}
    for number, kind in enumerate(kinds):
        row, named = stress(extractor, kind, arguments.split, arguments.count, 100 * arguments.seed + number)
        rows.append(row)
        silent.update(named)
        if arguments.json:
            figures = {"kinds": [*rows, summed(rows)], "silent": silent}
            write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")
    rows.append(summed(rows))
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "kind" else "right")
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    total = rows[-1]
    for name, fields in silent.items():
        print(f"{name}: {', '.join(fields)}")
    wrong = sum(total[name] for name in ("wrong", "lost", "invented"))
    print(f"{wrong} of {total['values in ok']} values of `ok` records wrong, lost or invented in silence")
    if clean := next((row for row in rows if row["kind"] == CLEAN), None):
        print(f"{clean['one page, ok']} of {clean['one page']} clean reports of one page are `ok`")


def stress(extractor: Any, kind: str, split: str, count: int, seed: int) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The figures of one kind, and the fields of each report that is wrong in silence."""
    from random import Random

    from tqdm import tqdm

    from extraction.score import Pair, score
    from recipes.lab_report.synthetic import families, make_report
    from recipes.lab_report.synthetic.nuisance import NUISANCES

    names = families(split)
    with tempfile.TemporaryDirectory() as folder:
        reports, titles, paths = [], [], []
        for number in range(count):
            family, own = names[(seed + number) % len(names)], seed * 1000 + number
            report = make_report(family, own)
            while kind != CLEAN and any(
                east_asian_width(char) == "W" for char in json.dumps(report.record, ensure_ascii=False)
            ):
                own += count
                report = make_report(family, own)
            titles.append(f"{kind}, {family}, {own}")
            reports.append(report)
            spoiled = None if kind == CLEAN else NUISANCES[kind](reports[-1].pdf, Random(f"{kind}/{seed}/{number}"))
            paths.append(Path(folder) / f"{number}{spoiled.suffix if spoiled else '.pdf'}")
            paths[-1].write_bytes(spoiled.data if spoiled else reports[-1].pdf)
        read = dict(tqdm(extractor.extract_all(paths), total=count, desc=kind, unit="report", leave=False))
    records = [read[number] for number in range(count)]
    pairs = [
        Pair(None, report.record, title).predicted(record.to_dict())
        for report, title, record in zip(reports, titles, records, strict=True)
    ]
    statuses = [record.status for record in records]
    core = score(pairs, extractor.contract).core
    counts: Counter[str] = Counter()
    silent: dict[str, list[str]] = {}
    for pair, one, status in zip(pairs, core.documents, statuses, strict=True):
        if status == "ok":
            wrong = sum(min(cells.fp, cells.fn) for cells in one.fields.values())
            counts["wrong"] += wrong
            counts["lost"] += one.counts.fn - wrong
            counts["invented"] += one.counts.fp - wrong
            counts["values in ok"] += one.counts.tp + one.counts.fn
            if one.counts.fn or one.counts.fp:
                silent[pair.name] = [name for name, cells in one.fields.items() if cells.fn or cells.fp]
    single = [record.status for record in records if len(record.views) == 1]
    figures = {
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
    return figures, silent


def summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all kinds, F1 as their mean."""
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "kind"}
    return {"kind": "all", **total, "F1": total["F1"] / len(rows)}


if __name__ == "__main__":
    main()
