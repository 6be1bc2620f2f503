"""Several questions on one context: read once, trained as branches, judged by the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extraction.contract import Contract, render_prompt
from extraction.errors import AssayError
from extraction.generate.backend import Backend, Request
from extraction.generate.masks import CONTEXT
from extraction.generate.shared import common_length
from finetune.batch import IGNORED, check_labels


@dataclass(frozen=True)
class Asked:
    """A question and its true answer.

    Attributes:
        text: the question as it is shown.
        answer: what the contract's schema describes.
        source: what the task's `judge` compares with.
    """

    text: str
    answer: dict[str, Any]
    source: Any = None


@dataclass(frozen=True)
class Context:
    """A text and what is asked of it.

    Attributes:
        name: for messages.
        text: as it is shown.
        asked: the questions.
    """

    name: str
    text: str
    asked: Sequence[Asked]


@dataclass(frozen=True)
class Questions:
    """How a task that asks questions reads its data and judges answers.

    Attributes:
        read: `(folder, split, count, seed, budget, tokens)` gives the folder's contexts with at most `count` questions
            each, split being `train` or `validation`; a context has at most `budget` tokens as `tokens(text)` counts
            them. Raises AssayError.
        judge: `(contexts, replies)`, the texts that were written, context by context; gives figures between 0 and 1,
            the one by which checkpoints are chosen first.
    """

    read: Callable[[Path, str, int, int, int, Callable[[str], int]], list[Context]]
    judge: Callable[[Sequence[Context], Sequence[Sequence[str]]], dict[str, float]]


QUESTION_TOKENS = 256
"""Room that is kept in a prompt for a question."""


def context_budget(contract: Contract, tokenizer: Any) -> int:
    """The most tokens of a context."""
    return contract.max_prompt_tokens - len(render_prompt(tokenizer, contract.messages([""]))) - QUESTION_TOKENS


def token_counter(tokenizer: Any) -> Callable[[str], int]:
    """Counts the tokens of a text."""
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def requests_for(context: str, questions: Sequence[str], contract: Contract) -> list[Request]:
    """A request for each question on one context; a backend reads what they share once."""
    return [
        Request(contract.messages([context, question]), contract.record_schema, max_tokens=contract.max_answer_tokens)
        for question in questions
    ]


def ask(backend: Backend, contexts: Sequence[Context], contract: Contract, questions: Questions) -> dict[str, float]:
    """Ask a model all questions, with a progress bar, and judge what it replies."""
    from tqdm import tqdm

    replies = []
    for context in tqdm(contexts, desc="asking of held-out contexts", unit="context", leave=False):
        requests = requests_for(context.text, [asked.text for asked in context.asked], contract)
        replies.append([generation.text for generation in backend.generate(requests)])
    return questions.judge(contexts, replies)


def judged(model: str, data: Path, questions: Questions, contract: Contract, count: int = 50) -> dict[str, float]:
    """A model's figures on held-out questions about a folder's contexts, at most `count` about each.

    Args:
        model: an adapter's or a merged model's folder, or any model, which is then asked under `contract`.
        data: the folder.
        questions: how it is read and judged.
        contract: of a model that has none of its own.
    """
    from extraction.api import backend_for
    from extraction.contract import FILE
    from extraction.generate.models import shipped

    folder = Path(shipped(model))
    contract = Contract.load(folder) if (folder / FILE).exists() else contract
    backend = backend_for(model)
    budget, tokens = context_budget(contract, backend.tokenizer), token_counter(backend.tokenizer)
    return ask(backend, questions.read(data, "validation", count, 0, budget, tokens), contract, questions)


def encode_context(context: Context, contract: Contract, tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    """Training examples of a context: its tokens once, then its questions and answers as branches.

    Args:
        context: what is trained.
        contract: the task.
        tokenizer: the model's.
        max_length: most tokens of an example; questions that do not fit begin another one.

    Returns:
        See `share`.

    Raises:
        AssayError: the context with one of its questions is longer than `max_length`.
    """
    rows: list[list[dict[str, Any]]] = [[]]
    length = 0
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    for asked in context.asked:
        prompt = render_prompt(tokenizer, contract.messages([context.text, asked.text]))
        answer = [*tokenizer.encode(contract.target.encode(asked.answer), add_special_tokens=False), end]
        one = {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}
        check_labels(context.name, one, ())
        if len(one["input_ids"]) > max_length:
            raise AssayError(
                f"{context.name} takes {len(one['input_ids'])} tokens with one of its questions, more than "
                f"data.max_length={max_length}; raise it, or lower contract.max_prompt_tokens."
            )
        own = len(prompt) + len(answer) - (common_length([rows[-1][0]["input_ids"], prompt]) if rows[-1] else 0)
        if rows[-1] and length + own > max_length:
            rows.append([])
            length, own = 0, len(prompt) + len(answer)
        rows[-1].append(one)
        length += own
    return [share(row) for row in rows if row]


def share(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One example in the place of several that begin alike: what they share once, the rest of each as a branch.

    Under the masks of its collator it has the loss and the gradients that the examples have together.

    Args:
        examples: `input_ids` and `labels`; nothing that they share is trained.

    Returns:
        `input_ids`, `labels` and `branches` (the branch of each token) of equal length.
    """
    prompts = [example["input_ids"][: _trained_from(example)] for example in examples]
    shared = common_length(prompts)
    made: dict[str, list[int]] = {
        "input_ids": list(prompts[0][:shared]),
        "labels": [IGNORED] * shared,
        "branches": [CONTEXT] * shared,
    }
    for number, example in enumerate(examples, 1):
        made["input_ids"] += example["input_ids"][shared:]
        made["labels"] += example["labels"][shared:]
        made["branches"] += [number] * (len(example["input_ids"]) - shared)
    return made


def _trained_from(example: dict[str, Any]) -> int:
    return next(place for place, label in enumerate(example["labels"]) if label != IGNORED)
