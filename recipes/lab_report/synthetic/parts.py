"""What a report says, before it is laid out: rows, sections and what stands around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .values import Printed


@dataclass
class Row:
    """One test with everything that may be printed about it."""

    index: int
    name: str
    printed: Printed
    method: str | None = None
    code: str = ""
    tariff: str = ""
    mark: str = ""
    marker: str = ""
    specimen: str = ""
    collected: str = ""
    below: bool = True  # a result in words may begin below the name
    comments: list[str] = field(default_factory=list)


@dataclass
class Section:
    """Rows under a heading; `headings` from the outermost inwards, `collected` as (printed, normalised)."""

    headings: list[str]
    specimen: str
    collected: tuple[str, str]
    rows: list[Row]
    unit: str | None = None
    note: str = ""
    trailer: str = ""
    fluid: bool = False  # the innermost heading is the specimen
    silent: bool = False  # goes on under a heading that was printed before


@dataclass
class Extras:
    """What habits add to a report; empty where a family has none."""

    patient_address: list[str] = field(default_factory=list)
    doctor_address: list[str] = field(default_factory=list)
    foot: list[str] = field(default_factory=list)  # signatories, addresses, accreditation
    marks: list[str] = field(default_factory=list)  # what the marks mean
    conclusion: list[str] = field(default_factory=list)
    listing: list[Row] = field(default_factory=list)  # tests that a page without results names
    notice: str = ""


@dataclass
class Content:
    """A whole report's text, drawn once and then only laid out."""

    words: dict[str, Any]
    place: dict[str, Any]
    titles: dict[str, str]
    lab: str
    address: list[str]
    headline: str
    status: str
    doctor: str
    fields: list[tuple[str, str, str]]  # kind, label, value
    collected: tuple[str, str]  # printed, normalised
    collected_day: str
    previous_dates: list[str]
    sections: list[Section]
    foot: list[str]
    legend: list[str]
    letter: list[str]
    page_form: str
    continued: str
    method_form: str
    range_form: str
    inline_form: str  # how a heading names its specimen
    specimen_label: str
    collected_label: str
    apology: str
    clinical: str  # what the physician asks, printed above the results like a row
    picks: dict[str, float]
    extras: Extras

    @property
    def rtl(self) -> bool:
        """Whether its pages run from right to left."""
        return bool(self.place.get("rtl"))
