"""Examples to token ids and labels, and the order in which they are trained."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from extraction.contract import Contract, render_prompt
from extraction.errors import AssayError
from extraction.generate.vision import Vision, page_images
from finetune.batch import IGNORED, check_labels
from finetune.dataset import Example
from finetune.windows import parts


def encode(
    example: Example,
    contract: Contract,
    tokenizer: Any,
    max_length: int,
    window_tokens: int | None = None,
    vision: Vision | None = None,
) -> list[dict[str, Any]]:
    """Token ids of prompts and answers, with labels on the answer (and the token that ends it) only.

    The prompts are those that serving builds, several for a document longer than one; they end in a newline, so
    tokenising an answer apart from its prompt gives the same tokens as the model will write.

    Args:
        example: the document and its true record.
        contract: the task.
        tokenizer: the model's.
        max_length: most tokens of prompt and answer together.
        window_tokens: most tokens of a prompt, where less than the contract's.
        vision: the model's eyes, for a contract that shows pixels.

    Returns:
        For each prompt `input_ids` and `labels` of equal length; labels are -100 on the prompt, which holds the tokens
        of its images. With `vision` also `images`, the pages they are made of.

    Raises:
        AssayError: a prompt with its answer is longer than `max_length` tokens, or has nothing to learn from.
    """
    most = min(window_tokens or contract.max_prompt_tokens, contract.max_prompt_tokens)

    def prompt_of(texts: Sequence[str], pages: Sequence[int] = ()) -> list[int]:
        images = page_images(example.document, pages, contract)
        shown = [vision.text(image) for image in images] if vision else []
        return render_prompt(tokenizer, contract.messages(texts, len(images)), shown)

    encoded = []
    for window, record in parts(example, contract, lambda *shown: len(prompt_of(*shown)) <= most):
        prompt = prompt_of(window.texts, window.pages)
        answer = tokenizer.encode(contract.target.encode(record), add_special_tokens=False)
        answer.append(tokenizer.convert_tokens_to_ids("<end_of_turn>"))
        if len(prompt) + len(answer) > max_length:
            raise AssayError(
                f"{example.name} takes {len(prompt) + len(answer)} tokens ({len(prompt)} of them the page"
                f"{f', {prompt.count(vision.soft)} of these its images' if vision else ''}), more than "
                f"data.max_length={max_length}; raise it, or lower contract.max_prompt_tokens so that it is read in "
                "windows."
            )
        made: dict[str, Any] = {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}
        check_labels(example.name, made, vision.marks if vision else ())
        if vision:
            made["images"] = page_images(example.document, window.pages, contract)
        encoded.append(made)
    return encoded


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


def whole_batches(order: Sequence[int], batch: int) -> list[int]:
    """The order with its last batch filled from the beginning.

    So every process has its share of every batch, and what a step trains does not depend on the number of processes:
    accelerate would fill the last batch only where there are several.
    """
    return [*order, *itertools.islice(itertools.cycle(order), -len(order) % batch)]
