"""Question answering over health records: the task, for training and for serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from extraction.contract import Contract
from finetune.questions import Asked, Context, Questions
from finetune.task import Task
from recipes.ehr_qa.grade import score
from recipes.ehr_qa.questions import ANSWER_SCHEMA, Question, make_questions
from recipes.ehr_qa.records import read_records
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
    max_prompt_tokens=4608,
    max_answer_tokens=256,
)


def read(folder: Path, split: str, count: int, seed: int, budget: int, tokens: Callable[[str], int]) -> list[Context]:
    """The records of a folder with questions on them, in held-out wordings where they are not for training."""
    contexts = []
    for record in read_records(folder):
        shown = record.fit(budget, tokens)
        questions = make_questions(shown, count, seed, "train" if split == "train" else "held_out")
        contexts.append(Context(record.patient, shown.text, [asked_of(question) for question in questions]))
    return contexts


def asked_of(question: Question) -> Asked:
    """A question as it is trained: its gold answer, with what was found on the way to it."""
    found = {"found": question.found} if question.found else {}
    return Asked(question.question, {**question.gold, **found}, question)


def judge(contexts: Sequence[Context], replies: Sequence[Sequence[str]]) -> dict[str, float]:
    """The mean of the categories' accuracies, then each, then how often evidence was cited and invented."""
    result = score(
        [asked.source for context in contexts for asked in context.asked],
        [reply for of_context in replies for reply in of_context],
        {context.asked[0].source.patient: context.text.count("\n") + 1 for context in contexts if context.asked},
    )
    return {
        "accuracy": result.mean,
        **{name: value for name, value in result.categories.items() if value is not None},
        "evidence_cited": result.evidence_cited or 0.0,
        "evidence_invented": result.evidence_invented,
    }


TASK = Task(name="ehr_qa", contract=CONTRACT, questions=Questions(read, judge), synthesize=synthesize)
