"""Items to examples: questions on the same pictures or text are branches of one context."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from extraction.document import kinds, open_document
from extraction.errors import AssayError, DocumentError
from extraction.evidence import LabelIndex
from extraction.example import Branch, Context, Example, ImagePart, Part
from recipes.card.boxes import written
from recipes.card.items import Item, Reading
from recipes.card.rows import FILE, Row, filled

T = TypeVar("T")
_LABEL = re.compile(r"^(SLICE|PATCH) (\d+)$")  # of one image
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


@dataclass(frozen=True)
class Asked:
    """Where a branch comes from: what a grader needs of it."""

    item: Item
    row: Row
    reading: Reading


def asked(item: Item, row: Row) -> str:
    """The words of a question."""
    options = "\n".join(filled(row.prompt.option, letter=k, text=text) for k, text in item.options.items())
    ask = row.prompt.ask if item.options else row.prompt.ask.replace("\n{options}", "")
    return filled(ask, question=item.question, options=options)


def answer(item: Item, row: Row, gold: Any = None) -> str:
    """The words of an answer, the true one where none is given."""
    gold = item.gold if gold is None else gold
    said = written(gold, item.question) if row.grader == "box" else str(gold)
    places = ", ".join(f"{row.names} {number}" for number in item.evidence if gold == item.gold and row.names)
    evidence = f" ({places})" if places else ""
    return filled(row.prompt.answer, text=item.options.get(said, said), answer=said, evidence=evidence)


def examples_of(reading: Reading, row: Row, questions: int | None = None) -> list[Example]:
    """A context for all questions on the same pictures and text, in the order of the first.

    Pictures that cannot be read are left out of `reading`, with all that is asked of them.

    Args:
        questions: at most so many a context.
    """
    shown = _pictures(reading, row)
    groups: dict[Any, list[Item]] = {}
    for item in reading.items:
        groups.setdefault(item.shown, []).append(item)
    made = []
    for items in groups.values():
        first = items[0]
        parts: list[Part] = [row.prompt.before] if row.prompt.before else []
        for number, path in enumerate(first.images):
            # Over several studies numbers go on: every slice has one name.
            parts += _renumbered(shown[path], sum(isinstance(part, ImagePart) for part in parts))
            parts += row.prompt.labels[number : number + 1]
        parts += [first.text] if first.text else []
        branches = tuple(
            Branch((asked(item, row),), gold={"answer": answer(item, row)}, source=Asked(item, row, reading))
            for item in items[:questions]
        )
        labels = [part for part in parts if isinstance(part, str) and _LABEL.match(part)]
        index = LabelIndex(labels) if row.names else None
        made.append(Example(Context(first.at or first.id, tuple(parts), index), branches))
    return made


def _renumbered(parts: Sequence[Part], before: int) -> list[Part]:
    """Parts of a volume or slide whose labels count on from the images before it."""

    def counted(match: re.Match[str]) -> str:
        return f"{match.group(1)} {int(match.group(2)) + before}"

    return [_LABEL.sub(counted, p) if isinstance(p, str) and before else p for p in parts]


def _pictures(reading: Reading, row: Row) -> dict[Path, list[Part]]:
    """Every picture, volume or slide of a reading, opened once; those that cannot be are left out."""
    paths = list(dict.fromkeys(path for item in reading.items for path in item.images))

    def opened(path: Path) -> tuple[list[Part], Sequence[str]] | str:
        try:
            parts_of = {"picture": picture_parts, "slide": slide_parts}.get(row.shown, volume_parts)
            return parts_of(path, row)
        except AssayError as error:
            return str(error)

    # What is opened by a process of its own per volume or slide has its own memory, too.
    with ThreadPoolExecutor(None if row.shown == "picture" else 2) as pool:
        found = dict(zip(paths, pool.map(opened, paths), strict=True))
    faults = {path: why for path, why in found.items() if isinstance(why, str)}
    bad = {
        item.id: f"{item.at} ({next(faults[path] for path in item.images if path in faults)})"
        for item in reading.items
        if any(path in faults for path in item.images)
    }
    if bad:
        reading.drop(bad, "its image cannot be read")
    shown = {path: one for path, one in found.items() if not isinstance(one, str)}
    for path, (_, odd) in shown.items():
        for sentence in odd:
            reading.odd.setdefault(sentence, []).append(path.name)
    return {path: parts for path, (parts, _) in shown.items()}


def picture_parts(path: Path, row: Row) -> tuple[list[Part], Sequence[str]]:
    """A picture, padded where the row says so; what is odd about it.

    Raises:
        AssayError: it cannot be read; limits are not spoken of, as nobody can set them here.
    """
    try:
        shown, warning = readable(path)
        document = open_document(shown)
    except DocumentError as error:
        raise DocumentError(re.sub(r",? or raise (?:the limit )?`\w+`", "", str(error))) from None
    part = ImagePart.of_page(document, 1)
    if row.square:
        part = replace(part, size=(max(part.size),) * 2, square=True)
    pages, moving = len(document.pages), document.pages[0].moving
    odd = [f"only the first of its {count} {what} is shown." for count, what in
           ((pages, "pages"), (moving, "pictures (it is animated)")) if count > 1]  # fmt: skip
    return [part], [*odd, *filter(None, [warning])]


def volume_parts(path: Path, row: Row) -> tuple[list[Part], Sequence[str]]:
    """The slices of all volumes of a study that can be shown, one behind the other, each with its label; what is odd.

    Raises:
        AssayError: there is no volume, or none that the row's protocol fits.
    """
    from extraction.volume import fitting, open_volumes, parts, shown

    volumes, errors = fitting(open_volumes(path), row.shown)
    if not volumes:
        raise errors[0]
    files = [file for volume in volumes for file in shown(volume, row.shown)]
    unfit = [f"one of its volumes is not shown. {str(error).partition(';')[0].rstrip('.')}." for error in errors]
    left = [f"some of its files are not shown: {why}." for why in volumes[0].left_out]
    return parts(files), [*(sentence for volume in volumes for sentence in volume.said), *unfit, *left]


def slide_parts(path: Path, row: Row) -> tuple[list[Part], Sequence[str]]:
    """A slide's patches in their order; what is odd about it.

    Raises:
        AssayError: it cannot be read, has no tissue, or does not say how large it is.
    """
    from extraction.slide import open_slide, shown

    slide = open_slide(path)
    if slide.magnification is None and row.mpp:
        slide = open_slide(path, row.mpp)
    try:
        files = shown(slide, magnification=row.magnification)
    except DocumentError as error:  # its remedy is that of a command and of Python
        raise DocumentError(str(error).replace("(--mpp, or mpp=... in Python)", f"(`mpp` in {FILE})")) from None
    parts: list[Part] = []
    for number, file in enumerate(files, 1):
        parts += [ImagePart.made(file), *([f"{row.names} {number}"] if row.names else [])]
    return parts, slide.said


def readable(path: Path) -> tuple[Path, str]:
    """A picture as a file that can be shown: itself, or a PNG of what a DICOM file shows, where pydicom is installed.

    Behind it stands a warning of text that may be burnt into the latter; mostly it is empty.

    Raises:
        DocumentError: it is DICOM, and cannot be read here.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return path, ""  # opening it says what is wrong
    kind = kinds.kind_of(head)
    if kind.name != "a DICOM image":
        if head and "PDF" in kind.remedy:  # that of a document; a page of text is no picture
            raise DocumentError(f"{path} is {kind.name} and no picture; put a PNG or JPEG there.")
        return path, ""
    try:
        from extraction.volume.picture import as_png
    except ImportError:
        raise DocumentError(f"{path} is a DICOM image; pip install pydicom, or export it as PNG.") from None
    return as_png(path)


def sampled(examples: Sequence[T], limit: int | None, seed: int = 0) -> list[T]:
    """At most so many contexts, drawn at random but always the same, in their order."""
    import random

    if limit is None or limit >= len(examples):
        return list(examples)
    return [examples[place] for place in sorted(random.Random(seed).sample(range(len(examples)), limit))]
