"""Choose how sure a model must be of a query that is told without a doubt (`recipes/ehr_query/ask.py`, `DOUBT`).

    .venv/bin/python scripts/choose_query_doubt.py [--model ADAPTER] [--questions 400] [--seed 3] [--folder FOLDER]

Invented questions in wordings and of things that training never has; FOLDER holds others, such as the lay ones, which
judge the choice and never make it. Printed for each limit: of the wrong queries the share that is told without a doubt,
and of the right ones the share that is doubted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

LIMITS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/choose_query_doubt.py", description="Choose when a query is doubted."
    )
    parser.add_argument("--model", default="ehr-query-270m", help="an adapter or merged model of the recipe ehr_query")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="a folder with questions.jsonl instead of invented ones")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments.model, arguments.questions, arguments.seed, arguments.folder))


def run(model: str, count: int, seed: int, folder: Path | None) -> None:
    from extraction.api import Extractor
    from extraction.room import Room
    from finetune.task import DataRequest
    from recipes.ehr_query.ask import sureness
    from recipes.ehr_query.questions import write_questions
    from recipes.ehr_query.task import FILE, TASK

    extractor = Extractor.from_pretrained(model)
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            folder = Path(scratch)
            write_questions(folder / FILE, count, seed, held_out=True)
        room = Room(extractor.backend.count_tokens, extractor.contract)
        examples = TASK.read(DataRequest(folder, "validation", extractor.contract, room))
    answered = [done for done in extractor.answers(examples) if done]
    judged = [(TASK.right(example.branches[0], own[0]), sureness(own[0])) for example, own in answered]
    right = [sure for good, sure in judged if good]
    wrong = [sure for good, sure in judged if not good]
    print(f"{len(right)} right, {len(wrong)} wrong of {len(judged)}")
    print("limit   wrong, undoubted   right, doubted")
    for limit in LIMITS:
        told, lost = sum(sure >= limit for sure in wrong), sum(sure < limit for sure in right)
        print(f"{limit:5.2f}   {told / max(1, len(wrong)):16.2f}   {lost / max(1, len(right)):14.2f}")


if __name__ == "__main__":
    sys.exit(main())
