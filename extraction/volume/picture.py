"""A DICOM file as the one picture that a viewer would show first: for X-rays, ultrasound, single slices.

`python -m extraction.volume.picture` does the same in a process, for what only a decoder reads that damaged data end.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pydicom

from extraction.document import Limits
from extraction.document.frames import RefusalError
from extraction.document.process import WorkerError, run_job
from extraction.document.worker import serve
from extraction.errors import DocumentError
from extraction.volume.dicom import read, source_of
from extraction.volume.files import Files, UnreadError
from extraction.volume.headers import GDCM, Slice, burnt_text, decoders, read_slices
from extraction.volume.windows import own_folder

_DAMAGED = "it is damaged: copy it again"
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # such a file is packed whole: what it grows to is not known before
_HEAD = 2048  # of a file, in which its transfer syntax stands


class _InMemory(Files):
    """A file that is in memory, in the place of those on a disk."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """The file, whatever its name, and how many bytes it has."""
        return io.BytesIO(self.data), len(self.data)


class Picture(NamedTuple):
    """What is shown of a DICOM file: uint8 [rows, columns, 3], and how many more frames the file has.

    Attributes:
        warning: of text that is or may be burnt into the picture; empty where the header speaks of none.
    """

    values: np.ndarray
    more: int
    warning: str


def picture(data: bytes, most_pixels: int) -> Picture:
    """The picture in a DICOM file.

    Of several frames it is the middle one of those stored. Values are shown by the first VOI LUT that the file has,
    else in the first window that it names, else from the lowest to the highest; MONOCHROME1, whose low values are
    bright, is turned round. It is read in this process, without the limits of `open_volumes`; where only GDCM reads
    it, which may end its process, or all of it is deflated, which may grow to any size, in one of its own with limits.

    Raises:
        UnreadError: there is no picture, it can't be decoded, or has more than `most_pixels`.
    """
    if _DEFLATED not in data[:_HEAD]:
        one, more = _middle(data, most_pixels)
        if decoders(one["syntax"]) != [GDCM]:
            return Picture(_drawn(data, one), more, burnt_text([one]))
    try:
        ((frame, raw),) = run_job(data, {}, Limits(pixels=most_pixels), __name__)
    except WorkerError as end:
        text = "its decoder ends, or needs too much time or memory: it may be damaged; copy it again"
        raise UnreadError(end.details["text"] if end.cause == "reason" else text) from None
    return Picture(np.frombuffer(raw, np.uint8).reshape(frame["shape"]), frame["more"], frame["warning"])


@cache
def as_png(path: Path) -> tuple[Path, str]:
    """The only picture of a DICOM file (DX, CR, MG, US, one slice) as PNG, in a folder that is gone with this process.

    Behind it stands the warning of `Picture`.

    Raises:
        DocumentError: it has no picture, several, too many pixels, or a compression that nothing installed reads.
    """
    from PIL import Image

    try:
        values, more, warning = picture(path.read_bytes(), Limits().pixels)
    except UnreadError as error:
        raise DocumentError(f"{path} is DICOM, and can't be shown: {error}.") from None
    if more:
        raise DocumentError(f"{path} holds {more + 1} pictures, and one is wanted.")
    target = own_folder() / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()}.png"
    Image.fromarray(values).save(target, compress_level=1)
    return target, warning


def _middle(data: bytes, most_pixels: int) -> tuple[Slice, int]:
    """What the headers say of the frame that is shown, and how many others there are."""
    # What pydicom warns of quotes the file.
    warnings.filterwarnings("ignore", module=r"pydicom|pylibjpeg|openjpeg|extraction\.volume")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    try:
        slices = read_slices("", io.BytesIO(data), len(data), most_pixels)
    except (UnreadError, MemoryError):
        raise
    except Exception as error:  # whatever a broken file makes pydicom raise
        raise UnreadError(_DAMAGED) from error
    return slices[len(slices) // 2], len(slices) - 1


def _drawn(data: bytes, one: Slice) -> np.ndarray:
    """A frame as uint8 [rows, columns, 3]."""
    try:
        values = read(_InMemory(data), source_of(one))
        if values.ndim == 3:
            return values
        share = _looked_up(values, data)
        if share is None:
            share = _share(values.astype(np.float64), one["window"], one["curve"])
    except (UnreadError, MemoryError):
        raise
    except Exception as error:
        raise UnreadError(_DAMAGED) from error
    share = 1 - share if one["photometric"] == "MONOCHROME1" else share
    return np.repeat(np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)[..., None], 3, axis=-1)


def _looked_up(values: np.ndarray, data: bytes) -> np.ndarray | None:
    """Values by the first VOI LUT of a file as shares of the highest that it may have; None where there is none.

    Not by pydicom's `apply_voi`, which counts the places in a table of 8 bits in 8 bits.
    """
    wanted = ["PixelRepresentation", "VOILUTSequence"]  # by the first, numbers of the other have a sign
    head = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True, specific_tags=wanted)
    if not head.get("VOILUTSequence"):
        return None
    table = head.VOILUTSequence[0]
    _, first, bits = (int(number) for number in table.LUTDescriptor)
    # A first value above all that there are is a negative one that was read without its sign.
    first -= 65536 if 32767 < first > values.max() else 0
    order = "<u2" if head.original_encoding[1] else ">u2"
    said = table.LUTData
    entries = np.frombuffer(said, order) if isinstance(said, bytes) else np.array(said)
    places = np.clip(np.round(values).astype(np.int64) - first, 0, entries.size - 1)
    return np.asarray(entries[places] / (2.0**bits - 1))


def _share(values: np.ndarray, window: tuple[float, float] | None, curve: str) -> np.ndarray:
    """Values as shares of what a window spans (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3); without one, of their own."""
    if not window:
        low, high = float(values.min()), float(values.max())
    elif curve == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - window[0]) / window[1], -700, 700)))
    elif curve == "LINEAR_EXACT":
        low, high = (window[0] + side * window[1] / 2 for side in (-1, 1))
    else:
        low, high = (window[0] - 0.5 + side * (window[1] - 1) / 2 for side in (-1, 1))
    return (values - low) / (high - low) if high > low else (values > low).astype(np.float64)


def work(data: bytes, job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The picture in a DICOM file, as a frame."""
    try:
        one, more = _middle(data, job["pixels"])
        values = _drawn(data, one)
    except UnreadError as error:
        raise RefusalError("reason", text=str(error)) from error
    raw = values.tobytes()
    yield {"shape": values.shape, "bytes": len(raw), "more": more, "warning": burnt_text([one])}, raw


if __name__ == "__main__":
    serve(work)
