"""Opening and rendering, with every failure turned into one sentence for the user."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.document.pages import Document, Frame, Limits, Page, Signs, Word
from extraction.document.process import WorkerError, run_job
from extraction.errors import DocumentError

if TYPE_CHECKING:
    from PIL import Image

_KINDS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"\xd0\xcf\x11\xe0", "an old Word, Excel or Outlook file"),
    (b"{\\rtf", "an RTF text"),
    (b"%!PS", "a PostScript file"),
    (b"<?xml", "an XML file"),
    (b"<!DOCTYPE html", "a web page"),
    (b"<html", "a web page"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"MSH|", "an HL7 message"),
)


SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg")
"""Ends of the names of files that are taken from a folder."""


def open_document(path: str | Path, limits: Limits | None = None) -> Document:
    """Read a PDF's pages and the words of its own text; a PNG or JPEG is a document of one page without words.

    A scan without a text layer opens too: its pages have no words and `Document.has_text` is false.

    Raises:
        DocumentError: the file is missing, neither PDF nor image, encrypted, damaged, without pages or beyond `limits`.
    """
    path, limits = Path(path), limits or Limits()
    data = _read(path, limits)
    pages = []
    try:
        for frame, _ in run_job(data, {"do": "read", "image": is_image(data)}, limits):
            pages.append(_page(frame))
    except WorkerError as end:
        raise DocumentError(_explain(path, end, limits)) from None
    return Document(path, hashlib.sha256(data).hexdigest(), pages)


def render_page(path: str | Path, number: int, dpi: int = 150, limits: Limits | None = None) -> "Image.Image":
    """Draw page `number` (from 1) at `dpi` pixels per inch, as an RGB image.

    Raises:
        DocumentError: as `open_document`, or there is no such page, or it would exceed `limits.pixels`.
    """
    (image,) = render_pages(path, [number], dpi, limits)
    return image


def render_pages(
    path: str | Path, numbers: Iterable[int], dpi: int = 150, limits: Limits | None = None
) -> Iterator["Image.Image"]:
    """Draw several pages in one go, in the order of `numbers`; `limits.seconds` is the time for drawing
    all of them, not counting what the caller does in between. An image file at its own resolution is left as it is.

    What PDFium fails to draw is tried once more with poppler, where that is installed.

    Raises:
        DocumentError: as `render_page`.
    """
    path, limits = Path(path), limits or Limits()
    if dpi < 1:
        raise DocumentError(f"A page can't be drawn at {dpi} dpi: ask for 1 or more, 150 is usual.")
    data = _read(path, limits)
    wanted = list(numbers)
    deadline = time.monotonic() + limits.seconds
    try:
        for image in _draw({"do": "render", "image": is_image(data)}, data, wanted, dpi, limits):
            yield image
            wanted.pop(0)
        return
    except WorkerError as end:
        if is_image(data) or end.cause not in ("crash", "damaged", "render", "internal"):
            raise DocumentError(_explain(path, end, limits)) from None
        first = end
    left = replace(limits, seconds=max(1.0, deadline - time.monotonic()))
    try:
        yield from _draw({"do": "poppler", "path": str(path.resolve())}, b"", wanted, dpi, left)
    except WorkerError as end:
        told = end if end.cause in ("pixels", "size", "time") else first
        raise DocumentError(_explain(path, told, limits)) from None


def _page(frame: dict[str, Any]) -> Page:
    words, rotated = (
        [Word(text, (x0, y0, x1, y1)) for text, x0, y0, x1, y1 in frame[key]] for key in ("words", "rotated")
    )
    turn, sides = frame.get("turn", 0), (frame["width"], frame["height"])
    width, height = sides[::-1] if turn % 180 else sides
    pixels = (frame["pixels"][0], frame["pixels"][1]) if "pixels" in frame else None
    page = Page(frame["page"], width, height, words, rotated=rotated, issue=frame["issue"], pixels=pixels)
    signs = frame.get("signs")
    if signs:
        sample = [Word(text, (x0, y0, x1, y1)) for text, x0, y0, x1, y1 in signs["sample"]]
        signs = Signs(signs["image"], signs["hidden"], sample)
    return replace(page, frame=Frame.quarter(turn, *sides), signs=signs)


def is_image(data: bytes) -> bool:
    """Whether a file's bytes are those of an image that is read as a page: PNG or JPEG."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


def _draw(job: dict[str, Any], data: bytes, numbers: list[int], dpi: int, limits: Limits) -> Iterator["Image.Image"]:
    from PIL import Image

    with closing(run_job(data, {**job, "numbers": list(numbers), "dpi": dpi}, limits)) as frames:
        for frame, pixels in frames:
            yield Image.frombytes("RGB", (frame["width"], frame["height"]), pixels)


def _read(path: Path, limits: Limits) -> bytes:
    if path.is_dir():
        raise DocumentError(f"{path} is a folder: name a PDF file in it.")
    if not path.exists():
        raise DocumentError(f"{path} does not exist: check the spelling and the folder.")
    if not path.is_file():
        raise DocumentError(f"{path} is not a regular file: copy the PDF to disk first.")
    try:
        size = path.stat().st_size
        if size > limits.file_mb << 20:
            raise DocumentError(
                f"{path} has {size >> 20} MB, more than the {limits.file_mb} MB allowed: "
                "split it, or raise the limit `file_mb`."
            )
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path} can't be read ({error.strerror}): check its permissions.") from None
    if not data:
        raise DocumentError(f"{path} is empty (0 bytes): copy or download it again.")
    # Readers accept a header anywhere in the first 1,024 bytes (PDF 1.7, annex H.3, note 13).
    if b"%PDF-" not in data[:1024] and not is_image(data):
        raise DocumentError(f"{path} is not a PDF; it seems to be {_kind(data)}: convert it to PDF first.")
    return data


def _kind(data: bytes) -> str:
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if data.startswith(b"PK"):
        for mark, name in ((b"word/", "a Word"), (b"xl/", "an Excel"), (b"ppt/", "a PowerPoint")):
            if mark in data:
                return f"{name} file"
        return "a ZIP archive"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP image"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "a HEIC photo"
    if data[128:132] == b"DICM":
        return "a DICOM image"
    for magic, name in _KINDS:
        if head[: len(magic)].lower() == magic.lower():
            return name
    if head[:1] in (b"{", b"["):
        return "a JSON text"
    try:
        data[:4096].decode()
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 4096) - 4:
            return "binary data of an unknown kind"
    return "plain text"


def _explain(path: Path, end: WorkerError, limits: Limits) -> str:
    details: dict[str, Any] = end.details
    page = details.get("page")
    match end.cause:
        case "password":
            return f"{path} is encrypted and needs a password: save a copy without one and use that."
        case "security":
            return f"{path} is encrypted in a way that can't be read: save a copy without encryption."
        case "damaged":
            image = f" (a {details['image']} image)" if "image" in details else ""
            return f"{path}{image} is damaged or cut off and can't be repaired: get the file again from its source."
        case "no pages":
            return f"{path} has no pages: get the file again from its source."
        case "pages":
            return (
                f"{path} has {details['count']} pages, more than the {limits.pages} allowed: "
                "split it, or raise the limit `pages`."
            )
        case "words":
            return (
                f"Page {page} of {path} has {details['count']:,} words, more than the {limits.words:,} "
                "allowed: check that it is a document to be read, or raise the limit `words`."
            )
        case "size":
            width, height = details["width"], details["height"]
            return (
                f"Page {page} of {path} measures {width:.0f} x {height:.0f} points, outside 0 to "
                f"{limits.page_points:.0f}: print it to PDF on a normal paper size, or raise `page_points`."
            )
        case "image pixels":
            count = f"{details['count']:,} pixels" if details["count"] else "far too many pixels"
            return (
                f"{path} has {count}, more than the {limits.pixels:,} allowed: "
                "save it smaller, or raise the limit `pixels`."
            )
        case "pixels":
            return (
                f"Page {page} of {path} would have {details['count']:,} pixels, more than the "
                f"{limits.pixels:,} allowed: draw it at {details['dpi']} dpi or less, or raise `pixels`."
            )
        case "no such page":
            return f"{path} has no page {page}: it has {details['count']}, counted from 1."
        case "render":
            return f"Page {page} of {path} is damaged and can't be drawn: get the file again from its source."
        case "time":
            return (
                f"{path} was not read within {limits.seconds:g} s: it may be damaged or built to stall "
                "readers; print it to a new PDF, or raise the limit `seconds`."
            )
        case "memory":
            return (
                f"{path} needs more than the {limits.memory_mb} MB of memory allowed: "
                "print it to a new PDF, or raise `memory_mb`."
            )
        case "crash":
            return (
                f"{path} made the PDF reader crash or run out of its {limits.memory_mb} MB of memory: "
                "it is likely damaged; print it to a new PDF and use that."
            )
    return f"{path} could not be read ({details.get('text', end.cause)}): print it to a new PDF and use that."
