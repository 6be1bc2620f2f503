"""Questions on a volume: as branches of it, beside as many separate examples of one question each in transformers.

    .venv/bin/python scripts/bench_volume.py [--slices 24] [--questions 18] [--side 112] [--sample 18] [--json FILE]
        [--memory 21 42 85]
    .venv/bin/python scripts/bench_volume.py --model 4b --slices 85 --sample 2     # MedGemma 1.5 4B's shape, on a GPU

A CT of noise is shown by its protocol and asked CT-RATE's labels. The model is a small random Gemma 3 with eyes
(`prove_card.small_model`, float32), one of the 4B shape with random weights (`4b`, bfloat16 on a GPU), or a folder or
hub id. Its tower is frozen, as the recipe has it.

Training is forward and backward without the optimiser's step, after one to warm up: Assay with all questions in one
row, over features that were computed once (`vision once`; a run keeps them for all epochs), and with one question;
transformers as it is (SDPA), an example a question with the slices' pixels in each. Serving is greedy: Assay's answers
together, and `generate` question by question. Of separate examples `--sample` are timed and their number multiplied.
On a CPU seconds are those of the processor, so that other work beside it counts little; of a step and of Assay's
answers the least of three times is taken. Compared are the logits and losses at all answers' tokens of these examples,
and the answers' words.

`--memory` measures instead, for each number of slices, the most memory that a step of training and all answers take
beyond what the process had before, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_shared_context import apart
from bench_shared_context import now as clock
from prove_card import small_model

TOKENS = 8  # of an answer in serving
TIMES = 3


def now() -> float:
    """Seconds: of the clock with a GPU, else of this process's processor."""
    return clock() if torch.cuda.is_available() else time.process_time()


def least(work: Callable[[], Any]) -> tuple[float, Any]:
    """The least seconds of some times, and what was made."""
    seconds = []
    for _ in range(TIMES):
        start = now()
        made = work()
        seconds.append(now() - start)
    return min(seconds), made


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_volume.py", description="The cost of questions on a volume.")
    parser.add_argument("--model", default="tiny", help="tiny, 4b (random weights), or a folder or hub id")
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument("--questions", type=int, default=18)
    parser.add_argument("--side", type=int, default=112, help="pixels of the tiny model's square, 14 to a token")
    parser.add_argument("--sample", type=int, default=18, help="separate examples that are timed")
    parser.add_argument("--memory", type=int, nargs="+", help="numbers of slices whose memory is measured instead")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the table, and write the figures where a file is named."""
    from extraction.files import write_whole

    if arguments.memory:
        figures = memory(arguments)
    else:
        backend, told = served(arguments)
        with tempfile.TemporaryDirectory() as folder:
            example = asked(Path(folder), arguments.slices, arguments.questions)
            figures = training(Path(folder), example, backend, told, arguments.sample)
            figures |= serving(example, backend, told, arguments.sample)
        figures |= {"device": str(backend.model.device), "slices": arguments.slices, "questions": arguments.questions}
    for name, value in figures.items():
        print(f"{name:58} {value:.4g}" if isinstance(value, float) else f"{name:58} {value}")
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def served(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The model behind a backend, and the contract."""
    from extraction.generate import LocalBackend
    from recipes.card.base import contract

    torch.manual_seed(0)
    backend = LocalBackend(*opened(arguments.model, arguments.side), rows=arguments.questions)
    return backend, contract(prompt=1 << 16, answer=TOKENS)


def opened(name: str, side: int) -> tuple[Any, Any]:
    """Model and tokenizer; tower and projector are frozen."""
    if name == "tiny":
        model, tokenizer = small_model(side, 14)
    elif name == "4b":
        model, tokenizer = large_model()
    else:
        from extraction.generate.models import load_model, load_tokenizer

        model, tokenizer = load_model(name), load_tokenizer(name)
    for key, weight in model.named_parameters():
        weight.requires_grad_("vision_tower" not in key and "multi_modal_projector" not in key)
    return model.eval(), tokenizer


def large_model() -> tuple[Any, Any]:
    """MedGemma 1.5 4B's shape with random weights, on a GPU; its tokens are bytes."""
    from transformers import Gemma3ForConditionalGeneration

    from extraction.errors import AssayError
    from finetune.preflight import architecture

    if not torch.cuda.is_available():
        raise AssayError("There is no GPU here, and 4 billion parameters need one; --model tiny needs none.")
    small, tokenizer = small_model()
    shape = architecture("google/medgemma-1.5-4b-it")
    for key in ("boi_token_index", "eoi_token_index", "image_token_index"):
        setattr(shape, key, getattr(small.config, key))
    shape.image_token_id = small.config.image_token_index
    with torch.device("cuda"):
        model = Gemma3ForConditionalGeneration._from_config(shape, dtype=torch.bfloat16)
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.02)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model, tokenizer


def asked(folder: Path, slices: int, questions: int) -> Any:
    """A volume of noise in a NIfTI file, and its questions."""
    import nibabel
    import numpy as np

    from recipes.card.examples import examples_of
    from recipes.card.items import Item, Reading
    from recipes.card.rows import Prompt, by_name
    from recipes.volume.readers import LABELS

    values = np.random.default_rng(0).integers(-1000, 400, (64, 64, slices)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "ct.nii.gz")
    row = by_name("ct_rate").model_copy(update={"prompt": Prompt(ask="{question}?", answer="{answer}")})
    reading = Reading()
    for number in range(questions):
        label = LABELS[number % len(LABELS)]
        reading.add(Item(str(number), label, ("yes", "no")[number % 2], images=(folder / "ct.nii.gz",)))
    [example] = examples_of(reading, row)
    return example


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """The most memory that training and serving take, by number of slices."""
    figures: dict[str, Any] = {}
    for slices in arguments.memory:
        for way in (trained, answered):
            made = apart(way, arguments, slices)
            tokens = {f"{slices} slices, tokens": made["tokens"]} if "tokens" in made else {}
            figures |= tokens | {f"{slices} slices, {way.__name__}: GB": made["more"]}
    return figures


def trained(arguments: argparse.Namespace, slices: int) -> dict[str, Any]:
    """Gigabytes of one step with all questions, over features that were computed once."""
    from extraction.generate.spans import NAME
    from finetune.config import DataConfig
    from finetune.encode import Collator, encode_all
    from finetune.features import keep_features, keep_pixels

    backend, told = served(arguments)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        example = asked(folder, slices, arguments.questions)
        settings = DataConfig(train=folder, validation=folder, max_length=1 << 16)
        rows = keep_pixels(list(encode_all([example], told, backend.family, settings, 0)), backend.family, folder)
        features = keep_features(backend.model, backend.family, rows, folder / "features")
        before = memory_now()
        backend.model.set_attn_implementation(NAME)
        passed(backend.model.train(), on(backend.model, Collator(backend.family, features, in_row=True)(rows)))
        return {"tokens": len(rows[0]["input_ids"]), "more": memory_most() - before}


def answered(arguments: argparse.Namespace, slices: int) -> dict[str, Any]:
    """Gigabytes of all answers together, the slices seen."""
    from extraction.api import Extractor

    backend, told = served(arguments)
    with tempfile.TemporaryDirectory() as place:
        example = asked(Path(place), slices, arguments.questions)
        before = memory_now()
        list(Extractor(backend, told).answers([example]))
        return {"more": memory_most() - before}


def memory_now() -> float:
    """Gigabytes that this process has, or its tensors on a GPU."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated() / 2**30
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**30


def memory_most() -> float:
    """The most gigabytes that this process has had, or its tensors on a GPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def training(folder: Path, example: Any, backend: Any, told: Any, sample: int) -> dict[str, Any]:
    """Seconds of a step each way, the tokens, and the largest difference of logits and losses."""
    from extraction.generate.spans import NAME
    from finetune.config import DataConfig
    from finetune.encode import Collator, encode_all
    from finetune.features import keep_features, keep_pixels

    model, family = backend.model, backend.family
    settings = DataConfig(train=folder, validation=folder, max_length=1 << 16)
    count = len(example.branches)
    ways = [example], [type(example)(example.context, (branch,)) for branch in example.branches[: min(sample, count)]]
    made = [list(encode_all(way, told, family, settings, 0)) for way in ways]
    kept = keep_pixels([row for way in made for row in way], family, folder)
    rows = kept[: len(made[0])], kept[len(made[0]) :]
    begin = now()
    features = keep_features(model, family, rows[0], folder / "features")
    vision = now() - begin
    collate = Collator(family, features, in_row=True)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    together, logits = step(model, [on(model, collate([row])) for row in rows[0]])
    one, _ = step(model, [on(model, collate([rows[1][0]]))])
    model.set_attn_implementation("sdpa")
    apart, separate = step(model, [on(model, plain(row, family)) for row in rows[1]])
    model.set_attn_implementation(before)
    model.eval()
    each = apart / len(rows[1])
    tokens = sum(len(row["input_ids"]) for row in rows[0]), len(rows[1][0]["input_ids"])
    compared = torch.cat(separate)
    all_logits = torch.cat(logits)[: len(compared)]
    losses = [nll(values, example_labels(rows[1])) for values in (all_logits, compared)]
    return {
        "tokens, one question": tokens[1],
        "tokens, all as branches": tokens[0],
        "tokens, all apart": tokens[1] * count,
        "training: vision once, s": vision,
        "training: one question, s": one,
        "training: all as branches, s": together,
        f"training: all apart in transformers, s ({len(rows[1])} timed)": each * count,
        "training: all as branches, times one question": together / one,
        "training: apart, times branches": each * count / together,
        "training: apart, times branches with the vision": each * count / (together + vision),
        "largest difference of logits": float((all_logits - compared).abs().max()),
        "largest logit": float(compared.abs().max()),
        "largest difference of a token's loss": float((losses[0] - losses[1]).abs().max()),
    }


def plain(row: dict[str, Any], family: Any) -> dict[str, Any]:
    """A row as transformers takes it: the slices' pixels, and which tokens are theirs."""
    from finetune.features import load_pictures

    ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
    pixels = family.pixels(load_pictures(row["files"]))
    return {"input_ids": ids, "labels": labels, "token_type_ids": (ids == family.soft).long(), **pixels}


def on(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """A batch on the model's device."""
    from accelerate.utils import send_to_device

    return send_to_device(batch, model.device)


def step(model: Any, batches: list[dict[str, Any]]) -> tuple[float, list[torch.Tensor]]:
    """Seconds of forward and backward over batches, after one to warm up; the logits of the answers' tokens."""
    model.train()  # no dropout in this family; what is recomputed is so in training alone
    passed(model, batches[0])
    seconds, _ = least(lambda: [passed(model, batch) for batch in batches])
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        logits = [answers(model, batch)[0].float().cpu() for batch in batches]
    return seconds, logits


def passed(model: Any, batch: dict[str, Any]) -> None:
    logits, wanted = answers(model, batch)
    torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum").backward()


def answers(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [tokens, vocabulary] before each token of an answer, and these tokens."""
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    hidden = model.model(**inputs, use_cache=False).last_hidden_state[0]
    places = (batch["labels"][0] != -100).nonzero()[:, 0]
    return model.lm_head(hidden[places - 1]), batch["labels"][0][places]


def example_labels(rows: list[dict[str, Any]]) -> torch.Tensor:
    return torch.tensor([label for row in rows for label in row["labels"] if label != -100])


def nll(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, wanted, reduction="none")


@torch.inference_mode()
def serving(example: Any, backend: Any, told: Any, sample: int) -> dict[str, Any]:
    """Seconds of greedy answers together and question by question, and how many differ."""
    from extraction.api import Extractor

    extractor, family, count = Extractor(backend, told), backend.family, len(example.branches)
    alone = type(example)(example.context, example.branches[:1])
    one, _ = least(lambda: list(extractor.answers([alone])))
    together, [done] = least(lambda: list(filter(None, extractor.answers([example]))))
    said = [str((record.data or {}).get("answer", "")).strip() for record in done[1]]
    backend.model.set_attn_implementation("sdpa")
    no_words = list(range(len(backend.tokenizer), backend.model.get_output_embeddings().weight.shape[0]))
    settings = {"max_new_tokens": TOKENS, "do_sample": False, "eos_token_id": list(backend.stop)}
    start_apart, other = now(), []
    for branch in example.branches[: min(sample, count)]:
        prompt = family.render(told.messages(example.context.parts, branch.parts))
        ids = torch.tensor([prompt.ids])
        pixels = family.pixels([picture for image in prompt.images for picture in family.pictures(image)])
        batch = on(backend.model, {"input_ids": ids, "token_type_ids": (ids == family.soft).long(), **pixels})
        made = backend.model.generate(**batch, **settings, suppress_tokens=no_words or None)
        written = [token for token in made[0, len(prompt.ids) :].tolist() if token not in backend.stop]
        other.append(backend.tokenizer.decode(written).strip())
    each = (now() - start_apart) / len(other)
    return {
        "serving: one question, s": one,
        "serving: all together, s": together,
        f"serving: all apart in transformers, s ({len(other)} timed)": each * count,
        "serving: all together, times one question": together / one,
        "serving: apart, times together": each * count / together,
        "serving: answers that differ": sum(a != b for a, b in zip(said, other, strict=False)),
    }


if __name__ == "__main__":
    main()
