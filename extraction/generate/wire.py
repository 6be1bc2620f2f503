"""What is sent to a server with the OpenAI API and what comes back: images, schemas, tokens with probabilities."""

from __future__ import annotations

import asyncio
import base64
import codecs
import io
import json
import math
from typing import TYPE_CHECKING, Any

from extraction.errors import AssayError
from extraction.schema import map_subschemas

if TYPE_CHECKING:
    from PIL import Image

    from extraction.example import ImagePart
    from extraction.families import Message

    # What the images of an example become, drawn once for all of its branches.
    Images = dict[ImagePart, asyncio.Task[str]]

# A larger image is sent reduced to this: an A4 page at 200 dpi is not. As PNG in base64 a printed page at 150 dpi is
# about 0.1 MB, a photograph of four million pixels up to 16 MB.
_PIXELS = 4_000_000
# A piece of at most LOOP_LONGEST characters that ends a cut answer LOOP_TIMES in a row, over LOOP_CHARACTERS in all:
# about what `extraction.generate.decode` calls a loop, in characters.
LOOP_TIMES, LOOP_CHARACTERS, LOOP_LONGEST = 4, 100, 400


async def turn_content(parts: list[Message], images: Images) -> str | list[Message]:
    """What a turn says in the API's words: a plain string where it is text alone, which all servers take."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    content = []
    for part in parts:
        if part["type"] == "image":
            image: ImagePart = part["image"]
            if image.pan_and_scan:
                raise AssayError(
                    "The contract shows crops of long pages (pan_and_scan), which servers are not sent; run the model "
                    "here, or train it without them."
                )
            if image not in images:
                # In a thread: others are asked and answered while it is drawn.
                images[image] = asyncio.create_task(asyncio.to_thread(lambda part: data_url(part.draw()), image))
            part = {"type": "image_url", "image_url": {"url": await images[image]}}
        content.append(part)
    return content


def data_url(image: Image.Image) -> str:
    """An image as PNG in a `data:` URL, reduced where it has too many pixels."""
    if (pixels := image.width * image.height) > _PIXELS:
        scale = math.sqrt(_PIXELS / pixels)
        image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def portable(schema: Any) -> Any:
    """The same schema in words that llama-server knows too.

    It refuses `items: false`, and takes `prefixItems` for a row that is always whole; so a row whose end may be left
    out becomes a choice between rows of fixed lengths.
    """
    if not isinstance(schema, dict):
        return schema
    schema = map_subschemas(schema, lambda sub, _: portable(sub))
    cells = schema.get("prefixItems")
    if not cells or schema.get("items") is not False:
        return schema
    rest = {key: schema[key] for key in schema if key not in ("prefixItems", "items", "minItems", "maxItems")}
    lengths = range(schema.get("minItems", 0), min(schema.get("maxItems", len(cells)), len(cells)) + 1)
    return {"anyOf": [{**rest, **_row(cells[:length])} for length in lengths]}


def _row(cells: list[Any]) -> dict[str, Any]:
    if not cells:
        return {"items": {}, "maxItems": 0}
    return {"prefixItems": cells, "minItems": len(cells), "maxItems": len(cells)}


def prompt_tokens(body: bytes) -> int | None:
    """How many tokens a server says that the prompt had; None where it does not say it."""
    try:
        return int(json.loads(body)["usage"]["prompt_tokens"])
    except (ValueError, LookupError, TypeError):
        return None


def token_places(text: str, tokens: Any) -> tuple[list[int], list[float]]:
    """Where each token begins in `text`, and its log-probability; two empty lists where that cannot be told.

    Args:
        tokens: the API's `logprobs.content`: for each token its `token`, `logprob` and, where the server says them,
            its `bytes`. They may be more than the text (the end of the turn, blanks that the server stripped); those
            are left out.
    """
    try:
        pieces = [bytes(t["token"].encode() if t.get("bytes") is None else t["bytes"]) for t in tokens]
        values = [min(0.0, float(t["logprob"])) for t in tokens]
    except (LookupError, TypeError, ValueError, AttributeError):
        return [], []
    own = text.encode("utf-8", errors="replace")
    begin = b"".join(pieces).rfind(own)
    if not own or begin < 0:
        return [], []
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    offsets: list[int] = []
    logprobs: list[float] = []
    place = 0
    for piece, value in zip(pieces, values, strict=True):
        inside = piece[max(0, begin) : max(0, begin + len(own))]
        if inside:
            offsets.append(place)
            logprobs.append(value)
            place += len(decoder.decode(inside))
        begin -= len(piece)
    return offsets, logprobs


def without_loop(text: str) -> int:
    """How much of `text` is left without what only repeats at its end; all of it unless that is certainly a loop."""
    for period in range(1, LOOP_LONGEST + 1):
        repeated = 0
        while repeated + period < len(text) and text[-1 - repeated] == text[-1 - repeated - period]:
            repeated += 1
        if repeated >= max((LOOP_TIMES - 1) * period, LOOP_CHARACTERS):
            return len(text) - repeated
    return len(text)
