"""CT-RATE: chest CT with 18 labels, in the layout of its hub repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.card.items import Item, Reading
from recipes.card.readers import lines_of, part_of
from recipes.card.rows import Row

LABELS = (
    "Medical material", "Arterial wall calcification", "Cardiomegaly", "Pericardial effusion",
    "Coronary artery wall calcification", "Hiatal hernia", "Lymphadenopathy", "Emphysema", "Atelectasis", "Lung nodule",
    "Lung opacity", "Pulmonary fibrotic sequela", "Pleural effusion", "Mosaic attenuation pattern",
    "Peribronchial thickening", "Consolidation", "Bronchiectasis", "Interlobular septal thickening",
)  # fmt: skip


_FIRST = "it is of the first release, whose values are no Hounsfield units"


def read_ct_rate(folder: Path, split: str, row: Row) -> Reading:
    """`train_predicted_labels.csv` and `valid_predicted_labels.csv`, with the volumes of the fixed release.

    `valid_1_a_1.nii.gz` lies in `dataset/valid_fixed/valid_1/valid_1_a`. The published validation part is the test;
    that of a training are 10 of a hundred patients of the training part. In volumes of the first release values are
    no Hounsfield units (github.com/ibrahimethemhamamci/CT-CLIP, issue 50): they are left out.

    Raises:
        AssayError: the labels are not there.
    """
    part = "valid" if split == "test" else "train"
    name = f"{part}_predicted_labels.csv"
    places = (folder, folder / "multi_abnormality_labels", folder / "dataset" / "multi_abnormality_labels")
    file = next((place / name for place in places if (place / name).is_file()), None)
    if file is None:
        raise AssayError(f"{folder} has no {name}, nor has its folder multi_abnormality_labels; {row.access}.")
    reading, others = Reading(), set[str]()
    for at, cells in lines_of(file, ("VolumeName", *LABELS)):
        volume = str(cells["VolumeName"]).strip()
        number = volume.removesuffix(".nii.gz").split("_")
        if len(number) != 4:
            reading.leave("its name is none of CT-RATE's (valid_1_a_1.nii.gz)", f"{at} ({volume[:40]!r})")
            continue
        patient = "_".join(number[:2])
        if split != "test" and part_of(patient, {"train": 90, "validation": 10}) != split:
            others.add(patient)
            continue
        path = _volume(folder, f"{part}_fixed", number, volume)
        if not path.is_file():
            first = _volume(folder, part, number, volume).is_file()
            why = _FIRST if first else "its volume is missing"
            reading.leave(why, f"{at} ({volume})")
            continue
        for label in LABELS:
            _add(reading, at, path, volume, label, cells[label], patient)
    if not reading.items and not reading.left_out and others:
        reading.said.append(
            f"Its training part is divided by patients, ten of a hundred for validation, and none of the {len(others)} "
            f"in {name} is of the part {split}; fetch more of them."
        )
    return reading


def _volume(folder: Path, part: str, number: list[str], name: str) -> Path:
    """Where a volume lies, in the hub's folder `dataset` or without it."""
    inner = Path(part, "_".join(number[:2]), "_".join(number[:3]), name)
    return folder / inner if (folder / part).is_dir() else folder / "dataset" / inner


def _add(reading: Reading, at: str, path: Path, volume: str, label: str, value: Any, patient: str) -> None:
    gold = {"1": "yes", "1.0": "yes", "0": "no", "0.0": "no"}.get(str(value).strip())
    if gold is None:
        reading.leave("a label is neither 0 nor 1", f"{at} ({label}: {str(value)[:20]!r})")
        return
    reading.add(Item(f"{volume}:{label}", label, gold, images=(path,), patient=patient, group=label, at=at))
