"""What a run cannot be done with is said in a sentence before documents are read or weights are loaded."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from extraction import Extractor
from extraction.errors import AssayError
from extraction.example import Context, Example
from extraction.generate.models import load_family
from extraction.generate.weights import fingerprint
from extraction.reading import check_room, document_example
from extraction.room import Room
from finetune.adapter import merge
from finetune.config import load_config
from finetune.preflight import check_trackers, plan
from finetune.task import DataRequest, DocumentTask, read_examples
from finetune.train import read_data, train
from recipes.lab_report.task import CONTRACT
from tests.conftest import document_of, tiny_gemma
from tests.finetune.test_train import DEMO, settings


@pytest.fixture(scope="module")
def work(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("preflight")
    tiny_gemma(1).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    lora = LoraConfig(r=2, target_modules=r".*layers\.\d+\.self_attn\.q_proj", task_type="CAUSAL_LM")
    adapted = get_peft_model(tiny_gemma(1), lora)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    adapted.save_pretrained(folder / "adapter")
    CONTRACT.save(folder / "adapter")
    values = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    values["base_model_name_or_path"] = str(folder / "model")
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(values))
    facts = {"base_model": str(folder / "model"), "base_sha256": fingerprint(str(folder / "model"))}
    (folder / "adapter" / "versions.json").write_text(json.dumps(facts))
    return folder


def changed(work, target, rename=lambda name: name, resize=lambda tensor: tensor, **values):
    """A copy of the adapter with other names, sizes or settings."""
    shutil.copytree(work / "adapter", target)
    weights = load_file(target / "adapter_model.safetensors")
    save_file({rename(k): resize(v) for k, v in weights.items()}, target / "adapter_model.safetensors")
    config = json.loads((target / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps({**config, **values}))
    return target


@pytest.fixture
def no_work(monkeypatch):
    """Nothing that takes long may begin."""

    def refuse(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("transformers.modeling_utils.PreTrainedModel.from_pretrained", refuse)
    monkeypatch.setattr("finetune.train.read_data", refuse)


def refused(work, output, **more):
    """The message with which a run is refused; it leaves no folder behind."""
    with pytest.raises(AssayError) as caught:
        train(load_config(DEMO, settings(work, work / output, **more)))
    assert not (work / output).exists() and "\n" not in str(caught.value)
    return str(caught.value)


def test_an_adapter_that_fits_is_served(work):
    assert Extractor.from_pretrained(work / "adapter").contract == CONTRACT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rename": lambda name: name.replace(".layers.", ".language_model.layers.")}, "6 of its 6 tensors are for"),
        ({"rename": lambda name: name.replace(".layers.2.", ".layers.7.")}, r"2 of its 6 .*, 2 are missing"),
        ({"resize": lambda tensor: torch.cat([tensor, tensor], 1 if len(tensor) == 2 else 0)}, "other sizes"),
        ({"target_modules": ["query_key_value"]}, "query_key_value"),
    ],
)
def test_an_adapter_for_other_modules(work, tmp_path, no_work, changes, words):
    other = changed(work, tmp_path / "other", **changes)
    message = rf"^The adapter in {other} does not fit {work / 'model'}: .*{words}.*model that it was trained on\.$"
    with pytest.raises(AssayError, match=message):
        Extractor.from_pretrained(other)
    with pytest.raises(AssayError, match=message):
        merge(other, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert str(other) in refused(work, "run", **{"adapter.start": other})


def test_an_adapter_file_that_is_cut_off(work, tmp_path, no_work):
    other = changed(work, tmp_path / "other")
    whole = (other / "adapter_model.safetensors").read_bytes()
    (other / "adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AssayError, match="does not fit"):
        Extractor.from_pretrained(other)


def test_a_new_adapter_for_modules_that_are_not_there(work, no_work):
    message = refused(work, "run", **{"adapter.target_modules": ".*no_such_proj"})
    assert message.startswith("adapter.target_modules: the adapter cannot be put on")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"adapter.start": "nowhere"}, "adapter.start: there is no folder nowhere"),
        ({"adapter.start": "half"}, "has no weights"),
        ({"contract.view": "image"}, "reads text alone"),
        ({"data.max_length": 20}, "data.max_length is too low"),
        ({"data.window_tokens": "[10, 400]"}, "data.window_tokens is too low"),
        ({"contract.max_prompt_tokens": 5}, "contract.max_prompt_tokens is too low"),
    ],
)
def test_a_plan_says_what_training_says_of_a_run(work, no_work, monkeypatch, tmp_path, changes, words):
    def network(*_, **__):
        raise AssertionError("something was asked of the network")

    monkeypatch.setattr("socket.getaddrinfo", network)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half").mkdir()
    shutil.copy(work / "adapter" / "adapter_config.json", tmp_path / "half")
    message = refused(work, "run", **changes)
    assert words in message
    with pytest.raises(AssayError) as caught:
        plan(load_config(DEMO, settings(work, work / "run", **changes)))
    assert str(caught.value) == message


def test_a_prompt_without_room_for_a_page_is_told_before_training(tmp_path):
    document = document_of("Na 140")
    contract = CONTRACT.model_copy(update={"view": "both"})
    example = document_example(document, contract)
    check_room(example, contract, lambda parts: True)
    with pytest.raises(AssayError, match="the image of page 1, with the instruction and its schema, is longer"):
        check_room(example, contract, lambda parts: not parts)


class Reads(DocumentTask):
    name = "reads"
    contract = CONTRACT

    def __init__(self, answer):
        self.answer = answer

    def read(self, wanted):
        return self.answer(wanted.folder)


def missing(folder):
    return (folder / "none.txt").read_text()


def test_what_a_tasks_own_code_does_wrong_is_one_sentence_with_its_line(tmp_path):
    def said(answer):
        with pytest.raises(AssayError) as caught:
            read_examples(Reads(answer), DataRequest(tmp_path, "train", CONTRACT, Room(len, CONTRACT)))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    line = missing.__code__.co_firstlineno + 1
    assert f"The recipe reads cannot read {tmp_path} ({__file__}, line {line}): FileNotFoundError" in said(missing)
    nothing = f"The recipe reads found no example in {tmp_path}"
    assert said(lambda folder: []).startswith(nothing)
    assert said(lambda folder: [Example(Context("a", ("a",)), ())]).startswith(nothing)
    assert "cannot read" in said(lambda folder: None)

    def own(folder):
        raise AssayError("Its own words.")

    assert said(own) == "Its own words."


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_a_folder_without_an_example_is_told_by_name(work, tmp_path, empty):
    examples = {"train": [document_example(document_of("Na"), CONTRACT, {"tests": []})], "validation": []}
    task = Reads(lambda folder: examples["train" if folder.name != empty else "validation"])
    config = load_config(DEMO, settings(tmp_path, tmp_path / "run", model=work / "model", **{"data.synthetic": "{}"}))
    with pytest.raises(AssayError, match=f"no example in {tmp_path / empty}"):
        read_data(config, task, CONTRACT, load_family(str(work / "model")))


def test_all_trackers_that_are_not_installed_are_named():
    with pytest.raises(AssayError, match="no_one and no_other are not installed; pip install no_one no_other"):
        check_trackers(["no_one", "json", "no_other"])


def test_a_gpu_without_bfloat16(work, no_work, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # Tensors of bfloat16 can be made there all the same.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert refused(work, "run") == "This GPU has no bfloat16; set train.dtype=float32."


def test_a_disk_without_room_for_checkpoints(work, no_work, monkeypatch):
    monkeypatch.setattr("finetune.preflight.shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    told = refused(work, "full")
    assert told.startswith("The checkpoints need") and "has 0.0 GB left; make room" in told
    assert refused(work, "full", **{"adapter.start": work / "adapter"}) == told


def test_bitsandbytes_without_its_library(work, no_work, monkeypatch):
    from bitsandbytes import cextension

    nf4 = {"train.quantization": "nf4", "train.dtype": "float32"}
    monkeypatch.setattr(cextension, "lib", cextension.ErrorHandlerMockBNBNativeLibrary("no such file"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert refused(work, "run", **nf4).startswith("bitsandbytes has no library for this GPU")
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.cextension", None)
    assert refused(work, "run", **nf4).startswith("4-bit weights need bitsandbytes, which cannot be loaded here")
