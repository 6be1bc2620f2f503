"""Faces and directions of scripts beyond Western European: which fonts draw them, and in which order on the page.

Greek, Cyrillic, Hebrew and Central European letters are drawn in Arimo or JetBrains Mono, Arabic in Noto Sans Arabic
(the extra `synthetic` installs all three), Chinese and Japanese in the faces that PDF readers bring along. A face of
two parts, `Arimo+NotoArabic`, draws Latin letters, digits and signs in the first and its script in the second.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import Any

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

from extraction.errors import AssayError
from extraction.values.signs import is_rtl

_FILES = {
    "Arimo": ("Arimo", "normal"),
    "Arimo-Bold": ("Arimo", "normal"),
    "Arimo-Italic": ("Arimo", "italic"),
    "JetBrains": ("JetBrains Mono", "normal"),
    "JetBrains-Bold": ("JetBrains Mono", "normal"),
    "JetBrains-Italic": ("JetBrains Mono", "italic"),
    "NotoArabic": ("Noto Sans Arabic", "normal"),
    "NotoArabic-Forms": ("Noto Sans Arabic", "normal"),
}
_CID = ("STSong-Light", "HeiseiMin-W3", "HeiseiKakuGo-W5")
_LATIN = {
    "Arimo": ("Arimo", "Arimo-Bold", "Arimo-Italic"),
    "JetBrains": ("JetBrains", "JetBrains-Bold", "JetBrains-Italic"),
    "Helvetica": ("Helvetica", "Helvetica-Bold", "Helvetica-Oblique"),
    "Times": ("Times-Roman", "Times-Bold", "Times-Italic"),
    "Courier": ("Courier", "Courier-Bold", "Courier-Oblique"),
}
FACES: dict[str, tuple[str, ...]] = {"Arimo": _LATIN["Arimo"], "JetBrains": _LATIN["JetBrains"]} | {
    f"{latin}+{other}": tuple(f"{face}+{other}" for face in faces)
    for latin, faces in _LATIN.items()
    for other in ("NotoArabic", "NotoArabic-Forms", *_CID)
}
"""Regular, bold and italic of the fonts that this module draws."""

STROKED = {"Arimo-Bold", "JetBrains-Bold"}
"""Faces whose bold is the regular one with an outline, as word processors do where a font has no bold."""

_FORMS = re.compile(r"(<[0-9A-F]{2}>) <(F[BCDE][0-9A-F]{2})>")


class LogicalFont(TTFont):
    """A font whose letters are joined as printed, but read as the plain letters: what word processors write."""

    def addObjects(self, doc: Any) -> None:  # noqa: N802
        """Write the font, its map to Unicode without presentation forms."""
        super().addObjects(doc)
        for name, entry in doc.idToObject.items():
            if str(name).startswith("toUnicodeCMap:") and str(name).endswith(f"+{self.face.name.decode()}"):
                entry.content = _FORMS.sub(_plain_letters, entry.content)


def _plain_letters(match: re.Match[str]) -> str:
    letters = unicodedata.normalize("NFKC", chr(int(match[2], 16)))
    return f"{match[1]} <{letters.encode('utf-16-be').hex().upper()}>"


def register(face_name: str) -> None:
    """Make the parts of a face known to reportlab.

    Raises AssayError where the package of its font is not installed.
    """
    for name in face_name.split("+"):
        if name in pdfmetrics.getRegisteredFontNames():
            continue
        if name in _CID:
            pdfmetrics.registerFont(UnicodeCIDFont(name))
        elif name in _FILES:
            font = (LogicalFont if name == "NotoArabic" else TTFont)(name, str(_path(*_FILES[name])))
            font.face.name = name.encode()  # several faces of one file in one PDF
            pdfmetrics.registerFont(font)


def _path(family: str, style: str) -> Any:
    try:
        import fontpkg

        return fontpkg.path(family, style=style)
    except Exception as error:  # of a missing package, or of one of its fonts
        raise AssayError(
            "Reports in this language need fonts that are missing here; install the extra assay[synthetic]: "
            "pip install -e '.[synthetic]'."
        ) from error


def is_east_asian(char: str) -> bool:
    """Whether a character is Chinese or Japanese, or a sign of full width."""
    return "\u2e80" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or "\uff00" <= char <= "\uffef"


def _is_other(char: str) -> bool:
    return is_east_asian(char) or "\u0600" <= char <= "\u06ff" or "\ufb50" <= char <= "\ufdff" or char >= "\ufe70"


def pieces(text: str, face_name: str) -> Iterator[tuple[str, str]]:
    """The text in pieces with the face that draws each.

    A Chinese or Japanese text is drawn in one face but for signs that it lacks. A single character has a wide blank
    behind it: PDFium takes no notice of a text of one character in a font that the file does not hold.
    """
    first, plus, second = face_name.partition("+")
    if not plus:
        yield text, face_name
        return
    whole = any(map(is_east_asian, text))
    for other, chars in groupby(text, lambda char: _is_other(char) or (whole and " " <= char <= "~")):
        piece = "".join(chars)
        alone = other and len(piece) == 1 and is_east_asian(piece)
        yield (piece + "\u3000" if alone else piece), second if other else first


_SIGNS = re.compile(r"[\s()\[\]{}«»:;,.|]*")
_LTR = re.compile(r"[A-Za-z0-9µμ%<>≤≥+-](?:[^\u0590-\u06ff\ufb1d-\ufefc،؛؟]*[A-Za-z0-9µμ%³²+])?")
_MIRRORED = str.maketrans("()[]{}«»", ")(][}{»«")


def signs_from_the_right(text: str) -> str:
    """A text as it stands in a line from right to left: brackets, blanks and points alone are turned with the line."""
    return text[::-1].translate(_MIRRORED) if _SIGNS.fullmatch(text) else text


@lru_cache(maxsize=50_000)
def visual(text: str) -> str:
    """A text as it stands on the page from left to right, Arabic letters joined.

    What has letters from right to left begins at the right; Latin words, numbers and ranges of numbers in it, with
    blanks and signs between them, stand from left to right, as in the fields of a form.

    Raises AssayError where the package that joins letters is not installed.
    """
    if not is_rtl(text):
        return text
    try:
        from arabic_reshaper import ArabicReshaper
    except ImportError as error:
        raise AssayError(
            "Reports in Arabic need a package that is missing here; install the extra assay[synthetic]: "
            "pip install -e '.[synthetic]'."
        ) from error
    joined = ArabicReshaper({"support_zwj": False}).reshape(text)
    shown, end = "", len(joined)
    for match in reversed(list(_LTR.finditer(joined))):
        stop = match.end()
        if match[0].count("(") > match[0].count(")") and joined[stop : stop + 1] == ")":  # D (25-OH)
            stop += 1
        shown += joined[stop:end][::-1].translate(_MIRRORED) + joined[match.start() : stop]
        end = match.start()
    return shown + joined[:end][::-1].translate(_MIRRORED)


FONTS: dict[str, dict[str, tuple[str, ...]]] = {
    "Latin-1": {},
    "European": {
        "Helvetica": ("Arimo",), "Times": ("Arimo",), "Vera": ("Arimo",), "Courier": ("JetBrains", "Arimo"),
    },
    "Hebrew": dict.fromkeys(("Helvetica", "Times", "Vera", "Courier"), ("Arimo",)),
    "Arabic": dict.fromkeys(("Helvetica", "Times", "Vera", "Courier"), ("Arimo+NotoArabic", "Arimo+NotoArabic-Forms")),
    "Chinese": {
        "Helvetica": ("Helvetica+STSong-Light",), "Times": ("Times+STSong-Light",), "Vera": ("Arimo+STSong-Light",),
        "Courier": ("Courier+STSong-Light",),
    },
    "Japanese": {
        "Helvetica": ("Helvetica+HeiseiKakuGo-W5",), "Times": ("Times+HeiseiMin-W3",),
        "Vera": ("Arimo+HeiseiKakuGo-W5",), "Courier": ("Courier+HeiseiMin-W3",),
    },
}  # fmt: skip
"""What draws the fonts of Style in each script; of several, a report has one."""
