"""Volumes: found in a path by a process with limits, their slices read one at a time when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from extraction.document.pages import Limits
from extraction.document.process import WorkerError, run_job
from extraction.errors import DocumentError
from extraction.volume.files import UNKNOWN

_WORKER = "extraction.volume.worker"
LIMITS = Limits(seconds=120.0)
"""What finding the volumes in a path, or reading the slices of one, may take."""
_PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Volume:
    """A stack of slices. It holds no word of a file's header that could name a patient.

    Attributes:
        path: where it was found.
        modality: CT, MR, ... as the headers say; empty where they don't.
        shape: slices, rows, columns.
        colour: whether slices are pictures in RGB, and no values of a modality.
        spacing: mm from slice to slice, row to row, column to column; None where it is not known.
        affine: 4 x 4, from (column, row, slice, 1) to DICOM's patient coordinates (LPS) in mm; where distances are
            uneven, of the usual one; None where it is not known.
        positions: of each slice's first pixel, in LPS mm; None where they are not known.
        said: sentences on what is odd, missing or doubtful about it.
        left_out: files of the path that are in no volume, by reason.
        sources: where each slice is read.
    """

    path: Path
    kind: str
    modality: str
    shape: tuple[int, int, int]
    colour: bool
    spacing: tuple[float | None, float | None, float | None]
    affine: np.ndarray | None = field(compare=False)
    positions: np.ndarray | None = field(repr=False, compare=False)
    said: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]] = field(repr=False, compare=False)
    sources: tuple[Mapping[str, Any], ...] = field(repr=False)

    @property
    def plane(self) -> str:
        """Axial, coronal or sagittal, by the nearest; empty where it is not known."""
        if self.affine is None:
            return ""
        # By the normal of the slices, which a tilted gantry does not change as it does the way from slice to slice.
        return _PLANES[int(np.abs(np.cross(self.affine[:3, 0], self.affine[:3, 1])).argmax())]

    def slices(self, numbers: Iterable[int] | None = None, limits: Limits | None = None) -> Iterator[np.ndarray]:
        """Slices by number (from 0), all where none are named, in their order, one in memory at a time.

        Each is float32 [rows, columns] in the modality's units (Hounsfield units of CT), or uint8 [rows, columns, 3]
        where the volume is in colour. `limits.seconds` is for all of them, not counting what the caller does meanwhile.

        Raises:
            DocumentError: one can't be read; IndexError: there is none of that number.
        """
        limits, wanted = limits or LIMITS, list(range(self.shape[0]) if numbers is None else numbers)
        job = {
            "do": "slices",
            "path": str(self.path.absolute()),
            "kind": self.kind,
            "slices": [self.sources[number] for number in wanted],
        }
        try:
            with closing(run_job(b"", job, limits, _WORKER)) as frames:
                for frame, raw in frames:
                    yield np.frombuffer(raw, frame["type"]).reshape(frame["shape"])
        except WorkerError as end:
            if end.cause == "slice":
                number = wanted[end.details["at"]]
                name = self.sources[number]["name"]
                raise DocumentError(
                    f"Slice {number + 1} of {self.path} (file {name}) can't be read: {end.details['text']}."
                ) from None
            raise DocumentError(_explain(self.path, end, limits)) from None


def open_volumes(path: str | Path, limits: Limits | None = None) -> list[Volume]:
    """All volumes in a path: DICOM series, NIfTI files, or plain pictures as slices.

    A path is a folder (with those in it), a ZIP archive, a DICOMDIR, or one file. Series are told apart by their UID,
    and within one by shape, orientation, spacing and thickness; slices are sorted by their place along the normal, in
    the direction of their numbers. What is left out is named in `Volume.left_out`.

    Raises:
        DocumentError: the path is missing, holds no volume, or goes beyond `limits`.
    """
    path, limits = Path(path), limits or LIMITS
    if not path.exists():
        raise DocumentError(f"{path} does not exist: check the spelling and the folder.")
    if not (path.is_dir() or path.is_file()):
        raise DocumentError(f"{path} is neither a folder nor a regular file: copy it to disk first.")
    found: list[dict[str, Any]] = []
    left: dict[str, tuple[str, ...]] = {}
    try:
        for frame, _ in run_job(b"", {"do": "find", "path": str(path.absolute())}, limits, _WORKER):
            if "left" in frame:
                left = {reason: tuple(names) for reason, names in frame["left"].items()}
            else:
                found.append(frame)
    except WorkerError as end:
        raise DocumentError(_explain(path, end, limits)) from None
    if not found:
        raise DocumentError(_nothing(path, left))
    return [_volume(path, one, left) for one in found]


def identities(path: Path, patient: bool = False, limits: Limits | None = None) -> list[dict[str, Any]]:
    """The DICOM files of a path with their UIDs (`headers.identity`), none where it holds no DICOM.

    Args:
        patient: also who the patient is, which nothing else here reads.

    Raises:
        DocumentError: the path is missing, or goes beyond `limits`.
    """
    limits = limits or LIMITS
    if not path.exists():
        raise DocumentError(f"{path} does not exist: check the spelling and the folder.")
    job = {"do": "identify", "path": str(path.absolute()), "patient": patient}
    try:
        return [frame for frame, _ in run_job(b"", job, limits, _WORKER)]
    except WorkerError as end:
        raise DocumentError(_explain(path, end, limits)) from None


def _volume(path: Path, one: dict[str, Any], left: Mapping[str, tuple[str, ...]]) -> Volume:
    arrays: dict[str, Any] = {key: None if one[key] is None else np.array(one[key]) for key in ("affine", "positions")}
    said = one["said"]
    made = Volume(
        **{key: one[key] for key in ("kind", "modality", "colour")},
        **arrays,
        path=path,
        shape=(one["shape"][0], one["shape"][1], one["shape"][2]),
        spacing=(one["spacing"][0], one["spacing"][1], one["spacing"][2]),
        said=tuple(said),
        left_out=left,
        sources=tuple(one["slices"]),
    )
    if made.plane not in ("", "axial"):
        said.append(f"The slices are {made.plane}; the protocols are for axial ones.")
    return made if len(made.said) == len(said) else Volume(**{**made.__dict__, "said": tuple(said)})


def told_left(left: Mapping[str, tuple[str, ...]], named: int = 3) -> str:
    """What was left out, counted by reason, with the names of the first few files."""
    said = []
    for reason, names in sorted(left.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - named:,} more" if len(names) > named else ""
        files = "1 file" if len(names) == 1 else f"{len(names):,} files"
        said.append(f"{files}: {reason}" + (f" ({', '.join(names[:named])}{more})" if named else ""))
    return "; ".join(said)


def _nothing(path: Path, left: Mapping[str, tuple[str, ...]]) -> str:
    if not left:
        return f"{path} holds no files: name the folder of a study."
    remedy = " Name files of one of these kinds; documents (PDF) are read by assay extract." if UNKNOWN in left else ""
    if path.is_file() and sum(map(len, left.values())) == 1:
        return f"{path} can't be read as a volume: {next(iter(left))}.{remedy}"
    return f"{path} holds no volume that can be read ({told_left(left)}).{remedy}"


_REASONS = {
    "reason": "{path} can't be read as a volume: {text}.",
    "time": "{path} was not read within {seconds:g} s: it may be damaged, or larger than expected; raise the limit "
    "`seconds`, or name a folder with less in it.",
    "memory": "{path} needs more than the {memory_mb} MB of memory allowed: it may be damaged; else raise `memory_mb`.",
    "crash": "{path} made its reader crash or run out of its {memory_mb} MB of memory: it is likely damaged; get it "
    "again.",
}


def _explain(path: Path, end: WorkerError, limits: Limits) -> str:
    told = {**asdict(limits), "text": end.details.get("text", end.cause), "path": path}
    return _REASONS.get(end.cause, "{path} could not be read ({text}): get it again from its source.").format(**told)
