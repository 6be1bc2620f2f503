"""Checks of a record: those that hold for any schema, and those that a task brings, by the name in the contract."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from extraction.errors import AssayError
from extraction.evidence.unread import unread_rows
from extraction.plugins import load
from extraction.schema import Schema, map_subschemas, resolve

if TYPE_CHECKING:
    from extraction.contract import Contract, Role
    from extraction.document import Document, Lines
    from extraction.document.windows import Moved
    from extraction.evidence import PageEvidence, Rest
    from extraction.record.record import Issue, SetAside
    from extraction.score import Pair

Path = tuple[str | int, ...]
_SIGN = re.compile(r"[(\[](?:\d{1,2}|[^\W\d])[)\]]")  # beside a name: of accreditation, of a footnote


@dataclass(frozen=True)
class MissedLine:
    """A line of a page that looks like a row: page from 1, box of what it tells in points, text of the line."""

    page: int
    box: tuple[float, float, float, float]
    text: str


@dataclass(frozen=True)
class Given:
    """What words elsewhere say of every row whose value stands in a box of a page: the title of a column does."""

    page: int
    box: tuple[float, float, float, float]
    field: str
    value: str
    place: PageEvidence


@dataclass(frozen=True)
class Added:
    """A row that a task reads by itself from a line that looks like one and is in none.

    Attributes:
        beside: the path of a row that was read, behind which it stands, or before it; None where none was.
        behind: whether it stands behind that row.
        like: the path of a row whose headings and time hold for it too; None where that cannot be told.
        places: what stands where, by its fields.
    """

    beside: Path | None
    behind: bool
    like: Path | None
    places: Mapping[str, PageEvidence]


@dataclass(frozen=True)
class Sheet:
    """A document as it is shown in one go: without what is shown in others, and what holds for rows read from it.

    `moved` are the parts of its pages that do not stand where they are printed.
    """

    document: Document
    given: tuple[Given, ...] = ()
    moved: tuple[Moved, ...] = ()


class Checks:
    """What a record of a document must pass, whatever its schema; a task derives its own from it.

    Attributes:
        roles: the roles of the task's fields, for contracts that were written before contracts had them.
        scored: its fields that count in a score.
        looks_again: whether lines that look like rows and are in none are shown to the model once more.
        row: what a row is called in messages.
    """

    roles: ClassVar[dict[str, Role]] = {}
    scored: ClassVar[tuple[str, ...]] = ()
    looks_again: ClassVar[bool] = False
    row: ClassVar[str] = "row"

    def reports(self, document: Document) -> list[Document]:
        """The documents that a file holds, one after the other, by its pages: each is read by itself."""
        return [document]

    def shown(self, document: Document) -> Document:
        """What of a document the model is shown."""
        return document

    def unshown(self, document: Document) -> Iterator[SetAside]:
        """What of a document the model is not shown, each with the reason: a record names it."""
        yield from ()

    def sheets(self, document: Document) -> list[Sheet]:
        """The documents that the shown one is read as, one after the other, where it says too much for one."""
        return [Sheet(document)]

    def whole_name(self, name: str, rest: Rest) -> str | None:
        """The whole name of a row, of whose printed cell the model gave a part: the part itself where the rest is
        none of a name, None where that cannot be told. Without knowledge of names, words are part of one.
        """
        return rest.text if any(map(str.isalnum, _SIGN.sub("", rest.before + rest.behind))) else name

    def refuted(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence]
    ) -> Collection[Path]:
        """Paths of values in `evidence` that plainly are not what the model took them for.

        What the task fills in by itself takes their place without an alarm, or nothing where there is nothing.
        """
        return ()

    def heads(self, lines: Lines) -> list[int]:
        """Numbers of lines that name the columns of what stands below them."""
        return []

    def plain_rows(self, document: Document) -> list[MissedLine]:
        """Lines that look like rows by themselves, whatever was read, with the boxes of their values."""
        return []

    def missed(
        self, document: Document, data: Any, evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> list[MissedLine]:
        """Lines that look like rows of the record's lists although nothing in `evidence` was read from them."""
        fields = _row_fields(contract.record_schema)
        if not fields:
            return []
        lines = unread_rows(document, list(_rows(data)), list(evidence.values()), fields)
        return [MissedLine(line.page, line.box, line.text) for line in lines]

    def issues(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> Iterator[Issue]:
        """What else is doubtful about a record."""
        yield from ()

    def filled(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence]
    ) -> Mapping[Path, tuple[str, PageEvidence]]:
        """What the task reads by itself, each by its path, with its place, whose `score` becomes its confidence.

        It is for the fields that a contract has it fill, and for those whose value the model made up or left out.

        `data` and `evidence` are what the model read, and where it stands.
        """
        return {}

    def completed(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> list[Added]:
        """Rows that the model left out, or read so that they were set aside, as the task reads them by itself."""
        return []

    def derived(self, data: dict[str, Any]) -> dict[str, str]:
        """What follows from a record's values, by the JSON pointers of fields that its schema does not have."""
        return {}

    def read_labels(self, content: Any) -> Pair:
        """The truth in a label file (`NAME.labels.json`, `content` its JSON) of the task's own format.

        Raises:
            ValueError: it is no such file; the message says why.
        """
        raise ValueError("the task of these records has no format for labels")


def _rows(data: Any, in_list: bool = False) -> Iterator[Mapping[str, Any]]:
    """The objects that stand in lists."""
    if isinstance(data, Mapping):
        if in_list:
            yield data
        for value in data.values():
            yield from _rows(value)
    elif isinstance(data, list):
        for value in data:
            yield from _rows(value, in_list=True)


def _row_fields(schema: Schema) -> set[str]:
    """The fields of the objects that a schema's lists hold, alternatives among them."""
    found: set[str] = set()

    def fields(sub: Any) -> set[str]:
        node = resolve(sub, schema)
        parts = [part for key in ("anyOf", "oneOf", "allOf") for part in node.get(key, ())]
        return {*node.get("properties", ()), *(name for part in parts for name in fields(part))}

    def visit(sub: Any) -> Any:
        if isinstance(sub, dict):
            found.update(fields(sub.get("items", {})))
            map_subschemas(sub, lambda inner, _: visit(inner))
        return sub

    visit(schema)
    return found


def load_checks(name: str | None) -> Checks:
    """The checks that a contract names, those for any schema where it names none.

    Raises:
        AssayError: no installed task has that name.
    """
    if name is None:
        return Checks()
    checks = load("assay.checks", name, "checks", "CHECKS")
    if not isinstance(checks, Checks):
        raise AssayError(f"The checks {name} are {checks!r}, and must be an object of a class of Checks.")
    return checks
