"""A run tried out for a few steps in a folder of its own that vanishes: what it needs in time and memory, measured."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from extraction.errors import AssayError
from extraction.generate.hub import quiet_libraries
from finetune.config import RunConfig
from finetune.encode import training_order, whole_batches
from finetune.memory import held_here, peak, told_when_full
from finetune.preflight import check_disk
from finetune.run import RunFolder
from finetune.sets import batch_of, checked, read_data, steps_of, told_of
from finetune.train import go_on, run_trainer

# Shares of the batches, from the shortest, whose time stands for that of all.
_TYPICAL = (0.25, 0.5, 0.75)


class Watch(TrainerCallback):
    """The seconds of a trainer's steps, evaluations and checkpoints.

    Args:
        stop: after how many steps training is stopped, as if it had been killed behind its checkpoint.
    """

    def __init__(self, stop: int | None = None):
        self.steps, self.evaluations, self.checkpoints = list[float](), list[float](), list[float]()
        self._stop, self._at = stop, 0.0

    def _since(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        before, self._at = self._at, time.perf_counter()
        return self._at - before

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Begin to count."""
        self._since()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step is done."""
        self.steps.append(self._since())
        if self._stop and state.global_step >= self._stop:
            control.should_training_stop = True

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Held-out examples are read; they are read behind a step."""
        self.evaluations.append(self._since())

    def on_save(self, *_: Any, **__: Any) -> None:
        """A checkpoint is written; it is written behind an evaluation."""
        self.checkpoints.append(self._since())


@dataclass(frozen=True)
class Probe:
    """What was measured.

    Attributes:
        dry: with the longest examples, and gone on from a checkpoint; else with typical ones.
        data: what there is to train on (`told_of`).
        total: steps of the run.
        steps: seconds of each measured step; the first one, which warms up, apart.
        tokens: of the longest example.
        evaluation: seconds to read one held-out example; an untrained model writes until it is cut.
        checkpoint: seconds and bytes of one.
        peak: bytes, of the GPU or of the process.
        planned: what a step was to take on a processor, see `finetune.memory.held`.
    """

    config: RunConfig
    dry: bool
    data: str
    total: int
    first: float
    steps: Sequence[float]
    tokens: int
    evaluation: float
    judged: int
    checkpoint: tuple[float, int]
    peak: int
    planned: dict[str, int] | None

    @property
    def seconds(self) -> float:
        """How long the run takes."""
        saved = math.ceil(self.total / self.config.train.checkpoint_steps)
        reading = self.evaluation * self.judged * self.readings
        return self.total * statistics.mean(self.steps) + reading + saved * self.checkpoint[0]

    @property
    def readings(self) -> int:
        """How often the held-out examples are read."""
        return math.ceil(self.total / self.config.train.checkpoint_steps) + self.config.evaluate.before

    def told(self) -> str:
        """All of it, for people."""
        step, (saving, size) = statistics.mean(self.steps), self.checkpoint
        where = "of the GPU" if torch.cuda.is_available() else "of the whole process"
        planned = f", {sum(self.planned.values()) / 1e9:.2f} planned" if self.planned else ""
        which = "the longest examples" if self.dry else "short, middling and long examples"
        lines = [
            self.data,
            f"a step:  {step:.2f} s with {which} (at most {self.tokens} tokens), the first one {self.first:.2f} s; "
            f"{self.evaluation:.1f} s to read a held-out one; a checkpoint {saving:.1f} s, {size / 1e6:,.1f} MB",
            f"peak:    {self.peak / 1e9:.2f} GB {where}{planned}",
            f"time:    {'at most ' if self.dry else ''}about {spoken(self.seconds)}: {self.total} steps, and "
            f"{self.readings} times {self.judged} held-out examples read",
        ]
        if self.dry:
            lines.append("dry run: stopped behind a checkpoint it went on from there; nothing is left behind")
        return "\n".join(lines)


def spoken(seconds: float) -> str:
    """A span of time for people."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def probe(config: RunConfig, dry: bool = False) -> Probe:
    """Train a few steps as the run would, judge, write a checkpoint; remove all of it.

    Args:
        dry: two steps with the longest examples, stopped behind the first one's checkpoint and gone on from there;
            else one step with the longest, and one each with batches a quarter, half and three quarters of the way
            from the shortest to the longest, which tell the time.

    Raises:
        AssayError: whatever training would raise; or the disk has no room for the run's checkpoints.
    """
    quiet_libraries()
    with told_when_full(), _aside(config) as own:
        made = checked(own)
        rows, held_out, _ = read_data(own, *made)
        few = sorted(held_out, key=lambda one: len(str(one.context.parts)))[-config.evaluate.rows :]
        order = _order(config, [len(row["input_ids"]) for row in rows], dry)
        number = len(order) // batch_of(config.train)
        once = 1 if dry else number
        own = own.model_copy(
            update={"train": own.train.model_copy(update={"max_steps": number, "checkpoint_steps": once})}
        )
        folder = RunFolder(own.train.output)
        folder.open(own)
        planned = held_here(own, made[2], rows)  # while this process holds no model yet
        watches = [Watch(stop=1), Watch()] if dry else [Watch()]
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        for watch in watches:
            run_trainer(own, folder, made, rows, few, go_on(folder), order, watch)
        last = folder.last_checkpoint()
        if last is None or last.name != f"checkpoint-{number}" or len(watches[0].steps) != once:
            raise AssayError("The run did not go on from its checkpoint; report this with your configuration.")
        size = sum(path.stat().st_size for path in last.rglob("*") if path.is_file())
        check_disk(config.train, size)
        steps = [seconds for watch in watches for seconds in watch.steps]
        # In a dry run both steps have the longest examples, and the second is the first one of its own start.
        return Probe(
            config=config,
            dry=dry,
            data=told_of(config, rows, held_out),
            total=steps_of(config.train, len(rows)),
            first=steps[0],
            steps=steps[1:],
            tokens=max(len(row["input_ids"]) for row in rows),
            evaluation=statistics.mean(s for w in watches for s in w.evaluations) / len(few),
            judged=len(held_out),
            checkpoint=(statistics.mean(s for w in watches for s in w.checkpoints), size),
            peak=peak(),
            planned=planned,
        )


def _order(config: RunConfig, lengths: Sequence[int], dry: bool) -> list[int]:
    """The rows that are tried, batch by batch, the longest first."""
    batch = batch_of(config.train)
    longest = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    if dry:
        return whole_batches(longest[: 2 * batch], batch) if len(longest) > batch else 2 * whole_batches(longest, batch)
    order = whole_batches(training_order(lengths, 1, batch, config.train.seed), batch)
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]
    batches.sort(key=lambda own: sum(lengths[n] for n in own))
    typical = [batches[round(share * (len(batches) - 1))] for share in _TYPICAL]
    return [n for own in (whole_batches(longest[:batch], batch), *typical) for n in own]


@contextmanager
def _aside(config: RunConfig) -> Iterator[RunConfig]:
    """The configuration in a folder on the disk of its output, which vanishes; data that it makes are made there.

    Of a process that was killed (a machine out of memory kills it) the folder goes at the next try beside it.
    """
    beside = next(folder for folder in (config.train.output.absolute(), *config.train.output.absolute().parents)
                  if folder.is_dir())  # fmt: skip
    if beside == config.train.output.absolute():
        beside = beside.parent
    here = f".assay-dry-run-{socket.gethostname()}-"
    for left in beside.glob(".assay-dry-run-*"):
        # The disk may be shared, and one machine's name the beginning of another's.
        own = re.fullmatch(re.escape(here) + r"(\d+)-[^-]*", left.name)
        if own and not _runs(int(own[1])):
            shutil.rmtree(left, ignore_errors=True)
    with _told_to_end(), tempfile.TemporaryDirectory(prefix=f"{here}{os.getpid()}-", dir=beside) as scratch:
        unmade: dict[str, Path] = {
            split: Path(scratch) / split for split in config.data.synthetic if not getattr(config.data, split).exists()
        }
        yield config.model_copy(
            update={
                "data": config.data.model_copy(update=unmade),
                # A reading costs what the one behind a step does, and is counted, not done twice.
                "evaluate": config.evaluate.model_copy(update={"before": False}),
                # Trackers are told of the run itself alone.
                "train": config.train.model_copy(update={"output": Path(scratch) / "run", "report_to": ()}),
            }
        )


def _runs(process: int) -> bool:
    """Whether a process of this machine is there still."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Let a process that is told to end, or whose terminal is closed, clean up first."""
    before = {}
    with suppress(ValueError):  # not the main thread, which alone has a say in this
        for one in (signal.SIGTERM, signal.SIGHUP):
            before[one] = signal.signal(one, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
