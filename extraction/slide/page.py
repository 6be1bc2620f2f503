"""The page of a slide: the slide with its patches outlined, and the patches as a model is shown them."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Container, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from extraction.slide.patches import ENOUGH, SIDE, Patch, candidates, draw, overview, patches, tissue
from extraction.slide.slide import Slide

if TYPE_CHECKING:
    from PIL import Image

_SMALL = 224  # pixels of a patch on the page: 126 of them make a page of about two megabytes


def told(slide: Slide) -> list[str]:
    """What a slide is, a sentence or so each; of its file's free text nothing."""
    width, height = slide.size
    size = f"{slide.mpp:.4g} um per pixel" if slide.mpp else "size of pixels not said"
    power = f"{slide.magnification:.3g}x" if slide.magnification else "magnification not known"
    lines = [f"{slide.vendor}, {width:,} x {height:,} pixels, {size}, {power}."]
    lines.append(f"Levels: {', '.join(f'{w:,} x {h:,}' for w, h in slide.levels)}.")
    return [*lines, *slide.said]


def counted(slide: Slide, magnification: float, seed: int = 0) -> list[str]:
    """How much tissue a slide has, and how many patches of it are shown; raises as `patches`."""
    mask, found, taken = tissue(slide), candidates(slide, magnification), patches(slide, magnification, seed=seed)
    lines = [
        f"Tissue: {mask.share:.1%} of the slide (saturation from {mask.threshold} of 255, at 5x).",
        f"Patches at {magnification:g}x: {len(taken)} of {len(found)} with at least {ENOUGH:.0%} tissue.",
    ]
    width, height = slide.size
    over = sum(patch.x + patch.side > width + 1 or patch.y + patch.side > height + 1 for patch in taken)
    if over:
        lines.append(f"{over} of them reach over the slide's border; there they are white.")
    return lines


def slide_page(slide: Slide, magnification: float, seed: int = 0, answers: Sequence[Mapping[str, Any]] = ()) -> str:
    """One self-contained HTML file: works offline, loads nothing.

    Args:
        answers: on the slide (`findings.read_answers`); the patches that they name stand out.

    Raises:
        AssayError, DocumentError: as `patches`.
    """
    taken = patches(slide, magnification, seed=seed)
    small = overview(slide)
    shown = []
    for number, (patch, image) in enumerate(zip(taken, draw(slide, taken), strict=True), 1):
        place = f"{number}: x {patch.x:,.0f}, y {patch.y:,.0f}, {patch.tissue:.0%} tissue"
        uri = _data_uri(image.resize((_SMALL, _SMALL)))
        shown.append(f'<figure id="p{number}"><img alt="{place}" src="{uri}"><figcaption>{place}</figcaption></figure>')
    lines = [*told(slide), *counted(slide, magnification, seed)]
    parts = {
        "SIDE": str(SIDE),
        "FACTS": "".join(f"<li>{html.escape(line)}</li>" for line in lines),
        "OUTLINES": _outlines(slide, taken, {name for answer in answers for name in answer.get("evidence", ())}),
        "ANSWERS": "".join(map(_answer, answers)),
        "OVERVIEW": f'<img alt="the slide" src="{_data_uri(small)}">',
        "PATCHES": "\n".join(shown),
        "TITLE": html.escape(slide.path.name),  # last: a file's name may be anything
    }
    page = (files("extraction.slide") / "slide.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"__{name}__", text)
    return page


def _answer(answer: Mapping[str, Any]) -> str:
    """What was said, with the patches that it names as links to them."""
    links = [
        f'<a href="#p{name.rpartition(" ")[2]}">{name}</a>' for name in map(html.escape, answer.get("evidence", ()))
    ]
    said = f"{answer['question']}: {answer['said'] or '-'}"
    return f"<li>{html.escape(said)} {' '.join(links)}</li>"


def _outlines(slide: Slide, taken: Sequence[Patch], named: Container[str] = ()) -> str:
    """The patches' squares with their numbers, as SVG over the overview."""
    width, height = slide.size
    squares = []
    for number, patch in enumerate(taken, 1):
        # The text's own size is that of what the drawing, as wide as the page has room, has of the square.
        across, down = min(patch.side, width - patch.x), min(patch.side, height - patch.y)
        size = 0.35 * min(across, down)
        label = (
            f'<text x="{patch.x + across / 2:.0f}" y="{patch.y + down / 2 + 0.35 * size:.0f}" '
            f'font-size="{size:.0f}">{number}</text>'
        )
        kind = ' class="named"' if f"PATCH {number}" in named else ""
        squares.append(
            f'<a href="#p{number}"{kind}><rect x="{patch.x:.0f}" y="{patch.y:.0f}" width="{patch.side:.0f}" '
            f'height="{patch.side:.0f}"/>{label}</a>'
        )
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{"".join(squares)}</svg>'


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
