"""Asker: a model writes a question on a patient's record as a query, and code answers it; else the record is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from extraction.api import Extractor
from extraction.errors import AssayError
from extraction.record.record import Record
from recipes.ehr_qa.answer import ADAPTER as READER
from recipes.ehr_qa.answer import Answer, Answerer, sureness
from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import PatientRecord
from recipes.ehr_query.cohort import Condition, conditions, joined, left_out
from recipes.ehr_query.mend import mended, says, whole
from recipes.ehr_query.said import Said
from recipes.ehr_query.task import question_example

ADAPTER = "ehr-query-270m"
DOUBT = 0.95
"""A query with a part that the model was less sure of is told as doubtful; see `scripts/choose_query_doubt.py`."""

_UNSURE = "It is not sure that this was meant."


class Asker:
    """Answers questions on health records: understood by a model, looked up by code, read where there is no query.

    Args:
        extractor: a model of the recipe `ehr_query`, and what it was taught; on a GPU, a processor or a server.
        reader: makes the answerer that reads (`Answerer.from_pretrained`), called when a question needs it.

    Raises:
        AssayError: the model was taught something else.
    """

    def __init__(self, extractor: Extractor, reader: Callable[[], Answerer] = Answerer.from_pretrained):
        if not {"what", "operation"} <= extractor.contract.target.keys:
            raise AssayError("This model was not taught to write queries; give one of the recipe ehr_query (--model).")
        self.extractor = extractor
        self._reader = reader

    @classmethod
    def from_pretrained(cls, model: str | Path = ADAPTER, reader: str | Path = READER, **options: Any) -> Asker:
        """An asker from the folder of an adapter or a merged model of the recipe `ehr_query`; else the one that ships.

        Args:
            model: see `Extractor.from_pretrained`.
            reader: the same, of the recipe `ehr_qa`.
            options: the `dtype` and `device` of both.

        Raises:
            AssayError: there is none, or it was taught something else.
        """
        return cls(Extractor.from_pretrained(model, **options), lambda: Answerer.from_pretrained(reader, **options))

    @cached_property
    def reader(self) -> Answerer:
        """What reads records, for questions that have no query; a model of its own."""
        return self._reader()

    def understood(
        self, questions: Sequence[str], records: Sequence[PatientRecord] = ()
    ) -> list[tuple[Query | None, Record]]:
        """Each question as a query, None where the model wrote none that is whole.

        The model is shown no record; where a question has a name as one of `records` prints it, code writes it into
        the query.
        """
        if not questions:
            return []
        said = [Said.of(question, records) for question in questions]
        written = self.extractor.answer(question_example([one.question for one in said]))
        return [(_query(own, one), own) for own, one in zip(written, said, strict=True)]

    def ask(self, record: PatientRecord, questions: Sequence[str]) -> list[Answer]:
        """The answers, in the order asked.

        Args:
            record: a patient's whole record (`recipes.ehr_qa.records.read_record`).

        Raises:
            FhirError: a question has no query, and the record cannot be read (`Answerer.shown`).
        """
        if any(map(conditions, questions)):  # worded as of many patients, whose conditions are several
            each = [self.ask_of_all([record], [one])[0] if conditions(one) else self.ask(record, [one])
                    for one in questions]  # fmt: skip
            return [answer for [answer] in each]
        asked = self.understood(questions, [record])
        reading = [number for number, (query, _) in enumerate(asked) if query and query.what == "text"]
        read = self.reader.answer_record(record, [questions[number] for number in reading]) if reading else []
        found = dict(zip(reading, read, strict=True))
        return [found.get(n) or answered(record, question, *asked[n]) for n, question in enumerate(questions)]

    def ask_of_all(self, records: Sequence[PatientRecord], questions: Sequence[str]) -> list[list[Answer]]:
        """The same of several patients: for each question the answers of each record; nothing is read.

        A question with several conditions ("which patients have an A1c above 8 and no metformin?") is asked part by
        part (`cohort.conditions`).
        """
        parts = [conditions(question) or (Condition(question, True),) for question in questions]
        unknown = [part.question for own in parts for part in own if not part.query]
        asked = iter(self.understood(unknown, records))
        given = []
        for question, own in zip(questions, parts, strict=True):
            queries = [(part.query, None) if part.query else next(asked) for part in own]
            each = [[_of_part(record, part, *query) for part, query in zip(own, queries, strict=True)]
                    for record in records]  # fmt: skip
            several = own[0].question != question
            given.append([joined(question, list(zip(own, a, strict=True))) if several else a[0] for a in each])
        return given


def _of_part(record: PatientRecord, part: Condition, query: Query | None, written: Record | None) -> Answer:
    """What a part of a question on many patients finds in the record of one."""
    if query and query.what == "medication" and query.operation in ("exists", "active"):
        # "no metformin" is none at present, "never" is none of old, too
        query = query.model_copy(update={"operation": "active" if part.now and not query.times else "exists"})
    if not part.last or query is None or not (query.value or query.times):
        return answered(record, part.question, query, written)
    return _of_latest(record, part.question, query, written)


def _of_latest(record: PatientRecord, question: str, query: Query, written: Record | None) -> Answer:
    """Whether the latest entry is within a query's limits."""
    bare = query.model_copy(update={"operation": "latest", "value": None, "times": ()})
    latest = answered(record, question, bare, written)
    every = answered(record, question, query.model_copy(update={"operation": "list"}), written)
    if not latest.lines:
        return replace(latest, understood=str(query))
    found = any(item.line in latest.lines for item in every.result.items) if every.result else False
    notes = tuple(dict.fromkeys((*latest.notes, *every.notes)))
    if not found and any(note.startswith("Not compared") for note in every.notes):
        return replace(latest, answer=None, said=f"Not compared: {latest.said}", notes=notes, understood=str(query))
    said = f"{'Yes' if found else 'No'}: {latest.said}"
    return replace(latest, answer=found, said=said, notes=notes, understood=str(query))


def looked_up(record: PatientRecord, question: str, written: Record) -> Answer:
    """What a question that a model wrote as a query finds in a record."""
    return answered(record, question, _query(written, Said.of(question, [record])), written)


def answered(record: PatientRecord, question: str, query: Query | None, written: Record | None) -> Answer:
    """What a question's query finds in a record.

    Args:
        written: what a model wrote; None where code made the query.
    """
    if written is None:
        assert query is not None
        return Answer.looked_up(question, run(query, record), None)
    if query and query.what == "text":
        return Answer(question, None, {}, "This has to be read; ask it of one patient.", (), None, None, written)
    if query is None:
        return Answer(question, None, {}, "Not understood; ask it in other words.", (), _why(written), None, written)
    if query.value and query.operation in ("exists", "latest") and says("last_is", question):
        answer = _of_latest(record, question, query, written)
        return replace(answer, understood=f"{answer.understood}, of the latest alone")
    result, unsure = run(query, record), doubt(written)
    if not result.items and (other := mended(query)) != query:  # the record has nothing by the name as it was written
        told = f"Looked up in the place of {query}, of which nothing is known."
        result = run(other, record)
        result, unsure = replace(result, notes=(told, *result.notes)), unsure or _UNSURE
    if lost := left_out(question, query):
        unsure = f"Not looked up: {', '.join(lost)}; ask of it by itself."
    return Answer.looked_up(question, result, written, unsure)


def doubt(written: Record) -> str | None:
    """What a model was not sure of in a query."""
    return None if sureness(written) >= DOUBT else _UNSURE


def _query(written: Record, said: Said) -> Query | None:
    if written.data is None or written.status == "failed":
        return None
    try:
        return said.named(whole(Query.model_validate(written.data), said.question))
    except ValidationError:
        return None


def _why(written: Record) -> str:
    return written.issues[0].message if written.issues else "The query is not whole."
