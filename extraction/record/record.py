"""Record: what was read from one document, how far it can be trusted, and why.

Three things say how far: the record's `status`, its `issues` (checks that failed, however sure the model was), and
each value's `confidence` (how sure the model was). `Record.review` puts them together: the values that a person should
look at.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from extraction.errors import AssayError
from extraction.files import printable, write_whole
from extraction.schema import pointer
from extraction.values import Typed, type_range, type_value

if TYPE_CHECKING:
    from rich.console import Group

    from extraction.document import Document
    from extraction.evidence import Evidence, PageEvidence

Status = Literal["ok", "partial", "failed"]
REVIEW_BELOW = 0.9
"""Values with a lower confidence are for review.

What a threshold costs and catches depends on the model and the documents; `assay score` shows it for yours. It is high
because a wrong value that is passed over is worse than a right one that is looked at.
"""


@dataclass(frozen=True)
class Issue:
    """A reason for doubt: a check that a document or a value did not pass.

    Codes of a `failed` record, which has no data:

    - `unreadable`: the file cannot be opened, is over a limit, or has no text and cannot be read by OCR.
    - `refused`: the server that runs the model does not answer for it: it is longer than the model's context, for one.
    - `aborted`: reading the file took too long or crashed its process.
    - `empty`: the model's answer held no record.

    Codes about what may be missing, or rest on poor ground:

    - `unread`: a page has no text, so nothing was read from it.
    - `unchecked`: a page was read from its pixels and has no words that its values could be compared with.
    - `text_layer`: a page's own text may not say what the page shows, or not all of it was read.
    - `ocr`: a page was read by OCR, and that is in doubt as a whole, or OCR is unsure of values that were read from it.
    - `cut`: the model's answer stopped early (length, repetition); what was whole before is kept.
    - `row_left_out`: a line of the page looks like a row, and no row was read from it.
    - `column_left_out`: lines from which rows were read have more values in one column, and these are in no row.
    - `value_left_out`: a value stands beside its label, or on the line of its row, and the record does not have it.

    Codes about values:

    - `invalid`: the data does not follow the schema at `path`.
    - `not_found`: the value does not stand on the page where it should: it may be invented or misread.
    - `repeated`: a row was read with the values of the row beside it, and is left out: mostly it is a heading.
    - `misplaced`: a value is of another field's kind, as when a column was taken for the next, or stands under a title
      that is not its own.
    - `contradicts`: two values of a row cannot both be true, such as a flag for high beside a result within its range.
    - `ambiguous`: day and month of a date can be read in two orders, and no other date of the document tells which.
    - `no_result`: a row has a name and no value: it may be a heading or a sentence.
    - `differs`: two readings of one place disagree; the message has the other one.
    - `set_aside`: a row was taken out of the data, since its name or value does not stand where it should, is of
      another column, or is doubted by the model itself. A value that is `not_found` or `misplaced` and may be null is
      null in the data. `Record.set_aside` has both.
    - `added`: a row that the model left out, or misread, was read from its line by the task: compare it with the page.
    - `doubtful`: a row was kept of whose name or value the model itself is little sure.

    Attributes:
        code: one of these.
        message: one sentence for a person.
        path: JSON pointer to the value, or to what holds it; `/` is the whole record, None where no value is meant.
        page: the page it is about, counted from 1; None where it is about none.
    """

    code: str
    message: str
    path: str | None = None
    page: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The issue as JSON, without what it does not know."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Field:
    """One value of a record.

    Attributes:
        value: as in the data.
        path: JSON pointer into the data: `/items/0/price` is `data["items"][0]["price"]`.
        confidence: how sure the model was of it and of the name of its row, 0 to 1: the product of the probabilities
            of the tokens it wrote, times that of the row's first value, times what OCR gave to the letters of a page
            that was read so; None where the first is not known (some servers do not tell it), or the value is null.
            It ranks values, the doubtful ones low; it is not the share of such values that is right (`assay score`
            shows that share).
        evidence: where it stands (page, box and printed text; a line of a record; images that it names); None when it
            does not stand where it should.
        role: what the contract says that the field is for.
    """

    value: Any
    path: str
    confidence: float | None
    evidence: Evidence | None = None
    role: str | None = None

    @property
    def page(self) -> int | None:
        """The page the value was read from, counted from 1."""
        return getattr(self.evidence, "page", None)

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """Where on that page as displayed: x0, y0, x1, y1 in points from the top left."""
        return getattr(self.evidence, "box", None)

    @property
    def text(self) -> str | None:
        """The value as printed."""
        return self.evidence.text if self.evidence else None

    @property
    def typed(self) -> Typed:
        """The value as number, range, ordinal or date, where its text can mean only one thing.

        A time is taken as it is printed, where that tells: a model may write 2026-07-01 as 01-07-2026.
        """
        if self.role == "time" and self.text and (printed := type_value(self.text)).kind == "date":
            return printed
        text = "" if self.value is None else str(self.value)
        return type_range(text) if self.role == "range" else type_value(text)


@dataclass(frozen=True)
class SetAside:
    """A row or a value that was read and is not data, since nothing printed bears it out; or what was not read.

    Attributes:
        path: JSON pointer to where it would stand: to its list (`/items`) for a row, to its own place for a value, `/`
            for what the task left out before it read, such as a column of earlier results.
        data: the row, or the value, as it was read; a list of what was left out, as printed.
        reason: why it is not data, without a full stop.
        evidence: where it was read; None where it stands nowhere.
    """

    path: str
    data: Any
    reason: str
    evidence: PageEvidence | None = None

    def to_dict(self) -> dict[str, Any]:
        """It as JSON, with page, box and text where it has a place."""
        place = self.evidence.to_dict() if self.evidence else {}
        return {"path": self.path, "data": self.data, "reason": self.reason, **place}


@dataclass
class Record:
    """What was read from one document.

    `record.data` is the plain JSON; `record["items"][0]["price"]` is one value of it as a `Field`, with its place on
    the page and its confidence; `record.review()` lists the values that a person should look at.

    Attributes:
        source: the document's file name.
        status: `ok`: whole, valid, every value found on the page; `partial`: something is missing or doubtful,
            `issues` says what; `failed`: there is no data, `issues` says why.
        data: plain JSON that follows the schema (None when failed); of a file with several reports
            `{"reports": [...]}`, of which each does.
        issues: reasons for doubt.
        fields: every leaf value that is not null, by its JSON pointer.
        set_aside: rows and values that were read and are not in the data, and what was left out, each with the reason.
            What was left out on purpose is no reason for doubt.
        derived: what the task works out from the values, by the JSON pointers of fields that the schema does not have:
            what a result means by its range, say.
        views: for each page, what the model was shown of it (`text`: the file's own text
            layer, `ocr`: words read by OCR, `image`: its pixels, `both`: its pixels and words).
        reasons: for each page, why its words were taken from there; empty where there was no choice.
        report_pages: the pages of each report, where the file holds several; empty where it is one.
        document: the pages, for `save_html`; not saved.
    """

    source: str
    status: Status
    data: dict[str, Any] | None
    issues: list[Issue] = field(default_factory=list)
    fields: dict[str, Field] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    derived: dict[str, str] = field(default_factory=dict)
    views: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    report_pages: list[list[int]] = field(default_factory=list)
    document: Document | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """A record that was saved (`records/NAME.json`); it has no `document`.

        Raises:
            AssayError: the file cannot be read, or is no record.
        """
        from extraction.record.load import load_record

        return load_record(Path(path))

    @classmethod
    def failed(cls, source: str, code: str, message: str) -> Record:
        """The record of a document that gave nothing."""
        return cls(source, "failed", None, [Issue(code, message)])

    def __getitem__(self, key: str | int) -> Any:
        """Walk to a value: `record["items"][0]["price"]` is its `Field`.

        Raises:
            AssayError: the record failed; its reason.
        """
        if self.data is None:
            raise AssayError(f"{self.source} has no data: {self.issues[0].message if self.issues else self.status}")
        return _View(self, ())[key]

    @property
    def several(self) -> bool:
        """Whether the file holds several reports."""
        return bool(self.report_pages)

    @property
    def reports(self) -> list[Any]:
        """The data of each report of the file; one that gave nothing is None."""
        return self.data["reports"] if self.several and self.data else [self.data]

    def place(self, path: str) -> str:
        """Where a JSON pointer leads, for a person: `row 5 (Creatinine), result`; empty for the whole record."""
        node: Any = self.data
        at, told = "", list[str]()
        for step in path.split("/")[1:] if path != "/" else ():
            at += f"/{step}"
            if isinstance(node, list):
                node = node[int(step)] if step.isdigit() and int(step) < len(node) else None
                name = self._name(node, at)
                told[-1:] = [f"{'report' if at.startswith('/reports/') and len(told) == 1 else 'row'} {int(step) + 1}"]
                told[-1] += f" ({name})" if name else ""
            else:
                key = step.replace("~1", "/").replace("~0", "~")
                node = node.get(key) if isinstance(node, dict) else None
                told.append(key)
        return ", ".join(told)

    def told(self, issue: Issue) -> str:
        """An issue with its place, for a person."""
        page = f"page {issue.page}" if issue.page and len(self.views) > 1 else ""
        place = ", ".join(filter(None, (page, self.place(issue.path) if issue.path else "")))
        return f"{place[:1].upper()}{place[1:]}: {issue.message}" if place else issue.message

    def _name(self, row: Any, at: str) -> str | None:
        """What a row is called: by the role of its fields, else its first text."""
        if not isinstance(row, dict):
            return None
        own = {key: self.fields.get(f"{at}/{pointer((key,))[1:]}") for key in row}
        named = next((key for key, one in own.items() if one and one.role == "name"), None)
        found = row[named] if named else next((value for value in row.values() if isinstance(value, str)), None)
        return found if isinstance(found, str) else None

    def review(self, below: float = REVIEW_BELOW) -> list[Field]:
        """The values that a person should look at, in the record's order.

        Those with a confidence under `below`, those whose confidence is not known, and those that an issue names (or
        names something that holds them). What is missing from the record is not among them: see `issues`.
        """
        doubts = {issue.path for issue in self.issues if issue.path}
        return [
            field
            for field in self.fields.values()
            if field.confidence is None or field.confidence < below or named(field.path, doubts)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON: `source`, `status`, `issues`, `data`, `report_pages`, `set_aside`, `derived`, then
        `views`, `reasons` and `evidence` by JSON pointer: `confidence`, place and text, `role`, and `typed` where the
        value means a number, a range, a date or the like (`extraction.values.Typed`; its unit is that of the row's own
        field where none is printed behind the number). An issue has its `place` in words beside its path.
        """
        return {
            "source": printable(self.source),
            "status": self.status,
            "issues": [self._placed(issue) for issue in self.issues],
            "data": self.data,
            "report_pages": self.report_pages,
            "set_aside": [one.to_dict() for one in self.set_aside],
            "derived": self.derived,
            "views": self.views,
            "reasons": self.reasons,
            "evidence": {path: _evidence(field, self._unit_beside(field)) for path, field in self.fields.items()},
        }

    def _placed(self, issue: Issue) -> dict[str, Any]:
        """An issue as JSON, with the words of `place` where it has one."""
        place = self.place(issue.path) if issue.path else ""
        return {**issue.to_dict(), **({"place": place} if place else {})}

    def _unit_beside(self, field: Field) -> str:
        """The unit that a row has in a field of its own, for its value; empty where it has none or several values."""
        if field.role != "value":
            return ""
        row = field.path.rpartition("/")[0]
        node: Any = self.data
        for step in row.split("/")[1:]:
            node = node[int(step)] if isinstance(node, list) else node[step.replace("~1", "/").replace("~0", "~")]
        if not isinstance(node, dict):
            return ""
        own = [self.fields.get(f"{row}{pointer((key,))}") for key in node]
        units = [one.value for one in own if one and one.role == "unit"]
        values = [one for one in own if one and one.role == "value"]
        return str(units[0]) if len(units) == len(values) == 1 else ""

    def save(self, path: str | Path) -> None:
        """Write the record as JSON, whole or not at all."""
        write_whole(Path(path), json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    def save_html(self, path: str | Path, review_below: float = REVIEW_BELOW) -> None:
        """Write the evidence page: the document beside the values, each linked to its place on the page.

        Args:
            path: one self-contained HTML file; nothing in it loads anything.
            review_below: the values of `review(review_below)` are marked.

        Raises:
            AssayError: the record has no document: it failed, or was loaded from a file.
            DocumentError: the document cannot be drawn.
        """
        from extraction.record.html import evidence_page

        if self.document is None:
            if self.status == "failed":
                raise AssayError(f"{self.source} gave no pages to show: {self.issues[0].message}")
            raise AssayError(
                f"This record of {self.source} was loaded without its pages; assay extract FILE --out FOLDER --html "
                "writes the evidence pages of records that are done."
            )
        write_whole(Path(path), evidence_page(self, self.document, review_below))

    def table(self, review_below: float = REVIEW_BELOW) -> Group:
        """The record as a table for the terminal, with a `?` behind the values of `review(review_below)`."""
        from extraction.record.table import record_table

        return record_table(self, {field.path for field in self.review(review_below)})


def named(path: str, doubts: Collection[Any]) -> bool:
    """Whether `doubts` has the JSON pointer `path`, or that of something which holds it (`/`: the whole record)."""
    steps = path.split("/")
    return "/" in doubts or any("/".join(steps[:end]) in doubts for end in range(2, len(steps) + 1))


def _evidence(field: Field, unit: str) -> dict[str, Any]:
    out: dict[str, Any] = {"confidence": None if field.confidence is None else round(field.confidence, 4)}
    if field.evidence:
        out.update(field.evidence.to_dict())
    if field.role:
        out["role"] = field.role
    typed = field.typed
    if unit and not typed.unit and typed.kind in ("number", "range"):
        typed = replace(typed, unit=unit)
    if (told := typed.to_dict()) and not isinstance(field.value, bool | int | float):
        out["typed"] = told
    return out


class _View:
    """A step on the way to a field."""

    def __init__(self, record: Record, path: tuple[str | int, ...]):
        self._record, self._path = record, path

    def _node(self) -> Any:
        node: Any = self._record.data
        for step in self._path:
            node = node[step]
        return node

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, int):
            key = range(len(self))[key]  # from the end, too
        view = _View(self._record, (*self._path, key))
        node = view._node()
        if isinstance(node, dict | list):
            return view
        at = pointer(view._path)
        return self._record.fields.get(at) or Field(node, at, None)

    def __len__(self) -> int:
        return len(self._node())
