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
class Signs:
    """What a PDF tells of a page's text layer, beside its words.

    `image` is the share of the page under images, `hidden` the share of its text that is not drawn (text rendering
    mode 3) or lies under an image, `lent` the share in fonts that are not in the file. `sample` are a few words in
    which the page's fonts and characters, digits first, all occur: what is compared with the drawn page.
    """

    image: float = 0.0
    hidden: float = 0.0
    lent: float = 0.0
    sample: list[Word] = field(default_factory=list)


@dataclass(frozen=True)
class Frame:
    """How a page that is not displayed upright was laid to be read.

    `turn` is the quarter turn that brings it upright, in degrees clockwise; `width` and `height` are the displayed
    page's, in points. `matrix` is the projective map (3 x 3, row by row) from a point of the page as read to one of the
    page as displayed: it also undoes tilt and perspective.
    """

    turn: int
    width: float
    height: float
    matrix: tuple[float, ...]

    @classmethod
    def quarter(cls, turn: int, width: float, height: float) -> "Frame | None":
        """The frame of a page displayed at `width` x `height` that only has to be turned; None where it has not."""
        matrices = {
            90: (0.0, 1.0, 0.0, -1.0, 0.0, height, 0.0, 0.0, 1.0),
            180: (-1.0, 0.0, width, 0.0, -1.0, height, 0.0, 0.0, 1.0),
            270: (0.0, -1.0, width, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        }
        matrix = matrices.get(turn % 360)
        return cls(turn % 360, width, height, matrix) if matrix else None

    def displayed(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """The upright box around what `box` of the page as read covers on the displayed page."""
        a, b, c, d, e, f, g, h, i = self.matrix
        x0, y0, x1, y1 = box
        xs, ys = [], []
        for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)):
            w = g * x + h * y + i
            xs.append(min(max((a * x + b * y + c) / w, 0.0), self.width))
            ys.append(min(max((d * x + e * y + f) / w, 0.0), self.height))
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class Page:
    """One page as it is read: upright, which is how it is displayed unless it has a `frame`.

    `number` counts from 1; `width` and `height` are in points. Boxes of words and the page's own sides are those of the
    page as read; `frame` leads from there to the page as displayed, where a record's evidence is given and which
    `render_pages` draws. `view` tells where the words come from: "text" for the document's own text, "ocr" for words
    read from the pixels, and `reason` why, where there was a choice. `rotated` holds the words that are not upright
    (watermarks, side notes), which would only disturb the lines. `issue` is empty, or says why the page's words could
    not be read, or what is doubtful about them. `pixels` are width and height of an image file as displayed; None for a
    page of a PDF, which has no pixels of its own. `moving` counts the pictures of an animation, of which the page is
    the first. `signs` are None where there is no text layer.
    """

    number: int
    width: float
    height: float
    words: list[Word]
    view: str = "text"
    rotated: list[Word] = field(default_factory=list)
    issue: str = ""
    pixels: tuple[int, int] | None = None
    reason: str = ""
    frame: Frame | None = None
    signs: Signs | None = None
    moving: int = 1

    @property
    def displayed(self) -> tuple[float, float]:
        """Width and height of the displayed page."""
        return (self.frame.width, self.frame.height) if self.frame else (self.width, self.height)

    @property
    def turn(self) -> int:
        """The quarter turn, in degrees clockwise, that brings the displayed page upright."""
        return self.frame.turn if self.frame else 0


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
