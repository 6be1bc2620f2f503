"""A VQA head learns from questions in SLAKE's and VQA-RAD's own files, and is loaded again as it was judged."""

import json
import shutil

import pytest

from extraction.errors import AssayError
from finetune.config import load_config
from finetune.run import own_run, own_run_of, read_metrics
from recipes.cli import app
from recipes.vqa_head.data import plain
from tests.recipes.dual_encoders import COLOURS, SHAPES, figure, tiny_biomedclip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("vqa")
    tiny_biomedclip(work / "model")
    folder = work / "slake"
    for split, sides in (("train", (30, 34, 38, 42)), ("validation", (36,)), ("test", (36,))):
        rows = []
        for colour in COLOURS[:2]:
            for shape in SHAPES:
                for side in sides:
                    name = f"{split}/{colour}-{shape}-{side}.png"
                    (folder / "imgs" / split).mkdir(parents=True, exist_ok=True)
                    figure(colour, shape, "left", side).save(folder / "imgs" / name)
                    base = {"img_name": name, "q_lang": "en", "modality": "MRI"}
                    is_red = "Yes" if colour == "red" else "No"
                    rows += [
                        {**base, "question": "the red one", "answer": is_red, "answer_type": "CLOSED"},
                        {**base, "question": "a photo of", "answer": f"{shape.title()}.", "answer_type": "OPEN"},
                        {**base, "q_lang": "zh", "question": "?", "answer": "?", "answer_type": "OPEN"},
                    ]
        rows = [{**row, "qid": number} for number, row in enumerate(rows)]
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return work


def config(work, output, *changes):
    values = {
        "recipe": "vqa_head",
        "model": str(work / "model"),
        "data": {"train": str(work / "slake"), "validation": str(work / "slake")},
        "adapter": {"r": 4, "alpha": 8, "temperature": False},
        "fusion": {"layers": 1, "width": 32, "heads": 2, "dropout": 0, "fusion_rate": 1, "head_rate": 1},
        "train": {
            "output": str(work / output),
            "batch_size": 16,
            "epochs": 12,
            "learning_rate": 0.003,
            "checkpoint_steps": 18,
            "log_steps": 6,
            "dtype": "float32",
        },
    }
    (work / f"{output}.yaml").write_text(json.dumps(values))
    return load_config(work / f"{output}.yaml", changes)


def test_a_head_learns_and_is_loaded_again(work, capsys):
    run = own_run("vqa_head")
    assert "48 questions, judged on 12 others" in run.plan(config(work, "run"))
    adapter = run.train(config(work, "run"))
    rows = read_metrics(work / "run" / "metrics.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.6 * losses[0]
    judged = [row for row in rows if "eval_accuracy" in row]
    best = max(judged, key=lambda row: row["eval_accuracy"])
    assert own_run_of(work / "run") is run
    again = run.evaluate(str(adapter), work / "slake")
    assert again["accuracy"] == pytest.approx(best["eval_accuracy"])
    assert again["closed_accuracy"] == pytest.approx(best["eval_closed_accuracy"]) and again["questions"] == 12
    assert again["accuracy"] == pytest.approx((again["open_accuracy"] + again["closed_accuracy"]) / 2)
    assert json.loads((adapter / "vqa_head.json").read_text())["answers"] == [
        "circle",
        "no",
        "square",
        "triangle",
        "yes",
    ]
    said = capsys.readouterr().err
    assert (
        said.count("0 of 12 held-out questions (0.0%) have an answer that is never trained") == 3
    )  # plan, train, test
    assert "cut there" not in said
    head = json.loads((adapter / "vqa_head.json").read_text())
    head["answers"][0], head["fusion"]["text_tokens"] = "star", 4
    (adapter / "vqa_head.json").write_text(json.dumps(head))
    run.evaluate(str(adapter), work / "slake")
    said = capsys.readouterr().err
    assert "2 of 12 held-out questions (16.7%) have an answer that is never trained" in said
    assert "12 of 12 held-out questions longer than 4 tokens and cut there (fusion.text_tokens" in said
    app(["evaluate", str(adapter), str(work / "slake"), "--out", str(work / "out")], standalone_mode=False)
    [answers] = (work / "out").glob("adapter-*.slake.answers.jsonl")
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    [told] = (json.loads(file.read_text()) for file in (work / "out").glob("adapter-*.slake.figures.json"))
    assert len(rows) == 12 and sum(row["answer"] == row["true"] for row in rows) / 12 == told["accuracy"]
    with pytest.raises(AssayError, match=r"Results cannot be kept in .*; choose another --out"):
        app(["evaluate", str(adapter), str(work / "slake"), "--out", str(answers)], standalone_mode=False)
    capsys.readouterr()
    run.plan(config(work, "cut", "fusion.text_tokens=4"))
    said = capsys.readouterr().err
    assert "48 of 48 training questions longer than 4 tokens" in said and "12 of 12 held-out questions" in said


def test_a_junk_image_is_named_and_passed_over(work, tmp_path, capsys):
    folder = shutil.copytree(work / "slake", tmp_path / "slake")
    for name in ("train/red-circle-30.png", "validation/red-circle-36.png", "test/red-circle-36.png"):
        (folder / "imgs" / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    settings = config(work, "junk", f"data.train={folder}", f"data.validation={folder}", "train.max_steps=3")
    adapter = own_run("vqa_head").train(settings)
    said = capsys.readouterr().err
    assert "red-circle-30.png is damaged" in said and "times an image could not be read, and another question" in said
    assert "Left out of the held-out questions: unreadable image (2:" in said
    assert own_run("vqa_head").evaluate(str(adapter), folder)["questions"] == 10
    assert "Left out: unreadable image (2:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.validation={leaking}", "all of its .* in its training part"),
        ("fusion.heads=5", "do not divide"),
        ("adapter.temperature=true", "towers' tokens alone"),
        ("data.train=nowhere", "does not exist"),
    ],
)
def test_what_cannot_be_trained_is_refused(work, change, said):
    leaking = work / "leaking" / "slake"
    if not leaking.exists():
        shutil.copytree(work / "slake", leaking)
        shutil.copy(leaking / "train.json", leaking / "validation.json")
    settings = config(work, f"refused-{abs(hash(change))}", change.format(leaking=leaking))
    with pytest.raises(AssayError, match=said):
        own_run("vqa_head").train(settings)
    with pytest.raises(AssayError, match="no published layout"):
        own_run("vqa_head").merge(work, work)


def test_a_failed_start_leaves_no_folder_and_answers_are_compared_plainly(work):
    settings = config(work, "none", "data.train=nowhere")
    with pytest.raises(AssayError):
        own_run("vqa_head").train(settings)
    assert not (work / "none").exists()
    assert plain(" A  Mass. ") == "mass" and plain("Another") == "another" and plain(5) == "5"
