"""More than one process (`accelerate launch`): what one does for all, and how a mistake of one ends all.

A run of one process passes through here untouched: no process group, no imports.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from extraction.errors import AssayError

T = TypeVar("T")

# The others wait while the main process makes data, reads scans or judges a checkpoint. That may take hours; and a
# process that dies is noticed by the launcher, not by a time limit.
_PATIENCE = timedelta(hours=12)
_YES = ("True", "true", "1")


def world_size() -> int:
    """How many processes the launcher has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this is the process that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """A line of progress on standard error, from the main process alone."""
    if is_main():
        print(text, file=sys.stderr, flush=True)


def check_launch() -> None:
    """Refuse a launch that would run, but not as it was asked to.

    Raises:
        AssayError: `accelerate launch --cpu --num_processes N`, which starts one process whatever N is; FSDP or
            DeepSpeed without a GPU, where accelerate passes over them.
    """
    asked = {name for name in ("CPU", "FSDP", "DEEPSPEED") if os.environ.get(f"ACCELERATE_USE_{name}", "") in _YES}
    if "CPU" in asked and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise AssayError(
            "accelerate launch --cpu starts one process, whatever --num_processes says; for several on a machine "
            "without GPU, take --config_file recipes/accelerate/ddp.yaml in the place of --cpu."
        )
    if asked & {"FSDP", "DEEPSPEED"}:
        import torch

        if not torch.cuda.is_available():
            raise AssayError(
                "FSDP and DeepSpeed need GPUs; without one accelerate would not share the weights out. Take "
                "--config_file recipes/accelerate/ddp.yaml."
            )


def on_main(work: Callable[[], T], others: Callable[[T], Any] | None = None) -> T:
    """Let the main process do `work` while the others wait; every process gets what it returns.

    Args:
        work: done once, by the main process.
        others: what the other processes get of the result, where that is not all of it; it is pickled.

    Raises:
        Exception: on the main process, what `work` raised. The others then end with exit code 2 and without a word, so
            that a mistake is told once.
    """
    if world_size() == 1:
        return work()
    result: Any = on_all(work if is_main() else lambda: None)
    sent = [others(result) if is_main() and others else result]
    _distributed().broadcast_object_list(sent)
    return result if is_main() else sent[0]


def on_all(work: Callable[[], T]) -> T:
    """Let every process do `work`, and go on only when all of them have done it.

    Raises:
        Exception: what `work` raised, on the first process on which it did; the others end with exit code 2.
    """
    if world_size() == 1:
        return work()
    result, error = None, None
    try:
        result = work()
    except Exception as raised:
        error = raised
    failed = [False] * world_size()
    _distributed().all_gather_object(failed, error is not None)
    if not any(failed):
        return result  # type: ignore[return-value]
    leave()
    if error is not None and failed.index(True) == int(os.environ["RANK"]):
        raise error
    # The launcher ends all processes when one has ended: the one that says why comes first.
    time.sleep(2)
    sys.exit(2)


def together() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        _distributed().barrier()


def leave() -> None:
    """Part from the other processes, in step with them; without it, torch complains at exit or aborts."""
    if world_size() > 1:
        _distributed().destroy_process_group()


def _distributed() -> Any:
    """`torch.distributed` with all processes joined."""
    import torch
    from accelerate import PartialState

    # transformers' TrainingArguments finds this process group and keeps it, with this time limit.
    PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    return torch.distributed
