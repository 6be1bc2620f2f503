"""What a model is shown and asked: parts make a context, a context with its branches is an example.

A document is a context with one branch, a health record one with fifty, a picture with its questions one with some.
Training and serving take the same examples; in training every branch has its gold answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from extraction.document import Document, Limits, Page, open_document, render_page
from extraction.errors import AssayError
from extraction.schema import Schema

if TYPE_CHECKING:
    from PIL import Image

    from extraction.contract import Contract
    from extraction.evidence import Evidence
    from extraction.target import Leaf

DPI = 150


@dataclass(frozen=True)
class ImagePart:
    """An image that a model is shown: a page of a document, or an image file. Drawn when it is needed.

    Attributes:
        path: the file.
        page: its page, counted from 1; an image file has one.
        dpi: pixels per inch it is drawn at.
        size: width and height in pixels.
        turn: by which it is turned to stand upright, in degrees clockwise, before it is shown.
        pan_and_scan: whether crops of it are shown too, for families that can (Gemma 3), where it is clearly longer
            than wide or the reverse.
        password: of an encrypted PDF.
        square: whether it is padded with black to a square before it is shown, the image in the middle.
        own: whether it is a PNG that this process has written (a slice, a patch), which needs no process with limits to
            be opened: a volume has 85 of them.
    """

    path: Path
    page: int
    dpi: int
    size: tuple[int, int]
    pan_and_scan: bool = False
    turn: int = 0
    password: str = field(default="", repr=False)
    square: bool = False
    own: bool = field(default=False, repr=False, compare=False)

    @classmethod
    def made(cls, path: Path) -> ImagePart:
        """An image that this process has written itself."""
        from PIL import Image

        from extraction.document.image_files import image_dpi

        with Image.open(path) as image:
            return cls(path, 1, image_dpi(image), image.size, own=True)

    @classmethod
    def of(cls, path: str | Path, square: bool = False) -> ImagePart:
        """The image in a file (the first, where it has several), or the first page of a PDF.

        Raises:
            DocumentError: the file cannot be read.
        """
        part = cls.of_page(open_document(path), 1)
        return replace(part, size=(max(part.size),) * 2, square=True) if square else part

    @classmethod
    def of_page(cls, document: Document, number: int, dpi: int = DPI, pan_and_scan: bool = False) -> ImagePart:
        """Page `number` (from 1) of an open document; an image file keeps its own resolution."""
        page: Page = document.pages[number - 1]
        width, height = page.displayed
        if page.pixels:
            own, size = max(1, round(72 * page.pixels[0] / width)), page.pixels
        else:
            own = max(1, min(dpi, int(0.99 * 72 * math.sqrt(Limits().pixels / (width * height)))))
            size = (math.ceil(width * own / 72), math.ceil(height * own / 72))
        size = (size[1], size[0]) if page.turn % 180 else size
        return cls(document.path, number, own, size, pan_and_scan, page.turn, document.password)

    def draw(self, limits: Limits | None = None) -> Image.Image:
        """The image as RGB.

        Raises:
            DocumentError: the file cannot be drawn any more.
        """
        from PIL.Image import new, open

        if self.own:
            with open(self.path) as kept:
                return kept.convert("RGB")
        image = render_page(self.path, self.page, self.dpi, limits, self.password).rotate(-self.turn, expand=True)
        if self.square:
            side = max(image.size)
            padded = new("RGB", (side, side))
            padded.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            image = padded
        # Another renderer may round a side otherwise; how many tokens it takes was decided by this size.
        return image if image.size == self.size else image.resize(self.size)


Part = str | ImagePart
"""A piece of what a model is shown, in order: text, or an image."""


def _parts(parts: Sequence[Part] | Part) -> tuple[Part, ...]:
    """Parts as a tuple; one part stands for itself (a text alone would else be as many parts as it has letters)."""
    found = (parts,) if isinstance(parts, str | ImagePart) else tuple(parts)
    odd = next((part for part in found if not isinstance(part, str | ImagePart)), None)
    if odd is not None:
        raise AssayError(f"Parts are texts and images (ImagePart), not {type(odd).__name__}.")
    return found


class Index(Protocol):
    """Where things stand in a context: words of pages with their boxes, lines of a record, labels."""

    def ground(self, leaves: Sequence[Leaf], contract: Contract) -> Mapping[tuple[str | int, ...], Evidence]:
        """Evidence for an answer's values, by their paths; a value that stands nowhere has none."""
        ...


@dataclass(frozen=True)
class Context:
    """The parts of one source as a contract shows it.

    Attributes:
        name: of the source, for people.
        parts: what is shown, in order. Images before the first text stand before the instruction.
        index: what evidence is found in; None where there is nothing to point at.
        sha256: of the source, by which two sets of examples are told apart; empty where the parts are all of it.
    """

    name: str
    parts: tuple[Part, ...]
    index: Index | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _parts(self.parts))


@dataclass(frozen=True)
class Branch:
    """A question on a context.

    Attributes:
        parts: what is asked, behind the context; empty where the instruction asks all.
        schema: JSON Schema of the answer; None for the contract's.
        gold: the true answer, in training and evaluation.
        source: what the task's grader compares with, where that is more than `gold`.
    """

    parts: tuple[Part, ...] = ()
    schema: Schema | None = None
    gold: Any = None
    source: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _parts(self.parts))


@dataclass(frozen=True)
class Example:
    """A context and its branches, which share its cost."""

    context: Context
    branches: tuple[Branch, ...] = (Branch(),)
