"""From a PDF page's characters to words with boxes (runs inside the worker process)."""

import ctypes
import math
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import pypdfium2.raw as pdfium

from extraction.document.pages import Word
from extraction.document.rows import CELL_GAP, runs_left
from extraction.values.signs import is_rtl

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
_FORMS = re.compile("[\ufb1d-\ufdff\ufe70-\ufefc]")  # letters of Arabic and Hebrew as they are printed
_TURNED = str.maketrans("()[]{}<>≤≥«»", ")(][}{><≥≤»«")
_BRACKETS = frozenset("()[]{}")
_TOUCH = 0.12  # of the height: a blank is wider
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
        self.both_ways = False  # letters from right to left are on the page: what comes next may stand to the left
        self.turned: list[int] = []  # places in `text` of signs that are drawn as their mirror images

    def add(self, text: str, box: Box, angle: float, font: Callable[[], int], turned: bool = False) -> None:
        """Take a character: its box, the angle of its line, its font; `turned` if it is drawn as its mirror image."""
        if self.boxes and (turned or not self._continues(text, box, angle)):
            self.flush()
        if not self.boxes:
            self.font = font()
        if turned:
            self.turned.append(len(self.text))
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
            if self.text[-1] in _BRACKETS:  # behind a blank, it is of the word from left to right that it touches
                high = low * _TOUCH / 0.3
            return max(box[0] - last[2], last[0] - box[2]) <= 0.3 * high
        if self.turned and self.turned[-1] == len(self.text) - 1:  # what follows need not be beside it
            return False
        # A gap is a column's edge or a blank that the file does not spell out; a step back is another run.
        begin = last[2] if self.both_ways else last[0]
        return box[0] - last[2] <= 0.3 * low and box[0] >= begin - 0.3 * high

    def flush(self) -> None:
        """End the word."""
        if not self.boxes:
            return
        lefts, tops, rights, bottoms = zip(*self.boxes, strict=True)
        x0, y0, x1, y1 = min(lefts), min(tops), max(rights), max(bottoms)
        text = "".join(self.text)
        if self.turned and not is_rtl(text):  # a word from left to right has its signs as they are drawn
            for place in self.turned:
                self.text[place] = self.text[place].translate(_TURNED)
        self.turned = []
        text = "".join(self._spelled())
        if any("\ud800" <= char <= "\udfff" for char in text):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        self.text, self.boxes = [], []
        # Text wholly outside the displayed page cannot be seen by anyone who looks at it.
        if x1 <= 0 or y1 <= 0 or x0 >= self.width or y0 >= self.height:
            return
        form: Literal["NFC", "NFKC"] = "NFKC" if _FORMS.search(text) else "NFC"
        entry = (unicodedata.normalize(form, text), round(x0, 2), round(y0, 2), round(x1, 2), round(y1, 2))
        (self.tilted if self.angle else self.upright).append(entry)
        self.fonts.setdefault(entry, self.font)
        quarter = round(math.degrees(self.angle) / 90) * 90
        if self.angle and abs(math.radians(quarter) - self.angle) < _UPRIGHT:
            self.quarters[quarter % 360] += 1

    def _spelled(self) -> list[str]:
        """The characters in the order of spelling: where a file says that the one glyph of lam and alef stands for two
        letters, PDFium gives the alef first.
        """
        found = list(self.text)
        for place in range(1, len(found)):
            if found[place] == "ل" and found[place - 1] in "اأإآ" and self.boxes[place] == self.boxes[place - 1]:
                found[place - 1 : place + 1] = found[place], found[place - 1]
        return found


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
    if any(is_rtl(entry[0]) for entry in upright):
        upright = _joined(upright)
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
    codes = [get_code(text_page, index) for index in range(pdfium.FPDFText_CountChars(text_page))]

    def left_edge(place: int) -> float:
        get_tight(text_page, place, *tight_refs)
        return left.value

    builder.both_ways = any(map(_may_be_rtl, codes))
    mirrored = _turned_signs(codes, left_edge) if builder.both_ways else set()
    for index, code in enumerate(codes):
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
        builder.add(text, box, angle, partial(_font, text_page, index), index in mirrored)
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


def _may_be_rtl(code: int) -> bool:
    return 0x590 <= code < 0x900 or 0xFB1D <= code < 0xFEFF


def _joined(entries: list[Entry]) -> list[Entry]:
    """Words whose pieces touch, in one: PDFium takes a line from right to left apart where the direction changes, so
    that `10^3/uL` comes as `uL`, `3/`, `^`, `10` and `(WBC)` as `(`, `WBC`, `(`.

    Pieces without letters from right to left are put together from left to right, signs at an edge of a word from right
    to left become part of it.
    """
    tiles: dict[int, list[int]] = {}
    for index, (_, _, y0, _, y1) in enumerate(entries):
        tiles.setdefault(int((y0 + y1) / 2 // _TILE), []).append(index)
    kept: list[Entry | None] = list(entries)

    def touching(index: int, other: int) -> bool:
        """Whether a second piece begins where the first one ends."""
        _, _, a0, x1, a1 = entries[index]
        _, x0, b0, _, b1 = entries[other]
        low = min(a1 - a0, b1 - b0)
        return abs(x0 - x1) <= _TOUCH * low and min(a1, b1) - max(a0, b0) > 0.5 * low

    following: dict[int, int] = {}
    for tile, members in tiles.items():
        near = sorted((i for t in (tile - 1, tile, tile + 1) for i in tiles.get(t, ())), key=lambda i: entries[i][1])
        lefts = [entries[i][1] for i in near]
        for index in members:
            reach = _TOUCH * (entries[index][4] - entries[index][2])
            start = bisect_left(lefts, entries[index][3] - reach)
            for other in near[start:]:
                if entries[other][1] > entries[index][3] + reach:
                    break
                if other != index and touching(index, other):
                    following[index] = other
                    break
    # Chains from left to right, apart where a word from right to left stands between them.
    firsts = set(range(len(entries))) - set(following.values())
    for first in sorted(firsts):
        chain, seen = [first], {first}
        while (after := following.get(chain[-1])) is not None and after not in seen:
            chain.append(after)
            seen.add(after)
        if len(chain) > 1:
            for index, text, members in _spelled_chain([entries[i][0] for i in chain]):
                parts = [entries[chain[i]] for i in members]
                box = (min(p[1] for p in parts), min(p[2] for p in parts), max(p[3] for p in parts),
                       max(p[4] for p in parts))  # fmt: skip
                for i in members:
                    kept[chain[i]] = None
                kept[chain[index]] = (text, *box)
    words = [entry for entry in kept if entry is not None]
    words = [_with_brackets(entry, words) for entry in words]
    return [_with_colon(entry, words) for entry in words] if runs_left([Word(e[0], e[1:]) for e in words]) else words


def _spelled_chain(texts: list[str]) -> list[tuple[int, str, list[int]]]:
    """The words of touching pieces, from left to right: the place that each takes, its text, its pieces."""
    found: list[tuple[int, str, list[int]]] = []
    start = 0
    while start < len(texts):
        if is_rtl(texts[start]):
            found.append((start, texts[start], [start]))
            start += 1
            continue
        end = start
        while end < len(texts) and not is_rtl(texts[end]):
            end += 1
        members = list(range(start, end))
        text = "".join(texts[start:end])
        if any(map(str.isalnum, text)):
            found.append((start, _edges(text), members))
        elif end < len(texts):  # signs left of a word from right to left end it
            found.append((end, texts[end] + text[::-1].translate(_TURNED), [*members, end]))
            end += 1
        elif found:  # signs right of it begin it
            index, word, others = found.pop()
            found.append((index, text[::-1].translate(_TURNED) + word, [*others, *members]))
        else:
            found.append((start, text, members))
        start = end
    return found


def _edges(text: str) -> str:
    """A word in a line from right to left, with the signs at its edges where the line has them: a colon at the left
    end ends it, a comparison at the right end begins it.
    """
    while text[0] in ":;,":
        text = text[1:] + text[0]
    while text[-1] in "<>≤≥" and text[0].isdigit():
        text = text[-1].translate(_TURNED) + text[:-1]
    return text


def _with_brackets(entry: Entry, entries: list[Entry]) -> Entry:
    """A word from left to right with a bracket at one end, which goes to the other, turned, where its fellow belongs to
    a word from right to left.
    """
    text, x0, y0, x1, y1 = entry
    opens = text[0] in "([{" and text[0].translate(_TURNED) not in text
    closes = text[-1] in ")]}" and text[-1].translate(_TURNED) not in text
    if opens == closes or is_rtl(text):
        return entry
    line = [one for one in entries if min(y1, one[4]) - max(y0, one[2]) > 0.5 * min(y1 - y0, one[4] - one[2])]
    if opens:
        after = sorted((one for one in line if one[1] >= x1 - 1), key=lambda one: one[1])
        fellow = next((one[0] for one in after if text[0].translate(_TURNED) in one[0] or one[0][0] == text[0]), "")
        turned = is_rtl(fellow) and fellow[0] == text[0]
        return (text[1:] + text[0].translate(_TURNED), x0, y0, x1, y1) if turned else entry
    before = sorted((one for one in line if one[3] <= x0 + 1), key=lambda one: -one[3])
    fellow = next((one[0] for one in before if text[-1].translate(_TURNED) in one[0] or one[0][-1] == text[-1]), "")
    turned = is_rtl(fellow) and fellow[-1] == text[-1]
    return (text[-1].translate(_TURNED) + text[:-1], x0, y0, x1, y1) if turned else entry


def _with_colon(entry: Entry, entries: list[Entry]) -> Entry:
    """A word from left to right with a colon at its left, which ends it where the line goes from right to left.

    Of a label of several such words (":ALT (GPT)") the first keeps it: the last ends with it.
    """
    text, x0, y0, x1, y1 = entry
    if text[0] != ":" or is_rtl(text) or not any(map(str.isalnum, text)):
        return entry
    line = [one for one in entries if min(y1, one[4]) - max(y0, one[2]) > 0.5 * min(y1 - y0, one[4] - one[2])]
    more = any(0 <= one[1] - x1 <= CELL_GAP * (y1 - y0) and not is_rtl(one[0]) for one in line if one is not entry)
    return entry if more else (text[1:] + ":", x0, y0, x1, y1)


def _turned_signs(codes: list[int], left: Callable[[int], float]) -> set[int]:
    """The places of signs that PDFium gives as their mirror images, of the characters' codes in its order.

    It does so, in lines with letters from right to left, behind such a letter and before the next Latin one, and at the
    beginning of a line that it gives from right to left. `left` gives a character's left edge.
    """
    found: set[int] = set()
    start = 0
    for end in [*(i for i, code in enumerate(codes) if code in (0x0A, 0x0D)), len(codes)]:
        kinds = [unicodedata.bidirectional(chr(code)) for code in codes[start:end]]
        if "R" in kinds or "AL" in kinds:
            shown = [place for place in range(start, end) if codes[place] > 0x20]
            behind = left(shown[0]) > left(shown[-1])
            for place, kind in enumerate(kinds, start):
                if kind in ("L", "R", "AL"):
                    behind = kind != "L"
                elif behind and codes[place] in _TURNED:
                    found.add(place)
        start = end + 1
    return found


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
