"""Rows that a task reads by itself, put among those that the model read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from extraction.checks import Added
from extraction.contract import Contract
from extraction.document import Document
from extraction.record.aside import Pruned
from extraction.record.record import Issue
from extraction.record.reply import Value, places_of, plain
from extraction.schema import pointer

Path = tuple[str | int, ...]


def with_added(rows: Pruned, document: Document, contract: Contract) -> tuple[Pruned, list[Issue]]:
    """What is left of a tree, with the rows that the task adds to it, and an issue for each of them."""
    found = contract.rules.completed(document, plain(rows.tree), places_of(rows.tree), contract)
    lists = [key for key in contract.target.tables if isinstance(rows.tree.get(key, ""), list | None)]
    if not found or len(lists) != 1:
        return rows, []
    [key] = lists
    old: list[Any] = rows.tree[key] or []
    before: list[list[Added]] = [[] for _ in range(len(old) + 1)]
    for one in found:
        at = len(old) if one.beside is None else int(one.beside[-1]) + one.behind
        before[at].append(one)
    fields = contract.target.tables[key]
    items: list[Any] = []
    moved: dict[str, str] = {}
    issues = []
    for number, group in enumerate(before):
        for one in sorted(group, key=lambda added: added.places["name"].box[1]):
            like = old[int(one.like[-1])] if one.like else {}
            item = {name: like.get(name) if name in contract.headings else None for name in fields}
            items.append(item | {name: Value(place.text, None, place) for name, place in one.places.items()})
            said = ", ".join(f"“{place.text}”" for place in one.places.values())
            page = one.places["name"].page
            message = f"The model did not read this row, and it is taken from its line: {said}; compare with the page."
            issues.append(Issue("added", message, pointer((key, len(items) - 1)), page))
        if number < len(old):
            moved[pointer((key, number))] = pointer((key, len(items)))
            items.append(old[number])
    again = {path: moved.get(new, new) if new else None for path, new in rows.moved.items()}
    return replace(rows, tree={**rows.tree, key: items}, moved=again), issues
