"""`assay doctor`: all checks, in processes beside each other that may crash or hang, and a table of what they found."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recipes.doctor import device, machine, optional  # noqa: F401 (their checks)
from recipes.doctor.base import CHECKS, Line, alone

# A process each, whose checks are done one after the other, with the seconds that one of them may take: torch is read
# once, and no two check the GPU's memory at a time. From a cold disk torch takes a minute.
GROUPS = {"machine": 60, "device": 180, "ocr": 180, "extras": 60, "hub": 60}
ORDER = (
    *("Python", "packages", "torch", "GPU", "bitsandbytes", "memory", "allocator", "model"),
    *("disk: cache", "disk: here", "disk: tmp", "hub cache", "hub", "poppler", "OCR", "OCR scripts", *optional.EXTRAS),
)
_STYLES = {"ok": "green", "warning": "yellow", "missing": "dim", "error": "bold red"}
_ROOT = str(Path(__file__).parents[2])


def run(jobs: Sequence[str]) -> list[Line]:
    """The lines of some checks (`NAME`, or `hub=MODEL`), in their order; none takes longer than its group allows."""
    groups: dict[str, list[str]] = {}
    for job in jobs:
        groups.setdefault(CHECKS[job.partition("=")[0]].group, []).append(job)
    found: dict[str, Line] = {}
    threads = [
        threading.Thread(target=_follow, args=(names, GROUPS[group], found), daemon=True)
        for group, names in groups.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[job] for job in jobs]


def _follow(jobs: list[str], seconds: float, found: dict[str, Line]) -> None:
    """Have checks done in a process; where it ends or hangs at one, the rest are done in another."""
    left = list(jobs)
    while left:
        process = subprocess.Popen(
            # -P keeps the current folder off the module path: it may be anyone's.
            [sys.executable, "-P", "-m", "recipes.doctor", *left],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), _ROOT]))},
            start_new_session=True,  # so that its children end with it
        )
        said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_pump, args=(process, said), daemon=True).start()
        while left:
            name = left[0].partition("=")[0]
            try:
                text = said.get(timeout=seconds)
                whole = text.endswith("\n")  # not where it ended, or crashed while it wrote
                line = Line(**json.loads(text)) if whole else _ended(name, process)
            except queue.Empty:
                told, whole = f"no answer within {seconds:g} s: it hangs, or all is very busy", False
                line = Line(name, "error", told, alone(name))
            found[left.pop(0)] = _without_home(line)
            if not whole:
                break
        _kill(process)


def _pump(process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
    """A process's lines as they come; an empty one at its end. By itself, as a read has no time limit."""
    assert process.stdout is not None
    with suppress(OSError, ValueError):
        for text in process.stdout:
            said.put(text)
    said.put("")


def _ended(name: str, process: subprocess.Popen[str]) -> Line:
    code = None
    with suppress(subprocess.TimeoutExpired):
        code = process.wait(1)
    how = signal.Signals(-code).name if code and code < 0 else f"code {code}"
    return Line(name, "error", f"what it loads crashes Python ({how})", CHECKS[name].broken)


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process with its children, and wait no longer for it than a moment: a driver may hold it."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)


def _without_home(line: Line) -> Line:
    """A line that does not name the user by the home folder."""
    home = str(Path("~").expanduser()) if os.environ.get("HOME") != "/" else ""
    if len(home) < 2:
        return line
    return replace(line, found=line.found.replace(home + "/", "~/"), remedy=line.remedy.replace(home + "/", "~/"))


def table(lines: Iterable[Line]) -> Table:
    """A row a check; what mends it stands behind what was found."""
    made = Table(box=None, padding=(0, 1), show_header=False)
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for line in lines:
        text = Text(line.found)
        if line.remedy:
            text.append(": ").append(line.remedy, style="bold")
        made.add_row(Text(line.state, style=_STYLES[line.state]), Text(line.name), text)
    return made


def doctor(model: str | None, hub: bool, as_json: bool) -> bool:
    """Do all checks and print what they found; whether all that is needed works.

    Args:
        model: what the hub is asked for, where it is asked.
        hub: make requests at all.
    """
    jobs = [f"hub={model or ''}" if name == "hub" and hub else name for name in ORDER]
    with Console(stderr=True).status("Trying what is here: the slowest is torch, some seconds"):
        lines = run(jobs)
    states = Counter(line.state for line in lines)
    works = not states["error"]
    if as_json:
        print(json.dumps({"ok": works, "checks": [asdict(line) for line in lines]}, indent=1, ensure_ascii=False))
        return works
    console = Console()
    console.print(table(lines))
    broken = ", ".join(line.name for line in lines if line.state == "error")
    console.print(
        Text(f"\n{states['error']} of {len(lines)} broken: {broken}" if broken else "\nAll that is needed works."),
        style="bold",
    )
    return works
