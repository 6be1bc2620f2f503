"""A card's run with replies that stand ready in a model's place: what is kept, asked again, shown, refused."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from extraction.errors import AssayError
from finetune.task import recipe_of
from recipes.card import command, examples, lines
from recipes.card.blind import blind
from recipes.card.examples import sampled
from recipes.card.items import Item
from recipes.card.lines import Line
from recipes.card.measures import Measured
from recipes.card.places import found
from recipes.card.replies import as_asked, weights
from recipes.card.rows import by_name
from recipes.card.show import notes
from tests.recipes.pictures import picture, table

OPTIONS = {"A": "aspirin", "B": "bed rest"}


@pytest.fixture
def card(tmp_path, monkeypatch):
    """A folder with a model's files and MedQA, and the command on it; what is asked is noted."""
    asked = []

    def answered(extractor, contexts):
        for example in contexts:
            items = [branch.source.item for branch in example.branches]
            asked.extend(item.id for item in items)
            yield [{"id": item.id, "reply": "Final Answer: A"} for item in items]

    monkeypatch.setattr(lines, "_answered", answered)
    monkeypatch.setattr(command, "backend_for", lambda model: SimpleNamespace(sees=True))
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).write_text("{}")
    rows = [{"question": f"What helps {n}?", "options": OPTIONS, "answer_idx": "A"} for n in range(6)]
    table(tmp_path / "data" / "medqa" / "test.jsonl", rows)

    def made(*rows, limit=None):
        asked.clear()
        model, data, out = (tmp_path / name for name in ("model", "data", "out"))
        command.make_card(str(model), data, rows, out, "generation", limit, True, None, False)
        return {row["row"]: row for row in json.loads((out / "card.json").read_text())["rows"]}

    return SimpleNamespace(folder=tmp_path, data=tmp_path / "data", out=tmp_path / "out", asked=asked, made=made)


def own(folder, text, rows=()):
    """A data set of a team's own, with its `row.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "row.yaml").write_text(text)
    if rows:
        table(folder / "test.csv", rows)


def test_replies_are_of_these_weights_and_of_the_items_as_they_are_asked(card):
    card.made()
    assert len(card.asked) == 6
    file, kept = card.data / "medqa" / "test.jsonl", card.out / "medqa.generation.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["answer_idx"] = "B"  # a corrected answer needs no new reply
    rows[1]["question"], rows[2]["options"] = "What harms?", {**OPTIONS, "A": "alcohol"}
    table(file, rows)
    lines = kept.read_bytes().split(b"\n")
    kept.write_bytes(b"\n".join([*lines[:4], b"no JSON", b'{"id": "test.jsonl:5"}', *lines[6:]]))
    medqa = card.made()["medqa"]
    assert card.asked == [f"test.jsonl:{number}" for number in (2, 3, 4, 5)]
    assert medqa["said"][0] == f"2 damaged lines of {kept} were asked again."
    assert medqa["figures"]["accuracy"]["value"] == pytest.approx(100 * 5 / 6, abs=0.01)
    assert not card.made()["medqa"]["said"] and not card.asked
    (card.folder / "model" / "model.safetensors").write_text("[]")
    with pytest.raises(AssayError, match="other weights in its folder"):
        card.made()


def test_a_card_keeps_the_rows_of_earlier_runs(card):
    columns = "columns: {question: q, options: o, answer: y}\n"
    own(card.data / "own", f"recipe: exams\n{columns}", [{"q": "Why?", "o": "a|b", "y": "a"}])
    first = card.made("medqa")["medqa"]
    rows, page = card.made("own", limit=1), (card.out / "card.html").read_text()
    assert rows["medqa"] == first and rows["own"]["settings"]["limit"] == 1
    assert "Of an earlier run with other settings: no --limit; the last run has --limit 1.<br>" in page
    assert "<td>MedQA (4 options)</td>" in page and "<td>own</td>" in page
    shutil.move(card.data / "medqa", card.folder)  # its result stands, though its data are gone
    rows, page = card.made(), (card.out / "card.html").read_text()
    assert set(rows) == {"medqa", "own"} and "Of an earlier run" not in page
    absent = json.loads((card.out / "card.json").read_text())["absent"]
    assert "medqa" not in {row["row"] for row in absent}
    (card.folder / "model" / "model.safetensors").write_text("[]")
    with pytest.raises(AssayError, match=r"card\.json is the card of .* choose another --out"):
        card.made("own")
    assert "medqa" in (card.out / "card.json").read_text()
    (card.out / "card.json").write_text("{")
    with pytest.raises(AssayError, match="is no card that rows can be added to"):
        card.made("own")


def test_weights_are_told_by_content_and_an_adapter_s_with_its_base(tmp_path):
    for name in ("base", "copy", "adapter"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_text("one")
        (tmp_path / name / "config.json").write_text("{}")
    told = json.dumps({"base_model_name_or_path": str(tmp_path / "base")})
    (tmp_path / "adapter" / "adapter_config.json").write_text(told)
    assert weights(str(tmp_path / "copy")) == weights(str(tmp_path / "base"))
    before = weights(str(tmp_path / "adapter"))
    (tmp_path / "base" / "model.safetensors").write_text("two")
    assert weights(str(tmp_path / "adapter")) != before


def test_a_changed_picture_is_another_question(tmp_path):
    item, row = Item("1", "?", "yes", images=(picture(tmp_path / "a.png"),)), by_name("slake")
    before = as_asked([item], row)
    assert as_asked([replace(item, gold="no")], row) == before
    picture(tmp_path / "a.png", (1, 2, 3))
    assert as_asked([item], row) != before


def test_slides_in_another_magnification_are_other_questions():
    def key(row):
        return lines.Card._key(SimpleNamespace(weights="w"), row, lines.contract_of(row, None, True, None))["asked"]

    slides, pictures = by_name("wsi_choice"), by_name("slake")
    assert key(slides.model_copy(update={"magnification": 20})) != key(slides)
    assert key(pictures.model_copy(update={"magnification": 20})) == key(pictures)


def test_only_pictures_that_are_asked_about_are_opened(card, monkeypatch):
    opened = []
    monkeypatch.setattr(examples, "readable", lambda path: opened.append(path) or (path, ""))
    folder = card.data / "own"
    for name in "abcdefgh":
        picture(folder / f"{name}.png", (ord(name), 9, 9))
    rows = [{"image": f"{name}.png", "answer": "yes"} for name in "abcdefgh"]
    columns = "columns: {image: image, answer: answer}\n"
    own(folder, f"recipe: vqa\ngrader: yes_no\nquestion: Well?\n{columns}", rows)
    [first, second] = sampled(list("abcdefgh"), 2)
    (folder / f"{second}.png").write_text("no picture")
    row = card.made("own", limit=2)["own"]
    assert {path.name for path in opened} == {f"{first}.png", f"{second}.png"}
    assert row["left_out"] == {"its image cannot be read": 1} and row["figures"]["accuracy"]["n"] == 1
    assert row["said"][0] == "A sample of 2 contexts. No other picture was opened."


def test_one_bad_row_stops_no_other_and_is_named(card):
    own(card.data / "bad", "recipe: vqa\ngradr: choice\n")
    own(card.data / "typo", "recipe: exam\n")
    rows = card.made()
    assert rows["medqa"]["figures"] and str(card.data / "bad" / "row.yaml") in rows["bad"]["missing"]
    assert "row.yaml: there is no recipe exam for rows; did you mean exams?" in rows["typo"]["missing"]
    written = (card.out / "card.html").read_text()
    assert "<td>typo</td>" in written and "there is no recipe exam" in written


def test_where_nothing_was_measured_it_is_an_error_and_the_table_says_why(card):
    (card.data / "medqa" / "test.jsonl").write_text("no JSON\n")
    with pytest.raises(AssayError, match="No row was measured"):
        card.made()
    assert "No figure" in (card.out / "card.html").read_text()


def test_two_starts_at_one_folder_are_refused(card):
    from filelock import FileLock

    card.out.mkdir()
    with FileLock(card.out / "lock"), pytest.raises(AssayError, match="Another start is writing to"):
        card.made()


def test_published_figures_stand_beside_their_own_questions_only(card):
    question = {"id": "1", "question": "Which?", "options": OPTIONS, "label": "A"}
    for name in ("medxpertqa-r", "medxpertqa-u"):
        table(card.data / name / "test.jsonl", [question])
    table(card.data / "own" / "test.jsonl", [{"question": "Which?", "options": OPTIONS, "answer_idx": "A"}])
    (card.data / "own" / "row.yaml").write_text("base: medqa\nname: own\ntitle: Own\n")
    own(card.data / "pairs", "base: ms_cxr_t\nrecipe: exams\nreader: table\nclasses: {b: better, w: worse}\n"
        "columns: {question: question, answer: answer}\n", [{"question": "And now?", "answer": "b"}])  # fmt: skip
    rows = card.made()
    shown = {name: bool(row["published"]) for name, row in rows.items()}
    assert shown == {
        "medqa": True, "medxpertqa_text.medxpertqa-r": False, "medxpertqa_text.medxpertqa-u": False, "own": False,
        "pairs": False,
    }  # fmt: skip


def test_a_data_set_is_listed_once_and_two_of_one_name_by_their_folders(card):
    question = {"id": "1", "question": "Which?", "options": OPTIONS, "label": "A"}
    table(card.data / "MedXpertQA" / "Text" / "test.jsonl", [question])
    for name in "abc":
        table(card.data / name / "medqa" / "test.jsonl", [{"question": "Why?", "options": OPTIONS, "answer_idx": "A"}])
    for nih in ("ChestX-ray14", "ChestX-ray14/four_findings_expert_labels"):
        table(card.data / nih / "Data_Entry_2017.csv", [{"x": 1}])
    table(card.data / "ChestX-ray14" / "four_findings_expert_labels" / "test_labels.csv", [{"x": 1}])
    assert [(name, row.title) for name, row, _ in found(card.data)] == [
        ("cxr14", "ChestX-ray14, 14 text-mined findings"),
        ("cxr14_adjudicated", "ChestX-ray14, adjudicated findings"),
        ("medxpertqa_text", "MedXpertQA, text"),
        ("medqa", "MedQA (4 options) (medqa)"),
        ("medqa.medqa", "MedQA (4 options) (a/medqa)"),
        ("medqa.b.medqa", "MedQA (4 options) (b/medqa)"),
        ("medqa.c.medqa", "MedQA (4 options) (c/medqa)"),
    ]


def test_a_training_part_that_cannot_be_read_is_said(card):
    own(
        card.data / "own",
        "recipe: exams\ncolumns: {answer: y, question: q, options: o}\n",
        [{"q": "?", "o": "a|b", "y": "a"}],
    )
    (card.data / "own" / "train.csv").write_text("x\n1\n")
    assert any("was not checked, as its training part cannot be read" in told for told in card.made()["own"]["said"])


def test_notes_say_nothing_twice_and_nothing_of_figures_that_nobody_published():
    row = by_name("pcam")
    measured = Line(row, "pcam", figures={"accuracy": Measured(50.0, 10.0, 90.0, 4, 4)})
    assert not any("published figures" in told for told in notes(measured))
    absent = Line(row, "pcam", missing=f"pcam has no labels; {row.access}.", unread=True)
    assert notes(absent) == [f"No figure: pcam has no labels; {row.access}."]


def test_contexts_that_all_agree_have_an_exact_interval(card):
    medqa = card.made()["medqa"]["figures"]["accuracy"]
    assert medqa["interval_by"] == "Clopper-Pearson"
    assert medqa["interval"] == [pytest.approx(100 * 0.025 ** (1 / 6), abs=0.01), 100.0]
    assert "the exact bound by contexts" in (card.out / "card.html").read_text()


def test_the_blind_rule_is_the_best_for_each_figure():
    train = [Item(f"{n}", "Which side?", "left") for n in range(3)] + [Item("9", "Is it?", "no")]
    items = [Item("1", "Which side?", "left"), Item("2", "Which side?", "left"), Item("3", "Is it?", "yes")]
    best, told = blind(by_name("slake"), train, items)
    assert best["tokenised F1"].value == pytest.approx(200 / 3)
    assert best["yes/no accuracy"].value == 100 and "yes/no accuracy: always 'yes'" in told


def test_boxes_of_one_s_own_have_a_blind_rule_only_where_there_are_boxes_to_learn_from():
    row = by_name("chest_imagenome").model_copy(update={"blind": "constant"})
    items = [Item(f"{n}", "heart", (n, 0, 500, 500)) for n in (0, 100)]
    assert blind(row, [], items) == ({}, "")
    best, told = blind(row, [Item("3", "heart", (0, 0, 500, 500))], items)
    assert best["mean IoU"].value == pytest.approx(90) and "median training box" in told


def test_a_run_s_folder_stands_for_its_adapter(card):
    adapter = card.folder / "run" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(card.folder / "model")}))
    command.make_card(str(card.folder / "run"), card.data, (), card.out, "generation", None, True, None, False)
    assert json.loads((card.out / "card.json").read_text())["model"] == str(adapter)


def test_a_folder_without_a_run_is_one_sentence(tmp_path):
    for name, said in (("", "holds no model and no finished run"), ("nothing", "There is no folder")):
        with pytest.raises(AssayError, match=said):
            recipe_of(str(tmp_path / name))
