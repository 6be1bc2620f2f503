"""Images with captions, in the formats that people have them."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from extraction.errors import AssayError
from finetune.processes import say
from recipes.contrastive.config import PairsConfig
from recipes.contrastive.folders import class_folders, tell_left_out, tell_loose
from recipes.contrastive.images import SUFFIXES, Picture
from recipes.contrastive.patients import patient_column
from recipes.tables import table

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])")
# (A) ..., (b) ..., also (A, B) and (A-C), at the beginning of a sub-caption (common in PMC figures): where a sentence
# or a part of one begins and goes on, for “shown in (A).” is a reference.
_PART = re.compile(
    r"(?:^|[.;:,!?)\]]|\n|\band(?=\s)|&)\s*(?P<mark>\([A-Za-z](?:\s*[,&–-]\s*[A-Za-z])*\))\s*(?=[^\s.;:,!?)\]])"
)
_NAMED, _LISTED = 5, 20  # names of a reason: within a sentence, and on a line of its own


@dataclass(frozen=True)
class Pair:
    """An image and the captions that are right for it.

    Attributes:
        patient: what must not be in training and test both; empty where nothing says.
        label: of a class; empty where there is none.
    """

    image: Picture
    captions: tuple[str, ...]
    patient: str = ""
    label: str = ""

    @property
    def group(self) -> int:
        """A number that is equal for pairs that are right for each other: of one label, else of one caption."""
        told = self.label or "\n".join(" ".join(caption.split()).casefold() for caption in self.captions)
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:7], "big")


@dataclass
class Left:
    """What of the data is left out, by reason, with the first names of each."""

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)
    named: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, name: str, count: int = 1) -> None:
        """Count one, or so many of one name, and keep the name while there are few."""
        self.counts[reason] += count
        self.named[reason] += 1
        if len(kept := self.names.setdefault(reason, [])) < _LISTED:
            kept.append(on_one_line(name).removesuffix("."))

    def lines(self) -> str:
        """A line for each reason, with as many names as a line may have."""
        return "\n".join(f"  {self._told(reason, _LISTED)}" for reason in self.counts)

    def __str__(self) -> str:
        return "; ".join(self._told(reason, _NAMED) for reason in self.counts)

    def _told(self, reason: str, most: int) -> str:
        names = self.names[reason][:most]
        more = self.named[reason] - len(names)
        return f"{reason} ({self.counts[reason]}: {', '.join(names)}{f', ... and {more} more' if more else ''})"


def on_one_line(text: str) -> str:
    """A text for a table: what would break its line, or is no character (odd bytes of a name), as Python writes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_pairs(path: Path, config: PairsConfig, left: Left) -> list[Pair]:
    """The pairs of a file or folder; what cannot be used is left out, and counted in `left`.

    Raises:
        AssayError: there is nothing of a known format, a line is no such row (file and line are named), or there is no
            pair at all.
    """
    form = config.format if config.format != "auto" else _form(path)
    read = {"pairs": _rows, "pmc": _articles, "classes": _classes, "webdataset": _shards}[form]
    pairs = list(_checked(read(path, config, left), left))
    if not pairs:
        why = f": {left}" if left.counts else ""
        raise AssayError(f"{path} holds no image with a caption{why}.")
    return pairs


def _form(path: Path) -> str:
    if path.is_dir():
        if any(path.glob("*.tar")):
            return "webdataset"
        if any(one.is_dir() and not one.name.startswith(".") for one in path.iterdir()):
            return "classes"
        raise AssayError(f"{path} holds neither shards (.tar) nor a folder for each class; name a CSV or JSONL file.")
    if not path.exists():
        raise AssayError(f"There is no file {path}; give images with captions as CSV, JSONL, shards or folders.")
    if path.suffix.lower() == ".tar":
        return "webdataset"
    if path.suffix.lower() in (".csv", ".tsv"):
        return "pairs"
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for _, row in table(path):
            return "pmc" if "figures" in row else "pairs"
    raise AssayError(f"{path} is of no format that is known; .csv, .tsv, .jsonl, shards (.tar) and folders are.")


def _checked(pairs: Iterable[Pair], left: Left) -> Iterator[Pair]:
    """The pairs that have a caption, and an image that is there."""
    for pair in pairs:
        captions = tuple(caption for caption in pair.captions if caption.strip())
        if not captions:
            left.add("no caption", pair.image.name or pair.image.path.name)
        elif not pair.image.name and not pair.image.path.is_file():
            left.add("no such image", str(pair.image.path))
        else:
            yield Pair(pair.image, captions, pair.patient, pair.label)


def _rows(path: Path, config: PairsConfig, left: Left) -> Iterator[Pair]:
    told = {config.patient, ""}
    for at, row in table(path):
        for column in filter(None, (config.image, config.caption, config.label)):
            if column not in row:
                raise AssayError(
                    f"{at}: there is no `{column}`; what is there: {', '.join(map(str, row))}. Name the "
                    "columns by data.image, data.caption, data.label."
                )
        patient = patient_column(at, row, config.patient)
        if patient not in told:
            told.add(patient)
            say(f"{path}: patients are told by the column {patient}.")
        image = row[config.image]
        if not isinstance(image, str) or not image:
            left.add("no image named", at)
            continue
        if captions := _captions(row[config.caption], at, left):
            yield Pair(Picture(path.parent / image), captions, _text(row, patient), _text(row, config.label))


def _captions(said: Any, at: str, left: Left) -> tuple[str, ...]:
    """A text, or the texts of a list; what is no text (a number, null, NaN, a list in a list) is counted in `left`."""
    captions = said if isinstance(said, list) and said else [said]
    for caption in captions:
        if not isinstance(caption, str):
            left.add("a caption that is no text", f"{at}: {json.dumps(caption)[:40]}")
    return tuple(caption for caption in captions if isinstance(caption, str))


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key) if key else None
    return "" if value is None or value != value else str(value).strip()  # NaN is no value


def _articles(path: Path, config: PairsConfig, left: Left) -> Iterator[Pair]:
    """JSONL of articles (pmid, pmc, location, figures), as PMC-15M was made; an article is its figures' patient."""
    for at, row in table(path):
        figures = row.get("figures")
        if not isinstance(figures, list) or not all(isinstance(figure, dict) for figure in figures):
            raise AssayError(f"{at}: `figures` is no list of figures with fig_caption and graphic_ref.")
        article = _text(row, "pmc") or _text(row, "pmid")
        for figure in figures:
            reference = _text(figure, "graphic_ref")
            found = _figure(path.parent, _text(row, "location"), reference)
            if found is None:
                left.add("no such image", reference or at)
            elif captions := _captions(figure.get("fig_caption", ""), at, left):
                yield Pair(Picture(found), captions, article)


def _figure(root: Path, location: str, reference: str) -> Path | None:
    """The file of a figure: its reference may lack the suffix, and stand within the article's folder."""
    if not reference:
        return None
    bases = [root / location / reference, root / reference, root / location / Path(reference).name]
    tried = (base.with_name(base.name + suffix) for base in bases for suffix in ("", ".jpg", ".png", ".jpeg", ".gif"))
    return next((path for path in tried if path.is_file()), None)


def _classes(path: Path, config: PairsConfig, left: Left) -> Iterator[Pair]:
    for template in config.templates:
        if "{}" not in template:
            raise AssayError(f"data.templates: “{template}” has no {{}}, where the class belongs.")
    folders = class_folders(path)
    tell_loose(path, left)
    for name, images in folders.items():
        tell_left_out(path / name, left)
        said = name.replace("_", " ")
        captions = tuple(template.replace("{}", said) for template in config.templates)
        for image in images:
            yield Pair(Picture(image), captions, label=name)


def _shards(path: Path, config: PairsConfig, left: Left) -> Iterator[Pair]:
    """WebDataset: tar files whose members of one key (the name up to its first dot) belong together."""
    for shard in sorted(path.glob("*.tar")) if path.is_dir() else [path]:
        if path.is_dir() and shard.name.startswith("."):
            left.add("hidden file", shard.name)
            continue
        try:
            with tarfile.open(shard, "r:") as tar:
                yield from _samples(shard, tar, config, left)
            if not _has_end(shard):
                raise tarfile.ReadError("it lacks its end")
        except tarfile.TarError as error:
            raise AssayError(f"The shard {shard} is damaged ({error}); copy or make it again.") from None


def _has_end(shard: Path) -> bool:
    """Whether a tar file ends as one does, in two blocks of zeros; cut between two members it could still be read."""
    with shard.open("rb") as file:
        file.seek(max(0, shard.stat().st_size - 1024))
        return file.read() == bytes(1024)


def _samples(shard: Path, tar: tarfile.TarFile, config: PairsConfig, left: Left) -> Iterator[Pair]:
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    for member in tar:
        if member.isfile():
            name = PurePosixPath(member.name)
            key, _, suffix = name.name.partition(".")
            parts = found.setdefault(str(name.parent / key), {})
            if f".{suffix.lower()}" in parts:
                left.add("a second file of its name", f"{shard.name}: {member.name}")
            else:
                parts[f".{suffix.lower()}"] = member
    for key, parts in found.items():
        image = next((parts[suffix] for suffix in SUFFIXES if suffix in parts), None)
        said: dict[str, Any] = {}
        if ".json" in parts:
            said = _member_json(shard, tar, parts[".json"])
        if ".txt" in parts:
            try:
                said[config.caption] = _member(tar, parts[".txt"]).decode("utf-8")
            except UnicodeDecodeError:
                left.add("a caption that is no UTF-8", f"{shard.name}: {parts['.txt'].name}")
                continue
        at = f"{shard.name}: {key}"
        if image is None:
            left.add("no such image", at)
            continue
        captions = _captions(said.get(config.caption, ""), at, left)
        if not captions:
            continue
        picture = Picture(shard, image.name, image.offset_data, image.size)
        patient = patient_column(at, said, config.patient) if said else ""
        yield Pair(picture, captions, _text(said, patient), _text(said, config.label))


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _member_json(shard: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    try:
        values = json.loads(_member(tar, member))
        return dict(values)
    except (ValueError, TypeError) as error:
        raise AssayError(f"{shard}: {member.name} is no JSON object ({error}).") from None


def pieces(caption: str, how: str) -> list[str]:
    """The sentences, or sub-captions, of a caption; the whole where it has one alone.

    Args:
        how: `whole`, `sentence` or `part`; what stands before the first sub-caption stands before each.
    """
    if how == "sentence":
        return [one for one in _SENTENCE.split(caption.strip()) if one]
    found: dict[str, re.Match[str]] = {}
    for mark in _PART.finditer(caption) if how == "part" else ():
        found.setdefault(mark["mark"].casefold(), mark)  # a mark that is there again is a reference to its part
    marks = list(found.values())
    if len(marks) < 2:
        return [caption]
    ends = [mark.start("mark") for mark in marks[1:]] + [len(caption)]
    head = caption[: marks[0].start("mark")].strip()
    made = [caption[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    return [f"{head} {one}".strip() for one in made if one] or [caption]
