"""From the parts that were read to a record: join, validate, find every value on the page, count the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from extraction.contract import Contract
from extraction.document import Document, Page
from extraction.evidence import Evidence, ResultLine, Titles, rows_like_results
from extraction.record.join import drop_repeated, join
from extraction.record.kinds import misplaced
from extraction.record.part import Cell, Part, plain
from extraction.record.record import Field, Issue, Record
from extraction.schema import Schema, pointer, resolve, validator

Path = tuple[str | int, ...]

_CUT = {
    "length": "reached its length limit",
    "loop": "repeated itself without end and was stopped",
    "grammar": "ended where the schema asks more of the grammar engine than it can do",
    "broken": "is not whole JSON",
}


def build_record(document: Document, parts: Sequence[Part], contract: Contract) -> Record:
    """A record from the parts of a document that were read, in the order of their windows.

    What was cut, read in two ways, does not follow the schema, or is not on the page becomes an issue, and any issue
    makes the record `partial`.
    """
    source = document.path.name
    issues = [issue for page in document.pages if (issue := _page_issue(page, contract.view))]
    issues += _cuts(parts)
    views = [page.view if contract.view == "text" else contract.view for page in document.pages]
    if not any(part.tree for part in parts):
        return Record(source, "failed", None, issues or [Issue("empty", "The model gave no record.")], views=views)
    tree, doubts = join(parts, contract.carry)
    issues += doubts + drop_repeated(tree, contract.carry)
    data = plain(tree)
    for error in sorted(validator(contract.record_schema).iter_errors(data), key=lambda e: pointer(e.absolute_path)):
        issues.append(Issue("invalid", error.message[:200], pointer(error.absolute_path) or "/"))
    cells = dict(_cells(tree, ()))
    fields = {
        pointer(path): Field(cell.value, pointer(path), cell.confidence, cell.evidence) for path, cell in cells.items()
    }
    if document.has_text or contract.view == "text":
        issues += _not_on_the_page(cells, contract)
    if contract.check_rows:
        issues += _odd_rows(data)
        issues += _earlier(document, cells)
        for line in left_out(document, [cell.evidence for cell in cells.values() if cell.evidence]):
            message = f"This line looks like a result and is in no row: {line.text}"
            issues.append(Issue("row_left_out", message, page=line.page))
    return Record(source, "partial" if issues else "ok", data, issues, fields, views, document)


def _cuts(parts: Sequence[Part]) -> Iterator[Issue]:
    """An issue for every answer that is not whole, unless only its length ended it and another went on below it."""
    for part in parts:
        goes_on = part.may_go_on and any(
            part.window.start < other.window.start <= part.stop <= other.window.stop
            for other in parts
            if not other.look
        )
        if part.end == "stop" or (part.end == "length" and goes_on):
            continue
        lines = part.window.lines.lines
        place = f"after the line “{lines[part.stop - 1][1].text.strip()}”" if part.stop > part.window.start else ""
        page = lines[max(part.window.start, part.stop - 1)][0].number if lines else None
        then = "reading went on below it" if goes_on else "what was whole before is kept"
        yield Issue("cut", f"The answer {_CUT[part.end]} {place}".strip() + f"; {then}.", page=page)


def _page_issue(page: Page, view: str) -> Issue | None:
    """What is doubtful about a page's words as a whole; a page that OCR found blank is in order."""
    if view != "text" and not page.words and (page.issue or page.view != "ocr"):
        message = "The page was read from its pixels alone: it has no words that the values could be compared with."
        return Issue("unchecked", message, "/", page.number)
    if page.issue:
        return Issue("ocr" if page.view == "ocr" and page.words else "unread", page.issue, page=page.number)
    if not page.words and page.view != "ocr":
        return Issue("unread", "The page has no text layer; nothing was read from it.", page=page.number)
    return None


def _cells(tree: Any, path: Path) -> Iterator[tuple[Path, Cell]]:
    """Every value of a tree that is not null, with its path."""
    if isinstance(tree, Cell):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _cells(value, (*path, key))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _cells(item, (*path, index))


def _not_on_the_page(cells: dict[Path, Cell], contract: Contract) -> list[Issue]:
    """An issue for every value that is copied from the page (no enum, no boolean) and is not found there.

    A value that a heading gives to many rows is one issue, at the first of them.
    """
    paths: dict[Any, list[Path]] = {}
    for path, cell in cells.items():
        if not (cell.evidence or isinstance(cell.value, bool) or _is_choice(contract.record_schema, path)):
            shared = path[-1] in contract.carry
            paths.setdefault((path[-1], cell.value) if shared else path, []).append(path)
    issues = []
    for own in paths.values():
        rows = f" (in {len(own)} rows)" if len(own) > 1 else ""
        message = f"“{cells[own[0]].value}” does not stand on the page where it should{rows}."
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


def _odd_rows(data: dict[str, Any]) -> Iterator[Issue]:
    """An issue for every value of a row that belongs into another column, and for every row without a result."""
    for key, rows in data.items():
        for number, row in enumerate(rows if isinstance(rows, list) else ()):
            if not isinstance(row, dict):
                continue
            for name, message in misplaced(row):
                yield Issue("misplaced", f"{message}.", pointer((key, number, name)))
            if row.get("name") and row.get("result", "") is None:
                yield Issue("no_result", f"“{row['name']}” has no result.", pointer((key, number)))


def _earlier(document: Document, cells: dict[Path, Cell]) -> Iterator[Issue]:
    """An issue for every result that stands under a title such as "Previous result"."""
    titles = Titles(document)
    for path, cell in cells.items():
        if path[-1] == "result" and (place := cell.evidence) and (title := titles.earlier(place.page, place.box)):
            yield Issue("misplaced", f"“{cell.value}” stands under “{title}”.", pointer(path))


def left_out(document: Document, evidence: Sequence[Evidence]) -> list[ResultLine]:
    """The lines of a document that look like results although no value among `evidence` was read from them."""
    read: dict[int, list[tuple[float, float]]] = {}
    for place in evidence:
        read.setdefault(place.page, []).append((place.box[1], place.box[3]))

    def is_read(line: ResultLine) -> bool:
        middle = (line.box[1] + line.box[3]) / 2
        return any(top <= middle <= bottom for top, bottom in read.get(line.page, ()))

    return [line for line in rows_like_results(document) if not is_read(line)]
