"""The contract: what a model was taught to do, in one object that training and serving share.

It is saved as `contract.json` beside every adapter and every merged model, so that
`Extractor.from_pretrained(folder)` needs nothing else, and so that training and serving cannot drift apart:
both build their prompts with `Contract.messages` and their answers with `Contract.target`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from extraction.errors import AssayError
from extraction.files import write_whole
from extraction.schema import Schema, check_schema
from extraction.target import Style, Target, dumps

FILE = "contract.json"
IMAGE = "<start_of_image>"
# Gemma's control tokens; in a document's text they would end the user's turn and give the page a voice.
_CONTROL = re.compile(r"<(?=/?(?:start_of_turn|end_of_turn|start_of_image|end_of_image|image_soft_token|bos|eos|pad"
                      r"|unk|mask|unused\d+)>)")  # fmt: skip


class Contract(BaseModel):
    """Instruction, schema and form of answer of one task.

    Attributes:
        instruction: what the model is told; `{schema}` in it is replaced by the JSON Schema.
        record_schema: JSON Schema of the record.
        style: how the answer is written, see `extraction.target`.
        carry: keys that hold for the rows after them (style `rows`).
        view: how a page is shown to the model: its words (`text`), its pixels (`image`), or `both`.
        dpi: pixels per inch a page is drawn at, before it is brought to the size the model sees; an image file keeps
            its own.
        pan_and_scan: show crops of a page that is not square besides the page: finer print, more tokens.
        check_rows: whether rows are results of a laboratory: lines of the page that look like one (a name, a value, a
            unit or range) must all be in the record, and no row may have a range for its unit or the like; what fails
            becomes an issue.
        max_prompt_tokens: a document longer than this is read in several windows.
        max_answer_tokens: where an answer is cut; a cut answer is never reported as whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    instruction: str
    record_schema: Schema
    style: Style = "objects"
    carry: tuple[str, ...] = ()
    view: Literal["text", "image", "both"] = "text"
    dpi: int = Field(default=150, gt=0, le=1200)
    pan_and_scan: bool = False
    check_rows: bool = False
    max_prompt_tokens: int = Field(default=8192, gt=0)
    max_answer_tokens: int = Field(default=4096, gt=0)

    @field_validator("record_schema")
    @classmethod
    def _valid_schema(cls, schema: Schema) -> Schema:
        check_schema(schema)
        return schema

    @field_validator("instruction")
    @classmethod
    def _no_images(cls, instruction: str) -> str:
        if IMAGE in instruction:
            raise ValueError(f"{IMAGE} stands for a page and is put there by the view; leave it out")
        return instruction

    @classmethod
    def for_schema(cls, schema: Schema) -> Contract:
        """A contract for a model that was not tuned: the schema is in the prompt, the answer is plain JSON."""
        return cls(
            instruction="Read the document and return its content as one JSON object that follows this JSON Schema. "
            "Copy values exactly as printed, use null for what is absent.\n{schema}",
            record_schema=schema,
        )

    @cached_property
    def target(self) -> Target:
        """The codec between records and the model's text."""
        return Target(self.record_schema, self.style, self.carry)

    def messages(self, pages: Sequence[str], images: int = 0) -> list[dict[str, str]]:
        """The chat messages that show a document's pages to the model.

        Pixels come first, a `<start_of_image>` a page, for which `render_prompt` puts the image's tokens; then the
        instruction, then the text, if the view has it.

        Args:
            pages: their text.
            images: how many pages are shown as pixels.

        Control tokens of the chat format that stand in the document are disarmed (`<` becomes `‹`): a document
        cannot speak outside the user's turn.
        """
        instruction = self.instruction.replace("{schema}", dumps(self.record_schema))
        if self.view == "image":
            return [{"role": "user", "content": f"{IMAGE * images}{instruction}"}]
        text = "\n\n".join(page.strip("\n") for page in pages if page.strip("\n"))
        return [{"role": "user", "content": f"{IMAGE * images}{instruction}\n\n{_CONTROL.sub('‹', text)}"}]

    def save(self, folder: Path) -> None:
        """Write `contract.json` into `folder`, whole or not at all."""
        write_whole(folder / FILE, json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Contract:
        """Read `contract.json` of an adapter or merged model.

        Raises:
            AssayError: there is none, or it was written by another version of Assay.
        """
        path = folder / FILE
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls.model_validate(values)
        except FileNotFoundError:
            raise AssayError(
                f"{folder} has no {FILE}, so it does not say what its model was taught; give a schema "
                "(--schema FILE) to use a model that Assay did not train."
            ) from None
        except (OSError, ValueError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise AssayError(f"{path} cannot be read ({reason}); it may come from another version.") from None


def render_prompt(tokenizer: Any, messages: list[dict[str, str]], images: Sequence[str] = ()) -> list[int]:
    """Token ids of a prompt, BOS and the opening of the model's turn included; the only way prompts are made.

    Args:
        tokenizer: the model's, with its chat template.
        messages: see `Contract.messages`.
        images: what stands for each page that is shown as pixels, in order (`Vision.text`).
    """
    if not images:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        return list(ids)
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    before, *after = text.split(IMAGE)
    whole = before + "".join(image + piece for image, piece in zip(images, after, strict=True))
    # Tokenised once, after the images are in: their line breaks join those around them.
    return list(tokenizer.encode(whole, add_special_tokens=False))
