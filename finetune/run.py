"""A run's folder: its config, its metrics, its checkpoints, and which of them are whole. And runs of another kind:
recipes trained in a way of their own, without examples and contract, by the same commands in the same folders.

A package names such a one in the entry points of its `pyproject.toml`:

    [project.entry-points."assay.runs"]
    my_recipe = "my_package.run:RUN"
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from extraction.errors import AssayError
from extraction.files import write_whole
from extraction.generate.hub import FACTS
from extraction.plugins import installed, load
from finetune.config import BaseConfig
from finetune.processes import say

CONFIG, METRICS, CHECKPOINTS, ADAPTER, VERSIONS = ("config.yaml", "metrics.jsonl", "checkpoints", "adapter", FACTS)
FEATURES = "features"
ANSWERS = "answers"
CURVE, SWEEP = "curve", "sweep"  # folders of further runs below one's folder
_WHOLE = "whole.json"


def check_place(folder: Path, key: str) -> None:
    """Raise AssayError where a folder can be neither made nor written in; `key` is where another can be named."""
    # Of the folders on the way to it the last that is there; a link to nothing is there, and leads nowhere.
    at = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    try:
        if not at.is_dir():
            what = "a link to nothing" if at.is_symlink() else "a file"
            before = "" if at == folder else f"{folder} cannot be made: "
            raise AssayError(f"{before}{at} is {what}, and no folder; choose another {key}.")
        with tempfile.TemporaryDirectory(prefix=".assay-", dir=at):
            pass
    except OSError as error:
        raise AssayError(f"{folder} cannot be written: {at} says {error.strerror}; choose another {key}.") from None


def empty_place(out: Path, what: str) -> Path:
    """A folder for something new, empty or not there yet, with links followed.

    Raises:
        AssayError: it is neither, or see `check_place`.
    """
    check_place(out, "--out")
    if out.exists() and any(out.iterdir()):
        raise AssayError(f"{out} is not empty; choose another folder for the {what}.")
    return out.resolve()


def finished_adapter(run: Path) -> Path:
    """The folder of the adapter that a run has left; `run` may be that folder itself.

    Raises:
        AssayError: there is none; says whether there is a run.
    """
    adapter = run / ADAPTER if (run / ADAPTER).is_dir() else run
    if (adapter / "adapter_config.json").exists():
        return adapter
    if not run.is_dir():
        raise AssayError(f"There is no folder {run}; name a run's (its train.output), or its adapter's.")
    if (run / CONFIG).exists():
        raise AssayError(f"{run} holds no finished adapter; train it to its end first: assay train {run / CONFIG}")
    raise AssayError(f"{run} holds no finished adapter; name the folder of a run that was trained to its end.")


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path):
        self.path = path
        self.metrics, self.checkpoints, self.adapter = path / METRICS, path / CHECKPOINTS, path / ADAPTER
        self.features = path / FEATURES

    def answers(self, checkpoint: str) -> Path:
        """The file of what a checkpoint answered on held-out data (`answers.Kept`)."""
        return self.path / ANSWERS / f"{checkpoint}.jsonl"

    def details(self, checkpoint: str) -> Path:
        """The file of what these answers are worth by field, and which are worst (`details.details_of`)."""
        return self.path / ANSWERS / f"{checkpoint}.json"

    def check(self, config: BaseConfig) -> dict[str, Any]:
        """Refuse a folder that cannot be this very run's; nothing is made.

        Returns:
            The configuration as it is kept.

        Raises:
            AssayError: it cannot be made or written, or holds something else, or a run with another configuration.
        """
        check_place(self.path, "train.output")
        values: dict[str, Any] = json.loads(config.model_dump_json())
        known = self.path / CONFIG
        if known.exists():
            try:
                before = yaml.safe_load(known.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError):
                before = None
            if not isinstance(before, dict):
                raise AssayError(f"{known} cannot be read; choose another train.output, or remove the folder.")
            with suppress(ValidationError):  # keys that came with a newer version have their defaults
                before = json.loads(type(config).model_validate(before).model_dump_json())
            if before != values:
                raise AssayError(
                    f"{self.path} holds a run with another configuration ({_difference(before, values)}); "
                    "choose another train.output, or remove the folder."
                )
        elif self.path.exists() and any(one.name not in (CURVE, SWEEP) for one in self.path.iterdir()):
            raise AssayError(f"{self.path} is not empty and holds no run; choose another train.output.")
        return values

    def open(self, config: BaseConfig) -> None:
        """Make the folder, or recognise it as this very run's; raises as `check`."""
        values = self.check(config)
        if not (self.path / CONFIG).exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.path / CONFIG, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))

    def forget(self) -> None:
        """Remove the folder where nothing but its configuration is in it: a start that failed leaves none behind."""
        with suppress(OSError):  # another process has removed it
            if [path.name for path in self.path.iterdir()] == [CONFIG]:
                shutil.rmtree(self.path)

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written to its end; a damaged or half-written one is named and removed."""
        whole: list[tuple[int, Path]] = []
        for folder in self.checkpoints.glob("checkpoint-*"):
            if is_whole(folder):
                whole.append((int(folder.name.rpartition("-")[2]), folder))
            else:
                say(f"{folder} is damaged, or was never written to its end; it is passed over and removed.")
                shutil.rmtree(folder)
        return max(whole)[1] if whole else None

    def keep_metrics_until(self, step: int) -> None:
        """Drop metrics of steps that will be trained again."""
        if self.metrics.exists():
            rows = [row for row in read_metrics(self.metrics) if row["step"] <= step]
            write_whole(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def seconds(self) -> float:
        """How long the run has trained and judged until the last line of its metrics, over all its starts."""
        rows = read_metrics(self.metrics) if self.metrics.exists() else []
        return float(rows[-1].get("seconds", 0.0)) if rows else 0.0

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line that was cut by a kill is passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def mark_whole(folder: Path) -> None:
    """Write, last of all, the sizes of a checkpoint's files."""
    sizes = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    write_whole(folder / _WHOLE, json.dumps(sizes))


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint has all the files it was written with, at their full size."""
    try:
        sizes = json.loads((folder / _WHOLE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def processes_of(checkpoint: Path) -> int:
    """How many processes trained a checkpoint: each leaves the state of its random numbers."""
    return len(list(checkpoint.glob("rng_state_*.pth"))) or 1


def versions() -> dict[str, str]:
    """Versions of what a run depends on; a package that runs from a folder, without being installed, is left out."""
    found = {}
    for name in ("assay", "torch", "transformers", "peft", "trl", "accelerate"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _difference(before: dict[str, Any], after: dict[str, Any], path: str = "") -> str:
    for key in {**before, **after}:
        one, two = before.get(key), after.get(key)
        if one != two:
            if isinstance(one, dict) and isinstance(two, dict):
                return _difference(one, two, f"{path}{key}.")
            return f"{path}{key} was {one!r}, now {two!r}"
    return "the order of keys"


_GROUP, _MODULE = "assay.runs", "run"


class OwnRun:
    """What the commands `train`, `plan`, `merge` and `evaluate` do for a recipe with a training of its own.

    Attributes:
        config: the configuration's class, in the place of RunConfig.
    """

    config: ClassVar[type[BaseConfig]]

    def train(self, config: Any) -> Path:
        """Run, or go on with, a training; the folder of the finished adapter."""
        raise NotImplementedError

    def plan(self, config: Any) -> str:
        """What would be trained, for people; refuses what training would refuse."""
        raise NotImplementedError

    def merge(self, run: Path, out: Path) -> str:
        """Write a run's adapter merged into its base; how near the two are, for people."""
        raise NotImplementedError

    def evaluate(self, model: str, data: Path, answers: Path | None = None) -> Mapping[str, float]:
        """Figures of a model on held-out data; a recipe that answers writes each answer beside the true one, too."""
        raise NotImplementedError


def own_run(recipe: str) -> OwnRun | None:
    """The training that a recipe has of its own; None for one that is a task.

    Raises:
        AssayError: the package that has the name cannot be imported, or names something else.
    """
    if recipe not in installed(_GROUP, _MODULE):
        return None
    found = load(_GROUP, recipe, _MODULE, "RUN")
    if not isinstance(found, OwnRun):
        raise AssayError(f"The RUN of {recipe} is {found!r}, and must be an object of a class of OwnRun.")
    return found


def own_run_of(folder: Path) -> OwnRun | None:
    """The training of its own that a run's or adapter's folder came from; None for a task's, or where nothing says."""
    from finetune.run import ADAPTER
    from finetune.task import recipe_of

    with suppress(AssayError):
        return own_run(recipe_of(str(folder / ADAPTER if (folder / ADAPTER).is_dir() else folder)))
    return None
