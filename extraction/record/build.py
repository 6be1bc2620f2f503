"""From replies to a record: join, validate, ask whether every value stands where it should, run the checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from extraction.contract import Contract
from extraction.document import Document, Page
from extraction.evidence import PageEvidence
from extraction.example import Branch, Context
from extraction.record.join import drop_repeated, join
from extraction.record.record import Field, Issue, Record
from extraction.record.reply import Reply, Value, WindowReply, plain
from extraction.schema import Schema, pointer, resolve, validator

Path = tuple[str | int, ...]

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
    tree, doubts = join(replies, contract)
    issues += doubts + drop_repeated(tree, contract)
    record = _record(source, tree, contract, contract.record_schema, document.has_text or contract.view == "text")
    record.views, record.reasons, record.document = views, reasons, document
    record.fields = {path: _displayed(field, document) for path, field in record.fields.items()}
    evidence = {path: value.evidence for path, value in _values(tree, ()) if isinstance(value.evidence, PageEvidence)}
    more = list(contract.rules.issues(document, record.data or {}, evidence, contract))
    for line in contract.rules.missed(document, record.data, list(evidence.values()), contract):
        message = f"This line looks like a {contract.rules.row} and is in no row: {line.text}"
        more.append(Issue("row_left_out", message, page=line.page))
    record.issues = [*issues, *record.issues, *more]
    record.status = "partial" if record.issues else "ok"
    return record


def build_answer(context: Context, branch: Branch, reply: Reply, contract: Contract) -> Record:
    """The record of an answer to one question on a context."""
    if reply.end == "refused":
        return Record.failed(context.name, "refused", reply.message)
    cut = [] if reply.end == "stop" else [Issue("cut", f"The answer {_CUT[reply.end]}; what was whole before is kept.")]
    if reply.tree is None:
        return Record(context.name, "failed", None, cut or [Issue("empty", "The model gave no answer.")])
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
    values = dict(_values(tree, ()))
    fields = {
        pointer(path): Field(
            value.value, pointer(path), value.confidence, value.evidence, contract.roles.get(_name(path))
        )
        for path, value in values.items()
    }
    if grounded:
        issues += _not_found(values, contract, schema)
    return Record(source, "ok", data, issues, fields)


def _displayed(field: Field, document: Document) -> Field:
    """A field whose place is that on the page as displayed, where the page was turned or straightened to be read."""
    place = field.evidence
    if not isinstance(place, PageEvidence):
        return field
    frame = next((page.frame for page in document.pages if page.number == place.page), None)
    return replace(field, evidence=replace(place, box=frame.displayed(place.box))) if frame else field


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


def _values(tree: Any, path: Path) -> Iterator[tuple[Path, Value]]:
    """Every value of a tree that is not null, with its path."""
    if isinstance(tree, Value):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _values(value, (*path, key))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _values(item, (*path, index))


def _name(path: Path) -> str:
    """The field that a path leads to."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _not_found(values: dict[Path, Value], contract: Contract, schema: Schema) -> list[Issue]:
    """An issue for every value that is copied from its context (no choice, no words of the model's own) and is not
    found there.

    A value that a heading gives to many rows is one issue, at the first of them.
    """
    paths: dict[Any, list[Path]] = {}
    own_words = contract.fields("choice", "text")
    for path, value in values.items():
        if value.evidence or isinstance(value.value, bool) or _name(path) in own_words or _is_choice(schema, path):
            continue
        shared = path[-1] in contract.carry
        paths.setdefault((path[-1], value.value) if shared else path, []).append(path)
    issues = []
    for own in paths.values():
        rows = f" (in {len(own)} rows)" if len(own) > 1 else ""
        message = f"“{values[own[0]].value}” does not stand on the page where it should{rows}."
        issues.append(Issue("not_found", message, pointer(own[0])))
    return issues


def _is_choice(schema: Schema, path: Sequence[str | int]) -> bool:
    """Whether the schema offers the value at `path`, or what holds it, as one of a list."""
    node = resolve(schema, schema)
    for step in path:
        if _offers(node):
            return True
        branch = node.get("items", {}) if isinstance(step, int) else node.get("properties", {}).get(step, {})
        node = resolve(branch, schema)
    return _offers(node)


def _offers(node: Schema) -> bool:
    return any("enum" in option or "const" in option for option in (node, *node.get("anyOf", ())))
