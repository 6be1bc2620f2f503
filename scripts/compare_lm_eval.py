"""The likelihood of options side by side with lm-evaluation-harness: the same model, the same items, item by item.

    .venv/bin/python scripts/compare_lm_eval.py --data FOLDER [--model gemma-3-270m] [--items 25] [--json FILE]

FOLDER holds `medqa`, `medmcqa` and `pubmedqa` with `test.jsonl` each (question, options, answer_idx). The prompts are
the harness's own: its functions for these tasks make them, its model class scores the options
(those of one token, as these are, in one pass; others in a pass each); here all options of a question go through the
model behind the question, in one. Both get the same tokens, without a
chat template. A difference of more than TOLERANCE in a log-likelihood, or another best option, is listed.
lm_eval (0.4.9 or later) must be importable.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tqdm import tqdm

TOLERANCE = 0.02
LETTERS = "ABCD"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/compare_lm_eval.py", description="Likelihoods beside lm-eval's.")
    parser.add_argument("--data", type=Path, required=True, help="folder of medqa, medmcqa, pubmedqa")
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--items", type=int, default=25, help="of each data set")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    from extraction.api import backend_for
    from extraction.errors import AssayError
    from extraction.files import write_whole

    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        raise AssayError("lm-evaluation-harness is not installed: pip install 'lm-eval>=0.4.9'.") from None
    for name in TASKS:
        if not (arguments.data / name / "test.jsonl").is_file():
            raise AssayError(f"There is no {arguments.data / name / 'test.jsonl'}; --data holds {', '.join(TASKS)}.")

    backend = backend_for(arguments.model, dtype="float32")
    theirs = HFLM(pretrained=backend.model, tokenizer=backend.tokenizer, batch_size=1)
    figures = {name: compared(name, arguments, backend, theirs) for name in TASKS}
    head = ("items", "lm-eval", "Assay", "same best", "largest difference", "lm-eval s", "Assay s")
    print(f"{'':10} {head[0]:>6} {head[1]:>8} {head[2]:>8} {head[3]:>10} {head[4]:>19} {head[5]:>10} {head[6]:>8}")
    for name, row in figures.items():
        print(
            f"{name:10} {row['items']:6} {row['accuracy of lm-eval']:8.3f} {row['accuracy of Assay']:8.3f} "
            f"{row['same best']:10} {row['largest difference']:19.5f} {row['seconds of lm-eval']:10.1f} "
            f"{row['seconds of Assay']:8.1f}"
        )
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def medqa(row: dict[str, Any]) -> tuple[dict[str, Any], list[str], int]:
    """What the harness's MedQA has of an item, its choices and the right one."""
    made = {"sent1": row["question"], **{f"ending{n}": row["options"][c] for n, c in enumerate(LETTERS)}}
    return made, list(LETTERS), LETTERS.index(row["answer_idx"])


def medmcqa(row: dict[str, Any]) -> tuple[dict[str, Any], list[str], int]:
    """The same of MedMCQA."""
    made = {"question": row["question"], **{f"op{c.lower()}": row["options"][c] for c in LETTERS}}
    return made, list(LETTERS), LETTERS.index(row["answer_idx"])


def pubmedqa(row: dict[str, Any]) -> tuple[dict[str, Any], list[str], int]:
    """The same of PubMedQA, whose abstract and question are divided at the last line."""
    abstract, _, question = row["question"].rpartition("\n")
    choices = ["yes", "no", "maybe"]
    return {"QUESTION": question, "CONTEXTS": [abstract]}, choices, choices.index(row["options"][row["answer_idx"]])


TASKS: dict[str, tuple[str, Callable[[dict[str, Any]], tuple[dict[str, Any], list[str], int]]]] = {
    "medqa": ("lm_eval.tasks.medqa.preprocess_medqa", medqa),
    "medmcqa": ("lm_eval.tasks.medmcqa.utils_medmcqa", medmcqa),
    "pubmedqa": ("lm_eval.tasks.pubmedqa.preprocess_pubmedqa", pubmedqa),
}


def compared(name: str, arguments: argparse.Namespace, backend: Any, theirs: Any) -> dict[str, Any]:
    """One data set, both ways."""
    from lm_eval.api.instance import Instance

    from extraction.families import Prompt
    from extraction.generate.likelihood import log_likelihoods

    module, shape = TASKS[name]
    text = import_module(module).doc_to_text
    lines = (arguments.data / name / "test.jsonl").read_text(encoding="utf-8").splitlines()[: arguments.items]
    right, same, largest, listed, seconds = [0, 0], 0, 0.0, list[str](), [0.0, 0.0]
    for number, line in enumerate(tqdm(lines, desc=name, leave=False)):
        document, choices, gold = shape(json.loads(line))
        prompt = text(document)
        requests = [
            Instance("loglikelihood", document, (prompt, f" {choice}"), place) for place, choice in enumerate(choices)
        ]
        start = time.perf_counter()
        their = [value for value, _ in theirs.loglikelihood(requests, disable_tqdm=True)]
        middle = time.perf_counter()
        encoded = [theirs._encode_pair(prompt, f" {choice}") for choice in choices]
        own = log_likelihoods(backend._decoder(), [(Prompt(list(ids)), list(answer)) for ids, answer in encoded])
        seconds = [seconds[0] + middle - start, seconds[1] + time.perf_counter() - middle]
        best = [max(range(len(choices)), key=values.__getitem__) for values in (their, own)]
        right = [right[side] + (best[side] == gold) for side in (0, 1)]
        same += best[0] == best[1]
        apart = max(abs(one - other) for one, other in zip(their, own, strict=True))
        largest = max(largest, apart)
        if best[0] != best[1] or apart > TOLERANCE:
            listed.append(f"{name} {number}: {their} and {own}")
    for told in listed:
        print(told)
    return {
        "items": len(lines),
        "accuracy of lm-eval": right[0] / len(lines),
        "accuracy of Assay": right[1] / len(lines),
        "same best": same,
        "largest difference": largest,
        "seconds of lm-eval": seconds[0],
        "seconds of Assay": seconds[1],
        "differences": listed,
    }


if __name__ == "__main__":
    main()
