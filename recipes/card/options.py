"""What a table's row offers as options and which of it is true, however the table writes both."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from extraction.errors import AssayError
from recipes.card.boxes import box_in
from recipes.card.items import Item
from recipes.card.rows import Row
from recipes.card.words import normal
from recipes.tables import Cells

LETTERS = (*ascii_uppercase, *(first + second for first in ascii_uppercase for second in ascii_uppercase))
"""Names of options: A to Z, then AA to ZZ."""
NO_PLACE = (
    "its answer is a number that none of its options says (where it is a place among them: `places: true` in row.yaml)"
)
TWO_MEANT = "its answer names one option and says the words of another"
_YES = {"yes": "yes", "no": "no", "true": "yes", "false": "no", "1": "yes", "0": "no", "1.0": "yes", "0.0": "no"}
_COUNTED = re.compile(r"\(?([A-Za-z]|\d{1,2})[).:]\s+(?=\S)")  # "a) aspirin", "(2) bed rest"


def told(value: Any) -> str:
    """A cell as text; nothing where it is empty, null, or NaN, as pandas writes what is missing."""
    said = "" if value is None else str(value).strip()
    return "" if said.casefold() == "nan" else said


def cell(cells: Cells, row: Row, what: str, other: Any = "") -> Any:
    """What a table's row has for `what`, whatever the case of the column's letters."""
    return at_name(cells, row.columns.get(what, what), other)


def at_name(cells: Cells, name: str, other: Any = "") -> Any:
    """What a column holds, whatever the case of its name's letters."""
    if name in cells:
        return cells[name]
    return next((value for key, value in cells.items() if key.casefold().strip() == name.casefold()), other)


def one_hot(cells: Mapping[str, Any], row: Row) -> bool:
    """Whether the classes are columns of their own, with 1 in that of the true one (ISIC)."""
    return bool(row.classes) and "answer" not in row.columns and set(row.classes) <= set(cells)


def options_of(cells: Cells, row: Row) -> tuple[dict[str, str], dict[str, str]]:
    """The options by letter, and the letters by the names (small) that the table itself gives them.

    Of the row's classes, a dict, a list, or columns of their own. Empty ones at the end are none; others stay, empty.
    """
    if row.classes and row.grader == "choice":
        return dict(zip(LETTERS, row.classes.values(), strict=False)), {}
    pairs = [(told(name).casefold(), told(text)) for name, text in _pairs(cells, row)]
    while pairs and not pairs[-1][1]:
        pairs.pop()
    counted = [match for _, text in pairs if (match := _COUNTED.match(text))]
    labels = [match.group(1).casefold() for match in counted]
    names = [name for name, _ in pairs]
    count = len(labels)
    in_order = (names, list(ascii_uppercase.lower())[:count], [str(number) for number in range(1, count + 1)])
    if pairs and count == len(pairs) and labels in in_order:
        names = labels
        pairs = [(label, match.string[match.end() :]) for label, match in zip(labels, counted, strict=True)]
    letters = [name.upper() for name in names] if _are_letters(names) else list(LETTERS)
    options = {letter: text for letter, (_, text) in zip(letters, pairs, strict=False)}
    return options, {name: letter for name, letter in zip(names, letters, strict=False) if name}


def _are_letters(names: Sequence[str]) -> bool:
    return all(len(name) == 1 and name.upper() in LETTERS for name in names)


def _pairs(cells: Cells, row: Row) -> list[tuple[Any, Any]]:
    """Options with the table's own names of them, where it has some."""
    if "options" not in row.columns:
        return []
    columns = [name.strip() for name in row.columns["options"].split(",")]
    if len(columns) > 1:
        return [(name, at_name(cells, name)) for name in columns]
    value = cell(cells, row, "options")
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, str):
        value = value.split("|")
    return [("", text) for text in value] if isinstance(value, list) else []


def gold_of(cells: Cells, row: Row, options: Mapping[str, str], names: Mapping[str, str], base: int) -> tuple[Any, str]:
    """The true answer (an option's letter, yes or no, a box, else as it stands), and why it is none."""
    if row.grader == "box":
        columns = [name.strip() for name in row.columns["answer"].split(",")]
        sides = [at_name(cells, name, None) for name in columns]
        found = box_in(sides if len(sides) > 1 else sides[0])
        return found, "" if found else "its box is none ([y0, x0, y1, x1] from 0 to 1000)"
    if one_hot(cells, row):
        said = next((name for name in row.classes if told(cells[name]) in ("1", "1.0")), "")
    else:
        said = told(cell(cells, row, "answer", None))
    if row.grader == "yes_no":
        said = row.classes.get(said, said)
        return _YES.get(said.casefold(), said), ""
    if row.grader != "choice":
        return row.classes.get(said, said), ""
    if row.classes:
        letters = dict(zip(row.classes, LETTERS, strict=False))
        folded = {name.casefold(): letter for name, letter in letters.items()}  # before letters: a class may be `b`
        return letters.get(said, folded.get(said.casefold(), said)), ""
    return _letter(said, row, options, names, base)


def _letter(said: str, row: Row, options: Mapping[str, str], names: Mapping[str, str], base: int) -> tuple[str, str]:
    """The letter of the option that is meant: by its place where the row says so, else by its name or its words."""
    is_number = said.removesuffix(".0").lstrip("-").isdigit()
    if row.places and is_number:
        place = int(said.removesuffix(".0")) - base
        return (LETTERS[place] if 0 <= place < len(options) else said), ""
    own = {letter.casefold(): letter for letter in options} | dict(names)
    word = said.casefold()
    match = re.fullmatch(r"\(?(\w+?)(?:\.0)?[).:]?", word)
    named = own.get(match.group(1)) if match else None
    worded = [letter for letter, text in options.items() if text.casefold() in (word, word.removesuffix(".0"))]
    if counted := _COUNTED.match(said):  # "b) bed rest"
        letter = own.get(counted.group(1).casefold(), "")
        if options.get(letter, "").casefold() == word[counted.end() :]:
            named = letter
    if named in options and (not worded or named in worded or (names and _are_letters(list(names)))):
        return str(named), ""
    if named in options:
        return said, TWO_MEANT
    if len(worded) == 1:
        return worded[0], ""
    return said, NO_PLACE if is_number and not worded else ""


def base_of(rows: Sequence[tuple[str, Cells]], row: Row) -> int:
    """Whether a file counts places from 0 or from 1 (MedMCQA's `cop` does either), by all of its answers.

    Raises:
        AssayError: both would fit: the answers are numbers from 1 to less than there are options.
    """
    if not row.places:
        return 0
    said = [told(cell(cells, row, "answer", "")).removesuffix(".0") for _, cells in rows]
    numbers = [int(one) for one in said if one.isdigit() or one == "-1"]
    known = [one for one in numbers if one >= 0]  # -1 is that of a question whose answer is not told
    if not known or len(numbers) < len([one for one in said if one]) or not min(known):
        return 0
    if max(known) == max(len(options_of(cells, row)[0]) for _, cells in rows):
        return 1
    raise AssayError(
        f"{rows[0][0].rpartition(', ')[0]} numbers its answers {min(known)} to {max(known)}, from 0 or from 1: "
        "that cannot be told; write letters."
    )


def fault(item: Item, row: Row) -> str:
    """Why nobody could answer a question as it stands in the table; nothing, where somebody could."""
    if not item.question and row.grader != "report":
        return "it has no question"
    if row.grader == "yes_no" and item.gold not in ("", "yes", "no"):
        return "its answer is neither yes nor no"
    if row.grader == "short" and not normal(str(item.gold)):
        return "it has no answer"
    if row.grader != "choice":
        return ""
    texts = [" ".join(text.casefold().split()) for text in item.options.values()]
    if len(texts) < 2:
        return "it has fewer than two options"
    if "" in texts:
        return "one of its options is empty"
    # Published sets have some: their figures are on all of their questions.
    return "two of its options are the same" if len(set(texts)) < len(texts) and not row.folders else ""
