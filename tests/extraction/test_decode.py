"""The decode loop writes exactly what plain constrained greedy decoding writes."""

import importlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from extraction.contract import Contract
from extraction.example import Branch, Context, Example, ImagePart
from extraction.families import Prompt
from extraction.generate import LocalBackend
from extraction.generate.cache import RowCache
from extraction.generate.choose import most_probable
from extraction.generate.decode import Decoder, Stream, loop_length, sample
from extraction.generate.grammar import Anything
from extraction.generate.shared import shared_length
from extraction.target import Target
from tests.conftest import tiny_gemma

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


CONTRACT = Contract(instruction="Read.", record_schema=SCHEMA, max_answer_tokens=40)


def examples(pages=PAGES):
    return [Example(Context("page", (page,))) for page in pages]


def answers(backend, asked=None, contract=CONTRACT):
    """The answers to all branches, in order."""
    asked = asked or examples()
    found = {(id(example), number): answer for example, number, answer in backend.generate(asked, contract)}
    return [found[id(example), number] for example in asked for number in range(len(example.branches))]


@pytest.fixture
def hinted(monkeypatch):
    """Lets drafts come from other texts than the pages."""

    def set_hints(hints):
        by_lines = {tuple(page.splitlines()): hint for page, hint in zip(PAGES, hints, strict=True)}
        monkeypatch.setattr(Target, "hint", lambda _, lines: by_lines[tuple(lines)])

    return set_hints


def prompt_ids(backend, example, number=0):
    return backend.family.render(CONTRACT.messages(example.context.parts, example.branches[number].parts)).ids


def plain_greedy(backend, example, number=0, most=40):
    """Token by token, the whole sequence through the model each time, no cache, no draft."""
    ids = prompt_ids(backend, example, number)
    matcher = backend.grammar(CONTRACT.target.grammar_schema()).matcher()
    out = []
    while len(out) < most:
        mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint32)
        bits = torch.from_numpy(np.unpackbits(mask.view(np.uint8), bitorder="little").astype(bool))
        with torch.no_grad():
            logits = backend.model(input_ids=torch.tensor([ids + out]), logits_to_keep=1).logits[0, -1]
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
    return [plain_greedy(backend, example) for example in examples()]


def test_same_text_as_plain_greedy_decoding(backend, expected):
    asked = examples()
    found = list(backend.generate(asked, CONTRACT))
    assert {example.context.parts: answer.text for example, _, answer in found} == {
        example.context.parts: text for example, text in zip(asked, expected, strict=True)
    }
    assert len(found) == len(asked)


def test_examples_are_taken_as_there_is_room_and_answers_come_as_they_end(backend, expected):
    """Rows are refilled one by one; where nothing is ready, those at work go on."""
    taken, given = [], []

    def source():
        for number, example in enumerate(examples()):
            taken.append(number)
            yield example
            yield None

    for done in backend.generate(source(), CONTRACT):
        if done:
            given.append((done[0].context.parts[0], done[2].text))
        assert len(taken) <= len(given) + 3  # as many as there are rows
    assert sorted(given) == sorted(zip(PAGES, expected, strict=True))
    assert list(backend.generate([], CONTRACT)) == []


def test_drafts_from_the_prompt_change_nothing_either(bench, backend, expected):
    asked = [bench.Request(example, CONTRACT) for example in examples()]
    answers = [tokens for tokens, _ in bench.recorded(backend, 3, "prompt lookup", asked)]
    assert [backend.tokenizer.decode(tokens) for tokens in answers] == expected


def test_adversarial_drafts_change_nothing(backend, expected, hinted):
    rng = random.Random(0)
    for _ in range(3):
        # The right answer with pieces cut, doubled and shuffled: drafts that are right for a while, then wrong.
        hints = []
        for text in expected:
            pieces = [text[i : i + 7] for i in range(0, len(text), 7)]
            rng.shuffle(pieces)
            hints.append(text[: len(text) // 2] + "".join(pieces) + text)
        hinted(hints)
        assert [g.text for g in answers(backend)] == expected


def test_drafts_that_were_wrong_leave_no_trace_in_the_grammar(backend, tokenizer):
    """Each of these rejected drafts changed a later mask when it was taken back by llguidance's rollback."""
    cells = [{"type": ["string", "null"]}] * 5
    heading = {name: {"type": ["string", "null"]} for name in ("panel", "specimen", "sample_collection_time")}
    shapes = [
        {"type": "array", "prefixItems": cells, "items": False, "minItems": 1},
        {"type": "object", "properties": heading, "additionalProperties": False},
    ]
    schema = {"type": "object", "properties": {"tests": {"type": "array", "items": {"anyOf": shapes}}}}
    grammar = backend.grammar({**schema, "required": ["tests"]})

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False)

    class Wrong:
        drafts = ()

        def propose(self, limit):
            return self.drafts[:limit]

    answer = encode('{"tests":[{"panel":"Biochemie > Nierfunctie","specimen":"Serum","sample_collection_time":"21"}]}')
    decoder = Decoder(backend.model, backend.family, backend.stop)
    stream = Stream(Prompt([]), grammar.matcher(), Wrong(), 100)
    guesses = [
        '":"',
        'ochemie","sample_collection_time":"21-10-2023 10:45:03"},["Medisch',
        ' N","sample_collection_time":"',
    ]
    for place, token in enumerate(answer):
        for guess in guesses:
            stream.drafter.drafts = encode(guess)
            decoder._propose(stream, 32)
            fresh = grammar.matcher()
            assert fresh.consume_tokens([*answer[:place], *stream.draft])
            assert stream.masks[-1].tobytes() == fresh.compute_bitmask()
        assert stream.matcher.consume_token(token)


def test_a_perfect_draft_saves_passes(backend, expected, tiny_model, tokenizer, hinted):
    hinted(expected)
    slow = answers(LocalBackend(tiny_model, tokenizer, rows=3, draft=0))
    fast = answers(backend)
    assert [g.text for g in fast] == [g.text for g in slow]
    assert sum(g.passes for g in fast) < sum(g.passes for g in slow)


def test_batch_and_single_agree(expected, tiny_model, tokenizer):
    alone = LocalBackend(tiny_model, tokenizer, rows=1, draft=0)
    assert [answers(alone, [example])[0].text for example in examples()] == expected


@pytest.fixture(scope="module")
def asked():
    """Questions of unequal length on one long record."""
    record = "\n".join(f"{n}: Glucose {n * 37 % 100} mmol/L on day {n}" for n in range(40))
    questions = ["Which?", "What was the glucose on day 7, and what on day 31?", "Glucose?", "Which day?", "None?"] * 4
    return Example(Context("record", (record,)), tuple(Branch((f"{n} {q}",)) for n, q in enumerate(questions)))


def test_what_prompts_share_is_read_once_and_changes_nothing(backend, asked, monkeypatch):
    read = []
    body = backend.model.model
    forward = body.forward

    def counting(*args, **kwargs):
        read.append(kwargs["input_ids"].numel())
        return forward(*args, **kwargs)

    contract = CONTRACT.model_copy(update={"max_answer_tokens": 24})
    monkeypatch.setattr(body, "forward", counting)
    together = answers(backend, [asked], contract)
    count = range(len(asked.branches))
    assert sum(read) < 0.3 * sum(len(prompt_ids(backend, asked, number)) for number in count)
    monkeypatch.undo()
    assert [answer.text for answer in together[:5]] == [plain_greedy(backend, asked, n, 24) for n in range(5)]
    alone = [
        answers(backend, [Example(asked.context, asked.branches[number : number + 1])], contract)[0] for number in count
    ]
    assert [generation.text for generation in together] == [generation.text for generation in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_answers_on_contexts_come_between_those_of_single_examples(backend, asked, expected):
    few = Example(asked.context, asked.branches[:3])
    pages = examples()
    found = answers(backend, [*pages[:2], few, *pages[2:]])
    assert [answer.text for answer in (*found[:2], *found[5:])] == expected
    assert [answer.text for answer in found[2:5]] == [plain_greedy(backend, few, number) for number in range(3)]


def test_what_is_shared_ends_before_prompts_differ_and_cuts_no_image():
    def prompt(*ids, images=()):
        """Tokens, 9 being those of images of three tokens."""
        places = [place for place, token in enumerate(ids) if token == 9 and (not place or ids[place - 1] != 9)]
        return Prompt(list(ids), images, tuple(slice(place, place + 3) for place in places))

    one, two = (ImagePart(Path(name), 1, 72, (8, 8)) for name in "ab")
    assert shared_length([prompt(1, 1, 2), prompt(1, 1, 3)]) == 2
    assert shared_length([prompt(1, 1, 2), prompt(1, 1)]) == 1  # what follows a prompt is asked of its last token
    seen = [prompt(1, 9, 9, 9, 2, 5, images=(one,)), prompt(1, 9, 9, 9, 2, 6, images=(one,))]
    assert shared_length(seen) == 5
    assert shared_length([seen[0], prompt(1, 9, 9, 9, 2, 5, images=(two,))]) == 1
    assert shared_length([seen[0], prompt(1, 9, 9, 9, images=(one,))]) == 1


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_a_seed_gives_the_same_samples_with_and_without_drafts_in_any_batch(tiny_model, tokenizer, temperature, hinted):
    def texts(hints, seed=5, **settings):
        hinted(hints)
        backend = LocalBackend(tiny_model, tokenizer, temperature=temperature, seed=seed, **settings)
        return [g.text for g in answers(backend)]

    plain = texts([""] * len(PAGES), rows=1, draft=0)
    assert texts(PAGES, rows=1, draft=8) == plain
    assert texts(plain, rows=3, draft=8) == plain  # drafts that are right all along
    assert texts([""] * len(PAGES), rows=5, draft=0) == plain
    assert texts(PAGES, rows=2, draft=32) == plain
    assert texts(PAGES, seed=6) != plain


def test_equal_examples_of_one_call_are_sampled_apart(tiny_model, tokenizer):
    backend = LocalBackend(tiny_model, tokenizer, temperature=1.0)
    first, second = answers(backend, [examples()[0], examples()[0]])
    assert first.text != second.text
    assert all(p <= 1e-6 for p in first.logprobs) and len(first.logprobs) == len(first.offsets)


def test_samples_are_distributed_as_the_allowed_probabilities():
    """A chi-squared test with fixed numbers; the bound is passed by one in a thousand right samplers too."""
    logits = torch.tensor([2.0, 1.0, 0.5, 3.0, 0.0, -1.0, 9.0, 0.0])
    allowed, temperature, count = [0, 1, 3, 4, 5], 0.7, 20_000
    mask = np.array([sum(1 << token for token in allowed)], dtype=np.uint32)
    draws = [sample(logits, mask, temperature, u) for u in np.random.default_rng(0).random(count)]
    weights = torch.softmax(logits[allowed].double() / temperature, dim=0)
    seen = torch.tensor([draws.count(token) for token in allowed])
    assert int(seen.sum()) == count  # nothing that is not allowed
    assert float(((seen - count * weights) ** 2 / (count * weights)).sum()) < 18.47  # 4 degrees of freedom
    assert sample(logits, mask, temperature, 0.0) == 0 and sample(logits, mask, temperature, 1 - 2**-53) == 5


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"temperature": float("nan")}, {"temperature": float("inf")}, {"seed": -1}, {"rows": 0},
     {"draft": -1}, {"seed": 2**64}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(tiny_model, tokenizer, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LocalBackend(tiny_model, tokenizer, **wrong)


@pytest.fixture(scope="module")
def bench():
    return importlib.import_module("bench_decode")


def test_answers_in_bfloat16_differ_only_at_near_ties(bench, tokenizer):
    """Small random weights in bfloat16: near-ties are common, and so are answers that differ."""
    items = {"type": "array", "minItems": 20, "items": {"type": "string", "maxLength": 8}}
    schema = {"type": "object", "properties": {"a": items}, "required": ["a"]}
    contract = Contract(instruction="Read.", record_schema=schema, max_answer_tokens=30)
    asked = [bench.Request(example, contract) for example in examples()]
    local = LocalBackend(tiny_gemma(1, initializer_range=0.05).bfloat16(), tokenizer)
    plain, drafted = (
        [t for t, _ in bench.recorded(local, rows, source, asked)]
        for rows, source in ((1, "token by token"), (3, "drafts"))
    )
    for difference in bench.differences(local, asked, drafted, plain):
        assert difference["near-tie"], difference


def test_a_wrong_token_is_no_near_tie(bench, tokenizer):
    local = LocalBackend(tiny_gemma().bfloat16(), tokenizer)
    asked = [bench.Request(example, CONTRACT) for example in examples()]
    number, (tokens, _) = max(
        enumerate(bench.recorded(local, 1, "token by token", asked)), key=lambda item: len(item[1][0])
    )
    asked, at = asked[number : number + 1], len(tokens) // 2
    ids = torch.tensor([asked[0].prompt(local) + tokens[:at]])
    with torch.no_grad():
        worst = int(local.model(input_ids=ids, logits_to_keep=1).logits[0, -1].argmin())
    (found,) = bench.differences(local, asked, [[*tokens[:at], worst]], [tokens])
    assert found["token"] == at and not found["near-tie"]


def test_token_offsets_and_probabilities(backend):
    for generation in answers(backend):
        assert len(generation.offsets) == len(generation.logprobs)
        assert generation.offsets == sorted(generation.offsets)
        assert generation.offsets[-1] < len(generation.text)
        assert all(p <= 1e-6 for p in generation.logprobs)
        assert generation.logprobs[0] == 0.0 and generation.text[0] == "{"  # nothing else can begin an object


def test_a_cut_answer_says_so(backend):
    generation = answers(backend, contract=CONTRACT.model_copy(update={"max_answer_tokens": 5}))[0]
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
        ([*range(50), *[*range(200)] * 4], 600),
    ],
)
def test_loops_are_recognised(tokens, repeated):
    assert loop_length(tokens) == repeated


def test_what_the_output_layer_has_beyond_the_words_is_never_chosen():
    mask = np.frombuffer(Anything(40).compute_bitmask(), np.uint32)
    assert most_probable(torch.arange(128.0), mask) == 39
