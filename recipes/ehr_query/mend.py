"""A query whose name no table knows, put right by code: words that are none of the name, the section that it is of.

A small model that copies a name from a question takes a word too many ("trop peak"), or takes a drug for a value. That
something was changed is told beside the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar, get_args

from recipes.ehr_qa.classes import is_known
from recipes.ehr_qa.nothing import not_own
from recipes.ehr_qa.query import Kind, Query, Step

_Part = TypeVar("_Part", Query, Step)
_SECTIONS = tuple(kind for kind in get_args(Kind) if kind not in ("patient", "text"))


def mended(query: Query) -> Query:
    """The query with names that a table knows, where code can tell them; itself where there is nothing to mend."""
    times = tuple(time.model_copy(update={"step": _mended(time.step)}) if time.step else time for time in query.times)
    return _mended(query).model_copy(update={"times": times})


def _mended(part: _Part) -> _Part:
    """In its own section a part of the name, else in the one other section that knows the name or a part of it."""
    if not part.which or part.what not in _SECTIONS or not_own(part.which) or is_known(part.which, part.what):
        return part
    for name in _pieces(part.which):
        if is_known(name, part.what):
            return part.model_copy(update={"which": name})
        others = [kind for kind in _SECTIONS if is_known(name, kind)]
        if len(others) == 1:
            return part.model_copy(update={"which": name, "what": others[0]})
    return part


def _pieces(name: str) -> Iterator[str]:
    """The name and its pieces of fewer words, the longest first; none that is a number or two letters alone."""
    found = list(re.finditer(r"[^\s,;:()]+", name))
    for length in range(len(found), 0, -1):
        for first in range(len(found) - length + 1):
            piece = name[found[first].start() : found[first + length - 1].end()].strip(".,;:?!")
            if sum(map(str.isalpha, piece)) > 2:
                yield piece
