"""Question answering over health records: the task, for training and for serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from extraction.contract import Contract
from extraction.evidence import LineIndex
from extraction.example import Branch, Context, Example
from extraction.record.record import Record
from extraction.schema import Schema
from finetune.config import SyntheticConfig
from finetune.task import DataRequest, Grade, Task
from recipes.ehr_qa.grade import grade, score
from recipes.ehr_qa.own import Own, judged, own_questions, shown_as
from recipes.ehr_qa.questions import ANSWER_SCHEMA, Question, Words, make_questions
from recipes.ehr_qa.records import PatientRecord, read_records
from recipes.ehr_qa.synthetic import synthesize

CONTRACT = Contract(
    instruction="Answer the question from the record. First name the lines that say so.",
    # The lines come first, then what they say: a yes or a letter is easier to write once that is found.
    record_schema={
        **ANSWER_SCHEMA,
        "properties": {
            "evidence": ANSWER_SCHEMA["properties"]["evidence"],
            "found": {"type": "string", "description": "what these lines say, before yes, no, or a letter"},
            "answer": ANSWER_SCHEMA["properties"]["answer"],
        },
    },
    roles={"evidence": "line", "found": "text", "answer": "text"},
    max_prompt_tokens=4608,
    max_answer_tokens=256,
)


def record_example(record: PatientRecord, branches: Sequence[Branch], contract: Contract) -> Example:
    """A record with questions on it; the answers can cite no line that it does not have."""
    lines = tuple(line.text for line in record.lines)
    schema = bounded(contract.record_schema, len(lines))
    asked = tuple(Branch(branch.parts, schema, branch.gold, branch.source) for branch in branches)
    return Example(Context(record.patient, (record.text,), LineIndex(lines)), asked)


def bounded(schema: Schema, lines: int) -> Schema:
    """The schema of an answer whose evidence are lines that a record of so many lines has."""
    evidence = {**schema["properties"]["evidence"], "items": {"type": "integer", "minimum": 1, "maximum": lines}}
    return {**schema, "properties": {**schema["properties"], "evidence": evidence}}


def branch_of(question: Question) -> Branch:
    """A question as it is trained: its gold answer, with what was found on the way to it."""
    found = {"found": question.found} if question.found else {}
    return Branch((question.question,), gold={**question.gold, **found}, source=question)


class HealthRecords(Task):
    """FHIR bundles; the questions on them and their answers are computed from their resources."""

    name = "ehr_qa"
    contract = CONTRACT

    def read(self, wanted: DataRequest) -> list[Example]:
        """The records of a folder with the questions of its file (`own.py`), else with made ones.

        Made ones are in held-out wordings where they are not for training.
        """
        examples = []
        budget = wanted.room.context()
        records = read_records(wanted.folder)
        own = own_questions(wanted.folder, records)
        for record in records:
            shown = record.fit(budget, wanted.room.tokens)
            words: Words = "train" if wanted.split == "train" else "held_out"
            if own is None:
                questions = make_questions(shown, wanted.questions, wanted.seed, words)
            else:
                questions = [shown_as(question, shown) for question in own[record.patient]]
            examples.append(record_example(shown, [branch_of(question) for question in questions], wanted.contract))
        return examples

    def groups(self, example: Example) -> Mapping[str, str]:
        """The patient, by whom a record is named."""
        return {"patient": example.context.name}

    def right(self, branch: Branch, record: Record) -> bool:
        """The answer as it is graded, whatever its evidence."""
        return record.data is not None and grade(branch.source, record.data.get("answer"))

    def grade(self, contract: Contract, examples: Sequence[Example], records: Sequence[Sequence[Record]]) -> Grade:
        """The mean of the categories' accuracies, then each, then how often evidence was cited and invented.

        Questions of a user's own are judged by what is told, by kind.
        """
        from recipes.ehr_qa.answer import Answer  # which needs this task

        questions = [branch.source for example in examples for branch in example.branches]
        replies = [record for own in records for record in own]
        if all(isinstance(one, Own) for one in questions):
            asked = zip(questions, replies, strict=True)
            return judged([(q, Answer.read(q.question, reply, q.shown, q.whole)) for q, reply in asked])
        result = score(
            questions,
            [record.data for record in replies],
            {example.context.name: example.context.parts[0].count("\n") + 1 for example in examples},  # type: ignore[union-attr]
        )
        return Grade(
            {
                "accuracy": result.mean,
                **{name: value for name, value in result.categories.items() if value is not None},
                "evidence_cited": result.evidence_cited or 0.0,
                "evidence_invented": result.evidence_invented,
            }
        )

    def synthesize(self, folder: Path, split: str, config: SyntheticConfig) -> None:
        """Invented patients."""
        synthesize(folder, split, config)


TASK = HealthRecords()
