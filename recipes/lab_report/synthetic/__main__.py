"""Write synthetic reports: python -m recipes.lab_report.synthetic OUT --split train --count 100 --seed 1."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from extraction.errors import AssayError

from . import FAMILIES, families, write_reports


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the reports."""
    parser = argparse.ArgumentParser(prog="python -m recipes.lab_report.synthetic", description=__doc__)
    parser.add_argument("out", type=Path, help="new or empty folder")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="train")
    parser.add_argument("--count", type=int, default=100, help="number of reports")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first report; each next has one more")
    parser.add_argument("--family", action="append", choices=sorted(FAMILIES), metavar="NAME",
                        help="only this family of the split; may be repeated")  # fmt: skip
    parser.add_argument("--max-rows", type=int, help="at most this many rows a report")
    args = parser.parse_args(arguments)
    names = args.family or families(args.split)
    strangers = [name for name in names if FAMILIES[name].split != args.split]
    if strangers:
        parser.error(f"{', '.join(strangers)} not in the split {args.split}")
    try:
        paths = write_reports(args.out, names=names, count=args.count, seed=args.seed, max_rows=args.max_rows)
    except (OSError, ValueError, AssayError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(paths)} reports of {len(names)} families in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
