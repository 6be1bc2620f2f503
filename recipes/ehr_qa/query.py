"""A typed question on a health record, and the shape of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from extraction.errors import AssayError
from recipes.ehr_qa.dates import read_when

Kind = Literal[
    "condition", "medication", "observation", "immunization", "procedure", "allergy", "encounter", "report",
    "care_plan", "patient", "text",
]  # fmt: skip
Operation = Literal[
    "latest", "first", "list", "count", "maximum", "minimum", "trend", "exists", "active", "reason", "prescriber",
    "status",
]  # fmt: skip


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Closed):
    """Another entry of the record, whose date is meant: the first or latest of a name."""

    what: Kind
    which: str | None = None
    operation: Literal["latest", "first"] = "latest"

    def __str__(self) -> str:
        """In words: `the first condition “stroke”`."""
        return f"the {_called(self.operation, self.what, self.which)}"


def _called(operation: str, what: str, which: str | None) -> str:
    return f"{operation} {what.replace('_', ' ')}" + (f" “{which}”" if which else "")


class Time(_Closed):
    """A limit of time: before or after a day, from or until it (with it), on it; or by the day of another entry."""

    relation: Literal["before", "after", "since", "until", "on"]
    date: str | None = Field(None, description="YYYY, YYYY-MM or YYYY-MM-DD")
    step: Step | None = None

    @field_validator("date")
    @classmethod
    def _is_date(cls, value: str | None) -> str | None:
        when = read_when(value)
        if value is not None and when is None:
            raise ValueError("is no day, month or year (YYYY-MM-DD, YYYY-MM, YYYY)")
        if when and (when.problem or when.clock):
            raise ValueError("is no day, month or year (YYYY-MM-DD, YYYY-MM, YYYY)")
        return value

    @model_validator(mode="after")
    def _one(self) -> Time:
        if (self.date is None) == (self.step is None):
            raise ValueError("has either a date or a step")
        return self


class Limit(_Closed):
    """A limit of values: above or below a number, or from it (at least, at most).

    The number is in the record's own unit, or in `unit`: values in another are not compared with it.
    """

    relation: Literal["above", "below", "at least", "at most"]
    number: float = Field(allow_inf_nan=False)
    unit: str | None = None

    def __str__(self) -> str:
        return f"{self.relation} {self.number:g}" + (f" {self.unit}" if self.unit else "")


class Query(_Closed):
    """What is asked of a record.

    Attributes:
        what: the section; `text` for all lines that have the words of `which`, best first: what has to be read.
        which: a name, a synonym, a class ("statin", "heart disease") or a code; None for all of the section. Of the
            patient: name, sex, birth date, age, death, marital status, race, ethnicity, language, city.
        operation: `latest` and `first` entry; `list` and `count`; `maximum`, `minimum` and `trend` of values; `exists`;
            `active` (at present, as the record has it); `reason`, `prescriber` and `status` of the latest.
        times: limits of time, all of which hold.
        value: a limit of values.
    """

    what: Kind
    which: str | None = None
    operation: Operation
    times: tuple[Time, ...] = ()
    value: Limit | None = None

    @field_validator("which")
    @classmethod
    def _no_blank(cls, value: str | None) -> str | None:
        return value.strip() or None if value else None

    def __str__(self) -> str:
        """In words: `latest observation “a1c”, before 2015, above 8`."""
        times = [f"{time.relation} {time.date or time.step}" for time in self.times]
        value = [str(self.value)] if self.value else []
        return ", ".join([_called(self.operation, self.what, self.which), *times, *value])


@dataclass(frozen=True)
class Item:
    """One thing that was found: what it is called, its value (empty where it is none), its day, its line."""

    name: str
    value: str
    date: str
    line: int
    text: str


@dataclass(frozen=True)
class Result:
    """The answer to a query.

    Attributes:
        answer: text, list of texts, number, or yes and no; None where the record does not say.
        items: what says so, in the order of time.
        said: one sentence: the answer with its dates, or what was searched.
        notes: what else a person should know: names that look alike, lines that do not count, more units than one.
    """

    query: Query
    answer: Any
    items: tuple[Item, ...]
    said: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """`{query, answer, said, items, notes}`."""
        items = [{"name": i.name, "value": i.value, "date": i.date, "line": i.line, "text": i.text} for i in self.items]
        asked = self.query.model_dump(exclude_defaults=True)
        return {"query": asked, "answer": self.answer, "said": self.said, "items": items, "notes": list(self.notes)}


def read_query(text: str) -> Query:
    """A query from JSON.

    Raises:
        AssayError: it is none; the sentence says where.
    """
    try:
        return Query.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the query"
        raise AssayError(f"This is no query: {where} {first['msg'].removeprefix('Value error, ')}.") from None
