"""Limits of time and value: whether an entry is within them, for certain, perhaps, or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from extraction.values.units import unit
from recipes.ehr_qa.dates import When
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.operations import amount, least_or_most
from recipes.ehr_qa.query import Limit
from recipes.ehr_qa.resolve import Entry

_FIRST, _LAST = "0000-01-01", "9999-12-31"


def day_of(fact: Fact) -> When | None:
    """The day of a fact that can be compared; None where there is none."""
    when = fact.start or fact.end
    return when if when and when.problem in ("", "before its start", "before its onset") else None


def ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Entries, oldest first; those with a time zone among themselves by what the clocks show in one zone."""

    def printed(entry: Entry) -> tuple[str, str]:
        when = day_of(entry.fact)
        return (when.day, when.clock) if when else ("", "")

    found = sorted(entries, key=printed)
    zoned = [place for place, entry in enumerate(found) if (when := day_of(entry.fact)) and when.offset]
    for place, entry in zip(zoned, sorted((found[place] for place in zoned), key=_instant), strict=True):
        found[place] = entry
    return found


def _instant(entry: Entry) -> datetime:
    when = day_of(entry.fact)
    assert when is not None
    return datetime.fromisoformat(f"{when.day}T{when.clock}{when.offset}").astimezone(UTC)


def holds(fact: Fact, relation: str, day: When) -> bool | None:
    """Whether a fact is within a limit of time; what lasts (a condition, a period) where some of it is.

    None where its date does not tell: 2015 may be before 2015-06 or not, and so may what was only recorded later.
    """
    start = day_of(fact)
    if start is None:
        return False
    ended = fact.kind == "condition" and fact.status in ("resolved", "inactive", "remission") and fact.end is None
    lasting = (
        fact.kind in ("condition", "care_plan")
        or (fact.kind == "medication" and (fact.end is not None or fact.status == "active"))
        or (fact.kind in ("encounter", "procedure") and fact.end is not None)
    )
    end = fact.end if fact.end and not fact.end.problem else None
    earliest, latest = (_FIRST if fact.recorded else _edge(start, "-01-01")), _edge(start, "-12-31")
    soonest, last = (_edge(end, "-01-01"), _edge(end, "-12-31")) if end else (_LAST, _LAST)
    if fact.recorded and end:
        latest = min(latest, last)
    if not lasting:
        soonest, last = earliest, latest
    elif ended:  # nobody says when
        soonest = earliest
    low, high = _edge(day, "-01-01"), _edge(day, "-12-31")
    sure, never = {
        "before": (latest < low, earliest >= low),
        "after": (soonest > high, last <= high),
        "since": (soonest >= low, last < low),
        "until": (latest <= high, earliest > high),
        "on": (latest <= high and soonest >= low, earliest > high or last < low),
    }[relation]
    return True if sure else False if never else None


def _edge(when: When, rest: str) -> str:
    """The first (`-01-01`) or last day (`-12-31`) that a date may mean; a month's 31st, whatever its length."""
    return when.day + (rest if len(when.day) == 4 else rest[-3:] if len(when.day) == 7 else "")


def comparable(entry: Entry, limit: Limit) -> bool:
    """Whether a value is in a limit's unit, as far as both are known."""
    found = amount(entry) or (least_or_most(entry.value) or ())[1:]
    return not (limit.unit and found and found[1] and unit(found[1]) != unit(limit.unit))


def within(entry: Entry, limit: Limit) -> bool | None:
    """Whether a value is within a limit; None where it does not tell, being no number, or only above or below one."""
    than = Decimal(str(limit.number))
    upward = limit.relation in ("above", "at least")
    if bound := least_or_most(entry.value):
        sign, number, _ = bound
        if (sign == ">") == upward:
            return True if (number >= than if upward else number <= than) else None
        return False if (number <= than if upward else number >= than) else None
    found = amount(entry)
    if found is None:
        return None
    number = found[0]
    return {"above": number > than, "below": number < than, "at least": number >= than, "at most": number <= than}[
        limit.relation
    ]
