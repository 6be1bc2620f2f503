"""What runs under `accelerate launch`: a recipe's module, or `-m finetune.launch` for any."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError, run_command
from finetune.config import BaseConfig, load_config
from finetune.processes import check_launch, leave, on_main


def launch(recipe: str | None = None) -> None:
    """Train by the configuration named on the command line, which must be one of `recipe`, where it is given."""
    module = f"recipes.{recipe}" if recipe else "finetune.launch"
    parser = argparse.ArgumentParser(prog=f"accelerate launch -m {module}", description="Train an adapter.")
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the YAML's")
    arguments = parser.parse_args()
    run_command(lambda: _train(recipe, arguments.config, arguments.overrides))


def _train(recipe: str | None, path: Path, overrides: Sequence[str]) -> None:
    config = on_main(lambda: _config(recipe, path, overrides))
    from finetune.run import own_run

    if own := own_run(config.recipe):
        own.train(config)
    else:
        from finetune.train import train

        if config.reward:
            from finetune.reward import reward as train
        train(config)
    leave()


def _config(recipe: str | None, path: Path, overrides: Sequence[str]) -> Any:
    check_launch()
    config: BaseConfig = load_config(path, overrides)
    if recipe and config.recipe != recipe:
        raise AssayError(f"{path} is for the recipe {config.recipe}, not {recipe}.")
    return config


if __name__ == "__main__":
    launch()
