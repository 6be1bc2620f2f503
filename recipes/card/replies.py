"""Replies as they come, each kept with what it is a reply to: the model's weights, the prompt, the item as asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.files import write_whole
from extraction.generate.hub import resolve_model
from extraction.generate.weights import take_samples
from recipes.card.examples import asked
from recipes.card.items import Item
from recipes.card.rows import Row

_FILES = ("*.safetensors", "*.bin", "*config.json", "*token*", "chat_template*")  # what a reply depends on


def weights(model: str) -> str:
    """A digest of a model's weights, tokenizer and settings as they are now; of an adapter, with its base's.

    A path says too little: another training may have written to it. Of large files pieces are taken (`take_samples`).

    Raises:
        AssayError: there is no such model.
    """
    folder = Path(resolve_model(model))
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(str(folder), local_files_only=True))
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}):
        digest.update(path.name.encode())
        take_samples([path], digest)
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
        digest.update(weights(str(base)).encode())
    return digest.hexdigest()[:16]


def as_asked(items: Sequence[Item], row: Row) -> dict[str, str]:
    """By their ids, a digest of all that a reply to items of one context depends on: words, options, pictures' bytes.

    The true answer is none of it, so that a corrected one needs no new run.
    """
    shown = hashlib.sha256(json.dumps(items[0].text).encode())
    for path in items[0].images:
        try:
            # Pieces of each: a slide has gigabytes, a volume hundreds of files.
            inner = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
            take_samples(inner, shown)
        except OSError:
            shown.update(b"unreadable")  # it is left out when it is opened
    made = {}
    for item in items:
        told = json.dumps([asked(item, row), item.question, list(item.options.items())])
        made[item.id] = hashlib.sha256(shown.digest() + told.encode()).hexdigest()[:16]
    return made


class Generations:
    """The replies of one model to one row's questions, a line each: kept as they come.

    Attributes:
        damaged: lines that were no replies; they are gone from the file, and asked again.

    Raises:
        AssayError: the file is of another model, or was asked otherwise.
    """

    def __init__(self, path: Path, key: dict[str, str]):
        self.path, self.replies, self.damaged = path, dict[str, dict[str, Any]](), 0
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        if not lines[:-1]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(key) + "\n", encoding="utf-8")
            return
        if _read(lines[0]) != key:
            raise AssayError(
                f"{path} holds replies of another model (or of other weights in its folder), or to another prompt; "
                "choose another --out, or delete it."
            )
        whole = [reply for reply in map(_read, lines[1:-1]) if _is_reply(reply)]
        self.damaged = len(lines[1:-1]) - len(whole)
        self.replies = {reply["id"]: reply for reply in whole}
        if self.damaged or lines[-1]:  # what a kill left of a last line is asked again
            write_whole(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in (key, *whole)))

    def has(self, digests: dict[str, str]) -> bool:
        """Whether there is a reply to each of these items as they are asked now, by their ids."""
        return all(self.replies.get(name, {}).get("asked") == digest for name, digest in digests.items())

    def add(self, replies: Sequence[dict[str, Any]]) -> None:
        """Keep replies."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(reply, ensure_ascii=False) + "\n" for reply in replies))
        self.replies |= {reply["id"]: reply for reply in replies}


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _is_reply(reply: Any) -> bool:
    """Whether a line has an id, what was asked, and words or the options' likelihoods."""
    if not isinstance(reply, dict) or not all(isinstance(reply.get(key), str) for key in ("id", "asked")):
        return False
    scores = reply.get("log_likelihoods")
    if scores is None:
        return isinstance(reply.get("reply"), str)
    return isinstance(scores, dict) and bool(scores) and all(isinstance(one, float | int) for one in scores.values())
