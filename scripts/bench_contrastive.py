"""A training step of a dual encoder beside open_clip's own, a batch 16 times as large in its memory, and the index.

    .venv/bin/python scripts/bench_contrastive.py [--batch 4] [--vectors 1000000] [--json FILE]

Random weights of BiomedCLIP's real shape (or `--small`), on a CPU, all ways on the same pairs and each in a process of
its own, whose peak memory is printed. open_clip trains all weights, so Assay does too in one row; the next ones have
LoRA, as a run does. open_clip is left out, and named, where it cannot be imported; `--packages FOLDER` is where it and
its torchvision lie, for its process alone. The index holds synthetic vectors in clusters; recall is at 10, against the
exact search over the same vectors. `--skip step` or `--skip index` leaves one half out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench_shared_context import apart

LARGER = 16
WAYS = ("open_clip, all weights", "Assay, all weights", "Assay, LoRA", f"Assay, LoRA, batch x {LARGER}")
WIDTH, CLUSTERS, SPREAD = 512, 5000, 0.7
SEARCHES = 50


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/bench_contrastive.py", description="A contrastive step, an index.")
    parser.add_argument("--batch", type=int, default=4, help="pairs of a batch")
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed (one more warms up)")
    parser.add_argument("--vectors", type=int, default=1_000_000, help="of the index")
    parser.add_argument("--small", action="store_true", help="two layers of width 64, images of 32 pixels")
    parser.add_argument("--packages", type=Path, help="folder with open_clip, timm and torchvision")
    parser.add_argument("--skip", choices=("step", "index"), help="leave one half out")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the processes that measure, too
    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the figures where a file is named."""
    from extraction.files import write_whole

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch:
        if arguments.skip != "step":
            model = make_model(Path(scratch) / "model", arguments.small)
            rows = {
                way: apart(step, way, str(model), arguments.batch, arguments.steps, str(arguments.packages or ""))
                for way in WAYS
            }
            exact = apart(exactness, str(model), arguments.batch)
            figures["step"] = {"batch": arguments.batch, "rows": rows, "gradients": exact}
            show_steps(rows, exact, arguments.batch)
        if arguments.skip != "index":
            figures["index"] = apart(index, scratch, arguments.vectors)
            show_index(figures["index"])
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def make_model(folder: Path, small: bool) -> Path:
    """A dual encoder of BiomedCLIP's shape with random weights, in open_clip's layout, with a small tokenizer."""
    from recipes.contrastive.synthetic import write_model

    sizes = {"width": 64, "depth": 2, "patch": 8, "embed": 32, "side": 32}
    real = {"width": 768, "depth": 12, "patch": 16, "embed": 512, "side": 224, "wide": 4, "words": 30522}
    return write_model(folder, **(sizes if small else real))


def batch_of(dual: Any, size: int) -> dict[str, Any]:
    """Pairs of noise and of words: pixels as the towers take them, 24 tokens each."""
    import torch

    generator = torch.Generator().manual_seed(0)
    height, width = dual.preprocess.size
    pixels = torch.randint(0, 256, (size, height, width, 3), dtype=torch.uint8, generator=generator)
    ids = torch.randint(5, dual.model.text.config.vocab_size, (size, 24), generator=generator)
    return {"pixels": dual.preprocess.normalise(pixels), "input_ids": ids, "attention_mask": torch.ones_like(ids)}


def step(way: str, model: str, size: int, steps: int, packages: str) -> dict[str, Any]:
    """Median seconds of forward and backward passes over one batch, and its loss."""
    import statistics

    if way.startswith("open_clip"):
        backward = open_clip_step(model, size, packages)
        if backward is None:
            return {}
    else:
        backward = own_step(model, size, way)
    seconds = []
    for _ in range(1 if way.endswith(str(LARGER)) else 1 + steps):
        start = time.perf_counter()
        loss = backward()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds[1:] or seconds), "loss": loss}


def own_step(model: str, size: int, way: str) -> Any:
    """A step as the trainer makes it: in chunks of `size`."""
    from recipes.contrastive.adapter import add_towers_adapter
    from recipes.contrastive.cached import cached_backward
    from recipes.contrastive.config import TowersConfig
    from recipes.contrastive.load import load
    from recipes.contrastive.losses import info_nce

    dual = load(model, "cpu")
    total = size * LARGER if way.endswith(str(LARGER)) else size
    fed = batch_of(dual, total)
    whole = dual.model
    if "LoRA" in way:
        whole = add_towers_adapter(dual.model, TowersConfig(), 0, model)
        whole.eval()
    base = whole.get_base_model() if "LoRA" in way else whole
    chunks = [{key: value[at : at + size] for key, value in fed.items()} for at in range(0, total, size)]

    def backward() -> float:
        whole.zero_grad()
        value = cached_backward(lambda one: base(**one), chunks, lambda a, b: info_nce(a, b, base.temperature))
        return float(value)

    return backward


def open_clip_step(model: str, size: int, packages: str) -> Any:
    """open_clip's model and loss on the same weights and pairs; None where it cannot be imported."""
    import torch

    if packages:
        sys.path.append(packages)
    if find_spec("open_clip") is None:
        return None
    library = torch.library.Library("torchvision", "DEF")  # operators that a build for GPUs lacks beside a CPU torch
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        import open_clip
        from open_clip.loss import ClipLoss
    except (ImportError, RuntimeError):
        return None
    from safetensors.torch import load_file

    from recipes.contrastive.load import load

    dual = load(model, "cpu")
    fed = batch_of(dual, size)
    theirs = their_model(open_clip, dual, Path(model))
    theirs.load_state_dict(load_file(Path(model) / "open_clip_model.safetensors"), strict=True)
    theirs.eval()  # no dropout, so that the losses are of the same numbers; the work is the same
    loss = ClipLoss()
    del dual

    def backward() -> float:
        theirs.zero_grad()
        image, text, scale = theirs(fed["pixels"], fed["input_ids"])[:3]
        value = loss(image, text, scale)
        value.backward()
        return float(value.detach())

    backward.library = library  # type: ignore[attr-defined] (its definitions live as long as it does)
    return backward


def their_model(open_clip: Any, dual: Any, folder: Path) -> Any:
    """open_clip's CustomTextCLIP of the sizes of ours."""
    from timm.models import register_model
    from timm.models.vision_transformer import VisionTransformer

    vision = dual.model.vision.config

    def vit_bench_contrastive(pretrained: bool = False, **options: Any) -> Any:
        made = VisionTransformer(
            img_size=vision.image_size,
            patch_size=vision.patch_size,
            embed_dim=vision.hidden_size,
            depth=vision.num_hidden_layers,
            num_heads=vision.num_attention_heads,
            mlp_ratio=vision.intermediate_size / vision.hidden_size,
            num_classes=0,
        )
        made.default_cfg = made.pretrained_cfg = {}
        return made

    vit_bench_contrastive.__module__ = "timm.models.vision_transformer"
    register_model(vit_bench_contrastive)
    dual.model.text.config.save_pretrained(folder / "text")
    text = {
        "hf_model_name": str(folder / "text"),
        "hf_tokenizer_name": str(folder / "text"),
        "hf_model_pretrained": False,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 32,
    }
    cfg = {
        "timm_model_name": "vit_bench_contrastive",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": vision.image_size,
    }
    return open_clip.CustomTextCLIP(dual.model.image_projection.out_features, vision_cfg=cfg, text_cfg=text)


def exactness(model: str, size: int) -> dict[str, Any]:
    """Gradients of two cached chunks against those of the batch in one pass, largest difference over largest value."""
    from recipes.contrastive.adapter import add_towers_adapter
    from recipes.contrastive.cached import cached_backward
    from recipes.contrastive.config import TowersConfig
    from recipes.contrastive.load import load
    from recipes.contrastive.losses import info_nce

    dual = load(model, "cpu")
    whole = add_towers_adapter(dual.model, TowersConfig(), 0, model)
    whole.eval()
    base, fed = whole.get_base_model(), batch_of(dual, 2 * size)
    made = []
    for part in (2 * size, size):
        whole.zero_grad()
        chunks = [{key: value[at : at + part] for key, value in fed.items()} for at in range(0, 2 * size, part)]
        cached_backward(lambda one: base(**one), chunks, lambda a, b: info_nce(a, b, base.temperature))
        made.append({n: p.grad.clone() for n, p in whole.named_parameters() if p.grad is not None})
    one, two = made
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    return {"relative difference": max(float((one[n] - two[n]).abs().max()) for n in one) / largest}


def index(scratch: str, count: int) -> dict[str, Any]:
    """Seconds to build an index of so many vectors and to search it, exactly and by FAISS, and its recall at 10."""
    import numpy as np

    from recipes.contrastive import index as module
    from recipes.contrastive.index import FAISS, Index, recall_of
    from recipes.contrastive.stored import Item

    module.ROWS = min(module.ROWS, count)
    made, rng = Index(Path(scratch) / "index"), np.random.default_rng(0)
    centres = unit(rng.standard_normal((CLUSTERS, WIDTH), np.float32))
    made.begin("synthetic", {"base": "none"}, WIDTH)

    def drawn(size: int) -> Any:
        noise = unit(rng.standard_normal((size, WIDTH), np.float32))
        return unit(centres[rng.integers(CLUSTERS, size=size)] + SPREAD * noise)

    def rows() -> Any:
        for start in range(0, count, 4096):
            for number, vector in enumerate(drawn(min(4096, count - start)), start):
                yield Item(f"/{number}.png", 1, 1), vector

    start = time.perf_counter()
    made.add(rows())
    written = time.perf_counter() - start
    how = made.build()
    built = time.perf_counter() - start - written
    queries = drawn(SEARCHES)
    found, seconds = {}, {}
    for exact in (True, False):
        start = time.perf_counter()
        found[exact] = np.concatenate([made.search(query[None], 10, exact)[0] for query in queries])
        seconds[exact] = (time.perf_counter() - start) / SEARCHES
    return {
        "vectors": count,
        "seconds to write": round(written, 1),
        "seconds to build": round(built, 1),
        "how": how,
        "recall at 10": recall_of(found[False], found[True]),
        "exact, seconds a query": seconds[True],
        "FAISS, seconds a query": seconds[False] if (made.folder / FAISS).exists() else None,
    }


def unit(vectors: Any) -> Any:
    """Vectors at length 1."""
    import numpy as np

    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def show_steps(rows: dict[str, Any], exact: dict[str, Any], batch: int) -> None:
    """The table of the steps."""
    first = rows[WAYS[0]].get("seconds")
    print(f"{'way':<28} pairs  s a step  s a pair  times less  peak GB  loss")
    for way, row in rows.items():
        if "seconds" not in row:
            print(f"{way:<28} left out: open_clip cannot be imported (--packages FOLDER)")
            continue
        pairs = batch * (LARGER if way.endswith(str(LARGER)) else 1)
        each = row["seconds"] / pairs
        less = f"{first / batch / each:10.2f}" if first else " " * 10
        print(f"{way:<28} {pairs:5} {row['seconds']:9.2f} {each:9.3f}  {less}  {row['GB']:7.2f}  {row['loss']:.5f}")
    print(f"cached gradients of {2 * batch} pairs against one pass: {exact['relative difference']:.1e} of the largest")


def show_index(figures: dict[str, Any]) -> None:
    """The lines of the index."""
    for name, value in figures.items():
        print(f"{name:26} {f'{value:.4f}' if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
