"""Does reinforcement move the metric? The embedded 270M decoder learns by reward alone to answer choices.

Questions with three options, asked without a word on the form of an answer. The untrained decoder goes on in prose,
which the grader of exams takes for no answer; it is never shown a right one. Prints the curve of the held-out score and
of the mean reward, and leaves the run's report.

    python scripts/prove_reward.py [--steps 24] [--out runs/prove-reward]
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import yaml

from finetune.config import RunConfig
from finetune.reward import reward
from finetune.run import read_metrics

_TESTS = {"Sodium": (136, 145), "Potassium": (36, 51), "Glucose": (70, 100), "Urea": (17, 43), "Calcium": (85, 105)}


def write_questions(folder: Path, count: int, seed: int) -> None:
    """Whether a result is low, normal or high: a table for the recipe exams, answers spread evenly."""
    rng = random.Random(seed)
    rows: dict[str, dict[str, object]] = {}
    while (number := len(rows)) < count:
        name, (low, high) = rng.choice(list(_TESTS.items()))
        right = "ABC"[number % 3]
        value = {"A": low - rng.randint(5, 15), "B": rng.randint(low, high), "C": high + rng.randint(5, 60)}[right]
        asked = f"{name} {value}, reference range {low} - {high}: the result is"
        rows.setdefault(asked, {"question": asked, "options": ["low", "normal", "high"], "answer": right})
    folder.mkdir(parents=True, exist_ok=True)
    made = list(rows.values())
    for split, own in {"train": made[: -count // 4], "dev": made[-count // 4 :]}.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
    row = {
        "recipe": "exams",
        "files": {"train": ["train.jsonl"], "validation": ["dev.jsonl"], "test": ["dev.jsonl"]},
        "columns": {"question": "question", "options": "options", "answer": "answer"},
        "prompt": {"ask": "{question}\n{options}\nFinal Answer:"},
    }
    (folder / "row.yaml").write_text(yaml.safe_dump(row), encoding="utf-8")


def main() -> None:
    """Train, and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/prove-reward"))
    asked = parser.parse_args()
    data = asked.out / "data"
    if not data.exists():
        write_questions(data, 96, 0)
    config = RunConfig.model_validate(
        {
            "recipe": "exams",
            "data": {"train": data, "validation": data, "max_length": 256},
            "contract": {"instruction": "", "max_answer_tokens": 6},
            "adapter": {"r": 8, "alpha": 16},
            "train": {
                "output": asked.out / "run", "max_steps": asked.steps, "batch_size": 8, "accumulation": 2,
                "learning_rate": 5e-4, "scheduler": "constant_with_warmup", "log_steps": 1,
                "checkpoint_steps": max(1, asked.steps // 4),
            },
            "evaluate": {"documents": 24},
            "reward": {"generations": 8, "weights": {"metric": 1.0}},
        }
    )  # fmt: skip
    reward(config)
    rows = read_metrics(asked.out / "run" / "metrics.jsonl")
    print("step  held-out score  (answers that state nothing)")
    for row in (row for row in rows if "eval_score" in row):
        print(f"{row['step']:4}  {row['eval_score']:.3f}  ({row.get('eval_ungraded: none stated', 0):.0f})")
    drawn = [row["reward"] for row in rows if "reward" in row]
    print("mean reward by step: " + " ".join(f"{value:.2f}" for value in drawn))
    print(f"report: {asked.out / 'run' / 'report.html'}")


if __name__ == "__main__":
    main()
