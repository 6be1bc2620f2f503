"""The contract: what a model was taught to do, in one object that training and serving share.

It is saved as `contract.json` beside every adapter and every merged model, so that
`Extractor.from_pretrained(folder)` needs nothing else, and so that training and serving cannot drift apart:
both build their prompts with `Contract.messages` and their answers with `Contract.target`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from extraction.checks import Checks, load_checks
from extraction.errors import AssayError, reason
from extraction.example import DPI, ImagePart, Part
from extraction.families import Message, disarm
from extraction.files import write_whole
from extraction.schema import Schema, check_schema, map_subschemas
from extraction.target import Style, Target, dumps

FILE = "contract.json"

Role = Literal["name", "value", "unit", "range", "flag", "heading", "time", "choice", "text", "line"]
"""What a field is for.

A row has a `name` and the `value` that is told of it, with `unit`, `range` and `flag`; a `heading` and a `time` may
stand once above the rows that they hold for; a `choice` is one of a list, a `text` is written by the model and need not
be printed; `line` is the number of a line of the context that says so.
"""


class Contract(BaseModel):
    """Instruction, schema and form of answer of one task.

    Attributes:
        instruction: what the model is told; `{schema}` in it is replaced by the JSON Schema. Empty where what is asked
            says it all.
        record_schema: JSON Schema of the record.
        roles: what its fields are for, by their names. Grounding, joining, typing, checks and scores read it here.
        scored: names of the fields that count in a score; empty: all.
        filled: names of fields that the model is not asked for: the task's checks read them from the document by
            themselves (`Checks.filled`).
        checks: name of the task whose checks a record must pass besides those that hold for any schema, found among the
            installed tasks (`extraction.checks`).
        style: how the answer is written, see `extraction.target`.
        carry: keys that hold for the rows after them (style `rows`).
        view: how a page is shown to the model: its words (`text`), its pixels (`image`), or `both`.
        dpi: pixels per inch a page is drawn at, before it is brought to the size the model sees; an image file keeps
            its own.
        pan_and_scan: show crops of a page that is not square besides the page: finer print, more tokens.
        max_prompt_tokens: a document longer than this is read in several windows.
        max_answer_tokens: where an answer is cut; a cut answer is never reported as whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = 2
    instruction: str
    record_schema: Schema
    roles: dict[str, Role] = {}
    scored: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    checks: str | None = None
    style: Style = "objects"
    carry: tuple[str, ...] = ()
    view: Literal["text", "image", "both"] = "text"
    dpi: int = Field(default=DPI, gt=0, le=1200)
    pan_and_scan: bool = False
    max_prompt_tokens: int = Field(default=8192, gt=0)
    max_answer_tokens: int = Field(default=4096, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _first_version(cls, values: Any) -> Any:
        """A contract of version 1, whose only checks were those of one task."""
        if not isinstance(values, Mapping) or values.get("version") != 1:
            return values
        values = {**values, "version": 2}
        if values.pop("check_rows", False):
            name = "lab_report"
            checks = load_checks(name)
            known = field_names(values.get("record_schema") or {})
            roles = {key: role for key, role in checks.roles.items() if key in known}
            scored = tuple(key for key in checks.scored if key in known)
            values |= {"checks": name, "roles": roles, "scored": scored}
        return values

    @field_validator("record_schema")
    @classmethod
    def _valid_schema(cls, schema: Schema) -> Schema:
        check_schema(schema)
        return schema

    @model_validator(mode="after")
    def _known_fields(self) -> Contract:
        known = field_names(self.record_schema)
        for what in ("roles", "scored", "filled", "carry"):
            for name in getattr(self, what):
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1)
                    meant = f"; did you mean `{near[0]}`?" if near else f"; it has {', '.join(sorted(known))}."
                    raise AssayError(f"The contract's {what} name `{name}`, which is no field of its schema{meant}")
        return self

    @classmethod
    def for_schema(cls, schema: Schema) -> Contract:
        """A contract for a model that was not tuned: the schema is in the prompt, the answer is plain JSON."""
        return cls(
            instruction="Read the document and return its content as one JSON object that follows this JSON Schema. "
            "Copy values exactly as printed, use null for what is absent.\n{schema}",
            record_schema=schema,
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Contract:
        """A copy with changes; what was worked out from the old values is not taken along, as pydantic's own would."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("asked", "target", "rules", "headings"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def asked(self) -> Schema:
        """The schema of what the model writes: the record's, without the fields that are filled."""
        return without_fields(self.record_schema, self.filled) if self.filled else self.record_schema

    @cached_property
    def target(self) -> Target:
        """The codec between records and the model's text."""
        return self.target_for(None)

    def target_for(self, schema: Schema | None) -> Target:
        """The codec of a branch: of its own schema, or of the contract's; in rows where the schema has any."""
        if schema is None or schema == self.record_schema:
            return Target(self.asked, self.style, self.carry)
        if self.style == "text":
            return Target(schema, "text")
        plain = self.style != "rows" or not Target.tables_of(schema)
        return Target(schema, "objects") if plain else Target(schema, "rows", self.with_schema(schema).carry)

    @cached_property
    def rules(self) -> Checks:
        """What a record must pass: the checks of the task that `checks` names, or those that hold for any schema.

        Raises:
            AssayError: no installed task has that name.
        """
        return load_checks(self.checks)

    def fields(self, *roles: Role) -> tuple[str, ...]:
        """The names of the fields with one of these roles, in the contract's order."""
        return tuple(name for name, role in self.roles.items() if role in roles)

    @cached_property
    def headings(self) -> frozenset[str]:
        """Names of fields that a heading may give for many rows."""
        return frozenset((*self.fields("heading", "time"), *self.carry))

    def messages(self, shown: Sequence[Part], asked: Sequence[Part] = ()) -> list[Message]:
        """The chat messages that show a context to the model and ask a question on it.

        Images that come first stand before the instruction, then the other parts in order, then what is asked. Texts
        that follow each other are an empty line apart. Control tokens of chat formats that stand in them are disarmed
        (`<` becomes `‹`): a document cannot speak outside the user's turn.
        """
        first = next((i for i, part in enumerate(shown) if isinstance(part, str)), len(shown))
        instruction = self.instruction.replace("{schema}", dumps(self.asked))
        content: list[dict[str, Any]] = []
        for part in (*shown[:first], None, *shown[first:], *asked):
            if isinstance(part, ImagePart):
                content.append({"type": "image", "image": part})
                continue
            text = instruction if part is None else disarm(part).strip("\n")
            if not text and (part is not None or shown or asked):
                continue
            if content and content[-1]["type"] == "text":
                content[-1]["text"] += f"\n\n{text}"
            else:
                content.append({"type": "text", "text": text})
        return [{"role": "user", "content": content}]

    def with_schema(self, schema: Schema, **changes: Any) -> Contract:
        """The contract with another schema: what it says of fields that this one lacks is dropped."""
        known = field_names(schema)
        return self.model_copy(
            update={
                "record_schema": schema,
                "roles": {name: role for name, role in self.roles.items() if name in known},
                "scored": tuple(name for name in self.scored if name in known),
                "filled": tuple(name for name in self.filled if name in known),
                "carry": tuple(name for name in self.carry if name in known),
                "checks": self.checks if {*self.fields("name", "value")} <= known else None,
                **changes,
            }
        )

    def save(self, folder: Path) -> None:
        """Write `contract.json` into `folder`, whole or not at all."""
        write_whole(folder / FILE, json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Contract:
        """Read `contract.json` of an adapter or merged model, of this version of Assay or an older one.

        Raises:
            AssayError: there is none, or it cannot be understood.
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
        except (OSError, ValueError) as error:  # pydantic's is a ValueError
            raise AssayError(f"{path} cannot be read ({reason(error)}); it may come from another version.") from None


def field_names(schema: Schema) -> set[str]:
    """The names of all properties of a schema, nested ones included."""
    names: set[str] = set()

    def visit(sub: Any) -> Any:
        if isinstance(sub, dict):
            names.update(sub.get("properties") or ())
            map_subschemas(sub, lambda inner, _: visit(inner))
        return sub

    visit(schema)
    return names


def without_fields(schema: Schema, names: Collection[str]) -> Schema:
    """A schema without the properties of these names, wherever they stand."""

    def visit(sub: Any) -> Any:
        if not isinstance(sub, dict):
            return sub
        sub = map_subschemas(sub, lambda inner, _: visit(inner))
        if isinstance(sub.get("properties"), dict):
            sub = {**sub, "properties": {key: value for key, value in sub["properties"].items() if key not in names}}
        if isinstance(sub.get("required"), list):
            sub = {**sub, "required": [name for name in sub["required"] if name not in names]}
        return sub

    found: Schema = visit(schema)
    return found
