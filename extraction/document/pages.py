"""What an open document is made of, and how much of a machine it may take to open one."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Word:
    """A run of characters without white space.

    `box` is (x0, y0, x1, y1) in points (1/72 inch), the origin at the page's top left corner as displayed,
    that is after the page's own rotation. It spans the font's height rather than the ink alone. `score` is the
    product of the probabilities that OCR gave to its letters, 1 for a document's own text.
    """

    text: str
    box: tuple[float, float, float, float]
    score: float = 1.0


@dataclass(frozen=True)
class Page:
    """One page as displayed.

    `number` counts from 1; `width` and `height` are in points. `view` tells where the words come from:
    "text" for the document's own text, "ocr" for words read from the pixels. `rotated` holds the words that
    are not upright on the displayed page (watermarks, side notes), which would only disturb the lines.
    `issue` is empty, or says why the page's words could not be read. `pixels` are width and height of an image
    file; None for a page of a PDF, which has no pixels of its own.
    """

    number: int
    width: float
    height: float
    words: list[Word]
    view: str = "text"
    rotated: list[Word] = field(default_factory=list)
    issue: str = ""
    pixels: tuple[int, int] | None = None


@dataclass(frozen=True)
class Document:
    """An open document: its file, the SHA-256 of its bytes (hexadecimal), its pages in order.

    `password` is the one that opened it, for whoever draws its pages later; empty where none was needed. It is
    written nowhere.
    """

    path: Path
    sha256: str
    pages: list[Page]
    password: str = field(default="", repr=False, compare=False)

    @property
    def word_count(self) -> int:
        """How many upright words all pages have together."""
        return sum(len(page.words) for page in self.pages)

    @property
    def has_text(self) -> bool:
        """Whether any page has a word; a scan without a text layer has none and needs its pixels read."""
        return any(page.words for page in self.pages)


@dataclass(frozen=True)
class Limits:
    """What opening or rendering one document may take before it is refused with a `DocumentError`."""

    seconds: float = 60.0
    """Wall-clock time for the whole call."""
    pages: int = 200
    """Most pages of a document."""
    words: int = 50_000
    """Most words of one page, rotated ones included."""
    page_points: float = 14_400.0
    """Longest side of a page in points; 14,400 (200 inches) is the limit of PDF 1.7, annex C."""
    pixels: int = 40_000_000
    """Most pixels of one rendered page, or of an image file."""
    memory_mb: int = 2048
    """Address space of the process that reads the file, where the platform can limit it."""
    file_mb: int = 200
    """Largest file."""
