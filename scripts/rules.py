"""The rival that needs no model: one regular expression over the lines of a page, as anyone would write in an hour."""

from __future__ import annotations

import re
from typing import Any

from extraction.document import Document, Lines

_NUMBER = r"[<>≤≥]?=?\s?\d+(?:[.,]\d+)?"
_ROW = re.compile(
    rf"""^\s*(?P<name>[^\W\d_][^:|]*?)\s*(?::|\s{{2,}})\s*
    (?:[-+*↑↓HL!]{{1,2}}\s+)?
    (?P<result>{_NUMBER}|\d?\+{{1,3}}|(?i:neg\w*|pos\w*|absent|trace\w*))
    (?:\s*[*HL↑↓!]{{1,2}}(?=\s))?
    (?:\s+(?P<unit>(?![<>≤≥\d(\[-])\S*[^\W\d_%‰]\S*|%|‰|10\S*/\S+))?
    (?:\s+(?P<range>[(\[]?(?:{_NUMBER}\s*[-–]\s*{_NUMBER}|[<>≤≥]=?\s*\d\S*)[)\]]?))?
    \s*(?:\S.*)?$""",
    re.VERBOSE,
)
# Heads of reports have numbers too.
_NOT_A_TEST = re.compile(r"(?i)\b(tel|fax|date|datum|page|pagina|pag|born|geb|geslacht|sex|age|leeftijd|nr|ref|id)\b")


def read_by_rules(document: Document) -> dict[str, Any]:
    """A record in the lab report's shape: a row for each line that the expression matches."""
    tests = []
    for _, line in Lines(document).lines:
        match = _ROW.match(line.text)
        if match and not _NOT_A_TEST.search(match["name"]) and (match["unit"] or match["range"]):
            tests.append(match.groupdict())
    return {"tests": tests}
