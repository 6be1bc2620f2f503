"""The YAML of a run that tunes a dual encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from finetune.config import EMPTY, LISTED, BaseConfig, LoraConfig, Section, TrainConfig

Format = Literal["auto", "pairs", "pmc", "classes", "webdataset"]


class PairsConfig(Section):
    """Images with captions; the formats are in README.md."""

    train: Path
    """A CSV, TSV or JSONL file of images with captions, a folder with a folder for each class, or of shards (.tar)."""
    validation: Path
    """The same, never trained on: the best checkpoint is the one that finds the right captions here most often."""
    format: Format = "auto"
    """`auto` tells by the file: `pmc` is JSONL of articles with figures."""
    image: str = "image"
    """Column, or key, of the image's path, as seen from the file's folder."""
    caption: str = "caption"
    """Column, or key, of the caption: a text, or a list of them."""
    patient: Annotated[str, EMPTY] = "patient"
    """Column, or key, of what must not be in training and validation both; empty where there is no such column."""
    shared_patients: bool = False
    """Go on where a patient is in both, and say so."""
    label: Annotated[str, EMPTY] = ""
    """Column, or key, of a class: pairs of one class are right for each other. Captions that are equal always are."""
    templates: Annotated[tuple[str, ...], LISTED] = ("a photo of {}",)
    """For folders of classes: captions, the class in the place of {}."""
    captions: Literal["whole", "sentence", "part"] = "whole"
    """What of a caption is shown: all, one of its sentences, or one of its sub-captions ((A) ... (B) ...), another at
    every pass; validation sees the whole."""


class TowersConfig(LoraConfig):
    """The LoRA adapter of two towers."""

    towers: Annotated[tuple[Literal["image", "text"], ...], LISTED] = Field(default=("image", "text"), min_length=1)
    """Which of them are adapted."""
    layers: Literal["attention", "all-linear"] = "attention"
    """Which of their layers."""
    projections: bool = False
    """Also train what leads from the towers into the common space, in full."""
    temperature: bool = True
    """Also train the temperature (and the bias of the sigmoid loss)."""


class LossConfig(Section):
    """What is minimised."""

    kind: Literal["auto", "info_nce", "sigmoid"] = "auto"
    """Symmetric InfoNCE (arXiv 2103.00020), or the sigmoid loss (arXiv 2303.15343); `auto`: as the model was made."""
    repeats: Literal["positives", "negatives"] = "positives"
    """What pairs of one caption (or one label) are for each other: also right (arXiv 2204.03610), or wrong."""
    hard_negatives: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight wrong pairs of InfoNCE by exp(this x similarity) (arXiv 2010.04592); 0: all alike."""

    def is_sigmoid(self, made_with_sigmoid: bool) -> bool:
        """Whether the loss of a run is the sigmoid one, of a model that was made with it or not."""
        return made_with_sigmoid if self.kind == "auto" else self.kind == "sigmoid"


class RetrievalConfig(Section):
    """Finding held-out captions and images during training."""

    pairs: int = Field(default=1000, gt=1)
    """How many of the validation pairs."""


class ContrastiveConfig(BaseConfig):
    """One run: which dual encoder, which pairs."""

    recipe: Literal["contrastive"] = "contrastive"
    data: PairsConfig
    adapter: TowersConfig = TowersConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig
    """`batch_size` is how many pairs a device tells apart at once."""
    chunk: int = Field(default=64, gt=0)
    """Pairs that pass through the towers at a time: memory is that of so many, whatever the batch (gradients are those
    of the whole batch, arXiv 2101.06983); a batch of more costs a second forward pass."""
    evaluate: RetrievalConfig = RetrievalConfig()
