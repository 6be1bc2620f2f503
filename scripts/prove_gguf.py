"""Does llama.cpp write what the merged model writes? The shipped lab-report adapter as GGUF, on synthetic reports.

llama.cpp writes each report's record greedily from the prompt's tokens; the merged model then reads prompt and record
in one pass, and every token that would not have been its own choice is counted, with how far behind that it was.
Needs xllamacpp (llama.cpp as a package).

    python scripts/prove_gguf.py [--reports 20] [--tokens 64] [--format q8_0] [--out runs/prove-gguf]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import torch

from extraction.contract import Contract
from extraction.document import open_document
from extraction.families import family_of
from extraction.generate.hub import shipped
from extraction.generate.models import load_model, load_tokenizer
from extraction.reading import document_example
from finetune.adapter import merge
from finetune.gguf_file import write_gguf
from recipes.lab_report.synthetic import write_reports

_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.port = sys.argv[1], 4096, 1, 0
params.warmup = False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def main() -> None:
    """Merge, write, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--format", default="q8_0", choices=["q8_0", "f16"])
    parser.add_argument("--out", type=Path, default=Path("runs/prove-gguf"))
    asked = parser.parse_args()
    merged, data = asked.out / "merged", asked.out / "reports"
    if not merged.exists():
        print(merge(Path(shipped("lab-report-270m")), merged), flush=True)
    path = merged / f"model-{asked.format}.gguf"
    path = path if path.exists() else write_gguf(merged, asked.format)
    if not data.exists():
        write_reports(data, names=["simple_list"], count=asked.reports, seed=5, max_rows=6)
    contract = Contract.load(merged)
    model = load_model(str(merged), dtype="float32", device="cpu")
    family = family_of(model.config, load_tokenizer(str(merged)))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    server = subprocess.Popen([sys.executable, "-c", _SERVER, str(path)], **pipes)
    tokens, off = 0, []
    try:
        url = server.stdout.readline().strip()
        for file in sorted(data.glob("*.pdf"))[: asked.reports]:
            example = document_example(open_document(file), contract)
            prompt = list(family.render(contract.messages(example.context.parts)).ids)
            wish = {"prompt": prompt, "n_predict": asked.tokens, "temperature": 0, "return_tokens": True}
            request = urllib.request.Request(f"{url}/completion", json.dumps(wish).encode())
            written = json.load(urllib.request.urlopen(request))["tokens"]
            with torch.inference_mode():
                logits = model(torch.tensor([prompt + written]), logits_to_keep=len(written) + 1).logits[0, :-1].float()
            behind = logits.max(-1).values - logits.gather(1, torch.tensor(written)[:, None])[:, 0]
            tokens += len(written)
            off += [round(float(gap), 3) for gap in behind if gap > 0]
            print(f"{file.name}: {len(written)} tokens, {int((behind > 0).sum())} others", flush=True)
    finally:
        server.kill()
    print(f"{asked.format}: {tokens - len(off)} of {tokens} tokens are the merged model's own choice; the others were")
    print(f"behind it by these logits: {sorted(off) or 'none'}")


if __name__ == "__main__":
    main()
