"""Does reinforcement move the metric? The embedded 270M decoder learns by reward alone to flag laboratory results.

Each question is a result with its reference range; the answer, under the grammar of its schema, is low, normal or high.
The decoder is never shown a right answer, only what its own are worth. Six results of eight are high: a constant answer
reaches 0.75 at best, and untrained it calls everything normal. Prints the curve of the held-out accuracy and of the
mean reward, and leaves the run's report.

    python scripts/prove_reward.py [--steps 16] [--documents 24] [--out runs/prove-reward]
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from extraction.contract import Contract
from extraction.example import Branch, Context, Example
from finetune.config import RunConfig
from finetune.reward import reward
from finetune.run import read_metrics
from finetune.task import DataRequest, Task

_TESTS = {"Sodium": (136, 145), "Glucose": (70, 100), "Urea": (17, 43), "Calcium": (85, 105)}
_FLAGS = ("low", "normal", "high")
_SCHEMA = {"type": "object", "properties": {"flag": {"enum": list(_FLAGS)}}, "required": ["flag"]}


class Flags(Task):
    """Whether a result is low, normal or high."""

    name = "flags"
    contract = Contract(instruction="Flag the result.", record_schema=_SCHEMA, style="objects", max_answer_tokens=12)

    def read(self, wanted: DataRequest) -> list[Example]:
        """Made here; the folder stays empty."""
        rng = random.Random(wanted.split)
        made: dict[str, Example] = {}
        while len(made) < (64 if wanted.split == "train" else 24):
            test, (low, high) = rng.choice(list(_TESTS.items()))
            flag = ("low", "normal", *["high"] * 6)[len(made) % 8]
            value = {
                "low": low - rng.randint(5, 15),
                "normal": rng.randint(low, high),
                "high": high + rng.randint(5, 60),
            }
            text = f"{test} {value[flag]} ({low} - {high}), {wanted.split}"
            made[text] = Example(Context(text, (text,)), (Branch(gold={"flag": flag}),))
        return list(made.values())


TASK = Flags()


def main() -> None:
    """Train, and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--documents", type=int, default=24, help="held-out questions")
    parser.add_argument("--out", type=Path, default=Path("runs/prove-reward"))
    asked = parser.parse_args()
    data = {split: asked.out / split for split in ("train", "validation")}
    for folder in data.values():
        folder.mkdir(parents=True, exist_ok=True)
    train = {
        "output": asked.out / "run", "max_steps": asked.steps, "batch_size": 8, "learning_rate": 1e-3,
        "scheduler": "constant", "checkpoint_steps": max(1, asked.steps // 4), "log_steps": 1,
    }  # fmt: skip
    reward(
        RunConfig.model_validate(
            {
                "recipe": "prove_reward",
                "data": {**data, "max_length": 256},
                "adapter": {"r": 8, "alpha": 16},
                "train": train,
                "evaluate": {"documents": asked.documents},
                "reward": {"generations": 4},
            }
        )
    )
    rows = read_metrics(asked.out / "run" / "metrics.jsonl")
    print(
        "held-out accuracy by step: "
        + ", ".join(f"{r['step']}: {r['eval_accuracy']:.3f}" for r in rows if "eval_accuracy" in r)
    )
    print("mean reward by step: " + " ".join(f"{row['reward']:.2f}" for row in rows if "reward" in row))
    print(f"report: {asked.out / 'run' / 'report.html'}")


if __name__ == "__main__":
    main()
