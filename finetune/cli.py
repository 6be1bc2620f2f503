"""The `assay` command: extraction's commands, and those that make models."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from extraction.cli import app
from extraction.errors import AssayError


def one_device() -> None:
    """Let torch see one GPU.

    transformers would spread one process over all of them (DataParallel), which nothing here is made for.
    """
    import os

    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="The run's YAML.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value", show_default=False)] = None,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Try it: two steps with the longest examples, an evaluation, a checkpoint, going on from it; then "
            "clean up.",
        ),
    ] = False,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Train every combination of keys with several values: train.learning_rate=1e-4,2e-4 "
            "adapter.r=8,16; each is a run in OUTPUT/sweep.",
        ),
    ] = False,
) -> None:
    """Train an adapter; run again after a stop, it goes on from the last checkpoint.

    One process on one device. For more devices or machines: accelerate launch -m recipes.RECIPE --config CONFIG.
    """
    from extraction.generate.hub import quiet_libraries
    from finetune.config import load_config
    from finetune.run import own_run

    quiet_libraries()  # before what imports them
    one_device()
    if sweep:
        if dry:
            raise AssayError("--dry-run tries one run; leave out --sweep.")
        from rich.console import Console

        from finetune.sweep import sentences, table
        from finetune.sweep import sweep as train_all

        rows = train_all(config, overrides or ())
        Console().print(table(rows))
        print("\n".join(sentences(rows)))
        if any(row.fault for row in rows):
            raise typer.Exit(2)
        return
    checked = load_config(config, overrides or ())
    if own := own_run(checked.recipe):
        if dry:
            raise AssayError(f"--dry-run is for runs of a task; {checked.recipe} has a training of its own.")
        own.train(checked)
        return
    if checked.reward:
        raise AssayError(
            f"{config} has a section `reward`; start it by assay reward {config}, or take the section out."
        )
    if dry:
        from finetune.probe import probe

        print(probe(checked, dry=True).told())
        return
    from finetune.train import train as run_training

    run_training(checked)


@app.command()
def reward(
    config: Annotated[Path, typer.Argument(help="The run's YAML.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value", show_default=False)] = None,
) -> None:
    """Train by reward: the model answers, and learns from what its answers are worth by the task's own metric.

    Goes on from an adapter (adapter.start) or begins one; run again after a stop, it goes on from the last checkpoint.
    """
    from finetune.config import RewardConfig, load_config
    from finetune.run import own_run

    one_device()
    checked = load_config(config, overrides or ())
    if own_run(checked.recipe):
        raise AssayError(f"{checked.recipe} writes no answers, so there is nothing to reward; assay train trains it.")
    from finetune.reward import reward as run_reward

    run_reward(checked if checked.reward else checked.model_copy(update={"reward": RewardConfig()}))


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="The run's YAML.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value", show_default=False)] = None,
    gpu: Annotated[
        str | None, typer.Option(metavar="24GB", help="Say the largest batch for a GPU with so much memory.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the model and time a few steps here: how long will the run take?")
    ] = False,
) -> None:
    """Say what a run would train, on what data, and about how much memory a step takes; loads no weights.

    Refuses what training would refuse.
    """
    from extraction.generate.hub import quiet_libraries
    from finetune.config import load_config
    from finetune.run import RunFolder, own_run

    quiet_libraries()  # before what imports them
    if measure:
        one_device()
    checked = load_config(config, overrides or ())
    RunFolder(checked.train.output).check(checked)
    if own := own_run(checked.recipe):
        if gpu or measure:
            raise AssayError(f"--gpu and --measure are for runs of a task; {checked.recipe} has a training of its own.")
        print(own.plan(checked))
        return
    if measure and checked.reward:
        raise AssayError(f"--measure times the steps of assay train, and {config} is a run of assay reward.")
    from finetune.preflight import plan as make_plan
    from finetune.preflight import told_batch

    made = make_plan(checked)
    batch = told_batch(made, checked, gpu) if gpu else ""
    if measure:
        from finetune.probe import probe

        measured = probe(checked)
        told, taken = measured.told(), measured.planned
    else:
        from finetune.memory import held_here
        from finetune.sets import told_data

        told, family, rows = told_data(checked)
        taken = held_here(checked, family, rows) if family else None
    if taken and not gpu:
        made = replace(made, bytes=taken, where="on this processor")
    print("\n".join(filter(None, (str(made), batch, told))))


@app.command()
def merge(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, or its adapter's.")],
    out: Annotated[Path, typer.Option(help="Folder of the merged model; empty or new.")],
    gguf: Annotated[
        str | None, typer.Option(help="q8_0 or f16: also a GGUF file in it, for llama.cpp and Ollama (Gemma 3 text).")
    ] = None,
) -> None:
    """Merge a run's adapter into its base model, and compare the two."""
    from finetune.adapter import merge as merge_run
    from finetune.gguf_file import check_convertible, write_gguf
    from finetune.page import note_merge
    from finetune.run import own_run_of

    own = own_run_of(run_folder)
    if gguf:
        check_convertible(run_folder, gguf)
    report = own.merge(run_folder, out) if own else merge_run(run_folder, out)
    if not own:
        note_merge(run_folder, str(report))
    print(f"Merged into {out}: {report}.")
    if gguf:
        print(f"For llama.cpp and Ollama: {write_gguf(out, gguf)}.")  # type: ignore[arg-type]


@app.command()
def push(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, or its adapter's.")],
    repo: Annotated[str, typer.Argument(help="USER/NAME on the hub; made where it is not there yet.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to see; private otherwise.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be sent; send nothing.")] = False,
) -> None:
    """Send a run's adapter to the Hugging Face hub: weights, contract and card, no data and no figure of a document."""
    from finetune.push import check_name, sent_files
    from finetune.push import push as send

    if dry_run:
        files = sent_files(run_folder)
        check_name(repo)
        print(f"To {repo} ({'public' if public else 'private'}):")
        for file in files:
            print(f"  {file.name:28} {file.stat().st_size:>14,} bytes")
        return
    print(f"Sent to {send(run_folder, repo, public)}; read its card before you show it to anybody.")


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A merged model's, adapter's or run's folder.")],
    data: Annotated[Path, typer.Argument(help="Folder of documents with their records, or of what the recipe asks.")],
    recipe: Annotated[
        str | None,
        typer.Option(help="Says how the data are read and what counts.", show_default="the one the model was made by"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder in which answers and figures are kept.")] = Path("runs/evaluate"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Let a model answer what is labelled, and judge it: documents are scored, questions graded.

    Run again after a stop, it goes on; another model, other data or another question are asked anew.
    """
    from rich.console import Console

    from extraction.api import Extractor, backend_for
    from extraction.batch import task_id
    from extraction.contract import FILE
    from extraction.generate.hub import shipped
    from extraction.room import Room
    from finetune.answers import Kept, by_kind, kinds_table, write_answers, write_figures
    from finetune.compare import told_figure
    from finetune.run import ADAPTER, own_run
    from finetune.task import DataRequest, evaluate, load_task, read_examples, recipe_of

    if (Path(model) / ADAPTER).is_dir():
        model = str(Path(model) / ADAPTER)
    wanted = recipe or recipe_of(model)
    if own := own_run(wanted):
        stem = f"{task_id(model, None)}.{data.resolve().name}"
        figures = own.evaluate(model, data, out / f"{stem}.answers.jsonl")
        print(f"Figures: {write_figures(out / f'{stem}.figures.json', figures)}", file=sys.stderr)
        lines = (f"{name:24} {told_figure(value)}" for name, value in figures.items())
        print(json.dumps(figures, indent=1) if as_json else "\n".join(lines))
        return
    task = load_task(wanted)
    known = (Path(shipped(model)) / FILE).exists()
    extractor = Extractor.from_pretrained(model) if known else Extractor(backend_for(model), task.contract)
    room = Room(extractor.backend.count_tokens, extractor.contract)
    examples = read_examples(task, DataRequest(data, "test", extractor.contract, room))
    name = task_id(model, None)
    kept = Kept(out / f"{name}.jsonl", extractor.contract)
    grade = evaluate(extractor, task, examples, "reading", kept)
    kinds = by_kind(grade.answers) if grade.answers else {}
    if kinds:
        told = write_answers(out / f"{name}.{data.resolve().name}.answers.jsonl", grade.answers)
        print(f"Each answer beside the true one: {told}", file=sys.stderr)
    if as_json:
        detail = ({"all_fields": grade.score.to_dict()} if grade.score else {}) | ({"kinds": kinds} if kinds else {})
        print(json.dumps({**grade.figures, **detail}, indent=1, ensure_ascii=False))
        return
    if grade.score:
        Console().print(grade.score.table())
        if grade.score.reliability:
            Console().print(grade.score.reliability.table())
    if kinds:
        Console().print(kinds_table(kinds))
    for name, value in {**grade.figures, **task.published}.items():
        print(f"{name:24} {told_figure(value):5}  {grade.meaning.get(name, '')}".rstrip())


data_app = typer.Typer(help="What a run would learn from.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")


@data_app.command()
def preview(
    config: Annotated[Path, typer.Argument(help="The run's YAML.")],
    number: Annotated[int, typer.Argument(min=1, help="Which row of the training data, from 1.")] = 1,
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value", show_default=False)] = None,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page instead, with the images small.")] = None,
) -> None:
    """Show an example exactly as the model gets it: the tokens that are trained, the images, what each branch sees."""
    from rich.console import Console

    from extraction.files import write_whole
    from finetune.config import load_config
    from finetune.preview import preview as show
    from finetune.run import own_run

    checked = load_config(config, overrides or ())
    if own_run(checked.recipe):
        raise AssayError(f"{checked.recipe} is trained on no rows of tokens; assay plan tells of its data.")
    made = show(checked, number)
    if page is None:
        Console().print(made.terminal(), soft_wrap=True)
        return
    write_whole(page, made.html())
    print(f"{made.summary()}: {page}")


@data_app.command()
def check(
    config: Annotated[Path, typer.Argument(help="The run's YAML.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value", show_default=False)] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all that was found into this file.")] = None,
) -> None:
    """Look through the data of a run: answers beside their sources, lengths, images, what both splits have in common.

    Ends with code 1 where something would spoil training.
    """
    from extraction.files import write_whole
    from finetune.check import check as look
    from finetune.config import load_config
    from finetune.run import own_run

    checked = load_config(config, overrides or ())
    if own_run(checked.recipe):
        raise AssayError(f"{checked.recipe} has no answers to check; assay plan tells of its data.")
    report = look(checked)
    print(report)
    if as_json:
        write_whole(as_json, json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n")
    if report.spoiled:
        raise typer.Exit(1)


@data_app.command()
def split(
    folder: Annotated[Path, typer.Argument(help="Documents with their records, or tables and the files they name.")],
    out: Annotated[Path, typer.Option(help="Folder of train, validation and test; empty or new.")],
    by: Annotated[
        str | None,
        typer.Option(
            help="What tells the group: a field of the records or a column, `folder`, or a pattern with brackets for "
            "names: '^([a-z]+)-'.",
            show_default="each example its own",
        ),
    ] = None,
    validation: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the examples to be judged by.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the examples to test on at the end.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Same seed, same parts.")] = 0,
    link: Annotated[bool, typer.Option("--link", help="Make links to the files, not copies.")] = False,
) -> None:
    """Divide labelled data so that no patient, institution or vendor stands in two parts."""
    from finetune.split import split as divide

    print(divide(folder, out, by, {"validation": validation, "test": test}, seed, link))


@app.command("config-schema")
def config_schema(
    recipe: Annotated[
        str | None,
        typer.Option(help="Whose keys: contrastive and vqa_head have their own.", show_default="those of a decoder"),
    ] = None,
) -> None:
    """Print the JSON Schema of a run's YAML, which says what each key is, for editors that complete from it."""
    from finetune.config import config_schema as schema

    print(json.dumps(schema(recipe), indent=1))
