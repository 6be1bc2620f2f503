"""The backend that runs a transformers model in this process."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Sequence
from typing import Any

from extraction.contract import render_prompt
from extraction.generate.backend import Generation, Request
from extraction.generate.grammar import Grammar, token_table


class LocalBackend:
    """A model and its tokenizer behind the `Backend` protocol.

    Args:
        model: a transformers causal language model (adapters attached or not).
        tokenizer: its tokenizer, with a chat template.
        rows: answers decoded together.
        draft: longest draft; 0 decodes token by token.
    """

    def __init__(self, model: Any, tokenizer: Any, rows: int = 8, draft: int = 32):
        self.model, self.tokenizer = model, tokenizer
        self._rows, self._draft = rows, draft
        stop = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")}
        self.stop = tuple(sorted(token for token in stop if token is not None and token != tokenizer.unk_token_id))
        self._table = token_table(tokenizer, model.get_output_embeddings().weight.shape[0], self.stop)
        self._grammars: dict[str, Grammar] = {}

    def count_tokens(self, messages: list[dict[str, Any]]) -> int:
        """The length of a prompt in tokens."""
        return len(render_prompt(self.tokenizer, messages))

    def grammar(self, schema: dict[str, Any]) -> Grammar:
        """The compiled grammar of a schema, kept between calls."""
        key = json.dumps(schema)
        if key not in self._grammars:
            self._grammars[key] = Grammar(schema, self._table)
        return self._grammars[key]

    def generate(
        self, requests: Sequence[Request], on_done: Callable[[int, Generation], None] | None = None
    ) -> list[Generation]:
        """Answer all requests by constrained greedy decoding."""
        from extraction.generate.decode import Decoder, Stream
        from extraction.generate.drafts import Drafter

        streams = [
            Stream(
                prompt=render_prompt(self.tokenizer, request.messages),
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

        Decoder(self.model, self.stop, self._rows, self._draft).run(streams, finished)
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
