"""EHRNoteQA: questions with five choices on the discharge notes of a patient of MIMIC-IV."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.card.items import Item, Reading
from recipes.card.options import told
from recipes.card.readers import lines_of, released
from recipes.card.rows import Row, is_version

_COLUMNS = ("subject_id", "charttime", "text")


def read_ehr_note_qa(folder: Path, split: str, row: Row) -> Reading:
    """`EHRNoteQA.jsonl` joined with `discharge.csv.gz`: a patient's notes by their time, `num_notes` of them.

    Raises:
        AssayError: a file is missing, or training is asked for: all of it is test.
    """
    if split != "test":
        raise AssayError(
            f"{row.title} has no training part; train on notes of your own (a table with text and options)."
        )
    folder = released(folder)
    file = folder / "EHRNoteQA.jsonl"
    if not file.is_file():
        raise AssayError(f"{folder} has no EHRNoteQA.jsonl; {row.access}.")
    asked = list(lines_of(file, ("patient_id", "num_notes", "question", "choice_A", "answer")))
    notes = _notes(folder, {str(cells["patient_id"]) for _, cells in asked}, row)
    reading = Reading()
    for number, (at, cells) in enumerate(asked, 1):
        patient, count = told(cells["patient_id"]), told(cells["num_notes"]).removesuffix(".0")
        own = [text for _, text in sorted(notes.get(patient, ()))]
        options = {letter: told(cells.get(f"choice_{letter}")) for letter in "ABCDE"}
        options = {letter: text for letter, text in options.items() if text}
        if str(len(own)) != count:
            reading.leave("its notes are not those of the patient", f"{at} ({len(own)} notes, not {count or 'none'})")
            continue
        if not told(cells["question"]) or len(options) < 2:
            reading.leave("it has no question, or fewer than two options", at)
            continue
        text = "\n\n".join(f"[note {place}]\n{note.strip()}" for place, note in enumerate(own, 1))
        gold, question = told(cells["answer"]).strip("()"), told(cells["question"])
        reading.add(Item(f"{patient}:{number}", question, gold, options, text=text, patient=patient, at=at))
    return reading


def _notes(folder: Path, patients: set[str], row: Row) -> dict[str, list[tuple[str, str]]]:
    """The discharge notes of some patients with their times; the file is read line by line, it holds gigabytes."""
    beside = (folder.parent.parent if is_version(folder) else folder.parent) / "mimic-iv-note"
    places = (folder, folder.parent, beside.parent, beside, beside / "note", released(beside) / "note")
    files = (place / name for place in places for name in ("discharge.csv.gz", "discharge.csv"))
    file = next((path for path in files if path.is_file()), None)
    if file is None:
        raise AssayError(f"{folder} has no discharge.csv.gz beside it; {row.access}.")
    found: dict[str, list[tuple[str, str]]] = {}
    for cells in _streamed(file):
        if cells["subject_id"] in patients:
            found.setdefault(cells["subject_id"], []).append((cells["charttime"], cells["text"]))
    return found


def _streamed(file: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 24)
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as raw:
            reader = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise AssayError(f"{file} has no column `{missing[0]}`; it has {', '.join(reader.fieldnames or ())}.")
            for cells in reader:
                if any(cells[name] is None for name in _COLUMNS):
                    raise AssayError(f"{file}, line {reader.line_num}, is cut off; fetch the file again.")
                yield cells
    except (OSError, EOFError, csv.Error, zlib.error, UnicodeDecodeError) as error:
        raise AssayError(f"{file} cannot be read ({error}); fetch it again.") from None
