"""The rows that are trained, and the step that tells them apart."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from extraction.errors import AssayError
from finetune.processes import world_size
from finetune.run import RunFolder
from finetune.trainer import Judging, Progress
from recipes.contrastive.adapter import still
from recipes.contrastive.cached import cached_backward, gathered
from recipes.contrastive.config import ContrastiveConfig
from recipes.contrastive.data import Pair, pieces
from recipes.contrastive.images import UnreadableError
from recipes.contrastive.load import Dual, encoder
from recipes.contrastive.losses import info_nce, sigmoid

_WARMEST = math.log(100)  # CLIP's limit of the temperature (arXiv 2103.00020)


class PairRows(torch.utils.data.Dataset[dict[str, Any]]):
    """Pairs in the order of training, images drawn when they are needed.

    Args:
        order: indices of pairs, all passes one after the other.
    """

    def __init__(self, pairs: Sequence[Pair], order: Sequence[int], dual: Dual, how: str, seed: int):
        self.pairs, self.order, self.how, self.seed = pairs, order, how, seed
        self.preprocess = dual.preprocess

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Pixels, caption and group of the pair at a place in the order; of the next readable one where it must be."""
        for tried in range(len(self.pairs)):
            pair = self.pairs[(self.order[number] + tried) % len(self.pairs)]
            try:
                pixels = torch.from_numpy(self.preprocess.pixels(pair.image.open()).copy())
            except UnreadableError as error:
                if tried < 3:
                    print(f"{error} Another pair is trained in its place.", file=sys.stderr)
                continue
            rng = random.Random(f"{self.seed}-{number}")
            text = rng.choice(pieces(rng.choice(pair.captions), self.how))
            return {"pixels": pixels, "text": text, "group": pair.group, "unreadable": tried}
        raise AssayError("None of the training images can be read.")


def collator_of(dual: Dual) -> Callable[[Sequence[dict[str, Any]]], dict[str, Any]]:
    """Makes a batch of rows: pixels stay uint8, a byte a value, until their chunk is passed through the tower."""

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "pixels": torch.stack([row["pixels"] for row in rows]),
            **dual.words.encode([row["text"] for row in rows]),
            "groups": torch.tensor([row["group"] for row in rows]),
            "unreadable": torch.tensor(sum(row["unreadable"] for row in rows)),
        }

    return collate


class PairTrainer(Judging, Trainer):
    """transformers' Trainer with the step of a contrastive loss: towers in evaluation mode, gradients cached."""

    def __init__(self, *, config: ContrastiveConfig, dual: Dual, judge: Any, folder: RunFolder, **arguments: Any):
        self.judge, self.unreadable = judge, 0
        self.config, self.normalise = config, dual.preprocess.normalise
        self.sigmoid = config.loss.is_sigmoid(dual.sigmoid)
        super().__init__(**arguments)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise AssayError("Dual encoders fit every GPU: launch them with recipes/accelerate/ddp.yaml.")
        self.remove_callback(PrinterCallback)
        self.add_callback(Progress(folder))

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """The loss of a batch, over all processes, with its gradients in the parameters.

        The model is asked past DDP, which would average what belongs together: gradients are summed here.
        """
        whole = self.accelerator.unwrap_model(model)
        dual = encoder(whole)
        self._modes(whole)
        self.unreadable += int(inputs.pop("unreadable"))
        inputs = self._prepare_inputs(inputs)
        groups = gathered(inputs.pop("groups")) if self.config.loss.repeats == "positives" else None
        inputs.pop("groups", None)
        chunks = _chunks(inputs, self.config.chunk)

        def encode(fed: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            rest = {key: value for key, value in fed.items() if key != "pixels"}
            made: tuple[torch.Tensor, torch.Tensor] = dual(self.normalise(fed["pixels"]), **rest)
            return made

        def loss(image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            image, text = gathered(image), gathered(text)
            if self.sigmoid:
                return sigmoid(image, text, dual.temperature, groups)
            return info_nce(image, text, dual.temperature, groups, self.config.loss.hard_negatives)

        step = self.state.global_step + self.args.seed
        value = cached_backward(encode, chunks, loss, self.compute_loss_context_manager, seed=100_000 * step)
        self._share(dual)
        return value

    def _modes(self, whole: nn.Module) -> None:
        """See `still`; and the temperature of InfoNCE within CLIP's limit."""
        still(whole)
        if not self.sigmoid:
            with torch.no_grad():
                for name, parameter in whole.named_parameters():
                    if parameter.requires_grad and name.endswith("temperature.modules_to_save.default.scale"):
                        parameter.clamp_(max=_WARMEST)

    def _share(self, dual: nn.Module) -> None:
        """Sum gradients over processes: each has made those of its own pairs. The temperature's are whole in each."""
        if world_size() == 1:
            return
        own = {id(parameter) for parameter in dual.get_submodule("temperature").parameters()}
        for parameter in dual.parameters():
            if parameter.grad is not None and id(parameter) not in own:
                torch.distributed.all_reduce(parameter.grad)


def _chunks(inputs: dict[str, torch.Tensor], size: int) -> list[dict[str, torch.Tensor]]:
    """A batch in parts; each part's texts without the padding that longer ones of the batch need."""
    made = []
    for start in range(0, len(inputs["pixels"]), size):
        part = {key: value[start : start + size] for key, value in inputs.items()}
        if "attention_mask" in part:
            longest = int(part["attention_mask"].sum(1).max())
            part |= {key: part[key][:, :longest] for key in ("input_ids", "attention_mask")}
        made.append(part)
    return made
