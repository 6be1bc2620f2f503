"""Code that answers a typed question from all facts of a record.

    run(Query(what="observation", which="a1c", operation="latest"), record)

Nothing is left out for want of room and nothing is guessed: an answer has its value, its date and its lines, what was
taken for the name, and how much was searched where nothing was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from extraction.values.units import unit
from recipes.ehr_qa.classes import classes_of
from recipes.ehr_qa.compounds import has
from recipes.ehr_qa.dates import When, read_when
from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.limits import comparable, day_of, holds, ordered, within
from recipes.ehr_qa.nothing import not_own, nothing, of_a_part, said_by_code, said_none
from recipes.ehr_qa.operations import OPERATIONS, amount, components, texts_of
from recipes.ehr_qa.patient import of_patient
from recipes.ehr_qa.query import Item, Limit, Query, Result
from recipes.ehr_qa.records import SECTIONS, PatientRecord
from recipes.ehr_qa.resolve import Entry, resolve, words
from recipes.ehr_qa.sayings import is_all, synonyms
from recipes.ehr_qa.search import ranked

_LINES = 10  # of those that have a text's words
_SHORT = 160  # letters of a line that is told beside an answer
_NEVER = ("suspected", "family history", "without a value")  # never counted; other kinds of what is apart only beside


def run(query: Query, record: PatientRecord) -> Result:
    """Answer a query from all facts of a record, which must be whole (`records.read_record` gives it so)."""
    if query.what == "patient":
        limits, told = _limits(query, record)
        return of_patient(query, record, None if limits is None else [day for _, day in limits], told)
    if query.what == "text":
        return _of_words(query, record)
    if query.which and is_all(query.which, query.what):
        query = query.model_copy(update={"which": None})
    section = [fact for fact in record.facts if fact.kind == query.what]
    empty = [fact for fact in section if not fact.wrong and (nothing(fact.name) or said_by_code(fact.codes))]
    facts = [fact for fact in section if not fact.wrong and fact not in empty]
    aside = _not_own(query, facts)
    facts = [fact for fact in facts if fact not in aside]
    meant = resolve(query.which, query.what, facts)
    notes = [record.part] if record.part else []
    notes += _not_counted(query, aside, [fact for fact in section if fact.wrong], record)
    notes += [f"The record has: {fact.text}." for fact in empty[:2]]
    empty += [fact for fact in record.facts if query.what in fact.empty]
    entries, more = _beside(query, meant.entries, empty, record)
    notes += more
    entries, missing, perhaps = _in_time(query, entries, record)
    notes += missing
    open_ends = bool(perhaps)
    if query.value and entries and not any(entry.value for entry in components(entries)):  # a drug's dose is none
        items = [_item(entry, record) for entry in entries]
        said = f"{len(items)} found, none with a value to compare{texts_of(items)}."
        return Result(query, None, tuple(items), said, tuple(notes))
    if query.value:
        every = components(entries)
        entries, more = _in_limit(query.value, every)
        notes += more
        open_ends |= bool(more)
        notes += _later(query, every, entries) if query.operation in ("exists", "latest", "active", "list") else []
    names = list(dict.fromkeys(entry.name for entry in entries))
    if entries and meant.how == "spelling":
        notes.append(f"“{query.which}” was taken for {_and(names[:3])}.")
    if meant.near and meant.how != "all":
        notes.append(f"Not taken, though it looks alike: {', '.join(meant.near)}.")
    if meant.unknown:
        notes.append(f"Not known whether of this class: {len(meant.unknown)} ({_some(meant.unknown)}).")
    items = [_item(entry, record) for entry in entries]
    if not entries:
        if none := next((fact for fact in empty if _says_none(query, fact)), None):
            name = none.name if none.kind == query.what else f"{SECTIONS[query.what]}: none known"
            return Result(query, "none", (_item(Entry(none, none.name), record),), f"{name}.", tuple(notes))
        if bare := [name for fact in facts if (name := fact.name) in fact.codes]:
            some = f"{len(bare)} lines have" if len(bare) > 1 else "1 line has"
            notes.append(f"{some} a code and no name ({_some(bare)}), which may be this: ask by the code.")
        if not meant.how:
            notes += [*_wider(query, facts, record), *_elsewhere(query, record), *_in_texts(query, record)]
        notes += [f"Not searched, having no line: {record.lost}."] if record.lost else []
        limited = meant.how != "" and bool(query.times or query.value) and not open_ends
        return Result(query, None, (), _nothing(query, section, limited), tuple(notes))
    if query.what == "observation" and query.operation == "status":  # "final" is no "goal reached"
        notes += ["This is the state of the measurement itself.", *_elsewhere(query, record)]
    answer, chosen, said, more = OPERATIONS[query.operation](query, entries, items)
    today = date.today().isoformat()
    days = [when for item in chosen if (when := read_when(item.date)) and not when.problem]
    if coming := list(dict.fromkeys(when.day for when in days if when.day > today)):
        notes.append(f"In the future, which may be a mistake: {', '.join(coming[:5])}.")
    return Result(query, answer, tuple(chosen), said, (*notes, *more))


def _not_own(query: Query, facts: Sequence[Fact]) -> list[Fact]:
    """Facts that never count, and conditions whose name says that the patient is not said to have them.

    What was asked for by its name stays.
    """
    if query.which and not_own(query.which):
        return []
    asked = words(query.which) if query.which else None
    named = query.what == "condition" and asked
    return [fact for fact in facts
            if fact.apart in _NEVER or (named and not_own(fact.name) and words(fact.name) != asked)]  # fmt: skip


def _in_limit(limit: Limit, parts: Sequence[Entry]) -> tuple[Sequence[Entry], list[str]]:
    """The values within a limit, and what is to be said of those that cannot be compared with it."""
    other = [entry for entry in parts if not comparable(entry, limit)]
    untold = [entry for entry in parts if entry not in other and entry.value and within(entry, limit) is None]
    notes = []
    if other:
        units = dict.fromkeys(found[1] for entry in other if (found := amount(entry)))
        values = f"{len(other)} value{'s' * (len(other) > 1)} in {', '.join(units)}"
        notes.append(f"Not compared with {limit.number:g} {limit.unit}: {values}.")
    if untold:
        values = ", ".join(dict.fromkeys(entry.value for entry in untold[:5]))
        more = f" and {len(untold) - 5} more" if len(untold) > 5 else ""
        notes.append(f"Not compared with {limit.number:g}, which does not tell: {values}{more}.")
    kept = [entry for entry in parts if entry not in other and within(entry, limit)]
    if not limit.unit and len(units := dict.fromkeys(unit(own[1]) for entry in parts if (own := amount(entry)))) > 1:
        notes.append(f"The values are in more than one unit ({', '.join(units)}); the limit has none.")
    return kept, notes


def _later(query: Query, every: Sequence[Entry], kept: Sequence[Entry]) -> list[str]:
    """What is said of a newest value that is not within the limit, where an older one is."""
    notes = []
    for name in dict.fromkeys(entry.name for entry in kept):
        own = [entry for entry in every if entry.name == name and amount(entry)]
        day = day_of(own[-1].fact) if own else None
        if day and query.value and own[-1] not in kept and within(own[-1], query.value) is False:
            notes.append(f"The latest {name} is not {query.value}: {own[-1].value} ({day.day}).")
    return notes


def _not_counted(query: Query, aside: Sequence[Fact], wrong: Sequence[Fact], record: PatientRecord) -> list[str]:
    """What does not count and why: of a name the lines that have it, in their words, for they speak of it; else all."""
    without = [fact for fact in aside if fact.apart == "without a value"]
    others = [fact for fact in aside if fact not in without]
    why = {
        "of family history, risk, screening, or of what is suspected or excluded": others,
        "without a value": without,
        "entered in error, refuted or not done": wrong,
    }
    if query.which is None:
        return [f"Not counted: {_lines(facts, record)}, {what}." for what, facts in why.items() if facts]
    notes = []
    for what, facts in why.items():
        own = {id(entry.fact) for entry in resolve(query.which, query.what, facts).entries}
        if named := [fact for fact in facts if id(fact) in own]:
            texts = "; ".join(fact.text for fact in named[:3]) + " ..." * (len(named) > 3)
            notes.append(f"Not counted: {_lines(named, record)}, {what}: {texts}.")
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + " ..." * (len(names) > 5)


def _lines(facts: Sequence[Fact], record: PatientRecord) -> str:
    numbers = [str(record.numbers[fact.resource]) for fact in facts]
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"line{'s' * (len(numbers) > 1)} {', '.join(numbers[:5])}{more}"


def _beside(
    query: Query, entries: Sequence[Entry], empty: Sequence[Fact], record: PatientRecord
) -> tuple[Sequence[Entry], list[str]]:
    """The entries without what is apart (a dispense beside its order), where there are others or none is said to be."""
    own = [entry for entry in entries if not entry.fact.apart]
    none = query.which is None and any(_says_none(query, fact) for fact in empty)
    kinds: dict[str, list[Fact]] = {}
    for entry in entries:
        if entry.fact.apart and (own or none):
            kinds.setdefault(entry.fact.apart, []).append(entry.fact)
    notes = [f"Not counted beside: {len(facts)} {kind} ({_lines(facts, record)})." for kind, facts in kinds.items()]
    return own if kinds else entries, notes


def _wider(query: Query, facts: Sequence[Fact], record: PatientRecord) -> list[str]:
    """Allergies to a class that what was asked for is of: who is allergic to penicillins is to amoxicillin."""
    if query.what != "allergy" or not query.which:
        return []
    plain = next(iter(synonyms(query.which, "allergy")), query.which)
    own = [name for name in classes_of(Fact("", "allergy", plain, plain)) or () if words(name) != words(plain)]
    forms = [words(phrase) for name in own for phrase in (name, *synonyms(name, "allergy"))]
    found = [
        fact for fact in facts if any(has(words(name), form) for name in (fact.name, *fact.also) for form in forms)
    ]
    told = ", ".join(f"{fact.name} ({_lines([fact], record)})" for fact in found[:5])
    return [f"“{query.which}” is of what the record has an allergy to: {told}."] if found else []


def _elsewhere(query: Query, record: PatientRecord) -> list[str]:
    """What other sections have by a name that its own has not: an operation may be told as a condition of the past."""
    found: dict[tuple[str, str], Fact] = {}
    for kind in (kind for kind in SECTIONS if kind not in ("patient", query.what)):
        facts = [fact for fact in record.facts if fact.kind == kind and not (fact.wrong or nothing(fact.name))]
        meant = resolve(query.which, query.what, facts)
        if meant.how in ("code", "name"):
            found |= {(kind, entry.name): entry.fact for entry in meant.entries}
    told = [f"{name} ({SECTIONS[kind].lower()}, {_lines([fact], record)})" for (kind, name), fact in found.items()]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return [f"Other sections have the name: {', '.join(told[:3])}{more}."] if told else []


def _in_texts(query: Query, record: PatientRecord) -> list[str]:
    """Lines that have the words of a name and are called otherwise: the nodule of a chest X-ray's report."""
    asked = words(query.which or "")
    found = [
        fact for fact in record.facts if fact.kind != "patient" and not (fact.wrong or fact.apart in _NEVER)
        and not asked <= words(fact.name) and asked <= words(fact.text)
    ]  # fmt: skip
    if not found:
        return []
    texts = "; ".join(fact.text if len(fact.text) <= _SHORT else f"{fact.text[:_SHORT]} ..." for fact in found[:2])
    return [f"The words stand in {_lines(found, record)}, which has to be read: {texts.rstrip('.')}."]


def _says_none(query: Query, fact: Fact) -> bool:
    """Whether a fact says that there is none of what is asked for: of all, or of the kind that it names."""
    if query.what in fact.empty:
        return query.which is None
    if not said_none(fact.name, fact.codes):
        return False
    part = query.what == "allergy" and (of_a_part(fact.name) or of_a_part(said_by_code(fact.codes)))
    if query.which is None:
        return not part
    return part and words(query.which) <= words(f"{fact.name} {said_by_code(fact.codes)}")


def _nothing(query: Query, section: Sequence[Fact], named: bool) -> str:
    searched = f"{len(section)} line{'s' * (len(section) != 1)} of {SECTIONS[query.what].lower()} searched"
    return f"{'None within these limits' if named else 'Not found'} in the record ({searched})."


def _item(entry: Entry, record: PatientRecord) -> Item:
    number = record.numbers[entry.fact.resource]
    when = entry.fact.start or entry.fact.end
    return Item(entry.name, entry.value, when.day if when else "", number, record.lines[number - 1].text)


def _limits(query: Query, record: PatientRecord) -> tuple[list[tuple[str, When]] | None, list[str]]:
    """The limits of time with their days, None where one has none, and what is to be said."""
    limits: list[tuple[str, When]] = []
    notes: list[str] = []
    for time in query.times:
        day = read_when(time.date)
        if time.step:
            found = run(Query(what=time.step.what, which=time.step.which, operation=time.step.operation), record)
            days = [item for item in found.items if item.date]
            if not days:
                return None, [f"Of “{time.step.which or time.step.what}” there is no day: {found.said}"]
            day = read_when(days[-1].date)
            notes.append(f"“{time.step.which or time.step.what}”: {days[-1].date} (line {days[-1].line}).")
        assert day is not None
        limits.append((time.relation, day))
    return limits, notes


def _in_time(
    query: Query, entries: Sequence[Entry], record: PatientRecord
) -> tuple[Sequence[Entry], list[str], list[Entry]]:
    """The entries within the limits of time, oldest first, what is to be said, and those that perhaps are within."""
    limits, notes = _limits(query, record)
    if limits is None:
        return [], notes, []
    kept: list[Entry] = []
    perhaps: list[Entry] = []
    for entry in entries:
        held = {holds(entry.fact, *limit) for limit in limits}
        if limits and not day_of(entry.fact):
            perhaps.append(entry)
        elif False not in held:
            (perhaps if None in held else kept).append(entry)
    if perhaps:
        lines = _lines([entry.fact for entry in perhaps], record)
        notes.append(f"Not counted: {lines}, whose dates do not tell whether they are within these limits or not.")
    return kept if query.what == "text" else ordered(kept), notes, perhaps


def _and(texts: Iterable[str]) -> str:
    return ", ".join(f"“{text}”" for text in texts)


def _of_words(query: Query, record: PatientRecord) -> Result:
    """The lines that have words of a text; what they say has to be read."""
    if not query.which:
        return Result(query, None, (), "This has to be read: name the words to look for.")
    found = [Entry(fact, fact.name) for fact in ranked([query.which], record.facts)]
    entries, missing, _ = _in_time(query, found, record)
    items = tuple(_item(entry, record) for entry in entries[:_LINES])
    if not items:
        return Result(query, None, (), f"Not found in the record ({len(record.facts)} lines searched).", tuple(missing))
    have = "1 line has" if len(entries) == 1 else f"{len(entries)} lines have"
    said = f"{have} words of “{query.which}”" + f", the best {_LINES}." * (len(entries) > _LINES)
    return Result(query, [item.text for item in items], items, said.rstrip(".") + ".", tuple(missing))
