"""What a report says, before it is laid out: rows, sections and what stands around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .blocks import Block
from .head import Piece
from .values import Printed

Form = list[tuple[str, list[Piece]]]  # labels with their values


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
    letter: str = ""  # S, I or R beside an antibiotic's MIC
    lab: str = ""  # code of the laboratory that did it
    struck: bool = False  # a line through the name
    corrected: str = ""  # how the result's cell says that it was corrected, "{}" for the result
    block: Block | None = None  # what stands under the row
    taken: tuple[str, str] | None = None  # the date of its column, printed and normalised
    series: list[Row | None] = field(default_factory=list)  # the rows of its printed line, a date each


@dataclass
class Culture:
    """An organism's heading beside its name, and the titles of its antibiotics."""

    prefix: str
    colonies: str
    titles: list[str]


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
    sample: str = ""  # the sample's own heading
    culture: Culture | None = None
    blocks: list[Block] = field(default_factory=list)  # what stands below it and is no result


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
    lab: str = ""  # the code of the laboratory that did all of it, where a column names it


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
    form: Form = field(default_factory=list)  # the head of a report whose patient block is a form
    code: Piece | None = None  # the number under its barcode
    decimal: str = "."  # as the report writes figures
    dates: list[str] = field(default_factory=list)  # titles of a column for every date

    @property
    def rtl(self) -> bool:
        """Whether its pages run from right to left."""
        return bool(self.place.get("rtl"))
