"""Training data looked through before training: each answer beside its source, the tokens that it takes, and the splits
beside each other."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from extraction.contract import Contract, field_names
from extraction.errors import AssayError
from extraction.evidence import PageIndex
from extraction.evidence.printed import Printed
from extraction.evidence.sought import Sought
from extraction.example import Branch, Example, ImagePart
from extraction.families import Family
from extraction.reading import check_room
from extraction.room import Room
from extraction.schema import is_choice, pointer
from extraction.target import Leaf
from finetune.config import RunConfig
from finetune.data import check_folders, source_of
from finetune.encode import encode_one, fits
from finetune.findings import Field, Finding, Report
from finetune.groups import is_patient, same
from finetune.near import near_pairs
from finetune.preflight import check_contract, check_family
from finetune.processes import say
from finetune.task import DataRequest, Task, check_grading, contract_of, gold_faults, load_task, open_examples

_SPLITS = ("train", "validation")
_SHOWN = 5  # values of an example that are named
_SOME = 10  # answers that must be alike before that is odd
_NOTHING = frozenset("n/a na n.a. null none nil nan tbd todo unknown unk ? ?? - -- --- . … x xx xxx".split())
_BROKEN = re.compile("\ufffd|Ã[\x80-\xbf]|â€")  # UTF-8 that was read as something else

Note = Callable[..., None]
"""Takes a kind, what it is of (an example's name), what is wrong, and whether it spoils training."""


def check(config: RunConfig) -> Report:
    """Open every example that a run would train on or be judged by, and look at all of them.

    Raises:
        AssayError: the configuration is wrong, its folders or model are not there, or its data are not yet made.
    """
    check_folders(config.data)
    task = load_task(config.recipe)
    contract = contract_of(task, config.contract)
    check_contract(config, contract)
    family = check_family(config, contract)
    report, sets = Report(config.data.max_length), dict[str, list[Example]]()
    for split in _SPLITS:
        folder = getattr(config.data, split)
        if not folder.exists():
            raise AssayError(f"{folder} is made when training starts; nothing of it can be checked before.")

        def note(kind: str, where: str, told: str, spoils: bool = True, split: str = split) -> None:
            folder = getattr(config.data, split)
            at = str(folder / where) if (folder / where).exists() else where
            report.findings.append(Finding(kind, split, at, told, spoils))

        say(f"Reading {folder}")
        examples = sets[split] = _read(config, split, task, contract, family, note)
        report.examples[split] = len(examples)
        _check_answers(examples, contract, note, report, trained=split == "train")
        _check_room(examples, contract, family, note, judged=split == "validation")
        if split == "train":
            _count_tokens(examples, config, contract, family, note, report)
        elif examples:
            _try_grader(task, contract, examples, note)
    # `note` is now the validation data's: what two splits share is taken out of these.
    train, judged = (sets[split] for split in _SPLITS)
    _check_fields(train, judged, contract, partial(note, split="train"))
    _check_copies(train, judged, note)
    _check_groups(task, train, judged, note)
    return report


def _read(config: RunConfig, split: Any, task: Task, contract: Contract, family: Family, note: Note) -> list[Example]:
    """The examples of a split that can be read and whose answers fit their schemas; all others are noted."""
    wanted = DataRequest.of_run(config, split, contract, Room(family.count, contract))
    noted = list[str]()
    examples = list[Example]()
    try:
        examples = open_examples(task, DataRequest(**{**vars(wanted), "noted": noted}))
    except AssayError as error:
        noted.append(str(error))
    for fault in noted:
        note("unreadable", str(wanted.folder), fault)
    odd = set()
    for example, misfit in gold_faults(examples, contract):
        odd.add(id(example))
        note("schema", example.context.name, str(misfit))
    return [example for example in examples if id(example) not in odd]


def _count_tokens(
    examples: Sequence[Example], config: RunConfig, contract: Contract, family: Family, note: Note, report: Report
) -> None:
    """Encode what is trained, as training does: what is too long, or has no token to learn from, is noted."""
    lengths = random.Random(config.train.seed)
    for example in examples:
        try:
            rows = list(encode_one(example, contract, family, config.data, lengths))
        except AssayError as error:
            note("tokens", example.context.name, str(error))
            continue
        for row in rows:
            report.lengths.append(len(row["input_ids"]))
            if shown := row.get("images"):
                report.images += len(shown)
                report.image_tokens.append(row["input_ids"].count(family.soft))


def _check_room(examples: Sequence[Example], contract: Contract, family: Family, note: Note, judged: bool) -> None:
    """Note what could not be shown when the model is asked: of what is trained, images alone are cut nowhere."""
    for example in examples:
        shown = [*example.context.parts, *(part for branch in example.branches for part in branch.parts)]
        if not judged and not any(isinstance(part, ImagePart) for part in shown):
            continue
        try:
            check_room(example, contract, fits(contract, family, contract.max_prompt_tokens))
        except AssayError as error:
            note("room", example.context.name, str(error))


def _try_grader(task: Task, contract: Contract, examples: Sequence[Example], note: Note) -> None:
    try:
        check_grading(task, contract, examples)
    except AssayError as error:
        note("grading", task.name, str(error))


def _check_answers(examples: Sequence[Example], contract: Contract, note: Note, report: Report, trained: bool) -> None:
    """Look for the values of every answer in its source, and count its fields among those `trained` or held out."""
    for example in examples:
        unsought = False
        for branch in example.branches:
            if branch.gold is None:
                continue
            every = [Leaf(path, value, 0, 0) for path, value in _leaves(branch.gold)]
            if not every and not branch.parts:  # a question may have none
                note("empty", example.context.name, "Its record says nothing; see that this is so.", False)
            copied = [leaf for leaf in every if _is_copied(leaf, branch, contract)]
            found = _found(example, copied, every, contract)
            unsought = unsought or (found is None and bool(copied and example.context.parts))
            _check_words(example, every, copied, found, note)
            if found is not None:
                _check_found(example, [leaf for leaf in copied if leaf.path not in found], contract, note)
            for leaf in every:
                field = report.fields.setdefault(_name(leaf), Field())
                field.filled += trained
                field.held_out += not trained
            for leaf in copied if found is not None else ():
                report.fields[_name(leaf)].sought += 1
                report.fields[_name(leaf)].found += leaf.path in found
        report.unsought += unsought


def _found(example: Example, copied: Sequence[Leaf], every: Sequence[Leaf], contract: Contract) -> Any:
    """The evidence of an answer's values, by their paths; None where there is nothing to look in, or for."""
    index = example.context.index
    if not copied or index is None or (isinstance(index, PageIndex) and not index.document.has_text):
        return None
    return index.ground(every, contract)


def _check_found(example: Example, missing: Sequence[Leaf], contract: Contract, note: Note) -> None:
    """Note values that a source does not say, or not where they would have to stand."""
    index = example.context.index
    elsewhere = list[Leaf]()
    sure = True
    if isinstance(index, PageIndex) and missing:
        sought = Sought(Printed(index.window.document))
        elsewhere = [leaf for leaf in missing if sought.spots(leaf.value, contract.roles.get(_name(leaf)))]
        # What OCR misread is printed nevertheless; but a model that is shown OCR's words alone cannot know.
        sure = contract.view == "text" or all(page.view != "ocr" for page in index.document.pages)
    nowhere = [leaf for leaf in missing if leaf not in elsewhere]
    if nowhere:
        told = f"{_told(nowhere)}: not in its source, which would teach to invent; correct the record"
        note("value", example.context.name, told if sure else f"{told}, if OCR read the page well", sure)
    if elsewhere:
        told = f"{_told(elsewhere)}: printed, but not beside the rest of its row"
        note("place", example.context.name, told, False)


def _check_words(example: Example, every: Sequence[Leaf], copied: Sequence[Leaf], found: Any, note: Note) -> None:
    """Note values that are none (`N/A` where the source does not say it), and letters that were lost."""
    texts = [leaf for leaf in every if isinstance(leaf.value, str)]
    own = [leaf for leaf in copied if leaf in texts and leaf.path not in (found or {})]
    if nothing := [leaf for leaf in own if leaf.value.strip().casefold() in _NOTHING]:
        note("suspicious", example.context.name, f"{_told(nothing)}: a value that is none; write null", False)
    if broken := [leaf for leaf in texts if _BROKEN.search(leaf.value)]:
        note("suspicious", example.context.name, f"{_told(broken)}: letters were lost; read the labels as UTF-8", False)


def _check_fields(train: Sequence[Example], judged: Sequence[Example], contract: Contract, note: Note) -> None:
    """Note fields that no answer of the training data fills, and answers that are all the same."""
    answers = [branch.gold for example in train for branch in example.branches if branch.gold is not None]
    if not answers:
        return
    schemas = {id(branch.schema): branch.schema for example in train for branch in example.branches}
    asked = {name for schema in schemas.values() for name in field_names(schema or contract.record_schema)}
    trained, known = (
        {step for example in split for branch in example.branches for path, _ in _leaves(branch.gold) for step in path}
        for split in (train, judged)
    )
    for name in sorted(asked - trained):
        if name in known:
            note("field", name, "No training answer has it, and held-out ones do; label it.")
        else:
            told = "No answer has it, so that it is always null; label it, or leave it out of the schema."
            note("field", name, told, False)
    if len(answers) >= _SOME and len({json.dumps(one, sort_keys=True) for one in answers}) == 1:
        note("same answer", "all", f"All {len(answers)} answers are the same; nothing else is learned.", False)


def _check_copies(train: Sequence[Example], judged: Sequence[Example], note: Note) -> None:
    """Note sources that stand there twice, and held-out ones that nearly stand in the training data."""
    first: dict[Any, Example] = {}
    for example in train:
        other = first.setdefault(source_of(example), example)
        if other is not example:
            alike = _gold(other) == _gold(example)
            told = f"the same source as {other.context.name}" + ("" if alike else ", with another answer")
            note("duplicate", example.context.name, told, not alike, split="train")
    left = list[Example]()
    for example in judged:
        if source_of(example) in first:
            other = first[source_of(example)]
            told = f"also in the training data ({other.context.name}); take it out of one of them"
            note("duplicate", example.context.name, told)
        else:
            left.append(example)
    for at, number, share in near_pairs([*map(_text, left)], [*map(_text, train)]):
        alike = _gold(left[at]) == _gold(train[number])
        answer = "the same answer" if alike else "another answer"
        told = f"nearly the same text as {train[number].context.name} of the training data ({share:.0%}), {answer}"
        note("near-duplicate", left[at].context.name, told, alike)


def _check_groups(task: Task, train: Sequence[Example], judged: Sequence[Example], note: Note) -> None:
    """Note held-out examples of a patient, institution or vendor of the training data."""
    trained: dict[tuple[str, str], list[str]] = defaultdict(list)
    for example in train:
        for by, value in task.groups(example).items():
            trained[by, same(value)].append(example.context.name)
    for example in judged:
        for by, value in task.groups(example).items():
            if names := trained.get((by, same(value))):
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                told = f"{by} “{value}” is in the training data, too ({names[0]}{more}); see assay data split --by"
                note("group", example.context.name, told, is_patient(by))


def _is_copied(leaf: Leaf, branch: Branch, contract: Contract) -> bool:
    """Whether a value must stand in the source: it is no choice, and not in the model's own words."""
    if isinstance(leaf.value, bool) or contract.roles.get(_name(leaf)) in ("choice", "text"):
        return False
    return not is_choice(branch.schema or contract.record_schema, leaf.path)


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The values of an answer with their paths; null and blank ones are none."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    elif value is not None and str(value).strip():
        yield path, value


def _name(leaf: Leaf) -> str:
    return next((step for step in reversed(leaf.path) if isinstance(step, str)), "")


def _told(leaves: Sequence[Leaf]) -> str:
    """Values with their paths; one that stands in many rows is told once."""
    once = {(_name(leaf), leaf.value): leaf for leaf in reversed(leaves)}
    named = [f"{pointer(leaf.path)} “{str(leaf.value)[:60]}”" for leaf in reversed(once.values())]
    return ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")


def _gold(example: Example) -> list[Any]:
    return [branch.gold for branch in example.branches]


def _text(example: Example) -> str:
    """What an example says in words; nothing where pictures are part of it, which its words do not tell apart."""
    index = example.context.index
    if isinstance(index, PageIndex):
        return " ".join(word.text for page in index.document.pages for word in page.words)
    parts = example.context.parts or tuple(part for branch in example.branches for part in branch.parts)
    return "" if any(isinstance(part, ImagePart) for part in parts) else " ".join(map(str, parts))
