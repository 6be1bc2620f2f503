"""Questions on health records to typed queries: what a model understands, and code then looks up (ehr_qa/lookup.py)."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Branch, Context, Example
from extraction.record.record import Record
from extraction.schema import Schema
from finetune.config import SyntheticConfig
from finetune.task import DataRequest, Grade, Task
from recipes.ehr_qa.own import Own, judged, own_file, own_questions
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_records
from recipes.ehr_qa.resolve import meaning
from recipes.ehr_query.mend import mended, whole
from recipes.ehr_query.questions import write_questions
from recipes.ehr_query.said import Said
from recipes.tables import table

FILE = "questions.jsonl"

_ABOUT_PATIENT = (
    "name", "sex", "birth date", "age", "death", "marital status", "race", "ethnicity", "language", "city",
)  # fmt: skip
_LONGEST = 12  # words of a name


def _schema() -> Schema:
    """The schema of a query; what is not asked for is left out, but for the name, which is null."""
    schema = Query.model_json_schema()
    properties = schema["properties"]
    properties["value"] = {"$ref": "#/$defs/Limit"}
    del schema["$defs"]["Limit"]["properties"]["unit"]  # code reads it from the question (`said.py`)
    step, time = schema["$defs"]["Step"]["properties"], schema["$defs"]["Time"]["properties"]
    time["date"], time["step"] = (
        {"type": "string", "description": "YYYY, YYYY-MM or YYYY-MM-DD"},
        {"$ref": "#/$defs/Step"},
    )
    for owner in (properties, step):
        owner["which"] = {"type": ["string", "null"]}
    for part in (schema, schema["$defs"]["Step"]):
        part["required"] = ["what", "which", "operation"]
    for node in (schema, *schema["$defs"].values()):
        node.pop("description", None)  # of Python's classes
    for node in (*properties.values(), *step.values(), *time.values()):
        node.pop("title", None)
        node.pop("default", None)
    return schema


CONTRACT = Contract(
    instruction="Write this question on a patient's health record as a query.",
    record_schema=_schema(),
    roles={"what": "choice", "operation": "choice", "relation": "choice", "which": "text", "date": "text"},
    max_prompt_tokens=256,
    max_answer_tokens=128,
)


def asked_schema(question: str) -> Schema:
    """The schema of a question's query: a name stands in the question, word for word, or is one of the patient's."""
    starts = [match.start() for match in re.finditer(r"(?<![^\W_])(?=[^\W_])", question)]
    ends = [match.start() for match in re.finditer(r"(?<=[^\W_]|[)\]%+])(?![^\W_])", question)]
    pieces = (question[a:b] for n, a in enumerate(starts) for b in ends[n : n + _LONGEST])
    names = [*dict.fromkeys((*pieces, *_ABOUT_PATIENT)), None]
    schema: Schema = copy.deepcopy(CONTRACT.record_schema)
    for owner in (schema, schema["$defs"]["Step"]):
        owner["properties"]["which"] = {"enum": names}
    return schema


def question_example(questions: Sequence[str]) -> Example:
    """Questions to be written as queries; a record plays no part."""
    return Example(Context("question", ()), tuple(Branch((asked,), asked_schema(asked)) for asked in questions))


class HealthQueries(Task):
    """A file of questions with their queries, `questions.jsonl`: `{"question": ..., "query": {...}, "also": [...]}`.

    Or, to judge by, of questions with their answers, and the bundles that they are on (`ehr_qa/own.py`).
    """

    name = "ehr_query"
    contract = CONTRACT

    def read(self, wanted: DataRequest) -> list[Example]:
        """A question is an example of its own; `also` are other queries that are as right.

        A name that is trained stands in its question.
        """
        if wanted.split != "train" and (own := _own(wanted.folder)):
            return own
        file = wanted.folder / FILE
        try:
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
            return [
                Example(Context(f"{FILE}:{number}", ()), (_branch(row, wanted.split == "train"),))
                for number, row in enumerate(rows, 1)
            ]
        except (OSError, ValueError, KeyError) as error:
            raise AssayError(
                f"{file} cannot be read ({error}); give a question with its query a line, or, to judge by, "
                "with its answer, and the bundle beside it."
            ) from None

    def right(self, branch: Branch, record: Record) -> bool:
        """The query as it is looked up, or one that is as right; names by what they mean.

        That is as it is looked up first, or, where a record has nothing by its name, in its place (`mend.mended`).
        """
        asked = [branch.source["query"], *branch.source.get("also", ())]
        return any(all(equal(written, one)) for written in _looked_up(branch, record) for one in asked)

    def grade(self, contract: Contract, examples: Sequence[Example], records: Sequence[Sequence[Record]]) -> Grade:
        """The share of queries that are right, whole and part by part; of questions with answers, of these, by kind."""
        from recipes.ehr_query.ask import looked_up  # which needs this task

        if all(isinstance(example.branches[0].source, Own) for example in examples):
            asked = zip((example.branches[0].source for example in examples), records, strict=True)
            return judged([(one, looked_up(one.whole, one.question, own[0])) for one, own in asked])
        whole = super().grade(contract, examples, records)
        pairs = [(e.branches[0], own[0]) for e, own in zip(examples, records, strict=True)]
        each = [
            max((equal(written, branch.source["query"]) for written in _looked_up(branch, record)), key=sum)
            for branch, record in pairs
        ]
        names = ("what", "operation", "which", "limits")
        return Grade(
            {**whole.figures, **{name: fmean(one) for name, one in zip(names, zip(*each, strict=True), strict=True)}}
        )

    def synthesize(self, folder: Path, split: str, config: SyntheticConfig) -> None:
        """Invented questions; those to be judged by are in wordings and of things that training never has."""
        write_questions(folder / FILE, config.count, config.seed, split != "train", config.families)


def gold(query: dict[str, Any]) -> dict[str, Any]:
    """A query as it is written: checked, and without what is left out."""
    made = Query.model_validate(query).model_dump(exclude_none=True)
    steps = [time["step"] for time in made["times"] if "step" in time]
    for part in (made, *steps):
        part.setdefault("which", None)
    if not made["times"]:
        del made["times"]
    else:
        made["times"] = list(made["times"])
    return made


def _looked_up(branch: Branch, record: Record) -> list[dict[str, Any]]:
    """What a model wrote, as it is looked up first and in its place; an empty one where it is no query."""
    try:
        query = whole(Query.model_validate(record.data), str(branch.parts[0]))
    except ValidationError:
        return [{}]
    return [gold(one.model_dump(mode="json", exclude_none=True)) for one in (query, mended(query))]


def _own(folder: Path) -> list[Example] | None:
    """Questions with answers in the place of queries; None where a folder has none."""
    file = own_file(folder)
    first = next((row for _, row in table(file)), {}) if file else {}
    if file is None or "query" in first or (file.name == FILE and "answer" not in first):
        return None
    own = [one for asked in (own_questions(folder, read_records(folder)) or {}).values() for one in asked]
    shown = [Said.of(one.question, [one.whole]).question for one in own]
    return [
        Example(Context(one.patient, ()), (Branch((said,), asked_schema(said), None, one),))
        for one, said in zip(own, shown, strict=True)
    ]


def _branch(row: dict[str, Any], trained: bool) -> Branch:
    """A question with its query; to be judged by, the name in it may be another than the question's."""
    question, query = row["question"], gold(row["query"])
    if not trained:
        schema = asked_schema(question)
        names = {str(name).casefold(): name for name in schema["properties"]["which"]["enum"]}
        for part in (query, *(time["step"] for time in query.get("times", ()) if "step" in time)):
            part["which"] = names.get((part["which"] or "none").casefold())
        return Branch((question,), schema, query, row)
    for part in (query, *(time["step"] for time in query.get("times", ()) if "step" in time)):
        if part["which"] not in (None, *_ABOUT_PATIENT) and part["which"] not in question:
            raise ValueError(f'"{part["which"]}" does not stand in "{question}"')
    return Branch((question,), None, query, row)


def equal(query: dict[str, Any], other: dict[str, Any]) -> tuple[bool, bool, bool, bool]:
    """Whether two queries have the same section, operation, name (by what it means, `resolve.meaning`), limits.

    Of the patient all operations answer the same.
    """
    times, others = query.get("times") or (), other.get("times") or ()
    limits = len(times) == len(others) and all(map(_same_time, times, others))
    return (
        query.get("what") == other.get("what"),
        query.get("operation") == other.get("operation") or query.get("what") == other.get("what") == "patient",
        _same_name(query, other),
        limits and (query.get("value") or {}) == (other.get("value") or {}),
    )


def _same_time(time: dict[str, Any], other: dict[str, Any]) -> bool:
    step, another = ({"operation": "latest", **(one.get("step") or {})} for one in (time, other))
    same = all(one.get(key) == two.get(key) for one, two, key in (
        (time, other, "relation"), (time, other, "date"), (step, another, "what"), (step, another, "operation")
    ))  # fmt: skip
    return same and _same_name(step, another)


def _same_name(part: dict[str, Any], other: dict[str, Any]) -> bool:
    own, true = (meaning(one.get("which"), one.get("what")) for one in (part, other))
    return bool(own & true) or not own | true


TASK = HealthQueries()
