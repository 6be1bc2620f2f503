"""Runs the worker process, bounded in time, and leaves nothing of it behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from extraction.document.pages import Limits

_ROOT = Path(__file__).resolve().parents[2]


class WorkerError(Exception):
    """The worker did not finish its job. `cause` is "time", "crash", "memory" or a refusal's kind."""

    def __init__(self, cause: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.details = details or {}


def run_job(
    data: bytes, job: dict[str, Any], limits: Limits, worker: str = "extraction.document.worker"
) -> Generator[tuple[dict[str, Any], bytes], None, None]:
    """Yield the frames of a worker (a module), each with its raw bytes, for one job on the file `data`.

    Raises:
        WorkerError: the job was refused, or the worker ran out of time, out of memory or crashed.
    """
    process = subprocess.Popen(
        _command(worker),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        # A process group of its own, so that its children end with it.
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    clock = _Clock(process, limits.seconds)
    budget = limits.memory_mb << 20
    try:
        clock.start()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(json.dumps({**asdict(limits), **job}).encode() + b"\n")
            process.stdin.write(data)
            process.stdin.close()
        while True:
            received = _receive(process.stdout, budget, 3 * limits.pixels)
            clock.stop()
            if clock.late or received is None:
                raise WorkerError("time" if clock.late else "crash")
            frame, payload, size = received
            budget -= size
            if "error" in frame:
                raise WorkerError(frame["error"], frame)
            if "done" in frame:
                return
            yield frame, payload
            clock.start()
    finally:
        clock.stop()
        _kill(process)
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


class _Clock:
    """Ends the worker after so many seconds of work, not counting the caller's time between frames."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.process, self.left, self.late = process, seconds, False
        self.since = 0.0
        self.timer = threading.Timer(0, self._expire)

    def start(self) -> None:
        self.since = time.monotonic()
        self.timer = threading.Timer(max(0.0, self.left), self._expire)
        self.timer.daemon = True
        self.timer.start()

    def stop(self) -> None:
        self.timer.cancel()
        self.left -= time.monotonic() - self.since

    def _expire(self) -> None:
        self.late = True
        _kill(self.process)


def _command(worker: str) -> list[str]:
    # -P keeps the current folder off the module path: it may be anyone's.
    return [sys.executable, "-P", "-m", worker]


def _environment() -> dict[str, str]:
    # The worker must find this very package, whatever way it was imported here.
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Threads that multiply no matrices would only take address space, of which there is a limit.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        # Until the leader has been waited for, its number can't belong to another group. Its children may
        # live on after it, so the group is ended even when the leader has crashed or is done.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _receive(stream: BinaryIO | Any, most: int, most_raw: int) -> tuple[dict[str, Any], bytes, int] | None:
    """One frame, its raw bytes and the size of its JSON; None where the stream ends early.

    What the worker found must not fill this process either: a larger frame is an error.
    """

    def read(count: int) -> bytes:
        data: bytes = stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    try:
        length = int.from_bytes(read(4), "big")
        if length > most:
            raise WorkerError("memory")
        frame = json.loads(read(length))
        wanted = int(frame.get("bytes", 0))
        if not 0 <= wanted <= most_raw:
            raise WorkerError("memory")
        return frame, read(wanted), length
    except (EOFError, ValueError, AttributeError):
        return None
