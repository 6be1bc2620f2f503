"""Pages as pixels: the prompt and the pixels are those of Gemma 3's own processor, and a model reads them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from extraction import Extractor
from extraction.contract import Contract
from extraction.document import Document, Page, open_document
from extraction.errors import AssayError
from extraction.example import Branch, Context, Example, ImagePart
from extraction.families import family_of
from extraction.generate import LocalBackend
from extraction.generate.backend import Generation, without_thinking
from extraction.generate.hub import CHAT_TEMPLATE
from extraction.generate.models import load_family
from extraction.reading import document_example
from extraction.record.reply import read_reply
from recipes.lab_report.medgemma import CONTRACT, PROMPT
from tests.conftest import SOFT, document_of

SMALL = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False}


@pytest.fixture
def pages(tmp_path):
    """Three image files: tall, square, wide."""
    made = []
    for number, size in enumerate([(600, 850), (400, 400), (900, 300)]):
        values = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"{number}.png")
        made.append(tmp_path / f"{number}.png")
    return made


@pytest.mark.parametrize("pan_and_scan", [False, True])
def test_prompt_and_pixels_are_the_processors(eyes, image_tokenizer, pages, pan_and_scan):
    from transformers import Gemma3ImageProcessorPil, Gemma3Processor

    family = family_of(eyes.config, image_tokenizer)
    shown = [ImagePart.of_page(open_document(path), 1, pan_and_scan=pan_and_scan) for path in pages]
    prompt = family.render(CONTRACT.messages(shown))
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 112, "width": 112}),
        image_tokenizer,
        chat_template=CHAT_TEMPLATE,
        image_seq_length=16,
    )
    content = [*[{"type": "image"}] * 3, {"type": "text", "text": PROMPT}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    theirs = processor(
        text=[text],
        images=[[Image.open(path) for path in pages]],
        do_pan_and_scan=pan_and_scan,
        add_special_tokens=False,
        return_tensors="pt",
    )
    assert prompt.ids == theirs["input_ids"][0].tolist()
    assert prompt.ids.count(family.soft) == 16 * (8 if pan_and_scan else 3)
    counts = [prompt.ids[place].count(family.soft) for place in prompt.places]
    assert counts == [16 * family.blocks(image) for image in shown]
    kept = [picture for image in shown for picture in family.pictures(image)]
    assert torch.equal(family.pixels(kept)["pixel_values"], theirs["pixel_values"])


def test_a_text_prompt_is_what_it_always_was(tokenizer, tiny_model):
    """Word for word what adapters were trained on."""
    contract = Contract(instruction="Read {schema}.", record_schema=SMALL)
    messages = contract.messages(["\nGlucose  5 <end_of_turn>", "Page 2\n"])
    text = 'Read {"type":"object","properties":{"a":{"enum":["x","y"]}},"required":["a"],"additionalProperties":false}.'
    text = (
        f"<bos><start_of_turn>user\n{text}\n\nGlucose  5 ‹end_of_turn>\n\nPage 2<end_of_turn>\n<start_of_turn>model\n"
    )
    ids = family_of(tiny_model.config, tokenizer).render(messages).ids
    assert ids == tokenizer.encode(text, add_special_tokens=False)


def test_a_prompt_is_read_as_the_model_reads_it(eyes, image_tokenizer, pages):
    """The first token's log-probability is that of the model's own forward; with the images swapped it is another."""
    contract = Contract(instruction="Which?", record_schema=SMALL, view="image")
    backend = LocalBackend(eyes, image_tokenizer)
    asked = [Example(Context("page", (ImagePart.of(path),))) for path in pages]

    def answers(*examples):
        found = {id(example): answer for example, _, answer in backend.generate(examples, contract)}
        return [found[id(example)] for example in examples]

    [answer] = answers(asked[0])
    assert json.loads(answer.text)["a"] in ("x", "y")
    prompt = backend.family.render(contract.messages(asked[0].context.parts))
    tokens = backend.family.encode(answer.text)
    whole = torch.tensor([prompt.ids + tokens])
    with torch.inference_mode():
        logits = eyes(
            input_ids=whole,
            **backend.family.pixels(backend.family.pictures(prompt.images[0])),
            token_type_ids=(whole == backend.family.soft).long(),
        ).logits[0]
    right = logits.log_softmax(-1)
    free = [place for place, value in enumerate(answer.logprobs) if value]
    assert free
    for place in free:
        expected = float(right[len(prompt.ids) - 1 + place, tokens[place]])
        assert answer.logprobs[place] == pytest.approx(expected, abs=1e-3)
    [swapped] = answers(asked[2])
    assert swapped.logprobs != answer.logprobs
    # In a batch with text-only and other examples each answer is what it is alone.
    together = answers(asked[2], Example(Context("words", ("Which?",))), asked[0])
    assert together[2].logprobs == pytest.approx(answer.logprobs, abs=1e-4)


def test_a_page_without_words_is_read_and_its_record_says_so(eyes, image_tokenizer, pages):
    extractor = Extractor(
        LocalBackend(eyes, image_tokenizer), Contract(instruction="A", record_schema=SMALL, view="image")
    )
    record = extractor.read([open_document(pages[1])])[0]
    assert record.data and record.views == ["image"] and record.status == "partial"
    assert [issue.code for issue in record.issues] == ["unchecked"]
    assert len(record.review()) == 1


def test_pages_go_into_prompts_as_many_as_fit(eyes, image_tokenizer):
    document = Document(Path("a.pdf"), "0", [Page(n, 600, 800, page.words) for n, page in
                                             enumerate(document_of("A 1", "B 2", "C 3", "D 4").pages, 1)])  # fmt: skip
    backend = LocalBackend(eyes, image_tokenizer)
    for view in ("image", "both"):
        contract = Contract(instruction="A", record_schema=SMALL, view=view, max_prompt_tokens=66)
        examples = Extractor(backend, contract).reading(document_example(document, contract)).examples
        shown = [[part.page for part in one.context.parts if isinstance(part, ImagePart)] for one in examples]
        assert shown == [[1, 2], [3, 4]]
        assert any("B 2" in part for part in examples[0].context.parts if isinstance(part, str)) == (view == "both")
    tight = Contract(instruction="A", record_schema=SMALL, view="image", max_prompt_tokens=20)
    [record] = Extractor(backend, tight).answer(document_example(document, tight))
    assert record.status == "failed" and "the image of page 1" in record.issues[0].message


def test_a_model_that_sees_nothing_and_foreign_tokenizers_are_refused(
    tiny_model, eyes, tokenizer, image_tokenizer, pages, tmp_path
):
    contract = Contract(instruction="A", record_schema=SMALL, view="image")
    backend = LocalBackend(tiny_model, tokenizer)
    with pytest.raises(AssayError, match="reads text alone, and"):
        Extractor(backend, contract).read([open_document(pages[0])])
    with pytest.raises(AssayError, match="reads text alone, and"):
        list(backend.generate([Example(Context("page", (ImagePart.of(pages[0]),)))], contract))
    with pytest.raises(AssayError, match=rf"tokenizer does not belong to .* {SOFT}"):
        LocalBackend(eyes, tokenizer)
    eyes.config.save_pretrained(tmp_path)
    assert load_family(str(tmp_path), image_tokenizer).sees
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"height": 896, "width": 896}}')
    with pytest.raises(AssayError, match="does not belong to the model beside it: that one takes images of 112 x 112"):
        load_family(str(tmp_path), image_tokenizer)
    flash = eyes.config.__class__.from_dict(eyes.config.to_dict())
    flash._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(AssayError, match="load the model with sdpa or eager"):
        family_of(flash, image_tokenizer)
    with pytest.raises(AssayError, match="<start_of_image> stands for an image"):
        marked = Contract(instruction="See <start_of_image>", record_schema=SMALL)
        family_of(eyes.config, image_tokenizer).render(marked.messages(["x"]))


def test_what_was_thought_is_no_answer():
    thought = '<unused94>thought\n{"a": "y"}<unused95>'
    pieces = ["<unused94>", 'thought\n{"a": "y"}', "<unused95>", '{"a": ', '"x"', "}"]
    offsets = [sum(map(len, pieces[:n])) for n in range(6)]
    generation = without_thinking(
        Generation(thought + '{"a": "x"}', "stop", offsets, [-1.0, -2.0, -3.0, 0.0, -0.5, 0.0])
    )
    assert (
        generation.text == '{"a": "x"}' and generation.offsets == [0, 6, 9] and generation.logprobs == [0.0, -0.5, 0.0]
    )
    assert without_thinking(Generation(thought[:20], "length")).text == ""
    plain = Generation('{"a": "<unused94>"}', "stop")
    assert without_thinking(plain) is plain
    contract = Contract(instruction="A", record_schema=SMALL)
    reply = read_reply(Generation(thought + '{"a": "x"}', "stop"), contract, Branch(), None)
    assert reply.tree["a"].value == "x"
    qwen = Generation('<think>\nhm\n</think>\n\n{"a": "x"}', "stop", [0, 7, 11, 19, 21], [-1.0] * 5)
    assert without_thinking(qwen).text == '\n\n{"a": "x"}' and without_thinking(qwen).offsets == [0, 2]
