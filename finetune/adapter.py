"""Where an adapter is put: the language model, and by name the parts that see."""

from __future__ import annotations

from typing import Any

from extraction.errors import AssayError
from finetune.config import AdapterConfig

EYES = {"vision": "vision_tower", "projector": "multi_modal_projector"}
"""The parts of a model that see, by their modules' names; the rest is the language model."""
_TOWER = r".*vision_tower.*layers\.\d+\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])"
# A bare parameter, which PEFT takes by name and not by module. Its other way, `modules_to_save`, trains a whole copy
# of the projector in the base's own precision: in bfloat16 small steps are rounded away.
_PROJECTION = "multi_modal_projector.mm_input_projection_weight"


def check_adapter(settings: AdapterConfig) -> None:
    """Refuse options that do not go together.

    Raises:
        AssayError: `vision` or `projector` with an adapter to go on from, or `projector` with dropout or DoRA.
    """
    if settings.start and (settings.vision or settings.projector):
        raise AssayError("adapter.start: its modules are its own; leave out adapter.vision and adapter.projector.")
    if settings.projector and (settings.dropout or settings.use_dora):
        raise AssayError(
            "adapter.projector goes with neither dropout nor DoRA (PEFT adapts a bare parameter without them); set "
            "adapter.dropout=0 and adapter.use_dora=false."
        )


def targets(settings: AdapterConfig) -> dict[str, Any]:
    """The options of PEFT's LoraConfig that say what is adapted."""
    modules = settings.target_modules
    if settings.vision and modules != "all-linear":  # which has the tower's layers already
        modules = f"(?:{modules})|(?:{_TOWER})"
    chosen: dict[str, Any] = {"target_modules": modules}
    if settings.projector:
        chosen["target_parameters"] = [_PROJECTION]
    return chosen
