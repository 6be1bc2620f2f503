"""The adapter that ships with Assay: whole, small, of the recipe in this repository, and found by one command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from extraction.contract import Contract
from extraction.generate.checks import check_fit
from extraction.generate.hub import shipped
from extraction.generate.weights import fingerprint, sampled
from finetune.config import RunConfig, load_config
from finetune.task import load_task, recipe_of
from recipes.lab_report.fields import FIELDS
from recipes.lab_report.synthetic import write_reports
from recipes.lab_report.task import CONTRACT, report_schema
from tests.conftest import command
from tests.recipes.ehr_bundles import everything, write

ROOT = Path(__file__).parents[1]
SHIPPED = {"lab_report": "lab-report-270m", "ehr_qa": "ehr-qa-270m", "ehr_query": "ehr-query-270m"}
ADAPTERS = {recipe: Path(shipped(name)) for recipe, name in SHIPPED.items()}
every_adapter = pytest.mark.parametrize(("recipe", "folder"), ADAPTERS.items())


@every_adapter
def test_it_has_all_that_a_reader_asks_for(recipe, folder):
    names = {path.name for path in folder.iterdir()}
    wanted = {"adapter_model.safetensors", "adapter_config.json", "contract.json", "versions.json", "config.yaml"}
    assert names >= wanted | {"metrics.jsonl", "README.md"}
    assert (folder / "adapter_model.safetensors").stat().st_size <= 20_000_000
    contract, taught = Contract.load(folder), load_task(recipe).contract
    assert contract.filled == taught.filled
    assert (contract.record_schema, contract.roles) == (taught.record_schema, taught.roles)
    # Keys that are younger than the run have their defaults.
    run = RunConfig.model_validate(yaml.safe_load((folder / "config.yaml").read_text()))
    assert run == load_config(ROOT / "recipes" / recipe / "release.yaml")


@pytest.mark.slow
@every_adapter
def test_it_was_trained_on_the_embedded_model(recipe, folder):
    facts = json.loads((folder / "versions.json").read_text())
    assert facts["base_sha256"] == fingerprint("gemma-3-270m")
    assert facts["base_sampled"] == sampled("gemma-3-270m")


@pytest.mark.slow
def test_a_question_on_a_bundle_by_one_command(tmp_path):
    bundle = write(tmp_path / "patient.json", everything())
    question = "Who prescribed Ibuprofen 200 MG Oral Tablet most recently?"
    result = command("answer", bundle, question, "--json")
    assert result.returncode == 0, result.stderr
    [given] = json.loads(result.stdout)
    assert given["question"] == question and "Dibbert" in given["said"] and given["evidence"]


@pytest.mark.slow
def test_one_command_and_a_file(tmp_path):
    [path] = write_reports(tmp_path / "reports", names=["us_ruled"], count=1, seed=901, max_rows=2)
    assay = str(Path(sys.executable).with_name("assay"))
    wide = {**os.environ, "COLUMNS": "200"}  # a name broken over two lines of a narrow table would not be found
    result = subprocess.run([assay, "extract", path], capture_output=True, text=True, cwd=tmp_path, env=wide)
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "records" / f"{path.stem}.json").read_text())
    assert record["data"]["tests"] and record["data"]["tests"][0]["name"] in result.stdout


def test_a_run_folder_of_the_first_version_loads():
    """Its contract has no roles and no checks by name, its versions no recipe; all of it is found."""
    run = Path(__file__).parent / "fixtures" / "first_run"
    assert json.loads((run / "adapter" / "contract.json").read_text())["version"] == 1
    before_heads = CONTRACT.with_schema(report_schema((), FIELDS, FIELDS))
    assert Contract.load(run / "adapter").model_copy(update={"max_answer_tokens": 4096}) == before_heads
    assert recipe_of(str(run / "adapter")) == "lab_report"
    assert RunConfig.model_validate(yaml.safe_load((run / "config.yaml").read_text())).adapter.r == 1
    check_fit(run / "adapter", "gemma-3-270m")
