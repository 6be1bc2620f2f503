"""Pictures and tables in the layouts of published data sets, made by the tests themselves."""

import csv
import gzip
import json

from PIL import Image, ImageDraw


def picture(path, colour=(120, 80, 60), size=(64, 48), dot=None):
    """A picture with a dot at a place, and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    if dot:
        ImageDraw.Draw(image).ellipse((dot[0] - 4, dot[1] - 4, dot[0] + 4, dot[1] + 4), fill="white")
    image.save(path)
    return path


def table(path, rows, zipped=False):
    """A CSV, TSV or JSON lines of dicts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path
    with gzip.open(path, "wt", newline="") if zipped else path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def slake(folder):
    """Three images, English and Chinese questions on each."""
    for split, image in (("train", 1), ("validate", 2), ("test", 3)):
        picture(folder / "imgs" / f"xmlab{image}" / "source.jpg", (40 * image, 90, 30))
        asked = [
            ("What modality is used to take this image?", "CT" if image > 1 else "MRI", "OPEN", "en"),
            ("Does the picture contain lung?", "Yes", "CLOSED", "en"),
            ("图中包含肺吗?", "包含", "CLOSED", "zh"),
        ]
        rows = [
            {
                "img_id": image, "img_name": f"xmlab{image}/source.jpg", "question": question, "answer": answer,
                "q_lang": language, "location": "Lung", "modality": "CT", "answer_type": kind, "base_type": "vqa",
                "content_type": "Modality", "triple": ["vhead", "_", "_"], "qid": 10 * image + number,
            }
            for number, (question, answer, kind, language) in enumerate(asked)
        ]  # fmt: skip
        (folder / f"{split}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return folder


def vqa_rad(folder):
    """Four images; the original split shows one of them in training and test."""
    rows = []
    asked = [("0", "freeform", "synpic1.jpg"), (1, "test_freeform", "synpic1.jpg"), ("2", "para", "synpic2.jpg"),
             ("3", "freeform", "synpic3.jpg"), ("4", "test_para", "synpic4.jpg")]  # fmt: skip
    for qid, phrase, image in asked:
        picture(folder / "VQA_RAD Image Folder" / image, (10 * len(rows), 60, 90))
        rows.append(
            {"qid": qid, "phrase_type": phrase, "image_name": image, "question": f"Is {qid} seen?",
             "answer": 3 if qid == "3" else "Yes", "answer_type": "CLOSED " if qid == "2" else "CLOSED"}
        )  # fmt: skip
    (folder / "VQA_RAD_Dataset_Public.json").write_text(json.dumps(rows))
    parts = {"0": "train", "1": "train", "2": "validate", "3": "test", "4": "test"}
    table(
        folder / "vqa_rad_balanced_split_and_human_eval_inclusions.tsv",
        [{"QID_unique": q, "SPLIT_BALANCED": part, "INCLUDED_IN_HUMAN_EVAL": "TRUE"} for q, part in parts.items()],
    )
    return folder


def mimic(folder, studies=("train", "validate", "test", "test")):
    """MIMIC-CXR-JPG: a patient a study, a lateral image beside the frontal one, CheXpert's labels, reports."""
    splits, metadata, labels = [], [], []
    for number, split in enumerate(studies):
        subject, study = f"1000000{number}", f"5000000{number}"
        place = f"p{subject[:2]}/p{subject}/s{study}"
        for view in ("LATERAL", "PA"):
            dicom = f"{view.lower()}-{number}"
            picture(folder / "files" / place / f"{dicom}.jpg", (30 + 40 * number,) * 3, (80, 100))
            splits.append({"dicom_id": dicom, "study_id": study, "subject_id": subject, "split": split})
            metadata.append({"dicom_id": dicom, "ViewPosition": view, "Rows": 100})
        values = {
            "Atelectasis": "1.0",
            "Cardiomegaly": "0.0",
            "Consolidation": "",
            "Edema": "-1.0",
            "Pleural Effusion": "1.0",
        }
        labels.append({"subject_id": subject, "study_id": study, **values})
        report = folder / "mimic-cxr-reports" / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}.txt"
        report.parent.mkdir(parents=True)
        report.write_text(
            " FINAL REPORT\n EXAMINATION: Chest\n\n INDICATION: Cough for\n two days.\n\n FINDINGS: The heart is "
            "large.\n No effusion.\n\n IMPRESSION:\n Cardiomegaly.\n"
        )
    table(folder / "mimic-cxr-2.0.0-split.csv.gz", splits, zipped=True)
    table(folder / "mimic-cxr-2.0.0-metadata.csv.gz", metadata, zipped=True)
    table(folder / "mimic-cxr-2.0.0-chexpert.csv.gz", labels, zipped=True)
    return folder


def imagenome(folder, files):
    """Chest ImaGenome over the images of `mimic`: a box of the heart and one that leaves its image."""
    rows = []
    for number in (2, 3):
        subject, study, dicom = f"1000000{number}", f"5000000{number}", f"pa-{number}"
        rows.append({"": number, "subject_id": subject, "study_id": study, "dicom_id": dicom, "ViewPosition": "PA"})
        objects = [
            {
                "bbox_name": "cardiac silhouette",
                "original_x1": 20,
                "original_y1": 50,
                "original_x2": 60,
                "original_y2": 90,
            },
            {"bbox_name": "left lung", "original_x1": 20, "original_y1": 50, "original_x2": 600, "original_y2": 90},
            {"bbox_name": "spine"},
        ]
        graph = folder / "silver_dataset" / "scene_graph" / f"{dicom}_SceneGraph.json"
        graph.parent.mkdir(parents=True, exist_ok=True)
        graph.write_text(json.dumps({"image_id": dicom, "objects": objects}))
    table(folder / "silver_dataset" / "splits" / "test.csv", rows)
    return folder
