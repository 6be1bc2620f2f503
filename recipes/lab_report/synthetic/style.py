"""What a layout family can choose: Style is one report's choices, Family the distributions they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any


@dataclass(frozen=True)
class Style:
    """The choices of one report. Lengths are in PDF points, probabilities in 0..1."""

    locale: str = "en-US"
    # Page.
    layout: str = "table"  # table | cards | lines | narrative | gauge | matrix
    landscape: bool = False
    frames: int = 1  # 2: two tables side by side, read left then right
    margin: float = 42
    font: str = "Helvetica"  # Helvetica | Times | Courier | Vera
    value_font: str = ""  # the table's font where it differs from the page's
    size: float = 9
    leading: float = 1.35  # line height as a multiple of the size
    colour: str = "#1f4e79"
    # Furniture.
    letterhead: str = "left"  # left | center | bar | status | plain | right | logo | none
    patient: str = "grid"  # grid | boxes | table | inline | strip | and those of patient.py
    form_columns: int = 2  # of the patient block "form" (forms.py)
    form_labels: str = "beside"  # beside | inline | above | right
    form_frame: str = "none"  # none | box | rules | grid | fill | round
    form_colon: str = ":"
    form_bold: bool = False
    form_across: bool = False  # its entries go from left to right, not down
    form_code: float = 0.0  # a barcode with the sample's number below
    repeat: str = "line"  # on later pages: full | line | none
    watermark: float = 0.0
    barcode: float = 0.0
    cover: float = 0.0  # a letter without results comes first
    appendix: float = 0.0  # explanatory notes without results come last
    legend: str = "none"  # none | end | foot
    signatory: bool = True
    # Table.
    columns: str = "name result unit range"  # also those of cells.py: flag method code ...
    titles: bool = True
    section_titles: bool = False  # column titles again under each panel
    rules: str = "header"  # none | header | rows | grid | zebra | ascii | dotted | box
    header_fill: str = "none"  # none | grey | colour
    spread: str = "name"  # where spare width goes: name | even | left
    align: str = "left"  # of results: left | right | center
    leader: bool = False
    heading: str = "bold"  # bold | upper | underline | fill | center | italic
    nested: bool = False
    indent: float = 0
    result_below: bool = False
    words_below: bool = False  # results in words begin on the line below the name
    name_case: str = "as is"  # as is | upper
    mark: str = ""  # accreditation mark after some names
    date_header: bool = False  # the result column is headed by the sampling date
    # Values.
    flag: str = "HL"  # none | HL | pm | arrow | star | bang | word | bold | colour | bracket | triangle
    flag_place: str = "column"  # column | before | after
    bold_abnormal: bool = False
    unit_place: str = "column"  # column | result | range | name | header
    units: int = -1  # 0 conventional, 1 SI, -1 as the locale does
    dash: str = " - "
    bracket: str = ""
    less: str = "<{}"
    more: str = ">{}"
    groups: float = 0.0  # thousand separators
    sexes: float = 0.0  # ranges by age and sex on several lines
    targets: float = 0.0  # a target value inside the range cell
    method: str = "none"  # none | under | column
    specimen: str = "none"  # none | report | heading | line | column | outer | inline
    time: str = "report"  # none | report | section | column | date
    seconds: bool = False
    comments: float = 0.08
    notes: float = 0.0  # long interpretations after a panel
    pending: float = 0.03
    invented: float = 0.05
    empty: float = 0.0
    # Habits (habits.py draws them; the families of the demo have none).
    edition: str = "base"  # which vocabulary: base | train | held
    codes: str = "loinc"  # loinc | digits
    mark_place: str = "after"  # of the accreditation mark: after | before the name
    colon: bool = False  # a colon after the name
    aliases: float = 0.0  # names with another name in parentheses
    fresh: str = ""  # mark of a new result, behind the flag
    ref_header: bool = False  # the request's number above the date that heads the results
    title_case: str = ""  # upper | lower: the columns' titles
    range_below: bool = False  # the range in small type under the name
    pending_bare: bool = False  # no unit and range while a result is pending
    bare_words: bool = False  # results in words have no range
    comment_share: float = 0.72  # width of comments, as a share of the table's
    comment_place: str = "result"  # result | name | margin
    remarks: float = 0.0  # comments made for the result: index and grey zone, target, interpretation bands
    trailer: float = 0.0  # a line below a panel that says who validated it
    tail: float = 0.0  # rows of the outer panel again after an inner one
    hollow: float = 0.0  # a panel's heading with a remark and no rows
    fluids: float = 0.0  # one test under several specimens, which are headings
    conclusion: float = 0.0
    clinical: float = 0.15  # what the physician asks, printed like a row
    foot_block: str = ""  # lines | columns: signatories, addresses, accreditation at the foot
    address: bool = False  # street and city of patient and doctor, insurance, copies
    blank: str = ""  # what a report without results is about: see blank.py
    extra_page: str = ""  # a page without results "before:KIND" or "after:KIND"
    # Habits of life.py and blocks.py.
    bands: float = 0.0  # what values mean, below a row
    prose: float = 0.0
    scale: float = 0.0
    trend: float = 0.0
    legend_rows: bool = False  # a legend that looks like rows
    kidney: bool = False
    curve: bool = False
    cultures: bool = False
    samples: bool = False  # blocks of sections, each under its sample's heading
    dates: int = 0  # a column for each of so many dates
    newest_first: bool = False
    cancelled: float = 0.0
    struck: bool = False
    corrected: float = 0.0
    wrong_flags: float = 0.0
    flag_form: str = "{}"
    flag_tight: bool = False  # no space between flag and result
    headless: str = ""  # first | all: sections without a heading
    spans: str = ""  # top | middle | bottom: the group's name in a cell beside its rows
    value_at: str = "top"  # top | middle | bottom line of a name of several
    name_share: float = 0.45  # at most so much of the table is its names
    long_names: float = 0.0
    bilingual: float = 0.0
    suffix: float = 0.0  # a parenthesis at the end of names
    labs: bool = False  # two laboratories in one table
    wide: bool = False  # titles of the wide American form
    split_comments: bool = False  # a page may end within a comment
    # Contents.
    contents: str = "general"  # general | large | few | urine | fluids | infection | hormones | uniform
    rows: int = 16


@dataclass(frozen=True)
class Family:
    """A layout family: what makes its reports alike. `options` maps Style fields to alternatives."""

    name: str
    split: str
    description: str
    locales: tuple[str, ...]
    options: Mapping[str, Sequence[Any]]
    habits: bool = True  # whether habits.py adds to what the family fixes

    @property
    def languages(self) -> tuple[str, ...]:
        """Language codes the family is printed in."""
        return tuple(dict.fromkeys(locale[:2] for locale in self.locales))

    def sample(self, rng: Random) -> Style:
        """Draw one report's style."""
        drawn = {key: rng.choice(list(values)) for key, values in (_LOOSE | dict(self.options)).items()}
        return settle(Style(**(drawn | {"locale": rng.choice(self.locales)})))


# No laboratory's paper is quite another's: what a family does not fix varies.
_LOOSE: dict[str, Sequence[Any]] = {
    "margin": [30, 36, 42, 42, 50, 56],
    "leading": [1.25, 1.35, 1.35, 1.5, 1.7],
    "align": ["left", "left", "left", "right", "center"],
    "time": ["report"] * 6 + ["date", "none"],
    "seconds": [False] * 6 + [True],
    "more": [">{}", "> {}", "≥ {}", ">{}"],
    "less": ["<{}", "< {}", "≤ {}", "<{}"],
}


def settle(style: Style) -> Style:
    """Make places agree with the columns: what has a column is printed in it, and nowhere else."""
    columns = style.columns.split()
    changes: dict[str, Any] = {}
    if "unit" in columns:
        changes["unit_place"] = "column"
    elif style.unit_place == "column":
        changes["unit_place"] = "result"
    if "flag" in columns:
        changes["flag_place"] = "column"
    elif style.flag_place == "column":
        changes["flag_place"] = "after"
    for kind, otherwise in (("method", "none"), ("specimen", "none"), ("time", "report")):
        if kind in columns:
            changes[kind] = "column"
        elif getattr(style, kind) == "column":
            changes[kind] = otherwise
    if style.words_below:
        changes["align"] = "left"
    return replace(style, **changes)


def family(name: str, split: str, description: str, locales: str, habits: bool = True, **options: Any) -> Family:
    """Make a Family; an option given as a list is a set of alternatives, anything else is fixed."""
    known = {field.name for field in fields(Style)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"family {name}: {', '.join(unknown)} are not fields of Style")
    if split not in ("train", "validation", "test"):
        raise ValueError(f"family {name}: split must be train, validation or test, not {split}")
    alternatives = {key: value if isinstance(value, list) else [value] for key, value in options.items()}
    return Family(name, split, description, tuple(locales.split()), alternatives, habits)
