"""Records as a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.export.tables import DOCUMENTS, SavedRecord, Tables
from extraction.record.record import Record

if TYPE_CHECKING:
    import pandas as pd


def to_dataframe(records: Record | Iterable[Record], contract: Contract | None = None) -> pd.DataFrame:
    """A row for each item of the schema's first list (a test of a report), with its place, confidence and issues.

    The columns are those of `assay export` (`extraction.export.tables` names them): text as printed, typed values
    beside it. Records without a list, or with nothing in it (failed ones), have a row each: status and reason.

    Args:
        records: one, or several; `Record.load` reads them from files.
        contract: what the records follow, `extractor.contract`; its fields are columns, and its roles say which have
            typed values beside them. Without it columns are what the records have.
    """
    import pandas as pd

    several = [records] if isinstance(records, Record) else list(records)
    if strange := next((one for one in several if not isinstance(one, Record)), None):
        raise AssayError(f"to_dataframe takes records (Extractor.extract, Record.load), not {type(strange).__name__}.")
    saved = [SavedRecord.model_validate(one.to_dict()) for one in several]
    tables = Tables([contract] if contract else [])
    parts = [(one, part) for one in saved for part in one.parts]
    for _, part in parts:
        tables.see(part)
    first, *_ = tables.layout()
    numbers: dict[int, int] = {}
    rows = []
    for one, part in parts:
        numbers[id(one)] = numbers.get(id(one), 0) + 1
        document = f"{one.source}#{numbers[id(one)]}" if len(one.parts) > 1 else one.source
        lines = list(tables.lines(part, document))
        found = [cells for table, cells in lines if table == first.name]
        # No record is dropped in silence: one without a row there has what is said of it as a whole.
        rows += found or [tables.as_row(cells) for table, cells in lines if table == DOCUMENTS]
    return pd.DataFrame(rows, columns=list(first.columns))
