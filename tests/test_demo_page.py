"""A run's page: curves, figures, and the same evidence page that a record writes of itself."""

import html
import json
import re

import pytest
from demo_page import write_report
from reportlab.pdfgen.canvas import Canvas

from extraction.document import open_document
from extraction.evidence import PageEvidence
from extraction.record.record import Field, Record


@pytest.fixture
def document(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.drawString(72, 700, "Glucose  5,0")
    canvas.save()
    return tmp_path / "a.pdf"


def report(folder, document, record, *metrics):
    lines = "".join(json.dumps(row) + "\n" for row in metrics)
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    write_report(folder / "run.html", folder / "metrics.jsonl", {"after": {"micro F1": 0.5}}, document, record)
    return (folder / "run.html").read_text(encoding="utf-8")


def inner(page):
    return html.unescape(re.search(r'srcdoc="([^"]*)"', page).group(1))


def test_it_shows_the_curves_the_figures_and_the_evidence_page(tmp_path, document):
    data = {"tests": [{"name": "<script>alert(1)</script>", "result": "5,0"}]}
    field = Field("5,0", "/tests/0/result", 0.5, PageEvidence("5,0", page=1, box=(120.0, 130.0, 140.0, 145.0)))
    record = Record("a.pdf", "ok", data, fields={field.path: field}, document=open_document(document))
    page = report(tmp_path, document, record, {"step": 4, "loss": 1.5}, {"step": 8, "loss": 0.5, "eval_micro_f1": 0.25})
    assert "step 8: 0.500" in page and "step 8: 0.250" in page and "0.500</td>" in page
    record.save_html(tmp_path / "a.html")
    assert inner(page) == (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<script" not in page


def test_a_document_that_gave_nothing_is_shown_all_the_same(tmp_path, document):
    page = inner(report(tmp_path, document, Record.failed("a.pdf", "empty", "The model gave no record.")))
    shown = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S).group(1))
    assert shown["status"] == "failed" and len(shown["pages"]) == 1
