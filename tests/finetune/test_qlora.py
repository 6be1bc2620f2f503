"""QLoRA on a processor: 4-bit weights are trained, served and merged, on a tiny model."""

import json

import pytest
import torch

from extraction.errors import AssayError
from extraction.generate.models import load_adapter, load_model
from finetune.adapter import merge
from finetune.config import load_config
from finetune.run import read_metrics
from finetune.train import train
from recipes.lab_report.synthetic import write_reports
from tests.conftest import tiny_gemma
from tests.finetune.test_train import DEMO, settings


@pytest.fixture(scope="module")
def work(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("qlora")
    # 64 values share a scale in NF4: smaller layers would not show what it does.
    tiny = tiny_gemma(1, hidden_size=64, intermediate_size=128, head_dim=32).to(torch.bfloat16)
    tiny.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write_reports(folder / "train", names=["simple_list"], count=8, seed=5, max_rows=2)
    write_reports(folder / "validation", names=["simple_list"], count=1, seed=6, max_rows=2)
    return folder


def run(work, output, **more):
    more = {"train.quantization": "nf4", "adapter.dropout": 0.0, **more}
    return train(load_config(DEMO, settings(work, work / output, **more)))


def check_merge(adapter, out):
    """Both bases are tried, both figures are told, and the nearer one is what is written."""
    report = merge(adapter, out)
    print(report)
    assert len(report.bases) == 2 and report.mean_difference == min(report.bases.values())
    assert 0 < report.mean_difference < 0.5 * report.adapter_effect
    assert all(f"{figure:.4f}" in str(report) for figure in report.bases.values())
    facts = json.loads((out / "versions.json").read_text())
    assert facts["merge"]["bases"] == report.bases and facts["quantization"] is None
    assert not any(".absmax" in name for name in load_model(str(out)).state_dict())


SETTINGS = {"train.max_steps": 4, "train.activation_checkpointing": True}


@pytest.fixture(scope="module")
def adapter(work):
    return run(work, "tiny", **SETTINGS)


def losses(adapter):
    return [row["loss"] for row in read_metrics(adapter.parent / "metrics.jsonl") if "loss" in row]


def test_a_tiny_model_is_trained_in_four_bits_and_merged_both_ways(work, adapter):
    assert losses(adapter)[-1] < losses(adapter)[0]
    served, _ = load_adapter(adapter, merged=True)
    kinds = {type(module).__name__ for module in served.modules()}
    assert "Linear4bit" in kinds  # served on the weights it was trained on
    assert type(served.get_output_embeddings()).__name__ == "Linear"
    check_merge(adapter, work / "tiny-merged")


def test_reading_between_the_steps_changes_no_step(work, adapter):
    """On a processor with bfloat16, bitsandbytes packs the weights at the first reading, and these pass no gradient."""
    once = run(work, "once", **SETTINGS, **{"train.checkpoint_steps": 4})
    assert losses(adapter) == pytest.approx(losses(once), rel=1e-5)


@pytest.mark.parametrize("option", ["use_dora", "use_rslora"])
def test_variants_of_lora_are_pefts_own(work, option):
    adapter = run(work, option, **{"train.max_steps": 2, f"adapter.{option}": True, "train.quantization": "null"})
    assert json.loads((adapter / "adapter_config.json").read_text())[option] is True


def test_without_bitsandbytes_one_sentence_says_so(work, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.cextension", None)
    with pytest.raises(AssayError, match="need bitsandbytes"):
        load_model(str(work / "model"), quantization="nf4")
