"""Pixels alone teach a model to read: the script's own proof, with one face in one place, in about a minute."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "prove_pixels.py"


@pytest.mark.slow
def test_it_reads_what_it_never_saw_and_only_from_its_own_picture():
    spec = importlib.util.spec_from_file_location("prove_pixels", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    figures = module.prove(steps=600, count=200, seed=0, hardest=0.0)
    assert figures["read exactly"] >= 0.8
    assert figures["with the pictures swapped"] <= 0.05 and figures["from blank pictures"] <= 0.05
