"""Recipes that are trained in a way of their own: no examples, no contract, but the same commands and run folders.

A package names one in the entry points of its `pyproject.toml`:

    [project.entry-points."assay.runs"]
    my_recipe = "my_package.run:RUN"
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from extraction.errors import AssayError
from extraction.plugins import installed, load
from finetune.config import BaseConfig

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

    def evaluate(self, model: str, data: Path) -> Mapping[str, float]:
        """Figures of a model on held-out data."""
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
