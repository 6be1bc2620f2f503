"""Answers in words: SQuAD's normalisation and F1, ROUGE-L."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "。，、；：？！（）", " "))
_CHINESE = re.compile(r"([\u3400-\u9fff])")
_LETTERS = re.compile(r"[a-z0-9]+")


def normal(text: str) -> str:
    """A text in small letters, without punctuation and articles, single blanks between its words.

    As the official evaluation of SQuAD 1.1 does it (Rajpurkar et al. 2016, arXiv 1606.05250), but that punctuation
    becomes a blank, so that "x-ray" is two words and not one, and that an article alone ("a", the vitamin) stays. A
    Chinese character is a word of its own.
    """
    spaced = _CHINESE.sub(r" \1 ", text.lower().translate(_PUNCTUATION))
    return " ".join(_ARTICLES.sub(" ", spaced).split() or spaced.split())


def f1(said: str, gold: str) -> float:
    """The F1 of the words that two answers share, each as often as it stands in both (SQuAD 1.1)."""
    own, true = normal(said).split(), normal(gold).split()
    if not own or not true:
        return 0.0  # nothing said is never right
    shared = sum((Counter(own) & Counter(true)).values())
    return 2 * shared / (len(own) + len(true))


def rouge_l(said: str, gold: str) -> float:
    """ROUGE-L as an F-measure over words of letters and digits, without stemming (Lin 2004, "ROUGE", section 3.1)."""
    own, true = _LETTERS.findall(said.lower()), _LETTERS.findall(gold.lower())
    return 2 * _longest(own, true) / (len(own) + len(true)) if own and true else 0.0


def _longest(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    before = [0] * (len(other) + 1)
    for word in one:
        row = [0]
        for place, their in enumerate(other):
            row.append(before[place] + 1 if word == their else max(row[-1], before[place + 1]))
        before = row
    return before[-1]
