"""Attention that computes only what a mask leaves open.

A dense mask over a row of n tokens costs n x n products on every layer, although a sliding layer sees a window and a
branch sees its context and itself. Here a row is cut into spans of queries, each with the few stretches of keys that
it sees: plain causal attention where that is all, a small mask of its own elsewhere. For a context of c tokens with b
branches of l tokens that is c x c / 2 + b x l x (c + l) on full layers and about (c + b x l) x window on sliding ones.
What is kept grows with the row's length, not with its square: a mask speaks only of the keys among which some are
closed, and the attention of a span that sees many keys is computed once more in the backward pass.

transformers hands `attention_mask` through to the attention function as it is, so a `Spans` travels in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from extraction.generate.masks import CONTEXT, Tokens, visible

NAME = "assay_spans"
"""The attention's name, for `model.set_attn_implementation`; without a `Spans` it is transformers' SDPA."""
# Queries of a span that needs a mask: enough for a good product, few enough that the keys it sees in vain are few.
_QUERIES = 512
# Queries of a causal span that a CPU computes at once.
_CAUSAL = 256
# The backward pass computes the probabilities of queries that see more keys once more: kept, those of a row of 24,000
# tokens would take gigabytes a layer (scripts/bench_volume.py --memory).
_KEPT = 4096


@dataclass(frozen=True)
class Span:
    """Queries that stand together, and what they see.

    Attributes:
        queries: their place in the row.
        keys: stretches of the row, in order.
        mask: bool [queries, last keys]; the keys before these are all seen. None: causal, queries and keys being the
            same.
    """

    queries: slice
    keys: tuple[slice, ...]
    mask: torch.Tensor | None


@dataclass(frozen=True)
class Spans:
    """A row's attention on one kind of layer; the spans' queries follow each other and are the whole row."""

    spans: tuple[Span, ...]
    # transformers asks a mask for both before it hands it to the function that is registered below.
    ndim = 0
    shape = (0,)

    def __getitem__(self, parts: tuple[slice, ...]) -> Spans:
        """All of it: Gemma 4 cuts a mask to the queries whose logits are kept, also where that is every one."""
        assert all(part in (slice(None), slice(0, None)) for part in parts)
        return self

    def to(self, device: Any, **_: Any) -> Spans:
        """The same with its masks on a device."""
        move = [Span(s.queries, s.keys, s.mask.to(device) if s.mask is not None else None) for s in self.spans]
        return Spans(tuple(move))


def spans_of(row: Tokens, window: int | None = None, opened: bool = True) -> Spans:
    """The attention of a row in which each document stands together, its context first, then branch by branch.

    Args:
        row: the row's tokens, without padding.
        window: of a sliding layer; None for a full one.
        opened: whether tokens of an image see what follows them in it.
    """
    if not opened:
        row = replace(row, images=torch.full_like(row.images, -1))
    spans: list[Span] = []
    for document in _runs(row.documents):
        own = row.take(document)
        context = slice(document.start, document.start + int((own.branches == CONTEXT).sum()))
        spans += _context(row, context, window)
        near = max(context.start, context.stop - window + 1) if window else context.start
        for group in _groups(row.branches, context.stop, document.stop):
            keys = tuple(part for part in (slice(near, context.stop), group) if part.start < part.stop)
            spans.append(Span(group, keys, _mask(row, group, keys, window)))
    return Spans(tuple(spans))


def _context(row: Tokens, context: slice, window: int | None) -> Iterator[Span]:
    """A context's spans: one causal one where nothing slides and nothing is an image, else stretches of queries."""
    length = context.stop - context.start
    plain = not bool((row.images[context] >= 0).any())
    if plain and length and (window is None or length <= window):
        yield Span(context, (context,), None)
        return
    start = context.start
    while start < context.stop:
        stop = min(start + _QUERIES, context.stop)
        # An image is seen whole by its own tokens, so it is not cut.
        while stop < context.stop and row.images[stop] >= 0 and row.images[stop] == row.images[stop - 1]:
            stop += 1
        queries = slice(start, stop)
        keys = slice(max(context.start, start - window + 1) if window else context.start, stop)
        yield Span(queries, (keys,), _mask(row, queries, (keys,), window))
        start = stop


def _mask(row: Tokens, queries: slice, keys: Sequence[slice], window: int | None) -> torch.Tensor:
    """Of a span: without a window all keys before its queries are seen, which are its last keys."""
    return visible(row.take(queries), row.take(*(keys if window else (queries,))), window)


def _groups(branches: torch.Tensor, start: int, stop: int) -> Iterator[slice]:
    """Whole branches that follow each other, some `_QUERIES` tokens together."""
    first = start
    for run in _runs(branches[start:stop]):
        end = start + run.stop
        if end - first >= _QUERIES // 2 or end == stop:
            yield slice(first, end)
            first = end


def _runs(values: torch.Tensor) -> list[slice]:
    """Stretches of equal values."""
    if not len(values):
        return []
    lengths = torch.unique_consecutive(values, return_counts=True)[1].cumsum(0).tolist()
    return [slice(start, stop) for start, stop in zip([0, *lengths], lengths, strict=False)]


def span_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Spans | torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in the shape that transformers asks for: query [1, heads, length, size] to [1, length, heads, size]."""
    if not isinstance(attention_mask, Spans):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    on_cpu = query.device.type == "cpu" and not dropout
    attend: Callable[..., torch.Tensor] = partial(
        _by_products if on_cpu else _by_kernel, dropout=dropout, scaling=scaling
    )
    parts = []
    for span in attention_mask.spans:
        for queries, keys, mask in _parts(span, on_cpu):
            own, seen = query[:, :, queries], sum(part.stop - part.start for part in keys)
            mask = mask.to(query.device) if mask is not None else None
            if torch.is_grad_enabled() and mask is not None and seen > _KEPT:
                parts.append(
                    checkpoint(attend, own, key, value, keys, mask, use_reentrant=False, preserve_rng_state=dropout > 0)
                )
            else:
                parts.append(attend(own, key, value, keys, mask))
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _parts(span: Span, on_cpu: bool) -> Iterator[tuple[slice, tuple[slice, ...], torch.Tensor | None]]:
    """What is computed at once: queries, keys, mask."""
    if on_cpu and span.mask is None:
        yield from _causal(span.queries)
    else:
        yield span.queries, span.keys, span.mask


def _causal(queries: slice) -> Iterator[tuple[slice, tuple[slice, ...], torch.Tensor]]:
    """Stretches of queries that see themselves and what is before them: queries, keys, mask."""
    for start in range(queries.start, queries.stop, _CAUSAL):
        stop = min(start + _CAUSAL, queries.stop)
        mask = torch.ones(stop - start, stop - start, dtype=torch.bool).tril()
        yield slice(start, stop), (slice(queries.start, stop),), mask


def _by_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keys: Sequence[slice],
    mask: torch.Tensor,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """Attention as two matrix products, the queries that share a key in one: on a CPU twice as fast as SDPA's kernel,
    at the price of keeping the probabilities."""
    key, value = _stretches(key, keys), _stretches(value, keys)
    _, heads, length, size = query.shape
    own = query.reshape(key.shape[1], -1, size) * (scaling if scaling is not None else size**-0.5)
    scores = (own @ key[0].transpose(1, 2)).view(heads, length, -1)
    scores[..., scores.shape[-1] - mask.shape[-1] :].masked_fill_(~mask, float("-inf"))
    chances = torch.softmax(scores, dim=-1)
    return (chances.view(key.shape[1], own.shape[1], -1) @ value[0]).view(query.shape)


def _by_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keys: Sequence[slice],
    mask: torch.Tensor | None,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """Attention by SDPA."""
    groups = query.shape[1] // key.shape[1]
    key, value = (repeat_kv(_stretches(part, keys), groups) for part in (key, value))
    whole = pad(mask, (key.shape[2] - mask.shape[-1], 0), value=True) if mask is not None else None
    return scaled_dot_product_attention(
        query, key, value, attn_mask=whole, dropout_p=dropout, is_causal=mask is None, scale=scaling
    )


def _stretches(tensor: torch.Tensor, places: Sequence[slice]) -> torch.Tensor:
    parts = [tensor[:, :, place] for place in places]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


AttentionInterface.register(NAME, span_attention)


def span_mask(*, attention_mask: Any = None, **kwargs: Any) -> Any:
    """What makes a mask for `span_attention`: a `Spans` is one."""
    return attention_mask if isinstance(attention_mask, Spans) else sdpa_mask(attention_mask=attention_mask, **kwargs)


AttentionMaskInterface.register(NAME, span_mask)
