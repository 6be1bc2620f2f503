"""`assay card`: which rows are here, a model on each, the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from tqdm import tqdm

from extraction.api import Extractor, backend_for
from extraction.contract import FILE as CONTRACT
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.generate.hub import quiet_libraries, shipped
from recipes.card.rows import Row, by_name, published
from recipes.card.run import By, Card, Line, found
from recipes.card.show import notes, save, table

_WIDTH = 100  # columns that the table takes


def _wanted(data: Path, chosen: Sequence[str]) -> tuple[list[tuple[str, Row, Path]], list[Row]]:
    """The data sets that are here, and the published rows whose data are not."""
    here = list(found(data))
    names = {row.name for _, row, _ in here} | {name for name, _, _ in here}
    for name in chosen:
        if name not in names:
            by_name(name)  # an unknown one is refused
    here = [one for one in here if not chosen or one[0] in chosen or one[1].name in chosen]
    absent = [row for name, row in published().items() if name not in names and (not chosen or name in chosen)]
    return here, absent


def list_data(data: Path, chosen: Sequence[str]) -> None:
    """Print the rows, and which data are here."""
    here, absent = _wanted(data, chosen)
    for name, row, folder in here:
        print(f"{name:28} {row.title:44} {folder}")
    for row in absent:
        print(f"{row.name:28} {row.title:44} not here: {row.access}")


def make_card(
    model: str,
    data: Path,
    chosen: Sequence[str],
    out: Path,
    by: By,
    limit: int | None,
    thinking: bool,
    tokens: int | None,
    download: bool,
) -> None:
    """Let a model answer, print the table and save it after every row; see `recipes.cli.card`.

    Raises:
        AssayError: no such model, no data, or a row of an unknown name.
    """
    quiet_libraries()
    if download:
        from recipes.card.download import fetch

        fetch([by_name(name) for name in chosen], data)
    here, absent = _wanted(data, chosen)
    if not here:
        raise AssayError(f"{data} holds the data of none of these rows; `assay card --list` says how to come by them.")
    folder = Path(shipped(model))
    known = Contract.load(folder) if (folder / CONTRACT).exists() else None
    if known is not None and known.style != "text":
        raise AssayError(
            f"{model} was taught records, not answers in words; name a model that was tuned on such, or a base."
        )
    extractor = Extractor(backend_for(model), known or Contract.for_schema({"type": "object", "properties": {}}))
    card = Card(extractor, model, out, by, limit, known, thinking, tokens)
    lines: list[Line] = []
    console = Console()
    console.width = max(console.width, _WIDTH)
    for name, row, place in here:
        with tqdm(desc=name, unit="context", leave=False, disable=not console.is_terminal) as bar:

            def tick(done: int, total: int, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            lines.append(card.line(name, row, place, tick))
        save(out, lines, absent, model)
    console.print(table(lines))
    for line in lines:
        for told in notes(line):
            print(f"{line.row.title}: {told}")
    for row in absent:
        print(f"{row.title}: not here. {row.access}")
    print(f"{out / 'card.json'}, {out / 'card.html'}; the replies beside them.")
