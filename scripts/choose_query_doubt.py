"""Choose how sure a model must be of a query, or of what it read, that is told without a doubt.

These are `DOUBT` of `recipes/ehr_query/ask.py`, and of `recipes/ehr_qa/answer.py` (`--model ehr-qa-270m`).

    .venv/bin/python scripts/choose_query_doubt.py [--model ADAPTER] [--questions 400] [--seed 3] [--folder FOLDER]

Invented questions in wordings and of things that training never has (for reading: 30 on each of some invented
patients); FOLDER holds others, such as the lay ones or bundles, which judge the choice and never make it. Printed for
each limit: of the wrong answers the share told without a doubt, and of the right ones the share that is doubted.
What is read as not found has no words to be sure of, and is left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

LIMITS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
EACH = 30  # questions on a record that is read


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/choose_query_doubt.py", description="Choose when a query is doubted."
    )
    parser.add_argument("--model", default="ehr-query-270m", help="an adapter or merged model of ehr_query or ehr_qa")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="a folder with questions.jsonl instead of invented ones")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments.model, arguments.questions, arguments.seed, arguments.folder))


def run(model: str, count: int, seed: int, folder: Path | None) -> None:
    from extraction.api import Extractor
    from extraction.room import Room
    from finetune.config import SyntheticConfig
    from finetune.task import DataRequest, load_task
    from recipes.ehr_qa.answer import sureness

    extractor = Extractor.from_pretrained(model)
    reads = "answer" in extractor.contract.target.keys
    task = load_task("ehr_qa" if reads else "ehr_query")
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            folder = Path(scratch) / "invented"
            made = SyntheticConfig(count=max(1, count // EACH) if reads else count, seed=seed)
            task.synthesize(folder, "validation", made)
        room = Room(extractor.backend.count_tokens, extractor.contract)
        examples = task.read(DataRequest(folder, "validation", extractor.contract, room, EACH, seed))
    answered = [done for done in extractor.answers(examples) if done]
    pairs = [pair for example, own in answered for pair in zip(example.branches, own, strict=True)]
    told = [pair for pair in pairs if not reads or (pair[1].data or {}).get("answer") not in (None, [])]
    judged = [(task.right(branch, record), sureness(record)) for branch, record in told]
    right = [sure for good, sure in judged if good]
    wrong = [sure for good, sure in judged if not good]
    print(f"{len(right)} right, {len(wrong)} wrong of {len(judged)}")
    print("limit   wrong, undoubted   right, doubted")
    for limit in LIMITS:
        told, lost = sum(sure >= limit for sure in wrong), sum(sure < limit for sure in right)
        print(f"{limit:5.2f}   {told / max(1, len(wrong)):16.2f}   {lost / max(1, len(right)):14.2f}")


if __name__ == "__main__":
    sys.exit(main())
