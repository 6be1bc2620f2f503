"""Invented questions on health records with their queries, made from tables of wordings and of names."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml

from extraction.errors import AssayError
from extraction.files import write_whole
from recipes.ehr_qa import vocabulary
from recipes.ehr_qa.vocabulary import FORMS, sayings

_HERE = Path(__file__).parent
LANGUAGES = ("de", "fr", "es", "nl", "it", "pt")
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
_DAYS = {"en": "{m} {d}, {y}", "de": "{d}. {m} {y}", "es": "{d} de {m} de {y}", "pt": "{d} de {m} de {y}"}
_RELATIONS = {"since": "since", "before": "before", "after": "after", "on": "on"}
_VALUES = {"above": "above", "below": "below", "at_least": "at least", "at_most": "at most"}
_LATE = 2  # wordings of a list of eight or more, the last, that are never used in training
_LIMITED = 0.6  # times as often as without: most questions have no limit
_LONGEST = 8  # words of a name
_ASKED_FILES = sorted((_HERE / "vocabulary" / "asked").glob("*.jsonl"))
WORDINGS = "wordings"
FAMILIES = (*(file.stem for file in _ASKED_FILES), WORDINGS)
_SHARE = 0.6  # of asked questions, where there are wordings, too
_TURNS = 4  # times that one may come, in another manner each
_ASKED = 12  # of so many asked questions one is never used in training
_EVERY = 8  # of so many names one is never used in training


def write_questions(path: Path, count: int, seed: int, held_out: bool, families: Sequence[str] = ()) -> None:
    """Write `questions.jsonl`: questions with their queries.

    Args:
        held_out: asked questions that training never has, or wordings and, as often as not, things; else all others.
        families: files of `vocabulary/asked`, whole questions as people ask, and `wordings`, that names are put into;
            of both, three fifths are whole. All families where none is named.
    """
    rng = random.Random(seed)
    made: dict[str, dict[str, Any]] = {}
    families = families or FAMILIES
    if not set(families) <= {*FAMILIES}:
        raise AssayError(f"data.synthetic: families of questions are {', '.join(FAMILIES)}.")
    asked = [
        row
        for family in families
        if family != WORDINGS
        for row in asked_questions(family)
        if (crc32(row["question"].encode()) % _ASKED == 0) == held_out
    ]
    wanted = count if WORDINGS not in families else round(_SHARE * count) if asked else 0
    for turn in range(_TURNS):
        for row in rng.sample(asked, len(asked)):
            text = _manner(rng, row["question"]) if turn else row["question"]
            query = _in_words_of(row["query"], text)
            if query and len(made) < wanted:
                made.setdefault(text, query)
    while len(made) < count and WORDINGS in families:
        if one := make_question(rng, held_out):
            made.setdefault(*one)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"question": q, "query": query}, ensure_ascii=False) for q, query in made.items())
    write_whole(path, "\n".join(lines) + "\n")


@cache
def asked_questions(family: str) -> list[dict[str, Any]]:
    """Whole questions as people ask, each with its query."""
    file = _HERE / "vocabulary" / "asked" / f"{family}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _in_words_of(query: dict[str, Any], question: str) -> dict[str, Any] | None:
    """A query whose names are in the letters that its question has; None where capitals have lost one ("GRÖSSE")."""
    made = copy.deepcopy(query)
    for part in (made, *(time["step"] for time in made.get("times", ()) if "step" in time)):
        if part.get("which") and part["what"] != "patient":
            part["which"] = _as_there(part["which"], question)
            if part["which"] is None:
                return None
    return made


def make_question(rng: random.Random, held_out: bool) -> tuple[str, dict[str, Any]] | None:
    """A question and its query, whose names are as the question has them; None where chance put together no sense."""
    entries = [one for one in _entries() if _part(one["en"], held_out)]
    weights = [one.get("often", 1) * len(one["en"]) ** 0.5 * (_LIMITED if "limits" in one else 1) for one in entries]
    entry = rng.choices(entries, weights)[0]
    spoken = [language for language in LANGUAGES if _part(entry.get(language, ()), held_out)]
    language = rng.choice(spoken) if spoken and rng.random() < 0.25 else "en"
    text = rng.choice(_part(entry[language], held_out))
    what = _one(rng, entry["what"])
    query: dict[str, Any] = {"what": what, "operation": entry["operation"]}
    slots: dict[str, str] = {}
    if entry["which"] == "literal" and what == "patient":
        query["which"] = entry["literal"]
    elif entry["which"] == "literal":
        query["which"] = max(
            (said for said in _ways(what, entry["literal"]) if said in text.lower()), key=len, default=""
        )
    elif entry["which"] == "name":
        slots["name"] = query["which"] = _name(rng, what, language, held_out, entry.get("form"))
    elif "about" in entry:  # named, and no part of the query
        slots["name"] = _name(rng, _one(rng, entry["about"]), language, held_out)
    limits = entry.get("limits") or "none"
    if limits.endswith("_step"):
        other = _one(rng, entry["step_what"])
        slots["other"] = _name(rng, other, language, held_out)
        step = {"what": other, "which": slots["other"], "operation": entry.get("step_operation", "latest")}
        query["times"] = [{"relation": limits.removesuffix("_step"), "step": step}]
    elif limits in _RELATIONS:
        slots["date"], day = _date(rng, language, text)
        query["times"] = [{"relation": limits, "date": day}]
    elif limits in _VALUES:
        slots["number"] = rng.choice((str(rng.randrange(2, 300)), f"{rng.uniform(0.5, 30):.1f}"))
        query["value"] = {"relation": _VALUES[limits], "number": float(slots["number"])}
    if "" in (query.get("which"), *slots.values()):
        return None
    question = _manner(rng, _fill(text, slots))
    for part in (query, *(time["step"] for time in query.get("times", ()) if "step" in time)):
        if part.get("which") and part["what"] != "patient":
            part["which"] = _as_there(part["which"], question)
            if part["which"] is None:
                return None
    return question, query


def _as_there(name: str, question: str) -> str | None:
    """A name as the question has it, in its case; None where it is no piece of it, or too long for one."""
    at = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question, re.IGNORECASE)
    return at.group().rstrip(".-") if at and len(name.split()) <= _LONGEST else None


def _one(rng: random.Random, value: Any) -> Any:
    return rng.choice(value) if isinstance(value, list) else value


def _part(found: Sequence[Any], held_out: bool) -> Sequence[Any]:
    """The wordings of a list that are for training, or those that are not; a short list has none of these."""
    if len(found) < 8:
        return () if held_out else found
    return found[-_LATE:] if held_out else found[:-_LATE]


@cache
def _entries() -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = sorted((_HERE / "vocabulary").glob("wordings*.yaml"))
    return [one for file in files for one in yaml.load(file.read_text(encoding="utf-8"), loader)]


def _name(rng: random.Random, what: str, language: str, held_out: bool, form: str | None = None) -> str:
    """A name as it is said: from the table, or a record's own; empty where there is none of this form."""
    own = () if form else _own_names(what)
    rows = [row for row in sayings(what) if not form or language in row.get(form, ())]
    if own and (not rows or rng.random() < 0.2):
        kept = [name for name in own if (name in vocabulary.HELD) == held_out] or own
        return str(rng.choice(kept))
    rows = [row for row in rows if held_out or crc32(row["which"].encode()) % _EVERY]
    if not rows:
        return ""
    row = rng.choice(rows)
    ways = row[form] if form else row
    said = str(rng.choice(ways.get(language) or ways["en"]))
    return _misspelled(rng, said) if rng.random() < 0.04 else said


@cache
def _ways(what: str, which: str) -> tuple[str, ...]:
    """All that a thing is called, in small letters, in all languages and forms."""
    rows = [row for row in sayings(what) if row["which"] == which]
    ways = [way for row in rows for way in (row, *(row[form] for form in FORMS if form in row))]
    return tuple(
        said.lower() for way in ways for said in chain.from_iterable(v for v in way.values() if isinstance(v, list))
    )


@cache
def _own_names(what: str) -> tuple[str, ...]:
    """Names as records print them."""
    drugs = {re.sub(r" ?\b\d.*$", "", drug) for names in vocabulary.MEDICATIONS.values() for drug in names}
    found: dict[str, Any] = {
        "condition": [one.name for one in vocabulary.CONDITIONS],
        "medication": [drug.casefold() for drug in drugs if drug],
        "observation": [one.short for one in vocabulary.MEASUREMENTS if len(one.short) < 40],
        "procedure": [one.name for one in vocabulary.PROCEDURES],
        "immunization": vocabulary.VACCINES,
    }
    return tuple(sorted(set(found.get(what, ()))))


_DAY = re.compile(r"\b(?:on|am|le|op|il|el día|em) \{date\}", re.IGNORECASE)
_MONTH = re.compile(r"\b(?:in|en|nel|em|im) \{date\}", re.IGNORECASE)


def _date(rng: random.Random, language: str, text: str) -> tuple[str, str]:
    """A year, a month or a day as it is said behind the words of a text, and in ISO 8601."""
    year, month, day = rng.randrange(1975, 2027), rng.randrange(1, 13), rng.randrange(1, 29)
    name = _MONTHS[language].split()[month - 1]
    iso = f"{year}-{month:02}-{day:02}"
    kind = rng.random()
    if _MONTH.search(text):
        kind *= 0.7
    elif _DAY.search(text):
        kind = 0.7 + 0.3 * kind
    if kind < 0.5:
        return str(year), iso[:4]
    if kind < 0.7:
        return f"{name} {year}" if language not in ("es", "pt") else f"{name} de {year}", iso[:7]
    if kind < 0.85:
        return _DAYS.get(language, "{d} {m} {y}").format(d=day, m=name, y=year), iso
    return iso, iso


def _fill(text: str, slots: dict[str, str]) -> str:
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    return text[:1].upper() + text[1:] if text[:1].islower() and "{" not in text[:1] else text


def _manner(rng: random.Random, text: str) -> str:
    """As people type: without a question mark, in small letters, all in capitals once in a while."""
    if rng.random() < 0.25:
        text = text.rstrip("?. ")
    kind = rng.random()
    return text.lower() if kind < 0.25 else text.upper() if kind < 0.27 else text


def _misspelled(rng: random.Random, text: str) -> str:
    """Two letters changed places, or one left out."""
    if len(text) < 6:
        return text
    at = rng.randrange(1, len(text) - 2)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :] if rng.random() < 0.5 else text[:at] + text[at + 1 :]
