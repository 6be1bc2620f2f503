"""The lines of a record that have a question's words, best first: BM25 (Robertson and Zaragoza 2009), by `bm25s`."""

from __future__ import annotations

from collections.abc import Sequence

from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.resolve import words


def ranked(asked: Sequence[str], facts: Sequence[Fact]) -> list[Fact]:
    """The facts whose lines have a word of what is asked, best first; of several questions each has its turn."""
    import bm25s

    if not facts:
        return []
    index = bm25s.BM25()
    index.index([sorted(words(fact.text)) for fact in facts], show_progress=False)
    best = []
    for one in asked:
        known = [word for word in sorted(words(one)) if word in index.vocab_dict]
        scores = index.get_scores(known) if known else []
        best.append(sorted((number for number, score in enumerate(scores) if score > 0), key=lambda n: -scores[n]))
    places = range(max(map(len, best), default=0))
    turns = (own[place] for place in places for own in best if place < len(own))
    return [facts[number] for number in dict.fromkeys(turns)]
