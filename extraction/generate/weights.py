"""Which weights a model has: all of them digested, or pieces of them where that would take longer than to load them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.generate.hub import resolve_model

_PIECES, _PIECE = 64, 2**14  # pieces of a file, and their bytes


def fingerprint(model: str) -> str:
    """SHA-256 over a model's weight files, in the order of their names.

    Raises:
        AssayError: the model has no safetensors files here.
    """
    digest = hashlib.sha256()
    for path in _files(model):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def sampled(model: str) -> str:
    """SHA-256 over the sizes of a model's weight files and pieces from everywhere of them; raises as `fingerprint`."""
    digest = hashlib.sha256()
    take_samples(_files(model), digest)
    return digest.hexdigest()


def take_samples(files: Iterable[Path], digest: Any) -> None:
    """Take each file's size and pieces from everywhere of it into a digest: milliseconds, whatever its length."""
    for path in files:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            for number in range(_PIECES):
                file.seek(max(file.tell(), number * (size - _PIECE) // (_PIECES - 1)))  # the last is the end
                digest.update(file.read(_PIECE))


def check_base(base: str, trained_on: str | None, adapter: Path) -> None:
    """Raise AssayError where a base's weights are not those of an adapter's training, as `sampled` told them then.

    An adapter on other weights of the same shape answers, and worse, without a word. `None`: an adapter that does not
    say; nothing is checked.
    """
    if trained_on and sampled(base) != trained_on:
        raise AssayError(
            f"The adapter in {adapter} was trained on other weights than {base} has now; give back those of the "
            "training, or train again on these."
        )


def _files(model: str) -> list[Path]:
    source = Path(model)
    if not any(source.glob("*.safetensors")):  # a folder with weights needs no config to be known by them
        source = Path(resolve_model(model))
    if not source.exists():
        from huggingface_hub import snapshot_download

        source = Path(snapshot_download(str(source), local_files_only=True))
    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise AssayError(f"{model} has no safetensors weights in {source}.")
    return files
