"""Folders of documents with their records: read, checked, never guessed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extraction.api import readable
from extraction.contract import Contract
from extraction.document import SUFFIXES, Document, open_document
from extraction.errors import AssayError
from extraction.schema import pointer, validator


@dataclass(frozen=True)
class Example:
    """A document and its true record."""

    document: Document
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The document's file name."""
        return self.document.path.name


def read_examples(folder: Path, contract: Contract) -> list[Example]:
    """Every PDF, PNG and JPEG of `folder` with the JSON record of the same name, in the order of names.

    Raises:
        AssayError: no such folder, nothing in it, a document without a record or that cannot be read, a record
            that is not JSON or does not fit the schema (file and JSON pointer are named).
    """
    if not folder.is_dir():
        raise AssayError(f"The data folder {folder} does not exist.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise AssayError(
            f"The data folder {folder} holds no PDF and no image; put each document there with its record beside it."
        )
    records = [read_record(path.with_suffix(".json"), contract) for path in files]

    def opened(path: Path) -> Document:
        document = open_document(path)
        # Pixels alone need no words: OCR of every scan would take hours and teach nothing.
        return document if contract.view == "image" else readable(document, view=contract.view)

    with ThreadPoolExecutor() as pool:
        documents = list(pool.map(opened, files))
    return [Example(document, record) for document, record in zip(documents, records, strict=True)]


def read_record(path: Path, contract: Contract) -> dict[str, Any]:
    """A gold record, checked against the contract's schema."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssayError(f"{path} is missing: every document needs its record as JSON of the same name.") from None
    except (OSError, ValueError) as error:
        raise AssayError(f"The record {path} cannot be read: {error}.") from None
    misfit = next(validator(contract.record_schema).iter_errors(record), None)
    if misfit:
        at = pointer(misfit.absolute_path) or "/"
        raise AssayError(f"The record {path} does not fit the schema at {at}: {misfit.message[:200]}")
    return record


def check_split(train: Sequence[Example], validation: Sequence[Example]) -> None:
    """Raise AssayError when a document is in both sets: its score would be worth nothing."""
    seen = {example.document.sha256: example.name for example in train}
    for example in validation:
        if example.document.sha256 in seen:
            raise AssayError(
                f"{example.name} of the validation folder is also among the training documents "
                f"({seen[example.document.sha256]}); take it out of one of them."
            )
