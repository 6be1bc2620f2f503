"""Questions of a user's own with their answers, a table beside the bundles, to judge a model by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.values.dates import moment
from extraction.values.numbers import readings
from finetune.task import Grade
from recipes.ehr_qa.bundle import OWN, FhirError
from recipes.ehr_qa.grade import grade, is_null
from recipes.ehr_qa.nothing import negative
from recipes.ehr_qa.questions import Question
from recipes.ehr_qa.records import PatientRecord
from recipes.tables import table

if TYPE_CHECKING:
    from recipes.ehr_qa.answer import Answer

FILES = (OWN, "questions.csv")
_KINDS = {"set": "list", "yes_no": "yes/no", "name": "text"}
_AMOUNT = re.compile(r"\s*(?:[<>]=?|[≤≥])?\s*[-+]?[\d.,]*\d")


@dataclass(frozen=True)
class Own(Question):
    """A question of a user's own.

    Attributes:
        whole: the record that it is asked of.
        shown: the same as a model is shown it.
        cited: the numbers of the lines of the whole record that say so.
    """

    whole: PatientRecord
    shown: PatientRecord
    cited: tuple[int, ...]


def own_file(folder: Path) -> Path | None:
    """The file of a folder's questions.

    Raises:
        FhirError: there are two.
    """
    there = [folder / name for name in FILES if (folder / name).is_file()]
    if len(there) > 1:
        raise FhirError(f"{folder} has {' and '.join(path.name for path in there)}; keep one of them.")
    return there[0] if there else None


def own_questions(folder: Path, records: Sequence[PatientRecord]) -> dict[str, list[Own]] | None:
    """The questions on each patient, in the order of the file (`questions.jsonl` or `.csv`); None where there is none.

    A row has `patient` or `record` (the patient's id, or the bundle's file; it may be left out where there is one),
    `question`, `answer` as the record prints it (a text, a list, yes or no; null where the record does not say), and,
    where they are known, the `evidence`: the numbers of the lines of the whole record (`python -m
    recipes.ehr_qa.show`). In a cell of a CSV, lists have semicolons, and what is not in the record is written so.

    Raises:
        AssayError: a row is not of this form, or of no patient that is there; the file and the line are named.
    """
    path = own_file(folder)
    if path is None:
        return None
    files = Counter(record.file for record in records)
    known = {record.file: record for record in records if files[record.file] == 1}
    known |= {Path(name).stem: record for name, record in known.items()}
    known |= {record.patient: record for record in records}
    found: dict[str, list[Own]] = {record.patient: [] for record in records}
    for at, row in table(path):
        name = str(row.get("patient") or row.get("record") or (records[0].patient if len(records) == 1 else ""))
        if name not in known:
            said = f"is of “{name}”, which is no patient" if name else "names no patient"
            raise FhirError(f"{at}, {said} of the folder; give the id as `patient`, or the bundle's file as `record`.")
        found[known[name].patient].append(_question(at, row, known[name], path.suffix == ".csv"))
    if not any(found.values()):
        raise FhirError(f"{path} has no question; give a row for each, with `question` and `answer`.")
    return found


def shown_as(question: Own, shown: PatientRecord) -> Own:
    """The question with its lines' numbers in what is shown of the record."""
    numbers = shown.numbers
    lines = tuple(sorted(numbers[one] for one in question.resources if one in numbers))
    return replace(question, evidence=lines, shown=shown)


def _question(at: str, row: Mapping[str, Any], record: PatientRecord, cells: bool) -> Own:
    for name in ("question", "answer"):
        if name not in row or (row[name] is None and name == "question") or str(row[name]).strip() == "":
            more = ", or “not in the record”" if name == "answer" else ""
            raise FhirError(f"{at}, has no `{name}`; write it{more}.")
    answer, cited = row["answer"], row.get("evidence")
    if cells:
        answer = [part.strip() for part in answer.split(";") if part.strip()] if ";" in answer else answer.strip()
        cited = [int(part) if part.isdigit() else part for part in re.split(r"[\s,;]+", (cited or "").strip()) if part]
    if isinstance(answer, Mapping) or (isinstance(answer, list) and not all(isinstance(one, str) for one in answer)):
        raise FhirError(f"{at}, has an answer that is no text, number, list of texts, true, false or null.")
    if isinstance(answer, bool):
        answer = "yes" if answer else "no"
    answer = None if is_null(answer) else tuple(answer) if isinstance(answer, list) else str(answer)
    lines = cited if isinstance(cited, list) else [] if cited is None else [cited]
    if not all(type(number) is int and 1 <= number <= len(record.lines) for number in lines):
        raise FhirError(f"{at}, cites {lines}, but the record has the lines 1 to {len(record.lines)}.")
    resources = tuple(record.lines[number - 1].resource or "" for number in lines)
    asked = str(row["question"]).strip()
    own = Own(record.patient, "own", "free", "", asked, (), answer, None, (), resources, record, record, tuple(lines))
    return replace(own, kind=kind_of(answer))


def kind_of(answer: str | tuple[str, ...] | None) -> str:
    """How an answer is compared: as a set, as yes or no, as a date, as a number with its unit, else as a name."""
    if answer is None or isinstance(answer, tuple):
        return "set" if answer else "name"
    if answer.casefold() in ("yes", "no"):
        return "yes_no"
    if (when := moment(answer)) and not when.short:
        return "date"
    return "number" if readings(answer.split(" ")[0].lstrip("<>=≤≥")) else "name"


def judged(pairs: Sequence[tuple[Own, Answer]]) -> Grade:
    """Answers beside the true ones: the share that is right, that of true lines cited, each answer with its state."""
    rows = [
        {
            "patient": question.patient,
            "kind": "not found" if question.answer is None else _KINDS.get(question.kind, question.kind),
            "state": state_of(question, answer),
            "gold": question.gold["answer"],
            **answer.to_json(),
        }
        for question, answer in pairs
    ]
    cited = [bool({*question.cited} & {*answer.evidence}) for question, answer in pairs if question.cited]
    figures = {"accuracy": sum(row["state"] == "right" for row in rows) / len(rows), "questions": len(rows)}
    return Grade(figures | ({"evidence_cited": sum(cited) / len(cited)} if cited else {}), answers=rows)


def state_of(question: Own, answer: Answer) -> str:
    """What an answer is (`finetune.answers.STATES`); that nothing is found is right only where the truth is null."""
    if answer.withheld:
        return "withheld"
    if question.answer is None:
        right = is_null(answer.answer)
    elif answer.answer is None:
        return "not found"
    else:
        right = any(_same(question, told) for told in _told(question, answer))
    return "right" if right else "doubted" if answer.issue else "wrong"


def _told(question: Own, answer: Answer) -> list[Any]:
    """What an answer says that is of the kind of the true one: one that was looked up tells days and values, too."""
    items = answer.result.items if answer.result else ()
    days, values = {item.date for item in items if item.date}, {item.value for item in items if item.value}
    if question.kind == "date":  # more days than one are no answer
        return [answer.answer, *(days if len(days) == 1 else ())]
    if question.kind == "number" and answer.answer is True:
        return [*values] if len(values) == 1 else []
    if question.kind == "yes_no" and answer.result and not isinstance(answer.answer, bool):
        return [not all(map(negative, values))] if values else [answer.answer]
    if question.kind == "set":
        return [answer.answer, [item.name for item in items], [*days], [*values]]
    return [answer.answer]


def _same(question: Own, told: Any) -> bool:
    gold = question.answer
    if isinstance(gold, tuple):
        parts = told.split(";") if isinstance(told, str) else told if isinstance(told, list) else []
        own = [replace(question, kind=kind_of(one), answer=one) for one in gold]
        met = [[_same(one, part) for part in parts] for one in own]
        return bool(parts) and all(map(any, met)) and all(map(any, zip(*met, strict=True)))
    if question.kind == "number" and isinstance(told, str) and _AMOUNT.fullmatch(gold or ""):
        told = found[0] if (found := _AMOUNT.match(told)) else told  # the true answer leaves the unit open
    return grade(question, told)
