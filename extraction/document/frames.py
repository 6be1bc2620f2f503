"""What the process that opens files says of pages, and what it refuses (see `worker`)."""

import math
from typing import Any


class RefusalError(Exception):
    """A file that is not read, with the frame that tells why."""

    def __init__(self, kind: str, **details: Any) -> None:
        super().__init__(kind)
        self.frame = {"error": kind, **details}


def check_size(number: int, width: float, height: float, job: dict[str, Any]) -> None:
    """Refuse pages that no paper has."""
    sides_ok = all(math.isfinite(side) and 0 < side <= job["page_points"] for side in (width, height))
    if not sides_ok:
        raise RefusalError("size", page=number, width=width, height=height)


def check_pixels(number: int, width: float, height: float, job: dict[str, Any]) -> None:
    """Refuse images larger than the limit before their memory is taken."""
    scale = job["dpi"] / 72
    pixels = math.ceil(width * scale) * math.ceil(height * scale)
    if pixels > job["pixels"]:
        fitting = max(1, int(job["dpi"] * math.sqrt(job["pixels"] / pixels)))
        raise RefusalError("pixels", page=number, count=pixels, dpi=fitting)


def page_frame(number: int, width: float, height: float, issue: str = "") -> dict[str, Any]:
    """The frame of a page without words."""
    return {"page": number, "width": width, "height": height, "words": [], "rotated": [], "issue": issue}


def drawn_page(number: int, image: Any) -> tuple[dict[str, Any], bytes]:
    """A page as it is sent: a frame, and the RGB rows of its drawing without padding."""
    pixels = image.tobytes()
    return {"page": number, "width": image.width, "height": image.height, "bytes": len(pixels)}, pixels
