"""Images as a model was trained to see them: by Pillow, as open_clip's and transformers' own preprocessing do it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extraction.document.frames import RefusalError
from extraction.document.image_files import load_image, open_image
from extraction.document.kinds import kind_of
from extraction.errors import AssayError

if TYPE_CHECKING:
    import torch
    from PIL import Image

MOST_PIXELS = 200_000_000
DICOM = (".dcm", ".dicom", ".ima")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".heic", ".heif", *DICOM)
_SHAPELESS = ("plain text", "binary data of an unknown kind")  # what the beginning of a file is that says nothing
_RESAMPLE = {"nearest": 0, "bilinear": 2, "bicubic": 3}


class UnreadableError(AssayError):
    """An image that cannot be read, with its name and why.

    Attributes:
        lacks: what all of its kind need that is not installed, and how to have it; empty where this one is damaged.
    """

    def __init__(self, text: str, lacks: str = "") -> None:
        super().__init__(text)
        self.lacks = lacks


@dataclass(frozen=True)
class Picture:
    """Where an image lies: a file, or a part of one (a member of an uncompressed tar)."""

    path: Path
    name: str = ""
    offset: int = 0
    size: int = -1

    def __str__(self) -> str:
        return f"{self.path}: {self.name}" if self.name else str(self.path)

    def open(self) -> Image.Image:
        """The image as RGB, turned as its EXIF data say, on white where it is transparent.

        Grey values of 16 or 32 bits are brought to 8 by the picture's own range, as documents' are (`in_8_bits`), those
        of DICOM by the window that the file names; of its frames the middle one is seen.

        Raises:
            UnreadableError: it is not there, or no image, or damaged, or larger than MOST_PIXELS.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise UnreadableError(f"{self} cannot be read: {why_closed(self.path, error)}.") from None
        return picture_of(data, str(self))


def why_closed(path: Path, error: OSError) -> str:
    """Why a file cannot be opened, for people: of a link to nothing the system says that the link is not there."""
    gone = path.is_symlink() and not path.exists()
    return "it is a link that leads to nothing" if gone else str(error.strerror)


def picture_of(data: bytes, name: str) -> Image.Image:
    """The image in bytes, as `Picture.open` gives it, with its errors; its info `more` counts the pages not seen.

    Its info `warning` is of text that may be burnt into a DICOM picture.
    """
    kind = kind_of(data)
    if kind.name == "a DICOM image":
        return _dicom(data, name)
    if not kind.image:
        remedy = f"; {kind.remedy}" if kind.remedy else ""
        suffix = name[name.rfind(".") :].lower()
        if kind.name in _SHAPELESS and suffix in SUFFIXES:  # what a damaged image looks like
            raise UnreadableError(f"{name} does not begin as an image: it is damaged, or no {suffix}; copy it again.")
        raise UnreadableError(f"{name} is no image but {kind.name}{remedy}.")
    job = {"image": kind.image, "pages": 10_000, "pixels": MOST_PIXELS}
    try:
        source, frames = open_image(data, job)
        image: Image.Image = load_image(source, frames[0], job)
    except RefusalError as refusal:
        what = "has too many pixels and cannot be read; write it smaller"
        if refusal.frame["error"] != "image pixels":
            what = "is damaged and cannot be read; copy it again"
        raise UnreadableError(f"{name} {what}.") from None
    except ImportError:
        remedy = "pip install 'assay[heif]'"
        raise UnreadableError(f"{name} is a HEIC photo; {remedy} to read it.", f"HEIC photo, for {remedy}") from None
    image.info["more"] = len(frames) - 1
    return image


def _dicom(data: bytes, name: str) -> Image.Image:
    from PIL import Image

    try:
        from extraction.volume.picture import picture
    except ImportError:
        remedy = "pip install 'assay[imaging]'"
        raise UnreadableError(f"{name} is DICOM; {remedy} to read it.", f"DICOM image, for {remedy}") from None
    from extraction.volume.files import UnreadError

    try:
        values, more, warning = picture(data, MOST_PIXELS)
    except UnreadError as error:
        raise UnreadableError(f"{name} cannot be read: {error}.") from None
    image = Image.fromarray(values)
    image.info |= {"more": more, "warning": warning}
    return image


@dataclass(frozen=True)
class Preprocess:
    """What is done to an image before a vision tower sees it.

    Attributes:
        size: height and width that the tower sees.
        shortest: bring the shorter side to the size and cut the middle out; without it, both sides, without keeping
            their ratio.
        shorter: what the shorter side is brought to before the cut.
        resample: Pillow's number of the filter.
        mean, std: of red, green and blue, after the division.
        floor: where the middle lies between two pixels, the cut begins at the first (transformers); without it, at the
            even one (torchvision, and so open_clip).
        divisor: what values of 0 to 255 are divided by.
    """

    size: tuple[int, int]
    shortest: bool
    shorter: int
    resample: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    floor: bool = False
    divisor: float = 255.0

    @classmethod
    def of_open_clip(cls, config: Mapping[str, Any], image_size: int) -> Preprocess:
        """The evaluation preprocessing of `preprocess_cfg` (open_clip's `image_transform`).

        Raises:
            AssayError: it pads images to a square, which is not known here.
        """
        mode = config.get("resize_mode", "shortest")
        if mode not in ("shortest", "squash"):
            raise AssayError(f"The preprocessing resize_mode={mode} is not known here; shortest and squash are.")
        side = config.get("size", image_size)
        size = _numbers(side[-2:] if isinstance(side, list) else [side, side], "size", 2, whole=True)
        if (name := config.get("interpolation", "bicubic")) not in _RESAMPLE:
            raise ValueError(f"interpolation is {name!r}; known are {', '.join(_RESAMPLE)}")
        mean, std = _numbers(config["mean"], "mean", 3), _numbers(config["std"], "std", 3)
        return cls((size[0], size[1]), mode == "shortest", min(size), _RESAMPLE[name], mean, std)

    @classmethod
    def of_transformers(cls, config: Mapping[str, Any]) -> Preprocess:
        """The preprocessing of a `preprocessor_config.json` of CLIP or SigLIP; ValueError says what cannot be done."""
        sized = _sides(config["size"], "size", "shortest_edge")
        crops = _flag(config, "do_center_crop")
        cut = _sides((config.get("crop_size") if crops else None) or sized, "crop_size", "height")
        edge = cut.get("height", cut.get("shortest_edge", 0))
        size = (edge, cut.get("width", edge))
        shortest = "shortest_edge" in sized
        if not _flag(config, "do_resize") or (shortest and not crops):
            raise ValueError(
                "do_resize or do_center_crop is off, and images would keep sizes that the tower cannot take"
            )
        if not shortest and size != (sized.get("height"), sized.get("width")):
            raise ValueError("crop_size cuts what size brings to other height and width, which is not known here")
        resample = config.get("resample", 3)
        if type(resample) is not int or not 0 <= resample <= 5:
            raise ValueError(f"resample is {resample!r}, and must be Pillow's number of a filter, 0 to 5")
        divisor = 1.0
        if _flag(config, "do_rescale"):
            divisor = 1 / _numbers([config.get("rescale_factor", 1 / 255)], "rescale_factor", 1, positive=True)[0]
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        if _flag(config, "do_normalize"):
            mean, std = _numbers(config["image_mean"], "image_mean", 3), _numbers(config["image_std"], "image_std", 3)
        return cls(size, shortest, sized.get("shortest_edge", edge), resample, mean, std, True, divisor)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """An RGB image brought to size: uint8 [height, width, 3]. What follows, `normalise`, is exact in it."""
        height, width = self.size
        if not self.shortest:
            return np.asarray(image.resize((width, height), self.resample))
        short, long = sorted(image.size)
        other = int(self.shorter * long / short)
        wide = image.width > image.height
        image = image.resize((other, self.shorter) if wide else (self.shorter, other), self.resample)
        begin = int if self.floor else round
        left, top = begin((image.width - width) / 2), begin((image.height - height) / 2)
        return np.asarray(image.crop((left, top, left + width, top + height)))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """What a tower takes, [n, 3, height, width], of uint8 pixels [n, height, width, 3] on any device."""
        import torch

        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.permute(0, 3, 1, 2).float() / self.divisor - mean) / std


def _flag(config: Mapping[str, Any], name: str) -> bool:
    """A step that is done unless the config says no; ValueError where it says neither."""
    value = config.get(name)
    if value not in (None, True, False):
        raise ValueError(f"{name} is {value!r}, and must be true or false")
    return value is None or bool(value)


def _numbers(value: Any, name: str, count: int, whole: bool = False, positive: bool = False) -> tuple[Any, ...]:
    """So many finite numbers of a config, above 0 where they are pixels or deviations; else a ValueError says why."""
    known = value if isinstance(value, list) else []
    positive = positive or whole or name.endswith("std")
    kinds = (int,) if whole else (int, float)
    if len(known) != count or not all(type(n) in kinds and math.isfinite(n) and (n > 0 or not positive) for n in known):
        wanted = f"{count} {'whole ' if whole else ''}numbers{' above 0' if positive else ''}"
        raise ValueError(f"{name} is {value!r}, and must be {wanted}")
    return tuple(known)


def _sides(value: Any, name: str, alone: str) -> dict[str, int]:
    """The sides that a config names, or the one that it gives alone; ValueError says what is wrong."""
    sides = value if isinstance(value, dict) else {alone: value}
    wanted = [side for side in ("shortest_edge", "height", "width") if side in sides]
    if not wanted:
        raise ValueError(f"{name} is {value!r}, and must name shortest_edge, or height and width")
    return dict(zip(wanted, _numbers([sides[side] for side in wanted], name, len(wanted), whole=True), strict=True))
