"""How a model is loaded: its tokenizer, its weights, an adapter on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from extraction.errors import AssayError
from extraction.families import Family, family_class, family_of
from extraction.generate.checks import check_bitsandbytes, check_fit
from extraction.generate.hub import (
    CHAT_TEMPLATE,
    FACTS,
    auto_class,
    from_pretrained,
    load_shape,
    quiet_libraries,
    resolve_model,
)
from extraction.generate.weights import check_base

Quantization = Literal["nf4"]


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model by name; a pretrained Gemma without a chat template gets Gemma's turn format."""
    from transformers import AutoTokenizer

    quiet_libraries()
    source = resolve_model(name)
    tokenizer = from_pretrained(AutoTokenizer, source)
    if not tokenizer.chat_template:
        if "<start_of_turn>" not in tokenizer.get_vocab():
            raise AssayError(f"The tokenizer of {name} has no chat template; use an instruction-tuned model.")
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def load_model(
    name: str, dtype: str = "auto", device: str | None = None, quantization: Quantization | None = None
) -> Any:
    """A causal language model by name, in evaluation mode.

    Args:
        name: `gemma-3-270m`, a local folder or a hub id.
        dtype: `bfloat16`, `float32`, or `auto`: as stored, but float32 on a processor that only emulates bfloat16.
        device: torch device; the first GPU where there is one, else the CPU.
        quantization: `nf4`: the language model's linear layers in 4 bits (bitsandbytes' NF4, the scales quantised once
            more, as in QLoRA, arXiv 2305.14314), computed in `dtype`. Embeddings, head, vision tower and projector
            stay as they are.

    Raises:
        AssayError: the model is missing, gated, or cannot be reached, or bitsandbytes cannot run here; says what to do.
    """
    import torch
    from transformers.integrations import is_deepspeed_zero3_enabled

    quiet_libraries()
    if quantization:
        check_bitsandbytes(device)
    config = load_shape(name)
    family = family_class(config, name)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype == "auto" and device == "cpu" and not multiplies_bfloat16():
        dtype = "float32"
    weights = dtype if dtype == "auto" else getattr(torch, dtype)
    options: dict[str, Any] = {}
    if quantization:
        options["quantization_config"] = _nf4(torch.bfloat16 if dtype == "auto" else weights, family)
    if not is_deepspeed_zero3_enabled():  # which places the weights itself
        options["device_map"] = {"": device}
    options |= {"dtype": weights, "output_loading_info": True}
    model, found = from_pretrained(auto_class(config), resolve_model(name), **options)
    if missing := sorted(found["missing_keys"]):  # which transformers would fill with random numbers
        raise AssayError(
            f"The model {name} is not whole: {len(missing)} of its tensors are missing ({missing[0]} is one of them); "
            "copy or fetch it again."
        )
    return model.eval()


def load_family(name: str, tokenizer: Any = None) -> Family:
    """The family of a model by name (an adapter's folder means its base), before its weights are loaded.

    Raises:
        AssayError: as `family_of`, or there is no such model, or the adapter does not say its base.
    """
    folder = Path(resolve_model(name))
    if (folder / "adapter_config.json").exists():
        name, _ = _origin(folder)
    config = load_shape(name)  # refused before a tokenizer is sought
    return family_of(config, tokenizer or load_tokenizer(name), name)


def _origin(adapter: Path) -> tuple[str, dict[str, Any]]:
    """The base model that an adapter's folder names, and the facts of its training where it has them.

    Raises:
        AssayError: the files that say so cannot be read.
    """
    facts: dict[str, Any] = {}
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        base = str(settings["base_model_name_or_path"])
        if (adapter / FACTS).exists():
            facts = dict(json.loads((adapter / FACTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssayError(f"{adapter / 'adapter_config.json'} or {FACTS} beside it cannot be read: {error}.") from None
    if base.startswith((".", "/", "~")) and not Path(base).is_dir():
        raise AssayError(
            f"The adapter in {adapter} was trained on the model in {base}, which is not there as seen from this "
            "folder; start where it is, or name its folder in adapter_config.json (base_model_name_or_path)."
        )
    return base, facts


def _nf4(compute: Any, family: type[Family]) -> Any:
    """QLoRA's quantisation of a family's language model, computed in the torch dtype `compute`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        # Four 4-bit values in a bfloat16: FSDP shares out floating-point weights only, and wants one dtype for all.
        bnb_4bit_quant_storage=compute,
        # transformers matches them from a module name's start: `vision_tower` alone would skip nothing.
        llm_int8_skip_modules=["lm_head", *(f".*{piece}" for piece in (*family.towers.values(), *family.idle))],
    )


def multiplies_bfloat16() -> bool:
    """Whether this processor's matrix products in bfloat16 are real ones (from AVX-512 on).

    Elsewhere they are emulated on one core: measured on an AVX2 machine, 200 times slower than float32.
    """
    import torch

    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(supported and supported())


def load_adapter(folder: Path, dtype: str = "auto", device: str | None = None, merged: bool = False) -> tuple[Any, Any]:
    """A base model with the adapter in `folder` attached, and the tokenizer.

    Args:
        merged: add the adapter to the weights in memory, to serve it: a pass then has no products of the adapter's own.
            An adapter that was trained on 4-bit weights is served on them, and stays beside them: to add it would round
            the sum to 4 bits again.

    Raises:
        AssayError: the base is missing, the adapter's modules are not the base's, or it was trained on other weights.
    """
    quiet_libraries()
    from peft import PeftModel

    base, facts = _origin(folder)
    quantization = facts.get("quantization")
    check_fit(folder, base)
    model = load_model(base, dtype=dtype, device=device, quantization=quantization)
    check_base(base, facts.get("base_sampled"), folder)  # only now a hub's are here
    model = PeftModel.from_pretrained(model, str(folder))
    if merged and not quantization:
        model = model.merge_and_unload()
        model.config.use_cache = True
    return model.eval(), load_tokenizer(base)
