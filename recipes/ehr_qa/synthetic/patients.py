"""Bundles of invented patients, one or a folder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.files import whole_folder
from finetune.config import SyntheticConfig
from recipes.ehr_qa.synthetic.chart import Chart, Resource
from recipes.ehr_qa.synthetic.flaws import spoil
from recipes.ehr_qa.synthetic.habits import Picker, draw_habits
from recipes.ehr_qa.synthetic.life import Life
from recipes.ehr_qa.synthetic.people import add_clinicians, add_patient
from recipes.ehr_qa.vocabulary import CARE

SEEDS = 1_000_000  # patients a seed has before they meet those of the next
SHORTEST, USUAL, LONGEST = 25, 130, 350  # lines of a record


def make_bundle(seed: int, split: str = "train", most: int | None = None) -> dict[str, Any]:
    """A FHIR R4 transaction bundle of one invented patient, in the manner of Synthea.

    Codes stand only where the tables have them (SNOMED CT of conditions); elsewhere a coding is a display alone.

    Args:
        seed: the same seed makes the same bundle.
        split: patients of `train` have nothing of the vocabulary that is held out; those of any other split have, and
            are other people for the same seed.
        most: about how many lines the record may have at most; without it 130, one record in fifteen 350. From 25 on
            short records are as likely as those twice as long.

    Returns:
        The bundle, ready for `json.dumps`.
    """
    rng = random.Random(f"patient {split} {seed}")
    longest = LONGEST if rng.random() < 1 / 15 else USUAL
    longest = max(SHORTEST, most or longest)
    lines = round(SHORTEST * (longest / SHORTEST) ** rng.random())
    habits, picker = draw_habits(rng), Picker(rng, held_out=split != "train")
    chart = Chart(rng, habits)
    person = add_patient(chart, picker)
    clinicians = add_clinicians(chart, picker, rng.choice((1, 2, 3, 3, 4, 6)))
    Life(chart, picker, person, clinicians, lines).live()
    _add_unshown(chart)
    bundle = chart.bundle()
    spoil(rng, bundle, person)
    return bundle


def _add_unshown(chart: Chart) -> None:
    """Resources that have no line in a record."""
    kinds: list[str] = chart.rng.sample(CARE["unshown"], chart.rng.randint(1, 3))
    for kind in kinds:
        for _ in range(chart.rng.randint(1, 1 + chart.lines // 8)):
            chart.add(kind, status="active")


def write_patients(folder: Path, count: int, seed: int, split: str = "train", most: int | None = None) -> list[Path]:
    """Write bundles of invented patients into a new or empty folder, which appears whole or not at all.

    Args:
        folder: gets `NAME.json` of each patient; `records.read_records` reads it.
        count: how many patients.
        seed: the same seed writes the same files.
        split, most: see `make_bundle`.

    Returns:
        The files.

    Raises:
        AssayError: the folder has files already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AssayError(f"{folder} is not an empty folder; choose another, or remove what is in it.")
    files = []
    with whole_folder(folder) as partial:
        for number in range(count):
            bundle: Resource = make_bundle(seed * SEEDS + number, split, most)
            name = f"{split}-{seed}-{number:05d}.json"
            (partial / name).write_text(json.dumps(bundle, ensure_ascii=False), encoding="utf-8")
            files.append(folder / name)
    return files


def synthesize(folder: Path, split: str, wanted: SyntheticConfig) -> None:
    """`finetune.task.Task.synthesize` of this recipe: patients of a split.

    Raises:
        AssayError: the folder has files already, or layout families are asked for, which patients have not.
    """
    if wanted.families:
        raise AssayError("Synthetic patients have no families; remove them from data.synthetic.")
    write_patients(folder, wanted.count, wanted.seed, split, wanted.max_rows)
