"""Dates that a model wrote in its own form, read again from what the page prints.

`03/04/2021` is the third of April on one page and the fourth of March on another, and `3:58 PM` is 15:58: a model that
writes `03-04-2021 03:58` is often wrong there and always sure. The page's other dates tell in which order it writes
them; the printed text tells the hour.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from extraction.contract import Contract
from extraction.document import Document
from extraction.document.layout import layout_lines
from extraction.evidence import PageEvidence
from extraction.record.record import Issue
from extraction.record.reply import plain, tree_of, values_of
from extraction.schema import nodes, pointer
from extraction.values.dates import DateOrder, Day, Moment, moment, moments

Path = tuple[str | int, ...]

_WRITTEN = re.compile(
    r"(?:\d\d(?P<mark>[-/.])\d\d(?P=mark)\d{4}|\d{4}-\d\d-\d\d)"
    r"(?:(?P<gap>[ T])\d\d:\d\d(?P<seconds>:\d\d)?(?P<zone>Z|[+-]\d\d:\d\d)?)?"
)
"""A date as models are asked to write it: day, month, year, or year, month, day (ISO 8601), and a time of day."""


_ENGLISH = frozenset(
    "the and with by from this your these our which result results value values units range reference collected"
    " received reported printed ordered issued signed physician doctor report male female birth years invoice"
    " amount number please".split()
)
"""Words of which an English document has one or another."""
_MANY = 25  # words of letters, by which a language can be told


def date_order(document: Document) -> DateOrder | None:
    """The one order in which all numeric dates of a document are dates; None where two orders do, or none does.

    A year of two digits stands first only where nothing else makes a date. The month stands first in English alone, so
    that a document with many words and none of the commonest English ones puts the day first.
    """
    orders: set[DateOrder] = {"DMY", "MDY"}
    for page in document.pages:
        for line in layout_lines(page):
            for found in moments(line.text):
                if found.readings.keys() == {"YMD"}:
                    return "YMD"
                orders &= _readings(found, line.text).keys()
    if len(orders) > 1 and not _may_be_english(document):
        return "DMY"
    return orders.pop() if len(orders) == 1 else None


def _may_be_english(document: Document) -> bool:
    words = [word.text.strip(".,:;()").casefold() for page in document.pages for word in page.words]
    words = [word for word in words if len(word) > 1 and word.isalpha()]
    return len(words) < _MANY or not _ENGLISH.isdisjoint(words)


def as_printed(tree: dict[str, Any], document: Document, contract: Contract) -> tuple[dict[str, Any], list[Issue]]:
    """A tree whose dates are those that are printed where they stand, and an issue for each that can be two days.

    Of fields with the role `time` or the format of a date, and of those only what the model wrote in another form than
    the page.
    """
    values, order = dict(values_of(tree)), None
    dates = {path: value for path, value in values.items() if _is_date(path, contract)}
    if dates:
        order = date_order(document)
    unsure: dict[str, list[Path]] = {}
    for path, value in dates.items():
        if not isinstance(value.evidence, PageEvidence):
            continue
        written, text = str(value.value), value.evidence.text
        form, printed = _WRITTEN.fullmatch(written), moments(text)
        if not form or len(printed) != 1 or written == text:
            continue
        readings = _readings(printed[0], text)
        days = {day for own, day in readings.items() if own != "YMD" or order == own}
        if len(days) > 1 and order not in readings:
            unsure.setdefault(written, []).append(path)
        else:
            day = readings[order] if order in readings else min(days or readings.values())
            values[path] = replace(value, value=_write(form, day, printed[0]))
    issues = []
    for text, paths in unsure.items():
        rows = f" (in {len(paths)} rows)" if len(paths) > 1 else ""
        message = f"“{text}” may be another day: day and month of the printed date can be read in two orders, and no"
        issues.append(Issue("ambiguous", f"{message} other date of the document tells{rows}.", pointer(paths[0])))
    return tree_of(plain(tree), values), issues


def _is_date(path: Path, contract: Contract) -> bool:
    if path[-1] in contract.fields("time"):
        return True
    node = nodes(contract.record_schema, path)[-1]
    return any(part.get("format") in ("date", "date-time") for part in (node, *node.get("anyOf", ())))


def _readings(found: Moment, text: str) -> dict[DateOrder, Day]:
    """What a date in a text can mean; with dots the day stands first in every country that writes so."""
    dotted = "DMY" in found.readings and re.match(r"\d\d?\.", text[found.start :])
    return {"DMY": found.readings["DMY"]} if dotted else found.readings


def _write(form: re.Match[str], day: Day, printed: Moment) -> str:
    """A printed moment in the form of a written one: `day`, its century and what is not printed of it as written."""
    text = form.string
    when = moment(text)
    if when and printed.short and (when.day[0] - day[0]) % 100 == 0:
        day = when.day[0], *day[1:]
    year, month, number = (f"{part:02}" for part in day)
    date = f"{form['mark']}".join((number, month, year)) if form["mark"] else f"{year}-{month}-{number}"
    if not form["gap"] or not printed.clock:
        return date + text[10:]
    hour, minute, second = printed.clock
    seconds = f":{second:02}" if form["seconds"] else ""
    return f"{date}{form['gap']}{hour:02}:{minute:02}{seconds}{form['zone'] or ''}"
