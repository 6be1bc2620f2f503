"""Exams whose files differ between their publishers: brought to the columns of their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.card.items import Item, Reading
from recipes.card.options import LETTERS
from recipes.card.readers import files_of, lines_of, read_table, split_of
from recipes.card.rows import Row
from recipes.tables import table

SUBJECTS = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine",
)  # fmt: skip
"""Of MMLU, those that count as medical."""
_PUBMEDQA = ("id", "QUESTION", "CONTEXTS", "final_decision")
_HELD_OUT = 50  # of PubMedQA's questions for training, those that are not trained on


def _first(folder: Path, split: str, row: Row) -> Mapping[str, Any]:
    return next((cells for _, cells in table(files_of(folder, split, row)[0])), {})


def _with(row: Row, **columns: str) -> Row:
    return row.model_copy(update={"columns": columns})


def read_medmcqa(folder: Path, split: str, row: Row) -> Reading:
    """The authors' files and the hub's (opa to opd, `cop`), or one with options and a letter."""
    if "cop" in _first(folder, split, row):
        row = _with(row, question="question", options="opa, opb, opc, opd", answer="cop", id="id")
        row = row.model_copy(update={"places": True})
    return read_table(folder, split, row)


def read_medxpertqa(folder: Path, split: str, row: Row) -> Reading:
    """The authors' files (`label`), or those with `answer_idx`."""
    if "label" not in _first(folder, split, row):
        row = _with(row, question="question", options="options", answer="answer_idx", id="realidx")
    return read_table(folder, split, row)


def read_afrimedqa(folder: Path, split: str, row: Row) -> Reading:
    """Version 2 (`answer_options`, `correct_answer`), the authors' tables with columns A to E, or a letter's."""
    first = _first(folder, split, row)
    if "answer_options" in first:
        return _afrimed_v2(folder, split, row)
    if "A" in first:
        row = _with(row, question="question", options="A, B, C, D, E", answer="answer", id="sample_id")
    return read_table(folder, split, row)


def _afrimed_v2(folder: Path, split: str, row: Row) -> Reading:
    reading = Reading()
    for path in files_of(folder, split, row):
        for at, cells in lines_of(path, ("answer_options", "correct_answer")):
            if split_of(own := cells.get("split", split)) is None:
                reading.leave("its split is none of train, validation and test", f"{at} ({str(own)[:40]!r})")
                continue
            if split_of(own) != split:
                continue
            if cells.get("question_type", "mcq") != "mcq":
                reading.leave("it is no question of multiple choice", at)
                continue
            try:
                named = {key: str(text) for key, text in json.loads(cells["answer_options"]).items() if text}
            except (ValueError, AttributeError, KeyError):
                reading.leave("its options are no JSON", at)
                continue
            letters = dict(zip(named, LETTERS, strict=False))
            told = [one.strip() for one in str(cells.get("correct_answer", "")).split(",")]
            if len(told) > 1:
                reading.leave("several of its options are right", at)
                continue
            options = {letters[key]: text for key, text in named.items()}
            asked = str(cells.get("question_clean") or cells.get("question"))
            reading.add(Item(str(cells.get("sample_id", at)), asked, letters.get(told[0], told[0]), options, at=at))
    return reading


def read_mmlu(folder: Path, split: str, row: Row) -> Reading:
    """The authors' tables, a file a subject and no header, or one file with a column `subject`."""
    reading = Reading()
    files = files_of(folder, split, row)
    if any(path.suffix == ".jsonl" for path in files):
        return read_table(folder, split, row)
    for path in files:
        subject = path.stem.rpartition("_")[0]
        if subject not in SUBJECTS:
            continue
        for at, cells in table(path, names=("question", *LETTERS[:4], "answer"), header=False):
            options = {letter: cells[letter] for letter in LETTERS[:4]}
            name = f"{path.name}:{at.rpartition(' ')[2]}"
            reading.add(Item(name, cells["question"], cells["answer"].strip(), options, group=subject, at=at))
    return reading


def read_pubmedqa(folder: Path, split: str, row: Row) -> Reading:
    """The authors' `ori_pqal.json` with the ids of `test_ground_truth.json`, or tables with options."""
    whole = folder / "data" / "ori_pqal.json"
    if not whole.exists():
        reading = read_table(folder, split, row)
        if split != "test":
            own = reading.items
            reading.items = own[:-_HELD_OUT] if split == "train" else own[-_HELD_OUT:]
        return reading
    truth = whole.with_name("test_ground_truth.json")
    if not truth.exists():
        raise AssayError(f"{truth} is missing; it says which questions are the test's. Copy it beside {whole.name}.")
    test = {cells["id"] for _, cells in table(truth)}
    reading = Reading()
    options = {"A": "yes", "B": "no", "C": "maybe"}
    letters = {text: letter for letter, text in options.items()}
    rows = [(at, cells) for at, cells in lines_of(whole, _PUBMEDQA) if (cells["id"] in test) == (split == "test")]
    if split != "test":
        rows = rows[:-_HELD_OUT] if split == "train" else rows[-_HELD_OUT:]
    for at, cells in rows:
        asked = "\n".join([*cells["CONTEXTS"], cells["QUESTION"]])
        gold = str(cells["final_decision"])
        reading.add(Item(str(cells["id"]), asked, letters.get(gold, gold), options, at=at))
    return reading
