"""Many questions on one record: trained as branches of it beside TRL on separate examples; answered together and apart.

    .venv/bin/python scripts/bench_shared_context.py [--model ADAPTER] [--base MODEL] [--tokens 4000]
        [--questions 1 10 25 50 100 200] [--sample 5] [--json FILE]

Training: forward and backward passes of a base with a fresh adapter, without the optimiser's step, on a
GPU where there is one.
Separate examples all cost the same, so a sample of them is timed and their number multiplied; their losses are compared
with those of the same questions as branches. Serving: greedy answers; of asking one by one, a sample of questions is
timed and multiplied, and its answers compared. Every way runs in a process of its own, whose peak memory is printed
(on a GPU that of PyTorch's tensors).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# More questions than these are trained with activations recomputed: they would take more memory than a laptop has.
KEPT = 50
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/bench_shared_context.py", description="The cost of many questions.")
    parser.add_argument("--model", help="an adapter of the recipe ehr_qa; without one, serving is left out")
    parser.add_argument("--base", default="gemma-3-270m", help="what is trained")
    parser.add_argument("--tokens", type=int, default=4000, help="length of the record")
    parser.add_argument("--questions", type=int, nargs="+", default=[1, 10, 25, 50, 100, 200], help="on the record")
    parser.add_argument("--sample", type=int, default=5, help="separate examples and calls that are timed")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Measure, print as it goes, and write the figures where a file is named."""
    from extraction.files import write_whole

    figures: dict[str, Any] = {"record tokens": arguments.tokens, "sample": arguments.sample}
    curve, sample = sorted(arguments.questions), arguments.sample
    most = max(curve[-1], sample)  # that the record must have room for
    figures["training"] = training(arguments.base, arguments.tokens, most, curve, sample)
    if arguments.model:
        figures["serving"] = [
            apart(serve, arguments.model, arguments.tokens, most, min(50, curve[-1]), sample, dtype)
            for dtype in ("bfloat16", "float32")
        ]
        for row in figures["serving"]:
            print(row)
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def training(base: str, tokens: int, most: int, counts: list[int], sample: int) -> dict[str, Any]:
    """The three ways, and the curve over the number of questions."""
    separate = {
        way: apart(train_separate, way, base, tokens, most, sample) for way in ("TRL", "Assay, separate examples")
    }
    trl, own = separate["TRL"], separate["Assay, separate examples"]
    print(f"separate examples of {trl['tokens'] / sample:.0f} tokens, seconds each:")
    for way, row in separate.items():
        print(f"  {way}: {row['seconds'] / sample:.2f} s, {row['GB']:.1f} GB")
    print("questions  shared s      GB  TRL s  ratio  own separate s  ratio  token ratio  largest loss difference")
    curve = []
    for count in counts:
        row = apart(train_shared, base, tokens, most, count)
        row["questions"] = count
        row["ratio to TRL"] = trl["seconds"] / sample * count / row["seconds"]
        row["ratio to own separate"] = own["seconds"] / sample * count / row["seconds"]
        row["token ratio"] = trl["tokens"] / sample * count / row["tokens"]
        pairs = list(zip(row["losses"], trl["losses"], strict=False))
        row["loss difference"] = max(abs(one - other) for one, other in pairs)
        curve.append(row)
        print(
            f"{count:9}  {row['seconds']:8.1f}  {row['GB']:6.1f}  {row['ratio to TRL'] * row['seconds']:5.0f}  "
            f"{row['ratio to TRL']:5.1f}  {row['ratio to own separate'] * row['seconds']:14.0f}  "
            f"{row['ratio to own separate']:5.1f}  {row['token ratio']:11.1f}  {row['loss difference']:.4f}"
            + ("  activations recomputed" if row["recomputed"] else "")
        )
    figures: dict[str, Any] = {"separate": separate, "shared": curve}
    kept = [row for row in curve if not row["recomputed"]]
    if len(kept) > 1:
        first, last = kept[0], kept[-1]
        more = (last["seconds"] - first["seconds"]) / (last["questions"] - first["questions"])
        figures["limit of the ratio"] = trl["seconds"] / sample / more
        print(
            f"a further question costs {more:.3f} s as a branch: the ratio to TRL tends to "
            f"{figures['limit of the ratio']:.0f}"
        )
    return figures


def apart(work: Any, *arguments: Any) -> dict[str, Any]:
    """The result of `work` in a fresh process, with that process's peak memory."""
    from extraction.errors import AssayError

    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(measured, work, *arguments).result()
    except BrokenProcessPool:
        raise AssayError("A process of the benchmark was killed, most likely for its memory; free some.") from None


def measured(work: Any, *arguments: Any) -> dict[str, Any]:
    """The result of `work` with the most memory that this process has had, or its tensors on a GPU, in GB."""
    import resource

    import torch

    result: dict[str, Any] = work(*arguments)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10
    result["GB"] = round((torch.cuda.max_memory_allocated() if torch.cuda.is_available() else most) / 2**30, 2)
    return result


def now() -> float:
    """Seconds, after all that a GPU was given to do."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def record_of(family: Any, tokens: int, count: int) -> Any:
    """A synthetic patient's record of at most `tokens` tokens, not much less, with `count` questions to ask."""
    from extraction.errors import AssayError
    from recipes.ehr_qa.questions import make_questions
    from recipes.ehr_qa.records import read_record
    from recipes.ehr_qa.synthetic import make_bundle

    def length(text: str) -> int:
        return len(family.encode(text))

    lines = tokens // 8 if tokens > 4000 else None  # a usual patient has fewer
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.json"
        for seed in range(1000):
            path.write_text(json.dumps(make_bundle(seed, most=lines)), encoding="utf-8")
            record = read_record(path)
            if length(record.text) >= tokens:
                record = record.fit(tokens, length)
                questions = make_questions(record, count, words="train")
                if len(questions) == count:
                    return record, questions
    raise AssayError(f"No synthetic patient has {count} questions at {tokens} tokens; ask for fewer or more tokens.")


def trainer_of(base: str, examples: list[dict[str, Any]], recomputed: bool = False) -> Any:
    """The project's own trainer for examples, as a run builds it."""
    from extraction.generate.models import load_family
    from finetune.config import load_config
    from finetune.run import RunFolder
    from finetune.train import build_trainer

    folder = tempfile.mkdtemp(prefix="assay-bench-")
    config = load_config(
        ROOT / "recipes" / "ehr_qa" / "release_short.yaml",
        [
            f"model={base}",
            "adapter.start=null",
            f"train.output={folder}",
            f"train.activation_checkpointing={recomputed}",
        ],
    )
    family = load_family(config.model)
    trainer = build_trainer(config, RunFolder(Path(folder)), family, examples, lambda _: {}, "accuracy")
    if recomputed:  # which a trainer turns on where its training begins
        trainer.model.get_base_model().activation_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    return trainer


def examples_of(base: str, tokens: int, most: int, count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Separate examples of the first `count` of `most` questions, and the one that shares their context."""
    from extraction.generate.models import load_family
    from finetune.encode import encode
    from recipes.ehr_qa.task import CONTRACT, branch_of, record_example

    family = load_family(base)
    record, questions = record_of(family, tokens, most)
    asked = [branch_of(question) for question in questions[:count]]
    separate = [encode(record_example(record, [one], CONTRACT), CONTRACT, family, 2**20)[0] for one in asked]
    return separate, encode(record_example(record, asked, CONTRACT), CONTRACT, family, 2**20)[0]


def train_separate(way: str, base: str, tokens: int, most: int, sample: int) -> dict[str, Any]:
    """Separate examples through TRL's trainer as it is, or the project's."""
    from trl import SFTTrainer

    examples, _ = examples_of(base, tokens, most, sample)
    trainer = trainer_of(base, examples)
    if way == "TRL":
        from datasets import Dataset
        from transformers.trainer_utils import IntervalStrategy

        from finetune.adapter import load_trainable
        from finetune.config import load_config

        config = load_config(
            ROOT / "recipes" / "ehr_qa" / "release_short.yaml", [f"model={base}", "adapter.start=null"]
        )
        model = load_trainable(config)
        trainer.args.eval_strategy, trainer.args.load_best_model_at_end = IntervalStrategy.NO, False
        trainer = SFTTrainer(
            model=model,
            args=trainer.args,
            processing_class=trainer.processing_class,
            train_dataset=Dataset.from_list(examples),
        )
    return passes(trainer, examples)


def train_shared(base: str, tokens: int, most: int, count: int) -> dict[str, Any]:
    """The same questions as branches of their record."""
    _, shared = examples_of(base, tokens, most, count)
    trainer = trainer_of(base, [shared], recomputed=count > KEPT)
    recomputed = any(getattr(module, "gradient_checkpointing", False) for module in trainer.model.modules())
    return {**passes(trainer, [shared]), "recomputed": recomputed}


def passes(trainer: Any, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of a forward and a backward pass over examples, after one to warm up, and the loss of each question."""
    import torch

    trainer.model.train()
    batches = [trainer._prepare_inputs(trainer.data_collator([example])) for example in examples]
    one_pass(trainer, batches[0])
    start = now()
    for batch in batches:
        one_pass(trainer, batch)
    seconds = now() - start
    losses = []
    for example, batch in zip(examples, batches, strict=True):
        with trainer.accelerator.autocast():
            losses += question_losses(trainer.model, example, batch)
    return {"seconds": seconds, "tokens": sum(len(e["input_ids"]) for e in examples), "losses": losses,
            "threads": torch.get_num_threads()}  # fmt: skip


def one_pass(trainer: Any, batch: dict[str, Any]) -> None:
    """Forward and backward in the precision of the trainer's arguments."""
    with trainer.accelerator.autocast():
        loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()


def question_losses(model: Any, example: dict[str, Any], batch: dict[str, Any]) -> list[float]:
    """Mean negative log-likelihood of the first questions' answers, by the whole output layer."""
    import torch

    base = model.get_base_model()
    labels = batch["labels"][0]
    with torch.no_grad():
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        hidden = base.model(**inputs, use_cache=False).last_hidden_state[0]
        branches = torch.tensor(example.get("branches") or [1] * len(labels), device=labels.device)
        losses = []
        for branch in range(1, min(int(branches.max()), 5) + 1):
            places = ((labels != -100) & (branches == branch)).nonzero()[:, 0]
            logits = base.lm_head(hidden[places - 1]).float()
            losses.append(float(torch.nn.functional.cross_entropy(logits, labels[places])))
    return losses


def serve(model: str, tokens: int, most: int, count: int, sample: int, dtype: str) -> dict[str, Any]:
    """So many answers together, and a sample of them one by one."""
    from recipes.ehr_qa.answer import Answerer

    answerer = Answerer.from_pretrained(model, dtype=dtype)
    record, made = record_of(answerer.extractor.backend.family, tokens, most)
    questions = [question.question for question in made[:count]]
    start = now()
    together = answerer.answer_record(record, questions)
    seconds = now() - start
    places = range(0, count, max(1, count // (2 * sample)))
    start = now()
    alone = {place: answerer.answer_record(record, [questions[place]])[0] for place in places}
    each = (now() - start) / len(alone)
    different = sum(together[place] != one for place, one in alone.items())
    return {
        "dtype": dtype,
        "together s": round(seconds, 2),
        "one by one s": round(count * each, 1),
        "ratio": round(count * each / seconds, 1),
        "answers compared": len(alone),
        "different": different,
    }


if __name__ == "__main__":
    main()
