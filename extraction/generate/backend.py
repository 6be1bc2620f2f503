"""The protocol every backend follows, and what goes in and out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from extraction.example import Example
from extraction.families import Message, families

if TYPE_CHECKING:
    from extraction.contract import Contract


@dataclass
class Generation:
    """One answer.

    Attributes:
        text: what the model wrote.
        finish: `stop` when the model ended the answer, `length` when it was cut, `loop` when it repeated itself
            without end and was cut back to the first time, `grammar` when the schema outgrew the grammar engine,
            `refused` when a server does not answer for this one example.
        offsets: for each token, the index in `text` where it begins.
        logprobs: for each token, the natural log of its probability; 0 where the grammar left no choice.
        passes: how many forward passes were needed after the prompt's own.
        message: why it was refused, in a sentence.
    """

    text: str
    finish: Literal["stop", "length", "loop", "grammar", "refused"]
    offsets: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    passes: int = 0
    message: str = ""


class Backend(Protocol):
    """Something that answers examples under a contract."""

    @property
    def sees(self) -> bool:
        """Whether it can be shown images."""
        ...

    def generate(
        self, examples: Iterable[Example | None], contract: Contract
    ) -> Iterator[tuple[Example, int, Generation] | None]:
        """An example, the number of one of its branches, and the answer to it, as each is finished.

        Args:
            examples: taken only as there is room to answer them. None says that none is ready now: None is given back,
                so that the caller may see to it, then those at work go on, and it is asked again.
            contract: what the model was taught.
        """
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The length of a prompt in tokens, those of its images included."""
        ...


def without_thinking(generation: Generation) -> Generation:
    """The generation without what a model thought before it: `<unused94>thought ... <unused95>answer` for MedGemma 1.5.

    It may think without being asked to. Thoughts that were cut are no answer: nothing is left of them.
    """
    text = generation.text
    for opening, closing in {family.thinking for family in families() if family.thinking}:
        if not text.lstrip().startswith(opening):
            continue
        end = text.find(closing)
        start = len(text) if end < 0 else end + len(closing)
        first = bisect_left(generation.offsets, start)
        return replace(
            generation,
            text=text[start:],
            offsets=[offset - start for offset in generation.offsets[first:]],
            logprobs=generation.logprobs[first:],
        )
    return generation
