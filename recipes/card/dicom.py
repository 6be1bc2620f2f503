"""One picture of a DICOM file as PNG, in the window that the file itself names."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

from extraction.document import Limits
from extraction.errors import DocumentError


@lru_cache(maxsize=1)
def _folder() -> Path:
    """A folder of this process, gone when it ends: patients' pictures stay nowhere."""
    folder = Path(tempfile.mkdtemp(prefix="assay-dicom-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def as_png(path: Path) -> Path:
    """A DICOM picture (DX, CR, MG, US, one slice) as an 8-bit PNG: rescaled, windowed, MONOCHROME1 inverted,
    a palette's numbers as its colours.

    Raises:
        DocumentError: it has no picture, several, too many pixels, or a compression that nothing installed reads.
    """
    target = _folder() / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()}.png"
    if target.exists():
        return target
    try:
        data = pydicom.dcmread(path)
        if "Rows" not in data or "PixelData" not in data:
            raise DocumentError(f"{path} is a DICOM file without a picture: fetch it again, or name another.")
        frames, size = int(data.get("NumberOfFrames", 1)), (int(data.Rows), int(data.Columns))
        if frames > 1:
            raise DocumentError(f"{path} holds {frames} pictures, and one is wanted.")
        if size[0] * size[1] > Limits().pixels:
            raise DocumentError(f"{path} has {size[0] * size[1]} pixels, more than {Limits().pixels}.")
        values = data.pixel_array
        if data.get("PhotometricInterpretation") == "PALETTE COLOR":
            values = apply_color_lut(values, data)
            values = values >> 8 if values.dtype.itemsize > 1 else values
        elif data.get("SamplesPerPixel", 1) == 1:
            values = apply_voi_lut(apply_modality_lut(values, data), data).astype(np.float64)
            low, high = float(values.min()), float(values.max())
            values = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
            values = 255 - values if data.PhotometricInterpretation == "MONOCHROME1" else values
        image = Image.fromarray(np.round(values).astype(np.uint8)).convert("RGB")
    except DocumentError:
        raise
    except Exception as error:  # whatever a broken file makes pydicom raise
        raise DocumentError(
            f"{path} is a DICOM file that shows no picture here ({type(error).__name__}: {error})."
        ) from None
    image.save(target, compress_level=1)
    return target
