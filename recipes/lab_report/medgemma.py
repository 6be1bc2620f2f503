"""The lab report as MedGemma 1.5 was shown it: the page's pixels and the prompt of its technical report, word for word.

A configuration names it with `recipe: recipes.lab_report.medgemma`.
"""

from __future__ import annotations

from extraction.contract import Contract
from recipes.lab_report.checks import CHECKS
from recipes.lab_report.task import FIELDS, LabReports, report_schema

# arXiv 2604.05081, the prompt of its lab-report evaluation.
PROMPT = (
    "You are a Clinical Data Extraction Specialist. Your job is to parse lab reports with high precision. From the "
    "given lab report, extract all lab tests into a JSON list. Each test object in the list must include: name, "
    "result, unit, range, panel, method, specimen, sample_collection_time (formatted as DD-MM-YYYY HH:MM:SS)"
)

# Plain JSON objects: what the model writes untuned. The schema wraps the list the prompt asks for in `tests`.
CONTRACT = Contract(
    instruction=PROMPT,
    record_schema=report_schema((), FIELDS, FIELDS),
    roles={name: role for name, role in CHECKS.roles.items() if name in FIELDS},
    scored=CHECKS.scored,
    checks="lab_report",
    style="objects",
    view="image",
)


class MedGemmaLabReports(LabReports):
    """The same data and the same score under MedGemma's own prompt."""

    name = "lab_report_medgemma"
    contract = CONTRACT


TASK = MedGemmaLabReports()

if __name__ == "__main__":
    from finetune.launch import launch

    launch("recipes.lab_report.medgemma")
