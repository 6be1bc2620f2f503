"""What a file is, by its content: its name may say anything."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: with its article, for messages.
        remedy: what makes it readable, in the imperative; empty for a kind that is read.
        image: Pillow's name of the format, for images that are read as pages.
    """

    name: str
    remedy: str = ""
    image: str = ""


SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".heic", ".heif")
"""Ends of the names of documents that are read."""

HEIC = Kind("a HEIC photo", image="HEIF")

_PRINT = "print it to PDF and read that"
_UNPACK = "unpack it and read the files in it"
_SAVE = "save it as PNG or JPEG and read that"
_PDF = Kind("a PDF")
_MAIL = Kind("an e-mail", "save its attachments as files and read those")
_DICOM = Kind("a DICOM image", "export it as PNG or PDF and read that")
_ZIP = Kind("a ZIP archive", _UNPACK)

# Whatever stands at the beginning of these, a PDF within them is not the file.
_BINARY = (
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG image", image="PNG")),
    (b"\xff\xd8\xff", Kind("a JPEG image", image="JPEG")),
    (b"GIF8", Kind("a GIF image", image="GIF")),
    *((mark, Kind("a TIFF image", image="TIFF")) for mark in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"\0\0\0\x0cjP  ", Kind("a JPEG 2000 image", _SAVE)),
    (b"\xd0\xcf\x11\xe0", Kind("an Outlook mail, or an old or encrypted Office file", _PRINT)),
    *(
        (mark, Kind(f"a {name} archive", _UNPACK))
        for mark, name in (
            (b"\x1f\x8b", "gzip"),
            (b"BZh", "bzip2"),
            (b"\xfd7zXZ\0", "xz"),
            (b"\x28\xb5\x2f\xfd", "Zstandard"),
            (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
            (b"Rar!\x1a\x07", "RAR"),
        )
    ),
)
_TEXT = (
    (b"{\\rtf", Kind("an RTF text", _PRINT)),
    (b"%!ps", Kind("a PostScript file", _PRINT)),
    (b"<?xml", Kind("an XML file", _PRINT)),
    (b"<!doctype html", Kind("a web page", _PRINT)),
    (b"<html", Kind("a web page", _PRINT)),
    (b"msh|", Kind("an HL7 message", _PRINT)),
    (b"{", Kind("a JSON text", _PRINT)),
    (b"[", Kind("a JSON text", _PRINT)),
)
_OFFICE = (
    (b"word/document", "a Word file"),
    (b"xl/workbook", "an Excel file"),
    (b"ppt/presentation", "a PowerPoint file"),
)
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes that the header behind the file's own may have
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_FIELD = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:[ \t]")
_MAIL_FIELD = re.compile(rb"^(?:from|received|message-id|mime-version|subject):", re.IGNORECASE | re.MULTILINE)


def kind_of(data: bytes) -> Kind:
    """The kind of a file whose bytes these are."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if kind := _binary(data):
        return kind
    # Readers accept a header anywhere in the first 1,024 bytes (PDF 1.7, annex H.3, note 13).
    if data.startswith(b"%PDF-"):
        return _PDF
    if _FIELD.match(head) and len(_MAIL_FIELD.findall(head)) > 1:
        return _MAIL
    if b"%PDF-" in data[:1024]:
        return _PDF
    for mark, kind in _TEXT:
        if head[: len(mark)].lower() == mark:
            return kind
    try:
        data[:4096].decode()
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 4096) - 4:
            return Kind("binary data of an unknown kind", "save it as PDF or as an image and read that")
    return Kind("plain text", _PRINT)


def _binary(data: bytes) -> Kind | None:
    for mark, kind in _BINARY:
        if data.startswith(mark):
            return kind
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(data)
    if data[257:262] == b"ustar":
        return Kind("a tar archive", _UNPACK)
    if data[128:132] == b"DICM":
        return _DICOM
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Kind("a WebP image", image="WEBP")
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return Kind("a BMP image", image="BMP")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return HEIC
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return Kind("an AVIF image", _SAVE)
    return None


def _zip(data: bytes) -> Kind:
    if data[30:38] == b"mimetype" and b"opendocument" in data[38:100]:
        return Kind("an OpenDocument file", _PRINT)
    # The names of an archive's own files stand at its end: one that was packed into it has others.
    end = data.rfind(b"PK\x05\x06")
    names = data[int.from_bytes(data[end + 16 : end + 20], "little") :] if end >= 0 else data
    return next((Kind(name, _PRINT) for mark, name in _OFFICE if mark in (names or data)), _ZIP)
