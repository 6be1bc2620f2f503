"""The backend that runs a transformers model in this process."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

from extraction.contract import render_prompt
from extraction.generate.backend import Generation, Request
from extraction.generate.grammar import Grammar, token_table
from extraction.generate.vision import PageImage, Vision, vision_of


class LocalBackend:
    """A model and its tokenizer behind the `Backend` protocol.

    Args:
        model: a transformers causal language model (adapters attached or not).
        tokenizer: its tokenizer, with a chat template.
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
        self._rows, self._draft, self._temperature, self._seed = rows, draft, temperature, seed
        stop = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")}
        self.stop = tuple(sorted(token for token in stop if token is not None and token != tokenizer.unk_token_id))
        self._table = token_table(tokenizer, model.get_output_embeddings().weight.shape[0], self.stop)
        self._grammars: dict[str, Grammar] = {}

    @cached_property
    def vision(self) -> Vision:
        """What the model's eyes take.

        Raises:
            AssayError: it has none, or the tokenizer is another model's (see `vision_of`).
        """
        return vision_of(self.model.config, self.tokenizer)

    def count_tokens(self, messages: list[dict[str, Any]], images: Sequence[PageImage] = ()) -> int:
        """The length of a prompt in tokens, those of its images included."""
        return len(self._prompt(messages, images))

    def _prompt(self, messages: list[dict[str, Any]], images: Sequence[PageImage]) -> list[int]:
        return render_prompt(self.tokenizer, messages, [self.vision.text(image) for image in images])

    def grammar(self, schema: dict[str, Any]) -> Grammar:
        """The compiled grammar of a schema, kept between calls."""
        key = json.dumps(schema)
        if key not in self._grammars:
            self._grammars[key] = Grammar(schema, self._table)
        return self._grammars[key]

    def generate(
        self, requests: Sequence[Request], on_done: Callable[[int, Generation], None] | None = None
    ) -> list[Generation]:
        """Answer all requests by constrained decoding."""
        from extraction.generate.decode import Decoder, Stream
        from extraction.generate.drafts import Drafter

        streams = [
            Stream(
                prompt=self._prompt(request.messages, request.images),
                # Pixels are drawn when the prompt is read: a batch's would not fit the memory.
                pixels=partial(self.vision.pixels, request.images) if request.images else None,
                soft=self.vision.soft if request.images else -1,
                matcher=self.grammar(request.schema).matcher(),
                drafter=Drafter(request.hint, self._encode, self._piece),
                max_tokens=request.max_tokens,
            )
            for request in requests
        ]
        done: dict[int, Generation] = {}

        def finished(index: int) -> None:
            done[index] = self._generation(streams[index])
            if on_done:
                on_done(index, done[index])

        decoder = Decoder(self.model, self.stop, self._rows, self._draft, self._temperature, self._seed)
        decoder.run(streams, finished)
        return [done[index] for index in range(len(streams))]

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _piece(self, token: int) -> str:
        return str(self._table.decode_str([token]))

    def _generation(self, stream: Any) -> Generation:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        text, offsets = "", []
        for token in stream.tokens:
            offsets.append(len(text))
            text += decoder.decode(self._table.decode_bytes([token]))
        text += decoder.decode(b"", final=True)
        return Generation(text, stream.finish, offsets, stream.logprobs, stream.passes)
