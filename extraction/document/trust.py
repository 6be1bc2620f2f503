"""Whether a page's text layer says what the page shows.

A text layer can lie: a scanner's OCR hidden under a picture, a subset font whose map to characters is wrong, a stamp or
a fax line that is all the text of a scanned page. `examine` compares each page with itself as drawn: what of its text
is hidden, which of its words stand on no ink, what looks like text where it has none, and whether a few of its words,
read from the drawn page, are the same. Where that leaves a doubt the whole page is read by OCR, and `settle` compares
the two word by word. Without OCR a doubt is the page's issue.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from scipy.sparse import lil_array
from scipy.sparse.csgraph import connected_components

from extraction.document.pages import Document, Limits, Page, Word
from extraction.document.reader import render_pages
from extraction.errors import DocumentError

if TYPE_CHECKING:
    from PIL import Image

# The numbers below were chosen on drawn and real reports; `scripts/check_trust.py` counts false alarms again.
_DPI = 144
_PICTURE = 0.5  # of the page under images, and of its text hidden: a scan with a text layer
_UNSEEN = 0.1  # of a page's words without ink: more is no small print in white
_MARKS = 60  # marks like letters where the text layer has no word (a logo, a stamp, a signature have fewer)
_MARKS_SHARE = 0.15  # the same, of the number of its characters
_CONTRAST = 24  # grey levels between a letter and its paper
_SIZE = (2.5, 24.0)  # points: the height of a letter
_HOLE = re.compile(r"\?\w|\w\?\?|\?,|,/|/,|,,")  # within a word: a font's map to characters with holes in it
_HOLES = 0.05  # of a page's words
_COMMON = frozenset("eainrtsolud")  # letters that make up three quarters of European languages' text
_COMMON_SHARE = 0.6  # fewer is no language but a shifted alphabet
_ENOUGH = 150  # letters that tell a language
_WRONG_DIGITS = 2  # sampled words whose digits are others on the drawn page; one may be OCR's fault
_LAYER_DIGITS = 0.1  # of the words with digits, and
_LAYER_WORDS = 0.3  # of all words, may differ from OCR's before a text layer is not believed
_SURE = 0.9  # how sure OCR must be of a word to contradict
_STRIP = 48  # pixels: the height at which the recogniser reads
_EXTRA = 5  # words that OCR must see beside a text layer for them to be added

Recogniser = Callable[["Image.Image"], str]


@dataclass(frozen=True)
class Verdict:
    """What comparing a page with its drawing gave: the page without words that nobody sees; a doubt, or none."""

    page: Page
    doubt: str = ""


def examine(document: Document, limits: Limits, recognise: Recogniser | None) -> dict[int, Verdict]:
    """A verdict for each page with a text layer of a PDF, by its number.

    Args:
        recognise: reads a picture of one line; None where OCR is not installed.
    """
    pages = [page for page in document.pages if page.signs and page.words]
    found: dict[int, Verdict] = {}
    if not pages:
        return found
    try:
        with closing(
            render_pages(document.path, [page.number for page in pages], _DPI, limits, document.password)
        ) as images:  # type: ignore[type-var]
            for page, image in zip(pages, images, strict=False):
                found[page.number] = _verdict(page, image, recognise)
    except DocumentError:
        pass  # too large to draw, or damaged: said below for the pages that are left
    for page in pages:
        issue = page.issue or "The page could not be drawn, so its text layer was not compared with what it shows."
        found.setdefault(page.number, Verdict(replace(page, issue=issue)))
    return found


def _verdict(page: Page, image: "Image.Image", recognise: Recogniser | None) -> Verdict:
    assert page.signs
    if page.signs.image >= _PICTURE and page.signs.hidden >= _PICTURE:
        return Verdict(page, "The page is a picture with a hidden text layer")
    if page.turn:
        image = image.rotate(-page.turn, expand=True)
    pixels = np.asarray(image.convert("L"))
    seen = [_is_seen(word, pixels) for word in page.words]
    undrawn = _undrawn(page, seen)
    seen = [is_seen or index in undrawn for index, is_seen in enumerate(seen)]
    unseen = seen.count(False)
    if unseen > max(_UNSEEN * len(seen), 2):
        return Verdict(page, f"{unseen} of {len(seen)} words of the text layer are not to be seen on the page")
    chars = sum(len(word.text) for word in page.words)
    marks = _marks(page, pixels)
    if marks > max(_MARKS, _MARKS_SHARE * chars):
        return Verdict(page, "Much that looks like text on the page is not in its text layer")
    marked = sum(_HOLE.search(word.text) is not None for word in page.words)
    if marked > _HOLES * len(page.words):
        return Verdict(page, f"{marked} words of the text layer have holes in them")
    if not _is_language(page):
        return Verdict(page, "The letters of the text layer are those of no language")
    reason = ""
    if recognise and page.signs.sample:
        sample = page.signs.sample
        wrong, example = _misread(sample, recognise(_strip(sample, image)))
        digits = sum(any(map(str.isdigit, word.text)) for word in wrong)
        if digits >= _WRONG_DIGITS or 2 * len(wrong) > max(len(sample), 4):
            return Verdict(
                page, f"{len(wrong)} of {len(sample)} words of the text layer read otherwise as drawn{example}"
            )
        reason = f"{len(sample) - len(wrong)} of {len(sample)} words of the text layer read the same as drawn"
    kept = [word for word, is_seen in zip(page.words, seen, strict=True) if is_seen]
    if undrawn:
        reason += f"{'; ' if reason else ''}{len(undrawn)} are in fonts that neither the file nor this machine has"
    if unseen:
        reason += f"{'; ' if reason else ''}{unseen} that are not to be seen were left out"
    return Verdict(replace(page, words=kept, reason=reason))


def _undrawn(page: Page, seen: Sequence[bool]) -> set[int]:
    """The words that are not seen because their fonts are neither in the file nor on this machine, as those of Chinese
    and Japanese files often are; none where words of other letters are not seen either.
    """
    assert page.signs
    unseen = [index for index, is_seen in enumerate(seen) if not is_seen]
    wide = all(any(unicodedata.east_asian_width(char) in "WF" for char in page.words[index].text) for index in unseen)
    return {*unseen} if wide and page.signs.lent > page.signs.hidden else set()


def _is_seen(word: Word, pixels: np.ndarray) -> bool:
    """Whether anything is drawn where a word stands."""
    scale = _DPI / 72
    x0, y0, x1, y1 = (round(edge * scale) for edge in word.box)
    part = pixels[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1]
    return not part.size or int(part.max()) - int(part.min()) >= _CONTRAST


def ink(image: "Image.Image") -> int:
    """How many pixels of a page differ clearly from its usual grey."""
    return int(_is_ink(np.asarray(image.convert("L"))).sum())


def _is_ink(pixels: np.ndarray) -> np.ndarray:
    """Which of a page's grey pixels are not the paper's: bool, [height, width]."""
    paper = int(np.searchsorted(np.cumsum(np.bincount(pixels.ravel(), minlength=256)), pixels.size / 2))
    return (pixels < paper - 2 * _CONTRAST) | (pixels > paper + 2 * _CONTRAST)


def _marks(page: Page, pixels: np.ndarray) -> int:
    """How many marks of the size of letters stand where the text layer has no word."""
    ink = _is_ink(pixels)
    scale = _DPI / 72
    for word in (*page.words, *page.rotated):
        x0, y0, x1, y1 = (round(edge * scale) for edge in word.box)
        ink[max(0, y0 - 2) : y1 + 3, max(0, x0 - 2) : x1 + 3] = False
    labels, count = ndimage.label(ink)
    if not count:
        return 0
    places = ndimage.find_objects(labels)
    sides = np.array([(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in places])
    high, wide = sides[:, 0] / scale, sides[:, 1] / scale
    like = (high >= _SIZE[0]) & (high <= _SIZE[1]) & (wide >= 0.15 * high) & (wide <= 3 * high)
    return int(like.sum())


def _is_language(page: Page) -> bool:
    """Whether the page's Latin letters are as frequent as in a language; a page with few letters passes."""
    words = (word.text.lower() for word in page.words if len(word.text) > 3 and word.text.isalpha())
    letters = [char for char in unicodedata.normalize("NFKD", "".join(words)) if "a" <= char <= "z"]
    return len(letters) < _ENOUGH or sum(char in _COMMON for char in letters) >= _COMMON_SHARE * len(letters)


def _strip(sample: Sequence[Word], image: "Image.Image") -> "Image.Image":
    """The drawn words side by side, as one line."""
    from PIL import Image

    scale, pieces = _DPI / 72, []
    for word in sample:
        x0, y0, x1, y1 = (edge * scale for edge in word.box)
        crop = image.crop((max(0, int(x0) - 2), max(0, int(y0) - 1), int(x1) + 3, int(y1) + 2))
        width = max(1, min(8 * _STRIP, round(crop.width * _STRIP / crop.height)))
        pieces.append(crop.resize((width, _STRIP), Image.Resampling.BICUBIC))
    gap = _STRIP // 2
    strip = Image.new("RGB", (sum(piece.width + gap for piece in pieces) + gap, _STRIP), "white")
    x = gap
    for piece in pieces:
        strip.paste(piece, (x, 0))
        x += piece.width + gap
    return strip


_ALIKE = str.maketrans("oil|!]['`’‘\u00b0", "0111111\x00\x00\x00\x00\x00")


def fold(text: str) -> str:
    """What of a text two readings of the same ink can be asked to agree on: letters without accents and case, digits,
    no punctuation, and one of each group of letters that look alike.
    """
    text = unicodedata.normalize("NFKD", text).lower().translate(_ALIKE).replace("μ", "u")
    return re.sub(r"[^0-9a-z]", "", text)


def _misread(sample: Sequence[Word], read: str) -> tuple[list[Word], str]:
    """The words of a sample that are not so in what was read from them side by side, and an example."""
    expected, spans = "", []
    for word in sample:
        start = len(expected)
        expected += fold(word.text)
        spans.append((start, len(expected)))
    got, wrong = fold(read), []
    blocks = SequenceMatcher(None, expected, got, autojunk=False).get_opcodes()
    for word, (start, end) in zip(sample, spans, strict=True):
        # What is read before a word's first character is its own.
        own = [b for b in blocks if b[0] != "equal" and ((b[1] < end and b[2] > start) or start == b[1] == b[2])]
        digits = any(map(str.isdigit, "".join(expected[max(b[1], start) : min(b[2], end)] for b in own)))
        digits |= any(map(str.isdigit, "".join(got[b[3] : b[4]] for b in own if b[1] >= start and b[2] <= end)))
        if digits or 2 * sum(min(b[2], end) - max(b[1], start) for b in own) > end - start:
            wrong.append(word)
    return wrong, f" (“{wrong[0].text}”)" if wrong else ""


def settle(page: Page, read: Page, doubt: str) -> Page:
    """The page that is to be read, of a page with a doubtful text layer and the same as OCR read it.

    Where the two agree but for few words, the text layer's words stand, and OCR's where the layer has none; digits in
    which they differ are an issue. Else OCR's stand alone.
    """
    if read.view != "ocr":
        return replace(page, issue=f"{doubt}. {read.issue}".strip(), reason=doubt)
    if not read.words or read.frame != page.frame:
        return replace(read, reason=f"{doubt}: read by OCR")
    pairs = _pairs(page.words, read.words)
    both = [(own, other) for own, other in pairs if own and other and _readable(own)]
    sure = [(own, other) for own, other in both if min(word.score for word in other) >= _SURE]
    differ = [(own, other) for own, other in sure if _digits(own) != _digits(other)]
    with_digits = sum(bool(_digits(own) or _digits(other)) for own, other in sure)
    unlike = sum(not _alike(own, other) for own, other in both)
    alone = [word for own, other in pairs if own and not other for word in own]
    if (
        len(differ) > max(1, _LAYER_DIGITS * with_digits)
        or unlike > _LAYER_WORDS * len(both)
        or (not both and any(map(_readable, ([word] for word in page.words))))
        or len(alone) > len(page.words) / 2
    ):
        return replace(read, reason=f"{doubt}: read by OCR, {_count(both, unlike, differ)}")
    extra = [word for own, other in pairs if not own for word in other]
    extra = extra if len(extra) >= _EXTRA else []
    stands = [word for own, other in pairs if own and (other or not _readable(own)) for word in own]
    issues = []
    if differ:
        own, other = differ[0]
        issues.append(
            f"In {len(differ)} places text layer and OCR differ in digits "
            f"(“{_text(own)}” and “{_text(other)}”): compare them with the page."
        )
    if alone and page.signs and page.signs.hidden < _PICTURE:
        issues.append(f"{len(alone)} words of the text layer are not to be seen on the page and were left out.")
    if len(extra) > len(stands) and read.issue:
        issues.append(read.issue)
    reason = f"{doubt}: compared with OCR, {_count(both, unlike, differ)}; {len(extra)} words of OCR's beside it"
    view = "ocr" if len(extra) > len(stands) else "text"
    return replace(page, words=[*stands, *extra], view=view, issue=" ".join(issues) or page.issue, reason=reason)


def _count(both: Sequence[Any], unlike: int, differ: Sequence[Any]) -> str:
    return f"{unlike} of {len(both)} words unlike, {len(differ)} in digits"


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _readable(words: Sequence[Word]) -> bool:
    """Whether the engine knows the script of words: Latin letters and digits."""
    letters = [char for char in _text(words) if char.isalnum()]
    return bool(letters) and sum(char.isdigit() or "LATIN" in unicodedata.name(char, "") for char in letters) == len(
        letters
    )


def _digits(words: Sequence[Word]) -> str:
    return re.sub(r"\D", "", fold(_text(words)))


def _alike(own: Sequence[Word], other: Sequence[Word]) -> bool:
    return SequenceMatcher(None, fold(_text(own)), fold(_text(other)), autojunk=False).ratio() >= 0.7


def _pairs(own: Sequence[Word], other: Sequence[Word]) -> list[tuple[list[Word], list[Word]]]:
    """Words of two readings of a page that stand on the same ink, from left to right; either may be none."""
    words, count = [*own, *other], len(own)
    boxes = np.array([word.box for word in words]).reshape(-1, 4)
    touching = lil_array((len(words), len(words)), dtype=bool)
    theirs = boxes[count:]
    for i, (x0, y0, x1, y1) in enumerate(boxes[:count]):
        wide = np.minimum(theirs[:, 2], x1) - np.maximum(theirs[:, 0], x0)
        high = np.minimum(theirs[:, 3], y1) - np.maximum(theirs[:, 1], y0)
        narrow = np.minimum(theirs[:, 2] - theirs[:, 0], x1 - x0)
        low = np.minimum(theirs[:, 3] - theirs[:, 1], y1 - y0)
        touching[i, count + np.flatnonzero((wide > 0.25 * narrow) & (high > 0.4 * low))] = True
    number, labels = connected_components(touching, directed=False)
    pairs: list[tuple[list[Word], list[Word]]] = [([], []) for _ in range(number)]
    for place in sorted(range(len(words)), key=lambda place: words[place].box[0]):
        pairs[labels[place]][place >= count].append(words[place])
    return pairs
