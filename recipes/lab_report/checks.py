"""What a record of a laboratory report must pass: a line that looks like a result is in a row, a result is a result.

A model that takes one column for the next is sure of every value: values in each other's column are told by their kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from extraction.checks import Checks, MissedLine, Path
from extraction.document import Document, Lines
from extraction.evidence import PageEvidence
from extraction.record.record import Issue
from extraction.schema import pointer
from extraction.values import type_range, type_value
from recipes.lab_report.interpretation import contradiction, interpret
from recipes.lab_report.lines import Titles, names_columns, rows_like_results, without_earlier

if TYPE_CHECKING:
    from extraction.contract import Contract, Role
    from extraction.score import Pair

# A power of ten by volume of blood; by mL it may be what a culture counted.
_UNIT = re.compile(r"[%‰]|[^\W\d_]{1,6}/[^\W\d_]{1,6}|x? ?10[\^*eE]?\d{1,2} ?/ ?(?:[fpnµμu]?[lL]|mm[c3³])")
_BRACKETED = re.compile(r".*\S\s*[(\[](?P<inside>[^()\[\]]+)[)\]]")


class LabChecks(Checks):
    """The checks of rows that have a `name`, a `result`, a `unit` and a `range`."""

    roles: ClassVar[dict[str, Role]] = {
        "name": "name",
        "result": "value",
        "unit": "unit",
        "range": "range",
        "flag": "flag",
        "panel": "heading",
        "method": "heading",
        "specimen": "heading",
        "sample_collection_time": "time",
        **dict.fromkeys(("patient_name", "patient_id", "sex", "laboratory", "ordered_by", "sample_id"), "heading"),
        "report_status": "heading",
        **dict.fromkeys(("birth_date", "collected", "received", "reported"), "time"),
    }
    scored = ("name", "result", "unit", "specimen", "method", "sample_collection_time")
    """The six fields that the MedGemma 1.5 report scores (arXiv 2604.05081, section 3.2.5)."""
    looks_again = True
    row = "result"

    def shown(self, document: Document) -> Document:
        """The document without its columns of earlier results: a small model takes them for the results."""
        return without_earlier(document)

    def heads(self, lines: Lines) -> list[int]:
        """Lines that look like the titles of a table of results."""
        return [number for number, (_, line) in enumerate(lines.lines) if names_columns(line.text)]

    def missed(
        self, document: Document, data: Any, evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> list[MissedLine]:
        """Lines that look like results although no row's own name or value in `evidence` was read from them.

        A row tells of what stands between the ends of its own values, at the height of its name or its value: not of a
        table beside it at the same height, nor of the line that gave it a heading or a time.
        """
        rows: dict[Path, dict[Any, PageEvidence]] = {}
        for path, place in evidence.items():
            if path[-1] not in contract.headings:
                rows.setdefault(path[:-1], {})[path[-1]] = place
        told = contract.fields("name", "value")
        read = [
            (row[key], min(p.box[0] for p in row.values()), max(p.box[2] for p in row.values()))
            for row in rows.values()
            for key in told
            if key in row
        ]

        def is_read(line: MissedLine) -> bool:
            middle = (line.box[1] + line.box[3]) / 2
            return any(
                own.page == line.page and own.box[1] <= middle <= own.box[3] and x0 < line.box[2] and x1 > line.box[0]
                for own, x0, x1 in read
            )

        return [line for line in rows_like_results(document) if not is_read(line)]

    def issues(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> Iterator[Issue]:
        """Values in another column's place, flags that contradict their range, rows without a result, results under a
        title such as "Previous result".
        """
        for key, rows in data.items():
            for number, row in enumerate(rows if isinstance(rows, list) else ()):
                if not isinstance(row, dict):
                    continue
                for name, message in misplaced(row):
                    yield Issue("misplaced", f"{message}.", pointer((key, number, name)))
                if said := contradiction(row):
                    yield Issue("contradicts", f"Beside “{row.get('name')}” {said}.", pointer((key, number)))
                if row.get("name") and row.get("result", "") is None:
                    yield Issue("no_result", f"“{row['name']}” has no result.", pointer((key, number)))
        titles = Titles(document)
        for path, place in evidence.items():
            if path[-1] == "result" and (title := titles.earlier(place.page, place.box)):
                value: Any = data
                for step in path:
                    value = value[step]
                yield Issue("misplaced", f"“{value}” stands under “{title}”.", pointer(path))

    def derived(self, data: dict[str, Any]) -> dict[str, str]:
        """What each result means by its own range, as `interpretation` of its row (see `interpret`)."""
        rows = (
            (key, number, row)
            for key, rows in data.items()
            if isinstance(rows, list)
            for number, row in enumerate(rows)
        )
        means = (
            (pointer((key, number, "interpretation")), interpret(row))
            for key, number, row in rows
            if isinstance(row, dict)
        )
        return {path: meaning for path, meaning in means if meaning}

    def read_labels(self, content: Any) -> Pair:
        """The truth in a label file of a report."""
        from recipes.lab_report.labels import read_labels  # numpy and scipy come with it

        return read_labels(content)


def misplaced(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys among `result`, `unit` and `range` whose values are of another key's kind, each with the reason."""
    result, unit, limits = (str(row.get(key) or "").strip() for key in ("result", "unit", "range"))
    if unit and (_is_range(unit) or _is_number(unit)):
        yield "unit", f"“{unit}” is no unit but a number or a range"
    if _UNIT.fullmatch(result):
        yield "result", f"“{result}” is no result but a unit"
    if _UNIT.fullmatch(limits):
        yield "range", f"“{limits}” is no range but a unit"
    if not limits and (match := _BRACKETED.fullmatch(result)) and _is_range(match["inside"].strip()):
        yield "range", f"“{result}” is a result with its range"
    if result and limits and _is_number(limits) and _is_range(result):
        yield "result", f"“{result}” is a range, and “{limits}” beside it a single number"


def _is_number(text: str) -> bool:
    typed = type_value(text)
    return typed.kind == "number" and not typed.unit and not typed.comparator


def _is_range(text: str) -> bool:
    return type_range(text).kind == "range"


CHECKS = LabChecks()
