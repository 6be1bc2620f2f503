"""Predictions and gold records from files and folders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.score.scoring import LAB_FIELDS, LAB_KEY, Pair, Score, is_record, score

_LABELS = ".labels.json"
_COLUMNS = {
    "test": "name",
    "value": "result",
    "unit": "unit",
    "reference_range": "range",
    "section": "panel",
    "method": "method",
    "specimen": "specimen",
    "sample_collection_time": "sample_collection_time",
}


def score_files(
    predictions: Path,
    gold: Path,
    *,
    fields: Sequence[str] | None = LAB_FIELDS,
    key: Sequence[str] = LAB_KEY,
    roles: Mapping[str, str] = {},
) -> Score:
    """Score a file or folder of predictions; files as in `read_pairs`, arguments and measures as in `score`.

    `.on(CORE_FIELDS)` of the outcome is the score of name, result and unit alone.
    """
    pairs, notes = read_pairs(predictions, gold)
    outcome = score(pairs, fields=fields, key=key, roles=roles)
    outcome.notes.extend(notes)
    return outcome


def read_pairs(predictions: Path, gold: Path) -> tuple[list[Pair], list[str]]:
    """Read predictions and gold, and match them by name.

    Gold `X.json` or `X.labels.json` belongs to the prediction `X.json`, in the same subfolder if any.

    Two single files belong together whatever their names. Files and subfolders whose names begin with `_` are
    passed over. A gold folder with any `*.labels.json` has only those as gold.

    - A prediction is plain data, or an Assay record (`{"status", "data", ...}`), whose data is taken; what it says of
      the confidence of its values is kept for `Score.reliability`.
    - Gold is the same, or a label file `{"complete", "results": [{"test", "value", "unit", "reference_range",
      "section"}]}`, read as lab tests (name, result, unit, range, panel). Fields of a lab test that the file
      does not label are left out of that document's score. `"complete": false`: see `Pair`.

    Returns:
        The pairs in order of name, and notes: predictions that are missing, empty or without gold, files
        passed over beside labels. A missing or empty prediction is scored as an empty record.

    Raises:
        AssayError: a path does not exist, a file is not JSON, there is no gold, or nothing matches.
    """
    predictions, gold = Path(predictions), Path(gold)
    found, truth = _files(predictions), _files(gold)
    notes = []
    labelled = {name: path for name, path in truth.items() if path.name.endswith(_LABELS)}
    if labelled and len(labelled) < len(truth):
        others = len(truth) - len(labelled)
        notes.append(f"Gold is read from *{_LABELS}; other JSON files beside them, not read: {others}.")
    truth = {_stem(name): path for name, path in (labelled or truth).items()}
    if not truth:
        raise AssayError(f"There is no gold in {gold}: no .json and no {_LABELS} file.")
    if predictions.is_file() and gold.is_file():
        found = dict(zip(truth, found.values(), strict=True))
    found = {_stem(name): path for name, path in found.items()}
    if not found.keys() & truth.keys():
        raise AssayError(
            f"No prediction in {predictions} has the name of a gold file in {gold}: "
            f"{min(truth)}.json would be the prediction of {truth[min(truth)].name}."
        )
    pairs = []
    for name, path in truth.items():
        pair = read_gold(path, name)
        content = _load(found[name]) if name in found else None
        if note := _empty(content, name in found):
            notes.append(f"{name}: {note}, scored as empty.")
        pairs.append(pair.predicted(content))
    if alone := sorted(found.keys() - truth.keys()):
        notes.append(f"Predictions without gold, not scored: {', '.join(alone)}.")
    return pairs, notes


def _files(path: Path) -> dict[str, Path]:
    """JSON files by their path within the folder."""
    if path.is_file():
        return {path.name: path}
    if not path.is_dir():
        raise AssayError(f"{path} does not exist. Give a JSON file or a folder of them.")
    names = {file.relative_to(path): file for file in sorted(path.rglob("*.json")) if file.is_file()}
    return {
        name.as_posix(): file for name, file in names.items() if not any(part.startswith("_") for part in name.parts)
    }


def _stem(name: str) -> str:
    return name.removesuffix(".json").removesuffix(".labels")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise AssayError(f"{path} is not JSON: {error.msg} at {where}.") from None
    except UnicodeDecodeError as error:
        raise AssayError(f"{path} is not UTF-8 text: byte {error.start} cannot be read.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise AssayError(f"{path} cannot be read: {error}.") from None


def _data(content: Any) -> Any:
    """The data of an Assay record, or plain data as it is."""
    return content["data"] if is_record(content) else content


def _empty(content: Any, found: bool) -> str:
    """Why a prediction counts as an empty record, where it does."""
    if not found:
        return "no prediction"
    if _data(content) is not None:
        return ""
    status = content.get("status") if isinstance(content, dict) else None
    return f"prediction without data (status {status})" if status else "prediction without data"


def read_gold(path: Path, name: str = "") -> Pair:
    """The truth of one document, from `X.json` or `X.labels.json`, as a pair that has no prediction yet."""
    content = _load(path)
    if not path.name.endswith(_LABELS):
        data = _data(content)
        if data is None:
            raise AssayError(f"{path} has no data: a gold file holds the true record.")
        return Pair(None, data, name)
    rows = content.get("results") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AssayError(f"{path} is not a label file: it has no list of objects called results.")
    columns = {column for row in rows for column in row}
    tests = [{_COLUMNS[column]: row[column] for column in _COLUMNS if column in row} for row in rows]
    unlabelled = [field for column, field in _COLUMNS.items() if column not in columns] if rows else []
    complete = content.get("complete") is not False
    return Pair(None, {"tests": tests}, name, complete, tuple(unlabelled))
