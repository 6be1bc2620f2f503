"""Whole slides of pathology: opened in a process with limits, read in parts, shown to a model as patches with tissue.

`open_slide` says what a slide is, `tissue` where it has any, `patches` which squares of it a model is shown, and
`shown` makes PNG files of them, which `ImagePart.of` takes. Needs OpenSlide, the extra `assay[imaging]`. Labels and
macro images, which have names on them, are drawn by `image_aside` alone.
"""

from extraction.slide.patches import MAGNIFICATIONS, MOST, SIDE, Patch, Tissue, patches, shown, tissue
from extraction.slide.slide import LIMITS, Slide, image_aside, open_slide

__all__ = [
    "LIMITS",
    "MAGNIFICATIONS",
    "MOST",
    "SIDE",
    "Patch",
    "Slide",
    "Tissue",
    "image_aside",
    "open_slide",
    "patches",
    "shown",
    "tissue",
]
