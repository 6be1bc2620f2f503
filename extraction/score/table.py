"""A score as a terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from extraction.record.record import REVIEW_BELOW

if TYPE_CHECKING:
    from extraction.score.reliability import Reliability
    from extraction.score.results import Counts, Score


def render(score: Score, documents: int) -> RenderableType:
    """Measures by field with their intervals, rows found and lost, the worst documents, notes."""
    parts: list[RenderableType] = [_fields(score), Padding(_rows(score), (1, 0, 0, 1))]
    if documents and len(score.documents) > 1:
        parts.append(Padding(_documents(score, documents), (1, 0, 0, 0)))
    if notes := score.all_notes:
        parts.append(Padding(Text("\n".join(notes), style="yellow"), (1, 0, 0, 1)))
    return Group(*parts)


def _table(*figures: str, first: Column | None = None) -> Table:
    """An empty table with a column for each of some figures, behind another where it is given."""
    columns = [Column(name, justify="right", no_wrap=True) for name in figures]
    return Table(*([first] if first else []), *columns, box=None, padding=(0, 1), header_style="bold")


def _fields(score: Score) -> Table:
    first = Column("field", no_wrap=True)
    table = _table("precision", "recall", "F1", "95%", "tp", "fp", "fn", first=first)
    for name, counts in score.fields.items():
        table.add_row(Text(name), *_measures(counts), "", *_cells(counts))
    table.add_section()
    limits = {name: "{:.3f}-{:.3f}".format(*pair) if pair else "-" for name, pair in score.interval.items()}
    table.add_row("micro", *_measures(score.counts), limits["micro_f1"], *_cells(score.counts), style="bold")
    table.add_row("macro", "", "", f"{score.macro_f1:.3f}", limits["macro_f1"], style="bold")
    return table


def _measures(counts: Counts) -> list[str]:
    if not (counts.tp or counts.fp or counts.fn):
        return ["-", "-", "-"]
    return [f"{value:.3f}" for value in (counts.precision, counts.recall, counts.f1)]


def _cells(counts: Counts) -> list[str]:
    return [f"{value:,}" for value in (counts.tp, counts.fp, counts.fn)]


def _rows(score: Score) -> Text:
    text = Text(f"rows {score.rows_predicted:,} of {score.rows_gold:,}   ")
    text.append(f"omissions {score.omissions:,}   inventions {score.inventions:,}   ")
    text.append(f"wrong values {score.wrong_values:,}", style="bold red" if score.wrong_values else "")
    if score.unjudged:
        text.append(f"   not judged {score.unjudged:,} (gold incomplete)")
    return text


def _documents(score: Score, number: int) -> Table:
    worst = sorted(score.documents, key=lambda document: (document.f1, document.name))
    hidden = len(worst) - number
    title = f"worst {number} of {len(worst)} documents" if hidden > 0 else "document"
    table = _table("F1", "rows", "omissions", "inventions", "wrong", first=Column(title, overflow="fold"))
    for document in worst[:number]:
        table.add_row(
            Text(document.name),
            f"{document.f1:.3f}",
            f"{document.rows_predicted}/{document.rows_gold}",
            str(document.omissions),
            str(document.inventions),
            str(document.wrong_values),
        )
    return table


def render_reliability(values: Reliability) -> RenderableType:
    """AUROC and calibration error, the reliability table, then what a review at each threshold costs and catches."""
    auroc = "-" if values.auroc is None else f"{values.auroc:.3f}"
    unknown = int((~values.known).sum())
    head = (
        f"confidence of {len(values.right):,} values   AUROC {auroc}   calibration error {values.calibration_error:.3f}"
    )
    head += f"   without confidence {unknown:,}" if unknown else ""
    bins = _table("confidence", "values", "right", "mean confidence")
    for bin in values.bins:
        bins.add_row(f"{bin.low:g} - {bin.high:g}", f"{bin.values:,}", f"{bin.right:.1%}", f"{bin.confidence:.3f}")
    reviews = _table("review below", "to review", "wrong values caught", "left", "left in ok records")
    for review in values.reviews:
        reviews.add_row(
            f"{review.below:g}",
            f"{review.reviewed / review.values:.1%}",
            f"{review.caught:,} of {review.wrong:,}",
            f"{review.wrong - review.caught:,}",
            f"{review.silent:,} of {review.ok_values:,}",
            style="bold" if review.below == REVIEW_BELOW else "",
        )
    return Group(Padding(Text(head), (1, 0, 1, 1)), bins, Padding(reviews, (1, 0, 0, 0)))
