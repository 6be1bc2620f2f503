"""What a training step on a processor holds in memory at once, told before any weights are read.

The step is run on tensors that have shapes and no values (torch's FakeTensor), and what they would hold is counted as
they come and go: whatever the architecture keeps for its backward pass is in it, without a formula of ours.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from extraction.errors import AssayError
from extraction.families import Family, family_class
from extraction.generate.hub import auto_class, load_shape
from extraction.generate.spans import NAME as SPANS
from finetune.adapter import add_adapter, base_dtype
from finetune.answer_loss import LIKELY, SAMPLED, TILE
from finetune.config import RunConfig
from finetune.encode import IGNORED, Collator

# Of what a step makes, what glibc's allocator holds besides: freed blocks that no later one fits. It was between 5 and
# 57% (scripts/check_plan.py); tcmalloc leaves next to nothing.
_UNFILLED = 0.3
# NF4: half a byte a weight, a byte of scale for 64 of them, four bytes for 256 of those (QLoRA, arXiv 2305.14314).
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)


class Live(TorchDispatchMode):
    """Bytes of the tensors that are made while it is on, of now and at most; of `known` ones nothing is counted."""

    def __init__(self, known: Sequence[torch.Tensor] = ()):
        super().__init__()
        self.now = self.peak = 0
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what is new of what it makes."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage()) not in self._known:
                self._known.add(storage)
                self._take(storage.nbytes())
                weakref.finalize(storage, self._take, -storage.nbytes())
        return made

    def _take(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def held_here(config: RunConfig, family: Family, rows: Sequence[dict[str, Any]]) -> dict[str, int] | None:
    """`held` where a run would be trained on this machine's processor; None where there is a GPU."""
    return None if torch.cuda.is_available() else held(config, family, rows)


def held(config: RunConfig, family: Family, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Bytes of a step with the longest of `rows`, by what takes them, when it is trained on a processor.

    Args:
        rows: of `encode`; without any, they are as long as `data.max_length` allows.

    Returns:
        `process` (Python and its libraries: this process, as it is), `weights`, `adapter` (with Adam's two moments),
        `activations` (all that the step makes), `allocator` (what it cannot fill). What a trained vision tower keeps
        is not in it.
    """
    from finetune import trainer  # noqa: F401 - part of a run's process, too

    word = range(config.data.max_length)
    rows = rows or [{"input_ids": [*word], "labels": [*word]}] * config.train.batch_size
    longest = sorted(rows, key=lambda row: -len(row["input_ids"]))[: config.train.batch_size]
    model, weights = _without_values(config)
    adapter = sum(3 * p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    # Of `SampledHead`: the words that it holds, and two tiles of logits over them, or the draw of its sample.
    like = model.get_input_embeddings().weight
    words = min(len({word for row in rows for word in row["input_ids"]}) + LIKELY + SAMPLED, like.shape[0])
    weights += words * like.shape[1] * like.element_size()
    tile = min(TILE, sum(label != IGNORED for row in longest for label in row["labels"]))
    activations = _step(model, Collator(family, None, in_row=True)(longest), like.dtype != torch.float32)
    activations += max(2 * tile * words * like.element_size(), 8 * like.shape[0])
    taken = 0.0 if _has_tcmalloc() else _UNFILLED * activations
    return {
        "process": _resident(),
        "weights": weights,
        "adapter": adapter,
        "activations": activations,
        "allocator": round(taken),
    }


def _without_values(config: RunConfig) -> tuple[Any, int]:
    """The model with its adapter as it is trained, on the meta device, and the bytes of its weights."""
    shape = load_shape(config.model)
    dtype = torch.float32 if base_dtype(config.train) == "float32" else torch.bfloat16
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an adapter's tensors are copied to nowhere
        model = auto_class(shape).from_config(shape, dtype=dtype, trust_remote_code=False)
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        if config.train.quantization:
            weights -= round(quantized(model, family_class(shape, config.model)) * (dtype.itemsize - NF4_BYTES))
        model = add_adapter(model, config)
    model.set_attn_implementation(SPANS)
    if config.train.activation_checkpointing:
        model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return model.train(), weights


def quantized(model: Any, family: type[Family]) -> int:
    """How many weights of a model are held in 4 bits: those of the language model's linear layers."""
    return sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and family.part_of(name) == "language" and not name.endswith("lm_head")
    )


def _step(model: Any, batch: dict[str, Any], mixed: bool) -> int:
    """Bytes that a forward and a backward pass hold at most, besides the model itself."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        made: dict[int, Any] = {}
        for module in model.modules():
            for kept in (module._parameters, module._buffers):
                for name, tensor in kept.items():
                    if tensor is None:
                        continue
                    if id(tensor) not in made:  # tied weights are one
                        own: Any = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                        if kept is module._parameters:
                            own = torch.nn.Parameter(own, requires_grad=tensor.requires_grad)
                        made[id(tensor)] = own, tensor
                    kept[name] = made[id(tensor)][0]
        decoder = model.get_base_model().get_decoder()
        with Live([own for own, _ in made.values()]) as live, torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            ids = torch.empty_like(batch["input_ids"], device="cpu")
            rest = {name: batch[name] for name in ("attention_mask", "position_ids")}
            decoder(input_ids=ids, **rest, use_cache=False).last_hidden_state.sum().backward()
    return live.peak


def _resident() -> int:
    """Bytes that this process has in memory; where that cannot be asked, the most that it ever had."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return _most()


@contextmanager
def told_when_full() -> Iterator[None]:
    """Say what makes a step smaller where memory does not hold it.

    Raises:
        AssayError: of a GPU, or of a processor that refuses at once; most give what they have not got, and kill.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise AssayError(
            "There is not enough memory for a step: a lower train.batch_size (with more train.accumulation it is the "
            "same training), a lower data.max_length, train.activation_checkpointing=true or train.quantization=nf4 "
            "makes it smaller; assay plan says by how much."
        ) from None


def peak() -> int:
    """Bytes: the most that torch took of the GPU; without one, the most that this process ever had."""
    return int(torch.cuda.max_memory_reserved()) if torch.cuda.is_available() else _most()


def _most() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _has_tcmalloc() -> bool:
    return "tcmalloc" in os.environ.get("LD_PRELOAD", "")
