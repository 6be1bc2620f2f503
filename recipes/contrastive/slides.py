"""Whole slides as the pictures that they are found by: every patch with tissue, and where on the slide it lies."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.errors import AssayError
from extraction.slide import MAGNIFICATIONS, Patch, Slide, open_slide
from extraction.slide.patches import candidates, draw, overview
from recipes.contrastive.images import MOST_PIXELS, Picture, UnreadableError

if TYPE_CHECKING:
    from PIL import Image

SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".bif")
Place = tuple[float, float, float]
"""Left, top and width of a patch, in pixels of the slide's finest level."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SCANNED = re.compile(r"Aperio|[\s\S]*leica-microsystems\.com/scn")  # how a scanner's description of a TIFF begins
_TILES, _DESCRIPTION, _NDPI = 322, 270, 65420  # tags of a TIFF
_DRAWN = 200  # patches of one job of the process that draws: what it may hand over is limited


@dataclass(frozen=True)
class Drawn:
    """A picture that is in memory already, opened as one that lies in a file (`Picture`)."""

    image: Image.Image
    name: str

    def __str__(self) -> str:
        return self.name

    def open(self) -> Image.Image:
        """The image as RGB."""
        return self.image


def is_slide(path: Path) -> bool:
    """Whether a file is a slide: by its name if it is no DICOM; or a TIFF that a scanner wrote, or a huge one.

    Huge is what has more pixels than a picture may have.
    """
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        head = b""
    if path.suffix.lower() in SLIDES:
        return head[128:] != b"DICM"
    if not head.startswith(_TIFF):
        return False
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("TIFF",)) as image:
            tags: Any = getattr(image, "tag_v2", {})
            scanned = _TILES in tags and bool(_SCANNED.match(str(tags.get(_DESCRIPTION, ""))))
            return bool(scanned or _NDPI in tags or image.width * image.height > MOST_PIXELS)
    except Image.DecompressionBombError:
        return True
    except Exception:  # whatever is wrong with it is told where it is read as a picture
        return False


def pictures_of(path: Path) -> Iterator[tuple[Place | None, int, Drawn]]:
    """The patches of a slide that have tissue: where each lies, how many there are, and its picture of 896 pixels.

    At 20x (0.45 mm wide), or at 10x or 5x of a slide that is not that fine. Of a slide that does not say its resolution
    there is one picture, without a place: the whole.

    Raises:
        UnreadableError: it cannot be read, shows no tissue, or OpenSlide is not installed.
    """
    slide = _opened(path)
    magnification = _finest(slide)
    try:
        if magnification is None:
            yield None, 1, Drawn(overview(slide), str(path))
            return
        found = candidates(slide, magnification)
        for start in range(0, len(found), _DRAWN):
            some = found[start : start + _DRAWN]
            for patch, image in zip(some, draw(slide, some), strict=True):
                place = (patch.x, patch.y, patch.side)
                yield place, len(found), Drawn(image, f"{path}{told(place)}")
    except AssayError as error:
        raise UnreadableError(str(error)) from None


def passed_over(path: Path, width: float, count: int) -> int:
    """How many squares of a slide have too little tissue, where `count` of this width (see `Place`) have enough."""
    across, down = (math.ceil(side / width - 1e-6) for side in _opened(path).size)
    return across * down - count


def look(path: Path, place: Place | None = None) -> Image.Image:
    """What was found, to look at: a picture, a patch of a slide, or a slide as a whole.

    Raises:
        UnreadableError: it is gone or cannot be read.
    """
    if not is_slide(path):
        return Picture(path).open()
    slide = _opened(path)
    try:
        return next(draw(slide, [Patch(*place, 0, 0)])) if place else overview(slide)
    except AssayError as error:
        raise UnreadableError(str(error)) from None


def told(place: Place | None) -> str:
    """Where on its slide a patch lies, as it stands behind the slide's name; empty for a whole picture."""
    return f" at {place[0]:.0f}, {place[1]:.0f} ({place[2]:.0f} wide)" if place else ""


@lru_cache(maxsize=16)
def _opened(path: Path) -> Slide:
    if find_spec("openslide") is None:
        remedy = "pip install 'assay[imaging]'"
        raise UnreadableError(f"{path} is a slide; {remedy} to read it.", f"slide, for {remedy}")
    try:
        return open_slide(path)
    except AssayError as error:
        raise UnreadableError(str(error)) from None


def _finest(slide: Slide) -> int | None:
    """The largest of the magnifications that patches are drawn at which a slide has; None where it has none."""
    for magnification in sorted(MAGNIFICATIONS, reverse=True):
        try:
            slide.step(magnification)
            return magnification
        except AssayError:
            continue
    return None
