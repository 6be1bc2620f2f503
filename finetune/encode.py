"""Examples to rows of token ids and labels, and the order in which they are trained."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example, Part
from extraction.families import Family, Prompt
from extraction.generate.masks import CONTEXT
from extraction.generate.shared import shared_length
from extraction.reading import in_windows
from finetune.batch import IGNORED, check_labels
from finetune.config import DataConfig
from finetune.data import divide


def encode_all(
    examples: Iterable[Example], contract: Contract, family: Family, settings: DataConfig, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of all examples; where windows are wanted, their length is drawn anew for each document."""
    lengths = random.Random(seed)
    for example in examples:
        most = contract.max_prompt_tokens
        if settings.window_tokens:
            most = min(most, lengths.randint(*settings.window_tokens))
        for part in divide(example, contract, fits(contract, family, most)):
            yield from encode(part, contract, family, settings.max_length)


def fits(contract: Contract, family: Family, most: int) -> Callable[[Sequence[Part]], bool]:
    """Whether parts make a prompt of at most so many tokens."""
    return lambda parts: family.count(contract.messages(parts)) <= most


def encode(example: Example, contract: Contract, family: Family, max_length: int) -> list[dict[str, Any]]:
    """Rows of an example: its context's tokens once, then its branches, with labels on the answers only.

    The prompts are those that serving builds; they end in a newline, so tokenising an answer apart from its prompt
    gives the same tokens as the model will write. An answer's label ends with the token that ends a turn.

    Args:
        max_length: most tokens of a row; branches that do not fit begin another one.

    Returns:
        For each row `input_ids` and `labels` of equal length; labels are -100 on what is not trained. With several
        branches also `branches`, the branch of each token (0 is the context), and with images `images`, the parts they
        are made of, those of the context first.

    Raises:
        AssayError: a context with one of its branches is longer than `max_length`, or there is nothing to learn from.
    """
    rows: list[list[tuple[Prompt, list[int]]]] = [[]]
    length = 0
    for branch in example.branches:
        prompt = family.render(contract.messages(example.context.parts, branch.parts))
        target = contract.target_for(branch.schema)
        answer = [*family.encode(target.encode(branch.gold)), family.end]
        check_labels(example.context.name, answer[:-1], family.marks)
        _check_length(example.context.name, prompt, answer, family, max_length)
        if len(answer) > contract.max_answer_tokens and not in_windows(example):  # a document's answer may go on
            raise AssayError(
                f"An answer on {example.context.name} takes {len(answer)} tokens, more than "
                f"contract.max_answer_tokens={contract.max_answer_tokens}; raise it."
            )
        own = len(prompt.ids) + len(answer)
        shared = shared_length([rows[-1][0][0], prompt]) if rows[-1] else 0
        if rows[-1] and length + own - shared > max_length:
            rows.append([])
            length, shared = 0, 0
        rows[-1].append((prompt, answer))
        length += own - shared
    return [share(row) for row in rows if row]


def _check_length(name: str, prompt: Prompt, answer: Sequence[int], family: Family, max_length: int) -> None:
    length = len(prompt.ids) + len(answer)
    if length > max_length:
        pictures = f", {prompt.ids.count(family.soft)} of these its images'" if prompt.images and family.soft else ""
        raise AssayError(
            f"{name} takes {length} tokens with an answer ({len(prompt.ids)} of them the prompt{pictures}), more than "
            f"data.max_length={max_length}; raise it, or lower contract.max_prompt_tokens to show less at once."
        )


def share(examples: Sequence[tuple[Prompt, Sequence[int]]]) -> dict[str, Any]:
    """One row in the place of several prompts with their answers: what the prompts share once, the rest as branches.

    Under the masks of its collator it has the loss and the gradients that they have together as rows of their own.

    Returns:
        As `encode`; a single example has no `branches`.
    """
    prompts = [prompt for prompt, _ in examples]
    alone = len(examples) == 1
    shared = len(prompts[0].ids) if alone else shared_length(prompts)
    made: dict[str, Any] = {"input_ids": list(prompts[0].ids[:shared]), "labels": [IGNORED] * shared}
    branches = [CONTEXT] * shared
    for number, (prompt, answer) in enumerate(examples, 1):
        rest = prompt.ids[shared:]
        made["input_ids"] += [*rest, *answer]
        made["labels"] += [IGNORED] * len(rest) + list(answer)
        branches += [number] * (len(rest) + len(answer))
    if not alone:
        made["branches"] = branches
    common = sum(place.stop <= shared for place in prompts[0].places)
    images = [*prompts[0].images[:common], *(image for prompt in prompts for image in prompt.images[common:])]
    if images:
        made["images"] = images
    return made


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
