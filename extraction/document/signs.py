"""How a PDF's page is made: how much of it is images, how much of its text nobody sees (runs in the worker process)."""

from typing import Any

import pypdfium2.raw as pdfium

_CELLS = 24  # a side of the grid on which areas are counted
_DEPTH = 4  # of form XObjects within each other
_OBJECTS = 20_000  # looked at on one page
_INVISIBLE = {pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP}

Cells = frozenset[int]


def page_signs(page: Any) -> tuple[float, float, float]:
    """The share of a loaded page that lies under images, the share of its text that is not drawn or that an image drawn
    later covers, and the share in fonts that are not in the file. Text within form XObjects counts as if the form were
    not moved.
    """
    bounds = pdfium.FS_RECTF()
    if not pdfium.FPDF_GetPageBoundingBox(page.raw, bounds):
        return 0.0, 0.0, 0.0
    covered: set[int] = set()  # by the images met so far, the topmost first
    drawn = hidden = lent = 0.0
    kinds = (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_TEXT)
    for place, thing in enumerate(reversed(list(page.get_objects(kinds, max_depth=_DEPTH)))):
        if place >= _OBJECTS:
            break
        x0, y0, x1, y1 = thing.get_bounds()
        cells = _cells(x0, y0, x1, y1, bounds)
        if thing.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            covered.update(cells)
            continue
        area = max(0.0, x1 - x0) * max(0.0, y1 - y0)
        drawn += area
        if pdfium.FPDFTextObj_GetTextRenderMode(thing.raw) in _INVISIBLE or (cells and covered.issuperset(cells)):
            hidden += area
        font = pdfium.FPDFTextObj_GetFont(thing.raw)
        if font and pdfium.FPDFFont_GetIsEmbedded(font) == 0:
            lent += area
    return len(covered) / _CELLS**2, hidden / drawn if drawn else 0.0, lent / drawn if drawn else 0.0


def _cells(x0: float, y0: float, x1: float, y1: float, bounds: Any) -> list[int]:
    """The grid's cells whose middle a box covers; of a small box the one it lies in."""
    width, height = bounds.right - bounds.left, bounds.top - bounds.bottom
    if width <= 0 or height <= 0:
        return []

    def span(low: float, high: float) -> range:
        first, last = round(low * _CELLS), round(high * _CELLS)
        if first == last:
            first = int((low + high) / 2 * _CELLS)
            last = first + 1
        return range(max(0, first), min(_CELLS, last))

    columns = span((x0 - bounds.left) / width, (x1 - bounds.left) / width)
    rows = span((y0 - bounds.bottom) / height, (y1 - bounds.bottom) / height)
    return [row * _CELLS + column for row in rows for column in columns]
