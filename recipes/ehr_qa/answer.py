"""Answerer: questions on a patient's bundle in, answers with their lines out; a thin use of the one serving path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extraction.api import Extractor
from extraction.errors import AssayError
from extraction.evidence import LineEvidence
from extraction.example import Branch
from extraction.record.record import Record
from extraction.room import Room
from recipes.ehr_qa.query import Query, Result
from recipes.ehr_qa.records import PatientRecord, read_record
from recipes.ehr_qa.resolve import words
from recipes.ehr_qa.search import ranked
from recipes.ehr_qa.task import CONTRACT, record_example

ADAPTER = "ehr-qa-270m"
DOUBT = 0.95
"""What was read with a part that a model was less sure of is told with a doubt; see `scripts/choose_query_doubt.py`."""
_KEPT = 40  # lines of a record that have a question's words, kept where the record is too long to be read as a whole


@dataclass(frozen=True)
class Answer:
    """An answer to a question.

    Attributes:
        question: as it was asked.
        answer: a text, a list of texts, a number, yes or no; None where the record does not say.
        lines: the record's lines that say so, by their numbers in the record as a whole, the first first.
        said: the answer as a sentence: with its dates, or with what was searched.
        notes: what else a person should know: how the question was understood, what was not read.
        issue: why an answer is withheld or doubtful, None as a rule.
        result: what code found for the question as it was understood; None where the model read the record.
        record: what the model wrote, as a record: its status, its issues, the confidence of its values.
        parts: the answers that it was put together from, where the question has several conditions.
        understood: the question as it was understood, in words; empty where it was read.
    """

    question: str
    answer: Any
    lines: Mapping[int, str]
    said: str
    notes: tuple[str, ...] = ()
    issue: str | None = None
    result: Result | None = field(default=None, compare=False, repr=False)
    record: Record | None = field(default=None, compare=False, repr=False)
    parts: tuple[Answer, ...] = field(default=(), compare=False, repr=False)
    understood: str = field(default="", compare=False, repr=False)

    @property
    def query(self) -> Query | None:
        """The question as it was understood."""
        return self.result.query if self.result else None

    @property
    def evidence(self) -> tuple[int, ...]:
        """The numbers of the lines that say so."""
        return tuple(self.lines)

    @property
    def confidence(self) -> float | None:
        """How sure the model was of the part that it was least sure of, 0 to 1; None where it wrote none.

        The parts are those of the question as it was understood, or what was read and the numbers of the lines.
        """
        if self.parts:
            return min((part.confidence or 0.0 for part in self.parts if part.record), default=None)
        return sureness(self.record) if self.record and self.record.fields else None

    @property
    def withheld(self) -> bool:
        """Whether there is no answer for another reason than that the record does not say."""
        if self.result or self.parts or self.answer is not None:
            return False
        read = self.record.data if self.record and self.record.status == "ok" else None
        return (read or {}).get("answer", "") not in (None, [])  # what is no record, or a query, has no answer

    @classmethod
    def read(cls, question: str, record: Record, shown: PatientRecord, whole: PatientRecord) -> Answer:
        """An answer that was read, from its record; one that is not whole is withheld, with the reason.

        Args:
            shown: the patient's record as the model was shown it.
            whole: all of it.
        """
        gone = len(whole.facts) - len(shown.facts)
        notes: tuple[str, ...] = (f"Not read for want of room: {gone} of {len(whole.facts)} lines.",) if gone else ()
        notes += (whole.part,) if whole.part else ()
        if record.status != "ok" or record.data is None:
            return cls(question, None, {}, "Withheld.", notes, record.issues[0].message, None, record)
        places = (one.evidence for one in record.fields.values())
        cited = sorted({place.line for place in places if isinstance(place, LineEvidence)})
        lines = {}
        for line in (shown.lines[number - 1] for number in cited):
            same = (n for n, one in enumerate(whole.lines, 1) if (one.resource, one.kind) == (line.resource, line.kind))
            lines[next(same)] = line.text
        answer = record.data["answer"]
        if away := _not_printed(answer, lines.values()):
            return cls(question, None, lines, "Withheld.", notes, f"{away} is not on the lines.", None, record)
        if answer in (None, []):
            nothing = f"Not found by reading ({len(shown.facts)} of {len(whole.facts)} lines)."
            return cls(question, answer, lines, nothing, notes, None, None, record)
        doubt = None if sureness(record) >= DOUBT else "It is not sure that the record says so."
        if not lines and answer not in ("no", *"ABCDEFGH"):  # nothing says no, or none of a choice's options
            doubt = "It names no line that says so."
        said = answer if isinstance(answer, str) else "; ".join(answer)
        return cls(question, answer, lines, said, notes, doubt, None, record)

    @classmethod
    def looked_up(cls, question: str, result: Result, record: Record | None, doubt: str | None = None) -> Answer:
        """An answer that code found."""
        lines = {item.line: item.text for item in result.items}
        understood = str(result.query)
        return cls(
            question, result.answer, lines, result.said, result.notes, doubt, result, record, understood=understood
        )

    def to_json(self) -> dict[str, Any]:
        """`{question, answer, said, confidence, evidence, lines, notes}`, with `query`, `parts`, `issue` if any."""
        made = {"question": self.question, "answer": self.answer, "said": self.said, "evidence": list(self.lines)}
        made["confidence"] = None if self.confidence is None else round(self.confidence, 4)
        made |= {"lines": list(self.lines.values()), "notes": list(self.notes)}
        if self.query:
            made["query"] = self.query.model_dump(exclude_defaults=True, mode="json")
        if self.parts:
            made["parts"] = [part.to_json() for part in self.parts]
            made["understood"] = self.understood
        return {**made, "issue": self.issue} if self.issue else made


def sureness(record: Record) -> float:
    """How sure a model was of the value that it was least sure of; 0 where that is not known."""
    return min((one.confidence or 0.0 for one in record.fields.values()), default=0.0)


def _not_printed(answer: Any, lines: Iterable[str]) -> str | None:
    """A part of an answer whose words the lines do not have; yes, no and letters of a choice follow from them."""
    known = words(" ".join(lines))
    parts = answer if isinstance(answer, list) else [answer]
    told = (part for part in parts if part and part.casefold().strip(" .") not in ("yes", "no") and len(part) > 1)
    return next((f"“{part}”" for part in told if not words(part) <= known), None)


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

        Lines that have words of the questions go last.

        Raises:
            FhirError: it does not fit the budget without what never gives way.
        """
        room = Room(self.extractor.backend.count_tokens, self.extractor.contract)
        return record.fit(room.context(questions), room.tokens, ranked(questions, record.facts)[:_KEPT])

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
        return self.answer_record(read_record(Path(bundle), [Path(path) for path in context]), questions)

    def answer_record(self, record: PatientRecord, questions: Sequence[str]) -> list[Answer]:
        """The answers to questions on a record that was read already.

        Raises:
            FhirError: see `shown`.
        """
        if not questions:
            return []
        shown = self.shown(record, questions)
        branches = [Branch((question,)) for question in questions]
        records = self.extractor.answer(record_example(shown, branches, self.extractor.contract))
        return [Answer.read(asked, found, shown, record) for asked, found in zip(questions, records, strict=True)]
