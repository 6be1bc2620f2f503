"""A model on all rows whose data are there: generations kept, so that it goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Branch, Example, ImagePart
from extraction.files import write_whole
from recipes.card.base import read_row, training_part
from recipes.card.blind import blind
from recipes.card.boxes import box_of, overlap
from recipes.card.examples import answer, examples_of, sampled
from recipes.card.grade import Graded, answer_text, graded
from recipes.card.items import Item, Reading
from recipes.card.measures import Measured, measure
from recipes.card.places import bare
from recipes.card.replies import Generations, as_asked, weights
from recipes.card.rows import FILE, Row

By = Literal["generation", "likelihood"]
_FEW = 10  # answers that may all be the same without a word
_DRAWN = 24  # boxes on the page of a row that has some
_OF_YES = ("f1", "precision", "sensitivity")  # what figures are made of yes over
_AHEAD = 16  # contexts whose pictures are opened together


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        figures: of the model and of the blind answer, by the figure's name.
        ungraded: replies that could not be graded, by reason.
        left_out: what of the data could not be used, by reason.
        said: what else must be known, in sentences.
        missing: why there is no figure, in a sentence.
        unread: whether that is because of the data, so that how to come by them helps.
    """

    row: Row
    name: str
    by: By = "generation"
    figures: dict[str, Measured] | None = None
    blind: dict[str, Measured] | None = None
    rule: str = ""
    ungraded: dict[str, int] | None = None
    left_out: dict[str, int] | None = None
    said: tuple[str, ...] = ()
    missing: str = ""
    unread: bool = False


def contract_of(row: Row, known: Contract | None, thinking: bool, tokens: int | None) -> Contract:
    """What a model is told: what it was taught, or the recipe's own for one that Assay did not train."""
    task = import_module(f"recipes.{row.recipe}.task").TASK
    contract: Contract = known if known is not None and known.style == "text" else task.contract
    changes: dict[str, Any] = {} if thinking or known is not None else {"instruction": ""}
    if tokens:
        changes["max_answer_tokens"] = tokens
    return contract.model_copy(update=changes)


@dataclass
class Card:
    """One run of the command.

    Attributes:
        model: its name; replies are kept by its weights.
        out: the folder of the replies.
        limit: most contexts of a row.
    """

    extractor: Extractor
    model: str
    out: Path
    by: By = "generation"
    limit: int | None = None
    known: Contract | None = None
    thinking: bool = True
    tokens: int | None = None

    def __post_init__(self) -> None:
        self.weights = weights(self.model)  # once: what is written to the folder meanwhile does not answer

    @property
    def settings(self) -> dict[str, Any]:
        """What a row's figures depend on besides model and data, by the names of the command's options."""
        return {"by": self.by, "limit": self.limit, "thinking": self.thinking, "tokens": self.tokens}

    def line(self, name: str, row: Row, folder: Path, tick: Callable[[int, int], None]) -> Line:
        """A row's line of the table; what stops one row stops no other."""
        if self.by == "likelihood" and row.grader not in ("choice", "yes_no"):
            return Line(row, name, self.by, missing="likelihood needs options, and it has none")
        known = row
        if (row.n or row.folders) and (folder / FILE).is_file():
            # Published figures that came with `base` are of other questions, unless the count is theirs.
            row = bare(row)
        try:
            reading = read_row(row, folder, "test")
        except AssayError as error:
            return Line(row, name, self.by, missing=str(error), unread=True)
        try:
            if any(item.images for item in reading.items) and not self.extractor.backend.sees:
                return Line(row, name, self.by, missing="the model reads text alone, and it has images")
            every = _contexts(reading.items)
            contexts = sampled(every, self.limit)
            reading.items = [item for own in contexts for item in own]
            store = self._asked(name, row, contexts, reading, tick)
            items = reading.check(folder).items
            row = known if len(items) == known.n else row
        except AssayError as error:
            return Line(row, name, self.by, missing=str(error))
        replies = store.replies
        own = [graded_of(row, item, replies[item.id]) for item in items]
        figures = {f.name: made for f in row.figures if (made := measure(f, items, own))}
        beside, rule = blind(row, (train := training_part(row, folder)).items + train.unseen, items)
        ungraded: dict[str, int] = {}
        for one in own:
            if one.why:
                ungraded[one.why] = ungraded.get(one.why, 0) + 1
        known_leak = [row.leak] if row.leak and not any(row.leak in told for told in reading.said) else []
        drawn = [f"Boxes on their pictures: {self._draw(name, row, contexts, replies)}."] if row.grader == "box" else []
        said = (*drawn, *reading.told(), *known_leak, *([row.note] if row.note else []))
        if len(own) >= _FEW and len({one.said for one in own}) == 1 and own[0].said:
            said = (f"The model gave the same answer to all of them: {own[0].said[:40]}.", *said)
        if none := [f.name for f in row.figures if f.over in _OF_YES and f.name not in figures]:
            said = (f"Without a value: {', '.join(none)}, as yes is neither an answer nor a reply.", *said)
        if store.damaged:
            said = (f"{store.damaged} damaged lines of {store.path} were asked again.", *said)
        if len(contexts) < len(every):
            unopened = " No other picture was opened." if any(item.images for item in items) else ""
            said = (f"A sample of {self.limit} contexts.{unopened}", *said)
        return Line(row, name, self.by, figures, beside, rule, ungraded, reading.counts, said)

    def _draw(
        self, name: str, row: Row, contexts: Sequence[Sequence[Item]], replies: dict[str, dict[str, Any]]
    ) -> Path:
        """A page of the first boxes on their pictures, and where it lies."""
        from recipes.chest_xray.draw import page

        drawn = []
        for branch, context in ((b, e.context) for e in _opened(contexts, row, Reading()) for b in e.branches):
            item = branch.source.item
            told = box_of(answer_text(replies[item.id].get("reply", "")), item.question)
            [part] = [part for part in context.parts if isinstance(part, ImagePart)][:1]
            drawn.append((part, item.question, item.gold, told, overlap(told, item.gold) if told else 0.0))
            if len(drawn) == _DRAWN:
                break
        write_whole(path := self.out / f"{name}.boxes.html", page(drawn))
        return path

    def _asked(
        self,
        name: str,
        row: Row,
        contexts: Sequence[Sequence[Item]],
        reading: Reading,
        tick: Callable[[int, int], None],
    ) -> Generations:
        """What the model says of every question; what was said before of the same one is not asked again."""
        contract = contract_of(row, self.known, self.thinking and self.by == "generation", self.tokens)
        extractor = Extractor(self.extractor.backend, contract, self.extractor.limits)
        store = Generations(self.out / f"{name}.{self.by}.jsonl", self._key(row, contract))
        digests: dict[str, str] = {}
        open_: list[Sequence[Item]] = []
        for items in contexts:
            own = as_asked(items, row)
            digests |= own
            if not store.has(own):
                open_.append(items)
        total, done = len(contexts), len(contexts) - len(open_)
        tick(done, total)
        examples = _opened(open_, row, reading)
        for replies in (
            self._scored(examples, row, contract) if self.by == "likelihood" else _answered(extractor, examples)
        ):
            store.add([{"id": one["id"], "asked": digests[one["id"]], **one} for one in replies])
            done += 1
            tick(done, total)
        return store

    def _key(self, row: Row, contract: Contract) -> dict[str, str]:
        of_protocol = {"shown", "magnification", "mpp"} if row.shown != "picture" else set[str]()
        asked = row.model_dump_json(include={"prompt", "question", "classes", "square"} | of_protocol)
        told = contract.model_dump_json(exclude={"max_prompt_tokens"})
        return {"weights": self.weights, "asked": hashlib.sha256((asked + told).encode()).hexdigest()[:16]}

    def _scored(self, examples: Iterable[Example], row: Row, contract: Contract) -> Iterator[list[dict[str, Any]]]:
        """How probable each option is; all options of all questions on a context go through the model together."""
        backend: Any = self.extractor.backend
        if not hasattr(backend, "log_likelihoods"):
            raise AssayError("A server does not say how probable given answers are; run the model here, or generate.")
        for example in examples:
            places: list[tuple[Item, str]] = []
            branches: list[Branch] = []
            for branch in example.branches:
                item = branch.source.item
                for option in item.options or ("yes", "no"):
                    places.append((item, option))
                    branches.append(Branch(branch.parts, gold={"answer": answer(item, row, option)}))
            values = backend.log_likelihoods(Example(example.context, tuple(branches)), contract)
            found: dict[str, dict[str, float]] = {}
            for (item, option), value in zip(places, values, strict=True):
                found.setdefault(item.id, {})[option] = round(value, 5)
            yield [{"id": name, "log_likelihoods": own} for name, own in found.items()]


def _contexts(items: Sequence[Item]) -> list[list[Item]]:
    """Items that are shown the same, in the order of the first."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault(item.shown, []).append(item)
    return list(groups.values())


def _opened(contexts: Sequence[Sequence[Item]], row: Row, reading: Reading) -> Iterator[Example]:
    """Contexts as they are asked; their pictures are opened just before, a few together.

    What cannot be opened is left out of `reading`, and counted there.
    """
    for first in range(0, len(contexts), _AHEAD):
        part = Reading()
        part.items = [item for own in contexts[first : first + _AHEAD] for item in own]
        before = {item.id for item in part.items}
        made = examples_of(part, row)
        if gone := before - {item.id for item in part.items}:
            reading.items = [item for item in reading.items if item.id not in gone]
        for why, places in part.left_out.items():
            for at in places:
                reading.leave(why, at)
        for sentence, names in part.odd.items():
            reading.odd.setdefault(sentence, []).extend(names)
        yield from made


def _answered(extractor: Extractor, examples: Iterable[Example]) -> Iterator[list[dict[str, Any]]]:
    for done in extractor.answers(examples):
        if done:
            example, records = done
            yield [
                {
                    "id": branch.source.item.id,
                    "reply": str((record.data or {}).get("answer", "")),
                    **({"issues": [issue.code for issue in record.issues]} if record.issues else {}),
                }
                for branch, record in zip(example.branches, records, strict=True)
            ]


def graded_of(row: Row, item: Item, reply: dict[str, Any]) -> Graded:
    """A reply, or the option that was most probable, graded; the first of equals."""
    scores = reply.get("log_likelihoods")
    if scores is None:
        return graded(reply["reply"], item, row.grader)
    best = max(scores, key=scores.__getitem__)
    return Graded({"right": float(best == item.gold)}, best)
