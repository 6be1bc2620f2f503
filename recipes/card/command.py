"""`assay card`: which rows are here, a model on each, the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from tqdm import tqdm

from extraction.api import Extractor, backend_for
from extraction.contract import FILE as CONTRACT
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.generate.hub import quiet_libraries, shipped
from finetune.run import ADAPTER
from recipes.card.lines import By, Card, Line
from recipes.card.places import found
from recipes.card.rows import FILE, Row, by_name, published
from recipes.card.show import differing, earlier, entry_of, save, table

_WIDTH = 100  # columns that the table takes


def _wanted(data: Path, chosen: Sequence[str]) -> tuple[list[tuple[str, Row, Path]], list[Line], list[Row]]:
    """The data sets that are here, those whose `row.yaml` is none, and the published rows whose data are not here."""
    here, bad = [], []
    for name, row, folder in found(data):
        if isinstance(row, Row):
            here.append((name, row, folder))
        elif not chosen or name in chosen:
            bad.append(Line(Row(name=name, title=name, recipe=""), name, missing=str(row)))
    names = {row.name for _, row, _ in here} | {name for name, _, _ in here} | {line.name for line in bad}
    for name in chosen:
        if name not in names:
            by_name(name)  # an unknown one is refused
    here = [one for one in here if not chosen or one[0] in chosen or one[1].name in chosen]
    absent = [row for name, row in published().items() if name not in names and (not chosen or name in chosen)]
    return here, bad, absent


def list_data(data: Path, chosen: Sequence[str]) -> None:
    """Print the rows, and which data are here.

    Raises:
        AssayError: a `row.yaml` is none; all else is printed before.
    """
    here, bad, absent = _wanted(data, chosen)
    for name, row, folder in here:
        print(f"{name:28} {row.title:44} {folder}")
    for line in bad:
        print(f"{line.name:28} {line.missing}")
    for row in absent:
        print(f"{row.name:28} {row.title:44} not here: {row.access}")
    if bad:
        raise AssayError(f"The {FILE} of {', '.join(line.name for line in bad)} is to be corrected: see above.")


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
        AssayError: no such model, no data, a row of an unknown name, another start or another model's card at OUT, or
            nothing was measured.
    """
    quiet_libraries()
    if download:
        from recipes.card.download import fetch

        fetch([by_name(name) for name in chosen], data)
    here, bad, absent = _wanted(data, chosen)
    if not here:
        faults = "".join(f" {line.missing}" for line in bad)
        raise AssayError(
            f"{data} holds the data of none of these rows; `assay card --list` says how to come by them.{faults}"
        )
    if (Path(model) / ADAPTER / "adapter_config.json").is_file():  # a run's folder, as `assay evaluate` takes it
        model = str(Path(model) / ADAPTER)
    folder = Path(shipped(model))
    known = Contract.load(folder) if (folder / CONTRACT).exists() else None
    if known is not None and known.style != "text":
        raise AssayError(
            f"{model} was taught records, not answers in words; name a model that was tuned on such, or a base."
        )
    extractor = Extractor(backend_for(model), known or Contract.for_schema({"type": "object", "properties": {}}))
    card = Card(extractor, model, out, by, limit, known, thinking, tokens)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / "lock", blocking=False):
            lines = _measured(card, here, bad, absent)
    except Timeout:
        raise AssayError(f"Another start is writing to {out}; wait for its end, or name another --out.") from None
    if not any(line.figures for line in lines):
        first = lines[0]
        raise AssayError(
            f"No row was measured ({first.row.title}: {first.missing.rstrip('.')}); the table has the reasons."
        )


def _measured(
    card: Card, here: Sequence[tuple[str, Row, Path]], bad: Sequence[Line], absent: Sequence[Row]
) -> list[Line]:
    """The lines of this run; the table, with rows of earlier ones, is saved after each and printed at the end."""
    out, settings = card.out, card.settings
    entries = earlier(out, card.model, card.weights)
    absent = [row for row in absent if row.name not in entries]
    lines = list(bad)
    entries |= {line.name: entry_of(line, settings) for line in bad}
    console = Console()
    console.width = max(console.width, _WIDTH)
    for name, row, place in here:
        with tqdm(desc=name, unit="context", leave=False, disable=not console.is_terminal) as bar:

            def tick(done: int, total: int, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            lines.append(card.line(name, row, place, tick))
        entries[name] = entry_of(lines[-1], settings)
        save(out, list(entries.values()), absent, card.model, card.weights, settings)
    console.print(table(list(entries.values())))
    for entry in entries.values():
        for told in (*differing(entry, settings), *entry["notes"]):
            print(f"{entry['title']}: {told}")
    for row in absent:
        print(f"{row.title}: not here. {row.access}")
    print(f"{out / 'card.json'}, {out / 'card.html'}; the replies beside them.")
    return lines
