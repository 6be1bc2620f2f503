"""What can be told before any weights are read: whether 4-bit ones can be had, whether an adapter is for a model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from extraction.errors import AssayError, reason
from extraction.generate.hub import auto_class, load_shape


def check_bitsandbytes(device: str | None = None) -> None:
    """See that 4-bit weights can be made, and used on `device` (the first GPU where there is one, else the CPU).

    Raises:
        AssayError: bitsandbytes is missing, or its library for this GPU.
    """
    import torch

    try:
        from bitsandbytes.cextension import lib
    except (ImportError, OSError, RuntimeError) as error:
        raise AssayError(
            f"4-bit weights need bitsandbytes, which cannot be loaded here ({reason(error)}); "
            "pip install -U bitsandbytes, or leave out quantization."
        ) from None
    # It is imported all the same without its library, and fails at its first product; a CPU has PyTorch's in its place.
    on_gpu = device.startswith("cuda") if device else torch.cuda.is_available()
    if on_gpu and not lib.compiled_with_cuda:
        raise AssayError(
            f"bitsandbytes has no library for this GPU's CUDA {torch.version.cuda}, so there are no 4-bit weights; "
            "pip install -U bitsandbytes, or leave out quantization."
        )


def without_weights(name: str) -> Any:
    """A model by name, as in `load_model`, of its true shape and without weights (on the meta device).

    Raises:
        AssayError: no such model, or none of a family that is known.
    """
    import torch

    shape = load_shape(name)
    with torch.device("meta"):
        return auto_class(shape).from_config(shape, trust_remote_code=False)


def check_weights(folder: Path) -> None:
    """Raise AssayError where an adapter's folder has no weights: PEFT would look for them on the hub."""
    if not any((folder / f"adapter_model.{suffix}").exists() for suffix in ("safetensors", "bin")):
        raise AssayError(f"The adapter in {folder} has no weights (adapter_model.safetensors); copy the whole folder.")


def check_fit(folder: Path, base: str) -> None:
    """Put an adapter on the shape of a model (meta device) and see that each of its tensors found its place.

    PEFT itself only warns when an adapter's tensors have other names than the model's modules, and goes on with an
    adapter that changes nothing.

    Raises:
        AssayError: the adapter is for other modules or other sizes, or cannot be read.
    """
    from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
    from safetensors import SafetensorError

    check_weights(folder)
    model = without_weights(base)
    remedy = "give the model that it was trained on."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors that are copied to nowhere
            model = PeftModel.from_pretrained(model, str(folder), torch_device="cpu")
            weights = load_peft_weights(str(folder), device="cpu")
            found: Any = set_peft_model_state_dict(model, weights)
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        raise AssayError(
            f"The adapter in {folder} does not fit {base}: its tensors have other sizes than the model's modules; "
            f"{remedy}"
        ) from None
    except (ValueError, OSError, SafetensorError) as error:
        said = reason(error).rstrip(".")
        raise AssayError(f"The adapter in {folder} does not fit {base}: {said}; {remedy}") from None
    missing = [name for name in found.missing_keys if "lora_" in name]
    if found.unexpected_keys or missing:
        count, name = len(found.unexpected_keys), (*found.unexpected_keys, *missing)[0]
        raise AssayError(
            f"The adapter in {folder} does not fit {base}: {count} of its {len(weights)} tensors are for modules that "
            f"the model does not have, {len(missing)} are missing ({name} is one of them); {remedy}"
        )
