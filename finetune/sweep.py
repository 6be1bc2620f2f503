"""A grid of runs: every combination of the values that keys are given, each a run of its own that is trained once."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.errors import AssayError
from extraction.files import write_whole
from finetune.config import BaseConfig, RunConfig, load_config
from finetune.processes import say
from finetune.run import SWEEP, VERSIONS, RunFolder, own_run

if TYPE_CHECKING:
    from rich.console import RenderableType

_COMMA = re.compile(r",(?![^\[{]*[\]}])")  # one in a list of YAML stays
_LONGEST = 100  # characters of a folder's name


@dataclass(frozen=True)
class Row:
    """One run of a grid.

    Attributes:
        metric: by which checkpoints are chosen.
        value: of the best checkpoint, on the validation data; None where the run failed or nothing was judged.
        fault: why it failed.
    """

    run: Path
    values: dict[str, str]
    metric: str = ""
    value: float | None = None
    seconds: float = 0.0
    fault: str = ""


def sweep(path: Path, overrides: Sequence[str]) -> list[Row]:
    """Train every combination below the run's output, the best first; what is finished is not trained again.

    A run that fails on its way (it diverged) has its reason in its row, and the others go on.

    Args:
        path: the YAML.
        overrides: `section.key=value`; with several values, commas between, a key is varied.

    Raises:
        AssayError: no key has several values, or `train.output` has; a configuration is wrong (all are read before
            the first is trained); or a run cannot begin.
    """
    rows, configs = [], []
    for values, config in _grid(path, overrides):
        rows.append(Row(config.train.output, values))
        configs.append(config)
    done = []
    for number, (row, config) in enumerate(zip(rows, configs, strict=True), 1):
        say(f"Run {number} of {len(rows)}: {' '.join(f'{key}={value}' for key, value in row.values.items())}")
        try:
            train_one(config)
        except AssayError as error:
            if not row.run.exists():  # it has not begun, and no other would
                raise
            done.append(Row(row.run, row.values, fault=str(error)))
            say(f"This run failed: {error}")
            continue
        metric, value, seconds = result_of(row.run)
        done.append(Row(row.run, row.values, metric, value, seconds))
    done.sort(key=lambda row: -1 if row.value is None else row.value, reverse=True)
    told = [
        {"run": str(r.run), "values": r.values, "metric": r.metric, "value": r.value, "seconds": r.seconds}
        | ({"fault": r.fault} if r.fault else {})
        for r in done
    ]
    write_whole(rows[0].run.parent / "sweep.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return done


def _grid(path: Path, overrides: Sequence[str]) -> list[tuple[dict[str, str], Any]]:
    """What each run varies, and its configuration, whose output is a folder below the one that is configured."""
    parted = (one.partition("=") for one in overrides)
    every = [(key, equals, list(dict.fromkeys(_COMMA.split(text)))) for key, equals, text in parted]
    varied = [key for key, _, values in every if len(values) > 1]
    if not varied:
        raise AssayError(
            "--sweep has nothing to vary; give a key several values, as in --sweep train.learning_rate=1e-4,2e-4."
        )
    if "train.output" in varied:
        raise AssayError("A sweep names its runs' folders itself, below train.output; give that one value.")
    made = []
    for values in itertools.product(*(values for _, _, values in every)):
        own = [(key, equals, value) for (key, equals, _), value in zip(every, values, strict=True)]
        varies = {key: value for key, _, value in own if key in varied}
        config = load_config(path, ["".join(one) for one in own])
        output = config.train.output / SWEEP / _name(varies)
        settings = config.train.model_copy(update={"output": output})
        made.append((varies, config.model_copy(update={"train": settings})))
    return made


def _name(values: dict[str, str]) -> str:
    """A folder's name for values; where a file system would not take all of it, a digest tells it from others."""
    told = ",".join(f"{key}={value}" for key, value in values.items())
    name = re.sub(r"[^\w.=,+-]+", "_", told)[:_LONGEST]
    return name if name == told else f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def train_one(config: BaseConfig) -> None:
    """Train, or go on with, one of several runs, in the memory that the one before has left, or could not do with."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if own := own_run(config.recipe):
        own.train(config)
    elif isinstance(config, RunConfig) and config.reward:
        from finetune.reward import reward

        reward(config)
    else:
        from finetune.train import train

        train(config)  # type: ignore[arg-type]


def result_of(run: Path) -> tuple[str, float | None, float]:
    """The metric of a finished run, its value for the checkpoint that was kept, and the run's seconds."""
    facts = json.loads((RunFolder(run).adapter / VERSIONS).read_text(encoding="utf-8"))
    name = next((key for key in facts if key.startswith("eval_")), "")
    return name.removeprefix("eval_"), facts.get(name), facts.get("seconds", 0.0)


def table(rows: Sequence[Row]) -> RenderableType:
    """The runs, the best first."""
    from rich.table import Table

    keys = list(rows[0].values)
    metric = next((row.metric for row in rows if row.metric), "metric")
    made = Table(*keys, f"{metric}, validation", "minutes", "run", box=None)
    for row in rows:
        value = "failed" if row.fault else "not judged" if row.value is None else f"{row.value:.3f}"
        made.add_row(*(row.values[key] for key in keys), value, f"{row.seconds / 60:.1f}", str(row.run))
    return made


def sentences(rows: Sequence[Row]) -> list[str]:
    """What the best is, how to see by how much, and what failed."""
    judged = [row for row in rows if row.value is not None]
    told = [f"{row.run} failed: {row.fault}" for row in rows if row.fault]
    if not judged:
        return [*told, "No run was judged."]
    best = " ".join(f"{key}={value}" for key, value in judged[0].values.items())
    told.append(f"Best by the validation data: {best}. The best of {len(judged)} looks better there than it is.")
    if len(judged) > 1:
        told.append(f"Is it better than the next? assay compare '{judged[1].run}' '{judged[0].run}'")
    return told
