"""The process that touches PDF and image files: `python -m extraction.document.worker`, one job, then it ends.

Standard input: one line of JSON (the job), then the file's bytes. Standard output: frames, each a 4-byte
big-endian length and that many bytes of JSON; a frame with the key "bytes" is followed by so many raw bytes.
The last frame is `{"done": true}` or `{"error": kind, ...}`; an end without one is a crash.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from extraction.document.frames import RefusalError, check_pixels, check_size, drawn_page, page_frame
from extraction.document.image_files import read_image, render_image


def confine(seconds: float, memory_mb: int) -> None:
    """Limit this process and its children, also for the case that the parent is gone and can't end them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    # Processor time, not wall-clock time: the parent may leave this process waiting at a full pipe.
    wanted = {
        "RLIMIT_CPU": math.ceil(seconds) + 2,
        "RLIMIT_AS": memory_mb << 20,
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        try:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (soft, hard))
        except (AttributeError, ValueError, OSError):
            continue


def end_with_parent() -> None:
    """End this process and its children soon after the parent, which may be killed while PDFium does not return."""
    if not hasattr(os, "getpgrp") or os.getpgrp() != os.getpid():
        return  # not the leader of a group of its own: nothing may be killed by group
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def load(data: bytes, password: str = "") -> Any:
    """The document as PDFium sees it, opened without running anything in it."""
    import pypdfium2 as pdfium

    try:
        return pdfium.PdfDocument(data, password=password or None)
    except pdfium.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == pdfium.raw.FPDF_ERR_PASSWORD:
            raise RefusalError("password", given=bool(password)) from error
        if code == pdfium.raw.FPDF_ERR_SECURITY:
            raise RefusalError("security") from error
        raise RefusalError("damaged") from error


def load_page(document: Any, number: int) -> Any:
    """Page `number` (from 1), its filled-in form fields and notes made part of it as they are displayed."""
    from pypdfium2 import raw

    page = document[number - 1]
    if raw.FPDFPage_GetAnnotCount(page) > 0 and raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY):
        page.close()
        page = document[number - 1]
    return page


def read(data: bytes, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One frame a page: its number, size and words."""
    import pypdfium2 as pdfium

    from extraction.document.signs import page_signs
    from extraction.document.words import page_words

    document = load(data, job.get("password", ""))
    count = len(document)
    if count < 1:
        raise RefusalError("no pages")
    if count > job["pages"]:
        raise RefusalError("pages", count=count)
    for number in range(1, count + 1):
        try:
            page = load_page(document, number)
        except pdfium.PdfiumError:
            width, height = _stated_size(document, number)
            check_size(number, width, height, job)
            yield page_frame(number, width, height, "the page is damaged and its content could not be loaded")
            continue
        width, height = page.get_size()
        check_size(number, width, height, job)
        frame = page_frame(number, width, height)
        try:
            text_page = page.get_textpage()
        except pdfium.PdfiumError:
            frame["issue"] = "the page's text could not be loaded"
        else:
            found = page_words(page, text_page.raw, page.get_rotation())
            text_page.close()
            frame |= {"words": found.upright, "rotated": found.rotated, "turn": found.turn}
            count_words = len(found.upright) + len(found.rotated)
            if count_words > job["words"]:
                raise RefusalError("words", page=number, count=count_words)
            if count_words:
                image, hidden, lent = page_signs(page)
                frame["signs"] = {"image": image, "hidden": hidden, "lent": lent, "sample": found.sample}
        page.close()
        yield frame
    document.close()


def _stated_size(document: Any, number: int) -> tuple[float, float]:
    """The size of a page that cannot be loaded: what the document says of it, or else US letter."""
    import pypdfium2 as pdfium

    try:
        width, height = document.get_page_size(number - 1)
    except pdfium.PdfiumError:
        width = height = 0.0
    return (width, height) if width > 0 and height > 0 else (612.0, 792.0)


def render(data: bytes, job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each asked page as RGB rows without padding."""
    import pypdfium2 as pdfium

    document = load(data, job.get("password", ""))
    for number in job["numbers"]:
        if not 1 <= number <= len(document):
            raise RefusalError("no such page", page=number, count=len(document))
        try:
            page = load_page(document, number)
            width, height = page.get_size()
            check_size(number, width, height, job)
            check_pixels(number, width, height, job)
            bitmap = page.render(scale=job["dpi"] / 72, rev_byteorder=True, may_draw_forms=False)
        except pdfium.PdfiumError as error:
            raise RefusalError("render", page=number) from error
        yield drawn_page(number, bitmap.to_pil())
        bitmap.close()
        page.close()
    document.close()


def render_poppler(data: bytes, job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """The same by poppler's command line (which reads the file itself), for what PDFium cannot draw."""
    from pdf2image import convert_from_path, pdfinfo_from_path
    from pdf2image.exceptions import PDFInfoNotInstalledError, PDFPageCountError, PDFPopplerTimeoutError

    failures = (PDFInfoNotInstalledError, PDFPageCountError, PDFPopplerTimeoutError)
    for number in job["numbers"]:
        asked = {"first_page": number, "last_page": number, "timeout": job["seconds"]}
        try:
            info = pdfinfo_from_path(job["path"], **asked)
            sizes = [value for key, value in info.items() if key.startswith("Page") and "size" in key]
            width, height = (float(part) for part in str(sizes[0]).split()[0:3:2])
            check_size(number, width, height, job)
            check_pixels(number, width, height, job)
            images = convert_from_path(job["path"], job["dpi"], **asked)
        except (*failures, OSError, IndexError, ValueError) as error:
            raise RefusalError("render", page=number) from error
        if not images:
            raise RefusalError("render", page=number)
        yield drawn_page(number, images[0].convert("RGB"))


def send(out: BinaryIO, frame: dict[str, Any], payload: Any = b"") -> None:
    """Write one frame and what follows it."""
    head = json.dumps(frame, separators=(",", ":")).encode()
    out.write(len(head).to_bytes(4, "big"))
    out.write(head)
    out.write(payload)
    out.flush()


def pages(data: bytes, job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """A document's pages as `job` asks for them: read, or drawn."""
    if job["do"] == "read":
        yield from ((frame, b"") for frame in (read_image if job.get("image") else read)(data, job))
    else:
        draw = render_poppler if job["do"] == "poppler" else render_image if job.get("image") else render
        yield from draw(data, job)


def serve(work: Callable[[bytes, dict[str, Any]], Iterator[tuple[dict[str, Any], Any]]]) -> None:
    """Do the one job that standard input describes: `work` makes frames of a file and its job."""
    # Whatever native code prints goes nowhere: the frames keep standard output to themselves.
    out = os.fdopen(os.dup(1), "wb")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    end_with_parent()
    job = json.loads(sys.stdin.buffer.readline())
    confine(job["seconds"], job["memory_mb"])
    try:
        for frame, payload in work(sys.stdin.buffer.read(), job):
            send(out, frame, payload)
        send(out, {"done": True})
    except RefusalError as refusal:
        send(out, refusal.frame)
    except MemoryError:
        send(out, {"error": "memory"})
    except Exception as error:
        send(out, {"error": "internal", "text": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    serve(pages)
