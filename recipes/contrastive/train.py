"""Tune a dual encoder: an adapter on its towers, told pairs from others in batches as large as they are wanted."""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from extraction.errors import AssayError, reason
from extraction.generate.hub import quiet_libraries
from finetune.encode import training_order, whole_batches
from finetune.preflight import check_trackers
from finetune.processes import check_launch, on_all, on_main, say, world_size
from finetune.run import VERSIONS, RunFolder
from finetune.train import go_on, keep_best, training_arguments
from finetune.trainer import Judging, Progress
from recipes.contrastive.cached import cached_backward, gathered
from recipes.contrastive.card import write_card
from recipes.contrastive.config import ContrastiveConfig, TowersConfig
from recipes.contrastive.data import Left, Pair, check_patients, pieces, read_pairs
from recipes.contrastive.embed import read_pixels
from recipes.contrastive.images import UnreadableError
from recipes.contrastive.load import Dual, encode_pixels, encode_texts, encoder, load, shape_of
from recipes.contrastive.losses import info_nce, sigmoid
from recipes.contrastive.retrieval import recalls

METRIC = "recall@1"
_WARMEST = math.log(100)  # CLIP's limit of the temperature (arXiv 2103.00020)


def train(config: ContrastiveConfig) -> Path:
    """Run, or go on with, the training that `config` describes.

    Returns:
        The folder of the finished adapter: the checkpoint that found held-out captions and images best.

    Raises:
        AssayError: wrong data, model, or output folder; nothing is half-written.
    """
    quiet_libraries()
    on_all(lambda: check_config(config))
    folder = RunFolder(config.train.output)
    on_main(lambda: folder.open(config))
    if on_main(lambda: (folder.adapter / VERSIONS).exists()):
        say(f"{folder.path} is finished; its adapter is in {folder.adapter}.")
        return folder.adapter
    checkpoint = on_main(lambda: go_on(folder))
    pairs, held_out = on_main(lambda: read_data(config), others=lambda made: (made[0], list[Pair]()))
    dual = on_all(lambda: load(config.model, "cpu"))
    judge = on_main(lambda: judge_of(dual, held_out), others=lambda _: None)
    trainer = build_trainer(config, folder, dual, pairs, judge)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.unreadable:
        say(f"{trainer.unreadable} times an image could not be read, and another pair was trained in its place.")
    on_main(lambda: keep_best(trainer, config, folder, lambda made, facts: write_card(made, facts, folder, config)))
    return folder.adapter


def check_config(config: ContrastiveConfig) -> None:
    """Refuse what a dual encoder's training does not have.

    Raises:
        AssayError: says which key, and what to take in its place.
    """
    settings = config.train
    if settings.accumulation != 1:
        raise AssayError(
            "train.accumulation does not make a contrastive batch larger, for pairs are told apart within one batch; "
            "raise train.batch_size, and bound the memory by `chunk`."
        )
    if settings.quantization or settings.activation_offloading:
        raise AssayError(
            "train.quantization and train.activation_offloading are not for dual encoders; leave them out."
        )
    if config.loss.hard_negatives and config.loss.kind == "sigmoid":
        raise AssayError("loss.hard_negatives weighs the wrong pairs of info_nce; leave it out, or set loss.kind.")
    check_trackers(settings.report_to)
    check_launch()


def read_data(config: ContrastiveConfig) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on and pairs to judge by; what is left out, cut or shared is said.

    Raises:
        AssayError: see `read_pairs` and `check_patients`; or there are fewer pairs than a batch.
    """
    data = config.data
    sets = []
    for path in (data.train, data.validation):
        left = Left()
        sets.append(read_pairs(path, data, left))
        if left.counts:
            say(f"Left out of {path}: {left}.")
    pairs, held_out = sets
    if said := check_patients(pairs, held_out, data.shared_patients):
        say(f"Note: {said}")
    batch = config.train.batch_size * world_size()
    if batch < 2 or len({pair.group for pair in pairs}) < 2:
        raise AssayError("Pairs are told apart within a batch: it needs two or more, and two or more captions.")
    if len(pairs) < batch:
        raise AssayError(
            f"{data.train} holds {len(pairs)} pairs, less than a batch of {batch}; lower train.batch_size."
        )
    dual = shape_of(config.model)
    shown = [text for pair in pairs for caption in pair.captions for text in pieces(caption, data.captions)]
    cut = dual.words.count_cut(shown)
    note = f", {cut} of {len(shown)} texts longer than {dual.words.length} tokens and cut there" if cut else ""
    say(f"{len(pairs)} pairs to train on, {len(held_out)} held out{note}")
    rng = random.Random(config.train.seed)
    return pairs, rng.sample(held_out, min(len(held_out), config.evaluate.pairs))


def judge_of(dual: Dual, held_out: Sequence[Pair]) -> Callable[[Any], dict[str, float]]:
    """Recall at k of a model in memory on held-out pairs, whose images are read once.

    Raises:
        AssayError: fewer than two of them can be read.
    """
    left = Left()
    read = list(read_pixels([pair.image for pair in held_out], dual.preprocess, left))
    if left.counts:
        say(f"Left out of the held-out pairs: {left}.")
    if len(read) < 2:
        raise AssayError("Fewer than two held-out images can be read, so nothing can be found among them.")
    chosen = [held_out[number] for number, _ in read]

    def judge(model: Any) -> dict[str, float]:
        now = Dual(model, dual.preprocess, dual.words, dual.layout, dual.sigmoid, dual.source, dual.name)
        parts = [read[start : start + 64] for start in range(0, len(read), 64)]
        image = np.concatenate([encode_pixels(now, _stacked([one for _, one in part])).numpy() for part in parts])
        text = encode_texts(now, [pair.captions[0] for pair in chosen]).numpy()
        return recalls(image, text, [pair.group for pair in chosen])

    return judge


def _stacked(pixels: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pixels))


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


def add_towers_adapter(model: nn.Module, settings: TowersConfig, seed: int, base: str) -> Any:
    """A DualEncoder with a trainable adapter, and what is trained in full beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    saved = ["temperature"] if settings.temperature else []
    if settings.projections:
        saved += _projections(model, settings.towers)
    lora = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets(model, settings),
        modules_to_save=saved or None,
        use_dora=settings.use_dora,
        use_rslora=settings.use_rslora,
    )
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise AssayError(f"The adapter cannot be put on {base}: {reason(error)}") from None


def targets(model: nn.Module, settings: TowersConfig) -> str:
    """A pattern of the layers that are adapted, by their full names.

    SigLIP's heads are left out: attention there takes its weights past an adapter. `projections` trains them whole.
    """
    wanted = {"image": "vision", "text": "text"}
    towers = tuple(f"{wanted[tower]}." for tower in settings.towers)
    heads = ("vision.head.", "text.head")
    chosen = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(towers) and not name.startswith(heads)
    ]
    if settings.layers == "attention":
        chosen = [name for name in chosen if ".attention." in name or ".self_attn." in name]
    forms = {".".join(r"\d+" if part.isdigit() else part for part in name.split(".")) for name in chosen}
    return "|".join(sorted(form.replace(".", r"\.") for form in forms))


def _projections(model: nn.Module, towers: Sequence[str]) -> list[str]:
    names = {"image": ("image_projection", "vision.head"), "text": ("text_projection", "text.head")}
    modules = dict(model.named_modules())
    parts = [name for tower in towers for name in names[tower]]
    return [name for name in parts if any(True for _ in modules.get(name, nn.Identity()).parameters())]


class PairTrainer(Judging, Trainer):
    """transformers' Trainer with the step of a contrastive loss: towers in evaluation mode, gradients cached."""

    def __init__(self, *, config: ContrastiveConfig, dual: Dual, judge: Any, folder: RunFolder, **arguments: Any):
        self.judge, self.started, self.unreadable = judge, time.time(), 0
        self.config, self.normalise = config, dual.preprocess.normalise
        kind = config.loss.kind
        self.sigmoid = dual.sigmoid if kind == "auto" else kind == "sigmoid"
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
        """Evaluation mode, dropout of the adapter apart; the temperature within CLIP's limit, or the model's own."""
        whole.eval()
        for name, module in whole.named_modules():
            if "lora_dropout" in name:
                module.train()
        if not self.sigmoid:
            with torch.no_grad():
                for name, parameter in whole.named_parameters():
                    if parameter.requires_grad and name.endswith("temperature.modules_to_save.default.scale"):
                        parameter.clamp_(max=_WARMEST)

    def _share(self, dual: nn.Module) -> None:
        """Sum gradients over processes: each has made those of its own pairs. The temperature's are whole in each."""
        if world_size() == 1:
            return
        own = {id(parameter) for parameter in dual.temperature.parameters()}
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


def build_trainer(config: ContrastiveConfig, folder: RunFolder, dual: Dual, pairs: Sequence[Pair], judge: Any) -> Any:
    """The trainer for a configuration, ready to run."""
    settings = config.train
    batch = settings.batch_size * world_size()
    order = training_order([1] * len(pairs), math.ceil(settings.epochs), batch, settings.seed)
    order = whole_batches(order[: max(1, round(len(pairs) * settings.epochs))], batch)
    arguments = training_arguments(settings, folder, METRIC)
    arguments.gradient_checkpointing = False  # by hand: the Trainer asks it of models of transformers alone
    if torch.cuda.is_available():
        arguments.dataloader_num_workers = 8
    if settings.activation_checkpointing:
        for tower in (dual.model.vision, dual.model.text):
            tower.gradient_checkpointing_enable({"use_reentrant": False})
    rows = PairRows(pairs, order, dual, config.data.captions, settings.seed)
    return PairTrainer(
        config=config,
        dual=dual,
        judge=judge,
        folder=folder,
        model=on_all(lambda: add_towers_adapter(dual.model, config.adapter, settings.seed, config.model)),
        args=arguments,
        train_dataset=rows,
        eval_dataset=torch.utils.data.Subset(rows, [0]),
        data_collator=collator_of(dual),
    )


def plan(config: ContrastiveConfig) -> str:
    """What a run would train, on what, told without loading weights; refuses what training would refuse."""
    check_config(config)
    pairs, held_out = read_data(config)
    dual = shape_of(config.model)
    model = add_towers_adapter(dual.model, config.adapter, config.train.seed, config.model)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    base = sum(parameter.numel() for parameter in model.parameters()) - trained
    settings = config.train
    batch = settings.batch_size * world_size()
    steps = settings.max_steps if settings.max_steps > 0 else math.ceil(round(len(pairs) * settings.epochs) / batch)
    return (
        f"base:    {base:,} parameters\ntrained: {trained:,}\n"
        f"data:    {len(pairs)} pairs, judged on {len(held_out)} others\n"
        f"steps:   {steps} of {batch} pairs, {min(config.chunk, settings.batch_size)} through the towers at a time"
    )
