"""Questions on pictures as a head is trained on them; data sets are read by the rows of the recipe `vqa`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.card.base import read_row
from recipes.card.rows import row_at
from recipes.contrastive.images import Picture

_ARTICLES = ("a ", "an ", "the ")


@dataclass(frozen=True)
class Question:
    """A question on an image with its answer, as it is compared, and whether it is of the closed kind."""

    image: Picture
    text: str
    answer: str
    closed: bool


def plain(answer: Any) -> str:
    """An answer as it is compared: small letters, single blanks, no full stop or article."""
    said = " ".join(str(answer).casefold().split()).rstrip(".")
    return next((said.removeprefix(article) for article in _ARTICLES if said.startswith(article)), said)


def read_questions(folder: Path, split: str) -> tuple[list[Question], list[str]]:
    """The questions of a data set's split, and what must be known of them: what was left out and why, leaks.

    Raises:
        AssayError: nothing says what the folder holds, it holds no such questions, or its images are on both sides of
            the split and its row does not say so.
    """
    reading = read_row(row_at(folder, "vqa"), folder, split)
    made = [Question(Picture(i.images[0]), i.question, plain(i.gold), bool(i.closed)) for i in reading.items]
    return made, reading.told()
