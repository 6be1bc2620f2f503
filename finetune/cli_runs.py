"""Commands about several runs: `assay compare` and `assay curve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from extraction.errors import AssayError
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


@app.command()
def curve(
    config: Annotated[Path, typer.Argument(help="The run's YAML.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value", show_default=False)] = None,
    sizes: Annotated[str, typer.Option(help="Numbers of training examples, commas between.")] = "10,30,100,300",
) -> None:
    """Train on few and on more of the documents, and forecast what twice as many would bring.

    A run a size, in OUTPUT/curve, with a picture (curve.html) and figures (curve.json); run again after a stop, it
    goes on.
    """
    from rich.console import Console

    from finetune.cli import one_device
    from finetune.curve import curve as learn

    try:
        numbers = sorted({int(one) for one in sizes.split(",")})
    except ValueError:
        numbers = [0]
    if numbers[0] < 1:
        raise AssayError(f"--sizes takes whole numbers from 1 with commas between, as in 10,30,100, and not {sizes}.")
    one_device()
    made = learn(config, overrides or (), numbers)
    at = made.write()
    Console().print(made.table())
    print(f"{made.told()}\n{at}")
