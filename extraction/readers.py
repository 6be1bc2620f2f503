"""Files on their way to a model: processes that open them, and a stream that no single file can stop."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from pathlib import Path
from queue import LifoQueue
from typing import Any

from extraction.api import Extractor
from extraction.document import Limits
from extraction.errors import AssayError, DocumentError, is_disk_full
from extraction.reader_process import Opened, ReaderProcess, fault
from extraction.record.record import Record

_AHEAD = 8  # documents that wait for the model besides two a process: as many as it begins together

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
        self._processes = [ReaderProcess((limits or Limits(), view, password), seconds) for _ in range(workers)]
        self._idle: LifoQueue[ReaderProcess] = LifoQueue()
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
