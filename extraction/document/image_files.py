"""Image files as documents of pages without words (runs in the worker process)."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from extraction.document.frames import RefusalError, check_pixels, check_size, drawn_page, page_frame

_SUBFILE, _NO_PAGE = 254, 1 | 4  # TIFF 6.0, NewSubfileType: a reduced version of another image, a mask


@contextmanager
def damage(job: dict[str, Any], page: int | None = None) -> Iterator[None]:
    """Whatever an image's bytes make Pillow raise is damage."""
    try:
        yield
    except (RefusalError, MemoryError):
        raise
    except Exception as error:
        # Pillow's own limit, far above ours, is met while the header is read.
        kind = "image pixels" if type(error).__name__ == "DecompressionBombError" else "damaged"
        raise RefusalError(kind, image=job["image"], page=page, count=0) from error


def open_image(data: bytes, job: dict[str, Any]) -> tuple[Any, list[int]]:
    """An image file and which of its frames are pages: of a TIFF all but reduced versions and masks, else the first."""
    import warnings

    from PIL import Image

    warnings.simplefilter("ignore")
    with damage(job):
        if job["image"] == "HEIF":
            import pillow_heif

            pillow_heif.register_heif_opener()
        image: Any = Image.open(io.BytesIO(data), formats=(job["image"],))
        if job["image"] != "TIFF":
            return image, [0]
        pages, frame = [], 0
        while True:
            if not image.tag_v2.get(_SUBFILE, 0) & _NO_PAGE:
                pages.append(frame)
            if len(pages) > job["pages"]:
                raise RefusalError("pages", count=image.n_frames)
            frame += 1
            try:
                image.seek(frame)
            except EOFError:
                break
    if not pages:
        raise RefusalError("no pages")
    return image, pages


def load_image(source: Any, frame: int, job: dict[str, Any], page: int | None = None) -> Any:
    """A frame of an image file as RGB, turned as its EXIF data say, on white where it is transparent.

    Grey values of more than 8 bits, whole or fractions, are brought to 8: see `in_8_bits`.

    Its size is read from the header and checked before its pixels take memory. `page` is its number, where the file
    has several.
    """
    from PIL import Image, ImageOps

    with damage(job, page):
        source.seek(frame)
        _check_image(source.size, job, page)
        resolution = source.info.get("dpi")
        image: Image.Image = ImageOps.exif_transpose(source)
        if image.mode.startswith(("I", "F")):
            image = in_8_bits(image)
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            image = Image.new("RGB", image.size, "white")
            image.paste(rgba, mask=rgba)
        image = image.convert("RGB")
        if job["image"] == "TIFF" and (across := _stretch(resolution)) != 1:
            # A fax has about half as many lines as columns to the inch: its pixels are made square.
            size = (round(image.width * max(1, across)), round(image.height * max(1, 1 / across)))
            _check_image(size, job, page)
            image = image.resize(size)
            resolution = (max(resolution), max(resolution))
    image.info = {"dpi": resolution}
    return image


def in_8_bits(image: Any) -> Any:
    """Grey values of 16 or 32 bits (modes I;16, I, F) as 8: the picture's least value is black, its greatest white.

    Its own range it is, for a file seldom says how many of its bits are used: 12 of 16 would all be near black, and
    Pillow's own conversion takes whatever is above 255 for white. Two pictures' greys are therefore not comparable.
    Of a picture of one value the range is that of its kind: 0 to 65535, of fractions 0 to 1. No number is black.
    """
    import numpy as np
    from PIL import Image

    values = np.array(image, np.float32)
    known = np.isfinite(values)
    low, high = (float(f(values, where=known, initial=start)) for f, start in ((np.min, np.inf), (np.max, -np.inf)))
    if not low < high:
        low, high = 0.0, 1.0 if image.mode.startswith("F") else 65535.0
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
    values -= low
    values *= 255 / (high - low)  # in place, here and above: a picture may have as many pixels as the limit allows
    return Image.fromarray(np.clip(values, 0, 255, out=values).round(out=values).astype(np.uint8))


def _stretch(resolution: Any) -> float:
    """How much wider than high the dots of a resolution are; 1 where that is not known, or not clear, or absurd."""
    try:
        across = float(resolution[1]) / float(resolution[0])
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return 1
    return across if 1.1 < max(across, 1 / max(across, 1e-9)) < 4 else 1


def _check_image(size: tuple[int, int], job: dict[str, Any], page: int | None) -> None:
    """Refuse an image with more pixels than the limit."""
    if size[0] * size[1] > job["pixels"]:
        raise RefusalError("image pixels", page=page, count=size[0] * size[1])


def image_dpi(image: Any) -> int:
    """Pixels per inch of an image: its own where they make a sheet of it, else as if its longer side were A4's.

    Telephones and screens write 72 or 96 whatever they show.
    """
    longest = max(image.size)
    try:
        own = round(float(image.info["dpi"][0]))
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        own = 0
    return own if own > 0 and 4 <= longest / own <= 24 else max(1, round(longest / 11.69))


def read_image(data: bytes, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One frame a page of an image file: its size, no words."""
    source, frames = open_image(data, job)
    for number, frame in enumerate(frames, 1):
        issue = ""
        try:
            image = load_image(source, frame, job, number if len(frames) > 1 else None)
        except RefusalError as refusal:
            if refusal.frame["error"] != "damaged" or len(frames) == 1:
                raise
            image, issue = source, "the page is damaged and its content could not be loaded"
        width, height = (side * 72 / image_dpi(image) for side in image.size)
        check_size(number, width, height, job)
        yield {**page_frame(number, width, height, issue), "pixels": image.size, "moving": _moving(source, job)}


def _moving(source: Any, job: dict[str, Any]) -> int:
    """How many pictures an animation has; 1 of what is none, also where its end is cut off."""
    if job["image"] not in ("GIF", "WEBP", "PNG"):  # a photo's further pictures (MPO) are depth and thumbnails
        return 1
    with suppress(Exception):
        return int(getattr(source, "n_frames", 1))
    return 1


def render_image(data: bytes, job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Pages of an image file at the resolution asked for; at their own, their pixels as they are."""
    from PIL import Image

    source, frames = open_image(data, job)
    for number in job["numbers"]:
        if not 1 <= number <= len(frames):
            raise RefusalError("no such page", page=number, count=len(frames))
        image = load_image(source, frames[number - 1], job, number if len(frames) > 1 else None)
        scale = job["dpi"] / image_dpi(image)
        width, height = (max(1, round(side * scale)) for side in image.size)
        check_pixels(number, width * 72 / job["dpi"], height * 72 / job["dpi"], job)
        yield drawn_page(
            number, image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
        )
