"""recipes/README.md, run as it stands: a new task in one file, trained, judged and served with a tiny random model."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from extraction.errors import AssayError
from extraction.schema import validator
from finetune.data import read_record
from finetune.launch import launch
from finetune.run import read_metrics
from recipes.cli import app
from tests.conftest import tiny_medgemma

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
# What a tiny model on a processor wants otherwise.
SMALL = {
    "model": "model",
    "train.quantization": "null",
    "train.dtype": "float32",
    "train.batch_size": "2",
    "train.accumulation": "1",
    "train.checkpoint_steps": "2",
    "train.max_steps": "2",
    "train.log_steps": "1",
    "train.learning_rate": "0.01",
}


def block(kind, number=0):
    """The page's code of a kind, in the order of the page."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[number]


@pytest.fixture(scope="module")
def work(tmp_path_factory, image_tokenizer):
    folder = tmp_path_factory.mktemp("image-qa")
    tiny_medgemma(1).save_pretrained(folder / "model")
    image_tokenizer.save_pretrained(folder / "model")
    (folder / "image_qa.py").write_text(block("python"))
    (folder / "image_qa.yaml").write_text(block("yaml"))
    for number, split in enumerate(("train", "validation", "test")):
        (folder / "data" / split).mkdir(parents=True)
        for slide in (1, 2):
            colour = (90 * number, 120 * slide, 60)
            Image.new("RGB", (140, 112), colour).save(folder / "data" / split / f"slide-{slide}.png")
        (folder / "data" / split / "questions.jsonl").write_text(block("json"))
    Image.new("RGB", (112, 112), "brown").save(folder / "new.png")
    return folder


@pytest.fixture
def here(work, monkeypatch):
    """In the folder, whose modules can be imported; in this process, for the time that imports take."""
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    return work


def test_the_page_adds_a_task(here, monkeypatch, capsys):
    changes = [f"{key}={value}" for key, value in SMALL.items()]
    monkeypatch.setattr("sys.argv", ["launch", "--config", "image_qa.yaml", *changes])
    launch()
    rows = read_metrics(here / "runs" / "image-qa" / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2]
    assert any("eval_accuracy" in row for row in rows)

    def said(*command):
        capsys.readouterr()
        app(command, standalone_mode=False)
        return capsys.readouterr().out

    assert "adapter:" in said("plan", "image_qa.yaml", *changes)
    assert json.loads(said("evaluate", "runs/image-qa", "data/test", "--json"))["questions"] == 3
    said("merge", "runs/image-qa", "--out", "runs/merged")
    exec(block("python", 1), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.split()[0] in ("ok", "partial", "failed") for line in lines)


def test_documents_need_a_contract_alone(here):
    (here / "invoices.py").write_text(block("python", 2))
    (here / "data" / "pages").mkdir()
    gold = {"seller": "Ann", "items": [{"article": "Nails", "price": "2.00"}]}
    (here / "data" / "pages" / "a.json").write_text(json.dumps(gold))
    settings = {**SMALL, "recipe": "invoices", "data.train": "data/documents", "data.validation": "data/others"}
    settings["train.output"] = "runs/invoices"
    changes = [f"{key}={value}" for key, value in settings.items()]
    with pytest.raises(AssayError, match="data/documents"):
        app(["plan", "image_qa.yaml", *changes], standalone_mode=False)
    made: dict[str, Any] = {}
    exec(block("python", 2), made)
    contract = made["TASK"].contract
    assert contract.roles.keys() == {"article", "price", "seller"}
    exec(block("python", 3), made)
    branch = made["branch"]
    assert read_record(here / "data" / "pages" / "a.json", contract)["seller"] == "Ann"
    assert validator(branch.schema).is_valid(branch.gold) and contract.target_for(branch.schema).encode(branch.gold)
