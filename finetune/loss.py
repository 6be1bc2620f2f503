"""The loss of the answer alone, at the cost of the answer alone, on machines without Triton.

TRL's fused head projects only the trained positions where Triton runs. Elsewhere (a CPU) it projects every
position of the batch to 262,144 words, which is most of a training step's time on a small model; and it
computes the logits twice, forward and backward. Here the frozen head allows one go: the gradient towards the
hidden states is known as soon as the probabilities are.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

# Rows of logits held at once: 256 x 262,144 in bf16 are 134 MB.
_TILE = 256


class AnswerLogProbs(torch.autograd.Function):
    """Log-probability of `targets` [n] under `hidden` [n, size] @ `weight`.T ([words, size], frozen).

    With p = softmax(z), z = h W^T:  d log p_t / d h = W_t - p W.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [n] in float32."""
        log_probs = torch.empty(hidden.shape[0], device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, hidden.shape[0], _TILE):
            rows = slice(start, start + _TILE)
            logits = hidden[rows] @ weight.T
            chosen = logits.gather(1, targets[rows, None]).squeeze(1).float()
            highest = logits.amax(1, keepdim=True)
            exp = (logits - highest).exp_()
            total = exp.sum(1, dtype=torch.float32)
            log_probs[rows] = chosen - highest.squeeze(1).float() - total.log()
            gradient[rows] = weight[targets[rows]] - ((exp @ weight) / total[:, None]).to(weight.dtype)
        ctx.save_for_backward(gradient)
        return log_probs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Gradient towards `hidden`; none towards the frozen head."""
        (gradient,) = ctx.saved_tensors
        return grads[0][:, None].to(gradient.dtype) * gradient, None, None


def add_answer_loss(model: Any) -> None:
    """Let `model(..., answer_labels=labels)` return the log-probabilities of the labels that are not -100.

    Through the model's own `forward`, so that wrappers around it (PEFT, DDP) stay in the way of the gradients.
    """
    original = model.forward

    @functools.wraps(original)
    def forward(*args: Any, answer_labels: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if answer_labels is None:
            return original(*args, **kwargs)
        hidden = model.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        targets = answer_labels[:, 1:]
        mask = targets != -100
        return AnswerLogProbs.apply(hidden[mask], model.get_output_embeddings().weight, targets[mask])

    model.forward = forward
