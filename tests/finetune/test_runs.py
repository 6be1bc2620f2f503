"""Several runs of a tiny random model: compared, tried out, swept, and on more and more documents."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from extraction.errors import AssayError
from extraction.score.results import draws_of, interval
from finetune.compare import compare
from finetune.config import load_config
from finetune.curve import forecast
from finetune.judged import load_judged
from finetune.memory import Live, held
from finetune.run import RunFolder
from finetune.sets import checked, few, read_data
from finetune.sweep import sentences, sweep
from finetune.task import DataRequest, load_task
from finetune.train import build_trainer
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


def answered(run, count, right=True):
    """A run's kept answers with the true record, or one without tests, in the place of the first."""
    [path] = (run / "answers").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[:count]:
        record = json.loads((run.parent / "validation" / line["source"]).with_suffix(".json").read_text())
        data = record if right else record | {"tests": []}
        line["records"][0] |= {"data": data, "evidence": {}, "set_aside": [], "issues": [], "status": "ok"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_runs_side_by_side_by_a_paired_bootstrap(work, two, tmp_path):
    done = command("compare", *two, "--json", tmp_path / "told.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["config"] == {"adapter.r": [4, 8]} and told["examples"] == 3
    facts = json.loads((two[0] / "adapter" / "versions.json").read_text())
    assert told["runs"][0]["micro_f1"] == facts["eval_micro_f1"]
    assert "adapter.r" in done.stdout and "above 0 in" in done.stdout
    kept = {path: path.read_text() for run in two for path in (run / "answers").iterdir() if path.is_file()}
    answered(two[0], 3, right=False)
    answered(two[1], 3)
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
    assert command("evaluate", two[1], tmp_path / "others", "--out", tmp_path).returncode == 0
    alone = compare(two, tmp_path / "others", tmp_path)
    assert alone.documents == 1 and alone.intervals == [None, None] and "not told" in "".join(alone.sentences())
    judged = load_judged(two[0])
    monkeypatch.setattr("finetune.compare.load_judged", lambda run, *_: judged.only([two.index(run)]))
    with pytest.raises(AssayError, match="different data"):
        compare(two)


def test_draws_of_a_mean_and_of_any_other_metric_are_those_of_the_grader(two, monkeypatch):
    """The short ways to a draw's figure are the task's own grade of the drawn documents."""
    answered(two[0], 1)
    run = load_judged(two[0])
    draws = draws_of(3, 30)
    short = run.drawn(draws)
    slow = [run.only(np.repeat(range(3), row)).value for row in draws]
    assert short == pytest.approx(slow) and len({*slow}) > 1
    low, high = interval(run.value, short)
    assert low <= run.value <= high
    monkeypatch.setattr(type(run.task), "metric", "rows_gold")  # no mean over branches, and no F1
    assert run.drawn(draws) == pytest.approx([run.only(np.repeat(range(3), row)).value for row in draws])


def test_a_dry_run_goes_all_the_way_and_leaves_nothing_behind(work):
    before = set(work.rglob("*"))
    done = train(work, "--dry-run", f"train.output={work / 'dry'}")
    assert set(work.rglob("*")) == before
    assert "Going on from checkpoint-1" in done.stderr and "nothing is left behind" in done.stdout
    assert " GB of the whole process" in done.stdout and " s with the longest examples" in done.stdout
    assert "at most about" in done.stdout and "2 steps, and 1 times 3 held-out" in done.stdout


def test_a_plan_tells_time_by_measured_steps(work):
    settings = ["--measure", "train.max_steps=1000", "evaluate.before=true"]
    done = command("plan", work / "run.yaml", *settings, f"train.output={work / 'dry'}")
    assert done.returncode == 0, done.stderr
    assert "1000 steps, and 501 times 3 held-out" in done.stdout and not (work / "dry").exists()
    packed = command("plan", work / "run.yaml", "data.pack=true", f"train.output={work / 'dry'}")
    assert re.search(r"data:    \d rows with \d+ examples of .*steps:   \d of 2 rows", packed.stdout, re.DOTALL)
    assert " GB on this processor for a step" in done.stdout and " planned" in done.stdout
    assert "short, middling and long" in done.stdout and "Going on" not in done.stderr


def test_a_step_holds_what_was_planned(work, tmp_path):
    config = load_config(work / "run.yaml", [f"train.output={tmp_path / 'run'}"])
    made = checked(config)
    rows, _, _ = read_data(config, *made)
    planned = held(config, made[2], rows)
    trainer = build_trainer(config, RunFolder(tmp_path / "run"), made[2], rows, lambda _: {}, "micro_f1")
    longest = sorted(rows, key=lambda row: -len(row["input_ids"]))[: config.train.batch_size]
    batch = trainer.data_collator(longest)
    with Live([*trainer.model.parameters(), *trainer.model.buffers()]) as live:
        trainer.compute_loss(trainer.model, batch).backward()
    assert planned["activations"] == pytest.approx(live.peak, rel=0.1)
    assert planned["adapter"] == sum(12 * p.numel() for p in trainer.model.parameters() if p.requires_grad)


def test_what_fails_in_a_dry_run_leaves_nothing_behind_either(work, monkeypatch):
    monkeypatch.setattr("finetune.probe.run_trainer", lambda *_: 1 / 0)
    before = set(work.iterdir())
    with pytest.raises(ZeroDivisionError):
        command("train", work / "run.yaml", "--dry-run", f"train.output={work / 'dry'}")
    assert set(work.iterdir()) == before


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_a_dry_run_that_is_told_to_end_leaves_nothing_behind(work, monkeypatch, kind):
    handler = signal.getsignal(kind)

    def told(*_):
        assert signal.getsignal(kind) is not handler  # else the signal would end these tests
        signal.raise_signal(kind)

    monkeypatch.setattr("finetune.probe.checked", told)
    before = set(work.iterdir())
    done = command("train", work / "run.yaml", "--dry-run", f"train.output={work / 'dry'}")
    assert done.returncode == 128 + kind and set(work.iterdir()) == before
    assert signal.getsignal(kind) is handler


def test_memory_that_does_not_hold_a_step_is_said_in_a_sentence(work, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("finetune.train.run_trainer", full)
    monkeypatch.setattr("finetune.probe.run_trainer", full)
    for more in ([], ["--dry-run"]):
        done = command("train", work / "run.yaml", f"train.output={work / 'full'}", *more)
        assert done.returncode == 2 and "train.batch_size" in done.stderr and not (work / "full").exists()


def test_a_dry_run_removes_what_a_killed_one_left(work, tmp_path, monkeypatch):
    dead = subprocess.Popen(["true"])
    dead.wait()
    here = socket.gethostname()
    killed, running, elsewhere, longer = (
        tmp_path / f".assay-dry-run-{name}-abc"
        for name in (f"{here}-{dead.pid}", f"{here}-{os.getpid()}", "other-1", f"{here}-b-{dead.pid}")
    )
    for folder in (killed, running, elsewhere, longer):
        (folder / "run").mkdir(parents=True)
    monkeypatch.setattr("finetune.probe.checked", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command("train", work / "run.yaml", "--dry-run", f"train.output={tmp_path / 'dry'}")
    assert set(tmp_path.iterdir()) == {running, elsewhere, longer}


def test_a_sweep_trains_each_combination_once_and_tells_the_best(work):
    settings = ["--sweep", "adapter.r=2,4", "train.seed=3", f"train.output={work / 'grid'}"]
    done = train(work, *settings)
    runs = {f"adapter.r={rank}": work / "grid" / "sweep" / f"adapter.r={rank}" for rank in (2, 4)}
    assert {path for path in (work / "grid" / "sweep").iterdir() if path.is_dir()} == {*runs.values()}
    assert yaml.safe_load((runs["adapter.r=4"] / "config.yaml").read_text())["train"]["seed"] == 3
    told = json.loads((work / "grid" / "sweep" / "sweep.json").read_text())
    assert [row["metric"] for row in told] == ["micro_f1"] * 2 and told[0]["value"] >= told[1]["value"]
    assert "Best by the validation data: adapter.r=" in done.stdout and "assay compare '" in done.stdout
    assert train(work, *settings).stderr.count("is finished") == 2


def test_a_run_of_a_sweep_that_fails_is_named_and_the_others_go_on(work, monkeypatch):
    def fails(config):
        (config.train.output / "adapter").mkdir(parents=True)
        if config.adapter.r == 2:
            raise AssayError("It diverged.")
        facts = {"eval_micro_f1": config.adapter.alpha / 10, "seconds": 60}
        (config.train.output / "adapter" / "versions.json").write_text(json.dumps(facts))

    monkeypatch.setattr("finetune.sweep.train_one", fails)
    varied = ["adapter.r=2,3", "adapter.alpha=4,6", "data.window_tokens=[400,300]", f"train.output={work / 'faults'}"]
    with pytest.raises(AssayError, match="window_tokens"):
        sweep(work / "run.yaml", varied)
    rows = sweep(work / "run.yaml", [one for one in varied if "window" not in one])
    assert [row.values["adapter.alpha"] for row in rows[:2]] == ["6", "4"]
    assert [row.fault for row in rows] == ["", "", "It diverged.", "It diverged."]
    assert "failed: It diverged." in "".join(sentences(rows))
    refused = {"": "nothing to vary", "adapter.r=8,8": "nothing to vary", "train.output=a,b": "one value"}
    for wrong, said in {**refused, "adapter.r=1,x": "adapter.r"}.items():
        with pytest.raises(AssayError, match=said):
            sweep(work / "run.yaml", [wrong] if wrong else [])


def test_a_curve_of_nested_data_is_trained_once_and_drawn(work):
    settings = ["--sizes", "2,4,300", f"train.output={work / 'learn'}"]
    done = command("curve", work / "run.yaml", *settings)
    assert done.returncode == 0, done.stderr
    folder = work / "learn" / "curve"
    told = json.loads((folder / "curve.json").read_text())
    assert [point["examples"] for point in told["points"]] == [2, 4, 8] and told["forecast"] is None
    assert all(point["interval"][0] <= point["micro_f1"] <= point["interval"][1] for point in told["points"])
    assert "There are 8 training examples" in done.stderr and "too few points (3)" in done.stdout
    assert "<svg" in (page := (folder / "curve.html").read_text()) and "http" not in page and "4 examples" in page
    again = command("curve", work / "run.yaml", *settings)
    assert again.stderr.count("is finished") == 3 and done.stdout.endswith(again.stdout)
    # A run of the same YAML may still have the folder to itself.
    train(work, f"train.output={work / 'learn'}", "train.max_steps=1")
    assert command("curve", work / "run.yaml", "--sizes", "10,x").returncode == 2


def test_fewer_examples_are_part_of_more_and_of_a_folder_that_has_grown(work):
    task = load_task("lab_report")
    examples = task.read(DataRequest(work / "train", "train", task.contract, None, made=True))

    def names(number, among):
        config = load_config(work / "run.yaml", [f"data.examples={number}"])
        return [one.context.name for one in few(among, config)]

    assert {*names(2, examples)} < {*names(5, examples)} and len(names(5, examples)) == 5
    assert names(8, examples) == [one.context.name for one in examples]
    kept = [one for one in examples[:7] if one.context.name in names(3, examples)]
    assert {one.context.name for one in kept} <= {*names(3, examples[:7])}
    with pytest.raises(AssayError, match="has 8 examples"):
        names(9, examples)


def test_a_forecast_follows_the_law_and_its_interval_the_noise():
    sizes = [10, 30, 100, 300]
    values = [0.9 - 0.5 * (n / 10) ** -0.6 for n in sizes]
    noise = np.random.default_rng(1).normal(0, 0.01, 200)
    told = forecast(sizes, values, np.array(values)[:, None] + noise)
    true = 0.9 - 0.5 * 60**-0.6
    assert told.size == 600 and told.value == pytest.approx(true, abs=1e-3)
    assert told.interval[0] < true < told.interval[1] and told.interval[1] - told.interval[0] < 0.06
    rough = np.array(values) + np.array([0, 0.1, -0.1, 0])
    wider = forecast(sizes, rough, rough[:, None] + noise)
    assert wider.interval[1] - wider.interval[0] > 0.1
    assert forecast(sizes[:3], values[:3], np.array(values[:3])[:, None] + noise) is None
    flat = forecast(sizes, [0.0] * 4, np.zeros((4, 50)))
    assert flat.value == pytest.approx(0, abs=0.01) and flat.gain == pytest.approx(0, abs=0.01)
