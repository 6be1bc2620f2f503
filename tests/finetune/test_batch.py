"""Batches with images: the masks themselves, and packed rows that compute what separate ones do."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from extraction.errors import AssayError
from extraction.families import family_of
from extraction.generate.masks import CONTEXT, Tokens, image_blocks, visible
from extraction.generate.spans import NAME, Span, Spans, span_attention, spans_of
from finetune.encode import IGNORED, Collator, check_labels
from finetune.pack import pack, unpacked
from tests.conftest import BEGIN, END, SOFT

TOKENS, WINDOW = 16, 16  # of the tiny model: an image is as long as the window


def image():
    return [108, BEGIN, *[SOFT] * TOKENS, END, 108]


def example(seed, *pieces):
    """Text of so many tokens, or an image (None) each; the last piece is the answer."""
    random = torch.Generator().manual_seed(seed)
    ids = [2]
    for piece in pieces:
        ids += image() if piece is None else torch.randint(1000, 9000, (piece,), generator=random).tolist()
    answer = pieces[-1]
    count = sum(piece is None for piece in pieces)
    return {
        "input_ids": ids,
        "labels": [IGNORED] * (len(ids) - answer) + ids[-answer:],
        "files": [f"{seed}-{number}" for number in range(count)],
    }


EXAMPLES = [example(1, 5, None, 9), example(2, 3, None, 2, None, 30, 7), example(3, 40, 6), example(4, None, None, 4)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Puts files in the place of the names of a row's images: noise, of another kind for each name."""
    folder = tmp_path_factory.mktemp("images")

    def draw(row):
        files = [folder / f"{name}.png" for name in row.get("files", ())]
        for file in files:
            if not file.exists():
                seed = int.from_bytes(file.stem.encode()) % 2**32
                values = np.random.default_rng(seed).integers(0, 255, (112, 112, 3), dtype=np.uint8)
                Image.fromarray(values).save(file)
        return {**row, "files": [str(file) for file in files]}

    return draw


@pytest.fixture(scope="module")
def family(eyes, image_tokenizer):
    return family_of(eyes.config, image_tokenizer)


@pytest.fixture
def spanning(eyes):
    """The tiny model with attention by spans."""
    before = eyes.config._attn_implementation
    eyes.set_attn_implementation(NAME)
    yield eyes
    eyes.set_attn_implementation(before)


def tokens(documents, branches, positions, is_image):
    documents, is_image = torch.tensor(documents), torch.as_tensor(is_image).bool()
    images = image_blocks(is_image[None], documents[None])[0]
    return Tokens(documents, torch.tensor(branches), torch.tensor(positions), images)


#          a context with images, two branches                document 1, with one branch
DOCUMENTS = [0] * 13 + [1] * 6
BRANCHES = [0] * 8 + [1] * 3 + [2] * 2 + [0] * 4 + [1] * 2
POSITIONS = [*range(8), 8, 9, 10, 8, 9, *range(6)]
IS_IMAGE = [0, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]


def test_the_matrix_is_what_the_words_say():
    row = tokens(DOCUMENTS, BRANCHES, POSITIONS, IS_IMAGE)
    for window in (None, 3):
        mask = visible(row, row, window)
        for q in range(len(row)):
            for k in range(len(row)):
                together = DOCUMENTS[q] == DOCUMENTS[k] and BRANCHES[k] in (CONTEXT, BRANCHES[q])
                same_image = bool(row.images[q] == row.images[k] >= 0)
                near = window is None or POSITIONS[q] - POSITIONS[k] < window
                seen = together and (POSITIONS[k] <= POSITIONS[q] or same_image) and near
                assert bool(mask[q, k]) == seen, (window, q, k)


@pytest.mark.parametrize("queries", [2, 5, 512])
@pytest.mark.parametrize("window", [None, 1, 3, 100])
def test_spans_leave_open_what_the_matrix_does(window, queries, monkeypatch):
    monkeypatch.setattr("extraction.generate.spans._QUERIES", queries)
    for images in (IS_IMAGE, [0] * len(IS_IMAGE)):
        row = tokens(DOCUMENTS, BRANCHES, POSITIONS, images)
        seen = torch.zeros(len(row), len(row), dtype=torch.bool)
        done = 0
        for span in spans_of(row, window).spans:
            assert span.queries.start == done
            done = span.queries.stop
            places = torch.cat([torch.arange(len(row))[part] for part in span.keys])
            mask = torch.ones(done - span.queries.start, len(places)).tril().bool() if span.mask is None else span.mask
            seen[span.queries, places[: len(places) - mask.shape[1]]] = True
            seen[span.queries, places[len(places) - mask.shape[1] :]] = mask
        assert done == len(row)
        assert torch.equal(seen, visible(row, row, window))


@pytest.mark.parametrize("length", [1, 5, 12])
def test_causal_stretches_on_a_cpu_are_the_causal_mask(length, monkeypatch):
    monkeypatch.setattr("extraction.generate.spans._CAUSAL", 5)
    query, key = torch.randn(1, 4, length, 8), torch.randn(1, 2, length, 8)
    span = Span(slice(0, length), (slice(0, length),), None)
    made, _ = span_attention(torch.nn.Identity(), query, key, key, Spans((span,)))
    both = key.repeat_interleave(2, dim=1)
    true = torch.nn.functional.scaled_dot_product_attention(query, both, both, is_causal=True)
    assert torch.allclose(made, true.transpose(1, 2), atol=1e-6)


def long_row(length):
    """A context of images and two branches."""
    is_image = ([0] * 4 + [1] * 12) * (length // 16) + [0] * 16
    branches = [0] * length + [1] * 8 + [2] * 8
    return tokens([0] * (length + 16), branches, [*range(length), *[*range(length, length + 8)] * 2], is_image)


def attention_of(row, window, query, key):
    """What attention makes of queries and keys, its gradients, and how many numbers it keeps for these."""
    own = [part.clone().requires_grad_() for part in (query, key)]
    saved = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.update({t.data_ptr(): t.numel()}) or t, lambda t: t):
        made, _ = span_attention(torch.nn.Identity(), *own, own[1], spans_of(row, window))
    made.sin().sum().backward()
    return made, [part.grad for part in own], sum(saved.values())


@pytest.mark.parametrize("window", [None, 20])
@pytest.mark.parametrize("kernel", ["_by_products", "_by_kernel"])
def test_a_long_row_s_attention_is_exact_and_keeps_no_square(window, kernel, monkeypatch):
    spans = importlib.import_module("extraction.generate.spans")
    monkeypatch.setattr(spans, "_QUERIES", 32)
    monkeypatch.setattr(spans, "_KEPT", 64)
    monkeypatch.setattr(spans, "_by_products", getattr(spans, kernel))
    kept, masks = [], []
    for length in (512, 1024):
        row = long_row(length)
        query, key = torch.randn(1, 4, len(row), 8), torch.randn(1, 2, len(row), 8)
        made, gradients, numbers = attention_of(row, window, query, key)
        kept.append(numbers)
        masks.append(sum(span.mask.numel() for span in spans_of(row, window).spans))
    assert kept[1] < 2.2 * kept[0] and masks[1] < 2.2 * masks[0]
    own = [part.clone().requires_grad_() for part in (query, key)]
    both = own[1].repeat_interleave(2, dim=1)
    true = torch.nn.functional.scaled_dot_product_attention(own[0], both, both, visible(row, row, window))
    true.transpose(1, 2).sin().sum().backward()
    assert torch.allclose(made, true.transpose(1, 2), atol=1e-5)
    assert all(torch.allclose(a, b.grad, atol=1e-4) for a, b in zip(gradients, own, strict=True))


def test_images_that_touch_at_a_border_of_documents_are_two():
    is_image = torch.ones(1, 4).bool()
    assert image_blocks(is_image).tolist() == [[0, 0, 0, 0]]
    assert image_blocks(is_image, torch.tensor([[0, 0, 1, 1]])).tolist() == [[0, 0, 1, 1]]


def test_of_one_document_the_masks_are_those_of_transformers(eyes):
    from transformers.models.gemma3.modeling_gemma3 import create_masks_for_vision_model

    ids = torch.tensor([EXAMPLES[1]["input_ids"]])
    is_image = ids == SOFT
    theirs = create_masks_for_vision_model(
        config=eyes.config.text_config,
        inputs_embeds=torch.zeros(*ids.shape, 32),
        attention_mask=None,
        past_key_values=None,
        position_ids=None,
        block_sequence_ids=image_blocks(is_image),
    )
    length = ids.shape[1]
    row = tokens([0] * length, [0] * length, range(length), is_image[0])
    for kind, window in (("full_attention", None), ("sliding_attention", WINDOW)):
        mask = visible(row, row, window)
        assert torch.equal(mask, theirs[kind][0, 0]), kind
        assert mask.triu(1).any()  # causal alone would be something else


def branched(context, *branches):
    """A context with branches of (images, question, answer), and the separate rows that it stands for."""
    whole = {key: list(context[key]) for key in ("input_ids", "files")}
    whole["labels"], whole["branches"] = [IGNORED] * len(whole["input_ids"]), [CONTEXT] * len(whole["input_ids"])
    separate = []
    for number, (images, question, answer) in enumerate(branches, 1):
        ids = [token for _ in range(images) for token in image()]
        asked = len(ids) + question
        ids += [5000 + number + i for i in range(question)] + [7000 + 31 * number + i for i in range(answer)]
        labels = [IGNORED] * asked + ids[asked:]
        files = [f"{number}b{n}-{len(context['files'])}" for n in range(images)]
        separate.append({"input_ids": context["input_ids"] + ids, "files": context["files"] + files,
                         "labels": [IGNORED] * len(context["input_ids"]) + labels})  # fmt: skip
        whole["input_ids"] += ids
        whole["labels"] += labels
        whole["files"] += files
        whole["branches"] += [number] * len(ids)
    return whole, separate


TEXT = branched(example(5, 60, 3), (0, 5, 4), (0, 7, 3), (0, 2, 8))
IMAGES = branched(example(6, 20, None, None, 4), (0, 5, 4), (2, 3, 6))
ASKED = branched(example(7, 20, 4), (1, 5, 4), (1, 3, 6), (0, 4, 2))


def packed(rows, budget):
    """Rows filled with several others; images go as in `encode`, files come as of `keep_pixels`."""
    made = pack([{**row, "images": row["files"]} for row in rows], budget)
    return [{**row, "files": row.get("images", [])} for row in made]


ROWS = {
    "packed": (
        packed([TEXT[0], EXAMPLES[1], IMAGES[0], EXAMPLES[2]], 180),
        [*IMAGES[1], EXAMPLES[2], *TEXT[1], EXAMPLES[1]],
    ),
    "documents": (EXAMPLES, EXAMPLES),
    "text": ([TEXT[0]], TEXT[1]),
    "images": ([IMAGES[0]], IMAGES[1]),
    "images in questions": ([ASKED[0]], ASKED[1]),
    "mixed": ([TEXT[0], EXAMPLES[1], IMAGES[0]], [*TEXT[1], EXAMPLES[1], *IMAGES[1]]),
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_batch_computes_what_each_row_does_alone(spanning, family, drawn, kind):
    collate = Collator(family, in_row=True)

    def run(batch):
        spanning.zero_grad()
        labels = batch.pop("labels")
        logits = spanning(**batch).logits.float()
        targets = labels[:, 1:]
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), targets, ignore_index=IGNORED, reduction="sum"
        )
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in spanning.named_parameters() if p.grad is not None}
        return logits.detach()[:, :-1][targets != IGNORED], loss.item(), gradients

    rows, separate = ROWS[kind]
    together = run(collate(list(map(drawn, rows))))
    alone = [run(collate([drawn(one)])) for one in separate]
    assert torch.allclose(together[0], torch.cat([logits for logits, _, _ in alone]), atol=2e-5)
    assert together[1] == pytest.approx(sum(loss for _, loss, _ in alone), rel=1e-6)
    for name, gradient in together[2].items():
        summed = sum(gradients[name] for _, _, gradients in alone if name in gradients)
        assert (gradient - summed).norm() <= 1e-4 * summed.norm() + 1e-6, name
    spanning.zero_grad()


def test_packed_rows_are_filled_and_lose_nothing():
    lengths = [9, 4, 4, 3, 7, 2, 1, 10]
    rows = [{"input_ids": [number] * length, "labels": [number] * length} for number, length in enumerate(lengths)]
    made = pack(rows, 10)
    assert [len(row["input_ids"]) for row in made] == [10] * 4 and all(sum(row["lengths"]) == 10 for row in made)
    parts = [part for row in made for part in unpacked(row, None)]
    assert sorted(parts, key=lambda part: part["input_ids"]) == rows
    assert [*unpacked(rows[0], None)] == rows[:1]


def test_an_image_changes_what_is_read_from_it(spanning, family, drawn):
    """The mask is not merely carried along: made causal, or with the images swapped, the logits are others; those of
    the row are those of the model's own masks."""
    row = drawn(EXAMPLES[1])
    batch = Collator(family)([row])
    batch.pop("labels")
    own = {"input_ids": batch["input_ids"], "pixel_values": batch["pixel_values"]}
    types = (batch["input_ids"] == SOFT).long()
    with torch.inference_mode():
        made = spanning(**batch).logits
        right = spanning(**own, token_type_ids=types).logits
        causal = spanning(**own).logits
        swapped = spanning(**{**own, "pixel_values": own["pixel_values"].flip(0)}, token_type_ids=types).logits
    assert torch.allclose(made, right, atol=2e-5)
    assert (right - causal)[:, -7:].abs().max() > 1e-3 and (right - swapped)[:, -7:].abs().max() > 1e-3


def test_text_alone_keeps_the_fast_path(family):
    row = {key: EXAMPLES[2][key] for key in ("input_ids", "labels")}
    batch = Collator(family)([row, {**row, "branches": None, "files": None}])
    assert set(batch) == {"input_ids", "labels", "attention_mask"}
    assert batch["attention_mask"].shape == batch["input_ids"].shape == (2, 47)
    short = Collator(family)([row, {"input_ids": [2, 5], "labels": [IGNORED, 5]}])
    assert short["attention_mask"].sum(1).tolist() == [47, 2]
    assert (short["labels"][1, 2:] == IGNORED).all()


def test_neither_images_nor_prompts_are_trained(family, drawn):
    batch = Collator(family)(list(map(drawn, EXAMPLES)))
    trained = batch["labels"] != IGNORED
    assert trained.sum() == 9 + 7 + 6 + 4
    assert not (trained & torch.isin(batch["input_ids"], torch.tensor([SOFT, BEGIN, END, 0]))).any()
    assert torch.equal(batch["input_ids"][trained], batch["labels"][trained])


def test_an_answer_that_teaches_nothing_is_refused_by_name():
    with pytest.raises(AssayError, match=r"^a\.pdf has no token to learn from"):
        check_labels("a.pdf", [], ())
    with pytest.raises(AssayError, match=r"^The record of a\.pdf holds a token that stands for an image"):
        check_labels("a.pdf", [SOFT], (SOFT,))
    check_labels("a.pdf", [5], (SOFT,))
