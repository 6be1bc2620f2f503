"""Shares the width of a table among its columns."""

from __future__ import annotations

from collections.abc import Callable

from .cells import Cells
from .parts import Section
from .sheet import face, text_width

RIGHT_PAD = 7.0  # points kept free at the right of every cell
_ELASTIC = (
    "name",
    "result",
    "unit",
    "range",
    "prev1",
    "prevd",
    "prevw",
    "method",
    "low",
    "high",
    "d0",
    "d1",
    "d2",
    "d3",
    "d4",
)
_MOST = {"range": 0.32, "method": 0.2, "result": 0.3}  # shares of the table's width


def column_widths(cells: Cells, title: Callable[[str, Section | None], str], total: float) -> tuple[list[float], bool]:
    """Widths of the style's columns in points, and whether their contents fit `total` at the cells' size."""
    style, columns = cells.style, cells.style.columns.split()
    bold = face(cells.font, True)
    wishes, leasts = [], []
    for kind in columns:
        pairs = [(0.0, 0.0)]
        for section in cells.content.sections:
            pairs += [cells.natural(kind, row, section) for row in section.rows]
            text = title(kind, section) if style.titles or style.section_titles else ""
            words = max((text_width(word, bold, cells.size) for word in text.split(" ")), default=0.0)
            pairs.append((text_width(text, bold, cells.size) if kind != "result" else 0.0, words))
        indent = 3 * style.indent if kind == "name" else 0.0
        least = max(least for _, least in pairs) + RIGHT_PAD + indent
        if kind == "name":
            least = max(least, 70.0)
        wish = max(wish for wish, _ in pairs) + RIGHT_PAD + indent
        leasts.append(least)
        most = style.name_share if kind == "name" else _MOST.get(kind, 0.2)
        wishes.append(max(min(wish, max(most * total, least)), least))
    if style.result_below:
        wishes[0] = leasts[0] = max(30.0, style.indent + 24)
    if sum(leasts) > total:
        return [width * total / sum(leasts) for width in leasts], False
    return _share(wishes, leasts, columns, style.spread, total), True


def _share(wishes: list[float], leasts: list[float], columns: list[str], spread: str, total: float) -> list[float]:
    spare = total - sum(wishes)
    if spare < 0:  # take from the columns that can give
        slack = sum(wish - least for wish, least in zip(wishes, leasts, strict=True))
        pairs = zip(wishes, leasts, strict=True)
        return [wish + spare * (wish - least) / slack for wish, least in pairs]
    if spread == "left":
        return wishes
    widths = list(wishes)
    if spread == "name":
        more = min(spare, total * 0.22)
        widths[columns.index("name")] += more
        spare -= more
    wide = [i for i, kind in enumerate(columns) if kind in _ELASTIC]
    return [width + spare / len(wide) * (i in wide) for i, width in enumerate(widths)]
