"""Assay's decode loop beside transformers.generate under the grammars of llguidance, outlines and xgrammar: same model,
same documents, same JSON, one run.

    .venv/bin/python scripts/bench_decode.py [--model runs/demo/merged] [--reports 8] [--json FILE]

outlines and xgrammar come with the extra `bench`: `.venv/bin/pip install -c scripts/constraints.txt -e '.[bench]'`.
What is not installed is left out and named. On a machine without a GPU, xgrammar's triton (200 MB) is not needed:
`pip install --no-deps outlines outlines_core xgrammar apache-tvm-ffi cloudpickle diskcache genson`.

Two tables: what each grammar costs (compiling; a token's mask and the step to the next state, without the model), and
what decoding costs (passes through the model after the prompt's, seconds with the prompt's). All write compact JSON
without white space and obey the same schema, with two differences that are the engines' own: outlines wants every item
of a list, so its schema lists the lengths one by one, and its strings have no \\u escapes. "Times" are against the best
rival of the run; CPU seconds say the same on a machine with other work, where OMP_NUM_THREADS=1 keeps waiting threads
from being counted.

Where Assay's drafts come from is taken apart: nothing; n-gram lookup in the prompt and the answer (prompt lookup); and
the same in the page's lines and dates shaped as an answer, which is what Assay does.

In bfloat16 a pass over several tokens rounds otherwise than passes over one, and a near-tie may fall the other way.
Every first difference between Assay's answers and the reference's (transformers.generate with llguidance) is examined:
the model reads the same prefix in one pass and token by token, without any of Assay's code, and the two candidates
must be no further apart than the roundings of those two readings. A difference that is not such a near-tie ends the
script with code 1. With --dtype float32 there must be none at all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What is asked: a document as a contract shows it."""

    example: Any
    contract: Any

    @property
    def schema(self) -> Any:
        return self.contract.target.grammar_schema()

    def prompt(self, local: Any) -> list[int]:
        """Its token ids."""
        return local.family.render(self.contract.messages(self.example.context.parts)).ids


# Where drafts come from, given a prompt and Assay's drafter; the simplest first.
SOURCES = {
    "token by token": None,
    "prompt lookup": lambda prompt, drafter: type(drafter)(prompt.ids),
    "drafts": lambda prompt, drafter: drafter,
}
# The layouts of four languages that training saw, each followed by one that it did not see.
FAMILIES = ["us_ruled", "test_us_reference", "belgian_mono", "test_dutch_hospital"]
FAMILIES += ["german_grid", "test_german_mono", "french_leader", "test_iberian_italian"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_decode.py", description="Time constrained decoding.")
    parser.add_argument("--model", default="lab-report-270m", help="a merged model's or adapter's folder")
    parser.add_argument("--reports", type=int, default=8)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: sys.exit(run(arguments.model, arguments.reports, arguments.dtype, arguments.json)))


def run(model: str, reports: int, dtype: str, out: Path | None) -> int:
    from extraction.api import Extractor
    from extraction.document import open_document
    from extraction.files import write_whole
    from extraction.generate import LocalBackend
    from extraction.reading import document_example
    from finetune.run import versions
    from recipes.lab_report.synthetic import write_reports

    extractor = Extractor.from_pretrained(model, dtype=dtype)
    local = extractor.backend
    assert isinstance(local, LocalBackend)
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_reports(Path(scratch) / "reports", names=FAMILIES, count=reports, seed=2000, max_rows=20)
        requests = [
            Request(example, extractor.contract)
            for path in paths
            for example in extractor.reading(document_example(open_document(path), extractor.contract)).examples
        ]
    engines, missing = [], []
    for kind in (Llguidance, Outlines, Xgrammar):
        try:
            engines.append(kind(local, requests[0].schema))
        except ImportError as error:
            missing.append(f"{kind.name} ({error.name} is not installed)")
    rivals = {f"transformers.generate + {engine.name}": engine for engine in engines}
    reference = next(iter(rivals))
    together = {f"Assay, {source}, 8 documents together": (8, source) for source in SOURCES}
    own = {**{f"Assay, {source}": (1, source) for source in SOURCES}, **together}
    alone = [way for way in [*rivals, *own] if way not in together]
    ways = [*alone, *together]

    def answer(way: str, some: list) -> list[tuple[list[int], int]]:
        if way in rivals:
            return [generate(local, rivals[way], request) for request in some]
        return recorded(local, *own[way], some)

    def timed(way: str, some: list) -> None:
        start, busy = time.perf_counter(), time.process_time()
        answers[way] += answer(way, some)
        seconds[way].append(time.perf_counter() - start)
        work[way].append(time.process_time() - busy)

    for way in alone:  # the first call of each pays for things that are kept
        answer(way, requests[:1])
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    work: dict[str, list[float]] = {way: [] for way in ways}
    answers: dict[str, list[tuple[list[int], int]]] = {way: [] for way in ways}
    for request in requests:  # side by side, document by document: the machine's moods hit all alike
        for way in alone:
            timed(way, [request])
    for way in together:
        timed(way, requests)

    costs = []
    for engine in engines:
        print(f"Replaying the answers through {engine.name}'s grammar", file=sys.stderr)
        costs.append(cost(engine, requests[0].schema, [tokens for tokens, _ in answers[reference]]))
    fewest = min(sum(count for _, count in answers[way]) for way in rivals)
    fastest = min(sum(seconds[way]) for way in rivals)
    rows = []
    for way in ways:
        passes, total = sum(count for _, count in answers[way]), sum(seconds[way])
        same = sum(a == b for (a, _), (b, _) in zip(answers[way], answers[reference], strict=True))
        rows.append(
            {
                "way": way,
                "passes": passes,
                "seconds": round(total, 1),
                "CPU seconds": round(sum(work[way]), 1),
                "times fewer passes": round(fewest / passes, 2),
                "times less time": round(fastest / total, 2),
                "same tokens": f"{same}/{len(requests)}",
            }
        )
    ties = [
        {"way": way, **tie}
        for way in own
        for tie in differences(local, requests, [a for a, _ in answers[way]], [a for a, _ in answers[reference]])
    ]
    compared = sum(agreed(a, b) for way in own for (a, _), (b, _) in zip(answers[way], answers[reference], strict=True))
    wrong = [tie for tie in ties if not tie["near-tie"]]
    table(costs)
    print()
    table(rows)
    print(
        f"\n{compared} tokens compared, {len(ties)} first differences, {len(ties) - len(wrong)} of them near-ties"
        + (f"; largest gap between candidates {max(tie['gap'] for tie in ties)}" if ties else "")
    )
    for tie in wrong:
        print(f"NOT a near-tie: {tie}")
    if missing:
        print(f"Left out: {', '.join(missing)}.")
    if out:
        figures = {
            "dtype": dtype,
            "versions": versions(),
            "grammars": costs,
            "rows": rows,
            "seconds by document": seconds,
            "CPU seconds by document": work,
            "tokens compared": compared,
            "differences": ties,
            "not near-ties": len(wrong),
            "left out": missing,
        }
        write_whole(out, json.dumps(figures, indent=1) + "\n")
    return 1 if wrong or (ties and dtype == "float32") else 0


def table(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    for number, column in enumerate(rows[0]):
        grid.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*map(str, row.values()))
    Console(width=140).print(grid)


class Llguidance:
    """The engine Assay uses, as a logits processor that masks every token."""

    name = "llguidance"

    def __init__(self, local, schema):
        from extraction.generate.grammar import token_table

        self.words = local.model.get_output_embeddings().weight.shape[0]
        start = time.perf_counter()
        token_table.__wrapped__(local.tokenizer, self.words, local.stop)
        self.setup = time.perf_counter() - start
        self.local, self.grammar = local, local.grammar(schema)

    def compile(self, schema):
        from extraction.generate.grammar import Grammar

        grammar = Grammar(schema, self.local._table)
        grammar.matcher()
        return grammar

    def state(self):
        """Two functions: the mask of the next token as numbers of 32 words, and the step over a token."""
        import numpy as np

        matcher = self.grammar.matcher()
        return lambda: np.frombuffer(matcher.compute_bitmask(), dtype=np.int32), matcher.consume_token

    def processor(self):
        mask, consume = self.state()
        return Processor(mask, consume)


class Outlines:
    """outlines' logits processor; the index over the vocabulary is built once for a schema."""

    name = "outlines"

    def __init__(self, local, schema):
        import outlines
        from outlines.backends.outlines_core import OutlinesCoreBackend

        start = time.perf_counter()
        self.backend = OutlinesCoreBackend(outlines.from_transformers(local.model, local.tokenizer))
        self.setup = time.perf_counter() - start
        self.words = local.model.get_output_embeddings().weight.shape[0]
        start = time.perf_counter()
        self.index = self.compile(schema)
        self.compiled = time.perf_counter() - start

    def compile(self, schema):
        text = json.dumps(lengths(schema))
        return self.backend.get_json_schema_logits_processor(text, whitespace_pattern="").index

    def state(self):
        from outlines_core import Guide
        from outlines_core.kernels.torch import allocate_token_bitmask, fill_next_token_bitmask

        guide, bits = Guide(self.index), allocate_token_bitmask(self.words)

        def mask():
            fill_next_token_bitmask(guide, bits)
            return bits[0].numpy()

        return mask, lambda token: guide.advance(token_id=token, return_tokens=False)

    def processor(self):
        from outlines.backends.outlines_core import OutlinesCoreLogitsProcessor

        return OutlinesCoreLogitsProcessor(self.index, "torch")


class Xgrammar:
    """xgrammar's logits processor for transformers."""

    name = "xgrammar"

    def __init__(self, local, schema):
        import xgrammar

        self.words = local.model.get_output_embeddings().weight.shape[0]
        start = time.perf_counter()
        self.info = xgrammar.TokenizerInfo.from_huggingface(
            local.tokenizer, vocab_size=self.words, stop_token_ids=list(local.stop)
        )
        self.setup = time.perf_counter() - start
        self.grammar = self.compile(schema)

    def compile(self, schema):
        import xgrammar

        compiler = xgrammar.GrammarCompiler(self.info, cache_enabled=False)
        return compiler.compile_json_schema(json.dumps(schema), any_whitespace=False, separators=(",", ":"))

    def state(self):
        import xgrammar

        matcher, bits = xgrammar.GrammarMatcher(self.grammar), xgrammar.allocate_token_bitmask(1, self.words)

        def mask():
            matcher.fill_next_token_bitmask(bits)
            return bits[0].numpy()

        return mask, matcher.accept_token

    def processor(self):
        from xgrammar.contrib.hf import LogitsProcessor

        return LogitsProcessor(self.grammar)


class Processor:
    """A logits processor for transformers.generate, batch of one."""

    def __init__(self, mask, consume):
        self.mask, self.consume, self.begun = mask, consume, False

    def __call__(self, ids, scores):
        import numpy as np
        import torch

        if self.begun:
            self.consume(int(ids[0, -1]))
        self.begun = True
        bits = np.unpackbits(self.mask().view(np.uint8), bitorder="little", count=scores.shape[1])
        return scores.masked_fill_(~torch.from_numpy(bits.view(np.bool_)).to(scores.device), float("-inf"))


def lengths(schema):
    """`schema` with every list of optional items as a choice of lengths; outlines takes all items for required."""
    from extraction.schema import map_subschemas

    if not isinstance(schema, dict):
        return schema
    schema = map_subschemas(schema, lambda sub, _: lengths(sub))
    items = schema.get("prefixItems")
    if not items:
        return schema
    shorter = range(schema.get("minItems", 0), len(items) + 1)
    return {"anyOf": [{"type": "array", "prefixItems": items[:n], "minItems": n, "maxItems": n} for n in shorter]}


def cost(engine, schema, answers) -> dict:
    """What a grammar costs without the model: compiling it, and the mask and the step of every token."""
    compiling = [engine.compiled] if hasattr(engine, "compiled") else []
    for _ in range(0 if compiling else 5):
        start = time.perf_counter()
        engine.compile(schema)
        compiling.append(time.perf_counter() - start)
    spent = []
    for tokens in answers:
        mask, consume = engine.state()
        for token in tokens:
            start = time.perf_counter()
            mask()
            consume(token)
            spent.append(time.perf_counter() - start)
    spent.sort()
    return {
        "grammar": engine.name + (" (also Assay's)" if engine.name == "llguidance" else ""),
        "tokenizer, once, s": round(engine.setup, 2),
        "compile ms": round(1000 * statistics.median(compiling), 1),
        "mask ms a token, mean": round(1000 * statistics.fmean(spent), 3),
        "p99": round(1000 * spent[int(0.99 * len(spent))], 3),
    }


def recorded(local, rows, source, requests):
    """Tokens and passes of Assay's own decoding with drafts from one of `SOURCES`."""
    from unittest.mock import patch

    from extraction.generate import LocalBackend
    from extraction.generate.decode import Stream

    class Recorder(LocalBackend):
        def _generation(self, stream):
            done[stream.index] = (list(stream.tokens), stream.passes)
            return super()._generation(stream)

    def stream(prompt, drafter, **fields):
        return Stream(prompt=prompt, drafter=draft(prompt, drafter) if draft else drafter, **fields)

    draft = SOURCES[source]
    done: dict[int, tuple[list[int], int]] = {}
    with patch("extraction.generate.decode.Stream", stream):
        backend = Recorder(local.model, local.tokenizer, rows, 32 if draft else 0)
        list(backend.generate([request.example for request in requests], requests[0].contract))
    return [done[index] for index in range(len(requests))]


def generate(local, engine, request):
    """transformers.generate with the grammar on every token: the tokens, and the passes after the prompt's own."""
    import torch

    prompt = request.prompt(local)
    out = local.model.generate(
        torch.tensor([prompt], device=local.model.device),
        max_new_tokens=request.contract.max_answer_tokens,
        do_sample=False,
        logits_processor=[engine.processor()],
        eos_token_id=list(local.stop),
        pad_token_id=0,
    )[0, len(prompt) :].tolist()
    return [token for token in out if token not in local.stop], len(out) - 1


def agreed(left, right) -> int:
    """How many tokens two answers have in common before their first difference."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def differences(local, requests, answers, references) -> list[dict]:
    """The first difference of every answer from its reference, examined: see `near_tie`."""
    found = []
    for number, (request, answer, reference) in enumerate(zip(requests, answers, references, strict=True)):
        if answer == reference:
            continue
        at = agreed(answer, reference)
        # An answer that ended where the other goes on chose a stop token.
        a, b = (tokens[at] if at < len(tokens) else local.stop[-1] for tokens in (answer, reference))
        prompt = request.prompt(local)
        found.append({"document": number, "token": at, **near_tie(local.model, prompt, answer[:at], a, b)})
    return found


def near_tie(model, prompt, prefix, a, b) -> dict:
    """Whether two candidates for the token after `prompt` and `prefix` are closer than the model's own roundings.

    Returns:
        `gap`, by how much the two candidates' logits differ, the larger of two readings of the same prefix by the
        model alone (all in one pass; the prompt in one, then token by token); `rounding`, by how much the readings
        differ at most over all words, and at least the step of the number format at that size; `near-tie`, whether
        the gap is at most two roundings, one for each candidate.
    """
    import torch

    def last(ids, cache=None):
        ids = torch.tensor([ids], device=model.device)
        out = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[0, -1].float(), out.past_key_values

    with torch.inference_mode():
        whole, _ = last([*prompt, *prefix])
        stepped, cache = last(prompt)
        for token in prefix:
            stepped, cache = last([token], cache)
    gap = max(abs(float(logits[a] - logits[b])) for logits in (whole, stepped))
    spacing = torch.finfo(model.dtype).eps * max(abs(float(whole[a])), abs(float(whole[b])))
    rounding = max(float((whole - stepped).abs().max()), spacing)
    return {"gap": round(gap, 4), "rounding": round(rounding, 4), "near-tie": gap <= 2 * rounding}


if __name__ == "__main__":
    main()
