"""What a model answers in an evaluation: kept as it comes, so a stopped run goes on; counted by kind at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.contract import Contract
from extraction.errors import AssayError, is_disk_full
from extraction.example import Example, ImagePart, Part
from extraction.files import write_whole
from extraction.record.load import record_of
from extraction.record.record import Record
from finetune.data import file_digest

if TYPE_CHECKING:
    from rich.table import Table

STATES = ("right", "wrong", "doubted", "not found", "withheld")
"""What an answer is: right; wrong without a doubt; wrong and told as doubtful; none, though there is one; withheld."""
_BOUNDED = ("right", "wrong")  # the shares that have an interval


class Kept:
    """The records of a model's answers, a line an example.

    A line is known by a digest of all that the model was shown: what has changed since is asked again.

    Args:
        path: a file of one model; made where there is none, and what a kill left of its last line is taken away.

    Raises:
        AssayError: it cannot be read or written, or is another file.
    """

    def __init__(self, path: Path, contract: Contract):
        self.path, self._contract = path, contract.model_dump_json()
        self._records: dict[str, list[Record]] = {}
        at = 1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                file.seek(0)
                whole, _, rest = file.read().rpartition(b"\n")
                for at, line in enumerate(whole.splitlines(), 1):  # noqa: B007
                    saved = json.loads(line)
                    self._records[saved["key"]] = [record_of(one) for one in saved["records"]]
                if rest:
                    file.truncate(len(whole) + 1 if whole else 0)
        except OSError as error:
            raise AssayError(f"Answers cannot be kept in {path} ({error.strerror}); choose another --out.") from None
        except (ValueError, KeyError, TypeError, AttributeError, LookupError):
            raise AssayError(
                f"{path}, line {at}, is no answer that assay evaluate kept; delete the file, or choose another --out."
            ) from None

    def records(self, example: Example) -> list[Record] | None:
        """What was answered before; None where it has to be asked."""
        return self._records.get(self._key(example))

    def add(self, example: Example, records: Sequence[Record]) -> None:
        """Keep an example's records."""
        line = {
            "key": self._key(example),
            "source": records[0].to_dict()["source"] if records else "",
            "asked": ["".join(part for part in branch.parts if isinstance(part, str)) for branch in example.branches],
            "records": [record.to_dict() for record in records],
        }
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _key(self, example: Example) -> str:
        context = example.context
        shown = [_shown(context.parts), *((_shown(branch.parts), branch.schema) for branch in example.branches)]
        told = json.dumps([self._contract, context.name, context.sha256, shown], sort_keys=True)
        return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:24]


def _shown(parts: Iterable[Part]) -> list[str]:
    """Parts as they are shown, wherever their files lie."""
    return [
        f"{file_digest(part.path)} {replace(part, path=Path())}" if isinstance(part, ImagePart) else part
        for part in parts
    ]


def by_kind(answers: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Answers with a `kind` and a `state` counted: a row a kind and one for all, shares with their 95% intervals."""
    from scipy.stats import binomtest

    found: dict[str, list[str]] = {}
    for answer in answers:
        found.setdefault(answer["kind"], []).append(answer["state"])
    rows: dict[str, dict[str, float]] = {}
    for kind, states in {**dict(sorted(found.items())), "all": [one for own in found.values() for one in own]}.items():
        rows[kind] = {"n": len(states), **{state: states.count(state) for state in STATES}}
        for state in _BOUNDED:
            limits = binomtest(states.count(state), len(states)).proportion_ci(method="wilson")
            rows[kind] |= {f"{state}_low": float(limits.low), f"{state}_high": float(limits.high)}
    return rows


def write_answers(path: Path, answers: Iterable[Mapping[str, Any]]) -> Path:
    """Write answers, each beside the true one, a JSON line each."""
    return _write(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in answers))


def write_figures(path: Path, figures: Mapping[str, float]) -> Path:
    """Write the figures of a recipe with a training of its own."""
    return _write(path, json.dumps(figures, indent=1) + "\n")


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise AssayError(f"Results cannot be kept in {path} ({error.strerror}); choose another --out.") from None
    return path


def kinds_table(rows: Mapping[str, Mapping[str, float]]) -> Table:
    """The counts as a table for the terminal."""
    from rich.table import Table

    table = Table("kind", "n", "right", "wrong, no doubt", "wrong, doubted", "not found", "withheld", box=None)
    for kind, row in rows.items():
        shares = [f"{row[s]} ({row[f'{s}_low']:.2f} to {row[f'{s}_high']:.2f})" for s in _BOUNDED]
        table.add_row(kind, *map(str, (row["n"], *shares, *(row[state] for state in STATES[len(_BOUNDED) :]))))
    return table
