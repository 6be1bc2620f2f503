"""What a reader makes of a data set: items, and a count of what it left out and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extraction.errors import AssayError

_SHOWN = 3  # places that are named for each reason
_ODD = 12  # sentences on pictures that are told, the most common first: of a thousand studies each may have its own


@dataclass(frozen=True)
class Item:
    """One question with its true answer.

    Attributes:
        id: of the question, once in a data set.
        question: in the set's own words, or what is asked about (a condition, a part of the body).
        gold: the option's letter; `yes` or `no`; the short answer; the report; or a box [y0, x0, y1, x1] in 0 to 1000
            of the picture padded to a square.
        options: by letter.
        images: files, in the order in which they are shown.
        text: what is shown before the question besides the images.
        patient: who must not be on both sides of a split.
        group: what a macro average is over.
        closed: whether the answer is one of a few (yes, no, left, right); None where the set does not say.
        evidence: numbers of the slices or patches that show the answer, from 1 as they are shown.
        at: file and line, for messages.
    """

    id: str
    question: str
    gold: Any
    options: Mapping[str, str] = field(default_factory=dict)
    images: tuple[Path, ...] = ()
    text: str = ""
    patient: str = ""
    group: str = ""
    closed: bool | None = None
    evidence: tuple[int, ...] = ()
    at: str = ""

    @property
    def shown(self) -> tuple[tuple[Path, ...], str]:
        """What questions must have in common to share a context; a text question has a context of its own."""
        return self.images, self.text if self.images or self.text else self.id


class Reading:
    """The items of one split of a data set.

    Attributes:
        left_out: for each reason, where that which was left out stands.
        said: what else a user must know, in sentences.
        odd: what is odd about pictures, in sentences, each with the names of those.
        unseen: questions whose picture is missing: what a blind answer learns of, and nothing else does.
        unread: why a training part that is there could not be read.
        divided: whether a column of its table says which split a row is of.
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.left_out: dict[str, list[str]] = {}
        self.said: list[str] = []
        self.odd: dict[str, list[str]] = {}
        self.unseen: list[Item] = []
        self.unread = ""
        self.divided = False
        self._ids: set[str] = set()

    def add(self, item: Item) -> None:
        """Take an item; one whose id is taken, or whose answer is none of its options, is left out."""
        if item.id in self._ids:
            self.leave("its id stands there twice", f"{item.at} (id {item.id})")
        elif item.gold in ("", None):
            self.leave("it has no answer", item.at)
        elif item.options and item.gold not in item.options:
            known = ", ".join(item.options)
            self.leave("its answer is none of its options", f"{item.at} ({str(item.gold)[:40]!r}, not one of {known})")
        else:
            self._ids.add(item.id)
            self.items.append(item)

    def leave(self, why: str, at: str) -> None:
        """Leave something out."""
        self.left_out.setdefault(why, []).append(at)

    def drop(self, items: Mapping[str, str], why: str) -> None:
        """Leave out items that were taken already, by their ids, each with where it stands."""
        self.items = [item for item in self.items if item.id not in items]
        for at in items.values():
            self.leave(why, at)

    @property
    def counts(self) -> dict[str, int]:
        """How many were left out for each reason."""
        return {why: len(places) for why, places in self.left_out.items()}

    def told(self) -> list[str]:
        """A sentence for each reason, with the first places."""
        told = []
        for why, places in self.left_out.items():
            more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
            told.append(f"{len(places)} left out, as {why}: {'; '.join(places[:_SHOWN])}{more}.")
        common = sorted(self.odd.items(), key=lambda one: -len(one[1]))
        for sentence, names in common[:_ODD]:
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            told.append(f"{', '.join(names[:2])}{more}: {sentence}")
        if rest := common[_ODD:]:
            named = list(dict.fromkeys(name for _, names in rest for name in names))
            told.append(f"{len(rest)} other sentences are on {', '.join(named[:2])} and others; open one to see.")
        return [*told, *self.said]

    def check(self, folder: Path, split: str = "test") -> Reading:
        """Itself, where there is anything in it.

        Raises:
            AssayError: nothing is left.
        """
        if not self.items:
            why = " ".join(self.told()) or f"No question is in its files for the split {split}."
            raise AssayError(f"Nothing of {folder} can be used. {why}")
        return self


def settle(reading: Reading) -> None:
    """Leave out what is asked again: the same answer once more, and all of a question that has several answers."""
    groups: dict[Any, list[Item]] = {}
    for item in reading.items:
        options = frozenset(" ".join(text.casefold().split()) for text in item.options.values())
        groups.setdefault((item.images, item.text, item.question, options), []).append(item)
    twice, other = dict[str, str](), dict[str, str]()
    for items in groups.values():
        golds = {" ".join(str(item.options.get(item.gold, item.gold)).casefold().split()) for item in items}
        if len(golds) == 1:
            twice |= {item.id: f"{item.at} (as in {items[0].at})" for item in items[1:]}
        else:
            other |= {item.id: f"{item.at} ({str(item.gold)[:40]!r})" for item in items}
    if twice:
        reading.drop(twice, "the same question with the same answer stands there before")
    if other:
        reading.drop(other, "the same question stands there with another answer, too")


def one_patient(name: str) -> str:
    """A patient's name as it is compared: a number is the same with pandas' `.0`."""
    return name.removesuffix(".0") if name.removesuffix(".0").isdigit() else name


def known(reading: Reading) -> set[str]:
    """Its patients, or the images where no patient is known."""
    named = ([i.patient] if i.patient else [str(path.resolve()) for path in i.images] for i in reading.items)
    return {key for keys in named for key in keys}


def left_and_right(train: Reading, other: Reading) -> list[str]:
    """The patients that stand in both readings, or the images where no patient is known."""
    return sorted(known(train) & known(other))


def leave_known(train: Reading, other: Reading) -> None:
    """Leave out of `other` what stands in training word for word, or by the bytes of a picture."""
    twins, asked = _twins(train, other), {_words(item) for item in train.items if _by_words(item)}
    both = {
        item.id: item.at
        for item in other.items
        if (_by_words(item) and _words(item) in asked) or any(path in twins for path in item.images)
    }
    if both:
        other.drop(both, "its question or picture stands in the training part, too")


def same_pictures(train: Reading, other: Reading) -> list[str]:
    """Images of `other` whose bytes are those of a training image, by any name."""
    return [f"{path.name} (as {twin.name})" for path, twin in _twins(train, other).items()]


def _twins(train: Reading, other: Reading) -> dict[Path, Path]:
    """Images of `other`, each with the training image of the same bytes; only files of one size are read."""
    of_size: dict[int, set[Path]] = {}
    for path in {path for item in train.items for path in item.images if path.is_file()}:
        of_size.setdefault(path.stat().st_size, set()).add(path)
    digests: dict[int, dict[bytes, Path]] = {}
    found: dict[Path, Path] = {}
    for path in sorted({path for item in other.items for path in item.images if path.is_file()}):
        size = path.stat().st_size
        if size not in digests:
            digests[size] = {_digest(one): one for one in of_size.get(size, ())}
        if twin := digests[size].get(_digest(path)) if digests[size] else None:
            found[path] = twin
    return found


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def same_questions(train: Reading, other: Reading) -> list[str]:
    """Questions on text alone, of no known patient, that stand in training word for word, with the same options."""

    own = {_words(item): item.at for item in other.items if _by_words(item)}
    theirs = {_words(item) for item in train.items if _by_words(item)}
    return [at for key, at in own.items() if key in theirs]


def _by_words(item: Item) -> bool:
    """Whether nothing but words tells a question from another."""
    return not item.images and not item.patient


def _words(item: Item) -> Any:
    return item.text, item.question, frozenset(item.options.values())
