"""The YAML of a run that trains a VQA head."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from finetune.config import BaseConfig, Section
from recipes.contrastive.config import TowersConfig


class QuestionsConfig(Section):
    """Questions on images, in SLAKE's or VQA-RAD's own JSON."""

    train: Path
    """A JSON file of questions: SLAKE's train.json, VQA-RAD's public JSON."""
    validation: Path
    """The same file of VQA-RAD (its phrase_type parts training and test), or another of SLAKE."""
    images: Path | None = None
    """Folder that the images' names are seen from; the file's own folder, or `imgs` or `images` in it, without it."""
    language: str = "en"
    """SLAKE has questions in English (en) and Chinese (zh)."""
    shared_images: bool = False
    """Go on where an image is in both, and say so: VQA-RAD's own parts share 202 of 203 test images."""


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
