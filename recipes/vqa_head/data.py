"""SLAKE and VQA-RAD in their own JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from recipes.contrastive.data import Left
from recipes.contrastive.images import Picture
from recipes.vqa_head.config import QuestionsConfig

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


def read_questions(path: Path, config: QuestionsConfig, split: str, left: Left) -> list[Question]:
    """The questions of a file for `train` or `validation`; those without answer or image are counted in `left`.

    Raises:
        AssayError: it is no such file, an item lacks a key, or nothing is left.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise AssayError(f"{path} cannot be read as JSON: {error}.") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AssayError(f"{path} is no list of questions, as SLAKE and VQA-RAD have them.")
    made = []
    for number, row in enumerate(rows, 1):
        if row.get("q_lang", config.language) != config.language or _other_part(row, split):
            continue
        name = row.get("img_name", row.get("image_name"))
        if name is None or not {"question", "answer"} <= row.keys():
            raise AssayError(f"{path}, question {number}: img_name (or image_name), question and answer are wanted.")
        image = _image(path, config.images, str(name))
        answer = plain(row["answer"])
        if image is None:
            left.add("no such image", str(name))
        elif not answer:
            left.add("no answer", f"question {number}")
        else:
            closed = str(row.get("answer_type", "")).strip().upper() == "CLOSED"
            made.append(Question(Picture(image), str(row["question"]), answer, closed))
    if not made:
        raise AssayError(f"{path} holds no question for {split}{f': {left}' if left.counts else ''}.")
    return made


def _other_part(row: dict[str, Any], split: str) -> bool:
    """Whether VQA-RAD's phrase_type (freeform, para, test_freeform, test_para) puts a question into the other part."""
    kind = row.get("phrase_type")
    return kind is not None and str(kind).startswith("test") != (split == "validation")


def _image(path: Path, images: Path | None, name: str) -> Path | None:
    roots = [images] if images else [path.parent, path.parent / "imgs", path.parent / "images"]
    return next((root / name for root in roots if (root / name).is_file()), None)


def check_images(train: Sequence[Question], test: Sequence[Question], allowed: bool) -> str:
    """What is to be said of images that are in both; empty where none is.

    Raises:
        AssayError: some are, and that is not allowed.
    """
    known = {question.image.path.resolve() for question in train}
    images = {question.image.path.resolve() for question in test}
    if not (shared := len(known & images)):
        return ""
    said = f"{shared} of {len(images)} test images are training images, too"
    if not allowed:
        raise AssayError(f"{said}: figures would be too good. Part them, or set data.shared_images=true.")
    return said
