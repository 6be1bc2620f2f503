"""Assay's PDF reading beside other libraries: same files, one run, document by document.

    .venv/bin/python scripts/bench_pdf.py [FOLDER] [--reports 8] [--hostile FOLDER] [--json FILE]

Prints milliseconds a page (the best of several rounds of each document, summed) for text with boxes and for drawing at
200 dpi, and with --hostile what becomes of each odd file under a time limit. Rivals come with the extra `bench`;
those that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from shutil import which

DPI = 200
LIMITS = None  # Assay's own


def assay_text(path):
    from extraction.document import open_document

    document = open_document(path, LIMITS)
    return len(document.pages), document.word_count


def assay_text_inside(path):
    """What Assay's process does, without the process."""
    from dataclasses import asdict

    from extraction.document import Limits
    from extraction.document.worker import read

    frames = list(read(path.read_bytes(), asdict(Limits())))
    return len(frames), sum(len(frame["words"]) for frame in frames)


def pypdfium2_text(path):
    """Runs of text with boxes, as PDFium has them; no words."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    boxes = 0
    for page in document:
        text = page.get_textpage()
        for number in range(text.count_rects()):
            text.get_text_bounded(*text.get_rect(number))
            boxes += 1
        text.close()
        page.close()
    return len(document), boxes


def pdfplumber_text(path):
    import pdfplumber

    with pdfplumber.open(path) as document:
        return len(document.pages), sum(len(page.extract_words()) for page in document.pages)


def pdfminer_text(path):
    """Lines of text with boxes."""
    from pdfminer.high_level import extract_pages
    from pdfminer.layout import LTTextContainer

    pages = list(extract_pages(path))
    boxes = [box for page in pages for box in page if isinstance(box, LTTextContainer)]
    return len(pages), sum(len(list(box)) for box in boxes)


def assay_draw(path):
    from extraction.document import render_pages

    return pages_drawn(render_pages(path, range(1, count_pages(path) + 1), DPI, LIMITS))


@cache
def count_pages(path):
    """Known before the clock runs: the others draw whatever there is."""
    import pypdfium2

    try:
        return len(pypdfium2.PdfDocument(path))
    except pypdfium2.PdfiumError:
        return 1


def pypdfium2_draw(path):
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    drawn = 0
    for page in document:
        page.render(scale=DPI / 72, rev_byteorder=True).to_pil().convert("RGB").load()
        page.close()
        drawn += 1
    return drawn, drawn


def pdf2image_draw(path):
    from pdf2image import convert_from_path

    return pages_drawn(convert_from_path(path, DPI))


def pages_drawn(images):
    drawn = sum(1 for image in images if image.size)
    return drawn, drawn


TEXT = {
    "Assay": assay_text,
    "Assay, process start left out": assay_text_inside,
    "pypdfium2": pypdfium2_text,
    "pdfplumber": pdfplumber_text,
    "pdfminer.six": pdfminer_text,
}
DRAW = {"Assay": assay_draw, "pypdfium2": pypdfium2_draw, "pdf2image (poppler)": pdf2image_draw}
LIBRARIES = {"extraction", "pypdfium2", "pdfplumber", "pdfminer", "pdf2image"}
OWN, ACCIDENT = 3, 4
MODULES = {"pdfplumber": "pdfplumber", "pdfminer.six": "pdfminer", "pdf2image (poppler)": "pdf2image"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_pdf.py", description="Time reading and drawing of PDFs.")
    parser.add_argument("folder", nargs="?", type=Path, help="real PDFs to read besides the generated reports")
    parser.add_argument("--reports", type=int, default=8, help="generated reports")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hostile", type=Path, help="a folder of odd and hostile PDFs")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds a hostile file may take")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    from extraction.document import Limits
    from extraction.errors import run_command

    if arguments.one:
        kind, way, path = arguments.one
        global LIMITS
        LIMITS = Limits(seconds=arguments.limit)
        try:
            (TEXT if kind == "text" else DRAW)[way](Path(path))
        except Exception as error:
            # An exception of the library's own says what is wrong with the file; any other one is an accident.
            sys.exit(OWN if type(error).__module__.split(".")[0] in LIBRARIES else ACCIDENT)
        return
    run_command(lambda: run(arguments))


def run(arguments) -> None:
    from extraction.errors import AssayError
    from extraction.files import write_whole
    from recipes.lab_report.synthetic import write_reports

    missing = [name for name, module in MODULES.items() if not installed(module)]
    for name in missing:
        print(f"{name} is not installed and left out (pip install -e '.[bench]'; apt install poppler-utils).")
    text, draw = ({name: way for name, way in ways.items() if name not in missing} for ways in (TEXT, DRAW))
    found: dict[str, list] = {}
    with tempfile.TemporaryDirectory() as scratch:
        names = ["us_ruled", "simple_list", "belgian_mono", "dutch_zebra"]
        sets = {"generated": write_reports(Path(scratch), names=names, count=arguments.reports, seed=2000)}
        if arguments.folder:
            sets[arguments.folder.name] = sorted(arguments.folder.rglob("*.pdf"))
            if not sets[arguments.folder.name]:
                raise AssayError(f"The folder {arguments.folder} holds no PDF.")
        for name, paths in sets.items():
            for kind, ways in (("text with boxes", text), (f"drawing at {DPI} dpi", draw)):
                title = f"{kind}, {len(paths)} {name} files"
                found[title] = timed(ways, paths, arguments.rounds)
                show(title, found[title])
    if arguments.hostile:
        files = sorted(arguments.hostile.rglob("*.pdf"))
        for kind, ways in (("text", text), ("draw", draw)):
            tried = {name: way for name, way in ways.items() if "left out" not in name}
            title = f"{kind} of {len(files)} hostile files, {arguments.limit:g} s each"
            found[title] = [outcomes(kind, name, files, arguments.limit) for name in tried]
            show(title, found[title])
    if arguments.json:
        write_whole(arguments.json, json.dumps({"versions": versions(), "tables": found}, indent=1) + "\n")


def installed(module):
    from importlib.util import find_spec

    # pdf2image calls a program of poppler's.
    return find_spec(module) is not None and (module != "pdf2image" or which("pdftoppm") is not None)


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("assay", "pypdfium2", "pdfplumber", "pdfminer.six", "pdf2image"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def timed(ways, paths, rounds):
    best = {name: dict.fromkeys(paths, float("inf")) for name in ways}
    counts = {name: [0, 0] for name in ways}
    for way in ways.values():  # imports are nobody's speed
        way(paths[0])
    for turn in range(rounds):
        for path in paths:  # side by side, document by document: the machine's moods hit all alike
            count_pages(path)
            for name, way in ways.items():
                start = time.perf_counter()
                pages, items = way(path)
                best[name][path] = min(best[name][path], time.perf_counter() - start)
                if turn == 0:
                    counts[name][0] += pages
                    counts[name][1] += items
    rows = []
    for name in ways:
        pages, items = counts[name]
        milliseconds = round(1000 * sum(best[name].values()) / max(1, pages), 1)
        rows.append({"way": name, "ms/page": milliseconds, "pages": pages, "pieces": items})
    return rows


def outcomes(kind, name, files, limit):
    """How each file ends in a process of its own: a result, an error that was raised, a crash, or no end."""
    row = dict.fromkeys(("result", "own error", "other exception", "crash", "hang"), 0)
    took = []
    for path in files:
        command = [sys.executable, __file__, "--limit", str(limit), "--one", kind, name, str(path)]
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            # The start of Python and its imports are not the file's.
            code = process.wait(timeout=limit + 3)
            known = {0: "result", OWN: "own error", ACCIDENT: "other exception"}
            row[known.get(code, "crash")] += 1
        except subprocess.TimeoutExpired:
            row["hang"] += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        took.append(time.perf_counter() - start)
    return {"way": name, **row, "seconds": round(sum(took), 1), "slowest": round(max(took), 1)}


def show(title, rows):
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "way" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table, "")


if __name__ == "__main__":
    main()
