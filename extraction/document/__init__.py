"""Open a document (a PDF or an image): pages with words and boxes, their text as laid out, their pixels.

`open_document` reads a PDF's own text, `read_scans` reads by OCR the pages that have none or whose text is not what
they show, `layout_lines` and `page_text` turn a page's words into lines that keep the page's columns, `split` parts
them into windows that fit a prompt, `render_page` draws a page. Files are parsed in a separate process with limits of
time and memory, so a hostile file costs one `DocumentError` and nothing else. Imports are lazy: that process, started
for every file, needs little of this.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extraction.document.kinds import SUFFIXES
    from extraction.document.layout import Line, layout_lines, page_text
    from extraction.document.ocr import ocr_available, ocr_page, prepare, read_scans
    from extraction.document.pages import Document, Limits, Page, Word
    from extraction.document.reader import open_document, render_page, render_pages
    from extraction.document.windows import Lines, Window, split, split_pages

__all__ = [
    "SUFFIXES",
    "Document",
    "Limits",
    "Line",
    "Lines",
    "Page",
    "Window",
    "Word",
    "layout_lines",
    "ocr_available",
    "ocr_page",
    "open_document",
    "page_text",
    "prepare",
    "read_scans",
    "render_page",
    "render_pages",
    "split",
    "split_pages",
]

_HOMES = {
    "kinds": ("SUFFIXES",),
    "layout": ("Line", "layout_lines", "page_text"),
    "ocr": ("ocr_available", "ocr_page", "prepare", "read_scans"),
    "pages": ("Document", "Limits", "Page", "Word"),
    "reader": ("open_document", "render_page", "render_pages"),
    "windows": ("Lines", "Window", "split", "split_pages"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
