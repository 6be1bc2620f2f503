"""A volume in a NIfTI-1 or NIfTI-2 file (runs in the worker).

Slices are those of the file's third axis. Each is turned as DICOM shows it: an axial one with the patient's left on the
right and the back below, a coronal one with the feet below, a sagittal one with the back on the right.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import nibabel
import numpy as np
from nibabel.orientations import io_orientation

from extraction.volume.files import CUT_OFF, Files, UnreadError

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # of the codes of units: metre, millimetre, micron
_DAMAGED = "its NIfTI data are damaged or cut off: copy it again"
_CHUNK = 1 << 20  # bytes that are unpacked at a time
_DOWN = (2, 1, 0)  # of the patient's axes (x, y, z), by which slices stand as rows: z before y before x


@contextmanager
def _image(files: Files, name: str, kind: str) -> Iterator[tuple[Any, BinaryIO, int]]:
    """An image, its file, and how many bytes this has."""
    file, size = files.open(name)
    with file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Any = gzip.GzipFile(fileobj=file) if packed else file
        made = nibabel.Nifti1Image if kind == "nifti1" else nibabel.Nifti2Image
        image = made.from_file_map(made.make_file_map({"image": stream}))
        yield image, file, size


def _short(image: Any, file: BinaryIO, size: int) -> bool:
    """Whether a file holds fewer bytes than its image has.

    A whole gzip file ends with its unpacked size (RFC 1952, modulo 2^32): only where that is not the image's is it
    unpacked here.
    """
    needed = image.dataobj.offset + _bytes(image)
    file.seek(0)
    if file.read(2) != b"\x1f\x8b":
        return bool(needed > size)
    file.seek(size - 4)
    if int.from_bytes(file.read(4), "little") == needed % 2**32:
        return False
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while needed > 0 and (some := packed.read(min(needed, _CHUNK))):
                needed -= len(some)
    except EOFError:
        return True
    return bool(needed > 0)


def _bytes(image: Any) -> int:
    total: int = image.get_data_dtype().itemsize
    for side in image.shape:
        total *= int(side)
    return total


def find(files: Files, name: str, kind: str, most_pixels: int) -> dict[str, Any]:
    """A file's volume, as `Volume` describes it.

    Raises:
        UnreadError: there is none, or it can't be read.
    """
    try:
        with _image(files, name, kind) as (image, file, size):
            _check(image, most_pixels)
            if _short(image, file, size):
                raise UnreadError(CUT_OFF)
            return _described(image, name, kind)
    except (MemoryError, UnreadError):
        raise
    except Exception as error:  # whatever a broken header makes nibabel raise
        raise UnreadError(_DAMAGED) from error


def _check(image: Any, most_pixels: int) -> None:
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) < 3 or min(shape) < 1 or max(shape[4:], default=1) > 1:
        raise UnreadError(f"it holds an array of {' x '.join(map(str, shape))}, and no volume")
    if dtype.names or dtype.kind not in "iuf":
        raise UnreadError("its values are colours or complex numbers, and no volume's")
    if shape[0] * shape[1] > most_pixels:
        raise UnreadError(f"its slices have {shape[0] * shape[1]:,} pixels, more than the {most_pixels:,} allowed")


def _described(image: Any, name: str, kind: str) -> dict[str, Any]:
    shape, said = (
        image.shape,
        ["NIfTI states no modality: that it is CT or MR is taken from the protocol that is named."],
    )
    if len(shape) > 3 and shape[3] > 1:
        said.append(f"The file holds {shape[3]} volumes in time; this is the first.")
    head = image.header
    codes = int(head["sform_code"]), int(head["qform_code"])
    scale = _MM.get(int(head["xyzt_units"]) & 7, 1.0)
    affine = _LPS @ np.diag([scale, scale, scale, 1.0]) @ image.affine
    sound = any(codes) and np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-9
    if not sound:
        said.append("The header states no usable orientation; slices are shown as stored.")
    elif all(codes) and not np.allclose(head.get_sform(), head.get_qform(), atol=1e-2):
        said.append("The header's two orientations (sform, qform) differ; sform is used.")
    turned, sizes = _turned(affine, shape[:3]) if sound else (None, shape[:3])
    transpose, flips = turned or (True, (False, False, False))
    columns, rows = (sizes[0], sizes[1]) if transpose else (sizes[1], sizes[0])
    zooms = [float(zoom) * scale for zoom in head.get_zooms()[:3]]
    if sound:
        affine = _moved(affine, shape, transpose, flips)
        zooms = [float(length) for length in np.linalg.norm(affine[:3, :3], axis=0)]
    elif not transpose:
        zooms = [zooms[1], zooms[0], zooms[2]]
    spacing = [zoom if np.isfinite(zoom) and zoom > 0 else None for zoom in (zooms[2], zooms[1], zooms[0])]
    positions = [(affine @ [0, 0, k, 1])[:3].tolist() for k in range(shape[2])] if sound else None
    numbers = range(shape[2] - 1, -1, -1) if flips[2] else range(shape[2])
    turn = {"transpose": transpose, "flips": [flips[0], flips[1]], "format": kind}
    return {
        "kind": "nifti",
        "modality": "",
        "shape": [shape[2], rows, columns],
        "colour": False,
        "said": said,
        "slices": [{"name": name, "frame": k, **turn} for k in numbers],
        "spacing": spacing,
        "affine": affine.tolist() if sound else None,
        "positions": positions,
    }


def _turned(affine: np.ndarray, shape: Sequence[int]) -> tuple[tuple[bool, tuple[bool, ...]], Sequence[int]]:
    """Whether a slice [i, j] is transposed to rows and columns, and which file axes are flipped."""
    axes = io_orientation(affine)  # file axis -> patient's axis (here L, P, S) and direction
    patient = [int(axis) if np.isfinite(axis) else at for at, axis in enumerate(axes[:, 0])]
    # Rows run down: along the back's axis in axial slices, along the head's, from head to feet, in others.
    transpose = patient[1] > patient[0]
    flips = []
    for at, axis in enumerate(patient):
        upward = float(axes[at, 1]) > 0 if np.isfinite(axes[at, 1]) else True
        down = axis == 2 and at < 2  # the head's axis within the slice: the head is above
        flips.append(upward if down else not upward)
    return (transpose, tuple(flips)), shape


def _moved(affine: np.ndarray, shape: Sequence[int], transpose: bool, flips: Sequence[bool]) -> np.ndarray:
    """The affine of (column, row, slice) of the slices as they are shown."""
    moved = affine.copy()
    for axis in range(3):
        if flips[axis]:
            moved[:3, 3] += moved[:3, axis] * (shape[axis] - 1)
            moved[:3, axis] *= -1
    return moved if transpose else moved[:, [1, 0, 2, 3]]


def read(files: Files, sources: Iterable[dict[str, Any]]) -> Iterator[np.ndarray]:
    """Slices, float32 [rows, columns]; the file, which may be packed, is opened once.

    Raises:
        UnreadError: the values can't be read.
    """
    wanted = list(sources)
    if not wanted:
        return
    try:
        with _image(files, wanted[0]["name"], wanted[0]["format"]) as (image, _, _):
            for source in wanted:
                at = (slice(None), slice(None), source["frame"], *(0 for _ in image.shape[3:]))
                values = np.asarray(image.dataobj[at], np.float32)
                for axis, flip in enumerate(source["flips"]):
                    values = np.flip(values, axis) if flip else values
                if not np.isfinite(values).all():
                    raise UnreadError("some of its values are no numbers (NaN): put what is meant in their place")
                yield np.ascontiguousarray(values.T if source["transpose"] else values)
    except (MemoryError, UnreadError):
        raise
    except Exception as error:  # whatever a cut-off file makes it raise
        raise UnreadError(_DAMAGED) from error
