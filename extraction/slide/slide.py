"""A whole slide, opened in a process with limits: what it is, and what it says of its resolution."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.document import Limits
from extraction.document.kinds import kind_of
from extraction.document.process import WorkerError, run_job
from extraction.errors import AssayError, DocumentError

if TYPE_CHECKING:
    from PIL import Image

LIMITS = Limits(seconds=600, memory_mb=2048)
"""For one job on a slide: to open it, to find its tissue, to draw its patches."""

FORTY = 0.25
"""Micrometres per pixel that count as 40x, as everywhere in digital pathology; at 20x they are twice as many."""

_MPP = (0.02, 20.0)  # what a microscope's pixels can measure; a TIFF may have a printer's resolution
_SHORT = 0.9  # by how much less a slide may be magnified than asked: 0.2738 um is a "40x" scanner's, too


@dataclass(frozen=True)
class Slide:
    """An open slide.

    Attributes:
        path: its file; of several files of one slide (MIRAX, DICOM), the one that was named.
        levels: width and height in pixels, the finest first.
        mpp: micrometres per pixel of the finest level; None where nobody says.
        objective: the power of the scanner's objective; None where the slide does not say.
        vendor: the format, as OpenSlide names it.
        aside: names of the images beside it (label, macro, thumbnail). A label has names on it: they are shown nowhere
            (see `image_aside`).
        said: what must be known of it, a sentence each.
        limits: for each job on it.
    """

    path: Path
    levels: tuple[tuple[int, int], ...]
    mpp: float | None
    objective: float | None
    vendor: str
    aside: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    limits: Limits = field(default=LIMITS, repr=False)
    changed: int = field(default=0, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, at the finest level."""
        return self.levels[0]

    @property
    def magnification(self) -> float | None:
        """Of the finest level: the objective's, unless the pixels' size says clearly another; None where unknown."""
        by_size = 40 * FORTY / self.mpp if self.mpp else None
        if self.objective and (by_size is None or _alike(self.objective, by_size)):
            return self.objective
        return by_size

    def step(self, magnification: float) -> float:
        """How many pixels of the finest level, each way, are one at a magnification.

        Raises:
            DocumentError: the slide does not say its own, or is not that fine.
        """
        if self.magnification is None:
            raise DocumentError(
                f"{self.path} says neither how large its pixels are nor the objective: nothing can be drawn at "
                f"{magnification:g}x. Give micrometres per pixel (--mpp, or mpp=... in Python) from the scanner's "
                "records; 0.25 is 40x, 0.5 is 20x."
            )
        if self.magnification < _SHORT * magnification:
            raise DocumentError(
                f"{self.path} was scanned at {self.magnification:.3g}x, and {magnification:g}x is asked for: choose a "
                "magnification that it has."
            )
        return self.magnification / magnification


def open_slide(path: str | Path, mpp: float | None = None, limits: Limits = LIMITS) -> Slide:
    """What a whole slide is: SVS, NDPI, tiled TIFF, DICOM, and whatever else OpenSlide reads. No pixel is read yet.

    Args:
        path: the file; of a DICOM slide one of its files, the others of its series are found beside it.
        mpp: micrometres per pixel of the finest level, in the place of what the slide says.

    Raises:
        AssayError: OpenSlide is not installed, or `mpp` is no microscope's.
        DocumentError: the file is missing, no slide, damaged, or beyond `limits`.
    """
    path = Path(path)
    if importlib.util.find_spec("openslide") is None:
        raise AssayError(
            "Whole slides need OpenSlide: install the extra assay[imaging] (pip install -e '.[imaging]' in Assay's "
            "folder)."
        )
    if mpp is not None and not _MPP[0] <= mpp <= _MPP[1]:
        raise AssayError(f"A slide's pixel is {_MPP[0]:g} to {_MPP[1]:g} micrometres wide, not {mpp:g}.")
    if path.is_dir():
        raise DocumentError(f"{path} is a folder: name a slide in it, or one file of a DICOM slide.")
    if not path.is_file():
        raise DocumentError(f"{path} does not exist: check the spelling and the folder.")
    changed = path.stat().st_mtime_ns
    told = Slide(path, ((1, 1),), None, None, "", limits=limits, changed=changed)
    ((frame, _),) = job(told, "describe")
    levels = tuple((int(width), int(height)) for width, height in frame["levels"])
    own, said = _resolution(frame, mpp)
    objective = _number(frame["objective-power"])
    if objective and own and not _alike(objective, 40 * FORTY / own):
        said.append(
            f"The objective is said to be {objective:g}x, and pixels of {own:.3g} um are those of "
            f"{40 * FORTY / own:.3g}x, which counts."
        )
    if not objective and not own:
        said.append("It says neither how large its pixels are nor the objective: its magnification is unknown.")
    if frame["aside"]:
        said.append(f"Beside it are images that are shown nowhere ({', '.join(frame['aside'])}).")
    if min(levels[0]) < 1 or max(levels[0]) > 2_000_000:
        raise DocumentError(f"{path} claims {levels[0][0]:,} x {levels[0][1]:,} pixels, which no slide has.")
    vendor = frame["vendor"] or ""
    return Slide(path, levels, own, objective, vendor, tuple(frame["aside"]), tuple(said), limits, changed)


def image_aside(slide: Slide, name: str) -> Image.Image:
    """The label, the macro image or the thumbnail beside a slide, for whoever asks for it: a label has names on it."""
    from PIL import Image

    if name not in slide.aside:
        raise DocumentError(f"{slide.path} has no image {name}; it has: {', '.join(slide.aside) or 'none'}.")
    ((frame, pixels),) = job(slide, "aside", name=name)
    return Image.frombytes("RGB", tuple(frame["size"]), pixels)


def job(slide: Slide, do: str, **asked: Any) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The frames of one job of the process that reads slides.

    Raises:
        DocumentError: it did not finish.
    """
    try:
        told = {"do": do, "path": str(slide.path.resolve()), **asked}
        yield from run_job(b"", told, slide.limits, "extraction.slide.worker")
    except WorkerError as end:
        raise DocumentError(_explain(slide, end)) from None


def _resolution(frame: dict[str, Any], given: float | None) -> tuple[float | None, list[str]]:
    """Micrometres per pixel, and what is to be said of them."""
    across, down = _number(frame["mpp-x"]), _number(frame["mpp-y"])
    if not across or not down:
        return given, []
    own, said = math.sqrt(across * down), []
    if not _MPP[0] <= own <= _MPP[1]:
        return given, [f"It says that a pixel is {own:.3g} um wide, which is no microscope's: that is passed over."]
    if abs(across / down - 1) > 0.05:
        said.append(f"Its pixels are not square: {across:.3g} x {down:.3g} um; they are shown as if they were.")
    if given and abs(given / own - 1) > 0.01:
        said.append(f"It says {own:.4g} um per pixel; {given:.4g} was given, and counts.")
    return given or own, said


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _alike(one: float, other: float) -> bool:
    return 0.8 <= one / other <= 1.25


_AGAIN = "get the file again from its source"
_REASONS = {
    "no slide": "{path} is {kind} that OpenSlide does not read as a slide: slides are SVS, NDPI, tiled TIFF with a "
    "pyramid, DICOM and others; a plain picture is read as an image.",
    "damaged": f"{{path}} is damaged or cut off ({{said}}): {_AGAIN}.",
    "time": "{path} was not read within {seconds:g} s: allow more (limits), or copy it to a faster disk.",
    "memory": "{path} needs more than the {memory_mb} MB of memory allowed: raise `memory_mb`.",
    "crash": f"{{path}} made its reader crash or run out of its {{memory_mb}} MB of memory: it is likely damaged; "
    f"{_AGAIN}.",
}


def _explain(slide: Slide, end: WorkerError) -> str:
    if end.cause not in _REASONS:
        return f"{slide.path} could not be read ({end.details.get('text', end.cause)}): {_AGAIN}."
    with slide.path.open("rb") as file:
        head = file.read(4096)
    if not head:
        return f"{slide.path} is empty (0 bytes): {_AGAIN}."
    return _REASONS[end.cause].format(
        **{**asdict(slide.limits), "said": "", **end.details, "path": slide.path, "kind": kind_of(head).name}
    )
