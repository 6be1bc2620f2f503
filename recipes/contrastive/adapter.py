"""Where a dual encoder is adapted: layers of its towers, what is trained in full beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from extraction.errors import AssayError, reason
from recipes.contrastive.config import TowersConfig


def add_towers_adapter(model: nn.Module, settings: TowersConfig, seed: int, base: str) -> Any:
    """A DualEncoder with a trainable adapter, and what is trained in full beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    saved = ["temperature"] if settings.temperature else []
    if settings.projections:
        saved += _projections(model, settings.towers)
    lora = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets(model, settings),
        modules_to_save=saved or None,
        use_dora=settings.use_dora,
        use_rslora=settings.use_rslora,
    )
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise AssayError(f"The adapter cannot be put on {base}: {reason(error)}") from None


def targets(model: nn.Module, settings: TowersConfig) -> str:
    """A pattern of the layers that are adapted, by their full names.

    SigLIP's heads are left out: attention there takes its weights past an adapter. `projections` trains them whole.
    """
    wanted = {"image": "vision", "text": "text"}
    towers = tuple(f"{wanted[tower]}." for tower in settings.towers)
    heads = ("vision.head.", "text.head")
    chosen = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(towers) and not name.startswith(heads)
    ]
    if settings.layers == "attention":
        chosen = [name for name in chosen if ".attention." in name or ".self_attn." in name]
    forms = {".".join(r"\d+" if part.isdigit() else part for part in name.split(".")) for name in chosen}
    return "|".join(sorted(form.replace(".", r"\.") for form in forms))


def _projections(model: nn.Module, towers: Sequence[str]) -> list[str]:
    names = {"image": ("image_projection", "vision.head"), "text": ("text_projection", "text.head")}
    modules = dict(model.named_modules())
    parts = [name for tower in towers for name in names[tower]]
    return [name for name in parts if any(True for _ in modules.get(name, nn.Identity()).parameters())]


def still(model: nn.Module) -> None:
    """Evaluation mode, dropout of the adapter apart: a text tower's own dropout would make two vectors of one text."""
    model.eval()
    for name, module in model.named_modules():
        if "lora_dropout" in name:
            module.train()
