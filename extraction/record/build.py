"""From a model's answers to a record: parse, join, validate, find every value on the page, count the rows."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from extraction.contract import Contract
from extraction.document import Document, Page
from extraction.evidence import Evidence, ground, rows_like_results
from extraction.generate.backend import Generation
from extraction.parse import parse
from extraction.record.record import Field, Issue, Record
from extraction.schema import Schema, pointer, resolve, validator
from extraction.target import Leaf

_CUT = {"length": "reached its length limit", "loop": "repeated itself without end and was stopped"}


def build_record(document: Document, generations: Iterable[Generation], contract: Contract) -> Record:
    """A record from the answers to a document's parts, in order.

    Arrays of the parts are joined end to end; of other values the first that is not null is kept. What was cut,
    does not follow the schema, or is not on the page becomes an issue, and any issue makes the record `partial`.
    """
    source = document.path.name
    issues = [issue for page in document.pages if (issue := _page_issue(page))]
    data: dict[str, Any] = {}
    leaves: list[Leaf] = []
    confidences: list[float] = []
    for number, generation in enumerate(generations, 1):
        node = parse(generation.text)
        part, found = contract.target.decode(node) if node and isinstance(node.value, dict) else (None, [])
        if node is None or not node.complete:
            reason = _CUT.get(generation.finish, "is not whole JSON")
            issues.append(Issue("cut", f"The answer to part {number} {reason}; what was whole before it is kept."))
        if part is not None:
            for leaf, own in _join(data, part, found):
                leaves.append(leaf)
                confidences.append(confidence(generation, own.start, own.end))
    views = [page.view for page in document.pages]
    if not data:
        return Record(source, "failed", None, issues or [Issue("empty", "The model gave no record.")], views=views)
    for error in sorted(validator(contract.record_schema).iter_errors(data), key=lambda e: pointer(e.absolute_path)):
        issues.append(Issue("invalid", error.message[:200], pointer(error.absolute_path) or "/"))
    evidence = ground(leaves, document)
    fields = {
        pointer(leaf.path): Field(leaf.value, pointer(leaf.path), sure, evidence.get(leaf.path))
        for leaf, sure in zip(leaves, confidences, strict=True)
    }
    issues += _not_on_the_page(leaves, evidence, contract.record_schema)
    if contract.check_rows:
        issues += _rows_left_out(document, evidence)
    return Record(source, "partial" if issues else "ok", data, issues, fields, views, document)


def _page_issue(page: Page) -> Issue | None:
    """What is doubtful about a page's words as a whole; a page that OCR found blank is in order."""
    if page.issue:
        return Issue("ocr" if page.view == "ocr" and page.words else "unread", page.issue, page=page.number)
    if not page.words and page.view != "ocr":
        return Issue("unread", "The page has no text layer; nothing was read from it.", page=page.number)
    return None


def _join(data: dict[str, Any], part: dict[str, Any], leaves: Sequence[Leaf]) -> list[tuple[Leaf, Leaf]]:
    """Add a part to `data`; the leaves that were kept, with their place in `data`, beside themselves."""
    shift = {key: len(data[key]) for key, value in part.items() if isinstance(value, list) and data.get(key)}
    kept = {key for key in part if isinstance(part[key], list) or data.get(key) is None}
    for key in kept:
        data[key] = data[key] + part[key] if key in shift else part[key]
    moved = []
    for leaf in leaves:
        head, *rest = leaf.path
        if head not in kept:
            continue
        if rest and head in shift:
            rest[0] = int(rest[0]) + shift[str(head)]
        moved.append((Leaf((head, *rest), leaf.value, leaf.start, leaf.end), leaf))
    return moved


def confidence(generation: Generation, start: int, end: int) -> float:
    """The probability of the tokens that touch text[start:end]: the product of theirs (1 where none are known).

    A token that closes one value and opens the next counts for both.
    """
    # The token that begins at or before `start`; offsets ascend.
    first = max(0, bisect_right(generation.offsets, start) - 1)
    last = bisect_left(generation.offsets, end)
    return math.exp(min(0.0, sum(generation.logprobs[first:last])))


def _not_on_the_page(leaves: Sequence[Leaf], evidence: dict[Any, Evidence], schema: Schema) -> list[Issue]:
    """An issue for every value that is copied from the page (no enum, no boolean) and is not found there."""
    issues = []
    for leaf in leaves:
        if leaf.path in evidence or isinstance(leaf.value, bool) or _is_choice(schema, leaf.path):
            continue
        message = f"“{leaf.value}” does not stand on the page where it should."
        issues.append(Issue("not_found", message, pointer(leaf.path)))
    return issues


def _is_choice(schema: Schema, path: Sequence[str | int]) -> bool:
    """Whether the schema offers the value at `path` as one of a list."""
    node = resolve(schema, schema)
    for step in path:
        branch = node.get("items", {}) if isinstance(step, int) else node.get("properties", {}).get(step, {})
        node = resolve(branch, schema)
    return any("enum" in option or "const" in option for option in (node, *node.get("anyOf", ())))


def _rows_left_out(document: Document, evidence: dict[Any, Evidence]) -> list[Issue]:
    """An issue for every line that looks like a result although no value of a row was read from it."""
    read: dict[int, list[tuple[float, float]]] = {}
    for place in evidence.values():
        read.setdefault(place.page, []).append((place.box[1], place.box[3]))
    issues = []
    for line in rows_like_results(document):
        middle = (line.box[1] + line.box[3]) / 2
        if not any(top <= middle <= bottom for top, bottom in read.get(line.page, ())):
            issues.append(
                Issue("row_left_out", f"This line looks like a result and is in no row: {line.text}", page=line.page)
            )
    return issues
