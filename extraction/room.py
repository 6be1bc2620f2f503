"""How much a prompt holds: what a context that is longer must be brought to, in serving as in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from extraction.contract import Contract
from extraction.families import Message

QUESTION_TOKENS = 256
"""Room that is kept in a prompt for a question."""


class Room:
    """The tokens of a contract's prompts, as a model counts them.

    Args:
        count: the length of a prompt in tokens (`Family.count`, `Backend.count_tokens`).
        contract: the task.
    """

    def __init__(self, count: Callable[[Sequence[Message]], int], contract: Contract):
        self._count, self._contract = count, contract

    def tokens(self, text: str) -> int:
        """The tokens of a text."""
        return self._turn(text) - self._turn("")

    def context(self, questions: Sequence[str] = ()) -> int:
        """The most tokens of a context, with room for a question, or for the longest of `questions` where more."""
        longest = max((self.tokens(question) for question in questions), default=0)
        return (
            self._contract.max_prompt_tokens - self._count(self._contract.messages(())) - max(QUESTION_TOKENS, longest)
        )

    def _turn(self, text: str) -> int:
        return self._count([{"role": "user", "content": [{"type": "text", "text": text}]}])
