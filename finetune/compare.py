"""Runs side by side: what differs in their configurations, their figures on the same held-out data, and whether one is
better than another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extraction.errors import AssayError
from extraction.example import Example
from extraction.score.results import draws_of, interval
from finetune.judged import Judged, load_judged

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Against:
    """A run against the first: difference of the metric, its 95% interval, the share of draws in which it is higher.

    The draws are of contexts, the same ones for both (paired bootstrap; Koehn 2004, aclanthology W04-3250).
    """

    difference: float
    interval: tuple[float, float] | None
    above: float

    def verdict(self, documents: int) -> str:
        """Whether it is better, in a sentence."""
        if self.interval and self.interval[0] > 0:
            return "better"
        if self.interval and self.interval[1] < 0:
            return "worse"
        return f"not told apart by {documents} held-out examples"


@dataclass(frozen=True)
class Comparison:
    """What `assay compare` tells."""

    runs: Sequence[Judged]
    left_out: int
    intervals: Sequence[tuple[float, float] | None]
    against: Sequence[Against]

    @property
    def metric(self) -> str:
        """The figure that is compared."""
        return self.runs[0].task.metric

    @property
    def documents(self) -> int:
        """On how many examples."""
        return len(self.runs[0].examples)

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {
            "metric": self.metric,
            "examples": self.documents,
            "examples_left_out": self.left_out,
            "config": differences([run.config.model_dump(mode="json") for run in self.runs]),
            "runs": [
                {
                    "run": str(run.run),
                    "checkpoint": run.facts["checkpoint"],
                    "seconds": run.facts.get("seconds"),
                    self.metric: run.value,
                    "interval": limits and list(limits),
                    "figures": dict(run.grade.figures),
                }
                for run, limits in zip(self.runs, self.intervals, strict=True)
            ],
            "against_first": [
                {
                    "run": str(run.run),
                    "difference": one.difference,
                    "interval": one.interval and list(one.interval),
                    "share_of_draws_above_0": one.above,
                    "verdict": one.verdict(self.documents),
                }
                for run, one in zip(self.runs[1:], self.against, strict=True)
            ],
        }

    def table(self) -> RenderableType:
        """What a terminal shows."""
        from rich.table import Table

        table = Table("", *(str(run.run) for run in self.runs), box=None)
        told = self.to_dict()
        for key, values in told["config"].items():
            table.add_row(key, *("" if value is None else str(value) for value in values))
        table.add_row("checkpoint", *(run.facts["checkpoint"] for run in self.runs))
        seconds = [run.facts.get("seconds") for run in self.runs]
        table.add_row("minutes", *("" if one is None else f"{one / 60:.1f}" for one in seconds))
        table.add_row(
            self.metric,
            *(f"{run.value:.3f}{spoken(limits)}" for run, limits in zip(self.runs, self.intervals, strict=True)),
        )
        names = [name for name in self.runs[0].grade.figures if name != self.metric]
        for name in names:
            figures = [run.grade.figures.get(name) for run in self.runs]
            table.add_row(name, *("" if one is None else told_figure(one) for one in figures))
        return table

    def sentences(self) -> Iterator[str]:
        """What is better than the first, and on what."""
        first = self.runs[0].run
        for run, one in zip(self.runs[1:], self.against, strict=True):
            yield (
                f"{run.run} against {first}: {self.metric} {one.difference:+.3f}{spoken(one.interval, '+.3f')}, "
                f"above 0 in {one.above:.0%} of draws: {one.verdict(self.documents)}."
            )
        if self.left_out:
            yield f"Left out: {self.left_out} examples that not every run has answered."


def told_figure(value: float) -> str:
    """A figure for people; a count is a whole number."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def spoken(limits: tuple[float, float] | None, form: str = ".3f") -> str:
    """An interval behind its figure."""
    return f" ({limits[0]:{form}} to {limits[1]:{form}})" if limits else ""


def compare(runs: Sequence[Path], data: Path | None = None, out: Path | None = None) -> Comparison:
    """Runs on the held-out examples that all of them answered.

    Raises:
        AssayError: see `load_judged`; or they are of several tasks, or not asked the same of the same data.
    """
    if len(set(runs)) < max(2, len(runs)):
        raise AssayError("A comparison takes two runs or more, each named once.")
    judged = [load_judged(run, data, out) for run in runs]
    first, rest = judged[0], judged[1:]
    for other in rest:
        if other.config.recipe != first.config.recipe:
            raise AssayError(
                f"{first.run} is a run of {first.config.recipe} and {other.run} of {other.config.recipe}: their "
                "figures mean different things; compare runs of one recipe."
            )
    places = [{_identity(example): n for n, example in enumerate(one.examples)} for one in judged]
    common = [key for key in places[0] if all(key in own for own in places)]
    if not common:
        raise AssayError(
            f"{', '.join(map(str, runs))} were judged on different data, or asked different things of them; let all "
            "answer one folder (assay evaluate RUN FOLDER) and compare them on it with --data FOLDER."
        )
    left_out = len(set().union(*places)) - len(common)
    same = [one.only([own[key] for key in common]) for one, own in zip(judged, places, strict=True)]
    draws = draws_of(len(common)) if len(common) > 1 else np.zeros((0, 1), int)
    drawn = [one.drawn(draws) for one in same]
    return Comparison(
        same,
        left_out,
        [interval(one.value, values) for one, values in zip(same, drawn, strict=True)],
        [_against(same[0], one, drawn[0], values) for one, values in zip(same[1:], drawn[1:], strict=True)],
    )


def _against(first: Judged, other: Judged, base: np.ndarray, values: np.ndarray) -> Against:
    many = min(len(base), len(values))
    apart = values[:many] - base[:many]
    apart = apart[~np.isnan(apart)]
    difference = other.value - first.value
    above = float((apart > 0).mean()) if len(apart) else float(difference > 0)
    return Against(difference, interval(difference, apart), above)


def _identity(example: Example) -> str:
    """What an example is known by, however a contract shows its source: that, what is asked, the true answers."""
    asked = [
        ([one if isinstance(one, str) else one.path.name for one in branch.parts], branch.gold)
        for branch in example.branches
    ]
    return json.dumps([example.context.sha256 or example.context.name, asked], sort_keys=True, default=str)


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of the keys in which configurations differ, but for the folder of the run."""
    flat = [dict(_flat(config)) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    values = {key: [one.get(key) for one in flat] for key in keys if key != "train.output"}
    return {key: own for key, own in values.items() if any(one != own[0] for one in own)}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
