"""What was read and is not data: rows and values that nothing printed bears out, each with the reason.

A record is what its document says. A row whose name or value does not stand where it should, whose value is of another
column or another row's name, or which the model itself doubts, is none of it; nor is a heading, a unit or a time that
is not printed. They are taken out of the data and kept, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from extraction.checks import MissedLine
from extraction.contract import Contract
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence
from extraction.record.record import Issue, SetAside
from extraction.record.reply import Value, plain
from extraction.schema import allows_null, is_choice, nodes, pointer

Path = tuple[str | int, ...]

DOUBTED = 0.1
"""A row whose value has a lower confidence is set aside: `scripts/choose_doubt.py` prints what other figures do."""
_LITTLE_SURE = 0.3  # of a row of less confidence that stays a person is told; real reports have right rows from 0.32 on
_SAME = 0.5  # share of the smaller box that two boxes must have in common to be one place
_GROUNDED = ("name", "value")  # roles without which a row is no row


@dataclass(frozen=True)
class Pruned:
    """A tree without what was set aside.

    Attributes:
        tree: what is left.
        aside: what was taken out, in order.
        places: where the values of rows that were taken out stand, all the same: nothing there was overlooked.
        moved: JSON pointers of rows before and after; None for those that were taken out.
        cells: of each row in `aside`, the places of its values by their fields.
    """

    tree: dict[str, Any]
    aside: list[SetAside]
    places: dict[Path, PageEvidence] = field(default_factory=dict)
    moved: dict[str, str | None] = field(default_factory=dict)
    cells: list[dict[str, PageEvidence]] = field(default_factory=list)

    def moves(self, issue: Issue) -> Issue:
        """An issue about the tree before, about what is left of it."""
        steps = (issue.path or "").split("/")
        for end in range(len(steps), 1, -1):
            old = "/".join(steps[:end])
            if old in self.moved:
                new = self.moved[old]
                at = old.rpartition("/")[0] if new is None else "/".join([new, *steps[end:]])
                return replace(issue, path=at)
        return issue


def set_aside_rows(tree: dict[str, Any], contract: Contract, issues: Collection[Issue], grounded: bool) -> Pruned:
    """Take rows out whose name or value is doubtful.

    Args:
        tree: data with a `Value` in place of everything that is not null.
        contract: whose roles say what names a row and what is told of it; a task without those roles keeps its rows.
        issues: of the task's checks, about this tree: one at a row's name or value speaks against the row.
        grounded: whether there are words on which values could have been found.
    """
    wanted = {name: role for name, role in contract.roles.items() if role in _GROUNDED}
    against = {issue.path: issue.message for issue in issues if issue.path}
    pruned = Pruned({}, [])

    def visit(node: Any, path: Path, new: Path) -> Any:
        """What is left of a node, at `path` before and at `new` after."""
        if isinstance(node, dict):
            return {key: visit(value, (*path, key), (*new, key)) for key, value in node.items()}
        if not isinstance(node, list):
            return node
        kept: list[Any] = []
        named = [_places(item, contract.fields("name")) for item in node]
        for number, item in enumerate(node):
            old, now = (*path, number), (*new, len(kept))
            choices = {key for key in wanted if is_choice(contract.record_schema, (*old, key))}
            unprinted = choices if grounded else wanted
            reason = _against_row(item, old, wanted, unprinted, against) if isinstance(item, dict) else None
            for place in _places(item, contract.fields("value")) if reason is None else ():
                if any(_same(place, name) for other in (*named[:number], *named[number + 1 :]) for name in other):
                    reason = f"“{place.text}” is what another row is called"
            pruned.moved[pointer(old)] = None if reason else pointer(now)
            if reason is None:
                kept.append(visit(item, old, now))
                continue
            cells = {key: cell.evidence for key, cell in item.items() if isinstance(cell, Value)}
            places = {key: place for key, place in cells.items() if isinstance(place, PageEvidence)}
            own = [place for key, place in places.items() if key in wanted]
            outside = ("set_aside", *old)
            pruned.places.update({(*outside, k): place for k, place in places.items() if k not in contract.headings})
            pruned.aside.append(SetAside(pointer(path), plain(item), reason, next(iter(own), None)))
            pruned.cells.append(places)
        return kept

    return replace(pruned, tree=visit(tree, (), ()))


def _places(item: Any, names: Collection[str]) -> list[PageEvidence]:
    """Where the values of an object's fields stand."""
    cells = [item.get(name) for name in names] if isinstance(item, dict) else []
    places = [cell.evidence for cell in cells if isinstance(cell, Value)]
    return [place for place in places if isinstance(place, PageEvidence)]


def _same(one: PageEvidence, other: PageEvidence) -> bool:
    return one.page == other.page and overlap(one.box, other.box) > _SAME


def doubtful_rows(tree: Mapping[str, Any], contract: Contract, plain_rows: Collection[MissedLine]) -> Iterator[Issue]:
    """An issue for each row that is kept although the model is little sure of its name or its value.

    Legends and interpretations that it took for results are printed nearly as results are, so that no check tells them.
    Whatever the model says, a row is one whose value stands on one of `plain_rows`, which look like rows by themselves.
    """
    wanted = contract.fields("name", "value")
    for key, rows in tree.items():
        for number, row in enumerate(rows if isinstance(rows, list) else ()):
            cells = [row[name] for name in wanted if isinstance(row.get(name), Value)] if isinstance(row, dict) else []
            least = min((cell.confidence for cell in cells if cell.confidence is not None), default=1.0)
            if least < _LITTLE_SURE:
                places = [cell.evidence for cell in cells if isinstance(cell.evidence, PageEvidence)]
                if any(p.page == one.page and overlap(p.box, one.box) > _SAME for p in places for one in plain_rows):
                    continue
                said = " ".join(f"“{cell.value}”" for cell in cells if cell.value is not None)
                message = f"The model itself doubts a row, {said} (confidence {least:.2f}): compare with the page."
                yield Issue("doubtful", message, pointer((key, number)), places[0].page if places else None)


def set_aside_values(tree: dict[str, Any], contract: Contract, issues: Collection[Issue], grounded: bool) -> Pruned:
    """Make null what is not printed where it should be, or is of another field's kind, where the schema allows null.

    Fields without a role, choices and the model's own words stay as they are: nothing says that they are copied.
    Arguments as for `set_aside_rows`.
    """
    copied = {name for name, role in contract.roles.items() if role not in ("choice", "text", "line")}
    against = {issue.path: issue.message for issue in issues if issue.path}
    aside: list[SetAside] = []

    def visit(node: Any, path: Path) -> Any:
        """A node with null for what is set aside."""
        if isinstance(node, dict):
            return {key: visit(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [visit(value, (*path, number)) for number, value in enumerate(node)]
        if not isinstance(node, Value) or not path or path[-1] not in copied or is_choice(contract.record_schema, path):
            return node
        if grounded and node.evidence is None:
            reason = f"“{node.value}” does not stand on the page where it should."
        else:
            reason = against.get(pointer(path), "")
        if not reason or not allows_null(nodes(contract.record_schema, path)[-1], contract.record_schema):
            return node
        place = node.evidence if isinstance(node.evidence, PageEvidence) else None
        aside.append(SetAside(pointer(path), node.value, reason.rstrip("."), place))
        return None

    return Pruned(visit(tree, ()), aside)


def _against_row(
    item: Mapping[str, Any], at: Path, wanted: Collection[str], unprinted: Collection[str], against: Mapping[Any, str]
) -> str | None:
    """What speaks against a row, if anything does; of its fields `unprinted` need not stand anywhere."""
    cells = {name: item[name] for name in wanted if isinstance(item.get(name), Value)}
    for name, cell in cells.items():
        if name not in unprinted and cell.evidence is None:
            return f"its {name} “{cell.value}” does not stand on the page where it should"
    for name in cells:
        if pointer((*at, name)) in against:
            return against[pointer((*at, name))].rstrip(".")
    doubts = [cell.confidence for cell in cells.values() if cell.confidence is not None]
    if doubts and min(doubts) < DOUBTED:
        return f"the model itself doubts it (confidence {min(doubts):.2f})"
    return None
