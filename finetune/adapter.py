"""The adapter: where it is put (the language model, and by name the parts that see), new or gone on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extraction.errors import AssayError, reason
from extraction.families import Family, family_class
from extraction.generate.checks import check_weights
from extraction.generate.hub import quiet_libraries, shipped
from extraction.generate.models import load_model, multiplies_bfloat16
from extraction.plugins import adapters
from finetune.config import AdapterConfig, RunConfig, TrainConfig


def check_adapter(settings: AdapterConfig) -> None:
    """Refuse options that do not go together.

    Raises:
        AssayError: `start` is no adapter's folder, `vision` or `projector` goes with it, or `projector` with dropout or
            DoRA.
    """
    if settings.start:
        start = Path(shipped(settings.start))
        if not start.is_dir():  # else PEFT would look for it on the hub
            raise AssayError(
                f"adapter.start: there is no folder {settings.start}; give an adapter's, or {', '.join(adapters())}."
            )
        if not (start / "adapter_config.json").exists():
            raise AssayError(f"adapter.start: {settings.start} holds no adapter (adapter_config.json).")
        check_weights(start)
    if settings.start and (settings.vision or settings.projector):
        raise AssayError("adapter.start: its modules are its own; leave out adapter.vision and adapter.projector.")
    if settings.projector and (settings.dropout or settings.use_dora):
        raise AssayError(
            "adapter.projector goes with neither dropout nor DoRA (PEFT adapts a bare parameter without them); set "
            "adapter.dropout=0 and adapter.use_dora=false."
        )


def targets(settings: AdapterConfig, family: type[Family]) -> dict[str, Any]:
    """The options of PEFT's LoraConfig that say what of a family's model is adapted."""
    modules = [settings.target_modules or family.language()]
    if settings.vision and modules != ["all-linear"]:  # which has the tower's layers already
        modules.append(family.tower_layers)
    chosen: dict[str, Any] = {}
    if settings.projector:
        chosen = dict(family.projection)
        modules += chosen.pop("target_modules", [])
    return {"target_modules": modules[0] if len(modules) == 1 else "|".join(f"(?:{m})" for m in modules), **chosen}


def trains_towers(model: Any, family: Family | type[Family]) -> bool:
    """Whether a model with its adapter trains anything besides the language model."""
    return any(p.requires_grad and family.part_of(name) != "language" for name, p in model.named_parameters())


def base_dtype(settings: TrainConfig) -> str:
    """The precision of a run's base model; `auto` where it is as stored.

    On a processor without AMX products in bfloat16 take 1.5 to 1.9 times as long as in float32, measured with AVX-512's
    own instructions for them. 4-bit weights are computed in it wherever the processor has it.
    """
    import torch

    if settings.dtype != "auto" or torch.cuda.is_available():
        return settings.dtype
    fast = multiplies_bfloat16() and (settings.quantization or _has_amx())
    return "auto" if fast else "float32"


def _has_amx() -> bool:
    import torch

    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported and supported())


def load_trainable(config: RunConfig) -> Any:
    """The base model with a trainable adapter."""
    settings = config.train
    model = load_model(config.model, dtype=base_dtype(settings), quantization=settings.quantization)
    model.config.use_cache = False
    return add_adapter(model, config)


def add_adapter(model: Any, config: RunConfig) -> Any:
    """The model with a trainable adapter: a new one, or the one that the configuration starts from."""
    quiet_libraries()
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import set_seed
    from transformers.integrations import is_deepspeed_zero3_enabled

    settings = config.adapter
    set_seed(config.train.seed)
    if settings.start is None:
        lora = LoraConfig(
            r=settings.r,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            **targets(settings, family_class(model.config)),
            use_dora=settings.use_dora,
            use_rslora=settings.use_rslora,
            task_type="CAUSAL_LM",
        )
        try:
            # ZeRO-3 stops at a base in bfloat16 with an adapter in float32 (trl issue 6089).
            mixed = config.train.quantization is not None or not is_deepspeed_zero3_enabled()
            return get_peft_model(model, lora, autocast_adapter_dtype=mixed)
        except ValueError as error:
            raise AssayError(
                f"adapter.target_modules: the adapter cannot be put on {config.model}: {reason(error)}"
            ) from None
    try:
        return PeftModel.from_pretrained(model, str(shipped(settings.start)), is_trainable=True)
    except (ValueError, RuntimeError, OSError) as error:
        raise AssayError(f"The adapter in {settings.start} does not fit {config.model}: {reason(error)}") from None
