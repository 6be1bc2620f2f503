"""The record of a file that holds several reports: each with its own data, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from extraction.document import Document
from extraction.record.record import Record


def together(document: Document, parts: Sequence[tuple[Document, Record]]) -> Record:
    """One record of a file from those of its reports; the record itself where it is one.

    Its data are `{"reports": [...]}`, each of which follows the schema, or is null where nothing was read. Paths lead
    there; an issue without one has a page of its report, the first where it is about none. It is `failed` where all of
    them are, and `ok` where all of them are.

    Args:
        document: the file.
        parts: its reports, each with the pages it is of and its record.
    """
    records = [record for _, record in parts]
    if len(records) == 1:
        return records[0]
    states = {record.status for record in records}
    status = states.pop() if len(states) == 1 else "partial"
    pages = [[page.number for page in part.pages] for part, _ in parts]
    whole = Record(records[0].source, status, None, report_pages=pages, document=document)
    if whole.status != "failed":
        whole.data = {"reports": [record.data for record in records]}
    for number, (part, record) in enumerate(parts):
        at = f"/reports/{number}"

        def moved(path: str, at: str = at) -> str:
            return at if path == "/" else at + path

        for one in record.issues:
            path = moved(one.path) if one.path and whole.data else None
            whole.issues.append(replace(one, path=path, page=one.page or (None if path else pages[number][0])))
        whole.fields |= {moved(path): replace(field, path=moved(path)) for path, field in record.fields.items()}
        whole.set_aside += [replace(one, path=moved(one.path)) for one in record.set_aside]
        whole.derived |= {moved(path): value for path, value in record.derived.items()}
        whole.views += record.views or [page.view for page in part.pages]
        whole.reasons += record.reasons or [page.reason for page in part.pages]
    return whole
