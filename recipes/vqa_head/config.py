"""The YAML of a run that trains a VQA head."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from finetune.config import BaseConfig, Section
from recipes.contrastive.config import TowersConfig


class QuestionsConfig(Section):
    """Questions on images, in a data set's own layout (`recipes/vqa`), or by a `row.yaml` beside them."""

    train: Path
    """Folder of the data set, whose training part is read: SLAKE, VQA-RAD, a team's own."""
    validation: Path
    """The same folder or another, whose validation part is read."""


class FusionConfig(Section):
    """METER's fusion (arXiv 2111.02387): both towers' tokens look at each other, layer by layer."""

    layers: int = Field(default=6, gt=0)
    """Co-attention layers."""
    width: int = Field(default=768, gt=0)
    """Width of the fused tokens."""
    heads: int = Field(default=12, gt=0)
    """Attention heads; they divide the width."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of the fusion, in training."""
    text_tokens: int = Field(default=50, gt=1)
    """Longer questions are cut there."""
    fusion_rate: float = Field(default=5, gt=0)
    """The fusion's learning rate, in learning rates of the towers' adapter."""
    head_rate: float = Field(default=50, gt=0)
    """The classifier's."""


class VqaConfig(BaseConfig):
    """One run: which dual encoder, which questions."""

    recipe: Literal["vqa_head"] = "vqa_head"
    data: QuestionsConfig
    adapter: TowersConfig = TowersConfig(temperature=False)
    fusion: FusionConfig = FusionConfig()
