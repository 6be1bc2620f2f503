"""The GPU benchmark, on a processor with a tiny model: it runs to its end, and every way computes the same loss."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench_gpu.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("bench_gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_gpu", module)
    spec.loader.exec_module(module)
    return module


def test_every_way_runs_on_the_same_batches(script, monkeypatch, capsys, tmp_path):
    assert script.in_process(os.getpid) != os.getpid()
    # In this one process, for the time that imports take.
    monkeypatch.setattr(script, "in_process", lambda function, *arguments: function(*arguments))
    script.run(["both"], 1, True, tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    printed = capsys.readouterr().out
    assert figures["device"] == "processor"
    rows = {row["way"]: row for row in figures["rows"]}
    assert list(rows) == ["notebook", "ours, QLoRA", "ours, LoRA"] and all(name in printed for name in rows)
    assert len({row["tokens"] for row in rows.values()}) == 1
    # The same 4-bit language model; the notebook has the vision tower in 4 bits too.
    assert rows["ours, QLoRA"]["loss_difference"] == pytest.approx(0, abs=2e-3)
    assert rows["ours, LoRA"]["loss_difference"] == pytest.approx(0, abs=2e-2)
    assert rows["notebook"]["trained_parameters"] > 2 * rows["ours, LoRA"]["trained_parameters"]
    assert all(row["tokens_per_s"] > 0 and row["peak_gb"] > 0 for row in rows.values())


def test_a_batch_that_does_not_fit_is_halved_and_told(script, monkeypatch, capsys):
    good = {"out_of_memory": False, "trained_parameters": 1, "tokens_per_s": 50.0, "peak_gb": 30.0, "loss": 2.0}
    monkeypatch.setattr(script, "in_process", lambda _, job: good if job.batch < 4 else {"out_of_memory": True})
    rows = [row for way in script.WAYS for row in script.tried(way, "text", Path(), 1, False)]
    assert [(row["way"], row["batch"]) for row in rows[:2]] == [("notebook", 4), ("notebook", 2)]
    script.compare(rows)
    assert rows[-1]["speed_ratio"] == 1.0 and "speed_ratio" not in rows[0]
    script.show(rows, {"device": "A", "memory_gb": 24, "parameters": 5}, False)
    assert "out of memory" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so():
    result = subprocess.run([sys.executable, SCRIPT], cwd=SCRIPT.parents[1], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.startswith("Error: There is no GPU here")
    assert len(result.stderr.splitlines()) == 1
