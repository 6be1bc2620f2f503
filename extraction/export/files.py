"""A folder of records in, files of tables out."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from tqdm import tqdm

from extraction.contract import FILE, Contract
from extraction.errors import AssayError, is_disk_full
from extraction.export.tables import DOCUMENTS, SET_ASIDE, SavedRecord, Tables
from extraction.export.writers import Format, check_installed, open_writer
from extraction.files import printable


@dataclass
class Exported:
    """What an export wrote.

    Attributes:
        files: the files, `out` first.
        records: how many records they hold.
        failed: how many of these have the status `failed`.
        rows: how many rows stand in the tables of lists.
        unread: why a JSON file was left out, by its path.
    """

    files: list[Path] = field(default_factory=list)
    records: int = 0
    failed: int = 0
    rows: int = 0
    unread: dict[Path, str] = field(default_factory=dict)


def export(records: Path, to: Format, out: Path) -> Exported:
    """Write records as tables (`extraction.export.tables` says which), in the order of their names.

    Records are read twice, for the columns and for the rows, and never held together. The files (see `open_writer`)
    take their places at the end, or nothing is changed.

    Args:
        records: a record, or a folder of records with its subfolders, as `assay extract` writes them. Columns come
            from the schema in `contract.json` and from the records; folders whose names begin with `_` are no records.
        out: the file; its folder is made where it is missing.

    Raises:
        AssayError: no record can be read, a library is missing, Excel cannot hold the tables, or a file cannot be
            written.
    """
    check_installed(to)
    files, contracts = _find(records)
    if out.is_dir() or out.suffix == ".json":
        raise AssayError(f"{out} is {'a folder' if out.is_dir() else 'named like a record'}; name a file, NAME.{to}.")
    if not files:
        raise AssayError(f"{records} holds no records; give a folder that assay extract wrote.")
    done, tables, sources = Exported(), Tables(contracts), Counter[Path]()
    for path in tqdm(files, desc="finding columns", unit="file", leave=False, disable=None):
        try:
            record = _load(path)
            sources[path.parent / record.source] += 1
            for part in record.parts:
                tables.see(part)
        except AssayError as error:
            done.unread[path] = str(error)
    files = [path for path in files if path not in done.unread]
    if not files:
        first = next(iter(done.unread.values()))
        raise AssayError(first if len(done.unread) == 1 else f"None of {len(done.unread)} files is a record: {first}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            with closing(open_writer(to, Path(scratch) / out.name, tables.layout())) as writer:
                for path in tqdm(files, desc="exporting", unit="file", leave=False, disable=None):
                    record = _load(path)
                    folder = path.parent.relative_to(records) if records.is_dir() else Path()
                    # Two documents of one name are told by their records' names.
                    same = sources[path.parent / record.source] > 1
                    document = printable((folder / (path.name if same else record.source)).as_posix())
                    for number, part in enumerate(record.parts, 1):
                        for table, cells in tables.lines(
                            part, f"{document}#{number}" if len(record.parts) > 1 else document
                        ):
                            writer.write(table, cells)
                            done.rows += table not in (DOCUMENTS, SET_ASIDE)
                    done.records += 1
                    done.failed += record.status == "failed"
            written = [file for file in Path(scratch).iterdir() if file.is_file()]
            for file in sorted(written, key=lambda file: (file.name != out.name, file.name)):
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
                done.files.append(file.replace(out.with_name(file.name)))
    except (OSError, sqlite3.Error) as error:
        if is_disk_full(error):
            raise
        raise AssayError(f"{out} cannot be written ({error}); name another file with --out.") from None
    return done


def _find(records: Path) -> tuple[list[Path], list[Contract]]:
    """The JSON files that should be records, by name, and the contracts that lie with them."""
    if not records.exists():
        raise AssayError(f"{records} does not exist. Give a record or a folder of records.")
    if records.is_file():
        beside = records.parent
        return [records], [Contract.load(beside)] if (beside / FILE).is_file() else []
    inside = {path.relative_to(records): path for path in records.rglob("*.json") if path.is_file()}
    files = [
        inside[name]
        for name in sorted(inside, key=Path.as_posix)
        if not any(part.startswith("_") for part in name.parent.parts)
    ]
    contracts = [path for path in files if path.name == FILE and (path.parent == records or not _is_record(path))]
    return [path for path in files if path not in contracts], [Contract.load(path.parent) for path in contracts]


def _is_record(path: Path) -> bool:
    """Whether a file in a subfolder that is named like a contract is the record of a document of that name."""
    try:
        _load(path)
    except AssayError:
        return False
    return True


def _load(path: Path) -> SavedRecord:
    try:
        return SavedRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AssayError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = f"{'/'.join(map(str, first['loc']))}: " if first["loc"] else ""
        raise AssayError(f"{path} is no record of assay extract ({where}{first['msg']}).") from None
