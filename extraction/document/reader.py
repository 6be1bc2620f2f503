"""Opening and rendering, with every failure turned into one sentence for the user."""

import hashlib
import importlib.util
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.document.kinds import HEIC, Kind, kind_of
from extraction.document.pages import Document, Frame, Limits, Page, Signs, Word
from extraction.document.process import WorkerError, run_job
from extraction.errors import DocumentError

if TYPE_CHECKING:
    from PIL import Image

_HEIF_REMEDY = "install the extra assay[heif] (pip install -e '.[heif]' in Assay's folder), or save it as JPEG"


def open_document(path: str | Path, limits: Limits | None = None, password: str = "") -> Document:
    """Read a PDF's pages and the words of its own text; an image is a document of pages without words.

    Images are PNG, JPEG, WebP, BMP, GIF (its first frame), TIFF (a page each frame) and, with the extra `assay[heif]`,
    HEIC. A scan without a text layer opens too: its pages have no words and `Document.has_text` is false.

    Args:
        path: the file; its content says what it is, not its name.
        password: opens an encrypted PDF; not used where none is needed.

    Raises:
        DocumentError: the file is missing, neither PDF nor image, encrypted with another password, damaged, without
            pages or beyond `limits`.
    """
    path, limits = Path(path), limits or Limits()
    data, kind = _read(path, limits)

    def pages(password: str) -> list[Page]:
        job = {"do": "read", "image": kind.image, "password": password}
        return [_page(frame) for frame, _ in run_job(data, job, limits)]

    used = ""
    try:
        try:
            found = pages("")
        except WorkerError as end:
            if end.cause != "password" or not password:
                raise
            found, used = pages(password), password
    except WorkerError as end:
        raise DocumentError(_explain(path, end, limits)) from None
    return Document(path, hashlib.sha256(data).hexdigest(), found, used)


def render_page(
    path: str | Path, number: int, dpi: int = 150, limits: Limits | None = None, password: str = ""
) -> "Image.Image":
    """Draw page `number` (from 1) at `dpi` pixels per inch, as an RGB image.

    Raises:
        DocumentError: as `open_document`, or there is no such page, or it would exceed `limits.pixels`.
    """
    (image,) = render_pages(path, [number], dpi, limits, password)
    return image


def render_pages(
    path: str | Path, numbers: Iterable[int], dpi: int = 150, limits: Limits | None = None, password: str = ""
) -> Iterator["Image.Image"]:
    """Draw several pages in one go, in the order of `numbers`; `limits.seconds` is the time for drawing
    all of them, not counting what the caller does in between. An image file at its own resolution is left as it is.

    What PDFium fails to draw is tried once more with poppler, where that is installed; not with a `password`, which
    would then stand in the list of processes.

    Raises:
        DocumentError: as `render_page`.
    """
    path, limits = Path(path), limits or Limits()
    if dpi < 1:
        raise DocumentError(f"A page can't be drawn at {dpi} dpi: ask for 1 or more, 150 is usual.")
    data, kind = _read(path, limits)
    wanted = list(numbers)
    deadline = time.monotonic() + limits.seconds
    try:
        job = {"do": "render", "image": kind.image, "password": password}
        for image in _draw(job, data, wanted, dpi, limits):
            yield image
            wanted.pop(0)
        return
    except WorkerError as end:
        if kind.image or password or end.cause not in ("crash", "damaged", "render", "internal"):
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
    moving = frame.get("moving", 1)
    page = Page(
        frame["page"], width, height, words, rotated=rotated, issue=frame["issue"], pixels=pixels, moving=moving
    )
    signs = frame.get("signs")
    if signs:
        sample = [Word(text, (x0, y0, x1, y1)) for text, x0, y0, x1, y1 in signs["sample"]]
        signs = Signs(signs["image"], signs["hidden"], signs["lent"], sample)
    return replace(page, frame=Frame.quarter(turn, *sides), signs=signs)


def _draw(job: dict[str, Any], data: bytes, numbers: list[int], dpi: int, limits: Limits) -> Iterator["Image.Image"]:
    from PIL import Image

    with closing(run_job(data, {**job, "numbers": list(numbers), "dpi": dpi}, limits)) as frames:
        for frame, pixels in frames:
            yield Image.frombytes("RGB", (frame["width"], frame["height"]), pixels)


def _read(path: Path, limits: Limits) -> tuple[bytes, Kind]:
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
    kind = kind_of(data)
    if kind == HEIC and importlib.util.find_spec("pillow_heif") is None:
        kind = replace(kind, remedy=_HEIF_REMEDY)
    if kind.remedy:
        seems = "is no PDF but" if path.suffix.lower() == ".pdf" else "is"
        raise DocumentError(f"{path} {seems} {kind.name}: {kind.remedy}.")
    return data, kind


_AGAIN = "get the file again from its source."
_REPRINT = "print it to a new PDF"
# What a user reads, by the cause of the end (the kinds of the worker and of `run_job`): `path` is the file, the other
# names are those of the limits and of the refusal.
_REASONS = {
    "password": "{path} is encrypted and needs a password: give it with --password, or password=... in Python.",
    "security": "{path} is encrypted in a way that can't be read: save a copy without encryption.",
    "damaged": f"{{place}}{{path}}{{kind}} is damaged or cut off and can't be repaired: {_AGAIN}",
    "no pages": f"{{path}} has no pages: {_AGAIN}",
    "pages": "{path} has {count} pages, more than the {pages} allowed: split it, or raise the limit `pages`.",
    "words": "Page {page} of {path} has {count:,} words, more than the {words:,} allowed: check that it is a document "
    "to be read, or raise the limit `words`.",
    "size": "Page {page} of {path} measures {width:.0f} x {height:.0f} points, outside 0 to {page_points:.0f}: print "
    "it to PDF on a normal paper size, or raise `page_points`.",
    "image pixels": "{place}{path} has {found} pixels, more than the {pixels:,} allowed: save it smaller, or raise "
    "the limit `pixels`.",
    "pixels": "Page {page} of {path} would have {count:,} pixels, more than the {pixels:,} allowed: draw it at {dpi} "
    "dpi or less, or raise `pixels`.",
    "no such page": "{path} has no page {page}: it has {count}, counted from 1.",
    "render": f"Page {{page}} of {{path}} is damaged and can't be drawn: {_AGAIN}",
    "time": "{path} was not read within {seconds:g} s: it may be damaged or built to stall readers; "
    f"{_REPRINT}, or raise the limit `seconds`.",
    "memory": f"{{path}} needs more than the {{memory_mb}} MB of memory allowed: {_REPRINT}, or raise `memory_mb`.",
    "crash": "{path} made its reader crash or run out of its {memory_mb} MB of memory: it is likely damaged; "
    f"{_REPRINT} and use that.",
}


def _explain(path: Path, end: WorkerError, limits: Limits) -> str:
    details: dict[str, Any] = end.details
    if end.cause == "password" and details.get("given"):
        return f"{path} is encrypted, and the password that was given does not open it: check its spelling."
    if end.cause not in _REASONS:
        return f"{path} could not be read ({details.get('text', end.cause)}): {_REPRINT} and use that."
    told = {
        "place": f"Page {details['page']} of " if details.get("page") else "",
        "kind": f" (a {details['image']} image)" if details.get("image") else "",
        "found": f"{details['count']:,}" if details.get("count") else "far too many",
    }
    return _REASONS[end.cause].format(**{**asdict(limits), **details, **told, "path": path})
