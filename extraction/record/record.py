"""Record: what was read from one document, how far it can be trusted, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from extraction.generate.backend import Generation
from extraction.record.parse import parse
from extraction.schema import pointer, validator
from extraction.target import Leaf, Target

if TYPE_CHECKING:
    from rich.console import Group

_CUT = {"length": "reached its length limit", "loop": "repeated itself without end and was stopped"}

Status = Literal["ok", "partial", "failed"]


@dataclass(frozen=True)
class Issue:
    """A reason for doubt. `path` is a JSON pointer into the data; `page` counts from 1."""

    code: str
    message: str
    path: str | None = None
    page: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The issue as JSON, without what it does not know."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Field:
    """One value of a record. `confidence` is the probability the model gave to the value's own tokens, 0 to 1."""

    value: Any
    path: str
    confidence: float


@dataclass
class Record:
    """What was read from one document.

    Attributes:
        source: the document's file name.
        status: `ok`: whole and valid; `partial`: something is missing or doubtful, `issues` says what;
            `failed`: there is no data, `issues` says why.
        data: plain JSON that follows the schema (None when failed).
        issues: reasons for doubt.
        fields: every leaf value by its JSON pointer.
    """

    source: str
    status: Status
    data: dict[str, Any] | None
    issues: list[Issue] = field(default_factory=list)
    fields: dict[str, Field] = field(default_factory=dict)

    @classmethod
    def failed(cls, source: str, code: str, message: str) -> Record:
        """The record of a document that gave nothing."""
        return cls(source, "failed", None, [Issue(code, message)])

    def __getitem__(self, key: str | int) -> Any:
        """Walk to a value: `record["tests"][0]["result"]` is its `Field`."""
        return _View(self, ())[key]

    def to_dict(self) -> dict[str, Any]:
        """`{"source", "status", "issues", "data"}`, ready for JSON."""
        return {
            "source": self.source,
            "status": self.status,
            "issues": [issue.to_dict() for issue in self.issues],
            "data": self.data,
        }

    def save(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)

    def table(self) -> Group:
        """The record as a table for the terminal."""
        from extraction.record.table import record_table

        return record_table(self)


class _View:
    """A step on the way to a field."""

    def __init__(self, record: Record, path: tuple[str | int, ...]):
        self._record, self._path = record, path

    def __getitem__(self, key: str | int) -> Any:
        path = (*self._path, key)
        node: Any = self._record.data
        for step in path:
            node = node[step]
        if isinstance(node, dict | list):
            return _View(self._record, path)
        at = pointer(path)
        return self._record.fields.get(at) or Field(node, at, 1.0)

    def __len__(self) -> int:
        node: Any = self._record.data
        for step in self._path:
            node = node[step]
        return len(node)


def read_answers(
    source: str, generations: Iterable[Generation], target: Target, doubts: Iterable[Issue] = ()
) -> Record:
    """A record from the answers to a document's parts, in order: parsed, joined, validated.

    Arrays of the parts are joined end to end; of other values the first that is not null is kept. `doubts` are
    issues known beforehand (a page that could not be read); any issue makes the record `partial`.
    """
    data: dict[str, Any] = {}
    issues: list[Issue] = list(doubts)
    fields: dict[str, Field] = {}
    for number, generation in enumerate(generations, 1):
        node = parse(generation.text)
        part, leaves = target.decode(node) if node and isinstance(node.value, dict) else (None, [])
        if node is None or not node.complete:
            reason = _CUT.get(generation.finish, "is not whole JSON")
            issues.append(Issue("cut", f"The answer to part {number} {reason}; what was whole before it is kept."))
        if part is not None:
            _join(data, part, leaves, generation, fields)
    if not data:
        return Record(source, "failed", None, issues or [Issue("empty", "The model gave no record.")])
    for error in sorted(validator(target.schema).iter_errors(data), key=lambda e: list(map(str, e.absolute_path))):
        issues.append(Issue("invalid", error.message[:200], pointer(error.absolute_path) or "/"))
    return Record(source, "partial" if issues else "ok", data, issues, fields)


def _join(
    data: dict[str, Any],
    part: dict[str, Any],
    leaves: list[Leaf],
    generation: Generation,
    fields: dict[str, Field],
) -> None:
    shift = {key: len(data[key]) for key, value in part.items() if isinstance(value, list) and data.get(key)}
    kept = {key for key in part if isinstance(part[key], list) or data.get(key) is None}
    for key in kept:
        data[key] = data[key] + part[key] if key in shift else part[key]
    for leaf in leaves:
        head, *rest = leaf.path
        if head not in kept:
            continue
        if rest and head in shift:
            rest[0] = int(rest[0]) + shift[str(head)]
        at = pointer((head, *rest))
        fields[at] = Field(leaf.value, at, confidence(generation, leaf.start, leaf.end))


def confidence(generation: Generation, start: int, end: int) -> float:
    """The probability of the tokens that touch text[start:end]: the product of theirs (1 where none are known).

    A token that closes one value and opens the next counts for both.
    """
    total = 0.0
    offsets = [*generation.offsets, len(generation.text)]
    for index, logprob in enumerate(generation.logprobs):
        if offsets[index] < end and offsets[index + 1] > start:
            total += logprob
    return math.exp(min(0.0, total))
