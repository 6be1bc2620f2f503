"""Pages in letters that the OCR engine has not learned: known by the lines it sees and cannot read, read by Tesseract.

The engine knows Latin, Greek, Chinese and Japanese letters. Of a Russian page it finds all lines and reads the figures;
of the words it gives nothing, or a comma. Such a page's script is told by Tesseract (`tesserocr`, the optional extra
`assay[ocr-scripts]`), and its lines are read again, in the boxes that the engine found, by the data for that script
that this machine has (Debian: `tesseract-ocr-rus` and the like). Without them the page's issue says what to install.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.document.engine import Corners, ReadLine, cut_out, part_of
from extraction.values.signs import is_rtl

if TYPE_CHECKING:
    from PIL import Image

# Of the length of a page's lines: 0.00 on 11 upright scans and photos in Latin letters, 0.35 and more on 3 others.
_STRANGE = 0.1
_LONG = 4.0  # times longer than high: a line that must hold some letters
_FEW = 0.6  # letters for each height of a line: it has about 2, in Chinese 1.3
_FULL = 1.2  # the same of a line of figures without words between them
_SURE = 0.8  # figures that the engine reads so are left as they are
_LATIN = 0.95  # words that it reads so are, where Tesseract is less sure than _DOUBT: units in Latin letters
_DOUBT = 0.8
_ALIKE = frozenset("ABCEHKMOPTXYaceopxy")  # which Cyrillic letters look like
_HIGH = 48  # pixels: the height of a line's picture, at least
_EDGE = 8  # white pixels around the picture of a line, without which Tesseract loses its first letter
_FOLDERS = ("/usr/share/tesseract-ocr/*/tessdata", "/usr/share/tessdata", "/usr/local/share/tessdata",
            "/opt/homebrew/share/tessdata")  # fmt: skip

REMEDY = (
    "install the extra assay[ocr-scripts] and Tesseract's data for the page's language (Debian: tesseract-ocr-rus for "
    "Russian)"
)

_NOT_WHOLE = "were not read by OCR, or not whole: compare them with the page."

LANGUAGES = {
    "Arabic": ("ara", "fas", "urd", "pus", "ckb", "uig"),
    "Armenian": ("hye",),
    "Bengali": ("ben", "asm"),
    "Cyrillic": ("rus", "ukr", "bul", "srp", "mkd", "bel", "kaz", "kir", "mon", "tgk"),
    "Devanagari": ("hin", "mar", "nep", "san"),
    "Ethiopic": ("amh", "tir"),
    "Georgian": ("kat",),
    "Gujarati": ("guj",),
    "Gurmukhi": ("pan",),
    "Hangul": ("kor",),
    "Hebrew": ("heb", "yid"),
    "Kannada": ("kan",),
    "Khmer": ("khm",),
    "Lao": ("lao",),
    "Malayalam": ("mal",),
    "Myanmar": ("mya",),
    "Sinhala": ("sin",),
    "Tamil": ("tam",),
    "Telugu": ("tel",),
    "Thai": ("tha",),
}
"""Tesseract's names of its data, by the script they read (github.com/tesseract-ocr/tessdata_best)."""


def unread(lines: Sequence[ReadLine]) -> list[ReadLine]:
    """The lines of a page that hold more letters than were read; none where they are few."""
    hollow = [line for line in lines if not line.words or _is_hollow(line)]
    length = sum(line.length for line in lines)
    return hollow if sum(line.length for line in hollow) > _STRANGE * length else []


def _is_hollow(line: ReadLine) -> bool:
    long, high = line.length, max(min(line.width, line.height), 0.01)
    return long >= _LONG * high and len(line.text.replace(" ", "")) < _FEW * long / high


def read_again(image: Image.Image, lines: Sequence[ReadLine], scale: float) -> tuple[list[ReadLine], str, str]:
    """A page's lines, the script they were read in, and what is wrong; `scale` is a pixel's size in points.

    Where the script is known and can be read here, all lines are read again but those of figures that are sure. The
    issue says how many lines are not read for all that, and the remedy where there is one.
    """
    import numpy as np

    pixels = np.asarray(image)
    missing, known = unread(lines), [line for line in lines if line.words]
    count = f"{len(missing)} of {len(lines)} lines"
    other = f"{count} hold letters that OCR does not know, perhaps Cyrillic, Arabic or Hebrew; {REMEDY}."
    folder = data_folder()
    try:
        import tesserocr
    except ImportError:
        return known, "", other
    script = _script(tesserocr, _sheet(pixels, missing, scale), folder) if folder else ""
    if not folder or not script:
        return known, "", other
    if script not in LANGUAGES:
        return known, "", f"{count} {_NOT_WHOLE}"
    if not (names := _installed(folder, script)):
        remedy = f"install Tesseract's data for their language (Debian: tesseract-ocr-{LANGUAGES[script][0]})"
        return known, "", f"{count} are in {script} letters, which OCR does not know; {remedy}."
    single = tesserocr.PSM.SINGLE_LINE
    with tesserocr.PyTessBaseAPI(path=str(folder), lang="+".join(names), psm=single) as reader:
        read = [line if _stays(line) else _read(tesserocr, reader, pixels, line, scale) for line in lines]
    left = sum(not line.words or _is_hollow(line) for line in read)
    issue = f"{left} of {len(lines)} lines {_NOT_WHOLE}" if left else ""
    return [line for line in read if line.words], script, issue


def data_folder() -> Path | None:
    """Where Tesseract's data lie: TESSDATA_PREFIX, or where systems keep them."""
    named = os.environ.get("TESSDATA_PREFIX")
    places = [Path(named)] if named else [p for one in _FOLDERS for p in sorted(Path("/").glob(one[1:]), reverse=True)]
    return next((place for place in places if any(place.glob("*.traineddata"))), None)


def _sheet(pixels: Any, lines: Sequence[ReadLine], scale: float) -> Image.Image:
    """Lines below each other on white: on the page, figures and Latin units may be more than they."""
    from PIL import Image

    pictures = [Image.fromarray(cut_out(pixels, line.corners, scale)) for line in lines]
    sheet = Image.new("RGB", (max(p.width for p in pictures) + 80, sum(p.height + 12 for p in pictures) + 80), "white")
    top = 40
    for picture in pictures:
        sheet.paste(picture, (40, top))
        top += picture.height + 12
    return sheet


def _script(tesserocr: Any, image: Image.Image, folder: Path) -> str:
    """The script of most of a picture's letters, by Tesseract's data for that (`osd`); empty where it can't tell."""
    if not (folder / "osd.traineddata").exists():
        return ""
    with tesserocr.PyTessBaseAPI(path=str(folder), lang="osd", psm=tesserocr.PSM.OSD_ONLY) as reader:
        # It wants 50 letters by itself, and few lines may be left unread.
        reader.SetVariable("min_characters_to_try", "10")
        reader.SetImage(image)
        found = reader.DetectOrientationScript()
    return str(found["script_name"]) if found else ""


def _installed(folder: Path, script: str) -> list[str]:
    """The data for a script that are here: the script's own, else its languages', and English for what is Latin."""
    own = f"script/{script}"
    if (folder / f"{own}.traineddata").exists():
        return [own]
    found = [name for name in LANGUAGES.get(script, ()) if (folder / f"{name}.traineddata").exists()]
    return [*found, "eng"] if found and (folder / "eng.traineddata").exists() else found


def _stays(line: ReadLine) -> bool:
    signs = line.text.replace(" ", "")
    figures = any(char.isdigit() for char in signs) and not any(char.isalpha() for char in signs)
    full = len(signs) > _FULL * line.length / max(min(line.width, line.height), 0.01)
    return line.is_turned or (figures and full and line.score >= _SURE)


def _read(tesserocr: Any, reader: Any, pixels: Any, line: ReadLine, scale: float) -> ReadLine:
    """A line with the words that Tesseract reads in its box; as it was where it reads none."""
    from PIL import Image, ImageOps

    picture = Image.fromarray(cut_out(pixels, line.corners, scale))
    if picture.height < _HIGH:
        picture = picture.resize((round(picture.width * _HIGH / picture.height), _HIGH), Image.Resampling.BICUBIC)
    reader.SetImage(ImageOps.expand(picture, _EDGE, "white"))
    reader.SetSourceResolution(round(72 / scale))
    words: list[tuple[str, Corners]] = []
    sure: list[float] = []
    for way in (tesserocr.PSM.SINGLE_LINE, tesserocr.PSM.SINGLE_WORD):  # of a lone word it may see no line
        reader.SetPageSegMode(way)
        reader.Recognize()
        for word in tesserocr.iterate_level(reader.GetIterator(), tesserocr.RIL.WORD):
            if not word or not (box := word.BoundingBox(tesserocr.RIL.WORD)):
                continue
            if text := _logical(word.GetUTF8Text(tesserocr.RIL.WORD).strip()):
                start, end = ((x - _EDGE) / picture.width for x in (box[0], box[2]))
                words.append((text, part_of(line.corners, max(0.0, start), min(1.0, end))))
                sure.append(word.Confidence(tesserocr.RIL.WORD) / 100)
        if words:
            break
    if not words:
        return line
    score = sum(sure) / len(sure)
    latin = {char for char in line.text if char.isalpha()} - _ALIKE
    stays = latin and line.score >= _LATIN and score < _DOUBT and not _is_hollow(line)
    return line if stays else replace(line, words=words, sure=sure, score=score)


def _logical(text: str) -> str:
    """A word as it is spoken: Tesseract gives those from right to left as they are seen, from left to right."""
    return re.sub(r"\d(?:[\d.,/:^*-]*\d)?", lambda found: found[0][::-1], text[::-1]) if is_rtl(text) else text
