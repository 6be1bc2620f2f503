"""Gradients of a large batch in the memory of a small one (gradient caching, arXiv 2101.06983)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

Fed = dict[str, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def cached_backward(
    encode: Callable[[Fed], tuple[torch.Tensor, torch.Tensor]],
    chunks: Sequence[Fed],
    loss: Loss,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    seed: int = 0,
) -> torch.Tensor:
    """The loss over all chunks together, with the gradients of that whole batch added to the parameters.

    The loss needs the vectors alone, and they are small. So they are made without gradients, chunk by chunk; the
    loss gives the gradients that belong to them; then each chunk is passed again, and its own part goes back.

    Args:
        encode: vectors [n, width] of images and of texts of a chunk.
        loss: of the vectors of all processes, gradients flowing into those that are given.
        context: around each pass through the towers (autocast).
        seed: of dropout, which must fall alike in both passes.
    """
    if len(chunks) == 1:
        with context():
            image, text = encode(chunks[0])
        value = loss(image.float(), text.float())
        value.backward()
        return value.detach()
    with torch.no_grad():
        made = [_pass(encode, chunk, context, seed + number) for number, chunk in enumerate(chunks)]
    image, text = (torch.cat(part).float().requires_grad_() for part in zip(*made, strict=True))
    value = loss(image, text)
    value.backward()
    assert image.grad is not None and text.grad is not None
    start = 0
    for number, chunk in enumerate(chunks):
        one, two = _pass(encode, chunk, context, seed + number)
        end = start + len(one)
        backward = ((made, whole[start:end]) for made, whole in ((one, image.grad), (two, text.grad)))
        trained = [(made, gradient.to(made.dtype)) for made, gradient in backward if made.requires_grad]
        torch.autograd.backward([made for made, _ in trained], [gradient for _, gradient in trained])
        start = end
    return value.detach()


def _pass(
    encode: Callable[[Fed], tuple[torch.Tensor, torch.Tensor]],
    chunk: Fed,
    context: Callable[[], AbstractContextManager[Any]],
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    devices = {tensor.device for tensor in chunk.values() if tensor.is_cuda}
    with torch.random.fork_rng([device.index for device in devices]), context():
        torch.manual_seed(seed)
        return encode(chunk)


class _Gathered(torch.autograd.Function):
    """The vectors of all processes; gradients go to this process's own."""

    @staticmethod
    def forward(context: Any, own: torch.Tensor) -> torch.Tensor:
        """[n of all processes, width] of [n, width]; every process has as many."""
        count = torch.distributed.get_world_size()
        every = [torch.empty_like(own) for _ in range(count)]
        torch.distributed.all_gather(every, own.contiguous())
        context.place = torch.distributed.get_rank() * len(own), len(own)
        return torch.cat(every)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Each process computes the same loss, so that its own part is all there is to pass on."""
        start, length = context.place
        return gradients[0][start : start + length]


def gathered(own: torch.Tensor) -> torch.Tensor:
    """The tensors [n, ...] of all processes in their order; this one's own where there is but one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    if own.requires_grad:
        return _Gathered.apply(own)
    every = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(every, own.contiguous())
    return torch.cat(every)
