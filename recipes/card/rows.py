"""A row of a card as a page of declarations: reader, prompt, grader, figures, and what others have published."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from extraction.errors import AssayError, reason
from finetune.config import Section
from finetune.yaml_keys import Loader, TwiceError

FILE = "row.yaml"
"""Beside data of a team's own: says how they are read, asked and graded."""
COLUMNS = ("id", "question", "options", "answer", "evidence", "image", "text", "patient", "group", "closed", "split")
"""What columns may hold."""
PARTS = ("train", "validation", "test")
FIELDS = {"ask": ("question", "options"), "option": ("letter", "text"), "answer": ("answer", "text", "evidence")}
"""What stands in braces in a prompt."""
FIGURES = ("accuracy", "balanced accuracy", "macro accuracy", "macro F1", "macro precision", "macro recall", "mean IoU",
           "tokenised F1", "yes/no accuracy", "closed accuracy", "exact match", "ROUGE-L", "evidence F1")  # fmt: skip
SCORES = {
    "choice": ("right", "evidence"),
    "yes_no": ("right", "evidence"),
    "short": ("f1", "exact", "yes_no", "closed"),
    "report": ("rouge_l", "radgraph_partial", "radgraph_simple", "radgraph_complete"),
    "box": ("iou",),
}
"""What each grader gives; a row that names no figure has the first of them."""
_FIRST = {"f1": "tokenised F1", "rouge_l": "ROUGE-L", "iou": "mean IoU"}
MODELS = ("Gemma 3 4B", "MedGemma 1 4B", "MedGemma 1.5 4B", "MedGemma 1 27B")
"""Whose figures a card has, in this order."""


class Prompt(Section):
    """What a model is asked, word for word."""

    before: str = ""
    """Shown before the images."""
    labels: tuple[str, ...] = ()
    """Shown behind each image, in order."""
    ask: str = "{question}\n{options}"
    """The question; `{question}` and `{options}` are replaced. Where there are no options, their line is none."""
    option: str = "({letter}) {text}"
    """An option, a line each."""
    answer: str = "Final Answer: {answer}"
    """The true answer, as it is trained and as its likelihood is taken; `{answer}`, or `{text}` of the option. With
    `{evidence}` behind it (`Final Answer: {answer}{evidence}`) it names slices or patches: ` (SLICE 3, SLICE 4)`, where
    the table has some (`columns: {evidence: ...}`, numbers as they are shown), else nothing."""


class Figure(Section):
    """One figure of a row."""

    name: str
    """As the card calls it."""
    score: str = "right"
    """Which score of the grader it is made of."""
    over: Literal["mean", "macro", "recall", "f1", "precision", "sensitivity"] = "mean"
    """`mean` over questions; `macro`: the mean of the groups' means; `recall`: the mean over groups of the mean over
    their true answers; `f1`, `precision`, `sensitivity`: the mean over groups of these of yes."""
    published: tuple[float | None, ...] = ()
    """In percent, of Gemma 3 4B, MedGemma 1 4B, MedGemma 1.5 4B, MedGemma 1 27B."""


class Row(Section):
    """A row of a card."""

    name: str
    """By which it is chosen."""
    title: str
    """As the table shows it."""
    recipe: str
    """The recipe that trains it."""
    reader: str = "table"
    """What knows the data set's layout."""
    folders: tuple[str, ...] = ()
    """Names of folders under which the data set is published."""
    parts: tuple[str, ...] = ()
    """Of `folders`, in small letters, those that hold a part of the questions: no published figures stand beside it."""
    files: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Files of each split (train, validation, test), patterns within the folder."""
    held_out: int = Field(default=0, ge=0, le=90)
    """Of a hundred contexts of the training part, those that are the validation part, where no files are named for it;
    at least one. Which they are is drawn by their names, always the same."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns by what they hold: id, question, options, answer, evidence, image, text, patient, group, closed, split.
    Options may be several columns, images too (`previous, current`: two studies of a row), and a box: y0, x0, y1,
    x1, in 0 to 1000 of the picture as it is shown."""
    places: bool = False
    """Whether answers are places among the options, from 0 or from 1 (which is told from all answers of a file)."""
    where: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """Only rows of the table whose columns say this."""
    images: str = "{image}"
    """Where the image of a row lies within the folder."""
    shown: Literal["picture", "ct", "ct-r1", "mri", "slide"] = "picture"
    """What an image is: a picture; a volume (a folder or ZIP of DICOM files, NIfTI), of which slices are shown by a
    protocol; or a whole slide, shown as patches."""
    magnification: Literal[5, 10, 20] = 10
    """Of a slide's patches."""
    mpp: float | None = None
    """Microns a pixel of slides that do not say it themselves."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Answers in the table, and what they are called as options."""
    ignore: tuple[str, ...] = ()
    """Answers that are none: rows that have them are left out and counted."""
    question: str = ""
    """What is asked where the table has no questions."""
    square: bool = False
    """Pad images with black to a square."""
    prompt: Prompt = Prompt()
    grader: Literal["choice", "yes_no", "short", "report", "box"] = "choice"
    figures: tuple[Figure, ...] = (Figure(name="accuracy"),)
    """Checkpoints are chosen by the first of them that can be had (RadGraph F1 needs a model of its own)."""
    n: int | None = None
    """How many questions the published figures are on."""
    access: str = ""
    """How the data are come by."""
    download: str = ""
    """Name on the hub, for open sets."""
    blind: Literal["constant", "question", "label", "none"] = "constant"
    """The best rule that sees no image: the most frequent answer; that of the same question in training, else of its
    first word; the median box of the same label in training."""
    leak: str = ""
    """What is known of patients or images on both sides of its split; without it, such data are refused."""
    note: str = ""
    """What else a reader of the table must know."""

    @field_validator("figures")
    @classmethod
    def _some(cls, value: tuple[Figure, ...]) -> tuple[Figure, ...]:
        if not value:
            raise ValueError("names no figure; leave it out for accuracy")
        return value

    @property
    def names(self) -> str:
        """What a slice or a patch is called where answers name some; empty where they name none."""
        if "{evidence}" not in self.prompt.answer or self.shown == "picture":
            return ""
        return "PATCH" if self.shown == "slide" else "SLICE"


def filled(template: str, **values: str) -> str:
    """A template with names in braces replaced; other braces are its own, as are those of the values."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match.group(1), match.group()), template)


def load_row(path: Path) -> Row:
    """A row of a file; one that says `base: NAME` begins from a published row.

    Raises:
        AssayError: unreadable, an unknown key (the nearest is named) or a value of the wrong kind.
    """
    try:
        values: Any = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise AssayError(f"{path} cannot be read ({reason(error)}).") from None
    except TwiceError as error:
        raise AssayError(f"{path}, line {error.line}, has the key `{error.key}` a second time; keep one.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise AssayError(f"{path}{f', line {mark.line + 1},' if mark else ''} is no YAML.") from None
    if not isinstance(values, dict):
        raise AssayError(f"{path} must be keys with values, such as reader, columns, prompt, grader.")
    base = values.pop("base", None)
    start = _begun(by_name(str(base)), values) if base else {}
    if path.name == FILE:
        name = path.parent.resolve().name
        values = {"name": name, "title": values.get("name", name), **values}
    merged = _merged(start, values)
    score = SCORES.get(str(merged.get("grader")), ("right",))[0]
    if score in _FIRST:
        merged.setdefault("figures", [{"name": _FIRST[score], "score": score}])
    try:
        row = Row.model_validate(merged)
    except ValidationError as error:
        detail = error.errors()[0]
        key, known = str(detail["loc"][-1]), [*Row.model_fields, *Prompt.model_fields, *Figure.model_fields]
        if detail["type"] == "literal_error":
            key, known = str(detail["input"]), re.findall(r"'([^']+)'", detail["ctx"]["expected"])
        if detail["type"] == "string_type" and isinstance(detail["input"], bool | int | float):
            word = "; YAML takes yes, no, on and off for true and false" if isinstance(detail["input"], bool) else ""
            raise AssayError(f"{path}: {reason(error)}{word}; put it in quotes.") from None
        meant = _meant(key, known) if detail["type"] in ("extra_forbidden", "literal_error") else "."
        raise AssayError(f"{path}: {reason(error)}{meant}") from None
    _check_names(row, path)
    return row


def _begun(base: Row, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a row takes from its base: of classes that it has itself none more.

    Data of another layout are a team's own: looked through as such, without what is known of the base's.
    """
    start = base.model_dump(exclude_unset=True)
    if "classes" in values:
        start.pop("classes", None)
    columns = values.get("columns")
    if isinstance(columns, dict) and {"question", "answer", "image"} & set(columns):  # a table that has its own names
        start = {key: one for key, one in start.items() if key not in ("columns", "files", "where", "images")}
    if base.folders and {"reader", "columns"} & set(values):
        start |= {"folders": (), "n": None, "leak": "", "note": "", "access": "", "download": ""}
        start["figures"] = [figure.model_copy(update={"published": ()}).model_dump() for figure in base.figures]
    return start


def _meant(name: str, known: Sequence[str]) -> str:
    by_letters = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), by_letters, n=1, cutoff=0.0)
    return f"; did you mean `{by_letters[near[0]]}`?" if near else "."


def _check_names(row: Row, path: Path) -> None:
    """Raise AssayError where a row names a column, a part, a field of a template, a figure or a score that is none."""
    for key, names, known in (("columns", row.columns, COLUMNS), ("files", row.files, PARTS)):
        for name in names:
            if name not in known:
                raise AssayError(f"{path}: unknown `{name}` in `{key}`{_meant(name, known)}")
    if "evidence" in row.columns and not row.names:
        raise AssayError(
            f"{path}: `evidence` in `columns` is of slices and patches, and no answer names them: say `shown: ct` "
            'or mri or slide, and `prompt: {answer: "Final Answer: {answer}{evidence}"}`.'
        )
    templates = [(f"prompt.{key}", getattr(row.prompt, key), fields) for key, fields in FIELDS.items()]
    for key, template, fields in [*templates, ("images", row.images, ("image",))]:
        # `\boxed{X}` and JSON are words of a prompt.
        for before, name in re.findall(r"(\\\w+)?\{([\w.]*)\}", template):
            if not before and name not in fields:
                there = " and ".join(f"{{{one}}}" for one in fields)
                raise AssayError(f"{path}: unknown `{{{name}}}` in `{key}`, which knows {there}{_meant(name, fields)}")
    for figure in row.figures:
        near = difflib.get_close_matches(figure.name.casefold(), [one.casefold() for one in FIGURES], n=1, cutoff=0.85)
        if near and near[0] != figure.name.casefold():
            raise AssayError(f"{path}: unknown figure `{figure.name}`{_meant(figure.name, FIGURES)}")
        if figure.score not in SCORES[row.grader]:
            raise AssayError(
                f"{path}: the figure {figure.name} is made of `{figure.score}`, which the grader {row.grader} does not "
                f"give; say `score:` {', '.join(SCORES[row.grader])}."
            )


def _merged(start: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`start` with changes; of sections, key by key."""
    out = dict(start)
    for key, value in changes.items():
        inner = out.get(key)
        out[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return out


@lru_cache(maxsize=1)
def published() -> dict[str, Row]:
    """The rows of MedGemma's card by name, in the order of their files."""
    folder = Path(__file__).parents[1]
    files = sorted(folder.glob("*/rows/*.yaml"), key=lambda path: (path.parent.parent.name, path.name))
    return {row.name: row for row in map(load_row, files)}


def by_name(name: str) -> Row:
    """A published row.

    Raises:
        AssayError: there is none of that name; the nearest is named.
    """
    rows = published()
    if name not in rows:
        near = difflib.get_close_matches(name, rows, n=1, cutoff=0.3)
        meant = f"did you mean {near[0]}? " if near else ""
        raise AssayError(f"There is no row {name}; {meant}Known are {', '.join(rows)}.")
    return rows[name]


def row_at(folder: Path, recipe: str = "") -> Row:
    """The row of a data folder: by its `row.yaml` or its parent's, else by the name it is published under.

    Raises:
        AssayError: there is no such folder, or nothing says what is in it.
    """
    if not folder.is_dir():
        raise AssayError(f"The data folder {folder} does not exist.")
    for place in (folder, folder.resolve().parent):
        if (place / FILE).is_file():
            return load_row(place / FILE)
    for row in published().values():
        if recipe in ("", row.recipe) and is_of(row, folder):
            return row
    own = [row for row in published().values() if recipe in ("", row.recipe)]
    names = sorted({name for row in own for name in row.folders})
    bases = [row.name for row in own if not row.folders]
    begun = f"`base:` {' or '.join(bases)} with a table beside it; " if bases else ""
    called = f", or give it its published name ({', '.join(names)})" if names else ""
    raise AssayError(
        f"Nothing says what {folder} holds: put a {FILE} there that does ({begun}recipes/README.md has some){called}."
    )


def is_version(folder: Path) -> bool:
    """Whether a folder is a version of a data set within the data set's, as PhysioNet has it (mimic-cxr-jpg/2.1.0)."""
    return re.fullmatch(r"\d+(\.\d+)+", folder.resolve().name) is not None


def is_of(row: Row, folder: Path) -> bool:
    """Whether a folder has a name under which a row's data set is published, and the files of one of its splits."""
    names, place = {name.casefold() for name in row.folders}, folder.resolve()
    if (place.parent if is_version(place) else place).name.casefold() not in names:
        return False
    return not row.files or any(next(folder.glob(one), None) for own in row.files.values() for one in own)
