"""A dual encoder by name: a folder in open_clip's or transformers' layout, a hub id, or an adapter of either."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from extraction.errors import AssayError, reason
from extraction.generate.hub import FACTS, fetch, quiet_libraries
from extraction.generate.weights import check_base
from recipes.contrastive.belong import FAMILIES, check_family, checked
from recipes.contrastive.images import Preprocess
from recipes.contrastive.layouts import OPEN_CLIP, TRANSFORMERS, fill, open_clip_model, transformers_model
from recipes.contrastive.model import finite
from recipes.contrastive.words import Words

BIOMEDCLIP = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
VQA_HEAD = "vqa_head.json"  # beside an adapter that the recipe vqa_head made
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


@dataclass(frozen=True)
class Dual:
    """A dual encoder with what feeds it.

    Attributes:
        model: a DualEncoder, or one with an adapter (PEFT), in evaluation mode: BiomedCLIP's text tower has dropout,
            and two calls in training mode give two vectors.
        sigmoid: whether it was trained with the sigmoid loss.
        source: folder of the base's files.
        name: as the user gave it.
    """

    model: Any
    preprocess: Preprocess
    words: Words
    layout: Literal["open_clip", "transformers"]
    sigmoid: bool
    source: Path
    name: str

    @property
    def device(self) -> Any:
        """Where the model's weights are."""
        return next(self.model.parameters()).device


def load(name: str, device: str | None = None) -> Dual:
    """A dual encoder by name, in float32 and evaluation mode, with an adapter where the folder holds one.

    Args:
        name: a model's folder, an adapter's (or a run's) folder, or a hub id.
        device: torch device; the first GPU where there is one, else the CPU.

    Raises:
        AssayError: there is no such model, it is not whole, not of a kind that is known, or its parts do not belong
            together.
    """
    import torch

    quiet_libraries()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    folder = adapter_of(name)
    if folder is None:
        dual = _with_weights(shape_of(name))
        return replace(dual, model=dual.model.to(device).eval())
    base, trained_on = _base(folder)
    dual = _with_weights(shape_of(base))
    check_base(base, trained_on, folder)
    return replace(dual, model=_adapted(dual, folder).to(device).eval(), name=name)


def adapter_of(name: str) -> Path | None:
    """The adapter's folder that a name means, if it is one or the run that has it; None for a whole model."""
    for folder in (Path(name), Path(name) / "adapter"):
        if (folder / "adapter_config.json").exists():
            return folder
    return None


def shape_of(name: str) -> Dual:
    """A dual encoder by name without weights (on the meta device), with what feeds it; raises as `load`."""
    from accelerate import init_empty_weights

    source = _folder(name)
    with init_empty_weights(include_buffers=False):
        if (source / OPEN_CLIP).exists():
            return _open_clip(source, name)
        return _transformers(source, name)


def _folder(name: str) -> Path:
    """The folder with a model's files; those of a hub id are fetched where they are not in the cache."""
    path = Path(name)
    if path.is_dir():
        if not any((path / file).exists() for file in (OPEN_CLIP, TRANSFORMERS)):
            raise AssayError(f"{name} holds no dual encoder: neither {OPEN_CLIP} nor {TRANSFORMERS} is in it.")
        return path
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise AssayError(f"There is no model {name}: give a model's folder, or a hub id ({BIOMEDCLIP}).")
    return fetch(name, _FILES)


def _open_clip(source: Path, name: str) -> Dual:
    config = read_json(source / OPEN_CLIP)
    try:
        model_config = config["model_cfg"]
        model = open_clip_model(model_config, _shapes(source), str(source))
        preprocess = Preprocess.of_open_clip(config["preprocess_cfg"], model_config["vision_cfg"]["image_size"])
        length = int(model_config["text_cfg"].get("context_length", 77))
        if length < 3:  # a word between the two special tokens
            raise ValueError(f"context_length {length} has no room for a word")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _no_config(source / OPEN_CLIP, "config of a dual encoder", error) from None
    words = Words(_tokenizer(source), length, fixed=False, cleaned=True)
    return checked(Dual(model, preprocess, words, "open_clip", model.temperature.bias is not None, source, name))


def _transformers(source: Path, name: str) -> Dual:
    from transformers import AutoConfig

    values = read_json(source / TRANSFORMERS)
    kind = values.get("model_type")
    if kind not in FAMILIES:
        raise AssayError(f"{name} is a model of the kind {kind}, and no dual encoder; clip and siglip are known.")
    config = AutoConfig.from_pretrained(source, local_files_only=True)
    preprocessing, tokens = source / "preprocessor_config.json", source / "tokenizer_config.json"
    for file in (preprocessing, tokens):
        if file.exists():
            check_family(file, read_json(file), kind)
    try:
        preprocess = Preprocess.of_transformers(read_json(preprocessing))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _no_config(preprocessing, "image preprocessing", error) from None
    # SigLIP was trained with every text at full length and no mask (arXiv 2303.15343); it pools the last token.
    sigmoid = kind == "siglip"
    words = Words(_tokenizer(source), config.text_config.max_position_embeddings, fixed=sigmoid, cleaned=False)
    model = transformers_model(config)
    return checked(Dual(model, preprocess, words, "transformers", sigmoid, source, name))


def _no_config(file: Path, what: str, error: Exception) -> AssayError:
    """What is wrong with a JSON file that comes with a model."""
    said = f"{reason(error)} is missing" if isinstance(error, KeyError) else reason(error)
    return AssayError(f"{file} is no {what} ({said}); copy or fetch it again from where the model is.")


def _tokenizer(source: Path) -> Any:
    """The tokenizer whose files lie with the model; the hub is not asked for the one that a config names."""
    from transformers import AutoTokenizer

    if not any((source / file).exists() for file in ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")):
        raise AssayError(f"{source} has no tokenizer; put the model's tokenizer.json (or vocab.txt) there.")
    try:
        if (source / "tokenizer_config.json").exists():
            return AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        from transformers import BertTokenizer

        return BertTokenizer.from_pretrained(source, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise AssayError(f"The tokenizer in {source} cannot be loaded: {reason(error)}") from None


def weight_files(source: Path) -> list[Path]:
    """A model's safetensors files.

    Raises:
        AssayError: there are none; where a pickle is in their place, how to turn it into one.
    """
    files = sorted(source.glob("*.safetensors"))
    if files:
        return files
    if pickle := next(iter(sorted(source.glob("*.bin"))), None):
        raise AssayError(
            f"{source} has its weights as a pickle ({pickle.name}), which is not read; turn it into safetensors once: "
            f"python -m recipes.contrastive.unpickle {source}"
        )
    raise AssayError(
        f"{source} has no weights (*.safetensors). If the hub has them as a pickle alone, fetch the whole folder (hf "
        "download MODEL --local-dir FOLDER), then: python -m recipes.contrastive.unpickle FOLDER"
    )


def _of_files(source: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What is read of each file of weights, together."""
    from safetensors import SafetensorError

    made: dict[str, Any] = {}
    for file in weight_files(source):
        try:
            made |= read(file)
        except SafetensorError as error:
            raise AssayError(f"The weights in {file} are not whole ({error}); copy or fetch them again.") from None
    return made


def _shapes(source: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    def read(file: Path) -> dict[str, tuple[int, ...]]:
        with safe_open(file, "pt") as tensors:
            return {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118

    return _of_files(source, read)


def _with_weights(dual: Dual) -> Dual:
    from safetensors.torch import load_file

    tensors = _of_files(dual.source, load_file)
    fill(dual.model, {key: tensor.float() for key, tensor in tensors.items()}, dual.layout, str(dual.source))
    return dual


def _base(adapter: Path) -> tuple[str, str | None]:
    """The base that an adapter was trained on, and the sample of its weights.

    Raises:
        AssayError: the base is not to be had, or the adapter is a VQA head.
    """
    base = str(read_json(adapter / "adapter_config.json").get("base_model_name_or_path"))
    if (adapter / VQA_HEAD).exists():
        raise AssayError(
            f"{adapter} is a VQA head, which answers questions and has no vectors to compare: let `assay evaluate` "
            f"judge it, or name its base model, {base}, here."
        )
    try:
        _folder(base)
    except AssayError as error:
        raise AssayError(
            f"The adapter in {adapter} was trained on {base}, which is not found from this folder; start where it is, "
            f"or name its whole path in adapter_config.json (base_model_name_or_path). {error}"
        ) from None
    facts = adapter / FACTS
    return base, read_json(facts).get("base_sampled") if facts.exists() else None


def _adapted(dual: Dual, adapter: Path) -> Any:
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    try:
        with safe_open(adapter / "adapter_model.safetensors", "pt") as tensors:
            names = set(tensors.keys())
        model = PeftModel.from_pretrained(dual.model, str(adapter))
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise AssayError(f"The adapter in {adapter} does not fit {dual.name}: {reason(error)}") from None
    # PEFT only warns of tensors that have no place, and goes on with an adapter that changes nothing.
    known = get_peft_model_state_dict(model, save_embedding_layers=False)  # by the names that PEFT writes (DoRA's too)
    if lost := sorted(names - known.keys()):
        raise AssayError(
            f"The adapter in {adapter} does not fit {dual.name}: {len(lost)} of its {len(names)} tensors are for "
            f"modules that the model does not have ({lost[0]} is one of them)."
        )
    return model


def encode_texts(dual: Dual, texts: Sequence[str], batch: int = 64) -> Any:
    """Vectors [n, width] of texts, on the CPU in float32; raises as `finite`."""
    import torch

    made = []
    with torch.inference_mode():
        for start in range(0, len(texts), batch):
            fed = {key: value.to(dual.device) for key, value in dual.words.encode(texts[start : start + batch]).items()}
            made.append(encoder(dual.model).encode_text(**fed).cpu())
    return finite(torch.cat(made), dual.name)


def encode_pixels(dual: Dual, pixels: Any) -> Any:
    """Vectors [n, width] of uint8 pixels [n, height, width, 3], on the CPU in float32; raises as `finite`."""
    import torch

    with torch.inference_mode():
        made = encoder(dual.model).encode_image(dual.preprocess.normalise(pixels.to(dual.device)))
    return finite(made.cpu(), dual.name)


def encoder(model: Any) -> Any:
    """The DualEncoder within a model, adapted or not."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def read_json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; AssayError where it cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AssayError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise AssayError(f"{path} is no valid JSON ({error}).") from None
    if not isinstance(values, dict):
        raise AssayError(f"{path} is no JSON object.")
    return values
