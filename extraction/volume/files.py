"""The files of a source of slices: a folder, a ZIP archive, what a DICOMDIR names, one file (runs in the worker)."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from extraction.document.frames import RefusalError
from extraction.document.kinds import kind_of

MOST_FILES = 50_000
_HEAD = 4096
_DICOMDIR = "1.2.840.10008.1.3.10"  # Media Storage Directory
_NIFTI = {(344, b"n+1\0"): "nifti1", (4, b"n+2\0"): "nifti2"}

Left = Callable[[str, str], None]
"""Is told of every file that is left out, and why."""
UNKNOWN = "no DICOM, NIfTI or picture file"
SLIDE = "it is a whole slide and no volume: read it with assay slide"
CUT_OFF = "its data are cut off or shorter than it says: copy it again"


class UnreadError(Exception):
    """A file that gives no slices; its text is the reason, which holds nothing of the file's own words."""


class Files:
    """Files by name, opened one at a time and read no further than is needed.

    Attributes:
        missing: names that a DICOMDIR has and that are not there.
        dead: links that lead to nothing, as a data set has them whose files were not fetched (DataLad, git-annex).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.missing: list[str] = []
        self.dead: list[str] = []
        self.zip: zipfile.ZipFile | None = None
        if path.is_file() and zipfile.is_zipfile(path):
            try:
                self.zip = zipfile.ZipFile(path)
            except (zipfile.BadZipFile, OSError, ValueError) as error:
                raise RefusalError("reason", text="the ZIP archive is damaged: copy it again") from error

    def names(self) -> list[str]:
        """What is there, sorted; hidden files are no part of it."""
        if self.zip:
            found = [one.filename for one in self.zip.infolist() if not one.is_dir()]
        elif self.path.is_dir():
            found = list(self._walk())
        else:
            found = self._named() or [self.path.name]
        found = [name for name in found if not _hidden(name) or (self.path.is_file() and not self.zip)]
        if len(found) > MOST_FILES:
            raise RefusalError("reason", text=f"more than {MOST_FILES:,} files: name the folder of one study")
        return sorted(found)

    def _walk(self) -> Iterator[str]:
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = Path(folder, name)
                relative = path.relative_to(self.path).as_posix()
                if path.is_file():  # no pipe, which would be waited for
                    yield relative
                elif path.is_symlink() and not path.exists() and not _hidden(relative):
                    self.dead.append(relative)

    def _named(self) -> list[str]:
        """The files that a DICOMDIR names; those that are not there are kept in `missing`."""
        try:
            if self.kind(self.path.name) != "dicomdir":
                return []
            listed = self._listed(self.path.name)
        except Exception:  # no DICOMDIR, or a broken one: it is read as what it is, and refused with the reason
            return []
        names = []
        for name in listed:
            inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
            if inside and (self.path.parent / name).is_file():
                names.append(name)
            else:
                self.missing.append(name)
        if not names:
            raise RefusalError("reason", text="it is a DICOMDIR, and none of the files that it names is there")
        return names

    def _listed(self, name: str) -> list[str]:
        """The files that a DICOMDIR names, from the folder in which it lies; raises whatever pydicom does."""
        import pydicom

        file, _ = self.open(name)
        with file:
            directory = pydicom.dcmread(file)
        found = [one.get("ReferencedFileID") for one in directory.get("DirectoryRecordSequence") or []]
        return [one if isinstance(one, str) else "/".join(map(str, one)) for one in found if one]

    def absent(self, directory: str, names: Iterable[str]) -> list[str]:
        """What a DICOMDIR among files of these names names and is not there; a copy of a disk may have small letters.

        Raises:
            Exception: whatever pydicom raises where it can't be read.
        """
        folder, there = PurePosixPath(directory).parent, {name.casefold() for name in names}
        listed = [(folder / name).as_posix() for name in self._listed(directory)]
        return [name for name in listed if name.casefold() not in there]

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """A file and how many bytes it has."""
        if self.zip:
            return self.zip.open(name), self.zip.getinfo(name).file_size  # type: ignore[return-value]
        path = self.path / name if self.path.is_dir() else self.path.parent / name
        return path.open("rb"), path.stat().st_size

    def kind(self, name: str) -> str:
        """dicom, dicomdir, nifti1, nifti2, a picture's format as Pillow names it, or nothing that is known.

        Raises:
            UnreadError: it is empty, or an archive.
        """
        file, _ = self.open(name)
        with file:
            head = file.read(_HEAD)
        if not head:
            raise UnreadError("it is empty (0 bytes): copy it again")
        if head[128:132] == b"DICM":
            return "dicomdir" if _DICOMDIR.encode() in head[132:400] else "dicom"
        packed = head[:2] == b"\x1f\x8b"
        if packed:
            try:
                with gzip.GzipFile(fileobj=io.BytesIO(head)) as stream:
                    head = stream.read1(_HEAD)
            except (OSError, EOFError, zlib.error) as error:
                raise UnreadError("it is a gzip archive that is cut off or damaged: copy it again") from error
        for (start, magic), kind in _NIFTI.items():
            if head[start : start + 4] == magic:
                return kind
        if packed:
            what = "DICOM" if head[128:132] == b"DICM" else "no NIfTI but something else"
            raise UnreadError(f"it is {what} packed with gzip: unpack it (gunzip) first")
        # Old files have no preamble: they begin with an element of the file's head, or of group 8.
        if len(head) > 8 and head[:2] in (b"\x02\0", b"\x08\0", b"\0\x08") and head[2:4] != b"\0\0\0\0":
            return "dicom"
        known = kind_of(head)
        if known.name.endswith(" archive"):
            if head[:4] == b"PK\x03\x04" and self.path.is_file() and not self.zip:  # no end, where its list stands
                raise UnreadError("it is a ZIP archive that is cut off or damaged: copy it again")
            raise UnreadError(f"it is {known.name}: {known.remedy}")
        return known.image


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
