"""A run's kept answers on held-out data, graded anew: the task's metric with its interval, over draws of contexts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from extraction.batch import task_id
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example
from extraction.generate.models import load_family
from extraction.record.record import Record
from extraction.room import Room
from finetune.answers import Kept
from finetune.config import RunConfig, load_config
from finetune.run import ADAPTER, CONFIG, VERSIONS, RunFolder, own_run
from finetune.task import DataRequest, Grade, Task, graded, load_task, read_examples

# Draws of a metric that is no sum over contexts: each has to be graded as a whole.
_GRADED_DRAWS = 200


@dataclass(frozen=True)
class Judged:
    """A finished run with the held-out examples that its adapter answered, and the answers.

    Attributes:
        facts: what the adapter's `versions.json` says.
        records: for each example, one a branch.
    """

    run: Path
    config: RunConfig
    facts: dict[str, Any]
    task: Task
    contract: Contract
    examples: tuple[Example, ...]
    records: tuple[Sequence[Record], ...]

    @cached_property
    def grade(self) -> Grade:
        """The task's figures on all examples."""
        return graded(self.task, self.contract, self.examples, self.records)

    @property
    def value(self) -> float:
        """The task's metric."""
        return float(self.grade.figures[self.task.metric])

    def only(self, numbers: Sequence[int]) -> Judged:
        """The same on some of the examples, by their places; one may come more than once."""
        chosen = tuple(self.examples[n] for n in numbers)
        return replace(self, examples=chosen, records=tuple(self.records[n] for n in numbers))

    def drawn(self, draws: np.ndarray) -> np.ndarray:
        """The metric in each draw (`draws_of`); the first few draws alone where each has to be graded as a whole.

        F1 of documents is counted from their cells. A metric that is the mean over all branches is summed from those
        of the contexts. Of any other, a draw's examples are graded together.
        """
        score = self.grade.score and self.grade.score.core
        if score and self.task.metric in ("micro_f1", "macro_f1"):
            return score.drawn(draws)[self.task.metric]
        branches = np.array([len(example.branches) for example in self.examples])
        each = np.array([self._value_of([number]) for number in range(len(branches))])
        if abs((each * branches).sum() / branches.sum() - self.value) < 1e-9:
            return (draws @ (each * branches)) / (draws @ branches)
        return np.array([self._value_of(np.repeat(np.arange(len(row)), row)) for row in draws[:_GRADED_DRAWS]])

    def _value_of(self, numbers: Sequence[int] | np.ndarray) -> float:
        try:
            return self.only([int(number) for number in numbers]).value
        except (AssayError, KeyError):  # a draw in which nothing can be graded has no figure
            return float("nan")


def load_judged(
    run: Path, data: Path | None = None, out: Path | None = None, examples: Sequence[Example] | None = None
) -> Judged:
    """A finished run with what it answered; examples without an answer are left out.

    Args:
        data: the documents that it is judged on; those of its own validation where none are named.
        examples: the held-out examples, where they are read already.
        out: where `assay evaluate` kept answers; those of the run itself are in its folder.

    Raises:
        AssayError: no finished run of a task, its data cannot be read, or it has answered nothing of them.
    """
    folder = RunFolder(run)
    if not (run / CONFIG).is_file() or not (folder.adapter / VERSIONS).is_file():
        raise AssayError(f"{run} holds no finished run; name the folder that assay train wrote (train.output).")
    config = load_config(run / CONFIG)
    if own_run(config.recipe):
        raise AssayError(
            f"{run} is a run of {config.recipe}, which answers no held-out documents; compare runs of a task."
        )
    facts = json.loads((folder.adapter / VERSIONS).read_text(encoding="utf-8"))
    task, contract = load_task(config.recipe), Contract.load(folder.adapter)
    room = Room(load_family(config.model).count, contract)
    wanted = (
        DataRequest(data, "test", contract, room) if data else DataRequest.of_run(config, "validation", contract, room)
    )
    files = [folder.answers(facts["checkpoint"])]
    if out is not None:
        files.append(out / f"{task_id(str(run / ADAPTER), None)}.jsonl")
    kept = [Kept(file, contract) for file in files if file.is_file()]
    if examples is None:
        examples = read_examples(task, wanted) if kept else []
    found = [(e, own) for e in examples if (own := next(filter(None, (one.records(e) for one in kept)), None))]
    if not found:
        raise AssayError(
            f"{run} has kept no answers on {wanted.folder}; make them: assay evaluate {run} {wanted.folder}"
            + (f" --out {out}." if out else ".")
        )
    return Judged(run, config, facts, task, contract, *zip(*found, strict=True))
