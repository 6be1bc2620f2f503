"""Merge an adapter into plain weights, in the layout of its base, and prove that they are the model that was tuned."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from extraction.errors import AssayError
from extraction.files import whole_folder, write_whole
from extraction.generate.hub import FACTS
from finetune.run import empty_place, finished_adapter, versions
from recipes.contrastive.layouts import published_state
from recipes.contrastive.load import Dual, encode_texts, encoder, load
from recipes.contrastive.model import finite

WEIGHTS = {"open_clip": "open_clip_model.safetensors", "transformers": "model.safetensors"}
# Texts and, as pixels, noise: what two models are compared over.
PROBES = (
    "normal lung",
    "this is an image of lymph node metastasis",
    "CT of the abdomen with contrast; (B) axial section, arrow: a cyst of 3.2 cm in the left kidney",
    "H&E stain, 400x: invasive ductal carcinoma",
)


@dataclass(frozen=True)
class MergeReport:
    """Largest absolute differences of a vector's element, vectors being of length 1.

    Attributes:
        image, text: the live adapter against the reloaded merged model.
        effect: what the adapter itself changes.
    """

    image: float
    text: float
    effect: float

    def __str__(self) -> str:
        return (
            f"vectors differ by at most {max(self.image, self.text):.1e} (images {self.image:.1e}, texts "
            f"{self.text:.1e}) from the live adapter, which moves them by {self.effect:.3f}"
        )


def merge(run: Path, out: Path) -> MergeReport:
    """Write a run's adapter merged into its base, with config, tokenizer and preprocessing, into `out`.

    Args:
        run: a run's folder, or an adapter's.
        out: a folder that is empty or does not exist yet; written whole or not at all.

    Raises:
        AssayError: no adapter, `out` not empty, a base whose weights are not those of the training, an adapter that
            changes nothing.
    """
    from safetensors.torch import save_file

    adapter, out = finished_adapter(run), empty_place(out, "merged model")
    dual = load(str(adapter), "cpu")
    live = vectors(dual)
    with dual.model.disable_adapter():
        effect = max(_differences(live, vectors(dual)))
    if effect == 0.0:
        raise AssayError(f"The adapter in {adapter} changes nothing: its vectors are the base's. Nothing is written.")
    state = published_state(dual.model.merge_and_unload(), dual.layout)
    with whole_folder(out) as made:
        for file in dual.source.iterdir():
            if file.is_file() and file.suffix in (".json", ".txt", ".model") and not file.name.endswith(".index.json"):
                shutil.copy2(file, made)
        save_file(state, made / WEIGHTS[dual.layout], {"format": "pt"})
        image, text = _differences(live, vectors(load(str(made), "cpu")))
        report = MergeReport(image, text, effect)
        facts: dict[str, Any] = {"recipe": "contrastive"}
        if (adapter / FACTS).exists():
            facts = json.loads((adapter / FACTS).read_text(encoding="utf-8"))
        facts |= {"merge": asdict(report), "versions_at_merge": versions()}
        write_whole(made / FACTS, json.dumps(facts, indent=1) + "\n")
    return report


def probe_pixels(dual: Dual) -> torch.Tensor:
    """Noise of the size that a model sees, [3, 3, height, width], normalised."""
    height, width = dual.preprocess.size
    noise = torch.randint(0, 256, (3, height, width, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return dual.preprocess.normalise(noise)


def vectors(dual: Dual) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of the probes: of noise, and of texts."""
    with torch.inference_mode():
        image = encoder(dual.model).encode_image(probe_pixels(dual).to(dual.device)).cpu()
    return finite(image, dual.name), encode_texts(dual, PROBES)


def _differences(one: tuple[torch.Tensor, ...], two: tuple[torch.Tensor, ...]) -> list[float]:
    return [float((a - b).abs().max()) for a, b in zip(one, two, strict=True)]
