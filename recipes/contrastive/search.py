"""Fill an index from folders, and search it by a text or an image; results as a page of pictures."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from extraction.errors import AssayError
from extraction.generate.weights import sampled
from extraction.slide.patches import ENOUGH
from finetune.page import page
from finetune.processes import say
from recipes.contrastive.data import Left
from recipes.contrastive.embed import embed
from recipes.contrastive.folders import images_of, slides_of, tell_left_out
from recipes.contrastive.images import Picture, UnreadableError, why_closed
from recipes.contrastive.index import Hit, Index
from recipes.contrastive.load import Dual, adapter_of, encode_pixels, encode_texts
from recipes.contrastive.slides import Drawn, is_slide, look, passed_over, pictures_of, told
from recipes.contrastive.stored import Item

_TOKENS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model")
_FILE = re.compile(r"\S+\.[A-Za-z]\w{1,3}")
_SIDE = 220  # pixels of a picture's longer side in the page
_CSS = """
<style>.hits { display: flex; flex-wrap: wrap; gap: 1rem } .hits figure { width: 230px; background: #f6f8fa;
padding: 8px; border-radius: 6px } .hits img { max-width: 100%; display: block; margin: 0 auto 6px }
.hits figcaption { font-size: 12px; overflow-wrap: anywhere } .score { font-weight: 600; font-size: 14px }</style>
"""


@dataclass(frozen=True)
class Filled:
    """What filling an index did."""

    added: int
    kept: int
    dropped: int
    left: Left
    how: str

    def __str__(self) -> str:
        said = f"{self.added} images added, {self.kept} there already, {self.dropped} gone or changed; {self.how}"
        return said + (f"\nLeft out:\n{self.left.lines()}" if self.left.counts else "")


def fill(index: Index, folder: Path, dual: Dual) -> Filled:
    """Add a folder's images that are new or changed, and drop those of it that are gone.

    Raises:
        AssayError: there is no such folder, it holds no image, or the index is another model's.
    """
    if folder.is_file():
        raise AssayError(f"{folder} is a file, and folders are indexed: name the one that it lies in.")
    if not folder.is_dir():
        raise AssayError(f"There is no folder {folder}.")
    left = Left()
    here = _items(folder.resolve(), left)
    tell_left_out(folder.resolve(), left, slides=True)
    if not here and not index.there():
        raise _no_image(folder, left)
    name = str(Path(dual.name).resolve()) if Path(dual.name).exists() else dual.name  # searched from anywhere
    index.begin(name, identity(dual), encode_texts(dual, ["a"]).shape[1])
    with index.filling():
        return _fill(index, folder, here, dual, left)


def identity(dual: Dual) -> dict[str, str]:
    """What tells a model's vectors from another's: samples of its weights, its adapter's, and how it is fed."""
    adapter = adapter_of(dual.name)
    tokens = hashlib.sha256()
    for file in sorted(dual.source / name for name in _TOKENS):
        if file.exists():
            tokens.update(f"{file.name} {file.stat().st_size} ".encode() + file.read_bytes())
    words = {key: getattr(dual.words, key) for key in ("length", "fixed", "cleaned")}
    made = {
        "base": sampled(str(dual.source)),
        "preprocessing": json.dumps(asdict(dual.preprocess), sort_keys=True),
        "tokenizer": f"{tokens.hexdigest()} {json.dumps(words)}",
    }
    return made | ({"adapter": sampled(str(adapter))} if adapter else {})


def _items(folder: Path, left: Left) -> list[Item]:
    """The images and slides of a folder; what cannot be looked at, as a link to nothing, is counted in `left`."""
    made = []
    for path in sorted({*images_of(folder), *slides_of(folder)}):  # a DICOM called .svs is in both
        try:
            made.append(Item.of(path))
        except OSError as error:
            left.add("unreadable image", f"{path} cannot be read: {why_closed(path, error)}.")
    return made


def _no_image(folder: Path, left: Left) -> AssayError:
    why = f"; left out: {left}" if left.counts else ""
    return AssayError(f"{folder} holds no image (PNG, JPEG, TIFF, WebP, BMP, GIF, DICOM, slides){why}.")


def _fill(index: Index, folder: Path, here: Sequence[Item], dual: Dual, left: Left) -> Filled:
    from tqdm import tqdm

    root = folder.resolve()
    known: dict[tuple[str, int, int], list[int]] = {}
    wanted: dict[tuple[str, int, int], int] = {}
    for row, item in index.items():
        if Path(item.path).is_relative_to(root):
            known.setdefault(item.file, []).append(row)
            wanted[item.file] = item.pictures
    if not here and not known:
        raise _no_image(folder, left)
    if not here:
        raise AssayError(
            f"{folder} holds no picture any more, and the index knows {len(known)} of it: is it mounted? Remove "
            f"{index.folder} to start anew."
        )
    whole = {file for file, rows in known.items() if len(rows) == wanted[file]}  # not stopped within a slide
    kept = whole & {item.file for item in here}
    gone = [row for file, rows in known.items() if file not in kept for row in rows]
    index.drop(gone)
    new = [item for item in here if item.file not in kept]
    made: list[Item] = []

    def rows() -> Iterator[tuple[Item, np.ndarray]]:
        with tqdm(total=len(new), desc="indexing", disable=None, unit="image", leave=False) as bar:
            for numbers, vectors in embed(dual, _shown(new, made, left), left):
                bar.total = max(len(new), len(made))
                bar.update(len(numbers))
                yield from ((made[number], vector) for number, vector in zip(numbers, vectors, strict=True))

    added = index.add(rows())
    return Filled(added, sum(len(known[file]) for file in kept), len(gone), left, index.build())


def _shown(files: Sequence[Item], made: list[Item], left: Left) -> Iterator[Picture | Drawn]:
    """The pictures of files, one of each, or of a slide its patches; the item of each is put in `made` before."""
    for item in files:
        path = Path(item.path)
        if not is_slide(path):
            made.append(item)
            yield Picture(path)
            continue
        try:
            for number, (place, count, picture) in enumerate(pictures_of(path)):
                if place is None:
                    left.add("patches of a slide that does not say its resolution, and is seen whole", str(path))
                elif number == 0 and (less := passed_over(path, place[2], count)):
                    left.add(f"patches with less than {ENOUGH:.0%} tissue", f"{path}: {less} of {less + count}", less)
                made.append(replace(item, place=place, pictures=count))
                yield picture
        except UnreadableError as error:
            left.add(error.lacks or "unreadable slide", str(path if error.lacks else error))


def query_vector(dual: Dual, query: str) -> np.ndarray:
    """The vector [1, width] of a text, or of the image in a file.

    Raises:
        AssayError: the query is empty, or a file's name and there is none, or one that cannot be read.
    """
    import torch

    if not query.strip():
        raise AssayError("There is nothing to search for; give a text, or an image's file.")
    path = _there(query)
    if path and path.is_file():
        pixels = dual.preprocess.pixels(look(path))
        return np.asarray(encode_pixels(dual, torch.from_numpy(pixels[None].copy())).numpy())
    if path and path.is_dir():
        raise AssayError(f"{query} is a folder; name an image, or search for a text.")
    if _FILE.fullmatch(query) or ("/" in query and _FILE.fullmatch(query.split()[-1])):
        raise AssayError(f"There is no file {query}; name an image, or search for a text.")
    if cut := dual.words.told_cut([query], "texts to search for"):
        say(f"Note: {cut}.")
    return np.asarray(encode_texts(dual, [query]).numpy())


def _there(query: str) -> Path | None:
    """The file or folder that a query names; None for a text, which may be longer than a name can be."""
    try:
        return path if (path := Path(query)).exists() else None
    except OSError:
        return None


def search(index: Index, dual: Dual, query: str, count: int, exact: bool = False) -> list[Hit]:
    """The images nearest to a text or an image, the nearest first.

    Raises:
        AssayError: see `query_vector`; or the index is another model's, or holds no image.
    """
    index.check(dual.name, identity(dual))
    if len(index.dropped()) >= index.starts[-1]:
        raise AssayError(f"The index in {index.folder} holds no image; add some: assay index IMAGES --out FOLDER.")
    rows, scores = index.search(query_vector(dual, query), count, exact)
    return index.hits(rows[0], scores[0])


def hits_page(query: str, hits: Sequence[Hit], model: str) -> str:
    """A page of its own with the pictures that were found, small, and their similarities."""
    asked = html.escape(query)
    if path := _there(query):
        asked = f"{html.escape(path.name)}</h1><p><img alt='what was searched for' src='{_small(Hit(path, 1.0))}'></p>"
    else:
        asked = f"“{asked}”</h1>"
    cards = "".join(
        f"<figure><img alt='{number}' src='{_small(hit)}'><figcaption><span class=score>{number}. "
        f"{hit.score:.3f}</span><br>{html.escape(f'{hit.path}{told(hit.place)}')}</figcaption></figure>"
        for number, hit in enumerate(hits, 1)
    )
    note = f"<p>Cosine similarity by {html.escape(model)}; {len(hits)} images. It ranks; it is no finding.</p>"
    return page("Assay search", f"{_CSS}<h1>{asked}{note}<div class=hits>{cards}</div>")


def _small(hit: Hit) -> str:
    """A picture as a data URI of at most _SIDE pixels; an empty one where it is gone."""
    try:
        image = look(hit.path, hit.place)
    except UnreadableError:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
