"""From a run's folders to what is trained, and to how a model is judged."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.generate import LocalBackend
from extraction.generate.vision import Vision
from finetune.config import RunConfig
from finetune.dataset import Example, check_split, read_examples
from finetune.encode import encode
from finetune.evaluate import evaluate, extractor_for, headline
from finetune.questions import Context, Questions, ask, context_budget, encode_context, token_counter
from finetune.task import Task


@dataclass(frozen=True)
class Prepared:
    """What is trained and how it is judged.

    Attributes:
        encoded: training examples.
        judge: figures of a model in memory on held-out data; None on processes that do not judge.
        metric: the figure by which the best checkpoint is chosen.
    """

    encoded: list[dict[str, Any]]
    judge: Callable[[Any], dict[str, Any]] | None
    metric: str


def prepare(config: RunConfig, contract: Contract, task: Task, tokenizer: Any, vision: Vision | None) -> Prepared:
    """Read, check and encode the data of a run.

    Raises:
        AssayError: see `read_examples`, `encode` and the task's own.
    """
    if task.questions:
        return _contexts(config, contract, task.questions, tokenizer)
    examples = read_examples(config.data.train, contract)
    held_out = read_examples(config.data.validation, contract)
    check_split(examples, held_out)
    held_out = held_out[: config.evaluate.documents]

    def judge(model: Any) -> dict[str, Any]:
        extractor = extractor_for(model, tokenizer, contract, config.evaluate.rows)
        return headline(evaluate(extractor, held_out, task, label="reading held-out documents"), task)

    return Prepared(list(encode_all(examples, config, contract, tokenizer, vision)), judge, "micro_f1")


def encode_all(
    examples: Sequence[Example], config: RunConfig, contract: Contract, tokenizer: Any, vision: Vision | None = None
) -> Iterator[dict[str, Any]]:
    """Training examples of all documents; the length of windows is drawn anew for each document."""
    lengths = random.Random(config.train.seed)
    for example in examples:
        wanted = lengths.randint(*config.data.window_tokens) if config.data.window_tokens else None
        yield from encode(example, contract, tokenizer, config.data.max_length, wanted, vision)


def _contexts(config: RunConfig, contract: Contract, questions: Questions, tokenizer: Any) -> Prepared:
    budget, tokens = context_budget(contract, tokenizer), token_counter(tokenizer)

    def read(split: str) -> list[Context]:
        folder = getattr(config.data, split)
        return questions.read(folder, split, config.data.questions, config.train.seed, budget, tokens)

    train, held_out = read("train"), read("validation")
    texts = {context.text: context.name for context in train}
    for context in held_out:
        if context.text in texts:
            raise AssayError(
                f"{context.name} of the validation folder is also among the training contexts ({texts[context.text]}); "
                "take it out of one of them."
            )
    held_out = held_out[: config.evaluate.documents]

    def judge(model: Any) -> dict[str, Any]:
        return ask(LocalBackend(model, tokenizer, rows=config.evaluate.rows), held_out, contract, questions)

    encoded = [row for context in train for row in encode_context(context, contract, tokenizer, config.data.max_length)]
    return Prepared(encoded, judge, "accuracy")
