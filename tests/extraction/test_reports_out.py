"""Answers on volumes as DICOM SR and FHIR."""

import json
import warnings

import pydicom
import pytest
from pydicom.uid import UID

from extraction.errors import AssayError
from extraction.export.findings import Report, write_reports
from tests.extraction.volumes import PATIENT, series


def answer(study, question, said, **more):
    return {"study": [str(study)], "row": "CT, is it there", "question": question, "said": said, **more}


@pytest.fixture
def answers(tmp_path):
    series(tmp_path / "one", count=4, StudyInstanceUID="1.2.9", StudyDate="20240131")
    (tmp_path / "two.nii").write_bytes(b"")
    lines = [
        answer(tmp_path / "one", "Lung nodule", "yes", evidence=["SLICE 2"]),
        answer(tmp_path / "one", "Emphysema\\\nof lungs", "no"),
        answer(tmp_path / "one", "Hernia", ""),
        answer(tmp_path / "two.nii", "Emphysema", "no"),
    ]
    (tmp_path / "m1.data.answers.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "m1.data.answers.jsonl"


def words(data):
    """A report's items below each other: (kind, name, value)."""
    for item in data.ContentSequence:
        name = item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
        value = item.ConceptCodeSequence[0].CodeMeaning if item.ValueType == "CODE" else ""
        yield item.ValueType, name, value
        if "ContentSequence" in item:
            yield from words(item)


def test_a_dicom_report_has_the_answers_their_slice_and_the_study_and_names_nobody(answers, tmp_path):
    done = write_reports(answers, Report.DICOM_SR, tmp_path / "out")
    assert [file.name for file in done.files] == ["one.dcm"] and done.answers == 2
    assert done.left_out == {"the reply states no answer": 1} and "no DICOM study" in done.unwritten["two"]
    data = pydicom.dcmread(done.files[0])
    assert data.SOPClassUID.name == "Comprehensive SR Storage" and data.Modality == "SR"
    assert data.StudyInstanceUID == "1.2.9" and data.SeriesInstanceUID != "1.2.3"
    assert PATIENT not in str(data) and b"MRN" not in done.files[0].read_bytes() and data.PatientName == ""
    assert data.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    found = list(words(data))
    assert [item for item in found if item[0] == "CODE"][-2:] == [
        ("CODE", "Lung nodule", "Yes"), ("CODE", "Emphysema/ of lungs", "No"),
    ]  # fmt: skip
    assert [name for kind, name, _ in found if kind == "CONTAINER"] == ["Imaging Measurements", "Measurement Group"]
    own = data.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    uids = {UID(one.ReferencedSOPInstanceUID) for one in own}
    by_place = sorted((pydicom.dcmread(path) for path in (tmp_path / "one").iterdir()), key=lambda d: d.InstanceNumber)
    assert uids == {one.SOPInstanceUID for one in by_place}
    group = data.ContentSequence[-1].ContentSequence[0]
    image = next(item for item in group.ContentSequence if "ContentSequence" in item).ContentSequence[0]
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == by_place[1].SOPInstanceUID
    # Of a day of birth that is none nothing is said, either: a warning would quote it.
    for file in (tmp_path / "one").iterdir():
        file.write_bytes(file.read_bytes().replace(b"19500101", b"1950-Jan"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = write_reports(answers, Report.DICOM_SR, tmp_path / "p", True).files[0]
    assert b"1950-Jan" in named.read_bytes() and pydicom.dcmread(named).PatientName == PATIENT


def test_a_fhir_bundle_has_an_observation_for_each_answer(answers, tmp_path):
    done = write_reports(answers, Report.FHIR, tmp_path / "out")
    assert [file.name for file in done.files] == ["one.json", "two.json"] and not done.unwritten
    text = done.files[0].read_text()
    report, *observations = [entry["resource"] for entry in json.loads(text)["entry"]]
    assert [(one["code"]["text"], one["valueCodeableConcept"]["text"]) for one in observations] == [
        ("Lung nodule", "yes"), ("Emphysema\\\nof lungs", "no"),
    ]  # fmt: skip
    assert report["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.9" and "subject" not in report
    assert "Hidden" not in text and "2024" not in text and observations[0]["note"][0]["text"] == "Seen in SLICE 2."
    assert [one["reference"] for one in report["result"]] == [e["fullUrl"] for e in json.loads(text)["entry"][1:]]
    named = json.loads(write_reports(answers, Report.FHIR, tmp_path / "p", patient=True).files[0].read_text())
    assert named["entry"][1]["resource"]["subject"]["identifier"]["value"] == "MRN-4711"


def test_what_holds_no_answers_is_said(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"kind": "value", "state": "right"}\n')
    with pytest.raises(AssayError, match="holds no answers of yes, no or a choice"):
        write_reports(tmp_path / "x.jsonl", Report.FHIR, tmp_path / "out")
