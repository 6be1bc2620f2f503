"""The folder of an index: vectors in parts, the images they are of, which are gone, and the exact search.

Parts are written whole, so that a stopped start goes on where it was and no more than a part is ever in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from extraction.errors import AssayError
from extraction.files import write_whole

FACTS, PARTS, DROPPED, LOCK = "index.json", "parts", "dropped.json", "filling.lock"
_FED = ("preprocessing", "tokenizer")
PART = 16_384  # images of a part


@dataclass(frozen=True)
class Item:
    """An image of an index: its file, what tells whether it has changed, and where in it the image is.

    Attributes:
        place: of a patch of a slide (`slides.Place`); none where the file is one image.
        pictures: how many images of its file an index has, if it was not stopped between them.
    """

    path: str
    size: int
    changed: int
    place: Sequence[float] | None = None
    pictures: int = 1

    @property
    def file(self) -> tuple[str, int, int]:
        """The file as it was."""
        return self.path, self.size, self.changed

    @classmethod
    def of(cls, path: Path) -> Item:
        """The item of a file by its path as it lies: where a link leads may be outside of the folder it is known by."""
        found = path.stat()
        return cls(str(path.absolute()), found.st_size, found.st_mtime_ns)


class Stored:
    """An index's folder, and the exact search in it.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.parts = folder / PARTS
        self._lock = FileLock(folder / LOCK)

    def begin(self, model: str, identity: dict[str, str], width: int) -> None:
        """Make the folder, or recognise it as an index of this very model.

        Raises:
            AssayError: the folder holds something else, or vectors of another model.
        """
        if not self.there() and not (self.folder / LOCK).exists():  # with a lock, one is being made
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise AssayError(f"{self.folder} is not empty and holds no index; choose another folder.")
            self.folder.mkdir(parents=True, exist_ok=True)
        with self.filling():
            if self.there():
                self.check(model, identity)
                return
            self.parts.mkdir(exist_ok=True)
            self.write_facts({"model": model, "identity": identity, "width": width})

    def there(self) -> bool:
        """Whether the folder holds an index."""
        return (self.folder / FACTS).exists()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Keep all others from writing; AssayError where another does."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise AssayError(
                f"Another `assay index` is filling {self.folder}; start again when it has ended."
            ) from None
        try:
            yield
        finally:
            self._lock.release()

    @property
    def facts(self) -> dict[str, Any]:
        """Which model made it, how wide its vectors are, what FAISS was measured to find.

        Raises:
            AssayError: there is no index, or its file is damaged.
        """
        if not self.there():
            raise AssayError(f"{self.folder} holds no index; make one: assay index IMAGES --out FOLDER.")
        with reading(self.folder / FACTS):
            found = dict(json.loads((self.folder / FACTS).read_text(encoding="utf-8")))
            return {"model": found["model"], "width": found["width"], **found, "identity": dict(found["identity"])}

    def check(self, model: str, identity: dict[str, str]) -> None:
        """Raise AssayError where the vectors are of another model, or of one fed otherwise: neighbours mean nothing."""
        facts = self.facts
        # An index that is older than the notes of how a model is fed tells nothing of it.
        known = {key: identity[key] for key in _FED if key in identity} | facts["identity"]
        if other := [key for key in (*known, *identity) if known.get(key) != identity.get(key)]:
            what = f"another {other[0]}" if other[0] in _FED else "other weights"
            raise AssayError(
                f"The index in {self.folder} was made by {facts['model']}, and {model} has {what}; name the model that "
                "made it, or index the images again into another folder."
            )

    def write_facts(self, facts: dict[str, Any]) -> None:
        """Write what `facts` gives."""
        write_whole(self.folder / FACTS, json.dumps(facts, indent=1) + "\n")

    def names(self) -> list[str]:
        """The parts that are whole, in order: a part's list of items is written last.

        Raises:
            AssayError: one was lost; rows would be other images'.
        """
        found = sorted(path.stem for path in self.parts.glob("*.jsonl"))
        all_ = [f"{number:06}" for number in range(max(len(found), int(self.facts.get("parts", 0))))]
        if lost := sorted(set(all_) - set(found)):
            raise _damaged(self.parts / f"{lost[0]}.jsonl", "it is missing")
        return found

    def items_of(self, part: int, some: slice = slice(None)) -> list[Item]:
        """The items, or some of them, of a part that has one for each of its vectors."""
        with reading(file := self.parts / f"{self.names()[part]}.jsonl"):
            lines = file.read_text(encoding="utf-8").split("\n")[:-1]
            if len(lines) != len(self.vectors[part]):
                raise ValueError(f"{len(lines)} lines for {len(self.vectors[part])} vectors")
            return [Item(**json.loads(line)) for line in lines[some]]

    def items(self) -> Iterator[tuple[int, Item]]:
        """The row of each image with its item, dropped ones left out."""
        gone = self.dropped()
        row = 0
        for part in range(len(self.vectors)):
            for item in self.items_of(part):
                if row not in gone:
                    yield row, item
                row += 1

    def dropped(self) -> set[int]:
        """Rows whose files are gone or have changed."""
        file = self.folder / DROPPED
        if not file.exists():
            return set()
        with reading(file):
            rows = set(json.loads(file.read_text(encoding="utf-8")))
            if not all(type(row) is int for row in rows):
                raise ValueError("not all are rows")
            return rows

    def drop(self, rows: Sequence[int]) -> None:
        """Take rows out of all searches."""
        if rows:
            write_whole(self.folder / DROPPED, json.dumps(sorted(self.dropped() | set(rows))))

    def add(self, rows: Iterator[tuple[Item, np.ndarray]]) -> int:
        """Write images with their vectors (float32 [width], length 1), part by part; how many there were."""
        total = 0
        while some := list(islice(rows, PART)):
            names = self.names()
            name = f"{int(names[-1]) + 1 if names else 0:06}"
            partial = self.parts / f"{name}.tmp"
            with partial.open("wb") as file:
                np.save(file, np.stack([vector for _, vector in some]).astype(np.float16))
            partial.replace(self.parts / f"{name}.npy")
            lines = (json.dumps(vars(item), ensure_ascii=False) for item, _ in some)
            write_whole(self.parts / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
            total += len(some)
        return total

    @cached_property
    def vectors(self) -> list[np.ndarray]:
        """The vectors of each part, float16 [n, width], read from disk as they are needed."""
        made = []
        for name in self.names():
            with reading(file := self.parts / f"{name}.npy"):
                made.append(np.load(file, mmap_mode="r"))
        return made

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of each part, and the number of all rows."""
        return np.cumsum([0, *(len(part) for part in self.vectors)])

    def exact(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and similarities [n, count] of the nearest images, the nearest first; -1 where there are no more.

        Args:
            queries: [n, width], length 1.
        """
        gone = np.fromiter(self.dropped(), int)
        rows = np.full((len(queries), count), -1)
        scores = np.full((len(queries), count), -np.inf, np.float32)
        for start, part in zip(self.starts, self.vectors, strict=False):
            found = queries.astype(np.float32) @ np.asarray(part, np.float32).T
            found[:, gone[(gone >= start) & (gone < start + len(part))] - start] = -np.inf
            here = np.broadcast_to(np.arange(start, start + len(part)), found.shape)
            rows, scores = _best(np.hstack([rows, here]), np.hstack([scores, found]), count)
        return np.where(np.isfinite(scores), rows, -1), scores

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Vectors [n, width] of rows, float32."""
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        return np.stack([self.vectors[p][row - self.starts[p]] for p, row in zip(parts, rows, strict=True)]).astype(
            np.float32
        )


def _damaged(file: Path, why: object, remedy: str = "make the index again in a new folder") -> AssayError:
    return AssayError(f"{file} is damaged ({str(why).partition(chr(10))[0]}); {remedy}.")


@contextmanager
def reading(file: Path, remedy: str = "make the index again in a new folder") -> Iterator[None]:
    """What goes wrong in reading a file of an index, told as its damage."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError) as error:
        raise _damaged(file, error, remedy) from None


def _best(rows: np.ndarray, scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(rows, first, 1), np.take_along_axis(scores, first, 1)
