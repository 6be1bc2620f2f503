"""The YAML: short, checked, and clear about mistakes."""

import importlib
import sys
from pathlib import Path

import pytest

from extraction.errors import AssayError
from finetune.config import config_schema, load_config
from finetune.encode import training_order
from finetune.run import own_run
from finetune.task import contract_of, load_task

DEMO = Path(__file__).parents[2] / "recipes" / "lab_report" / "demo.yaml"


def test_every_yaml_of_the_recipes_is_valid():
    for path in DEMO.parents[1].glob("*/*.yaml"):
        if path.parent.name != "accelerate":
            config = load_config(path)
            if own_run(config.recipe):  # has no contract
                continue
            task = load_task(config.recipe)
            schema = contract_of(task, config.contract).record_schema
            assert schema == task.contract.record_schema or config.contract.record_schema, path


def test_overrides():
    config = load_config(DEMO, ["train.learning_rate=1e-4", "model=./mine", "data.synthetic.train.count=7"])
    assert (config.train.learning_rate, config.model, config.data.synthetic["train"].count) == (1e-4, "./mine", 7)

    assert load_config(DEMO, ["train.report_to=wandb"]).train.report_to == ("wandb",)
    assert load_config(DEMO, ["contract.carry=name"]).contract.carry == ("name",)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.learnin_rate=1", "did you mean `train.learning_rate`"),
        ("epochs=3", "did you mean `train.epochs`"),
        ("modle=x", "did you mean `model`"),
        ("data.synthetic.train.cuont=1", "did you mean `data.synthetic.train.count`"),
        ("train.batch_size=many", "`train.batch_size`"),
        ("train.batch_size=0", "greater than 0"),
        ("train", "section.key=value"),
        ("model.name=x", "holds a value"),
        ("train.output=[a", "not valid YAML"),
        ("train.scheduler=foo", "`train.scheduler`"),
        ("adapter.target_modules=(", "no regular expression"),
    ],
)
def test_mistakes_name_the_remedy(override, words):
    with pytest.raises(AssayError, match=words) as said:
        load_config(DEMO, ["train.epochs=2", override])
    assert f"`{override}`" in str(said.value) and str(DEMO) not in str(said.value)


def test_all_mistakes_are_told_together():
    with pytest.raises(AssayError, match=r"4 mistakes in .*demo\.yaml:") as said:
        load_config(DEMO, ["train.epoch=2", "train.batch_size=0", "modle=x", "adapter.r=none"])
    told = str(said.value).splitlines()[1:]
    assert len(told) == 4 and all(
        any(key in line for line in told) for key in ("epoch", "batch_size", "modle", "adapter.r")
    )


def test_files_that_are_no_configuration(tmp_path):
    with pytest.raises(AssayError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(AssayError, match="not valid YAML at line"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_bytes("recipe: größe".encode("latin-1"))
    with pytest.raises(AssayError, match="not UTF-8"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- 1")
    with pytest.raises(AssayError, match="mapping"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("recipe: lab_report\ndata: {train: a, validation: b}")
    with pytest.raises(AssayError, match=r"a\.yaml: .*`train` is missing"):
        load_config(tmp_path / "a.yaml", ["data.train=b"])
    (tmp_path / "a.yaml").write_text("recipe: lab_report\ntrain: {output: a, epochs: 1, epochs: 3}\n")
    with pytest.raises(AssayError, match="line 2, has the key `epochs` a second time; keep one"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("recipe", [None, "lab_report", "contrastive", "vqa_head"])
def test_every_key_is_explained(recipe):
    schema = config_schema(recipe)
    assert ("chunk" in schema["properties"]) == (recipe == "contrastive")
    for section in schema["$defs"].values():
        for name, field in section.get("properties", {}).items():
            assert field.get("description"), name


def test_a_schema_of_ones_own_takes_the_recipes_place(tmp_path, monkeypatch):
    (tmp_path / "s.json").write_text('{"type":"object","properties":{"a":{"type":"string"}}}')
    config = load_config(DEMO, [f"contract.record_schema={tmp_path / 's.json'}", "contract.style=objects"])
    contract = contract_of(load_task("lab_report"), config.contract)
    assert list(contract.record_schema["properties"]) == ["a"] and contract.carry == ()
    # The demo's own lies beside its YAML, wherever it is started.
    monkeypatch.chdir(tmp_path)
    rows = contract_of(load_task("lab_report"), load_config(DEMO).contract).record_schema["properties"]
    assert list(rows) == ["tests"] and "flag" not in rows["tests"]["items"]["properties"]
    moved = load_config(DEMO, ["contract.record_schema=invoices/schema.json"])
    with pytest.raises(AssayError, match=rf"no file invoices/schema.json, neither from the folder {tmp_path} nor"):
        contract_of(load_task("lab_report"), moved.contract)


def test_unknown_recipe():
    with pytest.raises(
        AssayError, match="name lab_repart; known recipes are chest_xray, contrastive, documents, ehr_qa"
    ):
        load_task("lab_repart")


def test_the_order_of_training_is_a_shuffle_of_every_epoch():
    lengths = [n % 7 for n in range(50)]
    order = training_order(lengths, 3, 4, seed=1)
    epochs = [order[start : start + 50] for start in (0, 50, 100)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] and order == training_order(lengths, 3, 4, seed=1)
    spread = [
        max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in zip(*[iter(order[:48])] * 4, strict=True)
    ]
    assert sum(spread) / len(spread) < 2


def test_windows_go_from_the_shortest_to_the_longest(tmp_path):
    with pytest.raises(AssayError, match="in this order"):
        load_config(DEMO, ["data.window_tokens=[900, 300]"])


@pytest.mark.parametrize(
    "source, said",
    [
        ("X = 3", r"odd_recipe.*has no TASK"),
        ("TASK = 3", "its TASK is 3"),
        ("import nothere", r"odd_recipe\.py, line 1\): ModuleNotFoundError: No module named 'nothere'"),
        (
            "\nfrom extraction.contract import Contract\nContract(instruction='', record_schema={'type': 'texd'})",
            "line 3",
        ),
    ],
)
def test_a_recipe_that_cannot_be_used_is_named_with_its_line(tmp_path, monkeypatch, source, said):
    (tmp_path / "odd_recipe.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_recipe", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(AssayError, match=said):
        load_task("odd_recipe")
