"""Words of pages that have none of their own: scans, and pages whose text layer is broken.

The page is drawn (200 dpi, less for huge pages) and read by RapidOCR (PP-OCR models that its wheel carries;
nothing is downloaded), the optional extra `assay[ocr]`. One engine a process, loaded at first use, with a
bounded number of threads; documents take turns.

A page that lies on its side or upside down is turned and read again; where its lines are tilted or run towards each
other, as in a photo, their boxes are straightened (`orient.py`), and the page's `frame` leads back to the ink. A slope
of less than two degrees is kept: `layout_lines` straightens such rows by itself, and the slope, the median over the
lines weighted by their length, only decides the order of the words.
"""

import math
import os
import re
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.document.pages import Document, Limits, Page, Word
from extraction.document.reader import open_document, render_pages
from extraction.errors import DocumentError

if TYPE_CHECKING:
    from PIL import Image

REMEDY = "install the extra assay[ocr]: pip install -e '.[ocr]' in Assay's folder"

_DPI = 200
_PIXELS = 8_000_000  # of the drawn page: A3 at 200 dpi; the detector takes some 150 bytes for each
_SIDE = 5000  # pixels
_THREADS = 4
_LOW = 0.6  # lines read with less confidence are counted in the page's issue, as are those with odd letters
_TURNED = 2.5  # times higher than wide: a line that runs up or down the page (a lone 1 has 1.8)
_FOREIGN = 0.05  # of a page's characters: fewer Han characters than this are misread Latin ones
_BROKEN = 1 / 3  # of a text layer's characters
_CLEAR = 0.85  # a page whose lines are read with less confidence on average may be upside down
_BETTER = 0.1  # by how much lines must be read better the other way round
_LONGEST = 6  # lines that are read both ways
_PER_ONE = re.compile(r"(?:(?<=[^\W\d_]/)|(?<=10[\^*E]\d/)|(?<=10[\^*E]\d\d/))1(?![\w.,])")
_INK = 5.0  # square points: a page with less is blank (a digit of 10 points has about 15)

# onnxruntime's wheels report to their maker unless this is set before they are first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_lock = threading.Lock()


@dataclass(frozen=True)
class _Line:
    """A line as read: its words with four corners each (from top left, clockwise, points), how sure each word is and
    the line as a whole (the mean over its letters).
    """

    words: list[tuple[str, list[tuple[float, float]]]]
    corners: list[tuple[float, float]]
    score: float
    sure: list[float]

    @property
    def width(self) -> float:
        return math.dist(self.corners[0], self.corners[1])

    @property
    def height(self) -> float:
        return math.dist(self.corners[0], self.corners[3])

    @property
    def length(self) -> float:
        return max(self.width, self.height)

    @property
    def is_turned(self) -> bool:
        """Whether the line runs up or down the page."""
        (x0, y0), (x1, y1) = self.corners[:2]
        steep = abs(y1 - y0) > abs(x1 - x0)
        long, short = (self.width, self.height) if steep else (self.height, self.width)
        return long >= _TURNED * short

    def moved(self, matrix: Any) -> "_Line":
        """The line under a projective map."""
        from extraction.document.orient import through

        words = [(text, through(matrix, corners)) for text, corners in self.words]
        return replace(self, words=words, corners=through(matrix, self.corners))

    @property
    def text(self) -> str:
        return " ".join(text for text, _ in self.words)

    @property
    def slope(self) -> float:
        """How far the line falls per point to the right."""
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = self.corners
        return (y1 + y2 - y0 - y3) / max(x1 + x2 - x0 - x3, 0.01)

    @property
    def middle(self) -> tuple[float, float]:
        return sum(x for x, _ in self.corners) / 4, sum(y for _, y in self.corners) / 4


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
            _recognise(Image.new("RGB", (96, 48), "white"))


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
        found = examine(layers, limits, _recognise if ready else None)
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
    _engine()
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
    most = 0.99 * 72 * min(math.sqrt(min(_PIXELS, limits.pixels) / area), _SIDE / side)
    return max(1, min(_DPI, int(most)))


def _read_page(page: Page, image: "Image.Image", dpi: int) -> Page:
    from extraction.document.orient import framed, straighten

    displayed = page.displayed
    if _ink(image) * (72 / dpi) ** 2 < _INK:
        return replace(page, words=[], view="ocr", issue="")
    try:
        turn, lines = _read_upright(image, 72 / dpi)
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
    rotated = [word for line in turned for word in _words(line, width, height)]
    low = sum(line.score < _LOW or bool(foreign & set(line.text)) for line in lines)
    issue = ""
    if not lines:
        issue = "OCR found no words on the page, which is not blank."
    elif low:
        issue = f"{low} of {len(lines)} lines were hard to read by OCR: compare them with the page."
    if page.words and not words:
        return replace(page, issue=f"{_NO_LETTERS}. {issue}" if needs_ocr(page) else issue)
    reason = f"{_NO_LETTERS}: read by OCR" if page.words else ""
    return Page(
        page.number,
        width,
        height,
        words,
        view="ocr",
        rotated=rotated,
        issue=issue,
        pixels=page.pixels,
        reason=reason,
        frame=framed(turn, *displayed, matrix),
        signs=page.signs,
    )


def _read_upright(image: "Image.Image", scale: float) -> tuple[int, list[_Line]]:
    """The page's lines, and the turn (degrees clockwise) after which they were read."""
    lines = _read_lines(image, scale)
    length = sum(line.length for line in lines)
    sideways = 2 * sum(line.length for line in lines if line.is_turned) > length
    if not lines or (not sideways and sum(line.score * line.length for line in lines) >= _CLEAR * length):
        return 0, lines
    turn = _turn(image, [line for line in lines if line.is_turned == sideways], scale)
    return (turn, _read_lines(image.rotate(-turn, expand=True), scale)) if turn else (0, lines)


def _turn(image: "Image.Image", lines: Sequence[_Line], scale: float) -> int:
    """The quarter turn (degrees clockwise) after which the longest lines are read best, one way round or the other."""
    import numpy as np
    from rapidocr.utils.process_img import get_rotate_crop_image

    pixels = np.asarray(image)[:, :, ::-1]
    crops, turns = [], []
    for line in sorted(lines, key=lambda line: line.length, reverse=True)[:_LONGEST]:
        (x0, y0), (x1, y1) = line.corners[:2]
        # Its first side, which becomes the top of its picture, runs so; and a high picture is laid on its left side.
        quarter = round(math.degrees(math.atan2(y0 - y1, x1 - x0)) / 90) * 90
        crop = get_rotate_crop_image(pixels, np.array(line.corners, dtype=np.float32) / np.float32(scale))
        turn = quarter + (270 if line.height >= 1.5 * line.width else 0)
        crops += [crop, np.ascontiguousarray(crop[::-1, ::-1])]
        turns += [turn % 360, (turn + 180) % 360]
    sums = dict.fromkeys(turns, 0.0)
    for turn, score in zip(turns, _engine().recognize_txt(crops).scores, strict=True):
        sums[turn] += score
    sums[0] = sums.get(0, 0.0) + _BETTER * len(turns) / 2
    return max(sums, key=lambda turn: sums[turn])


def _recognise(line: "Image.Image") -> str:
    """The text of a picture of one line."""
    import numpy as np

    return " ".join(_engine().recognize_txt([np.ascontiguousarray(np.asarray(line)[:, :, ::-1])]).txts)


def _ink(image: "Image.Image") -> int:
    """How many pixels differ clearly from the page's usual grey."""
    counts = image.convert("L").histogram()
    total, below, middle = sum(counts), 0, 0
    while below + counts[middle] < total / 2:
        below += counts[middle]
        middle += 1
    return total - sum(counts[max(0, middle - 48) : middle + 49])


@cache
def _engine() -> Any:
    import rapidocr

    threads = max(1, min(_THREADS, os.cpu_count() or 1))
    models = Path(rapidocr.__file__).parent / "models"
    params: dict[str, Any] = {
        # Above the errors: a page without text is a warning to it.
        "Global.log_level": "critical",
        # Turning single lines upside down makes a 9 of a 6.
        "Global.use_cls": False,
        "Global.text_score": 0.0,
        # The pixels are limited before.
        "Global.max_side_len": 4 * _SIDE,
        "Det.max_candidates": 20_000,
        # Lines are found on a smaller picture (137 dpi for A4, as many as at 200) and read from the full one.
        "Det.limit_type": "max",
        "Det.limit_side_len": 1600,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    for part in ("Det", "Rec"):
        # Named files are never downloaded.
        found = sorted(models.glob(f"*_{part.lower()}_*.onnx"))
        if not found:
            raise DocumentError("This version of rapidocr has no models in its package: pip install -U -e '.[ocr]'.")
        params[f"{part}.model_path"] = str(found[-1])
    engine: Any = rapidocr.RapidOCR(params=params)
    engine.crop_text_regions = _crops
    boxes = engine.cal_rec_boxes.cal_ocr_word_box

    def with_letters(text: str, box: Any, found: Any, single: bool = False) -> Any:
        # The engine pairs words with the probabilities of single letters, one by one; here each has its line's.
        words, places, letters = boxes(text, box, found, single)
        return words, places, [letters] * len(words)

    engine.cal_rec_boxes.cal_ocr_word_box = with_letters
    return engine


def _crops(image: Any, boxes: Any) -> list[Any]:
    """The engine's pictures of single lines. It lays those on their side that are 1.5 times higher than wide,
    lone digits too, which makes a dash of an I; only what is clearly a turned line may lie.
    """
    import numpy as np
    from rapidocr.utils.process_img import get_rotate_crop_image

    crops = []
    for box in boxes:
        crop = get_rotate_crop_image(image, box.copy())
        width = max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3]))
        height = max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2]))
        if height >= 1.5 * width and crop.shape[1] > crop.shape[0] and height < _TURNED * width:
            crop = np.ascontiguousarray(np.rot90(crop, -1))
        crops.append(crop)
    return crops


def _read_lines(image: "Image.Image", scale: float) -> list[_Line]:
    """The lines that the engine sees; `scale` is a pixel's size in points."""
    from PIL import Image

    width, height = image.size
    # The engine enlarges images until their short side has 30 pixels: a strip would have no end.
    sides = (max(width, height // 4), max(height, width // 4))
    if sides != image.size:
        padded = Image.new("RGB", sides, "white")
        padded.paste(image)
        image = padded
    result = _engine()(image, return_word_box=True)
    if result.boxes is None or result.txts is None:
        return []
    lines = []
    placed = result.word_results if len(result.word_results) == len(result.txts) else [()] * len(result.txts)
    for box, text, score, parts in zip(result.boxes, result.txts, result.scores, placed, strict=True):
        letters = parts[0][1] if parts else [score] * len(text)
        text = unicodedata.normalize("NFC", text)
        words = _split(text, [(float(x), float(y)) for x, y in box], parts)
        if words:
            scaled = [(part, [(x * scale, y * scale) for x, y in corners]) for part, corners in words]
            sure = _sure(text, [part for part, _ in words], letters)
            corners = [(float(x) * scale, float(y) * scale) for x, y in box]
            lines.append(_Line(scaled, corners, float(score), sure))
    return lines


def _sure(text: str, words: Sequence[str], letters: Sequence[float]) -> list[float]:
    """How sure each word of a line is: the product over its letters, or over the line's where their places are lost."""
    if len(letters) != len(text):
        return [math.prod(letters)] * len(words)
    own, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        own.append(math.prod(letters[start:end]))
    return own


def _split(
    text: str, box: list[tuple[float, float]], parts: Sequence[Any]
) -> list[tuple[str, list[tuple[float, float]]]]:
    """A line's words with their corners: where the recogniser saw them, else in proportion to the characters."""
    seen = [(str(part[0]), [(float(x), float(y)) for x, y in part[2]]) for part in parts or () if part[2] is not None]
    if "".join(part for part, _ in seen) == "".join(text.split()) and len(seen) <= len(text.split()) + 3:
        return _to_the_ends(seen, box)
    words, end = [], 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        words.append((word, _slice(box, start / len(text), end / len(text))))
    return words


def _to_the_ends(
    words: list[tuple[str, list[tuple[float, float]]]], box: list[tuple[float, float]]
) -> list[tuple[str, list[tuple[float, float]]]]:
    """The words widened, as the recogniser tells where a character is, not where it ends: the outer ones to the
    ends of the line's box, the others by half a character or a third of the gap to the next word.
    """
    length = max(math.dist(box[0], box[1]), 0.01)
    along = ((box[1][0] - box[0][0]) / length, (box[1][1] - box[0][1]) / length)
    spans = []
    for _, corners in words:
        places = [(x - box[0][0]) * along[0] + (y - box[0][1]) * along[1] for x, y in corners]
        spans.append((max(0.0, min(places)), min(length, max(places))))
    result = []
    for i, (text, _) in enumerate(words):
        start, end = spans[i]
        half = (end - start) / len(text) / 2
        start = 0.0 if i == 0 else start - min(half, max(0.0, start - spans[i - 1][1]) / 3)
        end = length if i == len(words) - 1 else end + min(half, max(0.0, spans[i + 1][0] - end) / 3)
        result.append((text, _slice(box, start / length, end / length)))
    return result


def _slice(box: list[tuple[float, float]], start: float, end: float) -> list[tuple[float, float]]:
    """The part of a line's box between two shares of its length."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = box
    top = [(ax + share * (bx - ax), ay + share * (by - ay)) for share in (start, end)]
    low = [(dx + share * (cx - dx), dy + share * (cy - dy)) for share in (end, start)]
    return top + low


def _words(line: _Line, width: float, height: float) -> list[Word]:
    """A line's words with upright boxes, inside a page of so many points."""
    words = []
    for (text, corners), sure in zip(line.words, line.sure, strict=True):
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        box = (max(0.0, min(xs)), max(0.0, min(ys)), min(width, max(xs)), min(height, max(ys)))
        # "mg/1": behind a unit's slash the recogniser takes the small ell of litre for a one, which no unit has there.
        text = _PER_ONE.sub("l", text)
        words.append(Word(text, tuple(round(side, 2) for side in box), sure))  # type: ignore[arg-type]
    return words


def _in_order(lines: Sequence[_Line]) -> list[_Line]:
    """From top to bottom, and from left to right among lines of one height, on a page that may be askew."""
    slope = _slope(lines)
    level = {id(line): line.middle[1] - slope * line.middle[0] for line in lines}
    ordered = sorted(lines, key=lambda line: level[id(line)])
    rows: list[list[_Line]] = []
    for line in ordered:
        if rows and level[id(line)] - level[id(rows[-1][0])] < 0.5 * min(line.height, rows[-1][0].height):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.corners[0][0])]


def _slope(lines: Sequence[_Line]) -> float:
    """The lines' common slope: the median, weighted by their lengths."""
    weighted = sorted((line.slope, line.width) for line in lines)
    left = sum(width for _, width in weighted) / 2
    for slope, width in weighted:
        left -= width
        if left <= 0:
            return slope
    return 0.0
