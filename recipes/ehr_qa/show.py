"""`python -m recipes.ehr_qa.show BUNDLE [--context PATH...] [--questions N --seed S]`: a record, or questions on it."""

import argparse
import json
from pathlib import Path

from extraction.errors import run_command
from recipes.ehr_qa.questions import make_questions
from recipes.ehr_qa.records import read_records


def main() -> None:
    """Print the condensed record of each patient, or questions with gold answers as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m recipes.ehr_qa.show", description=main.__doc__)
    parser.add_argument("bundle", type=Path, help="a FHIR R4 bundle (.json), NDJSON, or a folder of them")
    parser.add_argument("--context", type=Path, nargs="+", default=[], help="bundles of hospitals and practitioners")
    parser.add_argument("--questions", type=int, help="print this many questions a patient instead of the record")
    parser.add_argument("--seed", type=int, default=0, help="another seed asks other questions")
    arguments = parser.parse_args()
    records = read_records(arguments.bundle, arguments.context)
    for place, record in enumerate(records):
        if arguments.questions is not None:
            for question in make_questions(record, arguments.questions, arguments.seed):
                print(json.dumps(question.to_json(), ensure_ascii=False))
        else:
            print(("\n" if place else "") + record.text)


if __name__ == "__main__":
    run_command(main)
