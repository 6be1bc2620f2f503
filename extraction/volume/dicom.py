"""Volumes in DICOM files (runs in the worker): headers read, series told apart and sorted, slices decoded singly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import UID, JPEGExtended12Bit

from extraction.volume.files import Files, Left, UnreadError
from extraction.volume.geometry import differences, geometry, group, ordered, stacks
from extraction.volume.headers import Slice, burnt_text, decoders, missing_decoder, read_slices


def find(files: Files, names: Sequence[str], most_pixels: int, left: Left) -> list[dict[str, Any]]:
    """The volumes in files, each as `Volume` describes it; `left` is told of every file that is in none, and why."""
    slices: list[Slice] = []
    for name in names:
        try:
            file, size = files.open(name)
            with file:
                slices += read_slices(name, file, size, most_pixels)
        except UnreadError as error:
            left(name, str(error))
        except MemoryError:
            raise
        except Exception:
            left(name, "it is damaged: copy it again")

    def same(one: Slice, other: Slice) -> bool:
        try:
            return np.array_equal(read(files, source_of(one)), read(files, source_of(other)))
        except UnreadError:
            return False

    found: list[dict[str, Any]] = []
    by_series: dict[str, list[list[Slice]]] = defaultdict(list)
    for members in group(slices):
        by_series[members[0]["series"]].append(members)
    for groups in by_series.values():
        parts = [part for members in groups for part in stacks(members, left)]
        parted = differences(parts)
        for part in parts:
            kept, said = ordered(part, same, left)
            if len(parts) > 1:
                apart = "They differ in " + " and ".join(parted) if parted else "They are stacks of one shape"
                said.insert(0, f"One series holds {len(parts)} volumes, of which this is one. {apart}.")
            if volume := _volume(files, kept, said, left):
                found.append(volume)
    return found


def _volume(files: Files, slices: list[Slice], said: list[str], left: Left) -> dict[str, Any] | None:
    """A volume as it is sent; None where its first slice can't be decoded."""
    first = slices[0]
    try:
        shown = read(files, source_of(first))
    except UnreadError as error:
        for one in slices:
            left(one["name"], str(error))
        return None
    where, more = geometry(slices)
    return {
        "kind": "dicom",
        "modality": first["modality"],
        "shape": [len(slices), first["rows"], first["columns"]],
        "colour": shown.ndim == 3,
        "said": [*said, *more, *_values(slices, shown.ndim == 3)],
        "slices": [source_of(one) for one in slices],
        **where,
    }


def _values(slices: Sequence[Slice], colour: bool) -> list[str]:
    """What must be said of the meaning of a volume's values."""
    first, said = slices[0], []
    if not first["modality"]:
        said.append("The headers state no modality.")
    if first["series"] == first["name"]:
        said.append("The file states no series (SeriesInstanceUID): it is taken as a volume of its own.")
    if first["photometric"] == "MONOCHROME1":
        said.append("Its values are MONOCHROME1 (low ones are bright); they are kept as stored and not turned round.")
    if any(one["slope"] == 0 for one in slices):
        said.append("A rescale slope is 0, which makes all values of a slice the same.")
    if first["modality"] == "CT" and not colour:
        if any(one["slope"] is None or one["intercept"] is None for one in slices) and not first["lut"]:
            said.append("Rescale slope or intercept is missing: values are as stored, and may be no Hounsfield units.")
        elif first["unit"] not in ("", "HU"):
            said.append(f"The headers call the values {first['unit']}, not Hounsfield units.")
    if warning := burnt_text(slices):
        said.append(warning)
    if any(one["localizer"] for one in slices):
        said.append("This is a localizer (scout), not the examination itself.")
    return said


def source_of(one: Slice) -> dict[str, Any]:
    """What is needed to read a slice."""
    return {key: one[key] for key in ("name", "frame", "slope", "intercept", "lut", "syntax", "rows", "columns")}


def read(files: Files, source: dict[str, Any]) -> np.ndarray:
    """A slice: float32 [rows, columns] in the modality's units, or uint8 [rows, columns, 3] where it has colours.

    Raises:
        UnreadError: its pixels can't be decoded.
    """
    try:
        values, head = _stored(files, source)
        if head.get("PhotometricInterpretation") == "PALETTE COLOR":
            values = apply_color_lut(values, head)
        elif values.ndim == 2 and source["lut"]:
            values = apply_modality_lut(values, head)
        elif values.ndim == 2:
            slope, intercept = source["slope"], source["intercept"]
            values = values * np.float64(1 if slope is None else slope) + np.float64(intercept or 0)
    except (MemoryError, FileNotFoundError):
        raise
    except Exception as error:  # whatever a broken file makes a decoder raise
        remedy = missing_decoder(source["syntax"])
        raise UnreadError(remedy or _undecoded(source)) from error
    if values.shape[:2] != (source["rows"], source["columns"]):
        raise UnreadError("its pixel data have another shape than it says")
    if values.ndim == 3:
        values = values // 256 if values.dtype == np.uint16 else values
        return np.ascontiguousarray(values[..., :3], np.uint8)
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(single).all():  # a slope or an offset may make them too large
        raise UnreadError("some of its values are no numbers")
    return single


def _stored(files: Files, source: dict[str, Any]) -> tuple[np.ndarray, pydicom.Dataset]:
    """A slice's stored values, and what the header says of them."""
    syntax, head = UID(source["syntax"]), pydicom.Dataset()
    if not syntax.is_deflated:
        try:
            file, _ = files.open(source["name"])
            with file:  # of many frames one alone is read
                return _decoded(file, source, ds_out=head, transfer_syntax_uid=syntax), head
        except Exception:
            if not syntax.is_encapsulated:
                raise
    # Deflated, or packed so that a frame is found only once all are there.
    file, _ = files.open(source["name"])
    with file:
        head = pydicom.dcmread(file, force=True)
    return _decoded(head, source), head


def _decoded(data: Any, source: dict[str, Any], **more: Any) -> np.ndarray:
    """A frame of a file or of what was read of it, by the first decoder that can read it."""
    *others, last = decoders(source["syntax"]) or [""]
    for name in others:
        try:
            return _pixels(data, source, name, more)
        except MemoryError:
            raise
        except Exception:  # whatever damage makes a decoder raise: the next may bear it
            continue
    return _pixels(data, source, last, more)


def _pixels(data: Any, source: dict[str, Any], decoder: str, more: dict[str, Any]) -> np.ndarray:
    if not isinstance(data, pydicom.Dataset):
        data.seek(0)
    return pixel_array(data, index=source["frame"], decoding_plugin=decoder, **more)


def _undecoded(source: dict[str, Any]) -> str:
    syntax = UID(source["syntax"])
    if not syntax.is_compressed:
        return "its pixel data are damaged: copy it again"
    if syntax == JPEGExtended12Bit:
        return "it is JPEG with 12 bits, which no free decoder reads here: convert it with dcmdjpeg (DCMTK)"
    return f"its pixel data can't be decoded as {syntax.name}: they are damaged, or another decoder is needed"
