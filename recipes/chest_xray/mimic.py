"""What is told of the images of MIMIC-CXR-JPG: findings, change (MS-CXR-T), anatomy (Chest ImaGenome), reports."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from extraction.errors import AssayError
from recipes.card.boxes import in_square
from recipes.card.items import Item, Reading, one_patient
from recipes.card.options import LETTERS, told
from recipes.card.readers import lines_of, released
from recipes.card.rows import Row, is_version

_PARTS = {"train": "train", "validation": "validate", "test": "test"}
_FRONTAL = ("AP", "PA")
_LABELLED = "mimic-cxr-2.1.0-test-set-labeled.csv"  # by a radiologist, of 687 reports; in it no subject_id
_CHANGES = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
_KNOWN = (
    r"(?:WET READ|(?:FINAL|PRELIMINARY) REPORT|EXAMINATION|EXAM|STUDY|PROCEDURE|INDICATIONS?"
    r"|(?:CLINICAL )?(?:HISTORY|INDICATION|INFORMATION)|REASON FOR (?:EXAM(?:INATION)?|STUDY)|TECHNIQUE|COMPARISONS?"
    r"|FINDINGS?(?:(?: AND |/)IMPRESSIONS?)?|IMPRESSIONS?|CONCLUSIONS?|RECOMMENDATIONS?(?: AND COMMENTS?)?"
    r"|NOTIFICATIONS?|ADDENDUM)"
)
# A known word with its colon or alone on its line, or capitals with a colon; not "PICC ends in the mid SVC".
_SECTION = re.compile(
    rf"^[ \t]*(?:(?P<known>(?i:{_KNOWN})(?=[ \t]*:)|{_KNOWN}(?=[ \t]*$))|[A-Z][A-Z0-9 /,&()-]+(?=:)):?", re.MULTILINE
)
_NAMES = {
    **dict.fromkeys(
        ("indications", "history", "clinical history", "clinical indication", "clinical information", "reason for exam",
         "reason for examination", "reason for study"), "indication"
    ),
    **dict.fromkeys(("finding", "findings and impression", "findings/impression"), "findings"),
    "impressions": "impression",
}  # fmt: skip


def _homes(folder: Path, beside: Sequence[str]) -> list[Path]:
    """What holds `files`: the folder itself, one in it or beside it; where none does, the one that is to be there."""
    top = folder.parent if is_version(folder) else folder
    places = [released(place / name) for name in ("", *beside) for place in (top.parent if name else folder, folder)]
    return [p for p in dict.fromkeys(places) if (p / "files").is_dir()] or [top.parent / beside[0]]


def _images(folder: Path) -> list[Path]:
    return _homes(folder, ("mimic-cxr-jpg", "MIMIC-CXR-JPG"))


def _within(subject: str, study: str) -> Path:
    return Path("files", f"p{subject[:2]}", f"p{subject}", f"s{study}")


def image_of(homes: Sequence[Path], subject: str, study: str, dicom: str) -> Path:
    """Where an image of MIMIC-CXR-JPG lies: in one of several folders, or should lie in the first."""
    within = _within(subject.lstrip("p"), study.lstrip("s")) / f"{Path(dicom).stem}.jpg"
    return next((home / within for home in homes if (home / within).is_file()), homes[0] / within)


def _table(folder: Path, name: str, row: Row) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise AssayError(f"{folder} has no {name}(.gz); {row.access}.")


def _frontal(
    folder: Path, split: str, row: Row, reading: Reading, only: Mapping[str, str] | None = None
) -> dict[str, tuple[str, Path, str]]:
    """The first frontal image of each study of a split: its subject, its file, and where it is named.

    Args:
        only: these studies alone, each with where it is named.
    """
    metadata = _table(folder, "mimic-cxr-2.0.0-metadata.csv", row)
    views = {c["dicom_id"]: c["ViewPosition"] for _, c in lines_of(metadata, ("dicom_id", "ViewPosition"))}
    found: dict[str, tuple[str, Path, str]] = {}
    unseen: dict[str, str] = {}
    strange = dict(only or {})
    splits, homes = _table(folder, "mimic-cxr-2.0.0-split.csv", row), _images(folder)
    for at, cells in lines_of(splits, ("dicom_id", "study_id", "subject_id", "split")):
        if cells["split"] != _PARTS[split]:
            if cells["split"] not in _PARTS.values():
                reading.leave("its split is none of train, validate and test", f"{at} ({cells['split'][:40]!r})")
            continue
        strange.pop(cells["study_id"], None)
        if only is not None and cells["study_id"] not in only:
            continue
        if views.get(cells["dicom_id"]) in _FRONTAL:
            if cells["study_id"] not in found:
                image = image_of(homes, cells["subject_id"], cells["study_id"], cells["dicom_id"])
                found[cells["study_id"]] = cells["subject_id"], image, at
        else:
            unseen.setdefault(cells["study_id"], at)
    for study, at in unseen.items():
        if study not in found:
            reading.leave("its study has no frontal image", f"{at} (s{study.lstrip('s')})")
    for study, at in strange.items():
        reading.leave("its study is not of the test part", f"{at} (s{study})")
    for study, (_, path, at) in list(found.items()):
        if not path.is_file():
            reading.leave("its image is missing", f"{at} ({path})")
            del found[study]
    return found


def read_mimic_cxr(folder: Path, split: str, row: Row) -> Reading:
    """Findings of MIMIC-CXR's studies, asked of each study's first frontal image.

    CheXpert's labels; of the test part those of a radiologist, where their table is there.
    """
    from recipes.chest_xray.readers import FINDINGS, add

    reading, folder = Reading(), released(folder)
    by_hand = folder / _LABELLED
    if split == "test" and by_hand.is_file():
        rows = lines_of(by_hand, ("study_id", *FINDINGS))
        named = {_study(cells): at for at, cells in lines_of(by_hand, ("study_id",))}
        only: dict[str, str] | None = named
        reading.said.append(
            f"Labels are a radiologist's, of the reports of {len(named)} studies ({_LABELLED}); others of the test "
            "part are not asked about."
        )
    else:
        labels = _table(folder, "mimic-cxr-2.0.0-chexpert.csv", row)
        rows, only = lines_of(labels, ("subject_id", "study_id", *FINDINGS)), None
        if split == "test":
            reading.said.append(f"There is no {_LABELLED}: labels are CheXpert's, which reads reports by rules.")
    images = _frontal(folder, split, row, reading, only)
    labelled = set[str]()
    for at, cells in rows:
        if _study(cells) in images:
            subject, image, _ = images[_study(cells)]
            labelled.add(_study(cells))
            for finding in FINDINGS:
                add(reading, at, image, finding, cells[finding], subject)
    for study, (_, _, at) in images.items():
        if study not in labelled:
            reading.leave("its study has no labels", f"{at} (s{study.lstrip('s')})")
    return reading


def _study(cells: Mapping[str, Any]) -> str:
    return one_patient(told(cells["study_id"]))


def read_ms_cxr_t(folder: Path, split: str, row: Row) -> Reading:
    """Pairs of images and what became of five findings; all of it is test, as the card has it.

    Raises:
        AssayError: it is asked for training, or the table is missing.
    """
    homes, folder = _images(folder), released(folder)
    file = next(iter(sorted(folder.glob("MS_CXR_T_temporal_image_classification*.csv"))), None)
    if split != "test":
        raise AssayError(f"{row.title} has no training part; train on pairs of your own (reader table, two images).")
    if file is None:
        raise AssayError(f"{folder} has no MS_CXR_T_temporal_image_classification_v1.0.0.csv; {row.access}.")
    letters = dict(zip(row.classes, LETTERS, strict=False))
    options = dict(zip(LETTERS, row.classes.values(), strict=False))
    reading = Reading()
    needed = ("subject_id", "study_id", "dicom_id", "previous_study_id", "previous_dicom_id")
    for at, cells in lines_of(file, (*needed, *(f"{finding}_progression" for finding in _CHANGES))):
        subject = cells["subject_id"]
        before = image_of(homes, subject, cells["previous_study_id"], cells["previous_dicom_id"])
        after = image_of(homes, subject, cells["study_id"], cells["dicom_id"])
        if missing := next((path for path in (before, after) if not path.is_file()), None):
            reading.leave("its image is missing", f"{at} ({missing})")
            continue
        for finding in _CHANGES:
            if not (label := told(cells[f"{finding}_progression"])):
                reading.leave("a finding is not spoken of", f"{at} ({finding})")
            else:
                asked = f"How has the {finding.replace('_', ' ')} changed from the previous image to the current one?"
                name = f"{before.stem}>{after.stem}:{finding}"
                gold = letters.get(label, label)
                reading.add(Item(name, asked, gold, options, (before, after), patient=subject, group=finding, at=at))
    return reading


def read_imagenome(folder: Path, split: str, row: Row) -> Reading:
    """Boxes of the parts of the chest, of the scene graphs of a split; in 0 to 1000 of the padded square.

    Raises:
        AssayError: the table of the split or the scene graphs are missing, or one is no JSON.
    """
    homes, folder = _images(folder), released(folder)
    base = folder / "silver_dataset" if (folder / "silver_dataset").is_dir() else folder
    name = {"train": "train.csv", "validation": "valid.csv", "test": "test.csv"}[split]
    reading = Reading()
    for at, cells in lines_of(_table(base / "splits", name, row), ("subject_id", "study_id", "dicom_id")):
        dicom = cells["dicom_id"]
        image = image_of(homes, cells["subject_id"], cells["study_id"], dicom)
        graph = base / "scene_graph" / f"{dicom}_SceneGraph.json"
        if not image.is_file() or not graph.is_file():
            missing = graph if image.is_file() else image
            reading.leave("its image or scene graph is missing", f"{at} ({missing})")
            continue
        try:
            objects, size = _objects(graph), _size(image)
        except (OSError, ValueError) as error:
            reading.leave("its image or scene graph cannot be read", f"{at} ({error})")
            continue
        if not objects:
            reading.leave("its scene graph has no object", str(graph))
        for number, one in enumerate(objects, 1):
            _add_box(reading, f"{graph}, object {number}", one, image, size, cells["subject_id"])
    return reading


def _objects(graph: Path) -> list[Any]:
    """The objects of a scene graph; ValueError says what is wrong with it."""
    try:
        return [*json.loads(graph.read_text(encoding="utf-8"))["objects"]]
    except (ValueError, KeyError, TypeError) as error:
        why = str(error) if isinstance(error, ValueError) else "it has no objects"
        raise ValueError(f"{graph}: {why}") from None


def _size(image: Path) -> tuple[int, int]:
    """Width and height of a picture; ValueError says what is wrong with it."""
    try:
        with Image.open(image) as opened:
            return opened.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{image}: {error}") from None


def _add_box(
    reading: Reading, at: str, one: Mapping[str, Any], image: Path, size: tuple[int, int], patient: str
) -> None:
    try:
        sides = [float(one[f"original_{side}"]) for side in ("x1", "y1", "x2", "y2")]
        label = str(one["bbox_name"])
    except (KeyError, TypeError, ValueError):
        reading.leave("an object has no box", at)
        return
    if not (0 <= sides[0] < sides[2] <= size[0] + 1 and 0 <= sides[1] < sides[3] <= size[1] + 1):
        reading.leave("a box leaves its image", f"{at} ({sides} in {size[0]} x {size[1]})")
        return
    name = f"{image.stem}:{label}"
    reading.add(Item(name, label, in_square(sides, *size), images=(image,), patient=patient, group=label, at=at))


def read_mimic_reports(folder: Path, split: str, row: Row) -> Reading:
    """Findings and impression of a study's report, from its indication and first frontal image."""
    reading, homes, folder = Reading(), _homes(folder, ("mimic-cxr-reports", "mimic-cxr")), released(folder)
    for study, (subject, image, at) in _frontal(folder, split, row, reading).items():
        places = [(home / _within(subject, study)).with_suffix(".txt") for home in homes]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            reading.leave("its report is missing", f"{at} (mimic-cxr-reports/{_within(subject, study)}.txt)")
            continue
        parts = sections(file.read_text(encoding="utf-8", errors="replace"))
        if "findings" not in parts and "impression" not in parts:
            reading.leave("its report has neither findings nor impression", str(file))
            continue
        both = [parts.get("findings", ""), f"Impression: {parts['impression']}" if "impression" in parts else ""]
        gold = "\n".join(one for one in both if one)
        reading.add(Item(study, parts.get("indication", ""), gold, images=(image,), patient=subject, at=str(file)))
    return reading


def sections(text: str) -> dict[str, str]:
    """The sections of a report by their headings in small letters; `history` is an indication.

    Within findings and impression, other words than sections have ("LUNGS:") are theirs.
    """
    heads: list[tuple[str, re.Match[str]]] = []
    for head in _SECTION.finditer(text):
        if head["known"] or not heads or heads[-1][0] not in ("findings", "impression"):
            name = " ".join(head.group().rstrip(":").lower().split())
            heads.append((_NAMES.get(name, name), head))
    found: dict[str, str] = {}
    ends = [*(head.start() for _, head in heads[1:]), None]  # of a report without any heading there is one more
    for (name, head), end in zip(heads, ends, strict=False):
        said = " ".join(text[head.end() : end].lstrip(" \t:").split())
        if said:
            found.setdefault(name, said)
    return found
