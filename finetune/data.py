"""Folders of documents with their records as examples: read, checked, never guessed; long ones divided into windows."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar

from extraction.checks import Given
from extraction.contract import Contract, field_names
from extraction.document import SUFFIXES, Document, Window, open_document
from extraction.document.ocr import readable
from extraction.errors import AssayError
from extraction.evidence import PageIndex
from extraction.example import Branch, Example, ImagePart, Part
from extraction.folder import is_hidden
from extraction.generate.backend import Generation
from extraction.reading import document_example, in_windows, sheets_of, window_example, windows_of
from extraction.record.reply import Value, plain, printed, read_window
from extraction.schema import Schema, allows_null, closed, nodes, pointer, validator
from extraction.score.results import is_record
from extraction.values.dates import moment
from finetune.config import DataConfig
from finetune.processes import say

_Read = TypeVar("_Read")
_MOST_FAULTS = 50


def check_folders(data: DataConfig) -> None:
    """Raise AssayError where folders are neither there nor made by the run: all of them, and what may be meant."""
    told = []
    for split, folder in (("train", data.train), ("validation", data.validation)):
        if folder.exists() or split in data.synthetic:
            continue
        beside = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        near = difflib.get_close_matches(folder.name, beside, n=1)
        remedy = f"did you mean {folder.parent / near[0]}?" if near else "put the data there."
        told.append(f"The data folder {folder} (data.{split}) does not exist; {remedy}")
    if told:
        raise AssayError(" ".join(dict.fromkeys(told)))


def read_documents(
    folder: Path,
    contract: Contract,
    known: Collection[str] = (),
    believed: bool = False,
    noted: list[str] | None = None,
) -> list[Example]:
    """Every document of `folder` with the JSON record of the same name as its gold answer, in the order of names.

    Args:
        folder: of documents and records.
        contract: says what is asked.
        known: fields that records may have and that are left out of them where the contract does not ask for them.
        believed: whether a text layer is taken as it is; to compare it with the page takes 0.3 s a page.
        noted: takes what is wrong with single documents, and the others are read; None: that is raised.

    Raises:
        AssayError: no such folder, nothing in it, a document without a record or that cannot be read, a record
            that is not JSON or does not fit the schema (file and JSON pointer are named).
    """
    if not folder.is_dir():
        raise AssayError(f"The data folder {folder} does not exist.")
    entries = sorted(folder.iterdir())
    shown = [path for path in entries if not is_hidden(PurePath(path.name))]
    files = [path for path in shown if path.suffix.lower() in SUFFIXES]
    if not files:
        raise AssayError(
            f"The data folder {folder} holds no PDF and no image; put each document there with its record beside it."
        )
    stems = {path.stem for path in files}
    passed = [path.name for path in shown if _is_passed(path, stems)]
    more = [f"{len(passed) - 3} more"] if len(passed) > 3 else []
    hidden = [f"hidden files ({len(entries) - len(shown)})"] if len(entries) > len(shown) else []
    if told := [*passed[:3], *more, *hidden]:
        say(f"Passed over in {folder}: {', '.join(told)}{'; put documents beside records' if passed else ''}.")
    unasked = {*known} - field_names(contract.record_schema)

    def labelled(path: Path) -> tuple[Document, dict[str, Any]]:
        record = read_record(path.with_suffix(".json"), contract, unasked)
        document = open_document(path)
        # Pixels alone need no words: OCR of every scan would take hours and teach nothing.
        as_it_is = contract.view == "image" or (believed and document.has_text)
        return (document if as_it_is else readable(document, view=contract.view)), record

    read, faults = each(labelled, files)
    if noted is None:
        refuse(faults, folder)
    else:
        noted += faults
    return [document_example(document, contract, gold) for document, gold in read]


def each(read: Callable[[Path], _Read], paths: Sequence[Path]) -> tuple[list[_Read], list[str]]:
    """What is read from each path, and what is wrong with others."""

    def one(path: Path) -> _Read | AssayError:
        try:
            return read(path)
        except AssayError as error:
            return error

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(one, paths))
    faults = [str(one) for one in found if isinstance(one, AssayError)]
    return [one for one in found if not isinstance(one, AssayError)], faults


def of_both(read: Callable[[Literal["train", "validation"]], _Read]) -> tuple[_Read, _Read]:
    """What is read of the training data and of the validation data; what is wrong with both is told together."""
    made: list[_Read] = []
    faults: list[str] = []
    for split in ("train", "validation"):
        try:
            made.append(read(split))
        except AssayError as error:
            faults.append(str(error))
    if faults:
        raise AssayError(("\n" if any("\n" in fault for fault in faults) else " ").join(dict.fromkeys(faults)))
    return made[0], made[1]


def refuse(faults: Sequence[str], folder: Path) -> None:
    """Raise AssayError where a folder has faults: all of them at once, so that they can be mended at once."""
    if len(faults) == 1:
        raise AssayError(faults[0])
    if faults:
        more = f"\n  and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        listed = "".join(f"\n  {fault}" for fault in faults[:_MOST_FAULTS])
        raise AssayError(f"{len(faults)} faults in {folder}:{listed}{more}")


def _is_passed(path: Path, stems: Collection[str]) -> bool:
    """Whether a folder's entry is a folder, or belongs to no document; a generator's list of files is no mistake."""
    own = path.suffix.lower() in (*SUFFIXES, ".jsonl") or path.stem in stems or path.name.partition(".")[0] in stems
    return path.is_dir() or not own


def read_record(path: Path, contract: Contract, unasked: Collection[str] = ()) -> dict[str, Any]:
    """A gold record without the fields `unasked`, checked against the contract's schema; of an Assay record its data.

    What the schema does not name is an error, too: a model could never write it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = _without(content["data"] if is_record(content) else content, unasked)
    except FileNotFoundError:
        raise AssayError(f"{path} is missing: every document needs its record as JSON of the same name.") from None
    except (OSError, ValueError) as error:
        raise AssayError(f"The record {path} cannot be read: {error}.") from None
    misfit = next(validator(closed(contract.record_schema)).iter_errors(record), None)
    if misfit:
        at = pointer(misfit.absolute_path) or "/"
        raise AssayError(f"The record {path} does not fit the schema at {at}: {misfit.message[:200]}")
    return record


def _without(value: Any, names: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def check_split(train: Sequence[Example], validation: Sequence[Example]) -> None:
    """Raise AssayError when a source is in both sets: its score would be worth nothing."""
    seen = {source_of(example): example.context.name for example in train}
    for example in validation:
        if source_of(example) in seen:
            raise AssayError(
                f"{example.context.name} of the validation data is also among the training data "
                f"({seen[source_of(example)]}); take it out of one of them."
            )


def source_of(example: Example) -> Any:
    """What a source is known by, wherever its files lie."""
    # What is asked tells one from another where there is no context.
    parts = example.context.parts or tuple(part for branch in example.branches for part in branch.parts)
    return example.context.sha256 or tuple(map(_known, parts))


def _known(part: Part) -> Any:
    return (file_digest(part.path), part.page) if isinstance(part, ImagePart) else part


def digest_of(examples: Sequence[Example]) -> str:
    """SHA-256 of examples, whatever their order and wherever their files lie: of what is shown, asked and true."""
    told = sorted(
        json.dumps(
            [source_of(one), [([*map(_known, branch.parts)], branch.gold) for branch in one.branches]],
            sort_keys=True,
            default=str,
        )
        for one in examples
    )
    return hashlib.sha256("\n".join(told).encode("utf-8", "backslashreplace")).hexdigest()


@lru_cache(maxsize=1 << 16)
def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def divide(example: Example, contract: Contract, fits: Callable[[Sequence[Part]], bool]) -> list[Example]:
    """What a model is shown of an example, each window of a document with the record of what stands in it.

    A context that is no document, that questions are asked on, or that fits a prompt, is one example as it is.
    Otherwise the true values are found on the page, and each window has the items whose own words it shows; a value
    that stands outside it, such as a heading above, is null there, as it is for a model that reads the window alone.

    Args:
        fits: whether parts fit a prompt.

    Raises:
        AssayError: a document without words takes several windows of pages, so its record cannot be divided.
    """
    index, branch = example.context.index, example.branches[0]
    if not isinstance(index, PageIndex) or not in_windows(example):
        return [example]
    sheets = sheets_of(index.window, contract)
    own = [windows_of(sheet, contract, fits) for sheet, _ in sheets]
    if [len(windows) for windows in own] == [1]:
        return [window_example(own[0][0], contract, branch)]
    if not index.document.has_text:
        raise AssayError(
            f"{example.context.name} has {len(index.document.pages)} pages, more than fit "
            f"contract.max_prompt_tokens={contract.max_prompt_tokens} as images, and no words to tell what of its "
            "record stands on which; raise it, or divide the file and its record."
        )

    def found(record: Any, sheet: Window) -> Any:
        tree = read_window(sheet, Generation(contract.target.encode(record), "stop"), contract, branch).tree
        return tree if any(every) or len(sheets) < 2 else _on_sheet(tree, contract)

    every = [given for _, given in sheets]
    # Where nothing is given, as with columns of cards, each sheet has the items whose own words it shows.
    records = [_of_sheet(branch.gold, number, every) if any(every) else branch.gold for number in range(len(sheets))]
    if len(sheets) > 1 and not all(map(_has_items, records)):
        # The record does not say which of its items are whose: the document is taught as it stands.
        sheets, records, own = [(index.window, ())], [branch.gold], [windows_of(index.window, contract, fits)]
    trees = [found(record, sheet) for record, (sheet, _) in zip(records, sheets, strict=True)]
    shown = [
        (window, plain(_shown(tree, window, contract)))
        for tree, windows in zip(trees, own, strict=True)
        for window in windows
    ]
    rules = validator(contract.record_schema)
    for _, gold in shown:
        if misfit := next(rules.iter_errors(gold), None):
            at = pointer(misfit.absolute_path) or "/"
            raise AssayError(
                f"{example.context.name} is longer than a prompt, and a part of it lacks what the schema asks of every "
                f"record, at {at}: {misfit.message[:200]}; let it be null, or raise contract.max_prompt_tokens."
            )
    return [window_example(window, contract, Branch(gold=gold)) for window, gold in shown]


def _of_sheet(record: Any, number: int, given: Sequence[Sequence[Given]]) -> Any:
    """A record without the items of other sheets, which have what is given for those.

    Args:
        record: of the whole document.
        number: of the sheet, from 0; the first has the items that nothing is given for.
        given: what is given for each sheet.
    """

    def sheet(item: Any) -> int:
        if not isinstance(item, dict):
            return number
        told = [(n, one.value, item.get(one.field)) for n, ones in enumerate(given) for one in ones]
        exact = [n for n, value, own in told if value == own]
        return next(iter(exact or [n for n, value, own in told if _same_time(value, own)]), 0)

    if isinstance(record, dict):
        return {key: _of_sheet(value, number, given) for key, value in record.items()}
    if isinstance(record, list):
        return [_of_sheet(item, number, given) for item in record if sheet(item) == number]
    return record


def _on_sheet(tree: Any, contract: Contract) -> Any:
    """A tree without the items of its lists of which nothing but what was carried stands on the sheet."""
    lists = {key: value for key, value in (tree or {}).items() if isinstance(value, list)}
    return {**(tree or {})} | {
        key: [item for item in value if any(printed(item, contract.headings))] for key, value in lists.items()
    }


def _has_items(record: Any) -> bool:
    return isinstance(record, dict) and any(isinstance(value, list) and value for value in record.values())


def _same_time(printed: str, told: Any) -> bool:
    """Whether a time as it is printed can be the one that is told, whichever of day and month comes first."""
    one, other = moment(printed), moment(told) if isinstance(told, str) else None
    if one is None or other is None:
        return False
    clocks = {when.clock for when in (one, other)} - {None, (0, 0, 0)}
    if len(clocks) > 1:
        return False
    return not {*one.readings.values()}.isdisjoint(other.readings.values())


def _shown(tree: Any, window: Window, contract: Contract, path: tuple[str | int, ...] = ()) -> Any:
    """What of a tree stands in a window; a value whose place is not known stands with what holds it.

    A value that stands outside is null, or left out where the schema has no null for it.
    """
    if isinstance(tree, Value):
        return tree if tree.evidence is None or _holds(window, tree.evidence) else None
    if isinstance(tree, dict):
        kept = {key: (value, _shown(value, window, contract, (*path, key))) for key, value in tree.items()}
        schema: Schema = contract.record_schema
        return {
            key: shown
            for key, (value, shown) in kept.items()
            if shown is not None or value is None or allows_null(nodes(schema, (*path, key))[-1], schema)
        }
    if isinstance(tree, list):
        items, inside = [], window.start == 0
        for number, item in enumerate(tree):
            place = next(printed(item, contract.headings), None)
            inside = _holds(window, place) if place else inside
            if inside:
                items.append(_shown(item, window, contract, (*path, number)))
        return items
    return tree


def _holds(window: Window, place: Any) -> bool:
    return window.start <= window.lines.find(place.page, place.box) < window.stop
