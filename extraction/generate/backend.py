"""The protocol every backend follows, and what goes in and out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from extraction.schema import Schema

if TYPE_CHECKING:
    from extraction.generate.vision import PageImage


@dataclass(frozen=True)
class Request:
    """One answer to be written.

    Attributes:
        messages: the chat messages, without the model's turn.
        schema: JSON Schema the text must follow.
        hint: text the answer will probably repeat in pieces (the page's own words); speeds decoding, never
            changes its outcome.
        max_tokens: the answer is cut there.
        images: the pages shown as pixels, one for each `<start_of_image>` of the messages.
    """

    messages: list[dict[str, Any]]
    schema: Schema
    hint: str = ""
    max_tokens: int = 4096
    images: Sequence[PageImage] = ()


@dataclass
class Generation:
    """One answer.

    Attributes:
        text: what the model wrote.
        finish: `stop` when the model ended the answer, `length` when it was cut, `loop` when it repeated itself
            without end and was cut back to the first time, `grammar` when the schema outgrew the grammar engine.
        offsets: for each token, the index in `text` where it begins.
        logprobs: for each token, the natural log of its probability; 0 where the grammar left no choice.
        passes: how many forward passes were needed after the prompt's own.
    """

    text: str
    finish: Literal["stop", "length", "loop", "grammar"]
    offsets: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    passes: int = 0


class Backend(Protocol):
    """Something that answers requests under a schema."""

    def generate(
        self, requests: Sequence[Request], on_done: Callable[[int, Generation], None] | None = None
    ) -> list[Generation]:
        """Answer all requests, in order; `on_done(index, generation)` is called as each is finished."""
        ...

    def count_tokens(self, messages: list[dict[str, Any]], images: Sequence[PageImage] = ()) -> int:
        """The length of a prompt in tokens, those of its images included."""
        ...


_THOUGHT, _ANSWER = "<unused94>", "<unused95>"


def without_thinking(generation: Generation) -> Generation:
    """The generation without what MedGemma 1.5 thought before it: `<unused94>thought ... <unused95>answer`.

    It may think without being asked to. Thoughts that were cut are no answer: nothing is left of them.
    """
    text = generation.text
    if not text.lstrip().startswith(_THOUGHT):
        return generation
    end = text.find(_ANSWER)
    start = len(text) if end < 0 else end + len(_ANSWER)
    first = bisect_left(generation.offsets, start)
    return replace(
        generation,
        text=text[start:],
        offsets=[offset - start for offset in generation.offsets[first:]],
        logprobs=generation.logprobs[first:],
    )
