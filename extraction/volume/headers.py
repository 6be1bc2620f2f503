"""What the headers of DICOM files say of their slices (runs in the worker).

A slice is a dictionary: of its file `name` and `frame`, of its `series` and shape, where it lies (`position`,
`orientation` in LPS mm), and how its stored values become those of the modality (`slope`, `intercept`). Words of the
file that could name a patient are not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, BinaryIO

import pydicom
from pydicom.multival import MultiValue
from pydicom.pixels import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from extraction.volume.files import CUT_OFF, SLIDE, UnreadError

Slice = dict[str, Any]

MOST_FRAMES = 20_000
GDCM = "gdcm"
NO_PICTURE = "it is without a picture (a report, a plan, a curve)"
_SLIDES = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage
_SCREENS = "1.2.840.10008.5.1.4.1.1.7."  # Secondary Capture Image Storage, and its multi-frame kinds
_FUNCTIONAL = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# By which stacks at one place under one series are told apart.
STACKS = (
    *("StackID", "ConvolutionKernel", "ImageType", "EchoTime", "EchoNumbers", "DiffusionBValue"),
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime", "AcquisitionNumber", "AcquisitionTime"),
)
_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "InstanceNumber", "NumberOfFrames"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "PixelRepresentation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SliceLocation"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "BurnedInAnnotation"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction"),
    *STACKS,
    *_FUNCTIONAL,
)
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
# Read only where a person asks for reports that name the patient.
PATIENT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
# Free decoders by transfer syntax, where pydicom and Pillow have none of their own.
_DECODERS = {
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg pylibjpeg-openjpeg",
    **{f"1.2.840.10008.1.2.4.20{n}": "pylibjpeg pylibjpeg-openjpeg" for n in (1, 2, 3)},
}


def read_slices(name: str, file: BinaryIO, size: int, most_pixels: int) -> list[Slice]:
    """The slices of a file (one a frame), without their pixels.

    Raises:
        UnreadError: it has none, or none that can be read.
    """
    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(_TAGS))
    except MemoryError:
        raise
    except Exception as error:  # whatever a broken header makes pydicom raise
        raise UnreadError("its header is damaged: copy it again") from error
    if str(data.get("SOPClassUID", "")) == _SLIDES:
        raise UnreadError(SLIDE)
    one = _common(name, data)
    if not one["rows"] or not one["columns"]:
        raise UnreadError(_why_no_picture(str(data.get("SOPClassUID", "") or "")))
    if one["rows"] * one["columns"] * one["samples"] > most_pixels:
        raise UnreadError(f"it has {one['rows']} x {one['columns']} pixels, more than the {most_pixels:,} allowed")
    frames = _number(data, "NumberOfFrames") or 1
    if not 1 <= frames <= MOST_FRAMES:
        raise UnreadError(f"it claims {frames:.0f} frames, outside 1 to {MOST_FRAMES:,}")
    _check_pixels(data, file, size, one, int(frames))
    return _frames(data, one, int(frames)) if frames > 1 or data.get(_FUNCTIONAL[1]) else [one]


def _why_no_picture(kind: str) -> str:
    """Why a header names no rows and columns; one of a kind that has them, or of none, may have lost its end."""
    if kind and not UID(kind).name.endswith("Image Storage"):
        return NO_PICTURE
    return "it is without a picture, or cut off before it: copy it again"


def burnt_text(slices: Iterable[Slice]) -> str:
    """A warning of text in the pictures themselves, where headers say that there is some or may be; else nothing."""
    slices = list(slices)
    if any(one["burnt"] == "YES" for one in slices):
        return "Warning: text is burnt into the pictures, which may name the patient."
    if any(one["screen"] and one["burnt"] != "NO" for one in slices):
        return "Warning: these are captures of a screen, into which text that names the patient may be burnt."
    return ""


def identity(file: BinaryIO, patient: bool) -> dict[str, Any]:
    """The UIDs by which a report refers to a file; with `patient` also whose it is and of which order.

    Raises:
        Exception: whatever a broken header makes pydicom raise.
    """
    wanted = [*UIDS, "NumberOfFrames", "Modality", *(PATIENT if patient else ())]
    data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=[*wanted, "SpecificCharacterSet"])
    told = {key: str(data.get(key, "") or "") for key in UIDS}
    whose = {key: str(data.get(key, "") or "") for key in PATIENT} if patient else {}
    frames = int(_number(data, "NumberOfFrames") or 1)
    return {**told, "frames": frames, "modality": _word(data, "Modality"), "patient": whose}


def _common(name: str, data: Any) -> Slice:
    uid, series = str(data.get("SOPInstanceUID", "") or ""), str(data.get("SeriesInstanceUID", "") or "")
    samples = _number(data, "SamplesPerPixel") or 1
    one = {
        "name": name,
        "frame": 0,
        "uid": uid,
        "series": series or name,  # files that don't say are no series
        "modality": _word(data, "Modality"),
        "rows": int(_number(data, "Rows") or 0),
        "columns": int(_number(data, "Columns") or 0),
        "samples": int(samples),
        "photometric": _word(data, "PhotometricInterpretation"),
        "number": _number(data, "InstanceNumber"),
        "location": _number(data, "SliceLocation"),
        "syntax": syntax_of(data),
        "lut": bool(data.get("ModalityLUTSequence")),
        "burnt": _word(data, "BurnedInAnnotation"),
        "screen": f"{data.get('SOPClassUID', '')}.".startswith(_SCREENS),
        "localizer": "LOCALIZER" in str(data.get("ImageType", "")),
        "inside": 0,
        "whole": False,  # a file that is a volume by itself
    }
    return {**one, **_place(data)}


def _place(data: Any) -> Slice:
    """Where a slice lies and what its values mean, by a header or by the groups of a frame."""
    position = _numbers(data, "ImagePositionPatient", 3)
    return {
        "position": position,
        "misplaced": position is None and _stated(data, "ImagePositionPatient"),
        "orientation": _numbers(data, "ImageOrientationPatient", 6),
        "spacing": _numbers(data, "PixelSpacing", 2),
        "thickness": _number(data, "SliceThickness"),
        "slope": _number(data, "RescaleSlope"),
        "intercept": _number(data, "RescaleIntercept"),
        "unit": _word(data, "RescaleType"),
        "window": _window(data),
        "curve": _word(data, "VOILUTFunction"),  # of the window
        "stack": {key: str(data.get(key)) for key in STACKS if data.get(key) not in (None, "")},
    }


def _frames(data: Any, one: Slice, count: int) -> list[Slice]:
    """The frames of a multi-frame object; of an enhanced one each with its own groups."""
    shared = _flat(data.get(_FUNCTIONAL[0]) or [])
    groups = list(data.get(_FUNCTIONAL[1]) or [])
    found = []
    for frame in range(count):
        own = {**one, "frame": frame, "inside": frame, "whole": True}
        if groups:
            # The groups of a frame hold where those that all share do not, and these where the head does not.
            for place in (_place(shared), _place(_flat(groups[frame : frame + 1]))):
                stack = {**own["stack"], **place.pop("stack")}
                own = {**own, **{key: value for key, value in place.items() if value not in (None, "")}, "stack": stack}
        elif count > 1:
            own["position"] = None  # it holds for one frame alone
        found.append(own)
    return found


def _flat(groups: Any) -> pydicom.Dataset:
    """The elements within functional groups, beside each other."""
    flat = pydicom.Dataset()
    for group in groups:
        for element in group:
            if element.VR == "SQ":
                for item in element.value:
                    flat.update({inner.tag: inner for inner in item if inner.VR != "SQ"})
    return flat


def syntax_of(data: Any) -> str:
    """The transfer syntax; where the file says none, by how its header could be read."""
    said = str(getattr(data, "file_meta", {}).get("TransferSyntaxUID", "") or "")
    if said:
        return said
    implicit, little = data.original_encoding
    return str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _check_pixels(data: Any, file: BinaryIO, size: int, one: Slice, frames: int) -> None:
    """Refuse what has no pixels, too few of them, or is compressed as nothing installed reads."""
    syntax = UID(one["syntax"])
    if syntax.is_deflated:
        return  # where its pixels are is not known before all of it is unpacked
    if syntax.is_compressed and (remedy := missing_decoder(str(syntax))):
        raise UnreadError(remedy)
    head = file.read(12)
    order = "little" if syntax.is_little_endian else "big"
    group, element = (int.from_bytes(head[at : at + 2], order) for at in (0, 2))  # type: ignore[arg-type]
    if len(head) < 8 or group != 0x7FE0 or element not in (8, 9, 0x10):
        raise UnreadError(NO_PICTURE if len(head) == 0 or group > 0x7FE0 else CUT_OFF)
    start = 8 if syntax.is_implicit_VR else 12
    length = int.from_bytes(head[start - 4 : start], order)  # type: ignore[arg-type]
    undefined = length == 0xFFFFFFFF
    if syntax.is_encapsulated != undefined:
        raise UnreadError("its pixel data are not in the transfer syntax that it names")
    bits = {8: 32, 9: 64}.get(element, int(_number(data, "BitsAllocated") or 0))
    needed = math.ceil(one["rows"] * one["columns"] * one["samples"] * frames * bits / 8)
    needed = needed * 2 // 3 if one["photometric"] == "YBR_FULL_422" else needed
    if not undefined and min(length, size - file.tell() + 12 - start) < needed:
        raise UnreadError(CUT_OFF)


def decoders(syntax: str) -> list[str]:
    """The decoders of a compressed transfer syntax, in the order in which they are tried; none where it is not.

    GDCM only where there is no other: of damaged data it writes lines to standard error, or it ends the process.
    """
    uid = UID(syntax)
    found = list(get_decoder(uid).available_plugins) if uid.is_encapsulated else []
    return [name for name in found if name != GDCM] or found


def missing_decoder(syntax: str) -> str:
    """Why a compressed picture can't be read here, with the remedy; empty where it can."""
    uid = UID(syntax)
    named = uid.name if uid.name != syntax else "an unknown transfer syntax"
    try:
        if get_decoder(uid).is_available:
            return ""
    except NotImplementedError:
        return f"it is compressed as {named}, which nothing reads here: have it exported uncompressed"
    return f"it is compressed as {named}: pip install {_DECODERS.get(syntax, 'python-gdcm')}"


def _word(data: Any, key: str) -> str:
    """A coded word; what is no such word is left out, since it may be anything."""
    said = str(data.get(key) or "").strip().upper()
    return said if len(said) <= 16 and said.replace("_", "").isalnum() else ""


def _numbers(data: Any, key: str, count: int) -> tuple[float, ...] | None:
    """Finite numbers of an element, if it has so many."""
    try:
        values = tuple(float(value) for value in data.get(key) or ())
    except (TypeError, ValueError, OverflowError):
        return None
    return values if len(values) == count and all(math.isfinite(value) for value in values) else None


def _stated(data: Any, key: str) -> bool:
    """Whether an element has a value, be it one that can't be understood."""
    try:
        return data.get(key) not in (None, "")
    except (TypeError, ValueError, OverflowError):
        return True


def _window(data: Any) -> tuple[float, float] | None:
    """Centre and width of the first window that a viewer is to show the values in."""
    firsts = []
    for key in ("WindowCenter", "WindowWidth"):
        said = data.get(key)
        firsts.append(said[0] if isinstance(said, MultiValue) and said else said)
    centre, width = (_finite(one) for one in firsts)
    return None if centre is None or width is None or width < 1 else (centre, width)


def _number(data: Any, key: str) -> float | None:
    return _finite(data.get(key))


def _finite(said: Any) -> float | None:
    try:
        value = float(said)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
