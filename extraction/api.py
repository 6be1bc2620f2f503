"""Extractor: sources in, records out."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from extraction.contract import FILE as CONTRACT_FILE
from extraction.contract import Contract
from extraction.document import Document, Limits, open_document
from extraction.document.ocr import readable
from extraction.errors import AssayError, DocumentError
from extraction.example import Example, ImagePart, Part
from extraction.generate.backend import Backend
from extraction.generate.hub import DEFAULT, EMBEDDED, shipped
from extraction.generate.models import load_family
from extraction.plugins import adapters
from extraction.reading import (
    ContextReading,
    DocumentReading,
    Reading,
    RefusedReading,
    check_room,
    document_example,
    in_windows,
    serve,
)
from extraction.record.record import Record
from extraction.record.reports import together
from extraction.schema import Schema, load_schema

if TYPE_CHECKING:
    from extraction.generate.local import LocalBackend


class Extractor:
    """Reads documents, and answers questions on contexts, with a model under a contract.

    Args:
        contract: what it was taught, or is told, to do.
        limits: time, memory and size a document may cost.
    """

    def __init__(self, backend: Backend, contract: Contract, limits: Limits | None = None):
        self.backend, self.contract, self.limits = backend, contract, limits or Limits()

    @classmethod
    def default(cls, **options: Any) -> Extractor:
        """The extractor that ships with Assay: `from_pretrained("lab-report-270m", **options)`."""
        return cls.from_pretrained(DEFAULT, **options)

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
            model: a folder that Assay trained or merged (its `contract.json` says the rest), the name of an installed
                adapter such as `lab-report-270m`, or any model (folder, hub id, `gemma-3-270m`) together with `schema`.
            schema: JSON Schema (dict or file) or pydantic model; takes the place of the contract's.
            dtype: `auto`, `bfloat16` or `float32`.
            device: torch device; a GPU where there is one.

        Raises:
            AssayError: no such model, no contract and no schema, or a schema that is not valid.
        """
        contract = contract_for(model, schema)
        if contract.view != "text":
            load_family(str(model)).check_sees()  # now, and not after its weights are loaded
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

    def extract(self, file: str | Path | bytes | IO[bytes], *, name: str = "document", password: str = "") -> Record:
        """The record of one document; what is wrong with the document is in the record, not raised.

        Args:
            file: the path of a PDF or an image, or what is in it: bytes, or a file that is open to be read as bytes.
            name: what the record calls a document that has no path.
            password: opens an encrypted PDF.

        Raises:
            AssayError: an open file that gives text instead of bytes, or what is none of these.
        """
        if isinstance(file, str | Path):
            [(_, record)] = self.extract_all([file], password=password)
            return record
        path = _kept(file, name)
        try:
            record = self.extract(path, password=password)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        # The copy's folder says nothing to who gave bytes.
        record.issues = [replace(one, message=one.message.replace(str(path), path.name)) for one in record.issues]
        # Its pages are drawn from the copy, as long as they may be.
        weakref.finalize(record.document or record, shutil.rmtree, path.parent, ignore_errors=True)
        return record

    def extract_all(self, paths: Iterable[str | Path], *, password: str = "") -> Iterator[tuple[int, Record]]:
        """Number (from 0) and record of each document as it is finished, several decoded together.

        A file that cannot be read is a failed record; it stops nothing. `password` opens those that are encrypted.
        """

        def opened() -> Iterator[tuple[int, Document | Record]]:
            for number, path in enumerate(paths):
                try:
                    document = open_document(path, self.limits, password)
                    yield number, readable(document, self.limits, self.contract.view)
                except DocumentError as error:
                    yield number, Record.failed(Path(path).name, "unreadable", str(error))

        for done in self.stream(opened()):
            if done:
                yield done

    def read(self, documents: Sequence[Document]) -> list[Record]:
        """Records of documents that are open, in order, decoded together."""
        found = dict(done for done in self.stream(enumerate(documents)) if done)
        return [found[number] for number in range(len(documents))]

    def stream(self, opened: Iterable[tuple[Any, Document | Record] | None]) -> Iterator[tuple[Any, Record] | None]:
        """Records of open documents as they are finished, each with the key that it came with.

        Args:
            opened: a key and its document, or its record where there is nothing to read; taken only as the model has
                room. None says that none is ready now: None comes back as soon as nothing better can be done.

        Raises:
            AssayError: the model was taught something else than to read documents.
        """
        check_documents(self.contract)
        ready: deque[tuple[Any, Record]] = deque()
        files: dict[int, _File] = {}  # by the id of each example

        def examples() -> Iterator[Example | None]:
            for pair in opened:
                if pair is None:
                    yield None
                elif isinstance(pair[1], Record):
                    ready.append((pair[0], pair[1]))
                    yield None
                else:
                    file = _File(pair[0], pair[1], self.contract)
                    files.update((id(example), file) for example in file.examples)
                    yield from file.examples

        for answered in self.answers(examples()):
            yield from ready
            ready.clear()
            if answered is None:
                yield None
            else:
                example, [record] = answered
                file = files.pop(id(example))
                if whole := file.with_record(example, record):
                    yield file.key, whole
        yield from ready

    def answers(self, examples: Iterable[Example | None]) -> Iterator[tuple[Example, list[Record]] | None]:
        """The records of examples as they are finished: one a branch, in the branches' order.

        The one way in which anything is served: a document, a health record with fifty questions, a picture. Documents
        are read in windows where they are longer than a prompt.

        Args:
            examples: taken only as the model has room; None as in `stream`.

        Raises:
            AssayError: the instruction alone is longer than a prompt, or a server is gone.
        """
        begun: dict[int, Example] = {}

        def readings() -> Iterator[Reading | None]:
            for example in examples:
                reading = None if example is None else self.reading(example)
                if reading is not None and example is not None:
                    begun[id(reading)] = example
                yield reading

        for reading in serve(readings(), self.backend, self.contract):
            yield None if reading is None else (begun.pop(id(reading)), reading.records())

    def answer(self, example: Example) -> list[Record]:
        """The records of one example, one a branch."""
        [records] = [done[1] for done in self.answers([example]) if done]
        return records

    def reading(self, example: Example) -> Reading:
        """An example on its way to its records; its `examples` are what the model is shown first.

        Raises:
            AssayError: the instruction alone is longer than a prompt, or a model without eyes would be shown images.
        """
        shown = [*example.context.parts, *(part for branch in example.branches for part in branch.parts)]
        if any(isinstance(part, ImagePart) for part in shown):
            check_sight(self.backend)
        try:
            check_room(example, self.contract, self._fits)
        except DocumentError as error:
            return RefusedReading(example, error)
        if in_windows(example):
            return DocumentReading(example, self.contract, self._fits)
        return ContextReading(example, self.contract)

    def _fits(self, parts: Sequence[Part]) -> bool:
        return self.backend.count_tokens(self.contract.messages(parts)) <= self.contract.max_prompt_tokens


class _File:
    """A document that is being read, as the reports that it holds."""

    def __init__(self, key: Any, document: Document, contract: Contract):
        self.key, self._document = key, document
        # Pages that are shown as images are read as they are: what they say is not known before.
        self._parts = contract.rules.reports(document) if contract.view == "text" else [document]
        self.examples = [document_example(part, contract) for part in self._parts]
        self._records: dict[int, Record] = {}

    def with_record(self, example: Example, record: Record) -> Record | None:
        """Note what one of the examples gave; the file's record when it was the last."""
        self._records[id(example)] = record
        if len(self._records) < len(self.examples):
            return None
        records = [self._records[id(one)] for one in self.examples]
        return together(self._document, list(zip(self._parts, records, strict=True)))


def _kept(file: bytes | IO[bytes], name: str) -> Path:
    """A document that has no path, in a file of a folder of its own; a file that has a name keeps it."""
    if not isinstance(file, bytes) and not hasattr(file, "read"):
        raise AssayError(f"A document is a path, bytes, or a file open as bytes, not {type(file).__name__}.")
    own = getattr(file, "name", None)  # of a file without one a number, or nothing
    name = Path(own if isinstance(own, str) else name).name or "document"
    content = file if isinstance(file, bytes) else file.read()
    if not isinstance(content, bytes):
        raise AssayError(f"{name} was opened as text; open it as bytes: open(path, 'rb').")
    path = Path(tempfile.mkdtemp(prefix="assay-")) / name
    path.write_bytes(content)
    return path


def check_documents(contract: Contract) -> None:
    """Raise AssayError where a contract is for questions on numbered lines, and documents are to be read by it."""
    if contract.fields("line"):
        raise AssayError(
            "This model was taught to answer questions on records and to cite their lines, not to read documents; "
            f"take one that was ({DEFAULT}), or ask this one its questions (assay answer)."
        )


def check_sight(backend: Backend) -> None:
    """Raise AssayError where a model without eyes would be shown images."""
    if not backend.sees:
        raise AssayError(
            "The model reads text alone, and is to be shown images; take a model with a vision tower "
            "(google/medgemma-1.5-4b-it), or contract.view=text."
        )


def contract_for(model: str | Path | None, schema: Schema | type | str | Path | None = None) -> Contract:
    """The contract of a model's folder, or one made from `schema` for any model.

    Raises:
        AssayError: no contract and no schema, or a schema that is not valid.
    """
    if schema is not None:
        return Contract.for_schema(load_schema(schema))
    if model is not None and Path(shipped(model)).is_dir():
        return Contract.load(Path(shipped(model)))
    if model is None:
        which = "A server has no contract"
    elif model == EMBEDDED or Path(model).exists():
        which = f"{model} is no folder with a {CONTRACT_FILE}"
    else:
        known = ", ".join((*adapters(), EMBEDDED))
        raise AssayError(
            f"There is no folder {model}, and no shipped model of that name ({known}); of a hub's or a server's model, "
            "say what to extract with a schema (--schema FILE)."
        )
    raise AssayError(f"{which}; say what to extract with a schema (--schema FILE).")


def backend_for(model: str | Path, *, dtype: str = "auto", device: str | None = None) -> LocalBackend:
    """What answers with a model in this process: an adapter's folder, or any model; see `Extractor.from_pretrained`."""
    from extraction.generate.local import LocalBackend
    from extraction.generate.models import load_adapter, load_model, load_tokenizer

    folder = Path(shipped(model))
    if (folder / "adapter_config.json").exists():
        return LocalBackend(*load_adapter(folder, dtype=dtype, device=device, merged=True))
    return LocalBackend(load_model(str(model), dtype=dtype, device=device), load_tokenizer(str(model)))
