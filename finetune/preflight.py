"""What a run needs of machine and files, looked at before anything long begins."""

from __future__ import annotations

from pathlib import Path

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.generate.checks import check_bitsandbytes, check_fit, without_weights
from extraction.generate.models import shipped
from finetune.adapter import add_adapter, check_adapter
from finetune.config import RunConfig
from finetune.features import check_taken


def check_run(config: RunConfig, contract: Contract) -> None:
    """Refuse a run that would fail only after its documents are read and its model is loaded.

    Raises:
        AssayError: the adapter's options do not go together or with what the contract shows, the GPU has no bfloat16,
            bitsandbytes cannot run, the model passes over features of pages or has no module that the options mean, or
            `adapter.start` is no adapter for the model.
    """
    import torch

    check_adapter(config.adapter)
    if contract.view == "text" and (config.adapter.vision or config.adapter.projector):
        raise AssayError(
            "adapter.vision and adapter.projector train what sees a page, and the contract shows its text alone; set "
            "contract.view=image or both, or leave them out."
        )
    # A GPU without it still makes bfloat16 tensors, and computes with them slowly.
    if (
        torch.cuda.is_available()
        and config.train.dtype != "float32"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise AssayError("This GPU has no bfloat16; set train.dtype=float32.")
    if config.train.quantization:
        check_bitsandbytes()
    model = without_weights(config.model)
    pages = contract.view != "text" and getattr(model.config, "vision_config", None) is not None
    if pages and not (config.adapter.vision or config.adapter.projector):
        check_taken(model)
    if config.adapter.start is None:
        add_adapter(model, config)
        return
    start = Path(shipped(config.adapter.start))
    if not (start / "adapter_config.json").exists():
        raise AssayError(f"adapter.start: {config.adapter.start} holds no adapter (adapter_config.json).")
    check_fit(start, config.model)
