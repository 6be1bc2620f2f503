"""The YAML of a run, as pydantic models: every key with a sentence, every unknown key an error."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from extraction.contract import Role
from extraction.errors import AssayError, misfit
from extraction.generate.models import Quantization
from extraction.target import Style
from finetune.yaml_keys import Loader, TwiceError

# For lists of names: one name alone, as people write it on a command line, is a list of one.
LISTED = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
# For texts that may be empty: a key without a value, as in `data.patient=` on a command line, is the empty text.
EMPTY = BeforeValidator(lambda value: "" if value is None else value)


class Section(BaseModel):
    """A section of the YAML: no unknown keys, and a sentence on every key."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SyntheticConfig(Section):
    """Documents a recipe generates before training, for recipes that can."""

    families: Annotated[tuple[str, ...], LISTED] = ()
    """Layout families to draw from; all of the split when empty."""
    count: int = Field(gt=0)
    """How many documents."""
    seed: int = 0
    """Same seed, same documents."""
    max_rows: int | None = Field(default=None, gt=0)
    """Most rows, or lines of a record, a document may have."""


class DataConfig(Section):
    """Folders of documents, each with its record as JSON of the same name beside it."""

    train: Path
    """Folder of training documents."""
    validation: Path
    """Folder of documents that are never trained on; the best checkpoint is the one that reads them best."""
    examples: int | None = Field(default=None, gt=0)
    """Train on so many of the training documents, drawn by `train.seed`; fewer are part of more (`assay curve`)."""
    synthetic: dict[Literal["train", "validation"], SyntheticConfig] = {}
    """What to generate into those folders when they do not exist yet."""
    max_length: int = Field(default=4096, gt=0)
    """Tokens of prompt and answer together; a longer example is refused by name, never cut."""
    pack: bool = False
    """Fill rows to `max_length` with several examples each, which do not see each other; `train.batch_size` and steps
    then count such rows. For data whose lengths differ much, or are short."""
    window_tokens: tuple[PositiveInt, PositiveInt] | None = None
    """Show each training document in windows of a length drawn from this range (tokens of prompt), not whole: pages
    begin anywhere, and some hold no row."""

    questions: int = Field(default=50, gt=0)
    """Questions asked of each context, for recipes that ask; they share the context's cost."""

    @field_validator("window_tokens")
    @classmethod
    def _ascending(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value and value[0] > value[1]:
            raise ValueError("must be the shortest and the longest length, in this order")
        return value


class ContractConfig(Section):
    """Changes to the recipe's contract; what is not named here is the recipe's own."""

    instruction: str | None = None
    """What the model is told; `{schema}` is replaced by the schema."""
    record_schema: Path | None = None
    """File with the JSON Schema of the record, as named or beside the YAML."""
    style: Style | None = None
    """`objects` (plain JSON), `rows` (a third of the tokens) or `text` (one string without JSON)."""
    roles: dict[str, Role] | None = None
    """What fields are for; see `recipes/README.md`."""
    carry: Annotated[tuple[str, ...] | None, LISTED] = None
    """Keys written once for the rows they hold for (style `rows`)."""
    view: Literal["text", "image", "both"] | None = None
    """How a page is shown: its words, its pixels (for a model with a vision tower), or both."""
    dpi: int | None = Field(default=None, gt=0, le=1200)
    """Pixels per inch a page is drawn at, before it is brought to the size the model sees."""
    pan_and_scan: bool | None = None
    """Show crops of a page that is not square besides the page: finer print, more tokens."""
    max_prompt_tokens: int | None = Field(default=None, gt=0)
    """A longer document is trained and read in windows that share a few lines."""
    max_answer_tokens: int | None = Field(default=None, gt=0)
    """Where an answer is cut when the model does not end it."""


class LoraConfig(Section):
    """What every LoRA adapter has (PEFT's LoraConfig)."""

    r: int = Field(default=16, gt=0)
    """Rank."""
    alpha: int = Field(default=32, gt=0)
    """Scale: updates are multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    use_dora: bool = False
    """DoRA (arXiv 2402.09353): length and direction of weights apart; slower, at times better at low rank."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r) (arXiv 2312.03732), for high ranks."""


class AdapterConfig(LoraConfig):
    """The LoRA adapter of a decoder."""

    start: Path | None = None
    """Folder of an adapter to go on from, or `lab-report-270m`; rank, scale and modules are then its own."""
    target_modules: str | None = None
    """Regular expression over module names, or `all-linear`; the language model's linear layers where nothing is
    said."""

    @field_validator("target_modules")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from None
        return value

    vision: bool = False
    """Also the vision tower's attention and feed-forward layers. Without `vision` and `projector` what the model sees
    in a page is computed once, before training."""
    projector: bool = False
    """Also the projector between vision tower and language model (needs dropout 0, no DoRA)."""


class TrainConfig(Section):
    """The training run."""

    output: Path
    """The run's folder: config, metrics, checkpoints, adapter."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the training documents."""
    max_steps: int = Field(default=-1, ge=-1)
    """Optimiser steps; -1: as many as `epochs` takes."""
    batch_size: int = Field(default=4, gt=0)
    """Examples a device sees at once."""
    accumulation: int = Field(default=1, gt=0)
    """Batches to an optimiser step."""
    learning_rate: float = Field(default=2e-4, gt=0, allow_inf_nan=False)
    """Highest learning rate."""
    scheduler: Literal[
        "linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup", "inverse_sqrt"
    ] = "cosine"
    """Learning-rate schedule, by transformers' names."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradient clipping."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of adapter, order and dropout."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Precision of the base model; the adapter is trained in float32. `auto`: bfloat16 on a GPU and on a
    processor with AMX, float32 on others."""
    quantization: Quantization | None = None
    """`nf4` is QLoRA: the base's linear layers in 4 bits, a quarter of their memory for a slower step; computed in
    `dtype`, the adapter in bfloat16. Without it, plain LoRA."""
    checkpoint_steps: int = Field(default=50, gt=0)
    """Steps between checkpoints, which are also the points where held-out documents are read."""
    keep_checkpoints: int = Field(default=2, gt=0)
    """Checkpoints kept beside the best one."""
    log_steps: int = Field(default=5, gt=0)
    """Steps between lines of metrics."""
    report_to: Annotated[tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...], LISTED] = ()
    """Trackers that follow the run, beside `metrics.jsonl`; each is installed apart. They keep figures on this machine:
    W&B unless the environment has WANDB_MODE=online, MLflow and trackio unless theirs names a server."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    activation_offloading: bool = False
    """Keep activations in the host's memory between the passes (GPU): less GPU memory, more time."""

    @field_validator("max_steps")
    @classmethod
    def _some_steps(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must be -1 or more than 0; a run of no steps trains nothing")
        return value


class RewardConfig(Section):
    """Reinforcement (`assay reward`): the model answers, and learns from what its answers are worth."""

    generations: int = Field(default=8, ge=2)
    """Answers to each question, compared with each other."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """At which they are drawn."""
    grammar: bool = True
    """Draw answers under the grammar of their schema, as they are served; false: whatever the model writes, so that it
    learns the form too."""
    beta: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the divergence from the model before (KL)."""
    weights: dict[str, float] = {}
    """What an answer is worth, by the names of the task's rewards; the task's own weights where nothing is said."""


class EvaluateConfig(Section):
    """Reading held-out documents during training."""

    documents: int = Field(default=16, gt=0)
    """How many of the validation documents are read at each checkpoint."""
    rows: int = Field(default=8, gt=0)
    """Documents decoded together."""
    before: bool = False
    """Whether they are read before the first step, too, which the report shows beside what training made of it. A
    model that was taught nothing may write until its answers are cut, so this takes longest. `assay reward` always
    reads them, and weights that are shared out (FSDP, DeepSpeed) never."""


class BaseConfig(Section):
    """What every run says: by which recipe, on which model, how it is trained."""

    recipe: str
    """Name of a folder of `recipes`, or a Python module with a TASK."""
    model: str
    """A model's folder or hub id."""
    train: TrainConfig


class RunConfig(BaseConfig):
    """One run: which recipe, which model, which data."""

    model: str = "gemma-3-270m"
    """`gemma-3-270m`, a model's folder, or a hub id such as google/medgemma-1.5-4b-it."""
    data: DataConfig
    contract: ContractConfig = ContractConfig()
    adapter: AdapterConfig = AdapterConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    reward: RewardConfig | None = None
    """Of a run of `assay reward`; other runs have none."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> Any:
    """A run's configuration from YAML, with `section.key=value` overrides (values are YAML too).

    Returns:
        A RunConfig, or what its recipe has in that place (`finetune.run`).

    Raises:
        AssayError: unreadable YAML, an unknown key (the nearest known one is named), a value of the wrong kind.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise AssayError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise AssayError(f"The configuration {path} is not UTF-8 text.") from None
    except TwiceError as error:
        raise AssayError(f"{path}, line {error.line}, has the key `{error.key}` a second time; keep one.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise AssayError(f"{path} is not valid YAML{where}: {getattr(error, 'problem', error)}.") from None
    if not isinstance(values, dict):
        raise AssayError(f"{path} must be a mapping of keys such as recipe, data, train.")
    contract: Any = values.get("contract")
    schema = contract.get("record_schema") if isinstance(contract, dict) else None
    if isinstance(schema, str) and not Path(schema).is_file() and (beside := path.parent / schema).is_file():
        contract["record_schema"] = str(beside)
    for override in overrides:
        _override(values, override)
    from finetune.run import own_run

    own = own_run(str(values.get("recipe")))
    kind: type[BaseConfig] = own.config if own else RunConfig
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        mistakes = [(_source(detail["loc"], overrides), _explain(detail, kind)) for detail in error.errors()]
        if len(mistakes) == 1:
            source, said = mistakes[0]
            raise AssayError(f"{source or path}: {said}") from None
        where = f"the command line and {path}" if any(source for source, _ in mistakes) else str(path)
        listed = "".join(f"\n  {source}: {said}" if source else f"\n  {said}" for source, said in mistakes)
        raise AssayError(f"{len(mistakes)} mistakes in {where}:{listed}") from None


def _source(place: Sequence[str | int], overrides: Sequence[str]) -> str:
    """The override that a mistake stands in, for people; nothing where it is the YAML's own."""
    name = ".".join(map(str, place)) + "."
    keys = {override: override.partition("=")[0] + "." for override in overrides}
    said = [override for override, key in keys.items() if name.startswith(key) or key.startswith(name)]
    return f"The override `{said[-1]}`" if said else ""


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise AssayError(f"`{override}` is not an override; write section.key=value, as in train.learning_rate=1e-4.")
    *sections, last = key.split(".")
    node = values
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise AssayError(f"`{override}`: {section} holds a value, not a section.")
        node = child
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise AssayError(f"`{override}`: {text} is not valid YAML ({getattr(error, 'problem', error)}).") from None
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as a string
        with contextlib.suppress(ValueError):
            value = float(value)
    node[last] = value


def _explain(detail: Any, kind: type[BaseConfig]) -> str:
    path = [str(part) for part in detail["loc"]]
    if detail["type"] != "extra_forbidden":
        return misfit(detail)
    *sections, last = path
    fields = {name: getattr(field.annotation, "model_fields", {}) for name, field in kind.model_fields.items()}
    elsewhere = [f"{section}.{last}" for section, known in fields.items() if last in known]
    near = difflib.get_close_matches(last, _known(sections, kind), n=1, cutoff=0.0)
    meant = elsewhere or [".".join([*sections, *near])]
    return f"unknown key `{'.'.join(path)}`; did you mean `{'` or `'.join(meant)}`?"


def _known(path: Sequence[str], kind: type[BaseConfig]) -> list[str]:
    model: Any = kind
    for part in path:
        field = model.model_fields.get(part)
        model = getattr(field, "annotation", None)
        model = model if hasattr(model, "model_fields") else SyntheticConfig  # the values of data.synthetic
    return list(model.model_fields)


def config_schema(recipe: str | None = None) -> dict[str, Any]:
    """The JSON Schema of a recipe's configuration, for editors; without one, of those that train a decoder.

    Raises:
        AssayError: there is no such recipe.
    """
    from finetune.run import own_run
    from finetune.task import load_task

    own = own_run(recipe) if recipe else None
    if recipe and own is None:
        load_task(recipe)
    kind: type[BaseConfig] = own.config if own else RunConfig
    return kind.model_json_schema()
