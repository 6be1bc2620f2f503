"""What a user's machine does to files and models: one sentence, the others go on, nothing is made up."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from extraction.batch import _LONGEST, _fitting
from extraction.contract import Contract
from extraction.errors import AssayError, run_command
from extraction.example import Context, Example, ImagePart
from extraction.export.tables import Tables
from extraction.generate import LocalBackend
from extraction.generate.models import load_model
from extraction.record.record import Record
from finetune.config import load_config
from finetune.preflight import _activations
from tests.conftest import command, tiny_gemma
from tests.families import KINDS, model_of

DEMO = Path(__file__).parents[1] / "recipes" / "lab_report" / "demo.yaml"


def test_a_name_that_is_too_long_for_a_file_is_shortened_and_stays_its_own():
    long = ["folder/" + "検" * 100 + end for end in "ab"]
    short = [_fitting(name) for name in long]
    assert len(set(short)) == 2 and all(name.startswith("folder/検検") for name in short)
    assert all(len(name.removeprefix("folder/").encode()) <= _LONGEST for name in short)
    assert _fitting("a/b.pdf") == "a/b.pdf" and _fitting(short[0]) == short[0]


def test_an_output_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: (tmp_path / "file" / "out").mkdir(parents=True))
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.startswith("Error: ") and "file" in told and "Traceback" not in told


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    made = tmp_path_factory.mktemp("faults") / "model"
    tiny_gemma(1).save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


def damaged(folder, tmp_path, change):
    shutil.copytree(folder, tmp_path / "model")
    change(tmp_path / "model")
    return str(tmp_path / "model")


def without_a_layer(model):
    weights = load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if ".mlp." not in name}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})


def cut(model):
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:30000])


def of_other_sizes(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"intermediate_size": 2 * config["intermediate_size"]}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_a_layer, "tensors are missing"),
        (cut, "not whole"),
        (of_other_sizes, "other sizes than its config.json"),
    ],
)
def test_a_model_that_is_not_whole_is_refused(folder, tmp_path, change, said):
    with pytest.raises(AssayError, match=said):
        load_model(damaged(folder, tmp_path, change))


def test_an_image_that_is_gone_fails_alone_with_a_local_model(eyes, image_tokenizer, tmp_path):
    from PIL import Image

    backend = LocalBackend(eyes, image_tokenizer, rows=2)
    for name in ("good.png", "gone.png"):
        Image.new("RGB", (20, 20), "white").save(tmp_path / name)
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 2}}, "required": ["a"]}
    contract = Contract(instruction="Look.", record_schema=schema, max_answer_tokens=16)
    names = ("good.png", "gone.png", "good.png")
    examples = [Example(Context(name, (ImagePart.of(tmp_path / name),))) for name in names]
    (tmp_path / "gone.png").unlink()
    found = [(example.context.name, answer.finish) for example, _, answer in backend.generate(examples, contract)]
    assert len(found) == 3 and dict(found)["gone.png"] == "refused" and dict(found)["good.png"] != "refused"


@pytest.mark.parametrize("name", KINDS)
def test_every_family_has_a_plan(name):
    assert _activations(model_of(name).config, load_config(DEMO)) > 0
    assert _activations(AutoConfig.for_model("qwen2"), load_config(DEMO)) > 0  # says no width of a head


@pytest.mark.parametrize(
    "value", ["train.max_steps=0", "train.max_steps=-5", "train.seed=-1", "train.learning_rate=.inf"]
)
def test_values_that_train_nothing_are_refused(value):
    with pytest.raises(AssayError, match=value.partition("=")[0].replace(".", r"\.")):
        load_config(DEMO, [value])


def test_a_name_that_is_no_utf8_is_written_so_that_it_can_be_read():
    assert Record("bad\udcff.pdf", "ok", {}).to_dict()["source"] == "bad\ufffd.pdf"


def test_a_tree_has_no_column_without_a_name():
    children = {"type": "array", "items": {"$ref": "#/$defs/node"}}
    node = {"type": "object", "properties": {"name": {"type": "string"}, "children": children}}
    schema = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    for table in Tables([Contract.for_schema(schema)]).layout():
        assert all(table.columns) and "tree.children" not in table.columns


def test_a_run_that_diverges_is_stopped(folder, tmp_path):
    settings = ["data.synthetic.train.count=2", "data.synthetic.validation.count=1", "train.learning_rate=1e38"]
    settings += ["train.max_steps=4", "train.log_steps=1", "train.warmup=0", "train.max_grad_norm=1e30"]
    places = [f"model={folder}", f"train.output={tmp_path / 'run'}"]
    places += [f"data.train={tmp_path / 'a'}", f"data.validation={tmp_path / 'b'}"]
    made = command("train", DEMO, *places, *settings)
    assert made.returncode == 2 and "the run diverged" in made.stderr and "Traceback" not in made.stderr
