"""A process that opens files, one at a time.

It is started for every worker and again after a file that ended it: apart from `readers.py`, so that it has to load
nothing of models.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from traceback import extract_tb
from typing import Any

from extraction.document import Document, Limits, open_document, prepare
from extraction.document.ocr import readable
from extraction.errors import DISK_FULL, AssayError, DocumentError, is_disk_full
from extraction.record.record import Record

_log = logging.getLogger(__name__)

Opened = Document | Record
"""A document, or its record where there is nothing to read."""


class ReaderProcess:
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


def fault(name: str, error: Exception) -> Record:
    """The record of a file that met an error in code, ours or a recipe's; the log has its traceback."""
    last = extract_tb(error.__traceback__)[-1:]
    at = "".join(f", {Path(frame.filename).name} line {frame.lineno}" for frame in last)
    where = f"{type(error).__name__}{at}"
    message = f"{name} met a fault in the code that reads it ({where}), not in your files; please report it."
    _log.warning(message, exc_info=error)
    return Record.failed(name, "aborted", message)
