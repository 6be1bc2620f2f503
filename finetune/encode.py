"""Examples to token ids and labels, and the order in which they are trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from extraction.contract import Contract, render_prompt
from extraction.document import page_text
from extraction.errors import AssayError
from finetune.dataset import Example

IGNORED = -100


def encode(example: Example, contract: Contract, tokenizer: Any, max_length: int) -> dict[str, Any]:
    """Token ids of prompt and answer, with labels on the answer (and the token that ends it) only.

    The prompt is the one that serving builds; it ends in a newline, so tokenising the answer apart from it gives
    the same tokens as the model will write.

    Returns:
        `input_ids` and `labels` of equal length; labels are -100 on the prompt.

    Raises:
        AssayError: the example is longer than `max_length` tokens.
    """
    pages = [page_text(page) for page in example.document.pages]
    prompt = render_prompt(tokenizer, contract.messages(pages))
    answer = tokenizer.encode(contract.target.encode(example.record), add_special_tokens=False)
    answer.append(tokenizer.convert_tokens_to_ids("<end_of_turn>"))
    if len(prompt) + len(answer) > max_length:
        raise AssayError(
            f"{example.name} takes {len(prompt) + len(answer)} tokens ({len(prompt)} of them the page), more than "
            f"data.max_length={max_length}; raise it or take the document out."
        )
    return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}


def training_order(lengths: Sequence[int], epochs: int, batch: int, seed: int) -> list[int]:
    """Indices of examples in the order of training, for all epochs at once.

    Every epoch is a shuffle of its own in which examples of similar length share a batch (little padding). The
    order is fixed before training, so a resumed run sees what an undisturbed one would have seen.
    """
    order: list[int] = []
    for epoch in range(epochs):
        rng = random.Random(f"{seed}-{epoch}")
        indices = list(range(len(lengths)))
        rng.shuffle(indices)
        batches: list[list[int]] = []
        for start in range(0, len(indices), 16 * batch):
            group = sorted(indices[start : start + 16 * batch], key=lambda i: lengths[i])
            batches += [group[i : i + batch] for i in range(0, len(group), batch)]
        # A short batch in the middle would shift all that follow it.
        short = [b for b in batches if len(b) < batch]
        whole = [b for b in batches if len(b) == batch]
        rng.shuffle(whole)
        order += [index for b in whole + short for index in b]
    return order
