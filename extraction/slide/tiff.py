"""What the directories of a TIFF file say: whether it is a whole slide, whether it was cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

_WIDTH, _LENGTH, _TILE_WIDTH, _NDPI = 256, 257, 322, 65420
_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # bytes of a value, by the types that whole numbers have
_MOST = 10_000  # directories

Tags = dict[int, int]


def directories(file: BinaryIO) -> Iterator[Tags]:
    """Each directory's tags with one whole number, or 0 for what else they have; none of a file that is no TIFF.

    Raises:
        EOFError: a directory lies beyond the file's end.
    """
    size = file.seek(0, os.SEEK_END)

    def number(at: int, count: int) -> int:
        if at + count > size:
            raise EOFError
        file.seek(at)
        return int.from_bytes(file.read(count), order)  # type: ignore[arg-type]

    file.seek(0)
    head = file.read(4)
    if head not in (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"):
        return
    order, big = "little" if head[:1] == b"I" else "big", b"+" in head
    # How many bytes the number of entries, an entry, an offset have; in BigTIFF and in TIFF 6.0.
    many, entry, offset = (8, 20, 8) if big else (2, 12, 4)
    at, seen = number(8 if big else 4, offset), set[int]()
    while at and at not in seen and len(seen) < _MOST:
        seen.add(at)
        count = number(at, many)
        end = at + many + entry * count
        following = number(end, offset)
        tags: Tags = {}
        for one in range(at + many, end, entry):
            known = _SIZES.get(number(one + 2, 2), 0) if number(one + 4, offset) == 1 else 0
            tags[number(one, 2)] = number(one + 4 + offset, known)
        yield tags
        at = following


def is_slide(file: BinaryIO) -> bool:
    """Whether a file is a TIFF as scanners of slides write it: in tiles, and no stack of pages of one size.

    Raises:
        EOFError: it was cut off.
    """
    sizes: list[tuple[int, int]] = []
    for tags in directories(file):
        if _NDPI in tags:
            return True
        if not sizes and _TILE_WIDTH not in tags:
            return False
        sizes.append((tags.get(_WIDTH, 0), tags.get(_LENGTH, 0)))
    return len(set(sizes)) > 1 or len(sizes) == 1
