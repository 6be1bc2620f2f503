"""Chest X-rays as their publishers give them out: folders of versions, faults of tables, reports and graphs."""

import json

import pytest

from extraction.errors import AssayError
from recipes.card.base import read_row
from recipes.card.blind import blind
from recipes.card.items import Item
from recipes.card.places import found
from recipes.card.rows import by_name, row_at
from recipes.chest_xray.mimic import sections
from tests.recipes.pictures import imagenome, mimic, picture, table

SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
LABELS = "mimic-cxr-2.0.0-chexpert.csv.gz"


def change(path, rows):
    table(path, rows, zipped=path.suffix == ".gz")


def test_studies_without_labels_and_of_no_split_are_counted(tmp_path):
    from recipes.tables import table as rows_of

    folder = mimic(tmp_path / "mimic-cxr-jpg")
    change(folder / LABELS, [cells for _, cells in rows_of(folder / LABELS)][:-1])
    splits = [cells for _, cells in rows_of(folder / SPLIT)]
    change(folder / SPLIT, [*splits[:-4], *({**cells, "split": "tset"} for cells in splits[-4:-2]), *splits[-2:]])
    with pytest.raises(
        AssayError, match=r"2 left out, as its split is none of .*line 6 \('tset'\).*no labels: .*s5.*3\)"
    ):
        read_row(by_name("mimic_cxr"), folder, "test")


def test_data_sets_lie_in_folders_of_their_versions(tmp_path):
    """As `wget -r` brings them from PhysioNet."""
    files = mimic(tmp_path / "mimic-cxr-jpg" / "2.1.0")
    (tmp_path / "mimic-cxr").mkdir()
    (files / "mimic-cxr-reports").rename(tmp_path / "mimic-cxr" / "2.1.0")
    imagenome(tmp_path / "chest-imagenome" / "1.0.0", files)
    changes = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
    pair = {"subject_id": 10000002, "study_id": 50000002, "dicom_id": "pa-2", "previous_study_id": 50000002,
            "previous_dicom_id": "lateral-2", **{f"{name}_progression": "stable" for name in changes}}  # fmt: skip
    table(tmp_path / "ms-cxr-t" / "1.0.0" / "MS_CXR_T_temporal_image_classification_v1.0.0.csv", [pair])
    listed = {name: folder for name, _, folder in found(tmp_path)}
    assert sorted(listed) == ["chest_imagenome", "mimic_cxr", "mimic_reports", "ms_cxr_t"]
    for name, folder in listed.items():
        [inner] = folder.iterdir()
        assert row_at(inner).recipe == "chest_xray" and next(found(inner))[2] == inner
        counts = [len(read_row(by_name(name), place, "test").items) for place in (folder, inner)]
        assert counts[0] == counts[1] > 0


def test_a_changed_column_is_named(tmp_path):
    mimic(tmp_path / "mimic-cxr-jpg")
    folder = tmp_path / "ms-cxr-t"
    pair = {"subject_id": 1, "study_id": 2, "dicom_id": "a", "previous_study_id": 3, "previous_dicom_id": "b"}
    names = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
    cells = {**pair, **{f"{name}_progression": "stable" for name in names}}
    file = table(folder / "MS_CXR_T_temporal_image_classification_v1.0.0.csv", [cells])
    with pytest.raises(AssayError, match=r"image is missing: .*line 2 \(.*mimic-cxr-jpg/files/p1/p1/s3/b\.jpg"):
        read_row(by_name("ms_cxr_t"), folder, "test")
    file.write_text(file.read_text().replace("edema_progression", "edema_progresion"))
    with pytest.raises(AssayError, match="no column `edema_progression`; `edema_progresion` is nearest"):
        read_row(by_name("ms_cxr_t"), folder, "test")


def test_columns_of_chestxray14_are_told_by_their_names(tmp_path):
    folder = tmp_path / "ChestX-ray14"
    picture(folder / "images" / "1.png")
    (folder / "test_list.txt").write_text("1.png")
    head = "Image Index,Finding Labels,Patient ID,Follow-up #,OriginalImage[Width,Height],"
    (folder / "Data_Entry_2017.csv").write_text(f"{head}\n1.png,Hernia,77,0,2682,2749,\n")
    items = read_row(by_name("cxr14"), folder, "test").items
    assert {item.patient for item in items} == {"77"} and [i.group for i in items if i.gold == "yes"] == ["Hernia"]


def test_what_is_wrong_with_a_scene_graph_or_its_picture_is_said_of_that(tmp_path):
    files = mimic(tmp_path / "mimic-cxr-jpg")
    folder = imagenome(tmp_path / "chest-imagenome", files)
    graph = next((folder / "silver_dataset" / "scene_graph").glob("pa-2*"))
    graph.write_text(json.dumps([1]))
    image = next(files.rglob("pa-3.jpg"))
    image.write_bytes(image.read_bytes()[:50])
    with pytest.raises(
        AssayError, match=r"line 2 \(.*pa-2_SceneGraph\.json: it has no objects\); .*line 3 \(.*pa-3\.jpg"
    ):
        read_row(by_name("chest_imagenome"), folder, "test")


def test_a_report_without_headings_is_none_and_a_long_one_is_told_by_its_beginning():
    assert sections("") == sections("No change since the day before.\n") == {}
    report = Item("1", "Cough", "The heart is large. " * 20)
    _, told = blind(by_name("mimic_reports"), [], [report])
    assert len(told) < 120 and "The heart is large." in told


def test_the_test_part_of_mimic_is_labelled_by_a_radiologist_where_those_labels_are(tmp_path):
    """In PhysioNet's layout: study_id alone, "Airspace Opacity" for "Lung Opacity", uncertain findings and blanks."""
    folder = mimic(tmp_path / "mimic-cxr-jpg")
    without = read_row(by_name("mimic_cxr"), folder, "test")
    assert any("labels are CheXpert's" in told for told in without.said)
    labels = {"study_id": 50000003, "Airspace Opacity": "1.0", "Atelectasis": "0.0", "Cardiomegaly": "1.0",
              "Consolidation": "-1.0", "Edema": "", "Pleural Effusion": "0"}  # fmt: skip
    rows = [labels, {**labels, "study_id": 59999999}]
    table(folder / "mimic-cxr-2.1.0-test-set-labeled.csv", rows)
    reading = read_row(by_name("mimic_cxr"), folder, "test")
    assert {item.group: (item.gold, item.patient) for item in reading.items} == {
        "Atelectasis": ("no", "10000003"), "Cardiomegaly": ("yes", "10000003"), "Pleural Effusion": ("no", "10000003")
    }  # fmt: skip
    assert reading.counts == {
        "a finding is uncertain": 1, "a finding is not spoken of": 1, "its study is not of the test part": 1
    }  # fmt: skip
    assert any("a radiologist's, of the reports of 2 studies" in told for told in reading.said)
    train = read_row(by_name("mimic_cxr"), folder, "train")
    assert {item.patient for item in train.items} == {"10000000"} and not train.said
