"""Task: what a recipe provides, and how it is found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from extraction.contract import Contract
from extraction.errors import AssayError
from finetune.config import ContractConfig, SyntheticConfig
from finetune.questions import Questions


@dataclass(frozen=True)
class Task:
    """What a recipe provides.

    Attributes:
        name: the recipe's name.
        contract: instruction, schema and form of answer.
        fields: the fields of a row that count in the score; None: all.
        roles: what the fields of a row are for, by their names (`extraction.score`).
        core: the fields of the headline score, by which the best checkpoint is chosen.
        synthesize: makes a folder of documents with records, whole or not at all: `(folder, split, config)`; None where
            there is no generator.
        questions: for a task whose data are contexts with questions instead of documents with records.
    """

    name: str
    contract: Contract
    fields: Sequence[str] | None = None
    core: Sequence[str] | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    synthesize: Callable[[Path, str, SyntheticConfig], None] | None = None
    questions: Questions | None = None


def load_task(recipe: str) -> Task:
    """The task of a recipe by name (`lab_report`) or module (`my_package.my_task`).

    Raises:
        AssayError: there is none.
    """
    for module in (f"recipes.{recipe}.task", recipe, f"{recipe}.task"):
        try:
            task = getattr(import_module(module), "TASK", None)
        except ModuleNotFoundError as error:
            if error.name and module.startswith(error.name):
                continue
            raise
        if isinstance(task, Task):
            return task
    raise AssayError(f"There is no recipe {recipe}: name a folder of `recipes`, or a module that defines TASK.")


def contract_of(task: Task, changes: ContractConfig) -> Contract:
    """The task's contract with a configuration's changes."""
    from extraction.schema import load_schema

    values = changes.model_dump(exclude_none=True, exclude={"record_schema"})
    if changes.record_schema:
        values["record_schema"] = load_schema(changes.record_schema)
        if "carry" not in values:
            values["carry"] = ()
    contract = Contract.model_validate({**task.contract.model_dump(), **values})
    _ = contract.target  # a style that does not fit the schema is an error now, not after loading a model
    return contract
