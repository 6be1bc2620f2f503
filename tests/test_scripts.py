"""Every script that README.md or a card names runs on a fresh clone: each is started here at its smallest size."""

import contextlib
import importlib.util
import io
import itertools
import json
import os
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch

from finetune.config import SyntheticConfig, load_config
from recipes.card.base import read_row
from recipes.card.examples import examples_of
from recipes.card.rows import row_at
from recipes.ehr_qa import task as ehr_qa
from recipes.ehr_qa.synthetic import synthesize
from recipes.ehr_query import task as ehr_query
from recipes.lab_report.synthetic import write_reports
from recipes.lab_report.task import CONTRACT
from tests.conftest import tiny_gemma

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
BESIDE = {"rules.py", "demo_page.py"}  # what another script imports


def start(name, *arguments, code=0):
    """What a script printed, run as `python scripts/NAME` is, but in this process for the time that imports take."""
    out, error, end = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        patch.setattr(sys, "argv", [str(SCRIPTS / name), *map(str, arguments)])
        patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
        patch.chdir(ROOT)
        try:
            runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        except SystemExit as ended:
            end = ended.code or 0
    assert end == code, error.getvalue()
    return error.getvalue() if code else out.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    """A tiny random model that is asked for lab reports and may write little."""
    folder = tmp_path_factory.mktemp("scripts") / "model"
    tiny_gemma(1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CONTRACT.model_copy(update={"max_answer_tokens": 8}).save(folder)
    return folder


def test_none_is_forgotten():
    parts = ("docs", "extraction", "recipes")
    pages = [ROOT / "README.md", *(page for part in parts for page in (ROOT / part).rglob("*.md"))]
    named = {name for page in pages for name in re.findall(r"scripts/(\w+\.py)", page.read_text(encoding="utf-8"))}
    here = Path(__file__).read_text(encoding="utf-8")
    assert "bench_decode.py" in named
    for name in named | {path.name for path in SCRIPTS.glob("*.py")} - BESIDE:
        assert (SCRIPTS / name).exists() and (name in BESIDE or f'"{name.removesuffix(".py")}' in here), name


def test_bench_batch(model, tmp_path):
    size = ("--reports", 2, "--scans", 0, "--max-rows", 2, "--files", 3, "--dtype", "float32")
    printed = start("bench_batch.py", *size, "--model", model, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert sum(figures["memory"]["statuses"].values()) == 3 and "files/s" in printed
    assert figures["reading"]["same"] == 2 and "documents/hour" in printed


def test_bench_decode(model, tmp_path):
    out = tmp_path / "figures.json"
    printed = start("bench_decode.py", "--model", model, "--reports", 1, "--dtype", "float32", "--json", out)
    figures = json.loads(out.read_text())
    ways = [row["way"] for row in figures["rows"]]
    assert {"transformers.generate + llguidance", "Assay, drafts"} <= set(ways) and figures["differences"] == []
    for name in ("outlines", "xgrammar"):  # measured, or named as left out
        assert any(name in way for way in ways) or name in printed.partition("Left out: ")[2]


def test_bench_pdf(tmp_path):
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "empty.pdf").write_bytes(b"%PDF-1.7\n")
    printed = start("bench_pdf.py", "--reports", 1, "--rounds", 1, "--limit", 30, "--hostile", tmp_path / "hostile")
    assert "drawing at 200 dpi, 1 generated files" in printed and "1 hostile files" in printed
    assert printed.count("pdfplumber is not installed") == (importlib.util.find_spec("pdfplumber") is None)


def test_compare_forms(model, tmp_path):
    settings = (f"model={model}", "contract.max_answer_tokens=8", "train.max_steps=1", "train.batch_size=1")
    few = ("--count", 2, "--rows", 2, "--held-out", 1, "--forms", "rows, whole pages")
    start("compare_forms.py", tmp_path, *settings, *few, "--json", tmp_path / "figures.json")
    [row] = json.loads((tmp_path / "figures.json").read_text())
    assert row["form"] == "rows, whole pages" and row["steps"] == 1


def test_score_reports(model, tmp_path):
    write_reports(tmp_path, names=["simple_list"], count=1, seed=3, max_rows=2)
    printed = start("score_reports.py", tmp_path, "--model", model, "--json", tmp_path / "figures.json")
    assert "plain rules" in printed and len(json.loads((tmp_path / "figures.json").read_text())["documents"]) == 1
    assert "holds no PDF" in start("score_reports.py", tmp_path / "none", code=2)


def test_check_trust(tmp_path):
    write_reports(tmp_path, names=["simple_list"], count=1, seed=3, max_rows=2)
    printed = start("check_trust.py", tmp_path, "--json", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["pages"] == 1 and "seconds" in printed


def test_choose_doubt(model, tmp_path):
    printed = start("choose_doubt.py", "--model", model, "--count", 2, "--json", tmp_path / "figures.json")
    assert "threshold" in printed and json.loads((tmp_path / "figures.json").read_text())[0]["set aside"] == 0


def test_stress_records(model, tmp_path):
    few = ("--model", model, "--count", 1, "--kinds", "clean;scan", "--json", tmp_path / "figures.json")
    assert "in silence" in start("stress_records.py", *few)
    rows = json.loads((tmp_path / "figures.json").read_text())["kinds"]
    assert [row["kind"] for row in rows] == ["clean", "scan", "all"] and rows[-1]["reports"] == 2
    assert "no kind blur" in start("stress_records.py", "--kinds", "blur", code=2)


def test_check_rows(tmp_path):
    printed = start("check_rows.py", "--count", 2, "--rows", 1, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["reports"] == 2 and "noticed" in printed
    counts = figures["left_out"].values()
    assert all(read <= taken and noticed <= taken for taken, noticed, read in counts) and counts


def test_demo_and_release_know_their_arguments(tmp_path):
    (tmp_path / "kept").touch()
    assert "is not empty" in start("demo.py", "--out", tmp_path, code=2)
    assert "invalid choice" in start("release.py", "another", code=2)


def test_the_parts_of_a_release_go_on_from_each_other(monkeypatch):
    release = importlib.import_module("release")
    for recipe, parts in release.PARTS.items():
        configs = [load_config(ROOT / "recipes" / recipe / part) for part in parts]
        for before, after in itertools.pairwise(configs):
            assert Path(after.adapter.start) == Path(before.train.output) / "adapter"


def test_bench_train(model, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = importlib.import_module("bench_train")
    # In this one process, for the time that imports take.
    monkeypatch.setattr(script, "apart", importlib.import_module("bench_shared_context").measured)
    ways = ["notebook", "+ order", "+ head", "+ checkpointing"]
    script.run(str(model), 2, 2, ways, tmp_path / "figures.json")
    rows = json.loads((tmp_path / "figures.json").read_text())
    assert [*rows] == ways and len({row["tokens"] for row in rows.values()}) == 1
    for way in ways[2:]:
        # The second batch's loss is behind a step, whose gradients must have been the same.
        assert rows[way]["losses"] == pytest.approx(rows[script.SAME[way]]["losses"], abs=2e-3)
    assert "+ checkpointing" in capsys.readouterr().out


def test_check_plan(model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = importlib.import_module("check_plan")
    # In this one process, which holds more than a plan can know.
    monkeypatch.setattr(script, "apart", importlib.import_module("bench_shared_context").measured)
    monkeypatch.setattr(script, "CONFIGURATIONS", {"one": ["train.batch_size=1"]})
    with contextlib.suppress(SystemExit):
        script.run(str(model), tmp_path / "figures.json")
    row = json.loads((tmp_path / "figures.json").read_text())["one"]
    assert (
        row["away"] == pytest.approx(sum(row["planned"].values()) / row["peak"] - 1) and row["planned"]["process"] > 0
    )


def test_bench_shared_context(model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = importlib.import_module("bench_shared_context")
    assert script.apart(dict)["GB"] > 0
    # In this one process, for the time that imports take.
    monkeypatch.setattr(script, "apart", script.measured)
    asked = shutil.copytree(model, tmp_path / "model")
    ehr_qa.CONTRACT.model_copy(update={"max_answer_tokens": 8}).save(asked)
    out = tmp_path / "figures.json"
    few = ("--tokens", 300, "--questions", 2, "--sample", 1)
    arguments = ("--model", asked, "--base", model, *few, "--json", out)
    monkeypatch.setattr(sys, "argv", ["bench_shared_context.py", *map(str, arguments)])
    script.main()
    figures = json.loads(out.read_text())
    [shared] = figures["training"]["shared"]
    assert shared["loss difference"] < 0.2 and not shared["recomputed"]
    assert [row["dtype"] for row in figures["serving"]] == ["bfloat16", "float32"]
    assert figures["serving"][1]["different"] == 0


def test_score_answers_and_choose_query_doubt(model, tmp_path):
    asked, reads = (shutil.copytree(model, tmp_path / name) for name in ("model", "reader"))
    ehr_query.CONTRACT.model_copy(update={"max_answer_tokens": 8}).save(asked)
    synthesize(tmp_path / "bundles", "validation", SyntheticConfig(count=1, seed=1))
    out = tmp_path / "figures.json"
    ehr_qa.CONTRACT.model_copy(update={"max_answer_tokens": 8}).save(reads)
    models = ("--model", asked, "--reader", reads)
    assert "reading: right:" in start("score_answers.py", tmp_path / "bundles", *models, "--each", 1, "--json", out)
    query, reading = (json.loads(out.read_text())[way]["kinds"]["all"] for way in ("query", "reading"))
    assert sum(query.values()) == sum(reading.values()) > 3
    assert "of 2\n" in start("choose_query_doubt.py", "--model", asked, "--questions", 2)
    assert "limit" in start("choose_query_doubt.py", "--model", reads, "--folder", tmp_path / "bundles")


def test_choose_name_guess():
    printed = start("choose_name_guess.py", "--sayings", 20)
    assert "condition, of 20:" in printed and "  0.4   0.05: " in printed


def test_prove_contrastive(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.contrastive.probe.LABELS", (1,))
    monkeypatch.setattr("recipes.contrastive.few.STEPS", 1)
    few = ("--steps", 2, "--tuning", 1, "--count", 20, "--batch", 8, "--json", tmp_path / "figures.json")
    printed = start("prove_contrastive.py", *few)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["figures to tell apart"] == 60 and "shifted domain, LoRA" in printed
    assert "shifted shapes, frozen, LoRA, 1 a class" in figures


@pytest.mark.proof
def test_prove_contrastive_finds_figures_it_never_saw(tmp_path):
    figures = importlib.import_module("prove_contrastive").prove(tmp_path, 700, 60, 240)
    assert figures["before recall@1 (mean of both ways)"] < 0.1
    assert figures["after recall@1 (mean of both ways)"] >= 0.9
    frozen, tuned = (figures[f"shifted domain, {one}, recall@1 (mean of both ways)"] for one in ("frozen", "LoRA"))
    assert tuned > frozen + 0.1


def test_bench_contrastive(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script, index = importlib.import_module("bench_contrastive"), importlib.import_module("recipes.contrastive.index")
    # In this one process, for the time that imports take.
    monkeypatch.setattr(script, "apart", importlib.import_module("bench_shared_context").measured)
    monkeypatch.setattr(index, "ROWS", index.ROWS)  # put back afterwards
    out = tmp_path / "figures.json"
    size = ["--small", "--batch", 2, "--steps", 1, "--vectors", 1500, "--json", out]
    monkeypatch.setattr(sys, "argv", ["bench_contrastive.py", *map(str, size)])
    script.main()
    figures, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert figures["step"]["gradients"]["relative difference"] < 1e-4
    rows = figures["step"]["rows"]
    assert rows["Assay, LoRA"]["loss"] == pytest.approx(rows["Assay, all weights"]["loss"], abs=1e-5)
    for name, row in rows.items():
        assert ("loss" in row) or ("open_clip" in name and "left out" in printed)
    assert figures["index"]["recall at 10"] >= 0.95


@pytest.mark.proof
def test_prove_pixels_reads_what_it_never_saw_and_only_from_its_own_picture(monkeypatch):
    """The script's own proof, with one face in one place, in about a minute."""
    figures = importlib.import_module("prove_pixels").prove(steps=600, count=200, seed=0, hardest=0.0)
    assert figures["read exactly"] >= 0.8
    assert figures["with the pictures swapped"] <= 0.05 and figures["from blank pictures"] <= 0.05


def test_prove_pixels(tmp_path):
    start("prove_pixels.py", "--steps", 2, "--count", 2, "--json", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["steps"] == 2


def test_bench_gpu_runs_every_way_on_the_same_batches(monkeypatch, capsys, tmp_path):
    script = importlib.import_module("bench_gpu")
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
    assert rows["notebook"]["once_s"] == 0 and rows["ours, LoRA"]["once_s"] > 0  # the pages' features
    # The same 4-bit language model; the notebook has the vision tower in 4 bits too.
    assert rows["ours, QLoRA"]["loss_difference"] == pytest.approx(0, abs=2e-3)
    assert rows["ours, LoRA"]["loss_difference"] == pytest.approx(0, abs=2e-2)
    assert rows["notebook"]["trained_parameters"] > 2 * rows["ours, LoRA"]["trained_parameters"]
    assert all(row["tokens_per_s"] > 0 and row["peak_gb"] > 0 for row in rows.values())


def test_bench_gpu_halves_a_batch_that_does_not_fit_and_keeps_what_it_has(monkeypatch, capsys, tmp_path):
    script = importlib.import_module("bench_gpu")
    good = {"out_of_memory": False, "trained_parameters": 1, "tokens_per_s": 50.0, "peak_gb": 30.0, "loss": 2.0}
    facts = {"device": "A", "memory_gb": 24, "parameters": 5}

    def measured(function, *arguments):
        if function is script.make:
            return facts
        (job,) = arguments
        if job.way == "ours, LoRA":
            raise KeyboardInterrupt
        return good if job.batch < 4 else {"out_of_memory": True}

    monkeypatch.setattr(script, "in_process", measured)
    with pytest.raises(KeyboardInterrupt):
        script.run(["text"], 1, True, tmp_path / "figures.json")
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [(row["way"], row["batch"]) for row in rows[:2]] == [("notebook", 4), ("notebook", 2)]
    assert rows[-1]["speed_ratio"] == 1.0 and "speed_ratio" not in rows[0]
    script.show(rows, facts, False)
    assert "out of memory" in capsys.readouterr().out


def test_bench_card(tmp_path):
    start("bench_card.py", "--questions", 1, 3, "--side", 56, "--json", tmp_path / "figures.json")
    one, three = json.loads((tmp_path / "figures.json").read_text())
    assert one["ratio"] == 1 < three["ratio"] and three["images"] == 3
    assert all(abs(row[name]) < 1e-3 for row in (one, three) for name in ("loss diff", "score diff"))


def test_prove_card(tmp_path):
    few = ("pictures", "--steps", 2, "--pictures", 10, "--json", tmp_path / "figures.json")
    assert "pictures swapped" in start("prove_card.py", *few)
    assert len(json.loads((tmp_path / "figures.json").read_text())) >= 8


def test_conclusions_of_pubmedqa_are_a_table_of_one_s_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    answers = dict(zip(map(str, range(56)), itertools.cycle(("yes", "no", "maybe")), strict=False))
    every = {
        n: {"QUESTION": f"Is it {n}?", "LONG_ANSWER": f"It is {n}.", "final_decision": answers[n]} for n in answers
    }
    (files := tmp_path / "data").mkdir()
    (files / "ori_pqal.json").write_text(json.dumps(every))
    (files / "test_ground_truth.json").write_text(json.dumps({n: answers[n] for n in ("4", "5")}))
    folder = importlib.import_module("prove_card").conclusions(tmp_path, tmp_path / "table")
    row = row_at(folder, "exams")
    parts = {part: read_row(row, folder, part).items for part in ("train", "validation", "test")}
    assert {part: len(items) for part, items in parts.items()} == {"train": 4, "validation": 50, "test": 2}
    example = examples_of(read_row(row, folder, "test"), row)[0]
    assert (example.context.parts, example.branches[0].gold) == (("It is 4.",), {"answer": "no"})
    assert example.branches[0].parts == ("Is it 4? Answer yes, no or maybe.",)


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is not None, reason="lm-evaluation-harness is here")
def test_compare_lm_eval_without_it_says_so_in_a_sentence(tmp_path):
    assert "pip install" in start("compare_lm_eval.py", "--data", tmp_path, code=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_bench_gpu_without_one_says_so_in_a_sentence():
    told = start("bench_gpu.py", code=2)
    assert told.startswith("Error: There is no GPU here") and len(told.splitlines()) == 1


def test_bench_volume(tmp_path):
    few = ("--slices", 3, "--questions", 3, "--side", 28, "--sample", 2, "--json", tmp_path / "figures.json")
    start("bench_volume.py", *few)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["largest difference of logits"] < 1e-4 and figures["largest difference of a token's loss"] < 1e-4
    assert figures["serving: answers that differ"] == 0
    assert figures["tokens, all as branches"] < figures["tokens, all apart"]


@pytest.mark.parametrize("what", ["volume", "slide"])
def test_prove_volumes(what, tmp_path):
    few = (what, "--steps", 2, "--volumes", 16, "--slices", 4, "--json", tmp_path / "figures.json")
    start("prove_volumes.py", *few)
    assert list(json.loads((tmp_path / "figures.json").read_text())) == [
        "finding", "where", "finding, swapped", "where, swapped",
    ]  # fmt: skip


@pytest.mark.proof
def test_prove_volumes_looks_at_the_slices():
    """The script's own proof with eight slices, in some minutes."""
    figures = importlib.import_module("prove_volumes").prove("volume", steps=400, count=300, slices=8)
    assert min(figures["finding"], figures["where"]) >= 0.9
    assert max(figures["finding, swapped"], figures["where, swapped"]) <= 0.1


@pytest.mark.proof
def test_prove_gguf(tmp_path):
    pytest.importorskip("xllamacpp")
    assert start("prove_gguf.py", "--reports", 1, "--tokens", 8, "--out", tmp_path / "run")


@pytest.mark.proof
def test_prove_reward(tmp_path):
    assert start("prove_reward.py", "--steps", 1, "--documents", 2, "--out", tmp_path / "run")
