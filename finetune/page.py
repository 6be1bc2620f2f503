"""What a run leaves to look at: a card beside its adapter, and a page with its curves and figures."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from extraction.contract import Contract, field_names
from extraction.errors import AssayError
from extraction.files import write_whole
from finetune.config import BaseConfig, RunConfig, load_config
from finetune.run import CONFIG, RunFolder, read_metrics

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-size: 13px } td, th { padding: 3px 10px; text-align: left; vertical-align: top;
  border-bottom: 1px solid #d8dee4 } th { background: #f3f5f7 } .number { text-align: right }
.charts { display: flex; gap: 1.5rem; flex-wrap: wrap } figure { margin: 0 }
svg text { font: 11px system-ui, sans-serif; fill: #57606a }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
iframe { width: 100%; height: 85vh; border: 1px solid #d8dee4 }
"""
_CARD = """# {name}

{kind} for {base}, made by Assay's recipe {recipe}. Written by the run; what only you know is left to you,
below.

- **Told:** “{instruction}”
- **Fields:** {fields}
- **Training:** {steps} steps of {batch} {what} at a rate of {rate:g}, in {hours}; data from `{train}`, judged on
  `{validation}`: {examples}.
- **Kept:** {checkpoint}, the best by {metric}.
- **Figures on held-out data:** {figures}
- **Limits:** these very data chose the checkpoint, so that it looks better there than it is: `assay evaluate` on
  others, which chose nothing, says more.
- **Base weights:** SHA-256 `{sha}`{bits}. Versions: {versions}.
- **Terms of the base, which hold for the adapter, too:** {terms}.

`config.yaml` and `metrics.jsonl` of the run say the rest. Use it by `--model FOLDER` in `assay extract`, or
`Extractor.from_pretrained("FOLDER")`.

## To be filled in

What it is for and not for, whose documents it learned from and under what terms, on which it was tried, who to ask. It
is no medical device.
"""
# Terms of models that are known by name; others say theirs in their own cards.
_TERMS = {
    r"med(?:gemma|siglip)": "Health AI Developer Foundations "
    "(https://developers.google.com/health-ai-developer-foundations/terms)",
    r"gemma-?[123]\b": "Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
}


def terms_of(model: str) -> str:
    """Under which terms a base model comes, by its name or by the card that lies with its files."""
    for pattern, terms in _TERMS.items():
        if re.search(pattern, model, re.IGNORECASE):
            return terms
    with suppress(OSError, TypeError, ValueError):  # no card, or none that can be read
        card: Any = Path(model, "README.md") if Path(model).is_dir() else try_to_load_from_cache(model, "README.md")
        said = re.search(r"^license(?:_name)?: *(?!other\b)(\S.*)$", Path(card).read_text(encoding="utf-8"), re.M)
        if said:
            return said[1].strip()
    return f"nothing with the files of {model} says them; see where it came from"


def write_pages(folder: RunFolder, config: RunConfig, contract: Contract, facts: Mapping[str, Any], card: Path) -> None:
    """Write a run's `report.html` and its adapter's card; neither has text of any document.

    Args:
        facts: what `versions.json` says, and under `examples` of how many it learned and by how many it was judged.
        card: where the card goes.
    """
    rows = read_metrics(folder.metrics)
    write_whole(card, _card(folder, config, contract, facts, rows, kept_figures(rows, facts)))
    write_report(folder, config, facts)


def write_report(folder: RunFolder, config: BaseConfig, facts: Mapping[str, Any]) -> None:
    """Write a run's `report.html`: its curves, its figures, its settings; and the facts that it was made with."""
    write_whole(folder.path / "report.json", json.dumps(dict(facts), indent=1) + "\n")
    rows = read_metrics(folder.metrics) if folder.metrics.exists() else []
    write_whole(folder.path / "report.html", _report(folder, config, facts, rows))


def note_merge(run: Path, told: str) -> None:
    """Say in a run's report how near its merged model is; nothing where it has no report or an older configuration."""
    folder = RunFolder(run)
    with suppress(OSError, ValueError, AssayError):  # the merge is whole without it
        facts = json.loads((folder.path / "report.json").read_text(encoding="utf-8"))
        write_report(folder, load_config(run / CONFIG), {**facts, "merge": told})


def kept_figures(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint that was kept reached on held-out data."""
    judged = [row for row in rows if _judged(row) and f"checkpoint-{row['step']}" == facts["checkpoint"]]
    last = judged[-1] if judged else {}
    return {name.removeprefix("eval_"): value for name, value in last.items() if name.startswith("eval_")}


def _judged(row: Mapping[str, Any]) -> bool:
    return any(name.startswith("eval_") for name in row)


def _card(
    folder: RunFolder,
    config: RunConfig,
    contract: Contract,
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
) -> str:
    settings = config.train
    metric = next((name for name in facts if name.startswith("eval_")), None)
    seconds = max((row.get("seconds", 0) for row in rows), default=0)
    lora, start = config.adapter, config.adapter.start
    name = f"{'DoRA' if lora.use_dora else 'LoRA'} adapter (rank {lora.r}, alpha {lora.alpha})"
    adapter = f"An adapter that went on from {start}" if start else f"A {name}"
    return _CARD.format(
        name=folder.path.name,
        kind=adapter,
        base=config.model,
        recipe=config.recipe,
        instruction=contract.instruction.split("\n")[0],
        fields=", ".join(sorted(field_names(contract.record_schema))) or "none",
        steps=max((row["step"] for row in rows), default=0),
        batch=settings.batch_size * settings.accumulation,
        what=f"its own answers ({config.reward.generations} to a question) by what they were worth,"
        if config.reward
        else "examples",
        rate=settings.learning_rate,
        hours=f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{seconds / 60:.0f} minutes",
        train=config.data.train,
        validation=config.data.validation,
        examples=facts["examples"],
        checkpoint=facts["checkpoint"],
        metric=metric.removeprefix("eval_").replace("_", " ") if metric else "order",
        figures=", ".join(f"{name} {_number(value)}" for name, value in figures.items()) or "none",
        sha=facts["base_sha256"],
        bits=", trained on their 4 bits (NF4)" if facts.get("quantization") else "",
        versions=", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        terms=terms_of(config.model),
    )


def _report(folder: RunFolder, config: BaseConfig, facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    loss = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    names = list(dict.fromkeys(name for row in rows for name in row if name.startswith("eval_")))
    shares = [  # a count may be 0 or 1, too
        name for name in names if all(isinstance(r[name], float) and 0 <= r[name] <= 1 for r in rows if name in r)
    ]
    charts = [chart(title, points, top) for title, points, top in _of_rewards(rows)] or [chart("Training loss", loss)]
    for name in shares:
        points = [(row["step"], row[name]) for row in rows if name in row]
        charts.append(chart(f"Held-out {name.removeprefix('eval_').replace('_', ' ')}", points, 1.0))
    judged = [row for row in rows if _judged(row)]
    judged = [{"step": r["step"], **{n.removeprefix("eval_"): r[n] for n in names if n in r}} for r in judged]
    settings = json.loads(config.model_dump_json(exclude_none=True))
    told = (
        f" Learned from {html.escape(facts['examples'])}."
        if "examples" in facts
        else " It has not ended, or was stopped."
    )
    merged = f"<p>Merged: {html.escape(facts['merge'])}.</p>" if "merge" in facts else ""
    body = (
        f"<h1>{html.escape(folder.path.name)}: {html.escape(config.recipe)} on {html.escape(config.model)}</h1>"
        f"<p>Kept: {html.escape(str(facts['checkpoint'] or 'no checkpoint yet'))}.{told} {_cost(rows, facts)}</p>"
        f"{merged}<div class=charts>{''.join(charts)}</div>"
        f"<h2>On held-out data</h2>{table(judged) if judged else '<p>Nothing was read yet.</p>'}"
        f"{_detailed(folder, judged, facts)}"
        f"<h2>Versions</h2>{table([facts['versions']])}"
        f"<h2>Settings</h2><pre>{html.escape(json.dumps(settings, indent=1))}</pre>"
    )
    return page("Assay run", body)


def _of_rewards(
    rows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[tuple[float, float]], float | None]]:
    """Title, points and top of the charts of a run by reward: what answers were worth, by parts where there are
    several, and how many questions taught nothing."""
    parts = [name for name in dict.fromkeys(n for row in rows for n in row) if re.fullmatch(r"rewards/\w+/mean", name)]
    titles = {"reward": "Reward"}
    if len(parts) > 1:
        titles |= {name: f"Reward: {name.split('/')[1].replace('_', ' ')}" for name in parts}
    titles["frac_reward_zero_std"] = "Share of questions whose answers were all worth the same, which teach nothing"
    for name, title in titles.items():
        if points := [(row["step"], row[name]) for row in rows if row.get(name) is not None]:
            yield title, points, 1.0 if all(0 <= value <= 1 for _, value in points) else None


def _cost(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Time and memory, in a sentence."""
    steps, seconds = (max((row.get(key, 0) for row in rows), default=0) for key in ("step", "seconds"))
    told = [f"{steps} steps in {seconds / 60:.1f} minutes"]
    if steps:
        told.append(f"{seconds / steps:.2f} s each with what was read between them")
    if "peak_bytes" in facts:
        told.append(f"at most {facts['peak_bytes'] / 1e9:.2f} GB of memory")
    return ", ".join(told) + "."


def _detailed(folder: RunFolder, judged: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """The first answers and those of the kept checkpoint (of the last, where none is kept yet) by field, and the worst.

    Nothing, where no checkpoint's answers were looked at (`finetune.details`).
    """
    names = [name for row in judged if folder.details(name := f"checkpoint-{row['step']}").is_file()]
    if not names:
        return ""
    shown = dict.fromkeys((names[0], facts["checkpoint"] if facts["checkpoint"] in names else names[-1]))
    made = {name: json.loads(folder.details(name).read_text(encoding="utf-8")) for name in shown}
    last = list(made.values())[-1]
    figures = {name: {one["name"]: _bounded(one) for one in own["fields"]} for name, own in made.items()}
    fields = [
        {
            "field": one["name"],
            "judged": one["values"],
            **{"before" if name == "checkpoint-0" else name: own.get(one["name"]) for name, own in figures.items()},
        }
        for one in last["fields"]
    ]
    links = " ".join(f'<a href="answers/{name}.html">{name}</a>' for name in names)
    by_field = f"<h2>By field, with 95% intervals</h2>{table(fields)}" if fields else ""
    none = {key for one in last["worst"] for key in one if not any(other.get(key) for other in last["worst"])} - {"F1"}
    rows = [{key: value for key, value in one.items() if key not in none | {"evidence"}} for one in last["worst"]]
    drawn = " ".join(
        f'<a href="{one["evidence"]}">{html.escape(one["document"])}</a>' for one in last["worst"] if "evidence" in one
    )
    drawn = f"<p>What was read, on their pages: {drawn}</p>" if drawn else ""
    worst = f"<h2>Worst held-out documents</h2>{table(rows)}{drawn}" if rows else ""
    return f"{by_field}{worst}<p>Answers beside the true ones, of each checkpoint: {links}</p>"


def _bounded(one: Mapping[str, Any]) -> str:
    if not one["values"] and one["figure"] == 1:
        return "nothing to read, nothing invented"
    bounds = "" if one["low"] is None else f" ({one['low']:.3f} to {one['high']:.3f})"
    return f"{one['figure']:.3f}{bounds}"


def page(title: str, body: str) -> str:
    """One self-contained HTML file."""
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}{body}</html>"


def chart(title: str, points: Sequence[tuple[float, float]], top: float | None = None) -> str:
    """A line chart as SVG, axes from zero, or from the lowest value below it."""
    if not points:
        return ""
    width, height, left, bottom = 520, 220, 40, 24
    last = max(x for x, _ in points) or 1
    high = top or max(0.0, max(y for _, y in points) * 1.05)
    low = min(0.0, min(y for _, y in points))
    high = high if high > low else low + 1.0
    wide, tall = width - left - 10, height - bottom - 10
    place = [(left + x / last * wide, height - bottom - (y - low) / (high - low) * tall) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#0969da"><title>step {p[0]}: {p[1]:.3f}</title></circle>'
        for (x, y), p in zip(place, points, strict=True)
    )
    grid = ""
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = height - bottom - share * tall
        grid += f'<line x1="{left}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d8dee4"/>'
        grid += f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{low + share * (high - low):.2f}</text>'
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg width="{width}" height="{height}" role="img" '
        f'aria-label="{html.escape(title)}">{grid}<polyline points="{line}" fill="none" stroke="#0969da" '
        f'stroke-width="2"/>{dots}<text x="{width - 10}" y="{height - 6}" text-anchor="end">step {last:g}</text>'
        "</svg></figure>"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an HTML table; columns that are empty are left out."""
    columns = [key for key in (rows[0] if rows else {}) if any(row.get(key) is not None for row in rows)]
    head = "".join(f"<th>{html.escape(key)}</th>" for key in columns)
    lines = "".join("<tr>" + "".join(_cell(row.get(key)) for key in columns) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"<td class=number>{_number(value)}</td>"
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:g}" if value.is_integer() and value > 1 else f"{value:.3f}"
