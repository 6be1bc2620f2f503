"""`assay volume` and `assay slide`; apart from their packages, which take long to import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

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
    answers: Annotated[
        Path | None, typer.Option(help="What a model said (.answers.jsonl of assay evaluate), for the page.")
    ] = None,
) -> None:
    """The volumes in a path: their geometry, what is doubtful about them, and how a model is shown them.

    Nothing that names a patient is read from headers; names of files are yours.
    """
    from extraction.files import write_whole
    from extraction.volume import chosen, fitting, open_volumes, protocol_of, volume_page
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
            said, earlier = _said(answers, path)
            before = [*(one for study in earlier for one in open_volumes(study)), *found[: (number or 1) - 1]]
            if said and (told := said[0].get("protocol")):
                before = fitting(before, told)[0]
            shown = sum(len(chosen(one.shape[0])) for one in before) if said else 0
            write_whole(html, volume_page(wanted, protocol, answers=said, before=shown))
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
    answers: Annotated[
        Path | None, typer.Option(help="What a model said (.answers.jsonl of assay evaluate), for the page.")
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
        write_whole(page, slide_page(opened, magnification, answers=_said(answers, path)[0]))
        print(f"The page: {page}", file=sys.stderr)


def _said(answers: Path | None, path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What a file of answers says of the study or slide at a path, and the studies that were shown before it.

    Raises:
        AssayError: it says nothing of it.
    """
    if answers is None:
        return [], []
    from extraction.export.findings import read_answers

    own = str(path.resolve())
    for study, found in read_answers(answers).items():
        if own in study:
            return found, list(study[: study.index(own)])
    raise AssayError(f"{answers} says nothing of {path}; name the study as its table of questions does.")
