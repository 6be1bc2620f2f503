"""Cells of paired rows, counted: precision, recall and F1 of records."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from extraction.errors import AssayError
from extraction.score.pairing import Row, name_path, pair_rows
from extraction.score.reliability import JudgedCell, Reliability, reliability

if TYPE_CHECKING:
    from rich.console import RenderableType

    from extraction.checks import Checks
    from extraction.contract import Contract

RESAMPLES = 2000


@dataclass(frozen=True)
class Pair:
    """One document: what was predicted and what is true.

    Attributes:
        prediction: the record as plain JSON data; None counts as an empty record.
        gold: the true record.
        name: what the document is called in the score.
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


def is_record(content: Any) -> bool:
    """Whether JSON is an Assay record rather than plain data."""
    return isinstance(content, dict) and "data" in content and "status" in content


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
        fields: cells by field.
        rows_predicted: rows of all scored tables.
        rows_gold: the same in gold.
        omissions: gold rows without a partner.
        inventions: predicted rows without a partner.
        unjudged: predicted rows without a partner where gold is incomplete: counted nowhere else.
        wrong: for each paired row that states something false, the fields it does so in.
        unlabelled: fields that were asked for but that gold does not label: not scored.
        cells: every predicted value that is counted (tp and fp of `fields`).
        record: as in `Pair`.
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
        rows = ("rows_predicted", "rows_gold", "omissions", "inventions", "unjudged", "wrong_values")
        return {
            "name": self.name,
            **self.counts.to_dict(),
            **{name: getattr(self, name) for name in rows},
            "unlabelled": list(self.unlabelled),
            "fields": {name: counts.to_dict() for name, counts in self.fields.items()},
        }


@dataclass
class Score:
    """Scores of a set of documents.

    A cell is (row, field, value), after rows have been paired and values normalised
    (`extraction.score.normal`). In a paired row the same value on both sides is one TP, a different value one
    FP and one FN, a value on one side only one FP or one FN, null on both sides nothing. A row without a
    partner is an FP or FN for each of its cells.

    - per document: F1 = 2TP / (2TP + FP + FN); 1 where neither side has cells
    - `macro_f1`: the mean of the documents' F1
    - `micro_f1`, `precision`, `recall`: over the cells of all documents

    The measures follow the MedGemma 1.5 report (arXiv 2604.05081, section 3.2.5). That report does not publish how it
    matches labels, so the pairing of rows is this project's own
    (`extraction.score.pairing.pair_rows`), and figures are alike in kind, not comparable to the last point.

    `wrong_values` counts paired rows with a false value: a predicted value that the gold row does not have,
    in a scored field outside the key. A value left out is not false; it lowers recall.

    Attributes:
        documents: each one's counts.
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

    @property
    def micro_f1(self) -> float:
        """F1 over the cells of all documents."""
        return self.counts.f1

    @property
    def macro_f1(self) -> float:
        """Mean of the documents' F1."""
        return sum(document.f1 for document in self.documents) / len(self.documents)

    @property
    def precision(self) -> float:
        """TP / (TP + FP) over the cells of all documents."""
        return self.counts.precision

    @property
    def recall(self) -> float:
        """TP / (TP + FN) over the cells of all documents."""
        return self.counts.recall

    @property
    def fields(self) -> dict[str, Counts]:
        """Cells by field, over all documents."""
        total: dict[str, Counts] = {}
        for document in self.documents:
            for name, counts in document.fields.items():
                total[name] = total.get(name, Counts()) + counts
        return total

    def _sum(self, name: str) -> int:
        return sum(getattr(document, name) for document in self.documents)

    @property
    def rows_predicted(self) -> int:
        """Predicted rows."""
        return self._sum("rows_predicted")

    @property
    def rows_gold(self) -> int:
        """Gold rows."""
        return self._sum("rows_gold")

    @property
    def omissions(self) -> int:
        """Gold rows without a partner."""
        return self._sum("omissions")

    @property
    def inventions(self) -> int:
        """Predicted rows without a partner, in documents whose gold is complete."""
        return self._sum("inventions")

    @property
    def unjudged(self) -> int:
        """Predicted rows without a partner, in documents whose gold is incomplete."""
        return self._sum("unjudged")

    @property
    def wrong_values(self) -> int:
        """Paired rows with a false value: the dangerous error."""
        return self._sum("wrong_values")

    @cached_property
    def interval(self) -> dict[str, tuple[float, float] | None]:
        """95% intervals of `micro_f1` and `macro_f1`; None for fewer than two documents.

        Percentile bootstrap over documents, 2,000 resamples, fixed seed; widened to the score itself in the
        rare case that the percentiles leave it outside.
        """
        if len(self.documents) < 2:
            return {"micro_f1": None, "macro_f1": None}
        cells = np.array([(d.counts.tp, d.counts.fp + d.counts.fn, d.f1) for d in self.documents])
        number = len(cells)
        drawn = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), size=RESAMPLES)
        agreed, off, each = (drawn @ cells).T
        total = 2 * agreed + off
        micro = np.where(total > 0, 2 * agreed / np.maximum(total, 1), 1.0)
        intervals: dict[str, tuple[float, float] | None] = {}
        for name, samples in ("micro_f1", micro), ("macro_f1", each / number):
            low, high = np.percentile(samples, [2.5, 97.5])
            value = getattr(self, name)
            intervals[name] = min(float(low), value), max(float(high), value)
        return intervals

    @cached_property
    def reliability(self) -> Reliability | None:
        """How well the confidence of values tells right from wrong; None where no prediction says its confidence."""
        return reliability((document.record, document.cells) for document in self.documents if document.record)

    def on(self, fields: Sequence[str]) -> "Score":
        """The same pairing of rows, counted on fewer fields: two sets of fields at one cost."""
        return Score(
            [
                dataclasses.replace(
                    document,
                    fields={name: counts for name, counts in document.fields.items() if _field(name, fields)},
                    wrong=[kept for wrong in document.wrong if (kept := _kept(wrong, fields))],
                    unlabelled=tuple(name for name in document.unlabelled if _field(name, fields)),
                    cells=[cell for cell in document.cells if _field(cell.field, fields)],
                )
                for document in self.documents
            ],
            list(self.notes),
        )

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
        rows = ("rows_predicted", "rows_gold", "omissions", "inventions", "unjudged", "wrong_values")
        return {
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "precision": self.precision,
            "recall": self.recall,
            "interval": {name: limits and list(limits) for name, limits in self.interval.items()},
            **dataclasses.asdict(self.counts),
            **{name: getattr(self, name) for name in rows},
            "fields": {name: counts.to_dict() for name, counts in self.fields.items()},
            "reliability": self.reliability.to_dict() if self.reliability else None,
            "documents": [document.to_dict() for document in self.documents],
            "notes": [*self.notes, *self._unlabelled_notes()],
        }

    def _unlabelled_notes(self) -> list[str]:
        found = Counter(document.unlabelled for document in self.documents if document.unlabelled)
        return [
            f"Not labelled by gold and not scored: {', '.join(names)} (documents: {number})."
            for names, number in found.items()
        ]

    def table(self, documents: int = 10) -> "RenderableType":
        """What a terminal shows: measures by field, rows, the worst `documents` documents, notes."""
        from extraction.score.table import render

        return render(self, documents)


def score(
    pairs: Iterable[Pair | tuple[Any, Any]],
    contract: "Contract | Checks | None" = None,
    *,
    fields: Sequence[str] | Literal["all"] | None = None,
    key: Sequence[str] | None = None,
) -> Score:
    """Score predicted records against true ones, of any JSON schema.

    Every array of objects is a table, whose rows are paired (`pair_rows`), tables within paired rows too.
    Scalars outside tables are cells by their path. Arrays of scalars are compared as multisets of cells.

    Args:
        pairs: documents, as `Pair` or `(prediction, gold)`; a prediction of None counts as empty.
        contract: says what the fields are for: which are scored, which names a row, which tell rows of one name apart
            (its headings and times), when two texts are the same (`extraction.score.normal`); or a task's checks, which
            say as much.
        fields: what is scored instead: names of a row's fields (`name`), or whole paths (`tests[].name`,
            `patient.birth_date`), or `all`. Without contract and fields every field is scored.
        key: fields of a row, instead of the contract's: the one that names it, then those that tell rows of one name
            apart. They serve the pairing whether scored or not; those that a table lacks are passed over. A table
            without the first is named by its first text field.

    Raises:
        AssayError: there is no document, or nothing to score: no value in any of the fields, on either side.
    """
    roles = contract.roles if contract else {}
    if fields is None:
        wanted = contract.scored or None if contract else None
        core = tuple(name for name, role in roles.items() if role in ("name", "value", "unit"))
    else:
        wanted, core = None if fields == "all" else tuple(fields), ()
    if key is None:
        above = [name for name, role in roles.items() if role in ("heading", "time")]
        names = [name for name, role in roles.items() if role == "name"]
    else:
        names, above = list(key[:1]), list(key[1:])
    documents, said, held = [], set[str](), set[str]()
    for number, item in enumerate(pairs, 1):
        pair = item if isinstance(item, Pair) else Pair(*item)
        document = DocumentScore(pair.name or f"document {number}")
        _Counting(document, pair, wanted, names, above).run(roles)
        documents.append(document)
        said.update(_paths(pair.prediction))
        held.update(_paths(pair.gold))
    if not documents:
        raise AssayError("There is no document to score: give at least one prediction with its gold.")
    if not any(document.counts != Counts() for document in documents):
        raise _nothing_scored(wanted, said | held, documents)
    return Score(documents, _notes(fields, said, held), core_fields=core)


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Where a record has values, nulls included; an empty list, in which anything could stand, ends in `[]`."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _paths(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item, f"{path}[]" if isinstance(item, dict) else path)
        if not value:
            yield f"{path}[]"
    elif path:
        yield path


def _nothing_scored(wanted: Sequence[str] | None, held: set[str], documents: Sequence[DocumentScore]) -> AssayError:
    """Why no cell was counted, which would pass for perfect."""
    if wanted is None:
        return AssayError("There is nothing to score: neither the records nor gold have any value.")
    asked = ", ".join(wanted)
    if not any(document.fields for document in documents):
        return AssayError(f"Gold labels none of the fields that are scored ({asked}); name others with --fields.")
    others = ", ".join(_names(held)[:8])
    there = f"there are {others}" if others else "neither the records nor gold have any value"
    return AssayError(
        f"There is nothing to score: no record has a value in the fields that are scored ({asked}); {there}. Name "
        "fields with --fields (`all` for every one), or put the contract.json of these records beside them."
    )


def _notes(fields: Sequence[str] | str | None, said: set[str], held: set[str]) -> list[str]:
    """What makes a low score suspect: fields that no record has, records that have nothing in common with gold."""
    notes = []
    if fields is not None and not isinstance(fields, str):
        absent = [name for name in fields if not any(_field(path, [name]) for path in said | held)]
        if absent:
            notes.append(f"Asked for, and in no record: {', '.join(absent)}.")
    said, held = ({path for path in paths if not path.endswith("[]")} for paths in (said, held))
    if said and held and not said & held:
        notes.append(
            "Records and gold have no field in common, so they may follow different schemas: records have "
            f"{', '.join(_names(said)[:6])}; gold has {', '.join(_names(held)[:6])}."
        )
    return notes


def _names(paths: Iterable[str]) -> list[str]:
    """Names of fields, without the lists that they stand in."""
    return sorted({path.rpartition("[].")[2] for path in paths if not path.endswith("[]")})


def _field(path: str, fields: Collection[str]) -> str | None:
    """The one of `fields` that stands for a path: the path itself or its part within the row."""
    own = path.rpartition("[].")[2]
    return path if path in fields else own if own in fields else None


def _kept(wrong: frozenset[str], fields: Collection[str]) -> frozenset[str]:
    return frozenset(name for name in wrong if _field(name, fields))


class _Counting:
    """The walk over one document that fills its `DocumentScore`."""

    def __init__(
        self,
        document: DocumentScore,
        pair: Pair,
        fields: Sequence[str] | None,
        names: Sequence[str],
        above: Sequence[str],
    ) -> None:
        self.document = document
        self.pair = pair
        self.wanted = fields
        self.names, self.above = names, above
        self.tally: dict[str, list[int]] = {name: [0, 0, 0] for name in fields or ()}

    def run(self, roles: Mapping[str, str]) -> None:
        document, pair = self.document, self.pair
        self.compare(Row.read(pair.prediction, roles=roles), Row.read(pair.gold, roles=roles), "")
        document.fields = {
            name: Counts(*cells) for name, cells in self.tally.items() if not _field(name, pair.unlabelled)
        }
        document.record = pair.record
        asked = self.wanted if self.wanted is not None else pair.unlabelled
        document.unlabelled = tuple(name for name in asked if _field(name, pair.unlabelled))

    def label(self, path: str) -> str | None:
        """The field that a path is counted under, None where it is not scored."""
        if _field(path, self.pair.unlabelled):
            return None
        return path if self.wanted is None else _field(path, self.wanted)

    def compare(self, predicted: Row, gold: Row, place: str) -> set[str]:
        """Count the cells of two rows and of the tables in them; return the fields with false values."""
        false = set()
        for path in dict.fromkeys((*gold.cells, *predicted.cells)):
            label = self.label(place + path)
            if label is None:
                continue
            ours, theirs = predicted.cells.get(path, ()), gold.cells.get(path, ())
            missing, agreed = Counter(theirs), 0
            for text, at in zip(ours, predicted.pointers.get(path, ()), strict=True):
                right = missing[text] > 0
                missing[text] -= right
                agreed += right
                self.document.cells.append(JudgedCell(at, label, right))
            cells = self.tally.setdefault(label, [0, 0, 0])
            cells[0] += agreed
            cells[1] += len(ours) - agreed
            cells[2] += len(theirs) - agreed
            if len(ours) > agreed:
                false.add(path)
        for path in dict.fromkeys((*gold.tables, *predicted.tables)):
            tables = predicted.tables.get(path, []), gold.tables.get(path, [])
            self.compare_tables(*tables, f"{place}{path}[].")
        return false

    def compare_tables(self, predicted: list[Row], gold: list[Row], place: str) -> None:
        def scored(path: str) -> bool:
            return self.label(place + path) is not None

        rows = [*predicted, *gold]
        if not any(row.tables or any(map(scored, row.cells)) for row in rows):
            return
        key = [name_path(rows, self.names), *self.above]
        pairs = pair_rows(predicted, gold, key, scored)
        document = self.document
        document.rows_predicted += len(predicted)
        document.rows_gold += len(gold)
        for i, j in pairs:
            false = self.compare(predicted[i], gold[j], place).difference(key)
            if false:
                document.wrong.append(frozenset(str(self.label(place + path)) for path in false))
        paired = {i for i, _ in pairs}, {j for _, j in pairs}
        lost = [row for j, row in enumerate(gold) if j not in paired[1]]
        extra = [row for i, row in enumerate(predicted) if i not in paired[0]]
        document.omissions += len(lost)
        for row in lost:
            self.compare(Row(), row, place)
        if self.pair.complete:
            document.inventions += len(extra)
            for row in extra:
                self.compare(row, Row(), place)
        else:
            document.unjudged += len(extra)
