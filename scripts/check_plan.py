"""The memory that `assay plan` tells of beside the most that training took, on this machine's processor.

    .venv/bin/python scripts/check_plan.py [--model MODEL] [--json FILE]

Three configurations of the embedded 270M decoder, each tried for a few steps by `assay plan --measure` in a process of
its own: LoRA with batches of 1 and of 2, and QLoRA. Ends with code 1 where one is more than a tenth away. Start it with
LD_PRELOAD=libtcmalloc_minimal.so.4, too: the allocator decides a part of it (`finetune.memory`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_shared_context import ROOT, apart

CONFIGURATIONS = {
    "LoRA, batches of 1": ["train.batch_size=1"],
    "LoRA, batches of 2": ["train.batch_size=2"],
    "QLoRA, batches of 2": ["train.batch_size=2", "train.quantization=nf4"],
}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/check_plan.py", description="Planned memory beside measured.")
    parser.add_argument("--model", default="gemma-3-270m", help="what is trained")
    parser.add_argument("--json", type=Path, help="also write the figures here, after each configuration")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the processes that measure, too
    run_command(lambda: run(arguments.model, arguments.json))


def run(model: str, out: Path | None) -> None:
    """Measure, print, and write the figures where a file is named."""
    from extraction.files import write_whole

    print("configuration          planned GB  measured GB  away")
    rows = {}
    for name, changes in CONFIGURATIONS.items():
        rows[name] = row = apart(measure, model, changes)
        row["away"] = sum(row["planned"].values()) / row["peak"] - 1
        planned = sum(row["planned"].values())
        print(f"{name:<22} {planned / 1e9:10.2f}  {row['peak'] / 1e9:11.2f}  {row['away']:+.1%}", flush=True)
        if out:
            write_whole(out, json.dumps(rows, indent=1) + "\n")
    if any(abs(row["away"]) > 0.1 for row in rows.values()):
        sys.exit(1)


def measure(model: str, changes: list[str]) -> dict[str, Any]:
    """Bytes of a few steps on windows of synthetic reports, by the plan and at most of this process."""
    from finetune.config import SyntheticConfig, load_config
    from finetune.probe import probe
    from recipes.lab_report.task import TASK

    with tempfile.TemporaryDirectory(prefix="assay-plan-") as scratch:
        for split in ("train", "validation"):
            TASK.synthesize(Path(scratch) / split, split, SyntheticConfig(count=6, seed=5, max_rows=6))
        config = load_config(
            ROOT / "recipes" / "lab_report" / "release_first.yaml",
            [
                f"model={model}",
                *(f"data.{split}={scratch}/{split}" for split in ("train", "validation")),
                f"train.output={scratch}/run",
                "contract.max_answer_tokens=16",  # what is written by an untrained model is of no interest here
                "evaluate.documents=1",
                *changes,
            ],
        )
        measured = probe(config)
    assert measured.planned
    return {"planned": measured.planned, "peak": measured.peak}


if __name__ == "__main__":
    main()
