"""What a model is shown of a volume: which slices, and their values as 8-bit RGB.

The protocols are MedGemma's: of CT three windows as red, green and blue (technical report of 1.5, 2.3.1, and the
notebook high_dimensional_ct_hugging_face, whose order of operations in float32 is kept, so that halves round alike); of
MRI the whole volume's lowest and highest value as 0 and 255 (its serving code, generic_dicom_handler). The serving code
has another second window for CT (135 to 215), with which the model was not trained.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from extraction.errors import AssayError
from extraction.volume.volume import Volume

if TYPE_CHECKING:
    from extraction.example import ImagePart

MOST_SLICES = 85
WINDOWS = {
    "ct": ((-1024, 1024), (-135, 215), (0, 80)),
    # The first report's second window: width 2250, level -100.
    "ct-r1": ((-1024, 1024), (-1225, 1025), (0, 80)),
}
PROTOCOLS = (*WINDOWS, "mri", "plain")
_OWN = {"CT": "ct", "MR": "mri"}


def chosen(count: int) -> list[int]:
    """Which of so many slices are shown, from 0: all, or 85 at even distances."""
    if count <= MOST_SLICES:
        return list(range(count))
    return [round(i / MOST_SLICES * (count - 1)) for i in range(1, MOST_SLICES + 1)]


def label(number: int) -> str:
    """What stands behind the image of the slice that is shown as number `number`, from 1."""
    return f"SLICE {number}"


def window(values: np.ndarray, protocol: str = "ct") -> np.ndarray:
    """Hounsfield units, of any shape, as uint8 with a last axis of red, green and blue."""
    channels = []
    for low, high in WINDOWS[protocol]:
        channel = np.clip(values, low, high).astype(np.float32)
        channel -= low
        channel /= high - low
        channel *= 255.0
        channels.append(np.round(channel))
    return np.stack(channels, axis=-1).astype(np.uint8)


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values from `low` to `high`, the whole volume's, as uint8 grey in RGB; a volume of one value is white."""
    grey = np.full(values.shape, 255.0) if high == low else (values.astype(np.float64) - low) / (high - low) * 255
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=-1)


def protocol_of(volume: Volume, wanted: str = "") -> str:
    """The protocol of a volume: the one that is asked for, or its modality's.

    Raises:
        AssayError: it is none, does not fit the volume, or must be named.
    """
    if wanted and wanted not in PROTOCOLS:
        raise AssayError(f"There is no protocol {wanted}; there are {', '.join(PROTOCOLS)}.")
    if volume.colour:
        if wanted not in ("", "plain"):
            raise AssayError(f"The volume has pictures, not values that {wanted} could show; leave the protocol out.")
        return "plain"
    if wanted == "plain":
        raise AssayError("The volume has values, not pictures; name the protocol ct, ct-r1 or mri.")
    if wanted in WINDOWS and volume.modality not in ("", "CT"):
        raise AssayError(f"The volume is {volume.modality}, which has no Hounsfield units for {wanted}; name mri.")
    if not wanted and volume.modality not in _OWN:
        what = f"of modality {volume.modality}" if volume.modality else "of no stated modality"
        raise AssayError(f"The volume is {what}: name the protocol it is shown by, ct, ct-r1 or mri.")
    return wanted or _OWN[volume.modality]


def fitting(volumes: Sequence[Volume], protocol: str) -> tuple[list[Volume], list[AssayError]]:
    """The volumes of a study that a protocol can show (no page of a scanner's doses), and why it can't the others."""
    fit, errors = [], []
    for volume in volumes:
        try:
            protocol_of(volume, protocol)
            fit.append(volume)
        except AssayError as error:
            errors.append(error)
    return fit, errors


def images(volume: Volume, protocol: str = "") -> Iterator[np.ndarray]:
    """The chosen slices as uint8 [rows, columns, 3], in order.

    Raises:
        AssayError: the protocol does not fit (`protocol_of`); DocumentError: a slice can't be read.
    """
    protocol, numbers = protocol_of(volume, protocol), chosen(volume.shape[0])
    if protocol == "mri":
        # The range is that of all slices, which are read once: those that are shown are kept until it is known.
        kept: dict[int, np.ndarray] = {}
        low, high = np.inf, -np.inf
        for number, values in enumerate(volume.slices()):
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            if number in numbers:
                kept[number] = values
        for number in numbers:
            yield stretch(kept[number], low, high)
        return
    for values in volume.slices(numbers):
        yield values if protocol == "plain" else window(values, protocol)


def shown(volume: Volume, protocol: str = "", folder: Path | None = None) -> list[Path]:
    """The chosen slices as PNG files, in order, named by their content; equal slices are one file.

    Args:
        volume: what is shown.
        protocol: ct, ct-r1, mri or plain; by default the modality's own.
        folder: where they are kept; by default one of this process, gone when it ends, since they show a patient.

    Raises:
        AssayError: as `images`.
    """
    from PIL import Image

    folder = folder or own_folder()
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for image in images(volume, protocol):
        named = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        file = folder / f"{named}.png"
        if not file.exists():
            partial = folder / f".{named}-{os.getpid()}.png"
            Image.fromarray(image).save(partial, compress_level=1)
            partial.replace(file)
        files.append(file)
    return files


@lru_cache(maxsize=1)
def own_folder() -> Path:
    """A folder of this process, gone when it ends: patients' pictures stay nowhere."""
    folder = Path(tempfile.mkdtemp(prefix="assay-volume-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def parts(files: list[Path]) -> list[ImagePart | str]:
    """What `shown` gave as parts of a context: each image, and behind it its label, which a single one has not."""
    from extraction.example import ImagePart

    found: list[ImagePart | str] = []
    for number, file in enumerate(files, 1):
        found.append(ImagePart.made(file))
        if len(files) > 1:
            found.append(label(number))
    return found
