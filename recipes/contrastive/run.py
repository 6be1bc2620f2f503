"""The recipe's training, as the commands `train`, `plan`, `merge` and `evaluate` ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extraction.generate.hub import quiet_libraries
from finetune.run import OwnRun
from recipes.contrastive.config import ContrastiveConfig


class ContrastiveRun(OwnRun):
    """Dual encoders; heavy imports wait until a command is known."""

    config = ContrastiveConfig

    def train(self, config: Any) -> Path:
        """Tune a dual encoder."""
        quiet_libraries()  # before they are imported: bitsandbytes, which peft brings, speaks then
        from recipes.contrastive.train import train

        return train(config)

    def plan(self, config: Any) -> str:
        """Parameters, pairs and steps."""
        quiet_libraries()
        from recipes.contrastive.train import plan

        return plan(config)

    def merge(self, run: Path, out: Path) -> str:
        """Merge into plain weights in the base's own layout."""
        from recipes.contrastive.merge import merge

        return str(merge(run, out))

    def evaluate(self, model: str, data: Path, answers: Path | None = None) -> Mapping[str, float]:
        """Recall at 1, 5 and 10 in both directions; nothing is answered."""
        from recipes.contrastive.evaluate import evaluate

        return evaluate(model, data)


RUN = ContrastiveRun()
