"""Make the adapter that ships with Assay: train it by its recipe, put it into the package in bf16, with config and log.

.venv/bin/python scripts/release.py        # run again after a stop, it goes on
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "recipes" / "lab_report" / "release.yaml"
MOST_BYTES = 20_000_000
WEIGHTS = "adapter_model.safetensors"


def main() -> None:
    from extraction.errors import run_command

    run_command(run)


def run() -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from extraction.errors import AssayError
    from extraction.generate.models import SHIPPED, shipped
    from finetune.config import load_config
    from finetune.train import train

    adapter = train(load_config(CONFIG))
    target = Path(shipped(SHIPPED))
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(adapter / WEIGHTS).items()}
    size = sum(tensor.nbytes for tensor in weights.values())
    if size > MOST_BYTES:
        raise AssayError(f"The adapter takes {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}; lower adapter.r.")
    target.mkdir(exist_ok=True)
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    for path in (*adapter.glob("*.json"), adapter.parent / "config.yaml", adapter.parent / "metrics.jsonl"):
        shutil.copyfile(path, target / path.name)
    print(f"{size / 1e6:.1f} MB in {target}; measure it with scripts/score_reports.py and mend its README.md.")


if __name__ == "__main__":
    main()
