"""Questions on pictures as a head is trained on them; data sets are read by the rows of the recipe `vqa`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from extraction.errors import AssayError
from recipes.card.base import read_row
from recipes.card.rows import row_at
from recipes.contrastive.images import Picture, Preprocess, UnreadableError
from recipes.contrastive.load import Dual

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


class QuestionRows(torch.utils.data.Dataset[dict[str, Any]]):
    """Questions in an order, images drawn when they are needed."""

    def __init__(self, questions: Sequence[Question], order: Sequence[int], answers: Sequence[str], pre: Preprocess):
        self.questions, self.order, self.preprocess = questions, order, pre
        self.numbers = {answer: number for number, answer in enumerate(answers)}

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """A row at a place in the order; of the next question with a readable image where it must be."""
        for tried in range(len(self.questions)):
            question = self.questions[(self.order[number] + tried) % len(self.questions)]
            try:
                pixels = self.preprocess.pixels(question.image.open())
            except UnreadableError as error:
                if tried < 3:
                    print(f"{error} Another question is trained in its place.", file=sys.stderr)
                continue
            return {**row_of(question, pixels, self.numbers), "unreadable": tried}
        raise AssayError("None of the training images can be read.")


def row_of(question: Question, pixels: np.ndarray, numbers: Mapping[str, int]) -> dict[str, Any]:
    """A question as a batch takes it; its answer's number is -1 where it cannot be given."""
    return {
        "pixels": torch.from_numpy(pixels.copy()),
        "text": question.text,
        "label": numbers.get(question.answer, -1),
    }


def collate(rows: Sequence[dict[str, Any]], dual: Dual) -> dict[str, Any]:
    """A batch of rows."""
    return {
        "pixels": dual.preprocess.normalise(torch.stack([row["pixels"] for row in rows])),
        **dual.words.encode([row["text"] for row in rows]),
        "labels": torch.tensor([row["label"] for row in rows]),
        "unreadable": torch.tensor(sum(row.get("unreadable", 0) for row in rows)),
    }
