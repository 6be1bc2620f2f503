"""Make an adapter that ships with Assay: train it by its recipe, put it into the package in bf16, with config and log.

.venv/bin/python scripts/release.py lab_report        # run again after a stop, it goes on
.venv/bin/python scripts/release.py ehr_qa
.venv/bin/python scripts/release.py ehr_query

Each is made in parts that go on from each other; a part whose adapter is there already is not trained again. What ships
of lab_report and ehr_query is a mean of weights: of the adapter that the last part began with and its last checkpoints.
Training further taught new things and unlearned others; the mean keeps both (Wortsman et al., arXiv 2109.01903).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 20_000_000
WEIGHTS = "adapter_model.safetensors"
PARTS = {
    "lab_report": ("release_first.yaml", "release.yaml"),
    "ehr_qa": ("release_short.yaml", "release_long.yaml", "release.yaml"),
    "ehr_query": ("release_first.yaml", "release_second.yaml", "release.yaml"),
}

MEANS = {"lab_report": 2, "ehr_query": 1}  # checkpoints in the mean


def main() -> None:
    from extraction.errors import run_command

    parser = argparse.ArgumentParser(prog="scripts/release.py", description="Make an adapter that ships with Assay.")
    parser.add_argument("recipe", choices=list(PARTS))
    recipe = parser.parse_args().recipe
    run_command(lambda: run(recipe))


def run(recipe: str) -> None:
    """Train what is not trained yet, and put the adapter into the package."""
    import torch
    from safetensors.torch import save_file

    from extraction.errors import AssayError
    from finetune.config import load_config
    from finetune.train import train

    *before, last = (load_config(ROOT / "recipes" / recipe / part) for part in PARTS[recipe])
    for config in before:
        if not (Path(config.train.output) / "adapter").exists():
            train(config)
    adapter = train(last)
    target = ROOT / "recipes" / recipe / "adapter"
    sources = [adapter]
    if recipe in MEANS:
        sources = [Path(before[-1].train.output) / "adapter", *_checkpoints(adapter.parent)[-MEANS[recipe] :]]
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in mean(sources).items()}
    size = sum(tensor.nbytes for tensor in weights.values())
    if size > MOST_BYTES:
        raise AssayError(f"The adapter takes {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}; lower adapter.r.")
    target.mkdir(exist_ok=True)
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    for path in (*adapter.glob("*.json"), adapter.parent / "config.yaml", adapter.parent / "metrics.jsonl"):
        shutil.copyfile(path, target / path.name)
    for number, config in enumerate(before, 1):
        if (log := Path(config.train.output) / "metrics.jsonl").exists():
            shutil.copyfile(log, target / f"metrics_{number}.jsonl")
    print(f"{size / 1e6:.1f} MB in {target}; measure it and mend its README.md.")


def mean(adapters: list[Path]) -> dict[str, torch.Tensor]:
    """The mean of adapters' weights, in float32."""
    import torch
    from safetensors.torch import load_file

    loaded = [load_file(adapter / WEIGHTS) for adapter in adapters]
    return {name: torch.stack([one[name].float() for one in loaded]).mean(0) for name in loaded[0]}


def _checkpoints(run: Path) -> list[Path]:
    """A run's checkpoints, in the order of their steps."""
    return sorted((run / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


if __name__ == "__main__":
    main()
