"""What leaves a run: a GGUF file that llama.cpp reads as the merged model, an adapter on the hub without data."""

import json
import urllib.request

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig
from typer.testing import CliRunner

from extraction.errors import AssayError
from finetune.cli import app
from finetune.gguf_file import check_convertible, write_gguf
from finetune.push import SENT, push
from tests.conftest import command, tiny_gemma
from tests.extraction.test_server import llama_server

LAYERS = {"num_hidden_layers": 6, "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
          "query_pre_attn_scalar": 16, "vocab_size": 262144}  # fmt: skip


@pytest.fixture(scope="module")
def merged(tmp_path_factory, whole_tokenizer):
    """With all words of Gemma: llama.cpp knows that tokenizer by what it makes of a text."""
    folder = tmp_path_factory.mktemp("gguf") / "merged"
    tiny_gemma(1, **LAYERS).to(torch.bfloat16).save_pretrained(folder)
    whole_tokenizer.save_pretrained(folder)
    return folder


def test_a_gguf_file_has_the_weights_and_llama_cpp_writes_the_same_tokens(merged, whole_tokenizer):
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp")
    path = write_gguf(merged, "q8_0")
    weights = load_file(merged / "model.safetensors")
    own = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert len(own) == len(weights)
    for ours, theirs in (("model.layers.5.self_attn.q_proj", "blk.5.attn_q"), ("model.embed_tokens", "token_embd")):
        read = gguf.dequantize(own[f"{theirs}.weight"].data, own[f"{theirs}.weight"].tensor_type)
        expected = weights[f"{ours}.weight"].float().numpy()
        assert np.abs(read - expected).max() <= np.abs(expected).max() / 127
    norm = weights["model.layers.0.post_feedforward_layernorm.weight"].float().numpy() + 1
    assert np.array_equal(own["blk.0.post_ffw_norm.weight"].data, norm)

    prompt = whole_tokenizer.apply_chat_template([{"role": "user", "content": "Sodium 140 mmol/L"}], return_dict=False)
    model = tiny_gemma(1, **LAYERS).to(torch.bfloat16).float()
    with torch.inference_mode():
        made = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    with llama_server(path) as url:
        asked = {"prompt": prompt, "n_predict": 12, "temperature": 0, "return_tokens": True, "ignore_eos": True}
        request = urllib.request.Request(f"{url}/completion", json.dumps(asked).encode())
        written = json.load(urllib.request.urlopen(request))["tokens"]
    assert written[:4] == made[0, len(prompt) :].tolist()[:4]  # then 8 bits may tell two near ones apart


def test_a_model_that_the_converter_lacks_is_refused_in_a_sentence(tmp_path, merged):
    config = AutoConfig.from_pretrained(merged)
    config.layer_types = ["full_attention"] * 6
    config.save_pretrained(tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    settings = {"base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(AssayError, match="Gemma 3 text models alone: not every 6th"):
        check_convertible(tmp_path, "q8_0")
    with pytest.raises(AssayError, match="--gguf is q8_0 or f16, not q4"):
        check_convertible(tmp_path, "q4")


class Hub:
    """What `push` asks of the hub."""

    private, sent = True, None

    def create_repo(self, repo, private, exist_ok):
        return f"https://huggingface.co/{repo}"

    def model_info(self, repo):
        return self

    def upload_folder(self, **what):
        Hub.sent = what


def test_an_adapter_is_sent_without_data_and_to_a_public_place_only_if_said(tmp_path, monkeypatch):
    with pytest.raises(AssayError, match="There is no folder"):
        push(tmp_path / "nothing", "me/adapter")
    (tmp_path / "adapter").mkdir()
    with pytest.raises(AssayError, match="holds no finished adapter"):
        push(tmp_path, "me/adapter")
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(AssayError, match=r"README\.md and contract\.json .* are not there"):
        push(tmp_path, "me/adapter")
    for name in (*SENT, "predictions.json"):
        (tmp_path / "adapter" / name).write_text("{}")
    (tmp_path / "report.html").write_text("figures")
    told = CliRunner().invoke(app, ["push", str(tmp_path), "me/adapter", "--dry-run"]).output
    assert "private" in told and all(name in told for name in SENT)
    assert "predictions" not in told and "report" not in told
    for name in ("me/my/adapter", "me/my adapter"):
        refused = command("push", tmp_path, name, "--dry-run")
        assert refused.returncode == 2 and "no name of a repository" in refused.stderr and not refused.stdout

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    assert push(tmp_path, "me/adapter").endswith("me/adapter")
    assert Hub.sent["folder_path"] == tmp_path / "adapter" and tuple(Hub.sent["allow_patterns"]) == SENT
    monkeypatch.setattr(Hub, "private", False)
    with pytest.raises(AssayError, match="public already"):
        push(tmp_path, "me/adapter")
