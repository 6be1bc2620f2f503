"""What a score consists of: a pair of records, counted cells, a document's score and that of all."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from extraction.errors import AssayError
from extraction.score.reliability import JudgedCell, Reliability, reliability

if TYPE_CHECKING:
    from rich.console import RenderableType

DRAWS = 2000
# What a document counts of its rows, and a score sums up.
_ROWS = ("rows_predicted", "rows_gold", "omissions", "inventions", "unjudged", "wrong_values")


@dataclass(frozen=True)
class Pair:
    """One document: what was predicted and what is true.

    Attributes:
        prediction: the record as plain JSON data; None counts as an empty record.
        complete: False where gold has only some of the document's rows. Predicted rows without a partner then
            count neither as inventions nor as false positives; `unjudged` says how many there were.
        unlabelled: fields that gold says nothing about: left out of this document's score.
        record: the Assay record that the prediction came in, as saved: what it says about its own values.
    """

    prediction: Any
    gold: Any
    name: str = ""
    complete: bool = True
    unlabelled: Collection[str] = ()
    record: Mapping[str, Any] | None = None

    def predicted(self, content: Any) -> "Pair":
        """The same document with a prediction: plain data, or a record as `Record.to_dict` or its file has it."""
        if is_record(content):
            return dataclasses.replace(self, prediction=content["data"], record=content)
        return dataclasses.replace(self, prediction=content, record=None)


def draws_of(number: int, draws: int = DRAWS) -> np.ndarray:
    """How often each of so many documents is in each draw, with replacement: [draws, number]; the same every time."""
    return np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), size=draws)


def interval(value: float, drawn: np.ndarray) -> tuple[float, float] | None:
    """The middle 95% of a figure over draws (percentile bootstrap), with the figure in it; None where there is none."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return min(float(low), value), max(float(high), value)


def is_record(content: Any) -> bool:
    """Whether JSON is an Assay record rather than plain data."""
    return isinstance(content, dict) and {"source", "status", "issues", "data"} <= content.keys()


@dataclass(frozen=True)
class Counts:
    """Cells that agree (tp), that only the prediction has (fp), that only gold has (fn)."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); with nothing predicted 1 if there was nothing to find, else 0."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else float(not self.fn)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); with nothing to find 1 if nothing was predicted, else 0."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else float(not self.fp)

    @property
    def f1(self) -> float:
        """2TP / (2TP + FP + FN); 1 where there are no cells at all."""
        cells = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / cells if cells else 1.0

    def to_dict(self) -> dict[str, Any]:
        """The counts and the three measures, JSON-ready."""
        measures = {"f1": self.f1, "precision": self.precision, "recall": self.recall}
        return {**measures, **dataclasses.asdict(self)}


@dataclass
class DocumentScore:
    """One document's counts.

    Attributes:
        rows_predicted: rows of all scored tables.
        omissions: gold rows without a partner.
        inventions: predicted rows without a partner.
        unjudged: predicted rows without a partner where gold is incomplete: counted nowhere else.
        wrong: for each paired row that states something false, the fields it does so in.
        unlabelled: fields that were asked for but that gold does not label: not scored.
        cells: every predicted value that is counted (tp and fp of `fields`).
    """

    name: str
    fields: dict[str, Counts] = field(default_factory=dict)
    rows_predicted: int = 0
    rows_gold: int = 0
    omissions: int = 0
    inventions: int = 0
    unjudged: int = 0
    wrong: list[frozenset[str]] = field(default_factory=list)
    unlabelled: tuple[str, ...] = ()
    cells: list[JudgedCell] = field(default_factory=list, repr=False)
    record: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def counts(self) -> Counts:
        """The cells of all fields."""
        return sum(self.fields.values(), Counts())

    @property
    def f1(self) -> float:
        """2TP / (2TP + FP + FN) over the document's cells."""
        return self.counts.f1

    @property
    def wrong_values(self) -> int:
        """Paired rows that state something false (see `Score`)."""
        return len(self.wrong)

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {
            "name": self.name,
            **self.counts.to_dict(),
            **{name: getattr(self, name) for name in _ROWS},
            "unlabelled": list(self.unlabelled),
            "fields": {name: counts.to_dict() for name, counts in self.fields.items()},
        }


def _summed(name: str) -> Any:
    """The sum over a score's documents of what each counts under a name."""
    return property(lambda score: sum(getattr(document, name) for document in score.documents))


@dataclass
class Score:
    """Scores of a set of documents.

    A cell is (row, field, value), after rows have been paired and values normalised
    (`extraction.score.normal`). In a paired row the same value on both sides is one TP, a different value one
    FP and one FN, a value on one side only one FP or one FN, null on both sides nothing. A row without a
    partner is an FP or FN for each of its cells.

    - `macro_f1`: the mean of the documents' F1 (`Counts.f1`)
    - `micro_f1`, `precision`, `recall`: over the cells of all documents
    - `rows_predicted`, `rows_gold`, `omissions`, `inventions`, `unjudged`, `wrong_values`: sums over the documents

    The measures follow the MedGemma 1.5 report (arXiv 2604.05081, section 3.2.5), which does not publish how it matches
    labels: the pairing of rows (`pair_rows`) is this project's own, and figures are not comparable to the last point.

    `wrong_values`, the dangerous error, counts paired rows with a false value: a predicted value that the gold row does
    not have, in a scored field outside the key. A value left out is not false; it lowers recall.

    Attributes:
        notes: what was missing or left out, in sentences.
        core_fields: the fields that a row is worth nothing without, where a contract's roles tell them: names, values
            and their units.
    """

    documents: list[DocumentScore]
    notes: list[str] = field(default_factory=list)
    core_fields: tuple[str, ...] = ()

    @property
    def counts(self) -> Counts:
        """The cells of all documents."""
        return sum((document.counts for document in self.documents), Counts())

    micro_f1 = property(lambda self: self.counts.f1)
    precision = property(lambda self: self.counts.precision)
    recall = property(lambda self: self.counts.recall)

    @property
    def macro_f1(self) -> float:
        """Mean of the documents' F1."""
        return sum(document.f1 for document in self.documents) / len(self.documents)

    @property
    def fields(self) -> dict[str, Counts]:
        """Cells by field, over all documents."""
        total: dict[str, Counts] = {}
        for document in self.documents:
            for name, counts in document.fields.items():
                total[name] = total.get(name, Counts()) + counts
        return total

    rows_predicted = _summed("rows_predicted")
    rows_gold = _summed("rows_gold")
    omissions = _summed("omissions")
    inventions = _summed("inventions")
    unjudged = _summed("unjudged")
    wrong_values = _summed("wrong_values")

    @cached_property
    def interval(self) -> dict[str, tuple[float, float] | None]:
        """95% intervals of `micro_f1` and `macro_f1`; None for fewer than two documents.

        Percentile bootstrap over documents, 2,000 resamples, fixed seed; widened to the score itself in the
        rare case that the percentiles leave it outside.
        """
        if len(self.documents) < 2:
            return {"micro_f1": None, "macro_f1": None}
        drawn = self.drawn(draws_of(len(self.documents)))
        return {name: interval(getattr(self, name), values) for name, values in drawn.items()}

    def drawn(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """`micro_f1` and `macro_f1` of each draw of documents (`draws_of`)."""
        cells = np.array([(d.counts.tp, d.counts.fp + d.counts.fn, d.f1) for d in self.documents])
        agreed, off, each = (draws @ cells).T
        total = 2 * agreed + off
        return {
            "micro_f1": np.where(total > 0, 2 * agreed / np.maximum(total, 1), 1.0),
            "macro_f1": each / len(cells),
        }

    @cached_property
    def reliability(self) -> Reliability | None:
        """How well the confidence of values tells right from wrong; None where no prediction says its confidence."""
        return reliability((document.record, document.cells) for document in self.documents if document.record)

    def on(self, fields: Sequence[str]) -> "Score":
        """The same pairing of rows, counted on fewer fields: two sets of fields at one cost."""

        def kept(names: Iterable[str]) -> list[str]:
            return [name for name in names if field_of(name, fields)]

        documents = [
            dataclasses.replace(
                document,
                fields={name: document.fields[name] for name in kept(document.fields)},
                wrong=[frozenset(names) for wrong in document.wrong if (names := kept(wrong))],
                unlabelled=tuple(kept(document.unlabelled)),
                cells=[cell for cell in document.cells if field_of(cell.field, fields)],
            )
            for document in self.documents
        ]
        return Score(documents, list(self.notes))

    @property
    def core(self) -> "Score":
        """The score on `core_fields` alone, the headline; the whole one where there are none.

        Raises:
            AssayError: nothing has a value in those, so that nothing would be scored.
        """
        core = self.on(self.core_fields) if self.core_fields else self
        if core.counts == Counts():
            raise AssayError(
                f"There is nothing to score in {', '.join(self.core_fields)}: neither the records nor gold have a "
                "value there; --fields names others."
            )
        return core

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "precision": self.precision,
            "recall": self.recall,
            "interval": {name: limits and list(limits) for name, limits in self.interval.items()},
            **dataclasses.asdict(self.counts),
            **{name: getattr(self, name) for name in _ROWS},
            "fields": {name: counts.to_dict() for name, counts in self.fields.items()},
            "reliability": self.reliability.to_dict() if self.reliability else None,
            "documents": [document.to_dict() for document in self.documents],
            "notes": self.all_notes,
        }

    @property
    def all_notes(self) -> list[str]:
        """`notes`, and which fields gold does not label in how many documents."""
        found = Counter(document.unlabelled for document in self.documents if document.unlabelled)
        said = "Not labelled by gold and not scored: {} (documents: {})."
        return [*self.notes, *(said.format(", ".join(names), number) for names, number in found.items())]

    def table(self, documents: int = 10) -> "RenderableType":
        """What a terminal shows: measures by field, rows, the worst `documents` documents, notes."""
        from extraction.score.table import render

        return render(self, documents)


def field_of(path: str, fields: Collection[str]) -> str | None:
    """The one of `fields` that stands for a path: the path itself, its part within the row, or its own name."""
    within = path.rpartition("[].")[2]
    return next((name for name in (path, within, within.rpartition(".")[2]) if name in fields), None)
