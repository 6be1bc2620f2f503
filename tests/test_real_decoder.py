"""The embedded default: the real Gemma 3 270M, and the decode loop on it."""

import pytest
import torch

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.generate import LocalBackend
from extraction.generate.models import embedded_model, load_model, resolve_model
from recipes.lab_report.synthetic import write_reports

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return load_model("gemma-3-270m", dtype="float32")


def test_the_embedded_model_is_converted_once_into_the_cache(model):
    folder = embedded_model()
    assert resolve_model("gemma-3-270m") == str(folder)
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".converting")]
    assert sum(p.numel() for p in model.parameters()) == 268_098_176


def test_it_is_a_language_model(model, tokenizer):
    ids = torch.tensor([tokenizer.encode("The capital of France is the city of")])
    with torch.no_grad():
        best = model(ids).logits[0, -1].argmax()
    assert tokenizer.decode([best]).strip() == "Paris"


def test_drafts_change_nothing_on_the_real_decoder(model, tokenizer, tmp_path):
    paths = write_reports(tmp_path / "reports", names=["us_ruled", "dutch_zebra"], count=2, seed=3, max_rows=4)
    schema = {"type": "object", "properties": {"tests": {"type": "array", "minItems": 3, "items": {
        "type": "object", "properties": {"name": {"type": "string"}, "result": {"type": "string"}},
        "required": ["name", "result"]}}}, "required": ["tests"]}  # fmt: skip
    contract = Contract.for_schema(schema).model_copy(update={"max_answer_tokens": 60})
    plain = Extractor(LocalBackend(model, tokenizer, rows=1, draft=0), contract)
    fast = Extractor(LocalBackend(model, tokenizer, rows=2, draft=16), contract)
    from extraction.document import open_document

    requests = [request for path in paths for request in plain.requests(open_document(path))]
    slow = plain.backend.generate(requests)
    quick = fast.backend.generate(requests)
    assert [g.text for g in quick] == [g.text for g in slow]
    assert sum(g.passes for g in quick) < sum(g.passes for g in slow)
    for one, two in zip(slow, quick, strict=True):
        assert one.logprobs == pytest.approx(two.logprobs, abs=1e-3)
