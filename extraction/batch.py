"""Many documents: one file in, one record out, by one model that answers parts of many of them together.

The records on disk are the truth: each writer has a manifest of its own in `OUT/_manifest`, with a line for each record
that is whole, why there is none where a file was not read, and how many files were passed over, by kind. A batch that
is started again does only what is missing; a file that was refused is tried again, as its remedy may have been taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from extraction.api import Extractor
from extraction.contract import FILE, Contract
from extraction.document import SUFFIXES, Document
from extraction.errors import AssayError
from extraction.files import write_whole
from extraction.folder import Found
from extraction.generate.hub import shipped
from extraction.generate.weights import take_samples
from extraction.readers import Readers, answered, failed
from extraction.record.index import NAME, write_index
from extraction.record.record import REVIEW_BELOW, Record

MANIFEST = "_manifest"
INDEX = Path(NAME).stem
_LONGEST = 240  # bytes of a record's name: file systems take 255 with what is put behind it


@dataclass(frozen=True)
class Job:
    """A document and the name of its record within the output folder (without `.json`)."""

    path: Path
    name: str


Done = tuple[Job, Record]


class Batch:
    """An output folder and what is done in it, this start's writer among others.

    A record has the name of its file, without the suffix if that is a document's (`a.pdf`: `a.json`), and with it where
    two would have the same name (`a.pdf` and `a.png`: `a.pdf.json` and `a.png.json`), or another file's record or the
    contract or the index page has it already. A file that the manifest knows keeps the name of its record, whatever
    comes to lie beside it; it is known by its path, or where that is gone, with its whole folder or by its size and
    time.

    Args:
        out: the folder; new, empty, or one that earlier or other runs of the same task write to.
        task: what identifies model and contract; records of another task are never mixed in.

    Raises:
        AssayError: the folder holds something else.
    """

    def __init__(self, out: Path, task: str):
        self.out, self.task = out, task
        self._began, self._is_new = time.time(), not out.exists()  # before what others have done is looked at
        folder = out / MANIFEST
        self.manifest = folder / f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl"
        self._lock = FileLock(folder / "lock")
        old = out / f"{MANIFEST}.jsonl"  # the only one, until many could write
        files = [file for file in (old, *sorted(folder.glob("*.jsonl"))) if file.exists()]
        if out.exists() and not out.is_dir():
            raise AssayError(f"{out} is a file, and records go to a folder; name one with --out.")
        if not files and not folder.exists() and out.exists() and any(out.iterdir()):
            raise AssayError(f"The output folder {out} is not empty; choose another.")
        for file in files:
            head = next(iter(_lines(file)), {"task": task})
            if head.get("task") != task:
                raise AssayError(
                    f"{out} holds records of another model or schema ({head.get('task')}); choose another folder."
                )
        self._done = _done(files)
        self._claimed = folder / "claims"
        self._claims: dict[str, FileLock] = {}
        self.passed: list[Job] = []  # that another start was at, or had read meanwhile
        self._skipped: Counter[str] = Counter()

    def jobs(self, found: Found) -> list[Job]:
        """The files with the names of their records; how many were skipped goes to the manifest at the start.

        Raises:
            AssayError: files from different folders would have one record, or another file has it already, or a file
                without suffix has the contract's name.
        """
        self._skipped = found.skipped
        contract = Path(FILE).stem
        names, longer = [], []
        for path, name in found.files:
            whole = name.as_posix()
            short = name.with_suffix("").as_posix() if name.suffix.lower() in SUFFIXES else whole
            whole, short = _fitting(whole), _fitting(short)
            known = next((own for own in (short, whole) if self._is_of(own, path)), None)
            names.append(known or (whole if short in (contract, INDEX) or short in self._done else short))
            longer.append(known or whole)
        while clashes := {name for name, count in Counter(names).items() if count > 1}:
            before, names = names, [long if name in clashes else name for name, long in zip(names, longer, strict=True)]
            if names == before:
                clash = min(clashes)
                first, second, *_ = (path for (path, _), own in zip(found.files, names, strict=True) if own == clash)
                raise AssayError(f"{first} and {second} would both become {clash}.json; read one into another folder.")
        jobs = [Job(path, name) for (path, _), name in zip(found.files, names, strict=True)]
        for job in jobs:
            if job.name == contract:
                raise AssayError(f"{job.path} would become {FILE}, where the contract of a batch is; rename the file.")
            if job.name in self._done and not self._is_of(job.name, job.path):
                raise self._taken(job.name, job.path)
        return jobs

    def _is_of(self, name: str, path: Path) -> bool:
        """Whether the record of that name is known, and this file's; its folder may have moved."""
        line = self._done.get(name)
        source = Path(line["source"]) if line else None
        if line is None or source is None or source.name != path.name:
            return False
        if source.absolute() == path.absolute() or (not source.exists() and line.get("stamp") == stamp(path)):
            return True
        return not source.parent.exists()

    def _taken(self, name: str, path: Path) -> AssayError:
        source = self._done[name]["source"]
        return AssayError(
            f"{path} would become {name}.json, which is the record of {source}; read it into another folder."
        )

    def missing(self, jobs: Sequence[Job], retry_failed: bool = False) -> list[Job]:
        """The jobs without a whole record of the same file, and those whose file was refused.

        Args:
            retry_failed: also those whose record failed otherwise.
        """
        again = {job for job in jobs if retry_failed and self._done.get(job.name, {}).get("status") == "failed"}
        return [job for job in jobs if job in again or not self._is_done(job)]

    def statuses(self, jobs: Sequence[Job]) -> Counter[str]:
        """How many jobs that are done have a record of each status."""
        return Counter(self._done[job.name]["status"] for job in jobs)

    def codes(self, jobs: Sequence[Job]) -> Counter[str]:
        """In how many jobs that are done each code of an issue stands: as manifests say, or older ones' records."""
        lines = {job: self._done[job.name] for job in jobs}
        return Counter(
            code
            for job, line in lines.items()
            for code in (line["codes"] if "codes" in line else _codes(Record.load(self.record_path(job))))
        )

    def again(self, jobs: Sequence[Job], readers: Readers, html: bool, review_below: float) -> Iterator[Done]:
        """The records of jobs that are done, as their files have them; with `html` a page where there is none yet."""
        paths = {job: self.record_path(job) for job in jobs}
        lacking = [job for job, path in paths.items() if html and not path.with_suffix(".html").exists()]
        readers.add((job, job.path) for job in lacking)
        for opened in readers.opened():
            if opened is None:
                time.sleep(0.01)
            elif isinstance(opened[1], Document):
                record = Record.load(paths[opened[0]])
                record.document = opened[1] if record.data is not None else None
                if record.document:
                    record.save_html(paths[opened[0]].with_suffix(".html"), review_below)
        yield from ((job, Record.load(path)) for job, path in paths.items())

    def summarize(self, counts: dict[str, Any]) -> None:
        """Write the counts of this start beside the manifests."""
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.manifest.parent / "summary.json", json.dumps(counts, indent=1, ensure_ascii=False) + "\n")

    def has_index(self) -> bool:
        """Whether an earlier start wrote the page, which would go stale."""
        return (self.out / NAME).exists()

    def write_index(self, review_below: float) -> Path | None:
        """Write the page that leads to all evidence pages of the folder, of earlier starts too, where it has several.

        Returns:
            The page's path; None for a folder of one record.
        """
        self._look_again()
        paths = {name: path for name in self._done if (path := self.out / f"{name}.json").exists()}
        if len(paths) < 2:
            return None
        return write_index(self.out, ((name, Record.load(path)) for name, path in paths.items()), review_below)

    def _is_done(self, job: Job) -> bool:
        line = self._done.get(job.name, {})
        refused = line.get("code") == "unreadable"
        return not refused and self.record_path(job).exists() and line.get("stamp") == stamp(job.path)

    def claim(self, job: Job) -> bool:
        """Whether this start is to read a job: not where another one is at it, or has read it meanwhile.

        A claim is a lock that the system takes back from a process that was killed.
        """
        self._claimed.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._claimed / hashlib.sha256(os.fsencode(job.name)).hexdigest()[:24], thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            self.passed.append(job)
            return False
        path = self.record_path(job)
        if path.exists() and path.stat().st_mtime >= self._began:
            self._look_again()
            if self._is_read_since(job):
                self._release(lock)
                self.passed.append(job)
                return False
        self._claims[job.name] = lock
        return True

    @staticmethod
    def _release(lock: FileLock) -> None:
        with suppress(OSError):  # some systems keep a file that is open; it is then used again
            Path(lock.lock_file).unlink(missing_ok=True)  # who waits for it finds the record
        lock.release()

    def _look_again(self) -> None:
        self._done |= _done(sorted(self.manifest.parent.glob("*.jsonl")))

    def _is_read_since(self, job: Job) -> bool:
        """Whether a job was read or refused by another start since this one began."""
        return bool(self._done.get(job.name, {}).get("time", 0) >= self._began)

    def release(self) -> None:
        """Give back all claims; no folder stays behind that has nothing in it."""
        for lock in self._claims.values():
            self._release(lock)
        self._claims.clear()
        for folder in (self._claimed, self.manifest.parent, *([self.out] if self._is_new else [])):
            with suppress(OSError):
                folder.rmdir()

    def left(self) -> tuple[list[Job], int]:
        """Of the jobs that others had: those that are done, and how many are not."""
        self._look_again()
        done = [job for job in self.passed if self._is_read_since(job) and self._is_of(job.name, job.path)]
        return done, len(self.passed) - len(done)

    def record_path(self, job: Job) -> Path:
        """Where a job's record is."""
        return self.out / f"{job.name}.json"

    def start(self, contract: Contract) -> None:
        """Make the folder and this writer's manifest, and write the contract for those who read the records."""
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        self._append({"task": self.task, **({"skipped": dict(self._skipped)} if self._skipped else {})})
        with self._lock:
            contract.save(self.out)

    def save(self, job: Job, record: Record, html: bool = False, review_below: float = REVIEW_BELOW) -> Record:
        """Write a job's record, whole or not at all, and note that it is done; with `html`, its evidence page first.

        Returns:
            The record that was written: a failed one where the one given cannot be.

        Raises:
            AssayError: a writer beside this one has given all names for it to records of other files.
        """
        claimed = job.name
        with self._lock:  # two writers may be at two files that would have one name
            job = self._free(job)
            path = self.record_path(job)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".html").unlink(missing_ok=True)  # of an earlier record of this file
            try:
                if html and record.document:
                    record.save_html(path.with_suffix(".html"), review_below)
                record.save(path)
            except Exception as error:
                record = failed(job.path.name, error)
                record.save(path)
            line: dict[str, Any] = {"name": job.name, "source": str(job.path.absolute()), "status": record.status}
            line["codes"] = _codes(record)
            if record.status == "failed":
                line |= {"code": record.issues[0].code, "reason": record.issues[0].message}
            self._append({**line, "time": round(time.time(), 2), "stamp": stamp(job.path)})
        if claim := self._claims.pop(claimed, None):
            self._release(claim)
        return record

    def _free(self, job: Job) -> Job:
        """A job under its name, or with its suffix where a writer beside this one has given that to another file."""
        for name in dict.fromkeys((job.name, job.name.removesuffix(job.path.suffix) + job.path.suffix)):
            if name not in self._done and (self.out / f"{name}.json").exists():
                self._look_again()
            if name not in self._done or self._is_of(name, job.path):
                return Job(job.path, name)
        raise self._taken(job.name, job.path)

    def _append(self, line: dict[str, Any]) -> None:
        with self.manifest.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _codes(record: Record) -> list[str]:
    """The codes of a record's issues, each once."""
    return sorted({issue.code for issue in record.issues})


def _fitting(name: str) -> str:
    """A record's name, shortened where its file's would be too long for a file system; a digest keeps them apart."""
    last = name.rpartition("/")[2]
    if len(os.fsencode(last)) <= _LONGEST:
        return name
    kept = os.fsencode(last)[: _LONGEST - 9].decode("utf-8", "ignore")
    digest = hashlib.sha256(os.fsencode(last)).hexdigest()[:8]
    return f"{name.removesuffix(last)}{kept}-{digest}"


def _done(manifests: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The last line about each record, by its name."""
    lines = [line for file in manifests for line in _lines(file)[1:]]
    return {line["name"]: line for line in sorted(lines, key=lambda line: line.get("time", 0))}


def _lines(manifest: Path) -> list[dict[str, Any]]:
    """A manifest's lines but for one that a kill cut short."""
    text = manifest.read_text(encoding="utf-8", errors="replace")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].split("\n") if line]


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
            take_samples([path], digest)
    return f"{Path(model or 'server').name}-{digest.hexdigest()[:12]}"


def run_batch(
    load: Callable[[], Extractor],
    readers: Readers,
    batch: Batch,
    html: bool = False,
    review_below: float = REVIEW_BELOW,
) -> Iterator[Done]:
    """Answer what `readers` open, keyed by its `Job`, and write each record as it is finished; yields both.

    Args:
        load: gives the extractor; meanwhile the first files are read.
        readers: of the files that are missing.
        batch: where records are written.
        html, review_below: see `Batch.save`.

    Raises:
        AssayError: no model, or no file can be answered any more (a server is gone, the disk is full); the next start
            goes on.
    """
    try:
        extractor = load()
        batch.start(extractor.contract)
        for job, record in answered(extractor, readers):
            written = batch.save(job, record, html, review_below)
            written.document = None  # whoever collects records does not collect pages
            yield job, written
    finally:
        batch.release()
