"""Guesses of what comes next, taken from the page's own lines and from the answer so far.

An extraction mostly copies. A guess costs little to verify (a pass over 32 tokens takes about twice the time of a pass
over one), and a wrong one changes nothing: the decode loop accepts exactly what token-by-token decoding would have
written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from extraction.generate.rows import Rows
from extraction.schema import map_subschemas

_LONGEST = 3  # tokens of context that a place in the hint or the answer is found by
_CHARS = 4  # text to guess for each token asked for: tokens of rows are shorter


class Drafter:
    """Drafts by the page's lines in the form of the rows written so far, else by looking up the last tokens.

    Args:
        hint: lines of the page in the shape of an answer, `["cell","cell"],["cell"],` (`Target.hint`).
        encode: text to token ids.
        piece: a token's text.
        keys: names of properties that may be written, in the schema's order.
    """

    def __init__(
        self,
        hint: str,
        encode: Callable[[str], list[int]],
        piece: Callable[[int], str],
        keys: Sequence[str] = (),
    ):
        self._encode, self._piece = encode, piece
        self._hint = encode(hint) if hint else []
        self._in_hint = _index(self._hint)
        self._rows = Rows(hint, keys)
        self._json = _Scanner()
        self._answer: list[int] = []
        self._ends: list[int] = []
        self._in_answer: dict[tuple[int, ...], list[int]] = {}
        self._at = 0

    def accept(self, token: int) -> None:
        """Tell the drafter what was written."""
        self._answer.append(token)
        end = len(self._answer)
        for n in range(1, min(_LONGEST, end) + 1):
            self._in_answer.setdefault(tuple(self._answer[end - n : end]), []).append(end)
        if self._at < len(self._hint) and self._hint[self._at] == token:
            self._at += 1
        else:
            self._at = self._find() or self._at
        for leaf in self._json.feed(self._piece(token)):
            self._rows.learn(leaf)
        self._ends.append(len(self._json.text))

    def propose(self, limit: int) -> list[int]:
        """At most `limit` tokens that may follow."""
        if guess := self._guess(limit * _CHARS):
            return self._tokens(guess)[:limit]
        if self._answer and self._at > 0 and self._hint[self._at - 1] == self._answer[-1]:
            return self._hint[self._at : self._at + limit]
        for n in range(min(_LONGEST, len(self._answer)), 1, -1):
            places = self._in_answer.get(tuple(self._answer[-n:]), ())
            if len(places) > 1:
                return self._answer[places[-2] : places[-2] + limit]
        return self._hint[self._at : self._at + limit]

    def _find(self) -> int | None:
        """The place in the hint after the longest suffix of the answer, the next one in reading order."""
        for n in range(min(_LONGEST, len(self._answer)), 0, -1):
            places = self._in_hint.get(tuple(self._answer[-n:]))
            if places:
                return next((place for place in places if place >= self._at), places[0])
        return None

    def _guess(self, chars: int) -> str:
        """Text that may follow: the end of the open row, then rows and headings from the lines below."""
        json, rows = self._json, self._rows
        if not json.open:
            return ""
        text, line, out = json.text[json.open[-1] :], rows.at, ""
        if not rows.shapes and json.leaf and text in ("[", "{", '{"') and json.open[-1]:
            return rows.first().removeprefix(text if text != "[" else "")
        if not rows.shapes and len(json.open) == 1 and text[-1].isalnum() and (first := rows.first()):
            return f'":[{first}'
        inside = json.leaf and text != "["
        if inside:
            found = rows.finish(text)
            if found is None:
                return ""
            out, line = found
            if not out.endswith(("]", "}")):
                return out
            out += ","
        elif text[-1] in "]}":
            out = ","
        while len(out) < chars:
            following = rows.next(line)
            if following is None:
                # The list ends: its bracket takes the comma's place.
                opened = json.open[:-1] if inside else json.open
                return out.removesuffix(",") + "".join("]" if json.text[at] == "[" else "}" for at in reversed(opened))
            container, line = following
            out += container + ","
        return out

    def _tokens(self, guess: str) -> list[int]:
        """The tokens of `guess` as they are after the text so far: those of the whole row less those written."""
        json = self._json
        start = json.open[-1] if json.open else 0
        first = len(self._ends)
        while first and self._ends[first - 1] > start:
            first -= 1
        begin = self._ends[first - 1] if first else 0
        written = self._answer[first:]
        whole = self._encode(json.text[begin:] + guess)
        return whole[len(written) :] if whole[: len(written)] == written else self._encode(guess)


class _Scanner:
    """Which containers of a JSON text are open.

    Attributes:
        text: all of it.
        open: where the open containers begin.
        leaf: whether the innermost one has held no other so far.
    """

    def __init__(self) -> None:
        self.text = ""
        self.open: list[int] = []
        self.leaf = True
        self._quoted = self._escaped = False

    def feed(self, piece: str) -> list[str]:
        """Take the next characters; returns the containers without others in them that ended there."""
        ended = []
        start = len(self.text)
        self.text += piece
        for place, char in enumerate(piece, start):
            if self._quoted:
                self._quoted = self._escaped or char != '"'
                self._escaped = char == "\\" and not self._escaped
            elif char == '"':
                self._quoted = True
            elif char in "[{":
                self.open.append(place)
                self.leaf = True
            elif char in "]}" and self.open:
                opened = self.open.pop()
                if self.leaf:
                    ended.append(self.text[opened : place + 1])
                self.leaf = False
        return ended


def _index(tokens: Sequence[int]) -> dict[tuple[int, ...], list[int]]:
    places: dict[tuple[int, ...], list[int]] = {}
    for end in range(1, len(tokens) + 1):
        for n in range(1, min(_LONGEST, end) + 1):
            places.setdefault(tuple(tokens[end - n : end]), []).append(end)
    return places


def property_names(schema: Any) -> list[str]:
    """The names of the schema's scalar properties in order, those of nested schemas included, each once."""
    names: list[str] = []

    def visit(sub: Any) -> Any:
        if isinstance(sub, dict):
            for name, value in (sub.get("properties") or {}).items():
                if isinstance(value, dict) and not {"properties", "items", "prefixItems"} & value.keys():
                    names.append(name)
            map_subschemas(sub, lambda inner, _: visit(inner))
        return sub

    visit(schema)
    return list(dict.fromkeys(names))
