"""The evidence page: a document beside what was read from it, each value linked to its place."""

from __future__ import annotations

import base64
import io
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from extraction.document import Document, render_pages

if TYPE_CHECKING:
    from extraction.record.record import Record

_DPI = 110


def evidence_page(record: Record, document: Document, review_below: float) -> str:
    """One self-contained HTML file: works offline, loads nothing, runs under a policy that forbids it to.

    Args:
        record: what was read.
        document: the pages it was read from.
        review_below: the values of `record.review(review_below)` are marked.
    """
    numbers = [page.number for page in document.pages]
    drawn = render_pages(document.path, numbers, dpi=_DPI, password=document.password)
    images = dict(zip(numbers, drawn, strict=True))
    turns = {page.number: page.turn for page in document.pages}
    sides = {page.number: page.displayed for page in document.pages}
    review = {field.path for field in record.review(review_below)}
    saved = record.to_dict()
    evidence = saved.pop("evidence")
    values = {
        **saved,
        "issues": [{**issue.to_dict(), "told": record.told(issue)} for issue in record.issues],
        "set_aside": [{**one.to_dict(), "told": record.place(one.path)} for one in record.set_aside],
        "review_below": review_below,
        "fields": {path: {"page": None, **entry, "review": path in review} for path, entry in evidence.items()},
        "pages": [],
    }
    for number, image in images.items():
        width, height = sides[number][::-1] if turns[number] % 180 else sides[number]
        upright = _data_uri(image.rotate(-turns[number], expand=True))
        values["pages"].append({"number": number, "width": width, "height": height, "image": upright})
    for entry in (*values["fields"].values(), *values["set_aside"]):
        if entry.get("page") and turns[entry["page"]]:
            entry["box"] = _turned(entry["box"], turns[entry["page"]], *sides[entry["page"]])
    template = (files("extraction.record") / "evidence.html").read_text(encoding="utf-8")
    # A tag inside a string of the document could end the script element, or open another.
    return template.replace("__RECORD__", json.dumps(values, ensure_ascii=False).replace("<", "\\u003c"))


def _turned(box: list[float], turn: int, width: float, height: float) -> list[float]:
    """A box of a page displayed at `width` x `height`, on the page turned by `turn` degrees clockwise."""
    x0, y0, x1, y1 = box
    if turn == 90:
        return [height - y1, x0, height - y0, x1]
    if turn == 180:
        return [width - x1, height - y1, width - x0, height - y0]
    return [y0, width - x1, y1, width - x0]


def _data_uri(image: Any) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").quantize(32).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
