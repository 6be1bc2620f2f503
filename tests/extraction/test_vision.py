"""Pages as pixels: the prompt and the pixels are those of Gemma 3's own processor, and a model reads them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction.generate.vision import load_vision, page_images, vision_of
from extraction.record.part import read_part
from PIL import Image

from extraction import Extractor
from extraction.contract import Contract, render_prompt
from extraction.document import Document, Page, open_document
from extraction.errors import AssayError
from extraction.generate import LocalBackend
from extraction.generate.backend import Generation, without_thinking
from recipes.lab_report.medgemma import CONTRACT, PROMPT
from tests.conftest import document_of

# The template of MedGemma and Gemma 3 instruction-tuned models, for the processor to compare with.
TEMPLATE = (
    "{{ bos_token }}{%- for m in messages -%}{{ '<start_of_turn>' + m['role'] + '\\n' }}"
    "{%- for item in m['content'] -%}{%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}"
    "{%- else -%}{{ item['text'] | trim }}{%- endif -%}{%- endfor -%}{{ '<end_of_turn>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"
)
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

    contract = CONTRACT.model_copy(update={"pan_and_scan": pan_and_scan})
    vision = vision_of(eyes.config, image_tokenizer)
    shown = [image for path in pages for image in page_images(open_document(path), [1], contract)]
    ids = render_prompt(image_tokenizer, contract.messages([], 3), [vision.text(image) for image in shown])
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 112, "width": 112}),
        image_tokenizer,
        chat_template=TEMPLATE,
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
    assert ids == theirs["input_ids"][0].tolist()
    assert ids.count(vision.soft) == 16 * (8 if pan_and_scan else 3)
    assert torch.equal(vision.pixels(shown), theirs["pixel_values"])
    kept = [image for page in shown for image in vision.small(page)]
    assert torch.equal(vision.values(kept), theirs["pixel_values"])


def test_a_prompt_is_read_as_the_model_reads_it(eyes, image_tokenizer, pages):
    """The first token's log-probability is that of the model's own forward; with the images swapped it is another."""
    contract = Contract(instruction="Which?", record_schema=SMALL, view="image")
    backend = LocalBackend(eyes, image_tokenizer)
    extractor = Extractor(backend, contract)
    document = open_document(pages[0])
    (request,) = extractor.requests(document)
    (answer,) = backend.generate([request])
    assert json.loads(answer.text)["a"] in ("x", "y")
    ids = render_prompt(image_tokenizer, request.messages, [backend.vision.text(image) for image in request.images])
    tokens = image_tokenizer.encode(answer.text, add_special_tokens=False)
    whole = torch.tensor([ids + tokens])
    with torch.inference_mode():
        logits = eyes(
            input_ids=whole,
            pixel_values=backend.vision.pixels(request.images),
            token_type_ids=(whole == backend.vision.soft).long(),
        ).logits[0]
    right = logits.log_softmax(-1)
    free = [place for place, value in enumerate(answer.logprobs) if value]
    assert free
    for place in free:
        assert answer.logprobs[place] == pytest.approx(float(right[len(ids) - 1 + place, tokens[place]]), abs=1e-3)
    other = replace(request, images=page_images(open_document(pages[2]), [1], contract))
    (swapped,) = backend.generate([other])
    assert swapped.logprobs != answer.logprobs
    # In a batch with text-only and other requests each answer is what it is alone.
    words = replace(request, messages=[{"role": "user", "content": "Which?"}], images=())
    together = backend.generate([other, words, request])
    assert [g.logprobs for g in together][2] == pytest.approx(answer.logprobs, abs=1e-4)


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
        requests = Extractor(backend, contract).requests(document)
        assert [[image.number for image in request.images] for request in requests] == [[1, 2], [3, 4]]
        assert ("B 2" in requests[0].messages[0]["content"]) == (view == "both")
    tight = Contract(instruction="A", record_schema=SMALL, view="image", max_prompt_tokens=20)
    with pytest.raises(AssayError, match="the image of one page, is alone longer than max_prompt_tokens=20"):
        Extractor(backend, tight).requests(document)


def test_a_model_without_eyes_and_foreign_tokenizers_are_refused(
    tiny_model, eyes, tokenizer, image_tokenizer, tmp_path
):
    contract = Contract(instruction="A", record_schema=SMALL, view="image")
    with pytest.raises(AssayError, match="reads text alone, and the contract shows pages as pixels"):
        Extractor(LocalBackend(tiny_model, tokenizer), contract)
    with pytest.raises(AssayError, match=r"tokenizer does not belong to .* 262144"):
        Extractor(LocalBackend(eyes, tokenizer), contract)
    eyes.config.save_pretrained(tmp_path)
    assert load_vision(str(tmp_path), image_tokenizer).side == 112
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"height": 896, "width": 896}}')
    with pytest.raises(AssayError, match="does not belong to the model beside it: that one takes images of 112 x 112"):
        load_vision(str(tmp_path), image_tokenizer)
    with pytest.raises(ValueError, match="stands for a page"):
        Contract(instruction="See <start_of_image>", record_schema=SMALL)


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
    from extraction.document import Lines, Window

    contract = Contract(instruction="A", record_schema=SMALL)
    part = read_part(Window(Lines(document_of("x")), 0, 1), Generation(thought + '{"a": "x"}', "stop"), contract)
    assert part.tree["a"].value == "x"
