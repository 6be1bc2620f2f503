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

    Raises ModuleNotFoundError where the package of its font is not installed.
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
        raise ModuleNotFoundError(
            "reports in this language need fonts that are not installed: pip install 'assay[synthetic]'"
        ) from error


def is_east_asian(char: str) -> bool:
    """Whether a character is Chinese or Japanese, or a sign of full width."""
    return "\u2e80" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or "\uff00" <= char <= "\uffef"


def _is_other(char: str) -> bool:
    return is_east_asian(char) or "\u0600" <= char <= "\u06ff" or "\ufb50" <= char <= "\ufdff" or char >= "\ufe70"


def pieces(text: str, face_name: str) -> Iterator[tuple[str, str]]:
    """The text in pieces with the face that draws each."""
    first, plus, second = face_name.partition("+")
    if not plus:
        yield text, face_name
        return
    for other, chars in groupby(text, _is_other):
        yield "".join(chars), second if other else first


def is_rtl(text: str) -> bool:
    """Whether a text has letters that run from right to left."""
    return any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)


@lru_cache(maxsize=50_000)
def visual(text: str) -> str:
    """A text as it stands on the page from left to right, Arabic letters joined; ranges of numbers stay in order.

    Raises ModuleNotFoundError where the packages for it are not installed.
    """
    if not is_rtl(text):
        return text
    try:
        from arabic_reshaper import ArabicReshaper
        from bidi import get_display
    except ImportError as error:
        raise ModuleNotFoundError(
            "reports from right to left need two packages more: pip install 'assay[synthetic]'"
        ) from error
    # What is in brackets or a range of numbers is a part of its own, as in the cells of a form.
    kept = re.sub(r"[<>≤≥]?=? ?\d[\d.,/:]*(?: ?[-–] ?\d[\d.,/:]*)+|[<>≤≥]=? ?\d[\d.,]*", "\u2066\\g<0>\u2069", text)
    joined = ArabicReshaper({"support_zwj": False, "delete_harakat": False}).reshape(kept)
    shown = str(get_display(joined, base_dir="R"))
    return re.sub("[\u200e\u200f\u2066-\u2069]", "", shown)


FONTS: dict[str, dict[str, tuple[str, ...]]] = {
    "Latin-1": {},
    "European": {
        "Helvetica": ("Arimo",), "Times": ("Arimo",), "Vera": ("Arimo",), "Courier": ("JetBrains", "Arimo"),
    },
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
