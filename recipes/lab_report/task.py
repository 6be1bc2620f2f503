"""The lab report's task: what its head says, and a row a test: MedGemma 1.5's eight fields, and the flag.

The model writes the eight fields; head and flags are read by code (`head.py`, `flags.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example
from extraction.schema import Schema
from finetune.config import SyntheticConfig
from finetune.task import DocumentTask
from recipes.lab_report.checks import CHECKS
from recipes.lab_report.fields import FIELDS, HEAD, ROW

_TEXT = {"type": ["string", "null"]}


def report_schema(head: Sequence[str], row: Sequence[str], required: Sequence[str]) -> Schema:
    """The JSON Schema of a report: texts or nulls at its head and in the rows of `tests`, some of them required."""
    tests = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": dict.fromkeys(row, _TEXT),
            "required": list(required),
            "additionalProperties": False,
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lab report",
        "type": "object",
        "properties": {**dict.fromkeys(head, _TEXT), "tests": tests},
        "required": ["tests"],
        "additionalProperties": False,
    }


SCHEMA = report_schema(HEAD, ROW, FIELDS)
"""Labels without head and flags, as older ones are, follow it too."""

CONTRACT = Contract(
    instruction="Extract all lab tests of this report.",
    record_schema=SCHEMA,
    roles=CHECKS.roles,
    scored=CHECKS.scored,
    filled=(*HEAD, "flag"),
    checks="lab_report",
    style="rows",
    carry=("panel", "specimen", "sample_collection_time"),
)


class LabReports(DocumentTask):
    """Reports with their tests as JSON beside them."""

    name = "lab_report"
    contract = CONTRACT
    fields = (*HEAD, "flag")  # which contracts and labels before them lack

    def groups(self, example: Example) -> Mapping[str, str]:
        """The laboratory, too: a model that has seen a form knows the form."""
        laboratory = (example.branches[0].gold or {}).get("laboratory")
        return {**super().groups(example), **({"laboratory": laboratory} if laboratory else {})}

    def synthesize(self, folder: Path, split: str, config: SyntheticConfig) -> None:
        """Make synthetic reports of the named families (all of the split's when none is named) in `folder`."""
        from recipes.lab_report.synthetic import FAMILIES, families, write_reports

        names = list(config.families) or families(split)
        unknown = [name for name in names if name not in FAMILIES]
        if unknown:
            raise AssayError(f"There is no layout family {unknown[0]}; known are {', '.join(FAMILIES)}.")
        write_reports(folder, names=names, count=config.count, seed=config.seed, max_rows=config.max_rows)


TASK = LabReports()
