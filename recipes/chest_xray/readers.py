"""Findings of chest X-rays: MIMIC-CXR, CheXpert, ChestX-ray14 and its adjudicated labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.card.items import Item, Reading
from recipes.card.readers import lines_of, part_of
from recipes.card.rows import Row, by_name
from recipes.chest_xray.mimic import read_imagenome, read_mimic_cxr, read_mimic_reports, read_ms_cxr_t

FINDINGS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""The five of CheXpert's competition, by which the card judges."""
ADJUDICATED = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
CXR14 = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip


def question(finding: str) -> str:
    """What is asked about a finding, in the report's words (arXiv 2507.05201)."""
    if finding == "Fracture":
        return "Are there any fractures in the image?"
    return f"Is there {finding.replace('_', ' ').lower()} in this image?"


def add(reading: Reading, at: str, image: Path, finding: str, value: Any, patient: str) -> None:
    """A finding that is said to be there or not; one that is uncertain or not spoken of is left out."""
    said = str(value).strip()
    if said in ("", "-1.0", "-1"):
        reading.leave("a finding is not spoken of" if not said else "a finding is uncertain", f"{at} ({finding})")
        return
    gold = {"1.0": "yes", "1": "yes", "YES": "yes", "0.0": "no", "0": "no", "NO": "no"}.get(said.upper(), said)
    if gold not in ("yes", "no"):
        reading.leave("a finding's label is none", f"{at} ({finding}: {said!r})")
        return
    name = f"{'/'.join(image.parts[-3:])}:{finding}"  # with the patient: in CheXpert every study1 has the same files
    reading.add(Item(name, question(finding), gold, images=(image,), patient=patient, group=finding, at=at))


def read_chexpert(folder: Path, split: str, row: Row) -> Reading:
    """`train.csv`, `valid.csv`, `test.csv` with paths that begin with the data set's own name; frontal views.

    The validation part for training is `valid.csv`; it is also the test where there is no `test.csv`.
    """
    names = {"train": ("train.csv",), "validation": ("valid.csv",), "test": ("test.csv", "valid.csv")}[split]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise AssayError(f"{folder} has no {names[0]}; {row.access}.")
    reading = Reading()
    if split == "test" and file.name == "valid.csv":
        reading.said.append(
            "There is no test.csv: this is the part valid.csv, on which checkpoints may have been chosen."
        )
    for at, cells in lines_of(file, ("Path", *FINDINGS)):
        if str(cells.get("Frontal/Lateral", "Frontal")).strip() == "Lateral":
            continue
        named = Path(cells["Path"])
        image = next((p for p in _suffixes(folder, named) if p.is_file()), None)
        if image is None:
            reading.leave("its image is missing", f"{at} ({named})")
            continue
        patient = next((part for part in named.parts if part.startswith("patient")), "")
        for finding in FINDINGS:
            add(reading, at, image, finding, cells[finding], patient)
    return reading


def _suffixes(folder: Path, named: Path) -> Iterator[Path]:
    """A path that may begin with folders that lie above this one."""
    for start in range(len(named.parts)):
        yield folder.joinpath(*named.parts[start:])


def _images(folder: Path) -> dict[str, Path]:
    """The images of ChestX-ray14 by name: in the twelve published folders, or one; below or beside labels."""
    beside = (folder.parent, *(folder.parent / name for name in by_name("cxr14").folders))
    patterns = [(folder, inner) for inner in ("*.png", "*/*.png", "*/*/*.png")]
    patterns += [(p, inner) for p in beside if p != folder for inner in ("images/*.png", "images_*/images/*.png")]
    found: dict[str, Path] = {}
    for place, pattern in patterns:  # each folder is listed once: there are 112,120 images
        for path in sorted(place.glob(pattern)):
            found.setdefault(path.name, path)
    return found


def read_cxr14(folder: Path, split: str, row: Row) -> Reading:
    """`Data_Entry_2017*.csv` with the published lists; without them patients are divided, 80 and 20 of a hundred.

    A tenth of the patients for training is the validation part (`held_out`).
    """
    file = next(iter(sorted(folder.glob("Data_Entry_2017*.csv"))), None)
    if file is None:
        raise AssayError(f"{folder} has no Data_Entry_2017_v2020.csv; {row.access}.")
    reading, test, images = Reading(), _listed(folder / "test_list.txt"), _images(folder)
    if not test:
        reading.said.append("There is no test_list.txt: 20 of a hundred patients are the test, drawn by their number.")
    # The published header holds commas without quotes, as do its rows: 9 names that are 11 columns.
    for at, cells in lines_of(file, ("Image Index", "Finding Labels", "Patient ID")):
        name, patient = cells["Image Index"], cells["Patient ID"]
        for_test = name in test if test else part_of(patient, {"train": 80}) == "test"
        if for_test != (split == "test"):
            continue
        if name not in images:
            reading.leave("its image is missing", f"{at} ({name})")
            continue
        there = cells["Finding Labels"].split("|")
        unknown = [label for label in there if label not in (*CXR14, "No Finding")]
        if unknown:
            reading.leave("its finding is none of the 14", f"{at} ({unknown[0]!r})")
            continue
        for finding in CXR14:
            add(reading, at, images[name], finding, int(finding in there), patient)
    return reading


def _listed(file: Path) -> frozenset[str]:
    return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else frozenset()


def read_cxr14_adjudicated(folder: Path, split: str, row: Row) -> Reading:
    """Google's labels of four findings: `validation_labels.csv`, a tenth of it held out, and `test_labels.csv`."""
    name = "test_labels.csv" if split == "test" else "validation_labels.csv"
    file = next((p for p in (folder / name, folder / "four_findings_expert_labels" / name) if p.is_file()), None)
    if file is None:
        raise AssayError(f"{folder} has no {name}; {row.access}.")
    reading, images = Reading(), _images(folder)
    for at, cells in lines_of(file, ("Image Index", "Patient ID", *ADJUDICATED)):
        image = images.get(cells["Image Index"])
        if image is None:
            reading.leave("its image is missing", f"{at} ({cells['Image Index']})")
            continue
        for finding in ADJUDICATED:
            add(reading, at, image, finding, cells[finding], cells["Patient ID"])
    return reading


__all__: Sequence[str] = ("read_imagenome", "read_mimic_cxr", "read_mimic_reports", "read_ms_cxr_t")
