"""`assay classify`, `index`, `search` and `onnx`: what dual encoders are for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from extraction.errors import AssayError
from extraction.files import write_whole
from finetune.cli import app

_MODEL = "A dual encoder: a folder (BiomedCLIP's, MedSigLIP's), a hub id, or an adapter that was tuned on one."


@app.command()
def classify(
    model: Annotated[str, typer.Argument(help=_MODEL)],
    images: Annotated[Path, typer.Argument(help="Folder with a folder of images for each class, or of a benchmark.")],
    benchmark: Annotated[
        str | None, typer.Option(help="pcam, lc25000-lung, lc25000-colon, tcga-til or rsna, as BiomedCLIP's paper.")
    ] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="What is said of a class, {} in its place; may be given again.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="Labelled images of the same classes: a linear probe learns from them.")
    ] = None,
    lora: Annotated[
        bool, typer.Option("--lora", help="Also tune LoRA on 1 to 64 labels a class: minutes on a GPU, hours without.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Tell images' classes apart: without labels by what is said of each class, and with some by learning from them."""
    from recipes.contrastive.benchmarks import benchmark_of
    from recipes.contrastive.classify import Classified
    from recipes.contrastive.classify import classify as run
    from recipes.contrastive.data import Left
    from recipes.contrastive.load import load

    if lora and not train:
        raise AssayError("--lora learns from labelled images: name their folder by --train.")
    wanted = benchmark_of(benchmark, images, tuple(template or ()))
    left, shown = Left(), 0

    def soon(part: Classified) -> None:
        """Print the table's rows that are new: those of LoRA may take hours more."""
        nonlocal shown
        if not as_json:
            print("\n".join((rows := part.table())[shown:]), flush=True)
            shown = len(rows)

    found = run(load(model), images, train, wanted, left, lora, soon)
    if left.counts:
        print(f"Left out:\n{left.lines()}", file=sys.stderr)
    print(json.dumps(found.to_dict(), indent=1) if as_json else "\n".join(str(found).split("\n")[shown:]))


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder of images, DICOM files and slides, and those in it.")],
    out: Annotated[Path, typer.Option(help="Folder of the index; of one that is there, what is new or changed.")],
    model: Annotated[str | None, typer.Option(help=_MODEL, show_default="the one that made the index")] = None,
) -> None:
    """Make images searchable by texts and by images; run again, it adds what is new and drops what is gone."""
    from recipes.contrastive.index import Index
    from recipes.contrastive.load import load
    from recipes.contrastive.search import fill

    made = Index(out)
    if model is None and not out.exists():
        raise AssayError("A new index needs a model: name it with --model.")
    print(fill(made, folder, load(model or made.facts["model"])))


@app.command()
def search(
    index_folder: Annotated[Path, typer.Argument(metavar="INDEX", help="An index's folder.")],
    query: Annotated[str, typer.Argument(help="A text, or an image's file.")],
    count: Annotated[int, typer.Option(min=1, help="Images to find.")] = 10,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page with the pictures and scores.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every image, without FAISS.")] = False,
    model: Annotated[str | None, typer.Option(help=_MODEL, show_default="the one that made the index")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the images nearest to a text or an image."""
    from recipes.contrastive.data import on_one_line
    from recipes.contrastive.index import Index
    from recipes.contrastive.load import load
    from recipes.contrastive.search import hits_page
    from recipes.contrastive.search import search as run
    from recipes.contrastive.slides import told

    if page and not page.parent.is_dir():
        raise AssayError(f"There is no folder {page.parent} for the page; make it, or name another by --html.")
    if page and page.is_dir():
        raise AssayError(f"{page} is a folder; name the page's file by --html, {page / 'found.html'} say.")
    if page and page.suffix.lower() not in (".html", ".htm"):
        raise AssayError(f"{page} is no page by its name, and might be another file: name one that ends in .html.")
    known = Index(index_folder)
    name = model or str(known.facts["model"])
    hits = run(known, load(name), query, count, exact)
    if as_json:
        print(json.dumps([hit.to_dict() for hit in hits], indent=1))
    else:
        print("\n".join(f"{hit.score:.3f}  {on_one_line(str(hit.path))}{told(hit.place)}" for hit in hits))
    if page:
        write_whole(page, hits_page(query, hits, name))


@app.command()
def onnx(
    model: Annotated[str, typer.Argument(help=_MODEL)],
    out: Annotated[Path, typer.Option(help="Folder for image.onnx, text.onnx and how to feed them; empty or new.")],
) -> None:
    """Write both towers as ONNX files, and compare them with the model."""
    from recipes.contrastive.onnx import write_onnx

    differences = write_onnx(model, out)
    said = ", ".join(f"{name} {difference:.1e}" for name, difference in differences.items())
    print(f"Written to {out}; vectors differ from torch's by at most: {said}.")
