"""A query that the question's own words or the tables speak against, put right by code.

A small model that copies a name from a question takes a word too many ("trop peak"), or takes a drug for a value. That
something was changed is told beside the answer. Or it takes a word too few ("biopsy" of "kidney biopsy"), which would
answer of more than was asked: a name is always the longest that the question has there and a table knows. The words
that speak against a query are in `vocabulary/mend.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar, get_args

import yaml

from recipes.ehr_qa.classes import is_known
from recipes.ehr_qa.nearest import nearest
from recipes.ehr_qa.nothing import not_own
from recipes.ehr_qa.query import Kind, Operation, Query, Step, Time
from recipes.ehr_qa.sayings import SILENT, is_all, meaning, rows_of, words

_Part = TypeVar("_Part", Query, Step)
_LONGEST = 8  # words of a name
_OF_SECTIONS = ("allergy", "immunization")
_NEVER_ACTIVE = ("allergy", "procedure", "observation", "report", "immunization", "encounter")
_OF_VALUES = ("maximum", "minimum", "trend")
_LOW_IS_BAD = (
    "oxygen saturation", "glomerular filtration rate", "hemoglobin", "platelets", "left ventricular ejection fraction",
    "high density lipoprotein cholesterol", "vitamin d", "vitamin b12", "bone density", "peak expiratory flow", "fev1",
    "albumin", "ferritin", "iron", "visual acuity", "mini-mental state examination", "forced vital capacity",
)  # fmt: skip
_SECTIONS = tuple(kind for kind in get_args(Kind) if kind not in ("patient", "text"))


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """What is searched in a question, by what it says."""
    file = Path(__file__).parent / "vocabulary" / "mend.yaml"
    table: dict[str, dict[str, list[str]]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    said = {what: "|".join(one for own in found.values() for one in own) for what, found in table.items()}
    return {
        what: re.compile(one if what in _OF_SECTIONS else rf"\b(?:{one})\b", re.IGNORECASE)
        for what, one in said.items()
    }


def says(what: str, question: str) -> bool:
    """Whether a question has words that say something (a key of `vocabulary/mend.yaml`)."""
    return bool(_patterns()[what].search(question))


def whole(query: Query, question: str) -> Query:
    """The query with each name as long as the question has it, where a table knows the longer one.

    And with the end of the values, the operation and the section that its own words are for: "fattest he got" is no
    minimum, and "why" asks for no prescriber.
    """
    times = _span(tuple(_with_it(time, question) for time in query.times))
    query = query.model_copy(update={"operation": _operation(query, question), "times": times})
    times = tuple(
        time.model_copy(update={"step": _whole(time.step, question)}) if time.step else time for time in query.times
    )
    return _in_section(_whole(query, question), question).model_copy(update={"times": times})


def _operation(query: Query, question: str) -> Operation:
    most, least = says("most", question), says("least", question)
    if query.operation in ("maximum", "minimum"):
        if most == least and (bad := says("worst", question)) != says("best", question):
            most = bad != _low_is_bad(query)
            least = not most
        if most == least:
            return "latest" if not most and says("too", question) else query.operation
        return "maximum" if most else "minimum"
    if query.operation in ("reason", "prescriber") and (why := says("why", question)) != says("who", question):
        return "reason" if why else "prescriber"
    # Who is asked whether she is allergic tells of an allergy that is over, too; what was done is never active.
    once = query.operation == "active" and query.which and query.what in _NEVER_ACTIVE
    return "exists" if once and not says("still", question) else query.operation


def _low_is_bad(query: Query) -> bool:
    meant = meaning(query.which, query.what)
    return any(meant & meaning(name, query.what) for name in _LOW_IS_BAD)


def _with_it(time: Time, question: str) -> Time:
    """A limit with its day, where the question says so: "in 2017 or after"."""
    wider = {"after": "since", "before": "until"}.get(time.relation)
    return time.model_copy(update={"relation": wider}) if wider and time.date and says("with_it", question) else time


def _span(times: tuple[Time, ...]) -> tuple[Time, ...]:
    """Two days as the first and the last: nothing is on both."""
    days = [time for time in times if time.relation == "on" and time.date]
    if len(times) != 2 or len(days) != 2 or days[0].date == days[1].date:
        return times
    first, last = sorted(days, key=lambda time: str(time.date))
    return first.model_copy(update={"relation": "since"}), last.model_copy(update={"relation": "until"})


def _in_section(query: Query, question: str) -> Query:
    """A condition or drug, in the section that another word of the question is of: "a jab against tetanus"."""
    steps = {time.step.what for time in query.times if time.step}
    for what in _OF_SECTIONS:
        name, place = query.which or "", what not in steps and says(what, question)
        known = is_known(name, what) or (what == "allergy" and is_known(name, "medication"))
        if query.what in ("condition", "medication") and place and known and not says(what, name):
            return query.model_copy(update={"what": what})
    return query


def _whole(part: _Part, question: str) -> _Part:
    """In its own section, else in the one other that knows a longer one: "blood pressure pills" are no pressure."""
    if not part.which or part.what not in _SECTIONS or part.which not in question:
        return part
    longer = [name for name in _around(part.which, question) if words(name) - SILENT > words(part.which) - SILENT]
    own = next((name for name in longer if is_known(name, part.what)), None)
    if own:
        return part.model_copy(update={"which": own})
    # No drug has a maximum; and "had the covid vaccine" says no disease.
    stays = part.operation in _OF_VALUES or (part.what in _OF_SECTIONS and says(part.what, part.which))
    for name in () if stays else longer:
        if other := _only_section(name):
            return part.model_copy(update={"which": name, "what": other})
    return part


def _around(name: str, question: str) -> list[str]:
    """The pieces of a question that hold a name, those that say most first; none longer than `_LONGEST` words."""
    found = list(re.finditer(r"[^\s,;:()?!]+", question))
    at = question.index(name)
    first = sum(word.end() <= at for word in found)
    last = sum(word.start() < at + len(name) for word in found) - 1
    pieces = [
        question[found[a].start() : found[b].end()].strip(".'’")
        for a in range(max(0, last - _LONGEST + 1), first + 1)
        for b in range(last, min(len(found), a + _LONGEST))
    ]
    # Over no comma; of those that say the same the shortest: no "the" before, no "with" behind.
    together = (piece for piece in pieces if not re.search(r"[,;:()?!]", piece))
    return sorted(together, key=lambda piece: (-len(words(piece) - SILENT), len(piece)))


def mended(query: Query) -> Query:
    """The query with names that a table knows, where code can tell them; itself where there is nothing to mend."""
    times = tuple(time.model_copy(update={"step": _mended(time.step)}) if time.step else time for time in query.times)
    return _mended(query).model_copy(update={"times": times})


def _mended(part: _Part) -> _Part:
    """What is nearly called so in its section, else a part of the name, there or in the one other that knows it."""
    if not part.which or part.what not in _SECTIONS or _stays(part.which, part.what):
        return part
    if (other := _only_section(part.which)) is not None:
        return part.model_copy(update={"what": other})
    if (place := nearest(part.which, part.what)) is not None:
        return part.model_copy(update={"which": rows_of(part.what)[place].english[0]})
    for name in _pieces(part.which):
        if is_known(name, part.what):
            return part.model_copy(update={"which": name})
        if other := _only_section(name):
            return part.model_copy(update={"which": name, "what": other})
    return part


def _stays(name: str, kind: str) -> bool:
    return not_own(name) or is_all(name, kind) or is_known(name, kind)


def _only_section(name: str) -> str | None:
    """The one section that knows a name: what is done may be reported, too, and to a drug one may be allergic."""
    known = {kind for kind in _SECTIONS if is_known(name, kind)}
    if "procedure" in known:
        known -= {"report"}
    if "allergy" in known and any(is_known(piece, "medication") for piece in _pieces(name)):
        known -= {"allergy"}
    return known.pop() if len(known) == 1 else None


def _pieces(name: str) -> Iterator[str]:
    """The name and its pieces of fewer words, the longest first; none that is a number or two letters alone."""
    found = list(re.finditer(r"[^\s,;:()]+", name))
    for length in range(len(found), 0, -1):
        for first in range(len(found) - length + 1):
            piece = name[found[first].start() : found[first + length - 1].end()].strip(".,;:?!")
            if sum(map(str.isalpha, piece)) > 2:
                yield piece
