"""An index of images, searched exactly or by FAISS.

FAISS is an extra: from ROWS images on it makes search faster, at a recall that is measured when it is made.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from extraction.errors import AssayError
from recipes.contrastive.slides import Place
from recipes.contrastive.stored import Stored, reading

FAISS = "vectors.faiss"
ROWS = 20_000  # below, an exact search takes some hundredths of a second
RECALL = 0.97  # at 10 that FAISS must reach against the exact search, over QUERIES of the images
QUERIES = 200
_PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_SAMPLE = 64  # vectors a cell is trained on
_AGAIN = 8  # times as many candidates as are wanted are compared again in float16


@dataclass(frozen=True)
class Hit:
    """An image that was found, its cosine similarity to what was asked, and its place on a slide."""

    path: Path
    score: float
    place: Place | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a place has left, top and width in pixels of the slide's finest level."""
        place = dict(zip(("left", "top", "width"), self.place, strict=True)) if self.place else None
        return {"image": str(self.path), "score": round(self.score, 4)} | ({"place": place} if place else {})


class Index(Stored):
    """An index that FAISS makes faster where it is large."""

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
        with reading(self.folder / FAISS, "delete it and run `assay index` again"):
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
        facts["parts"] = len(self.vectors)  # by which lost ones are missed
        self.write_facts(facts)
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
        self.write_facts({**facts, "probes": probes if enough else 0, "cells": index.nlist, "recall_at_10": recall})
        if not enough:
            return f"searched exactly; FAISS reaches a recall at 10 of {recall:.3f}, less than {RECALL}"
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
                at = int(row - self.starts[part])
                [item] = self.items_of(part, slice(at, at + 1))
                place = (item.place[0], item.place[1], item.place[2]) if item.place else None
                made.append(Hit(Path(item.path), float(score), place))
        return made


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
