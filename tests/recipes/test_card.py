"""The table of a card with tiny random models: found, asked, kept, gone on with, graded anew, trained."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from extraction.errors import AssayError
from extraction.families import family_of
from finetune.config import DataConfig, load_config
from finetune.encode import encode_all
from recipes.card.base import contract, read_row
from recipes.card.command import list_data
from recipes.card.examples import examples_of
from recipes.card.grade import Graded, choice
from recipes.card.items import Item
from recipes.card.measures import measure
from recipes.card.places import found
from recipes.card.replies import Generations
from recipes.card.rows import Figure, by_name, published
from recipes.card.show import page
from tests.conftest import tiny_gemma, tiny_medgemma
from tests.recipes.pictures import imagenome, mimic, picture, slake, table, vqa_rad

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def work(tmp_path_factory, tokenizer, image_tokenizer):
    """Two tiny models, one that sees, and small data sets under their published names."""
    folder = tmp_path_factory.mktemp("card")
    tiny_gemma(1).save_pretrained(folder / "reads")
    tokenizer.save_pretrained(folder / "reads")
    tiny_medgemma(1).save_pretrained(folder / "sees")
    image_tokenizer.save_pretrained(folder / "sees")
    data = folder / "data"
    options = {"A": "aspirin", "B": "bed rest", "C": "codeine", "D": "dialysis"}
    rows = [{"question": f"What helps {n}?", "options": options, "answer_idx": "ABCD"[n % 4]} for n in range(6)]
    table(data / "medqa" / "test.jsonl", rows)
    slake(data / "slake")
    vqa_rad(data / "vqa_rad")
    imagenome(data / "chest-imagenome", mimic(data / "mimic-cxr-jpg"))
    return folder


def card(work, model, *options, out="out"):
    from recipes.cli import app

    command = ["card", str(work / model), "--data", str(work / "data"), "--out", str(work / out), *options]
    result = CliRunner().invoke(app, command, catch_exceptions=True)
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output, json.loads((work / out / "card.json").read_text())


def test_data_sets_are_found_by_their_published_names(work):
    assert {name for name, _, _ in found(work / "data")} == {
        "medqa", "slake", "vqa_rad", "vqa_rad_original", "mimic_cxr", "mimic_reports", "chest_imagenome"
    }  # fmt: skip
    from recipes.cli import app

    told = CliRunner().invoke(app, ["card", "any", "--data", str(work / "data"), "--list"]).output
    assert "pubmedqa" in told and "not here: open (MIT): github.com/pubmedqa/pubmedqa" in told


def test_a_model_s_line_of_the_table_by_generation(work):
    told, made = card(work, "sees", "--rows", "slake,chest_imagenome", "--tokens", "3", "--no-thinking")
    rows = {row["row"]: row for row in made["rows"]}
    assert rows["slake"]["figures"]["tokenised F1"]["n"] == 2
    assert rows["slake"]["published"]["tokenised F1"]["MedGemma 1.5 4B"] == 59.7
    assert rows["slake"]["blind"]["tokenised F1"] == 50.0  # "MRI" in training, "CT" in the test; and yes
    assert rows["chest_imagenome"]["left_out"]["a box leaves its image"] == 2
    assert sum(rows["chest_imagenome"]["ungraded"].values()) == 2
    assert "SLAKE, English" in told and "The published figures are on 1061 questions." in told
    assert (work / "out" / "chest_imagenome.boxes.html").read_text().count("<figure>") == 2
    written = (work / "out" / "card.html").read_text()
    assert "59.7" in written and "http" not in written


def test_replies_are_kept_and_a_stopped_run_goes_on(work):
    _, first = card(work, "reads", "--rows", "medqa", "--tokens", "3", "--no-thinking", out="kept")
    file = work / "kept" / "medqa.generation.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 7
    file.write_text("".join(lines[:3]) + lines[3][:20])  # a kill in the middle of a line
    _, again = card(work, "reads", "--rows", "medqa", "--tokens", "3", "--no-thinking", out="kept")
    assert sorted(file.read_text().splitlines()) == sorted(line.strip() for line in lines)
    assert again == first
    with pytest.raises(AssayError, match="holds replies of another model"):
        Generations(file, {"model": "other"})


def test_by_likelihood_every_question_has_an_answer(work):
    told, made = card(work, "reads", "--by", "likelihood", "--rows", "medqa,slake", out="likely")
    [medqa, slake] = made["rows"]
    assert medqa["figures"]["accuracy"]["n"] == 6 and medqa["ungraded"] == {}
    assert "By the likelihood of the options, which is another figure than the published ones." in told
    assert slake["missing"].startswith("likelihood needs options")


def test_a_model_without_eyes_says_so_and_goes_on(work):
    told, made = card(work, "reads", "--rows", "slake,medqa", "--tokens", "2", "--limit", "2", out="blind")
    rows = {row["row"]: row for row in made["rows"]}
    assert "No figure: the model reads text alone, and it has images." in told and "hub, BoKelvin/SLAKE" not in told
    assert rows["slake"]["missing"] == "the model reads text alone, and it has images"
    assert rows["medqa"]["figures"]["accuracy"]["n"] == 2 and "A sample of 2 contexts." in rows["medqa"]["said"]


def test_unknown_rows_and_models_taught_otherwise_are_refused(work):
    with pytest.raises(AssayError, match="did you mean slake"):
        card(work, "reads", "--rows", "slaki")
    with pytest.raises(AssayError, match="--rows names no row"):
        card(work, "reads", "--rows", "")
    with pytest.raises(AssayError, match=r"test.jsonl is a file; name the folder"):
        list_data(work / "data" / "medqa" / "test.jsonl", [])
    (work / "bad" / "own").mkdir(parents=True)
    (work / "bad" / "own" / "row.yaml").write_text("recipe: exam\n")
    with pytest.raises(AssayError, match=r"The row\.yaml of own is to be corrected"):
        list_data(work / "bad", [])
    with pytest.raises(AssayError, match="was taught records, not answers in words"):
        from recipes.card.command import make_card

        make_card("lab-report-270m", work / "data", [], work / "x", "generation", None, True, None, False)


def graded(values):
    items = [Item(f"{n}", "?", "A", {"A": "a", "B": "b"}) for n in range(len(values))]
    return items, [Graded({"right": value}, "A") for value in values]


def test_the_interval_is_that_of_the_contexts():
    items, answers = graded([1.0] * 60 + [0.0] * 40)
    made = measure(Figure(name="accuracy"), items, answers)
    assert made.value == pytest.approx(60) and (made.n, made.contexts) == (100, 100)
    # A proportion of .6 over 100: about 1.96 * sqrt(.24 / 100) to each side.
    assert made.low == pytest.approx(60 - 9.6, abs=1.5) and made.high == pytest.approx(60 + 9.6, abs=1.5)
    same = [Item(i.id, "?", "A", i.options, patient=str(n // 10)) for n, i in enumerate(items)]
    wider = measure(Figure(name="accuracy"), same, answers)
    assert wider.contexts == 10 and wider.high - wider.low > 2 * (made.high - made.low)


def test_macro_figures_are_those_of_their_groups():
    rows = [("a", "yes", "yes"), ("a", "no", "yes"), ("b", "no", "no"), ("b", "yes", "no"), ("b", "yes", "yes")]
    items = [Item(f"{n}", "?", gold, group=group) for n, (group, gold, _) in enumerate(rows)]
    answers = [Graded({"right": float(gold == said)}, said) for _, gold, said in rows]
    value = {
        over: measure(Figure(name="x", over=over), items, answers).value for over in ("mean", "macro", "recall", "f1")
    }
    assert value["mean"] == pytest.approx(60)
    assert value["macro"] == pytest.approx(100 * np.mean([1 / 2, 2 / 3]))
    assert value["recall"] == pytest.approx(100 * np.mean([(1 + 0) / 2, (1 + 1 / 2) / 2]))
    assert value["f1"] == pytest.approx(100 * np.mean([2 / 3, 2 / 3]))


def test_a_changed_grader_needs_no_new_run():
    reply = {"id": "1", "reply": "Final Answer: A"}
    assert choice(reply["reply"], Item("1", "?", "A", {"A": "a"})).scores["right"] == 1.0
    assert "Not here" in page([], [by_name("pcam")], "m", {})


@pytest.mark.parametrize("name", ["slake", "vqa_rad", "mimic_cxr", "mimic_reports", "chest_imagenome"])
def test_an_image_is_trained_once_with_all_that_is_asked_of_it(work, eyes, image_tokenizer, name):
    row = by_name(name)
    folder = next(folder for own, _, folder in found(work / "data") if own == name)
    reading = read_row(row, folder, "test")
    family = family_of(eyes.config, image_tokenizer)
    settings = DataConfig(train=".", validation=".", max_length=4096)
    examples = examples_of(reading, row)
    rows = list(encode_all(examples, contract(), family, settings, 0))
    assert len(rows) == len(examples)
    for example, one in zip(examples, rows, strict=True):
        assert len(one["images"]) == 1 and one["input_ids"].count(family.soft) == 16
        taught = image_tokenizer.decode([label for label in one["labels"] if label >= 0])
        assert taught == "".join(f"{b.gold['answer']}<end_of_turn>" for b in example.branches)


@pytest.mark.parametrize("name", sorted({row.recipe for row in published().values()}))
def test_each_recipe_has_a_run_for_medgemma(name):
    config = load_config(ROOT / "recipes" / name / "qlora_medgemma.yaml")
    assert (config.recipe, config.model, config.train.quantization) == (name, "google/medgemma-1.5-4b-it", "nf4")


def test_a_team_s_own_pictures_are_trained_judged_and_in_the_table(work):
    from extraction import Extractor
    from finetune.task import DataRequest, evaluate, load_task, read_examples
    from finetune.train import train

    own = work / "own"
    for split, patients in (("train", "ab"), ("validation", "cd"), ("test", "ef")):
        rows = []
        for number, patient in enumerate(patients):
            picture(own / split / f"{patient}.png", (200 * number, 20, ord(patient)))
            rows.append({"bild": f"{patient}.png", "befund": ("normal", "krank")[number], "fall": patient})
        table(own / split / "bilder.csv", rows)
    (own / "row.yaml").write_text(
        "recipe: image_choice\ncolumns: {image: bild, answer: befund, patient: fall}\n"
        "classes: {normal: normal, krank: diseased}\nquestion: What is seen?\n"
        'prompt: {ask: "{question}\\n{options}", answer: "({answer})"}\n'
    )
    (own / "own.yaml").write_text(
        f"recipe: image_choice\nmodel: {work / 'sees'}\n"
        f"data: {{train: {own / 'train'}, validation: {own / 'validation'}, max_length: 256}}\n"
        f"adapter: {{r: 4, alpha: 8}}\ntrain: {{output: {own / 'run'}, max_steps: 2, batch_size: 2, "
        "checkpoint_steps: 2, dtype: float32}\ncontract: {max_answer_tokens: 8}\n"
    )
    adapter = train(load_config(own / "own.yaml"))
    task = load_task("image_choice")
    extractor = Extractor.from_pretrained(adapter, dtype="float32")
    from extraction.room import Room

    examples = read_examples(task, DataRequest(own / "test", "test", extractor.contract, Room(len, extractor.contract)))
    assert evaluate(extractor, task, examples).figures["questions"] == 2
    shutil.copytree(own / "test", work / "data" / "teams")
    shutil.copy(own / "row.yaml", work / "data" / "teams")
    _, made = card(work, str(adapter), "--rows", "teams", out="teams")
    assert made["rows"][0]["figures"]["accuracy"]["n"] == 2
    shutil.rmtree(work / "data" / "teams")
