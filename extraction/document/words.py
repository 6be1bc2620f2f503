"""From a PDF page's characters to words with boxes (runs inside the worker process)."""

import ctypes
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium

# Hyphens as PDFium returns them: U+0002 and U+FFFE for one that ends a line, U+00AD where the font's map says
# so although the glyph is an ordinary visible hyphen.
_HYPHENS = {0x02, 0xAD, 0xFFFE}
_LIGATURES = dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
_SPACES = {0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
# Text tilted less than this still counts as upright: the text layers of skewed scans.
_UPRIGHT = math.radians(10)
_FEW = 10  # words: fewer that run sideways (a watermark, a side note) do not turn a page
_SAMPLE = 6  # words of a page that are compared with what is drawn
_CANDIDATES = 600  # words among which they are chosen
_DIGITS = frozenset("0123456789,?")  # and what a wrong map makes of them
_PLAIN = re.compile(r"(?=.*[A-Za-z\d])[A-Za-z\d.,:/%()<>+?*-]{2,14}")
_TILE = 4.0  # points: repeated words are looked for in the tiles around a word

Box = tuple[float, float, float, float]
Entry = tuple[str, float, float, float, float]


def glyph_text(code: int) -> str:
    """The letters for one character code; "" for what has no visible form, U+FFFD for an unmapped glyph."""
    if code in _HYPHENS:
        return "-"
    if code == 0:
        return "\ufffd"
    if code in _LIGATURES:
        return _LIGATURES[code]
    char = chr(code)
    if code < 0x20 or 0x7F <= code < 0xA0 or code == 0xFFFF or unicodedata.category(char) == "Cf":
        return ""
    return char


class _Placement:
    """Turns PDF page coordinates (origin bottom left, before rotation) into displayed ones."""

    def __init__(self, page: Any, rotation: int) -> None:
        self.left, self.bottom, self.right, self.top = page.get_bbox()
        self.rotation = rotation
        sides = (self.right - self.left, self.top - self.bottom)
        self.width, self.height = sides if rotation % 180 == 0 else (sides[1], sides[0])

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        if self.rotation == 90:
            return y0 - self.bottom, x0 - self.left, y1 - self.bottom, x1 - self.left
        if self.rotation == 180:
            return self.right - x1, y0 - self.bottom, self.right - x0, y1 - self.bottom
        if self.rotation == 270:
            return self.top - y1, self.right - x1, self.top - y0, self.right - x0
        return x0 - self.left, self.top - y1, x1 - self.left, self.top - y0


class _Builder:
    """Collects characters until a word ends."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.upright: list[Entry] = []
        self.tilted: list[Entry] = []
        self.fonts: dict[Entry, int] = {}
        self.quarters: Counter[int] = Counter()  # tilted words by their direction
        self.text: list[str] = []
        self.boxes: list[Box] = []
        self.angle = 0.0
        self.font = 0

    def add(self, text: str, box: Box, angle: float, font: Callable[[], int]) -> None:
        if self.boxes and not self._continues(text, box, angle):
            self.flush()
        if not self.boxes:
            self.font = font()
        self.text.append(text)
        self.boxes.append(box)
        self.angle = angle

    def _continues(self, text: str, box: Box, angle: float) -> bool:
        last = self.boxes[-1]
        if abs(angle - self.angle) > 0.02:
            return False
        if angle:
            size = max(1.0, *(max(b[2] - b[0], b[3] - b[1]) for b in (last, box)))
            dx, dy = ((box[i] + box[i + 2] - last[i] - last[i + 2]) / 2 for i in (0, 1))
            return math.hypot(dx, dy) < 1.5 * size
        low, high = sorted((last[3] - last[1], box[3] - box[1]))
        if min(last[3], box[3]) - max(last[1], box[1]) < 0.3 * low:
            return False
        if unicodedata.bidirectional(text[0]) in ("R", "AL", "NSM"):
            return max(box[0] - last[2], last[0] - box[2]) <= 0.3 * high
        # A gap is a column's edge or a blank that the file does not spell out; a step back is another run.
        return box[0] - last[2] <= 0.3 * low and box[0] >= last[0] - 0.3 * high

    def flush(self) -> None:
        if not self.boxes:
            return
        lefts, tops, rights, bottoms = zip(*self.boxes, strict=True)
        x0, y0, x1, y1 = min(lefts), min(tops), max(rights), max(bottoms)
        text = "".join(self.text)
        if any("\ud800" <= char <= "\udfff" for char in text):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        self.text, self.boxes = [], []
        # Text wholly outside the displayed page cannot be seen by anyone who looks at it.
        if x1 <= 0 or y1 <= 0 or x0 >= self.width or y0 >= self.height:
            return
        entry = (unicodedata.normalize("NFC", text), round(x0, 2), round(y0, 2), round(x1, 2), round(y1, 2))
        (self.tilted if self.angle else self.upright).append(entry)
        self.fonts.setdefault(entry, self.font)
        quarter = round(math.degrees(self.angle) / 90) * 90
        if self.angle and abs(math.radians(quarter) - self.angle) < _UPRIGHT:
            self.quarters[quarter % 360] += 1


class PageWords(NamedTuple):
    """The words of a page in the file's order, upright ones and rotated ones, in the frame of the page turned by `turn`
    degrees clockwise; and a few upright ones in which its fonts and characters all occur.
    """

    upright: list[Entry]
    rotated: list[Entry]
    turn: int
    sample: list[Entry]


def page_words(page: Any, text_page: Any, rotation: int) -> PageWords:
    """The words of a loaded page, which is turned where most of them run up, down or upside down.

    `page` is pypdfium2's, `text_page` PDFium's handle, `rotation` the page's own, in degrees clockwise.
    """
    turn, builder = 0, _build(page, text_page, rotation)
    if builder.quarters:
        [(quarter, count)] = builder.quarters.most_common(1)
        if count >= _FEW and count > 2 * len(builder.upright):
            turn, builder = quarter, _build(page, text_page, (rotation + quarter) % 360)
    upright = _without_doubles(builder.upright)
    return PageWords(upright, builder.tilted, turn, _sample(upright, builder.fonts))


def _build(page: Any, text_page: Any, rotation: int) -> _Builder:
    place = _Placement(page, rotation)
    builder = _Builder(place.width, place.height)
    turn = math.radians(rotation)
    loose, matrix = pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    loose_ref, matrix_ref = ctypes.byref(loose), ctypes.byref(matrix)
    tight_refs = [ctypes.byref(value) for value in (left, right, bottom, top)]
    get_code, get_angle = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetCharAngle
    get_loose, get_tight = pdfium.FPDFText_GetLooseCharBox, pdfium.FPDFText_GetCharBox
    for index in range(pdfium.FPDFText_CountChars(text_page)):
        code = get_code(text_page, index)
        if (code <= 0x20 and code not in (0, 0x02)) or code in _SPACES:
            builder.flush()
            continue
        text = chr(code) if 0x20 < code < 0x7F else glyph_text(code)
        if not text:
            continue
        get_loose(text_page, index, loose_ref)
        get_tight(text_page, index, *tight_refs)
        angle = get_angle(text_page, index)
        if angle or turn:
            # PDFium's angle counts a slant (synthetic italics) as a rotation; the matrix tells them apart.
            pdfium.FPDFText_GetMatrix(text_page, index, matrix_ref)
            angle = math.remainder(math.atan2(matrix.b, matrix.a) - turn, math.tau)
            if abs(angle) < _UPRIGHT:
                angle = 0.0
        if angle:
            box = place.box(left.value, bottom.value, right.value, top.value)
        else:
            box = place.box(
                min(loose.left, left.value),
                min(loose.bottom, bottom.value),
                max(loose.right, right.value),
                max(loose.top, top.value),
            )
        builder.add(text, box, angle, partial(_font, text_page, index))
    builder.flush()
    return builder


def _font(text_page: Any, index: int) -> int:
    """A number for the font of a character; 0 for one that the file does not draw."""
    drawn = pdfium.FPDFText_GetTextObject(text_page, index)
    font = pdfium.FPDFTextObj_GetFont(drawn) if drawn else None
    return (ctypes.cast(font, ctypes.c_void_p).value or 0) if font else 0


def _sample(entries: list[Entry], fonts: dict[Entry, int]) -> list[Entry]:
    """Few words, short together, in which many characters of each font occur, digits first: any may be mapped wrong."""
    left = [entry for entry in entries if _PLAIN.fullmatch(entry[0])][:_CANDIDATES]
    shown: set[tuple[int, str]] = set()
    chosen: list[Entry] = []

    def gain(entry: Entry) -> float:
        fresh = {(fonts.get(entry, 0), char) for char in entry[0]} - shown
        return sum(4 if char in _DIGITS else 1 for _, char in fresh) / (len(entry[0]) + 3)

    while left and len(chosen) < _SAMPLE:
        best = max(left, key=gain)
        left.remove(best)
        chosen.append(best)
        shown.update((fonts.get(best, 0), char) for char in best[0])
    return chosen


def _without_doubles(entries: list[Entry]) -> list[Entry]:
    """Words drawn twice at one place (imitated bold, shadows) count once."""
    kept: list[Entry] = []
    seen: dict[tuple[str, int, int], list[Entry]] = {}
    for entry in entries:
        text, x0, y0, x1, y1 = entry
        near = min(0.15 * (y1 - y0), _TILE)
        column, row = int(x0 // _TILE), int(y0 // _TILE)
        tiles = ((text, column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        others = (other for tile in tiles for other in seen.get(tile, ()))
        if any(max(abs(x0 - o[1]), abs(y0 - o[2]), abs(x1 - o[3]), abs(y1 - o[4])) < near for o in others):
            continue
        seen.setdefault((text, column, row), []).append(entry)
        kept.append(entry)
    return kept
