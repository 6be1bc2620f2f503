"""The task of all rows: reads a data folder by its row, asks by the row's prompt, grades by its grader."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example
from extraction.record.record import Record
from finetune.processes import say
from finetune.task import DataRequest, Grade, Task
from recipes.card.examples import SCHEMA, Asked, examples_of
from recipes.card.grade import Graded, answer_text, final, graded, named
from recipes.card.items import Reading, known, leave_known, left_and_right, same_pictures, same_questions
from recipes.card.measures import measure
from recipes.card.readers import read_folders, read_table, split_of
from recipes.card.rows import FILE, Row, row_at

_NOTEBOOK = re.compile(r"Final Answer:\s*\(?([A-Z])\b")
Reader = Callable[[Path, str, Row], Reading]


def contract(instruction: str = "", prompt: int = 8192, answer: int = 1024) -> Contract:
    """The contract of a row: plain text, nothing forbidden.

    Args:
        instruction: a line before all that is shown.
        prompt, answer: most tokens.
    """
    return Contract(
        instruction=instruction,
        record_schema=SCHEMA,
        roles={"answer": "text"},
        style="text",
        max_prompt_tokens=prompt,
        max_answer_tokens=answer,
    )


def reader_of(row: Row) -> Reader:
    """What reads a row's data: `table`, `folders`, or a function of its recipe's readers (`read_NAME`).

    Raises:
        AssayError: there is none of that name.
    """
    common: dict[str, Reader] = {"table": read_table, "folders": read_folders}
    if row.reader in common:
        return common[row.reader]
    try:
        made: Reader = getattr(import_module(f"recipes.{row.recipe}.readers"), f"read_{row.reader}")
    except (ImportError, AttributeError):
        raise AssayError(
            f"The row {row.name} is read by `{row.reader}`, which the recipe {row.recipe} lacks."
        ) from None
    return made


def read_row(row: Row, folder: Path, split: str) -> Reading:
    """The items of a split, and what must be known of its training part.

    Raises:
        AssayError: the data are not there or not what they should be, or patients stand on both sides of the split.
    """
    reading = _part(row, folder, split).check(folder, split)
    train = Reading() if split == "train" else training_part(row, folder, split)
    if train.unread and split == "test":  # of a run's own training part its training says so
        reading.said.append(
            "Whether patients or images are on both sides of its split was not checked, as its training part cannot be "
            f"read: {train.unread}"
        )
    for part, where in ((reading, ""), (train, " of its training part")):
        unnamed = sum(not item.patient for item in part.items) if row.columns.get("patient") else 0
        if unnamed:
            reading.said.append(
                f"{unnamed} of {len(part.items)} questions{where} name no patient (column `{row.columns['patient']}`): "
                "whether these are on both sides of its split cannot be told."
            )
    if split == "validation" and row.folders:
        count = len(reading.items)
        leave_known(train, reading)  # published data repeat themselves, and nobody can take it out of them
        if count and not reading.items:
            raise AssayError(
                f"The split {split} of {folder} leaks: all of its {count} questions have their words or picture in its "
                "training part, too. Divide it by patients."
            )
    for shared, what in _shared(train, reading, row):
        named = ", ".join(shared[:5]) + (f" and {len(shared) - 5} more" if len(shared) > 5 else "")
        said = f"{len(shared)} of its {what} in its training part, too: {named}"
        if row.folders and what.startswith("questions"):  # a published exam is as it is
            reading.said.append(f"{said}.")
            continue
        if not row.leak:
            raise AssayError(
                f"The split {split} of {folder} leaks: {said}. Divide it by patients, or say in {FILE} why it may "
                "(leak: ...)."
            )
        reading.said.append(f"{said}. {row.leak}")
    return reading


def _shared(train: Reading, reading: Reading, row: Row) -> Iterator[tuple[list[str], str]]:
    """What stands on both sides of a split, by kinds; pictures are compared by content in a team's own data."""
    if both := left_and_right(train, reading):
        yield [Path(one).name for one in both], f"{len(known(reading))} patients or images are"
    elif not row.folders and (twins := same_pictures(train, reading)):
        yield twins, "pictures are"
    if asked := same_questions(train, reading):
        yield asked, f"questions ({len(reading.items)} in all) are, word for word,"


def _part(row: Row, folder: Path, split: str) -> Reading:
    """A split as its reader gives it, or a share of the training part where that is the validation part, too."""
    if split == "test" or not row.held_out or row.files.get("validation"):
        return reader_of(row)(folder, split, row)
    reading = reader_of(row)(folder, "train", row)
    names: dict[Any, str] = {}  # of contexts: of a patient, of what is shown; without the folder, which may be moved
    for item in (every := [*reading.items, *reading.unseen]):
        names.setdefault(item.patient or item.shown, item.patient or item.id)
    if len(names) == 1:
        raise AssayError(
            f"{folder} has one patient or image alone for training and validation; add others, or name the validation "
            f"part in {FILE} (files: {{validation: ...}})."
        )
    drawn = sorted(names, key=lambda key: hashlib.sha256(names[key].encode()).hexdigest())
    held = set(drawn[: max(1, len(drawn) * row.held_out // 100)])
    own = {item.id for item in every if ((item.patient or item.shown) in held) == (split == "validation")}
    reading.items = [item for item in reading.items if item.id in own]
    reading.unseen = [item for item in reading.unseen if item.id in own]
    return reading


def training_part(row: Row, folder: Path, split: str = "test") -> Reading:
    """The training part of a data set, empty where it has none; `unread` says why one that is there is empty.

    Beside the test it is all of it, also what is held out for validation: checkpoints are chosen on that.
    """
    beside, none = folder.parent / "train", Reading()
    for place in (folder, beside):
        if place == beside and (folder.name == "train" or not beside.is_dir()):
            continue
        if place == folder and _is_one_part(place, split, row):
            if split == "validation" and split_of(place.resolve().name) is None:
                raise AssayError(
                    f"{place} has its classes' folders without a division, so that it cannot be told whether it is the "
                    "training part, too. Call it validation, or divide it into train and validation."
                )
            continue
        try:
            reading = reader_of(row)(place, "train", row) if split == "test" else _part(row, place, "train")
        except AssayError as error:
            if place == beside or _has_training(place, row):
                none.unread = str(error)
            continue
        own = row.files or reading.divided or place == beside or row.reader not in ("table",)
        if own or any(p.name.casefold().startswith("train") for p in place.iterdir()):
            if not reading.items and reading.left_out:
                reading.unread = " ".join(reading.told())
            return reading
    return none


def _is_one_part(folder: Path, split: str, row: Row) -> bool:
    """Whether folders of classes lie here without a division: a split by its name, or all there is."""
    alone, name = row.reader == "folders" and not row.files, split_of(folder.resolve().name)
    return alone and not _has_training(folder, row) and name != "train" and bool(name or not row.held_out)


def _has_training(folder: Path, row: Row) -> bool:
    """Whether a folder has files of a training part, by the row's patterns or by their names."""
    if row.files:
        return any(next(folder.glob(pattern), None) for pattern in row.files.get("train", ()))
    named = (path for path in folder.iterdir() if path.name.casefold().startswith("train"))
    return any(path.is_file() or row.reader == "folders" for path in named)


class RowTask(Task):
    """The rows of one recipe: which of them a folder is of says its `row.yaml`, or its name."""

    metric = "score"

    def __init__(self, name: str, contract: Contract):
        self.name, self.contract = name, contract  # type: ignore[misc]

    def read(self, wanted: DataRequest) -> list[Example]:
        """The questions of a folder; what is left out is said."""
        row = row_at(wanted.folder, self.name)
        reading = read_row(row, wanted.folder, wanted.split)
        examples = examples_of(reading, row, wanted.questions if wanted.split == "train" else None)
        for told in reading.told():
            say(f"{row.title}, {wanted.split}: {told}")
        reading.check(wanted.folder, wanted.split)
        return examples

    def groups(self, example: Example) -> Mapping[str, str]:
        """The patient, where the data set tells."""
        first: Asked = example.branches[0].source
        return {"patient": first.item.patient} if first.item.patient else {}

    def rewards(self, contract: Contract, example: Example, record: Record) -> dict[str, float]:
        """The grader's score; whether the reply states a final answer; and the reward of the public MedGemma notebook.

        That one is 1 for "Final Answer: X" or "Final Answer: (X)" with the right letter, else 0 (TRL's GRPO on MedQA:
        accuracy from 14.1 to 70.5% within 1,024 tokens).
        """
        one: Asked = example.branches[0].source
        reply = str((record.data or {}).get("answer", ""))
        scores = graded(reply, one.item, one.row.grader).scores
        first = next((f.score for f in one.row.figures if f.score in scores), next(iter(scores)))
        stated = _NOTEBOOK.search(reply)
        return {
            "metric": scores[first],
            "format": float(final(answer_text(reply)) is not None),
            "notebook": float(stated is not None and stated.group(1) == str(one.item.gold)),
        }

    def grade(self, contract: Contract, examples: Sequence[Example], records: Sequence[Sequence[Record]]) -> Grade:
        """The row's figures with intervals, the first as `score`; what could not be graded, what was left out."""
        asked: list[Asked] = [branch.source for example in examples for branch in example.branches]
        replies = [str((record.data or {}).get("answer", "")) for own in records for record in own]
        if not asked:
            raise AssayError("There is no question to grade.")
        row, reading = asked[0].row, asked[0].reading
        found = [graded(reply, one.item, row.grader) for one, reply in zip(asked, replies, strict=True)]
        figures = figures_of(row, [one.item for one in asked], found)
        by_reason: dict[str, float] = {}
        for one in found:
            if one.why:
                by_reason[f"ungraded: {one.why}"] = by_reason.get(f"ungraded: {one.why}", 0) + 1
        left = {f"left out: {why}": count for why, count in reading.counts.items()}
        # What must be seen to before pictures are passed on (text burnt into them) is counted as well.
        warned = {said.rstrip("."): len(of) for said, of in reading.odd.items() if said.startswith("Warning: ")}
        figures = {**figures, "questions": len(asked), **by_reason, **left, **warned}
        return Grade(figures, answers=answers_of(asked, found, replies))


def answers_of(asked: Sequence[Asked], found: Sequence[Graded], replies: Sequence[str]) -> list[dict[str, object]]:
    """Yes, no or a choice on volumes and slides, each beside the true one: what `assay export` makes reports of."""
    return [
        {
            "kind": one.item.group or one.row.name,
            "state": "right" if given.scores["right"] else "wrong" if given.said else "not found",
            "row": one.row.title,
            "protocol": one.row.shown,
            "study": [str(path.resolve()) for path in one.item.images],
            "question": one.item.question,
            "said": one.item.options.get(given.said, given.said),
            "gold": one.item.options.get(one.item.gold, one.item.gold),
            "evidence": list(named(reply)) if one.row.names else [],
        }
        for one, given, reply in zip(asked, found, replies, strict=True)
        if one.row.shown != "picture" and one.row.grader in ("yes_no", "choice") and one.item.images
    ]


def figures_of(row: Row, items: Sequence[object], graded: Sequence[Graded]) -> dict[str, float]:
    """A row's figures between 0 and 1, the first that can be had as `score`; each with the ends of its interval."""
    found: dict[str, float] = {}
    for figure in row.figures:
        made = measure(figure, items, graded)  # type: ignore[arg-type]
        if made is None:
            continue
        found.setdefault("score", made.value / 100)
        found |= {figure.name: made.value / 100}
        if made.low == made.low:
            found |= {f"{figure.name}, low": made.low / 100, f"{figure.name}, high": made.high / 100}
    return found
