"""`assay extract`, `export` and `score`. Heavy imports stay inside the commands, so that `--help` is instant."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extraction.errors import AssayError, no_warnings
from extraction.export.findings import Report
from extraction.export.writers import Format
from extraction.files import printable
from extraction.record.record import REVIEW_BELOW, Record
from extraction.tally import Tally, in_a_line

if TYPE_CHECKING:
    from extraction.batch import Job
    from extraction.contract import Contract

_log = logging.getLogger("extraction")
_FEW = 3  # records that are shown as tables

app = typer.Typer(
    name="assay",
    help="Adapt open medical models to your own documents, and turn documents into records that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"assay {version('assay')}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _assay(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version, and end.")
    ] = False,
) -> None:
    """What all commands share."""


@app.command()
def extract(
    files: Annotated[list[Path], typer.Argument(help="PDF files and images, or folders of them.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the records, NAME.json each; `-`: none, records go to standard output.")
    ] = Path("records"),
    model: Annotated[
        str | None,
        typer.Option(
            help="A merged model's or adapter's folder, or any model with --schema.",
            show_default="lab-report-270m, which ships with Assay",
        ),
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this OpenAI-compatible server; --model is its name there.")
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="JSON Schema of the record, instead of the model's own.")] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Also write NAME.html: the page beside the values; index.html leads to them.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON, a line each, and nothing else.")
    ] = False,
    review_below: Annotated[
        float, typer.Option(min=0, max=1, help="Mark values of lower confidence for review, in table and page.")
    ] = REVIEW_BELOW,
    workers: Annotated[int, typer.Option(min=1, help="Processes that open files, and read scans.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Longest time one file may take to be opened and read.")] = 600,
    password: Annotated[
        str, typer.Option(help="Opens PDFs that are encrypted with it; written nowhere.", show_default=False)
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read again whatever failed, and not only files that were refused.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with code 3 where a record is partial.")] = False,
    log: Annotated[
        Path | None, typer.Option(help="Add a line a file to this log: its status and why; no text of documents.")
    ] = None,
) -> None:
    """Read documents into records that follow a schema.

    Of a folder every file is read, or refused with the reason in its record and in the manifest; only hidden files,
    JSON files (labels, records) and evidence pages are skipped, and counted. Run again after a stop, it reads what is
    missing and tries again what was refused; --json and --html hold for what is done already, too. Ends with code 0
    when every file gave a record with data, with 2 when one or more did not or the command is wrong, and with --strict
    with 3 when one or more is partial. Counts by status and reason are in OUT/_manifest/summary.json.
    """
    no_warnings()
    if log:
        _log_to(log)
    from extraction.api import Extractor
    from extraction.batch import Batch, Job, run_batch, task_id
    from extraction.folder import find_files
    from extraction.readers import Readers, answered

    found = find_files(files)
    model, contract = _wanted(model, schema, server)
    batch = None if str(out) == "-" else Batch(out, task_id(model, schema, server))
    if batch is None and (html or retry_failed):
        raise AssayError("--html and --retry-failed are about the records of a folder; name one with --out.")
    jobs = batch.jobs(found) if batch else [Job(path, str(path)) for path, _ in found.files]
    missing = batch.missing(jobs, retry_failed) if batch else jobs
    unread = set(missing)
    done = [job for job in jobs if job not in unread]
    tally = Tally(len(jobs), found.skipped)
    if batch:
        tally.add_counts(batch.statuses(done), batch.codes(done))
    _note(contract, tally, len(done))

    def load() -> Extractor:
        if server:
            return Extractor.from_server(server, model, schema=schema)
        return Extractor.from_pretrained(str(model), schema=schema)

    printed, few = as_json or batch is None, len(jobs) <= _FEW
    show = _shower(printed, review_below, few)
    tables = few and not printed and sys.stdout.isatty()
    with Readers(workers, contract.view, seconds=seconds, password=password) as readers:

        def show_again(known: list[Job]) -> None:
            if batch and (as_json or html or few):
                for job, record in batch.again(known, readers, html, review_below):
                    show(job.path, record)

        show_again(done)
        # The first ones are read while the model is loaded; what another start is at is left to it.
        readers.add((job, job.path) for job in missing if batch is None or batch.claim(job))
        if batch:
            records = run_batch(load, readers, batch, html, review_below) if missing else iter(())
        else:
            records = answered(load(), readers)
        for job, record in _told(records, len(missing), show, tables):
            tally.add(record)
            _log.info("%s", in_a_line(job.path, record))
        if batch:
            theirs, left = batch.left()
            show_again(theirs)
            tally.add_counts(batch.statuses(theirs), batch.codes(theirs))
            if left:
                print(
                    f"{left} of {tally.total} are with another start on {out} and not done yet: their records are not "
                    "among these; start again for them.",
                    file=sys.stderr,
                )
    if batch:
        batch.summarize(tally.to_dict())
        if (html or batch.has_index()) and (page := batch.write_index(review_below)):
            print(f"The pages, by doubt: {page}", file=sys.stderr)
    print("\n".join(filter(None, (tally.reasons(), tally.line(out if batch else None)))), file=sys.stderr)
    if tally.statuses["failed"] or (strict and tally.statuses["partial"]):
        raise typer.Exit(2 if tally.statuses["failed"] else 3)


class _LogLines(logging.Formatter):
    """Lines without tracebacks: the last line of one has what an error says, and that may be a document's text.

    A file's name may have a line break in it, and a line of the log is a file's: such characters are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's own name)
        return ""


def _log_to(path: Path) -> None:
    """Have what the package logs added to a file."""
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise AssayError(f"The log {path} cannot be written: {error.strerror}.") from None
    handler.setFormatter(_LogLines("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)


def _wanted(model: str | None, schema: Path | None, server: str | None) -> tuple[str | None, Contract]:
    """The model that reads, and what it is to read; what can be said against them is said before any file is read."""
    from extraction.api import check_documents, contract_for
    from extraction.generate.hub import DEFAULT, resolve_model

    if server is None and model is None:
        if schema is not None:
            raise AssayError(
                f"{DEFAULT} knows its own schema only; say which model reads: --model FOLDER or --server URL."
            )
        model = DEFAULT
    contract = contract_for(model, schema)
    check_documents(contract)
    if server is None:
        resolve_model(str(model))
    return model, contract


def _note(contract: Contract, tally: Tally, done: int) -> None:
    """Tell what there is to know before a start: of the schema, what is skipped, what is done."""
    from extraction.folder import told
    from extraction.generate.grammar import simplify

    notes = [f"Note: the schema's {note}." for note in simplify(contract.record_schema)[1]]
    if tally.skipped:
        notes.append(told(tally.skipped))
    if done:
        notes.append(f"{done} of {tally.total} are done already, {tally.statuses['failed']} of them failed.")
    for note in notes:
        print(note, file=sys.stderr)


def _shower(as_json: bool, review_below: float, few: bool) -> Callable[[Path, Record], None]:
    """Prints a file's record: as JSON with its path (names may be alike), or where they are few as a table, or not."""
    if as_json:
        return lambda path, record: print(
            json.dumps({"path": printable(path), **record.to_dict()}, ensure_ascii=False),
            flush=True,
        )
    if not few:
        return lambda path, record: None
    from rich.console import Console

    return lambda path, record: Console().print(record.table(review_below))


def _told(
    records: Iterable[tuple[Job, Record]], total: int, show: Callable[[Path, Record], None], tables: bool
) -> Iterator[tuple[Job, Record]]:
    """The records, told of as they come: on a bar where there is a terminal, shown, and why one failed.

    Args:
        tables: whether they are shown as tables on a terminal, which say why; else it is told on standard error.
    """
    from tqdm import tqdm

    shape = "{desc}: {n_fmt}/{total_fmt} |{bar:30}| {remaining} left{postfix}"
    with tqdm(total=total, desc="extracting", leave=False, bar_format=shape, disable=None if total else True) as bar:
        start = time.monotonic()
        for number, (job, record) in enumerate(records, 1):
            bar.set_postfix_str(f"{3600 * number / (time.monotonic() - start):,.0f} files an hour", refresh=False)
            bar.update()
            bar.clear()
            show(job.path, record)
            if record.status == "failed" and not tables:
                message = record.issues[0].message
                bar.write(message if record.source in message else f"{record.source}: {message}", file=sys.stderr)
            yield job, record


@app.command()
def export(
    records: Annotated[
        Path,
        typer.Argument(
            help="A record, or a folder of records, subfolders too; or answers on volumes or slides (.answers.jsonl)."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(Format)} (Excel needs the extra assay[export]); of answers {' or '.join(Report)}."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file (other tables go beside it), or the folder of the reports.",
            show_default="RECORDS.FORMAT, here",
        ),
    ] = None,
    patient: Annotated[
        bool, typer.Option("--patient", help="Reports name the patient and the order, as the DICOM files do.")
    ] = False,
) -> None:
    """Write records as tables: a row for each item of a list, and a table of all documents.

    Values stay text as printed. CSV cannot say so: import it with all columns as text, or a spreadsheet takes 1-5 for
    a date and =A1 for a formula; xlsx, parquet and sqlite need no such care. CSV and Parquet have further tables in
    files beside the first: NAME.documents.csv. Ends with code 2 when a JSON file in the folder is no record.

    Answers of yes, no or a choice on volumes and slides, which assay evaluate keeps in NAME.answers.jsonl, become a
    report a study: DICOM SR (TID 1500) with the study's UIDs, or a FHIR R4 bundle of Observations in a
    DiagnosticReport. Nothing that names the patient is in them without --patient. Ends with code 2 when a study gets
    no report.
    """
    from extraction.export.files import export as write_tables

    name = records.resolve().name if records.is_dir() else records.stem
    if to in list(Report):
        from extraction.export.findings import write_reports

        reports = write_reports(records, Report(to), out or Path(f"{name}.{to}"), patient)
        print("\n".join(reports.told()), file=sys.stderr)
        if reports.unwritten:
            raise typer.Exit(2)
        return
    if to not in list(Format):
        raise AssayError(f"--to is one of {', '.join([*Format, *Report])}, not {to}.")
    if patient:
        raise AssayError(f"--patient is of reports ({', '.join(Report)}); tables hold what records hold.")
    done = write_tables(records, Format(to), out or Path(f"{name}.{to}"))
    for reason in done.unread.values():
        print(reason, file=sys.stderr)

    def counted(number: int, word: str) -> str:
        return f"{number} {word}{'' if number == 1 else 's'}"

    counts = f"{counted(done.rows, 'row')} of {counted(done.records, 'record')}, {done.failed} of them failed"
    left = f"; {counted(len(done.unread), 'file')} could not be read" if done.unread else ""
    print(f"{counts}{left}; written: {', '.join(map(str, done.files))}", file=sys.stderr)
    if done.unread:
        raise typer.Exit(2)


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="A record, or a folder of records.")],
    gold: Annotated[Path, typer.Argument(help="Truth: a record or label file, or a folder of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    fields: Annotated[str, typer.Option(help="Fields that count, separated by commas; `all` for every one.")] = "",
) -> None:
    """Compare records with truth: F1 over the fields that the contract beside them scores, and over its core alone."""
    from rich.console import Console

    from extraction.score import score_files

    chosen = "all" if fields == "all" else tuple(fields.split(",")) if fields else None
    result = score_files(predictions, gold, fields=chosen)
    if as_json:
        values: dict[str, Any] = {"fields": result.to_dict()}
        if result.core_fields:
            values["core"] = result.core.to_dict()
        print(json.dumps(values, indent=1, ensure_ascii=False))
        return
    Console().print(result.table())
    if result.core_fields:
        Console().print(f"\n{' + '.join(result.core_fields)} alone:", style="bold")
        Console().print(result.core.table(documents=0))
    if result.reliability:
        Console().print(result.reliability.table())
