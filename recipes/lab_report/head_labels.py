"""The labels of a report's head: words that say of what stands beside or below them whose or which it is.

The table is `vocabulary/head.yaml`. Which field a label of two ("Sample") names, the form of what stands
beside it tells (`head.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

from recipes.lab_report.fields import HEAD

Box = tuple[float, float, float, float]

DATES = ("birth_date", "collected", "received", "reported")
SEPARATORS = frozenset("|·•;,/-–")
_LONGEST = 7  # words of a label
_WHEN_ENDS = (
    "sdatum szeit datum uhrzeit zeitpunkt zeit tijdstip tijd tid dato date fecha data 時間 日時 日期 时间 时 日".split()
)
TITLE = re.compile(
    r"(?:(?:prof|uzm)\.? ?)?(?:dr|lek|лікар|врач|δρ|d-r|д-р|др|د|ד\"ר|doctor|docteur|dott|dottssa|dra)\b\.?"
    r"(?: ?med\.?)?",
    re.I,
)


@dataclass(frozen=True)
class Token:
    """A word, or a part of one that ends with a label's colon."""

    text: str
    box: Box
    score: float


@dataclass(frozen=True)
class Label:
    """A label in a cell: its tokens' numbers from `start` to `stop`, what it may name, and whether a colon ends it."""

    start: int
    stop: int
    fields: frozenset[str]
    colon: bool


def key(text: str) -> str:
    """A label as it is compared: letters and digits alone, without case and accents."""
    plain = unicodedata.normalize("NFKD", text.replace("№", "no").replace("#", "no").casefold())
    return "".join(char for char in plain if char.isalnum()).replace("ς", "σ")


@cache
def table() -> dict[str, frozenset[str]]:
    """The labels' table: of each field its keys, and the words of `when`, `sexes` and `statuses`."""
    table = yaml.safe_load((Path(__file__).parent / "vocabulary" / "head.yaml").read_text(encoding="utf-8"))
    return {field: frozenset(filter(None, map(key, words.split(";")))) for field, words in table.items()}


@cache
def _known() -> dict[str, frozenset[str]]:
    """What each label may name."""
    known: dict[str, set[str]] = {}
    for field in (*HEAD, "age_and_sex", "other"):
        for one in table()[field]:
            known.setdefault(one, set()).add(field)
    for one in table()["given"] | table()["surname"]:
        known.setdefault(one, set()).add("patient_name")
    return {one: frozenset(fields) for one, fields in known.items()}


@cache
def fields_named(text: str) -> frozenset[str]:
    """The fields that a text may be the label of; `other` for one of something else, nothing for no label."""
    if len(text) > 60:
        return frozenset()
    whole = _known().get(key(text), frozenset())
    words = text.replace("/", " / ").split()
    core = key("".join(word for word in words if key(word) not in table()["when"]))
    cores = {core, *(core.removesuffix(end) for end in _WHEN_ENDS), *(core.removeprefix(end) for end in _WHEN_ENDS)}
    # "Name of the patient" is known without its small words; so is "Date of collection", of days.
    bare = (*DATES, "other", "patient_name")
    dates = frozenset(field for one in cores for field in _known().get(one, ()) if field in bare)
    named = whole | dates
    parts = [_known().get(key(part), frozenset()) for part in re.split(r"[/,&+]", text)]
    if not named and len(parts) == 2 and {"sex"} in parts and any("other" in part for part in parts):
        return frozenset({"age_and_sex"})
    if not named and "/" in text:  # one label in two languages
        sides = [fields_named(side.strip()) for side in text.split("/") if side.strip()]
        named = frozenset.intersection(*sides) if len(sides) > 1 else frozenset()
    return named


def parts(token: Token) -> Iterator[Token]:
    """A word cut behind the colon of a label within it ("Name:Ann"); a clock's colon cuts nothing."""
    label, colon, rest = token.text.partition(":")
    if not (colon and rest and key(label) in _known()):
        yield token
        return
    x0, y0, x1, y1 = token.box
    middle = x0 + (x1 - x0) * (len(label) + 1) / len(token.text)
    yield Token(label + colon, (x0, y0, middle, y1), token.score)
    yield from parts(Token(rest, (middle, y0, x1, y1), token.score))


def labels_of(tokens: Sequence[Token]) -> list[Label]:
    """The labels of a cell: those with a colon anywhere, others where the cell or a part of it begins.

    One that is not known, or is another person's or an earlier sample's ("Mother DOB:"), names no field.
    """
    found: list[Label] = []
    start = 0
    while start < len(tokens):
        before = tokens[start - 1].text if start else ""
        begins = start == 0 or before in SEPARATORS
        label = next(_labels_at(tokens, start, begins), None)
        if not label and before.endswith(","):  # "Roe Jane, born 1-2-1990"
            label = next((one for one in _labels_at(tokens, start, True) if one.fields <= {"birth_date"}), None)
        if not label and _is_label(tokens[start].text):
            label = Label(start, start + 1, frozenset(), True)
        if label:
            compound = bool(found) and found[-1].stop == label.start and label.colon and not found[-1].colon
            if compound:
                label = Label(found.pop().start, label.stop, frozenset(), True)
            elif _qualified(tokens, label, found):
                label = replace(label, fields=frozenset())
            found.append(label)
        start = label.stop if label else start + 1
    return found


def _is_label(text: str) -> bool:
    """Whether a word ends as a label does; no clock does."""
    return len(text) > 2 and text.endswith(":") and any(map(str.isalpha, text))


def _qualified(tokens: Sequence[Token], label: Label, before: Sequence[Label]) -> bool:
    """Whether words before a label say that it is another's: such a word anywhere in the cell, or one right before."""
    texts = [token.text for token in tokens[: label.start]]
    if any({key(text), key(text).removesuffix("s")} & table()["qualifiers"] for text in texts):
        return True
    apart = not texts or texts[-1] in SEPARATORS or texts[-1][-1] in ",;|"
    return not (before or apart) and len(texts) < 4 and all(map(str.isalpha, "".join(texts)))


def _labels_at(tokens: Sequence[Token], start: int, begins: bool) -> Iterator[Label]:
    """The labels that begin with a token, the longest first."""
    for stop in range(min(len(tokens), start + _LONGEST), start, -1):
        texts = [token.text for token in tokens[start:stop]]
        if any(text.endswith(":") for text in texts[:-1]):
            continue
        bare = texts[-1] == ":"
        text = " ".join(texts)
        colon = text.endswith(":")
        if bare and len(texts) == 1:
            continue
        if (colon or begins) and (fields := fields_named(text.rstrip(": "))):
            follows = stop < len(tokens) and tokens[stop].text == ":"
            # A title before a name, and a word of a laboratory's own name, are labels only with a colon.
            if colon or follows or not (TITLE.fullmatch(text) or fields & {"laboratory"}):
                yield Label(start, stop + follows, fields, colon or follows)
