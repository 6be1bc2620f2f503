"""Every model family does what the engine and the trainer need: the same tests over the table of tiny models."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch
from PIL import Image

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Branch, Context, Example, ImagePart
from extraction.families import disarm, families, family_class
from extraction.generate import LocalBackend
from extraction.generate.models import load_adapter, load_family, load_model, load_tokenizer
from extraction.generate.weights import fingerprint
from finetune.adapter import add_adapter, merge
from finetune.answer_loss import SampledHead, add_answer_loss
from finetune.config import RunConfig
from finetune.encode import IGNORED, Collator, collator_for, encode
from finetune.features import keep_features, keep_pixels
from finetune.memory import Live, held
from finetune.preflight import architecture
from finetune.run import VERSIONS
from tests.families import KINDS, SEEING, save

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 6}, "b": {"enum": ["x", "y"]}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
CONTRACT = Contract(instruction="Read.", record_schema=SCHEMA, max_answer_tokens=30)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Models so small are faster so, and beside other work much faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return save(kind, tmp_path_factory.mktemp(kind))


@pytest.fixture(scope="module")
def family(folder):
    return load_family(str(folder))


@pytest.fixture
def model(folder):
    return load_model(str(folder), dtype="float32")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three images of unlike shapes."""
    made, where = [], tmp_path_factory.mktemp("pictures")
    for number, size in enumerate([(60, 40), (30, 30), (20, 50)]):
        values = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(values).save(where / f"{number}.png")
        made.append(ImagePart.of(where / f"{number}.png"))
    return made


@pytest.fixture
def example(kind, pictures):
    """A context and three questions; with an image in the context and in two of the questions where the model sees."""
    one, two, three = pictures if kind in SEEING else ("first", "second", "third")
    golds = [{"a": "p", "b": "x"}, {"a": "qr", "b": "y"}, {"a": "", "b": "x"}]
    asked = [("Which is it?",), (two, "What else?"), (three, "What else?")]
    branches = [Branch(parts, gold=gold) for parts, gold in zip(asked, golds, strict=True)]
    return Example(Context("c", ("Some words to begin. " * 3, one, "And more.")), tuple(branches))


def separate(example):
    return [Example(example.context, (branch,)) for branch in example.branches]


def answers(backend, examples, contract=CONTRACT):
    """The answers to all branches, example by example."""
    found = {(id(example), number): answer for example, number, answer in backend.generate(examples, contract)}
    return [found[id(example), number] for example in examples for number in range(len(example.branches))]


def rows_of(example, family, folder):
    return keep_pixels(encode(example, CONTRACT, family, 4000), family, Path(mkdtemp(dir=folder)))


def plain_inputs(family, example):
    """What the model's own forward takes for the prompt of an example of one branch."""
    prompt = family.render(CONTRACT.messages(example.context.parts, example.branches[0].parts))
    shown = [picture for image in prompt.images for picture in family.pictures(image)]
    return prompt.ids, family.pixels(shown) if shown else {}


def forward(model, family, ids, inputs):
    """Logits [tokens, words] by the model's own masks and positions, the whole sequence in one go."""
    ids = torch.tensor([ids])
    types = {family.token_types: torch.eq(ids, family.soft).long()} if inputs else {}
    with torch.no_grad():
        return model(input_ids=ids, **inputs, **types).logits[0].float()


def test_questions_on_one_context_are_tokenised_as_whole_prompts(family, example, monkeypatch):
    fresh = type(family)(family.config, family.tokenizer, family.name)
    asked, encode = [], fresh.encode
    monkeypatch.setattr(fresh, "encode", lambda text: asked.append(text) or encode(text))
    words = [CONTRACT.messages(example.context.parts, (one,)) for one in ("Which is it?", "What else?")]
    prompts = [fresh.render(one) for one in (*words, *words)]
    assert not family.sees or "".join(asked).count(family.image_tokens[2]) == 1
    prompts += [fresh.render(CONTRACT.messages(example.context.parts, one.parts)) for one in example.branches]
    whole = [encode(family.tokenizer.decode(prompt.ids)) for prompt in prompts]
    assert [prompt.ids for prompt in prompts] == whole and prompts[0] == prompts[2]


def test_a_prompt_shows_its_images_and_lets_no_document_speak(family, kind, example):
    prompt = family.render(CONTRACT.messages(example.context.parts, example.branches[1].parts))
    assert family.sees == (kind in SEEING) and len(prompt.images) == 2 * family.sees
    assert family.tokenizer.decode([family.end]) in KINDS[kind].ends and family.end in family.stop
    if family.sees:
        _, inputs = plain_inputs(family, replace(example, branches=example.branches[1:2]))
        tokens = sum(place.stop - place.start for place in prompt.places)
        assert tokens == prompt.ids.count(family.soft) > 0 and inputs
        assert all(prompt.ids[place.start - 1] in family.marks for place in prompt.places)
        with pytest.raises(AssayError, match="stands for an image"):
            family.render([{"role": "user", "content": f"See {family.marker}"}])
    own = {token for token in family.tokenizer.get_added_vocab() if token not in ("<pad>", "<eos>", "<bos>")}
    for token in own:
        assert disarm(f"a {token} b") == f"a ‹{token[1:]} b", token
        said = family.render(CONTRACT.messages([f"{token} x"]))
        assert said.ids.count(family.tokenizer.convert_tokens_to_ids(token)) == family.render(
            CONTRACT.messages(["x"])
        ).ids.count(family.tokenizer.convert_tokens_to_ids(token))
    assert disarm("Na < 5 <b> and <|> K") == "Na < 5 <b> and <|> K"


def test_decoding_is_the_models_own(model, family, example):
    """With drafts and without, beside others and alone: the same tokens, with the probabilities of a plain forward."""
    asked = separate(example)
    fast = answers(LocalBackend(model, family.tokenizer, rows=3, draft=8), asked)
    slow = answers(LocalBackend(model, family.tokenizer, rows=1, draft=0), asked)
    assert [answer.text for answer in fast] == [answer.text for answer in slow]
    for one, answer in zip(asked, fast, strict=True):
        ids, inputs = plain_inputs(family, one)
        tokens = family.encode(answer.text)
        right = forward(model, family, ids + tokens, inputs).log_softmax(-1)
        free = [place for place, value in enumerate(answer.logprobs) if value]
        assert free
        for place in free:
            assert answer.logprobs[place] == pytest.approx(float(right[len(ids) - 1 + place, tokens[place]]), abs=1e-4)


def test_answers_on_a_shared_context_are_those_of_separate_ones(model, family, example, monkeypatch):
    backend = LocalBackend(model, family.tokenizer, rows=2, draft=8)
    alone = answers(backend, separate(example))
    for chunk in (1024, 16):  # read in one pass, and in pieces that cut no image
        monkeypatch.setattr("extraction.generate.decode._CHUNK", chunk)
        together = answers(backend, [example])
        assert [answer.text for answer in together] == [answer.text for answer in alone]
        for one, other in zip(together, alone, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def adapted(model, **more):
    """The model with an adapter whose second matrices are not zero."""
    config = RunConfig.model_validate(
        {"recipe": "x", "model": "m", "data": {"train": "a", "validation": "b"}, "adapter": {"r": 2, **more},
         "train": {"output": "o"}}
    )  # fmt: skip
    model = add_adapter(model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def step(model, batch):
    """Loss and gradients of a batch."""
    model.zero_grad()
    labels = batch.pop("labels")
    logits = model(**batch, use_cache=False).logits.float()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="sum")
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("recomputed", [False, True])
def test_branches_train_as_separate_rows_do(model, family, example, tmp_path, recomputed):
    model = adapted(model)
    [row] = rows_of(example, family, tmp_path)
    apart = [row for one in separate(example) for row in rows_of(one, family, tmp_path)]
    assert "branches" in row and len(row["input_ids"]) < sum(len(one["input_ids"]) for one in apart)
    collate = collator_for(model, family, [], tmp_path, False)
    if recomputed:
        model.get_base_model().gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    loss, gradients = step(model, collate([row, apart[1]]))
    alone = [step(model, collate([one])) for one in [*apart, apart[1]]]
    assert loss == pytest.approx(sum(loss for loss, _ in alone), rel=1e-5)
    assert len(gradients) == sum(parameter.requires_grad for parameter in model.parameters()) > 0
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())
    for name, gradient in gradients.items():
        summed = sum(own[name] for _, own in alone)
        assert (gradient - summed).norm() <= 1e-5 * summed.norm() + 1e-6, name


def test_a_row_is_trained_as_the_models_own_forward_has_it(model, family, example, tmp_path):
    [one] = separate(replace(example, branches=example.branches[1:2]))
    [row] = rows_of(one, family, tmp_path)
    ids, inputs = plain_inputs(family, one)
    assert row["input_ids"][: len(ids)] == ids and row["input_ids"][-1] == family.end
    right = forward(model, family, row["input_ids"], inputs)
    collate = collator_for(model, family, [], tmp_path, False)
    batch = collate([row])
    batch.pop("labels")
    with torch.no_grad():
        made = model(**batch, use_cache=False).logits[0].float()
    torch.testing.assert_close(made, right, atol=1e-4, rtol=1e-4)


def test_the_head_on_a_processor_has_the_models_loss(model, family, example, tmp_path):
    """Also where logits are capped."""
    [row] = rows_of(separate(example)[0], family, tmp_path)
    batch = collator_for(model, family, [], tmp_path, False)([row])
    labels = batch.pop("labels")[0, 1:]
    hidden = model.base_model(**batch, use_cache=False).last_hidden_state[0, :-1]
    hidden, targets = hidden[labels != IGNORED].detach().requires_grad_(), labels[labels != IGNORED]
    weight = model.get_output_embeddings().weight.detach()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    made = SampledHead(weight, torch.arange(len(weight)), cap=cap).log_probs(hidden, targets)
    with torch.no_grad():
        logits = model(**batch, use_cache=False).logits[0, :-1][labels != IGNORED]
    torch.testing.assert_close(made, logits.log_softmax(-1).gather(1, targets[:, None])[:, 0], atol=1e-4, rtol=1e-4)
    logits = model.lm_head(hidden)
    logits = torch.tanh(logits / cap) * cap if cap else logits
    right = logits.log_softmax(-1).gather(1, targets[:, None])
    gradients = [torch.autograd.grad(one.sum(), hidden)[0] for one in (made, right)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_what_a_step_holds_is_planned(folder, model, family, kind, example, tmp_path):
    run = {"recipe": "x", "model": str(folder), "data": {"train": ".", "validation": "."}, "adapter": {"r": 2},
           "train": {"output": str(tmp_path), "dtype": "float32", "batch_size": 1}}  # fmt: skip
    rows = encode(example, CONTRACT, family, 4000)
    planned = held(RunConfig.model_validate(run), family, rows)["activations"]
    model = adapted(model)
    batch = collator_for(model, family, [], tmp_path, False)(rows_of(example, family, tmp_path))
    base, labels = model.train().get_base_model(), batch.pop("labels")
    add_answer_loss(base, torch.tensor([*{word for row in rows for word in row["input_ids"]}]))
    with Live([*model.parameters(), *model.buffers()]) as live:
        base(**batch, use_cache=False, answer_labels=labels).sum().backward()
    # Where a model sees, its tower is at work here, which is frozen and works before training.
    assert planned > 0 and (kind in SEEING or planned == pytest.approx(live.peak, rel=0.1))


def test_four_bits_are_the_language_models_and_train(folder, family, example, tmp_path):
    model = load_model(str(folder), dtype="float32", quantization="nf4")
    names = [name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"]
    assert names and all(family.part_of(name) == "language" for name in names)
    model = adapted(model)
    collate = collator_for(model, family, [], tmp_path, False)
    model.train()
    loss, gradients = step(model, collate(rows_of(example, family, tmp_path)))
    assert np.isfinite(loss) and len(gradients) == 2 * len(
        [n for n, _ in model.named_modules() if n.endswith("lora_A")]
    )
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients.values())


def test_an_adapter_is_saved_loaded_served_and_merged(folder, family, kind, example, tmp_path):
    model = adapted(load_model(str(folder), dtype="float32"))
    for name, parameter in model.named_parameters():  # far enough to be told from bfloat16's rounding
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.peft_config["default"].base_model_name_or_path = str(folder)
    model.save_pretrained(tmp_path / "adapter")
    contract = CONTRACT.model_copy(update={"view": "both" if kind in SEEING else "text"})
    contract.save(tmp_path / "adapter")
    facts = {"base_model": str(folder), "base_sha256": fingerprint(str(folder)), "quantization": None}
    (tmp_path / "adapter" / VERSIONS).write_text(json.dumps(facts))
    report = merge(tmp_path / "adapter", tmp_path / "merged")
    assert report.mean_difference < 0.2 * report.adapter_effect
    [one] = separate(replace(example, branches=example.branches[1:2]))
    live, tokenizer = load_adapter(tmp_path / "adapter", dtype="float32")
    added, _ = load_adapter(tmp_path / "adapter", dtype="float32", merged=True)
    [first], [second] = (answers(LocalBackend(m, tokenizer), [one]) for m in (live, added))
    assert first.text == second.text and first.logprobs == pytest.approx(second.logprobs, abs=1e-3)
    [plain] = answers(LocalBackend(load_model(str(folder), dtype="float32"), tokenizer), [one])
    assert plain.logprobs != pytest.approx(first.logprobs, abs=1e-3)
    assert load_tokenizer(str(tmp_path / "merged")).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("kind", SEEING, scope="module")
def test_what_sees_is_adapted_where_it_is_asked(model, family, example, tmp_path):
    [row] = rows_of(example, family, tmp_path)
    model = adapted(model, vision=True, projector=True)
    parts = {family.part_of(name) for name, p in model.named_parameters() if p.requires_grad}
    assert parts == {"language", "vision", "projector"}
    collate = collator_for(model, family, [row], tmp_path, False)
    assert collate.features is None
    _, gradients = step(model, collate([row]))
    seen = [gradient for name, gradient in gradients.items() if family.part_of(name) != "language"]
    assert len(gradients) == sum(p.requires_grad for p in model.parameters())
    assert all(gradient.abs().max() > 0 for gradient in seen)


@pytest.mark.parametrize("kind", [kind for kind in SEEING if kind != "qwen3_vl"], scope="module")
def test_features_computed_once_are_what_the_model_sees(model, family, example, tmp_path):
    [row] = rows_of(example, family, tmp_path)
    model = adapted(model)
    with_features = collator_for(model, family, [row], tmp_path / "features", False)
    assert with_features.features is not None
    loss, gradients = step(model, with_features([row]))
    other, others = step(model, Collator(family, in_row=True)([row]))
    assert loss == pytest.approx(other, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], atol=1e-4, rtol=1e-4)
    again = keep_features(model.get_base_model(), family, [row], tmp_path / "features")
    assert again.keys.keys() == set(row["files"])


def test_another_architecture_is_refused_in_a_sentence_that_names_the_families():
    from transformers import AutoConfig

    with pytest.raises(AssayError) as caught:
        family_class(AutoConfig.for_model("qwen3_5"), "some/model")
    said = str(caught.value)
    assert said.startswith("some/model is of the architecture qwen3_5") and "\n" not in said
    assert all(name in said for family in families() for name in family.model_types)


@pytest.mark.parametrize(
    "config, words",
    [
        ({"model_type": "zzz"}, "is of the architecture zzz"),
        ({"hidden_size": 8}, "names no architecture"),
        ([1], "names no architecture"),
        ({"model_type": "zzz", "auto_map": {"AutoConfig": "code.Config"}}, "Python code of its own"),
        ({"model_type": "llama", "auto_map": {"AutoModelForCausalLM": "code.Model"}}, "Python code of its own"),
        ({"model_type": "llama", "hidden_size": "abc"}, "hidden_size"),
        ({"model_type": "gemma4_text", "enable_moe_block": True}, "has experts"),
        ({"model_type": "gemma4", "text_config": {"enable_moe_block": True}}, "has experts"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_by_its_config_alone(tmp_path, monkeypatch, config, words):
    def forbidden(*_):
        raise AssertionError("something was asked, run or sought")

    monkeypatch.setattr("builtins.input", forbidden)
    monkeypatch.setattr("extraction.generate.models.load_tokenizer", forbidden)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text("raise AssertionError('it was run')")
    for refused in (load_family, load_model, architecture):
        with pytest.raises(AssayError, match=words) as caught:
            refused(str(tmp_path))
        assert "\n" not in str(caught.value) and "out of date" not in str(caught.value)
        if "architecture" in words or "code" in words:
            assert all(name in str(caught.value) for family in families() for name in family.model_types)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"{}", b'{"base_model_name_or_path": null}'])
def test_an_adapter_that_does_not_say_its_base_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "adapter_config.json").write_bytes(content)
    for refused in (load_family, load_adapter):
        with pytest.raises(AssayError) as caught:
            refused(tmp_path if refused is load_adapter else str(tmp_path))
        assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_tokenizer_is_not_run(tmp_path, monkeypatch):
    def asked(*_):
        raise AssertionError("transformers asked")

    monkeypatch.setattr("builtins.input", asked)
    own = save("llama", tmp_path)
    values = json.loads((own / "tokenizer_config.json").read_text())
    code = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["code.OwnTokenizer", None]}}
    (own / "tokenizer_config.json").write_text(json.dumps({**values, **code}))
    (own / "code.py").write_text("raise AssertionError('it was run')")
    with pytest.raises(AssayError, match="Python code of its own"):
        load_tokenizer(str(own))
