"""Answers in plain text, and how probable given answers are: the same as the model alone would say."""

import pytest
import torch
from PIL import Image

from extraction import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Branch, Context, Example, ImagePart
from extraction.generate import LocalBackend
from extraction.generate.backend import Generation
from extraction.record.build import build_answer
from extraction.record.reply import read_reply

TEXT = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
CONTRACT = Contract(
    instruction="", record_schema=TEXT, roles={"answer": "text"}, style="text", max_prompt_tokens=512,
    max_answer_tokens=12,
)  # fmt: skip


def record(text, finish="stop"):
    branch = Branch(("Is it?",), gold={"answer": "x"})
    reply = read_reply(Generation(text, finish, [0], [-0.5]), CONTRACT, branch, None)
    return build_answer(Context("a", ()), branch, reply, CONTRACT)


def test_what_the_model_wrote_is_the_record_s_one_string():
    assert record('Final Answer: {"C"}').data == {"answer": 'Final Answer: {"C"}'}
    assert record("yes").status == "ok"


def test_a_cut_text_is_kept_and_never_whole():
    cut = record("It seems that", "length")
    assert (cut.data, cut.status, cut.issues[0].code) == ({"answer": "It seems that"}, "partial", "cut")


def test_nothing_is_no_answer():
    assert record(" \n").status == "failed"


def test_a_schema_of_two_fields_cannot_be_plain_text():
    two = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    with pytest.raises(AssayError, match="one property, a string"):
        _ = Contract(instruction="", record_schema=two, style="text").target


def test_an_empty_instruction_leaves_no_trace():
    [turn] = CONTRACT.messages(("Which?",))
    assert turn["content"] == [{"type": "text", "text": "Which?"}]


def test_plain_text_is_what_the_model_writes_unconstrained(tiny_model, tokenizer):
    backend = LocalBackend(tiny_model, tokenizer, draft=4)
    [[record]] = [Extractor(backend, CONTRACT).answer(Example(Context("a", ()), (Branch(("Which one?",)),)))]
    prompt = backend.family.render(CONTRACT.messages((), ("Which one?",))).ids
    with torch.inference_mode():
        written = tiny_model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :]
    told = (record.data or {}).get("answer", "")
    assert told and backend.family.encode(told)[:3] == written.tolist()[:3]


def alone(model, ids, answer, **more):
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids + answer]), **more).logits[0].float().log_softmax(-1)
    return sum(float(logits[len(ids) - 1 + i, token]) for i, token in enumerate(answer))


@pytest.mark.parametrize("words", [3, 30])
def test_options_as_branches_are_as_probable_as_each_alone(tiny_model, tokenizer, words):
    options = ["Final Answer: A", "Final Answer: B", "No", "a much longer answer, " * words]
    branches = [Branch(("What is seen in this " + "long " * 40 + "text?",), gold={"answer": text}) for text in options]
    branches.append(Branch(("Another question on it?",), gold={"answer": "No"}))
    example = Example(Context("a", ("A context.",)), tuple(branches))
    backend = LocalBackend(tiny_model, tokenizer)
    for branch, found in zip(branches, backend.log_likelihoods(example, CONTRACT), strict=True):
        ids = backend.family.render(CONTRACT.messages(example.context.parts, branch.parts)).ids
        answer = backend.family.encode(branch.gold["answer"])
        assert found == pytest.approx(alone(tiny_model, ids, answer), abs=2e-3)


def test_an_image_is_read_once_for_all_options(eyes, image_tokenizer, tmp_path, monkeypatch):
    Image.new("RGB", (120, 80), (200, 30, 90)).save(tmp_path / "a.png")
    image = ImagePart.of(tmp_path / "a.png", square=True)
    assert image.draw().size == (120, 120) == image.size
    assert image.draw().getpixel((60, 5)) == (0, 0, 0) and image.draw().getpixel((60, 60)) == (200, 30, 90)
    backend = LocalBackend(eyes, image_tokenizer)
    branches = tuple(
        Branch((question,), gold={"answer": text})
        for question in ("Is it red?", "Is it round?")
        for text in ("Final Answer: yes", "Final Answer: no")
    )
    drawn = []
    kept = type(backend.family).pictures
    monkeypatch.setattr(type(backend.family), "pictures", lambda self, part: drawn.append(1) or kept(self, part))
    together = backend.log_likelihoods(Example(Context("a", (image,)), branches), CONTRACT)
    assert len(drawn) == 1
    for branch, found in zip(branches, together, strict=True):
        [own] = backend.log_likelihoods(Example(Context("a", (image,)), (branch,)), CONTRACT)
        assert found == pytest.approx(own, abs=2e-3)
    assert len({round(value, 3) for value in together}) == 4
