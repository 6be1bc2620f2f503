"""The decode loop: constrained decoding in which one pass settles many tokens.

What the grammar leaves no choice about is never asked of the model. Drafts (the page's own words) are verified
together in one pass; the tokens are those of plain constrained decoding token by token, exactly so in float32. Many
answers share a batch, each at its own length; a finished one makes room for the next. Answers on one context are
decoded together behind it: it is read once.

Decoding is greedy, or samples when given a temperature. A sampled token depends on the model's probabilities, the
seed, the answer's number in the call and the token's place in the answer, on nothing else: one uniform number each,
looked up in the cumulated probabilities of what the grammar allows. So drafts and batches change no sample either.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from extraction.errors import DocumentError
from extraction.families import Family, Prompt
from extraction.generate.cache import RowCache
from extraction.generate.choose import is_allowed, log_probability, mask_of, most_probable, sample
from extraction.generate.drafts import Drafter
from extraction.generate.masks import image_blocks
from extraction.generate.shared import SharedCache, shared_length

# A pass costs about the same up to this many tokens in all; beyond it every token costs.
TOKENS_PER_PASS = 48
# Sequences that share their beginning cost no copies, so more of them are decoded together.
SHARED_ROWS = 32
# Tokens of a prompt that are read in one pass: a mask of length x length would not fit for long ones.
_CHUNK = 1024
# After a draft went wrong the next is at most this much longer than what was right of it.
RECOVERY = 8
# An answer that repeats the same piece so often, over so many tokens, will not stop by itself.
LOOP_TIMES, LOOP_TOKENS, LOOP_LONGEST = 4, 32, 256
# Seconds until a source of prompts that has nothing ready is asked again.
_PAUSE = 0.01


@dataclass
class Stream:
    """One answer in the making.

    Attributes:
        matcher: llguidance matcher in its start state.
        max_tokens: the answer is cut there.
        positions: rotary positions [axes, length] of the prompt's tokens; None where they are the places.
        tokens, logprobs: the answer so far; a logprob of 0 where there was no choice.
        index: the answer's number in the call, set by `Decoder.run`.
        reach: how long a draft is worth its cost just now.
        passes: forward passes in which this answer took part, after its prompt's.
        finish, message: None while it runs, then as in `Generation`.
        end: the token by which the model ended it, where it did.
    """

    prompt: Prompt
    matcher: Any
    drafter: Drafter
    max_tokens: int
    positions: torch.Tensor | None = None
    tag: Any = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    index: int = 0
    reach: int = TOKENS_PER_PASS
    passes: int = 0
    finish: str | None = None
    message: str = ""
    end: int | None = None
    # Tokens that are decided but not in the cache yet, then the draft; masks[i] allows what follows draft[:i].
    pending: list[int] = field(default_factory=list)
    draft: list[int] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)

    def rotary(self, places: torch.Tensor) -> torch.Tensor:
        """Rotary positions [axes or 1, n] of tokens by their places [n] in prompt and answer."""
        if self.positions is None:
            return places[None]
        length = self.positions.shape[1]
        behind = places + self.positions.max() + 1 - length
        return torch.where(places < length, self.positions[:, places.clamp(max=length - 1)], behind)


class Decoder:
    """Runs streams through a transformers causal language model.

    Args:
        model: the model, in evaluation mode, adapters attached or not.
        rows, draft, temperature, seed: as in `LocalBackend`.
    """

    def __init__(
        self,
        model: Any,
        family: Family,
        stop: Sequence[int],
        rows: int = 8,
        draft: int = 32,
        temperature: float = 0.0,
        seed: int = 0,
    ):
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._body, self._head, self.family = base.model, base.lm_head, family
        self.config = base.config.get_text_config()
        self.device = next(base.parameters()).device
        self._stop, self._rows, self._draft = frozenset(stop), rows, draft
        self._temperature, self._seed = temperature, seed
        self._cap = getattr(self.config, "final_logit_softcapping", None)

    def run(self, jobs: Iterable[Sequence[Stream] | None]) -> Iterator[Stream | None]:
        """Complete streams; each is given back as it ends.

        Args:
            jobs: a stream for a row of its own, or several that are answered together behind what their prompts share.
                A job is taken only when a row is free; None says that none is ready yet, and is given back.
        """
        waiting, more, count = iter(jobs), True, 0
        streams: list[Stream] = []
        cache = RowCache(self.config, 0, self.device)
        while more or streams:
            while more and len(streams) < self._rows:
                try:
                    job = next(waiting)
                except StopIteration:
                    more = False
                    break
                if job is None:
                    yield None
                    if streams:
                        break
                    time.sleep(_PAUSE)
                    continue
                for stream in job:
                    stream.index, count = count, count + 1
                if len(job) > 1:
                    yield from self._together(job)
                elif job:
                    self._admit(job[0], cache)
                    if job[0].finish:
                        yield job[0]
                    else:
                        streams.append(job[0])
            yield from self._advance(streams, cache)

    def _together(self, job: Sequence[Stream]) -> Iterator[Stream]:
        """Answer streams whose prompts begin alike: the beginning is read once."""
        shared = shared_length([stream.prompt for stream in job])
        try:
            cache = self._share(job, shared)
        except DocumentError as error:  # an image that cannot be drawn
            for stream in job:
                stream.finish, stream.message = "refused", str(error)
            yield from job
            return
        waiting, streams = deque(job), list[Stream]()
        while waiting or streams:
            while waiting and len(streams) < SHARED_ROWS:
                if sum(len(stream.pending) for stream in streams) > _CHUNK:
                    break
                stream = waiting.popleft()
                self._branch(stream, cache, shared, len(streams))
                if stream.finish:
                    cache.drop(len(streams))
                    yield stream
                else:
                    streams.append(stream)
            yield from self._advance(streams, cache)

    @torch.inference_mode()
    def _share(self, job: Sequence[Stream], shared: int) -> SharedCache:
        prefix = RowCache(self.config, 1, self.device)
        self.read(job[0], prefix, 0, 0, shared)
        return SharedCache(self.config, min(SHARED_ROWS, len(job)), prefix)

    @torch.inference_mode()
    def _branch(self, stream: Stream, cache: SharedCache, shared: int, row: int) -> None:
        """Begin the stream of `row` behind what it shares."""
        cache.append()
        rest = stream.prompt.ids[shared:]
        if len(rest) > _CHUNK or any(place.start >= shared for place in stream.prompt.places):
            self._start(stream, cache, row, shared)
        else:
            # It joins the next pass, with those of the other rows.
            stream.pending = rest
            self._force(stream)

    @torch.inference_mode()
    def _admit(self, stream: Stream, cache: RowCache) -> None:
        own = RowCache(self.config, 1, self.device)
        self._start(stream, own, 0, 0)
        if not stream.finish:
            cache.append(own)

    def _start(self, stream: Stream, cache: RowCache | SharedCache, row: int, start: int) -> None:
        """Read a prompt on from `start`; refused where one of its images cannot be drawn."""
        try:
            hidden = self.read(stream, cache, row, start, len(stream.prompt.ids))
        except DocumentError as error:
            stream.finish, stream.message = "refused", str(error)
        else:
            self._begin(stream, hidden)

    def _begin(self, stream: Stream, hidden: torch.Tensor) -> None:
        """The first tokens of an answer, `hidden` [1, size] being that of the prompt's last."""
        self._force(stream)
        if stream.finish is None and not stream.pending:
            stream.masks = [mask_of(stream.matcher)]
            self._settle(stream, self.logits(hidden))

    @torch.inference_mode()
    def _advance(self, streams: list[Stream], cache: RowCache | SharedCache) -> list[Stream]:
        """One pass; those that it ended leave their rows."""
        if not streams:
            return []
        self._step(streams, cache)
        ended = []
        for row in reversed(range(len(streams))):
            if streams[row].finish:
                ended.append(streams[row])
                cache.drop(row)
                streams[row] = streams[-1]
                streams.pop()
        return ended[::-1]

    def read(self, stream: Stream, cache: RowCache | SharedCache, row: int, start: int, stop: int) -> torch.Tensor:
        """Read the tokens [start, stop) of a prompt into a row of the cache; the last one's hidden state [1, size].

        Pixels are drawn when their tokens are read: those of many pages would not fit the memory.
        """
        prompt, hidden = stream.prompt, torch.empty(0)
        while start < stop:
            end = min(start + _CHUNK, stop)
            end = next((place.stop for place in prompt.places if place.start < end < place.stop), end)
            shown = [
                picture
                for image, place in zip(prompt.images, prompt.places, strict=True)
                if start <= place.start < end
                for picture in self.family.pictures(image)
            ]
            inputs = self.family.pixels(shown) if shown else {}
            new: list[Sequence[int]] = [[]] * len(cache.lengths)
            new[row] = prompt.ids[start:end]
            is_image = torch.tensor([[token == self.family.soft for token in new[row]]])
            blocks = image_blocks(is_image)[0] if shown else None
            streams = [stream] * len(new)
            hidden = self.forward(new, streams, cache, blocks, **inputs)[row]
            cache.lengths[row] += end - start
            start = end
        return hidden[-1:]

    def forward(
        self,
        new: Sequence[Sequence[int]],
        streams: Sequence[Stream],
        cache: RowCache | SharedCache,
        blocks: torch.Tensor | None = None,
        **inputs: torch.Tensor,
    ) -> Sequence[torch.Tensor]:
        """Hidden states [tokens, size] of every row's new tokens, written behind its length.

        Args:
            new: token ids by row.
            streams: whose rows they are.
            cache: of the tokens before.
            blocks: where only one row has tokens, the image that each belongs to (`image_blocks`).
            inputs: those images' pixels.
        """
        widths = [len(tokens) for tokens in new]
        if isinstance(cache, SharedCache):
            ids = torch.tensor([[token for tokens in new for token in tokens]])
            masks, places = cache.advance(widths, blocks, self.family.opened)
            rows = [s.rotary(p) for s, p in zip(streams, places[0].split(widths), strict=True)]
            positions = _stack(rows, dim=1)[:, None]
        else:
            ids = torch.zeros(len(new), max(widths), dtype=torch.long)
            for row, tokens in enumerate(new):
                ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            masks, places = cache.advance(ids.shape[1], blocks, self.family.opened)
            positions = _stack([s.rotary(p)[:, None] for s, p in zip(streams, places, strict=True)], dim=1)
        hidden = self._body(
            **{name: value.to(self.device) for name, value in inputs.items()},
            input_ids=ids.to(self.device),
            attention_mask=self.family.masks(masks),
            position_ids=(positions if len(positions) > 1 else positions[0]).to(self.device),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        if isinstance(cache, SharedCache):
            return hidden[0].split(widths)
        return [hidden[row, :width] for row, width in enumerate(widths)]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [n, words] of hidden states [n, size]."""
        logits: torch.Tensor = self._head(hidden)
        return torch.tanh(logits / self._cap) * self._cap if self._cap else logits

    def _step(self, streams: Sequence[Stream], cache: RowCache | SharedCache) -> None:
        """One pass: pending and draft tokens of every row, then accept what greedy decoding would write."""
        share = max(1, TOKENS_PER_PASS // len(streams))
        for stream in streams:
            self._propose(stream, min(self._draft, share, stream.reach))
        hidden = self.forward([stream.pending + stream.draft for stream in streams], streams, cache)
        asked = [
            own[len(s.pending) - 1 : len(s.pending) + len(s.draft)] for own, s in zip(hidden, streams, strict=True)
        ]
        # The output layer is most of the weights: one product for all rows reads it once.
        logits = self.logits(torch.cat(asked)).split([1 + len(s.draft) for s in streams])
        for row, (stream, own) in enumerate(zip(streams, logits, strict=True)):
            cache.lengths[row] += len(stream.pending)
            stream.passes += 1
            cache.lengths[row] += self._settle(stream, own)

    def _propose(self, stream: Stream, limit: int) -> None:
        """Fill `draft` with what the grammar allows of the drafter's guess, and `masks` for every place in it."""
        stream.draft = []
        stream.masks = [mask_of(stream.matcher)]
        if limit <= 0:
            return
        # On a copy (some microseconds): llguidance 1.9.1 takes tokens back by `rollback`, but some of its masks
        # afterwards are not those of the tokens that are left.
        trial = stream.matcher.deep_copy()
        for token in stream.drafter.propose(limit):
            if not is_allowed(stream.masks[-1], token) or token in self._stop or not trial.consume_token(token):
                break
            stream.draft.append(token)
            stream.masks.append(mask_of(trial))

    def _choose(self, stream: Stream, logits: torch.Tensor) -> list[int]:
        """The next tokens: those of the draft that decoding token by token would write too, then one of its own.

        Args:
            stream: with its `draft` and `masks`.
            logits: [1 + draft, words], at the place before the draft and at each place in it.
        """
        chosen: list[int] = []
        for place, mask in enumerate(stream.masks):
            if self._temperature:
                token = sample(logits[place], mask, self._temperature, self._uniform(stream, place))
            else:
                token = most_probable(logits[place], mask)
            chosen.append(token)
            if place == len(stream.draft) or stream.draft[place] != token:
                break
        return chosen

    def _uniform(self, stream: Stream, place: int) -> float:
        """The random number in [0, 1) of the token that is written `place` tokens from now."""
        key = np.array([self._seed, stream.index], dtype=np.uint64)
        return float(np.random.Generator(np.random.Philox(key=key, counter=len(stream.tokens) + place)).random())

    def _settle(self, stream: Stream, logits: torch.Tensor) -> int:
        """Write the tokens that `logits` [1 + draft, words] settle, then what the grammar forces.

        Returns:
            How many draft tokens were accepted; their keys and values in the cache are good.
        """
        chosen = self._choose(stream, logits)
        stream.logprobs += [
            log_probability(row, token) if int(np.bitwise_count(mask).sum()) > 1 else 0.0
            for row, token, mask in zip(logits, chosen, stream.masks, strict=False)
        ]
        stream.reach = max(self._draft, 1) if len(chosen) > len(stream.draft) else len(chosen) - 1 + RECOVERY
        stream.pending = chosen[-1:]
        self._write(stream, chosen)
        if stream.finish is None:
            self._force(stream)
        return len(chosen) - 1

    def _write(self, stream: Stream, tokens: Sequence[int]) -> None:
        for token in tokens:
            if token in self._stop:
                del stream.logprobs[len(stream.tokens) :]
                stream.finish, stream.end = "stop", token
                return
            if not stream.matcher.consume_token(token):
                # llguidance has limits of its own, of states and of time for one mask; then it allows nothing more.
                del stream.logprobs[len(stream.tokens) :]
                stream.finish = "grammar"
                return
            stream.tokens.append(token)
            stream.drafter.accept(token)
            if repeated := loop_length(stream.tokens):
                del stream.tokens[-repeated:]
                stream.finish = "loop"
            elif len(stream.tokens) >= stream.max_tokens:
                stream.finish = "length"
            if stream.finish:
                del stream.logprobs[len(stream.tokens) :]
                return

    def _force(self, stream: Stream) -> None:
        """Append tokens while the grammar allows just one; they join the next pass without being asked for."""
        while stream.finish is None:
            mask = mask_of(stream.matcher)
            if int(np.bitwise_count(mask).sum()) != 1:
                if stream.matcher.is_stopped():
                    stream.finish = "grammar" if stream.matcher.is_error() else "stop"
                return
            word = int(np.flatnonzero(mask)[0])
            token = word * 32 + int(mask[word]).bit_length() - 1
            stream.logprobs.append(0.0)
            stream.pending.append(token)
            self._write(stream, [token])


def loop_length(tokens: Sequence[int]) -> int:
    """How many tokens at the end only repeat what stands before them; 0 unless that is certainly a loop.

    A piece of at most LOOP_LONGEST tokens must stand LOOP_TIMES times in a row and fill LOOP_TOKENS tokens. Rows that
    are equal in print so often in a row are not known from reports; a column of `null` is shorter.
    """
    for period in range(1, min(LOOP_LONGEST, len(tokens) // LOOP_TIMES) + 1):
        times = max(LOOP_TIMES, -(-LOOP_TOKENS // period))
        # The last token decides most cases at once: this runs for every token.
        if tokens[-1] != tokens[-1 - period] or len(tokens) < times * period:
            continue
        if all(tokens[-1 - i] == tokens[-1 - i - period] for i in range((times - 1) * period)):
            return (times - 1) * period
    return 0


def _stack(parts: Sequence[torch.Tensor], dim: int) -> torch.Tensor:
    """Positions of rows [axes or 1, ...] joined along `dim`; with as many axes as one of them has."""
    axes = max(len(part) for part in parts)
    return torch.cat([part.expand(axes, *part.shape[1:]) for part in parts], dim=dim)
