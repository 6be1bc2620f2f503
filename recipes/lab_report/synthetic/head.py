"""The report's head: which of its printed labels and values are fields of the record."""

from __future__ import annotations

import re

Piece = tuple[str, str]  # a text, and the field of the record's head that it is ("" where it is none)

_FIELDS = {
    "patient": "patient_name", "id": "patient_id", "birth": "birth_date", "sex": "sex",
    "lab": "laboratory", "doctor": "ordered_by", "ref": "sample_id", "collected": "collected",
    "received": "received", "reported": "reported", "status": "report_status",
}  # fmt: skip
# What some laboratories print in those places and is another thing: the day of printing, the number of a stay or visit,
# the physician's own reference.
_OTHER = re.compile(
    r"(?i)print|afgedrukt|druckdat|ausdruck|imprim|impres|stampat|episode|visit|besuch|bezoek|fallnummer|uw ref|ihre"
    r"|εκτύπωση|печат|визит|wydruk|wizyt|basım|başvuru|protokol no|الطباعة|الزيارة|打印|住院号|就诊号"
    r"|utskri|tisk|друк|הדפס|印刷"
)


def head_field(kind: str, label: str) -> str:
    """The field that a labelled value of the head is, or ""."""
    return "" if _OTHER.search(label) else _FIELDS.get(kind, "")


def of_head(entry: tuple[str, str, str]) -> Piece:
    """The value of an entry (kind, label, value) as a piece."""
    kind, label, value = entry
    return value, head_field(kind, label)


def head_pieces(entry: tuple[str, str, str], joint: str = ": ") -> list[Piece]:
    """An entry (kind, label, value) with its label in front."""
    return [(f"{entry[1]}{joint}", ""), of_head(entry)]
