"""Both towers as ONNX files, for a server without torch, compared with the model that they come from."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from extraction.errors import AssayError
from extraction.files import whole_folder, write_whole
from finetune.run import empty_place
from recipes.contrastive.load import Dual, encoder, load
from recipes.contrastive.merge import PROBES, probe_pixels, vectors
from recipes.contrastive.words import CLEANING

IMAGE, TEXT, FACTS = "image.onnx", "text.onnx", "preprocessing.json"


class _Image(nn.Module):
    def __init__(self, dual: Any):
        super().__init__()
        self.dual = dual

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors of length 1."""
        vectors: torch.Tensor = self.dual.encode_image(pixels)
        return vectors


class _Text(_Image):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors of length 1."""
        if attention_mask is not None:  # as a tower adds it: made within transformers, a trace would keep one batch's
            least = torch.finfo(torch.float32).min
            attention_mask = (1 - attention_mask[:, None, None, :].float()) * least
        vectors: torch.Tensor = self.dual.encode_text(input_ids, attention_mask)
        return vectors


def write_onnx(model: str, out: Path) -> dict[str, float]:
    """Write `image.onnx`, `text.onnx` and how to feed them into `out`, a new or empty folder.

    Args:
        model: as in `load`; an adapter is merged in memory.

    Returns:
        The largest absolute difference of a vector's element from torch's, by tower.

    Raises:
        AssayError: `out` is not empty, or onnx and onnxruntime are not installed, or the vectors are not finite.
    """
    out = empty_place(out, "ONNX files")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        raise AssayError("ONNX files need onnx and onnxruntime: pip install 'assay[onnx]'.") from None
    dual = load(model, "cpu")
    vectors(dual)  # refused here where they are no numbers, and before the towers are written
    whole = dual.model.merge_and_unload() if hasattr(dual.model, "merge_and_unload") else dual.model
    whole = encoder(whole).eval()
    for tower in (whole.vision, whole.text):
        tower.set_attn_implementation("eager")  # whose operations ONNX has
    text = dual.words.encode(PROBES)
    if whole.text.config.model_type == "clip_text_model":
        text.pop("attention_mask")  # a causal tower's pooled token does not see what stands behind it
    fed = {IMAGE: {"pixels": probe_pixels(dual)}, TEXT: text}
    differences = {}
    with whole_folder(out) as made:
        for name, wrapped in ((IMAGE, _Image(whole).eval()), (TEXT, _Text(whole).eval())):
            _export(wrapped, fed[name], made / name, dual.words.fixed)
            differences[name] = _difference(made / name, wrapped, fed[name])
        write_whole(made / FACTS, json.dumps(_facts(dual), indent=1) + "\n")
        dual.words.tokenizer.save_pretrained(made)
    return differences


def _export(module: nn.Module, fed: Mapping[str, torch.Tensor], path: Path, fixed: bool) -> None:
    axes = {name: {0: "n"} if fixed or tensor.ndim == 4 else {0: "n", 1: "length"} for name, tensor in fed.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(fed.values()),
            str(path),
            input_names=list(fed),
            output_names=["vectors"],
            dynamic_axes={**axes, "vectors": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )


def _difference(path: Path, module: nn.Module, fed: Mapping[str, torch.Tensor]) -> float:
    """Of the file's vectors from torch's, on other numbers of inputs and of words than it was traced with."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    some = {name: tensor[:2] for name, tensor in fed.items()}
    if "attention_mask" in some:
        longest = int(some["attention_mask"].sum(1).max())
        some = {name: tensor[:, :longest] for name, tensor in some.items()}
    (made,) = session.run(None, {name: tensor.numpy() for name, tensor in some.items()})
    with torch.inference_mode():
        return float((module(*some.values()) - torch.from_numpy(made)).abs().max())


def _facts(dual: Dual) -> dict[str, Any]:
    """How pictures and texts become inputs, and similarities probabilities."""
    temperature = encoder(dual.model).temperature
    temperature = getattr(temperature, "modules_to_save", {"default": temperature})["default"]
    halves = "rounded down" if dual.preprocess.floor else "rounded, a half to the even number"
    return {
        "size": dual.preprocess.size,
        "resize": "shorter side, then the middle" if dual.preprocess.shortest else "both sides",
        "shorter_side": dual.preprocess.shorter,
        "longer_side": "shorter_side * longer / shorter, rounded down" if dual.preprocess.shortest else None,
        "cut_begins": f"at half of what is over, {halves}" if dual.preprocess.shortest else None,
        "pillow_resample": dual.preprocess.resample,
        "divisor": dual.preprocess.divisor,
        "mean": dual.preprocess.mean,
        "std": dual.preprocess.std,
        "text_cleaning": CLEANING if dual.words.cleaned else "none",
        "text_tokens": dual.words.length,
        "padding": "to text_tokens, no mask" if dual.words.fixed else "to the longest, masked",
        "logit_scale": float(temperature.scale.detach().exp().sum()),
        "logit_bias": None if temperature.bias is None else float(temperature.bias.detach().sum()),
    }
