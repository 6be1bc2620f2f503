"""What a run needs of machine and files, and what it will train, told before anything long begins.

Models are built on the meta device, without weights."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.families import Family, family_class
from extraction.generate.checks import check_bitsandbytes, check_fit, without_weights
from extraction.generate.hub import auto_class, is_cached, load_shape, resolve_model, shipped
from extraction.generate.models import load_family
from finetune.adapter import add_adapter, check_adapter
from finetune.config import RunConfig, TrainConfig
from finetune.features import check_taken
from finetune.memory import NF4_BYTES, quantized
from finetune.task import contract_of, load_task

# The architecture of the gated MedGemma 4B models: Gemma 3 4B's (arXiv 2503.19786, 2507.05201). Used for the plan
# alone, where the model itself is not on this machine.
_GEMMA_4B: dict[str, Any] = {
    "text_config": {
        "vocab_size": 262208, "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 1024,
        "max_position_embeddings": 131072,
    },
    "vision_config": {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
        "image_size": 896, "patch_size": 14, "vision_use_head": False,
    },
    "mm_tokens_per_image": 256,
}  # fmt: skip
# No example has less tokens besides its instruction: what is shown or asked, and the answer.
_LEAST = 8
# Of a GPU's memory; the rest is left to CUDA itself, the output layer and what the allocator cannot fill.
_USED = 0.9


def check_contract(config: RunConfig, contract: Contract) -> None:
    """Refuse an adapter whose options do not go together, or not with what the contract shows.

    Raises:
        AssayError: see `check_adapter`; or what sees a page is to be trained, and none is shown.
    """
    check_adapter(config.adapter)
    if contract.view == "text" and (config.adapter.vision or config.adapter.projector):
        raise AssayError(
            "adapter.vision and adapter.projector train what sees a page, and the contract shows its text alone; set "
            "contract.view=image or both, or leave them out."
        )


def check_family(config: RunConfig, contract: Contract) -> Family:
    """The model's family, which can show what the contract shows, and has room for more than the instruction.

    Raises:
        AssayError: no such model, one that reads text alone where the contract shows pixels, or the instruction alone
            is longer than a prompt, a window or an example may be.
    """
    family = load_family(config.model)
    if contract.view != "text":
        family.check_sees()
    length = family.count(contract.messages(()))
    limits = [
        ("contract.max_prompt_tokens", contract.max_prompt_tokens, 1),
        ("data.max_length", config.data.max_length, _LEAST),
    ]
    if config.data.window_tokens:
        limits.append(("data.window_tokens", config.data.window_tokens[0], 1))
    for key, most, least in limits:
        if length + least > most:
            raise AssayError(
                f"{key} is too low with {most} tokens: the instruction alone, with its schema, takes {length}; raise "
                "it, or make the instruction shorter."
            )
    return family


def check_trackers(names: Sequence[str]) -> None:
    """Raise AssayError where trackers are not installed: all of them."""
    specs = {name: find_spec(name) for name in names}
    # A folder of that name here is no package.
    if absent := [name for name, spec in specs.items() if spec is None or spec.origin is None]:
        raise AssayError(
            f"train.report_to: {' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed; pip install "
            f"{' '.join(absent)}, or leave {'it' if len(absent) == 1 else 'them'} out."
        )


def check_disk(settings: TrainConfig, checkpoint: int) -> None:
    """Raise AssayError where a run's checkpoints have no room: those that are kept, the best, one being written.

    Args:
        checkpoint: bytes of one.
    """
    output = settings.output
    free = shutil.disk_usage(next(f for f in (output, *output.absolute().parents) if f.exists())).free
    needed = checkpoint * (settings.keep_checkpoints + 2)
    if needed > free:
        raise AssayError(
            f"The checkpoints need {needed / 1e9:.1f} GB, and the disk of {output} has {free / 1e9:.1f} GB left; make "
            "room, lower train.keep_checkpoints, or choose another train.output."
        )


def check_run(config: RunConfig, contract: Contract) -> Family:
    """Refuse a run that would fail only after its documents are read and its model is loaded.

    Returns:
        The model's family.

    Raises:
        AssayError: see `check_contract`, `check_family` and `check_disk`; or the GPU has no bfloat16, bitsandbytes
            cannot run, the model passes over features of pages or has no module that the options mean, or
            `adapter.start` is no adapter for the model.
    """
    import torch

    check_contract(config, contract)
    # A GPU without it still makes bfloat16 tensors, and computes with them slowly.
    if (
        torch.cuda.is_available()
        and config.train.dtype != "float32"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise AssayError("This GPU has no bfloat16; set train.dtype=float32.")
    if config.train.activation_offloading and not torch.cuda.is_available():
        raise AssayError("train.activation_offloading moves a GPU's memory, and there is none; leave it out.")
    check_trackers(config.train.report_to)
    if config.train.quantization:
        check_bitsandbytes()
    family = check_family(config, contract)
    model = without_weights(config.model)
    pages = contract.view != "text" and getattr(model.config, "vision_config", None) is not None
    once = family.features_once and not (config.adapter.vision or config.adapter.projector)
    if pages and once:
        check_taken(model)
    if config.adapter.start is None:
        adapted = add_adapter(model, config)
        trained = sum(one.numel() for one in adapted.parameters() if one.requires_grad)
    else:
        start = Path(shipped(config.adapter.start))
        check_fit(start, config.model)
        trained = _numbers(start / "adapter_model.safetensors")
    # A checkpoint has the adapter and Adam's two moments, in bfloat16 on 4-bit weights.
    check_disk(config.train, 3 * (2 if config.train.quantization else 4) * trained)
    return family


def _numbers(weights: Path) -> int:
    """How many numbers a file of weights holds, by its head alone."""
    from safetensors import safe_open

    with safe_open(weights, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


@dataclass(frozen=True)
class Plan:
    """Parameters by part of the model, and an estimate of the memory of a training step.

    Attributes:
        parameters: of the base, by part (language, vision, projector).
        trained: of the adapter, by part.
        modules: how many modules the adapter is put on.
        bytes: by what takes them: weights, adapter (with gradients and Adam's two moments), activations (of the longest
            example that `data.max_length` allows; from the shapes of what a layer keeps, so a rough figure). Of a plan
            for a processor see `finetune.memory.held`.
        where: whose memory it is, for people.
    """

    parameters: dict[str, int]
    trained: dict[str, int]
    modules: int
    bytes: dict[str, int]
    where: str = "a device"

    def batch_on(self, memory: float, batch: int) -> int:
        """The largest batch of the longest examples that so many bytes hold; 0 where none does.

        Args:
            batch: the one that `bytes` is of.
        """
        resting = sum(size for what, size in self.bytes.items() if what != "activations")
        return max(0, int((_USED * memory - resting) / (self.bytes["activations"] / batch)))

    def __str__(self) -> str:
        def numbers(values: dict[str, int]) -> str:
            return ", ".join(f"{part} {count:,}" for part, count in values.items() if count)

        memory = ", ".join(f"{what} {size / 1e9:.2f}" for what, size in self.bytes.items())
        total = sum(self.bytes.values()) / 1e9
        return (
            f"base:    {sum(self.parameters.values()):,} parameters ({numbers(self.parameters)})\n"
            f"adapter: {sum(self.trained.values()):,} parameters on {self.modules} modules ({numbers(self.trained)})\n"
            f"memory:  about {total:.1f} GB {self.where} for a step with the longest examples ({memory})"
        )


def plan(config: RunConfig) -> Plan:
    """Build the configured model without weights, put the adapter on it, and count.

    Raises:
        AssayError: no such recipe, see `check_contract` and `check_family`, or an architecture that is not known here
            or has no module that the adapter's options mean.
    """
    import torch

    contract = contract_of(load_task(config.recipe), config.contract)
    check_contract(config, contract)
    shape = architecture(config.model)
    if is_here(config.model):
        check_family(config, contract)
        if config.adapter.start:
            check_fit(Path(shipped(config.adapter.start)), config.model)
    family = family_class(shape, config.model)
    with torch.device("meta"):
        model = auto_class(shape).from_config(shape, dtype=torch.bfloat16, trust_remote_code=False)
        parameters = _by_part(family, model.named_parameters())
        linear = quantized(model, family)
        adapted = add_adapter(model, config)
    trained = _by_part(family, ((n, p) for n, p in adapted.named_parameters() if p.requires_grad))
    weights = 2 * sum(parameters.values())
    if config.train.quantization:
        weights -= round((2 - NF4_BYTES) * linear)
    # Adapters are bfloat16 on 4-bit weights (TRL follows QLoRA's paper), float32 otherwise; so are their moments.
    adapter = sum(trained.values()) * 4 * (2 if config.train.quantization else 4)
    return Plan(
        parameters=parameters,
        trained=trained,
        modules=sum(hasattr(module, "lora_A") for module in adapted.modules()),
        bytes={"weights": weights, "adapter": adapter, "activations": _activations(shape, config)},
    )


def told_batch(made: Plan, config: RunConfig, gpu: str) -> str:
    """The largest batch for a GPU's memory, such as 24GB, in a line.

    Raises:
        AssayError: it is no size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:G|GB)?", gpu.strip(), re.IGNORECASE)
    if not found or float(found[1]) == 0:
        raise AssayError(f"--gpu says how much memory a GPU has, as in --gpu 24GB, and not {gpu!r}.")
    batch = made.batch_on(float(found[1]) * 1e9, config.train.batch_size)
    what = f"with {float(found[1]):g} GB, a tenth of it left free"
    if batch:
        return f"gpu:     {what}, at most train.batch_size={batch} of examples of {config.data.max_length} tokens"
    helps = ["a lower data.max_length"]
    if not config.train.activation_checkpointing:
        helps.insert(0, "train.activation_checkpointing=true")
    if not config.train.quantization:
        helps.insert(0, "train.quantization=nf4")
    return f"gpu:     {what}, not even train.batch_size=1 fits; what makes it smaller: {', '.join(helps)}"


def architecture(name: str) -> Any:
    """The transformers config of a model by name; MedGemma 4B's is known without its files.

    Raises:
        AssayError: the model is not on this machine, or its config cannot be read.
    """
    from transformers import Gemma3Config

    if is_here(name):
        return load_shape(name)
    if name.startswith("google/medgemma-") and "-4b" in name:
        return Gemma3Config(**_GEMMA_4B)
    raise AssayError(
        f"The configuration of {name} is not on this machine; download the model first (hf download {name})."
    )


def is_here(name: str) -> bool:
    """Whether a model is on this machine."""
    source = resolve_model(name)
    return Path(source).is_dir() or is_cached(source)


def _by_part(family: type[Family], named: Any) -> dict[str, int]:
    counts = dict.fromkeys(("language", *family.towers), 0)
    for name, parameter in named:
        counts[family.part_of(name)] += parameter.numel()
    return counts


def _activations(shape: Any, config: RunConfig) -> int:
    """Bytes of what the backward pass needs of the language model, in bfloat16.

    A layer keeps its input, the inputs of its norms and projections, queries, keys and values, and three times the
    feed-forward width; with checkpointing all layers keep their input alone, and one at a time the rest.
    """
    text = shape.get_text_config().to_dict()  # where layers differ (Gemma 4), the attributes alone are refused
    tokens = config.data.max_length * config.train.batch_size
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    width = text.get("head_dim") or hidden // heads
    heads = 2 * (heads + (text.get("num_key_value_heads") or heads)) * width
    layer = 2 * tokens * (8 * hidden + heads + 3 * text["intermediate_size"])
    if config.train.activation_checkpointing:
        return int(text["num_hidden_layers"] * 2 * tokens * hidden + layer)
    return int(text["num_hidden_layers"] * layer)
