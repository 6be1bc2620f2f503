"""The process that touches PDF and image files: `python -m extraction.document.worker`, one job, then it ends.

Standard input: one line of JSON (the job), then the file's bytes. Standard output: frames, each a 4-byte
big-endian length and that many bytes of JSON; a frame with the key "bytes" is followed by so many raw bytes.
The last frame is `{"done": true}` or `{"error": kind, ...}`; an end without one is a crash.
"""

import io
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO


class RefusalError(Exception):
    """A file that is not read, with the frame that tells why."""

    def __init__(self, kind: str, **details: Any) -> None:
        super().__init__(kind)
        self.frame = {"error": kind, **details}


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


def check_size(number: int, width: float, height: float, job: dict[str, Any]) -> None:
    """Refuse pages that no paper has."""
    sides_ok = all(math.isfinite(side) and 0 < side <= job["page_points"] for side in (width, height))
    if not sides_ok:
        raise RefusalError("size", page=number, width=width, height=height)


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
            yield _frame(number, width, height, "the page is damaged and its content could not be loaded")
            continue
        width, height = page.get_size()
        check_size(number, width, height, job)
        frame = _frame(number, width, height)
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
                image, hidden = page_signs(page)
                frame["signs"] = {"image": image, "hidden": hidden, "sample": found.sample}
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


def _frame(number: int, width: float, height: float, issue: str = "") -> dict[str, Any]:
    return {"page": number, "width": width, "height": height, "words": [], "rotated": [], "issue": issue}


def check_pixels(number: int, width: float, height: float, job: dict[str, Any]) -> None:
    """Refuse images larger than the limit before their memory is taken."""
    scale = job["dpi"] / 72
    pixels = math.ceil(width * scale) * math.ceil(height * scale)
    if pixels > job["pixels"]:
        fitting = max(1, int(job["dpi"] * math.sqrt(job["pixels"] / pixels)))
        raise RefusalError("pixels", page=number, count=pixels, dpi=fitting)


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
        yield _drawn(number, bitmap.to_pil())
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
        yield _drawn(number, images[0].convert("RGB"))


def _drawn(number: int, image: Any) -> tuple[dict[str, Any], bytes]:
    """A page as it is sent: a frame, and the RGB rows of its drawing without padding."""
    pixels = image.tobytes()
    return {"page": number, "width": image.width, "height": image.height, "bytes": len(pixels)}, pixels


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

    Its size is read from the header and checked before its pixels take memory. `page` is its number, where the file
    has several.
    """
    from PIL import Image, ImageOps

    with damage(job, page):
        source.seek(frame)
        _check_image(source.size, job, page)
        resolution = source.info.get("dpi")
        image: Image.Image = ImageOps.exif_transpose(source)
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            image = Image.new("RGB", image.size, "white")
            image.paste(rgba, mask=rgba)
        if image.mode.startswith("I"):  # 16 bits, of which Pillow would take all above 255 for white
            image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        image = image.convert("RGB")
        if job["image"] == "TIFF" and (across := _stretch(resolution)) != 1:
            # A fax has about half as many lines as columns to the inch: its pixels are made square.
            size = (round(image.width * max(1, across)), round(image.height * max(1, 1 / across)))
            _check_image(size, job, page)
            image = image.resize(size)
            resolution = (max(resolution), max(resolution))
    image.info = {"dpi": resolution}
    return image


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


_SUBFILE, _NO_PAGE = 254, 1 | 4  # TIFF 6.0, NewSubfileType: a reduced version of another image, a mask


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
        yield {**_frame(number, width, height, issue), "pixels": image.size}


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
        yield _drawn(
            number, image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
        )


def send(out: BinaryIO, frame: dict[str, Any], payload: Any = b"") -> None:
    """Write one frame and what follows it."""
    head = json.dumps(frame, separators=(",", ":")).encode()
    out.write(len(head).to_bytes(4, "big"))
    out.write(head)
    out.write(payload)
    out.flush()


def main() -> None:
    """Do the one job that standard input describes."""
    # Whatever native code prints goes nowhere: the frames keep standard output to themselves.
    out = os.fdopen(os.dup(1), "wb")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    end_with_parent()
    job = json.loads(sys.stdin.buffer.readline())
    confine(job["seconds"], job["memory_mb"])
    try:
        data = sys.stdin.buffer.read()
        if job["do"] == "read":
            for frame in (read_image if job.get("image") else read)(data, job):
                send(out, frame)
        else:
            draw = render_poppler if job["do"] == "poppler" else render_image if job.get("image") else render
            for frame, pixels in draw(data, job):
                send(out, frame, pixels)
        send(out, {"done": True})
    except RefusalError as refusal:
        send(out, refusal.frame)
    except MemoryError:
        send(out, {"error": "memory"})
    except Exception as error:
        send(out, {"error": "internal", "text": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
