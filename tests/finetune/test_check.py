"""`assay data check`: each fault that is planted in training data is found, and sound data pass, whatever the task."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from extraction.contract import Contract
from extraction.example import Branch, Context, Example, ImagePart
from finetune import check as module
from finetune.check import check
from finetune.config import RunConfig, SyntheticConfig
from finetune.findings import Report
from finetune.near import near_pairs
from finetune.task import Task, load_task
from tests.conftest import command, tiny_gemma, tiny_medgemma

TEXT = {"type": ["string", "null"]}
ROW = {"article": TEXT, "total": TEXT}
SCHEMA = {
    "type": "object",
    "properties": {
        "vendor": TEXT,
        "patient_id": TEXT,
        "items": {"type": "array", "items": {"type": "object", "properties": ROW}},
    },
}
ANSWER = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
SPOKEN = Contract(instruction="", record_schema=ANSWER, roles={"answer": "text"}, style="text")


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    tiny_gemma(1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def invoice(folder, number, vendor="Bolt & Nut", **gold):
    """An invoice of a patient of its own; `gold` is what its record says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    canvas = Canvas(str(folder / f"{number}.pdf"), invariant=True)
    canvas.drawString(50, 780, vendor)
    canvas.drawString(50, 740, f"Patient P{number}")
    canvas.drawString(50, 700, f"Washer M{number}")
    canvas.drawString(300, 700, f"{number}.50")
    canvas.save()
    items = [{"article": f"Washer M{number}", "total": f"{number}.50"}]
    record = {"vendor": vendor, "patient_id": f"P{number}", "items": items, **gold}
    (folder / f"{number}.json").write_text(json.dumps(record))


@pytest.fixture
def invoices(tmp_path, model):
    """A run's YAML with six sound invoices to train on and two, of another vendor, to be judged by."""
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    for number in range(10, 16):
        invoice(tmp_path / "train", number)
    for number in range(20, 22):
        invoice(tmp_path / "validation", number, "Screw Works")
    values = {
        "recipe": "documents",
        "model": str(model),
        "contract": {"instruction": "Read the invoice.", "record_schema": "schema.json", "style": "rows",
                     "roles": {"article": "name", "total": "value"}},
        "data": {split: str(tmp_path / split) for split in ("train", "validation")},
        "train": {"output": str(tmp_path / "run")},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def looked_through(folder, *overrides):
    """What `assay data check` told, by kind, and its exit code."""
    done = command("data", "check", folder / "run.yaml", *overrides, "--json", folder / "told.json")
    assert done.returncode in (0, 1), done.stderr
    told = json.loads((folder / "told.json").read_text())
    assert told["spoiled"] == any(one["spoils"] for one in told["findings"]) == bool(done.returncode)
    return {(one["kind"], Path(one["where"]).name): one for one in told["findings"]}, done


def test_data_without_a_row_to_train_on_have_no_lengths():
    assert "0 rows that are trained: none; data.max_length=8" in str(Report(8))


def test_sound_documents_pass_and_are_told(invoices):
    found, done = looked_through(invoices)
    assert not found and done.returncode == 0
    assert done.stdout.endswith("Nothing was found that would spoil training.\n") and "6 examples" in done.stdout
    assert "8 of 8" in done.stdout and "data.max_length=4096" in done.stdout
    told = json.loads((invoices / "told.json").read_text())
    assert len(told["lengths"]) == 6 and told["quantiles"]["most"] == max(told["lengths"])
    assert told["fields"]["vendor"] == {"filled": 6, "held_out": 2, "sought": 8, "found": 8}


def test_a_value_that_is_not_on_the_page(invoices):
    invoice(invoices / "train", 11, vendor="Bolt & Nut", patient_id="P999")
    items = [{"article": "Washer M12", "total": "99.00"}, {"article": "Washer M12", "total": None}]
    invoice(invoices / "train", 12, items=items)
    found, done = looked_through(invoices)
    assert {name for _, name in found} >= {"11.pdf", "12.pdf"} and done.returncode == 1
    assert "/patient_id “P999”" in found["value", "11.pdf"]["told"]
    assert "/items/0/total “99.00”" in found["value", "12.pdf"]["told"] and "12.pdf: /items" in done.stdout


def test_one_patient_in_two_splits_and_a_vendor_is_only_told(invoices):
    invoice(invoices / "validation", 21, patient_id="p10")
    found, _ = looked_through(invoices)
    assert found["group", "21.pdf"]["spoils"] and "patient_id “p10”" in found["group", "21.pdf"]["told"]
    invoice(invoices / "validation", 21)
    found, done = looked_through(invoices)
    assert not found["group", "21.pdf"]["spoils"] and "vendor" in found["group", "21.pdf"]["told"]
    assert done.returncode == 0


def test_a_duplicate_across_splits_and_two_answers_for_one_document(invoices):
    for name in ("13.pdf", "13.json"):
        shutil.copy(invoices / "train" / name, invoices / "validation" / f"copy{name[2:]}")
        shutil.copy(invoices / "train" / name, invoices / "train" / f"again{name[2:]}")
    found, _ = looked_through(invoices)
    assert "also in the training data" in found["duplicate", "copy.pdf"]["told"]
    assert not found["duplicate", "again.pdf"]["spoils"]
    (invoices / "train" / "again.json").write_text(json.dumps({"vendor": "Bolt & Nut"}))
    found, _ = looked_through(invoices)
    assert found["duplicate", "again.pdf"]["spoils"] and "another answer" in found["duplicate", "again.pdf"]["told"]


def test_texts_that_are_nearly_the_same():
    page = " ".join(f"word{number}" for number in range(80))
    pairs = near_pairs([page.replace("word40", "other"), "something else at all", ""], ["", "short", page])
    assert [(one, other) for one, other, _ in pairs] == [(0, 2)] and 0.8 < pairs[0][2] < 1


def test_fields_that_are_never_filled_and_targets_that_are_odd(invoices):
    for number in range(10, 16):
        invoice(invoices / "train", number, patient_id=None)
    invoice(invoices / "train", 10, patient_id=None, vendor="Bolt & Nut", items=[])
    invoice(invoices / "train", 11, patient_id="N/A")
    found, done = looked_through(invoices)
    assert "suspicious" in {kind for kind, _ in found} and done.returncode == 1
    invoice(invoices / "train", 11, patient_id=None)
    (invoices / "train" / "12.json").write_text('{"vendor": null, "items": []}')
    found, done = looked_through(invoices)
    assert found["field", "patient_id"]["spoils"] and "held-out ones do" in found["field", "patient_id"]["told"]
    assert "says nothing" in found["empty", "12.pdf"]["told"]
    for number in range(20, 22):
        invoice(invoices / "validation", number, "Screw Works", patient_id=None)
    found, done = looked_through(invoices)
    assert not found["field", "patient_id"]["spoils"] and done.returncode == 0


def test_one_file_that_cannot_be_read_hides_no_other(invoices):
    (invoices / "train" / "10.json").write_text('{"vendor": 1}')
    (invoices / "train" / "11.pdf").write_bytes(b"no document")
    invoice(invoices / "train", 12, vendor="Bolt & Nut", patient_id="P999")
    done = command("data", "check", invoices / "run.yaml")
    assert done.returncode == 1 and "4 examples" in done.stdout
    for words in ("10.json does not fit the schema at /vendor", "11.pdf", "P999"):
        assert words in done.stdout
    assert command("data", "check", invoices / "none.yaml").returncode == 2
    assert command("data", "check", invoices / "run.yaml", f"data.train={invoices}/none").returncode == 2


class Fixed(Task):
    name = "fixed"
    contract = SPOKEN

    def __init__(self, **examples):
        self.examples = examples

    def read(self, wanted):
        return self.examples[wanted.split]


def asked(name, parts, answer="yes", question="Is it?"):
    return Example(Context(name, parts), (Branch((question,), gold={"answer": answer}),))


def kinds(task, model, folder, monkeypatch, **data):
    monkeypatch.setattr(module, "load_task", lambda name: task)
    values = {"recipe": "fixed", "model": str(model), "data": {"train": folder, "validation": folder, **data}}
    report = check(RunConfig.model_validate({**values, "train": {"output": folder / "run"}}))
    return {(one.kind, one.where): one for one in report.findings}, report


def test_an_example_without_a_token_to_learn_from(tmp_path, model, monkeypatch):
    task = Fixed(
        train=[asked("a", ("A rose.",)), asked("b", ("A lily.",), answer="")],
        validation=[asked("c", ("A tulip.",))],
    )
    found, report = kinds(task, model, tmp_path, monkeypatch)
    assert set(found) == {("tokens", "b")} and report.spoiled and len(report.lengths) == 1
    assert "no token to learn from" in found["tokens", "b"].told


def test_an_image_over_the_budget(tmp_path, image_tokenizer, monkeypatch):
    tiny_medgemma(1).save_pretrained(tmp_path / "model")
    image_tokenizer.save_pretrained(tmp_path / "model")
    Image.new("RGB", (60, 60), "red").save(tmp_path / "a.png")
    Image.new("RGB", (60, 60), "blue").save(tmp_path / "b.png")
    one, other = (ImagePart.of(tmp_path / name) for name in ("a.png", "b.png"))
    task = Fixed(train=[asked("one", (one,)), asked("four", (one, one, one, one))], validation=[asked("two", (other,))])
    found, report = kinds(task, tmp_path / "model", tmp_path, monkeypatch, max_length=60)
    assert set(found) == {("tokens", "four")} and "64 of these its images'" in found["tokens", "four"].told
    assert report.images == 1 and report.image_tokens == [16] and "at most 16 tokens" in str(report)
    task.contract = SPOKEN.model_copy(update={"max_prompt_tokens": 60})
    found, _ = kinds(task, tmp_path / "model", tmp_path, monkeypatch, max_length=600)
    assert set(found) == {("room", "four")}


def test_all_answers_are_the_same(tmp_path, model, monkeypatch):
    task = Fixed(train=[asked(f"{n}", (f"Flower {n}.",)) for n in range(10)], validation=[asked("c", ("A tulip.",))])
    found, report = kinds(task, model, tmp_path, monkeypatch)
    assert set(found) == {("same answer", "all")} and not report.spoiled


def test_a_patient_of_health_records_in_two_splits(tmp_path, model):
    task = load_task("ehr_qa")
    for split, seed in (("train", 1), ("validation", 2)):
        task.synthesize(tmp_path / split, split, SyntheticConfig(count=2, seed=seed, max_rows=30))
    config = RunConfig.model_validate({
        "recipe": "ehr_qa", "model": str(model), "train": {"output": tmp_path / "run"},
        "data": {"train": tmp_path / "train", "validation": tmp_path / "validation", "questions": 5},
    })  # fmt: skip
    assert not check(config).spoiled
    bundle = next((tmp_path / "train").glob("*.json"))
    shutil.copy(bundle, tmp_path / "validation" / "again.json")
    assert {"duplicate", "group"} <= {one.kind for one in check(config).findings if one.spoils}


def test_questions_as_queries(tmp_path, model):
    task = load_task("ehr_query")
    for split, seed in (("train", 1), ("validation", 2)):
        task.synthesize(tmp_path / split, split, SyntheticConfig(count=20, seed=seed))
    config = RunConfig.model_validate({
        "recipe": "ehr_query", "model": str(model), "train": {"output": tmp_path / "run"},
        "data": {"train": tmp_path / "train", "validation": tmp_path / "validation"},
    })  # fmt: skip
    report = check(config)
    assert not report.spoiled and len(report.lengths) == 20


@pytest.mark.parametrize("recipe", ["exams", "image_choice"])
def test_rows_of_a_card(tmp_path, recipe, model, image_tokenizer):
    names = ["question", "options", "answer", *(["image"] if recipe == "image_choice" else [])]
    row = {"recipe": recipe, "columns": {**{name: name for name in names}, "patient": "who"}}
    if recipe == "image_choice":
        tiny_medgemma(1).save_pretrained(tmp_path / "model")
        image_tokenizer.save_pretrained(tmp_path / "model")
        model = tmp_path / "model"
    for split, shift in (("a", 0), ("b", 10)):
        folder = tmp_path / split
        folder.mkdir()
        (folder / "row.yaml").write_text(yaml.safe_dump(row))
        rows = []
        for number in range(shift, shift + 3):
            asked = {"question": f"What helps in case {number}?", "options": {"A": "rest", "B": "ice"}, "answer": "A"}
            if recipe == "image_choice":
                Image.new("RGB", (40, 40), (number * 9, 0, 0)).save(folder / f"{number}.png")
                asked["image"] = f"{number}.png"
            rows.append({**asked, "who": f"p{number}"})
        rows[-1]["who"] = "p0" if split == "b" else rows[-1]["who"]
        (folder / ("train.jsonl" if split == "a" else "validation.jsonl")).write_text("\n".join(map(json.dumps, rows)))
    report = check(RunConfig.model_validate({
        "recipe": recipe, "model": str(model), "train": {"output": tmp_path / "run"},
        "data": {"train": tmp_path / "a", "validation": tmp_path / "b"},
    }))  # fmt: skip
    assert [(one.kind, "p0" in one.told) for one in report.findings if one.spoils] == [("group", True)], report
    assert len(report.lengths) == 3 and report.images == (3 if recipe == "image_choice" else 0)
