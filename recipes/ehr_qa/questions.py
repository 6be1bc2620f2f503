"""Questions on a record with gold answers computed from its resources, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from recipes.ehr_qa.drafts import Draft, draft_all
from recipes.ehr_qa.records import PatientRecord
from recipes.ehr_qa.vocabulary import names
from recipes.ehr_qa.wordings import FORMAT_HINTS, NONE_OF_THESE, wordings

CATEGORIES = (
    "condition_existence",
    "condition_hierarchy",
    "immunization_date",
    "current_medication",
    "medication_existence",
    "medication_prescriber",
    "medication_date",
    "medication_for_condition",
    "observation_value",
    "dependent_observation",
)

ANSWER_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Answer",
    "type": "object",
    "properties": {
        "answer": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
            "description": "null where the record does not say",
        },
        "evidence": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "description": "numbers of the record's lines that say so",
        },
    },
    "required": ["answer", "evidence"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Question:
    """A question and its gold answer.

    Attributes:
        patient: the Patient's id.
        category: one of `CATEGORIES`.
        format: `free`, `yes_no` or `choice`.
        kind: how the answer is compared: `yes_no`, `letter`, `date`, `number`, `name`, `text` or `set`.
        question: the text, a choice's options in lines of their own.
        options: a choice's options, A first; empty otherwise.
        answer: "yes" or "no", a letter, a date, a value with its unit, a name, a list of names; None where the record
            does not say (a choice has the option "None of these" instead).
        found: what the evidence says, where the answer is only what follows from it: yes, no, a letter; else None.
        evidence: the lines that say so, counted from 1; none where the answer is that nothing is there.
        resources: their resources, `Type/id`, in the same order.
    """

    patient: str
    category: str
    format: str
    kind: str
    question: str
    options: tuple[str, ...]
    answer: str | tuple[str, ...] | None
    found: str | None
    evidence: tuple[int, ...]
    resources: tuple[str, ...]

    @property
    def gold(self) -> dict[str, Any]:
        """The answer in the shape of `ANSWER_SCHEMA`."""
        answer = list(self.answer) if isinstance(self.answer, tuple) else self.answer
        return {"answer": answer, "evidence": list(self.evidence)}

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


Words = Literal["train", "held_out", "all"]


def make_questions(
    record: PatientRecord, count: int | None = None, seed: int = 0, words: Words = "all"
) -> list[Question]:
    """Questions on a record, spread evenly over the categories, and in each over its formats and answers.

    Args:
        record: the record as it will be shown: what a budget left out is not asked for, and nothing is said to be
            absent that may have been left out.
        count: how many; None for all there are. A record with little in it gives fewer.
        seed: the same seed asks the same of the same patient.
        words: `train` uses the wordings that training may use, and says only of names that training knows that the
            record lacks them; `held_out` uses the wordings that training never uses.
    """
    rng = random.Random(f"{seed} {record.patient}")
    asked: set[str] = set()
    heaps: dict[str, dict[tuple[str, str], list[Question]]] = {category: {} for category in CATEGORIES}
    for draft in draft_all(record, rng, names(words != "train")):
        question = _ask(draft, record, rng, words)
        if question.question in asked:
            continue
        asked.add(question.question)
        answered = {"yes_no": str(draft.answer), "choice": str(draft.answer is None)}.get(
            draft.format, str(draft.answer is None)
        )
        heaps[draft.category].setdefault((draft.format, answered), []).append(question)
    lines = [_spread([_shuffled(heap, rng) for heap in heaps[category].values()]) for category in CATEGORIES]
    return _spread(lines)[:count]


def split(patients: Sequence[str], seed: int = 0) -> dict[str, list[str]]:
    """Patients in `train`, `validation` and `test`, about 2 : 1 : 1, whatever order they come in.

    A patient is in one part with all its questions; from three patients on, no part is empty.
    """
    names = sorted(set(patients))
    random.Random(f"split {seed}").shuffle(names)
    quarter = max(1, round(len(names) / 4)) if len(names) >= 3 else 0
    parts = {"train": names[2 * quarter :], "validation": names[:quarter], "test": names[quarter : 2 * quarter]}
    return {name: sorted(part) for name, part in parts.items()}


def _ask(draft: Draft, record: PatientRecord, rng: random.Random, words: Words) -> Question:
    text = rng.choice(wordings(draft.wording, words)).format(**draft.slots)
    kind, answer = draft.kind, draft.answer
    options: tuple[str, ...] = ()
    if draft.format == "choice":
        right = [draft.answer] if isinstance(draft.answer, str) else []
        shown = [*right, *draft.wrong[: 3 - len(right)]]
        rng.shuffle(shown)
        options = (*shown, NONE_OF_THESE)
        kind, answer = "letter", "ABCDEFGH"[options.index(right[0] if right else NONE_OF_THESE)]
        hint = FORMAT_HINTS["choice"]
        text = "\n".join([text, *(f"{letter}. {option}" for letter, option in zip("ABCDEFGH", options, strict=False))])
        text += f"\n{hint}"
    else:
        text = f"{text} {FORMAT_HINTS[kind]}".strip()
    cited = sorted({(record.numbers[fact.resource], fact.resource) for fact in draft.facts})
    return Question(
        record.patient,
        draft.category,
        draft.format,
        kind,
        text,
        options,
        answer,
        "; ".join(draft.found) or None,
        tuple(number for number, _ in cited),
        tuple(resource for _, resource in cited),
    )


def _shuffled(heap: list[Question], rng: random.Random) -> list[Question]:
    rng.shuffle(heap)
    return heap


def _spread(heaps: list[list[Question]]) -> list[Question]:
    """One of each heap in turn, until all are empty."""
    rounds = max((len(heap) for heap in heaps), default=0)
    return [heap[turn] for turn in range(rounds) for heap in heaps if turn < len(heap)]
