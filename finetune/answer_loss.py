"""The loss of the answer alone, at the cost of the answer alone, where Triton does not run.

TRL's fused head projects only the trained positions where Triton runs. Elsewhere (a CPU) it projects every
position of the batch to 262,144 words, which is most of a training step's time on a small model; and it
computes the logits twice, forward and backward. Here the frozen head allows one go: the gradient towards the
hidden states is known as soon as the probabilities are. And of the words that the training data never uses, those
that the model thinks of before training are kept, the rest represented by a fresh sample of them at every step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch

from finetune.encode import IGNORED

# Rows of logits held at once: 256 x 262,144 in bf16 are 134 MB.
TILE = 256
# Of the words that the training data never uses: those that are kept, and how many of the rest are drawn at every step.
LIKELY, SAMPLED = 32768, 4096
# Rows of the data, the most, that tell which words a model thinks of, and words of their answers.
PILOT, _TOLD = 8, 256


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
        for start in range(0, hidden.shape[0], TILE):
            rows = slice(start, start + TILE)
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
    """The frozen head, cut to the words that the training data uses, those that are likely, and a sample of the rest.

    Words of the rest are drawn with a chance q each; one that was drawn m times of n stands for m / (n q) words: with
    the log of that added to its logit, the sum over the sample is an unbiased estimate of the sum over the rest
    (Bengio & Senecal 2008; the fixed vocabulary of the training partition is that of Jean et al. 2015). Half of q is
    what the model gave a word before training, half is the same for all.

    Args:
        weight: the head's weight [words, size], frozen.
        used: every word that may be a target.
        chances: [words], what the model gives each; without them all are alike.
        likely: how many of the others are kept.
        sampled: how many of the rest are drawn at every call.
        cap: where logits are capped (`final_logit_softcapping`).
    """

    def __init__(
        self,
        weight: torch.Tensor,
        used: torch.Tensor,
        chances: torch.Tensor | None = None,
        likely: int = LIKELY,
        sampled: int = SAMPLED,
        cap: float | None = None,
    ):
        self._weight, self._cap = weight, cap
        chances = torch.ones(weight.shape[0]) if chances is None else chances.clone()
        chances[used] = 2  # more than any probability
        order = torch.argsort(chances, descending=True, stable=True)
        kept = len(torch.unique(used)) + likely
        kept = len(order) if kept + sampled >= len(order) else kept
        self._kept, self._rest = order[:kept].sort().values, order[kept:]
        rest = chances[self._rest]
        self._chances = (rest / rest.sum().clamp(min=1e-30) + 1 / max(1, len(rest))) / 2
        self._count = min(sampled, len(self._rest))
        self._rows = torch.cat([weight[self._kept], weight[self._rest[: self._count]]])
        self._offset = torch.zeros(len(self._rows), dtype=weight.dtype)

    def log_probs(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [n] of `targets` [n] under `hidden` [n, size]."""
        if self._count:
            drawn = torch.multinomial(self._chances, self._count, replacement=True)
            torch.index_select(self._weight, 0, self._rest[drawn], out=self._rows[len(self._kept) :])
            self._offset[len(self._kept) :] = -(self._chances[drawn] * self._count).log()
        return AnswerLogProbs.apply(
            hidden, self._rows, torch.searchsorted(self._kept, targets), self._offset, self._cap
        )


def add_answer_loss(model: Any, used: torch.Tensor, batches: Iterable[dict[str, Any]] = ()) -> None:
    """Let `model(..., answer_labels=labels)` return the log-probabilities of the labels that are not -100.

    `used` are the words of the training data, `batches` some of it, by which it is seen what else the model thinks of.
    Through the model's own `forward`, so that wrappers around it (PEFT, DDP) stay in the way of the gradients.
    """
    original = model.forward
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    weight = model.get_output_embeddings().weight
    some = len(used) + LIKELY + SAMPLED < weight.shape[0]
    head = SampledHead(weight, used, _chances(model, batches) if some else None, cap=cap)

    @functools.wraps(original)
    def forward(*args: Any, answer_labels: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if answer_labels is None:
            return original(*args, **kwargs)
        hidden = model.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        targets = answer_labels[:, 1:]
        mask = targets != IGNORED
        return head.log_probs(hidden[mask], targets[mask])

    model.forward = forward


@torch.no_grad()
def _chances(model: Any, batches: Iterable[dict[str, Any]]) -> torch.Tensor | None:
    """What the model gives each word [words], on average over words of the answers of batches; None without any."""
    weight = model.get_output_embeddings().weight
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    total, told, was_training = torch.zeros(weight.shape[0]), 0, model.training
    model.eval()
    for batch in batches:
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        hidden = model.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        for rows in hidden[batch["labels"][:, 1:] != IGNORED][: _TOLD - told].split(32):  # of logits over all words
            logits = (rows.to(weight.dtype) @ weight.T).float()
            total += (torch.tanh(logits / cap) * cap if cap else logits).softmax(1).sum(0)
            told += len(rows)
        if told >= _TOLD:
            break
    model.train(was_training)
    return total / told if told else None
