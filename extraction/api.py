"""Extractor: documents in, records out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from extraction.contract import FILE as CONTRACT_FILE
from extraction.contract import Contract
from extraction.document import Document, Limits, ocr_available, open_document, page_text, read_scans
from extraction.document.ocr import REMEDY
from extraction.errors import AssayError, DocumentError
from extraction.generate.backend import Backend, Request
from extraction.record.build import build_record
from extraction.record.record import Record
from extraction.schema import Schema, load_schema


class Extractor:
    """Reads documents with a model under a contract.

    Args:
        backend: what answers.
        contract: what it was taught, or is told, to do.
        limits: time, memory and size a document may cost.
    """

    def __init__(self, backend: Backend, contract: Contract, limits: Limits | None = None):
        self.backend, self.contract, self.limits = backend, contract, limits or Limits()

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        schema: Schema | type | str | Path | None = None,
        dtype: str = "auto",
        device: str | None = None,
    ) -> Extractor:
        """An extractor from a merged model's folder, an adapter's folder, or any model and a schema.

        Args:
            model: a folder that Assay trained or merged (its `contract.json` says the rest), or any model (folder,
                hub id, `gemma-3-270m`) together with `schema`.
            schema: JSON Schema (dict or file) or pydantic model; takes the place of the contract's.
            dtype: `auto`, `bfloat16` or `float32`.
            device: torch device; a GPU where there is one.

        Raises:
            AssayError: no such model, no contract and no schema, or a schema that is not valid.
        """
        from extraction.generate.local import LocalBackend
        from extraction.generate.models import load_adapter, load_model, load_tokenizer

        contract = contract_for(model, schema)
        folder = Path(model)
        if (folder / "adapter_config.json").exists():
            loaded, tokenizer = load_adapter(folder, dtype=dtype, device=device)
        else:
            loaded, tokenizer = load_model(str(model), dtype=dtype, device=device), load_tokenizer(str(model))
        return cls(LocalBackend(loaded, tokenizer), contract)

    def extract(self, path: str | Path) -> Record:
        """The record of one document; what is wrong with the document is in the record, not raised."""
        return self.extract_all([path])[0]

    def extract_all(
        self, paths: Sequence[str | Path], on_done: Callable[[int, Record], None] | None = None
    ) -> list[Record]:
        """Records of several documents, in order, decoded together.

        Args:
            paths: the documents.
            on_done: called with index and record as each document is finished, in whatever order.
        """
        records: dict[int, Record] = {}
        documents: dict[int, Document] = {}

        def finished(index: int, record: Record) -> None:
            records[index] = record
            if on_done:
                on_done(index, record)

        for index, path in enumerate(paths):
            try:
                documents[index] = readable(open_document(Path(path), self.limits), self.limits)
            except DocumentError as error:
                finished(index, Record.failed(Path(path).name, "unreadable", str(error)))
        self._run(documents, finished)
        return [records[index] for index in range(len(paths))]

    def _run(self, documents: dict[int, Document], finished: Callable[[int, Record], None]) -> None:
        requests: list[Request] = []
        owner: list[int] = []
        answers: dict[int, dict[int, Any]] = {}
        wanted: dict[int, int] = {}
        for index, document in documents.items():
            parts = self.requests(document)
            wanted[index] = len(parts)
            answers[index] = {}
            for part in parts:
                owner.append(index)
                requests.append(part)

        def done(number: int, generation: Any) -> None:
            index = owner[number]
            answers[index][number] = generation
            if len(answers[index]) == wanted[index]:
                ordered = [answers[index][n] for n in sorted(answers[index])]
                finished(index, build_record(documents[index], ordered, self.contract))

        self.backend.generate(requests, done)

    def requests(self, document: Document) -> list[Request]:
        """What the model is asked about a document: one request, or several for one longer than the contract's."""
        texts = [page_text(page) for page in document.pages]
        schema = self.contract.target.grammar_schema()
        return [
            Request(
                messages=self.contract.messages(part),
                schema=schema,
                hint=self.contract.target.hint("\n".join(part).splitlines()),
                max_tokens=self.contract.max_answer_tokens,
            )
            for part in split_pages(texts, self._fits)
        ]

    def _fits(self, pages: Sequence[str]) -> bool:
        return self.backend.count_tokens(self.contract.messages(pages)) <= self.contract.max_prompt_tokens


def contract_for(model: str | Path, schema: Schema | type | str | Path | None = None) -> Contract:
    """The contract of a model's folder, or one made from `schema` for any model.

    Raises:
        AssayError: no contract and no schema, or a schema that is not valid.
    """
    if schema is not None:
        return Contract.for_schema(load_schema(schema))
    if Path(model).is_dir():
        return Contract.load(Path(model))
    raise AssayError(f"{model} is no folder with a {CONTRACT_FILE}; say what to extract with a schema (--schema FILE).")


def readable(document: Document, limits: Limits | None = None) -> Document:
    """The document itself when it has text; pages without any are read by OCR where that is installed.

    Raises:
        DocumentError: no page has a text layer, and OCR is not installed or finds no words either.
    """
    document = read_scans(document, limits)
    if document.has_text:
        return document
    name = document.path.name
    if not ocr_available():
        raise DocumentError(f"{name} has no text layer (it is a scan); {REMEDY}.")
    issue = next((page.issue for page in document.pages if page.issue), "Its pages are blank.")
    raise DocumentError(f"{name} has no text: there is no text layer, and OCR read nothing. {issue}")


def split_pages(pages: Sequence[str], fits: Callable[[Sequence[str]], bool]) -> list[list[str]]:
    """Pages in consecutive groups that fit a prompt; a page that is too long alone is cut between lines.

    Nothing is left out and nothing repeated. The whole document is one group whenever it fits.
    """
    if fits(pages):
        return [list(pages)]
    if len(pages) > 1:
        half = len(pages) // 2
        groups = split_pages(pages[:half], fits) + split_pages(pages[half:], fits)
        merged: list[list[str]] = []
        for group in groups:
            if merged and fits(merged[-1] + group):
                merged[-1] += group
            else:
                merged.append(group)
        return merged
    lines = pages[0].splitlines()
    if len(lines) < 2:
        return [list(pages)]
    half = len(lines) // 2
    return split_pages(["\n".join(lines[:half])], fits) + split_pages(["\n".join(lines[half:])], fits)
