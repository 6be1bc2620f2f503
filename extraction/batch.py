"""Many documents: one file in, one record out, by one model that answers parts of many of them together.

The records on disk are the truth: each writer has a manifest of its own in `OUT/_manifest`, with a line for each record
that is whole, and a batch that is started again does only what is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from extraction.api import Extractor
from extraction.contract import FILE, Contract
from extraction.document import SUFFIXES
from extraction.errors import AssayError
from extraction.generate.models import shipped
from extraction.readers import Readers, answered, failed
from extraction.record.record import REVIEW_BELOW, Record

MANIFEST = "_manifest"
# What is read of a file of weights to know it again: 64 pieces of 16 KiB, a megabyte.
_PIECES, _PIECE = 64, 2**14


@dataclass(frozen=True)
class Job:
    """A document and the name of its record within the output folder (without `.json`)."""

    path: Path
    name: str


def find_jobs(paths: Sequence[Path]) -> list[Job]:
    """The documents behind files and folders; records keep the subfolders of a folder.

    Raises:
        AssayError: a path that does not exist, a folder without PDF, or files whose records would have the same
            name, or the contract's.
    """
    jobs: dict[str, Job] = {}
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not found:
                raise AssayError(f"The folder {path} holds no PDF and no image.")
            new = [Job(file, file.relative_to(path).with_suffix("").as_posix()) for file in found]
        elif path.exists():
            new = [Job(path, path.stem)]
        else:
            raise AssayError(f"{path} does not exist.")
        for job in new:
            if f"{job.name}.json" == FILE:
                raise AssayError(f"{job.path} would become {FILE}, where the contract of a batch is; rename the file.")
            if job.name in jobs:
                raise AssayError(f"{jobs[job.name].path} and {job.path} would both become {job.name}.json.")
            jobs[job.name] = job
    return list(jobs.values())


class Batch:
    """An output folder and what is done in it, this start's writer among others.

    Args:
        out: the folder; new, empty, or one that earlier or other runs of the same task write to.
        task: what identifies model and contract; records of another task are never mixed in.

    Raises:
        AssayError: the folder holds something else.
    """

    def __init__(self, out: Path, task: str):
        self.out, self.task = out, task
        folder = out / MANIFEST
        self.manifest = folder / f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl"
        self._lock = FileLock(folder / "lock")
        old = out / f"{MANIFEST}.jsonl"  # the only one, until many could write
        files = [file for file in (old, *sorted(folder.glob("*.jsonl"))) if file.exists()]
        if not files and not folder.exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise AssayError(f"The output folder {out} is not empty; choose another.")
        lines: list[dict[str, Any]] = []
        for file in files:
            head, *rest = _lines(file) or [{"task": task}]
            if head.get("task") != task:
                raise AssayError(
                    f"{out} holds records of another model or schema ({head.get('task')}); choose another folder."
                )
            lines += rest
        self._done = {line["name"]: line for line in sorted(lines, key=lambda line: line.get("time", 0))}

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs without a whole record of the same file."""
        return [job for job in jobs if not self._is_done(job)]

    def failed(self, jobs: Sequence[Job]) -> int:
        """How many of the jobs have a record already, one that says they failed."""
        return sum(self._is_done(job) and self._done[job.name]["status"] == "failed" for job in jobs)

    def _is_done(self, job: Job) -> bool:
        line = self._done.get(job.name)
        return bool(line) and self.record_path(job).exists() and line.get("stamp") == stamp(job.path)  # type: ignore[union-attr]

    def record_path(self, job: Job) -> Path:
        """Where a job's record is."""
        return self.out / f"{job.name}.json"

    def start(self, contract: Contract) -> None:
        """Make the folder and this writer's manifest, and write the contract for those who read the records."""
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        self._append({"task": self.task})
        with self._lock:
            contract.save(self.out)

    def save(self, job: Job, record: Record, html: bool = False, review_below: float = REVIEW_BELOW) -> Record:
        """Write a job's record, whole or not at all, and note that it is done; with `html`, its evidence page first.

        Returns:
            The record that was written: a failed one where the one given cannot be.
        """
        path = self.record_path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:  # two writers may be at the same file
            try:
                if html and record.document:
                    record.save_html(path.with_suffix(".html"), review_below)
                record.save(path)
            except Exception as error:
                record = failed(job.path.name, error)
                record.save(path)
        line = {"name": job.name, "source": str(job.path), "status": record.status}
        self._append({**line, "time": round(time.time(), 2), "stamp": stamp(job.path)})
        return record

    def _append(self, line: dict[str, Any]) -> None:
        with self.manifest.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _lines(manifest: Path) -> list[dict[str, Any]]:
    """A manifest's lines but for one that a kill cut short."""
    text = manifest.read_text(encoding="utf-8", errors="replace")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def stamp(path: Path) -> list[int]:
    """Size and time of change: whether a file is still the one that was read. Nothing where it is gone."""
    try:
        info = path.stat()
    except OSError:
        return []
    return [info.st_size, info.st_mtime_ns]


def task_id(model: str | None, schema: Path | None, server: str | None = None) -> str:
    """A name for model, schema and server by which a folder of records is recognised.

    A model's folder is known by what is in it, wherever it lies and whenever it was copied; any other by its name.
    """
    digest = hashlib.sha256((server or "").rstrip("/").removesuffix("/v1").encode())
    folder = Path(shipped(model)) if model else None
    if folder is None or not folder.is_dir():
        digest.update(str(model).encode())
        folder = None
    told = ("contract.json", "versions.json", "config.json", "adapter_config.json")
    for path in (schema, *(folder / name for name in told if folder)):
        if path and path.is_file():
            digest.update(path.read_bytes())
    for path in sorted(folder.iterdir()) if folder else ():
        if path.suffix in (".safetensors", ".bin"):
            digest.update(path.name.encode())
            _sample(path, digest)
    return f"{Path(model or 'server').name}-{digest.hexdigest()[:12]}"


def _sample(path: Path, digest: Any) -> None:
    """Take a file's size and pieces from everywhere of it into a digest: weights are too long to be read twice."""
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        for number in range(_PIECES):
            file.seek(max(file.tell(), number * (size - _PIECE) // (_PIECES - 1)))  # the last is the end
            digest.update(file.read(_PIECE))


def run_batch(
    load: Callable[[], Extractor],
    readers: Readers,
    batch: Batch,
    html: bool = False,
    review_below: float = REVIEW_BELOW,
) -> Iterator[Record]:
    """Answer what `readers` open, keyed by its `Job`, and write each record as it is finished; yields them.

    Args:
        load: gives the extractor; meanwhile the first files are read.
        readers: of the files that are missing.
        batch: where records are written.
        html, review_below: see `Batch.save`.

    Raises:
        AssayError: no model, or no file can be answered any more (a server is gone, the disk is full); the next start
            goes on.
    """
    extractor = load()
    batch.start(extractor.contract)
    for job, record in answered(extractor, readers):
        written = batch.save(job, record, html, review_below)
        written.document = None  # whoever collects records does not collect pages
        yield written
