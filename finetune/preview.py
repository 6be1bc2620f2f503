"""An example exactly as a model gets it: which tokens are trained, which images are shown, what each branch sees."""

from __future__ import annotations

import base64
import html
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from extraction.errors import AssayError
from extraction.example import ImagePart
from extraction.families import Family
from extraction.generate.masks import CONTEXT
from extraction.room import Room
from finetune.config import RunConfig
from finetune.data import check_folders
from finetune.encode import IGNORED, encode_one
from finetune.page import page
from finetune.preflight import check_contract, check_family
from finetune.task import DataRequest, contract_of, load_task, read_examples

if TYPE_CHECKING:
    from rich.console import Group

_THUMBNAIL = 320  # pixels of a longer side
_STYLE = """<style>
.row { white-space: pre-wrap; font: 13px/1.6 ui-monospace, monospace; overflow-wrap: anywhere; color: #57606a }
.row mark { background: #d2f4d3; color: #0a3d12; border-bottom: 2px solid #1a7f37 }
.row figure { white-space: normal; margin: .4rem 0; font: 12px system-ui, sans-serif }
.row img { border: 1px solid #d8dee4 }
.row section { border-left: 3px solid #0969da; padding-left: .8rem; margin: .8rem 0 }
.row section b { font: 600 12px system-ui, sans-serif; color: #0969da; display: block }
</style>"""


@dataclass(frozen=True)
class Stretch:
    """Tokens of a row that stand together: of one branch, all trained or none, text or one image.

    Attributes:
        branch: 0 for the context.
        tokens: how many.
        text: what they say, control tokens included; empty for an image.
        trained: whether the model learns to write them.
        image: what is shown there.
    """

    branch: int
    tokens: int
    text: str
    trained: bool
    image: ImagePart | None = None


@dataclass(frozen=True)
class Preview:
    """A row of tokens as it is trained; `name` is of what it was made from, `number` its place among `rows`."""

    number: int
    stretches: tuple[Stretch, ...]
    name: str = ""

    @property
    def branches(self) -> int:
        """How many branches share the context; 0 where the row is one prompt with its answer."""
        return max(one.branch for one in self.stretches)

    def summary(self) -> str:
        """Its size in a line."""
        tokens = sum(one.tokens for one in self.stretches)
        trained = sum(one.tokens for one in self.stretches if one.trained)
        images = [one for one in self.stretches if one.image]
        named = f" ({self.name})" if self.name else ""
        parts = [f"row {self.number}{named}: {tokens} tokens, {trained} of them trained"]
        if images:
            parts.append(
                f"{len(images)} image{'s' if len(images) > 1 else ''} of {sum(s.tokens for s in images)} tokens"
            )
        if self.branches:
            parts.append(f"{self.branches} branches on one context")
        return "; ".join(parts)

    def parts(self) -> Iterator[tuple[str, list[Stretch]]]:
        """The context, then each branch: what is said above it (nothing for the context), and its stretches."""
        context = sum(one.tokens for one in self.stretches if one.branch == CONTEXT)
        for branch, found in groupby(self.stretches, lambda one: one.branch):
            yield (
                (
                    f"branch {branch} of {self.branches}: sees the context ({context} tokens) and itself"
                    if branch
                    else ""
                ),
                list(found),
            )

    def terminal(self) -> Group:
        """For a terminal: what is trained stands out, between ▸ and ◂; images are named."""
        from rich.console import Group
        from rich.text import Text

        shown = [Text(self.summary(), style="bold")]
        for told, stretches in self.parts():
            text = Text()
            for one in stretches:
                said = f"[{_told(one)}]" if one.image else f"▸{one.text}◂" if one.trained else one.text
                text.append(said, style="black on green" if one.trained else "cyan" if one.image else "dim")
            shown += [Text(f"-- {told}", style="blue")] * bool(told) + [text]
        return Group(*shown)

    def html(self) -> str:
        """One self-contained page, with the images small."""
        body = [_STYLE, f"<h1>{html.escape(self.summary())}</h1>"]
        body.append("<p>Green: the tokens that are trained. All else is what the model is shown.</p><div class=row>")
        for told, stretches in self.parts():
            inner = "".join(map(_html, stretches))
            body.append(f"<section><b>{html.escape(told)}</b>{inner}</section>" if told else inner)
        return page("An example as it is trained", "".join([*body, "</div>"]))


def preview(config: RunConfig, number: int) -> Preview:
    """Row `number` (from 1) of what a run would train, before its order is drawn.

    Raises:
        AssayError: what training would refuse of contract, model and data; or there are fewer rows.
    """
    check_folders(config.data)
    task = load_task(config.recipe)
    contract = contract_of(task, config.contract)
    check_contract(config, contract)
    family = check_family(config, contract)
    data = config.data
    if not data.train.exists():
        raise AssayError(f"{data.train} is made when training starts; nothing of it can be shown before.")
    request = DataRequest.of_run(config, "train", contract, Room(family.count, contract))
    lengths = random.Random(config.train.seed)
    rows = (
        (example.context.name, row)
        for example in read_examples(task, request)
        for row in encode_one(example, contract, family, data, lengths)
    )
    found = list(islice(rows, number))
    if len(found) < number:
        raise AssayError(f"There are {len(found)} rows to train; take one of these.")
    name, row = found[-1]
    return Preview(number, tuple(stretches(row, family)), name)


def stretches(row: dict[str, Any], family: Family) -> Iterator[Stretch]:
    """The stretches of a row as `encode` makes it."""
    ids, images = row["input_ids"], _blocks(row.get("images") or (), family)
    branches = row.get("branches") or [CONTEXT] * len(ids)

    def kind(place: int) -> tuple[int, bool, bool]:
        return branches[place], row["labels"][place] != IGNORED, ids[place] == family.soft

    for (branch, trained, sees), places in groupby(range(len(ids)), kind):
        own = [ids[place] for place in places]
        text = "" if sees else family.tokenizer.decode(own, skip_special_tokens=False)
        yield Stretch(branch, len(own), text, trained, next(images) if sees else None)


def _blocks(images: Sequence[ImagePart], family: Family) -> Iterator[ImagePart]:
    for image in images:
        for _ in range(family.blocks(image)):
            yield image


def _told(one: Stretch) -> str:
    assert one.image
    width, height = one.image.size
    # A slice or a patch lies in a file whose name tells nobody anything.
    named = "" if one.image.own else f"{one.image.path.name}, page {one.image.page}, "
    return f"image: {named}{width} x {height} pixels, {one.tokens} tokens"


def _html(one: Stretch) -> str:
    if one.image is None:
        text = html.escape(one.text)
        return f"<mark>{text}</mark>" if one.trained else text
    picture, buffer = one.image.draw(), io.BytesIO()
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    picture.save(buffer, "PNG")
    source = base64.b64encode(buffer.getvalue()).decode()
    told = html.escape(_told(one))
    return f'<figure><img alt="{told}" src="data:image/png;base64,{source}"><figcaption>{told}</figcaption></figure>'
