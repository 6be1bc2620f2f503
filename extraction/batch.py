"""Many documents: one file in, one record out, in processes that may die without taking anything with them.

The records on disk are the truth: `OUT/_manifest.jsonl` has a line for each that is whole, and a batch that is
started again does only what is missing. Nothing is shared between files, so `extract_file` can be handed to any
engine that spreads work over machines.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from extraction.api import Extractor
from extraction.document import SUFFIXES
from extraction.errors import DISK_FULL, AssayError, is_disk_full
from extraction.files import write_whole
from extraction.generate.models import shipped
from extraction.record.record import REVIEW_BELOW, Record

MANIFEST = "_manifest.jsonl"


@dataclass(frozen=True)
class Job:
    """A document and the name of its record within the output folder (without `.json`)."""

    path: Path
    name: str


@dataclass(frozen=True)
class Engine:
    """How a worker makes its extractor; plain values, so that they can cross to another process.

    Attributes:
        model: folder, hub id or `gemma-3-270m`; with `server`, its name there (None where there is only one).
        server: address of an OpenAI-compatible server that runs the model.
        schema: file with a JSON Schema in place of the model's own contract.
        threads: torch threads of one worker; 0 leaves torch's own choice.
        html: also write the evidence page of every record, NAME.html beside NAME.json.
        review_below: values of lower confidence are marked there.
    """

    model: str | None
    server: str | None = None
    schema: Path | None = None
    threads: int = 0
    html: bool = False
    review_below: float = REVIEW_BELOW

    def extractor(self) -> Extractor:
        """Load the model, or find the server."""
        if self.server:
            return Extractor.from_server(self.server, self.model, schema=self.schema)
        if self.threads:
            import torch

            torch.set_num_threads(self.threads)
        assert self.model
        return Extractor.from_pretrained(self.model, schema=self.schema)


def find_jobs(paths: Sequence[Path]) -> list[Job]:
    """The documents behind files and folders; records keep the subfolders of a folder.

    Raises:
        AssayError: a path that does not exist, a folder without PDF, or two files whose records would have the
            same name.
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
            if job.name in jobs:
                raise AssayError(f"{jobs[job.name].path} and {job.path} would both become {job.name}.json.")
            jobs[job.name] = job
    return list(jobs.values())


class Batch:
    """An output folder and what is done in it.

    Args:
        out: the folder; new, empty, or one that an earlier run of the same batch left.
        task: what identifies model and contract; records of another task are never mixed in.

    Raises:
        AssayError: the folder holds something else.
    """

    def __init__(self, out: Path, task: str):
        self.out, self.task = out, task
        self.manifest = out / MANIFEST
        self._done: dict[str, dict[str, Any]] = {}
        if not self.manifest.exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise AssayError(f"The output folder {out} is not empty; choose another.")
        if self.manifest.exists():
            head, *lines = self._lines()
            if head.get("task") != task:
                raise AssayError(
                    f"{out} holds records of another model or schema ({head.get('task')}); choose another folder."
                )
            self._done = {line["name"]: line for line in lines}

    def _lines(self) -> list[dict[str, Any]]:
        """The manifest's lines; one that a kill cut short is dropped from the file."""
        text = self.manifest.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_whole(self.manifest, whole)
        lines = [json.loads(line) for line in whole.splitlines()]
        return lines or [{}]

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

    def start(self) -> None:
        """Make folder and manifest."""
        self.out.mkdir(parents=True, exist_ok=True)
        if not self.manifest.exists():
            write_whole(self.manifest, json.dumps({"task": self.task}) + "\n")

    def add(self, job: Job, status: str, seconds: float) -> None:
        """Note that a job's record is whole."""
        line = {"name": job.name, "source": str(job.path), "status": status, "seconds": round(seconds, 2)}
        with self.manifest.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "stamp": stamp(job.path)}, ensure_ascii=False) + "\n")


def stamp(path: Path) -> list[int]:
    """Size and time of change: whether a file is still the one that was read."""
    info = path.stat()
    return [info.st_size, info.st_mtime_ns]


def task_id(model: str | None, schema: Path | None) -> str:
    """A name for model and schema by which a folder of records is recognised."""
    digest = hashlib.sha256()
    own = [Path(shipped(model)) / name for name in ("contract.json", "versions.json")] if model else []
    for path in (schema, *own):
        if path and path.is_file():
            digest.update(path.read_bytes())
    return f"{Path(model or 'server').name}-{digest.hexdigest()[:12]}"


def extract_file(
    extractor: Extractor, path: Path, out: Path, html: bool = False, review_below: float = REVIEW_BELOW
) -> Record:
    """Read one document and write its record to `out`, whole or not at all; with `html`, the evidence page first."""
    record = extractor.extract(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    if html and record.document:
        record.save_html(out.with_suffix(".html"), review_below)
    record.save(out)
    return record


def run_batch(engine: Engine, batch: Batch, jobs: Sequence[Job], workers: int, seconds: float) -> Iterator[Record]:
    """Read every job in worker processes; yields records as they are finished.

    A worker that dies, or takes longer than `seconds` over one file, is ended and replaced; its file gets a failed
    record and the others go on.
    """
    threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
    engine = replace(engine, threads=threads)
    queue = deque(jobs)
    pool = [_Worker(engine) for _ in range(min(workers, len(jobs)))]
    try:
        while queue or any(worker.job for worker in pool):
            wait([handle for w in pool for handle in (w.pipe, w.process.sentinel)], timeout=0.5)
            for index, worker in enumerate(pool):
                record = worker.listen(seconds)
                if record is not None:
                    job = worker.take(batch, record)
                    batch.add(job, record.status, worker.seconds)
                    yield record
                if worker.dead and queue:
                    pool[index] = _Worker(engine)
                elif worker.ready and worker.job is None and queue:
                    batch.start()
                    worker.give(queue.popleft(), batch)
    finally:
        for worker in pool:
            worker.end()


class _Worker:
    """A process with a model of its own, and the job it is at."""

    def __init__(self, engine: Engine):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(engine, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.ready = self.dead = False
        self.seconds = self._since = 0.0

    def give(self, job: Job, batch: Batch) -> None:
        self.job, self._since = job, time.monotonic()
        self.pipe.send((job.path, batch.record_path(job)))

    def listen(self, limit: float) -> Record | None:
        """The record of the job once it is finished, dead or late; None while there is nothing to tell.

        Raises:
            AssayError: the worker could not load its model, or its server is gone.
        """
        if self.dead:
            return None
        gone = False
        try:
            while self.pipe.poll():
                answer = self.pipe.recv()
                if isinstance(answer, AssayError):
                    raise answer
                self.seconds = time.monotonic() - self._since
                if isinstance(answer, Record):
                    return answer
                self.ready = True
        except (EOFError, ConnectionResetError):
            gone = True
        self.seconds = time.monotonic() - self._since
        late = self.job is not None and self.seconds > limit
        if not gone and not late and self.process.is_alive():
            return None
        self.dead = True
        self.end()
        if self.job is None:
            raise AssayError("A worker process ended while it loaded the model, perhaps for want of memory.")
        reason = f"took longer than {limit:g} s" if late else "ended the process that read it (memory, or a crash)"
        return Record.failed(self.job.path.name, "aborted", f"{self.job.path.name} {reason}.")

    def take(self, batch: Batch, record: Record) -> Job:
        """Close the job; a record that the worker could not write itself is written here."""
        assert self.job is not None
        job, self.job = self.job, None
        if self.dead:
            path = batch.record_path(job)
            path.parent.mkdir(parents=True, exist_ok=True)
            record.save(path)
        return job

    def end(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(engine: Engine, pipe: Connection) -> None:
    """A worker's life: load the model, then a file at a time until the parent is gone."""
    try:
        extractor = engine.extractor()
    except AssayError as error:
        pipe.send(error)
        return
    pipe.send("ready")
    while True:
        try:
            path, out = pipe.recv()
        except EOFError:
            return
        try:
            record = extract_file(extractor, path, out, engine.html, engine.review_below)
        except AssayError as error:  # a server that is gone: the batch ends, and goes on when it is started again
            pipe.send(error)
            return
        except Exception as error:  # a fault of ours; the other files are not to suffer for it
            if is_disk_full(error):
                pipe.send(AssayError(DISK_FULL))
                return
            fault = f"{path.name} met a fault in Assay ({type(error).__name__}), not in your files; please report it."
            record = Record.failed(path.name, "aborted", fault)
            record.save(out)
        record.document = None  # the pages stay here
        pipe.send(record)
