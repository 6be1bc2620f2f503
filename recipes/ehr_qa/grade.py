"""Grades answers by code: a date is a date however it is written, a value needs its unit, a set has no order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from extraction.errors import AssayError
from extraction.parse import parse
from extraction.values.dates import moment
from extraction.values.numbers import COMPARATOR, NUM, comparator, readings
from extraction.values.signs import PLAIN
from extraction.values.units import unit
from recipes.ehr_qa.questions import CATEGORIES, Question

NULLS = {"", "null", "none", "n/a", "unknown", "not in the record", "not recorded", "not documented", "not available"}
_NUMBER = re.compile(rf"({COMPARATOR})?\s*([-+]?{NUM})\s*(.*)")
_NO_UNIT = {"score", "nominal", "ph", "1"}


@dataclass(frozen=True)
class Grades:
    """Accuracies, each between 0 and 1.

    Attributes:
        mean: the mean of the categories' accuracies, of those that have questions: the headline.
        categories: accuracy of each category; None where it has no question.
        counts: questions of each category.
        malformed: replies that are no JSON object with an answer; they count as wrong.
        evidence_cited: of the questions whose gold answer has evidence, the share whose reply cites a line of it.
        evidence_invented: of all replies, the share that cites a line which the record does not have.
    """

    mean: float
    categories: dict[str, float | None]
    counts: dict[str, int]
    malformed: int
    evidence_cited: float | None
    evidence_invented: float


def grade(question: Question, answer: Any) -> bool:
    """Whether an answer equals the gold one, whatever its evidence.

    Accepted are other ways to write the same: a date as 1990-05-06 (with a time of day behind it or not), 6 May 1990 or
    May 6, 1990; a number as printed, or rounded correctly to three digits or more, with its unit in another spelling;
    names, sets and words without regard to case, spacing and titles; a letter with its option's text, or the text
    alone; null as "not in the record". Not accepted: a value without its unit, a set with one too few or too many, a
    part of a name.
    """
    gold = question.answer
    if isinstance(answer, bool):
        answer = "yes" if answer else "no"
    if isinstance(answer, (int, float, Decimal)):
        answer = str(answer)
    if gold is None:
        return is_null(answer)
    if question.kind == "set":
        return not is_null(answer) and _names(answer) == _names(gold)
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, str) or not isinstance(gold, str):
        return False
    compare = {"yes_no": _same_word, "date": _same_date, "number": _same_number}.get(question.kind, _same_name)
    if question.kind == "letter":
        return _letter(answer, question.options) == gold
    return compare(answer, gold)


def score(questions: Sequence[Question], replies: Sequence[Any], lines: int | Mapping[str, int]) -> Grades:
    """Score replies, in the questions' order.

    Args:
        questions: with their gold answers.
        replies: the shape of `ANSWER_SCHEMA` each, as an object or as JSON text.
        lines: how many lines the record has; by patient where there are several.

    Raises:
        AssayError: there are not as many replies as questions.
    """
    if len(questions) != len(replies):
        raise AssayError(f"There are {len(questions)} questions but {len(replies)} replies; give one reply a question.")
    right: dict[str, list[bool]] = {category: [] for category in CATEGORIES}
    malformed = invented = 0
    cited: list[bool] = []
    for question, reply in zip(questions, replies, strict=True):
        read = _reply(reply)
        malformed += read is None
        answer, evidence = read or ({}, set[int]())
        right.setdefault(question.category, []).append(read is not None and grade(question, answer))
        last = lines if isinstance(lines, int) else lines[question.patient]
        invented += any(not 1 <= number <= last for number in evidence)
        if question.evidence:
            cited.append(bool(evidence & set(question.evidence)))
    categories = {category: sum(found) / len(found) if found else None for category, found in right.items()}
    known = [value for value in categories.values() if value is not None]
    return Grades(
        mean=sum(known) / len(known) if known else 0.0,
        categories=categories,
        counts={category: len(found) for category, found in right.items()},
        malformed=malformed,
        evidence_cited=sum(cited) / len(cited) if cited else None,
        evidence_invented=invented / len(questions) if questions else 0.0,
    )


def _reply(reply: Any) -> tuple[Any, set[int]] | None:
    if isinstance(reply, str):
        node = parse(reply)
        reply = node.plain() if node and node.complete else None
    if not isinstance(reply, Mapping) or "answer" not in reply:
        return None
    evidence = reply.get("evidence")
    numbers = evidence if isinstance(evidence, list) else []
    return reply["answer"], {number for number in numbers if isinstance(number, int) and not isinstance(number, bool)}


def _plain(text: str) -> str:
    """Lower case, single spaces, no SNOMED tag, no full stop behind."""
    text = re.sub(r"\s*\((?:disorder|finding|procedure|situation)\)\s*$", "", text.strip().strip("\"'"), flags=re.I)
    return " ".join(text.casefold().split()).rstrip(".").strip()


def is_null(answer: Any) -> bool:
    """Whether an answer says that the record does not say."""
    if answer == []:
        return True
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer is None or (isinstance(answer, str) and _plain(answer) in NULLS)


def _names(answer: Any) -> frozenset[str] | None:
    if isinstance(answer, str):  # a comma may be part of a name
        answer = [part for part in re.split(r";|\n", answer) if part.strip()]
    if not isinstance(answer, (list, tuple)) or not all(isinstance(part, str) for part in answer):
        return None
    return frozenset(_plain(re.sub(r"^\s*[-*•]\s+", "", part)) for part in answer)


def _same_word(answer: str, gold: str) -> bool:
    return {"y": "yes", "n": "no", "true": "yes", "false": "no"}.get(_plain(answer), _plain(answer)) == gold


def _same_name(answer: str, gold: str) -> bool:
    def bare(text: str) -> str:
        return re.sub(r"^(?:(?:dr|mr|mrs|ms|prof)\b\.?\s*)+", "", _plain(text))

    return bare(answer) == bare(gold)


def _letter(answer: str, options: Sequence[str]) -> str | None:
    for letter, option in zip("ABCDEFGH", options, strict=False):
        if _plain(answer) == _plain(option):
            return letter
    found = re.fullmatch(r"\(?([A-Ha-h])(?:[).:]*|[).:]+\s*(.+))", answer.strip(), re.S)
    if not found:
        return None
    place = "ABCDEFGH".index(found[1].upper())
    # a letter with the text of another option is no answer
    if place >= len(options) or (found[2] and _plain(found[2]) != _plain(options[place])):
        return None
    return found[1].upper()


def _same_date(answer: str, gold: str) -> bool:
    mine, true = moment(answer.strip().rstrip(".")), moment(gold)
    return mine is not None and true is not None and not mine.short and mine.day == true.day


def _values(text: str) -> tuple[str, set[Decimal], str] | None:
    """The comparator, every value that a number can have in an English text, and the unit."""
    found = _NUMBER.fullmatch(text.strip().translate(PLAIN))
    if not found:
        return None
    values = readings(found[2])
    if "." in values and "," not in found[2]:
        values = {".": values["."]}
    named = unit(found[3].rstrip(". "))
    return comparator(found[1]), set(values.values()), "" if named in _NO_UNIT else named


def _same_number(answer: str, gold: str) -> bool:
    mine, true = _values(answer), _values(gold)
    if not mine or not true or mine[0] != true[0] or mine[2] != true[2]:
        return False
    return any(_same_value(value, other) for value in mine[1] for other in true[1])


def _same_value(answer: Decimal, gold: Decimal) -> bool:
    """Whether they are equal, or the answer is the gold value rounded to three digits or more."""
    if answer == gold:
        return True
    exponent, digits = answer.as_tuple().exponent, len(answer.as_tuple().digits)
    finer = gold.as_tuple().exponent
    if not isinstance(exponent, int) or not isinstance(finer, int) or digits < 3 or finer >= exponent:
        return False
    return abs(answer - gold) * 2 <= Decimal(1).scaleb(exponent)
