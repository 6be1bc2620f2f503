"""The record of a file that holds several reports: each with its own data, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from extraction.document import Document
from extraction.record.record import Record


def together(document: Document, records: Sequence[Record]) -> Record:
    """One record of a file from those of its reports; the record itself where it is one.

    Its data are `{"reports": [...]}`, each of which follows the schema, or is null where nothing was read. Paths lead
    there. It is `failed` where all of them are, and `ok` where all of them are.
    """
    if len(records) == 1:
        return records[0]
    states = {record.status for record in records}
    status = states.pop() if len(states) == 1 else "partial"
    whole = Record(records[0].source, status, None, several=True, document=document)
    if whole.status != "failed":
        whole.data = {"reports": [record.data for record in records]}
    for number, record in enumerate(records):
        at = f"/reports/{number}" if whole.data else ""

        def moved(path: str, at: str = at) -> str:
            return at if path == "/" and at else at + path

        whole.issues += [replace(one, path=one.path and moved(one.path)) for one in record.issues]
        whole.fields |= {moved(path): replace(field, path=moved(path)) for path, field in record.fields.items()}
        whole.set_aside += [replace(one, path=moved(one.path)) for one in record.set_aside]
        whole.derived |= {moved(path): value for path, value in record.derived.items()}
        whole.views += record.views
        whole.reasons += record.reasons
    return whole
