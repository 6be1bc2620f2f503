"""How far extracted records agree with true ones: rows paired, cells counted, F1 with an interval.

`normal` says when two values are the same, `pairing` which rows belong together, `scoring` counts, `results` has
the figures, `reliability` says how far the confidence of values can be relied on, `files` reads predictions and gold
from disk.
"""

from extraction.score.files import read_gold, read_pairs, score_files
from extraction.score.reliability import Reliability
from extraction.score.results import Counts, DocumentScore, Pair, Score
from extraction.score.scoring import score

__all__ = [
    "Counts",
    "DocumentScore",
    "Pair",
    "Reliability",
    "Score",
    "read_gold",
    "read_pairs",
    "score",
    "score_files",
]
