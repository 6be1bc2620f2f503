"""A DICOM file as the one picture that a viewer would show first: for X-rays, ultrasound, single slices."""

from __future__ import annotations

import io
import logging
import warnings
from typing import BinaryIO

import numpy as np

from extraction.volume.dicom import read, source_of
from extraction.volume.files import Files, UnreadError
from extraction.volume.headers import read_slices


class _InMemory(Files):
    """A file that is in memory, in the place of those on a disk."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """The file, whatever its name, and how many bytes it has."""
        return io.BytesIO(self.data), len(self.data)


def picture(data: bytes, most_pixels: int) -> tuple[np.ndarray, int]:
    """The picture in a DICOM file, uint8 [rows, columns, 3], and how many more frames the file has.

    Of several frames it is the middle one of those stored. Values are shown in the first window that the file names, or
    from the lowest to the highest where it names none; MONOCHROME1, whose low values are bright, is turned round. VOI
    LUTs are not applied. It is read in this process, without the limits of `open_volumes`.

    Raises:
        UnreadError: there is no picture, it can't be decoded, or has more than `most_pixels`.
    """
    # What pydicom warns of quotes the file.
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    file = _InMemory(data)
    try:
        slices = read_slices("", io.BytesIO(data), len(data), most_pixels)
        one = slices[len(slices) // 2]
        values = read(file, source_of(one))
    except (UnreadError, MemoryError):
        raise
    except Exception as error:  # whatever a broken file makes pydicom raise
        raise UnreadError("it is damaged: copy it again") from error
    if values.ndim == 2:
        values = _grey(values, one["window"], one["photometric"] == "MONOCHROME1")
    return values, len(slices) - 1


def _grey(values: np.ndarray, window: tuple[float, float] | None, turned: bool) -> np.ndarray:
    """Values as grey in RGB. A window's ends are those of DICOM PS3.3, C.11.2.1.2.1 (linear)."""
    if window:
        low, high = (window[0] - 0.5 + side * (window[1] - 1) / 2 for side in (-1, 1))
    else:
        low, high = float(values.min()), float(values.max())
    share = (values.astype(np.float64) - low) / (high - low) if high > low else (values > low).astype(np.float64)
    grey = np.round(255 * np.clip(1 - share if turned else share, 0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
