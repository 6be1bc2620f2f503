"""The protocol every backend follows, and what goes in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from extraction.schema import Schema


@dataclass(frozen=True)
class Request:
    """One answer to be written.

    Attributes:
        messages: the chat messages, without the model's turn.
        schema: JSON Schema the text must follow.
        hint: text the answer will probably repeat in pieces (the page's own words); speeds decoding, never
            changes its outcome.
        max_tokens: the answer is cut there.
    """

    messages: list[dict[str, Any]]
    schema: Schema
    hint: str = ""
    max_tokens: int = 4096


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

    def count_tokens(self, messages: list[dict[str, Any]]) -> int:
        """The length of a prompt in tokens."""
        ...
