"""What code does with lab reports, without a model: heads and flags; true rows doubted, rows left out unnoticed.

.venv/bin/python scripts/check_rows.py --split validation --count 60 --seed 1902 --json rows.json

Synthetic reports are answered with their true rows; heads and flags are read by code and scored. Every record that is
not `ok` is a false alarm. Then single rows are taken out of the true answer, one at a time, as a model leaves them out:
a record that does not say so would lose a result in silence, and rows that code reads by itself are counted, too. The
checks of rows were written by reports of the training families, and mended once after a look at the validation families
of seed 901: no figure should be quoted for those.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extraction.contract import Contract
    from extraction.example import Example
    from extraction.generate import Generation
    from extraction.record.record import Record

KINDS = {
    "a number with unit or range": lambda row: _has_digit(row) and (row["unit"] or row["range"]),
    "a number alone": lambda row: _has_digit(row) and not (row["unit"] or row["range"]),
    "words with unit or range": lambda row: not _has_digit(row) and (row["unit"] or row["range"]),
    "words alone": lambda row: not _has_digit(row) and not (row["unit"] or row["range"]),
}
_SAID = ("row_left_out", "column_left_out", "added")


def main() -> None:
    """Read the command line, measure, print."""
    from extraction.errors import run_command

    parser = argparse.ArgumentParser(prog="scripts/check_rows.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--split", choices=["train", "validation", "test"], default="validation")
    parser.add_argument("--count", type=int, default=60, help="reports")
    parser.add_argument("--seed", type=int, default=1902)
    parser.add_argument("--rows", type=int, default=3, help="rows of each kind that are taken out of a report, at most")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    run_command(lambda: run(options))


def run(options: Any) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    figures = measure(options.split, options.count, options.seed, options.rows)
    console = Console()
    console.print(f"{options.split}, seed {options.seed}: of {figures['reports']} true answers {figures['ok']} are ok")
    heads = figures["heads"]
    low, high = heads["interval"]
    console.print(
        f"heads and flags: micro F1 {heads['micro_f1']:.3f} (95% {low:.3f} to {high:.3f}): "
        + ", ".join(f"{name} {own['f1']:.3f} ({own['tp'] + own['fn']})" for name, own in heads["fields"].items())
    )
    doubts = Table("what the others say", "records", title="false alarms", title_justify="left")
    for code, count in figures["alarms"].items():
        doubts.add_row(code, str(count))
    lost = Table("kind", "taken out", "noticed", "read by code", title="rows left out", title_justify="left")
    for kind, (taken, *others) in figures["left_out"].items():
        lost.add_row(kind, str(taken), *(f"{count} ({count / taken:.0%})" if taken else "-" for count in others))
    console.print(doubts, lost)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(split: str, count: int, seed: int, rows: int = 3) -> dict[str, Any]:
    """How many records of true answers are `ok`, by which codes others are not, and how many left-out rows are told."""
    from tqdm import tqdm

    from extraction.api import Extractor
    from extraction.score import Pair, score
    from finetune.data import divide, read_documents
    from recipes.lab_report.fields import HEAD
    from recipes.lab_report.synthetic import families, write_reports
    from recipes.lab_report.task import CONTRACT

    pairs = []
    ok, alarms, left_out = 0, Counter[str](), {kind: [0, 0, 0] for kind in KINDS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "reports"
        write_reports(folder, names=families(split), count=count, seed=seed)
        examples = read_documents(folder, CONTRACT, believed=True)

        def read(example: Example, taught: list[Example]) -> Record:
            return Extractor(Answers(taught), CONTRACT).answer(example)[0]

        for example in tqdm(examples, unit="report", leave=False):
            taught = divide(example, CONTRACT, Answers([]).fits)
            record = read(example, taught)
            pairs.append(Pair(None, example.branches[0].gold, example.context.name).predicted(record.to_dict()))
            ok += record.status == "ok"
            alarms.update({issue.code for issue in record.issues})
            known = Counter((issue.code, issue.message) for issue in record.issues)
            for kind, is_kind in KINDS.items():
                own = [row for row in example.branches[0].gold["tests"] if row["result"] and is_kind(row)]
                for row in own[:: max(1, len(own) // rows)][:rows]:
                    less = list(_without(taught, row))
                    if less == taught:
                        continue
                    record = read(example, less)
                    issues = Counter((issue.code, issue.message) for issue in record.issues)
                    left_out[kind][0] += 1
                    left_out[kind][2] += _has(record, row)
                    left_out[kind][1] += any(code in _SAID and row["result"] in said for code, said in issues - known)
    beside = score(pairs, CONTRACT, fields=(*HEAD, "flag")).to_dict()
    heads = {
        "micro_f1": beside["micro_f1"],
        "interval": beside["interval"]["micro_f1"] or [beside["micro_f1"]] * 2,
        "fields": {
            name: {kind: own[kind] for kind in ("f1", "tp", "fp", "fn")} for name, own in beside["fields"].items()
        },
    }
    alarm = dict(alarms.most_common())
    return {"reports": len(examples), "heads": heads, "ok": ok, "alarms": alarm, "left_out": left_out}


def _has(record: Record, row: dict[str, Any]) -> bool:
    """Whether a row is in a record, by the fields that it is worth nothing without."""
    rows = (record.data or {}).get("tests", [])
    return any(all(one[key] == row[key] for key in ("name", "result", "unit")) for one in rows)


def _has_digit(row: dict[str, Any]) -> bool:
    return any(map(str.isdigit, row["result"]))


def _without(taught: list[Example], row: dict[str, Any]) -> Iterator[Example]:
    """What windows are taught, without a row wherever it is."""
    for example in copy.deepcopy(taught):
        gold = example.branches[0].gold
        gold["tests"] = [one for one in gold["tests"] if (one["name"], one["result"]) != (row["name"], row["result"])]
        yield example


class Answers:
    """A backend that answers what it was taught of a text, and no rows of any other."""

    sees = False

    def __init__(self, taught: list[Example]):
        self._taught = {example.context.parts: example.branches[0].gold for example in taught}

    def fits(self, parts: Iterable[Any]) -> bool:
        """Whether parts fit a prompt, three characters being a token."""
        from recipes.lab_report.task import CONTRACT

        return self.count_tokens(CONTRACT.messages(list(parts))) <= CONTRACT.max_prompt_tokens

    def count_tokens(self, messages: list[Any]) -> int:
        """Tokens of a prompt, by its characters."""
        return sum(len(item.get("text", "")) for message in messages for item in message["content"]) // 3

    def generate(
        self, examples: Iterable[Example | None], contract: Contract
    ) -> Iterator[tuple[Example, int, Generation] | None]:
        """The true record of each text."""
        from extraction.generate import Generation

        for example in examples:
            if example is None:
                yield None
            else:
                gold = self._taught.get(example.context.parts, {"tests": []})
                yield example, 0, Generation(contract.target.encode(gold), "stop")


if __name__ == "__main__":
    main()
