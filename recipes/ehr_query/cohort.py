"""Questions on many patients with several conditions: "which patients have an A1c above 8 and no metformin?"

A model understands one thing at a time. Each condition is asked of a patient by itself, and code puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recipes.ehr_qa.answer import Answer
from recipes.ehr_qa.nothing import negative

_OF_ALL = re.compile(
    r"^\W*(?:(?:which|what|list|find|show|name)(?: me)?(?: all| of)?(?: the| my| our| these)?"
    r" (?:patients?|people|women|men)"
    r"|(?:all )?patients|who(?! (?:prescribed|ordered|gave|performed|did|started|is the|was the)))\b",
    re.IGNORECASE,
)
_HAS = r"(?:have|has|had|are|is|were|was|got|gets?|received|with)"
_TAKES = r"(?:takes?|took|taking|uses?|used|using|prescribed|receiving|on)"
_NOT = rf"(?:(?:{_HAS}\s+)?(?:no|not|never|without|lacks?)|(?:do|does|did|{_HAS})(?:\s+not|n't))"
_NEXT = re.compile(
    rf"(?:,?\s+(?:(?:and|but|who|that|yet)\s+)*|,\s*)(?P<no>{_NOT})\b"
    rf"|(?:,?\s+(?:and|but)\s+(?:(?:who|that|also)\s+)*|,\s+)(?=(?:{_HAS}|{_TAKES})\b)",
    re.IGNORECASE,
)
_LEAD = re.compile(rf"^\W*(?:(?:who|that|also|any|yet|ever|been|a history of|{_HAS})\s+)*", re.IGNORECASE)
_TAKING = re.compile(rf"{_TAKES}\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Condition:
    """A part of a question on many patients: what is asked of each, and whether the answer is to be yes or no."""

    question: str
    wanted: bool


def conditions(question: str) -> tuple[Condition, ...]:
    """The conditions of a question on many patients; empty where it has one alone, or asks for something else."""
    head = _OF_ALL.match(question)
    if not head:
        return ()
    rest = " " + question[head.end() :].strip().rstrip("?!. ")
    cuts = list(_NEXT.finditer(rest))
    ends = [*(cut.start() for cut in cuts), len(rest)]
    found = [Condition(_asked(rest[: ends[0]]), True)] if rest[: ends[0]].strip() else []
    found += [Condition(_asked(rest[cut.end() : end]), not cut["no"]) for cut, end in zip(cuts, ends[1:], strict=True)]
    found = [one for one in found if one.question]
    return tuple(found) if len(found) > 1 or any(not one.wanted for one in found) else ()


def _asked(text: str) -> str:
    """A condition as a question on one patient; empty where nothing is left of it."""
    own = _LEAD.sub("", text.strip(" ,;"))
    taking = _TAKING.match(own)
    own = own[taking.end() if taking else 0 :].strip()
    if not own:
        return ""
    return f"Is the patient on {own}?" if taking else f"Does the patient have {own}?"


def joined(question: str, parts: Sequence[tuple[Condition, Answer]]) -> Answer:
    """The answer of one patient to a question with several conditions: yes where all hold, else no.

    None where one of them was not understood. That a record does not say a thing counts as a no, and is told so.
    """
    lines = {number: text for _, answer in parts for number, text in answer.lines.items()}
    dark = [condition.question for condition, answer in parts if answer.query is None]
    if dark:
        said = f"Not understood: {' '.join(dark)} Ask it in other words."
        return Answer(question, None, {}, said, (), parts[0][1].issue, parts=tuple(answer for _, answer in parts))
    holds = all(is_yes(answer) == condition.wanted for condition, answer in parts)
    told = "; ".join(answer.said.removesuffix(".").removeprefix("Yes: ") for _, answer in parts)
    issue = next((answer.issue for _, answer in parts if answer.issue), None)
    notes = tuple(dict.fromkeys(note for _, answer in parts for note in answer.notes))
    own = tuple(answer for _, answer in parts)
    return Answer(question, holds, lines, f"{'Yes' if holds else 'No'}: {told}.", notes, issue, parts=own)


def is_yes(answer: Answer) -> bool:
    """Whether a record has what was asked for, and no value says that it is not there ("Never smoker")."""
    if answer.answer in (None, False, 0, "none") or answer.answer == []:
        return False
    values = answer.answer if isinstance(answer.answer, list) else [answer.answer]
    seen = answer.query is not None and answer.query.what == "observation"
    return not (seen and all(negative(str(value)) for value in values))
