"""What a recipe's module runs under `accelerate launch`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from extraction.errors import AssayError
from finetune.config import load_config


def launch(recipe: str) -> None:
    """Train by the configuration named on the command line; a user's mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(prog=f"accelerate launch -m recipes.{recipe}", description="Train an adapter.")
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the YAML's")
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, arguments.overrides)
        if config.recipe != recipe:
            raise AssayError(f"{arguments.config} is for the recipe {config.recipe}, not {recipe}.")
        from finetune.train import train

        train(config)
    except AssayError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(130)
