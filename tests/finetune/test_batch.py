"""Batches with images: the masks themselves, and packed rows that compute what separate ones do."""

from zlib import crc32

import pytest
import torch

from extraction.errors import AssayError
from extraction.generate.masks import document_masks, image_blocks
from finetune.batch import IGNORED, Collator, check_labels

SOFT, BEGIN, END = 262144, 255999, 256000
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


def pixels(files):
    made = [torch.randn(3, 112, 112, generator=torch.Generator().manual_seed(crc32(file.encode()))) for file in files]
    return torch.stack(made)


EXAMPLES = [example(1, 5, None, 9), example(2, 3, None, 2, None, 30, 7), example(3, 40, 6), example(4, None, None, 4)]


def test_the_matrix_is_what_the_words_say():
    documents = torch.tensor([[0] * 8 + [1] * 6 + [-1] * 2])
    positions = torch.tensor([[*range(8), *range(6), 0, 0]])
    #                          t  I  I  I  t  J  J  t | I  I  t  t  I  t | -  -
    is_image = torch.tensor([[0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0]]).bool()
    blocks = image_blocks(is_image, documents)[0]
    masks = document_masks(documents, positions, is_image, window=3)
    assert {mask.shape for mask in masks.values()} == {(1, 1, 16, 16)}
    for q in range(16):
        for k in range(16):
            together = documents[0, q] == documents[0, k] and documents[0, q] >= 0
            same_image = blocks[q] == blocks[k] and blocks[q] >= 0
            seen = bool(together and (positions[0, k] <= positions[0, q] or same_image)) or q == k
            near = bool(positions[0, q] - positions[0, k] < 3)
            assert masks["full_attention"][0, 0, q, k] == seen, (q, k)
            assert masks["sliding_attention"][0, 0, q, k] == (seen and near), (q, k)


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
    ours = document_masks(torch.zeros_like(ids), torch.arange(ids.shape[1])[None], is_image, WINDOW)
    for kind, mask in ours.items():
        assert torch.equal(mask, theirs[kind]), kind
        assert mask[0, 0].triu(1).any()  # causal alone would be something else


@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_computes_what_each_example_does_alone(eyes, packed):
    collate = Collator(pad=0, soft=SOFT, pixels=pixels, packed=packed, window=WINDOW)

    def run(batch):
        eyes.zero_grad()
        labels = batch.pop("labels")
        logits = eyes(**batch).logits.float()
        targets = labels[:, 1:]
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), targets, ignore_index=IGNORED, reduction="sum"
        )
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in eyes.named_parameters() if p.grad is not None}
        return logits.detach()[:, :-1][targets != IGNORED], loss.item(), gradients

    together = run(collate(EXAMPLES))
    alone = [run(Collator(pad=0, soft=SOFT, pixels=pixels)([one])) for one in EXAMPLES]
    assert torch.allclose(together[0], torch.cat([logits for logits, _, _ in alone]), atol=2e-5)
    assert together[1] == pytest.approx(sum(loss for _, loss, _ in alone), rel=1e-6)
    for name, gradient in together[2].items():
        summed = sum(gradients[name] for _, _, gradients in alone if name in gradients)
        assert (gradient - summed).norm() <= 1e-4 * summed.norm() + 1e-6, name
    eyes.zero_grad()


def test_an_image_changes_what_is_read_from_it(eyes):
    """The mask is not merely carried along: made causal, or with the images swapped, the logits are others."""
    batch = Collator(pad=0, soft=SOFT, pixels=pixels)(EXAMPLES[1:2])
    batch.pop("labels")
    with torch.inference_mode():
        right = eyes(**batch).logits
        causal = eyes(**{key: value for key, value in batch.items() if key != "token_type_ids"}).logits
        swapped = eyes(**{**batch, "pixel_values": batch["pixel_values"].flip(0)}).logits
    assert (right - causal)[:, -7:].abs().max() > 1e-3 and (right - swapped)[:, -7:].abs().max() > 1e-3


def test_text_alone_keeps_the_fast_path():
    for packed in (True, False):
        batch = Collator(pad=0, soft=SOFT, pixels=pixels, packed=packed, window=WINDOW)(EXAMPLES[2:3] * 2)
        assert set(batch) == {"input_ids", "labels", "attention_mask"}
        assert batch["attention_mask"].shape == batch["input_ids"].shape == (2, 47)
    assert set(Collator(pad=0)([{"input_ids": [2, 5], "labels": [IGNORED, 5]}])) == set(batch)


def test_neither_images_nor_prompts_are_trained():
    for packed in (True, False):
        batch = Collator(pad=0, soft=SOFT, pixels=pixels, packed=packed, window=WINDOW)(EXAMPLES)
        trained = batch["labels"] != IGNORED
        assert trained.sum() == 9 + 7 + 6 + 4
        assert not (trained & torch.isin(batch["input_ids"], torch.tensor([SOFT, BEGIN, END, 0]))).any()
        assert torch.equal(batch["input_ids"][trained], batch["labels"][trained])


def test_an_example_that_teaches_nothing_is_refused_by_name():
    with pytest.raises(AssayError, match=r"^a\.pdf has no token to learn from"):
        check_labels("a.pdf", {"input_ids": [2, 5], "labels": [IGNORED, IGNORED]}, ())
    with pytest.raises(AssayError, match=r"^The record of a\.pdf holds a token that stands for an image"):
        check_labels("a.pdf", {"input_ids": [2, SOFT], "labels": [IGNORED, SOFT]}, (SOFT,))
    check_labels("a.pdf", {"input_ids": [2, 5], "labels": [IGNORED, 5]}, (SOFT,))
