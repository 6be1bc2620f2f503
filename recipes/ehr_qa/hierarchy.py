"""Which condition is a kind of which group, by SNOMED CT code or by name: made by hand, far from complete.

The tables are vocabulary/groups.yaml and vocabulary/conditions.yaml. A group stands only where it certainly holds;
`akin` says where it holds of the past, or perhaps, so that a question about the group would have no certain answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from recipes.ehr_qa import vocabulary
from recipes.ehr_qa.vocabulary import Condition

# group -> the wider groups it is a kind of, and those that its conditions may also belong to
GROUPS: dict[str, tuple[str, ...]] = {
    name: tuple(row["is"] if isinstance(row, dict) else row) for name, row in vocabulary.GROUPS.items()
}
_PERHAPS: dict[str, tuple[str, ...]] = {
    name: tuple(row["perhaps"]) for name, row in vocabulary.GROUPS.items() if isinstance(row, dict)
}
_CODES = {condition.code: condition for condition in vocabulary.CONDITIONS if condition.code}
_NAMES = {condition.name.casefold(): condition for condition in vocabulary.CONDITIONS}


def wider(groups: Iterable[str]) -> set[str]:
    """The groups and all that they are a kind of."""
    found: set[str] = set()
    waiting = list(groups)
    while waiting:
        group = waiting.pop()
        if group not in found:
            found.add(group)
            waiting += GROUPS[group]
    return found


def find(codes: Iterable[str], name: str = "") -> Condition | None:
    """The table's condition of one of these codes, or of this name; None where the table does not know it."""
    known = [_CODES[code] for code in sorted(codes) if code in _CODES]
    return known[0] if known else _NAMES.get(name.casefold())


def groups_of(codes: Iterable[str], name: str = "") -> set[str] | None:
    """All groups a condition certainly is a kind of; None where the table does not know it."""
    condition = find(codes, name)
    return wider(condition.groups) if condition else None


def akin(codes: Iterable[str], name: str = "") -> set[str]:
    """The groups that a condition may belong to."""
    condition = find(codes, name)
    if condition is None:
        return set()
    certain = wider(condition.groups)
    perhaps = {group for one in certain for group in _PERHAPS.get(one, ())}
    return wider([*condition.perhaps, *perhaps]) - certain
