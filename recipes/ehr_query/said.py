"""What a question has that code reads better than a model: names as a record prints them, units of numbers.

A name is short in what the model is shown, since it copies badly, and whole in the query; a unit is left out, and put
to its number in the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rapidfuzz import fuzz

from recipes.ehr_qa.query import Query, Step
from recipes.ehr_qa.records import PatientRecord
from recipes.ehr_qa.resolve import bare, meaning, words

_Part = TypeVar("_Part", Query, Step)

_LIKE = 70.0  # of 100: what a model makes of a name that it was shown
_FEWEST = 2  # words; a name of one is the model's to understand: "iron" may be a value or a drug
# A number's unit: no dose of a drug (mg), whose number is no limit of a value.
_UNIT = re.compile(
    r"(?<![\w.,/-])(?P<number>\d+(?:\.\d+)?) ?(?P<unit>%|percent\b|° ?[CF]\b|[CF](?![\w'-])"
    r"|degrees (?:celsius|fahrenheit)\b|(?:m|k|cm|mm)?(?:mol|g|eq|iu|u|l|cells?) ?/ ?(?:dl|l|ul|min|day|mmol|mol|g)"
    r"(?:/1\.73 ?m2)?\b|[unpµμ]?(?:mol|g|u|iu) ?/ ?(?:dl|ml|l)\b|mcg ?/ ?d?l\b|10[\^*]\d+ ?/ ?[uµμ]?l\b"
    r"|mm ?\[?hg\]?|bpm\b|kg(?:/m2)?\b|kilos\b|lbs?\b|pounds?\b|cm\b"
    r"|milligrams? per deciliter\b|millimoles? per liter\b)",
    re.IGNORECASE,
)
_SHORTENED = ("observation", "medication", "immunization")


@dataclass(frozen=True)
class Said:
    """A question as the model is shown it, and the names that were shortened in it.

    Attributes:
        question: what the model is shown.
        names: by the short name, the whole one and the sections that have it.
        units: by a number of the question, its unit.
    """

    question: str
    names: Mapping[str, tuple[str, tuple[str, ...]]]
    units: Mapping[float, str]

    @classmethod
    def of(cls, question: str, records: Sequence[PatientRecord]) -> Said:
        """A question whose names that a record has, of two words or more, are shortened, and without units."""
        known = _names(records)
        long = sorted((name for name in known if name in question.casefold()), key=len, reverse=True)
        found: dict[str, tuple[str, tuple[str, ...]]] = {}

        def short(match: re.Match[str]) -> str:
            name, kinds = known[match.group().casefold()]
            made = _short(name) if kinds[0] in _SHORTENED else re.split(r"[,(\[]", name)[0].strip() or name
            found.setdefault(made, (name, kinds))
            return made

        if long:
            pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, long))})(?!\w)"
            question = re.sub(pattern, short, question, flags=re.IGNORECASE)
        units = {float(match["number"]): match["unit"] for match in _UNIT.finditer(question)}
        return cls(_UNIT.sub(r"\g<number>", question), found, units)

    def named(self, query: Query) -> Query:
        """A query with its unit, and whole names in the sections that have them, where the model wrote short ones."""
        times = tuple(
            time.model_copy(update={"step": self._named(time.step)}) if time.step else time for time in query.times
        )
        value = query.value
        if value and value.number in self.units:
            value = value.model_copy(update={"unit": self.units[value.number]})
        return self._named(query).model_copy(update={"times": times, "value": value})

    def _named(self, part: _Part) -> _Part:
        if not part.which or part.what in ("text", "patient"):
            return part
        like = [(_likeness(short, part.which, part.what), short) for short in self.names]
        best, short = max(like, default=(0.0, ""))
        if best < _LIKE:
            return part
        name, kinds = self.names[short]
        return part.model_copy(update={"which": name, "what": part.what if part.what in kinds else kinds[0]})


def _likeness(name: str, other: str, kind: str) -> float:
    if words(other) <= words(name) or meaning(name, kind) & meaning(other, kind):
        return 100.0
    return float(fuzz.ratio(name.casefold(), other.casefold()))


def _names(records: Sequence[PatientRecord]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The names of records, by their small letters, with the sections that have them."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for fact in (fact for record in records for fact in record.facts if fact.kind != "patient"):
        for name in {fact.name, *(label for label, _ in fact.values)}:
            if len(name.split()) >= _FEWEST:
                kinds = found.get(name.casefold(), (name, ()))[1]
                found[name.casefold()] = name, tuple(dict.fromkeys((*kinds, fact.kind)))
    return found


def _short(name: str) -> str:
    """A name's first words, without what LOINC puts behind it, doses, and what stands in brackets or after a comma."""
    return " ".join(re.split(r"[,(\[]| - ", bare(name))[0].split()[:4]) or name
