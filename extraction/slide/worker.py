"""The process that touches slides: `python -m extraction.slide.worker`, one job, then it ends (see `document.worker`).

It holds neither a slide nor a whole level of it in memory: all is drawn in parts from the level that is just fine
enough. Without numpy, whose threads would take of the address space that it is limited to.
"""

import math
import re
from array import array
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.document.frames import RefusalError
from extraction.document.worker import serve
from extraction.slide.tiff import directories

if TYPE_CHECKING:
    from PIL import Image

Frames = Iterator[tuple[dict[str, Any], bytes]]

BLOCK = 224  # pixels at the mask's magnification
ACROSS = 4  # blocks of a frame, each way: together they are a patch at that magnification
DARK = 26  # of 255: ink, and the black that some scanners put where they did not look, have no colour to go by

_PART = 2048  # pixels of a level that are read at once, each way


def describe(slide: Any, job: dict[str, Any]) -> Frames:
    """What the slide says of itself, without its free text, which may name people."""
    known = {
        name: slide.properties.get(f"openslide.{name}") for name in ("mpp-x", "mpp-y", "objective-power", "vendor")
    }
    yield {**known, "levels": slide.level_dimensions, "aside": sorted(slide.associated_images)}, b""


def levels_of(slide: Any) -> list[tuple[float, int]]:
    """Downsampling and number of the levels that show the slide: one of other proportions shows something else."""
    width, height = slide.dimensions
    found = []
    for number, (w, h) in enumerate(slide.level_dimensions):
        if abs(width / w - height / h) <= 0.05 * max(width / w, height / h):
            found.append((slide.level_downsamples[number], number))
    return found


def draw(slide: Any, x: float, y: float, step: float, size: tuple[int, int]) -> "Image.Image":
    """An RGB image whose pixels each average a square of `step` pixels of the finest level, its corner at (x, y) there.

    White where the slide has nothing. Colours are as they are stored: no ICC profile is applied.
    """
    from PIL import Image

    scale, level = max((found for found in levels_of(slide) if found[0] <= step * 1.001), default=(1.0, 0))
    part = max(1, int(_PART * scale / step))
    how = Image.Resampling.BOX if step >= scale else Image.Resampling.BICUBIC
    image = Image.new("RGB", size)
    for top in range(0, size[1], part):
        for left in range(0, size[0], part):
            width, height = min(part, size[0] - left), min(part, size[1] - top)
            x0, y0 = (x + left * step) / scale, (y + top * step) / scale
            x1, y1 = x0 + width * step / scale, y0 + height * step / scale
            column, row = math.floor(x0), math.floor(y0)
            # A rounding error must not ask for one more row.
            sides = (max(1, math.ceil(x1 - 1e-3) - column), max(1, math.ceil(y1 - 1e-3) - row))
            region = slide.read_region((round(column * scale), round(row * scale)), level, sides)
            seen = Image.new("RGB", region.size, "white")
            seen.paste(region, mask=region.getchannel("A"))
            box = (x0 - column, y0 - row, min(x1 - column, sides[0]), min(y1 - row, sides[1]))
            image.paste(seen.resize((width, height), how, box), (left, top))
    return image


def saturations(slide: Any, job: dict[str, Any]) -> Frames:
    """Of each block, row by row within a frame, how many pixels have each of 256 saturations (HSV)."""
    side = BLOCK * ACROSS
    for row in range(job["rows"]):
        for column in range(job["columns"]):
            step = job["step"]
            image = draw(slide, column * side * step, row * side * step, step, (side, side))
            _, saturation, value = image.convert("HSV").split()
            lit = value.point([255 * (level >= DARK) for level in range(256)])
            counts = array("H")  # a block has fewer than 65,536 pixels
            for top in range(0, side, BLOCK):
                for left in range(0, side, BLOCK):
                    box = (left, top, left + BLOCK, top + BLOCK)
                    counts.extend(saturation.crop(box).histogram(lit.crop(box)))
            made = counts.tobytes()
            yield {"row": row, "column": column, "bytes": len(made)}, made


def drawings(slide: Any, job: dict[str, Any]) -> Frames:
    """Each asked place of the slide as RGB rows."""
    for x, y in job["places"]:
        pixels = draw(slide, x, y, job["step"], tuple(job["size"])).tobytes()
        yield {"bytes": len(pixels)}, pixels


def aside(slide: Any, job: dict[str, Any]) -> Frames:
    """One of the images beside the slide itself."""
    image = slide.associated_images[job["name"]].convert("RGB")
    pixels = image.tobytes()
    yield {"size": image.size, "bytes": len(pixels)}, pixels


def work(data: bytes, job: dict[str, Any]) -> Frames:
    """Open the slide, and do what is asked."""
    import openslide

    try:
        with openslide.OpenSlide(job["path"]) as slide:
            do = {"describe": describe, "saturations": saturations, "drawings": drawings, "aside": aside}[job["do"]]
            yield from do(slide, job)
    except openslide.OpenSlideUnsupportedFormatError:
        try:
            with Path(job["path"]).open("rb") as file:
                deque(directories(file), maxlen=0)
        except EOFError:
            raise RefusalError("damaged", said="it ends before what describes its images") from None
        raise RefusalError("no slide") from None
    except openslide.OpenSlideError as error:
        # The library's messages are of formats and offsets; paths in them are the user's.
        raise RefusalError("damaged", said=re.sub(r"\s+", " ", str(error))[:200]) from None


if __name__ == "__main__":
    serve(work)
