"""Where on the page a value is printed, told from the document's words alone.

`ground` places the rows of a record and finds each value in its row's neighbourhood; `rows_like_results` lists the
lines that look like results, to be held against the rows that were read.
"""

from extraction.evidence.ground import CARRIED, Evidence, ResultLine, ground, rows_like_results
from extraction.evidence.likely import Titles, names_columns, without_earlier

__all__ = [
    "CARRIED",
    "Evidence",
    "ResultLine",
    "Titles",
    "ground",
    "names_columns",
    "rows_like_results",
    "without_earlier",
]
