"""Where a value stands in its context: words of pages with their boxes, numbered lines.

`ground` places the rows of a record on the pages of a document and finds each value in its row's neighbourhood; the
indices (`PageIndex`, `LineIndex`) are what a context carries to have its evidence found.
"""

from extraction.evidence.evidence import Evidence, LineEvidence, PageEvidence, Rest
from extraction.evidence.ground import ground
from extraction.evidence.index import LineIndex, PageIndex

__all__ = ["Evidence", "LineEvidence", "LineIndex", "PageEvidence", "PageIndex", "Rest", "ground"]
