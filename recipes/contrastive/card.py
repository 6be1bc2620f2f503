"""What a run leaves to read: a card beside the adapter, a page with its curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extraction.files import write_whole
from extraction.generate.hub import FACTS
from finetune.page import kept_figures, terms_of, write_report
from finetune.run import RunFolder, read_metrics
from recipes.contrastive.config import ContrastiveConfig

_CARD = """# {name}

LoRA adapter (rank {r}, alpha {alpha}; {layers} layers of the {towers} towers) for {base}, a dual encoder, made by
Assay's recipe contrastive. Written by the run; what only you know is left to you, below.

- **Training:** {steps} steps of {batch} pairs at a rate of {rate:g}; data from `{train}`, judged on `{validation}`:
  {examples}.
- **Kept:** {checkpoint}.
- **On held-out pairs:** {figures}
- **Base weights:** SHA-256 `{sha}`. Versions: {versions}.
- **Terms of the base, which hold for the adapter, too:** {terms}.

Use it by its folder: `assay evaluate`, `assay classify`, `assay index`, `assay merge`.

## To be filled in

What it is for and not for, whose images it learned from and under what terms, on which it was tried, who to ask. It is
no medical device.
"""


def write_card(made: Path, facts: Mapping[str, Any], folder: RunFolder, config: ContrastiveConfig) -> None:
    """Write `README.md` beside the adapter, how pairs are read into its facts, and the run's `report.html`."""
    own = config.data.model_dump(mode="json", include={"format", "image", "caption", "label", "templates"})
    write_whole(made / FACTS, json.dumps({**facts, "pairs": own}, indent=1) + "\n")
    rows = read_metrics(folder.metrics)
    settings, adapter = config.train, config.adapter
    text = _CARD.format(
        name=folder.path.name,
        r=adapter.r,
        alpha=adapter.alpha,
        layers=adapter.layers,
        towers=" and ".join(adapter.towers),
        base=config.model,
        steps=max((row["step"] for row in rows), default=0),
        batch=settings.batch_size,
        rate=settings.learning_rate,
        train=config.data.train,
        validation=config.data.validation,
        examples=facts["examples"],
        checkpoint=facts["checkpoint"],
        figures=", ".join(f"{name} {value:.3f}" for name, value in kept_figures(rows, facts).items()) or "none",
        sha=facts["base_sha256"],
        versions=", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        terms=terms_of(config.model),
    )
    write_whole(made / "README.md", text)
    write_report(folder, config, facts)
