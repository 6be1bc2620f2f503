"""The embedded default: the real Gemma 3 270M, the decode loop on it, its tuning in 4 bits."""

import json

import pytest
import torch

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.document import open_document
from extraction.generate import LocalBackend
from extraction.generate.hub import embedded_model, resolve_model
from extraction.generate.models import load_model
from extraction.reading import document_example
from finetune.config import load_config
from finetune.run import read_metrics
from finetune.train import train
from recipes.lab_report.synthetic import write_reports
from tests.finetune.test_qlora import check_merge

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


def test_it_is_a_language_model(model, whole_tokenizer):
    ids = torch.tensor([whole_tokenizer.encode("The capital of France is the city of")])
    with torch.no_grad():
        best = model(ids).logits[0, -1].argmax()
    assert whole_tokenizer.decode([best]).strip() == "Paris"


def test_drafts_change_nothing_on_the_real_decoder(model, whole_tokenizer, tmp_path):
    paths = write_reports(tmp_path / "reports", names=["simple_list"], count=2, seed=3, max_rows=1)
    schema = {"type": "object", "properties": {"tests": {"type": "array", "minItems": 2, "items": {
        "type": "object", "properties": {"name": {"type": "string"}, "result": {"type": "string"}},
        "required": ["name", "result"]}}}, "required": ["tests"]}  # fmt: skip
    contract = Contract.for_schema(schema).model_copy(update={"max_answer_tokens": 24})
    plain = Extractor(LocalBackend(model, whole_tokenizer, rows=1, draft=0), contract)
    fast = Extractor(LocalBackend(model, whole_tokenizer, rows=2, draft=16), contract)
    asked = [document_example(open_document(path), contract) for path in paths]

    def answers(extractor):
        found = {done[0].context.name: done[2] for done in extractor.backend.generate(asked, contract) if done}
        return [found[path.name] for path in paths]

    slow, quick = answers(plain), answers(fast)
    assert [g.text for g in quick] == [g.text for g in slow]
    assert sum(g.passes for g in quick) < sum(g.passes for g in slow)
    for one, two in zip(slow, quick, strict=True):
        assert one.logprobs == pytest.approx(two.logprobs, abs=1e-3)


def test_it_is_tuned_in_four_bits_and_merged_both_ways(tmp_path):
    from reportlab.pdfgen.canvas import Canvas

    for split, values in (("train", (91, 104, 87)), ("validation", (99,))):
        (tmp_path / split).mkdir()
        for value in values:
            page = Canvas(str(tmp_path / split / f"{value}.pdf"))
            page.drawString(50, 700, f"Glucose {value} mg/dL")
            page.save()
            (tmp_path / split / f"{value}.json").write_text(json.dumps({"glucose": str(value)}))
    schema = {"type": "object", "properties": {"glucose": {"type": "string"}}, "required": ["glucose"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    (tmp_path / "run.yaml").write_text(
        f"recipe: lab_report\nmodel: gemma-3-270m\n"
        f"data: {{train: {tmp_path / 'train'}, validation: {tmp_path / 'validation'}, max_length: 64}}\n"
        f"contract: {{instruction: Read., record_schema: {tmp_path / 'schema.json'}, style: objects, "
        "max_prompt_tokens: 48, max_answer_tokens: 12}\n"
        "adapter: {r: 4, target_modules: '.*(q|v)_proj'}\n"
        f"train: {{output: {tmp_path / 'run'}, quantization: nf4, batch_size: 3, epochs: 4, warmup: 0, "
        "learning_rate: 0.003, log_steps: 1, checkpoint_steps: 4}\n"
    )
    adapter = train(load_config(tmp_path / "run.yaml"))
    losses = [row["loss"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in row]
    assert len(losses) == 4 and losses[-1] < 0.7 * losses[0]
    check_merge(adapter, tmp_path / "merged")
