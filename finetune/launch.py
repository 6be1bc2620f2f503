"""What a recipe's module runs under `accelerate launch`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from extraction.errors import AssayError, run_command
from finetune.config import RunConfig, load_config
from finetune.processes import check_launch, leave, on_main


def launch(recipe: str) -> None:
    """Train by the configuration named on the command line."""
    parser = argparse.ArgumentParser(prog=f"accelerate launch -m recipes.{recipe}", description="Train an adapter.")
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the YAML's")
    arguments = parser.parse_args()
    run_command(lambda: _train(recipe, arguments.config, arguments.overrides))


def _train(recipe: str, path: Path, overrides: Sequence[str]) -> None:
    config = on_main(lambda: _config(recipe, path, overrides))
    from finetune.train import train

    train(config)
    leave()


def _config(recipe: str, path: Path, overrides: Sequence[str]) -> RunConfig:
    check_launch()
    config = load_config(path, overrides)
    if config.recipe != recipe:
        raise AssayError(f"{path} is for the recipe {config.recipe}, not {recipe}.")
    return config
