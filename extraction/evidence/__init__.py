"""Where a value stands in its context: words of pages with their boxes, numbered lines, labelled images.

`ground` places the rows of a record on the pages of a document and finds each value in its row's neighbourhood; the
indices (`PageIndex`, `LineIndex`, `LabelIndex`) are what a context carries to have its evidence found.
"""

from extraction.evidence.evidence import Evidence, ImageEvidence, LineEvidence, PageEvidence, Rest
from extraction.evidence.ground import ground
from extraction.evidence.index import LabelIndex, LineIndex, PageIndex

__all__ = [
    "Evidence", "ImageEvidence", "LabelIndex", "LineEvidence", "LineIndex", "PageEvidence", "PageIndex", "Rest",
    "ground",
]  # fmt: skip
