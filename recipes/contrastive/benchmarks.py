"""Labelled images: published benchmarks in their own layouts, and folders of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from extraction.errors import AssayError
from recipes.contrastive.data import Left
from recipes.contrastive.folders import (
    check_apart,
    class_folders,
    images_of,
    is_picture,
    said_of,
    tell_left_out,
    tell_loose,
)
from recipes.contrastive.images import Picture, UnreadableError
from recipes.tables import table

if TYPE_CHECKING:
    from PIL import Image

_RSNA = "stage_2_train_labels.csv"
TEMPLATES = ("a photo of {}", "{} presented in image")


@dataclass(frozen=True)
class Benchmark:
    """A zero-shot classification: what is said of each class.

    Attributes:
        classes: names as they are put into the templates, each with the folders that hold its images.
        metric: the one that is compared with `published`, the paper's figure between 0 and 1.
    """

    name: str
    templates: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]
    metric: Literal["accuracy", "auroc"] = "accuracy"
    published: float | None = None


@dataclass(frozen=True)
class Frame:
    """An image within an HDF5 file (PCam)."""

    path: Path
    number: int

    def __str__(self) -> str:
        return f"{self.path}, image {self.number}"

    def open(self) -> Image.Image:
        """The image as RGB.

        Raises:
            UnreadableError: it cannot be read.
        """
        from PIL import Image

        try:
            return Image.fromarray(_arrays(self.path)["x"][self.number]).convert("RGB")
        except (OSError, ValueError, TypeError) as error:
            raise UnreadableError(f"{self} cannot be read ({error}).") from None


@dataclass(frozen=True)
class Labelled:
    """Images and the number of each one's class."""

    pictures: list[Any]
    labels: list[int]

    def contents(self) -> list[str]:
        """Each file's SHA-256, with the image's number in an HDF5 file; empty where nothing can be read."""
        known = {path: _sha256(path) for path in {one.path for one in self.pictures}}
        return [known[one.path] and f"{known[one.path]} {getattr(one, 'number', '')}" for one in self.pictures]


def _sha256(path: Path) -> str:
    """Empty for a file that has no content or cannot be opened, which is told where images are read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if path.stat().st_size else ""
    except OSError:
        return ""


@lru_cache(maxsize=1)
def benchmarks() -> dict[str, Benchmark]:
    """The published ones, by name."""
    values = yaml.safe_load((Path(__file__).parent / "vocabulary" / "benchmarks.yaml").read_text(encoding="utf-8"))
    return {
        name: Benchmark(
            name,
            tuple(value["templates"]),
            {said: tuple(map(str, folders)) for said, folders in value["classes"].items()},
            value["metric"],
            value["published"] / 100,
        )
        for name, value in values.items()
    }


def benchmark_of(name: str | None, folder: Path, templates: tuple[str, ...]) -> Benchmark:
    """A published benchmark by name, or the one that a folder of classes makes (underscores read as blanks).

    Raises:
        AssayError: no benchmark has that name, a template has no {}, or folders make fewer than two classes, or two of
            one name.
    """
    for template in templates:
        if "{}" not in template:
            raise AssayError(f"--template: “{template}” has no {{}}, where the class belongs.")
    if name is None:
        names = list(class_folders(folder))
        if len(names) < 2:
            raise AssayError(f"{folder} holds one class alone, {names[0]}; a folder for each of two or more is wanted.")
        classes = {one.replace("_", " "): (one,) for one in names}
        return Benchmark(folder.resolve().name, templates or TEMPLATES, classes)
    if name not in benchmarks():
        raise AssayError(f"There is no benchmark {name}; known are {', '.join(benchmarks())}.")
    known = benchmarks()[name]
    return known if not templates else Benchmark(name, templates, known.classes, known.metric)


def read_labelled(folder: Path, benchmark: Benchmark, left: Left, split: str = "test") -> Labelled:
    """The labelled images of a folder in a benchmark's layout; what has no image or label is counted in `left`.

    PCam as `camelyonpatch_level_2_split_test_x.h5` and `_y.h5` (or `train`, by `split`), RSNA as its label file beside
    images by patientId, all others (and these too) as folders of a class's name, anywhere in `folder`.

    Raises:
        AssayError: it is not there, is not as it was published, or a class has no example.
    """
    if not folder.is_dir():
        raise AssayError(f"There is no folder {folder}.")
    if benchmark.name == "pcam" and any(folder.rglob("*_x.h5")):
        return _pcam(_only(folder, f"*{split}_x.h5"))
    if benchmark.name == "rsna" and any(folder.rglob(_RSNA)):
        return _rsna(_only(folder, _RSNA), folder, left)
    made = Labelled([], [])
    here = _folders_of(folder, benchmark)
    for number, (said, names) in enumerate(benchmark.classes.items()):
        images = [image for one, its in here.items() if its == number for image in images_of(one)]
        if not images:
            raise AssayError(
                f"The class “{said}” has no example in {folder}; its images are looked for in folders named "
                f"{', '.join(names)}."
            )
        made.pictures.extend(Picture(image) for image in images)
        made.labels.extend([number] * len(images))
    for one in here:
        tell_left_out(one, left)
    _tell_others(here, left)
    return made


def _tell_others(known: Mapping[Path, int], left: Left) -> None:
    """Count in `left` the pictures, and folders of them, beside the classes' own: of no class that is asked for."""
    for parent in sorted({one.parent for one in known}):
        tell_loose(parent, left)
        for one in sorted(parent.iterdir()):
            other = one.is_dir() and not one.name.startswith(".") and not any(k.is_relative_to(one) for k in known)
            if other and (images := sum(map(is_picture, one.rglob("*")))):
                left.add("folder of no class that is tested", f"{one} with {images} images")


def _folders_of(folder: Path, benchmark: Benchmark) -> dict[Path, int]:
    """The folders of a class's name anywhere in a folder, hidden ones left out, each with its class's number."""
    numbers = {said_of(name): number for number, names in enumerate(benchmark.classes.values()) for name in names}
    found = {
        one: numbers[said_of(one.name)]
        for one in sorted(folder.rglob("*"))
        if said_of(one.name) in numbers
        and one.is_dir()
        and not any(part.startswith(".") for part in one.relative_to(folder).parts)
    }
    check_apart(list(found))
    return found


def _only(folder: Path, pattern: str) -> Path:
    files = sorted(folder.rglob(pattern))
    if len(files) != 1:
        there = ", ".join(str(one) for one in files or sorted(folder.rglob("*.h5")))
        raise AssayError(f"One file {pattern} is wanted in {folder}; what is there: {there}.")
    return files[0]


@lru_cache(maxsize=4)
def _arrays(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise AssayError(f"{path} is an HDF5 file; pip install h5py to read it.") from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise AssayError(f"{path} cannot be read as HDF5 ({error}); copy it again.") from None


def _array(path: Path, key: str) -> Any:
    arrays = _arrays(path)
    if key not in arrays:
        raise AssayError(f"{path} has no `{key}`, as PCam's files do; what is there: {', '.join(arrays)}.")
    return arrays[key]


def _pcam(path: Path) -> Labelled:
    beside = path.with_name(path.name.removesuffix("_x.h5") + "_y.h5")
    if not beside.exists():
        raise AssayError(f"{path} has no labels beside it; put {beside.name} there.")
    images, labels = len(_array(path, "x")), _array(beside, "y")[:].reshape(-1).tolist()
    if images != len(labels):
        raise AssayError(f"{path} has {images} images, and {beside.name} {len(labels)} labels; copy both again.")
    _check_both(labels, beside)
    return Labelled([Frame(path, number) for number in range(images)], [int(label) for label in labels])


def _check_both(labels: Sequence[Any], where: Path) -> None:
    """Refuse labels that are not 0 and 1, both."""
    if set(labels) != {0, 1}:
        there = ", ".join(sorted(map(str, set(labels)))[:5]) or "none"
        raise AssayError(f"Labels of images in {where} are to be 0 and 1, both; there are {there}.")


def _rsna(file: Path, folder: Path, left: Left) -> Labelled:
    """A patient is one image; those with pneumonia have a row a box."""
    targets: dict[str, int] = {}
    for at, row in table(file):
        if missing := {"patientId", "Target"} - row.keys():
            raise AssayError(f"{at}: there is no column {', '.join(sorted(missing))}; what is there: {', '.join(row)}.")
        patient, target = row["patientId"], row["Target"].strip()
        if target not in ("0", "1"):
            raise AssayError(f"{at}: the Target “{target}” is neither 0 nor 1.")
        targets[patient] = max(targets.get(patient, 0), int(target))
    images: dict[str, Path] = {}
    for image in images_of(folder):
        if image.stem not in targets:
            left.add("image without a label", str(image))
        elif images.setdefault(image.stem, image) != image:
            left.add("another image of a patient", str(image))
    known = [patient for patient in sorted(targets) if patient in images]
    if not known:
        raise AssayError(
            f"None of the patients of {file} has an image in {folder}: put DICOM or PNG files named by patientId there."
        )
    for patient in sorted(targets.keys() - images.keys()):
        left.add("labelled patient without an image", patient)
    labels = [targets[patient] for patient in known]
    _check_both(labels, folder)
    return Labelled([Picture(images[patient]) for patient in known], labels)
