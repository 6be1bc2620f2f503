"""One answer of the model, read: its values with their confidence and their place, and whether it is whole."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from extraction.checks import Given
from extraction.contract import Contract
from extraction.document import Window
from extraction.document.windows import overlap
from extraction.evidence import Evidence, PageEvidence, PageIndex
from extraction.example import Branch, Index
from extraction.generate.backend import Generation, without_thinking
from extraction.parse import Node
from extraction.target import Leaf

Path = tuple[str | int, ...]
End = Literal["stop", "length", "loop", "grammar", "broken", "refused"]


@dataclass(frozen=True)
class Value:
    """A value that is not null, the probability of its tokens (None where unknown), and where it stands."""

    value: Any
    confidence: float | None
    evidence: Evidence | None


@dataclass(frozen=True)
class Reply:
    """An answer, read.

    Attributes:
        end: how it ended: `stop` (it is whole), `length`, `loop`, `grammar` or `refused` as in `Generation`, or
            `broken`: no whole JSON although the model ended it.
        tree: its data with a `Value` in place of every value that is not null; None when there is no object.
        in_list: whether it was cut within a list, so that what is missing comes behind the list's last item.
        message: why it was refused.
    """

    end: End
    tree: dict[str, Any] | None
    in_list: bool = False
    message: str = ""


def read_reply(generation: Generation, contract: Contract, branch: Branch, index: Index | None) -> Reply:
    """Parse an answer, find its values in their context, and see how it ended."""
    generation = without_thinking(generation)
    target = contract.target_for(branch.schema)
    end: End = generation.finish
    node = target.parse(generation.text, whole=end == "stop")
    if node is None or not isinstance(node.value, dict):
        return Reply("broken" if end == "stop" else end, None, message=generation.message)
    # A cut may fall before the last brace, where nothing is missing.
    whole = all(child.complete for child in node.value.values()) and target.keys <= set(node.value)
    if node.complete or whole:
        end = "stop"
    elif end == "stop":
        end = "broken"
    data, leaves = target.decode(node)
    evidence = index.ground(leaves, contract) if index else {}
    sure = _confidences(leaves, generation, contract)
    values = {leaf.path: _value(leaf, sure[leaf.path], evidence.get(leaf.path)) for leaf in leaves}
    return Reply(end, tree_of(data, values), end != "stop" and _cut_in_list(node))


@dataclass(frozen=True, kw_only=True)
class WindowReply(Reply):
    """What was read from one window of a document.

    Attributes:
        window: what the model was shown.
        stop: one past the last line of which the answer tells: the window's own end when the answer is whole.
        look: whether it is a second look at single lines, which nothing goes on from.
    """

    window: Window
    stop: int
    look: bool = False


def read_window(window: Window, generation: Generation, contract: Contract, branch: Branch) -> WindowReply:
    """An answer to a window, and how far down it came."""
    reply = read_reply(generation, contract, branch, PageIndex(window))
    stop = window.stop
    if reply.end != "stop":
        places = (window.lines.find(place.page, place.box) for place in printed(reply.tree, contract.headings))
        stop = max(places, default=window.start - 1) + 1
    return WindowReply(**vars(reply), window=window, stop=stop)


def _value(leaf: Leaf, sure: float | None, evidence: Evidence | None) -> Value:
    """A leaf's value; it is no surer than the words from which it was read."""
    score = evidence.score if evidence else 1.0
    return Value(leaf.value, None if sure is None else sure * score, evidence)


def _confidences(leaves: Sequence[Leaf], generation: Generation, contract: Contract) -> dict[Path, float | None]:
    """The confidence in each value; within a row, times that in the row's name.

    A value can only be right in the right row. Of eleven ways to make one figure of the tokens' probabilities this
    ranked wrong values lowest on held-out and on real documents.
    """
    own = {leaf.path: confidence(generation, leaf.start, leaf.end) for leaf in leaves}
    names: dict[Path, Path] = {}  # of each row the first value that is its own
    for path in own:
        if len(path) > 1 and isinstance(path[-2], int) and path[-1] not in contract.carry:
            names.setdefault(path[:-1], path)
    out: dict[Path, float | None] = {}
    for path, sure in own.items():
        name = names.get(path[:-1], path)
        factor = 1.0 if name == path else own[name]
        out[path] = None if sure is None or factor is None else sure * factor
    return out


def confidence(generation: Generation, start: int, end: int) -> float | None:
    """The probability of the tokens that touch text[start:end]: the product of theirs; None where none are known.

    A token that closes one value and opens the next counts for both.
    """
    if not generation.offsets:
        return None
    # The token that begins at or before `start`; offsets ascend.
    first = max(0, bisect_right(generation.offsets, start) - 1)
    last = bisect_left(generation.offsets, end)
    return math.exp(min(0.0, sum(generation.logprobs[first:last])))


def printed(tree: Any, without: Collection[str] = ()) -> Iterator[PageEvidence]:
    """The places on pages of all values of a tree, but for the keys named in `without`."""
    if isinstance(tree, Value):
        if isinstance(tree.evidence, PageEvidence):
            yield tree.evidence
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key not in without:
                yield from printed(value, without)
    elif isinstance(tree, list):
        for item in tree:
            yield from printed(item, without)


def values_of(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Every value of a tree that is not null, with its path."""
    if isinstance(tree, Value):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from values_of(value, (*path, key))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from values_of(item, (*path, index))


def places_of(tree: Any) -> dict[Path, PageEvidence]:
    """The places on pages of a tree's values, by their paths."""
    return {path: value.evidence for path, value in values_of(tree) if isinstance(value.evidence, PageEvidence)}


def plain(tree: Any) -> Any:
    """The data of a tree."""
    if isinstance(tree, Value):
        return tree.value
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(item) for item in tree]
    return tree


def give(tree: Any, given: Sequence[Given], contract: Contract) -> Any:
    """A tree whose rows have what is given for the places that their values stand in, as sure as these values are."""

    def holding(item: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
        for cell in (item.get(field) for field in contract.fields("value")):
            if isinstance(cell, Value) and isinstance(place := cell.evidence, PageEvidence):
                for one in given:
                    if place.page == one.page and overlap(place.box, one.box) > 0 and one.field in item:
                        yield one.field, Value(one.value, cell.confidence, one.place)

    if isinstance(tree, list):
        return [give(item, given, contract) for item in tree]
    if isinstance(tree, dict):
        return {**{key: give(value, given, contract) for key, value in tree.items()}, **dict(holding(tree))}
    return tree


def tree_of(data: Any, values: Mapping[Path, Value], path: Path = ()) -> Any:
    """Data with the `Value` of each path in the place of what is not null."""
    if isinstance(data, dict):
        return {key: tree_of(item, values, (*path, key)) for key, item in data.items()}
    if isinstance(data, list):
        return [tree_of(item, values, (*path, index)) for index, item in enumerate(data)]
    return values.get(path)


def _cut_in_list(node: Node) -> bool:
    """Whether a text ended while a list of the root object was being written."""
    last = list(node.value.values())[-1:]
    return bool(last) and isinstance(last[0].value, list) and not last[0].complete
