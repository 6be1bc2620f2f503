"""The loss of the answer alone, at the cost of the answer alone, on machines without Triton.

TRL's fused head projects only the trained positions where Triton runs. Elsewhere (a CPU) it projects every
position of the batch to 262,144 words, which is most of a training step's time on a small model; and it
computes the logits twice, forward and backward. Here the frozen head allows one go: the gradient towards the
hidden states is known as soon as the probabilities are. And the words that the training data never uses
are represented by a fresh sample of them at every step (sampled softmax).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

# Rows of logits held at once: 256 x 262,144 in bf16 are 134 MB.
_TILE = 256
# Words drawn from those that the training data never uses, at every step.
_SAMPLED = 2048


class AnswerLogProbs(torch.autograd.Function):
    """Log-probability of `targets` [n] under `hidden` [n, size] @ `weight`.T ([words, size], frozen).

    With p = softmax(z + offset), z = h W^T:  d log p_t / d h = W_t - p W. Where logits are capped, z being
    cap tanh(h W^T / cap), each word's part is multiplied by 1 - (z / cap)^2.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        offset: torch.Tensor | None = None,
        cap: float | None = None,
    ) -> torch.Tensor:
        """Log-probabilities [n] in float32; `offset` [words] is added to every row of logits."""
        log_probs = torch.empty(hidden.shape[0], device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, hidden.shape[0], _TILE):
            rows = slice(start, start + _TILE)
            logits = hidden[rows] @ weight.T
            if cap:
                logits = torch.tanh(logits / cap) * cap
                slope = 1 - (logits / cap) ** 2
            if offset is not None:
                logits += offset
            chosen = logits.gather(1, targets[rows, None]).squeeze(1).float()
            highest = logits.amax(1, keepdim=True)
            exp = (logits - highest).exp_()
            total = exp.sum(1, dtype=torch.float32)
            log_probs[rows] = chosen - highest.squeeze(1).float() - total.log()
            if cap:
                chances = -exp * slope / total[:, None].to(exp.dtype)
                own = slope.gather(1, targets[rows, None])
                gradient[rows] = (chances @ weight + own * weight[targets[rows]]).to(weight.dtype)
                continue
            gradient[rows] = weight[targets[rows]] - ((exp @ weight) / total[:, None]).to(weight.dtype)
        ctx.save_for_backward(gradient)
        return log_probs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Gradient towards `hidden`; none towards the frozen head."""
        (gradient,) = ctx.saved_tensors
        return grads[0][:, None].to(gradient.dtype) * gradient, None, None, None, None


class SampledHead:
    """The frozen head, cut to the words that the training data uses and a sample of the others.

    A sampled word stands for (others / sampled) words: with that weight, log of it added to its logit, the sum
    over the sample is an unbiased estimate of the sum over all others (Bengio & Senecal 2008; the fixed
    vocabulary of the training partition is that of Jean et al. 2015).

    Args:
        weight: the head's weight [words, size], frozen.
        used: every word that may be a target; sorted here.
        sampled: how many of the others are drawn at every call.
        cap: where logits are capped (`final_logit_softcapping`).
    """

    def __init__(self, weight: torch.Tensor, used: torch.Tensor, sampled: int = _SAMPLED, cap: float | None = None):
        self._weight, self._cap = weight, cap
        self._used = torch.unique(used)
        others = torch.ones(weight.shape[0], dtype=torch.bool)
        others[self._used] = False
        self._others = others.nonzero().squeeze(1)
        self._count = min(sampled, len(self._others))
        self._rows = torch.cat([weight[self._used], weight[self._others[: self._count]]])
        self._offset = torch.zeros(len(self._rows), dtype=weight.dtype)
        if self._count:
            self._offset[len(self._used) :] = math.log(len(self._others) / self._count)

    def log_probs(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [n] of `targets` [n] under `hidden` [n, size]."""
        if self._count:
            drawn = self._others[torch.randperm(len(self._others))[: self._count]]
            torch.index_select(self._weight, 0, drawn, out=self._rows[len(self._used) :])
        return AnswerLogProbs.apply(
            hidden, self._rows, torch.searchsorted(self._used, targets), self._offset, self._cap
        )


def add_answer_loss(model: Any, used: torch.Tensor) -> None:
    """Let `model(..., answer_labels=labels)` return the log-probabilities of the labels that are not -100.

    `used` are the words of the training data. Through the model's own `forward`, so that wrappers around it
    (PEFT, DDP) stay in the way of the gradients.
    """
    original = model.forward
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    head = SampledHead(model.get_output_embeddings().weight, used, cap=cap)

    @functools.wraps(original)
    def forward(*args: Any, answer_labels: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if answer_labels is None:
            return original(*args, **kwargs)
        hidden = model.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        targets = answer_labels[:, 1:]
        mask = targets != -100
        return head.log_probs(hidden[mask], targets[mask])

    model.forward = forward
