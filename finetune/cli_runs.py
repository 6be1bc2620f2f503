"""Commands about several runs: `assay compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from finetune.cli import app


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of finished runs of one recipe.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Held-out data that they answered by assay evaluate.", show_default="what judged the runs"),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder in which assay evaluate kept answers.")] = Path("runs/evaluate"),
    to: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Put runs side by side: what differs, the metric with its interval, and whether any is better than the first.

    A paired bootstrap over the held-out documents that all of them answered says so.
    """
    from rich.console import Console

    from extraction.files import write_whole
    from finetune.compare import compare as compare_runs

    made = compare_runs(runs, data, out)
    if to:
        write_whole(to, json.dumps(made.to_dict(), indent=1, ensure_ascii=False) + "\n")
    Console().print(made.table())
    print("\n".join(made.sentences()))
