"""The `assay` command with what recipes add to it."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import extraction.cli_imaging  # noqa: F401 (its commands)
import finetune.cli_runs  # noqa: F401 (its commands)
import recipes.contrastive.cli  # noqa: F401 (its commands)
from extraction.errors import AssayError, run_command
from finetune.cli import app

# What can only be meant as a file: no blank, and a suffix or a slash.
_FILE = re.compile(r"\S+\.[A-Za-z]{2,5}|\S*/\S*")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The recipe's folder; a new one, whose name is the recipe's.")],
    schema: Annotated[Path, typer.Option(help="JSON Schema of the record that is wanted.")],
    model: Annotated[
        str, typer.Option(help="The base model: gemma-3-270m, a folder, a hub id (google/medgemma-1.5-4b-it).")
    ] = "gemma-3-270m",
) -> None:
    """Begin a recipe for documents and a schema of your own: a YAML to train by, and places for labelled documents."""
    from recipes.documents.start import write_recipe

    contract = write_recipe(folder, schema, model)
    print(f"Made {folder / (folder.resolve().name + '.yaml')}; the model will be told:")
    print(textwrap.fill(f"“{contract.instruction}”", 100, initial_indent="  ", subsequent_indent="  "))
    print(f"Put documents with their records into {folder / 'data' / 'train'} and {folder / 'data' / 'validation'}.")
    print(f"What comes then: {folder / 'README.md'}")


@app.command()
def answer(
    bundle: Annotated[Path, typer.Argument(help="A FHIR bundle (.json), NDJSON, or a folder, of one patient or many.")],
    questions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Questions, or one file with a question a line; without, they are asked for.", show_default=False
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Folder of a model of the recipe ehr_query.")] = "ehr-query-270m",
    reader: Annotated[
        str, typer.Option(help="Folder of a model of the recipe ehr_qa, for what has to be read.")
    ] = "ehr-qa-270m",
    context: Annotated[
        list[Path] | None, typer.Option(help="Bundles of hospitals and practitioners that BUNDLE refers to.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of answers.")] = False,
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a page with the answers beside the record's lines.")
    ] = None,
) -> None:
    """Answer questions on patients' records, with the lines that say so: understood by a model, looked up by code."""
    from extraction.files import write_whole
    from recipes.ehr_qa.answer import Answer
    from recipes.ehr_qa.records import read_records
    from recipes.ehr_query.ask import Asker
    from recipes.ehr_query.show import cohort, told
    from recipes.ehr_query.show import page as page_of

    asked = _questions(questions) if questions else None
    records = read_records(bundle, context or [])  # what is wrong with them is said before a model is loaded
    if page and len(records) > 1:
        raise AssayError(f"{bundle} holds {len(records)} patients, and a page shows one; name the file of one.")
    asker = Asker.from_pretrained(model, reader)
    given: list[tuple[str, Answer]] = []
    for one in [asked] if asked else ([question] for question in _typed()):
        found = asker.ask_of_all(records, one) if len(records) > 1 else [[a] for a in asker.ask(records[0], one)]
        for answers in found:
            given += zip((record.patient for record in records), answers, strict=True)
            if not as_json:
                print(told(answers[0]) if len(records) == 1 else cohort(records, answers))
    if as_json:
        several = len(records) > 1
        made = [({"patient": patient} if several else {}) | answer.to_json() for patient, answer in given]
        print(json.dumps(made, indent=1, ensure_ascii=False))
    if page:
        write_whole(page, page_of(records[0], [answer for _, answer in given]))


def _typed() -> Iterator[str]:
    """Questions from the terminal, or from what is piped in, a line each; an empty line or Ctrl-D ends."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        if not line:
            return
        yield line


@app.command()
def query(
    bundle: Annotated[
        Path, typer.Argument(help="A FHIR R4 bundle (.json), NDJSON, or a folder, of one patient or many.")
    ],
    asked: Annotated[str, typer.Argument(metavar="QUERY", help='JSON: {"what": "observation", "which": "a1c", ...}.')],
    context: Annotated[
        list[Path] | None, typer.Option(help="Bundles of hospitals and practitioners that BUNDLE refers to.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line a patient.")] = False,
) -> None:
    """Answer a typed question from all of a record, by code: value, day and lines; of a folder, a line a patient."""
    from recipes.ehr_qa.lookup import run
    from recipes.ehr_qa.query import read_query
    from recipes.ehr_qa.records import read_records
    from recipes.ehr_query.show import result_told

    wanted = read_query(asked)
    records = read_records(bundle, context or [])
    for record in records:
        result = run(wanted, record)
        if as_json:
            print(json.dumps({"patient": record.patient, **result.to_json()}, ensure_ascii=False))
        elif len(records) > 1:
            print("\n    ".join([f"{record.patient}  {result.said}", *result.notes]))
        else:
            print(result_told(result))


@app.command()
def card(
    model: Annotated[str, typer.Argument(help="gemma-3-270m, an adapter's or merged model's folder, a hub id.")],
    data: Annotated[Path, typer.Option(help="Folder in which data sets lie, under their published names.")],
    rows: Annotated[str | None, typer.Option(help="Names of rows, with commas between; all where not said.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the table and of the model's replies.")] = Path("card"),
    by: Annotated[
        str, typer.Option(help="generation, or likelihood: of the options, each question in one pass.")
    ] = "generation",
    limit: Annotated[int | None, typer.Option(min=1, help="Most contexts of a row, drawn at random.")] = None,
    thinking: Annotated[bool, typer.Option(help="The line of exams' prompts that lets MedGemma 1.5 think.")] = True,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Where replies are cut.", show_default="the recipe's")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the named rows' open data sets from the hub into DATA first.")
    ] = False,
    list_rows: Annotated[
        bool, typer.Option("--list", help="List the rows and which data are there; ask nothing.")
    ] = False,
) -> None:
    """A model on every row of MedGemma's card whose data are there, with intervals and the answer that sees nothing.

    Run again after a stop, it goes on; replies are kept, so that graders can change without a new run.
    """
    from recipes.card.command import list_data, make_card

    chosen = [name.strip() for name in (rows or "").split(",") if name.strip()]
    if rows is not None and not chosen:
        raise AssayError("--rows names no row; name some, or leave it out for all.")
    if by not in ("generation", "likelihood"):
        raise AssayError(f"--by is generation or likelihood, not {by}.")
    if list_rows:
        list_data(data, chosen)
    else:
        make_card(model, data, chosen, out, by, limit, thinking, tokens, download)  # type: ignore[arg-type]


@app.command()
def doctor(
    model: Annotated[str | None, typer.Argument(help="A model that the hub is asked for, with --hub.")] = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Ask the hub: does it answer, are you logged in, does it give MODEL?")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Try all that Assay uses on this machine, and say what mends the rest; no network without --hub.

    Ends with code 2 where something needed is broken. What is `missing` is optional.
    """
    from recipes.doctor.command import doctor as look

    if model and not hub:
        raise AssayError(f"The hub is asked for a model only where you say so: assay doctor --hub {model}.")
    if not look(model, hub, as_json):
        raise typer.Exit(2)


def _questions(given: list[str]) -> list[str]:
    """The questions themselves, or those of the one file that is named."""
    if len(given) == 1 and Path(given[0]).is_file():
        try:
            lines = Path(given[0]).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise AssayError(f"The questions in {given[0]} cannot be read: {error}.") from None
        given = [line.strip() for line in lines if line.strip()]
    for name in given:
        if _FILE.fullmatch(name) and not Path(name).exists():
            raise AssayError(f"There is no file {name}; name one with a question a line, or write a question in words.")
    if not given or not all(question.strip() for question in given):
        raise AssayError("There is no question; write it behind the bundle, or name a file with a question a line.")
    return given


def main() -> None:
    """The `assay` command."""
    run_command(app)


if __name__ == "__main__":
    main()
