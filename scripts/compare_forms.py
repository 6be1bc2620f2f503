"""Compare what can be taught: rows or objects as the answer, windows or whole pages as the prompt.

    .venv/bin/python scripts/compare_forms.py OUT [--count 200] [--rows 24] [--json FILE]
        [section.key=value ...]

Each form trains a fresh adapter on the same synthetic reports of the demo's layouts, each report once, and reads the
same held-out ones. Run again after a stop, it goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).parents[1] / "recipes" / "lab_report" / "demo.yaml"
WINDOWS = ["data.max_length=2048", "contract.max_prompt_tokens=1024", "contract.max_answer_tokens=1024"]
WHOLE = ["data.max_length=4096", "contract.max_answer_tokens=2048"]
FORMS = {
    "rows, windows": [*WINDOWS, "data.window_tokens=[192, 900]", "train.batch_size=4"],
    "objects, windows": [*WINDOWS, "data.window_tokens=[192, 500]", "train.batch_size=4", "contract.style=objects"],
    "rows, whole pages": WHOLE,
}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/compare_forms.py", description="Compare forms of prompt and answer.")
    parser.add_argument("out", type=Path, help="folder for reports and runs")
    parser.add_argument("--count", type=int, default=200, help="reports to train on")
    parser.add_argument("--rows", type=int, default=24, help="most rows of a report")
    parser.add_argument("--held-out", type=int, default=24, help="reports to read")
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS), help="to compare")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("settings", nargs="*", default=[], help="of every form: section.key=value")
    arguments = parser.parse_intermixed_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Train and read each form, print a table, and write the figures where a file is named."""
    from rich.console import Console
    from rich.table import Table

    from extraction.files import write_whole

    rows = [measure(form, arguments) for form in arguments.forms]
    table = Table(title=f"{arguments.count} reports, each once")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "form" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if arguments.json:
        write_whole(arguments.json, json.dumps(rows, indent=1) + "\n")


def measure(form: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One form's figures."""
    from extraction.api import Extractor
    from extraction.files import write_whole
    from extraction.generate.models import load_tokenizer
    from finetune.config import load_config
    from finetune.data import read_documents
    from finetune.run import read_metrics
    from finetune.task import contract_of, evaluate
    from finetune.train import train
    from recipes.lab_report.task import TASK

    out = arguments.out / form.replace(", ", "-").replace(" ", "-")
    overrides = [
        *FORMS[form],
        f"train.output={out}",
        f"data.train={arguments.out / 'train'}",
        f"data.validation={arguments.out / 'validation'}",
        f"data.synthetic.train.count={arguments.count}",
        f"data.synthetic.train.max_rows={arguments.rows}",
        f"data.synthetic.validation.count={arguments.held_out}",
        f"data.synthetic.validation.max_rows={arguments.rows}",
        "train.checkpoint_steps=100000",
        "evaluate.documents=1",
        *arguments.settings,
    ]
    config = load_config(RECIPE, overrides)
    contract, tokenizer = contract_of(TASK, config.contract), load_tokenizer(config.model)
    adapter = train(config)  # refuses a folder of other settings
    if (done := out / "figures.json").exists():
        return json.loads(done.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    steps = [row for row in read_metrics(out / "metrics.jsonl") if "loss" in row]
    examples = read_documents(Path(config.data.validation), contract, TASK.fields)
    start = time.perf_counter()
    figures = evaluate(Extractor.from_pretrained(adapter), TASK, examples, label=form).figures
    seconds = time.perf_counter() - start
    answers = [len(tokenizer.encode(contract.target.encode(example.branches[0].gold))) for example in examples]
    row = {
        "form": form,
        "steps": steps[-1]["step"],
        "seconds of training": round(steps[-1]["seconds"]),
        "tokens of an answer": round(sum(answers) / len(answers)),
        "micro F1": round(figures["micro_f1"], 3),
        "macro F1": round(figures["macro_f1"], 3),
        "six fields": round(figures["micro_f1_all_fields"], 3),
        "seconds a report": round(seconds / len(examples), 1),
    }
    write_whole(done, json.dumps(row, indent=1) + "\n")
    return row


if __name__ == "__main__":
    main()
