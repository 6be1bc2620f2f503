"""Retrieval on held-out pairs: `assay evaluate MODEL PAIRS --recipe contrastive`."""

from __future__ import annotations

import sys
from pathlib import Path

from extraction.errors import AssayError
from extraction.generate.hub import FACTS
from recipes.contrastive.config import PairsConfig
from recipes.contrastive.data import Left, read_pairs
from recipes.contrastive.embed import embed_all
from recipes.contrastive.load import adapter_of, encode_texts, load, read_json
from recipes.contrastive.retrieval import captions_of, recalls, recalls_by_index


def evaluate(model: str, data: Path) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions over all pairs of a file or folder, exactly and by an index.

    Pairs are read as the model's own run read them: its columns and templates stand beside an adapter or merged model.
    All captions of an image are searched for, and any of them is a hit.

    Raises:
        AssayError: see `read_pairs` and `load`; or fewer than two images can be read.
    """
    left = Left()
    facts = (adapter_of(model) or Path(model)) / FACTS
    known = read_json(facts).get("pairs", {}) if facts.exists() else {}
    pairs = read_pairs(data, PairsConfig(**{**known, "train": data, "validation": data, "patient": ""}), left)
    dual = load(model)
    numbers, image = embed_all(dual, [pair.image for pair in pairs], left, "reading images")
    captions, images, texts = captions_of([pairs[number] for number in numbers])
    if notes := [one for one in (str(left), dual.words.told_cut(captions, "captions")) if one]:
        print(f"Note: {'; '.join(notes)}.", file=sys.stderr)
    if len(numbers) < 2:
        raise AssayError(f"Fewer than two images of {data} can be read, so nothing can be found among them.")
    text = encode_texts(dual, captions).numpy()
    by_index, how = recalls_by_index(image, text, images, texts)
    print(f"By an index: {how}.", file=sys.stderr)
    return recalls(image, text, images, texts) | by_index | {"pairs": len(numbers), "captions": len(captions)}
