"""From replies to a record: join, validate, ask whether every value stands where it should, run the checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from extraction.contract import Contract
from extraction.document import Document, Lines, Page, Window
from extraction.evidence import PageEvidence, PageIndex
from extraction.example import Branch, Context
from extraction.record.added import with_added
from extraction.record.aside import doubtful_rows, set_aside_rows, set_aside_values
from extraction.record.bare import made_up, no_row
from extraction.record.days import as_printed
from extraction.record.join import drop_repeated, join
from extraction.record.record import REVIEW_BELOW, Field, Issue, Record, SetAside
from extraction.record.reply import Reply, Value, WindowReply, places_of, plain, tree_of, values_of
from extraction.schema import Schema, is_choice, pointer, validator
from extraction.target import Leaf, ordered

Path = tuple[str | int, ...]

_UNIT_BELOW = 0.5  # OCR's certainty: of four right scans each has a unit between this and 0.9

_CUT = {
    "length": "reached its length limit",
    "loop": "repeated itself without end and was stopped",
    "grammar": "ended where the schema asks more of the grammar engine than it can do",
    "broken": "is not whole JSON",
}


def build_record(document: Document, replies: Sequence[WindowReply], contract: Contract) -> Record:
    """A record from the replies to a document's windows, in the order of the windows.

    What was cut, read in two ways, does not follow the schema, or is not on the page becomes an issue, and any issue
    makes the record `partial`.
    """
    source = document.path.name
    refused = next((reply for reply in replies if reply.end == "refused"), None)
    if refused:
        return Record.failed(source, "refused", refused.message)
    issues = [issue for page in document.pages if (issue := _page_issue(page, contract.view))]
    issues += _cuts(replies)
    views = [page.view if contract.view == "text" else contract.view for page in document.pages]
    reasons = [page.reason for page in document.pages]
    if not any(reply.tree for reply in replies):
        empty = issues or [Issue("empty", "The model gave no record.")]
        return Record(source, "failed", None, empty, views=views, reasons=reasons)
    grounded = document.has_text or contract.view == "text"
    tree, doubts = _joined(replies, contract)
    tree, cut = _whole_names(tree, contract)
    tree, two_days = as_printed(tree, document, contract)
    rows = set_aside_rows(tree, contract, [*_checked(tree, document, contract), *cut], grounded)
    rows, added = with_added(rows, document, contract) if grounded else (rows, [])
    rows = replace(rows, tree=_without_refuted(rows.tree, document, contract))
    whole, replaced = _filled(rows.tree, document, contract)
    values = set_aside_values(whole, contract, _checked(whole, document, contract), grounded)
    record = _record(source, values.tree, contract, contract.record_schema, grounded)
    record.views, record.reasons, record.document = views, reasons, document
    record.fields = {path: _displayed(field, document) for path, field in record.fields.items()}
    unshown = contract.rules.unshown(document) if contract.view == "text" else ()
    record.set_aside = [_displayed(one, document) for one in (*rows.aside, *replaced, *values.aside, *unshown)]
    record.derived = contract.rules.derived(plain(values.tree))
    evidence = {**places_of(values.tree), **rows.places}
    harmless = made_up(values.aside, document, evidence, contract) if grounded else []
    told = [value for value in values.aside if value not in harmless]
    pairs = list(zip(rows.aside, rows.cells, strict=True))
    none_at_all = no_row(pairs, document, places_of(values.tree), contract) if grounded else []
    lost = [row for row in rows.aside if row not in none_at_all]
    issues += [
        *map(rows.moves, [*doubts, *two_days]),
        *_set_aside(lost, told, contract, grounded),
        *added,
        *record.issues,
    ]
    issues += _checked(values.tree, document, contract)
    issues += _misread(values.tree, contract)
    issues += doubtful_rows(values.tree, contract, contract.rules.plain_rows(document))
    for line in contract.rules.missed(document, record.data, evidence, contract):
        message = f"This line looks like a {contract.rules.row} and is in no row: {line.text}"
        issues.append(Issue("row_left_out", message, page=line.page))
    record.issues = issues
    record.status = "partial" if record.issues else "ok"
    return record


def _joined(replies: Sequence[WindowReply], contract: Contract) -> tuple[dict[str, Any], list[Issue]]:
    """One tree from the replies to all windows: those of one sheet joined, and the rows of the next behind them."""
    sheets: dict[Lines, list[WindowReply]] = {}
    for reply in replies:
        sheets.setdefault(reply.window.lines, []).append(reply)
    tree: dict[str, Any] = {}
    issues: list[Issue] = []
    for lines, own in sheets.items():
        if not any(reply.tree for reply in own):
            continue
        part, doubts = join(own, contract)
        doubts += drop_repeated(part, contract, lines)
        if len(own) > 1:
            part = _found_in_all(part, lines, contract)
        before = {key: len(value) for key, value in tree.items() if isinstance(value, list)}
        issues += [replace(issue, path=_behind(issue.path, before)) for issue in doubts]
        for key, value in part.items():
            tree[key] = [*tree[key], *value] if key in before and isinstance(value, list) else tree.get(key) or value
    return tree, issues


def _behind(path: str | None, before: Mapping[str, int]) -> str | None:
    """A JSON pointer to an item of a list, where so many others come before it."""
    _, key, number, *rest = [*(path or "").split("/"), "", ""][: max(3, (path or "").count("/") + 1)]
    return "/".join(["", key, str(int(number) + before[key]), *rest]) if key in before and number else path


def _found_in_all(tree: dict[str, Any], lines: Lines, contract: Contract) -> dict[str, Any]:
    """A tree whose values that stand nowhere in their window are looked for in the whole document.

    A window may end within a row, where nothing tells any more which of its values are the row's.
    """
    values = dict(values_of(tree))
    if all(value.evidence for value in values.values()):
        return tree
    leaves = [Leaf(path, value.value, 0, 0) for path, value in values.items()]
    found = PageIndex(Window(lines, 0, len(lines))).ground(leaves, contract)
    placed = {
        path: value if value.evidence else replace(value, evidence=found.get(path)) for path, value in values.items()
    }
    return tree_of(plain(tree), placed)


def _whole_names(tree: dict[str, Any], contract: Contract) -> tuple[dict[str, Any], list[Issue]]:
    """A tree with names that were cut as their cells print them, and an issue for each of which that cannot be told."""
    values, cut = dict(values_of(tree)), []
    names = contract.fields("name")
    for path, value in values.items():
        place = value.evidence
        if path[-1] not in names or not isinstance(place, PageEvidence):
            continue
        if " > " in str(value.value) and " > " not in place.text:
            # The model put the heading before it.
            values[path] = value = replace(value, value=str(value.value).rpartition(" > ")[2])
        if re.fullmatch(re.escape(str(value.value)) + r"[\d+-]+", place.text):
            values[path] = value = replace(value, value=place.text)  # an ion's charge
        if not place.rest:
            continue
        whole = contract.rules.whole_name(str(value.value), place.rest)
        if whole is None:
            message = f"its name “{value.value}” is only a part of what is printed, “{place.rest.text}”"
            cut.append(Issue("misplaced", message, pointer(path)))
        elif whole != value.value:
            printed = replace(place, text=place.rest.text, box=place.rest.box, rest=None)
            values[path] = replace(value, value=whole, evidence=printed)
    return tree_of(plain(tree), values), cut


def _without_refuted(tree: dict[str, Any], document: Document, contract: Contract) -> dict[str, Any]:
    """A tree without the values that the task says are plainly something else."""
    none = contract.rules.refuted(document, plain(tree), places_of(tree))
    return tree_of(plain(tree), {path: value for path, value in values_of(tree) if path not in none})


def _filled(tree: dict[str, Any], document: Document, contract: Contract) -> tuple[dict[str, Any], list[SetAside]]:
    """A tree with what the task reads by itself, and null for what of it is not printed; what gave way to it.

    What the model read and what is printed stays.
    """
    if not contract.filled:
        return tree, []
    places, replaced = places_of(tree), list[SetAside]()
    for path, (text, place) in contract.rules.filled(document, plain(tree), places).items():
        node: Any = tree
        for step in path[:-1]:
            node = node[step]
        old = node.get(path[-1])
        if path[-1] in contract.filled or (path[-1] in node and path not in places):
            node[path[-1]] = Value(text, place.score, place)
            if isinstance(old, Value) and path[-1] not in contract.filled:
                reason = f"“{old.value}” does not stand on the page where it should, and “{text}” does"
                replaced.append(SetAside(pointer(path), old.value, reason))
    full: dict[str, Any] = ordered(tree, contract.record_schema, contract.record_schema)
    return full, replaced


def _checked(tree: dict[str, Any], document: Document, contract: Contract) -> list[Issue]:
    """What the task's checks say of a tree."""
    return list(contract.rules.issues(document, plain(tree), places_of(tree), contract))


def _misread(tree: dict[str, Any], contract: Contract) -> Iterator[Issue]:
    """An issue for each page with names, values or units that OCR itself is less sure of than a person should let pass.

    Of a letter that lost its accent nothing else tells. A unit is one of few words, so a misread one is seldom another.
    Text layers are sure.
    """
    doubtful: dict[int, list[tuple[float, str, Path]]] = {}
    for path, value in values_of(tree):
        place = value.evidence
        role = contract.roles.get(_name(path))
        least = {"name": REVIEW_BELOW, "value": REVIEW_BELOW, "unit": _UNIT_BELOW}.get(role or "", 0.0)
        if isinstance(place, PageEvidence) and place.score < least:
            doubtful.setdefault(place.page, []).append((place.score, place.text, path))
    for page, found in sorted(doubtful.items()):
        score, text, path = min(found, key=lambda one: one[0])
        count = f"{len(found)} values were" if len(found) > 1 else "A value was"
        which = "the least sure is" if len(found) > 1 else "it is"
        sure = f"{int(100 * score) / 100:.2f}"  # never as much as what it is less than
        message = f"{count} read by OCR with little certainty; {which} “{text}” ({sure}): compare with the page."
        yield Issue("ocr", message, pointer(path), page)


def _set_aside(
    rows: Sequence[SetAside], values: Sequence[SetAside], contract: Contract, grounded: bool
) -> Iterator[Issue]:
    """An issue for each row that was set aside and for each value; one for all that a heading gave to many rows."""
    for row in rows:
        name = next((row.data[key] for key in contract.fields("name") if row.data.get(key) is not None), None)
        said = f"A row, “{name}”," if name is not None else "A row"
        yield Issue("set_aside", f"{said} was set aside: {row.reason}.", row.path, _page(row))
    alike: dict[Any, list[SetAside]] = {}
    for value in values:
        key = value.path.rpartition("/")[2]
        shared = key in contract.headings
        alike.setdefault((key, value.data, value.reason) if shared else value.path, []).append(value)
    for group in alike.values():
        many = f" (in {len(group)} rows)" if len(group) > 1 else ""
        code = "not_found" if grounded and not group[0].evidence else "misplaced"
        yield Issue(code, f"{group[0].reason}{many}.", group[0].path, _page(group[0]))


def _page(one: SetAside) -> int | None:
    return one.evidence.page if one.evidence else None


def build_answer(context: Context, branch: Branch, reply: Reply, contract: Contract) -> Record:
    """The record of an answer to one question on a context."""
    if reply.end == "refused":
        return Record.failed(context.name, "refused", reply.message)
    cut = [] if reply.end == "stop" else [Issue("cut", f"The answer {_CUT[reply.end]}; what was whole before is kept.")]
    if reply.tree is None:
        return Record(context.name, "failed", None, [Issue("empty", "The model gave no answer."), *cut])
    schema = branch.schema or contract.record_schema
    record = _record(context.name, reply.tree, contract, schema, context.index is not None)
    record.issues = cut + record.issues
    record.status = "partial" if record.issues else "ok"
    return record


def _record(source: str, tree: dict[str, Any], contract: Contract, schema: Schema, grounded: bool) -> Record:
    """Data, fields, and the issues of schema and evidence; `grounded` says whether there was anything to point at."""
    data, issues = plain(tree), []
    for error in sorted(validator(schema).iter_errors(data), key=lambda e: pointer(e.absolute_path)):
        issues.append(Issue("invalid", error.message[:200], pointer(error.absolute_path) or "/"))
    values = dict(values_of(tree))
    fields = {
        pointer(path): Field(
            value.value, pointer(path), value.confidence, value.evidence, contract.roles.get(_name(path))
        )
        for path, value in values.items()
    }
    if grounded:
        issues += _not_found(values, contract, schema)
    return Record(source, "ok", data, issues, fields)


Placed = TypeVar("Placed", Field, SetAside)


def _displayed(found: Placed, document: Document) -> Placed:
    """What has a place, that place on the page as displayed, where the page was turned or straightened to be read."""
    place = found.evidence
    if not isinstance(place, PageEvidence):
        return found
    frame = next((page.frame for page in document.pages if page.number == place.page), None)
    return replace(found, evidence=replace(place, box=frame.displayed(place.box))) if frame else found


def _cuts(replies: Sequence[WindowReply]) -> Iterator[Issue]:
    """An issue for every answer that is not whole, unless only its length ended it and another went on below it."""
    for reply in replies:
        goes_on = reply.in_list and any(
            reply.window.start < other.window.start <= reply.stop <= other.window.stop
            for other in replies
            if not other.look
        )
        if reply.end == "stop" or (reply.end == "length" and goes_on):
            continue
        lines = reply.window.lines.lines
        place = f"after the line “{lines[reply.stop - 1][1].text.strip()}”" if reply.stop > reply.window.start else ""
        page = lines[max(reply.window.start, reply.stop - 1)][0].number if lines else None
        then = "reading went on below it" if goes_on else "what was whole before is kept"
        yield Issue("cut", f"The answer {_CUT[reply.end]} {place}".strip() + f"; {then}.", page=page)


def _page_issue(page: Page, view: str) -> Issue | None:
    """What is doubtful about a page's words as a whole; a page that OCR found blank is in order."""
    if view != "text" and not page.words and (page.issue or page.view != "ocr"):
        message = "The page was read from its pixels alone: it has no words that the values could be compared with."
        return Issue("unchecked", message, "/", page.number)
    if page.issue:
        code = "unread" if not page.words else "ocr" if page.view == "ocr" else "text_layer"
        return Issue(code, page.issue, page=page.number)
    if not page.words and page.view != "ocr":
        return Issue("unread", "The page has no text layer; nothing was read from it.", page=page.number)
    return None


def _name(path: Path) -> str:
    """The field that a path leads to."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _not_found(values: dict[Path, Value], contract: Contract, schema: Schema) -> list[Issue]:
    """An issue for every value that is copied from its context (no choice, no words of the model's own) and is not
    found there.

    A value that a heading gives to many rows is one issue, at the first of them.
    """
    paths: dict[Any, list[Path]] = {}
    of_lines = bool(contract.fields("line"))
    own_words = contract.fields("choice", "text")
    for path, value in values.items():
        if value.evidence or isinstance(value.value, bool) or _name(path) in own_words or is_choice(schema, path):
            continue
        shared = path[-1] in contract.carry
        paths.setdefault((path[-1], value.value) if shared else path, []).append(path)
    issues = []
    for own in paths.values():
        rows = f" (in {len(own)} rows)" if len(own) > 1 else ""
        where = "in the lines that it cites" if of_lines else "on the page where it should"
        message = f"“{values[own[0]].value}” does not stand {where}{rows}."
        issues.append(Issue("not_found", message, pointer(own[0])))
    return issues
