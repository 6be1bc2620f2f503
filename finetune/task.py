"""Task: what a recipe provides, how it is found by name, and how a model is judged by it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import yaml

from extraction.contract import Contract
from extraction.errors import AssayError, reason
from extraction.example import Branch, Example
from extraction.generate.hub import FACTS, shipped
from extraction.plugins import import_source, installed, line_of, load
from extraction.record.record import Record
from extraction.room import Room
from extraction.schema import check_schema, closed, pointer
from extraction.validation import Validator, validator
from finetune.config import ContractConfig, RunConfig, SyntheticConfig
from finetune.data import read_documents
from finetune.groups import named_groups

if TYPE_CHECKING:
    from extraction.api import Extractor
    from extraction.score import Score
    from finetune.answers import Kept


@dataclass(frozen=True)
class DataRequest:
    """What a task is asked to read.

    Attributes:
        split: `train`, `validation` for what a run is judged by, or `test` for what a finished model is; only data
            sets that hold several in one folder tell the last two apart.
        contract: the task's, with a run's changes.
        room: how many tokens a context may have, for tasks that bring a source to a length.
        questions: at most so many branches a context, for tasks that make them.
        seed: of what is drawn.
        made: whether the task made the folder itself, so that its pages' text says what they show.
        noted: takes what is wrong with single documents, so that the others are read; None where that stops all.
    """

    folder: Path
    split: str
    contract: Contract
    room: Room
    questions: int = 50
    seed: int = 0
    made: bool = False
    noted: list[str] | None = None

    @classmethod
    def of_run(cls, config: RunConfig, split: Literal["train", "validation"], contract: Contract, room: Room) -> Self:
        """What a run asks for."""
        data = config.data
        folder, made = getattr(data, split), split in data.synthetic
        return cls(folder, split, contract, room, data.questions, config.train.seed, made)


@dataclass(frozen=True)
class Grade:
    """How well a model did: figures between 0 and 1 or counts, and what they are taken from, if a task tells it.

    Attributes:
        score: of documents.
        answers: of questions, each with its `kind` and `state` (`answers.STATES`) and whatever a person should see.
        meaning: what figures are, in a few words, where their names do not tell.
    """

    figures: Mapping[str, float]
    score: Score | None = None
    answers: Sequence[Mapping[str, Any]] = ()
    meaning: Mapping[str, str] = field(default_factory=dict)


class Task:
    """A task, both trained and evaluated; a recipe derives its own and names the object TASK.

    Attributes:
        contract: instruction, schema and form of answer.
        metric: the figure by which checkpoints are chosen.
        unit: what an example is, in the plural.
        reward_weights: what an answer is worth in reinforcement, by the names of `rewards`.
        published: figures of others on the same data, by what they are of.
    """

    name: ClassVar[str]
    contract: ClassVar[Contract]
    metric: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "contexts"
    reward_weights: ClassVar[Mapping[str, float]] = {"metric": 1.0}
    published: ClassVar[Mapping[str, float]] = {}

    def read(self, wanted: DataRequest) -> list[Example]:
        """The examples of a folder in the task's own format, with gold answers.

        Raises:
            AssayError: the data are not there, or are not what they should be.
        """
        raise NotImplementedError

    def groups(self, example: Example) -> Mapping[str, str]:
        """Whose an example is, by what tells it (`patient`, `vendor`); by the fields of its answers here."""
        return named_groups([branch.gold for branch in example.branches])

    def right(self, branch: Branch, record: Record) -> bool:
        """Whether an answer is right: the gold one, value for value, unless a task knows better."""
        return bool(record.data == branch.gold)

    def grade(self, contract: Contract, examples: Sequence[Example], records: Sequence[Sequence[Record]]) -> Grade:
        """The figures of a model's records, one a branch: the share of answers that are right."""
        pairs = zip(examples, records, strict=True)
        right = [self.right(b, r) for e, own in pairs for b, r in zip(e.branches, own, strict=True)]
        if not right:
            raise AssayError("There is no question to grade.")
        return Grade({"accuracy": sum(right) / len(right), "questions": len(right)})

    def rewards(self, contract: Contract, example: Example, record: Record) -> dict[str, float]:
        """What the answer to an example's one branch is worth: the task's metric on it, and whether it is whole."""
        figures = self.grade(contract, [example], [[record]]).figures
        return {"metric": float(figures[self.metric]), "valid": whole(record)}

    def synthesize(self, folder: Path, split: str, config: SyntheticConfig) -> None:
        """Make a folder of data, whole or not at all, for tasks that have a generator."""
        raise AssayError(f"The recipe {self.name} has no generator; put the data into {folder}.")


class DocumentTask(Task):
    """Documents to records: read from folders of documents with JSON beside them, scored cell by cell.

    Attributes:
        fields: what the task's label files may say; what of it a contract does not ask for is left out.
    """

    metric = "micro_f1"
    unit = "documents"
    reward_weights: ClassVar[Mapping[str, float]] = {
        "metric": 1.0, "valid": 0.2, "evidence": 0.2, "wrong": -0.5, "set_aside": -0.2,
    }  # fmt: skip
    fields: ClassVar[Collection[str]] = ()

    def read(self, wanted: DataRequest) -> list[Example]:
        """Every document of a folder with its record."""
        return read_documents(wanted.folder, wanted.contract, self.fields, wanted.made, wanted.noted)

    def grade(self, contract: Contract, examples: Sequence[Example], records: Sequence[Sequence[Record]]) -> Grade:
        """F1 over all labelled fields, of the head and of rows alike, or those that the contract scores.

        A task with checks of its own knows the fields that a row is worth nothing without: its headline is theirs.
        """
        from extraction.score import Pair, score

        pairs = [
            Pair(None, example.branches[0].gold, example.context.name).predicted(own[0].to_dict())
            for example, own in zip(examples, records, strict=True)
        ]
        result = score(pairs, contract=contract)
        core = result.core if contract.checks else result
        counted = ", ".join(contract.scored) or "all labelled fields"
        figures: dict[str, float] = {"micro_f1": core.micro_f1, "macro_f1": core.macro_f1}
        headline = counted if core is result else ", ".join(result.core_fields)
        meaning = {
            "micro_f1": f"F1 over the values of {headline}, of all documents together",
            "macro_f1": "the mean of the documents' own F1",
        }
        if core is not result:
            figures["micro_f1_all_fields"] = result.micro_f1
            meaning["micro_f1_all_fields"] = f"F1 over the values of {counted}"
        figures |= {
            "wrong_values": core.wrong_values,
            "rows_predicted": result.rows_predicted,
            "rows_gold": result.rows_gold,
        }
        return Grade(figures, result, meaning=meaning)

    def rewards(self, contract: Contract, example: Example, record: Record) -> dict[str, float]:
        """F1 of the fields that count, whether the answer is whole, and the shares of values that stand on the page, of
        those that are wrong, and of what was read that was set aside."""
        from extraction.score import Counts, Pair, score

        try:
            pair = Pair(None, example.branches[0].gold, example.context.name).predicted(record.to_dict())
            counts = score([pair], contract=contract).core.counts
        except AssayError:  # neither the page nor the record has a value that counts
            counts = Counts()
        values, aside = len(record.fields), len(record.set_aside)
        found = sum(field.evidence is not None for field in record.fields.values())
        return {
            "metric": counts.f1,
            "valid": whole(record),
            "evidence": found / values if values else 1.0,
            "wrong": counts.fp / max(1, counts.tp + counts.fp),
            "set_aside": aside / max(1, aside + values),
        }


def whole(record: Record) -> float:
    """1 where an answer was written to its end and follows its schema, else 0."""
    faults = {issue.code for issue in record.issues}
    return float(record.data is not None and faults.isdisjoint(("cut", "invalid", "empty")))


def rewarded(task: Task, contract: Contract, example: Example, record: Record) -> dict[str, float]:
    """What a task says that an answer is worth, by name.

    Raises:
        AssayError: the task's own, or an error in its code (file and line are named).
    """
    try:
        return {name: float(value) for name, value in task.rewards(contract, example, record).items()}
    except AssayError:
        raise
    except Exception as error:
        raise _own_error(task, "reward an answer", error) from error


def evaluate(
    extractor: Extractor, task: Task, examples: Sequence[Example], label: str = "", kept: Kept | None = None
) -> Grade:
    """Let a model answer examples, and judge its records.

    Args:
        label: shown beside a progress bar on standard error; no bar when empty.
        kept: where records are kept as they come; what it has already is not asked again.
    """
    from tqdm import tqdm

    found = {id(example): own for example in examples if kept and (own := kept.records(example))}
    asked = [example for example in examples if id(example) not in found]
    silent = None if label else True
    with tqdm(total=len(examples), initial=len(found), desc=label, disable=silent, unit="example", leave=False) as bar:
        for done in extractor.answers(asked):
            if done:
                if kept:
                    kept.add(*done)
                found[id(done[0])] = done[1]
                bar.update()
    return graded(task, extractor.contract, examples, [found[id(example)] for example in examples])


def graded(task: Task, contract: Contract, examples: Sequence[Example], records: Sequence[Sequence[Record]]) -> Grade:
    """The grade that a task gives records.

    Raises:
        AssayError: the task's own, or an error in its code (file and line are named), or no Grade.
    """
    try:
        grade = task.grade(contract, examples, records)
    except AssayError:
        raise
    except Exception as error:
        raise _own_error(task, "grade the answers", error) from error
    if not isinstance(grade, Grade):
        raise AssayError(f"The recipe {task.name} grades with a {type(grade).__name__}; let `grade` return a Grade.")
    return grade


def check_grading(task: Task, contract: Contract, examples: Sequence[Example]) -> None:
    """Let a task grade the true answers, so that a fault in its grader is found before training and not after.

    Raises:
        AssayError: it cannot, there is nothing to grade, or the figure that chooses checkpoints is not among them.
    """
    truth = [[Record(e.context.name, "ok", branch.gold) for branch in e.branches] for e in examples]
    figures = graded(task, contract, examples, truth).figures
    if task.metric not in figures:
        raise AssayError(
            f"The recipe {task.name} chooses checkpoints by `{task.metric}`, which its grades do not have; they have "
            f"{', '.join(figures) or 'nothing'}."
        )


def read_examples(task: Task, wanted: DataRequest) -> list[Example]:
    """What a task reads from a folder; contexts of which nothing is asked are left out.

    Raises:
        AssayError: the task's own, an error in its code (file and line are named), there is no example, or an answer
            does not fit its schema.
    """
    examples = open_examples(task, wanted)
    for _, fault in gold_faults(examples, wanted.contract):
        raise fault
    return examples


def open_examples(task: Task, wanted: DataRequest) -> list[Example]:
    """As `read_examples`, whatever the answers are."""
    try:
        examples = [example for example in task.read(wanted) if example.branches]
    except AssayError:
        raise
    except Exception as error:
        raise _own_error(task, f"read {wanted.folder}", error) from error
    if not examples:
        raise AssayError(
            f"The recipe {task.name} found no example in {wanted.folder}; see that this is the folder of its data."
        )
    return examples


def gold_faults(examples: Sequence[Example], contract: Contract) -> Iterator[tuple[Example, AssayError]]:
    """The examples with a true answer that is none by its schema, and what is wrong."""
    for example in examples:
        for branch in example.branches:
            if branch.gold is None and branch.source is not None:
                continue  # its source alone is what it is judged by
            try:
                _check_gold(example.context.name, branch, contract)
            except AssayError as error:
                yield example, error


def _check_gold(name: str, branch: Branch, contract: Contract) -> None:
    """Raise AssayError where a true answer is none by its schema: what is taught could never be given."""
    if not isinstance(branch.schema, dict | None):
        raise AssayError(
            f"A branch on {name} has {type(branch.schema).__name__} as its schema; give a JSON Schema (dict)."
        )
    schema = json.dumps(branch.schema or contract.record_schema, sort_keys=True)
    misfit = next(_validator(schema).iter_errors(branch.gold), None)
    if misfit:
        at = pointer(misfit.absolute_path) or "/"
        raise AssayError(f"An answer on {name} does not fit the schema at {at}: {misfit.message[:200]}")


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    """What a true answer must pass: what a schema does not name is in none.

    Raises:
        AssayError: it is no schema of an object.
    """
    loaded = json.loads(schema)
    check_schema(loaded)
    return validator(closed(loaded))


def _own_error(task: Task, what: str, error: Exception) -> AssayError:
    """What went wrong in a task's own code, with its file and line."""
    at = line_of(error, inspect.getfile(type(task)))
    return AssayError(f"The recipe {task.name} cannot {what} ({at}): {type(error).__name__}: {reason(error)}")


def load_task(recipe: str) -> Task:
    """The task of a recipe by name (of an installed package or of Assay) or module (`my_package.my_task`).

    Raises:
        AssayError: there is none, or it is not whole.
    """
    module = import_source(recipe)
    if not hasattr(module, "TASK") and recipe not in (names := installed("assay.tasks", "task")):
        if module is not None:
            raise AssayError(f"The module {recipe} ({module.__file__}) has no TASK; define it there.")
        raise AssayError(
            f"No recipe and no module has the name {recipe}; known recipes are "
            f"{', '.join(sorted({*names, *installed('assay.runs', 'run')}))}. Install the package "
            "that brings it, or say where your module lies (PYTHONPATH=. before the command, for this folder)."
        )
    task = getattr(module, "TASK", None) or load("assay.tasks", recipe, "task", "TASK")
    if not isinstance(task, Task):
        raise AssayError(
            f"There is no recipe {recipe}: its TASK is {task!r}, and must be an object of a class of Task."
        )
    for name, kind in (("name", str), ("contract", Contract)):
        if not isinstance(getattr(task, name, None), kind):
            raise AssayError(f"The TASK of {recipe} has no {name}; give its class a `{name}` (a {kind.__name__}).")
    return task


def recipe_of(model: str) -> str:
    """The recipe that an adapter or merged model was made by.

    Raises:
        AssayError: nothing beside the model says it.
    """
    folder = Path(shipped(model))
    for file, read in ((folder / FACTS, json.loads), (folder.parent / "config.yaml", yaml.safe_load)):
        if not file.exists():
            continue
        try:
            recipe = read(file.read_text(encoding="utf-8")).get("recipe")
        except (ValueError, AttributeError, yaml.YAMLError) as error:
            raise AssayError(f"{file} cannot be read ({error}); copy the model's folder again.") from None
        if recipe:
            return str(recipe)
    if folder.is_dir() and not any((folder / name).exists() for name in ("config.json", "adapter_config.json")):
        raise AssayError(f"{model} holds no model and no finished run; name the folder of one, or its adapter's.")
    if not folder.exists() and (model.startswith((".", "/", "~")) or "/" in model):
        raise AssayError(
            f"There is no folder {model}; name a model's, an adapter's or a run's, or say --recipe for a hub id."
        )
    raise AssayError(f"Nothing beside {model} says by which recipe it was made; name it with --recipe.")


def contract_of(task: Task, changes: ContractConfig) -> Contract:
    """The task's contract with a configuration's changes."""
    from extraction.schema import load_schema

    contract = task.contract
    values = changes.model_dump(exclude_none=True, exclude={"record_schema"})
    if changes.record_schema:
        if not changes.record_schema.exists():
            raise AssayError(
                f"contract.record_schema: there is no file {changes.record_schema}, neither from the folder "
                f"{Path.cwd()} nor beside the YAML; start in the folder that its paths are written from, or give the "
                "whole path."
            )
        contract = contract.with_schema(load_schema(changes.record_schema))
    contract = Contract.model_validate({**contract.model_dump(), **values})
    # A style that does not fit the schema, or checks that nothing has, are errors now, not after loading a model.
    _ = contract.target, contract.rules
    return contract
