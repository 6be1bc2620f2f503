"""How often a page with a right text layer is doubted, and what the check costs: no model is loaded.

    .venv/bin/python scripts/check_trust.py FOLDER [FOLDER ...] [--json FILE]

Every PDF below the folders is opened and compared with itself as drawn (`extraction.document.trust`). Prints each page
that is doubted or has an issue, then the numbers of pages and the seconds a page. Shared reports, and generated ones
(`python -m recipes.lab_report.synthetic OUT --split validation --count 40 --seed 3`), have right text layers.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

from extraction.document import Limits, ocr, open_document
from extraction.document.trust import examine
from extraction.errors import DocumentError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    recognise = ocr.recognise if ocr.ocr_available() else None
    pages = doubted = 0
    seconds = []
    for path in sorted(found for folder in args.folders for found in folder.rglob("*.pdf")):
        try:
            document = open_document(path)
        except DocumentError:
            continue
        start = time.monotonic()
        verdicts = examine(document, Limits(), recognise)
        took = time.monotonic() - start
        pages += len(verdicts)
        if verdicts:
            seconds.append(took / len(verdicts))
        for number, verdict in sorted(verdicts.items()):
            if verdict.doubt or verdict.page.issue:
                doubted += 1
                print(f"{path.name} page {number}: {verdict.doubt or verdict.page.issue}")
    summary = {"pages": pages, "doubted": doubted, "seconds a page, median": round(median(seconds), 3)}
    print(json.dumps(summary))
    if args.json:
        args.json.write_text(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main()
