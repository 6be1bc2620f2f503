"""The process that touches volumes: `python -m extraction.volume.worker`, one job, then it ends.

As `extraction.document.worker`, whose frames and limits it shares; it opens the files itself, since of a volume as
little is read as is asked for.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from extraction.document.frames import RefusalError
from extraction.document.worker import confine, end_with_parent, send
from extraction.volume.files import UNKNOWN, Files, UnreadError


def find(job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """A frame for each volume in a path, and one of the files that are in none, by reason."""
    files = Files(Path(job["path"]))
    left: dict[str, list[str]] = defaultdict(list)
    # Each value has four bytes on its way, of the three to a pixel that a frame may have.
    most = job["pixels"] * 3 // 4

    def leave(name: str, reason: str) -> None:
        if name not in left[reason]:
            left[reason].append(name)

    kinds = {}
    names = files.names()
    for name in names:
        try:
            kinds[name] = files.kind(name)
        except UnreadError as error:
            leave(name, str(error))
        except (OSError, RuntimeError, ValueError, NotImplementedError):  # no right to read it; in a ZIP, a password
            leave(name, "it can't be opened (locked, encrypted, or damaged)")
    for name in [name for name, kind in kinds.items() if kind == "dicomdir"]:
        with suppress(Exception):  # whatever a broken one makes pydicom raise: what is there is read without it
            files.missing += files.absent(name, names)
    for name in files.missing:
        leave(name, "a DICOMDIR names it, and it is not there")
    for name in files.dead:
        leave(name, "it is a link that leads to nothing: fetch the file")
    found: list[dict[str, Any]] = []
    if dicom_names := [name for name, kind in kinds.items() if kind == "dicom"]:
        _need("pydicom")
        from extraction.volume import dicom

        found += dicom.find(files, dicom_names, most, leave)
    for name in [name for name, kind in kinds.items() if kind.startswith("nifti")]:
        _need("nibabel")
        from extraction.volume import nifti

        try:
            found.append(nifti.find(files, name, kinds[name], most))
        except UnreadError as error:
            leave(name, str(error))
    found += _pictures(files, kinds, bool(found or dicom_names), job, leave)
    for name, kind in kinds.items():
        if not kind:
            leave(name, UNKNOWN)
        elif kind == "dicomdir" and len(kinds) == 1 and not files.missing:
            leave(name, "it is a DICOMDIR that names no file")
    for volume in found:
        yield volume, b""
    yield {"left": dict(left)}, b""


def _pictures(files: Files, kinds: dict[str, str], beside: bool, job: dict[str, Any], leave: Any) -> list[Any]:
    """Volumes of plain pictures; beside volumes of another kind, pictures are something else."""
    plain = {name: kind for name, kind in kinds.items() if kind and not kind.startswith(("dicom", "nifti"))}
    if not plain:
        return []
    if beside:
        for name in plain:
            leave(name, "it is a picture beside files of volumes")
        return []
    from extraction.volume import pictures

    return pictures.find(files, plain, job, leave)


def _need(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise RefusalError("reason", text=f"volumes need the extra assay[imaging] (pip install {package} is enough)")


def slices(job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The asked slices of a volume, each as a frame with its raw values."""
    files = Files(Path(job["path"]))
    at = 0
    try:
        for at, values in enumerate(_read(files, job)):
            raw = values.tobytes()
            yield {"shape": values.shape, "type": str(values.dtype), "bytes": len(raw)}, raw
            at += 1
    except UnreadError as error:
        raise RefusalError("slice", at=at, text=str(error)) from error
    except (OSError, RuntimeError, KeyError) as error:
        raise RefusalError("slice", at=at, text="its file is gone, or can't be opened any more") from error


def identify(job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """A frame for each DICOM file of a path: its UIDs, and where it is asked for, who the patient is."""
    _need("pydicom")
    from extraction.volume.headers import identity

    files = Files(Path(job["path"]))
    for name in files.names():
        try:
            if files.kind(name) == "dicom":
                file, _ = files.open(name)
                with file:
                    yield {"name": name, **identity(file, job["patient"])}, b""
        except (MemoryError, RefusalError):
            raise
        except Exception:  # whatever a broken header makes pydicom raise: the file is in no volume either
            continue


def _read(files: Files, job: dict[str, Any]) -> Iterator[Any]:
    if job["kind"] == "nifti":
        from extraction.volume import nifti

        yield from nifti.read(files, job["slices"])
    elif job["kind"] == "dicom":
        from extraction.volume import dicom

        for source in job["slices"]:
            yield dicom.read(files, source)
    else:
        from extraction.volume import pictures

        for source in job["slices"]:
            yield pictures.read(files, source, job)


def main() -> None:
    """Do the one job that standard input describes."""
    # Whatever native code prints goes nowhere: the frames keep standard output to themselves.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # What pydicom warns of quotes the file.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    end_with_parent()
    job = json.loads(sys.stdin.buffer.readline())
    confine(job["seconds"], job["memory_mb"])
    try:
        for frame, raw in {"find": find, "identify": identify, "slices": slices}[job["do"]](job):
            send(out, frame, raw)
        send(out, {"done": True})
    except RefusalError as refusal:
        send(out, refusal.frame)
    except MemoryError:
        send(out, {"error": "memory"})
    except Exception as error:  # its text may quote the file
        send(out, {"error": "internal", "text": type(error).__name__})


if __name__ == "__main__":
    main()
