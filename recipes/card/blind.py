"""The answer that sees nothing: what a row is worth knowing by its questions and its training part alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from recipes.card.examples import answer
from recipes.card.grade import GRADERS, Graded
from recipes.card.items import Item
from recipes.card.rows import Row
from recipes.card.words import normal


def blind(row: Row, train: Sequence[Item], items: Sequence[Item]) -> tuple[str, list[Graded]] | None:
    """The best rule that sees no image, in words, and its graded answers; None where the row has none."""
    rules = {"constant": _constant, "question": _question, "label": _label}
    if row.blind == "none" or not items or (row.blind == "label" and not train):
        return None
    name, said = rules[row.blind](row, train, items)
    return name, [GRADERS[row.grader](answer(item, row, gold), item) for item, gold in zip(items, said, strict=True)]


def _most(golds: Sequence[Any]) -> Any:
    """The most frequent answer, whatever the case of its letters; the first of equals."""
    best = Counter(normal(str(gold)) for gold in golds).most_common(1)[0][0]
    return next(gold for gold in golds if normal(str(gold)) == best)


def _constant(row: Row, train: Sequence[Item], items: Sequence[Item]) -> tuple[str, list[Any]]:
    """The most frequent answer of each group (a condition) in training, or of the test itself, where there is none."""
    if row.figures[0].over == "f1":  # never saying yes has no F1 at all
        return "always 'yes'", ["yes"] * len(items)
    source, where = (train, "in training") if train else (items, "of the test itself")
    own: Mapping[str, list[Any]] = _by(source, lambda item: item.group if row.grader == "yes_no" else "")
    best = {key: _most(golds) for key, golds in own.items()}
    most = _most([item.gold for item in source])
    said = [best.get(item.group if row.grader == "yes_no" else "", most) for item in items]
    shown = f"always {most!r}" if len(set(map(str, said))) == 1 else "the more frequent answer of each group"
    return f"{shown}, the most frequent {where}", said


def _question(row: Row, train: Sequence[Item], items: Sequence[Item]) -> tuple[str, list[Any]]:
    """The most frequent answer in training to the same question, else to questions with its first word, else of all."""
    if not train:
        return _constant(row, train, items)
    same = _by(train, lambda item: item.question.casefold())
    first = _by(train, lambda item: (item.question.casefold().split() or [""])[0])
    every = [item.gold for item in train]

    def said(item: Item) -> Any:
        words = item.question.casefold()
        return _most(same.get(words) or first.get((words.split() or [""])[0]) or every)

    return "the most frequent training answer to the same question, else to its first word", [said(i) for i in items]


def _label(row: Row, train: Sequence[Item], items: Sequence[Item]) -> tuple[str, list[Any]]:
    """The median box of the same label in training, else of all."""
    own = _by(train, lambda item: item.question.casefold())
    every = [item.gold for item in train]

    def said(item: Item) -> Any:
        boxes = own.get(item.question.casefold()) or every
        return tuple(median(box[side] for box in boxes) for side in range(4))

    return "the median training box of the same label", [said(item) for item in items]


def _by(items: Sequence[Item], key: Any) -> dict[Any, list[Any]]:
    found = defaultdict(list)
    for item in items:
        found[key(item)].append(item.gold)
    return found
