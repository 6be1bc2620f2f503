"""Words of pages that have none of their own: scans, and pages whose text layer is broken.

The page is drawn (200 dpi, less for huge pages) and read by RapidOCR (`engine.py`), the optional extra `assay[ocr]`;
documents take turns.

A page that lies on its side or upside down is turned and read again; where its lines are tilted or run towards each
other, as in a photo, their boxes are straightened (`orient.py`), and the page's `frame` leads back to the ink. A slope
of less than two degrees is kept: `layout_lines` straightens such rows by itself, and the slope, the median over the
lines weighted by their length, only decides the order of the words.
"""

import math
import re
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from extraction.document.engine import SIDE, ReadLine, cut_out, engine, read_lines, recognise
from extraction.document.pages import Document, Limits, Page, Word
from extraction.document.reader import open_document, render_pages
from extraction.document.shapes import parted, put_right
from extraction.errors import DocumentError

if TYPE_CHECKING:
    from PIL import Image

REMEDY = "install the extra assay[ocr]: pip install -e '.[ocr]' in Assay's folder"

_DPI = 200
_PIXELS = 8_000_000  # of the drawn page: A3 at 200 dpi; the detector takes some 150 bytes for each
_LOW = 0.6  # lines read with less confidence are counted in the page's issue, as are those with odd letters
_FOREIGN = 0.05  # of a page's characters: fewer Han characters than this are misread Latin ones
_BROKEN = 1 / 3  # of a text layer's characters
_CLEAR = 0.85  # a page whose lines are read with less confidence on average may be upside down
_BETTER = 0.1  # by how much lines must be read better the other way round
_LONGEST = 6  # lines that are read both ways
_DAGGERS = re.compile(r"(?<=[\w)])(?:tt|†t|t†)$")
_INK = 5.0  # square points: a page with less is blank (a digit of 10 points has about 15)

_lock = threading.Lock()


def ocr_available() -> bool:
    """Whether the extra `assay[ocr]` is installed."""
    try:
        import onnxruntime
        import rapidocr
    except ImportError:
        return False
    return bool(onnxruntime and rapidocr)


def prepare() -> None:
    """Load what `read_scans` needs, so that no document's time is spent on it (about a second)."""
    import extraction.document.orient
    import extraction.document.trust  # noqa: F401

    if ocr_available():
        from PIL import Image

        with suppress(DocumentError):
            recognise(Image.new("RGB", (96, 48), "white"))


def readable(document: Document, limits: Limits | None = None, view: str = "text") -> Document:
    """The document itself when it has text; pages without any are read by OCR where that is installed.

    A model that is shown pixels (`view` is not `text`) reads pages without any words too; OCR's words are then what
    its values are compared with.

    Raises:
        DocumentError: no page has a text layer, and OCR is not installed or finds no words either.
    """
    document = read_scans(document, limits)
    if document.has_text or view != "text":
        return document
    name = document.path.name
    if not ocr_available():
        raise DocumentError(f"{name} has no text layer (it is a scan); {REMEDY}.")
    issue = next((page.issue for page in document.pages if page.issue), "Its pages are blank.")
    raise DocumentError(f"{name} has no text: there is no text layer, and OCR read nothing. {issue}")


def needs_ocr(page: Page) -> bool:
    """Whether a page's own text is missing or broken.

    Missing: no upright word. Broken: of the characters of its words more than a third are U+FFFD (a glyph without a
    letter), private-use, control, unassigned or half a surrogate pair, the trace of a font without a Unicode map. Some
    bullets or tick boxes do not reach a third. Wrong letters in the place of right ones are found by `trust.examine`.
    """
    if not page.words:
        return True
    return page.view == "text" and is_broken("".join(word.text for word in page.words))


def is_broken(text: str) -> bool:
    """Whether more than a third of the characters stand for no letter (see `needs_ocr`)."""
    bad = sum(char == "\ufffd" or unicodedata.category(char) in ("Co", "Cc", "Cn", "Cs") for char in text)
    return bad > _BROKEN * len(text)


def ocr_page(path: str | Path, number: int, limits: Limits | None = None, password: str = "") -> list[Word]:
    """The words that OCR reads on page `number` (from 1), whether or not it has text of its own, where it is displayed.

    Raises:
        DocumentError: as `render_page`; or the OCR extra is not installed or fails on the page.
    """
    limits = limits or Limits()
    document = open_document(path, limits, password)
    if not 1 <= number <= len(document.pages):
        raise DocumentError(f"{path} has no page {number}: it has {len(document.pages)}, counted from 1.")
    if not ocr_available():
        raise DocumentError(f"Pages can't be read by OCR here; {REMEDY}.")
    with _lock:
        ((_, page),) = _read(document, [document.pages[number - 1]], limits)
    if page.view != "ocr":
        raise DocumentError(f"Page {number} of {path}: {page.issue}")
    return [replace(word, box=page.frame.displayed(word.box)) for word in page.words] if page.frame else page.words


def read_scans(document: Document, limits: Limits | None = None) -> Document:
    """The document with the pages that need it read by OCR; their `view` is then "ocr".

    Those are pages without text (see `needs_ocr`) and pages whose text layer differs from what is drawn; the page's
    `reason` says which and how. A blank page has no words and no issue. A page that could not be read, or was read with
    little confidence in places, says so in its `issue`; no line is left out for its confidence. Without the OCR extra
    pages without text stay as they are, and doubtful or broken ones get an issue. When `limits.seconds` are spent on a
    document, the pages that are left get an issue.
    """
    limits = limits or Limits()
    if not any(page.signs or needs_ocr(page) for page in document.pages):
        return document
    # Not imported with the package: the process that opens files needs no numpy.
    from extraction.document.orient import sideways_table
    from extraction.document.trust import examine, settle

    with _lock:
        ready = ocr_available()
        broken = {page.number for page in document.pages if needs_ocr(page)}
        layers = replace(document, pages=[page for page in document.pages if page.number not in broken])
        found = examine(layers, limits, recognise if ready else None)
        wanted = [p for p in document.pages if p.number in broken or (p.number in found and found[p.number].doubt)]
        pages = {number: verdict.page for number, verdict in found.items()}
        if ready and wanted:
            for number, page in _read(document, wanted, limits):
                pages[number] = settle(pages[number], page, found[number].doubt) if number in found else page
    if not ready:
        for page in wanted:
            if page.words:
                doubt = found[page.number].doubt if page.number in found else _NO_LETTERS
                issue = page.issue or f"{doubt}; to read its pixels, {REMEDY}."
                pages[page.number] = replace(page, issue=issue, reason=doubt)
    for number, page in pages.items():
        if not page.issue and (issue := sideways_table(page)):
            pages[number] = replace(page, issue=issue)
    return replace(document, pages=[pages.get(page.number, page) for page in document.pages])


_NO_LETTERS = "Most characters of the page's text layer stand for no letter"


def _read(document: Document, pages: Sequence[Page], limits: Limits) -> Iterator[tuple[int, Page]]:
    """Each page's number and the page as OCR reads it, in groups of one resolution."""
    engine()
    deadline = time.monotonic() + limits.seconds
    groups: dict[int, list[Page]] = {}
    for page in pages:
        groups.setdefault(_dpi(page, limits), []).append(page)
    for dpi, group in groups.items():
        while group:
            left = deadline - time.monotonic()
            if left <= 0:
                late = f"The page was not read: OCR took all of the {limits.seconds:g} s allowed (limit `seconds`)."
                yield from ((page.number, replace(page, issue=late)) for page in group)
                break
            numbers, rest = [page.number for page in group], replace(limits, seconds=left)
            images = render_pages(document.path, numbers, dpi, rest, document.password)
            try:
                # Closed at once when time is up: the process that draws must not stay.
                with closing(images):  # type: ignore[type-var]
                    for image in images:
                        yield group[0].number, _read_page(group.pop(0), image, dpi)
                        if time.monotonic() > deadline:
                            break
            except DocumentError as error:
                yield group[0].number, replace(group.pop(0), issue=f"The page could not be drawn for OCR: {error}")


def _dpi(page: Page, limits: Limits) -> int:
    """Pixels per inch for a page: 200, or what keeps it within the limits of pixels."""
    area, side = page.width * page.height, max(page.width, page.height)
    # One point more on each side: the renderer rounds up.
    most = 0.99 * 72 * min(math.sqrt(min(_PIXELS, limits.pixels) / area), SIDE / side)
    return max(1, min(_DPI, int(most)))


def _read_page(page: Page, image: "Image.Image", dpi: int) -> Page:
    from extraction.document.orient import framed, straighten
    from extraction.document.trust import ink

    displayed = page.displayed
    if ink(image) * (72 / dpi) ** 2 < _INK:
        return replace(page, words=[], view="ocr", issue="")
    try:
        turn, lines, script, unknown = _read_upright(image, 72 / dpi)
    except Exception as error:
        # The engine is other people's native code on anyone's pixels: one page lost must be one page's issue.
        return replace(page, issue=f"OCR failed on the page ({type(error).__name__}).")
    width, height = displayed[::-1] if turn % 180 else displayed
    straight = straighten([line.corners for line in lines if not line.is_turned], width, height)
    matrix = None
    if straight:
        matrix, width, height = straight
        lines = [line.moved(matrix) for line in lines]
    upright = [line for line in lines if not line.is_turned]
    turned = [line for line in lines if line.is_turned]
    letters = "".join(line.text for line in lines)
    han = [char for char in letters if "\u4e00" <= char <= "\u9fff"]
    foreign = set(han) if len(han) < _FOREIGN * len(letters) else set()
    words = [word for line in _in_order(upright) for word in _words(line, width, height)]
    if any(re.search("††|†t|t†", word.text) for word in words):
        # A page that marks words with two daggers, which the recogniser takes for letters where they are small.
        words = [replace(word, text=_DAGGERS.sub("††", word.text)) for word in words]
    rotated = [word for line in turned for word in _words(line, width, height)]
    low = sum(line.score < _LOW or bool(foreign & set(line.text)) for line in lines)
    issue = unknown
    if not lines and not unknown:
        issue = "OCR found no words on the page, which is not blank."
    elif low:
        issue = f"{issue} {low} of {len(lines)} lines were hard to read by OCR: compare them with the page.".strip()
    if page.words and not words:
        return replace(page, issue=f"{_NO_LETTERS}. {issue}" if needs_ocr(page) else issue)
    reason = f"{_NO_LETTERS}: read by OCR" if page.words else ""
    if script:
        reason = f"{reason}; its letters are {script}: read by Tesseract" if reason else f"{script}: read by Tesseract"
    return replace(
        page,
        width=width,
        height=height,
        words=words,
        view="ocr",
        rotated=rotated,
        issue=issue,
        reason=reason,
        frame=framed(turn, *displayed, matrix),
    )


def _read_upright(image: "Image.Image", scale: float) -> tuple[int, list[ReadLine], str, str]:
    """The turn (degrees clockwise) after which a page was read, its lines, their script where it is one that the engine
    does not know, and what is wrong where nothing here reads it.
    """
    from extraction.document.letters import read_again, unread

    turn, lines = 0, read_lines(image, scale)
    known = [line for line in lines if line.words]
    length = sum(line.length for line in known)
    sideways = 2 * sum(line.length for line in known if line.is_turned) > length
    if known and (sideways or sum(line.score * line.length for line in known) < _CLEAR * length):
        turn = _turn(image, [line for line in known if line.is_turned == sideways], scale)
        if turn:
            image = image.rotate(-turn, expand=True)
            lines = read_lines(image, scale)
    if unread(lines):
        return turn, *read_again(image, lines, scale)
    return turn, [line for line in lines if line.words], "", ""


def _turn(image: "Image.Image", lines: Sequence[ReadLine], scale: float) -> int:
    """The quarter turn (degrees clockwise) after which the longest lines are read best, one way round or the other."""
    import numpy as np

    pixels = np.asarray(image)[:, :, ::-1]
    crops, turns = [], []
    for line in sorted(lines, key=lambda line: line.length, reverse=True)[:_LONGEST]:
        (x0, y0), (x1, y1) = line.corners[:2]
        # Its first side, which becomes the top of its picture, runs so; and a high picture is laid on its left side.
        quarter = round(math.degrees(math.atan2(y0 - y1, x1 - x0)) / 90) * 90
        crop = cut_out(pixels, line.corners, scale)
        turn = quarter + (270 if line.height >= 1.5 * line.width else 0)
        crops += [crop, np.ascontiguousarray(crop[::-1, ::-1])]
        turns += [turn % 360, (turn + 180) % 360]
    sums = dict.fromkeys(turns, 0.0)
    for turn, score in zip(turns, engine().recognize_txt(crops).scores, strict=True):
        sums[turn] += score
    sums[0] = sums.get(0, 0.0) + _BETTER * len(turns) / 2
    return max(sums, key=lambda turn: sums[turn])


def _words(line: ReadLine, width: float, height: float) -> list[Word]:
    """A line's words with upright boxes, inside a page of so many points."""
    words = []
    for (text, corners), sure in zip(line.words, line.sure, strict=True):
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        box = (max(0.0, min(xs)), max(0.0, min(ys)), min(width, max(xs)), min(height, max(ys)))
        width_of_sign = (box[2] - box[0]) / len(text)
        for part, start, end in parted(put_right(text)):
            left, right = box[0] + start * width_of_sign, box[0] + end * width_of_sign
            place = tuple(round(side, 2) for side in (left, box[1], min(right, box[2]), box[3]))
            words.append(Word(part, place, sure))  # type: ignore[arg-type]
    return words


def _in_order(lines: Sequence[ReadLine]) -> list[ReadLine]:
    """From top to bottom, and from left to right among lines of one height, on a page that may be askew."""
    from extraction.document.orient import weighted_median

    slope = weighted_median([line.slope for line in lines], [line.width for line in lines])
    level = {id(line): line.middle[1] - slope * line.middle[0] for line in lines}
    ordered = sorted(lines, key=lambda line: level[id(line)])
    rows: list[list[ReadLine]] = []
    for line in ordered:
        if rows and level[id(line)] - level[id(rows[-1][0])] < 0.5 * min(line.height, rows[-1][0].height):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.corners[0][0])]
