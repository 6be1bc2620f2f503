"""Long documents as training examples: the windows that serving would show, each with what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from extraction.contract import Contract
from extraction.document import Lines, Window, split
from extraction.evidence import CARRIED
from extraction.generate.backend import Generation
from extraction.reading import OVERLAP
from extraction.record.part import Cell, plain, printed, read_part
from finetune.dataset import Example


def parts(
    example: Example, contract: Contract, fits: Callable[[Sequence[str]], bool]
) -> list[tuple[list[str], dict[str, Any]]]:
    """The texts a model is shown of a document, each with the record of what stands in them.

    A document that fits a prompt is one part with its whole record. Otherwise the true values are found on the page,
    and each window has the items whose own words it shows; a value that stands outside it, such as a heading above,
    is null there, as it is for a model that reads the window alone.

    Args:
        example: the document and its true record.
        contract: the task.
        fits: whether texts, page by page, fit a prompt.
    """
    lines = Lines(example.document)
    whole = Window(lines, 0, len(lines))
    windows = split(whole, fits, OVERLAP)
    if len(windows) == 1:
        return [(whole.texts, example.record)]
    tree = read_part(whole, Generation(contract.target.encode(example.record), "stop"), contract).tree
    carried = {*CARRIED, *contract.carry}
    return [(window.texts, plain(_shown(tree, window, carried))) for window in windows]


def _shown(tree: Any, window: Window, carried: set[str]) -> Any:
    """What of a tree stands in a window; a value whose place is not known stands with what holds it."""
    if isinstance(tree, Cell):
        return tree if tree.evidence is None or _holds(window, tree.evidence) else None
    if isinstance(tree, dict):
        return {key: _shown(value, window, carried) for key, value in tree.items()}
    if isinstance(tree, list):
        kept, inside = [], window.start == 0
        for item in tree:
            place = next(printed(item, carried), None)
            inside = _holds(window, place) if place else inside
            if inside:
                kept.append(_shown(item, window, carried))
        return kept
    return tree


def _holds(window: Window, place: Any) -> bool:
    return window.start <= window.lines.find(place.page, place.box) < window.stop
