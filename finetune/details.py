"""What a checkpoint's answers on held-out data are worth in detail: figures by field with intervals, the worst of them,
and some beside the true ones."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from extraction.api import Extractor
from extraction.document import Document
from extraction.errors import AssayError
from extraction.example import Example
from extraction.files import write_whole
from extraction.record.record import Record
from finetune.answers import Kept, by_kind
from finetune.page import page
from finetune.run import ANSWERS, RunFolder
from finetune.task import Grade, Task, evaluate

_WORST, _SHOWN, _ASKED = 10, 10, 5  # examples that are listed; examples, and branches of each, beside the true answers
_DRAWN = 3  # of the worst, with their pages


def details_of(grade: Grade) -> dict[str, Any]:
    """Figures by field (or kind of question) with their 95% intervals, and the worst documents; JSON-ready.

    Returns:
        `fields`: for each its name, what was judged (`values`), `figure`, `low` and `high` (None for one document).
        `worst`: documents that are not read without a fault, the worst first; no value of a document is among it.
    """
    fields, worst = list[dict[str, Any]](), list[dict[str, Any]]()
    if score := grade.score:
        for name, counts in score.fields.items():
            low, high = score.on([name]).interval["micro_f1"] or (None, None)
            fields.append(
                {"name": name, "values": counts.tp + counts.fn, "figure": counts.f1, "low": low, "high": high}
            )
        for one in sorted(score.documents, key=lambda one: one.f1):
            if one.f1 < 1:
                rows = {"rows left out": one.omissions, "rows invented": one.inventions, "rows wrong": one.wrong_values}
                worst.append({"document": one.name, "F1": one.f1, **rows})
    elif grade.answers:
        for name, row in by_kind(grade.answers).items():
            share = {"figure": row["right"] / row["n"], "low": row["right_low"], "high": row["right_high"]}
            fields.append({"name": name, "values": row["n"], **share})
    return {"fields": fields, "worst": worst[:_WORST]}


def judged(
    extractor: Extractor, task: Task, held_out: Sequence[Example], folder: RunFolder, step: int
) -> dict[str, float]:
    """Figures of a model on held-out data behind a step; its answers and their details are kept in the run's folder."""
    name = f"checkpoint-{step}"
    answers = folder.answers(name)
    answers.unlink(missing_ok=True)  # of a start that was killed: these weights need not be those
    grade = evaluate(extractor, task, held_out, "reading held-out data", Kept(answers, extractor.contract))
    kept = Kept(answers, extractor.contract)
    keep_details(folder, name, grade, held_out, [kept.records(example) or () for example in held_out])
    return dict(grade.figures)


def keep_details(
    folder: RunFolder, checkpoint: str, grade: Grade, examples: Sequence[Example], records: Sequence[Sequence[Record]]
) -> None:
    """Write a checkpoint's details, a page with some of its answers beside the true ones, the worst first, and evidence
    pages of the worst documents.

    All lie beside the answers themselves: the pages have values of held-out documents, as these have.
    """
    made = details_of(grade)
    drawn = folder.details(checkpoint).with_suffix("")
    shutil.rmtree(drawn, ignore_errors=True)  # of a start that was killed
    drawn.mkdir(parents=True)
    answered = dict(
        zip((example.context.name for example in examples), zip(examples, records, strict=True), strict=True)
    )
    for number, one in enumerate(made["worst"][:_DRAWN]):
        # A task's grader may name its documents otherwise; a page less must not end a run.
        found = answered.get(one["document"])
        if found and _draw(*found, drawn / f"{number}.html"):
            one["evidence"] = f"{ANSWERS}/{checkpoint}/{number}.html"
    write_whole(folder.details(checkpoint), json.dumps(made, ensure_ascii=False, indent=1) + "\n")
    rank = {one["document"]: number for number, one in enumerate(made["worst"])}
    pairs = list(zip(examples, records, strict=True))
    pairs = sorted(pairs, key=lambda pair: rank.get(pair[0].context.name, len(rank)))[:_SHOWN]
    title = html.escape(f"{folder.path.name}, {checkpoint}: answers beside the true ones")
    told = f"{len(pairs)} of {len(examples)} held-out examples, the worst first."
    body = f"<h1>{title}</h1><p>{told}</p>" + "".join(_beside(example, own) for example, own in pairs)
    write_whole(folder.details(checkpoint).with_suffix(".html"), page("Assay answers", body))


def _draw(example: Example, records: Sequence[Record], path: Path) -> bool:
    """Write the evidence page of a document's record; False where it is none, or cannot be drawn any more."""
    document = getattr(example.context.index, "document", None)
    if not isinstance(document, Document) or len(records) != 1:
        return False
    with suppress(AssayError):
        replace(records[0], document=document).save_html(path)
    return path.exists()


def _beside(example: Example, records: Sequence[Record]) -> str:
    shown = list(zip(example.branches, records, strict=True))[:_ASKED]
    asked = [" ".join(part for part in branch.parts if isinstance(part, str)) for branch, _ in shown]
    rows = ""
    for words, (branch, record) in zip(asked, shown, strict=True):
        question = f"<td>{html.escape(words)}</td>" if any(asked) else ""
        rows += f"<tr>{question}{_cell(record.data)}{_cell(branch.gold)}</tr>"
    head = f"<tr>{'<th>asked</th>' if any(asked) else ''}<th>the model's answer</th><th>the true one</th></tr>"
    return f"<h2>{html.escape(example.context.name)}</h2><table>{head}{rows}</table>"


def _cell(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False, indent=1)
    return f"<td><pre>{html.escape(text)}</pre></td>"
