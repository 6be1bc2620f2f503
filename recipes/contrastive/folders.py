"""Folders of images: a class for each, and which of them cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from extraction.errors import AssayError
from recipes.contrastive.images import SUFFIXES

if TYPE_CHECKING:
    from recipes.contrastive.data import Left


def class_folders(path: Path) -> dict[str, list[Path]]:
    """The images of each class, of a folder with a folder for each.

    Raises:
        AssayError: it holds no folder, or one without an image, or two whose classes would have one name.
    """
    if not path.is_dir():
        raise AssayError(f"There is no folder {path}; one with a folder of images for each class is wanted.")
    folders = sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
    if not folders:
        raise AssayError(f"{path} holds no folder; one of images is wanted for each class.")
    check_apart(folders)
    made = {folder.name: images_of(folder) for folder in folders}
    for name, images in made.items():
        if not images:
            raise AssayError(f"The class {name} in {path} has no example; put images there, or take the folder out.")
    return made


def images_of(folder: Path) -> list[Path]:
    """All files of a folder and those in it whose names are images', sorted; hidden ones are left out."""
    return sorted(
        one
        for one in folder.rglob("*")
        if one.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in one.relative_to(folder).parts)
    )


def tell_left_out(folder: Path, left: Left) -> None:
    """Count in `left` what `images_of` does not see: images that are hidden, folders that are links."""
    for one in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in one.relative_to(folder).parts):
            if one.suffix.lower() in SUFFIXES and one.is_file():
                left.add("hidden image", str(one))
        elif one.is_symlink() and one.is_dir():
            left.add("link to a folder, not followed", str(one))


def said_of(name: str) -> str:
    """A class by its folder's name, as it is compared."""
    return name.replace("_", " ").casefold()


def check_apart(folders: Sequence[Path]) -> None:
    """Refuse class folders whose images would be of one class unasked, or be counted twice."""
    named: dict[tuple[Path, str], Path] = {}
    real = {one.resolve(): one for one in folders}
    for one in folders:
        if (other := named.setdefault((one.parent, said_of(one.name)), one)) != one:
            raise AssayError(f"The class folders {other} and {one} would have one name; rename one or merge them.")
        for above in (one.resolve(), *one.resolve().parents):
            if real.get(above, one) != one:
                raise AssayError(
                    f"The class folder {one} lies in the class folder {real[above]}, and its images would count twice; "
                    "move it out."
                )
