"""Records as rows of cells, and which predicted row belongs to which true one."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from itertools import count, pairwise
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from extraction.schema import pointer
from extraction.score.normal import normal

THRESHOLD = 0.9
"""The least similarity (difflib's ratio) at which two different names may be one thing's."""

_BRACKETED = 0.95  # similarity of `Sodium` and `Sodium (Na+)`
_WORD = re.compile(r"\w+|[%#+]")


@dataclass
class Row:
    """One object of a record: its cells by path, normalised, and the tables inside it.

    A path joins the keys of nested objects with points. Arrays of scalars are several values at one path.
    `pointers` has the JSON pointer of every value in `cells`, in the same order.
    """

    cells: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pointers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tables: dict[str, list["Row"]] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)  # paths that hold text, and their place in the object

    @classmethod
    def read(cls, value: Any, at: str = "", roles: Mapping[str, str] = {}) -> "Row":
        """Take a record, or any JSON value at the pointer `at`, apart. Rows without any value are left out."""
        cells: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        row = cls()
        places = count()

        def walk(value: Any, path: str, at: str, in_array: bool = False) -> None:
            if isinstance(value, dict):
                if in_array:
                    inner = cls.read(value, at, roles)
                    if inner.cells or inner.tables:
                        row.tables.setdefault(path, []).append(inner)
                else:
                    for name, item in value.items():
                        walk(item, f"{path}.{name}" if path else str(name), at + pointer([name]))
            elif isinstance(value, list | tuple):
                for number, item in enumerate(value):
                    walk(item, path, f"{at}/{number}", in_array=True)
            else:
                place = next(places)
                if (text := normal(value, roles.get(path.rpartition(".")[2]))) is not None:
                    cells[path].append((text, at))
                    if isinstance(value, str) and not in_array:
                        row.texts.setdefault(path, place)

        walk(value, "", at)
        for path, values in cells.items():
            row.cells[path], row.pointers[path] = zip(*sorted(values), strict=True)
        return row

    @cached_property
    def content(self) -> str:
        """The whole row as one text, the same for equal rows: what rows are sorted by."""
        tables = {path: sorted(row.content for row in rows) for path, rows in self.tables.items()}
        return repr((sorted(self.cells.items()), sorted(tables.items())))

    def words(self, paths: Iterable[str]) -> set[str]:
        """The words of some of its cells."""
        return {word for path in paths for value in self.cells.get(path, ()) for word in _WORD.findall(value)}


def name_path(rows: Sequence[Row], wanted: Sequence[str] = ()) -> str | None:
    """The path that names a table's rows: the first of `wanted` that a row has, else the first text field.

    That is the path nearest to an object's start of those with text in at least half of the rows, in any order of rows.
    """
    for name in wanted:
        if any(name in row.cells for row in rows):
            return name
    places: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        for path, place in row.texts.items():
            places[path].append(place)
    usual = [(min(found), path) for path, found in places.items() if 2 * len(found) >= len(rows)]
    return min(usual)[1] if usual else None


def pair_rows(
    predicted: Sequence[Row],
    gold: Sequence[Row],
    key: Sequence[str | None],
    scored: Callable[[str], bool] = lambda path: True,
) -> list[tuple[int, int]]:
    """Pair the rows of two tables; each row has at most one partner.

    `key[0]` is the path that names a row, the rest of `key` is what tells rows of one name apart (headings,
    times). Three phases, each by an optimal assignment over the rows that the last one left over:

    1. all of the key equal;
    2. the name equal; the rest of the key as similar as possible;
    3. the name similar. Names are compared as sorted words: difflib's ratio is at least `THRESHOLD`, words of
       up to four characters and words with digits are the same on both sides (`HDL` is no misprint of `LDL`,
       nor `T3` of `T4`), longer words begin alike (`direct` is not `indirect`). Or the names are equal but
       for something in brackets that only one has (`Sodium`, `Sodium (Na+)`). All else stays unpaired.

    Rows are never paired because their values agree: those of `scored` paths only choose among assignments that are
    equally good by the key, which is generous to rows that the key cannot tell apart, and to them alone. Rows are
    sorted by content first, so the outcome depends neither on their order nor on which table is called predicted.

    Returns:
        Pairs of positions (in `predicted`, in `gold`).
    """
    one = sorted(range(len(predicted)), key=lambda i: predicted[i].content)
    two = sorted(range(len(gold)), key=lambda i: gold[i].content)
    left, right = [predicted[i] for i in one], [gold[i] for i in two]
    swapped = [row.content for row in left] > [row.content for row in right]
    if swapped:
        left, right = right, left
    pairs = _Pairing(left, right, key, scored).run()
    return [(one[j], two[i]) if swapped else (one[i], two[j]) for i, j in pairs]


class _Pairing:
    def __init__(
        self, left: list[Row], right: list[Row], key: Sequence[str | None], scored: Callable[[str], bool]
    ) -> None:
        self.sides = left, right
        self.free = [set(range(len(left))), set(range(len(right)))]
        self.pairs: list[tuple[int, int]] = []
        self.name, *context = key
        paths = list(dict.fromkeys(path for row in left + right for path in row.cells))
        self.context = [path for path in context if path in paths]
        self.scored = [path for path in paths if scored(path)]
        # Every different value is a number, 0 where there is none: equality of many rows at once.
        codes: dict[Hashable, int] = {(): 0}
        self.codes = [
            np.array(
                [[codes.setdefault(row.cells.get(path, ()), len(codes)) for row in side] for path in paths],
                dtype=np.int64,
            ).reshape(len(paths), len(side))
            for side in self.sides
        ]
        self.columns = {path: place for place, path in enumerate(paths)}

    def run(self) -> list[tuple[int, int]]:
        self.pair_equal(lambda row: (self.name_of(row), *(row.cells.get(path) for path in self.context)))
        self.pair_equal(self.name_of)
        self.pair_similar()
        return self.pairs

    def name_of(self, row: Row) -> str:
        return " ".join(row.cells.get(self.name or "", ()))

    def pair_equal(self, key: Callable[[Row], Hashable]) -> None:
        groups: defaultdict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for side in 0, 1:
            for place in sorted(self.free[side]):
                groups[key(self.sides[side][place])][side].append(place)
        for left, right in groups.values():
            if left and right:
                self.assign(left, right, np.ones((len(left), len(right))))

    def pair_similar(self) -> None:
        named: list[dict[str, list[int]]] = [{}, {}]
        buckets: defaultdict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side in 0, 1:
            for place in sorted(self.free[side]):
                if name := self.name_of(self.sides[side][place]):
                    named[side].setdefault(name, []).append(place)
            for name in named[side]:
                buckets[_signature(name)][side].append(name)
        similar: dict[tuple[str, str], float] = {}
        for ones, twos in buckets.values():
            for one, two in _likely(ones, twos):
                if (similarity := _similarity(one, two)) >= THRESHOLD:
                    similar[one, two] = similarity
        for one in named[0]:
            if _bare(one) in named[1]:
                similar[one, _bare(one)] = _BRACKETED
        for two in named[1]:
            if _bare(two) in named[0]:
                similar[_bare(two), two] = _BRACKETED
        left = sorted({place for one, _ in similar for place in named[0][one]})
        right = sorted({place for _, two in similar for place in named[1][two]})
        places = {place: i for i, place in enumerate(left)}, {place: i for i, place in enumerate(right)}
        matrix = np.zeros((len(left), len(right)))
        for (one, two), similarity in similar.items():
            for i in named[0][one]:
                for j in named[1][two]:
                    matrix[places[0][i], places[1][j]] = similarity
        if matrix.size:
            self.assign(left, right, matrix)

    def assign(self, left: list[int], right: list[int], similarity: np.ndarray) -> None:
        """Pair rows so that the similarity of names is greatest, then that of the context, then agreement."""
        if len(left) == len(right) == 1:
            chosen = [(0, 0)]
        else:
            agreement = np.zeros(similarity.shape)
            for path in self.scored:
                one, two = self.values(path, left, right)
                agreement += (one == two) & (one > 0)
            # Whole numbers far below 2**53, so that adding them up is exact and ties are ties.
            score = np.rint(1000 * similarity) * 10_000 + 2_000 + self.context_similarity(left, right)
            score = score * (min(similarity.shape) * len(self.scored) + 1) + agreement
            score[similarity == 0] = 0
            chosen = list(zip(*linear_sum_assignment(score, maximize=True), strict=True))
        for i, j in chosen:
            if similarity[i, j] > 0:
                self.pairs.append((left[i], right[j]))
                self.free[0].discard(left[i])
                self.free[1].discard(right[j])

    def values(self, path: str, left: list[int], right: list[int]) -> tuple[np.ndarray, np.ndarray]:
        column = self.columns[path]
        return self.codes[0][column, left][:, None], self.codes[1][column, right][None, :]

    def context_similarity(self, left: list[int], right: list[int]) -> np.ndarray:
        """From -100 to 200 for each part of the key after the name, and up to 50 for words of any of them.

        Equal 200, different -100 (more where they share words), missing on one side or both 0. The words of
        all parts together find `Ascites` in one heading where the other row has it in another.
        """
        sides = [self.sides[0][i] for i in left], [self.sides[1][j] for j in right]
        total = 50 * _dice(*([row.words(self.context) for row in side] for side in sides))
        for path in self.context:
            one, two = self.values(path, left, right)
            shared = _dice(*([row.words([path]) for row in side] for side in sides))
            total += np.where((one > 0) & (two > 0), np.where(one == two, 200, 200 * shared - 100), 0)
        return np.rint(total)


def _shared(left: Sequence[set[str]], right: Sequence[set[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Of every left set with every right one: how many members they share, how many they have together."""
    vocabulary = {member: i for i, member in enumerate(set().union(*left, *right))}
    one, two = (np.zeros((len(side), len(vocabulary)), np.float32) for side in (left, right))
    for matrix, side in (one, left), (two, right):
        for i, members in enumerate(side):
            matrix[i, [vocabulary[member] for member in members]] = 1
    return one @ two.T, one.sum(1)[:, None] + two.sum(1)


def _dice(left: Sequence[set[str]], right: Sequence[set[str]]) -> np.ndarray:
    """Dice coefficients 2|A∩B| / (|A|+|B|) of every left set with every right one."""
    shared, sizes = _shared(left, right)
    return np.asarray(2 * shared / np.maximum(sizes, 1), dtype=np.float64)


def _signature(name: str) -> Hashable:
    """What similar names have in common: short words and words with digits, first letters of the rest."""
    words = _WORD.findall(name)
    return tuple(sorted(word if len(word) <= 4 or any(map(str.isdigit, word)) else f"{word[0]}..." for word in words))


def _bare(name: str) -> str:
    return " ".join(re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", name).split())


def _sorted_words(name: str) -> str:
    return " ".join(sorted(_WORD.findall(name)))


def _similarity(one: str, two: str) -> float:
    # SequenceMatcher is not symmetric: the order of its arguments is made a matter of content.
    first, second = sorted((_sorted_words(one), _sorted_words(two)))
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= THRESHOLD else 0


def _likely(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """The pairs of names that may reach the threshold, found without comparing each in full.

    Of two names with n characters in all, a ratio of at least t leaves at most (1-t)n characters unmatched,
    so at most 1 + (1-t)n matching blocks, which hold at least tn/2 - 1 - (1-t)n common pairs of letters.
    """
    if len(left) * len(right) <= 64:
        return [(one, two) for one in left for two in right]
    sides: list[list[set[str]]] = [[], []]
    for side, names in enumerate((left, right)):
        for name in names:
            seen = Counter(map("".join, pairwise(_sorted_words(name))))
            sides[side].append({f"{letters}{n}" for letters, times in seen.items() for n in range(times)})
    shared, _ = _shared(*sides)
    lengths = [np.array([len(_sorted_words(name)) for name in names]) for names in (left, right)]
    total = lengths[0][:, None] + lengths[1]
    least = total * THRESHOLD / 2 - 1 - (1 - THRESHOLD) * total
    return [(left[i], right[j]) for i, j in np.argwhere(shared >= least - 1e-6)]
