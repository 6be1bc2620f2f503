"""What of a folder is to be read: every file, but for some kinds that are nobody's documents, which are counted."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from extraction.errors import AssayError
from extraction.record.index import NAME

_SYSTEM = ("thumbs.db", "desktop.ini")
_OWN = "_manifest"
_JSON = (".json", ".jsonl")


@dataclass(frozen=True)
class Found:
    """The files behind paths.

    Attributes:
        files: each file that is to be read, and its name within the folder that was named.
        skipped: how many others there are, by kind; see `choose`.
    """

    files: list[tuple[Path, PurePath]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def find_files(paths: Sequence[Path]) -> Found:
    """The files behind files and folders; a file that is named itself is always read.

    Raises:
        AssayError: a path that does not exist, a folder that cannot be read or has nothing to read.
    """
    found = Found()
    for path in paths:
        if path.is_dir():
            names, skipped = choose(_walk(path))
            if not names:
                raise AssayError(f"The folder {path} holds no PDF and no image.")
            found.files.extend((path / name, name) for name in names)
            found.skipped.update(skipped)
        elif path.exists():
            found.files.append((path, PurePosixPath(path.name)))
        else:
            raise AssayError(f"{path} does not exist.")
    return found


def is_hidden(name: PurePath) -> bool:
    """Whether a file within a folder, or a folder in it, is hidden in the way of Unix, macOS, Windows or Office."""
    return any(part.startswith((".", "~$")) for part in name.parts) or name.name.lower() in _SYSTEM


def choose(names: Iterable[PurePosixPath]) -> tuple[list[PurePosixPath], Counter[str]]:
    """Of the names in a folder those to be read, sorted, and how many are not, by kind.

    Not read, and no mistake, are: hidden files (in the way of Unix, macOS, Windows and Office, and Assay's manifest),
    JSON files, which are labels or records and no documents, and evidence pages (`a.html` beside `a.json`). All others
    are to be read; what then cannot be is refused by name.
    """
    ordered = sorted(names)
    json_files = {name for name in ordered if name.suffix.lower() in _JSON}
    batches = {parent for name in ordered for parent in name.parents if (parent / _OWN) in name.parents}
    skipped: Counter[str] = Counter()
    chosen = []
    for name in ordered:
        if is_hidden(name) or _OWN in name.parts:
            skipped["hidden files"] += 1
        elif name in json_files:
            skipped["JSON files"] += 1
        elif (name.suffix == ".html" and name.with_suffix(".json") in json_files) or (
            name.name == NAME and name.parent in batches
        ):
            skipped["evidence pages"] += 1
        else:
            chosen.append(name)
    return chosen, skipped


def told(skipped: Counter[str]) -> str:
    """A line for people: "Skipped: hidden files (2), JSON files (1)."."""
    return f"Skipped: {', '.join(f'{kind} ({count})' for kind, count in sorted(skipped.items()))}."


def _walk(folder: Path) -> Iterator[PurePosixPath]:
    """Names of all files in a folder and those in it; what a link to a folder leads to is not followed."""

    def cannot(error: OSError) -> None:
        raise AssayError(f"The folder {error.filename} cannot be read ({error.strerror}): check its permissions.")

    for root, folders, files in os.walk(folder, onerror=cannot):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*files, *links):
            yield PurePosixPath((here / name).relative_to(folder).as_posix())
