"""A schema of one's own, from `assay init` to a merged model: instruction, roles and scores are the schema's."""

import json
from pathlib import Path

import pytest
import yaml
from reportlab.pdfgen.canvas import Canvas

from extraction.errors import AssayError
from finetune.config import load_config
from finetune.run import read_metrics
from recipes.cli import app
from recipes.documents.start import write_recipe
from tests.conftest import tiny_gemma

TEXT = {"type": ["string", "null"]}
SCHEMA = {
    "title": "Invoice",
    "type": "object",
    "properties": {
        "seller": TEXT,
        "issued": TEXT,
        "customer": {"type": "object", "properties": {"city": TEXT}},
        "items": {"type": "array", "items": {"type": "object", "properties": {
            "article": TEXT, "quantity": TEXT, "unit_price": TEXT, "total": TEXT}}},
    },
}  # fmt: skip


def invoice(path, number):
    canvas = Canvas(str(path.with_suffix(".pdf")))
    canvas.drawString(50, 780, f"Bolt & Nut {number}")
    canvas.drawString(50, 700, f"Washer M{number}")
    canvas.drawString(300, 700, "2.00")
    canvas.save()
    items = [{"article": f"Washer M{number}", "quantity": None, "unit_price": None, "total": "2.00"}]
    path.with_suffix(".json").write_text(json.dumps({"seller": f"Bolt & Nut {number}", "items": items}))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    tiny_gemma(1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, tiny):
    monkeypatch.chdir(tmp_path)
    Path("schema.json").write_text(json.dumps(SCHEMA))
    app(["init", "invoices", "--schema", "schema.json", "--model", str(tiny)], standalone_mode=False)
    return tmp_path


def test_what_is_begun_is_told_in_lines_that_fit_a_terminal(here, capsys):
    app(["init", "bills", "--schema", "schema.json"], standalone_mode=False)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100 and "bills/README.md" in said
    assert "assay evaluate runs/bills bills/data/test " in Path("bills/README.md").read_text()
    told = yaml.safe_load(Path("bills/bills.yaml").read_text())["contract"]["instruction"]
    assert told in " ".join(said.split())


def test_it_trains_is_judged_and_merged(here, capsys):
    said = yaml.safe_load(Path("invoices/invoices.yaml").read_text())["contract"]
    assert "invoice" in said["instruction"] and "unit price" in said["instruction"] and "city" in said["instruction"]
    assert said["style"] == "rows" and said["roles"] == {"article": "name", "total": "value", "issued": "time"}
    for number in range(4):
        invoice(Path("invoices/data") / ("train" if number < 3 else "validation") / f"{number}", number)
    small = ["train.quantization=null", "train.dtype=float32", "train.max_steps=2", "train.checkpoint_steps=2"]
    config = ["invoices/invoices.yaml", *small, "contract.max_answer_tokens=64"]
    app(["plan", *config], standalone_mode=False)
    plan = capsys.readouterr().out
    assert "3 examples" in plan and "judged on 1 others" in plan and "steps:   2 " in plan
    assert "5.33 times over" in plan  # as many as the steps are, whatever epochs says
    app(["train", *config], standalone_mode=False)
    judged = [row["step"] for row in read_metrics(Path("runs/invoices/metrics.jsonl")) if "eval_micro_f1" in row]
    assert judged == [0, 2] and "<th>before</th>" in Path("runs/invoices/report.html").read_text()
    capsys.readouterr()
    app(["evaluate", "runs/invoices/adapter", "invoices/data/validation", "--json"], standalone_mode=False)
    figures = json.loads(capsys.readouterr().out)
    assert figures["rows_gold"] == 1 and figures["micro_f1"] == 0.0  # nothing learned is nothing, and not 1 of 0 rows
    app(["merge", "runs/invoices", "--out", "runs/merged"], standalone_mode=False)
    assert "Merged: logits differ" in Path("runs/invoices/report.html").read_text()
    assert "shards" not in capsys.readouterr().err  # no bar where there is no terminal
    assert json.loads(Path("runs/merged/contract.json").read_text())["roles"] == said["roles"]


def test_all_faults_of_a_folder_are_told_at_once(here, capsys):
    config = load_config(Path("invoices/invoices.yaml"))
    with pytest.raises(AssayError, match=r"data/train holds no PDF.*data/validation holds no PDF"):
        app(["plan", "invoices/invoices.yaml"], standalone_mode=False)
    for number in range(3):
        invoice(config.data.train / f"{number}", number)
        invoice(config.data.validation / f"v{number}", 10 + number)
    (config.data.train / "0.json").write_text('{"items": 1}')
    (config.data.train / "1.json").unlink()
    (config.data.train / "2.pdf").write_bytes(b"no document")
    with pytest.raises(AssayError) as told:
        app(["plan", "invoices/invoices.yaml"], standalone_mode=False)
    lines = str(told.value).splitlines()
    assert lines[0].startswith("3 faults in") and len(lines) == 4
    for words in ("/items", "1.json is missing", "2.pdf"):
        assert words in str(told.value)


def test_names_that_yaml_would_take_for_something_else(here):
    write_recipe(Path("my work #1/2024"), Path("schema.json"), "models/a: b #c")
    config = load_config(Path("my work #1/2024/2024.yaml"))
    assert config.model == "models/a: b #c" and config.data.train == Path("my work #1/2024/data/train")


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"title": "MRI Report"}, "this MRI report."),
        ({"title": "OrderFormModel"}, "this order form."),
        ({"description": "A delivery note. One a page."}, "this document (A delivery note)."),
        ({}, "this document."),
    ],
)
def test_the_instruction_says_what_the_schema_says_that_a_document_is(here, told, kind):
    Path("s.json").write_text(json.dumps({**SCHEMA, "title": "", **told}))
    assert kind in write_recipe(Path("my_task"), Path("s.json"), "gemma-3-270m").instruction


def test_what_cannot_begin_leaves_nothing(here):
    with pytest.raises(AssayError, match="is there already"):
        write_recipe(Path("invoices"), Path("schema.json"), "gemma-3-270m")
    Path("bad.json").write_text('{"type": "array"}')
    with pytest.raises(AssayError):
        write_recipe(Path("other"), Path("bad.json"), "gemma-3-270m")
    assert not Path("other").exists()
    Path("none.yaml").write_text(
        f"recipe: documents\nmodel: {yaml.safe_load(Path('invoices/invoices.yaml').read_text())['model']}\n"
        "data: {train: invoices/data/train, validation: invoices/data/validation}\ntrain: {output: runs/x}\n"
    )
    with pytest.raises(AssayError, match="has no schema of its own"):
        app(["plan", "none.yaml"], standalone_mode=False)
