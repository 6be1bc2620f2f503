"""`assay volume` and `assay slide`; apart from their packages, which take long to import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from extraction.cli import app
from extraction.errors import AssayError


@app.command()
def volume(
    path: Annotated[Path, typer.Argument(help="Folder, ZIP archive, DICOMDIR or file: DICOM, NIfTI, or pictures.")],
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the slices as a model is shown them; it shows the patient.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="ct, ct-r1 (the first report's second window), mri, or plain.", show_default="the modality's own"
        ),
    ] = "",
    number: Annotated[
        int | None, typer.Option(min=1, help="Which of several volumes.", show_default="the only one")
    ] = None,
) -> None:
    """The volumes in a path: their geometry, what is doubtful about them, and how a model is shown them.

    Nothing that names a patient is read from headers; names of files are yours.
    """
    from extraction.files import write_whole
    from extraction.volume import open_volumes, protocol_of, volume_page
    from extraction.volume.page import geometry_told
    from extraction.volume.volume import told_left

    found = open_volumes(path)
    if number and number > len(found):
        raise AssayError(f"{path} has no volume {number}: it holds {len(found)}.")
    for at, one in enumerate(found, 1):
        if number in (None, at):
            print("\n     ".join([f"{at:3}  {geometry_told(one)}", *one.said]))
    if left := found[0].left_out:
        print(f"Left out: {told_left(left)}.")
    if html or protocol:
        if number is None and len(found) > 1:
            raise AssayError(f"{path} holds {len(found)} volumes: name one with --number.")
        wanted = found[(number or 1) - 1]
        print(f"Protocol: {protocol_of(wanted, protocol)}")
        if html:
            write_whole(html, volume_page(wanted, protocol))
            print(html)


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
