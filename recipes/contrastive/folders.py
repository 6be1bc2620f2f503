"""Folders of images: a class for each, and which of them cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from extraction.errors import AssayError
from recipes.contrastive.images import SUFFIXES
from recipes.contrastive.slides import SLIDES

if TYPE_CHECKING:
    from recipes.contrastive.data import Left

# Pictures that are of no suffix that is read, and what they are called where they are left out.
_UNREAD = {
    **dict.fromkeys(SLIDES, "slides"),
    **dict.fromkeys((".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"), "volumes"),
    **dict.fromkeys((".jfif", ".jpe"), "JPEG images of another suffix than .jpg"),
    **dict.fromkeys((".jp2", ".j2k", ".avif", ".jxl", ".dib", ".pgm", ".ppm"), "images of a kind that is not read"),
}
_OTHER = "files that are no images by their names"


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
            left = {kind: one for one in (path / name).rglob("*") if one.is_file() and (kind := unread(one))}
            there = f"; what is there is left out: {', '.join(f'{k} ({one.name})' for k, one in left.items())}"
            raise AssayError(
                f"The class {name} in {path} has no example{there if left else ''}; put images there, or take the "
                "folder out."
            )
    return made


def images_of(folder: Path) -> list[Path]:
    """All files of a folder and those in it that are images by their names, or DICOM by their bytes, sorted.

    Hidden ones are left out.
    """
    return sorted(one for one in folder.rglob("*") if not _hidden(one, folder) and _is_image(one))


def unread(file: Path) -> str:
    """What a file is whose name is no image's, for people; empty for those that `images_of` gives, and hidden ones."""
    name = file.name.lower()
    if name.startswith(".") or _is_image(file):
        return ""
    return next((kind for suffix, kind in _UNREAD.items() if name.endswith(suffix)), _OTHER)


def is_picture(file: Path) -> bool:
    """Whether a file is an image, read here or not; hidden ones are not."""
    return file.is_file() and not file.name.startswith(".") and unread(file) != _OTHER


def _is_image(file: Path) -> bool:
    """By its name; DICOM by its bytes, too: archives name files by their UID or number alone."""
    if file.suffix.lower() in SUFFIXES:
        return True
    if file.name.upper() == "DICOMDIR":  # DICOM, but a list of files
        return False
    try:
        if not file.is_file():  # a pipe would be waited for
            return False
        with file.open("rb") as opened:
            return opened.read(132)[128:] == b"DICM"
    except OSError:
        return False


def slides_of(folder: Path) -> list[Path]:
    """All files of a folder and those in it whose names are slides', sorted; hidden ones are left out."""
    return sorted(one for one in folder.rglob("*") if not _hidden(one, folder) and one.suffix.lower() in SLIDES)


def tell_left_out(folder: Path, left: Left, slides: bool = False) -> None:
    """Count in `left` what is not seen: hidden images, links to folders or to nothing, files that are no images.

    Args:
        slides: whether slides are seen, too.
    """
    for one in sorted(folder.rglob("*")):
        if _hidden(one, folder):
            if one.suffix.lower() in SUFFIXES and one.is_file():
                left.add("hidden image", str(one))
        elif one.is_symlink() and one.is_dir():
            left.add("link to a folder, not followed", str(one))
        elif (kind := unread(one)) and not (slides and one.suffix.lower() in SLIDES):
            if one.is_file():
                left.add(kind, str(one))
            elif one.is_symlink() and not one.exists():
                left.add("link that leads to nothing", str(one))


def _hidden(one: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in one.relative_to(folder).parts)


def tell_loose(folder: Path, left: Left) -> None:
    """Count in `left` the pictures that lie beside class folders, and so are of no class."""
    for one in sorted(folder.iterdir()):
        if is_picture(one):
            left.add("image beside the class folders", str(one))


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
