"""Pictures with one class each, as their publishers lay them out."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.files import whole_folder
from recipes.card.items import Item, Reading
from recipes.card.options import LETTERS
from recipes.card.readers import file_of, files_of, lines_of, part_of, read_table, split_of
from recipes.card.rows import Row

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def _options(row: Row) -> dict[str, str]:
    return dict(zip(LETTERS, row.classes.values(), strict=False))


def _picture(folder: Path, name: str, *places: str) -> Path | None:
    """An image by its name, with or without a suffix, in one of the places."""
    for place in places:
        for suffix in ("", *PICTURES):
            path = folder / place / f"{name}{suffix}"
            if path.is_file():
                return path
    return None


def _add(reading: Reading, row: Row, at: str, name: str, label: str, picture: Path | None, patient: str = "") -> None:
    letters = dict(zip(row.classes, LETTERS, strict=False))
    if picture is None:
        reading.leave("its image is missing", f"{at} ({name})")
    else:
        gold = letters.get(label, label)
        reading.add(Item(name, row.question, gold, _options(row), (picture,), patient=patient, at=at))


def read_pad_ufes(folder: Path, split: str, row: Row) -> Reading:
    """`metadata.csv` with the images of imgs_part_1 to 3, divided by Google's table of patients.

    Google's split has no validation part: a tenth of its training patients is.

    Raises:
        AssayError: a table is missing.
    """
    places = (folder, folder.parent / "google_splits", folder.parent)
    file = next(
        (place / "pad_ufes_20_split.tsv" for place in places if (place / "pad_ufes_20_split.tsv").is_file()), None
    )
    if file is None:
        raise AssayError(f"{folder} has no pad_ufes_20_split.tsv, which says who is trained on; {row.access}.")
    rows = lines_of(file, ("PATIENT_ID", "SPLIT"))
    parts = {str(cells["PATIENT_ID"]): str(cells["SPLIT"]).lower() for _, cells in rows}
    reading = Reading()
    for at, cells in lines_of(file_of(folder, "metadata.csv", row), ("patient_id", "img_id", "diagnostic")):
        patient, name = cells["patient_id"], cells["img_id"]
        part = parts.get(patient)
        if part is None:
            reading.leave("the split does not name its patient", f"{at} ({patient})")
            continue
        if split_of(part) is None:
            reading.leave("its split is none of train, validation and test", f"{at} ({part[:40]!r})")
            continue
        if part == "train" and part_of(patient, {"validation": 10, "train": 90}) == "validation":
            part = "validation"
        if part == split:
            inner = [f"{one}/{deeper}" for one in ("imgs_part_1", "imgs_part_2", "imgs_part_3") for deeper in (one, "")]
            picture = _picture(folder, name, ".", "images", *inner)
            _add(reading, row, at, name, cells["diagnostic"], picture, patient)
    return reading


def read_eyepacs(folder: Path, split: str, row: Row) -> Reading:
    """`trainLabels.csv` (10_left,0) with the folder `train`, divided by patients; or a table of the test's labels."""
    own = [path for path in files_of(folder, split, row) if path.name != "trainLabels.csv"]
    shares = {"train": 80, "validation": 10, "test": 10} if not _tests(folder) else {"train": 90, "validation": 10}
    reading = Reading()
    for path in own or [folder / "trainLabels.csv"]:
        for at, cells in lines_of(path, ("image", "level")):
            name = cells["image"]
            patient = name.rpartition("_")[0] or name
            if own or part_of(patient, shares) == split:
                picture = _picture(folder, name, "test" if own else "train", ".", "images")
                _add(reading, row, at, name, cells["level"].strip(), picture, patient)
    return reading


def _tests(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("testLabels.csv", "retinopathy_solution.csv"))


def read_isic(folder: Path, split: str, row: Row) -> Reading:
    """The ground truth of ISIC 2018's task 3 (a column a class), with `ISIC2018_Task3_*_Input` beside it."""
    name = {"train": "Training", "validation": "Validation", "test": "Test"}[split]
    for path in files_of(folder, split, row):
        next(lines_of(path, ("image", *row.classes)), None)
    return read_table(folder, split, row.model_copy(update={"images": f"ISIC2018_Task3_{name}_Input/{{image}}.jpg"}))


def read_scin(folder: Path, split: str, row: Row) -> Reading:
    """`scin_cases.csv` and `scin_labels.csv`: the dermatologists' first condition among three others.

    Raises:
        AssayError: a table is missing.
    """
    place = folder / "dataset" if (folder / "dataset").is_dir() else folder
    labels: dict[str, list[str]] = {}
    reading = Reading()
    for _, cells in lines_of(
        file_of(place, "scin_labels.csv", row), ("case_id", "dermatologist_skin_condition_on_label_name")
    ):
        named = _listed(cells["dermatologist_skin_condition_on_label_name"])
        if named:
            labels[cells["case_id"]] = named
    every = sorted({named[0] for named in labels.values()})
    for at, cells in lines_of(file_of(place, "scin_cases.csv", row), ("case_id", "image_1_path")):
        case = cells["case_id"]
        if part_of(case, {"train": 70, "validation": 10, "test": 20}) != split:
            continue
        if case not in labels:
            reading.leave("no dermatologist named a condition", at)
            continue
        name = str(cells["image_1_path"])
        picture = _picture(folder, name, ".") or _picture(place, Path(name).name, "images")
        if picture is None:
            reading.leave("its image is missing", f"{at} ({name})")
            continue
        gold, options = four_options(labels[case], every, case)
        reading.add(Item(case, row.question, gold, options, (picture,), patient=case, at=at))
    return reading


def _listed(text: Any) -> list[str]:
    """A Python list of names, as the table has it."""
    try:
        made = ast.literal_eval(str(text)) if str(text).strip() else []
    except (ValueError, SyntaxError):
        return []
    return [str(one) for one in made] if isinstance(made, list) else []


def four_options(named: Sequence[str], every: Sequence[str], case: str) -> tuple[str, dict[str, str]]:
    """The first that was named among three others, by letter; what else was named of the case is no wrong option.

    They are drawn by the name of the case, so that they are always the same.
    """
    draw = random.Random(case)
    others = [one for one in every if one not in named]
    options = [named[0], *draw.sample(others, min(3, len(others)))]
    draw.shuffle(options)
    return LETTERS[options.index(named[0])], dict(zip(LETTERS, options, strict=False))


def read_pcam(folder: Path, split: str, row: Row) -> Reading:
    """PCam's HDF5 files; their patches are written once as PNG files, into the folder `png` beside them.

    Raises:
        AssayError: h5py is not installed, or the labels are missing.
    """
    file = files_of(folder, split, row)[0]
    made = folder / "png" / split
    if not made.is_dir():
        _unpack(file, file_of(file.parent, file.name.replace("_x.h5", "_y.h5"), row), made)
    reading = Reading()
    for at, cells in lines_of(made / "labels.csv", ("image", "label")):
        name = cells["image"]
        _add(reading, row, at, name, cells["label"], _picture(made, name, "."))
    return reading


def _unpack(file: Path, labels: Path, target: Path) -> None:
    from PIL import Image

    try:
        import h5py
    except ImportError:
        raise AssayError(f"{file} is an HDF5 file; pip install h5py.") from None
    try:
        with h5py.File(file) as pictures, h5py.File(labels) as truth, whole_folder(target) as folder:
            lines = ["image,label"]
            for number, (pixels, label) in enumerate(zip(pictures["x"], truth["y"][:].reshape(-1), strict=True)):
                Image.fromarray(pixels).save(folder / f"{number:06}.png", compress_level=1)
                lines.append(f"{number:06}.png,{int(label)}")
            (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    except (OSError, KeyError, ValueError) as error:
        raise AssayError(f"{file} with {labels.name} cannot be read ({error}); fetch it again.") from None
