"""The decode loop writes exactly what plain constrained greedy decoding writes."""

import random

import numpy as np
import pytest
import torch

from extraction.contract import render_prompt
from extraction.generate import LocalBackend, Request
from extraction.generate.cache import RowCache
from extraction.generate.decode import loop_length

SCHEMA = {
    "type": "object",
    "properties": {
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 12},
                    "result": {"type": ["string", "null"], "maxLength": 6},
                    "kind": {"enum": ["blood", "urine", None]},
                },
            },
        }
    },
    "required": ["tests"],
}
PAGES = [
    "Glucose   5,0  mmol/L\nNatrium  140  mmol/L\nKalium  4,1  mmol/L",
    "blood urine blood name result null tests",
    "x" * 40,
    "Ünïcödé µmol/L 10⁹/L ≤ 5\n" * 6,
    "",
]


def requests(hints, max_tokens=40):
    return [
        Request([{"role": "user", "content": f"Read.\n\n{page}"}], SCHEMA, hint, max_tokens)
        for page, hint in zip(PAGES, hints, strict=True)
    ]


def plain_greedy(backend, request):
    """Token by token, the whole sequence through the model each time, no cache, no draft."""
    ids = render_prompt(backend.tokenizer, request.messages)
    matcher = backend.grammar(request.schema).matcher()
    out = []
    while len(out) < request.max_tokens:
        mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint32)
        bits = torch.from_numpy(np.unpackbits(mask.view(np.uint8), bitorder="little").astype(bool))
        with torch.no_grad():
            logits = backend.model(input_ids=torch.tensor([ids + out])).logits[0, -1]
        token = int(logits.masked_fill(~bits[: logits.shape[0]], -torch.inf).argmax())
        if token in backend.stop:
            break
        assert matcher.consume_token(token)
        out.append(token)
        if matcher.is_stopped():
            break
    return backend.tokenizer.decode(out)


@pytest.fixture(scope="module")
def backend(tiny_model, tokenizer):
    return LocalBackend(tiny_model, tokenizer, rows=3, draft=8)


@pytest.fixture(scope="module")
def expected(backend):
    return [plain_greedy(backend, request) for request in requests([""] * len(PAGES))]


def test_same_text_as_plain_greedy_decoding(backend, expected):
    done = []
    generations = backend.generate(requests(PAGES), lambda index, _: done.append(index))
    assert [g.text for g in generations] == expected
    assert sorted(done) == list(range(len(PAGES)))


def test_adversarial_drafts_change_nothing(backend, expected):
    rng = random.Random(0)
    for _ in range(3):
        # The right answer with pieces cut, doubled and shuffled: drafts that are right for a while, then wrong.
        hints = []
        for text in expected:
            pieces = [text[i : i + 7] for i in range(0, len(text), 7)]
            rng.shuffle(pieces)
            hints.append(text[: len(text) // 2] + "".join(pieces) + text)
        assert [g.text for g in backend.generate(requests(hints))] == expected


def test_a_perfect_draft_saves_passes(backend, expected, tiny_model, tokenizer):
    slow = LocalBackend(tiny_model, tokenizer, rows=3, draft=0).generate(requests([""] * len(PAGES)))
    fast = backend.generate(requests(expected))
    assert [g.text for g in fast] == [g.text for g in slow]
    assert sum(g.passes for g in fast) < sum(g.passes for g in slow)


def test_batch_and_single_agree(backend, expected, tiny_model, tokenizer):
    alone = LocalBackend(tiny_model, tokenizer, rows=1, draft=0)
    assert [alone.generate([r])[0].text for r in requests(PAGES)] == expected


def test_token_offsets_and_probabilities(backend):
    for generation in backend.generate(requests(PAGES)):
        assert len(generation.offsets) == len(generation.logprobs)
        assert generation.offsets == sorted(generation.offsets)
        assert generation.offsets[-1] < len(generation.text)
        assert all(p <= 1e-6 for p in generation.logprobs)
        assert generation.logprobs[0] == 0.0 and generation.text[0] == "{"  # nothing else can begin an object


def test_a_cut_answer_says_so(backend):
    generation = backend.generate(requests(PAGES, max_tokens=5))[0]
    assert generation.finish == "length" and len(generation.offsets) == 5


def test_rollback_in_the_cache_is_exact(tiny_model):
    """Reading wrong tokens and taking them back leaves no trace, also where the window has long moved on."""
    rng = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 1000, (2, 60), generator=rng)
    lengths = [60, 43]
    cache = RowCache(tiny_model.config, 2, torch.device("cpu"))
    outputs = [[], []]
    with torch.no_grad():
        while any(cache.lengths[row] < lengths[row] for row in range(2)):
            keep = [min(1 + int(torch.randint(0, 5, (1,), generator=rng)), lengths[r] - int(cache.lengths[r]))
                    for r in range(2)]  # fmt: skip
            width = max(keep) + 3
            step = torch.randint(5, 1000, (2, width), generator=rng)
            for row in range(2):
                start = int(cache.lengths[row])
                step[row, : keep[row]] = ids[row, start : start + keep[row]]
            masks, positions = cache.advance(width)
            out = tiny_model.model(input_ids=step, attention_mask=masks, position_ids=positions,
                                   past_key_values=cache, use_cache=True).last_hidden_state  # fmt: skip
            for row in range(2):
                outputs[row].append(out[row, : keep[row]])
                cache.lengths[row] += keep[row]
        for row in range(2):
            whole = tiny_model.model(input_ids=ids[row : row + 1, : lengths[row]]).last_hidden_state[0]
            torch.testing.assert_close(torch.cat(outputs[row]), whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("tokens", "repeated"),
    [
        (list(range(100)), 0),
        ([*range(50), *[7, 8, 9, 10, 11, 12, 13, 14] * 4], 24),
        ([*range(50), *[7, 8, 9, 10, 11, 12, 13, 14] * 3], 0),
        ([1] * 31, 0),
        ([0, *[1] * 32], 31),
        ([*[1, 2, 3] * 20, 4], 0),
    ],
)
def test_loops_are_recognised(tokens, repeated):
    assert loop_length(tokens) == repeated
