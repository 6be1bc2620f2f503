"""Read held-out documents with a model and score what it read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.generate import LocalBackend
from extraction.score import Pair, Score, score
from finetune.dataset import Example
from finetune.task import Task


def evaluate(extractor: Extractor, examples: Sequence[Example], task: Task, label: str = "") -> Score:
    """The score of `extractor` on examples, over the task's fields; `.on(task.core)` gives the headline figure.

    Args:
        extractor: model and contract.
        examples: documents with truth.
        task: says which fields count.
        label: shown beside a progress bar on standard error; no bar when empty.
    """
    from tqdm import tqdm

    with tqdm(total=len(examples), desc=label, disable=not label, unit="document", leave=False) as bar:
        records = extractor.read([example.document for example in examples], lambda *_: bar.update() and None)
    pairs = [
        Pair(None, gold.record, gold.name).predicted(record.to_dict())
        for record, gold in zip(records, examples, strict=True)
    ]
    return score(pairs, fields=task.fields, roles=task.roles)


def headline(result: Score, task: Task) -> dict[str, Any]:
    """The figures a run is judged by: F1 over the core fields, then over all scored ones."""
    core = result.on(task.core) if task.core else result
    return {
        "micro_f1": core.micro_f1,
        "macro_f1": core.macro_f1,
        "micro_f1_all_fields": result.micro_f1,
        "wrong_values": core.wrong_values,
        "rows_predicted": result.rows_predicted,
        "rows_gold": result.rows_gold,
    }


def extractor_for(model: Any, tokenizer: Any, contract: Contract, rows: int) -> Extractor:
    """An extractor around a model that is in memory already."""
    return Extractor(LocalBackend(model, tokenizer, rows=rows), contract)
