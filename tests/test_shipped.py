"""The adapter that ships with Assay: whole, small, of the recipe in this repository, and found by one command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from extraction.contract import Contract
from extraction.generate.models import SHIPPED, shipped
from finetune.config import RunConfig, load_config
from finetune.merge import fingerprint
from recipes.lab_report.synthetic import write_reports
from recipes.lab_report.task import CONTRACT

FOLDER = Path(shipped(SHIPPED))
RECIPE = Path(__file__).parents[1] / "recipes" / "lab_report" / "release.yaml"


def test_it_has_all_that_a_reader_asks_for():
    names = {path.name for path in FOLDER.iterdir()}
    wanted = {"adapter_model.safetensors", "adapter_config.json", "contract.json", "versions.json", "config.yaml"}
    assert names >= wanted | {"metrics.jsonl", "README.md"}
    assert (FOLDER / "adapter_model.safetensors").stat().st_size <= 20_000_000
    assert Contract.load(FOLDER).record_schema == CONTRACT.record_schema
    # Keys that are younger than the run have their defaults.
    assert RunConfig.model_validate(yaml.safe_load((FOLDER / "config.yaml").read_text())) == load_config(RECIPE)


@pytest.mark.slow
def test_it_was_trained_on_the_embedded_model():
    assert json.loads((FOLDER / "versions.json").read_text())["base_sha256"] == fingerprint("gemma-3-270m")


@pytest.mark.slow
def test_one_command_and_a_file(tmp_path):
    [path] = write_reports(tmp_path / "reports", names=["us_ruled"], count=1, seed=901, max_rows=4)
    assay = str(Path(sys.executable).with_name("assay"))
    wide = {**os.environ, "COLUMNS": "200"}  # a name broken over two lines of a narrow table would not be found
    result = subprocess.run([assay, "extract", path], capture_output=True, text=True, cwd=tmp_path, env=wide)
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "records" / f"{path.stem}.json").read_text())
    assert record["data"]["tests"] and record["data"]["tests"][0]["name"] in result.stdout
