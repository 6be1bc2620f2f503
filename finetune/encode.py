"""Examples to rows of token ids and labels, the order in which they are trained, and rows to batches: padded, or
contexts with their branches in one row under exact masks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers.integrations import is_deepspeed_zero3_enabled

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example, Part
from extraction.families import Family, Prompt
from extraction.generate.masks import CONTEXT, Tokens, image_blocks
from extraction.generate.shared import shared_length
from extraction.generate.spans import NAME as SPANS
from extraction.generate.spans import spans_of
from extraction.reading import in_windows
from finetune import features
from finetune.adapter import trains_towers
from finetune.config import DataConfig
from finetune.data import divide
from finetune.features import load_pictures
from finetune.pack import unpacked

IGNORED = -100
"""The label of a token that is not trained."""


def encode_all(
    examples: Iterable[Example], contract: Contract, family: Family, settings: DataConfig, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of all examples; where windows are wanted, their length is drawn anew for each document."""
    lengths = random.Random(seed)
    for example in examples:
        yield from encode_one(example, contract, family, settings, lengths)


def encode_one(
    example: Example, contract: Contract, family: Family, settings: DataConfig, lengths: random.Random
) -> Iterator[dict[str, Any]]:
    """Rows of one example, in windows where it is long; `lengths` draws theirs."""
    most = contract.max_prompt_tokens
    if settings.window_tokens:
        most = min(most, lengths.randint(*settings.window_tokens))
    for part in divide(example, contract, fits(contract, family, most)):
        yield from encode(part, contract, family, settings.max_length)


def fits(contract: Contract, family: Family, most: int) -> Callable[[Sequence[Part]], bool]:
    """Whether parts make a prompt of at most so many tokens."""
    return lambda parts: family.count(contract.messages(parts)) <= most


def encode(example: Example, contract: Contract, family: Family, max_length: int) -> list[dict[str, Any]]:
    """Rows of an example: its context's tokens once, then its branches, with labels on the answers only.

    The prompts are those that serving builds; they end in a newline, so tokenising an answer apart from its prompt
    gives the same tokens as the model will write. An answer's label ends with the token that ends a turn.

    Args:
        max_length: most tokens of a row; branches that do not fit begin another one.

    Returns:
        For each row `input_ids` and `labels` of equal length; labels are -100 on what is not trained. With several
        branches also `branches`, the branch of each token (0 is the context), and with images `images`, the parts they
        are made of, those of the context first.

    Raises:
        AssayError: a context with one of its branches is longer than `max_length`, or there is nothing to learn from.
    """
    rows: list[list[tuple[Prompt, list[int]]]] = [[]]
    length = 0
    for branch in example.branches:
        prompt = family.render(contract.messages(example.context.parts, branch.parts))
        target = contract.target_for(branch.schema)
        answer = [*family.encode(target.encode(branch.gold)), family.end]
        check_labels(example.context.name, answer[:-1], family.marks)
        _check_length(example.context.name, prompt, answer, family, max_length)
        if len(answer) > contract.max_answer_tokens and not in_windows(example):  # a document's answer may go on
            raise AssayError(
                f"An answer on {example.context.name} takes {len(answer)} tokens, more than "
                f"contract.max_answer_tokens={contract.max_answer_tokens}; raise it."
            )
        own = len(prompt.ids) + len(answer)
        shared = shared_length([rows[-1][0][0], prompt]) if rows[-1] else 0
        if rows[-1] and length + own - shared > max_length:
            rows.append([])
            length, shared = 0, 0
        rows[-1].append((prompt, answer))
        length += own - shared
    return [share(row) for row in rows if row]


def _check_length(name: str, prompt: Prompt, answer: Sequence[int], family: Family, max_length: int) -> None:
    length = len(prompt.ids) + len(answer)
    if length > max_length:
        pictures = f", {prompt.ids.count(family.soft)} of these its images'" if prompt.images and family.soft else ""
        raise AssayError(
            f"{name} takes {length} tokens with an answer ({len(prompt.ids)} of them the prompt{pictures}), more than "
            f"data.max_length={max_length}; raise it, or lower contract.max_prompt_tokens to show less at once."
        )


def share(examples: Sequence[tuple[Prompt, Sequence[int]]]) -> dict[str, Any]:
    """One row in the place of several prompts with their answers: what the prompts share once, the rest as branches.

    Under the masks of its collator it has the loss and the gradients that they have together as rows of their own.

    Returns:
        As `encode`; a single example has no `branches`.
    """
    prompts = [prompt for prompt, _ in examples]
    alone = len(examples) == 1
    shared = len(prompts[0].ids) if alone else shared_length(prompts)
    made: dict[str, Any] = {"input_ids": list(prompts[0].ids[:shared]), "labels": [IGNORED] * shared}
    branches = [CONTEXT] * shared
    for number, (prompt, answer) in enumerate(examples, 1):
        rest = prompt.ids[shared:]
        made["input_ids"] += [*rest, *answer]
        made["labels"] += [IGNORED] * len(rest) + list(answer)
        branches += [number] * (len(rest) + len(answer))
    if not alone:
        made["branches"] = branches
    common = sum(place.stop <= shared for place in prompts[0].places)
    images = [*prompts[0].images[:common], *(image for prompt in prompts for image in prompt.images[common:])]
    if images:
        made["images"] = images
    return made


def training_order(lengths: Sequence[int], epochs: int, batch: int, seed: int) -> list[int]:
    """Indices of examples in the order of training, for all epochs at once.

    Every epoch is a shuffle of its own in which examples of similar length share a batch (little padding). The
    order is fixed before training, so a resumed run sees what an undisturbed one would have seen.
    """
    order: list[int] = []
    for epoch in range(epochs):
        rng = random.Random(f"{seed}-{epoch}")
        indices = list(range(len(lengths)))
        rng.shuffle(indices)
        batches: list[list[int]] = []
        for start in range(0, len(indices), 16 * batch):
            group = sorted(indices[start : start + 16 * batch], key=lambda i: lengths[i])
            batches += [group[i : i + batch] for i in range(0, len(group), batch)]
        # A short batch in the middle would shift all that follow it.
        short = [b for b in batches if len(b) < batch]
        whole = [b for b in batches if len(b) == batch]
        rng.shuffle(whole)
        order += [index for b in whole + short for index in b]
    return order


def whole_batches(order: Sequence[int], batch: int) -> list[int]:
    """The order with its last batch filled from the beginning.

    So every process has its share of every batch, and what a step trains does not depend on the number of processes:
    accelerate would fill the last batch only where there are several.
    """
    return [*order, *itertools.islice(itertools.cycle(order), -len(order) % batch)]


def collator_for(model: Any, family: Family, rows: Sequence[dict[str, Any]], folder: Path, mixed: bool) -> Collator:
    """What makes batches of rows for a model, whose attention is set accordingly.

    Several processes come here together: they share the work of computing features.

    Args:
        rows: those that training will see; `files` where they show images.
        folder: where features of images are kept.
        mixed: whether training computes in bfloat16 by autocast; the features are then computed so too.
    """
    images = any(row.get("files") for row in rows)
    # On a CPU a row without padding is faster than SDPA over padded ones.
    packed = any(row.get("branches") or row.get("lengths") for row in rows)
    in_row = images or packed or model.device.type == "cpu"
    if in_row:
        model.set_attn_implementation(SPANS)
    # ZeRO-3 has no weights in one place before its engine runs.
    once = images and family.features_once and not trains_towers(model, family) and not is_deepspeed_zero3_enabled()
    made = features.keep_features(model.get_base_model(), family, rows, folder, mixed) if once else None
    return Collator(family, made, in_row)


@dataclass(frozen=True)
class Collator:
    """Makes a batch of rows: `input_ids` and `labels` of equal length, in some `branches` and `files`.

    `branches` is the branch of each token (see `Tokens`), `files` are the files of the images that a row shows, in the
    order of their tokens.

    Attributes:
        features: what the model would make of images (`finetune.features`), given in the pixels' place.
        in_row: whether all share a row without padding, also those that have neither branches nor images; so they must
            where rows are of `pack`.
    """

    family: Family
    features: Callable[[Sequence[str]], Any] | None = None
    in_row: bool = False

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch: tensors of [rows, length].

        Rows with branches or images share one without padding: with `position_ids`, and for `attention_mask` the
        `Spans` that the model's attention must understand (`spans.NAME`). Images are `pixel_values` with what belongs
        to them, or `mm_encoder_outputs`.
        """
        rows = [part for row in rows for part in unpacked(row, self.family.soft)]
        files = [file for row in rows for file in row.get("files") or ()]
        if not (self.in_row or files or any(row.get("branches") for row in rows)):
            return self._padded(rows)
        batch = self._joined(rows)
        if files and self.features:
            batch["mm_encoder_outputs"] = {"image": self.features(files)}
        elif files:
            batch |= self.family.pixels(load_pictures(files))
        return batch

    def _padded(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)
        tokenizer = self.family.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

        def filled(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
            return torch.tensor([[*own, *[fill] * (longest - len(own))] for own in values])

        # A plain mask, so attention keeps its fast path.
        return {
            "input_ids": filled([row["input_ids"] for row in rows], pad),
            "labels": filled([row["labels"] for row in rows], IGNORED),
            "attention_mask": filled([[1] * len(row["input_ids"]) for row in rows], 0),
        }

    def _joined(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        family = self.family
        ids = torch.tensor([[token for row in rows for token in row["input_ids"]]])
        each = [_tokens(number, row) for number, row in enumerate(rows)]
        documents, branches, places = (torch.cat(column) for column in zip(*each, strict=True))
        # The first token of a document or branch is predicted from no token, or from one that is not its neighbour.
        first = torch.ones_like(documents, dtype=torch.bool)
        first[1:] = (documents[1:] != documents[:-1]) | (branches[1:] != branches[:-1])
        labels = torch.tensor([label for row in rows for label in row["labels"]]).masked_fill(first, IGNORED)
        images = image_blocks(self._is_image(ids), documents[None])[0]
        tokens = Tokens(documents, branches, places, images)
        masks = {
            kind: spans_of(tokens, window, opened=kind in family.opened) for kind, window in family.windows.items()
        }
        rotary = [self._rotary(row, own) for row, (_, _, own) in zip(rows, each, strict=True)]
        axes = max(len(part) for part in rotary)
        positions = torch.cat([part.expand(axes, -1) for part in rotary], dim=1)
        return {
            "input_ids": ids,
            "labels": labels[None],
            "position_ids": positions[:, None] if axes > 1 else positions,
            "attention_mask": family.masks(masks),
        }

    def _is_image(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.eq(ids, self.family.soft if self.family.soft is not None else -1)

    def _rotary(self, row: dict[str, Any], places: torch.Tensor) -> torch.Tensor:
        """Rotary positions [axes or 1, length] of a row's tokens, each branch as if it alone followed the context."""
        ids, files = row["input_ids"], row.get("files") or ()
        if self.family.axes == 1 or not files:
            return places[None]
        sizes = [_size(file) for file in files]
        branches = row.get("branches") or [CONTEXT] * len(ids)
        context = branches.count(CONTEXT)
        parts = [slice(context)]
        for place in range(context, len(ids)):
            if branches[place] != branches[place - 1]:
                parts.append(slice(place, place))
            parts[-1] = slice(parts[-1].start, place + 1)
        made = list[torch.Tensor]()
        at = shown = 0
        for part in parts:
            blocks = image_blocks(self._is_image(torch.tensor([ids[part]])))
            count = int(blocks.max()) + 1
            before = context if made else 0
            own = self.family.positions(ids[:before] + ids[part], sizes[:shown] + sizes[at : at + count])
            made.append(places[part][None] if own is None else own[:, before:])
            at += count
            shown = shown if before else count
        axes = max(len(part) for part in made)
        return torch.cat([part.expand(axes, -1) for part in made], dim=1)


def _tokens(document: int, row: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Document and branch of each token of a row, and its place in context and branch."""
    length = len(row["input_ids"])
    branches = torch.tensor(row.get("branches") or [CONTEXT] * length)
    context = int((branches == CONTEXT).sum())
    lengths = torch.bincount(branches)
    starts = lengths.cumsum(0) - lengths - context  # of each branch, behind the context
    starts[CONTEXT] = 0
    return torch.full((length,), document), branches, torch.arange(length) - starts[branches]


def _size(file: str) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def check_labels(name: str, answer: Sequence[int], images: Collection[int]) -> None:
    """Refuse an answer that teaches nothing, or that would teach a model to write images.

    Args:
        answer: the tokens that are trained, without the one that ends a turn.
        images: ids of the tokens that images are made of.

    Raises:
        AssayError: no token, or a token of an image, is trained.
    """
    if not answer:
        raise AssayError(f"{name} has no token to learn from: its answer is empty; check its record.")
    if not set(images).isdisjoint(answer):
        raise AssayError(f"The record of {name} holds a token that stands for an image; take it out of the record.")
