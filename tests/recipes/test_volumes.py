"""Volumes and slides as rows: CT-RATE in its layout, studies and slides of one's own."""

import gzip
import json
import struct

import numpy as np
import pytest
from PIL import Image

from extraction.errors import AssayError
from extraction.evidence import ImageEvidence
from extraction.example import ImagePart
from extraction.export.findings import Report, write_reports
from extraction.generate import Generation
from extraction.reading import record_of
from extraction.record.record import Record
from finetune.answers import by_kind, write_answers
from finetune.task import load_task
from recipes.card.base import answers_of, read_row
from recipes.card.examples import asked, examples_of
from recipes.card.grade import Graded, graded
from recipes.card.items import Item, Reading
from recipes.card.measures import measure
from recipes.card.replies import as_asked
from recipes.card.rows import FILE, Figure, by_name, row_at
from recipes.volume.readers import LABELS
from recipes.volume.task import TASK
from tests.extraction.test_slide import PINK, svs, tile
from tests.recipes.pictures import table


def nifti(path, values):
    """Values [slice, row, column] as a NIfTI-1 file with 1 mm steps."""
    slices, rows, columns = values.shape
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, columns, rows, slices, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 4, 16)  # int16
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<ff", head, 108, 352, 1)
    struct.pack_into("<hh", head, 252, 0, 1)
    for row, step in enumerate(np.eye(4)[:3]):
        struct.pack_into("<4f", head, 280 + 16 * row, *step)
    head[344:348] = b"n+1\0"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(bytes(head) + values.astype("<i2").tobytes()))


@pytest.fixture(scope="module")
def ct_rate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "CT-RATE"
    rng = np.random.default_rng(0)
    for patient in (1, 2):
        place = folder / f"dataset/valid_fixed/valid_{patient}/valid_{patient}_a"
        nifti(place / f"valid_{patient}_a_1.nii.gz", rng.integers(-1000, 500, (3, 8, 8)))
    nifti(folder / "dataset/valid/valid_3/valid_3_a/valid_3_a_1.nii.gz", np.zeros((3, 8, 8)))
    rows = [
        {"VolumeName": f"valid_{n}_a_1.nii.gz"} | {label: str((n + k) % 2) for k, label in enumerate(LABELS)}
        for n in (1, 2, 3, 4)
    ]
    table(folder / "multi_abnormality_labels/valid_predicted_labels.csv", rows)
    return folder


def test_a_ct_of_ct_rate_is_a_context_with_eighteen_branches(ct_rate):
    row = by_name("ct_rate")
    reading = read_row(row, ct_rate, "test")
    assert reading.counts == {
        "it is of the first release, whose values are no Hounsfield units": 1,
        "its volume is missing": 1,
    }
    examples = examples_of(reading, row)
    assert [len(example.branches) for example in examples] == [18, 18]
    parts = examples[0].context.parts
    assert [part for part in parts if isinstance(part, str)] == ["SLICE 1", "SLICE 2", "SLICE 3"]
    assert "is there Emphysema? Answer with 'Final Answer: yes'" in examples[0].branches[7].parts[0]
    gold = [branch.gold["answer"] for branch in examples[0].branches]
    assert gold == ["Final Answer: yes", "Final Answer: no"] * 9
    with Image.open(parts[0].path) as image:
        red, green, blue = np.asarray(image).astype(float).transpose(2, 0, 1)
    # One value through three windows: where no window cuts it off, all three say the same.
    values = red / 255 * 2048 - 1024
    inside = (values > 5) & (values < 75)
    assert inside.any() and np.abs(blue[inside] / 255 * 80 - values[inside]).max() < 9
    inside = (values > -130) & (values < 210)
    assert np.abs(green[inside] / 255 * 350 - 135 - values[inside]).max() < 9


def test_a_few_training_patients_may_all_be_of_one_part(tmp_path):
    folder = tmp_path / "CT-RATE"
    table(folder / "train_predicted_labels.csv", [{"VolumeName": "train_1_a_1.nii.gz", **dict.fromkeys(LABELS, "0")}])
    with pytest.raises(AssayError, match=r"ten of a hundred for validation, and none of the 1 in .* fetch more"):
        read_row(by_name("ct_rate"), folder, "validation")


def test_other_slices_are_asked_again(ct_rate):
    row, reading = by_name("ct_rate"), read_row(by_name("ct_rate"), ct_rate, "test")
    [first, second] = reading.items[0], reading.items[18]
    before = as_asked([first], row)
    assert before == as_asked([first], row)
    assert before[first.id] != as_asked([second], row)[second.id]


def studies(folder, rows, row):
    table(folder / "test.csv", rows)
    (folder / FILE).write_text(row)
    return folder


def test_studies_of_one_s_own_need_a_table_and_a_page_of_words(tmp_path):
    nifti(tmp_path / "a/t1.nii.gz", np.arange(2 * 64).reshape(2, 8, 8))
    nifti(tmp_path / "a/t2.nii.gz", np.arange(64).reshape(1, 8, 8))
    nifti(tmp_path / "b.nii.gz", np.arange(64).reshape(1, 8, 8))
    (tmp_path / "c").mkdir()
    rows = [
        {"study": study, "label": label, "answer": gold, "patient": study}
        for study, label, gold in (("a", "a tumour", "yes"), ("a", "a stroke", "no"), ("b.nii.gz", "a tumour", "no"),
                                   ("c", "a tumour", "no"), ("d", "a tumour", "no"))
    ]  # fmt: skip
    folder = studies(tmp_path, rows, "base: mri\n")
    row = row_at(folder)
    reading = read_row(row, folder, "test")
    examples = examples_of(reading, row)
    # Both series of a study, one behind the other; a single slice has no number.
    kinds = [["image" if isinstance(part, ImagePart) else part for part in one.context.parts] for one in examples]
    assert kinds == [["image", "SLICE 1", "image", "SLICE 2", "image", "SLICE 3"], ["image"]]
    assert asked(reading.items[0], row).startswith("Is there a tumour in the MRI volume?")
    assert reading.counts == {"its image is missing": 1, "its image cannot be read": 1}
    assert any("holds no files" in told for told in reading.told())


def test_a_protocol_that_does_not_fit_is_told_with_the_study(tmp_path):
    for number in range(2):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"a/{number}.png")
    rows = [{"study": "a", "label": "a tumour", "answer": "yes", "patient": "1"}]
    folder = studies(tmp_path, rows, "base: ct\n")
    reading = read_row(row_at(folder), folder, "test")
    examples_of(reading, row_at(folder))
    with pytest.raises(AssayError, match="pictures, not values that ct could show"):
        reading.check(folder)


def test_of_a_study_what_its_protocol_cannot_show_is_left_out_with_a_sentence(tmp_path):
    pytest.importorskip("pydicom")
    from tests.extraction.volumes import head, save, series

    series(tmp_path / "a", count=3, series="1.2.2", StudyInstanceUID="1.9")
    doses = head(9, (0, 0, 0), series="1.2.1", Modality="OT", StudyInstanceUID="1.9")  # before the series itself
    save(tmp_path / "a" / "0-doses", doses)
    (tmp_path / "a" / "notes.txt").write_text("x")
    rows = [{"study": "a", "label": "a tumour", "answer": "yes", "patient": "1", "slices": "2"}]
    page = 'base: ct\ncolumns: {evidence: slices}\nprompt: {answer: "{answer}{evidence}"}\n'
    folder = studies(tmp_path, rows, page)
    row = row_at(folder)
    reading = read_row(row, folder, "test")
    [example] = examples_of(reading, row)
    assert sum(isinstance(part, ImagePart) for part in example.context.parts) == 3
    assert set(reading.odd) == {
        "one of its volumes is not shown. The volume is OT, which has no Hounsfield units for ct.",
        "some of its files are not shown: no DICOM, NIfTI or picture file.",
    }
    [branch] = example.branches
    grade = TASK.grade(TASK.contract, [example], [[Record("x", "ok", branch.gold)]])
    file = write_answers(tmp_path / "m.data.answers.jsonl", grade.answers)
    done = write_reports(file, Report.DICOM_SR, tmp_path / "sr")
    # The slice that an answer names is one of those that were shown, as the page of the volume counts them, too.
    import pydicom

    found = pydicom.dcmread(done.files[0]).ContentSequence[-1].ContentSequence[0].ContentSequence[-1]
    shown = found.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    slices = [pydicom.dcmread(path) for path in (tmp_path / "a").iterdir() if path.name.startswith("IM")]
    assert shown == next(one.SOPInstanceUID for one in slices if one.InstanceNumber == 2)


def test_of_many_sentences_on_pictures_the_common_ones_are_told():
    reading = Reading()
    for number in range(40):
        reading.odd[f"tilted by {number} degrees."] = [f"s{number}"]
    reading.odd["no distances."] = ["a", "b", "c"]
    told = reading.told()
    assert len(told) == 13 and told[0] == "a, b and 1 more: no distances." and told[-1].startswith("29 other sentences")


def test_precision_and_recall_are_of_yes_in_each_group():
    rows = [("a", "yes", "yes"), ("a", "no", "yes"), ("b", "yes", "no"), ("b", "yes", "yes"), ("c", "yes", "no")]
    items = [Item(f"{n}", "?", gold, group=group) for n, (group, gold, _) in enumerate(rows)]
    answers = [Graded({"right": float(gold == said)}, said) for _, gold, said in rows]

    def value(over):
        return measure(Figure(name="x", over=over), items, answers).value

    assert value("precision") == pytest.approx(100 * np.mean([1 / 2, 1, 0]))
    assert value("sensitivity") == pytest.approx(100 * np.mean([1, 1 / 2, 0]))
    assert value("f1") == pytest.approx(100 * np.mean([2 / 3, 2 / 3, 0]))


def test_a_figure_of_yes_has_no_value_where_there_is_none():
    items, answers = [Item("1", "?", "no", group="a")], [Graded({"right": 1.0}, "no")]
    assert measure(Figure(name="x", over="macro"), items, answers).value == 100
    assert [measure(Figure(name="x", over=over), items, answers) for over in ("f1", "precision", "sensitivity")] == [
        *(None, None, None)
    ]


def test_what_was_said_of_studies_becomes_reports(ct_rate, tmp_path):
    row, task = by_name("ct_rate"), load_task("volume")
    examples = examples_of(read_row(row, ct_rate, "test"), row)
    gold = [[Record(e.context.name, "ok", branch.gold) for branch in e.branches] for e in examples]
    gold[0][1] = Record("x", "ok", {"answer": "I cannot say."})
    grade = task.grade(task.contract, examples, gold)
    assert by_kind(grade.answers)["all"]["right"] == 35 and grade.answers[1]["state"] == "not found"
    file = write_answers(tmp_path / "m.data.answers.jsonl", grade.answers)
    done = write_reports(file, Report.FHIR, tmp_path / "out")
    assert [one.name for one in done.files] == ["valid_1_a_1.json", "valid_2_a_1.json"] and done.answers == 35
    first = json.loads(done.files[0].read_text())["entry"][1]["resource"]
    assert (first["code"]["text"], first["valueCodeableConcept"]["coding"][0]["display"]) == (LABELS[0], "Yes")
    assert not write_reports(file, Report.DICOM_SR, tmp_path / "sr").files  # NIfTI has no UIDs


def test_answers_name_slices_where_the_row_asks_for_them(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.arange(4 * 64).reshape(4, 8, 8))
    labels = (("a tumour", "yes", "2, 3"), ("a stroke", "no", ""))
    rows = [{"study": "a.nii.gz", "label": one, "answer": gold, "slices": told} for one, gold, told in labels]
    page = (
        'base: mri\ncolumns: {evidence: slices, patient: study}\nprompt: {answer: "Final Answer: {answer}{evidence}"}\n'
    )
    folder = studies(tmp_path, rows, page + "figures: [{name: accuracy}, {name: evidence F1, score: evidence}]\n")
    row = row_at(folder)
    reading = read_row(row, folder, "test")
    [example] = examples_of(reading, row)
    assert [b.gold["answer"] for b in example.branches] == ["Final Answer: yes (SLICE 2, SLICE 3)", "Final Answer: no"]
    asked = [branch.source for branch in example.branches]
    replies = ["Final Answer: yes (SLICE 3, SLICE 4)", "Final Answer: no"]
    found = [graded(reply, one.item, row.grader) for reply, one in zip(replies, asked, strict=True)]
    assert [one.scores for one in found] == [{"right": 1.0, "evidence": 0.5}, {"right": 1.0}]
    assert [one["evidence"] for one in answers_of(asked, found, replies)] == [["SLICE 3", "SLICE 4"], []]
    record = record_of(example, Generation("Final Answer: yes (SLICE 3, SLICE 44, SLICE 4)", "stop"), TASK.contract)
    assert record["answer"].evidence == ImageEvidence("SLICE 3, SLICE 4", images=("SLICE 3", "SLICE 4"))
    record.save(tmp_path / "record.json")
    assert Record.load(tmp_path / "record.json")["answer"] == record["answer"] and record.status == "ok"
    choice = Item("1", "?", "A", {"A": "cyst", "B": "tumour"}, evidence=(7,))
    assert graded("Final Answer: A (PATCH 7)", choice, "choice").scores == {"right": 1.0, "evidence": 1.0}


def test_two_studies_of_a_row_are_shown_one_behind_the_other(tmp_path):
    for name, count in (("old", 2), ("new", 3)):
        nifti(tmp_path / f"{name}.nii.gz", np.arange(count * 64).reshape(count, 8, 8) + count)
    row = {"previous": "old.nii.gz", "current": "new.nii.gz", "label": "Pleural effusion", "answer": "worsening",
           "patient": "1"}  # fmt: skip
    folder = studies(tmp_path, [row, row | {"previous": ""}], "base: ct_change\nshown: mri\n")
    made = row_at(folder)
    reading = read_row(made, folder, "test")
    [example] = examples_of(reading, made)
    assert [part for part in example.context.parts if isinstance(part, str)] == [
        "SLICE 1", "SLICE 2", "(previous study)", "SLICE 3", "SLICE 4", "SLICE 5", "(current study)",
    ]  # fmt: skip
    assert example.branches[0].gold["answer"] == "Final Answer: C"
    assert 'How has "Pleural effusion" changed' in example.branches[0].parts[0]
    assert any("nothing in the column previous" in told for told in reading.told())


def test_slides_by_choice_are_patches_with_options(tmp_path):
    svs(tmp_path / "a.svs", 512, 512, chosen=lambda *_: tile(PINK), downs=())
    row = {"slide": "a.svs", "question": "Which is it?", "options": "benign|malignant", "answer": "malignant",
           "patient": "1"}  # fmt: skip
    folder = studies(tmp_path, [row], "base: wsi_choice\nmagnification: 20\n")
    made = row_at(folder)
    [example] = examples_of(read_row(made, folder, "test"), made)
    assert [part.size for part in example.context.parts] == [(896, 896)]
    assert example.branches[0].gold["answer"] == "Final Answer: B" and "(B) malignant" in example.branches[0].parts[0]
    # What a row says of a pixel's size is of slides that do not say it themselves, as this one does (0.5).
    given = studies(tmp_path, [row], "base: wsi_choice\nmagnification: 20\nmpp: 0.25\n")
    reading = read_row(row_at(given), given, "test")
    assert len(examples_of(reading, row_at(given))[0].context.parts) == 1 and not reading.odd
    svs(tmp_path / "a.svs", 512, 512, power="", mpp="", chosen=lambda *_: tile(PINK), downs=())
    (given / FILE).write_text("base: wsi_choice\nmagnification: 20\nmpp: 0.5\n")
    assert len(examples_of(read_row(row_at(given), given, "test"), row_at(given))) == 1
    reading = read_row(made, folder, "test")
    examples_of(reading, made)
    assert "Give micrometres per pixel (`mpp` in row.yaml)" in reading.told()[0]
    svs(tmp_path / "a.svs", 512, 512, chosen=lambda *_: tile(PINK), downs=())
    named = (
        'base: wsi_choice\nmagnification: 20\ncolumns: {evidence: patches}\nprompt: {answer: "{answer}{evidence}"}\n'
    )
    made = row_at(studies(tmp_path, [row | {"patches": 1}], named))
    [example] = examples_of(read_row(made, folder, "test"), made)
    assert example.context.parts[1] == "PATCH 1" and example.branches[0].gold["answer"] == "B (PATCH 1)"
