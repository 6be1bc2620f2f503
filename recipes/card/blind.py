"""The answer that sees nothing: what a row is worth knowing by its questions and its training part alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from recipes.card.examples import answer
from recipes.card.grade import GRADERS
from recipes.card.items import Item
from recipes.card.measures import Measured, measure
from recipes.card.rows import Row
from recipes.card.words import normal

_CONSTANTS = 5  # of the most frequent answers that are tried as constants
_SHOWN = 60  # letters of an answer that are told


def blind(row: Row, train: Sequence[Item], items: Sequence[Item]) -> tuple[dict[str, Measured], str]:
    """For each figure the best of the rules that see no image, and in words which; nothing where the row has none."""
    best: dict[str, Measured] = {}
    names: dict[str, str] = {}
    for name, said in _rules(row, train, items):
        graded = [GRADERS[row.grader](answer(i, row, gold), i) for i, gold in zip(items, said, strict=True)]
        for figure in row.figures:
            made = measure(figure, items, graded, draws=1)
            if made and (figure.name not in best or made.value > best[figure.name].value):
                best[figure.name], names[figure.name] = made, name
    of_rule: dict[str, list[str]] = defaultdict(list)
    for figure_name, name in names.items():
        of_rule[name].append(figure_name)
    told = [name if len(of_rule) == 1 else f"{', '.join(own)}: {name}" for name, own in of_rule.items()]
    return best, "; ".join(told)


def _rules(row: Row, train: Sequence[Item], items: Sequence[Item]) -> Iterator[tuple[str, list[Any]]]:
    """The rules that a row's figures may be best by, each with its answers."""
    boxes = row.blind == "label" or row.grader == "box"  # no box is the most frequent one
    if row.blind == "none" or not items or (boxes and not train):
        return
    if boxes:
        yield _label(row, train, items)
        return
    if row.blind == "question" and train:
        yield _question(row, train, items)
    yield _constant(row, train, items)
    if row.grader == "report":
        return  # a report is graded by a model, which takes long
    known = Counter(str(item.gold) for item in train or items)
    frequent = [gold for gold, _ in known.most_common(_CONSTANTS)]
    both = ["yes", "no"] if row.grader in ("yes_no", "short") else []
    for gold in dict.fromkeys([*frequent, *both]):
        yield f"always {_shown(gold)}", [gold] * len(items)


def _most(golds: Sequence[Any]) -> Any:
    """The most frequent answer, whatever the case of its letters; the first of equals."""
    best = Counter(normal(str(gold)) for gold in golds).most_common(1)[0][0]
    return next(gold for gold in golds if normal(str(gold)) == best)


def _shown(gold: Any) -> str:
    """An answer in quotes; of a whole report its beginning."""
    return repr(gold if len(str(gold)) <= _SHOWN else f"{str(gold)[:_SHOWN]}…")


def _constant(row: Row, train: Sequence[Item], items: Sequence[Item]) -> tuple[str, list[Any]]:
    """The most frequent answer of each group (a condition) in training, or of the test itself, where there is none."""
    source, where = (train, "in training") if train else (items, "of the test itself")
    own: Mapping[str, list[Any]] = _by(source, lambda item: item.group if row.grader == "yes_no" else "")
    best = {key: _most(golds) for key, golds in own.items()}
    most = _most([item.gold for item in source])
    said = [best.get(item.group if row.grader == "yes_no" else "", most) for item in items]
    shown = f"always {_shown(most)}" if len(set(map(str, said))) == 1 else "the more frequent answer of each group"
    return f"{shown}, the most frequent {where}", said


def _question(row: Row, train: Sequence[Item], items: Sequence[Item]) -> tuple[str, list[Any]]:
    """The most frequent answer in training to the same question, else to questions with its first word, else of all."""
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
