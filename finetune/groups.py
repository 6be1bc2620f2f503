"""Whose a document is: the patient, institution or vendor that must not be on both sides of a split."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

_PATIENT = re.compile(r"(?:^|_)(?:patient|subject)(?:_(?:id|number|no|nr|name|mrn))?$|(?:^|_)mrn$")
_MAKER = re.compile(
    r"(?:^|_)(?:hospital|clinic|institution|vendor|supplier|seller|issuer|merchant|sender)"
    r"(?:_(?:id|number|no|nr|name))?$"
)


def is_patient(told_by: str) -> bool:
    """Whether what tells a group (a field's name, `patient`) tells a person."""
    return bool(_PATIENT.search(_snake(told_by)))


def named_groups(answers: Sequence[Any]) -> dict[str, str]:
    """The fields of answers that name a patient, institution or vendor (not within lists), with their values."""
    found = {path: value for answer in answers for path, value in scalars(answer)}
    return {
        path: value for path, value in found.items() if _PATIENT.search(_snake(path)) or _MAKER.search(_snake(path))
    }


def scalars(record: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """The texts and numbers of a record that stand in no list, by their paths (`customer.city`)."""
    if isinstance(record, dict):
        for key, value in record.items():
            yield from scalars(value, f"{above}.{key}" if above else str(key))
    elif isinstance(record, str | int | float) and not isinstance(record, bool) and same(record):
        yield above, str(record)


def same(value: Any) -> str:
    """A value as groups are told apart: blanks and capitals do not count."""
    return " ".join(str(value).casefold().split())


def _snake(path: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[.\s-]", "_", path).lower()
