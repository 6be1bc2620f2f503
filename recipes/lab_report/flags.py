"""The flags of a report's results, as printed: what on a result's line is none of its values and looks like one.

A letter, a sign or a word beside a result says that it is high, low or otherwise remarkable. Signs that stand for other
things too, such as a star, are flags only where the result's own range does not speak against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from extraction.document import Document, Page, Word
from extraction.evidence import PageEvidence
from extraction.values.signs import PLAIN
from recipes.lab_report.interpretation import interpret

Path = tuple[str | int, ...]
Box = tuple[float, float, float, float]

_WORDS = (
    r"high|low|hoog|laag|hoch|niedrig|erhöht|erniedrigt|verhoogd|verlaagd|élevé|eleve|haut|bas|alto|bajo|basso|alta|baja"
    r"|baixo|bassa|baixa|elevado|abnormal|abn|critical|crit|panic|abnormaal|kritisch|critique|crítico|critico|anormal"
    r"|anormale|alterado|borderline|yüksek|düşük|wysoki|niski|podwyższony|obniżony|vysoký|nízký|högt|lågt|hög|låg|høy|høyt"
    r"|lav|lavt|høj|korkea|matala|magas|alacsony|crescut|scăzut|выше|ниже|повышен[оа]?|понижен[оа]?|высокий|низкий"
    r"|висок|нисък|висока|ниска|високо|низько|підвищений|знижений|υψηλ[όή]|χαμηλ[όή]|αυξημέν[οη]|μειωμέν[οη]"
    r"|مرتفع|منخفض|عالي|גבוה|נמוך|偏高|偏低|高|低|high critical|low critical|very high|very low"
)
_SURE = re.compile(
    rf"[\[(<]?(?:HH?|LL?|H\*|L\*|HC|LC|(?:{_WORDS})|[↑↓▲▼⇧⇩]{{1,3}}|[+-]{{2,3}})[\])>]?[!*.]?", re.IGNORECASE
)
"""Flags wherever they stand on a result's line, letters in capitals."""
_UNSURE = re.compile(r"[\[(]?(?:!|\*{1,3}|[+-]|(?!N)[A-Z]{1,2}|#)[\])]?[!*.]?")
"""What is often another thing: a footnote's star, a laboratory's letter."""
_SIGN = re.compile(r"(?:\*{1,3}|[+-]|\(!\))\.?")
_SAYS = {"-": ("low", "critical"), "+": ("high", "critical", "abnormal")}
"""Signs that are dashes and grades as often."""
_BLANK = 5.0  # points: the widest blank between words
_NEAR = 40.0  # points between a result and a flag that is not sure


def read_flags(
    document: Document, data: Mapping[str, Any], evidence: Mapping[Path, PageEvidence]
) -> dict[Path, PageEvidence]:
    """The printed flag of each row that has one, by the path of its field."""
    results = {path: place for path, place in evidence.items() if path[-1] == "result"}
    near: dict[tuple[int, Box], tuple[float, Path, PageEvidence]] = {}
    for path, place in results.items():
        row: Any = data
        for step in path[:-1]:
            row = row[step]
        own = [one for at, one in evidence.items() if at[:-1] == path[:-1]]
        page = next(page for page in document.pages if page.number == place.page)
        names = [one.box[0] for at, one in evidence.items() if at[-1] == "name" and one.page == place.page]
        for away, flag in _flags(page, interpret(row), place, own):
            if any(place.box[2] < left <= flag.box[0] for left in names):
                continue  # behind a name of the next column of results
            word = flag.page, flag.box
            if word not in near or away < near[word][0]:
                near[word] = away, path, flag  # a flag between two results is of the nearer one
    found: dict[Path, tuple[bool, float, PageEvidence]] = {}
    for away, path, flag in near.values():
        at, unsure = (*path[:-1], "flag"), not _SURE.fullmatch(flag.text)
        if at not in found or (unsure, away) < found[at][:2]:
            found[at] = unsure, away, flag
    return {at: flag for at, (_, _, flag) in found.items()}


def _flags(
    page: Page, means: str | None, result: PageEvidence, own: Sequence[PageEvidence]
) -> Iterator[tuple[float, PageEvidence]]:
    """What may be the flag of a result that its range says to be `means`, with its distance in points."""
    boxes = [one.box for one in own if one.page == result.page]
    for text, box, score in _rests(page, result.box, boxes):
        away = max(result.box[0] - box[2], box[0] - result.box[2], 0.0)
        if _is_flag(text, away, means) or (_SIGN.fullmatch(text) and means is None and _in_column(page, text, box)):
            yield away, PageEvidence(text, score, page=page.number, box=box)


def _in_column(page: Page, text: str, box: Box) -> bool:
    """Whether signs stand above or below a box: a column of flags."""
    others = [word for word in page.words if _SIGN.fullmatch(word.text.translate(PLAIN)) and word.box != box]
    return any(abs(word.box[0] - box[0]) < 2 for word in others)


def _level(box: Box, other: Box) -> bool:
    """Whether two boxes stand on one line."""
    return min(box[3], other[3]) - max(box[1], other[1]) > 0.5 * min(box[3] - box[1], other[3] - other[1])


def _rests(page: Page, result: Box, own: Sequence[Box]) -> Iterator[tuple[str, Box, float]]:
    """Words of a result's line that are of none of the row's values, but for a range's dash; of a word that holds the
    result, what is left of it.
    """
    line = sorted((word for word in page.words if _level(word.box, result)), key=lambda word: word.box[0])
    for number, word in enumerate(line):
        x0, y0, x1, y1 = word.box
        covered = [box for box in own if _covers(box, word.box)]
        text = word.text.translate(PLAIN)
        if not covered:
            near = [
                one for one in line[max(0, number - 1) : number + 2] if one is not word and _gap(one, word) < _BLANK
            ]
            numbers = [one for one in near if one.text[:1].isdigit()]
            # A dash between two numbers is a range's; a mark right behind a number that is none of the row's is its.
            other = [one for one in numbers if one.box[2] <= x0 and not any(_covers(box, one.box) for box in own)]
            if not ((text == "-" and len(numbers) == 2) or other):
                yield text, word.box, word.score
        elif all(box == result and box[2] - box[0] < 0.97 * (x1 - x0) for box in covered):
            step = (x1 - x0) / max(len(text), 1)
            before, behind = round((result[0] - x0) / step), round((x1 - result[2]) / step)
            if before > 0:
                yield text[:before], (x0, y0, x0 + before * step, y1), word.score
            if behind > 0:
                yield text[-behind:], (x1 - behind * step, y0, x1, y1), word.score


def _covers(box: Box, word: Box) -> bool:
    return _level(box, word) and min(box[2], word[2]) - max(box[0], word[0]) > 0.5


def _gap(one: Word, other: Word) -> float:
    return max(one.box[0] - other.box[2], other.box[0] - one.box[2])


def _is_flag(text: str, away: float, means: str | None) -> bool:
    """Whether a word so far from a result is its flag."""
    if _SURE.fullmatch(text):
        letters = text.strip("[]()!*")
        return not (len(letters) <= 2 and letters.islower())
    if text in _SAYS:
        return means in _SAYS[text]
    if away > _NEAR:
        return bool(_SIGN.fullmatch(text)) and means not in (None, "normal")
    return bool(_UNSURE.fullmatch(text)) and means != "normal"
