"""The next token of an answer: which words a grammar allows, and which of them logits choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def mask_of(matcher: Any) -> np.ndarray:
    """The words allowed next, 32 a number."""
    return np.frombuffer(matcher.compute_bitmask(), dtype=np.uint32)


def is_allowed(mask: np.ndarray, token: int) -> bool:
    """Whether the grammar lets a token be next; what the output layer has beyond its words is never."""
    return token >> 5 < len(mask) and bool(mask[token >> 5] >> np.uint32(token & 31) & np.uint32(1))


def _bits(mask: np.ndarray, logits: torch.Tensor) -> torch.Tensor:
    """`mask` (32 words a number) as a boolean tensor beside `logits` [words]; words beyond it are not allowed."""
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little", count=logits.shape[0])
    return torch.from_numpy(bits.view(np.bool_)).to(logits.device)


def most_probable(logits: torch.Tensor, mask: np.ndarray) -> int:
    """The allowed token with the highest of `logits` [words], the first of equals."""
    best = _first_highest(logits)
    return best if is_allowed(mask, best) else _first_highest(logits.masked_fill(~_bits(mask, logits), float("-inf")))


def _first_highest(logits: torch.Tensor) -> int:
    # On a CPU this takes an eighth of the time of argmax in bfloat16; the first of equals, as argmax has it.
    return int((logits == logits.amax()).cpu().numpy().argmax())


def sample(logits: torch.Tensor, mask: np.ndarray, temperature: float, uniform: float) -> int:
    """An allowed token drawn with probability proportional to exp(logit / temperature).

    Args:
        logits: [words].
        temperature: above 0.
        uniform: the random number in [0, 1) that decides.
    """
    allowed = _bits(mask, logits).nonzero()[:, 0]
    scores = logits[allowed].double() / temperature
    # In double precision: the sums over 262k words are exact to 1e-11, and a token of that probability can be drawn.
    sums = torch.exp(scores - scores.max()).cumsum(0)
    place = int(torch.searchsorted(sums, uniform * sums[-1], right=True))
    return int(allowed[min(place, len(allowed) - 1)])


def log_probability(logits: torch.Tensor, token: int) -> float:
    """The log-probability of `token` among all words of `logits` [words].

    It is the model's own, at temperature 1: where the grammar overruled the model, it is low.
    """
    scores = logits.float()
    return float(scores[token] - torch.logsumexp(scores, dim=-1))
