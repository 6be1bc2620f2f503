"""Findings as FHIR R4: a bundle of a DiagnosticReport and an Observation for each answer."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Sequence
from typing import Any

from extraction.export.findings import Files, Finding

_SCT = "http://snomed.info/sct"
_YES_NO = {"yes": ("373066001", "Yes"), "no": ("373067005", "No")}
_SERVICES = {"CT": ("RAD", "Radiology"), "MR": ("RAD", "Radiology"), "SM": ("PAT", "Pathology")}


def bundle(line: dict[str, Any], files: Files, findings: Sequence[Finding], model: str) -> dict[str, Any]:
    """The bundle of a study.

    Yes and no are coded (SNOMED CT); a question is text, since no table of codes for labels comes with a data set. A
    study is referred to by its UID, where it is DICOM.

    Args:
        line: an answer, for the title of what was asked (`row`).
    """
    told = _common(files)
    device = {"display": f"Assay, model {model}"}
    observations = [{"resourceType": "Observation", "status": "preliminary",
                     "category": [_coded("http://terminology.hl7.org/CodeSystem/observation-category", "imaging")],
                     "code": {"text": finding.question}, **told, "device": device, **_value(finding)}
                    for finding in findings]  # fmt: skip
    studies = told.pop("derivedFrom", [])
    urls = [f"urn:uuid:{uuid.uuid4()}" for _ in observations]
    modality = next((file["modality"] for file in files if file["modality"]), "")
    service = _SERVICES.get(modality)
    code: dict[str, Any] = {"text": line.get("row") or "Findings of a model"}
    if service and service[0] == "RAD":
        code |= {"coding": [{"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}]}
    report = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        **({"category": [_coded("http://terminology.hl7.org/CodeSystem/v2-0074", *service)]} if service else {}),
        "code": code,
        **told,
        "issued": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **({"imagingStudy": studies} if studies else {}),
        "result": [{"reference": url} for url in urls],
        "conclusion": "Answers of a model, which nobody has verified.",
    }
    entries = [(f"urn:uuid:{uuid.uuid4()}", report), *zip(urls, observations, strict=True)]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in entries],
    }


def _common(files: Files) -> dict[str, Any]:
    """What all resources say: of which studies they are; where it was asked for, of which patient and day."""
    studies = dict.fromkeys(file["StudyInstanceUID"] for file in files if file["StudyInstanceUID"])
    told: dict[str, Any] = {}
    whose = files[-1]["patient"] if files else {}
    if whose:
        identifier = {"identifier": {"value": whose["PatientID"]}} if whose["PatientID"] else {}
        name = " ".join(filter(None, whose["PatientName"].partition("=")[0].split("^")))
        if identifier or name:
            told["subject"] = {"type": "Patient", **identifier, **({"display": name} if name else {})}
        if re.fullmatch(r"\d{8}", day := whose["StudyDate"]):
            told["effectiveDateTime"] = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if studies:
        told["derivedFrom"] = [
            {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}}
            for uid in studies
        ]
    return told


def _value(finding: Finding) -> dict[str, Any]:
    value: dict[str, Any] = {"text": finding.said}
    if finding.said in _YES_NO:
        value["coding"] = [_coding(_SCT, *_YES_NO[finding.said])]
    note = {"note": [{"text": f"Seen in {', '.join(finding.evidence)}."}]} if finding.evidence else {}
    return {"valueCodeableConcept": value, **note}


def _coded(system: str, code: str, display: str = "") -> dict[str, Any]:
    return {"coding": [_coding(system, code, display)]}


def _coding(system: str, code: str, display: str = "") -> dict[str, str]:
    return {"system": system, "code": code, **({"display": display} if display else {})}
