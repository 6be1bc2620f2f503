"""A recipe for a schema of your own, written by `assay init`: schema, YAML, README, and places for data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from extraction.contract import Contract, Role
from extraction.errors import AssayError
from extraction.files import whole_folder
from extraction.generate.hub import EMBEDDED
from extraction.schema import Schema, load_schema, resolve
from extraction.target import Target

_NAMED: tuple[tuple[str, Role], ...] = (
    (r"(?:unit|units|uom|einheit)$", "unit"),
    (r"(?:range|reference|limits)$", "range"),
    (r"(?:flag|flags)$", "flag"),
    (r"(?:date|time|day|datum|issued|due|from|until)$", "time"),
    (r"(?:name|title|article|item|product|description|label|test|position)$", "name"),
    (r"(?:value|result|amount|total|sum|price|cost|rate|quantity|qty|count|number)$", "value"),
)
"""Ends of a field's name, in small letters, and what such a field is for; a row has one name and one value."""
_VALUES = "value result amount total sum price cost rate quantity qty count number".split()
"""Of several values that a row may have the one that it is about, the first of these."""
_MANY = 12  # fields of a list that are told in the instruction
_README = """# {name}

Put labelled documents into `data/train` and `data/validation`: `a.pdf` (or an image) with `a.json`, its record after
`schema.json`; the first command divides a folder of them. Read `{name}.yaml` once: the instruction, and what each field
is for. Then, from where this was made:

```
assay data split LABELLED --out {data} --by FIELD    # no vendor, patient or institution in two parts
assay plan {yaml}              # is the data whole, does a step fit?
assay data check {yaml}        # are the records on the pages, the splits apart, the fields filled?
assay data preview {yaml} 1    # an example as the model gets it: what is trained, what it sees
assay train {yaml} --dry-run   # all of it for two steps: time, memory, disk
assay train {yaml}             # goes on where it was stopped; its report.html is whole at any moment
assay evaluate runs/{name} {data}/test    # F1 on documents that it never saw and that chose nothing
assay extract NEW.pdf --model runs/{name}/adapter --html
assay merge runs/{name} --out runs/{name}-merged
```
"""


def write_recipe(folder: Path, schema_file: Path, model: str) -> Contract:
    """Write a recipe into a new folder; returns the contract that it trains.

    Raises:
        AssayError: the schema is not valid, the folder is there already, or its name cannot be a run's.
    """
    schema = load_schema(schema_file)
    name = folder.resolve().name
    if not re.fullmatch(r"[\w-]+", name):
        raise AssayError(f"{name} cannot be a recipe's name; take letters, digits, _ and -.")
    if folder.exists():
        raise AssayError(f"{folder} is there already; choose another folder.")
    settings = _contract(schema)
    contract = Contract(record_schema=schema, **settings)
    yaml_file = folder / f"{name}.yaml"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as made:
        for split in ("train", "validation"):
            (made / "data" / split).mkdir(parents=True)
        (made / "schema.json").write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (made / yaml_file.name).write_text(_yaml(folder, name, settings, model), encoding="utf-8")
        (made / "README.md").write_text(
            _README.format(name=name, yaml=yaml_file.as_posix(), data=(yaml_file.parent / "data").as_posix()),
            encoding="utf-8",
        )
    return contract


def _contract(schema: Schema) -> dict[str, Any]:
    """Instruction, style and roles for a schema."""
    top = resolve(schema, schema)
    tables = Target.tables_of(schema)
    heads = [key for key in top.get("properties", {}) if key not in tables]
    parts = {key: list(resolve(top["properties"][key], schema).get("properties", {})) for key in heads}
    told = [_words([key]) + (f" ({_words(own)})" if own else "") for key, own in parts.items()]
    asked = [", ".join(told)] if told else []
    asked += [f"every entry of {key} ({_words(list(row)[:_MANY])})" for key, row in tables.items()]
    roles: dict[str, Role] = {}
    for row in tables.values():
        own = {key: role for key in row if (role := _role(key))}
        if "name" not in own.values() and (first := next(iter(row))) and own.get(first) != "time":
            own[first] = "name"
        values = [key for key, role in own.items() if role == "value"]
        kept = min(values, key=_rank, default=None)
        once: set[str] = set()
        for key, role in own.items():
            if role == "time" or (role not in once and (role != "value" or key == kept)):
                roles[key] = role
                once.add(role)
    roles |= {key: "time" for key in heads if _role(key) == "time" and key not in roles}
    instruction = f"Extract {' and '.join(asked) or 'the content'} of this {_kind(top)}. Copy values as printed."
    return {"instruction": instruction, "style": "rows" if tables else "objects", "roles": roles}


def _kind(top: Schema) -> str:
    """What a document is, in the schema's own words: its title (maybe a class's name), else what it says of itself."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", str(top.get("title") or "")).split()
    if words and words[-1].lower() in ("schema", "model"):
        words.pop()
    if words:
        return " ".join(word if word[1:] != word[1:].lower() else word.lower() for word in words)  # not "mri"
    said = " ".join(str(top.get("description") or "").split()).partition(". ")[0].rstrip(".")
    return f"document ({said})" if said else "document"


def _rank(key: str) -> int:
    return next((place for place, word in enumerate(_VALUES) if key.lower().endswith(word)), len(_VALUES))


def _role(key: str) -> Role | None:
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
    return next((role for pattern, role in _NAMED if re.search(rf"(?:^|[_ -]){pattern}", plain)), None)


def _words(keys: list[str]) -> str:
    return ", ".join(key.replace("_", " ") for key in keys)


def _scalar(value: str | Path) -> str:
    """A text as YAML has it, in quotes where it needs them."""
    text = value.as_posix() if isinstance(value, Path) else value
    return yaml.safe_dump(text, allow_unicode=True, width=10_000).removesuffix("...\n").strip()


def _yaml(folder: Path, name: str, settings: dict[str, Any], model: str) -> str:
    large = model != EMBEDDED
    contract = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False, width=100, default_flow_style=None)
    indented = "".join(f"  {line}\n" for line in contract.splitlines())
    return f"""# {name}: documents to records after schema.json. Begun by `assay init`; keys: `assay config-schema`.
recipe: documents
model: {_scalar(model)}

contract:
  record_schema: {_scalar(folder / "schema.json")}
{indented}  # Roles say what a field is for: name and value of a row (by these, rows are found on the page, paired and
  # scored), unit, range, flag, a time, a heading above the rows that it holds for. They were guessed from the
  # fields' names: mend them.
  max_prompt_tokens: 1536    # longer documents are read in windows
  max_answer_tokens: 1536

data:
  train: {_scalar(folder / "data" / "train")}
  validation: {_scalar(folder / "data" / "validation")}
  max_length: 4096

adapter:
  r: 16
  alpha: 32

train:
  output: runs/{name}
  epochs: 8
  batch_size: {1 if large else 2}
  accumulation: {8 if large else 2}
  learning_rate: {"2.0e-4" if large else "4.0e-4"}
  checkpoint_steps: 20
{"  quantization: nf4" if large else "  # quantization: nf4       # QLoRA, for models of billions"}

evaluate:
  documents: 20
  before: true              # also before the first step, for the report
"""
