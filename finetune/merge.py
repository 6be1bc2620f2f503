"""Merge an adapter into its base model, and prove that the result is the model that was trained."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import ImagePart
from extraction.families import Family, family_of
from extraction.files import write_whole
from extraction.generate.models import Quantization, load_adapter, load_model
from extraction.generate.weights import fingerprint
from finetune.run import ADAPTER, VERSIONS, versions

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
        AssayError: no finished adapter, `out` not empty, a base whose weights are not those the adapter was
            trained on, or an adapter that changes nothing.
    """
    adapter = run / ADAPTER if (run / ADAPTER).is_dir() else run
    if not (adapter / "adapter_config.json").exists():
        raise AssayError(f"{run} holds no finished adapter; train it to its end first.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AssayError(f"{out} is not empty; choose another folder for the merged model.")
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
