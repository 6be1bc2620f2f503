"""Many images through a vision tower: read in threads, a batch at a time, the unreadable ones named and passed over."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from recipes.contrastive.data import Left
from recipes.contrastive.images import Preprocess, UnreadableError
from recipes.contrastive.load import Dual, encode_pixels

BATCH = 32


def read_pixels(pictures: Iterable[Any], preprocess: Preprocess, left: Left) -> Iterator[tuple[int, np.ndarray]]:
    """The number of each picture with its pixels (uint8 [height, width, 3]), in order; at most a few are held.

    Those that cannot be read, and pages and frames that are not seen, are counted in `left`.
    """

    def work(picture: Any) -> tuple[np.ndarray, int, str] | UnreadableError:
        try:
            image = picture.open()
            return preprocess.pixels(image), int(image.info.get("more", 0)), str(image.info.get("warning", ""))
        except UnreadableError as error:
            return error

    workers = max(1, os.cpu_count() or 1)
    numbered = enumerate(pictures)
    waiting: deque[tuple[int, Any, Future[Any]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number, picture in islice(numbered, 4 * workers):
            waiting.append((number, picture, pool.submit(work, picture)))
        while waiting:
            number, picture, future = waiting.popleft()
            for following, other in islice(numbered, 1):
                waiting.append((following, other, pool.submit(work, other)))
            made = future.result()
            if isinstance(made, UnreadableError):
                left.add(made.lacks or "unreadable image", str(picture if made.lacks else made))
                continue
            pixels, more, warning = made
            if more:
                left.add("pages or frames beside the one that is seen", f"{picture} has {more}")
            if warning:
                left.add(f"nothing, but a warning: {warning.removeprefix('Warning: ').rstrip('.')}", str(picture))
            yield number, pixels


def embed(
    dual: Dual, pictures: Iterable[Any], left: Left, batch: int = BATCH
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Numbers of pictures with their vectors (float32 [n, width], length 1), a batch at a time."""
    import torch

    pixels = read_pixels(pictures, dual.preprocess, left)
    while some := list(islice(pixels, batch)):
        numbers = [number for number, _ in some]
        yield numbers, encode_pixels(dual, torch.from_numpy(np.stack([one for _, one in some]))).numpy()


def embed_all(dual: Dual, pictures: list[Any], left: Left, label: str = "") -> tuple[list[int], np.ndarray]:
    """As `embed`, all at once: the numbers of the readable pictures, and their vectors.

    Args:
        label: shown beside a progress bar on standard error; no bar when empty.
    """
    from tqdm import tqdm

    numbers: list[int] = []
    made: list[np.ndarray] = []
    with tqdm(total=len(pictures), desc=label, disable=not label or None, unit="image", leave=False) as bar:
        for some, vectors in embed(dual, pictures, left):
            numbers += some
            made.append(vectors)
            bar.update(len(some))
    return numbers, np.concatenate(made) if made else np.zeros((0, 1), np.float32)
