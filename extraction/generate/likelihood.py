"""How probable a model finds answers that are given: the options of a question as branches behind what they share.

The prompt, its images included, is read once; what the answers do not share goes through the model in one pass, beside
each other. (Scored one by one, an option costs its whole question again.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from extraction.families import Prompt
from extraction.generate.cache import RowCache
from extraction.generate.decode import SHARED_ROWS, Decoder, Stream
from extraction.generate.shared import SharedCache, shared_length

# Tokens that go through the model, and through its output layer, in one pass.
_TOKENS, _LOGITS = 1024, 128


@torch.inference_mode()
def log_likelihoods(decoder: Decoder, pairs: Sequence[tuple[Prompt, Sequence[int]]]) -> list[float]:
    """The natural log of the probability of each answer behind its prompt, the sum over its tokens.

    Args:
        pairs: prompts with the tokens of an answer each; what the prompts share is read once.

    Raises:
        DocumentError: an image cannot be drawn.
    """
    if not pairs:
        return []
    streams = [_stream(decoder, prompt, answer) for prompt, answer in pairs]
    # The token before an answer is asked for its first: it goes with each of them.
    shared = min(shared_length([s.prompt for s in streams]), *(len(prompt.ids) - 1 for prompt, _ in pairs))
    if len(pairs) > 1 and any(place.start >= shared for prompt, _ in pairs for place in prompt.places):
        return [log_likelihoods(decoder, [pair])[0] for pair in pairs]  # each shows an image of its own
    prefix = RowCache(decoder.config, 1, decoder.device)
    decoder.read(streams[0], prefix, 0, 0, shared)
    cache = SharedCache(decoder.config, min(SHARED_ROWS, len(pairs)), prefix)
    found: list[float] = []
    for group in _groups(streams, shared):
        for _ in group:
            cache.append()
        hidden = decoder.forward([s.prompt.ids[shared:] for s in group], group, cache)
        answers = [answer for _, answer in pairs[len(found) : len(found) + len(group)]]
        asked = [own[-1 - len(answer) : -1] for own, answer in zip(hidden, answers, strict=True)]
        scores = _log_probabilities(decoder, torch.cat(asked), [token for answer in answers for token in answer])
        found += [float(own.sum()) for own in scores.split([len(answer) for answer in answers])]
        for row in reversed(range(len(group))):
            cache.drop(row)
    return found


def _stream(decoder: Decoder, prompt: Prompt, answer: Sequence[int]) -> Stream:
    """A prompt with its answer behind it, to be read and not to be answered."""
    whole = replace(prompt, ids=[*prompt.ids, *answer])
    positions = decoder.family.positions(prompt.ids, [image.size for image in prompt.images])
    nothing: Any = None
    return Stream(whole, matcher=nothing, drafter=nothing, max_tokens=0, positions=positions)


def _groups(streams: Sequence[Stream], shared: int) -> Iterator[list[Stream]]:
    """Streams that go through the model together."""
    group: list[Stream] = []
    for stream in streams:
        tokens = sum(len(one.prompt.ids) - shared for one in (*group, stream))
        if group and (len(group) == SHARED_ROWS or tokens > _TOKENS):
            yield group
            group = []
        group.append(stream)
    yield group


def _log_probabilities(decoder: Decoder, hidden: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """The log-probability [n] of each of n tokens, by the hidden states [n, size] before them."""
    wanted = torch.tensor(list(tokens), device=hidden.device)
    made = []
    for part, own in zip(hidden.split(_LOGITS), wanted.split(_LOGITS), strict=True):
        logits = decoder.logits(part).float()
        made.append(logits.gather(1, own[:, None])[:, 0] - logits.logsumexp(-1))
    return torch.cat(made)
