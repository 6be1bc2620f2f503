"""The `assay` command with what recipes add to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from extraction.errors import AssayError, run_command
from finetune.cli import app

# What can only be meant as a file: no blank, and a suffix or a slash.
_FILE = re.compile(r"\S+\.[A-Za-z]{2,5}|\S*/\S*")


@app.command()
def answer(
    bundle: Annotated[Path, typer.Argument(help="A patient's FHIR R4 bundle (.json), or a folder of one patient.")],
    questions: Annotated[list[str], typer.Argument(help="Questions, or one file with a question a line.")],
    model: Annotated[str, typer.Option(help="Folder of a model of the recipe ehr_qa.")] = "ehr-qa-270m",
    context: Annotated[
        list[Path] | None, typer.Option(help="Bundles of hospitals and practitioners that BUNDLE refers to.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of question, answer, evidence.")] = False,
) -> None:
    """Answer questions on a patient's record, with the lines that say so; the record is read once for all of them."""
    from recipes.ehr_qa.answer import Answerer
    from recipes.ehr_qa.records import read_record

    asked = _questions(questions)
    whole = read_record(bundle, context or [])  # what is wrong with it is said before a model is loaded
    answerer = Answerer.from_pretrained(model)
    record = answerer.shown(whole, asked)
    answers = answerer.answer_record(record, asked)
    if as_json:
        print(json.dumps([given.to_json() for given in answers], indent=1, ensure_ascii=False))
        return
    for given in answers:
        said = "; ".join(given.answer) if isinstance(given.answer, list) else given.answer
        print(f"{given.question}\n  {given.issue or said or 'The record does not say.'}")
        for number in given.evidence:
            print(f"  {number}: {record.lines[number - 1].text}")


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

    wanted = read_query(asked)
    records = read_records(bundle, context or [])
    for record in records:
        result = run(wanted, record)
        if as_json:
            print(json.dumps({"patient": record.patient, **result.to_json()}, ensure_ascii=False))
        elif len(records) > 1:
            print(f"{record.patient}  {result.said}")
        else:
            print(result.said)
            for item in result.items:
                print(f"  {item.line}: {item.text}")
            for note in result.notes:
                print(f"  {note}")


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
