"""What a FHIR resource says: a line of plain text and its parts."""

from __future__ import annotations

from dataclasses import dataclass

from recipes.ehr_qa.dates import When

WRONG = {
    "entered-in-error", "refuted", "not-done", "not-taken", "cancelled", "draft", "planned", "proposed", "preparation",
    "intended", "declined",
}  # fmt: skip
"""Statuses of what says nothing of the patient, or has not happened."""


@dataclass(frozen=True)
class Fact:
    """What a resource says, as printed in its line.

    Attributes:
        resource: `Type/id`.
        kind: the section it stands in, a key of `records.SECTIONS`.
        text: its line.
        name: the condition, drug, vaccine, measurement ... as the line has it.
        codes: its codes in whatever system.
        start, end: when; None where the resource does not say.
        status: `active`, `resolved`, `stopped` ... as the resource has it; empty where it has none.
        routine: an observation of every visit: vital signs, surveys, social history.
        who: the prescriber's name; empty where there is none or it cannot be found.
        reasons: names of the conditions it was done or given for; `UNRESOLVED` for one that cannot be found.
        over_for: why it is over ("stopped because of nausea"); empty where nothing is said.
        values: pairs of a name and a value with its unit; an observation's own, or its components' (empty where one has
            none).
        wrong: it says nothing of the patient: it was entered in error, refuted, not done, or is of somebody else.
        also: what its codings call it besides.
        counts: questions are made of it: it is not wrong, and was ordered, not only told.
        apart: why it does not count beside others of its section: `dispensed`, `given`, `device`, `document`,
            `part of a stay`; or does not count at all: `suspected`, `family history`, `without a value`.
        recorded: `start` is only the day when it was recorded; when it began is not said.
        empty: sections of which it says that there is none.
    """

    resource: str
    kind: str
    text: str
    name: str
    codes: frozenset[str] = frozenset()
    start: When | None = None
    end: When | None = None
    status: str = ""
    routine: bool = False
    who: str = ""
    reasons: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    wrong: bool = False
    counts: bool = True
    also: tuple[str, ...] = ()
    apart: str = ""
    recorded: bool = False
    empty: frozenset[str] = frozenset()
    over_for: str = ""
