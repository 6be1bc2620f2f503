"""The reports that a file holds, one after the other: where another patient's begins, or the pages count anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise
from unicodedata import category
from unicodedata import name as unicode_name

from extraction.document import Document, Page
from extraction.document.rows import gather_rows
from recipes.lab_report.lines import cells_of, is_patient, rows_like_results

_COUNT = re.compile(
    r"(?:page|p\.|pag(?:ina)?\.?|p[áa]gina|p[áa]g\.|seite|blad|sida|str(?:ona|ana|\.)?|стр(?:аница|\.)?|сторінка|sayfa"
    r"|σελ(?:ίδα|\.)?|صفحة|עמוד|ページ)?[ :]*(?P<page>\d{1,3}) ?(?:/|of|de|van|von|sur|di|из|от|od|z|av|من|מתוך) ?"
    r"(?P<of>\d{1,3})|第? ?(?P<page_cn>\d{1,3}) ?页[ /,，]*共 ?(?P<of_cn>\d{1,3}) ?页",
    re.IGNORECASE,
)
"""A page's number of how many, in the commonest words."""
_EDGE = 0.15  # of a page's height, at its top and its bottom: where its number stands
_NUMBER = re.compile(
    r"(?:sample|specimen|accession|lab(?:oratory)?|report|order|request|requisition|case|auftrags?|proben?|labor|tages"
    r"|befund|staal|monster|aanvraag|muestra|petici[óo]n|solicitud|campione|richiesta|demande|dossier|[ée]chantillon"
    r"|zlecenia|badania|заказа|заявки|пробы|标本|样本|条码|検体|受付|依頼)"
    r"[ -]?(?:id|no\.?|nr\.?|number|num(?:mer|[ée]ro)?\.?|n[°ºr]\.?|#|号|番号)?",
    re.IGNORECASE,
)
"""Labels of what a laboratory counts a report by."""
_ID = re.compile(r".*(?:\bid|no\.?|nr\.?|num|#|n[°ºr]|号|番号)\W*", re.IGNORECASE)
_BARE = re.compile(r"(?:lab(?:oratory|or)?|report|case|befund|dossier)", re.IGNORECASE)
"""Labels that need a word for a number beside them: a laboratory's own licence is the same on all of its reports."""
_NAME = re.compile(r"(?:(?:pt|patient)\W*s?\W*)?(?:full )?name(?:, vorname)?", re.IGNORECASE)
_TITLE = re.compile(r"(?:mr|mrs|ms|miss|master|baby|prof|herrn?|frau|mme|mlle|m|mevr|mw|dhr|sr|sra|srta|sig)")
_DOCTOR = re.compile(r"(?:dr|prof|doctor|doktor|docteur|arzt|arts)\b", re.IGNORECASE)
_ALIKE = 0.8  # of two words: more is the same one, read twice


@dataclass(frozen=True)
class _Said:
    """What a page says of its report: its number of how many, names of patients, numbers of the report."""

    count: tuple[int, int] | None
    patients: frozenset[str]
    numbers: frozenset[str]
    has_results: bool


def reports(document: Document) -> list[Document]:
    """A file's reports as documents of their own, by whole pages; the file itself where it is one.

    A report begins where a page names another patient, or where the numbers of pages begin anew after the last, or
    after pages without one; never where those or a number of the report go on. Pages without any result, such as a
    letter before it or an invoice behind it, stay with the report beside them that is not of another patient.
    """
    if len(document.pages) < 2:
        return [document]
    results = {line.page for line in rows_like_results(document)}
    said = [_said(page, page.number in results) for page in document.pages]
    parts: list[list[int]] = [[0]]
    for before, number in pairwise(range(len(said))):
        known = _joined(said[n] for n in parts[-1])
        if _begins(said[before], said[number], known):
            parts.append([])
        parts[-1].append(number)
    parts = _with_results(parts, said)
    return [replace(document, pages=[document.pages[n] for n in part]) for part in parts]


def _begins(before: _Said, page: _Said, known: _Said) -> bool:
    """Whether a page begins another report than `known`, whose last page is `before`."""
    if before.count and page.count and page.count == (before.count[0] + 1, before.count[1]):
        return False
    if known.numbers & page.numbers:
        return False
    if _others(known.patients, page.patients):
        return True
    ended = before.count is None or before.count[0] == before.count[1]
    anew = page.count and page.count[0] == 1 and ended
    return bool(anew)


def _others(known: frozenset[str], named: frozenset[str]) -> bool:
    """Whether both name patients, and none is the same."""
    return bool(known and named) and not any(_same(one, other) for one in known for other in named)


def _same(one: str, other: str) -> bool:
    """Whether two names can be one person's, in whatever order, with initials for words, or letters misread.

    At least one word is the same, and of what else both have, each word of the shorter one is a word of the other or
    its initial. Names in two scripts cannot be told apart.
    """
    own, others = (
        [word for word in re.findall(r"\w+", name.casefold()) if not _TITLE.fullmatch(word)] for name in (one, other)
    )
    if not _scripts(one) & _scripts(other):
        return True
    shorter, longer = sorted((own, others), key=len)
    left, same = list(longer), 0
    for word in sorted(shorter, key=len, reverse=True):
        whole = next((one for one in left if len(word) > 1 and _alike(word, one)), None)
        found = whole or next((one for one in left if 1 in (len(word), len(one)) and word[0] == one[0]), None)
        if found is None:
            return False
        left.remove(found)
        same += whole is not None
    return same > 0


def _scripts(text: str) -> set[str]:
    """The scripts of a text's letters, by the first word of what Unicode calls them ("LATIN", "CYRILLIC")."""
    return {unicode_name(char, "").partition(" ")[0] for char in text if char.isalpha()}


def _alike(word: str, other: str) -> bool:
    return word == other or (len(word) > 4 and SequenceMatcher(None, word, other).ratio() > _ALIKE)


def _with_results(parts: list[list[int]], said: list[_Said]) -> list[list[int]]:
    """Parts without any result put to the next or the last before, unless that is of another patient or number."""
    whole: list[list[int]] = []
    for part in parts:
        mine = _joined(said[n] for n in part)
        if whole and not _apart(_joined(said[n] for n in whole[-1]), mine):
            whole[-1] += part
        else:
            whole.append(list(part))
    return whole


def _apart(last: _Said, mine: _Said) -> bool:
    """Whether two parts are two reports: both have results, or they are of other patients or have other numbers."""
    numbered = bool(last.numbers and mine.numbers) and not last.numbers & mine.numbers
    return numbered or (last.has_results and mine.has_results) or _others(last.patients, mine.patients)


def _joined(pages: Iterable[_Said]) -> _Said:
    every = list(pages)
    return _Said(
        None,
        frozenset().union(*(page.patients for page in every)),
        frozenset().union(*(page.numbers for page in every)),
        any(page.has_results for page in every),
    )


def _said(page: Page, has_results: bool) -> _Said:
    count, patients, numbers = None, set(), set()
    for row in gather_rows(page.words) if page.words else ():
        cells = list(cells_of(page, row))
        for cell, after in zip(cells, [*cells[1:], None], strict=True):
            match = _COUNT.fullmatch(cell.text)
            if match and not _EDGE * page.height < row.middle < (1 - _EDGE) * page.height:
                count = int(match["page"] or match["page_cn"]), int(match["of"] or match["of_cn"])
            label, colon, text = (part.strip() for part in cell.text.partition(":"))
            text = text or (after.text if after and ":" not in after.text else "")
            if colon and (is_patient(label) or _NAME.fullmatch(label)) and (name := _name(text)):
                patients.add(name)
            numbered = _NUMBER.fullmatch(label) and (_ID.fullmatch(label) or not _BARE.fullmatch(label))
            if colon and numbered and any(map(str.isdigit, text)):
                numbers.add(text)
    return _Said(count, frozenset(patients), frozenset(numbers), has_results)


def _name(text: str) -> str:
    """The name with which a text begins; empty where it is none: a doctor's, or words in small letters."""
    name = re.split(r"\d|\(|(?:^|\s)\S+:|\s[*°]", text)[0].strip(" ,;-")
    words = re.findall(r"\w+", name)
    written = any(word[0].isupper() or category(word[0]) == "Lo" for word in words)
    return name if words and written and not _DOCTOR.match(name) and len("".join(words)) > 1 else ""
