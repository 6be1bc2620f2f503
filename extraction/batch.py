"""Many documents: which ones, where their records go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from extraction.api import Extractor
from extraction.errors import AssayError
from extraction.record.record import Record

# Documents whose answers are decoded together, and whose records are written as each is finished.
_TOGETHER = 32


def find_files(paths: Sequence[Path], out: Path) -> list[Path]:
    """The documents behind files and folders, checked before any model is loaded.

    Raises:
        AssayError: a path that does not exist, a folder without PDF, two files whose records would have the same
            name, or an output folder that is not empty.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".pdf")
            if not found:
                raise AssayError(f"The folder {path} holds no PDF.")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise AssayError(f"{path} does not exist.")
    names: dict[str, Path] = {}
    for file in files:
        if file.stem in names:
            raise AssayError(f"{names[file.stem]} and {file} would both become {file.stem}.json; extract them apart.")
        names[file.stem] = file
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AssayError(f"The output folder {out} is not empty; choose another.")
    return files


def extract_files(extractor: Extractor, files: Sequence[Path], out: Path) -> Iterator[Record]:
    """Write `out/NAME.json` for every file and yield the records, a progress bar on standard error."""
    from tqdm import tqdm

    out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(files), desc="extracting", unit="file", leave=False) as bar:
        for start in range(0, len(files), _TOGETHER):
            group = files[start : start + _TOGETHER]

            def done(index: int, record: Record, group: Sequence[Path] = group) -> None:
                record.save(out / f"{group[index].stem}.json")
                bar.update()

            yield from extractor.extract_all(group, done)
