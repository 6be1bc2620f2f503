"""Extractor: documents in, records out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.contract import FILE as CONTRACT_FILE
from extraction.contract import Contract
from extraction.document import Document, Limits, Window, ocr_available, open_document, read_scans
from extraction.document.ocr import REMEDY
from extraction.errors import AssayError, DocumentError
from extraction.generate.backend import Backend, Generation, Request
from extraction.generate.models import SHIPPED, shipped
from extraction.generate.vision import load_vision, page_images
from extraction.reading import Reading
from extraction.record.record import Record
from extraction.schema import Schema, load_schema

if TYPE_CHECKING:
    from extraction.generate.local import LocalBackend

_Jobs = list[tuple[int, Window]]  # a document's number, and what of it the model is shown


class Extractor:
    """Reads documents with a model under a contract.

    Args:
        backend: what answers.
        contract: what it was taught, or is told, to do.
        limits: time, memory and size a document may cost.
    """

    def __init__(self, backend: Backend, contract: Contract, limits: Limits | None = None):
        self.backend, self.contract, self.limits = backend, contract, limits or Limits()
        if contract.view != "text" and not hasattr(backend, "vision"):
            raise AssayError(
                f"The contract shows pages as pixels (view: {contract.view}); a server is shown text only."
            )

    @classmethod
    def default(cls, **options: Any) -> Extractor:
        """The extractor for lab reports that ships with Assay: `from_pretrained("lab-report-270m", **options)`."""
        return cls.from_pretrained(SHIPPED, **options)

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
            model: a folder that Assay trained or merged (its `contract.json` says the rest), `lab-report-270m` (the
                adapter that ships with Assay), or any model (folder, hub id, `gemma-3-270m`) together with `schema`.
            schema: JSON Schema (dict or file) or pydantic model; takes the place of the contract's.
            dtype: `auto`, `bfloat16` or `float32`.
            device: torch device; a GPU where there is one.

        Raises:
            AssayError: no such model, no contract and no schema, or a schema that is not valid.
        """
        contract = contract_for(model, schema)
        if contract.view != "text":
            load_vision(str(model))  # a model without eyes is an error now, not after its weights are loaded
        return cls(backend_for(model, dtype=dtype, device=device), contract)

    @classmethod
    def from_server(
        cls, url: str, model: str | Path | None = None, *, schema: Schema | type | str | Path | None = None
    ) -> Extractor:
        """An extractor that asks a server with the OpenAI API (vLLM, llama-server) and nobody else.

        Args:
            url: the server's address, `http://localhost:8000/v1`.
            model: the model's name there, or the folder it was loaded from, whose contract is then used; may be left
                out where the server has one model.
            schema: JSON Schema (dict or file) or pydantic model; takes the place of the contract's.

        Raises:
            AssayError: no server there, no such model, no contract and no schema.
        """
        from extraction.generate.server import ServerBackend

        contract = contract_for(model, schema)
        return cls(ServerBackend(url, model), contract)

    def extract(self, path: str | Path) -> Record:
        """The record of one document; what is wrong with the document is in the record, not raised."""
        try:
            return self.extract_all([path])[0]
        except DocumentError as error:
            return Record.failed(Path(path).name, "refused", str(error))

    def extract_all(
        self, paths: Sequence[str | Path], on_done: Callable[[int, Record], None] | None = None
    ) -> list[Record]:
        """Records of several documents, in order, decoded together.

        Args:
            paths: the documents.
            on_done: called with index and record as each document is finished, in whatever order.

        Raises:
            DocumentError: a server refuses a document; those that were not finished are given up.
        """
        records: dict[int, Record] = {}
        documents: dict[int, Document] = {}

        def finished(index: int, record: Record) -> None:
            records[index] = record
            if on_done:
                on_done(index, record)

        for index, path in enumerate(paths):
            try:
                documents[index] = readable(open_document(Path(path), self.limits), self.limits, self.contract.view)
            except DocumentError as error:
                finished(index, Record.failed(Path(path).name, "unreadable", str(error)))
        indices = list(documents)
        self.read(list(documents.values()), lambda number, record: finished(indices[number], record))
        return [records[index] for index in range(len(paths))]

    def read(self, documents: Sequence[Document], on_done: Callable[[int, Record], None] | None = None) -> list[Record]:
        """Records of documents that are open, in order, decoded together; see `extract_all` and `Reading`."""
        readings = [Reading(document, self.contract, partial(self._fits, document)) for document in documents]
        records: dict[int, Record] = {}

        def done(jobs: _Jobs, more: _Jobs, number: int, answer: Generation) -> None:
            index, window = jobs[number]
            more += [(index, another) for another in readings[index].take(window, answer)]
            if readings[index].done:
                records[index] = readings[index].record()
                if on_done:
                    on_done(index, records[index])

        jobs = [(index, window) for index, reading in enumerate(readings) for window in reading.windows]
        while jobs:
            more: _Jobs = []
            self.backend.generate([self._request(window) for _, window in jobs], partial(done, jobs, more))
            jobs = more
        return [records[index] for index in range(len(documents))]

    def requests(self, document: Document) -> list[Request]:
        """What the model is asked about a document at first: one request, or several for one longer than a prompt."""
        return [
            self._request(window) for window in Reading(document, self.contract, partial(self._fits, document)).windows
        ]

    def _request(self, window: Window) -> Request:
        texts = window.texts
        images = page_images(window.lines.document, window.pages, self.contract)
        return Request(
            messages=self.contract.messages(texts, len(images)),
            images=images,
            schema=self.contract.target.grammar_schema(),
            hint=self.contract.target.hint("\n".join(texts).splitlines()),
            max_tokens=self.contract.max_answer_tokens,
        )

    def _fits(self, document: Document, texts: Sequence[str], pages: Sequence[int] = ()) -> bool:
        images = page_images(document, pages, self.contract)
        messages = self.contract.messages(texts, len(images))
        count = self.backend.count_tokens(messages, images) if images else self.backend.count_tokens(messages)
        return count <= self.contract.max_prompt_tokens


def contract_for(model: str | Path | None, schema: Schema | type | str | Path | None = None) -> Contract:
    """The contract of a model's folder, or one made from `schema` for any model.

    Raises:
        AssayError: no contract and no schema, or a schema that is not valid.
    """
    if schema is not None:
        return Contract.for_schema(load_schema(schema))
    if model is not None and Path(shipped(model)).is_dir():
        return Contract.load(Path(shipped(model)))
    which = f"{model} is no folder with a {CONTRACT_FILE}" if model else "A server has no contract"
    raise AssayError(f"{which}; say what to extract with a schema (--schema FILE).")


def backend_for(model: str | Path, *, dtype: str = "auto", device: str | None = None) -> LocalBackend:
    """What answers with a model in this process: an adapter's folder, or any model; see `Extractor.from_pretrained`."""
    from extraction.generate.local import LocalBackend
    from extraction.generate.models import load_adapter, load_model, load_tokenizer

    folder = Path(shipped(model))
    if (folder / "adapter_config.json").exists():
        return LocalBackend(*load_adapter(folder, dtype=dtype, device=device, merged=True))
    return LocalBackend(load_model(str(model), dtype=dtype, device=device), load_tokenizer(str(model)))


def readable(document: Document, limits: Limits | None = None, view: str = "text") -> Document:
    """The document itself when it has text; pages without any are read by OCR where that is installed.

    A model that is shown pixels (`view` is not `text`) reads pages without any words too; OCR's words are then what
    its values are compared with.

    Raises:
        DocumentError: no page has a text layer, and OCR is not installed or finds no words either.
    """
    document = read_scans(document, limits)
    if document.has_text or view != "text":
        return document
    name = document.path.name
    if not ocr_available():
        raise DocumentError(f"{name} has no text layer (it is a scan); {REMEDY}.")
    issue = next((page.issue for page in document.pages if page.issue), "Its pages are blank.")
    raise DocumentError(f"{name} has no text: there is no text layer, and OCR read nothing. {issue}")
