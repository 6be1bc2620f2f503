"""Torch, its device, and what runs on it."""

from __future__ import annotations

import os
import shutil
import subprocess

from extraction.errors import AssayError, reason
from recipes.doctor.base import CHECKS, GB, Line, check

_GPU = 6.0  # GB: MedGemma 4B in 4 bits (`assay plan`; docs/training.md)
_NF4_ERROR = 0.16  # of a block's largest value: half the widest gap between two of NF4's sixteen


@check("torch", "device", "pip install --force-reinstall torch")
def torch_works() -> Line:
    """A small product in bfloat16 on the device that models are put on."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    numbers = torch.arange(64, dtype=torch.float32).reshape(8, 8) / 64
    try:
        made = (numbers.to(device, torch.bfloat16) @ numbers.to(device, torch.bfloat16)).float().cpu()
    except Exception as error:
        return Line("torch", "error", f"{torch.__version__} fails on {device}: {reason(error)}", _mend_torch(error))
    if not torch.allclose(made, numbers @ numbers, rtol=0.02, atol=0.02):
        return Line("torch", "error", f"{torch.__version__} multiplies wrongly on {device}", CHECKS["torch"].broken)
    if device == "cuda":
        return Line("torch", "ok", f"{torch.__version__} works on the GPU in bfloat16")
    from extraction.generate.models import multiplies_bfloat16

    how = "bfloat16" if multiplies_bfloat16() else "float32 (its bfloat16 is emulated)"
    return Line("torch", "ok", f"{torch.__version__} works on the processor in {how}")


def _mend_torch(error: Exception) -> str:
    return "nvidia-smi   # shows what holds the GPU" if "memory" in str(error) else CHECKS["torch"].broken


@check("GPU", "device", "nvidia-smi")
def gpu() -> Line:
    """The GPUs as torch sees them; where it sees none, whether the machine has one all the same."""
    import torch

    if not torch.cuda.is_available():
        return _unseen(torch.version.cuda, _driver())
    counted: dict[str, int] = {}
    for number in range(torch.cuda.device_count()):
        own = torch.cuda.get_device_properties(number)
        name = f"{own.name} (compute {own.major}.{own.minor})"
        counted[name] = counted.get(name, 0) + 1
    free, total = min(torch.cuda.mem_get_info(number) for number in range(torch.cuda.device_count()))
    names = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counted.items())
    found = f"{names}, {free / GB:.1f} of {total / GB:.1f} GB free"
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return Line("GPU", "warning", f"{found}, no bfloat16", "assay train ... train.dtype=float32")
    if free < _GPU * GB <= total:
        told = f"{found}; MedGemma 4B in 4 bits takes {_GPU:.0f}"
        return Line("GPU", "warning", told, "nvidia-smi   # shows what holds the rest")
    return Line("GPU", "ok", f"{found}, bfloat16")


def _driver() -> str:
    """What NVIDIA's driver says of GPUs, empty where there are none."""
    if not shutil.which("nvidia-smi"):
        return ""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=20)
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""


def _unseen(cuda: str | None, driver: str) -> Line:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not driver:
        return Line("GPU", "missing", "none; a processor is enough for the 270M models, MedGemma wants one")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Line("GPU", "warning", f"{driver} is hidden by CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES")
    if not cuda:
        told = f"{driver} is not used: this torch is for processors alone"
        # Without the index of processors' wheels, and forced: the version that is here would do for pip.
        return Line("GPU", "warning", told, "pip install --force-reinstall torch --index-url https://pypi.org/simple")
    told = f"{driver} cannot be used by torch for CUDA {cuda}"
    return Line("GPU", "error", told, "update NVIDIA's driver, or take a torch for its CUDA: pytorch.org/get-started")


@check("bitsandbytes", "device", "pip install --force-reinstall bitsandbytes")
def bitsandbytes() -> Line:
    """A small matrix into NF4 and back, on the device that models are put on."""
    import torch

    from extraction.generate.checks import check_bitsandbytes

    try:
        check_bitsandbytes()
    except AssayError as error:
        return Line("bitsandbytes", "error", str(error).split("; pip")[0], "pip install -U bitsandbytes")
    from bitsandbytes import __version__ as version
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    device = "cuda" if torch.cuda.is_available() else "cpu"
    numbers = torch.linspace(-1, 1, 4096, device=device).reshape(64, 64)
    back = dequantize_4bit(*quantize_4bit(numbers, quant_type="nf4"))
    if float((back - numbers).abs().max()) > _NF4_ERROR:
        return Line("bitsandbytes", "error", f"{version} quantizes wrongly", CHECKS["bitsandbytes"].broken)
    where = "GPU" if device == "cuda" else "processor"
    return Line("bitsandbytes", "ok", f"{version}: 4-bit weights (NF4) work on the {where}")
