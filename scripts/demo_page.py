"""A run as a page to look at: loss and F1 over the steps, and a document beside what was read from it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extraction.document import open_document
from extraction.files import write_whole
from extraction.record.html import evidence_page
from extraction.record.record import REVIEW_BELOW, Record
from finetune.page import chart, table
from finetune.page import page as page_of
from finetune.run import read_metrics


def write_report(
    path: Path, metrics: Path, figures: Mapping[str, Mapping[str, Any]], document: Path, record: Record
) -> None:
    """Write one self-contained HTML file.

    Args:
        metrics: a run's metrics.jsonl.
        figures: rows of the table of scores, name to columns.

    Raises:
        DocumentError: the document cannot be drawn.
    """
    rows = read_metrics(metrics)
    loss = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    f1 = [(row["step"], row["eval_micro_f1"]) for row in rows if "eval_micro_f1" in row]
    page = evidence_page(record, record.document or open_document(document), REVIEW_BELOW)
    body = f"""<h1>What the decoder learned</h1>
<div class=charts>{chart("Training loss", loss)}{chart("F1 on held-out documents", f1, top=1.0)}</div>
<h2>Before and after</h2>{table([{"": name, **row} for name, row in figures.items()])}
<h2>A document, and what was read from it</h2>
<iframe title="{html.escape(record.source)}" sandbox="allow-scripts" srcdoc="{html.escape(page)}"></iframe>"""
    write_whole(path, page_of("Assay run", body))
