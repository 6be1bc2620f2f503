"""The backend that runs a transformers model in this process."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from extraction.example import Example
from extraction.families import Message, family_of
from extraction.generate.backend import Generation
from extraction.generate.grammar import Anything, Grammar, token_table

if TYPE_CHECKING:
    from extraction.contract import Contract

# Compiled grammars that are kept.
_GRAMMARS = 64


@dataclass(frozen=True)
class Sample:
    """An answer with its tokens, to be learned from.

    Attributes:
        tokens: all that were written, the one that ends the turn included.
        chosen: of each, whether the model had a choice; where the grammar left none there is nothing to learn.
    """

    generation: Generation
    tokens: list[int]
    chosen: list[bool]


class LocalBackend:
    """A model and its tokenizer behind the `Backend` protocol.

    Attributes:
        stop: token ids that end an answer.

    Args:
        model: a transformers causal language model (adapters attached or not).
        rows: answers decoded together.
        draft: longest draft; 0 decodes token by token.
        temperature: 0 (greedy) writes the most probable token that the grammar allows; above 0, tokens are drawn from
            the allowed ones with probabilities proportional to exp(logit / temperature).
        seed: of the draws. An answer depends on the seed and its number in the call; `rows` and `draft` change
            nothing (exactly so in float32). Log-probabilities stay the model's own, whatever the temperature.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: int = 8,
        draft: int = 32,
        temperature: float = 0.0,
        seed: int = 0,
    ):
        if rows < 1 or draft < 0:
            raise ValueError(f"rows must be at least 1 and draft at least 0, not {rows} and {draft}.")
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature must be 0 or a finite number above it, not {temperature}.")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, not {seed}.")
        self.model, self.tokenizer = model, tokenizer
        self.family = family_of(model.config, tokenizer)
        self._rows, self._draft, self._temperature, self._seed = rows, draft, temperature, seed
        told = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        self.stop = tuple(sorted({*self.family.stop, *(told if isinstance(told, list) else [told])} - {None}))
        self._table = token_table(tokenizer, model.get_output_embeddings().weight.shape[0], self.stop)
        self._compiled = lru_cache(_GRAMMARS)(lambda schema: Grammar(json.loads(schema), self._table))

    @property
    def sees(self) -> bool:
        """Whether the model can be shown images."""
        return self.family.sees

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The length of a prompt in tokens, those of its images included."""
        return self.family.count(messages)

    def grammar(self, schema: dict[str, Any] | None) -> Grammar | Anything:
        """The compiled grammar of a schema, kept between calls; None is plain text, in which nothing is forbidden."""
        if schema is None:
            return Anything(len(self.tokenizer))
        return self._compiled(json.dumps(schema))

    def generate(
        self, examples: Iterable[Example | None], contract: Contract
    ) -> Iterator[tuple[Example, int, Generation] | None]:
        """Answer examples by constrained decoding; see `Backend`.

        An example of one branch is decoded beside others; those of several are answered one example after another, up
        to 32 branches together behind their context, which is read once.
        """
        decoder = self._decoder()
        jobs = (None if example is None else self._streams(example, contract) for example in examples)
        for stream in decoder.run(jobs):
            yield None if stream is None else (*stream.tag, self._generation(stream))

    def samples(
        self, wanted: Sequence[tuple[Example, int]], contract: Contract, free: bool = False
    ) -> list[list[Sample]]:
        """So many answers to the first branch of each example; its prompt is read once for all of them.

        Args:
            free: without the grammar of the answer's schema.
        """
        jobs = []
        for place, (example, count) in enumerate(wanted):
            job = self._streams(replace(example, branches=example.branches[:1] * count), contract)
            for stream in job:
                stream.tag = place
                if free:
                    stream.matcher = self.grammar(None).matcher()
            jobs.append(job)
        made: list[list[Sample]] = [[] for _ in wanted]
        for stream in self._decoder().run(jobs):
            made[stream.tag].append(self._sample(stream))
        return made

    def _sample(self, stream: Any) -> Sample:
        tokens, chosen = list(stream.tokens), [logprob != 0.0 for logprob in stream.logprobs]
        if stream.finish == "stop" or not tokens:
            tokens.append(self.family.end if stream.end is None else stream.end)
            # A grammar ends an answer where it is whole, whether the model would or not.
            chosen.append(isinstance(stream.matcher, Anything))
        return Sample(self._generation(stream), tokens, chosen)

    def log_likelihoods(self, example: Example, contract: Contract) -> list[float]:
        """How probable each branch's gold answer is behind its prompt: the natural log, without the end of the turn.

        The options of a question, as branches that ask the same, cost one pass. Lists of several questions on one
        context are scored together behind the context.

        Raises:
            DocumentError: an image cannot be drawn.
        """
        from extraction.generate.likelihood import log_likelihoods

        pairs = []
        for branch in example.branches:
            prompt = self.family.render(contract.messages(example.context.parts, branch.parts))
            pairs.append((prompt, self.family.encode(contract.target_for(branch.schema).encode(branch.gold))))
        return log_likelihoods(self._decoder(), pairs)

    def _decoder(self) -> Any:
        from extraction.generate.decode import Decoder

        return Decoder(self.model, self.family, self.stop, self._rows, self._draft, self._temperature, self._seed)

    def _streams(self, example: Example, contract: Contract) -> list[Any]:
        """The answers that an example asks for, not yet begun."""
        from extraction.generate.decode import Stream
        from extraction.generate.drafts import Drafter, hint_text

        # Many questions on a long context copy little of it, and each would index all of it anew.
        texts = [part for part in example.context.parts if isinstance(part, str)] if len(example.branches) == 1 else []
        hint = self.family.encode(hint_text(contract.target.hint("\n".join(texts).splitlines())))
        streams = []
        for number, branch in enumerate(example.branches):
            prompt = self.family.render(contract.messages(example.context.parts, branch.parts))
            target = contract.target if branch.schema is None else contract.target_for(branch.schema)
            schema = target.grammar_schema()
            streams.append(
                Stream(
                    prompt=prompt,
                    matcher=self.grammar(schema).matcher(),
                    drafter=Drafter(hint),
                    max_tokens=contract.max_answer_tokens,
                    positions=self.family.positions(prompt.ids, [image.size for image in prompt.images]),
                    tag=(example, number),
                )
            )
        return streams

    def _generation(self, stream: Any) -> Generation:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        text, offsets = "", []
        for token in stream.tokens:
            offsets.append(len(text))
            text += decoder.decode(self._table.decode_bytes([token]))
        text += decoder.decode(b"", final=True)
        return Generation(text, stream.finish, offsets, stream.logprobs, stream.passes, stream.message)
