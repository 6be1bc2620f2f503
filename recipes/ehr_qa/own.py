"""Questions of a user's own with their answers, `questions.jsonl` beside the bundles, to judge a model by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from extraction.values.dates import moment
from extraction.values.numbers import readings
from recipes.ehr_qa.bundle import OWN, FhirError
from recipes.ehr_qa.questions import Question
from recipes.ehr_qa.records import PatientRecord


def own_questions(folder: Path, records: Sequence[PatientRecord]) -> dict[str, list[Question]] | None:
    """The questions on each patient, in the order of the file; None where there is no file.

    A line is `{"patient": ..., "question": ..., "answer": ..., "evidence": [...]}`: the answer as the record prints it
    (a text, a list, yes or no, null where the record does not say), the evidence the numbers of the lines of the whole
    record (`python -m recipes.ehr_qa.show`), if they are known. With one patient the name may be left out.

    Raises:
        FhirError: a line is not of this form, or of no patient that is there.
    """
    path = folder / OWN
    if not path.is_file():
        return None
    known = {record.patient: record for record in records}
    found: dict[str, list[Question]] = {patient: [] for patient in known}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            patient = row.get("patient", next(iter(known)) if len(known) == 1 else None)
            question = _question(row, known[patient])
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise FhirError(
                f'{path.name}, line {number} is no question ({type(error).__name__}: {error}); give {{"patient": ..., '
                '"question": ..., "answer": ..., "evidence": [...]} with a patient of the folder.'
            ) from None
        found[patient].append(question)
    return found


def shown_as(question: Question, shown: PatientRecord) -> Question:
    """The question with its lines' numbers in what is shown of the record."""
    numbers = shown.numbers
    lines = tuple(sorted(numbers[one] for one in question.resources if one in numbers))
    return replace(question, evidence=lines)


def _question(row: Mapping[str, Any], record: PatientRecord) -> Question:
    answer = row["answer"]
    if isinstance(answer, bool):
        answer = "yes" if answer else "no"
    answer = tuple(map(str, answer)) if isinstance(answer, list) else None if answer is None else str(answer)
    resources = tuple(record.lines[number - 1].resource or "" for number in row.get("evidence", ()))
    return Question(
        record.patient, "own", "free", kind_of(answer), str(row["question"]), (), answer, None, (), resources
    )


def kind_of(answer: str | tuple[str, ...] | None) -> str:
    """How an answer is compared: as a set, as yes or no, as a date, as a number with its unit, else as a name."""
    if answer is None or isinstance(answer, tuple):
        return "set" if answer else "name"
    if answer.casefold() in ("yes", "no"):
        return "yes_no"
    if (when := moment(answer)) and not when.short:
        return "date"
    return "number" if readings(answer.split(" ")[0].lstrip("<>=≤≥")) else "name"
