"""A learning curve: the task's metric after training on few and on more documents, and what twice as many may bring."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extraction.errors import AssayError
from extraction.files import write_whole
from extraction.score.results import draws_of, interval
from finetune.compare import spoken
from finetune.config import load_config
from finetune.judged import load_judged
from finetune.page import page, table
from finetune.processes import say
from finetune.run import CURVE, own_run
from finetune.sweep import train_one

if TYPE_CHECKING:
    from rich.console import RenderableType

# a - b n^-c has three numbers: as many points are met exactly, and say nothing of how far off it is.
_POINTS = 4
# Draws that a curve is fitted to.
_FITS = 300


@dataclass(frozen=True)
class Forecast:
    """What twice the documents would bring, by a - b (n / first)^-c fitted to the points (a, b, c in `law`).

    The interval is of fits to the figures of drawn held-out documents, each moved by as much as the points lie off the
    fitted law: it holds the error of few held-out documents and of a law that does not fit, not of another law.
    """

    size: int
    value: float
    interval: tuple[float, float] | None
    gain: float
    law: tuple[float, float, float]


@dataclass(frozen=True)
class Curve:
    """Sizes of training data with the metric on the held-out data."""

    metric: str
    held_out: int
    folder: Path
    sizes: Sequence[int]
    values: Sequence[float]
    intervals: Sequence[tuple[float, float] | None]
    forecast: Forecast | None

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        points = [
            {
                "examples": size,
                self.metric: value,
                "interval": limits and list(limits),
                "run": str(self.folder / str(size)),
            }
            for size, value, limits in zip(self.sizes, self.values, self.intervals, strict=True)
        ]
        one = self.forecast
        return {
            "metric": self.metric,
            "held_out": self.held_out,
            "points": points,
            "forecast": one
            and {
                "examples": one.size,
                self.metric: one.value,
                "interval": one.interval and list(one.interval),
                "gain": one.gain,
                "law": dict(zip("abc", one.law, strict=True)),
            },
        }

    def table(self) -> RenderableType:
        """What a terminal shows."""
        from rich.table import Table

        made = Table("examples", self.metric, "95% interval", box=None)
        for size, value, limits in zip(self.sizes, self.values, self.intervals, strict=True):
            made.add_row(str(size), f"{value:.3f}", spoken(limits).strip(" ()"))
        return made

    def told(self) -> str:
        """What twice as many labels would bring, in a sentence."""
        one = self.forecast
        if one is None:
            return (
                f"What twice the labels would bring: too few points ({len(self.sizes)}); a curve takes {_POINTS} sizes "
                "or more (--sizes)."
            )
        return (
            f"Twice the labels ({one.size}) would bring {self.metric} {one.value:.3f}{spoken(one.interval)}, "
            f"{one.gain:+.3f} on the curve; the interval holds chance in the {self.held_out} held-out examples and how "
            "far the points lie off the curve."
        )

    def write(self) -> Path:
        """Write `curve.json` and a page with the picture, `curve.html`; the page."""
        told = self.to_dict()
        write_whole(self.folder / "curve.json", json.dumps(told, indent=1) + "\n")
        rows = [
            {"examples": size, self.metric: value, "95% interval": spoken(limits).strip(" ()") or None}
            for size, value, limits in zip(self.sizes, self.values, self.intervals, strict=True)
        ]
        body = (
            f"<h1>{html.escape(self.metric)} by training examples</h1><p>On {self.held_out} held-out examples, with "
            f"95% intervals. {html.escape(self.told())}</p>{picture(self)}{table(rows)}"
        )
        write_whole(self.folder / "curve.html", page("Assay learning curve", body))
        return self.folder / "curve.html"


def curve(path: Path, overrides: Sequence[str], sizes: Sequence[int]) -> Curve:
    """Train on each number of examples, each a run below the output; what is finished is not trained again.

    A size is among the examples of every larger one. Sizes above what there is are all there is.

    Raises:
        AssayError: whatever training raises; or the held-out data have changed since a size was trained.
    """
    from finetune.sets import checked, read_sets

    config = load_config(path, overrides)
    if own_run(config.recipe):
        raise AssayError(f"A learning curve is of a task; {config.recipe} has a training of its own.")
    made = checked(config)
    train, held_out = read_sets(config, *made)
    folder = config.train.output / CURVE
    chosen = sorted({min(size, len(train)) for size in sizes})
    if max(sizes) > len(train):
        say(f"There are {len(train)} training examples; larger sizes are left out, and all of them are the last.")
    judged = []
    for number, size in enumerate(chosen, 1):
        say(f"Size {number} of {len(chosen)}: {size} examples")
        update = {"data": {"examples": size}, "train": {"output": folder / str(size)}}
        own = config.model_copy(
            update={section: getattr(config, section).model_copy(update=new) for section, new in update.items()}
        )
        train_one(own)
        judged.append(load_judged(folder / str(size), examples=held_out))
    if any(len(one.examples) != len(held_out) for one in judged):
        raise AssayError(
            f"The held-out data have changed since {folder} was begun; remove it, or choose another output."
        )
    draws = draws_of(len(held_out)) if len(held_out) > 1 else np.zeros((0, 1), int)
    drawn = [one.drawn(draws) for one in judged]
    many = min(map(len, drawn))
    values = [one.value for one in judged]
    return Curve(
        metric=made[0].metric,
        held_out=len(held_out),
        folder=folder,
        sizes=chosen,
        values=values,
        intervals=[interval(value, own) for value, own in zip(values, drawn, strict=True)],
        forecast=forecast(chosen, values, np.array([own[:many] for own in drawn])),
    )


def forecast(sizes: Sequence[int], values: Sequence[float], drawn: np.ndarray) -> Forecast | None:
    """The metric at twice the largest size; None with too few points.

    Args:
        drawn: the values in each draw of held-out examples: [sizes, draws].
    """
    if len(sizes) < _POINTS:
        return None
    law = fit(sizes, values)
    off = np.array(values) - _law(np.array(sizes) / sizes[0], *law)
    spread = math.sqrt(float(off @ off) / (len(sizes) - 3))
    random = np.random.default_rng(0)
    ahead = 2 * sizes[-1] / sizes[0]
    known = drawn[:, ~np.isnan(drawn).any(axis=0)][:, :_FITS].T
    moved = [_law(ahead, *fit(sizes, one + random.normal(0, spread, len(sizes)))) for one in known]
    value = float(_law(ahead, *law))
    gain = value - float(_law(sizes[-1] / sizes[0], *law))
    return Forecast(2 * sizes[-1], value, interval(value, np.array(moved)), gain, law)


def fit(sizes: Sequence[int], values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """a, b and c of a - b (n / first)^-c by least squares, a between 0 and 1, never falling (arXiv 1712.00409)."""
    from scipy.optimize import curve_fit

    top = float(min(max(*values, 0.01) + 0.02, 0.99))
    start = (top, min(max(top - float(values[0]), 0.01), 0.99), 0.5)
    bounds = ((0.0, 0.0, 0.05), (1.0, 1.0, 3.0))
    found, _ = curve_fit(_law, np.array(sizes) / sizes[0], np.array(values), start, bounds=bounds, max_nfev=5000)
    a, b, c = (float(one) for one in found)
    return a, b, c


def _law(n: Any, a: float, b: float, c: float) -> Any:
    return a - b * n**-c


def picture(made: Curve) -> str:
    """The curve as SVG: points with intervals over the number of examples (logarithmic), the law, the forecast."""
    width, height, left, right, bottom, top = 620, 320, 48, 24, 40, 12
    one = made.forecast
    last = one.size if one else made.sizes[-1]
    first = made.sizes[0]

    def x(n: float) -> float:
        return left + math.log(n / first) / (math.log(last / first) or 1) * (width - left - right)

    def y(value: float) -> float:
        return height - bottom - min(max(value, 0), 1) * (height - bottom - top)

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#d8dee4"/>'
            f'<text x="{left - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.2f}</text>'
        )
    points = [
        (n, v, limits, "#0969da", f"{n} examples")
        for n, v, limits in zip(made.sizes, made.values, made.intervals, strict=True)
    ]
    if one:
        steps = np.geomspace(first, last, 60)
        law = " ".join(f"{x(n):.1f},{y(_law(n / first, *one.law)):.1f}" for n in steps)
        parts.append(f'<polyline points="{law}" fill="none" stroke="#57606a" stroke-dasharray="5 4"/>')
        points.append((one.size, one.value, one.interval, "#bc4c00", f"{one.size} examples, forecast"))
    for n, value, limits, colour, said in points:
        if limits:
            parts.append(
                f'<line x1="{x(n):.1f}" x2="{x(n):.1f}" y1="{y(limits[0]):.1f}" y2="{y(limits[1]):.1f}" '
                f'stroke="{colour}" stroke-width="2"/>'
            )
        parts.append(
            f'<circle cx="{x(n):.1f}" cy="{y(value):.1f}" r="4" fill="{colour}"><title>{said}: {value:.3f}'
            f'{spoken(limits)}</title></circle><text x="{x(n):.1f}" y="{height - 22}" text-anchor="middle">{n}</text>'
        )
    label = html.escape(f"{made.metric} by training examples")
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">{"".join(parts)}'
        f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">training examples</text></svg>'
    )
