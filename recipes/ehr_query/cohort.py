"""Questions on many patients with several conditions: "which women over 65 have asthma or COPD and no inhaler?"

A model understands one thing at a time. Each condition is asked of a patient by itself, ages and sexes are read by
code, and code puts all of them together. The words that conditions are told apart by are in `vocabulary/cohort.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

from recipes.ehr_qa.answer import Answer
from recipes.ehr_qa.classes import is_known
from recipes.ehr_qa.nothing import negative
from recipes.ehr_qa.query import Limit, Query
from recipes.ehr_qa.sayings import SILENT, words

_LANGUAGES = ("en", "de", "fr", "es")
_AGES = {"older": ("above",), "at_least": ("at least",), "younger": ("below",), "at_most": ("at most",),
         "between": ("at least", "at most")}  # fmt: skip
_NUMBER = r"(\d{1,3})(?![\d.,]*\d)"
_AGE = re.compile(r"\W*#(\d+)\W*")  # where an age stood
_MEASURED = re.compile(
    r"\s*(?:[%°/]|(?:[kmµμ]?g|[cm]?m|lbs?|kilos?|pounds?|bpm|mm ?hg|m?mol|m?iu|m?eq|ml|u)\b)", re.IGNORECASE
)
_LONGEST = 6  # words of a name
_SECTIONS = ("condition", "medication", "observation", "immunization", "allergy")


@dataclass(frozen=True)
class Condition:
    """A part of a question on many patients.

    Attributes:
        question: what is asked of each.
        wanted: whether the answer is to be yes or no.
        group: those of one number are alternatives.
        last: the latest entry alone counts.
        now: of drugs those of the past do not count.
        query: what is asked, where no model is needed to understand it.
        value: what that has to answer.
        unclear: why it may be meant otherwise, None as a rule.
    """

    question: str
    wanted: bool
    group: int = 0
    last: bool = False
    now: bool = True
    query: Query | None = None
    value: str = ""
    unclear: str | None = None


@dataclass(frozen=True)
class _Piece:
    """What stands between two joints, and the words of the joint before it."""

    joint: str
    text: str
    strong: bool


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    file = Path(__file__).parent / "vocabulary" / "cohort.yaml"
    table: dict[str, dict[str, list[str]]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return table


def _one_of(language: str, *roles: str) -> str:
    """A pattern of any of some roles' words, whole, the longest first; those after an apostrophe as they are."""
    said = sorted((one for role in roles for one in _table()[role].get(language, ())), key=len, reverse=True)
    return "|".join(one if one[-1:] in "]&" else rf"{one}(?!\w)" for one in said) or r"(?!)"


@cache
def _pattern(language: str, form: str, *roles: str) -> re.Pattern[str]:
    return re.compile(form.replace("~", f"(?:{_one_of(language, *roles)})"), re.IGNORECASE)


def _finds(language: str, text: str, *roles: str) -> bool:
    return bool(_pattern(language, r"(?<!\w)~", *roles).search(text))


def _head(language: str, question: str) -> re.Match[str] | None:
    """Who is asked for: "which patients", "list all women", "who"; None where it is one patient."""
    of_many = ("patients", "women", "men")
    if found := _pattern(language, r"^\W*(?:(?<!\w)~[\s:]*)+", "asks", *of_many).match(question):
        if _finds(language, found.group(), *of_many):
            return found
        who = re.match(r"\W*(?:who|wer|qui|quién(?:es)?)\b\s*", question, re.IGNORECASE)
        by = _pattern(language, "~", "author")
        if who and not (by.match(question, who.end()) if language == "en" else by.search(question)):
            return who
    return None


def conditions(question: str) -> tuple[Condition, ...]:
    """The conditions of a question on many patients; empty where it has one alone, or asks for something else."""
    heads = {language: own for language in _LANGUAGES if (own := _head(language, question))}
    if not heads:
        return ()
    roles = ("asks", "patients", "women", "men", "and", "or", "who", "not", "has", "takes", "articles", "years")
    language = max(heads, key=lambda one: len(_pattern(one, r"(?<!\w)~", *roles).findall(question)))
    head = heads[language]
    rest, ages = _ages(language, " " + question[head.end() :].rstrip("?!. "))
    found = [one for one in [_of_sex(language, head.group(), True)] if one]
    before = "", False  # how the piece before is asked, and whether it is not wanted
    pieces = list(_pieces(language, _parted(language, rest), head.group()))
    for number, piece in enumerate(pieces):
        alternative = _is_alternative(language, pieces[number:])
        if age := _AGE.fullmatch(piece.text):
            made: Sequence[Condition] = ages[int(age[1])]
            if _finds(language, piece.joint, "not"):  # "not between 40 and 60": below one or above the other
                made = [replace(one, wanted=False) for one in made]
        elif sex := _of_sex(language, piece.text, not _finds(language, piece.joint + piece.text, "not")):
            made = [sex]
        else:
            one, before = _asked(language, piece, before)
            made = [one] if one else []
            alternative = alternative and not (one and not one.wanted and not piece.strong)  # none of them
        for place, one in enumerate(made):
            either = alternative or (place > 0 and not one.wanted)
            group = found[-1].group if found and either else len(found)
            if any({one.value, other.value} == {"female", "male"} and other.group != group for other in found):
                one = replace(one, unclear="No patient is of both sexes; ask of women and of men by themselves.")
            found.append(replace(one, group=group))
    alone = len(found) == 1 and found[0] == Condition(found[0].question, True, now=found[0].now)
    return () if alone and not _finds(language, head.group(), "counts") else tuple(found)


def _ages(language: str, text: str) -> tuple[str, list[list[Condition]]]:
    """A text with `#n` in the place of ages, and those: a number of years, or what comes first ("over 65")."""
    found: list[list[Condition]] = []

    def taken(match: re.Match[str], relations: Sequence[str]) -> str:
        if not _is_age(language, match.string[: match.start()], match.group(), match.string[match.end() :]):
            return match.group()
        numbers = [int(number) for number in match.groups()]
        made = []
        for relation, number in zip(relations, numbers, strict=True):
            limit = Limit(relation=relation, number=number)  # type: ignore[arg-type]
            query = Query(what="patient", which="age", operation="exists", value=limit)
            made.append(Condition(f"age {limit}", True, query=query))
        found.append(made)
        return f", #{len(found) - 1} ,"

    for role, relations in sorted(_AGES.items(), key=lambda one: one[0] in ("older", "younger")):
        for form in _table()[role].get(language, ()):
            years = rf"(?:[ -]?(?:{_one_of(language, 'years')}))?"
            pattern = re.compile(rf"(?<![\w.])(?:{form.replace('{n}', _NUMBER)}){years}", re.IGNORECASE)
            text = pattern.sub(lambda match, own=relations: taken(match, own), text)  # type: ignore[misc]
    return text, found


def _is_age(language: str, before: str, own: str, after: str) -> bool:
    """Whether a number is an age: no measurement, no count ("more than 2 strokes"), no span ("for over 10 years")."""
    if _MEASURED.match(after):
        return False
    if _pattern(language, r"^(?:\W|(?<!\w)~)*$", "who", "has", "articles", "not").match(before):
        roles = ("and", "or", "who", "without", "not", "has", "takes")
        ends = _pattern(language, r"\s*(?:$|[^\w\s+-]|(?<!\w)~)", *roles).match(after)
        return bool(ends) or not before.strip()
    if _pattern(language, r"(?<!\w)~\s+$", "women", "men", "patients").search(before):
        return True
    if clause := _pattern(language, r"(?<!\w)~\s+(.+)$", "and", "or", "who").search(before):
        is_so = _pattern(language, r"^(?:\W|(?<!\w)~)+$", "is", "not").match(clause[1])
        if is_so and not _finds(language, before, "whose"):
            return True
    lasts = _pattern(language, r"(?<!\w)~\s*$", "lasting").search(before)
    return not (lasts or _pattern(language, r"\s*~", "ago").match(after)) and _finds(language, own, "years", "of_age")


def _parted(language: str, rest: str) -> str:
    """A text with a comma behind what patients are told by: "with diabetes, take metformin"."""
    begin = _pattern(language, r"^(?:#\d+|\W|(?<!\w)~)*", "and", "or").match(rest)
    at = begin.end() if begin else 0
    having = _pattern(language, r"~\s+(?=\w)", "having").match(rest, at)
    verb = _pattern(language, r"\s(?=~)", "acts").search(rest, having.end()) if having else None
    if not having or not verb or _finds(language, rest[having.end() : verb.start()], "relative"):
        return rest
    return f"{rest[: verb.start()]}, {rest[verb.end() :]}"


def _is_alternative(language: str, pieces: Sequence[_Piece]) -> bool:
    """Whether the first of some pieces is an alternative to the one before: by "or", or in a list that ends with it."""
    for piece in pieces:
        if _finds(language, piece.joint, "or"):
            return piece is pieces[0] or not piece.strong
        if piece.strong or piece.joint.strip() != ",":
            return False
    return False


def _of_sex(language: str, text: str, wanted: bool) -> Condition | None:
    """A condition of the patient's sex; None where a text names none, both, or something else."""
    women, men = (_finds(language, text, role) for role in ("women", "men"))
    roles = ("women", "men", "patients", "asks", "has", "articles", "and", "or", "not", "who")
    if women == men or not _pattern(language, r"^(?:\W|(?<!\w)~)*$", *roles).match(text):
        return None
    sex = "female" if women else "male"
    return Condition(sex, wanted, query=Query(what="patient", which="sex", operation="latest"), value=sex)


def _pieces(language: str, rest: str, head: str) -> Iterator[_Piece]:
    """The pieces between joints: where a verb, "no" or "who" follows, or both sides have a name that is known."""
    joint = _pattern(language, r"(?:\s*(?:[,;:](?!\d)|(?<!\w)~))+", "and", "or", "who", "without")
    at, start, text, first = 0, head, "", True  # whether the joint before is none of a list
    cuts = [*joint.finditer(rest), None]
    for number, cut in enumerate(cuts):
        text = rest[at : cut.start() if cut else len(rest)]
        if cut is None:
            break
        following = cuts[number + 1]
        after = rest[cut.end() : following.start() if following else len(rest)]
        if not _stripped(language, text)[0]:
            start, at = start + text + cut.group(), cut.end()
            continue
        last = text.split()[-1].casefold()
        bound = (
            not _finds(language, cut.group(), "and", "or")
            and re.search(r"(?:ed|elt|pft|és?|ados?)$|^(?:may|men)or(?:es)?$|^más$", last)
            and not re.search(r"[,;]", cut.group())
        )  # "treated with", "mayor que"
        strong = not bound and (
            _finds(language, rest[cut.start() : cut.end() + 2], "who", "without")
            or _pattern(language, r"\s*(?:#|~)", "not", "has", "takes", "women", "men").match(after) is not None
            or bool(_AGE.fullmatch(text))
            or _finds(language, after, "has", "takes", "not")
        )
        if strong or (not bound and _both_known(language, text, after, cut.group())):
            yield _Piece(start, text, first)
            start, at, first = cut.group(), cut.end(), strong
    if text.strip():
        yield _Piece(start, text, first)


def _both_known(language: str, left: str, right: str, joint: str) -> bool:
    """Whether names that a table knows stand on both sides of a joint, and it has not the two as one."""
    lefts, rights = (_stripped(language, text)[0].split() for text in (left, right))
    lengths = range(1, _LONGEST + 1)
    tails, leads = ([" ".join(lefts[-n:]) for n in lengths], [" ".join(rights[:n]) for n in lengths])
    told = [lead for lead in leads if words(lead) - SILENT]
    if any(_is_name(f"{tail}{joint} {lead}") for tail in tails for lead in told):
        return False  # "nausea and vomiting"
    first = [" ".join(lefts[:n]) for n in lengths] if re.search(r"\d", left) else []  # "eGFR below 60"
    return any(map(_is_name, [*tails, *first])) and any(map(_is_name, leads))


@cache
def _is_name(text: str) -> bool:
    return any(is_known(text, kind) for kind in _SECTIONS)


def left_out(question: str, query: Query) -> list[str]:
    """Names beside "and" or "or" that a query on one patient has not, where a table knows both: "gout or lupus"."""
    roles = ("asks", "patients", "and", "or", "who", "not", "has", "takes", "articles")
    language = max(_LANGUAGES, key=lambda one: len(_pattern(one, r"(?<!\w)~(?!\w)", *roles).findall(question)))
    steps = [time.step.which for time in query.times if time.step]
    told = {word for name in (query.which, *steps) for word in words(name or "")}
    found = []
    for cut in _pattern(language, r"\s+(?:(?<!\w)~)\s+", "and", "or").finditer(question):
        left, right = (re.split(r"[,;:.?!]", part)[at] for part, at in ((question[: cut.start()], -1),
                                                                       (question[cut.end() :], 0)))  # fmt: skip
        if not told or not _both_known(language, left, right, cut.group()):
            continue
        ends, own = left.split(), _stripped(language, right)[0].split()
        tails = (" ".join(ends[-n:]) for n in range(_LONGEST, 0, -1))
        leads = (" ".join(own[:n]) for n in range(_LONGEST, 0, -1))
        names = [next((name for name in pieces if _is_name(name)), "") for pieces in (tails, leads)]
        there = [bool((words(name) - SILENT) & told) for name in names]
        found += [name for name, has in zip(names, there, strict=True) if any(there) and not has]
    return found


def _stripped(language: str, text: str) -> tuple[str, str]:
    """A text without verbs, articles and "no" at its ends, and these."""
    roles = ("not", "has", "takes", "articles", "who")
    lead = _pattern(language, r"^(?:\s*(?<!\w)~\s*)+", *roles).match(text)
    own = text[lead.end() :] if lead else text.strip()
    trail = _pattern(language, r"(?:\s+(?<!\w)~)+\s*$", "not", "has", "takes").search(own)
    kept = own[: trail.start()] if trail else own
    return kept.strip(" ,;:"), (lead.group() if lead else "") + " " + (trail.group() if trail else "")


def _asked(language: str, piece: _Piece, before: tuple[str, bool]) -> tuple[Condition | None, tuple[str, bool]]:
    """A condition as a question on one patient, None where nothing is left; its form, whether it is not wanted."""
    own, verbs = _stripped(language, piece.text)
    said = piece.joint + verbs
    last = bool(re.search(r"\d", own)) and _pattern(language, r"^\s*(?:an?\s|the\s)?~\s*", "last").match(own)
    if last:
        own = own[last.end() :]
    if last or _finds(language, piece.joint, "whose"):
        own = _pattern(language, r"\s+(?<!\w)~(?=\s)", "has").sub("", own, count=1)
    if not own:
        return None, before
    takes, no = _finds(language, said, "takes"), _finds(language, said, "not", "without")
    unclear = None
    if not piece.strong:  # "no statin or aspirin", "on aspirin and a statin"
        if before[1] and not no and _finds(language, piece.joint, "and"):
            unclear = f"It is not clear whether “{own}” is to be there or not; it was taken as there."
        no = no or (before[1] and not _finds(language, piece.joint, "and"))
    if _finds(language, own, "and", "or") and not _is_name(own):
        unclear = f"“{own}” was asked as one thing; ask it in parts where it is several."
    has, on, does, is_so = _table()["asked"][language]
    verb = not verbs.strip() and re.search(r"\b(?:who|that)\W*$", piece.joint.casefold())
    be = _pattern(language, r"(?<!\w)~\W*$", "is").search(verbs)
    form = on if takes else does if verb else is_so if be else has
    form = before[0] if before[0] and not piece.strong and not _finds(language, said, "has", "takes", "is") else form
    now = not _finds(language, said, "ever")
    if allergic := re.match(r"al+[eé]rg\w* (?:to|gegen|auf|à|aux?|al?) ", own, re.IGNORECASE):  # and so is what follows
        form, own = form.replace("{0}", allergic.group() + "{0}"), own[allergic.end() :]
    return Condition(form.format(own), not no, last=bool(last), now=now, unclear=unclear), (form, no)


def joined(question: str, parts: Sequence[tuple[Condition, Answer]]) -> Answer:
    """The answer of one patient to a question with several conditions: yes where all hold, else no.

    None where one of them was not understood. That a record does not say a thing counts as a no, and is told so.
    """
    lines = {number: text for _, answer in parts for number, text in answer.lines.items()}
    dark = [condition.question for condition, answer in parts if answer.query is None]
    own = tuple(answer for _, answer in parts)
    if dark:
        said = f"Not understood: {' '.join(dark)} Ask it in other words."
        return Answer(question, None, {}, said, (), parts[0][1].issue, parts=own)
    groups: dict[int, list[tuple[Condition, Answer]]] = {}
    for condition, answer in parts:
        groups.setdefault(condition.group, []).append((condition, answer))
    holds = all(any(_holds(*one) for one in group) for group in groups.values())
    told = "; ".join(answer.said.removesuffix(".").removeprefix("Yes: ") for _, answer in parts)
    issue = next((found for one, answer in parts if (found := one.unclear or answer.issue)), None)
    notes = tuple(dict.fromkeys(note for _, answer in parts for note in answer.notes))
    understood = "; and ".join(" or ".join(map(_understood, group)) for group in groups.values())
    said = f"{'Yes' if holds else 'No'}: {told}."
    return Answer(question, holds, lines, said, notes, issue, parts=own, understood=understood)


def _holds(condition: Condition, answer: Answer) -> bool:
    yes = answer.answer == condition.value if condition.value else is_yes(answer)
    return yes == condition.wanted


def _understood(part: tuple[Condition, Answer]) -> str:
    condition, answer = part
    own = condition.question if condition.query else answer.understood
    return "not " * (not condition.wanted) + own + ", of the latest alone" * condition.last


def is_yes(answer: Answer) -> bool:
    """Whether a record has what was asked for, and no value says that it is not there ("Never smoker")."""
    if answer.answer in (None, False, 0, "none") or answer.answer == []:
        return False
    values = answer.answer if isinstance(answer.answer, list) else [answer.answer]
    seen = answer.query is not None and answer.query.what == "observation"
    return not (seen and all(negative(str(value)) for value in values))
