"""Cells of paired rows, counted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from extraction.errors import AssayError
from extraction.score.pairing import Row, name_path, pair_rows
from extraction.score.reliability import JudgedCell
from extraction.score.results import Counts, DocumentScore, Pair, Score, field_of

if TYPE_CHECKING:
    from extraction.checks import Checks
    from extraction.contract import Contract


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
        core = tuple(name for name in core if wanted is None or name in wanted)
    else:
        wanted, core = None if fields == "all" else tuple(fields), ()
    if key is None:
        above = [name for name, role in roles.items() if role in ("heading", "time")]
        names = [name for name, role in roles.items() if role == "name"]
    else:
        names, above = list(key[:1]), list(key[1:])
    read = [item if isinstance(item, Pair) else Pair(*item) for item in pairs]
    documents, said, held = [], set[str](), set[str]()
    silent = _silent(read, wanted or ()) if fields is None else []
    for number, pair in enumerate(read, 1):
        pair = replace(pair, unlabelled=(*pair.unlabelled, *silent)) if silent else pair
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


def _silent(pairs: Sequence[Pair], wanted: Sequence[str]) -> list[str]:
    """Of the fields that a contract scores, those that records have and no gold file names, not even as null.

    People label what they need: what they left out everywhere is not judged, and said to be so.
    """
    said = {path for pair in pairs for path in _paths(pair.prediction)}
    held = {path for pair in pairs for path in _paths(pair.gold)}
    named = [name for name in wanted if any(field_of(path, [name]) for path in held)]
    told = [name for name in wanted if any(field_of(path, [name]) for path in said)]
    return [name for name in told if name not in named] if named else []


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
        absent = [name for name in fields if not any(field_of(path, [name]) for path in said | held)]
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


@dataclass
class _Counting:
    """The walk over one document that fills its `DocumentScore`."""

    document: DocumentScore
    pair: Pair
    wanted: Sequence[str] | None
    names: Sequence[str]
    above: Sequence[str]

    def run(self, roles: Mapping[str, str]) -> None:
        document, pair = self.document, self.pair
        self.tally: dict[str, list[int]] = {name: [0, 0, 0] for name in self.wanted or ()}
        self.compare(Row.read(pair.prediction, roles=roles), Row.read(pair.gold, roles=roles), "")
        document.fields = {
            name: Counts(*cells) for name, cells in self.tally.items() if not field_of(name, pair.unlabelled)
        }
        document.record = pair.record
        asked = self.wanted if self.wanted is not None else pair.unlabelled
        document.unlabelled = tuple(name for name in asked if field_of(name, pair.unlabelled))

    def label(self, path: str) -> str | None:
        """The field that a path is counted under, None where it is not scored."""
        if field_of(path, self.pair.unlabelled):
            return None
        return path if self.wanted is None else field_of(path, self.wanted)

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
