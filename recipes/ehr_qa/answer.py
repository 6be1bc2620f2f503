"""Answerer: questions on a patient's bundle in, answers with their lines out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extraction.api import backend_for, contract_for
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.generate.backend import without_thinking
from extraction.generate.local import LocalBackend
from extraction.generate.models import SHIPPED_ANSWERER
from extraction.parse import parse
from finetune.questions import QUESTION_TOKENS, context_budget, requests_for, token_counter
from recipes.ehr_qa.records import Record, read_record


@dataclass(frozen=True)
class Answer:
    """An answer to a question.

    Attributes:
        question: as it was asked.
        answer: a text, a list of texts, or None where the record does not say.
        evidence: numbers of the record's lines that say so, in ascending order.
        issue: what is wrong with the answer, None as a rule: it was cut before its end, so there is none.
    """

    question: str
    answer: str | list[str] | None
    evidence: tuple[int, ...]
    issue: str | None = None

    def to_json(self) -> dict[str, Any]:
        """`{question, answer, evidence}`, and `issue` where there is one."""
        made = {"question": self.question, "answer": self.answer, "evidence": list(self.evidence)}
        return {**made, "issue": self.issue} if self.issue else made


class Answerer:
    """Answers questions on health records.

    Args:
        backend: the model.
        contract: what it was taught.
    """

    def __init__(self, backend: LocalBackend, contract: Contract):
        if "answer" not in contract.target.keys or "evidence" not in contract.target.keys:
            raise AssayError("This model was not taught to answer questions; give one of the recipe ehr_qa (--model).")
        self.backend, self.contract = backend, contract

    @classmethod
    def from_pretrained(
        cls, model: str | Path = SHIPPED_ANSWERER, *, dtype: str = "auto", device: str | None = None
    ) -> Answerer:
        """An answerer from the folder of an adapter or a merged model of the recipe `ehr_qa`; else the one that ships.

        Raises:
            AssayError: there is none, or it was taught something else.
        """
        contract = contract_for(model)
        if "answer" not in contract.target.keys:
            raise AssayError(f"{model} was not taught to answer questions; give a model of the recipe ehr_qa.")
        return cls(backend_for(model, dtype=dtype, device=device), contract)

    def shown(self, record: Record, questions: Sequence[str]) -> Record:
        """A record as the model will be shown it with these questions: what is over the budget has given way.

        Raises:
            FhirError: it does not fit the budget without what never gives way.
        """
        tokens = token_counter(self.backend.tokenizer)
        longer = max([0, *(tokens(question) - QUESTION_TOKENS for question in questions)])
        return record.fit(context_budget(self.contract, self.backend.tokenizer) - longer, tokens)

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

    def answer_record(self, record: Record, questions: Sequence[str]) -> list[Answer]:
        """The answers to questions on a record as `shown` gives it."""
        requests = requests_for(record.text, questions, _bounded(self.contract, len(record.lines)))
        answers = []
        for question, generation in zip(questions, map(without_thinking, self.backend.generate(requests)), strict=True):
            node = parse(generation.text)
            if generation.finish == "stop" and node and node.complete:
                written = node.plain()
                answers.append(Answer(question, written["answer"], tuple(sorted(set(written["evidence"])))))
            else:
                issue = f"The answer was cut ({generation.finish}); ask for less at once."
                answers.append(Answer(question, None, (), issue))
        return answers


def _bounded(contract: Contract, lines: int) -> Contract:
    """The contract with a schema whose evidence are lines that the record has."""
    schema = contract.record_schema
    evidence = {**schema["properties"]["evidence"], "items": {"type": "integer", "minimum": 1, "maximum": lines}}
    return contract.model_copy(
        update={"record_schema": {**schema, "properties": {**schema["properties"], "evidence": evidence}}}
    )
