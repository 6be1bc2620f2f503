"""The lab report's task: the fields of MedGemma 1.5's lab-report prompt, one row a test."""

from __future__ import annotations

from pathlib import Path

from extraction.contract import Contract
from extraction.errors import AssayError
from finetune.config import SyntheticConfig
from finetune.task import DocumentTask
from recipes.lab_report.checks import CHECKS

FIELDS = ("name", "result", "unit", "range", "panel", "method", "specimen", "sample_collection_time")

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Lab report",
    "type": "object",
    "properties": {
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {field: {"type": ["string", "null"]} for field in FIELDS},
                "required": list(FIELDS),
                "additionalProperties": False,
            },
        }
    },
    "required": ["tests"],
    "additionalProperties": False,
}

CONTRACT = Contract(
    instruction="Extract all lab tests of this report.",
    record_schema=SCHEMA,
    roles=CHECKS.roles,
    scored=CHECKS.scored,
    checks="lab_report",
    style="rows",
    carry=("panel", "specimen", "sample_collection_time"),
)


class LabReports(DocumentTask):
    """Reports with their tests as JSON beside them."""

    name = "lab_report"
    contract = CONTRACT

    def synthesize(self, folder: Path, split: str, config: SyntheticConfig) -> None:
        """Make synthetic reports of the named families (all of the split's when none is named) in `folder`."""
        from recipes.lab_report.synthetic import FAMILIES, families, write_reports

        names = list(config.families) or families(split)
        unknown = [name for name in names if name not in FAMILIES]
        if unknown:
            raise AssayError(f"There is no layout family {unknown[0]}; known are {', '.join(FAMILIES)}.")
        write_reports(folder, names=names, count=config.count, seed=config.seed, max_rows=config.max_rows)


TASK = LabReports()
