"""The OCR engine: a picture in, lines of words with their corners out.

RapidOCR with the PP-OCR models that its wheel carries; nothing is downloaded. One engine a process, loaded at first
use, with a bounded number of threads.
"""

import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.errors import DocumentError

if TYPE_CHECKING:
    from PIL import Image

SIDE = 5000  # pixels: the longest side of a picture
_THREADS = 4
_TURNED = 2.5  # times higher than wide: a line that runs up or down the page (a lone 1 has 1.8)

# onnxruntime's wheels report to their maker unless this is set before they are first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

Corners = list[tuple[float, float]]
"""Of a word or a line, from top left, clockwise."""


@dataclass(frozen=True)
class ReadLine:
    """A line as read: its words with their corners (points), how sure each word is and the line as a whole (the mean
    over its letters). A line that the engine sees and knows no letter of has no words.
    """

    words: list[tuple[str, Corners]]
    corners: Corners
    score: float
    sure: list[float]

    @property
    def width(self) -> float:
        """The length of its top, in points."""
        return math.dist(self.corners[0], self.corners[1])

    @property
    def height(self) -> float:
        """The length of its left side, in points."""
        return math.dist(self.corners[0], self.corners[3])

    @property
    def length(self) -> float:
        """The longer of the two."""
        return max(self.width, self.height)

    @property
    def is_turned(self) -> bool:
        """Whether the line runs up or down the page."""
        (x0, y0), (x1, y1) = self.corners[:2]
        steep = abs(y1 - y0) > abs(x1 - x0)
        long, short = (self.width, self.height) if steep else (self.height, self.width)
        return long >= _TURNED * short

    @property
    def text(self) -> str:
        """Its words, a blank apart."""
        return " ".join(text for text, _ in self.words)

    @property
    def slope(self) -> float:
        """How far the line falls per point to the right."""
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = self.corners
        return (y1 + y2 - y0 - y3) / max(x1 + x2 - x0 - x3, 0.01)

    @property
    def middle(self) -> tuple[float, float]:
        """The mean of its corners."""
        return sum(x for x, _ in self.corners) / 4, sum(y for _, y in self.corners) / 4

    def moved(self, matrix: Any) -> "ReadLine":
        """The line under a projective map."""
        from extraction.document.orient import through

        words = [(text, through(matrix, corners)) for text, corners in self.words]
        return replace(self, words=words, corners=through(matrix, self.corners))


@cache
def engine() -> Any:
    """The engine of this process.

    Raises:
        DocumentError: the installed rapidocr brings no models.
    """
    import numpy as np
    import rapidocr
    from rapidocr.utils.process_img import map_boxes_to_original

    models = Path(rapidocr.__file__).parent / "models"
    params: dict[str, Any] = {
        # Above the errors: a page without text is a warning to it.
        "Global.log_level": "critical",
        # Turning single lines upside down makes a 9 of a 6.
        "Global.use_cls": False,
        "Global.text_score": 0.0,
        # The pixels are limited before.
        "Global.max_side_len": 4 * SIDE,
        "Det.max_candidates": 20_000,
        # Lines are found on a smaller picture (137 dpi for A4, as many as at 200) and read from the full one.
        "Det.limit_type": "max",
        "Det.limit_side_len": 1600,
        "EngineConfig.onnxruntime.intra_op_num_threads": min(_THREADS, os.cpu_count() or 1),
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    for part in ("Det", "Rec"):
        # Named files are never downloaded.
        found = sorted(models.glob(f"*_{part.lower()}_*.onnx"))
        if not found:
            raise DocumentError("This version of rapidocr has no models in its package: pip install -U -e '.[ocr]'.")
        params[f"{part}.model_path"] = str(found[-1])
    made: Any = rapidocr.RapidOCR(params=params)
    made.crop_text_regions = _crops
    boxes = made.cal_rec_boxes.cal_ocr_word_box

    def with_letters(text: str, box: Any, found: Any, single: bool = False) -> Any:
        # The engine pairs words with the probabilities of single letters, one by one; here each has its line's.
        words, places, letters = boxes(text, box, found, single)
        return words, places, [letters] * len(words)

    made.cal_rec_boxes.cal_ocr_word_box = with_letters
    finish = made.build_final_output

    def with_blanks(picture: Any, seen: Any, turns: Any, read: Any, crops: Any, record: Any) -> Any:
        # The engine leaves out, without a word, the boxes in which it reads nothing.
        boxes: Any = (
            [box for box, text in zip(seen.boxes, read.txts, strict=True) if not text.strip()] if read.txts else []
        )
        if boxes:
            boxes = map_boxes_to_original(np.array(boxes), record, *picture.shape[:2])
        result = finish(picture, seen, turns, read, crops, record)
        result.blank = boxes
        return result

    made.build_final_output = with_blanks
    return made


def _crops(image: Any, boxes: Any) -> list[Any]:
    """The engine's pictures of single lines. It lays those on their side that are 1.5 times higher than wide,
    lone digits too, which makes a dash of an I; only what is clearly a turned line may lie.
    """
    import numpy as np
    from rapidocr.utils.process_img import get_rotate_crop_image

    crops = []
    for box in boxes:
        crop = get_rotate_crop_image(image, box.copy())
        width = max(math.dist(box[0], box[1]), math.dist(box[2], box[3]))
        height = max(math.dist(box[0], box[3]), math.dist(box[1], box[2]))
        if height >= 1.5 * width and crop.shape[1] > crop.shape[0] and height < _TURNED * width:
            crop = np.ascontiguousarray(np.rot90(crop, -1))
        crops.append(crop)
    return crops


def cut_out(pixels: Any, corners: Corners, scale: float) -> Any:
    """The part of an array of pixels inside of corners (points; `scale` is a pixel's size in them), straightened.

    As everywhere in the engine, what is 1.5 times higher than wide is laid on its left side.
    """
    import numpy as np
    from rapidocr.utils.process_img import get_rotate_crop_image

    return get_rotate_crop_image(pixels, np.array(corners, dtype=np.float32) / np.float32(scale))


def recognise(line: "Image.Image") -> str:
    """The text of a picture of one line."""
    import numpy as np

    return " ".join(engine().recognize_txt([np.ascontiguousarray(np.asarray(line)[:, :, ::-1])]).txts)


def read_lines(image: "Image.Image", scale: float) -> list[ReadLine]:
    """The lines that the engine sees, those without a letter it knows last; `scale` is a pixel's size in points."""
    from PIL import Image

    width, height = image.size
    # The engine enlarges images until their short side has 30 pixels: a strip would have no end.
    sides = (max(width, height // 4), max(height, width // 4))
    if sides != image.size:
        padded = Image.new("RGB", sides, "white")
        padded.paste(image)
        image = padded
    result = engine()(image, return_word_box=True)
    blank = [ReadLine([], _scaled(box, scale), 0.0, []) for box in result.blank]
    if result.boxes is None or result.txts is None:
        return blank
    lines = []
    placed = result.word_results if len(result.word_results) == len(result.txts) else [()] * len(result.txts)
    for box, text, score, parts in zip(result.boxes, result.txts, result.scores, placed, strict=True):
        letters = parts[0][1] if parts else [score] * len(text)
        text, corners = unicodedata.normalize("NFC", text), _scaled(box, scale)
        seen = [(str(part[0]), _scaled(part[2], scale)) for part in parts or () if part[2] is not None]
        if words := _words(text, corners, seen):
            sure = how_sure(text, [word for word, _ in words], letters)
            lines.append(ReadLine(words, corners, float(score), sure))
    return lines + blank


def _scaled(corners: Any, scale: float) -> Corners:
    return [(float(x) * scale, float(y) * scale) for x, y in corners]


def _places(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Where words that follow each other stand in a text."""
    places, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        places.append((start, end))
    return places


def how_sure(text: str, words: Sequence[str], letters: Sequence[float]) -> list[float]:
    """How sure each word of a line is: the product over its letters, or over the line's where their places are lost."""
    if len(letters) != len(text):
        return [math.prod(letters)] * len(words)
    return [math.prod(letters[start:end]) for start, end in _places(text, words)]


def _words(text: str, box: Corners, seen: list[tuple[str, Corners]]) -> list[tuple[str, Corners]]:
    """A line's words with their corners: where the recogniser saw them, else in proportion to the characters."""
    words = text.split()
    if "".join(part for part, _ in seen) == "".join(words) and len(seen) <= len(words) + 3:
        return _to_the_ends(seen, box)
    places = zip(words, _places(text, words), strict=True)
    return [(word, part_of(box, start / len(text), end / len(text))) for word, (start, end) in places]


def _to_the_ends(words: list[tuple[str, Corners]], box: Corners) -> list[tuple[str, Corners]]:
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
        result.append((text, part_of(box, start / length, end / length)))
    return result


def part_of(box: Corners, start: float, end: float) -> Corners:
    """The part of a line's box between two shares of its length."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = box
    top = [(ax + share * (bx - ax), ay + share * (by - ay)) for share in (start, end)]
    low = [(dx + share * (cx - dx), dy + share * (cy - dy)) for share in (end, start)]
    return top + low
