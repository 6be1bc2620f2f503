"""A reading process whose files are texts; apart from the tests, so that it has to load little."""

import os
import signal
import time

from extraction import reader_process
from extraction.errors import DocumentError


def opened_text(path, limits, view):
    """In a reading process, in place of opening a document: reads a text file in the way its name says."""
    if path.stem == "crash":
        os._exit(9)
    if path.stem == "dies":
        return Dies()
    if path.stem == "slow":
        time.sleep(60)
    if path.stem == "bad":
        raise DocumentError("bad.pdf is bad.")
    if path.stem == "odd":
        raise KeyError("odd")
    from tests.conftest import document_of

    return document_of(path.read_text(), name=path.name)


class Dies:
    """Ends its process while it is sent to another, as the kernel does where memory runs out."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)


def serve(pipe, *task):
    """A reading process whose files are texts."""
    reader_process.open_document = lambda path, limits, password: (path, limits)
    reader_process.readable = lambda opened, limits, view: opened_text(*opened, view)
    reader_process.prepare = lambda: None  # texts need no OCR, which takes a second to load
    REAL(pipe, *task)


REAL = reader_process._serve
