"""What a record can name: conditions, medications, measurements, care and people, from the tables beside this file.

The generator of patients (synthetic/) draws from it, and questions take from it what a record lacks. A name that is
held out stands only in validation patients, so that they test copying, not memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_HERE = Path(__file__).parent
_HELD = " *"
_held: set[str] = set()


def _bare(value: Any) -> Any:
    """A table without its marks of what is held out."""
    if isinstance(value, str):
        if value.endswith(_HELD):
            value = value.removesuffix(_HELD)
            _held.add(value)
        return value
    if isinstance(value, list):
        return [_bare(one) for one in value]
    return {key: _bare(one) for key, one in value.items()} if isinstance(value, dict) else value


def _table(name: str) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    return _bare(yaml.load((_HERE / f"{name}.yaml").read_text(encoding="utf-8"), loader))


@dataclass(frozen=True)
class Condition:
    """A condition; conditions.yaml says what the fields mean."""

    name: str
    code: str = ""
    tag: str = "disorder"
    groups: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    course: str = "chronic"
    treat: tuple[str, ...] = ()
    sex: str = ""
    ages: tuple[int, int] = (5, 90)


@dataclass(frozen=True)
class Measurement:
    """What is measured: a number with a unit in a range, or one of some words; observations.yaml says more."""

    name: str
    short: str
    unit: str = ""
    range: tuple[float, float] = (0, 0)
    words: tuple[str, ...] = ()
    places: int | None = None
    si: tuple[str, float] | None = None
    high: frozenset[str] = frozenset()
    low: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    sex: str = ""


@dataclass(frozen=True)
class Care:
    """A procedure or care plan, the conditions or groups it is for, and what a plan does."""

    name: str
    after: frozenset[str] = frozenset()
    do: tuple[str, ...] = ()
    sex: str = ""


def _measurement(row: dict[str, Any]) -> Measurement:
    fields: dict[str, Any] = {"short": row["name"], **row, "after": row.get("for", ())}
    fields.pop("for", None)
    fields |= {key: frozenset(fields.get(key, ())) for key in ("high", "low", "after")}
    return Measurement(**_tuples(fields))


def _care(row: dict[str, Any]) -> Care:
    return Care(row["name"], frozenset(row.get("for", ())), tuple(row.get("do", ())), row.get("sex", ""))


def _condition(row: dict[str, Any]) -> Condition:
    fields = {"groups" if key == "is" else key: value for key, value in row.items()}
    return Condition(**_tuples(fields))


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


CONDITIONS = tuple(_condition(row) for name in ("conditions", "conditions_more") for row in _table(name))
GROUPS: dict[str, Any] = _table("groups")
MEDICATIONS: dict[str, tuple[str, ...]] = {kind: tuple(names) for kind, names in _table("medications").items()}
_observations = _table("observations")
VITALS = tuple(map(_measurement, _observations["vitals"]))
PANELS = {panel["title"]: tuple(map(_measurement, panel["tests"])) for panel in _observations["panels"]}
SINGLE = tuple(map(_measurement, _observations["single"]))
SURVEYS = tuple(map(_measurement, _observations["surveys"]))
MEASUREMENTS = (*VITALS, *(test for panel in PANELS.values() for test in panel), *SINGLE, *SURVEYS)
CARE: dict[str, Any] = _table("care")
VACCINES: tuple[str, ...] = tuple(CARE["vaccines"])
VACCINES_OF_CHILDREN: tuple[str, ...] = tuple(CARE["vaccines_of_children"])
PROCEDURES = tuple(map(_care, CARE["procedures"]))
PLANS = tuple(map(_care, CARE["plans"]))
PEOPLE: dict[str, Any] = _table("people")
SYNONYMS: dict[str, Any] = _table("synonyms")
PRINTED: dict[str, dict[str, list[str]]] = _table("printed")
VACCINES_AGAINST: dict[str, list[str]] = _table("vaccines")
MARKS: dict[str, dict[str, list[str]]] = _table("marks")
CODES: dict[str, dict[str, list[str]]] = _table("codes")
NOTHING: dict[str, Any] = _table("nothing")
PARTS: dict[str, Any] = _table("parts")
COMPOUNDS: dict[str, dict[str, list[str]]] = _table("compounds")
PANELS_CALLED: dict[str, dict[str, list[str]]] = _table("panels")
SECTIONS_CALLED: dict[str, list[str]] = _table("sections")
CLASSES: dict[str, list[str]] = SYNONYMS.pop("classes")
HELD = frozenset(_held)


@cache
def sayings(section: str) -> tuple[dict[str, Any], ...]:
    """What people call things of a section: rows with the plain name, `which`, and ways to say it by language.

    Some have forms as well, each by language: `adj` ("Is he diabetic?"), `verb` ("Does she smoke?"), `done` ("Has he
    ever fainted?"), `how` ("How tall is she?"), `against` (what a vaccine is against).
    """
    file = _HERE / "names" / f"{section}.jsonl"
    return tuple(map(json.loads, file.read_text(encoding="utf-8").splitlines())) if file.exists() else ()


@cache
def members(section: str) -> dict[str, tuple[str, ...]]:
    """Classes of a section that people name, with the names of what is of them; of vaccines what they are against."""
    if section == "immunization":
        found: dict[str, list[str]] = {}
        for vaccine, against in VACCINES_AGAINST.items():
            for disease in against:
                found.setdefault(disease, []).append(vaccine)
        return {disease: tuple(own) for disease, own in found.items()}
    table: dict[str, dict[str, list[str]]] = json.loads((_HERE / "classes.json").read_text(encoding="utf-8"))
    more = PANELS_CALLED["members"] if section == "observation" else {}
    own = table.get(section, {})
    return {name: (*own.get(name, ()), *more.get(name, ())) for name in (*own, *more)}


FORMS = ("adj", "verb", "done", "how", "against")


@dataclass(frozen=True)
class Names:
    """Names that a record may lack, for questions whose answer is no or null."""

    conditions: tuple[str, ...]
    medications: tuple[str, ...]
    vaccines: tuple[str, ...]
    measurements: tuple[str, ...]
    given: tuple[str, ...]
    families: tuple[str, ...]


@cache
def names(held_out: bool) -> Names:
    """All names, or those that are not held out."""

    def kept(*found: str) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(found) if held_out or name not in HELD)

    return Names(
        kept(*(one.name for one in CONDITIONS)),
        kept(*(name for drugs in MEDICATIONS.values() for name in drugs)),
        kept(*VACCINES, *VACCINES_OF_CHILDREN),
        kept(*(name for one in MEASUREMENTS for name in (one.name, one.short) if held_out or one.name not in HELD)),
        kept(*PEOPLE["female"], *PEOPLE["male"]),
        kept(*PEOPLE["families"]),
    )
