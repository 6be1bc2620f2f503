"""The decode loop: constrained decoding in which one pass settles many tokens.

What the grammar leaves no choice about is never asked of the model. Drafts (the page's own words) are verified
together in one pass; the tokens are those of plain constrained decoding token by token, exactly so in float32. Many
answers share a batch, each at its own length; a finished one makes room for the next.

Decoding is greedy, or samples when given a temperature. A sampled token depends on the model's probabilities, the
seed, the answer's number in the call and the token's place in the answer, on nothing else: one uniform number each,
looked up in the cumulated probabilities of what the grammar allows. So drafts and batches change no sample either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from extraction.generate.cache import RowCache
from extraction.generate.drafts import Drafter
from extraction.generate.masks import image_blocks, see_images
from extraction.generate.shared import SharedCache, shared_length

# A pass costs about the same up to this many tokens in all; beyond it every token costs.
TOKENS_PER_PASS = 48
# Sequences that share their beginning cost no copies, so more of them are decoded together.
SHARED_ROWS = 32
# Tokens of a shared beginning that are read in one pass: a mask of length x length would not fit for long ones.
_CHUNK = 1024
# After a draft went wrong the next is at most this much longer than what was right of it.
RECOVERY = 8
# An answer that repeats the same piece so often, over so many tokens, will not stop by itself.
LOOP_TIMES, LOOP_TOKENS, LOOP_LONGEST = 4, 32, 256


@dataclass
class Stream:
    """One answer in the making.

    Attributes:
        prompt: token ids.
        matcher: llguidance matcher in its start state.
        drafter: where drafts come from.
        max_tokens: the answer is cut there.
        pixels: gives the pixel values of the prompt's images; None for text alone.
        soft: id of the tokens that images are made of.
        tokens, logprobs: the answer so far; a logprob of 0 where there was no choice.
        index: the answer's number in the call, set by `Decoder.run`.
        reach: how long a draft is worth its cost just now.
        passes: forward passes in which this answer took part, after its prompt's.
        finish: None while it runs, then as in `Generation`.
    """

    prompt: Sequence[int]
    matcher: Any
    drafter: Drafter
    max_tokens: int
    pixels: Callable[[], torch.Tensor] | None = None
    soft: int = -1
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    index: int = 0
    reach: int = TOKENS_PER_PASS
    passes: int = 0
    finish: str | None = None
    # Tokens that are decided but not in the cache yet, then the draft; masks[i] allows what follows draft[:i].
    pending: list[int] = field(default_factory=list)
    draft: list[int] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)


class Decoder:
    """Runs streams through a transformers causal language model.

    Args:
        model: the model, in evaluation mode, adapters attached or not.
        stop: token ids that end an answer.
        rows: how many answers are decoded together.
        draft: longest draft; 0 gives plain token-by-token decoding.
        temperature: 0 takes the most probable allowed token; above it tokens are drawn from the allowed ones, with
            probabilities proportional to exp(logit / temperature).
        seed: of the draws; the same seed gives the same answers whatever `rows` and `draft` are.
    """

    def __init__(
        self,
        model: Any,
        stop: Sequence[int],
        rows: int = 8,
        draft: int = 32,
        temperature: float = 0.0,
        seed: int = 0,
    ):
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._body, self._head = base.model, base.lm_head
        self._config = base.config.get_text_config()
        self._eyes = hasattr(base.config, "vision_config")
        self._device = next(base.parameters()).device
        self._stop, self._rows, self._draft = frozenset(stop), rows, draft
        self._temperature, self._seed = temperature, seed
        self._sliding = "sliding_attention" in (getattr(self._config, "layer_types", None) or ())

    @torch.inference_mode()
    def run(self, streams: Sequence[Stream], on_done: Callable[[int], None] | None = None) -> None:
        """Complete every stream; `on_done(index)` is called as each ends."""
        for number, stream in enumerate(streams):
            stream.index = number
        shared = 0 if any(stream.pixels for stream in streams) else shared_length([s.prompt for s in streams])
        rows = min(SHARED_ROWS if shared else self._rows, len(streams))
        cache: RowCache | SharedCache = RowCache(self._config, rows, self._device)
        if shared:
            cache = SharedCache(self._config, rows, self._read_shared(streams[0].prompt[:shared]))
        waiting: Iterator[int] = iter(range(len(streams)))
        seats: list[int | None] = [None] * rows
        while True:
            for row in range(rows):
                while seats[row] is None and (index := next(waiting, None)) is not None:
                    seats[row] = index
                    if isinstance(cache, SharedCache):
                        # The rest of a prompt joins the next pass, with those of the other rows.
                        cache.lengths[row] = 0
                        streams[index].pending = list(streams[index].prompt[shared:])
                        self._force(streams[index])
                    else:
                        self._read_prompt(streams[index], cache, row)
                    self._release(seats, row, streams, on_done)
            active = [(row, streams[index]) for row, index in enumerate(seats) if index is not None]
            if not active:
                return
            self._step(active, cache)
            for row, _ in active:
                self._release(seats, row, streams, on_done)

    @staticmethod
    def _release(seats: list[int | None], row: int, streams: Sequence[Stream], on_done: Any) -> None:
        index = seats[row]
        if index is not None and streams[index].finish:
            seats[row] = None
            if on_done:
                on_done(index)

    def _forward(
        self, ids: torch.Tensor, cache: RowCache, blocks: torch.Tensor | None = None, **images: torch.Tensor
    ) -> torch.Tensor:
        """Hidden states [rows, width, size] of `ids` [rows, width], written behind each row's length.

        Args:
            ids: token ids.
            cache: of the tokens before.
            blocks: the image that each token belongs to (`image_blocks`), for a prompt with images.
            images: their `pixel_values`.
        """
        masks, positions = cache.advance(ids.shape[1])
        if blocks is not None:
            masks = see_images(masks, blocks.to(self._device), self._config.sliding_window or 0)
        return self._run(ids, masks, positions, cache, **images)

    def _forward_rows(self, new: Sequence[Sequence[int]], cache: RowCache | SharedCache) -> Sequence[torch.Tensor]:
        """Hidden states [tokens, size] of every row's new tokens, written behind its length."""
        widths = [len(tokens) for tokens in new]
        if isinstance(cache, SharedCache):
            masks, positions = cache.advance(widths)
            ids = torch.tensor([[token for tokens in new for token in tokens]])
            return self._run(ids, masks, positions, cache)[0].split(widths)
        ids = torch.zeros(len(new), max(widths), dtype=torch.long)
        for row, tokens in enumerate(new):
            ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        hidden = self._forward(ids, cache)
        return [hidden[row, :width] for row, width in enumerate(widths)]

    def _run(
        self,
        ids: torch.Tensor,
        masks: dict[str, torch.Tensor],
        positions: torch.Tensor,
        cache: RowCache | SharedCache,
        **images: torch.Tensor,
    ) -> torch.Tensor:
        return self._body(
            **images,
            input_ids=ids.to(self._device),
            attention_mask=masks if self._sliding or self._eyes else masks["full_attention"],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state

    def _read_prompt(self, stream: Stream, cache: RowCache, row: int) -> None:
        own = RowCache(self._config, 1, self._device)
        ids = torch.tensor([list(stream.prompt)])
        if stream.pixels:
            pixels = stream.pixels().to(self._device)
            hidden = self._forward(ids, own, image_blocks(torch.eq(ids, stream.soft)), pixel_values=pixels)
        else:
            hidden = self._forward(ids, own)
        own.lengths[0] = len(stream.prompt)
        cache.adopt(row, own)
        self._force(stream)
        if stream.finish is None and not stream.pending:
            stream.masks = [_mask(stream.matcher)]
            self._settle(stream, self._head(hidden[0, -1:]))

    def _read_shared(self, prefix: Sequence[int]) -> RowCache:
        """The cache of what all prompts begin with."""
        cache = RowCache(self._config, 1, self._device)
        for start in range(0, len(prefix), _CHUNK):
            chunk = torch.tensor([list(prefix[start : start + _CHUNK])])
            self._forward(chunk, cache)
            cache.lengths[0] += chunk.shape[1]
        return cache

    def _step(self, active: list[tuple[int, Stream]], cache: RowCache | SharedCache) -> None:
        """One pass: pending and draft tokens of every active row, then accept what greedy decoding would write."""
        share = max(1, TOKENS_PER_PASS // len(active))
        for _, stream in active:
            self._propose(stream, min(self._draft, share, stream.reach))
        new: list[list[int]] = [[] for _ in cache.lengths]
        for row, stream in active:
            new[row] = stream.pending + stream.draft
        hidden = self._forward_rows(new, cache)
        asked = [hidden[row][len(s.pending) - 1 : len(s.pending) + len(s.draft)] for row, s in active]
        # The output layer is most of the weights: one product for all rows reads it once.
        logits = self._head(torch.cat(asked)).split([1 + len(s.draft) for _, s in active])
        for (row, stream), own in zip(active, logits, strict=True):
            cache.lengths[row] += len(stream.pending)
            stream.passes += 1
            cache.lengths[row] += self._settle(stream, own)

    def _propose(self, stream: Stream, limit: int) -> None:
        """Fill `draft` with what the grammar allows of the drafter's guess, and `masks` for every place in it."""
        stream.draft = []
        stream.masks = [_mask(stream.matcher)]
        if limit <= 0:
            return
        # On a copy (some microseconds): llguidance 1.9.1 takes tokens back by `rollback`, but some of its masks
        # afterwards are not those of the tokens that are left.
        trial = stream.matcher.deep_copy()
        for token in stream.drafter.propose(limit):
            if not _allowed(stream.masks[-1], token) or token in self._stop or not trial.consume_token(token):
                break
            stream.draft.append(token)
            stream.masks.append(_mask(trial))

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
                stream.finish = "stop"
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
            mask = _mask(stream.matcher)
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


def _mask(matcher: Any) -> np.ndarray:
    """The words allowed next, 32 a number."""
    return np.frombuffer(matcher.compute_bitmask(), dtype=np.uint32)


def _allowed(mask: np.ndarray, token: int) -> bool:
    return bool(mask[token >> 5] >> np.uint32(token & 31) & np.uint32(1))


def _bits(mask: np.ndarray, logits: torch.Tensor) -> torch.Tensor:
    """`mask` (32 words a number) as a boolean tensor beside `logits` [words]; words beyond it are not allowed."""
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little", count=logits.shape[0])
    return torch.from_numpy(bits.view(np.bool_)).to(logits.device)


def most_probable(logits: torch.Tensor, mask: np.ndarray) -> int:
    """The allowed token with the highest of `logits` [words], the first of equals."""
    best = _first_highest(logits)
    return best if _allowed(mask, best) else _first_highest(logits.masked_fill(~_bits(mask, logits), float("-inf")))


def _first_highest(logits: torch.Tensor) -> int:
    # On a CPU this takes an eighth of the time of argmax in bfloat16; the first of equals, as argmax has it.
    return int((logits == logits.amax()).cpu().numpy().argmax())


def sample(logits: torch.Tensor, mask: np.ndarray, temperature: float, uniform: float) -> int:
    """An allowed token drawn with probability proportional to exp(logit / temperature).

    Args:
        logits: [words].
        mask: what is allowed.
        temperature: above 0.
        uniform: the random number in [0, 1) that decides.
    """
    allowed = _bits(mask, logits).nonzero()[:, 0]
    scores = logits[allowed].double() / temperature
    # In double precision: the sums over 262k words are exact to 1e-11, and a token of that probability can be drawn.
    sums = torch.exp(scores - scores.max()).cumsum(0)
    place = int(torch.searchsorted(sums, uniform * sums[-1], right=True))
    return int(allowed[min(place, len(allowed) - 1)])


def log_probability(logits: torch.Tensor, token: int) -> float:
    """The log-probability of `token` among all words of `logits` [words].

    It is the model's own, at temperature 1: where the grammar overruled the model, it is low.
    """
    scores = logits.float()
    return float(scores[token] - torch.logsumexp(scores, dim=-1))
