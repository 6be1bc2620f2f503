"""Long documents as training examples: the windows that serving would show, each with what stands in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from extraction.contract import Contract
from extraction.document import Window, split_pages
from extraction.errors import AssayError
from extraction.evidence import CARRIED
from extraction.generate.backend import Generation
from extraction.reading import text_lines, text_windows
from extraction.record.part import Cell, plain, printed, read_part
from finetune.dataset import Example


def parts(example: Example, contract: Contract, fits: Callable[..., bool]) -> list[tuple[Window, dict[str, Any]]]:
    """What a model is shown of a document, each window with the record of what stands in it.

    A document that fits a prompt is one part with its whole record. Otherwise the true values are found on the page,
    and each window has the items whose own words it shows; a value that stands outside it, such as a heading above,
    is null there, as it is for a model that reads the window alone.

    Args:
        example: the document and its true record.
        contract: the task.
        fits: whether texts, page by page, fit a prompt; given the numbers of pages too where pixels are shown.

    Raises:
        AssayError: a document without words takes several windows of pages, so its record cannot be divided.
    """
    lines = text_lines(example.document, contract)
    whole = Window(lines, 0, len(lines))
    if contract.view == "text":
        windows = text_windows(whole, contract, fits)
    else:
        windows = split_pages(lines, lambda window: fits(window.texts, window.pages))
    if len(windows) == 1:
        return [(windows[0], example.record)]
    if not example.document.has_text:
        raise AssayError(
            f"{example.name} has {len(example.document.pages)} pages, more than fit contract.max_prompt_tokens="
            f"{contract.max_prompt_tokens} as images, and no words to tell what of its record stands on which; raise "
            "it, or divide the file and its record."
        )
    tree = read_part(whole, Generation(contract.target.encode(example.record), "stop"), contract).tree
    carried = {*CARRIED, *contract.carry}
    return [(window, plain(_shown(tree, window, carried))) for window in windows]


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
