"""Replies graded by code: what was stated first, as a letter, as yes or no, in words, as a report or as a box.

What cannot be graded counts as wrong, and is counted apart with the reason. Real replies of a 4B model write `**Final
Answer: D**` and then invent further questions to the limit: the first statement counts, never the last letter of a
reply that runs on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from extraction.generate.backend import Generation, without_thinking
from recipes.card.boxes import box_of, overlap
from recipes.card.items import Item
from recipes.card.radgraph import radgraph
from recipes.card.words import f1, normal, rouge_l

Why = Literal["", "empty", "refused", "several", "none stated"]


@dataclass(frozen=True)
class Graded:
    """A reply, graded.

    Attributes:
        scores: between 0 and 1, by name; a figure is made of one of them, over the questions that have it.
        said: the answer as it was understood.
        why: it could not be graded, and counts as wrong: the reply is `empty`, a `refused` question, states `several`
            answers, or `none stated`.
    """

    scores: Mapping[str, float]
    said: str
    why: Why = ""


# "Final Answer", with what may stand between it and the answer: marks of emphasis, a colon, "is", a bracket of LaTeX.
# Letters of "answer" may be in another order ("Anwser").
_FINAL = re.compile(r"final\s+a[nsw]{2,4}[er]{1,3}s?\b[\s*_`#]*(?:is\b)?[\s*_`:：=→–—-]*", re.IGNORECASE)
# What it was asked for, said again ("Final Answer: X", X being a letter); not "X-ray".
_ASKED_FOR = re.compile(r"[\"'“”]?X(?=\s*$|\s*\n|[\"'“”.,;:)\]]|\s+(?:where|being|is|as)\b)")
_KEY = re.compile(r"^[\s`]*(?:json\s*)?\{\s*[\"'][\w ]+[\"']\s*:\s*")  # {"answer": "C"}
_STATED = re.compile(
    r"\b(?:(?:answer|choice|option|diagnosis)\b[\s*_`]*(?:(?:is|(?:would|should)\s+be)\b|:)(?:\s*:)?[\s*_`]*(?!\s*not\b)"
    r"|ans\s*[.:][\s*_`]*"
    r"|(?:answer|choice|option|diagnosis)\s+is\s+not\b[^.\n]{1,60}?[,;]\s*(?:but|(?:it|that)\s+is)\s+"
    r"|(?:i|we)(?:\s+would|\s+will|\s+must|'d|'ll)?\s+(?:choose|pick|select|say|go\s+(?:with|for)|opt\s+for)\b[\s*_`:]*"
    r"|(?:i|we)\s+(?:think|believe|guess|say)\s+(?:that\s+)?(?:it|this)\s+is\b(?!\s*not\b)[\s*_`:]*)",
    re.IGNORECASE,
)
_IT = re.compile(r"(?:\b(?:it|this)\s+is\b(?!\s*not\b)|^not\b[^.\n]{1,60}?[,;]\s*but\b)[\s*_`:]*", re.IGNORECASE)
_REFUSED = re.compile(
    r"\b(?:i(?:'m| am)\s+(?:sorry|not able|unable)|i\s+(?:can(?:no|')t|am unable to|won't)\b|as an ai\b|"
    r"cannot (?:answer|provide|determine|give)|not possible to (?:answer|determine))",
    re.IGNORECASE,
)
_WRAP = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{|[{}$*_`<>]|\\[()\[\]]")
# A letter that stands for an option: in brackets, or alone before a stop, a line's end, or what the option says.
_LETTER = (
    r"\(\s*([A-Za-z]{1,2})\s*\)|\[\s*([A-Za-z]{1,2})\s*\]"
    r"|([A-Z]{1,2})(?=\s*(?:[.):,;=]|$|\n|\s[-–—]\s|\s\(|\s(?:since|because)\b|\s*[/&+]|\s+(?:or|and)\s+\(?[A-Z]\b))"
    r"|([a-z])(?=\s*(?:[.)]|$|\n))"
)
_HEAD = re.compile(
    rf"\s*(?:[Tt]he\s+)?(?:(?:correct|best|right|most\s+likely)\s+)?(?:[Aa]nswer\s+(?:is\s+)?)?"
    rf"(?:[Bb]oth\s+|(?:[Oo]ption|[Cc]hoice|[Ll]etter|[Dd]iagnosis)\s+(?:is\s+)?)?[\"'“‘]?\s*(?:{_LETTER})"
)
# "Option C is correct", "(C) is the best answer"; not "neither A nor B is correct".
_CORRECT = re.compile(
    r"(?<![Nn]or )(?<![Ii]f )(?<![Ww]hether )"
    r"\b(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s+\(?([A-Za-z]{1,2})\b\)?|([A-Z]{1,2})\b\)?)"
    r"[\s*_`]+is\s+(?:(?:the\s+)?(?:most\s+likely\s+|best\s+|single\s+)*(?:correct|right|best|most\s+likely)"
    r"(?:\s+(?:answer|option|choice|one|diagnosis))?|the\s+(?:answer|diagnosis))\b"
)
_SPOKEN_OF = re.compile(r"\s+(?:is|are|was|were|would|could|may|might|can|seems?|describes?|refers?)\b")
_MORE = re.compile(rf"\s*[\"'”’.]*\s*(?:,|and|or|&|/|\+|oder|et)\s*(?:or\s+|and\s+)?(?:option\s+)?(?:{_LETTER})")
_TOGETHER = re.compile(
    r"\)?(?:\s*(?:,|and|or|&|/)\s*(?:and\s+|or\s+)?(?:option\s+)?\(?[A-Z]{1,2}\b\)?)+\s+(?:are|were)\b(\s+(?:both\s+)?(?:correct|right))?"
)
_YES = re.compile(r"[\s\"'“‘(\[*_`]*(yes|no)\b", re.IGNORECASE)
_BOTH = re.compile(
    r"[\s\"'”’).*_`]*(?:(?:or|and|/)[\s\"'“‘(*_`]*(?:yes|no)\b|,\s*(?:yes|no)[\s\"'”’).*_`]*$)",
    re.IGNORECASE | re.MULTILINE,
)
# The end of the published prompt, said again before an answer or in the place of one.
_EITHER = re.compile(r"\bFinal Answer:\s*yes[\s\"'”’]+or\s+[\"'“‘]*Final Answer:\s*no\b", re.IGNORECASE)
_TAGS = re.compile(r"<(b|i|u|p|em|strong|span)>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_NEXT = re.compile(r"\n\s*\n|\bQuestion\s*\d*\s*:")  # where a short answer ends
_SAYING = re.compile(r"^(?:the\s+)?(?:correct\s+)?answers?\s*(?:is\b|:)[\s:]*", re.IGNORECASE)


def answer_text(reply: str) -> str:
    """A reply without thoughts, of which nothing is left where they were cut, and without marks of HTML."""
    return _TAGS.sub(r"\2", without_thinking(Generation(reply, "stop")).text).strip()


def final(reply: str) -> str | None:
    """What follows the first "Final Answer", None where that is not said. What it is asked for ("X") is none."""
    for match in _FINAL.finditer(reply):
        rest = reply[match.end() :]
        if rest.strip() and not _ASKED_FOR.match(rest):
            return rest
    return None


def _ungraded(names: tuple[str, ...], reply: str, why: Why = "none stated") -> Graded:
    if not reply:
        why = "empty"
    elif why == "none stated" and _REFUSED.search(reply):
        why = "refused"
    return Graded(dict.fromkeys(names, 0.0), "", why)


def choice(reply: str, item: Item) -> Graded:
    """One of the options: its letter, or its own words."""
    reply = answer_text(reply)
    last = final(reply)
    rest = reply if last is not None else _past_list(reply, item.options)
    # Without a final answer: what the reply begins with, if it is a letter or nothing but an option's words.
    said = _option(_plain(rest), item.options, begins=True) if last is None else ""
    for place in _places(last, rest):
        said = said or _option(_plain(place), item.options)
        if said == "several":
            return _ungraded(("right",), reply, "several")
        if said:
            return Graded({"right": float(said == item.gold)}, said)
    return _ungraded(("right",), reply)


def _plain(text: str) -> str:
    """A text without marks of emphasis, LaTeX and JSON."""
    return _WRAP.sub("", _KEY.sub("", text))


def _places(last: str | None, reply: str) -> list[str]:
    """Where an answer may stand, in the order in which they count; behind "Final Answer" first, then in that line."""
    if last is None:
        return _statements(reply)
    line = last.strip().split("\n")[0]
    return [last, *_statements(line)[:-1], *(line[match.end() :] for match in _IT.finditer(line))]


def _past_list(reply: str, options: Mapping[str, str]) -> str:
    """A reply without the list of the options that it repeats first."""
    place, count = 0, 0
    for letter, words in options.items():
        spaced = r"\s+".join(map(re.escape, words.split()))
        match = re.compile(rf"[\s*_`-]*\(?{letter}\s*[).:][\s*_`]*{spaced}[\s.,;*_`]*", re.IGNORECASE).match(
            reply, place
        )
        if not match:
            break
        place, count = match.end(), count + 1
    return reply[place:] if count > 1 else reply


def _statements(reply: str) -> list[str]:
    """Where a reply without a final answer may state one, in the order in which they count."""
    boxed = [reply[match.start() :] for match in re.finditer(r"\\boxed", reply)][:1]
    stated = sorted(
        [(match.end(), reply[match.end() :]) for match in _STATED.finditer(reply)]
        + [(match.start(), reply[match.start() :]) for match in _CORRECT.finditer(reply)]
    )
    return [*boxed, *(rest for _, rest in stated), reply] if boxed or stated else [reply]


def _option(text: str, options: Mapping[str, str], begins: bool = False) -> str:
    """The letter that a text begins with, or whose words it begins with; `several`, or nothing.

    Args:
        begins: whether it is a whole reply, which may speak of an option before it chooses another.
    """
    text = text.strip(" \t\n\"'“”‘’")
    alone = re.fullmatch(r"\(?([A-Za-z]{1,2})[).:]*", text)
    if alone and alone.group(1).upper() in options:  # a letter, though another option may say "B"
        return alone.group(1).upper()
    correct = _CORRECT.match(text)
    if correct and (letter := (correct.group(1) or correct.group(2)).upper()) in options:
        return letter
    worded = _worded(text, options, only=begins)
    if worded:
        return worded
    match = _HEAD.match(text)
    if not match or (begins and _SPOKEN_OF.match(text, match.end())):
        return ""
    letter = next(group for group in match.groups() if group).upper()
    if letter not in options:
        return ""
    if together := _TOGETHER.match(text, match.end()):  # "A and B are wrong; C is right"
        return "several" if together.group(1) else ""
    more = _MORE.match(text, match.end())
    if more:
        other = next(group for group in more.groups() if group).upper()
        if other in options and other != letter:
            return "several"
    return letter


def _worded(text: str, options: Mapping[str, str], only: bool = False) -> str:
    """The option whose words a text is up to a stop, or (not `only` so) begins with; the longest of those."""
    first = re.split(r"\n|(?<=[a-z])\.(?:\s|$)", text, maxsplit=1)[0]
    said = normal(first)
    if not said:
        return ""
    by_words = sorted(((normal(words), letter) for letter, words in options.items()), key=lambda pair: -len(pair[0]))
    same = [letter for words, letter in by_words if words == said]
    if len(same) == 1 or only:
        return same[0] if len(same) == 1 else ""
    begun = [(words, letter) for words, letter in by_words if len(words) > 2 and f"{said} ".startswith(f"{words} ")]
    if not begun:
        return ""
    words, letter = begun[0]
    rest = said[len(words) :].strip()
    other = rest.removeprefix("or ").removeprefix("and ")
    for more, named in by_words:
        if named != letter and more and (other == more or (other != rest and other.startswith(f"{more} "))):
            return "several"
    return letter


def yes_no(reply: str, item: Item) -> Graded:
    """Yes or no; what a reply repeats of its prompt ("yes" or "no") is neither."""
    reply = _EITHER.sub("", answer_text(reply))
    last = final(reply)
    for place in _places(last, reply):
        text = _plain(place)
        if match := _YES.match(text):
            if _BOTH.match(text, match.end()):
                return _ungraded(("right",), reply, "several")
            said = match.group(1).lower()
            return Graded({"right": float(said == item.gold)}, said)
    return _ungraded(("right",), reply)


def short(reply: str, item: Item) -> Graded:
    """A few words: SQuAD's F1 and exact match, of closed questions and of yes and no apart."""
    reply = answer_text(reply)
    last = final(reply)
    first = next((part for part in _NEXT.split(reply) if part.strip()), "")
    said = _plain(first if last is None else _NEXT.split(last.strip().split("\n")[0])[0]).strip(" \t\n\"'“”")
    said = _SAYING.sub("", said) or said
    gold = str(item.gold)
    scores = {"f1": f1(said, gold), "exact": float(normal(said) == normal(gold) != "")}
    if normal(gold) in ("yes", "no"):
        match = _YES.match(said)
        both = match and _BOTH.match(said, match.end())
        scores["yes_no"] = float(bool(match) and not both and match.group(1).lower() == normal(gold))  # type: ignore[union-attr]
    if item.closed:
        scores["closed"] = scores.get("yes_no", scores["exact"])
    if not said:
        return Graded(scores, "", "empty")
    refused = last is None and bool(_REFUSED.search(said)) and not scores["f1"]
    return Graded(scores, said, "refused" if refused else "")


def report(reply: str, item: Item) -> Graded:
    """A report: ROUGE-L, and RadGraph F1 where its model is here."""
    said, gold = answer_text(reply), str(item.gold)
    return Graded({"rouge_l": rouge_l(said, gold), **radgraph(said, gold)}, said, "" if said else "empty")


def box(reply: str, item: Item) -> Graded:
    """A box: its overlap with the true one."""
    said = answer_text(reply)
    last = final(said)
    found = box_of(said if last is None else last, item.question) or box_of(said, item.question)
    if found is None:
        return _ungraded(("iou",), said)
    return Graded({"iou": overlap(found, item.gold)}, str([round(side) for side in found]))


_EVIDENCE = re.compile(r"\s*\((?:(?:SLICE|PATCH) \d+(?:, )?)+\)")


def named(reply: str) -> tuple[str, ...]:
    """The slices or patches that a reply names, as it names them, each once."""
    return tuple(dict.fromkeys(re.findall(r"\b(?:SLICE|PATCH) [1-9]\d{0,3}\b", answer_text(reply))))


def graded(reply: str, item: Item, grader: str) -> Graded:
    """A reply by a grader; where the true answer names slices or patches, with F1 over those that it names, too."""
    made = GRADERS[grader](_EVIDENCE.sub("", reply), item)
    if not item.evidence or "right" not in made.scores:
        return made
    said = {int(name.rpartition(" ")[2]) for name in named(reply)}
    score = 2 * len(said & set(item.evidence)) / (len(said) + len(set(item.evidence)))
    return replace(made, scores={**made.scores, "evidence": score})


GRADERS: dict[str, Callable[[str, Item], Graded]] = {
    "choice": choice,
    "yes_no": yes_no,
    "short": short,
    "report": report,
    "box": box,
}
