"""Boxes drawn on their pictures, in one HTML page that asks nothing of any network: true ones green, told ones red."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image

from extraction.example import ImagePart
from recipes.card.boxes import Box

_SIDE = 420  # pixels of a drawn square


def page(drawn: Sequence[tuple[ImagePart, str, Box, Box | None, float]]) -> str:
    """A page of pictures as the model is shown them, each with the part asked for, its true box, the told one, IoU."""
    figures = []
    for part, label, true, told, score in drawn:
        boxes = _rect(true, "#18a558") + (_rect(told, "#e0452f") if told else "")
        caption = f"{html.escape(label)}: IoU {score:.2f}" + ("" if told else ", no box was told")
        figures.append(
            f'<figure><svg viewBox="0 0 1000 1000" width="{_SIDE}" height="{_SIDE}"><image href="{_data(part)}" '
            f'width="1000" height="1000"/>{boxes}</svg><figcaption>{caption}</figcaption></figure>'
        )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Boxes</title><style>body{font:15px sans-serif}"
        "figure{display:inline-block;margin:.5em}</style><p>Green: the true box. Red: the model's.</p>"
        + "".join(figures)
        + "</html>\n"
    )


def _rect(box: Box, colour: str) -> str:
    y0, x0, y1, x1 = box
    return (
        f'<rect x="{x0:.0f}" y="{y0:.0f}" width="{x1 - x0:.0f}" height="{y1 - y0:.0f}" fill="none" stroke="{colour}" '
        'stroke-width="6"/>'
    )


def _data(part: ImagePart) -> str:
    file = io.BytesIO()
    part.draw().resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
