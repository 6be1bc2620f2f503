"""Tune a dual encoder: an adapter on its towers, told pairs from others in batches as large as they are wanted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from extraction.errors import AssayError
from extraction.generate.hub import quiet_libraries
from finetune.data import of_both
from finetune.encode import training_order, whole_batches
from finetune.preflight import check_trackers
from finetune.processes import check_launch, on_all, on_main, say, world_size
from finetune.run import RunFolder
from finetune.train import in_folder, keep_best, training_arguments
from recipes.contrastive.adapter import add_towers_adapter
from recipes.contrastive.card import write_card
from recipes.contrastive.config import ContrastiveConfig
from recipes.contrastive.data import Left, Pair, pieces, read_pairs
from recipes.contrastive.embed import read_pixels
from recipes.contrastive.load import Dual, encode_pixels, encode_texts, load, shape_of
from recipes.contrastive.patients import check_patients
from recipes.contrastive.resume import check_same_data
from recipes.contrastive.retrieval import captions_of, recalls
from recipes.contrastive.trainer import PairRows, PairTrainer, collator_of

METRIC = "recall@1"


def train(config: ContrastiveConfig) -> Path:
    """Run, or go on with, the training that `config` describes.

    Returns:
        The folder of the finished adapter: the checkpoint that found held-out captions and images best.

    Raises:
        AssayError: wrong data, model, or output folder; nothing is half-written.
    """
    quiet_libraries()
    on_all(lambda: check_config(config))

    def work(folder: RunFolder, checkpoint: Path | None) -> None:
        pairs, held_out = on_main(lambda: read_data(config), others=lambda made: (made[0], list[Pair]()))
        dual = on_all(lambda: load(config.model, "cpu"))
        judge = on_main(lambda: judge_of(dual, held_out), others=lambda _: None)
        trainer = build_trainer(config, folder, dual, pairs, judge)
        on_main(lambda: check_same_data(folder, checkpoint, pairs, held_out))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if trainer.unreadable:
            say(f"{trainer.unreadable} times an image could not be read, and another pair was trained in its place.")

        def beside(made: Path, facts: dict[str, Any]) -> None:
            write_card(made, {**facts, "examples": f"{len(pairs)} pairs, judged on {len(held_out)}"}, folder, config)

        on_main(lambda: keep_best(trainer, config, folder, beside))

    return in_folder(config, work)


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
    if settings.activation_checkpointing:
        raise AssayError("train.activation_checkpointing: memory is that of `chunk` pairs here; lower that instead.")
    if settings.quantization or settings.activation_offloading:
        raise AssayError(
            "train.quantization and train.activation_offloading are not for dual encoders; leave them out."
        )
    check_trackers(settings.report_to)
    check_launch()


def read_data(config: ContrastiveConfig) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on and pairs to judge by; what is left out, cut or shared is said.

    Raises:
        AssayError: see `read_pairs`, `check_patients` and `check_loss`; or there are fewer pairs than a batch.
    """
    data = config.data

    def read(split: Literal["train", "validation"]) -> list[Pair]:
        left, path = Left(), getattr(data, split)
        pairs = read_pairs(path, data, left)
        if left.counts:
            say(f"Left out of {path}: {left}.")
        return pairs

    pairs, held_out = of_both(read)
    if said := check_patients(pairs, held_out, data.shared_patients):
        say(f"Note: {said}")
    batch = config.train.batch_size * world_size()
    if batch < 2 or len({pair.group for pair in pairs}) < 2:
        raise AssayError("Pairs are told apart within a batch: it needs two or more, and two or more captions.")
    if len(pairs) < batch:
        raise AssayError(
            f"{data.train} holds {len(pairs)} pairs, less than a batch of {batch}; set train.batch_size to "
            f"{len(pairs) // world_size()} or less."
        )
    dual = shape_of(config.model)
    check_loss(config, dual.sigmoid)
    words = dual.words
    shown = [text for pair in pairs for caption in pair.captions for text in pieces(caption, data.captions)]
    judged = [caption for pair in held_out for caption in pair.captions]
    cut = [one for one in (words.told_cut(shown, "texts"), words.told_cut(judged, "held-out captions")) if one]
    say(", ".join([f"{len(pairs)} pairs to train on", f"{len(held_out)} held out", *cut]))
    rng = random.Random(config.train.seed)
    return pairs, rng.sample(held_out, min(len(held_out), config.evaluate.pairs))


def check_loss(config: ContrastiveConfig, sigmoid: bool) -> None:
    """Refuse hard negatives where the loss is the sigmoid one, by the config's word or by the model's making."""
    if config.loss.hard_negatives and config.loss.is_sigmoid(sigmoid):
        raise AssayError(
            "loss.hard_negatives weighs the wrong pairs of info_nce, and the loss of this run is sigmoid; leave it "
            "out, or set loss.kind=info_nce."
        )


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
    captions, images, texts = captions_of([held_out[number] for number, _ in read])

    def judge(model: Any) -> dict[str, float]:
        now = Dual(model, dual.preprocess, dual.words, dual.layout, dual.sigmoid, dual.source, dual.name)
        parts = [read[start : start + 64] for start in range(0, len(read), 64)]
        image = np.concatenate([encode_pixels(now, _stacked([one for _, one in part])).numpy() for part in parts])
        return recalls(image, encode_texts(now, captions).numpy(), images, texts)

    return judge


def _stacked(pixels: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pixels))


def build_trainer(config: ContrastiveConfig, folder: RunFolder, dual: Dual, pairs: Sequence[Pair], judge: Any) -> Any:
    """The trainer for a configuration, ready to run."""
    settings = config.train
    batch = settings.batch_size * world_size()
    order = training_order([1] * len(pairs), math.ceil(settings.epochs), batch, settings.seed)
    order = whole_batches(order[: max(1, round(len(pairs) * settings.epochs))], batch)
    arguments = training_arguments(settings, folder, METRIC)
    if torch.cuda.is_available():
        arguments.dataloader_num_workers = 8
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
