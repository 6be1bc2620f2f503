"""The images that are trained on: drawn once, and what a frozen model sees in them computed once before training."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
import transformers
from PIL import Image
from transformers.modeling_outputs import BaseModelOutputWithPooling

from extraction.errors import AssayError
from extraction.example import ImagePart
from extraction.families import Family

# Images in a file, which is what a kill can cost, and images that the tower sees at once.
_SHARD, _BATCH = 32, 4


def keep_pixels(rows: Sequence[dict[str, Any]], family: Family, folder: Path) -> list[dict[str, Any]]:
    """The rows of `encode` with `files` in the place of `images`: PNG files of every image and crop, in order.

    Every image is drawn once, however many rows show it. They lie in a folder of their own below `folder`, so that no
    file that is there is written over, least of all one that is drawn.

    Raises:
        DocumentError: one cannot be drawn.
    """
    images = list(dict.fromkeys(image for row in rows for image in row.get("images") or ()))
    own = Path(mkdtemp(prefix="pixels-", dir=folder))

    def keep(number: int, image: ImagePart) -> list[str]:
        files = []
        for crop, picture in enumerate(family.pictures(image)):
            files.append(str(own / f"{number}-{crop}.png"))
            # Without loss, and quickly: it is read back at every step that shows it.
            picture.save(files[-1], compress_level=1)
        return files

    with ThreadPoolExecutor() as pool:
        files = dict(zip(images, pool.map(keep, range(len(images)), images), strict=True))

    def kept(row: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in row.items() if key != "images"}
        return rest if rest == row else {**rest, "files": [file for image in row["images"] for file in files[image]]}

    return [kept(row) for row in rows]


def load_pictures(files: Sequence[str]) -> list[Image.Image]:
    """Images that were kept (`keep_pixels`)."""
    pictures = []
    for file in files:
        with Image.open(file) as image:
            pictures.append(image.convert("RGB"))
    return pictures


class ImageFeatures(BaseModelOutputWithPooling):
    """`pooler_output`: features [tokens, size] of images behind the projector, as the model's forward takes them."""

    def pin_memory(self) -> ImageFeatures:
        """A copy in pinned memory: torch would pin by `update`, which transformers' outputs refuse."""
        made: Any = self.pooler_output
        pinned: Any = [one.pin_memory() for one in made] if isinstance(made, list) else made.pin_memory()
        return ImageFeatures(pooler_output=pinned)


@dataclass(frozen=True)
class Features:
    """The kept features of image files, for a collator.

    Attributes:
        keys: SHA-256 of an image file, by its path.
        shards: the safetensors file that holds the features [tokens, size] of a key, by key.
    """

    keys: Mapping[str, str]
    shards: Mapping[str, Path]
    family: Family

    def __call__(self, files: Sequence[str]) -> ImageFeatures:
        """The features of `files`, in order."""
        from safetensors import safe_open

        features = []
        for key in (self.keys[file] for file in files):
            with safe_open(self.shards[key], "pt") as shard:
                features.append(shard.get_tensor(key))
        return ImageFeatures(pooler_output=self.family.features(features))


def check_taken(model: Any) -> None:
    """See that a model's forward takes features; one that does not may pass over them without a word.

    Raises:
        AssayError: it would learn from the text alone.
    """
    if "mm_encoder_outputs" not in inspect.signature(type(model).forward).parameters:
        raise AssayError(
            f"{type(model).__name__} of transformers {transformers.__version__} takes no mm_encoder_outputs: it would "
            "never see the pages, which are computed once before training; pip install -U 'transformers>=5.18'."
        )


def keep_features(
    model: Any, family: Family, rows: Sequence[dict[str, Any]], folder: Path, mixed: bool = False
) -> Features:
    """Compute what is missing of the images' features, in shards that are written whole or not at all.

    An image is known by the SHA-256 of its file, which is the page as the model sees it; a shard belongs to one
    state of tower and projector. So a run that goes on takes what it has, and never what another model saw. Several
    processes share the work, and `folder`.

    Args:
        rows: some with `files`.
        folder: for the shards.
        mixed: compute under autocast to bfloat16.

    Raises:
        AssayError: the model takes no features, the disk is too small, or the processes do not see the same folder.
    """
    from accelerate import PartialState
    from accelerate.utils import gather_object

    check_taken(model)
    state = PartialState()
    shown = [file for row in rows for file in row.get("files") or ()]
    keys = {file: _sha256(file) for file in dict.fromkeys(shown)}
    files = {key: file for file, key in keys.items()}
    # Under FSDP only the first process of a machine may hold weights; a process without them leaves the work to others.
    marks = gather_object([fingerprint(model, family)])
    workers = [rank for rank, mark in enumerate(marks) if mark == marks[0]]
    folder = folder / marks[0][:16]
    folder.mkdir(parents=True, exist_ok=True)
    kept, _ = _kept(folder)
    missing = [key for key in files if key not in kept]
    like = model.get_input_embeddings().weight  # the features take the place of such rows
    tokens = sum(row["input_ids"].count(family.soft) for row in rows) / max(1, len(shown))
    size = round(tokens * like.shape[1] * like.element_size())
    if (free := shutil.disk_usage(folder).free) < size * len(missing):
        raise AssayError(
            f"The features of {len(missing)} images take {size * len(missing) / 1e9:.1f} GB, and {folder} has "
            f"{free / 1e9:.1f} GB free; make room, or choose another train.output."
        )
    state.wait_for_everyone()  # nothing is written before all have seen what is missing
    if state.process_index in workers:
        turn = slice(workers.index(state.process_index) * _SHARD, None, len(workers) * _SHARD)
        starts = range(len(missing))[turn]
        _compute(model, family, [[files[key] for key in missing[n : n + _SHARD]] for n in starts], keys, folder, mixed)
    state.wait_for_everyone()
    kept, seconds = _kept(folder)
    if any(key not in kept for key in files):
        raise AssayError(f"Some features are not in {folder}: all processes must see the same train.output.")
    if state.is_main_process and kept:
        each = seconds / len(kept)
        print(
            f"Vision computed once: {len(files)} images, {size * len(files) / 1e6:.1f} MB, {each:.3f} s each; "
            f"an epoch shows {len(shown)} and is spared {each * len(shown):.1f} s.",
            file=sys.stderr,
            flush=True,
        )
    return Features(keys, kept, family)


def fingerprint(model: Any, family: Family) -> str:
    """SHA-256 over what decides the features of an image: its processor, shape and weights of tower and projector."""
    shape = f"{model.config.vision_config.to_json_string()}{getattr(model.config, 'mm_tokens_per_image', '')}"
    digest = hashlib.sha256(f"{shape}{family.processor.to_json_string()}".encode())
    for name, weight in model.named_parameters():
        if family.part_of(name) != "language":
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _compute(
    model: Any, family: Family, shards: Sequence[Sequence[str]], keys: Mapping[str, str], folder: Path, mixed: bool
) -> None:
    """Write the features of each list of files into a shard of its own."""
    from accelerate import PartialState
    from safetensors.torch import save_file
    from tqdm import tqdm

    dtype, device = model.get_input_embeddings().weight.dtype, model.device
    total = sum(map(len, shards))
    silent = not total or not PartialState().is_main_process
    with tqdm(total=total, desc="seeing", unit="image", disable=True if silent else None) as bar:
        for files in shards:
            start, made = time.perf_counter(), {}
            for first in range(0, len(files), _BATCH):
                some = files[first : first + _BATCH]
                pixels = {name: part.to(device) for name, part in family.pixels(load_pictures(some)).items()}
                with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                    features = model.get_image_features(**pixels, return_dict=True).pooler_output
                kept = (one.to("cpu", dtype).clone() for one in features)
                made.update({keys[file]: one for file, one in zip(some, kept, strict=True)})
                bar.update(len(some))
            name = hashlib.sha256("".join(made).encode()).hexdigest()[:16]
            temporary = folder / f"{name}.tmp"
            save_file(made, temporary, {"seconds": str(time.perf_counter() - start)})
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(folder / f"{name}.safetensors")


def _kept(folder: Path) -> tuple[dict[str, Path], float]:
    """Which shard holds a key, and the seconds that all of them took."""
    from safetensors import safe_open

    kept: dict[str, Path] = {}
    seconds = 0.0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as shard:
            kept.update(dict.fromkeys(shard.keys(), path))
            seconds += float(shard.metadata()["seconds"])
    return kept, seconds


def _sha256(file: str) -> str:
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
