"""Answerer: questions on a patient's bundle in, answers with their lines out; a thin use of the one serving path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extraction.api import Extractor
from extraction.errors import AssayError
from extraction.evidence import LineEvidence
from extraction.example import Branch
from extraction.record.record import Record
from extraction.room import Room
from recipes.ehr_qa.records import PatientRecord, read_record
from recipes.ehr_qa.task import CONTRACT, record_example

ADAPTER = "ehr-qa-270m"


@dataclass(frozen=True)
class Answer:
    """An answer to a question.

    Attributes:
        question: as it was asked.
        answer: a text, a list of texts, or None where the record does not say.
        evidence: numbers of the record's lines that say so, in ascending order.
        issue: what is wrong with the answer, None as a rule: it was cut before its end, say, so there is none.
        record: the answer as a record: its status, its issues, the confidence of its values.
    """

    question: str
    answer: str | list[str] | None
    evidence: tuple[int, ...]
    issue: str | None = None
    record: Record | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, question: str, record: Record) -> Answer:
        """An answer from its record; one that is not whole is withheld, with the reason."""
        if record.status == "ok" and record.data is not None:
            places = (field.evidence for field in record.fields.values())
            lines = sorted({place.line for place in places if isinstance(place, LineEvidence)})
            return cls(question, record.data["answer"], tuple(lines), None, record)
        return cls(question, None, (), record.issues[0].message, record)

    def to_json(self) -> dict[str, Any]:
        """`{question, answer, evidence}`, and `issue` where there is one."""
        made = {"question": self.question, "answer": self.answer, "evidence": list(self.evidence)}
        return {**made, "issue": self.issue} if self.issue else made


class Answerer:
    """Answers questions on health records.

    Args:
        extractor: a model and what it was taught; on a GPU, a processor or a server.

    Raises:
        AssayError: the model was taught something else.
    """

    def __init__(self, extractor: Extractor):
        if not {"answer", "evidence"} <= extractor.contract.target.keys:
            raise AssayError("This model was not taught to answer questions; give one of the recipe ehr_qa (--model).")
        self.extractor = extractor
        if not extractor.contract.roles:  # of the first version, which had none
            extractor.contract = extractor.contract.model_copy(update={"roles": CONTRACT.roles})

    @classmethod
    def from_pretrained(cls, model: str | Path = ADAPTER, **options: Any) -> Answerer:
        """An answerer from the folder of an adapter or a merged model of the recipe `ehr_qa`; else the one that ships.

        Args:
            model: see `Extractor.from_pretrained`.
            options: its `dtype` and `device`.

        Raises:
            AssayError: there is none, or it was taught something else.
        """
        return cls(Extractor.from_pretrained(model, **options))

    def shown(self, record: PatientRecord, questions: Sequence[str]) -> PatientRecord:
        """A record as the model will be shown it with these questions: what is over the budget has given way.

        Raises:
            FhirError: it does not fit the budget without what never gives way.
        """
        room = Room(self.extractor.backend.count_tokens, self.extractor.contract)
        return record.fit(room.context(questions), room.tokens)

    def answer(self, bundle: str | Path, questions: Sequence[str], context: Sequence[str | Path] = ()) -> list[Answer]:
        """The answers, in the order asked; the record is read once for all of them.

        In float32 they are those of asking one by one; in bfloat16 near-ties may fall otherwise.

        Args:
            bundle: a FHIR R4 bundle (`.json`), NDJSON or folder of one patient.
            questions: what is asked.
            context: bundles of hospitals and practitioners that it refers to.

        Raises:
            FhirError: the bundle cannot be read, or see `shown`.
        """
        if not questions:
            return []
        record = read_record(Path(bundle), [Path(path) for path in context])
        return self.answer_record(self.shown(record, questions), questions)

    def answer_record(self, record: PatientRecord, questions: Sequence[str]) -> list[Answer]:
        """The answers to questions on a record as `shown` gives it."""
        if not questions:
            return []
        branches = [Branch((question,)) for question in questions]
        records = self.extractor.answer(record_example(record, branches, self.extractor.contract))
        return [Answer.of(question, found) for question, found in zip(questions, records, strict=True)]
