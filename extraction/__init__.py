"""A document in, a record out.

`Extractor` reads documents with a model; `Record` is what comes back, `to_dataframe` makes a table of records;
`Contract` says what a model was taught; `score` compares records with truth. Imports are lazy, so that `import
extraction` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extraction.api import Extractor
    from extraction.contract import Contract
    from extraction.errors import AssayError, DocumentError
    from extraction.export.frames import to_dataframe
    from extraction.record.record import Field, Issue, Record

__all__ = ["AssayError", "Contract", "DocumentError", "Extractor", "Field", "Issue", "Record", "to_dataframe"]

_HOMES = {
    "Extractor": "extraction.api",
    "Contract": "extraction.contract",
    "AssayError": "extraction.errors",
    "DocumentError": "extraction.errors",
    "Field": "extraction.record.record",
    "Issue": "extraction.record.record",
    "Record": "extraction.record.record",
    "to_dataframe": "extraction.export.frames",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
