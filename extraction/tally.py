"""What became of a batch's files: counts by status and by reason, of those that were done before, too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from extraction.record.record import Record

_STATUSES = {"ok": "ok", "partial": "partial (issues in the record)", "failed": "not read (reason in the record)"}
REASONS = {  # what a code of an issue is called where files are counted
    "unreadable": "file unreadable",
    "refused": "refused by the server",
    "aborted": "reading it was aborted",
    "empty": "no record in the answer",
    "unread": "pages without text",
    "unchecked": "pages read from pixels alone",
    "text_layer": "text layer in doubt",
    "ocr": "OCR in doubt",
    "cut": "answer cut",
    "row_left_out": "rows left out",
    "column_left_out": "columns left out",
    "value_left_out": "values left out",
    "invalid": "against the schema",
    "not_found": "values not found on the page",
    "repeated": "rows with another's values",
    "misplaced": "values out of place",
    "contradicts": "values that contradict each other",
    "ambiguous": "ambiguous dates",
    "no_result": "rows without a value",
    "differs": "two readings differ",
    "set_aside": "rows set aside",
    "doubtful": "rows that the model doubts",
}


def in_a_line(path: Path, record: Record) -> str:
    """A file's path as it was given (names may be alike), status and reasons in a line, and no text of the document."""
    codes = Counter(issue.code for issue in record.issues)
    why = "".join(f", {REASONS.get(code, code)} ({count})" for code, count in codes.items())
    return f"{path}: {record.status}{why}"


class Tally:
    """Counts over the files of a batch.

    Args:
        total: how many files there are.
        skipped: how many others were not to be read, by kind.
    """

    def __init__(self, total: int, skipped: Counter[str]):
        self.total, self.skipped = total, skipped
        self.statuses: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()

    def add_counts(self, statuses: Counter[str], codes: Counter[str]) -> None:
        """Count records that were not read now: each one's status, and each code of an issue once a record."""
        self.statuses += statuses
        self.codes += codes

    def add(self, record: Record) -> None:
        """Count a record that was read now."""
        self.statuses[record.status] += 1
        self.codes.update({issue.code for issue in record.issues})

    def line(self, out: Path | None) -> str:
        """How many of each status, and where the records are."""
        ends = [f"{self.statuses[status]} {words}" for status, words in _STATUSES.items() if self.statuses[status]]
        where = f"; records in {out}" if out else ""
        return f"{self.total} {'file' if self.total == 1 else 'files'}: {', '.join(ends)}{where}"

    def reasons(self) -> str:
        """In how many of the files each reason for doubt stands; empty for one file and for none."""
        if self.total < 2 or not self.codes:
            return ""
        return "Reasons, by files: " + ", ".join(f"{REASONS.get(c, c)} {n}" for c, n in self.codes.most_common()) + "."

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON; `issues` has the codes of `extraction.record.Issue`, in files."""
        return {
            "files": self.total,
            "statuses": {status: self.statuses[status] for status in _STATUSES},
            "issues": dict(self.codes.most_common()),
            "skipped": dict(self.skipped),
        }
