"""Plain names for codes, where a record gives no text: LOINC, CVX, ICD-10 and ATC (vocabulary/codes.yaml)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from recipes.ehr_qa.bundle import at
from recipes.ehr_qa.vocabulary import CODES

# By what an address of a system has in it; a code without a system is one of these where it has the system's form.
_SYSTEMS = {
    "loinc": ("loinc", "2.16.840.1.113883.6.1"),
    "cvx": ("sid/cvx", "2.16.840.1.113883.12.292"),
    "icd-10": ("icd-10", "icd10", "2.16.840.1.113883.6.3", "2.16.840.1.113883.6.90"),
    "atc": ("whocc.no/atc", "/atc", "2.16.840.1.113883.6.73"),
}
_FORMS = {
    "loinc": re.compile(r"\d{3,5}-\d"),
    "icd-10": re.compile(r"[A-Z]\d\d(?:\.[\dA-Z]{1,4})?"),
    "atc": re.compile(r"[A-Z]\d\d[A-Z]{2}(?:\d\d)?"),
}
_TREES = ("icd-10", "atc")


def names_of_code(coding: Any) -> tuple[str, ...]:
    """The plain names of a Coding, the first the one to print; empty where no table has its code."""
    code, system = str(at(coding, "code") or "").strip(), str(at(coding, "system") or "").casefold()
    of = _system(system) if system else next((one for one, form in _FORMS.items() if form.fullmatch(code)), None)
    if not of:
        return ()
    table = _table(of)
    starts = range(len(code), 0, -1) if of in _TREES else (len(code),)
    return next((table[code[:length]] for length in starts if code[:length] in table), ())


def _system(address: str) -> str | None:
    if "pcs" in address or "icd-10-procedure" in address:  # ICD-10-PCS is of procedures
        return None
    return next((one for one, parts in _SYSTEMS.items() if any(address.endswith(part) or f"{part}/" in address
                 or (not part[0].isdigit() and part in address) for part in parts)), None)  # fmt: skip


@cache
def _table(system: str) -> dict[str, tuple[str, ...]]:
    return {code: tuple(names.split(", ")) for names, own in CODES[system].items() for code in own}
