"""A folder of labelled data made into folders to train on, to be judged by and to test on: no patient, institution or
vendor stands in two of them."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extraction.document import SUFFIXES
from extraction.errors import AssayError
from extraction.files import whole_folder
from extraction.score.results import is_record
from finetune.data import file_digest
from finetune.groups import same, scalars

FOLDER = "folder"
"""What `by` says where the sub-folder is the group."""
_TABLES = (".csv", ".tsv", ".jsonl")
_ROW = "row.yaml"  # says of a table how it is read (recipes/card); it holds for all parts, from the folder above
_PARTS = ("train", "training", "validation", "valid", "val", "dev", "test")


@dataclass(frozen=True)
class Item:
    """What stays together: a document with its record, or a row of a table with the files that it names.

    Attributes:
        name: for people.
        group: whose it is; empty where nothing tells.
        files: with what they are called in a part.
        table, row: where it is a row, the table and the row's text.
    """

    name: str
    group: str
    files: Mapping[Path, str] = field(default_factory=dict)
    table: Path | None = None
    row: str = ""


@dataclass(frozen=True)
class Made:
    """What was made: items and groups of each part, and the files that belong to no item."""

    items: dict[str, int]
    groups: dict[str, int]
    left: list[str]

    def __str__(self) -> str:
        lines = [
            f"{part:12}{count} example{'s' * (count != 1)} of {self.groups[part]} group{'s' * (self.groups[part] != 1)}"
            for part, count in self.items.items()
        ]
        if self.left:
            more = f" and {len(self.left) - 3} more" if len(self.left) > 3 else ""
            lines.append(f"Left out, as nothing belongs to them: {', '.join(self.left[:3])}{more}.")
        return "\n".join(lines)


def split(folder: Path, out: Path, by: str | None, shares: Mapping[str, float], seed: int, link: bool = False) -> Made:
    """Divide a folder into `train` and the parts that `shares` names, group by group.

    Args:
        folder: of documents with their records, of other files, or of tables (CSV, TSV, JSON lines) and what they name.
        out: a new or empty folder; written whole or not at all.
        by: what tells the group: a field of the records or column of the tables, `folder` for the sub-folder, or a
            regular expression with one pair of brackets, looked for in names. None: each example is its own, copies of
            a file together.
        shares: of the examples, that a part has at most (at least one group).
        link: make links to the files, not copies.

    Raises:
        AssayError: nothing to divide, something has no group, a file belongs to two, or there are too few groups.
    """
    if not folder.is_dir():
        raise AssayError(f"The data folder {folder} does not exist.")
    if out.is_symlink() or (out.exists() and not _only_folders(out)):
        raise AssayError(f"{out} is there already, and holds files; choose another folder.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise AssayError(f"{out} lies in {folder}, which would then hold its files twice; choose one outside of it.")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path.relative_to(folder))]
    labelled = any(path.suffix.lower() in SUFFIXES and path.with_suffix(".json") in files for path in files)
    tables = [path for path in files if path.parent == folder and path.suffix in _TABLES and not labelled]
    items = list(_rows(folder, files, tables, by) if tables else _documents(folder, files, by))
    if not items:
        raise AssayError(f"The data folder {folder} holds no file to divide.")
    _check_items(items, by)
    parts = _parts(items, shares, seed)
    with whole_folder(out) as made:
        for part, own in parts.items():
            _write(own, made / part, part, link)
        if (folder / _ROW).is_file():
            shutil.copy2(folder / _ROW, made / _ROW)
        for empty in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
            empty.rmdir()  # as `assay init` makes them; a folder that is no longer empty stops it
    taken = {path for item in items for path in item.files} | {*tables, folder / _ROW}
    return Made(
        {part: len(own) for part, own in parts.items()},
        {part: len({item.group for item in own}) for part, own in parts.items()},
        [path.relative_to(folder).as_posix() for path in files if path not in taken],
    )


def _only_folders(out: Path) -> bool:
    """Whether there is nothing in a folder but folders, none of them a link."""
    return out.is_dir() and all(path.is_dir() and not path.is_symlink() for path in out.rglob("*"))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _documents(folder: Path, files: Sequence[Path], by: str | None) -> Iterator[Item]:
    """Documents with what is named after them (`a.pdf`, `a.json`); where there is none, every file by itself."""
    documents = [path for path in files if path.suffix.lower() in SUFFIXES] or files
    together: dict[Path, list[Path]] = {path.with_suffix(""): [] for path in documents}
    for path in files:
        ends = [match.start() for match in re.finditer(r"\.", path.name)]
        stems = (path.with_name(path.name[:end]) for end in reversed(ends) if end)
        if (stem := next((stem for stem in stems if stem in together), path)) in together:
            together[stem].append(path)
    for own in together.values():
        records = [path for path in own if path.suffix == ".json"]
        # Records are read from one folder, so that those of sub-folders are named after these.
        flat = len(records) < len(own) and bool(records)
        names = {path: path.relative_to(folder).parts for path in own}
        called = {path: ("-" if flat else "/").join(parts) for path, parts in names.items()}
        first = next((path for path in own if path not in records), own[0])
        if by is None:
            group = file_digest(first)
        else:
            group = _named(by, names[first]) if by == FOLDER or "(" in by else _said(by, records)
        yield Item("/".join(names[first]), same(group), called)


def _rows(folder: Path, files: Sequence[Path], tables: Sequence[Path], by: str | None) -> Iterator[Item]:
    """The rows of tables, each with the files that its cells name, by path, name or stem."""
    known: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if path not in tables and path.name != _ROW:
            for name in {path.relative_to(folder).as_posix(), path.name, path.stem}:
                known[name].append(path)
    for table in tables:
        for number, (text, cells) in enumerate(_cells(table), 1):
            named = [known[cell][0] for cell in cells.values() if len(known.get(cell, ())) == 1]
            own = {path: path.relative_to(folder).as_posix() for path in named}
            group = cells.get(by, "") if by else next(iter(own.values()), text)
            yield Item(f"{table.name}, row {number}", same(group), own, table, text)


def _cells(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a table: the text of each, and what its cells say."""
    try:
        if table.suffix == ".jsonl":
            for line in table.read_text(encoding="utf-8-sig").split("\n"):
                if line.strip():
                    cells = json.loads(line)
                    yield line.rstrip("\r"), {key: str(value) for key, value in cells.items() if value is not None}
            return
        columns, *rows = _lines(table)
        for row in rows:
            yield _line(row, table), dict(zip(columns, row, strict=True))
    except (OSError, ValueError, AttributeError, csv.Error) as error:
        raise AssayError(f"{table} cannot be read as a table: {error}.") from None


def _lines(table: Path) -> list[list[str]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        return [row for row in csv.reader(file, delimiter=_comma(table)) if any(row)]


def _line(row: Sequence[str], table: Path) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=_comma(table), lineterminator="").writerow(row)
    return text.getvalue()


def _comma(table: Path) -> str:
    return "\t" if table.suffix == ".tsv" else ","


def _named(by: str, parts: Sequence[str]) -> str:
    """The group that a file's path tells: its sub-folder, or what stands in the brackets of a pattern."""
    if by == FOLDER:
        return parts[0] if len(parts) > 1 else ""
    try:
        found = re.search(by, "/".join(parts))
        return (found[1] or "") if found else ""
    except (re.error, IndexError) as error:
        raise AssayError(f"--by {by} is no pattern with a pair of brackets ({error}).") from None


def _said(by: str, records: Sequence[Path]) -> str:
    """The group that a record tells: the value of a field outside its lists, by its name or path (`customer.city`)."""
    for path in records:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AssayError(f"The record {path} cannot be read: {error}.") from None
        for key, value in scalars(content["data"] if is_record(content) else content):
            if by in (key, key.rpartition(".")[2]):
                return value
    return ""


def _check_items(items: Sequence[Item], by: str | None) -> None:
    """Raise AssayError where an item has no group, or a file would stand in two parts, or two files under one name."""
    if without := [item.name for item in items if not item.group]:
        more = f" and {len(without) - 3} more" if len(without) > 3 else ""
        raise AssayError(
            f"Nothing says the group of {', '.join(without[:3])}{more}: --by {by} is a field of the records, a column "
            "of the table, `folder`, or a pattern with brackets; put it right there, or take these out."
        )
    groups: dict[Path, str] = {}
    names: dict[str, Path] = {}
    for item in items:
        for path, name in item.files.items():
            if groups.setdefault(path, item.group) != item.group:
                raise AssayError(f"{path} belongs to two groups, {groups[path]} and {item.group}; name a wider one.")
            if names.setdefault(name, path) != path:
                raise AssayError(f"{names[name]} and {path} would both be called {name}; rename one of them.")


def _parts(items: Sequence[Item], shares: Mapping[str, float], seed: int) -> dict[str, list[Item]]:
    """The items of each part: whole groups drawn by chance as long as they fit its share, at least the smallest."""
    sizes: dict[str, int] = defaultdict(int)
    for item in items:
        sizes[item.group] += 1
    left = sorted(sizes)
    random.Random(seed).shuffle(left)
    wanted = {part: share for part, share in shares.items() if share}
    if len(left) <= len(wanted):
        raise AssayError(
            f"There {'is 1 group' if len(left) == 1 else f'are {len(left)} groups'} for {len(wanted) + 1} parts; "
            "leave a part out (--test 0), or choose narrower groups."
        )
    chosen: dict[str, str] = {}
    for part, share in wanted.items():
        room, some = share * len(items), len(chosen)
        for group in left:
            if group not in chosen and sizes[group] <= room:
                chosen[group] = part
                room -= sizes[group]
        if len(chosen) == some:
            chosen[min((group for group in left if group not in chosen), key=lambda group: sizes[group])] = part
    made: dict[str, list[Item]] = {part: [] for part in ("train", *wanted)}
    for item in items:
        made[chosen.get(item.group, "train")].append(item)
    if not made["train"]:
        raise AssayError("Nothing is left to train on; lower --validation or --test.")
    return made


def _write(items: Sequence[Item], folder: Path, part: str, link: bool) -> None:
    """Copy or link what a part has into its folder, and write its tables."""
    folder.mkdir()
    for path, name in {path: name for item in items for path, name in item.files.items()}.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.symlink_to(path.resolve())
        else:
            shutil.copy2(path, target)
    rows: dict[Path, list[str]] = defaultdict(list)
    for item in items:
        if item.table:
            rows[item.table].append(item.row)
    for table, lines in rows.items():
        name = f"{part}{table.suffix}" if table.stem.casefold() in _PARTS else table.name
        head = [] if table.suffix == ".jsonl" else [_line(_lines(table)[0], table)]
        (folder / name).write_text("".join(f"{line}\n" for line in (*head, *lines)), encoding="utf-8")
