"""What a model is shown of a slide: patches with tissue, by the protocol of MedGemma 1.5's technical report.

The report (arXiv 2604.05081): a tissue mask at 5x in HSV; patches of 896 x 896 pixels at 5x, 10x or 20x, without
overlap; at most 126, drawn at random and kept in spatial order; as PNG. Its thresholds are not published. Ours: Otsu's
on the saturation, kept within bounds, and at least a tenth of a patch is tissue. Google's public notebook differs: 10x
always, 125 patches, in the order in which they were drawn, as JPEG; its library (ez_wsi_dicomweb) goes by luminance.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import math
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from extraction.errors import AssayError, DocumentError
from extraction.slide.slide import Slide, job
from extraction.slide.worker import ACROSS, BLOCK

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SIDE = 896
"""Pixels of a patch, each way: what MedGemma's vision tower takes."""
MOST = 126
MAGNIFICATIONS = {5: 0.34, 10: 0.33, 20: 0.33}
"""Magnifications of the report, and how often each was drawn in training."""
ENOUGH = 0.1
"""Least share of a patch that is tissue."""

_MASK = 5  # the mask's magnification
# Otsu's threshold parts tissue from glass where there are both. On empty glass it would part noise (CLAM's presets
# take saturations from 8 of 255), and within a tumour pale tissue from dark.
_LEAST, _LARGEST = 15, 51
_GROUPS = 20_000  # patches at 5x: a slide of 125,000 pixels at 5x each way, a million at 40x


@dataclass(frozen=True)
class Patch:
    """A square of a slide.

    Attributes:
        x, y: its top left corner, in pixels of the finest level. It may reach over the slide's right or lower border;
            there it is white.
        side: in pixels of the finest level.
        magnification: at which it has `SIDE` pixels.
        tissue: share of it that is tissue.
    """

    x: float
    y: float
    side: float
    magnification: float
    tissue: float


@dataclass(frozen=True, eq=False)
class Tissue:
    """A slide's mask at 5x, as shares of blocks of 224 pixels there: a patch at 20x is one of them, at 10x four.

    Attributes:
        blocks: share of each block that is tissue, [rows, columns].
        threshold: saturation (of 255) from which a pixel counts as tissue.
        share: of the slide's area.
    """

    blocks: np.ndarray
    threshold: int
    share: float


@lru_cache(maxsize=16)
def tissue(slide: Slide) -> Tissue:
    """Where a slide has tissue: pixels of enough saturation (HSV) that are not black.

    Raises:
        DocumentError: the slide does not say its magnification, or cannot be read.
    """
    import numpy as np  # not for the process that reads slides, which imports this package

    step = slide.step(_MASK)
    width, height = slide.size
    columns, rows = (math.ceil(side / (SIDE * step)) for side in (width, height))
    if columns * rows > _GROUPS:
        raise DocumentError(f"{slide.path} claims {width:,} x {height:,} pixels at {slide.magnification:g}x: too many.")
    counts = np.zeros((rows * ACROSS, columns * ACROSS, 256), np.uint16)
    for frame, raw in job(slide, "saturations", step=step, columns=columns, rows=rows):
        y, x = frame["row"] * ACROSS, frame["column"] * ACROSS
        counts[y : y + ACROSS, x : x + ACROSS] = np.frombuffer(raw, np.uint16).reshape(ACROSS, ACROSS, 256)
    threshold = min(max(_otsu(counts.sum((0, 1), dtype=np.int64)), _LEAST), _LARGEST)
    found = counts[:, :, threshold:].sum(-1, dtype=np.int64)
    return Tissue(found / BLOCK**2, threshold, min(1.0, float(found.sum()) * step**2 / (width * height)))


def patches(slide: Slide, magnification: float, most: int = MOST, seed: int = 0) -> list[Patch]:
    """The patches of a slide that a model is shown, row by row: those with enough tissue, at most `most` of them.

    Raises:
        AssayError: no such magnification.
        DocumentError: the slide has no tissue, does not say its magnification or is not that fine, or cannot be read.
    """
    return _drawn(candidates(slide, magnification), most, seed)


def candidates(slide: Slide, magnification: float) -> list[Patch]:
    """All patches of a slide with enough tissue, row by row; raises as `patches`."""
    import numpy as np

    if magnification not in MAGNIFICATIONS:
        raise AssayError(f"Patches are drawn at {', '.join(map(str, MAGNIFICATIONS))}x, not at {magnification:g}x.")
    step = slide.step(magnification)
    blocks = tissue(slide).blocks
    each = ACROSS * _MASK // int(magnification)  # blocks of a patch, each way
    rows, columns = (side // each for side in blocks.shape)
    shares = blocks.reshape(rows, each, columns, each).mean((1, 3))
    side = SIDE * step
    found = [
        Patch(float(x * side), float(y * side), side, magnification, float(shares[y, x]))
        for y, x in np.argwhere(shares >= ENOUGH)
    ]
    if not found:
        raise DocumentError(
            f"{slide.path} shows no tissue: no patch at {magnification:g}x has {ENOUGH:.0%} of it (the fullest has "
            f"{shares.max():.1%}). Look at the slide; glass without tissue shows a model nothing."
        )
    return found


def shown(
    slide: Slide, magnification: float, folder: Path | None = None, most: int = MOST, seed: int = 0
) -> list[Path]:
    """PNG files of a slide's patches in spatial order, named by their content, for `ImagePart.of`.

    Args:
        folder: for the files; without, one of this process, which is gone when it ends.

    Raises:
        AssayError, DocumentError: as `patches`.
    """
    folder = folder or _folder()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for image in draw(slide, patches(slide, magnification, most, seed)):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        path = folder / f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.png"
        if not path.exists():
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(buffer.getvalue())
            temporary.replace(path)
        paths.append(path)
    return paths


def draw(slide: Slide, wanted: Sequence[Patch]) -> Iterator[Image.Image]:
    """Patches of one magnification as RGB images of `SIDE` x `SIDE` pixels."""
    from PIL import Image

    places = [(patch.x, patch.y) for patch in wanted]
    step = wanted[0].side / SIDE
    for _, pixels in job(slide, "drawings", places=places, step=step, size=(SIDE, SIDE)):
        yield Image.frombytes("RGB", (SIDE, SIDE), pixels)


def overview(slide: Slide, longest: int = 1024) -> Image.Image:
    """The slide itself, small: drawn from its levels, for its own thumbnail may be a photograph of the label too."""
    from PIL import Image

    step = max(1.0, max(slide.size) / longest)
    size = max(1, round(slide.size[0] / step)), max(1, round(slide.size[1] / step))
    ((_, pixels),) = job(slide, "drawings", places=[(0, 0)], step=step, size=size)
    return Image.frombytes("RGB", size, pixels)


def _drawn(found: list[Patch], most: int, seed: int) -> list[Patch]:
    if most < 1:
        raise AssayError(f"A model is shown one patch or more, not {most}.")
    if len(found) <= most:
        return found
    return [found[number] for number in sorted(random.Random(seed).sample(range(len(found)), most))]


def _otsu(counts: np.ndarray) -> int:
    """The first value of the upper class, by N. Otsu's method (1979): the classes' means are as far apart as can be."""
    import numpy as np

    weights = counts / max(1, counts.sum())
    below = np.cumsum(weights)
    mean = np.cumsum(weights * np.arange(len(weights)))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * below - mean) ** 2 / (below * (1 - below))
    return int(np.nanargmax(np.where(np.isfinite(between), between, -1))) + 1


@lru_cache(maxsize=1)
def _folder() -> Path:
    """A folder of this process, gone when it ends: patients' pictures stay nowhere."""
    folder = Path(tempfile.mkdtemp(prefix="assay-slide-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
