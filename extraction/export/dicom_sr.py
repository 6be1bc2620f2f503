"""Findings as a DICOM structured report: Comprehensive SR by the template TID 1500 (Measurement Report).

The tree: language (TID 1204), the device that observed (TID 1001), the procedure, and one group (TID 1501) with a
coded item for each answer, which refers to the slices that it names. Source: DICOM PS3.16, annex A.
"""

from __future__ import annotations

import datetime
import hashlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

from extraction.errors import AssayError
from extraction.export.findings import Files, Finding

_COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
_OWN = "99ASSAY"
_YES_NO = {"yes": ("373066001", "SCT", "Yes"), "no": ("373067005", "SCT", "No")}
_PROCEDURES = {
    "CT": ("77477000", "SCT", "Computed tomography"),
    "MR": ("113091000", "SCT", "Magnetic resonance imaging"),
}
_ANY = ("363679005", "SCT", "Imaging")
# Type 2: they stand there, empty where nobody asked for the patient.
_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)


def report(files: Files, findings: Sequence[Finding], model: str) -> bytes:
    """A DICOM file, in the study of the last of `files`.

    Raises:
        AssayError: pydicom is missing, or the study is no DICOM and has no UIDs.
    """
    try:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    except ImportError:
        raise AssayError("DICOM reports need pydicom: pip install -e '.[imaging]'.") from None
    files = [file for file in files if file["SOPInstanceUID"]]
    if not files or not files[-1]["StudyInstanceUID"]:
        raise AssayError("it is no DICOM study with UIDs, to which a DICOM report could belong; write --to fhir.")
    made, now = Dataset(), datetime.datetime.now()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = _COMPREHENSIVE, generate_uid(prefix=None)
    made.StudyInstanceUID, made.SeriesInstanceUID = files[-1]["StudyInstanceUID"], generate_uid(prefix=None)
    made.Modality, made.SeriesNumber, made.InstanceNumber = "SR", 1, 1
    for key in _EMPTY:
        setattr(made, key, files[-1]["patient"].get(key, ""))
    made.Manufacturer, made.ReferencedPerformedProcedureStepSequence = "Assay", []
    made.PerformedProcedureCodeSequence = []
    made.ContentDate, made.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    own = [file for file in files if file["StudyInstanceUID"] == made.StudyInstanceUID]
    made.CurrentRequestedProcedureEvidenceSequence = _studies(own)
    if others := [file for file in files if file["StudyInstanceUID"] not in ("", made.StudyInstanceUID)]:
        made.PertinentOtherEvidenceSequence = _studies(others)
    made.CodingSchemeIdentificationSequence = [_set(CodingSchemeDesignator=_OWN, CodingSchemeName="Assay's labels")]
    made.update(_tree(files, findings, model))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta = meta
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _tree(files: Files, findings: Sequence[Finding], model: str) -> Any:
    from pydicom.uid import generate_uid

    modality = next((file["modality"] for file in files if file["modality"]), "")
    group = _item("CONTAINER", "125007", "Measurement Group", relation="CONTAINS")
    group.ContentSequence = [
        _item("TEXT", "112039", "Tracking Identifier", "HAS OBS CONTEXT", TextValue="Answers of a model"),
        _item("UIDREF", "112040", "Tracking Unique Identifier", "HAS OBS CONTEXT", UID=generate_uid(prefix=None)),
        *map(_answer, findings),
    ]
    images = _item("CONTAINER", "126010", "Imaging Measurements", relation="CONTAINS")
    images.ContentSequence = [group]
    root = _item("CONTAINER", "126000", "Imaging Measurement Report")
    root.ContentTemplateSequence = [_set(MappingResource="DCMR", TemplateIdentifier="1500")]
    root.ContentSequence = [
        _item("CODE", "121049", "Language of Content Item and Descendants", "HAS CONCEPT MOD",
              ConceptCodeSequence=[_code("en", "RFC5646", "English")]),
        _item("CODE", "121005", "Observer Type", "HAS OBS CONTEXT",
              ConceptCodeSequence=[_code("121007", "DCM", "Device")]),
        _item("UIDREF", "121012", "Device Observer UID", "HAS OBS CONTEXT",
              UID=generate_uid(prefix=None, entropy_srcs=["assay", model])),
        _item("TEXT", "121013", "Device Observer Name", "HAS OBS CONTEXT", TextValue=f"Assay, model {model}"),
        _item("CODE", "121058", "Procedure reported", "HAS CONCEPT MOD",
              ConceptCodeSequence=[_code(*_PROCEDURES.get(modality, _ANY))]),
        images,
    ]  # fmt: skip
    return root


def _answer(finding: Finding) -> Any:
    """A coded item: the question's own code, and yes, no or the option as its value."""
    made = _set(
        RelationshipType="CONTAINS",
        ValueType="CODE",
        ConceptNameCodeSequence=[_label(finding.question)],
        ConceptCodeSequence=[_code(*_YES_NO[finding.said]) if finding.said in _YES_NO else _label(finding.said)],
    )
    below = [
        _set(RelationshipType="INFERRED FROM", ValueType="IMAGE", ReferencedSOPSequence=[_reference(file)])
        for file in finding.files
    ]
    if finding.evidence and not below:  # patches, which are no files of their own
        told = ", ".join(finding.evidence)
        below = [_item("TEXT", "121106", "Comment", "HAS PROPERTIES", TextValue=f"Seen in {told}")]
    if below:
        made.ContentSequence = below
    return made


def _reference(file: dict[str, Any]) -> Any:
    made = _set(ReferencedSOPClassUID=file["SOPClassUID"], ReferencedSOPInstanceUID=file["SOPInstanceUID"])
    if file["frames"] > 1 and "frame" in file:
        made.ReferencedFrameNumber = file["frame"] + 1
    return made


def _studies(files: Iterable[dict[str, Any]]) -> list[Any]:
    """The evidence sequence: studies with their series with their files."""
    found: dict[str, dict[str, list[Any]]] = {}
    for file in files:
        series = found.setdefault(file["StudyInstanceUID"], {}).setdefault(file["SeriesInstanceUID"], [])
        series.append(_set(**{f"Referenced{key}": file[key] for key in ("SOPClassUID", "SOPInstanceUID")}))
    return [
        _set(
            StudyInstanceUID=study,
            ReferencedSeriesSequence=[
                _set(SeriesInstanceUID=uid, ReferencedSOPSequence=own) for uid, own in series.items()
            ],
        )
        for study, series in found.items()
    ]


def _item(kind: str, code: str, meaning: str, relation: str = "", **values: Any) -> Any:
    made = _set(ValueType=kind, ConceptNameCodeSequence=[_code(code, "DCM", meaning)], **values)
    if relation:
        made.RelationshipType = relation
    if kind == "CONTAINER":
        made.ContinuityOfContent = "SEPARATE"
    return made


def _label(text: str) -> Any:
    """A code for words of a data set, which have none: a digest, always the same. A code's meaning has 64 letters."""
    meaning = " ".join(text.replace("\\", "/").split())[:64]  # a backslash would part two values
    return _code(hashlib.sha256(text.encode()).hexdigest()[:12].upper(), _OWN, meaning)


def _code(value: str, scheme: str, meaning: str) -> Any:
    return _set(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _set(**values: Any) -> Any:
    from pydicom.dataset import Dataset

    made = Dataset()
    for key, value in values.items():
        setattr(made, key, value)
    return made
