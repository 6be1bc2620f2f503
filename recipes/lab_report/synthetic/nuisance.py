"""What happens to finished reports on their way: scanned, stamped, turned, tilted, photographed, badly encoded.

Each function takes a report's PDF and a generator of random numbers and gives a file that shows the same rows, so the
report's gold record stays right; the places in its manifest do not. `NUISANCES` names them for whoever tries a reader.
"""

from __future__ import annotations

import io
import re
import zlib
from base64 import a85decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np
import pypdfium2
from PIL import Image, ImageDraw, ImageFilter
from pypdfium2 import raw
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

_EXIF_ORIENTATION = 0x0112
# The EXIF value by the degrees, against the clock, that the stored pixels were turned by.
_ORIENTATIONS = {0: 1, 90: 6, 180: 3, 270: 8}


@dataclass(frozen=True)
class Spoiled:
    """A file's bytes, and the ending of its name."""

    data: bytes
    suffix: str


def _pages(pdf: bytes, dpi: int) -> list[Image.Image]:
    document = pypdfium2.PdfDocument(pdf)
    return [page.render(scale=dpi / 72).to_pil().convert("RGB") for page in document]


def _scanned(image: Image.Image, rng: Random, tilt: float = 0.0) -> Image.Image:
    """An image as a scanner makes it: grey, a little blurred, with noise; tilted by degrees."""
    if tilt:
        image = image.rotate(tilt, Image.Resampling.BICUBIC, expand=abs(tilt) > 2, fillcolor=(255, 255, 255))
    pixels = np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.5))), dtype=np.float32)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 6), pixels.shape)
    paper = rng.uniform(0.95, 1.0)
    return Image.fromarray(np.clip(pixels * paper + noise, 0, 255).astype(np.uint8), "L")


def _jpeg(image: Image.Image, quality: int, orientation: int = 1) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    image.save(buffer, "JPEG", quality=quality, exif=exif.tobytes() if orientation != 1 else b"")
    return buffer.getvalue()


Over = Callable[[Canvas, int, float, float], None]  # draws on a page: its number from 0, its width and height


def _as_pdf(images: Sequence[Image.Image], dpi: int, quality: int, over: Over | None = None) -> bytes:
    """A PDF of images, one a page, with what `over` draws on them."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=1)
    for number, image in enumerate(images):
        width, height = image.width * 72 / dpi, image.height * 72 / dpi
        canvas.setPageSize((width, height))
        canvas.drawImage(ImageReader(io.BytesIO(_jpeg(image, quality))), 0, 0, width, height)
        if over:
            over(canvas, number, width, height)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _saved(document: pypdfium2.PdfDocument) -> bytes:
    """A document's file, without the random id that PDFium gives it."""
    buffer = io.BytesIO()
    document.save(buffer)
    head, mark, tail = buffer.getvalue().rpartition(b"/ID[")
    return head + mark + re.sub(rb"[0-9A-Fa-f]{2}", b"00", tail[:72]) + tail[72:] if mark else tail


def scan(pdf: bytes, rng: Random, *, tilt: float = 0.0, turn: int = 0) -> Spoiled:
    """Pages as images alone, tilted by up to 15 degrees or turned by quarters (degrees against the clock).

    Raises ValueError for a larger tilt.
    """
    if abs(tilt) > 15:
        raise ValueError(f"a tilt is at most 15 degrees, not {tilt}")
    dpi = rng.choice((150, 170, 200))
    images = [_scanned(page, rng, tilt).rotate(turn, expand=True) for page in _pages(pdf, dpi)]
    return Spoiled(_as_pdf(images, dpi, rng.randrange(60, 90)), ".pdf")


def stamped_scan(pdf: bytes, rng: Random) -> Spoiled:
    """A line of live text, as a fax or an archive stamps it, on pages that are images otherwise."""
    dpi = rng.choice((150, 200))
    images = [_scanned(page, rng, rng.uniform(-0.8, 0.8)) for page in _pages(pdf, dpi)]
    day = f"{rng.randrange(1, 29):02d}/{rng.randrange(1, 13):02d}/20{rng.randrange(18, 27)}"
    number = rng.randrange(10**6, 10**8)
    texts = (
        f"FAX {day} {rng.randrange(24):02d}:{rng.randrange(60):02d}  +00 555 {number}  PAGE {{i:03d}}/{{n:03d}}",
        f"Received {day} - archive no. {number} - sheet {{i}} of {{n}}",
        f"{number} | scanned {day} | {{i}}",
    )
    text, at_top, size = rng.choice(texts), rng.random() < 0.7, rng.choice((7, 8, 9))

    def over(canvas: Canvas, page: int, width: float, height: float) -> None:
        canvas.setFont(rng.choice(("Helvetica", "Courier")), size)
        canvas.drawString(rng.uniform(10, 60), height - 12 if at_top else 8, text.format(i=page + 1, n=len(images)))

    return Spoiled(_as_pdf(images, dpi, 80, over), ".pdf")


def wrong_layer(pdf: bytes, rng: Random) -> Spoiled:
    """A scan with invisible text over it (render mode 3) that is not what the page shows, as a bad OCR leaves it."""
    dpi = rng.choice((150, 200))
    document = pypdfium2.PdfDocument(pdf)
    words = [_words(page) for page in document]
    images = [_scanned(page, rng, rng.uniform(-0.5, 0.5)) for page in _pages(pdf, dpi)]

    def over(canvas: Canvas, page: int, width: float, height: float) -> None:
        for text, x, y, size in words[page]:
            layer = canvas.beginText(x, y)
            layer.setTextRenderMode(3)
            layer.setFont("Helvetica", size)
            layer.textOut(_misread(text, rng))
            canvas.drawText(layer)

    return Spoiled(_as_pdf(images, dpi, 80, over), ".pdf")


def _words(page: pypdfium2.PdfPage) -> list[tuple[str, float, float, float]]:
    """The page's texts with left end, baseline and size, in points from the bottom left."""
    text = page.get_textpage()
    found = []
    for number in range(text.count_rects()):
        left, bottom, right, top = text.get_rect(number)
        line = text.get_text_bounded(left, bottom, right, top).strip()
        if line:
            found.append((line.encode("cp1252", "replace").decode("cp1252"), left, bottom, max(4.0, top - bottom)))
    return found


def _misread(text: str, rng: Random) -> str:
    """A text with the errors of a bad OCR: more in figures than in words."""
    shapes = {"0": "O8", "1": "l7", "2": "Z", "3": "8", "4": "A9", "5": "S6", "6": "5b", "7": "1", "8": "3B", "9": "g4",
              ".": ",", ",": ".", "m": "rn", "l": "1", "i": "l", "e": "c", "o": "0", "a": "o"}  # fmt: skip
    return "".join(
        rng.choice(shapes[char]) if char in shapes and rng.random() < (0.5 if char.isdigit() else 0.25) else char
        for char in text
    )


def shifted_font(pdf: bytes, rng: Random, *, letters: bool = False) -> Spoiled:
    """Fonts whose ToUnicode map says another digit, or another letter, than the page shows.

    Writes an incremental update behind the file, so it reads files as reportlab writes them.
    """
    shift = rng.randrange(1, 10 if not letters else 26)

    def wrong(char: str) -> str:
        if letters and char.isascii() and char.isalpha():
            first = ord("a" if char.islower() else "A")
            return chr(first + (ord(char) - first + shift) % 26)
        return str((int(char) + shift) % 10) if not letters and char.isascii() and char.isdigit() else char

    objects = {int(number): body for number, body in re.findall(rb"(?s)(?<!\d)(\d+) 0 obj\s*(.*?)\s*endobj", pdf)}
    count = max(objects) + 1
    changed: dict[int, bytes] = {}
    for number, body in objects.items():
        if b"/Type /Font" not in body or b"/FontDescriptor" in body.split(b"/Type /Font")[1][:10]:
            continue
        if b"/BaseFont" not in body or b"/FontName" in body:
            continue
        known = re.search(rb"/ToUnicode (\d+) 0 R", body)
        pairs = _map_of(objects[int(known[1])]) if known else _ansi()
        changed[count] = _cmap({code: wrong(char) for code, char in pairs.items()})
        body = re.sub(rb"/ToUnicode \d+ 0 R", b"", body)
        changed[number] = body[: body.rindex(b">>")] + b"/ToUnicode %d 0 R >>" % count
        count += 1
    return Spoiled(_updated(pdf, changed, count), ".pdf")


def _ansi() -> dict[int, str]:
    """Characters of the encoding WinAnsi by code."""
    return {code: char for code in range(32, 256) if (char := bytes([code]).decode("cp1252", "ignore"))}


def _map_of(stream: bytes) -> dict[int, str]:
    """The pairs of a font's ToUnicode map."""
    head, _, data = stream.partition(b"stream")
    data = data.strip(b"\r\n").removesuffix(b"endstream").strip()
    if b"ASCII85" in head:
        data = a85decode(data.removesuffix(b"~>"))
    text = (zlib.decompress(data) if b"Flate" in head else data).decode("latin-1")
    found: dict[int, str] = {}
    for block in re.findall(r"(?s)beginbfchar(.*?)endbfchar", text):
        for code, value in re.findall(r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            found[int(code, 16)] = bytes.fromhex(value).decode("utf-16-be")
    for block in re.findall(r"(?s)beginbfrange(.*?)endbfrange", text):
        for first, last, inner in re.findall(r"(?s)<(\w+)>\s*<(\w+)>\s*(\[.*?\]|<\w+>)", block):
            values = re.findall(r"<(\w+)>", inner)
            for step in range(int(last, 16) - int(first, 16) + 1):
                value = values[step] if inner[0] == "[" else f"{int(values[0], 16) + step:04X}"
                found[int(first, 16) + step] = bytes.fromhex(value).decode("utf-16-be")
    return found


def _cmap(pairs: dict[int, str]) -> bytes:
    """A ToUnicode map as a stream object's body."""
    codes = sorted(pairs)
    lines = ["/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def",
             "1 begincodespacerange <00> <FF> endcodespacerange"]  # fmt: skip
    for start in range(0, len(codes), 100):
        part = codes[start : start + 100]
        lines.append(f"{len(part)} beginbfchar")
        lines += [f"<{code:02X}> <{pairs[code].encode('utf-16-be').hex().upper()}>" for code in part]
        lines.append("endbfchar")
    data = "\n".join([*lines, "endcmap end end"]).encode()
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(data), data)


def _updated(pdf: bytes, changed: dict[int, bytes], size: int) -> bytes:
    """A PDF with objects replaced or added by an incremental update."""
    before = int(re.findall(rb"startxref\s+(\d+)", pdf)[-1])
    root = re.findall(rb"/Root \d+ 0 R", pdf)[-1]
    out, table = bytearray(pdf.rstrip() + b"\n"), b"xref\n"
    for number in sorted(changed):
        table += b"%d 1\n%010d 00000 n \n" % (number, len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, changed[number])
    start = len(out)
    out += table + b"trailer\n<< /Size %d %s /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (size, root, before, start)
    return bytes(out)


def rotated(pdf: bytes, rng: Random, *, turn: int, drawn: bool = False, upright: bool = False) -> Spoiled:
    """Pages turned by 90, 180 or 270 degrees with the clock.

    Args:
        pdf: the report.
        rng: not used; every nuisance takes one.
        turn: degrees.
        drawn: the contents are drawn sideways on a page that is not turned; else the page has /Rotate.
        upright: drawn sideways, and turned back by /Rotate, so that the page shows upright.
    """
    document = pypdfium2.PdfDocument(pdf)
    for page in document:
        width, height = page.get_size()
        if drawn or upright:
            matrix = {
                90: (0, -1, 1, 0, 0, width), 180: (-1, 0, 0, -1, width, height), 270: (0, 1, -1, 0, height, 0),
            }[turn]  # fmt: skip
            size = (width, height) if turn == 180 else (height, width)
            clip = raw.FS_RECTF(left=0, bottom=0, right=size[0], top=size[1])
            raw.FPDFPage_TransFormWithClip(page, raw.FS_MATRIX(*matrix), clip)
            page.set_mediabox(0, 0, *size)
            page.set_cropbox(0, 0, *size)
        if not drawn:
            page.set_rotation((360 - turn) % 360 if upright else turn)
    return Spoiled(_saved(document), ".pdf")


def photo(pdf: bytes, rng: Random, *, turned: int = 0) -> Spoiled:
    """Pages photographed from a table: perspective, shadow, blur, JPEG. One page is a JPEG file, several a PDF of them.

    `turned`: the camera was held sideways, so the pixels of a JPEG file are turned by so many degrees and its EXIF
    orientation says so.
    """
    dpi = 200
    images = [_photographed(page, rng) for page in _pages(pdf, dpi)]
    quality = rng.randrange(65, 90)
    if len(images) > 1:
        return Spoiled(_as_pdf(images, dpi, quality), ".pdf")
    return Spoiled(_jpeg(images[0].rotate(turned, expand=True), quality, _ORIENTATIONS[turned]), ".jpg")


def _photographed(page: Image.Image, rng: Random) -> Image.Image:
    """A page on a table, seen from a little aside."""
    width, height = page.size
    room = 0.06
    wide, high = int(width * (1 + 2 * room)), int(height * (1 + 2 * room))
    corners = [(room, room), (1 - room, room), (1 - room, 1 - room), (room, 1 - room)]
    seen = [((x + rng.uniform(-0.025, 0.025)) * wide, (y + rng.uniform(-0.025, 0.025)) * high) for x, y in corners]
    flat = [(0, 0), (width, 0), (width, height), (0, height)]
    table = Image.new("RGB", (wide, high), rng.choice(((110, 84, 62), (70, 72, 76), (150, 140, 128))))
    warped = page.transform((wide, high), Image.Transform.PERSPECTIVE, _homography(seen, flat),
                            Image.Resampling.BICUBIC)  # fmt: skip
    mask = Image.new("L", (wide, high), 0)
    ImageDraw.Draw(mask).polygon(seen, fill=255)
    table.paste(warped, (0, 0), mask)
    pixels = np.asarray(table.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.9))), dtype=np.float32)
    x, y = np.meshgrid(np.linspace(0, 1, wide), np.linspace(0, 1, high))
    slope, place, depth = rng.uniform(-1, 1), rng.uniform(0.2, 0.9), rng.uniform(0.15, 0.4)
    shadow = 1 - depth / (1 + np.exp(-14 * (x + slope * y - place)))
    warm = np.array([1.0, rng.uniform(0.95, 1.0), rng.uniform(0.86, 0.97)])
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 3, (*pixels.shape[:2], 1))
    return Image.fromarray(np.clip(pixels * shadow[..., None] * warm + noise, 0, 255).astype(np.uint8))


def _homography(source: Sequence[tuple[float, float]], target: Sequence[tuple[float, float]]) -> list[float]:
    """The eight figures by which Pillow takes a point of `source` to one of `target`, from four pairs."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return [float(one) for one in np.linalg.solve(np.array(rows), np.array(right))]


def cover_before_scan(pdf: bytes, rng: Random) -> Spoiled:
    """A page of live text, a letter without results, before pages that are images."""
    dpi = 170
    images = [_scanned(page, rng, rng.uniform(-1, 1)) for page in _pages(pdf, dpi)]
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=1)
    lines = [f"Reference {rng.randrange(10**5, 10**7)}", "", "Dear colleague,", "",
             "please find enclosed the laboratory's report that you asked for.",
             f"It has {len(images)} pages. We answer questions from 8 to 17 hours.", "",
             "With kind regards"]  # fmt: skip
    for number, line in enumerate(lines):
        canvas.setFont("Helvetica", 11)
        canvas.drawString(70, 720 - 18 * number, line)
    canvas.showPage()
    canvas.save()
    document = pypdfium2.PdfDocument(buffer.getvalue())
    document.import_pages(pypdfium2.PdfDocument(_as_pdf(images, dpi, 80)))
    return Spoiled(_saved(document), ".pdf")


NUISANCES: dict[str, Callable[[bytes, Random], Spoiled]] = {
    "scan": scan,
    "stamped scan": stamped_scan,
    "wrong hidden text": wrong_layer,
    "digits mapped wrongly": shifted_font,
    "letters mapped wrongly": partial(shifted_font, letters=True),
    "cover before scan": cover_before_scan,
    "photo": photo,
    "photo, EXIF 90": partial(photo, turned=90),
    "photo, EXIF 270": partial(photo, turned=270),
    **{f"tilted {degrees:+d}": partial(scan, tilt=degrees) for degrees in (-15, -6, -3, 3, 6, 15)},
    **{f"scan turned {turn}": partial(scan, turn=turn) for turn in (90, 180, 270)},
    **{f"/Rotate {turn}": partial(rotated, turn=turn) for turn in (90, 180, 270)},
    **{f"drawn sideways {turn}": partial(rotated, turn=turn, drawn=True) for turn in (90, 180, 270)},
    **{f"drawn sideways {turn}, /Rotate back": partial(rotated, turn=turn, upright=True) for turn in (90, 180, 270)},
}
