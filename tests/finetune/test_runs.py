"""Several runs of a tiny random model: compared, tried out, swept, and on more and more documents."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from extraction.errors import AssayError
from finetune.compare import compare
from finetune.judged import draws_of, interval, load_judged
from recipes.lab_report.synthetic import write_reports
from tests.conftest import command, tiny_gemma

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "recipes" / "lab_report" / "demo.yaml"


@pytest.fixture(scope="module")
def work(tmp_path_factory, tokenizer):
    """A tiny model in a folder, data, and a YAML."""
    folder = tmp_path_factory.mktemp("runs")
    tiny_gemma(1).to(torch.bfloat16).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write_reports(folder / "train", names=["simple_list"], count=8, seed=5, max_rows=2)
    write_reports(folder / "validation", names=["simple_list"], count=3, seed=6, max_rows=2)
    config = {
        "recipe": "lab_report",
        "model": str(folder / "model"),
        "data": {"train": str(folder / "train"), "validation": str(folder / "validation")},
        "contract": {"max_answer_tokens": 20},
        "train": {
            "output": str(folder / "run"),
            "batch_size": 2,
            "learning_rate": 0.01,
            "checkpoint_steps": 2,
            "max_steps": 2,
        },
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return folder


def train(work, *more):
    done = command("train", work / "run.yaml", *more)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def two(work):
    for name, rank in (("one", 4), ("two", 8)):
        train(work, f"train.output={work / name}", f"adapter.r={rank}")
    return work / "one", work / "two"


def improved(run, gold):
    """A run's kept answers with the true record in the place of the first."""
    [path] = (run / "answers").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[:gold]:
        record = json.loads((run.parent / "validation" / line["source"]).with_suffix(".json").read_text())
        line["records"][0] |= {"data": record, "evidence": {}, "set_aside": [], "issues": [], "status": "ok"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_runs_side_by_side_by_a_paired_bootstrap(work, two, tmp_path):
    done = command("compare", *two, "--json", tmp_path / "told.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["config"] == {"adapter.r": [4, 8]} and told["examples"] == 3
    facts = json.loads((two[0] / "adapter" / "versions.json").read_text())
    assert told["runs"][0]["micro_f1"] == facts["eval_micro_f1"]
    assert "adapter.r" in done.stdout and "above 0 in" in done.stdout
    kept = {path: path.read_text() for path in (two[1] / "answers").iterdir()}
    improved(two[1], 3)
    [better] = compare(two).against
    assert better.above == 1 and better.verdict(3) == "better" and better.interval[0] > 0
    [worse] = compare(two[::-1]).against
    assert worse.difference == -better.difference and worse.verdict(3) == "worse"
    for path, text in kept.items():
        path.write_text(text)


def test_runs_that_cannot_be_compared_are_refused_in_a_sentence(work, two, tmp_path, monkeypatch):
    one = command("compare", two[0])
    assert one.returncode == 2 and "two runs or more" in one.stderr
    none = command("compare", two[0], tmp_path)
    assert none.returncode == 2 and "holds no finished run" in none.stderr
    other = command("compare", *two, "--data", work / "train", "--out", tmp_path)
    assert other.returncode == 2 and f"assay evaluate {two[0]} {work / 'train'} --out {tmp_path}" in other.stderr
    config = two[1] / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("recipe: lab_report", "recipe: documents"))
    assert "compare runs of one recipe" in command("compare", *two).stderr
    write_reports(tmp_path / "others", names=["simple_list"], count=1, seed=9, max_rows=2)
    config.write_text(text)
    assert command("evaluate", two[0], tmp_path / "others", "--out", tmp_path).returncode == 0
    with pytest.raises(AssayError, match="has kept no answers"):
        compare(two, tmp_path / "others", tmp_path)
    judged = load_judged(two[0])
    monkeypatch.setattr("finetune.compare.load_judged", lambda run, *_: judged.only([two.index(run)]))
    with pytest.raises(AssayError, match="different data"):
        compare(two)


def test_draws_of_a_mean_and_of_any_other_metric_are_those_of_the_grader(two, monkeypatch):
    """The short ways to a draw's figure are the task's own grade of the drawn documents."""
    improved(two[0], 1)
    run = load_judged(two[0])
    draws = draws_of(3, 30)
    short = run.drawn(draws)
    slow = [run.only(np.repeat(range(3), row)).value for row in draws]
    assert short == pytest.approx(slow) and len({*slow}) > 1
    low, high = interval(run.value, short)
    assert low <= run.value <= high
    monkeypatch.setattr(type(run.task), "metric", "rows_gold")  # no mean over branches, and no F1
    assert run.drawn(draws) == pytest.approx([run.only(np.repeat(range(3), row)).value for row in draws])
