"""What a run trains on and is judged by: made where the run says so, read, checked, counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example
from extraction.families import Family
from extraction.reading import check_room
from extraction.room import Room
from finetune.config import RunConfig, TrainConfig
from finetune.data import check_folders, check_split, digest_of, of_both
from finetune.encode import encode_all, fits
from finetune.pack import pack
from finetune.preflight import check_run, is_here
from finetune.processes import say, world_size
from finetune.task import DataRequest, Task, check_grading, contract_of, load_task, read_examples


def checked(config: RunConfig) -> tuple[Task, Contract, Family]:
    """Task, contract and model's family of a run; what can be said against it is said before anything is opened."""
    task = load_task(config.recipe)
    contract = contract_of(task, config.contract)
    family = check_run(config, contract)
    check_folders(config.data)
    return task, contract, family


def make_synthetic(config: RunConfig, task: Task) -> None:
    """Make the data that a run wants made and that are not there yet."""
    for split, wanted in config.data.synthetic.items():
        target: Path = getattr(config.data, split)
        if not target.exists():
            say(f"Making {wanted.count} documents in {target}")
            task.synthesize(target, split, wanted)


def read_sets(config: RunConfig, task: Task, contract: Contract, family: Family) -> tuple[list[Example], list[Example]]:
    """The examples that are trained, and those by which the model is judged; made first where the run says so.

    Raises:
        AssayError: see `read_examples` and `few`; or a prompt has no room for a page of a held-out document.
    """
    make_synthetic(config, task)
    data = config.data
    say(f"Reading the data of {data.train} and {data.validation}")
    room = Room(family.count, contract)
    train, held_out = of_both(lambda split: read_examples(task, DataRequest.of_run(config, split, contract, room)))
    check_split(train, held_out)
    held_out = held_out[: config.evaluate.documents]
    for example in held_out:  # else found only at the first checkpoint
        check_room(example, contract, fits(contract, family, contract.max_prompt_tokens))
    check_grading(task, contract, held_out)
    return few(train, config), held_out


def read_data(
    config: RunConfig, task: Task, contract: Contract, family: Family
) -> tuple[list[dict[str, Any]], list[Example], str]:
    """The rows that are trained, the examples by which the model is judged, and what there is of both, in words.

    Raises:
        AssayError: see `read_sets` and `encode`.
    """
    train, held_out = read_sets(config, task, contract, family)
    rows = list(encode_all(train, contract, family, config.data, config.train.seed))
    return pack(rows, config.data.max_length) if config.data.pack else rows, held_out, told_sets(task, train, held_out)


def told_sets(task: Task, train: Sequence[Example], held_out: Sequence[Example]) -> str:
    """How many examples are trained and judged, and by what hashes they can be known again, for card and report."""
    return (
        f"{len(train)} {task.unit}, judged on {len(held_out)} (SHA-256 of all that is shown, asked and true: "
        f"{digest_of(train)[:16]}, {digest_of(held_out)[:16]})"
    )


def few(examples: Sequence[Example], config: RunConfig) -> list[Example]:
    """As many examples as `data.examples` says, in their order; those of a smaller number are among those of a larger.

    Which ones hangs on the seed and on each example itself, so that a folder may grow.

    Raises:
        AssayError: there are fewer.
    """
    number = config.data.examples
    if number is None:
        return list(examples)
    if number > len(examples):
        raise AssayError(
            f"data.examples={number}, and {config.data.train} has {len(examples)} examples; lower it, or leave it out."
        )

    def drawn(place: int) -> str:
        one = examples[place].context
        return hashlib.sha256(f"{config.train.seed} {one.name} {one.sha256}".encode("utf-8", "replace")).hexdigest()

    return [examples[place] for place in sorted(sorted(range(len(examples)), key=drawn)[:number])]


def told_data(config: RunConfig) -> tuple[str, Family | None, list[dict[str, Any]]]:
    """What there is to train on, in a line, read, checked and counted as training would; nothing is made or written.

    Returns:
        The line; the model's family, where the model is on this machine; the rows, where the data are there, too.

    Raises:
        AssayError: see `read_data`.
    """
    data = config.data
    check_folders(data)
    here = is_here(config.model)
    if unmade := [str(folder) for split in data.synthetic if not (folder := getattr(data, split)).exists()]:
        told = f"data:    not there yet: {', '.join(unmade)} (made when training starts)"
        return told, checked(config)[2] if here else None, []
    if not here:
        return (
            f"data:    read when {config.model} is on this machine: its tokenizer counts what an example takes",
            None,
            [],
        )
    made = checked(config)
    rows, held_out, _ = read_data(config, *made)
    return told_of(config, rows, held_out), made[2], rows


def told_of(config: RunConfig, rows: Sequence[dict[str, Any]], held_out: Sequence[Example]) -> str:
    """What `told_data` says of data that are read."""
    lengths, steps, batch = (
        [len(row["input_ids"]) for row in rows],
        steps_of(config.train, len(rows)),
        batch_of(config.train),
    )
    packed = sum(len(row.get("lengths") or ()) for row in rows)
    what, of = ("rows", f" with {packed} examples") if packed else ("examples", "")
    passes = config.train.epochs if config.train.max_steps < 0 else steps * batch / len(rows)
    span = f"{min(lengths)} to {max(lengths)} tokens (at most {config.data.max_length})"
    return (
        f"data:    {len(rows)} {what}{of} of {span}, judged on {len(held_out)} others\n"
        f"steps:   {steps} of {batch} {what}, {passes:.3g} times over the data"
    )


def batch_of(settings: TrainConfig) -> int:
    """The examples of an optimiser step, on all devices together."""
    return settings.batch_size * settings.accumulation * world_size()


def steps_of(settings: TrainConfig, rows: int) -> int:
    """The optimiser steps of a run on so many rows."""
    if settings.max_steps > 0:
        return settings.max_steps
    return math.ceil(round(rows * settings.epochs) / batch_of(settings))
