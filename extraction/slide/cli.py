"""`assay slide`: what a whole slide is, and what a model would be shown of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from extraction.cli import app


@app.command()
def slide(
    path: Annotated[Path, typer.Argument(help="SVS, NDPI, tiled TIFF, one file of a DICOM slide, ...")],
    magnification: Annotated[int, typer.Option(help="Of the patches: 5, 10 or 20.")] = 10,
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a page: the slide with its patches outlined, and the patches.")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="Micrometres per pixel, where the slide does not say.", show_default=False)
    ] = None,
) -> None:
    """Tell a whole slide's sizes, levels and tissue, and which patches a model would be shown.

    Labels and macro images, which have names on them, are neither printed nor drawn.
    """
    from extraction.files import write_whole
    from extraction.slide.page import counted, slide_page, told
    from extraction.slide.slide import open_slide

    opened = open_slide(path, mpp)
    print("\n".join([path.name, *told(opened)]), flush=True)
    print("\n".join(counted(opened, magnification)))
    if page:
        write_whole(page, slide_page(opened, magnification))
        print(f"The page: {page}", file=sys.stderr)
