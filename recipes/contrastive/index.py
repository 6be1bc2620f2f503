"""An index of images: their vectors on disk, new and changed files added, searched exactly or by FAISS.

Vectors are kept in parts that are written whole, so that a stopped start goes on where it was and no more than a part
is ever in memory. FAISS is an extra: from ROWS images on it makes search faster, at a recall that is measured when it
is made.
"""

from __future__ import annotations

import json
import sys
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

FACTS, PARTS, DROPPED, FAISS, LOCK = "index.json", "parts", "dropped.json", "vectors.faiss", "filling.lock"
PART = 16_384  # images of a part
ROWS = 20_000  # below, an exact search takes some hundredths of a second
RECALL = 0.97  # at 10 that FAISS must reach against the exact search, over QUERIES of the images
QUERIES = 200
_PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_SAMPLE = 64  # vectors a cell is trained on
_AGAIN = 8  # times as many candidates as are wanted are compared again in float16


@dataclass(frozen=True)
class Item:
    """An image of an index: its file, and what tells whether it has changed."""

    path: str
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Item:
        """The item of a file by its path as it lies: where a link leads may be outside of the folder it is known by."""
        found = path.stat()
        return cls(str(path.absolute()), found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Hit:
    """An image that was found, and its cosine similarity to what was asked."""

    path: Path
    score: float


class Index:
    """An index's folder.

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
            self._write_facts({"model": model, "identity": identity, "width": width})

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
        with _reading(self.folder / FACTS):
            found = dict(json.loads((self.folder / FACTS).read_text(encoding="utf-8")))
            return {"model": found["model"], "identity": found["identity"], "width": found["width"], **found}

    def check(self, model: str, identity: dict[str, str]) -> None:
        """Raise AssayError where the vectors are another model's: their neighbours would mean nothing."""
        facts = self.facts
        if facts["identity"] != identity:
            raise AssayError(
                f"The index in {self.folder} was made by {facts['model']}, and {model} has other weights; name the "
                "model that made it, or index the images again into another folder."
            )

    def _write_facts(self, facts: dict[str, Any]) -> None:
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

    def _items(self, part: int) -> list[Item]:
        """The items of a part, one for each of its vectors."""
        with _reading(file := self.parts / f"{self.names()[part]}.jsonl"):
            lines = file.read_text(encoding="utf-8").split("\n")[:-1]
            if len(lines) != len(self.vectors[part]):
                raise ValueError(f"{len(lines)} lines for {len(self.vectors[part])} vectors")
            return [Item(**json.loads(line)) for line in lines]

    def items(self) -> Iterator[tuple[int, Item]]:
        """The row of each image with its item, dropped ones left out."""
        gone = self.dropped()
        row = 0
        for part in range(len(self.vectors)):
            for item in self._items(part):
                if row not in gone:
                    yield row, item
                row += 1

    def dropped(self) -> set[int]:
        """Rows whose files are gone or have changed."""
        file = self.folder / DROPPED
        if not file.exists():
            return set()
        with _reading(file):
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
            with _reading(file := self.parts / f"{name}.npy"):
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

    def search(self, queries: np.ndarray, count: int, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """As `exact`, by FAISS where it was measured to find enough, knows all images, and not `exact`."""
        probes = self.facts.get("probes")
        if exact or probes == 0 or not (self.folder / FAISS).exists():
            return self.exact(queries, count)
        if probes is None or self._loaded.ntotal != self.starts[-1]:  # stopped after vectors, before FAISS's file
            print(
                f"Searched exactly: {self.folder / FAISS} is not up to date; run `assay index` again.", file=sys.stderr
            )
            return self.exact(queries, count)
        return self._fast(queries, count, int(probes))

    def _fast(self, queries: np.ndarray, count: int, probes: int) -> tuple[np.ndarray, np.ndarray]:
        """FAISS's candidates, compared again by their own vectors."""
        index = self._loaded
        index.nprobe = probes
        gone = self.dropped()
        _, candidates = index.search(np.ascontiguousarray(queries, np.float32), _AGAIN * count + min(len(gone), 1000))
        rows = np.full((len(queries), count), -1)
        scores = np.full((len(queries), count), -np.inf, np.float32)
        for number, found in enumerate(candidates):
            kept = np.asarray([row for row in found if row >= 0 and row not in gone], int)
            if len(kept):
                near = self.at(kept) @ queries[number].astype(np.float32)
                first = np.argsort(-near, kind="stable")[:count]
                rows[number, : len(first)], scores[number, : len(first)] = kept[first], near[first]
        return rows, scores

    @cached_property
    def _loaded(self) -> Any:
        faiss = _faiss()
        return self._read(faiss, faiss.IO_FLAG_MMAP)

    def _read(self, faiss: Any, flags: int = 0) -> Any:
        with _reading(self.folder / FAISS, "delete it and run `assay index` again"):
            return faiss.read_index(str(self.folder / FAISS), flags)

    def build(self) -> str:
        """Make, or bring up to date, FAISS's file where there are ROWS images or more; what was done, for people.

        Cells of an inverted file (a sample of the vectors is clustered), vectors in 8 bits. The number of cells that a
        search looks into is the least by which RECALL is reached; where none does, the search stays exact.
        """
        for name in ("vectors", "starts", "_loaded"):
            self.__dict__.pop(name, None)
        total = int(self.starts[-1])
        facts = {name: self.facts[name] for name in ("model", "identity", "width")}  # not yet what FAISS finds
        facts["parts"] = len(self.vectors)
        self._write_facts(facts)
        if total < ROWS:
            return "searched exactly"
        faiss = _faiss(needed=False)
        if faiss is None:
            return "searched exactly; pip install 'assay[search]' makes searches of so many images faster"
        index = self._trained(faiss, total)
        for start, part in zip(self.starts, self.vectors, strict=False):
            new = max(0, index.ntotal - int(start))
            if new < len(part):
                index.add(np.asarray(part[new:], np.float32))
        partial = self.folder / f"{FAISS}.tmp"
        faiss.write_index(index, str(partial))
        partial.replace(self.folder / FAISS)
        probes, recall = self._measure(index.nlist)
        enough = recall >= RECALL
        self._write_facts({**facts, "probes": probes if enough else 0, "cells": index.nlist, "recall_at_10": recall})
        if not enough:
            return f"searched exactly; FAISS reaches a recall at 10 of {recall:.3f} alone, and {RECALL} is wanted"
        return (
            f"searched by FAISS, {probes} of {index.nlist} cells, recall at 10 of {recall:.3f} against the exact search"
        )

    def _trained(self, faiss: Any, total: int) -> Any:
        """The index on disk, or a new one where there is none or it is of a quarter of the images, or of others."""
        if (self.folder / FAISS).exists():
            index = self._read(faiss)
            if total <= index.ntotal * 4 <= 4 * total:
                return index
        cells = 2 ** round(np.log2(2 * np.sqrt(total)))
        width = int(self.facts["width"])
        sample = np.sort(np.random.default_rng(0).choice(total, min(total, _SAMPLE * cells), replace=False))
        index = faiss.index_factory(width, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.train(self.at(sample))
        return index

    def _measure(self, cells: int) -> tuple[int, float]:
        """The fewest cells by which images find their neighbours as the exact search does, and how often they do."""
        rows = np.random.default_rng(1).choice(int(self.starts[-1]), QUERIES, replace=False)
        queries = self.at(np.sort(rows))
        truth, _ = self.exact(queries, 10)
        recall = 0.0
        for probes in (*(p for p in _PROBES if p < cells), cells):
            found, _ = self._fast(queries, 10, probes)
            recall = recall_of(found, truth)
            if recall >= RECALL:
                break
        return probes, recall

    def hits(self, rows: np.ndarray, scores: np.ndarray) -> list[Hit]:
        """The images of one query's rows."""
        made = []
        for row, score in zip(rows, scores, strict=True):
            if row >= 0:
                part = int(np.searchsorted(self.starts, row, side="right")) - 1
                item = self._items(part)[int(row) - int(self.starts[part])]
                made.append(Hit(Path(item.path), float(score)))
        return made


def _damaged(file: Path, why: object, remedy: str = "make the index again in a new folder") -> AssayError:
    return AssayError(f"{file} is damaged ({str(why).partition(chr(10))[0]}); {remedy}.")


@contextmanager
def _reading(file: Path, remedy: str = "make the index again in a new folder") -> Iterator[None]:
    """What goes wrong in reading a file of an index, told as its damage."""
    try:
        yield
    except AssayError:
        raise
    except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError) as error:
        raise _damaged(file, error, remedy) from None


def _best(rows: np.ndarray, scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(rows, first, 1), np.take_along_axis(scores, first, 1)


def recall_of(found: np.ndarray, truth: np.ndarray) -> float:
    """The share of the true neighbours [n, k] that are among those found [n, k]."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)]))


def _faiss(needed: bool = True) -> Any:
    try:
        import faiss
    except ImportError:
        if needed:
            raise AssayError(
                "The index was made with FAISS: pip install 'assay[search]', or search with --exact."
            ) from None
        return None
    return faiss
