"""Picture rows in the layouts of their publishers: read, asked, left out and counted."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from extraction.errors import AssayError
from extraction.example import ImagePart
from extraction.record.record import Record
from extraction.room import Room
from finetune.task import DataRequest, load_task, read_examples
from recipes.card.base import read_row, training_part
from recipes.card.blind import blind
from recipes.card.download import _write as write_split
from recipes.card.examples import examples_of
from recipes.card.items import Reading
from recipes.card.rows import by_name, published, row_at
from recipes.chest_xray.mimic import sections
from recipes.chest_xray.readers import ADJUDICATED, add
from tests.recipes.pictures import imagenome, mimic, picture, slake, table, vqa_rad


def read(folder, split="test", row=None):
    return read_row(row or row_at(folder), folder, split)


def golds(reading):
    return [(item.question, item.gold) for item in reading.items]


def test_slake_in_english_and_in_chinese(tmp_path):
    folder = slake(tmp_path / "slake")
    assert golds(read(folder)) == [
        ("What modality is used to take this image?", "CT"),
        ("Does the picture contain lung?", "Yes"),
    ]
    assert [item.closed for item in read(folder).items] == [False, True]
    [example] = examples_of(read(folder), row_at(folder))
    assert [type(part) for part in example.context.parts] == [ImagePart] and len(example.branches) == 2
    (folder / "row.yaml").write_text("base: slake\nwhere: {q_lang: zh}\n")
    assert golds(read(folder)) == [("图中包含肺吗?", "包含")]


def test_vqa_rad_balanced_and_original(tmp_path):
    folder = vqa_rad(tmp_path / "vqa_rad")
    assert golds(read(folder)) == [("Is 3 seen?", "3"), ("Is 4 seen?", "Yes")]
    assert [item.closed for item in read(folder, "validation").items] == [True]
    original = read(folder, row=by_name("vqa_rad_original"))
    assert [item.id for item in original.items] == ["1", "4"]
    assert original.said[0].startswith(
        "1 of its 2 patients or images are in its training part, too: synpic1.jpg. The original split shows"
    )
    split = folder / "vqa_rad_balanced_split_and_human_eval_inclusions.tsv"
    split.write_text(split.read_text().replace("SPLIT_BALANCED", "SPLIT"))
    with pytest.raises(AssayError, match="no column `SPLIT_BALANCED`; `SPLIT` is nearest"):
        read(folder)
    split.unlink()
    with pytest.raises(AssayError, match="which says what is trained and what is not"):
        read(folder)
    public = folder / "VQA_RAD_Dataset_Public.json"
    public.write_text(public.read_text().replace('"answer"', '"anser"', 1))
    with pytest.raises(AssayError, match=r"Public\.json has no column `answer`; `anser` is nearest"):
        read(folder, row=by_name("vqa_rad_original"))


def test_medxpertqa_with_several_images(tmp_path):
    folder = tmp_path / "MedXpertQA"
    names = [picture(folder / "images" / f"MM-1-{letter}.jpeg").name for letter in "ab"]
    row = {
        "id": "MM-1",
        "question": "Which? (A) a (B) b",
        "options": {"A": "a", "B": "b"},
        "label": "B",
        "images": names,
    }
    table(folder / "MM" / "test.jsonl", [row, {**row, "id": "MM-2", "images": ["none.jpeg"]}])
    reading = read(folder, row=by_name("medxpertqa_mm"))
    assert [len(item.images) for item in reading.items] == [2]
    assert reading.counts == {"its image is missing": 1}
    assert row_at(folder).name == "medxpertqa_mm"


def test_pad_ufes_by_google_s_split_of_patients(tmp_path):
    folder = tmp_path / "PAD-UFES-20"
    rows = [{"patient_id": f"PAT_{n}", "lesion_id": n, "diagnostic": d, "img_id": f"PAT_{n}_1.png"}
            for n, d in enumerate(("ACK", "MEL", "NEV", "XXX"))]  # fmt: skip
    table(folder / "metadata.csv", rows)
    table(folder / "pad_ufes_20_split.tsv", [{"PATIENT_ID": f"PAT_{n}", "SPLIT": "test"} for n in (0, 1, 3)])
    for n in (0, 3):
        picture(folder / "imgs_part_1" / "imgs_part_1" / f"PAT_{n}_1.png")
    reading = read(folder)
    assert [(item.gold, item.patient) for item in reading.items] == [("A", "PAT_0")]
    assert reading.counts == {
        "its image is missing": 1, "the split does not name its patient": 1, "its answer is none of its options": 1
    }  # fmt: skip
    [example] = examples_of(reading, by_name("pad_ufes_20"))
    asked = example.branches[0].parts[0]
    assert asked.endswith("(F) seborrheic keratosis\nThe most likely diagnosis is:")
    assert example.branches[0].gold == {"answer": "(A)"}
    (folder / "metadata.csv").unlink()
    with pytest.raises(AssayError, match=r"has no metadata\.csv; open \(CC BY 4\.0\)"):
        read(folder)


def test_isic_has_a_column_for_each_class(tmp_path):
    folder = tmp_path / "isic_2018"
    names = list(by_name("isic_2018").classes)
    rows = [{"image": f"ISIC_{n}", **{name: float(name == names[n]) for name in names}} for n in range(3)]
    table(folder / "ISIC2018_Task3_Test_GroundTruth" / "ISIC2018_Task3_Test_GroundTruth.csv", rows)
    for n in range(3):
        picture(folder / "ISIC2018_Task3_Test_Input" / f"ISIC_{n}.jpg")
    assert [item.gold for item in read(folder).items] == ["A", "B", "C"]
    file = folder / "ISIC2018_Task3_Test_GroundTruth" / "ISIC2018_Task3_Test_GroundTruth.csv"
    file.write_text(file.read_text().replace("VASC", "VAS"))
    with pytest.raises(AssayError, match="no column `VASC`; `VAS` is nearest"):
        read(folder)


def test_scin_has_four_options_that_are_always_the_same(tmp_path):
    folder = tmp_path / "scin"
    cases = [{"case_id": f"{n}", "image_1_path": f"dataset/images/{n}.png"} for n in range(40)]
    names = ("Eczema", "Psoriasis", "Acne", "Urticaria", "Tinea")
    labels = [{"case_id": f"{n}", "dermatologist_skin_condition_on_label_name": str([names[n % 5], names[(n + 1) % 5]])}
              for n in range(39)]  # fmt: skip
    table(folder / "dataset" / "scin_cases.csv", cases)
    table(folder / "dataset" / "scin_labels.csv", labels)
    for n in range(40):
        picture(folder / "dataset" / "images" / f"{n}.png", (n, 60, 60))
    first, again = read(folder), read(folder)
    assert first.items == again.items and len(first.items) > 2
    for item in first.items:
        assert item.options[item.gold] == names[int(item.id) % 5] and len(set(item.options.values())) == 4
        assert names[(int(item.id) + 1) % 5] not in item.options.values()  # it was named of the same case
    parts = [read(folder, split).items for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 39


def test_eyepacs_keeps_both_eyes_on_one_side(tmp_path):
    folder = tmp_path / "eyepacs"
    rows = [{"image": f"{n}_{side}", "level": n % 5} for n in range(70) for side in ("left", "right")]
    table(folder / "trainLabels.csv", rows)
    for place, row in enumerate(rows):
        picture(folder / "train" / f"{row['image']}.png", (place, 60, 60), size=(16, 16))
    every = [read(folder, split).items for split in ("train", "validation", "test")]
    parts = [{item.id.split("_")[0] for item in items} for items in every]
    assert sum(map(len, parts)) == 70 and not parts[0] & parts[2]


def test_classes_as_folders(tmp_path):
    folder = tmp_path / "NCT-CRC-HE"
    for part in ("NCT-CRC-HE-100K", "CRC-VAL-HE-7K"):
        for name in ("ADI", "TUM", "ZZZ"):
            picture(folder / part / name / f"{part}.tif")
    reading = read(folder)
    assert [item.options[item.gold] for item in reading.items] == ["adipose", "colorectal adenocarcinoma epithelium"]
    assert reading.counts == {"its folder is none of the row's classes": 1}
    own = tmp_path / "lc25000"
    for name in ("lung_aca", "lung_n"):
        picture(own / "test" / name / "1.png")
    (own / "row.yaml").write_text("recipe: image_choice\nreader: folders\nquestion: Which tissue?\n")
    assert [dict(item.options) for item in read(own).items] == [{"A": "lung aca", "B": "lung n"}] * 2


def test_pcam_is_unpacked_once(tmp_path):
    h5py = pytest.importorskip("h5py")
    folder = tmp_path / "pcam"
    folder.mkdir()
    for name, values in (("x", np.zeros((3, 96, 96, 3), np.uint8)), ("y", np.array([0, 1, 1]).reshape(3, 1, 1, 1))):
        with h5py.File(folder / f"camelyonpatch_level_2_split_test_{name}.h5", "w") as file:
            file[name] = values
    assert [item.gold for item in read(folder).items] == ["A", "B", "B"]
    assert len(list((folder / "png" / "test").glob("*.png"))) == 3


def test_mimic_asks_five_findings_of_the_frontal_image(tmp_path):
    folder = mimic(tmp_path / "mimic-cxr-jpg")
    reading = read(folder)
    assert golds(reading)[:3] == [
        ("Is there atelectasis in this image?", "yes"),
        ("Is there cardiomegaly in this image?", "no"),
        ("Is there pleural effusion in this image?", "yes"),
    ]
    assert {item.images[0].name for item in reading.items} == {"pa-2.jpg", "pa-3.jpg"}
    assert reading.counts == {"a finding is not spoken of": 2, "a finding is uncertain": 2}
    examples = examples_of(reading, row_at(folder))
    assert [len(example.branches) for example in examples] == [3, 3]
    views = [{"dicom_id": f"{view}-{n}", "ViewPosition": "LL" if n == 3 else "PA"}
             for n in range(4) for view in ("pa", "lateral")]  # fmt: skip
    table(folder / "mimic-cxr-2.0.0-metadata.csv.gz", views, zipped=True)
    assert read(folder).counts["its study has no frontal image"] == 1
    assert examples[0].context.parts[0].size == (100, 100)
    assert examples[0].branches[0].parts[0].endswith('or "Final Answer: no')


def test_mimic_reports_from_indication_to_impression(tmp_path):
    folder = mimic(tmp_path / "mimic-cxr-jpg")
    row = by_name("mimic_reports")
    example = examples_of(read(folder, row=row), row)[0]
    assert example.branches[0].parts == ('"Cough for two days. findings:"',)
    assert example.branches[0].gold == {"answer": "The heart is large. No effusion.\nImpression: Cardiomegaly."}
    assert sections("FINDINGS: a\nHISTORY: b") == {"findings": "a", "indication": "b"}
    text = (
        " FINAL REPORT\n CHEST, PA AND LATERAL:  ___\n\n"
        " REASON FOR EXAMINATION: Line.\n\n COMPARISON:  None.\n\n Findings\n"
        " FINDINGS:  Left\n PICC terminates in the mid SVC.\n PA and lateral views.\n A small nodule.\n LUNGS: Clear.\n"
        " IMPRESSION\n ET tube is low.\n\n NOTIFICATION:  By phone.\n"
    )
    told = sections(text)
    assert (
        told["findings"] == "Left PICC terminates in the mid SVC. PA and lateral views. A small nodule. LUNGS: Clear."
    )
    assert (told["impression"], told["indication"], told["comparison"]) == (
        "ET tube is low.",
        "Line.",
        "None. Findings",
    )


def test_ms_cxr_t_shows_the_previous_image_first(tmp_path):
    mimic(tmp_path / "mimic-cxr-jpg")
    row = {"subject_id": "10000002", "study_id": "50000002", "dicom_id": "files/p10/p10000002/s50000002/pa-2",
           "previous_study_id": "50000002", "previous_dicom_id": "lateral-2", "edema_progression": "worsening",
           "edema_label_quality": "one_expert", "pneumonia_progression": "", "consolidation_progression": "nan",
           "pleural_effusion_progression": "", "pneumothorax_progression": "better"}  # fmt: skip
    table(tmp_path / "ms-cxr-t" / "MS_CXR_T_temporal_image_classification_v1.0.0.csv", [row])
    folder = tmp_path / "ms-cxr-t"
    reading = read(folder)
    assert [(item.gold, item.group) for item in reading.items] == [("C", "edema")]
    assert reading.counts == {"a finding is not spoken of": 3, "its answer is none of its options": 1}
    [example] = examples_of(reading, row_at(folder))
    before, label, after, other = example.context.parts
    assert (before.path.stem, label, after.path.stem, other) == (
        "lateral-2",
        "(previous image)",
        "pa-2",
        "(current image)",
    )


def test_imagenome_s_boxes_are_of_the_padded_square(tmp_path):
    files = mimic(tmp_path / "mimic-cxr-jpg")
    folder = imagenome(tmp_path / "chest-imagenome", files)
    reading = read(folder)
    # 80 x 100 pixels: ten columns of black at each side.
    assert [(item.question, item.gold) for item in reading.items] == [
        ("cardiac silhouette", (500.0, 300.0, 900.0, 700.0))
    ] * 2
    assert reading.counts == {"a box leaves its image": 2, "an object has no box": 2}
    graphs = sorted((folder / "silver_dataset" / "scene_graph").iterdir())
    for text, why in (('{"objects": null}', "its image or scene graph cannot be read"), ("[]", None),
                      ('{"objects": []}', "its scene graph has no object")):  # fmt: skip
        graphs[0].write_text(text)
        assert read(folder).counts.get(why or "its image or scene graph cannot be read") == 1
    example = examples_of(reading, row_at(folder))[0]
    assert isinstance(example.context.parts[0], str) and example.context.parts[1].size == (100, 100)
    assert '"box_2d":[500,300,900,700],"label":"cardiac silhouette"' in example.branches[0].gold["answer"]


def test_chexpert_and_chestxray14(tmp_path):
    folder = tmp_path / "CheXpert-v1.0-small"
    path = "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg"
    picture(tmp_path / path)
    findings = {
        "Atelectasis": "0.0",
        "Cardiomegaly": "1.0",
        "Consolidation": "-1.0",
        "Edema": "0.0",
        "Pleural Effusion": "",
    }
    rows = [{"Path": path, "Frontal/Lateral": "Frontal", **findings},
            {"Path": path.replace("frontal", "lateral"), "Frontal/Lateral": "Lateral", **findings}]  # fmt: skip
    table(folder / "valid.csv", rows)
    reading = read(folder)
    assert [(item.group, item.gold, item.patient) for item in reading.items] == [
        ("Atelectasis", "no", "patient64541"), ("Cardiomegaly", "yes", "patient64541"), ("Edema", "no", "patient64541")
    ]  # fmt: skip
    table(folder / "valid.csv", [{"Path": path, "Pleural effusions": 1, "Edema": 0, "Atelectasis": 0, "Cardiomegaly": 0,
                                  "Consolidation": 0}])  # fmt: skip
    with pytest.raises(AssayError, match=r"`Pleural effusions` is nearest.*publisher's names: rename the column"):
        read(folder)
    nih = tmp_path / "ChestX-ray14"
    for name in ("00000001_000.png", "00000002_000.png"):
        picture(nih / "images_001" / "images" / name)
    (nih / "Data_Entry_2017_v2020.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
        "00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA,2682,2749,0.143,0.143\n"
        "00000002_000.png,No Finding,0,2,57,M,PA,2682,2749,0.143,0.143\n"
    )
    (nih / "test_list.txt").write_text("00000001_000.png\n")
    reading = read(nih, row=by_name("cxr14"))
    assert [item.group for item in reading.items if item.gold == "yes"] == ["Cardiomegaly", "Emphysema"]
    labels = {"Image Index": "00000002_000.png", "Patient ID": "2", "Fracture": "NO", "Pneumothorax": "YES",
              "Airspace opacity": "NO", "Nodule or mass": "YES", "Set Id": "1"}  # fmt: skip
    table(nih / "four_findings_expert_labels" / "test_labels.csv", [labels])
    reading = read(nih, row=by_name("cxr14_adjudicated"))
    assert golds(reading)[0] == ("Are there any fractures in the image?", "no") and len(reading.items) == 4
    labelled = nih / "four_findings_expert_labels"
    assert len(read(labelled).items) == 4
    assert len(read(labelled.rename(tmp_path / labelled.name)).items) == 4  # beside the images, too


@pytest.mark.parametrize("row", ["cxr14", "cxr14_adjudicated"])
def test_of_few_patients_one_is_held_out(tmp_path, row):
    folder, finding = tmp_path / "ChestX-ray14", dict.fromkeys(ADJUDICATED, "NO")
    names = [f"0000000{number}_000.png" for number in range(3)]
    for number, name in enumerate(names):
        picture(folder / "images" / name, (number, 60, 90))
    named = [{"Image Index": name, "Patient ID": name[:8]} for name in names]
    table(folder / "validation_labels.csv", [{**cells, **finding} for cells in named])
    other = ("Follow-up #", "Patient Age", "Patient Gender", "View Position", "Width", "Height", "x", "y")
    entries = [{"Image Index": c["Image Index"], "Finding Labels": "Mass", **dict.fromkeys(other[:1], 0),
                "Patient ID": c["Patient ID"], **dict.fromkeys(other[1:], 0)} for c in named]  # fmt: skip
    table(folder / "Data_Entry_2017_v2020.csv", entries)
    (folder / "test_list.txt").write_text("none.png")
    held, trained = ({i.patient for i in read(folder, split, by_name(row)).items} for split in ("validation", "train"))
    assert (len(held), len(trained)) == (1, 2) and not held & trained
    with pytest.raises(AssayError, match="No question is in its files for the split test"):
        read(folder, "test", by_name("cxr14"))
    table(folder / "validation_labels.csv", [{**named[0], **finding}])
    table(folder / "Data_Entry_2017_v2020.csv", entries[:1])
    with pytest.raises(AssayError, match="one patient or image alone for training and validation"):
        read(folder, "train", by_name(row))


def test_ehr_note_qa_joins_its_notes_by_time(tmp_path):
    folder = tmp_path / "ehrnoteqa"
    asked = {
        "patient_id": 7,
        "num_notes": 2,
        "question": "Why?",
        **{f"choice_{c}": c * 2 for c in "ABCDE"},
        "answer": "D",
    }
    table(folder / "EHRNoteQA.jsonl", [asked, {**asked, "question": "When?"}, {**asked, "patient_id": 8}])
    notes = [{"note_id": n, "subject_id": 7, "hadm_id": n, "charttime": when, "text": f"Note,\nof {when}"}
             for n, when in enumerate(("2180-05-02", "2180-05-01"))]  # fmt: skip
    table(folder / "discharge.csv.gz", notes, zipped=True)
    reading = read(folder)
    [example] = examples_of(reading, row_at(folder))
    assert example.context.parts == ("[note 1]\nNote,\nof 2180-05-01\n\n[note 2]\nNote,\nof 2180-05-02",)
    assert [branch.gold["answer"] for branch in example.branches] == ["Final Answer: (D)"] * 2
    assert "CHOICE_E: EE" in example.branches[0].parts[0]
    assert reading.counts == {"its notes are not those of the patient": 1}
    inner, notes = tmp_path / "ehr-notes-qa-llms" / "1.0.1", tmp_path / "mimic-iv-note" / "2.2" / "note"
    for place in (inner.parent, notes):
        place.mkdir(parents=True)
    folder.rename(inner)  # as PhysioNet has them
    (inner / "discharge.csv.gz").rename(notes / "discharge.csv.gz")
    assert golds(read(inner)) == golds(read(inner.parent)) == golds(reading)


def test_pictures_that_cannot_be_read_are_left_out_and_counted(tmp_path, capsys):
    folder = tmp_path / "own" / "test"
    whole = picture(folder / "whole.png")
    (folder / "cut.png").write_bytes(whole.read_bytes()[:-30])
    Image.new("CMYK", (32, 32), (10, 200, 30, 0)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full((32, 32), 40000, np.uint16)).save(folder / "deep.png")
    (folder / "words.png").write_text("no picture")
    (folder / "slice.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 50)
    bomb = Image.new("1", (30000, 30000))
    bomb.save(folder / "bomb.png")
    names = ["whole.png", "cut.png", "cmyk.jpg", "deep.png", "words.png", "slice.dcm", "bomb.png", "none.png"]
    table(folder / "test.csv", [{"image": name, "question": "Normal?", "answer": "yes"} for name in names])
    (tmp_path / "own" / "row.yaml").write_text(
        "recipe: vqa\ngrader: yes_no\ncolumns: {image: image, question: question, answer: answer}\n"
    )
    task = load_task("vqa")
    examples = read_examples(task, DataRequest(folder, "test", task.contract, Room(len, task.contract)))
    assert [example.context.parts[0].path.name for example in examples] == ["whole.png", "cmyk.jpg", "deep.png"]
    assert examples[2].context.parts[0].draw().getpixel((3, 3)) == (156, 156, 156)
    reading = examples[0].branches[0].source.reading
    assert reading.counts == {"its image is missing": 1, "its image cannot be read": 4}
    by_name = {name: at for at in reading.left_out["its image cannot be read"] for name in names if name in at}
    assert "is plain text and no picture; put a PNG" in by_name["words.png"]
    assert "save it smaller." in by_name["bomb.png"] and "limit" not in by_name["bomb.png"]
    told = "".join(capsys.readouterr())
    assert "test.csv, line 3 (" in told and "cut.png" in told and "test.csv, line 9 (" in told


def test_a_dicom_picture_is_shown_where_pydicom_is_installed(tmp_path, shared_data):
    pytest.importorskip("pydicom")
    file = shared_data / "card" / "dicom" / "RG1_J2KI.dcm"
    if not file.is_file():
        pytest.skip("the DICOM files are not here")
    from recipes.card.examples import readable

    image = ImagePart.of(readable(file)[0]).draw()
    assert image.mode == "RGB" and np.asarray(image).std() > 10


def test_a_dicom_palette_is_shown_in_its_colours(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from recipes.card.examples import readable

    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 8, 8, 1, "PALETTE COLOR"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    for colour, values in (("Red", [0, 255]), ("Green", [0, 0]), ("Blue", [255, 0])):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, 16])
        setattr(data, f"{colour}PaletteColorLookupTableData", (np.array(values, "<u2") * 257).tobytes())
    data.PixelData = bytes([0, 1] * 32)
    data.save_as(tmp_path / "echo.dcm", enforce_file_format=True)
    shown = np.asarray(Image.open(readable(tmp_path / "echo.dcm")[0]))
    assert shown[0, 0].tolist() == [0, 0, 255] and shown[0, 1].tolist() == [255, 0, 0]


def test_text_that_is_burnt_into_dicom_pictures_is_a_warning_with_a_count(tmp_path, capsys):
    pydicom = pytest.importorskip("pydicom")
    from tests.extraction.volumes import PATIENT, head, save

    screen = pydicom.uid.SecondaryCaptureImageStorage
    burnt = {"BurnedInAnnotation": "YES"}
    changes = [{}, burnt, burnt, {"SOPClassUID": screen}, {"SOPClassUID": screen, "BurnedInAnnotation": "NO"}]
    for number, changed in enumerate(changes):
        save(tmp_path / f"{number}.dcm", head(number, (0, 0, 0), **changed))
    rows = [{"file": f"{number}.dcm", "finding": "ab"[number % 2]} for number in range(5)]
    table(tmp_path / "test.csv", rows)
    (tmp_path / "row.yaml").write_text(
        "recipe: image_choice\ncolumns: {image: file, answer: finding}\nclasses: {a: one, b: two}\nquestion: Which?\n"
    )
    task = load_task("image_choice")
    examples = read_examples(task, DataRequest(tmp_path, "test", task.contract, Room(len, task.contract)))
    records = [[Record("x", "ok", branch.gold) for branch in example.branches] for example in examples]
    figures = task.grade(task.contract, examples, records).figures
    named, capture = (name for name in figures if name.startswith("Warning: "))
    assert "burnt into the pictures" in named and "captures of a screen" in capture
    assert (figures[named], figures[capture], figures["questions"]) == (2, 1, 5)
    told = "".join(capsys.readouterr())
    assert f"1.dcm, 2.dcm: {named}." in told and f"3.dcm: {capture}." in told
    assert PATIENT not in told and told.count("Warning") == 2


def test_a_dicom_file_without_a_picture_says_so(tmp_path):
    pytest.importorskip("pydicom")
    from recipes.card.examples import readable

    (tmp_path / "slice.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(AssayError, match="without a picture"):
        readable(tmp_path / "slice.dcm")


def test_a_dicom_file_without_pydicom_names_it(tmp_path, monkeypatch):
    from recipes.card.examples import readable

    (tmp_path / "slice.dcm").write_bytes(b"\0" * 128 + b"DICM")
    monkeypatch.setitem(sys.modules, "extraction.volume.picture", None)
    with pytest.raises(AssayError, match=r"slice\.dcm is a DICOM image; pip install pydicom"):
        readable(tmp_path / "slice.dcm")


def test_a_patient_on_both_sides_of_a_split_is_named(tmp_path):
    folder = tmp_path / "own"
    for name in ("a", "b"):
        picture(folder / "test" / f"{name}.png")
        picture(folder / "train" / f"{name}.png")
    for split, patients in (("train", ("p1", "p2")), ("test", ("p2", "p3"))):
        rows = [
            {"image": f"{n}.png", "q": "Is it?", "y": "no", "patient": p} for n, p in zip("ab", patients, strict=True)
        ]
        table(folder / split / "t.csv", rows)
    columns = "columns: {image: image, question: q, answer: y, patient: patient}\n"
    (folder / "row.yaml").write_text(f"recipe: vqa\ngrader: yes_no\n{columns}")
    with pytest.raises(AssayError, match="leaks: 1 of its 2 patients or images are in its training part, too: p2"):
        read(folder / "test")
    (folder / "row.yaml").write_text(f"recipe: vqa\ngrader: yes_no\nleak: It is known.\n{columns}")
    assert read(folder / "test").said == [
        "1 of its 2 patients or images are in its training part, too: p2. It is known."
    ]


@pytest.mark.parametrize("name", list(published()))
def test_every_row_says_how_its_data_are_come_by(name):
    row = published()[name]
    assert row.access and row.title and load_task(row.recipe).name == row.recipe
    assert all(len(figure.published) in (0, 4) for figure in row.figures)


def test_blind_answers_of_published_data_are_those_that_are_known(shared_data):
    folder = shared_data / "card" / "slake"
    if not folder.is_dir():
        pytest.skip("SLAKE is not here")
    row = row_at(folder)
    reading, train = read(folder), training_part(row, folder)
    best, name = blind(row, train.items + train.unseen, reading.items)
    f1, yes_no = (best[figure.name] for figure in row.figures[:2])
    assert (f1.n, round(f1.value)) == (1061, 57 if f1.value < 57.5 else 58) and yes_no.value >= 70.7
    assert "same question" in name
    assert json.dumps(reading.left_out) == "{}"


def test_a_picture_that_is_fetched_is_written_once_for_all_that_is_asked_of_it(tmp_path):
    rows = [{"image": Image.new("RGB", (8, 8), colour), "question": f"Is it {n}?", "answer": "yes"}
            for n, colour in enumerate(("red", "blue", "red"))]  # fmt: skip
    write_split(tmp_path, "test", rows)
    items = read(tmp_path, row=by_name("pathvqa")).items
    assert len(items) == 3 and items[0].images == items[2].images != items[1].images
    assert len(list((tmp_path / "images").iterdir())) == 2


def test_reports_are_trained_by_the_figure_that_can_be_had(tmp_path):
    from finetune.task import check_grading

    folder = mimic(tmp_path / "mimic-cxr-jpg")
    row, task = by_name("mimic_reports"), load_task("chest_xray")
    examples = examples_of(read(folder, row=row), row)
    check_grading(task, task.contract, examples)
    gold = [[Truth({"answer": branch.gold["answer"]}) for branch in example.branches] for example in examples]
    assert task.grade(task.contract, examples, gold).figures["score"] == 1.0


class Truth:
    def __init__(self, data):
        self.data = data


def test_chexpert_keeps_every_patient(tmp_path):
    reading = Reading()
    for patient in ("patient1", "patient2"):
        add(reading, patient, tmp_path / patient / "study1" / "view1_frontal.jpg", "Edema", "1.0", patient)
    assert len({item.id for item in reading.items}) == 2
