"""For who outgrows one machine: a Ray Data pipeline over the same engine as `assay extract`.

    python -m extraction.ray_data s3://bucket/reports s3://bucket/records --actors 8 --gpus 1

Every actor holds the model and reads files as a batch on one machine does. A row of the Parquet files in OUT is a
document, whatever became of it: `path`, `model`, `status`, `record` (JSON) and `error` (why there is no record).
Started again, when the first start is gone, it reads only the paths that have no row.

Ray's own checkpointing fits only pipelines that begin with reading the files' bytes: it would fetch them all again at
every start, and a file that cannot be read would end the whole.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from extraction.api import Extractor, check_documents, contract_for
from extraction.batch import task_id
from extraction.errors import AssayError, DocumentError, run_command
from extraction.folder import choose, told
from extraction.generate.hub import DEFAULT
from extraction.readers import Readers, answered

ROW = ("path", "model", "status", "record", "error")
"""The columns of the Parquet files."""
_WRITTEN = re.compile(r".+_\d{6}(?:[_-].*)?\.parquet")  # as Ray names what it writes
_MAGIC = b"PAR1"  # a Parquet file's first and last bytes

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports home otherwise


class Reader:
    """An actor that holds a model; takes paths, gives rows."""

    def __init__(self, model: str, schema: Path | None, workers: int, seconds: float):
        self._extractor = Extractor.from_pretrained(model, schema=schema)
        self._readers = Readers(workers, self._extractor.contract.view, seconds=seconds)
        self._task = task_id(model, schema)

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[str | None]]]:
        """The rows of a batch's column `path`, one by one, in whatever order they are finished."""
        with tempfile.TemporaryDirectory() as folder:
            self._readers.add((url, partial(fetch, url, Path(folder))) for url in map(str, batch["path"]))
            for url, record in answered(self._extractor, self._readers):
                error = record.issues[0].message if record.status == "failed" else None
                told = json.dumps(record.to_dict(), ensure_ascii=False)
                values = (url, self._task, record.status, told, error)
                yield {name: [value] for name, value in zip(ROW, values, strict=True)}


def fetch(url: str, folder: Path) -> Path:
    """The file itself where it is on this machine, or else a copy in `folder`.

    Raises:
        DocumentError: it cannot be fetched.
    """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        files, path = fsspec.core.url_to_fs(url)
        if isinstance(files, LocalFileSystem):
            return Path(path)
        own = Path(tempfile.mkdtemp(dir=folder)) / PurePosixPath(path).name
        files.get_file(path, str(own))
    except Exception as error:  # every file system has its own
        raise DocumentError(f"{url} cannot be fetched ({type(error).__name__}: {error}).") from None
    return own


def extract(
    source: Annotated[str, typer.Argument(help="Folder of PDF files and images, here or at a URL (s3://...).")],
    out: Annotated[str, typer.Argument(help="Folder for Parquet files, here or at a URL.")],
    model: Annotated[str, typer.Option(help="As for `assay extract`; every node must find it.")] = DEFAULT,
    schema: Annotated[Path | None, typer.Option(help="JSON Schema of the record, instead of the model's own.")] = None,
    actors: Annotated[int, typer.Option(min=1, help="Copies of the model.")] = 2,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each; a fraction shares one.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that open files, and read scans, beside each.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Longest time one file may take to be opened.")] = 600,
    batch: Annotated[int, typer.Option(min=1, help="Documents a Parquet file; what a kill may cost an actor.")] = 64,
) -> int:
    """Read documents into rows of Parquet files on a Ray cluster, or on this machine where none is known.

    Returns:
        How many documents were read now.

    Raises:
        AssayError: Ray is not installed, no documents, no such model, or rows of another model or schema in `out`.
    """
    try:
        import fsspec
        import ray
    except ImportError:
        raise AssayError("Ray is missing here; install the extra assay[ray]: pip install -e '.[ray]'.") from None

    check_documents(contract_for(model, schema))  # what is wrong with it is said before anything is started
    files, root = fsspec.core.url_to_fs(source)
    names, skipped = choose(PurePosixPath(path).relative_to(root) for path in files.find(root))
    if not names:
        raise AssayError(f"The folder {source} holds no PDF and no image.")
    if skipped:
        print(told(skipped), file=sys.stderr)
    found = [files.unstrip_protocol(f"{root}/{name}") for name in names]
    done = read_paths(out, task_id(model, schema))
    missing = [{"path": path} for path in found if path not in done]
    if not missing:
        return 0
    if not ray.is_initialized():
        # A processor beside the actors' own, for what Ray itself does; of a cluster we take what it has.
        cores = None if os.environ.get("RAY_ADDRESS") else max(os.cpu_count() or 1, actors + 1)
        ray.init(num_cpus=cores, include_dashboard=False, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
    target, folder = fsspec.core.url_to_fs(out)
    ray.data.from_items(missing, override_num_blocks=-(-len(missing) // batch)).map_batches(
        Reader,
        fn_constructor_args=(model, schema, workers, seconds),
        batch_size=batch,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=gpus,
    ).write_parquet(folder, filesystem=target)
    return len(missing)


def read_paths(out: str, task: str) -> set[str]:
    """The paths that have a row in `out`; a file that a kill cut short is removed, its documents are read again.

    Raises:
        AssayError: `out` holds Parquet files of another model or schema, or that this pipeline did not write.
    """
    import fsspec
    from pyarrow import ArrowInvalid, parquet

    files, folder = fsspec.core.url_to_fs(out)
    paths: set[str] = set()
    cut: list[str] = []
    for name in files.glob(f"{folder}/*.parquet"):
        own = PurePosixPath(name).name
        foreign = AssayError(f"{out} holds {own}, which is not of this pipeline; choose another folder.")
        if _is_cut(files, name):
            if not _WRITTEN.fullmatch(own):
                raise foreign
            cut.append(name)
            continue
        try:
            with files.open(name) as file:
                table = parquet.ParquetFile(file)
                if not set(ROW) <= set(table.schema_arrow.names):
                    raise foreign
                rows = table.read(columns=["path", "model"]).to_pydict()  # and none of the records
        except ArrowInvalid:
            raise foreign from None
        if others := set(rows["model"]) - {task}:
            raise AssayError(f"{out} holds records of another model or schema ({others.pop()}); choose another folder.")
        paths.update(rows["path"])
    for name in cut:
        files.rm_file(name)
    return paths


def _is_cut(files: Any, name: str) -> bool:
    """Whether a Parquet file lacks its end."""
    with files.open(name) as file:
        start = file.read(4)
        file.seek(max(0, files.size(name) - 4))
        return bool(start != _MAGIC or file.read(4) != _MAGIC)


if __name__ == "__main__":
    run_command(lambda: typer.run(extract))
