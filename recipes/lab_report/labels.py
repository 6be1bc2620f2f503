"""Label files of laboratory reports: what people wrote down of a report, in columns of their own."""

from __future__ import annotations

from typing import Any

from extraction.score import Pair
from recipes.lab_report.fields import HEAD

_COLUMNS = {
    "test": "name",
    "value": "result",
    "unit": "unit",
    "reference_range": "range",
    "section": "panel",
    "method": "method",
    "specimen": "specimen",
    "sample_collection_time": "sample_collection_time",
}


def read_labels(content: Any) -> Pair:
    """The truth in `{"complete", "results": [{"test", "value", "unit", "reference_range", "section"}]}`.

    Fields of a test that the file has no column for are left out of the document's score. `"complete": false`: see
    `Pair`.

    Raises:
        ValueError: it is no such file.
    """
    rows = content.get("results") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it has no list of objects called results")
    columns = {column for row in rows for column in row}
    tests = [{_COLUMNS[column]: row[column] for column in _COLUMNS if column in row} for row in rows]
    unlabelled = [field for column, field in _COLUMNS.items() if column not in columns] if rows else []
    # Such files say nothing of the head, and of a flag what it means, not how it is printed.
    unlabelled += [*HEAD, "flag"]
    return Pair(None, {"tests": tests}, "", content.get("complete") is not False, tuple(unlabelled))
