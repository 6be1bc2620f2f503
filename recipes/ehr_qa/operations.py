"""What each operation of a query answers from the entries that it is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from extraction.values.units import unit
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.query import Item, Query
from recipes.ehr_qa.resolve import Entry, bare, words
from recipes.ehr_qa.sayings import called

ACTIVE = ("active", "recurrence", "relapse", "in-progress")
# A comma before three digits may part thousands: "1,234" is no number that is known.
_NUMBER = re.compile(r"([<>]=?)? ?(-?(?:0,\d+|\d+,(?!\d{3}\b)\d+|\d+(?:\.\d+)?))(?: (.*))?")
_FEW = 3  # values told with a yes
_UNITS = "The values are in more than one unit; each unit is told by itself."
_NAMES_COUNT = ("condition", "medication", "allergy")

Told = tuple[Any, Sequence[Item], str, list[str]]
"""An answer, the items that say so, the sentence, and notes."""


Operation = Callable[[Query, Sequence[Entry], Sequence[Item]], Told]


def amount(entry: Entry) -> tuple[Decimal, str] | None:
    """Number and unit of an entry's value; see `number`."""
    return number(entry.value)


def number(value: str) -> tuple[Decimal, str] | None:
    """Number and unit of a value; None where it is none, or only known to be below or above one."""
    match = _NUMBER.fullmatch(value.split(" (")[0])
    if not match or match[1]:
        return None
    try:
        return Decimal(match[2].replace(",", ".")), match[3] or ""
    except InvalidOperation:
        return None


def least_or_most(value: str) -> tuple[str, Decimal, str] | None:
    """`<` or `>`, number and unit, of a value that is only known to be below or above one."""
    match = _NUMBER.fullmatch(value.split(" (")[0].partition(", reference")[0])
    return (match[1][0], Decimal(match[2].replace(",", ".")), match[3] or "") if match and match[1] else None


def components(entries: Iterable[Entry]) -> list[Entry]:
    """Entries; of an observation with several components each by itself."""
    return [part for entry in entries for part in _parts(entry)]


def _parts(entry: Entry) -> list[Entry]:
    parts = [(label, value) for label, value in entry.fact.values if label != entry.fact.name]
    if entry.name != entry.fact.name or not parts:
        return [entry]
    return [Entry(entry.fact, label, value) for label, value in parts]


def _dated(item: Item) -> str:
    return (item.value or item.name) + (f" ({item.date})" if item.date else " (no date)")


def _undated(count: int) -> str:
    return f"{count} ha{'ve' if count > 1 else 's'} no date."


def texts_of(items: Sequence[Item]) -> str:
    """What some lines say that has no place in an answer: "onset in childhood", "<14 ng/L"."""
    return ": " + "; ".join(item.text for item in items) if len(items) <= _FEW else ""


def _end(last: bool) -> Operation:
    def told(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
        """The latest, or first, of each name; all of that day and name."""
        pairs = [(entry, item) for entry, item in zip(entries, items, strict=True) if item.date]
        dated = [item for _, item in pairs]
        by_name: dict[str, list[tuple[Entry, Item]]] = {}
        for entry, item in pairs:
            by_name.setdefault(item.name if item.value else query.what, []).append((entry, item))
        ends = [found[-1 if last else 0] for found in by_name.values()]
        chosen = [item for entry, item in pairs if any(_together(entry, item, *end) for end in ends)]
        notes = [_undated(len(items) - len(dated))] if len(dated) < len(items) else []
        if not chosen:
            return None, items, f"{len(items)} found, none with a date{texts_of(items)}.", notes
        texts = [f"{i.name}: {i.value}" if i.value and len(by_name) > 1 else i.value or i.name for i in chosen]
        who = {item.line: f", by {e.fact.who}" for e, item in zip(entries, items, strict=True) if e.fact.who}
        dated_texts = dict.fromkeys(
            f"{_of(query, item) if len(by_name) == 1 else ''}{text} ({item.date}{who.get(item.line, '')})"
            for text, item in zip(texts, chosen, strict=True)
        )
        texts = list(dict.fromkeys(texts))
        return texts[0] if len(texts) == 1 else texts, chosen, f"{'; '.join(dated_texts)}.", notes

    return told


def _of(query: Query, item: Item) -> str:
    """What a value is of, where its name has not the words that were asked for, or is that of another thing, too.

    "sugar?" of glucose, "cholesterol?" of the low density one.
    """
    if not item.value or not query.which:
        return ""
    own, asked = (called(name, query.what) for name in (bare(item.name), query.which))
    other = bool(own and asked) and not {*own} & {*asked}
    return f"{item.name}: " if other or not words(query.which) <= words(item.name) else ""


def _together(entry: Entry, item: Item, other: Entry, end: Item) -> bool:
    """Whether two entries are of one name and day, and of one time as far as both are printed."""
    clocks = {when.clock for one in (entry, other) if (when := one.fact.start or one.fact.end) and when.clock}
    return (item.name, item.date) == (end.name, end.date) and len(clocks) < 2


def _listed(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
    if query.what == "observation" and query.which:
        several = len({item.name for item in items}) > 1
        texts = [(f"{i.name}: " * bool(i.value) if several else _of(query, i)) + _dated(i) for i in items]
        return [_dated(item) for item in items] if not several else texts, items, "; ".join(texts) + ".", []
    names: dict[str, list[Item]] = {}
    for item in items:
        names.setdefault(item.name, []).append(item)
    days = {name: [i.date for i in found if i.date] for name, found in names.items()}
    over = _over(query, entries)
    told = []
    for name, d in days.items():
        span = d[0] + (f" to {d[-1]}, {len(d)} times" if len(d) > 1 else "") if d else ""
        more = ", ".join(filter(None, (span, over.get(name))))
        told.append(name + (f" ({more})" if more else ""))
    return list(names), items, "; ".join(told) + ".", []


def _over(query: Query, entries: Sequence[Entry]) -> dict[str, str]:
    """By name the state of what is not active any more in any of its lines: an allergy of old is none today."""
    states: dict[str, list[str]] = {}
    for entry in entries if query.what in _NAMES_COUNT else ():
        states.setdefault(entry.name, []).append(entry.fact.status)
    return {name: found[-1] for name, found in states.items() if not {*found} & {*ACTIVE, ""}}


def _counted(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
    names = {item.name for item in items}
    if query.which is None and query.what in _NAMES_COUNT:
        more = f", in {len(items)} lines" if len(items) > len(names) else ""
        return len(names), items, f"{len(names)} different{more}.", []
    days = [item.date for item in items if item.date]
    span = f", {days[0]}" + (f" to {days[-1]}" if days[-1] != days[0] else "") if days else ""
    return len(items), items, f"{len(items)}{span}.", []


def _extreme(most: bool) -> Operation:
    def told(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
        """The most, or least, of each name and unit; what is only known to be above it is more, whatever it is."""
        pairs = list(_apart(entries, items))
        groups: dict[tuple[str, str], list[tuple[Decimal, Item]]] = {}
        for entry, item in pairs:
            if own := amount(entry):
                groups.setdefault((entry.name, unit(own[1])), []).append((own[0], item))
        open_ends = _open_ends(pairs, ">" if most else "<")
        for key in open_ends:
            groups.setdefault(key, [])
        if not groups:
            return None, items, f"{len(items)} found, none with a number to compare{texts_of(items)}.", []
        end, chosen, counted = (max if most else min), [], 0
        for key, found in groups.items():
            beyond = open_ends.get(key, [])
            best = end(number for number, _ in [*found, *beyond])
            last = [item for number, item in reversed(beyond) if number == best]
            chosen.append((last or [item for number, item in reversed(found) if number == best])[0])
            counted += len(found) + bool(last)
        notes = _passed(pairs, chosen)
        if len({one for _, one in groups}) > 1 and len({name for name, _ in groups}) == 1:
            notes.append(_UNITS)
        texts = [item.value if len(chosen) == 1 else f"{item.name}: {item.value}" for item in chosen]
        said = "; ".join(f"{text} ({item.date or 'no date'})" for text, item in zip(texts, chosen, strict=True))
        said = _of(query, chosen[0]) + said if len(chosen) == 1 else said
        return (
            texts[0] if len(texts) == 1 else texts,
            chosen,
            f"{said}, of {counted} value{'s' * (counted > 1)}.",
            notes,
        )

    return told


def _open_ends(pairs: Sequence[tuple[Entry, Item]], sign: str) -> dict[tuple[str, str], list[tuple[Decimal, Item]]]:
    """By name and unit the values that are only known to be above (`>`), or below, a number."""
    found: dict[tuple[str, str], list[tuple[Decimal, Item]]] = {}
    for entry, item in pairs:
        if (bound := least_or_most(entry.value)) and bound[0] == sign:
            found.setdefault((entry.name, unit(bound[2])), []).append((bound[1], item))
    return found


def _passed(pairs: Sequence[tuple[Entry, Item]], chosen: Sequence[Item] = ()) -> list[str]:
    """What is said of values that are no plain numbers, and not the answer."""
    taken = {id(item) for item in chosen}
    passed = [entry.value for entry, item in pairs if entry.value and not amount(entry) and id(item) not in taken]
    return [f"Not compared, being no plain numbers: {', '.join(dict.fromkeys(passed[:5]))}."] if passed else []


def _apart(entries: Sequence[Entry], items: Sequence[Item]) -> Iterable[tuple[Entry, Item]]:
    """Entries with their items; of an observation with several components each by itself."""
    for entry, item in zip(entries, items, strict=True):
        yield from ((part, item if part is entry else replace(item, name=part.name, value=part.value))
                    for part in _parts(entry))  # fmt: skip


def _trend(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
    every = list(_apart(entries, items))
    pairs = [(entry, item, own) for entry, item in every if item.date and (own := amount(entry))]
    if not pairs:
        return None, items, f"{len(items)} found, none with a number and a date{texts_of(items)}.", []
    names: dict[tuple[str, str], list[tuple[Decimal, Item]]] = {}
    for entry, item, own in pairs:
        names.setdefault((entry.name, unit(own[1])), []).append((own[0], item))
    said = []
    for (name, _), found in names.items():
        (first, one), (last, other) = found[0], found[-1]
        way = "up" if last > first else "down" if last < first else "unchanged"
        if len(found) == 1:
            said.append(f"{name}: {one.value} ({one.date}), one value")
        else:
            said.append(f"{name}: {one.value} ({one.date}) to {other.value} ({other.date}), {way}, {len(found)} values")
    notes = _passed(every)
    if undated := sum(bool(not item.date and amount(entry)) for entry, item in every):
        notes.append(_undated(undated))
    if len({name for name, _ in names}) < len(names):
        notes.append(_UNITS)
    answer = [f"{item.date}: {item.value}" for _, item, _ in pairs]
    return answer, [item for _, item, _ in pairs], "; ".join(said) + ".", notes


def _exists(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
    worded = [
        one.value for one in components(entries) if one.value and not amount(one) and not least_or_most(one.value)
    ]
    if query.what == "observation" and worded:  # "Yes" is no answer to "does he smoke?": what was seen is
        answer, chosen, said, notes = _end(last=True)(query, entries, items)
        now = {item.value for item in chosen}
        if before := [value for value in dict.fromkeys(worded) if value not in now]:
            notes.append(f"Other values before: {', '.join(before[:_FEW])}{' and others' * (len(before) > _FEW)}.")
        return answer, chosen, said, notes
    if query.what == "observation" and len(items) <= _FEW and all(item.value for item in items):
        return True, items, f"Yes: {'; '.join(f'{item.name}: {_dated(item)}' for item in items)}.", []
    over = _over(query, entries)
    names = list(dict.fromkeys(i.name + (f" ({over[i.name]})" if i.name in over else "") for i in items))
    last = (
        f", last {items[-1].date}"
        if items[-1].date and len(items) > 1
        else f", {items[-1].date}" * bool(items[-1].date)
    )
    return True, items, f"Yes: {'; '.join(names[:5])}{' and others' * (len(names) > 5)}{last}.", []


def _active(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
    if query.what in ("observation", "immunization", "report"):  # nothing that goes on: the latest is what holds
        return _end(last=True)(query, entries, items)
    open_ended = query.what in ("condition", "allergy")
    now = [i for entry, i in zip(entries, items, strict=True)
           if entry.fact.status in ACTIVE or (open_ended and not entry.fact.status and not entry.fact.end)]  # fmt: skip
    if query.which is None:
        names = list(dict.fromkeys(item.name for item in now))
        said = "; ".join(names) + "." if names else f"None of {len(items)} is active."
        return names, now or items, said, []
    if now:
        return True, now, f"Yes: {'; '.join(dict.fromkeys(_dated(item) for item in now))}.", []
    states = "; ".join(
        dict.fromkeys(f"{item.name}: {entry.fact.status or 'no status'}{f' ({item.date})' if item.date else ''}"
                      for entry, item in zip(entries, items, strict=True))
    )  # fmt: skip
    return False, items, f"No, not at present: {states}.", []


def _of_latest(what: str, told: Callable[[Fact], Sequence[str]]) -> Operation:
    def answer(query: Query, entries: Sequence[Entry], items: Sequence[Item]) -> Told:
        """What the latest entry that says it says; one a name."""
        chosen: dict[str, tuple[Item, Sequence[str]]] = {}
        for entry, item in zip(entries, items, strict=True):
            if said := told(entry.fact):
                chosen[item.name] = item, said
        if not chosen:
            return None, items, f"{len(items)} found; none says its {what}.", []
        texts = list(dict.fromkeys(text for _, said in chosen.values() for text in said))
        sentence = "; ".join(f"{', '.join(said)} ({item.name}{f', {item.date}' if item.date else ''})"
                             for item, said in chosen.values())  # fmt: skip
        return texts[0] if len(texts) == 1 else texts, [item for item, _ in chosen.values()], f"{sentence}.", []

    return answer


OPERATIONS: dict[str, Operation] = {
    "latest": _end(last=True),
    "first": _end(last=False),
    "list": _listed,
    "count": _counted,
    "maximum": _extreme(most=True),
    "minimum": _extreme(most=False),
    "trend": _trend,
    "exists": _exists,
    "active": _active,
    "reason": _of_latest("reason", lambda fact: [*fact.reasons, *filter(None, [fact.over_for])]),
    "prescriber": _of_latest("prescriber", lambda fact: [fact.who] if fact.who else []),
    "status": _of_latest("status", lambda fact: [fact.status] if fact.status else []),
}
