"""Captions as tokens, cut to the length that a text tower was trained with."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CLEANING = "HTML entities unescaped twice, then blanks and line ends made one blank and taken off both ends"


@dataclass(frozen=True)
class Words:
    """A tokenizer and how its model was fed.

    Attributes:
        length: most tokens of a text, the special ones included; BiomedCLIP 256 (of the 512 that its BERT could take),
            SigLIP 64, CLIP 77.
        fixed: every text is padded to that length and nothing is masked, as SigLIP was trained. Without it, texts are
            padded to the longest of their batch and padding is masked: 11 times faster for short captions, the same
            vectors to rounding.
        cleaned: HTML entities and blanks are cleaned first, as open_clip does (its mending of broken Unicode by ftfy is
            left out).
    """

    tokenizer: Any
    length: int
    fixed: bool
    cleaned: bool

    def encode(self, texts: Sequence[str]) -> dict[str, Any]:
        """`input_ids` [n, length], and `attention_mask` of the same shape where padding is masked."""
        made = self.tokenizer(
            [self.clean(text) for text in texts],
            truncation=True,
            max_length=self.length,
            padding="max_length" if self.fixed else "longest",
            return_tensors="pt",
        )
        return {"input_ids": made["input_ids"]} | ({} if self.fixed else {"attention_mask": made["attention_mask"]})

    def count_cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than the model takes, so that their ends are cut."""
        # A token has at least one byte of UTF-8 (a letter may be several tokens): short texts need no look.
        long = [
            clean for text in texts if len((clean := self.clean(text)).encode("utf-8", "replace")) > self.length - 2
        ]
        found = 0
        for start in range(0, len(long), 1024):
            ids = self.tokenizer(long[start : start + 1024], verbose=False)["input_ids"]
            found += sum(len(one) > self.length for one in ids)
        return found

    def told_cut(self, texts: Sequence[str], what: str) -> str:
        """How many texts are cut, for people; empty where none is."""
        cut = self.count_cut(texts)
        return f"{cut} of {len(texts)} {what} longer than {self.length} tokens and cut there" if cut else ""

    def clean(self, text: str) -> str:
        """A text as the tokenizer gets it."""
        return " ".join(html.unescape(html.unescape(text)).split()) if self.cleaned else text
