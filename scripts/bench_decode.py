"""Assay's decode loop beside transformers.generate with llguidance as a plain logits processor: same model, same
documents, same grammar, one run.

    .venv/bin/python scripts/bench_decode.py --model runs/demo/merged [--reports 8] [--json FILE]

Prints passes through the model, seconds, and whether the tokens agree. Answers that differ in bfloat16, where a pass
over several tokens rounds differently, are counted; with --dtype float32 there must be none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_decode.py", description="Time constrained decoding.")
    parser.add_argument("--model", required=True, help="a merged model's folder")
    parser.add_argument("--reports", type=int, default=8)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments.model, arguments.reports, arguments.dtype, arguments.json))


def run(model: str, reports: int, dtype: str, out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from extraction.api import Extractor
    from extraction.document import open_document
    from extraction.files import write_whole
    from extraction.generate import LocalBackend
    from finetune.run import versions
    from recipes.lab_report.synthetic import write_reports

    extractor = Extractor.from_pretrained(model, dtype=dtype)
    local = extractor.backend
    assert isinstance(local, LocalBackend)
    with tempfile.TemporaryDirectory() as scratch:
        names = ["us_ruled", "simple_list", "belgian_mono", "dutch_zebra"]
        paths = write_reports(Path(scratch) / "reports", names=names, count=reports, seed=2000, max_rows=20)
        requests = [request for path in paths for request in extractor.requests(open_document(path))]
    ways = {
        "transformers.generate + llguidance": lambda r: generate(local, r),
        "Assay, token by token": lambda r: ours(LocalBackend(local.model, local.tokenizer, 1, 0), [r])[0],
        "Assay, drafts": lambda r: ours(LocalBackend(local.model, local.tokenizer, 1, 32), [r])[0],
    }
    rows: list[dict] = []
    answers: dict[str, list[str]] = {name: [] for name in ways}
    passes = dict.fromkeys(ways, 0)
    seconds = dict.fromkeys(ways, 0.0)
    for way in ways.values():  # the first call of each pays for things that are kept
        way(requests[0])
    for request in requests:  # side by side, document by document: the machine's moods hit all alike
        for name, way in ways.items():
            start = time.perf_counter()
            text, count = way(request)
            seconds[name] += time.perf_counter() - start
            passes[name] += count
            answers[name].append(text)
    start = time.perf_counter()
    batch = ours(LocalBackend(local.model, local.tokenizer, 8, 32), requests)
    ways["Assay, drafts, 8 documents together"] = ways["Assay, drafts"]
    name = "Assay, drafts, 8 documents together"
    seconds[name], passes[name] = time.perf_counter() - start, sum(count for _, count in batch)
    answers[name] = [text for text, _ in batch]
    first = next(iter(ways))
    for name in ways:
        same = sum(a == b for a, b in zip(answers[name], answers[first], strict=True))
        rows.append(
            {
                "way": name,
                "passes": passes[name],
                "seconds": round(seconds[name], 1),
                "times fewer passes": round(passes[first] / passes[name], 2),
                "times less time": round(seconds[first] / seconds[name], 2),
                "same answers": f"{same}/{len(requests)}",
            }
        )
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "way" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)
    if out:
        write_whole(out, json.dumps({"dtype": dtype, "versions": versions(), "rows": rows}, indent=1) + "\n")


def ours(backend, requests):
    return [(generation.text, generation.passes) for generation in backend.generate(requests)]


def generate(local, request):
    """transformers.generate with the grammar on every token: the text, and the passes after the prompt's own."""
    import numpy as np
    import torch

    from extraction.contract import render_prompt

    matcher = local.grammar(request.schema).matcher()
    prompt = render_prompt(local.tokenizer, request.messages)

    class Grammar:
        consumed = len(prompt)

        def __call__(self, ids, scores):
            for token in ids[0, self.consumed :].tolist():
                matcher.consume_token(token)
            self.consumed = ids.shape[1]
            mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            allowed = torch.from_numpy(np.unpackbits(mask, bitorder="little")[: scores.shape[1]].astype(bool))
            return scores.masked_fill(~allowed, float("-inf"))

    out = local.model.generate(
        torch.tensor([prompt]),
        max_new_tokens=request.max_tokens,
        do_sample=False,
        logits_processor=[Grammar()],
        eos_token_id=list(local.stop),
        pad_token_id=0,
    )[0, len(prompt) :].tolist()
    kept = [token for token in out if token not in local.stop]
    return local.tokenizer.decode(kept), len(out) - 1


if __name__ == "__main__":
    main()
