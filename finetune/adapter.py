"""The adapter: where it is put (the language model, and by name the parts that see), new or gone on from; and how it is
merged into its base, with proof that the result is the model that was trained."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError, reason
from extraction.example import ImagePart
from extraction.families import Family, family_class, family_of
from extraction.files import write_whole
from extraction.generate.checks import check_weights
from extraction.generate.hub import quiet_libraries, shipped
from extraction.generate.models import Quantization, load_adapter, load_model, multiplies_bfloat16
from extraction.generate.weights import fingerprint
from extraction.plugins import adapters
from finetune.config import AdapterConfig, RunConfig, TrainConfig
from finetune.run import VERSIONS, empty_place, finished_adapter, versions

# Text with the letters, digits and marks of reports in several languages: what the comparison runs over.
_PROBES = (
    "Haemoglobin   14.8  g/dL  13.4 - 16.5\nLeucocytes   3810  /µL   3720 - 10540  L",
    "Natrium  140  mmol/L  136 - 145\nKalium  + 5,0  mmol/L  3,6 - 4,8\nCRP  <0,6  mg/L",
    "Urine: nitrite négatif, protéines 1+, leucocytes 2-4 /HPF. Prélevé le 17/02/22 à 08:00",
)
# And what it looks at, under a contract that shows pixels: pictures that Pillow has in itself.
_PICTURES = ("linear_gradient", "radial_gradient")
# What an adapter may be added to, and whether that is the base's weights after their round trip through 4 bits.
_BASES = {"the base as it is": False, "the base in 4 bits and back": True}


def check_adapter(settings: AdapterConfig) -> None:
    """Refuse options that do not go together.

    Raises:
        AssayError: `start` is no adapter's folder, `vision` or `projector` goes with it, or `projector` with dropout or
            DoRA.
    """
    if settings.start:
        start = Path(shipped(settings.start))
        if not start.is_dir():  # else PEFT would look for it on the hub
            raise AssayError(
                f"adapter.start: there is no folder {settings.start}; give an adapter's, or {', '.join(adapters())}."
            )
        if not (start / "adapter_config.json").exists():
            raise AssayError(f"adapter.start: {settings.start} holds no adapter (adapter_config.json).")
        check_weights(start)
    if settings.start and (settings.vision or settings.projector):
        raise AssayError("adapter.start: its modules are its own; leave out adapter.vision and adapter.projector.")
    if settings.projector and (settings.dropout or settings.use_dora):
        raise AssayError(
            "adapter.projector goes with neither dropout nor DoRA (PEFT adapts a bare parameter without them); set "
            "adapter.dropout=0 and adapter.use_dora=false."
        )


def targets(settings: AdapterConfig, family: type[Family]) -> dict[str, Any]:
    """The options of PEFT's LoraConfig that say what of a family's model is adapted."""
    modules = [settings.target_modules or family.language()]
    if settings.vision and modules != ["all-linear"]:  # which has the tower's layers already
        modules.append(family.tower_layers)
    chosen: dict[str, Any] = {}
    if settings.projector:
        chosen = dict(family.projection)
        modules += chosen.pop("target_modules", [])
    return {"target_modules": modules[0] if len(modules) == 1 else "|".join(f"(?:{m})" for m in modules), **chosen}


def trains_towers(model: Any, family: Family | type[Family]) -> bool:
    """Whether a model with its adapter trains anything besides the language model."""
    return any(p.requires_grad and family.part_of(name) != "language" for name, p in model.named_parameters())


def base_dtype(settings: TrainConfig) -> str:
    """The precision of a run's base model; `auto` where it is as stored.

    On a processor without AMX products in bfloat16 take 1.5 to 1.9 times as long as in float32, measured with AVX-512's
    own instructions for them. 4-bit weights are computed in it wherever the processor has it.
    """
    import torch

    if settings.dtype != "auto" or torch.cuda.is_available():
        return settings.dtype
    fast = multiplies_bfloat16() and (settings.quantization or _has_amx())
    return "auto" if fast else "float32"


def _has_amx() -> bool:
    import torch

    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported and supported())


def load_trainable(config: RunConfig) -> Any:
    """The base model with a trainable adapter."""
    settings = config.train
    model = load_model(config.model, dtype=base_dtype(settings), quantization=settings.quantization)
    model.config.use_cache = False
    return add_adapter(model, config)


def add_adapter(model: Any, config: RunConfig) -> Any:
    """The model with a trainable adapter: a new one, or the one that the configuration starts from."""
    quiet_libraries()
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import set_seed
    from transformers.integrations import is_deepspeed_zero3_enabled

    settings = config.adapter
    set_seed(config.train.seed)
    if settings.start is None:
        lora = LoraConfig(
            r=settings.r,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            **targets(settings, family_class(model.config)),
            use_dora=settings.use_dora,
            use_rslora=settings.use_rslora,
            task_type="CAUSAL_LM",
        )
        try:
            # ZeRO-3 stops at a base in bfloat16 with an adapter in float32 (trl issue 6089).
            mixed = config.train.quantization is not None or not is_deepspeed_zero3_enabled()
            return get_peft_model(model, lora, autocast_adapter_dtype=mixed)
        except ValueError as error:
            raise AssayError(
                f"adapter.target_modules: the adapter cannot be put on {config.model}: {reason(error)}"
            ) from None
    try:
        return PeftModel.from_pretrained(model, str(shipped(settings.start)), is_trainable=True)
    except (ValueError, RuntimeError, OSError) as error:
        raise AssayError(f"The adapter in {settings.start} does not fit {config.model}: {reason(error)}") from None


@dataclass(frozen=True)
class MergeReport:
    """How near the merged model is to the adapter it was made from.

    Attributes:
        max_difference: largest absolute difference of a logit, live adapter against the reloaded merged model.
        mean_difference: mean absolute difference.
        adapter_effect: mean absolute difference that the adapter itself makes to the base model's logits.
        same_choice: share of positions where both choose the same token.
        bases: mean difference by the base that the adapter was added to. An adapter trained on 4-bit weights is added
            to the base as it is and to the base as those 4 bits have it; the nearer one is kept.
    """

    max_difference: float
    mean_difference: float
    adapter_effect: float
    same_choice: float
    bases: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"logits differ by {self.mean_difference:.4f} on average (at most {self.max_difference:.3f}) from the live "
            f"adapter, which moves them by {self.adapter_effect:.3f}; same token chosen at "
            f"{100 * self.same_choice:.1f}% of positions" + self._choice()
        )

    def _choice(self) -> str:
        if len(self.bases) < 2:
            return ""
        figures = ", ".join(f"{name} {difference:.4f}" for name, difference in self.bases.items())
        return f"; added to both bases ({figures}), the nearer is kept"


def merge(run: Path, out: Path) -> MergeReport:
    """Write `run`'s adapter merged into its base as bf16 safetensors, with contract and versions, into `out`.

    Args:
        run: a run's folder, or an adapter's.
        out: a folder that is empty or does not exist yet; written whole or not at all.

    Raises:
        AssayError: no finished adapter, `out` not empty or not to be written, a base whose weights are not those the
            adapter was trained on, or an adapter that changes nothing.
    """
    adapter, out = finished_adapter(run), empty_place(out, "merged model")
    contract = Contract.load(adapter)
    facts = _facts(adapter)
    base, quantization = facts["base_model"], facts.get("quantization")
    if fingerprint(base) != facts["base_sha256"]:
        raise AssayError(
            f"{base} is not the base this adapter was trained on (its weights have another SHA-256); "
            "get back the weights of the training, or train again on these."
        )
    model, tokenizer = load_adapter(adapter, device="cpu")
    prompts = _prompts(family_of(model.config, tokenizer, base), contract)
    live = [_logits(model, prompt) for prompt in prompts]
    with model.disable_adapter():
        effect = _mean(live, [_logits(model, prompt) for prompt in prompts])
    del model
    if effect == 0.0:
        raise AssayError(f"The adapter in {adapter} changes nothing: its logits are the base model's. Nothing written.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        made = {}
        for number, (name, round_trip) in enumerate(_BASES.items()):
            if quantization or not round_trip:
                folder = Path(scratch) / str(number)
                _write_merged(adapter, base, quantization if round_trip else None, folder)
                made[name] = folder, _reloaded(folder, prompts)
        differences = {name: _mean(live, again) for name, (_, again) in made.items()}
        merged, again = made[min(differences, key=lambda name: differences[name])]
        report = _compare(live, again, effect, differences)
        tokenizer.save_pretrained(merged)
        contract.save(merged)
        # The merged model is a bf16 one, whatever its adapter was trained on.
        values = {**facts, "quantization": None, "merge": asdict(report), "versions_at_merge": versions()}
        write_whole(merged / VERSIONS, json.dumps(values, indent=1) + "\n")
        if out.exists():
            out.rmdir()
        merged.rename(out)
    return report


def _reloaded(folder: Path, prompts: list[dict[str, Any]]) -> list[Any]:
    """The logits of the merged model in a folder, for each prompt."""
    model = load_model(str(folder), device="cpu")
    return [_logits(model, prompt) for prompt in prompts]


def _compare(live: list[Any], again: list[Any], effect: float, bases: dict[str, float]) -> MergeReport:
    """The report on logits of the live adapter and of the merged model, a tensor [tokens, words] a prompt in both."""
    import torch

    pairs = list(zip(live, again, strict=True))
    return MergeReport(
        max_difference=max(float((a - b).abs().max()) for a, b in pairs),
        mean_difference=min(bases.values()),
        adapter_effect=effect,
        same_choice=float(torch.cat([a.argmax(-1) == b.argmax(-1) for a, b in pairs]).float().mean()),
        bases=bases,
    )


def _write_merged(adapter: Path, base: str, round_trip: Quantization | None, folder: Path) -> None:
    """The adapter added to its base, in bf16; to the base's weights as quantisation rounded them, with `round_trip`."""
    import torch
    from peft import PeftModel

    model = load_model(base, device="cpu", quantization=round_trip)
    if round_trip:
        model = model.dequantize()
    model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().to(torch.bfloat16)
    model.config.use_cache = True
    model.save_pretrained(folder)


def _facts(adapter: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((adapter / VERSIONS).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise AssayError(
            f"{adapter} has no readable {VERSIONS}, so its base cannot be checked; merge adapters that Assay trained."
        ) from None


def _prompts(family: Family, contract: Contract) -> list[dict[str, Any]]:
    """What the comparison gives the model: each probe as the contract shows a page."""
    import torch
    from PIL import Image

    if contract.view == "text":
        return [{"input_ids": torch.tensor([family.render(contract.messages([probe])).ids])} for probe in _PROBES]
    made = []
    for probe, name in zip(_PROBES, _PICTURES, strict=False):
        picture = getattr(Image, name)("L").convert("RGB")
        page = ImagePart(Path(name), 1, 72, picture.size)
        parts: list[str | ImagePart] = [page] if contract.view == "image" else [page, probe]
        ids = torch.tensor([family.render(contract.messages(parts)).ids])
        types = {family.token_types: torch.eq(ids, family.soft or -1).long()}
        made.append({"input_ids": ids, **types, **family.pixels([picture])})
    return made


def _logits(model: Any, prompt: dict[str, Any]) -> Any:
    """Logits [tokens, words] of the words; those of an image's own tokens mean nothing."""
    import torch

    with torch.inference_mode():
        logits = model(**prompt).logits[0].float()
    types = next((prompt[name][0] for name in prompt if name.endswith("token_type_ids")), None)
    return logits if types is None else logits[types == 0]


def _mean(one: list[Any], two: list[Any]) -> float:
    import torch

    return float(torch.cat([(a - b).abs().mean(-1) for a, b in zip(one, two, strict=True)]).mean())
