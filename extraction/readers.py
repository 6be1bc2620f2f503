"""Files on their way to a model: processes that open them, and a stream that no single file can stop."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from multiprocessing.connection import Connection
from pathlib import Path
from queue import LifoQueue
from traceback import extract_tb
from typing import Any

from extraction.api import Extractor, readable
from extraction.document import Document, Limits, open_document, prepare
from extraction.errors import DISK_FULL, AssayError, DocumentError, is_disk_full
from extraction.record.record import Record

_log = logging.getLogger(__name__)
_AHEAD = 8  # documents that wait for the model besides two a process: as many as it begins together

Opened = Document | Record
"""A document, or its record where there is nothing to read."""
File = Path | Callable[[], Path]
"""A file, or what brings it to this machine (raises DocumentError)."""


class Readers:
    """Processes that open files, and read those by OCR that need it, some documents ahead of the model.

    A process that dies, or takes longer than `seconds` over one file, is ended and replaced; its file gets a failed
    record and the others go on.

    Args:
        workers: number of processes.
        view: what of a page the model is shown, see `Contract`.
        limits: time, memory and size a document may cost.
        seconds: longest time one file may take to be opened and read.
        password: opens encrypted PDFs.
    """

    def __init__(
        self,
        workers: int = 1,
        view: str = "text",
        limits: Limits | None = None,
        seconds: float = 600.0,
        password: str = "",
    ):
        self._files: Iterator[tuple[Any, File]] = iter(())
        self._room = 2 * workers + _AHEAD
        self._processes = [_Process((limits or Limits(), view, password), seconds) for _ in range(workers)]
        self._idle: LifoQueue[_Process] = LifoQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(workers)
        self._pending: set[Future[tuple[Any, Opened]]] = set()

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.close()
        self._threads.shutdown()

    def add(self, files: Iterable[tuple[Hashable, File]]) -> None:
        """Read these too, each under its key; they are taken as there is room, the first ones at once."""
        self._files = chain(self._files, files)
        self._fill()

    def opened(self) -> Iterator[tuple[Any, Opened] | None]:
        """Keys and documents as they are ready, in whatever order; None where none is. May be gone on with anew.

        Raises:
            AssayError: the disk is full, or no process can be started.
        """
        while self._pending:
            done, _ = wait(self._pending, timeout=0, return_when=FIRST_COMPLETED)
            if done:
                future = done.pop()
                self._pending.remove(future)
                self._fill()
                yield future.result()
            else:
                yield None

    def _fill(self) -> None:
        for key, file in islice(self._files, self._room - len(self._pending)):
            self._pending.add(self._threads.submit(self._read, key, file))

    def _read(self, key: Any, file: File) -> tuple[Any, Opened]:
        process = self._idle.get()
        try:
            return key, process.read(file if isinstance(file, Path) else file())
        except DocumentError as error:
            return key, failed(Path(str(key)).name, error)
        finally:
            self._idle.put(process)


class _Process:
    """A process that reads a file at a time, started when it is first needed, and again after it was lost.

    Each has a pipe of its own: one that dies halfway through an answer, when memory runs out for one, breaks nothing
    for the others. (In a pool with common queues, pebble's or the standard library's, it takes their lock along.)
    """

    def __init__(self, task: tuple[Limits, str, str], seconds: float):
        self._task, self._seconds = task, seconds
        self._lock, self._closed = threading.Lock(), False
        self._process: Any = None
        self._pipe: Connection

    def read(self, path: Path) -> Opened:
        """The document in a file, or its failed record."""
        if self._process and not self._process.is_alive():  # while it had nothing to do: no file's doing
            self._end()
        if self._process is None:
            self._start()
        try:
            self._pipe.send(path)
            if not self._pipe.poll(self._seconds):
                raise TimeoutError
            answer = self._pipe.recv()
        except TimeoutError:
            reason = f"took longer than {self._seconds:g} s"
        except (EOFError, OSError):
            reason = "ended the process that read it (memory, or a crash)"
        else:
            if isinstance(answer, AssayError):
                raise answer
            return answer
        self._end()
        return Record.failed(path.name, "aborted", f"{path.name} {reason}.")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        with self._lock:
            if self._closed:
                raise AssayError("Stopped.")
            self._pipe, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, *self._task), daemon=True)
            process.start()
            theirs.close()
            self._process = process
        try:
            self._pipe.recv()
        except (EOFError, OSError):
            raise AssayError("A process to read files in could not be started, perhaps for want of memory.") from None

    def _end(self) -> None:
        with self._lock:
            if self._process:
                self._process.kill()
                self._process.join()
                self._process = None

    def close(self) -> None:
        """End the process for good; a thread that waits for it goes on at once."""
        self._closed = True
        self._end()


def _serve(pipe: Connection, limits: Limits, view: str, password: str) -> None:
    """A process's life: a file at a time until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to it
    prepare()
    pipe.send(None)
    while True:
        try:
            path: Path = pipe.recv()
        except EOFError:
            return
        answer: Opened | AssayError
        try:
            answer = readable(open_document(path, limits, password), limits, view)
        except DocumentError as error:
            answer = Record.failed(path.name, "unreadable", str(error))
        except Exception as error:
            answer = AssayError(DISK_FULL) if is_disk_full(error) else fault(path.name, error)
        pipe.send(answer)


def answered(extractor: Extractor, readers: Readers) -> Iterator[tuple[Any, Record]]:
    """The record of each file as it is finished, with its key; a fault over one file fails that one alone.

    Where something breaks while many documents are at work, nothing tells which of them broke it: each is then read
    alone, and the others go on together.

    Raises:
        AssayError: no model can go on: a server is gone, the disk is full.
    """
    at_work: dict[Any, Opened] = {}

    def opened() -> Iterator[tuple[Any, Opened] | None]:
        for pair in readers.opened():
            if pair:
                at_work[pair[0]] = pair[1]
            yield pair

    while True:
        try:
            for done in extractor.stream(opened()):
                if done:
                    del at_work[done[0]]
                    yield done
            return
        except Exception as error:
            if not at_work or _ends_all(error):
                raise
        for key in list(at_work):
            yield key, _alone(extractor, at_work.pop(key))


def _alone(extractor: Extractor, opened: Opened) -> Record:
    if isinstance(opened, Record):
        return opened
    try:
        [record] = extractor.read([opened])
    except Exception as error:
        return failed(opened.path.name, error)
    return record


def _ends_all(error: Exception) -> bool:
    return is_disk_full(error) or (isinstance(error, AssayError) and not isinstance(error, DocumentError))


def failed(name: str, error: Exception) -> Record:
    """The record of a file whose reading an error ended; errors that would meet every file are raised again."""
    if _ends_all(error):
        raise error
    if isinstance(error, DocumentError):
        return Record.failed(name, "unreadable", str(error))
    return fault(name, error)


def fault(name: str, error: Exception) -> Record:
    """The record of a file that met an error in code, ours or a recipe's; the log has its traceback."""
    last = extract_tb(error.__traceback__)[-1:]
    at = "".join(f", {Path(frame.filename).name} line {frame.lineno}" for frame in last)
    where = f"{type(error).__name__}{at}"
    message = f"{name} met a fault in the code that reads it ({where}), not in your files; please report it."
    _log.warning(message, exc_info=error)
    return Record.failed(name, "aborted", message)
