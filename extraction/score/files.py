"""Predictions and gold records from files and folders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from extraction.checks import Checks, load_checks
from extraction.contract import FILE, Contract
from extraction.errors import AssayError
from extraction.plugins import installed
from extraction.score.results import Pair, Score, is_record
from extraction.score.scoring import score

_LABELS = ".labels.json"


def score_files(
    predictions: Path,
    gold: Path,
    *,
    contract: Contract | Checks | None = None,
    fields: Sequence[str] | Literal["all"] | None = None,
    key: Sequence[str] | None = None,
) -> Score:
    """Score a file or folder of predictions; files as in `read_pairs`, arguments and measures as in `score`.

    Without a contract, the one that `find_contract` finds is taken.
    """
    contract = contract or find_contract(predictions, gold)
    pairs, notes = read_pairs(predictions, gold, contract)
    outcome = score(pairs, contract, fields=fields, key=key)
    outcome.notes.extend(notes)
    return outcome


def find_contract(predictions: Path, gold: Path) -> Contract | Checks | None:
    """What says which fields count: `contract.json` beside predictions or gold, or the task that reads the labels."""
    for path in (predictions, gold):
        folder = path if path.is_dir() else path.parent
        if (folder / FILE).is_file():
            return Contract.load(folder)
    labels = next((path for name, path in _files(gold).items() if name.endswith(_LABELS)), None)
    return _reader(labels) if labels else None


def read_pairs(
    predictions: Path, gold: Path, contract: Contract | Checks | None = None
) -> tuple[list[Pair], list[str]]:
    """Read predictions and gold, and match them by name.

    Gold `X.json` or `X.labels.json` belongs to the prediction `X.json`, in the same subfolder if any; two single files
    belong together whatever their names. Passed over are files and subfolders whose names begin with `_`, and the
    `contract.json` of a folder. A gold folder with any `*.labels.json` has only those as gold.

    - A prediction is plain data, or an Assay record (`{"status", "data", ...}`), whose data is taken; what it says of
      the confidence of its values is kept for `Score.reliability`.
    - Gold is the same, or a label file in a task's own format, which the task's checks read (`Checks.read_labels`).

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
        pair = read_gold(path, name, contract)
        content = _load(found[name]) if name in found else None
        if content and _is_several(content):
            notes.append(f"{name}: {len(content['data']['reports'])} reports, scored as one record.")
            content = _as_one(content["data"]["reports"])
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
        name.as_posix(): file
        for name, file in names.items()
        if name != Path(FILE) and not any(part.startswith("_") for part in name.parts)
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
    """The data of an Assay record, of several reports as one; or plain data as it is."""
    if not is_record(content):
        return content
    return _as_one(content["data"]["reports"]) if _is_several(content) else content["data"]


def _is_several(content: Any) -> bool:
    return is_record(content) and bool(content.get("report_pages")) and bool(content["data"])


def _as_one(reports: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """The data of several reports as gold of one record has them: lists joined, of single values the first."""
    whole: dict[str, Any] = {}
    for key, value in ((key, value) for report in reports for key, value in (report or {}).items()):
        if isinstance(value, list) and isinstance(whole.get(key), list):
            whole[key] = whole[key] + value
        elif whole.get(key) is None:
            whole[key] = value
    return whole


def _empty(content: Any, found: bool) -> str:
    """Why a prediction counts as an empty record, where it does."""
    if not found:
        return "no prediction"
    if _data(content) is not None:
        return ""
    status = content.get("status") if isinstance(content, dict) else None
    return f"prediction without data (status {status})" if status else "prediction without data"


def read_gold(path: Path, name: str = "", contract: Contract | Checks | None = None) -> Pair:
    """The truth of one document, from `X.json` or `X.labels.json`, as a pair that has no prediction yet.

    Args:
        contract: names the task that reads label files; without it, the installed task that can.

    Raises:
        AssayError: it cannot be read, or holds no truth.
    """
    if path.name.endswith(_LABELS):
        checks = contract.rules if isinstance(contract, Contract) else contract
        return replace(_read_labels(path, checks or _reader(path)), name=name)
    data = _data(_load(path))
    if data is None:
        raise AssayError(f"{path} has no data: a gold file holds the true record.")
    return Pair(None, data, name)


def _read_labels(path: Path, checks: Checks) -> Pair:
    try:
        return checks.read_labels(_load(path))
    except ValueError as error:
        raise AssayError(f"{path} is not a label file: {error}.") from None


def _reader(path: Path) -> Checks:
    """The checks of the first installed task that reads a label file."""
    reason = None
    for name in installed("assay.checks", "checks"):
        try:
            _read_labels(path, checks := load_checks(name))
            return checks
        except AssayError as error:
            reason = reason or error
    raise reason or AssayError(f"{path} is a label file, and no installed task reads such files.")
