"""What `assay data check` tells: how much there is, how long it is, which fields are filled, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

_LISTED = 20  # findings of a kind that a terminal shows
_BARS, _WIDTH = 10, 40


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        kind: in a word or two, `duplicate`.
        where: the file, the record or the line.
        told: what is wrong, and what to do where that is not plain.
        spoils: whether training would stop there, teach what is not so, or be judged by what it has seen.
    """

    kind: str
    split: str
    where: str
    told: str
    spoils: bool = True


@dataclass
class Field:
    """How often a field has a value in the training data (`filled`) and in the held-out data, and how often one that
    was looked for is in its source."""

    filled: int = 0
    held_out: int = 0
    sought: int = 0
    found: int = 0


@dataclass
class Report:
    """What was found in the data of a run.

    Attributes:
        examples: of each split.
        lengths: tokens of each row that would be trained.
        budget: the most that a row may have (`data.max_length`).
        images: how many the rows show; `image_tokens` what they take in each row that shows any.
        fields: by name.
        unsought: examples whose values were not looked for, as their source has no words that can be read.
    """

    budget: int
    examples: dict[str, int] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    images: int = 0
    image_tokens: list[int] = field(default_factory=list)
    fields: dict[str, Field] = field(default_factory=dict)
    unsought: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def spoiled(self) -> bool:
        """Whether anything would spoil training."""
        return any(one.spoils for one in self.findings)

    def quantiles(self) -> dict[str, int]:
        """Lengths that no row, half, nine in ten, 99 in 100 and all of them are under or at."""
        ordered = sorted(self.lengths)
        if not ordered:
            return {}
        shares = {"least": 0.0, "median": 0.5, "90%": 0.9, "99%": 0.99, "most": 1.0}
        return {name: ordered[round(share * (len(ordered) - 1))] for name, share in shares.items()}

    def to_json(self) -> dict[str, Any]:
        """All of it; every finding, and every length."""
        return {"spoiled": self.spoiled, "quantiles": self.quantiles(), **asdict(self)}

    def __str__(self) -> str:
        """For a terminal."""
        lines = [f"{split:12}{count} examples" for split, count in self.examples.items()]
        told = ", ".join(f"{name} {length}" for name, length in self.quantiles().items()) or "none"
        lines += [f"{'tokens':12}{len(self.lengths)} rows that are trained: {told}; data.max_length={self.budget}"]
        lines += _histogram(self.lengths, self.budget)
        if self.image_tokens:
            share = sum(self.image_tokens) / sum(self.lengths)
            most = max(self.image_tokens)
            lines.append(f"{'images':12}{self.images}, at most {most} tokens of a row; {share:.0%} of all tokens")
        if self.fields:
            wide = max(12, *map(len, self.fields)) + 2
            lines.append(f"{'field':{wide}}{'trained':>8}{'held out':>10}{'in the source':>20}")
            for name, one in self.fields.items():
                seen = f"{one.found} of {one.sought}" if one.sought else "not looked for"
                lines.append(f"{name:{wide}}{one.filled:>8}{one.held_out:>10}{seen:>20}")
        if self.unsought:
            lines.append(f"{self.unsought} examples have no words to find their values in; these were not looked for.")
        lines += _listed("would spoil training", [one for one in self.findings if one.spoils])
        lines += _listed("to look at", [one for one in self.findings if not one.spoils])
        if not self.spoiled:
            lines.append("\nNothing was found that would spoil training.")
        return "\n".join(lines)


def _histogram(lengths: Sequence[int], budget: int) -> Iterator[str]:
    """A line for each tenth of the budget."""
    counts = [0] * _BARS
    for length in lengths:
        counts[min(_BARS - 1, (length - 1) * _BARS // budget)] += 1
    for number, count in enumerate(counts if lengths else ()):
        low, high = number * budget // _BARS + 1, (number + 1) * budget // _BARS
        bar = "█" * -(-_WIDTH * count // max(counts))
        yield f"{f'{low}-{high}':>12} {bar:{_WIDTH}} {count or ''}".rstrip()


def _listed(title: str, findings: Sequence[Finding]) -> Iterator[str]:
    """Findings by kind, the most of each that a terminal shows."""
    if not findings:
        return
    yield f"\n{len(findings)} {title}"
    for kind, found in groupby(sorted(findings, key=lambda one: one.kind), lambda one: one.kind):
        own = list(found)
        yield f"{kind} ({len(own)})"
        yield from (f"  {one.split}: {one.where}: {one.told}" for one in own[:_LISTED])
        if len(own) > _LISTED:
            yield f"  and {len(own) - _LISTED} more (--json FILE lists all)"
