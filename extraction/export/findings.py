"""What a model said of volumes and slides, out again: a report a study, as DICOM SR or FHIR R4.

Answers are the lines of the file `NAME.answers.jsonl` that `assay evaluate` writes: of each the `study` (paths), the
`question`, what was `said`, and the `evidence` (`SLICE 3`) where the answer names some. Every report says that it is
preliminary, of a device, and verified by nobody.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tqdm import tqdm

from extraction.errors import AssayError
from extraction.files import write_whole

Files = list[dict[str, Any]]
"""DICOM files, as `volume.identities` tells of them."""


class Report(StrEnum):
    """What answers can be written as."""

    DICOM_SR = "dicom-sr"
    FHIR = "fhir"


@dataclass(frozen=True)
class Finding:
    """An answer.

    Attributes:
        question: the label that was asked for, or the question.
        said: yes, no, or the words of the option that was chosen.
        evidence: slices or patches that the answer names, as they were labelled.
        files: the DICOM files (with their `frame`) that these slices stand in.
    """

    question: str
    said: str
    evidence: tuple[str, ...] = ()
    files: tuple[dict[str, Any], ...] = ()


@dataclass
class Reports:
    """What was written.

    Attributes:
        files: a report each.
        answers: how many they hold.
        left_out: how many answers are in none, by reason.
        unwritten: why a study has no report, by its name.
    """

    files: list[Path] = field(default_factory=list)
    answers: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    unwritten: dict[str, str] = field(default_factory=dict)

    def told(self) -> list[str]:
        """Sentences on all of it."""
        places = sorted({str(file.parent) for file in self.files})
        reports = "1 report" if len(self.files) == 1 else f"{len(self.files)} reports"
        told = [f"{reports} of {self.answers} answers, written to {', '.join(places) or 'nothing'}."]
        told += [f"{count} answers left out: {why}." for why, count in self.left_out.items()]
        return [*told, *(f"No report of {name}: {why}" for name, why in self.unwritten.items())]


def write_reports(answers: Path, to: Report, out: Path, patient: bool = False) -> Reports:
    """Write a report for each study of a file of answers, named like the study, into the folder `out`.

    Args:
        patient: name the patient, the order and the day of the study, as the DICOM files do; by default nothing of
            these is read.

    Raises:
        AssayError: the file holds no answers of that kind, or `out` is a file.
    """
    studies = read_answers(answers)
    if out.exists() and not out.is_dir():
        raise AssayError(f"{out} is a file; name a folder for the reports with --out.")
    done, names = Reports(), Counter[str]()
    for paths, lines in tqdm(studies.items(), desc="reporting", unit="study", leave=False, disable=None):
        name = _name(paths)
        names[name] += 1
        name += f"-{names[name]}" if names[name] > 1 else ""
        told = [line for line in lines if line["said"]]
        if unread := len(lines) - len(told):
            done.left_out["the reply states no answer"] += unread
        try:
            if not told:
                raise AssayError("the model answered none of its questions.")
            identified, findings = _found(paths, told, patient)
            content, suffix = _made(to, lines[0], identified, findings, _model(answers))
        except AssayError as error:
            done.unwritten[name] = str(error)
            continue
        file = out / f"{name}.{suffix}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)
        except OSError as error:
            raise AssayError(f"{file} cannot be written ({error.strerror}); name another folder with --out.") from None
        done.files.append(file)
        done.answers += len(findings)
    return done


def read_answers(path: Path) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """The answers of a file by study.

    Raises:
        AssayError: it is missing, or holds no answers on volumes or slides.
    """
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    try:
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                one = json.loads(line)
                if not all(isinstance(one[key], str) for key in ("question", "said")) or not one["study"]:
                    raise ValueError
                found.setdefault(tuple(map(str, one["study"])), []).append(one)
    except OSError as error:
        raise AssayError(f"{path} cannot be read ({error.strerror}); name a file of answers.") from None
    except (ValueError, KeyError, TypeError):
        found = {}
    if not found:
        raise AssayError(
            f"{path} holds no answers of yes, no or a choice on volumes or slides; assay evaluate writes them as "
            "NAME.answers.jsonl where a row of the recipe volume or slide asks for these."
        )
    return found


def _name(paths: Sequence[str]) -> str:
    name = Path(paths[-1]).name
    return re.sub(r"\.nii(\.gz)?$|\.zip$", "", name, flags=re.IGNORECASE) or "study"


def _model(answers: Path) -> str:
    """The name of the model, by which assay evaluate names its file."""
    return answers.name.partition(".")[0]


def _found(paths: Sequence[str], lines: list[dict[str, Any]], patient: bool) -> tuple[Files, list[Finding]]:
    """The DICOM files of a study, and what was said of it with those that were named.

    Raises:
        AssayError: it is gone, or cannot be read any more.
    """
    from extraction.volume.volume import identities

    by_path = [identities(Path(path), patient) for path in paths]
    named = any(name.startswith("SLICE ") for line in lines for name in line.get("evidence", ()))
    shown = _slices(paths, by_path, lines[0].get("protocol", "")) if named and all(by_path) else []
    findings = []
    for line in lines:
        evidence = tuple(line.get("evidence", ()))
        numbers = [int(name.rpartition(" ")[2]) for name in evidence if name.startswith("SLICE ")]
        files = tuple(shown[number - 1] for number in numbers if 0 < number <= len(shown))
        findings.append(Finding(line["question"], line["said"], evidence, files))
    return [file for files in by_path for file in files], findings


def _slices(paths: Sequence[str], by_path: list[Files], protocol: str) -> Files:
    """The slices that a model was shown, in their order, each as the file that it stands in."""
    from extraction.volume import chosen, fitting, open_volumes

    found = []
    for path, files in zip(paths, by_path, strict=True):
        by_name = {file["name"]: file for file in files}
        for volume in fitting(open_volumes(path), protocol)[0] if protocol else open_volumes(path):
            sources = (volume.sources[number] for number in chosen(volume.shape[0]))
            found += [{**by_name[source["name"]], "frame": source["frame"]} for source in sources]
    return found


def _made(to: Report, line: dict[str, Any], files: Files, findings: Sequence[Finding], model: str) -> tuple[bytes, str]:
    if to is Report.FHIR:
        from extraction.export.fhir import bundle

        text = json.dumps(bundle(line, files, findings, model), indent=1, ensure_ascii=False)
        return f"{text}\n".encode(), "json"
    from extraction.export.dicom_sr import report

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pydicom")  # what it warns of quotes the file
            return report(files, findings, model), "dcm"
    except ValueError:  # its text may quote the file
        raise AssayError("its UIDs, or the patient's tags, are no valid DICOM; write --to fhir.") from None
