"""Patients and pictures that are in training and test data both: how they are told, and that they are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from extraction.errors import AssayError
from recipes.contrastive.config import PairsConfig
from recipes.contrastive.images import Picture

if TYPE_CHECKING:
    from recipes.contrastive.data import Pair

_NAMED = 5
# Columns of patients as data sets call them, compared without case, blanks and marks.
_USUAL = (
    "patient",
    *("patientid", "patientnumber", "patientkey", "patientuid", "patients"),
    *("subject", "subjectid", "participant", "participantid", "person", "personid", "pid", "ptid", "mrn", "caseid"),
)


def patient_column(at: str, row: Mapping[str, Any], wanted: str) -> str:
    """The column of patients of a row: the one that is wanted, else one of a usual name; empty where there is none.

    Raises:
        AssayError: a column is wanted by a name of the user's own, and there is none of that name.
    """
    if not wanted or wanted in row:
        return wanted
    if wanted != PairsConfig.model_fields["patient"].default:
        raise AssayError(f"{at}: there is no `{wanted}`; name the column of patients: data.patient=COLUMN.")
    names = {"".join(filter(str.isalnum, str(column))).casefold(): str(column) for column in reversed(list(row))}
    return next((names[usual] for usual in _USUAL if usual in names), "")


def check_patients(train: Sequence[Pair], test: Sequence[Pair], allowed: bool = False) -> str:
    """What is to be said of patients and images in both sets, or that cannot be told; empty where there is nothing.

    Raises:
        AssayError: there are some in both, and that is not allowed.
    """
    said = [one for one in (_unknown("training", train), _unknown("validation", test)) if one]
    patients = {pair.patient for pair in train if pair.patient}
    shared = sorted({pair.patient for pair in test if pair.patient in patients})
    if shared:
        both = f"{len(shared)} patients are in training and test data both ({', '.join(shared[:_NAMED])})"
        if not allowed:
            raise AssayError(f"{both}; figures would be worth nothing. Part them, or set data.shared_patients=true.")
        said.append(f"{both}, as was asked for.")
    same = _same([pair.image for pair in train], [pair.image for pair in test])
    if same:
        there, here = same[0]
        both = f"{len(same)} images are in training and test data both ({here} is {there})"
        if not allowed:
            raise AssayError(
                f"{both}; figures would be worth nothing. Take them out of one, or set data.shared_patients=true."
            )
        said.append(f"{both}, as was asked for.")
    return " ".join(said)


def _unknown(name: str, pairs: Sequence[Pair]) -> str:
    """That patients are not known of all pairs of a set, so that one in both sets would be missed."""
    without = sum(not pair.patient for pair in pairs)
    if not without:
        return ""
    some = f"{without} of {len(pairs)} pairs of the {name} data have no patient"
    if without == len(pairs):
        some = f"No patients are found in the {name} data (data.patient names their column)"
    return f"{some}, so that a patient in training and validation both cannot be told."


def _same(train: Sequence[Picture], test: Sequence[Picture]) -> list[tuple[Picture, Picture]]:
    """Pictures of both sets that are equal to the byte, under whatever names; of each in test, the one in training.

    Files are read only where another of the same size is in the other set.
    """
    sizes: dict[int, list[Picture]] = {}
    for picture in dict.fromkeys(train):
        sizes.setdefault(_size(picture), []).append(picture)
    asked = [(picture, _size(picture)) for picture in dict.fromkeys(test)]
    known = {
        _sha256(picture): picture
        for size in {size for _, size in asked if size}
        for picture in reversed(sizes.get(size, []))
    }
    hashed = [(_sha256(picture), picture) for picture, size in asked if size in sizes]
    return [(known[digest], picture) for digest, picture in hashed if digest and digest in known]


def _size(picture: Picture) -> int:
    """Bytes of a picture; 0 where it cannot be looked at, which is told where images are read."""
    try:
        return picture.size if picture.name else picture.path.stat().st_size
    except OSError:
        return 0


def _sha256(picture: Picture) -> str:
    """Of a picture's bytes; empty where there are none to be read."""
    try:
        with picture.path.open("rb") as file:
            file.seek(picture.offset)
            data = file.read(picture.size)
    except OSError:
        return ""
    return hashlib.sha256(data).hexdigest() if data else ""
