"""The recipe's training, as the commands `train`, `plan`, `merge` and `evaluate` ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from finetune.run import OwnRun
from recipes.vqa_head.config import VqaConfig


class VqaRun(OwnRun):
    """Heavy imports wait until a command is known."""

    config = VqaConfig

    def train(self, config: Any) -> Path:
        """Train a VQA head."""
        from recipes.vqa_head.train import train

        return train(config)

    def plan(self, config: Any) -> str:
        """Questions, answers and parameters."""
        from recipes.contrastive.load import shape_of
        from recipes.vqa_head.train import add_head, answers_of, check_config, read_data

        check_config(config)
        questions, held_out = read_data(config)
        model = add_head(shape_of(config.model), config, len(answers_of(questions)))
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        return f"trained: {trained:,} parameters\ndata:    {len(questions)} questions, judged on {len(held_out)} others"

    def merge(self, run: Path, out: Path) -> str:
        """A head is used with its adapter."""
        raise AssayError(f"{run} is a VQA head, which no published layout has a place for; use its adapter's folder.")

    def evaluate(self, model: str, data: Path, answers: Path | None = None) -> Mapping[str, float]:
        """Accuracy: overall, open, closed."""
        from recipes.vqa_head.train import evaluate

        return evaluate(model, data, answers)


RUN = VqaRun()
