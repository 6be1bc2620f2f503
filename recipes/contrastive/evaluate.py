"""Retrieval on held-out pairs: `assay evaluate MODEL PAIRS --recipe contrastive`."""

from __future__ import annotations

import sys
from pathlib import Path

from extraction.errors import AssayError
from recipes.contrastive.config import PairsConfig
from recipes.contrastive.data import Left, read_pairs
from recipes.contrastive.embed import embed_all
from recipes.contrastive.load import encode_texts, load
from recipes.contrastive.retrieval import recalls


def evaluate(model: str, data: Path) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions over all pairs of a file or folder, and how many there are.

    Raises:
        AssayError: see `read_pairs` and `load`; or fewer than two images can be read.
    """
    left = Left()
    pairs = read_pairs(data, PairsConfig(train=data, validation=data), left)
    dual = load(model)
    numbers, image = embed_all(dual, [pair.image for pair in pairs], left, "reading images")
    chosen = [pairs[number] for number in numbers]
    captions = [pair.captions[0] for pair in chosen]
    if cut := dual.words.count_cut(captions):
        left.add(f"captions longer than {dual.words.length} tokens, cut there", str(cut))
    if left.counts:
        print(f"Note: {left}.", file=sys.stderr)
    if len(chosen) < 2:
        raise AssayError(f"Fewer than two images of {data} can be read, so nothing can be found among them.")
    figures = recalls(image, encode_texts(dual, captions).numpy(), [pair.group for pair in chosen])
    return figures | {"pairs": len(chosen), "captions": len({pair.group for pair in chosen})}
