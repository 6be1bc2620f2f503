"""Prove on a processor that rows of a card are learnt: exams by a real decoder, pictures by a tiny model.

    .venv/bin/python scripts/prove_card.py pictures [--steps 600] [--json FILE]
    .venv/bin/python scripts/prove_card.py exam --data FOLDER [--model gemma-3-270m] [--out RUN] [section.key=value ...]
    .venv/bin/python scripts/prove_card.py conclusions --data PUBMEDQA [--out RUN] [section.key=value ...]

pictures: a Gemma 3 with eyes of half a million weights starts from random ones and is asked, on drawn pictures of a
disc, its colour (a choice), its quarter (in words) and its box, and on pairs of pictures whether it grew: read, asked,
encoded, answered and graded as the rows of the card are. Then it answers on pictures it has never seen, and on the same
questions with another picture in each one's place, where it must fail.

exam: `assay train` of FOLDER (a `pubmedqa` or `medqa` with a training part, or any folder with a `row.yaml`), with
intervals before and after by the likelihood of the options. A start that was stopped goes on.

conclusions: the same of PubMedQA's questions beside the conclusions of their abstracts, its authors' setting without
reasoning (arXiv 1909.06146), which is a quarter as long as the row of the card: the authors' files, their test, and of
the other questions the last 50 to choose a checkpoint by.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

SIDE, PATCH = 48, 8
COLOURS = {"red": (220, 40, 40), "green": (40, 190, 60), "blue": (50, 80, 230)}
CHANGES = ("grew", "same", "shrank")
BATCH, RATE = 16, 2e-3
CONCLUSIONS = """recipe: exams
columns: {id: id, text: conclusion, question: question, answer: answer}
classes: {"yes": "yes", "no": "no", "maybe": "maybe"}
prompt: {ask: "{question} Answer yes, no or maybe.", answer: "{text}"}
figures: [{name: accuracy}, {name: balanced accuracy, over: recall}]
"""


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="scripts/prove_card.py", description="Prove that rows are learnt.")
    parser.add_argument("what", choices=("pictures", "exam", "conclusions"))
    parser.add_argument("overrides", nargs="*", help="of the exam's run")
    parser.add_argument("--steps", type=int, default=600, help="of the tiny model, 16 pictures each")
    parser.add_argument("--pictures", type=int, default=600, help="to train on; a fifth as many to judge by")
    parser.add_argument("--data", type=Path, help="folder of an exam")
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--out", type=Path, default=Path("runs/exam"))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_intermixed_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    from extraction.files import write_whole

    if arguments.what == "conclusions":
        arguments.data = conclusions(arguments.data, arguments.out.parent / f"{arguments.out.name}-data")
    figures = pictures(arguments.steps, arguments.pictures) if arguments.what == "pictures" else exam(arguments)
    for name, value in figures.items():
        print(f"{name:28} {value}")
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def exam(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train the decoder on an exam's training part, and judge it before and after on its test."""
    from extraction.api import Extractor, backend_for
    from finetune.config import load_config
    from finetune.train import train
    from recipes.card.lines import Card
    from recipes.card.rows import row_at

    row = row_at(arguments.data, "exams")
    own = (
        f"recipe: exams\nmodel: {arguments.model}\ndata: {{train: {arguments.data}, validation: {arguments.data}, "
        "max_length: 1536}\ncontract: {instruction: '', max_answer_tokens: 8}\nadapter: {r: 16, alpha: 32}\n"
        f"train: {{output: {arguments.out}, epochs: 2, batch_size: 4, accumulation: 2, checkpoint_steps: 25}}\n"
        "evaluate: {documents: 50}\n"
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out.parent / f"{arguments.out.name}.yaml").write_text(own, encoding="utf-8")
    config = load_config(arguments.out.parent / f"{arguments.out.name}.yaml", arguments.overrides)
    figures: dict[str, Any] = {}
    for when in ("before", "after"):
        model = arguments.model if when == "before" else str(train(config))
        extractor = Extractor(backend_for(model), __import__("recipes.exams.task", fromlist=["TASK"]).TASK.contract)
        card = Card(
            extractor, model, arguments.out.parent / f"{arguments.out.name}-{when}", "likelihood", thinking=False
        )
        line = card.line(row.name, row, arguments.data, lambda done, total: None)
        for name, made in (line.figures or {}).items():
            figures[f"{name}, {when}"] = f"{made.value:.1f} ({made.low:.1f} to {made.high:.1f}) of {made.n}"
            figures[f"{name}, blind"] = f"{(line.blind or {})[name].value:.1f} ({line.rule})"
    return figures


def conclusions(folder: Path, out: Path) -> Path:
    """PubMedQA's questions with the conclusions of their abstracts as a table of one's own, a file a split."""
    import csv

    out.mkdir(parents=True, exist_ok=True)
    every = json.loads((folder / "data" / "ori_pqal.json").read_text(encoding="utf-8"))
    test = json.loads((folder / "data" / "test_ground_truth.json").read_text(encoding="utf-8"))
    train = [name for name in every if name not in test]
    for part, names in (("train", train[:-50]), ("validation", train[-50:]), ("test", [n for n in every if n in test])):
        with (out / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "conclusion", "question", "answer"))
            for name in names:
                one = every[name]
                writer.writerow((name, one["LONG_ANSWER"], one["QUESTION"], one["final_decision"]))
    (out / "row.yaml").write_text(CONCLUSIONS, encoding="utf-8")
    return out


def pictures(steps: int, count: int) -> dict[str, Any]:
    """Train the tiny model on drawn pictures, and judge it on others, right and swapped."""
    from extraction.generate import LocalBackend
    from finetune.config import DataConfig
    from finetune.encode import Collator, encode_all
    from finetune.features import keep_pixels
    from recipes.card.base import contract

    told = contract(prompt=512, answer=64)
    torch.manual_seed(0)
    model, tokenizer = small_model()
    backend = LocalBackend(model, tokenizer, rows=32)
    with tempfile.TemporaryDirectory() as folder:
        train, test = (
            drawn(Path(folder) / part, size, seed) for part, size, seed in (("a", count, 1), ("b", count // 5, 2))
        )
        settings = DataConfig(train=Path(folder), validation=Path(folder), max_length=2048)
        rows = keep_pixels(list(encode_all(train, told, backend.family, settings, 0)), backend.family, Path(folder))
        learn(model, Collator(backend.family, in_row=True), [rows], steps)
        right = judged(test, [e.context for e in test], backend, told)
        pairs, single = (
            [e.context for e in test if len(e.context.parts) > 1],
            [e.context for e in test if len(e.context.parts) == 1],
        )
        turned = iter(single[1:] + single[:1]), iter(pairs[1:] + pairs[:1])
        others = [next(turned[len(example.context.parts) > 1]) for example in test]
        swapped = judged(test, others, backend, told)
    figures: dict[str, Any] = {}
    for name, value in right.items():
        figures |= {name: f"{value:.3f}", f"{name}, pictures swapped": f"{swapped[name]:.3f}"}
    return figures


def drawn(folder: Path, count: int, seed: int) -> list[Any]:
    """Examples with questions on drawn pictures, of the rows' own making."""
    from recipes.card.boxes import in_square
    from recipes.card.examples import examples_of
    from recipes.card.items import Item, Reading
    from recipes.card.rows import Figure, Prompt, Row

    folder.mkdir()
    rng = random.Random(seed)
    made = []
    said = Prompt(ask="?", answer="{answer}")
    kinds = {
        name: Row(
            name=name,
            title=name,
            recipe="vqa",
            prompt=said.model_copy(update={"ask": f"{name[0]}?"}),
            grader=grader,
            figures=(Figure(name=name, score=score),),
        )
        for name, grader, score in (
            ("colour", "choice", "right"), ("place", "short", "exact"), ("box", "box", "iou"),
            ("growth", "choice", "right"),
        )
    }  # fmt: skip
    for number in range(count):
        colour, x, y = rng.choice(list(COLOURS)), rng.choice((6, 18, 30, 42)), rng.choice((6, 18, 30, 42))
        path = disc(folder / f"{number}.png", colour, x, y, 5)
        place = ("top" if y < 24 else "bottom") + (" left" if x < 24 else " right")
        letters = dict(zip("ABC", COLOURS, strict=True))
        golds = {
            "colour": "ABC"[list(COLOURS).index(colour)],
            "place": place,
            "box": in_square((x - 6, y - 6, x + 6, y + 6), SIDE, SIDE),
        }
        branches: list[Any] = []
        for kind, gold in golds.items():
            reading = Reading()
            reading.add(Item(f"{number}{kind}", "d", gold, letters if kind == "colour" else {}, (path,)))
            [example] = examples_of(reading, kinds[kind])
            branches += example.branches
        made.append(type(example)(example.context, tuple(branches)))
        change = rng.choice(CHANGES)
        radius = {"grew": (3, 8), "same": (5, 5), "shrank": (8, 3)}[change]
        both = tuple(disc(folder / f"{number}-{n}.png", colour, x, y, r) for n, r in enumerate(radius))
        reading = Reading()
        reading.add(
            Item(f"{number}pair", "p", "ABC"[CHANGES.index(change)], dict(zip("ABC", CHANGES, strict=True)), both)
        )
        made += examples_of(reading, kinds["growth"])
    return made


def disc(path: Path, colour: str, x: int, y: int, radius: int) -> Path:
    """A picture of a disc on grey."""
    image = Image.new("RGB", (SIDE, SIDE), (110, 110, 110))
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=COLOURS[colour])
    image.save(path)
    return path


def learn(model: Any, collate: Any, stages: list[list[dict[str, Any]]], steps: int) -> None:
    """All weights, a batch of rows a step; where there are several stages of rows, each for its share of the steps."""
    from extraction.generate.spans import NAME

    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    rng = random.Random(0)
    for step in range(steps):
        loss = model(**collate(rng.sample(stages[step * len(stages) // steps], BATCH))).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    model.eval()
    model.set_attn_implementation(before)


def judged(examples: list[Any], contexts: list[Any], backend: Any, told: Any) -> dict[str, float]:
    """The mean score of each kind, each example's questions asked on the context beside it."""
    from extraction.api import Extractor
    from recipes.card.grade import GRADERS

    extractor = Extractor(backend, told)
    asked = {id(made): made for made in (type(e)(c, e.branches) for e, c in zip(examples, contexts, strict=True))}
    found: dict[str, list[float]] = {}
    for done in extractor.answers(asked.values()):
        if done:
            for branch, record in zip(done[0].branches, done[1], strict=True):
                row = branch.source.row
                graded = GRADERS[row.grader](str((record.data or {}).get("answer", "")), branch.source.item)
                found.setdefault(row.name, []).append(graded.scores[row.figures[0].score])
    return {name: sum(values) / len(values) for name, values in found.items()}


def small_model(side: int = SIDE, patch: int = PATCH) -> tuple[Any, Any]:
    """A small random Gemma 3 with eyes, a square of `side` pixels, and a tokenizer of single bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, PreTrainedTokenizerFast

    special = [
        "<pad>",
        "<bos>",
        "<eos>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<start_of_image>",
        "<end_of_image>",
        "<image_soft_token>",
    ]
    words = Tokenizer(
        models.BPE({t: n for n, t in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}, [])
    )
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        additional_special_tokens=special[3:],
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['role'] }}\n"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for i in m['content'] %}"
        "{% if i['type'] == 'image' %}<start_of_image>{% else %}{{ i['text'] }}{% endif %}{% endfor %}{% endif %}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    width = 128
    text = {"vocab_size": -(-len(tokenizer) // 64) * 64, "hidden_size": width, "intermediate_size": 256,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
            "query_pre_attn_scalar": 32, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 128,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
    eyes = {"hidden_size": width, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
            "image_size": side, "patch_size": patch, "vision_use_head": False}  # fmt: skip
    at = tokenizer.convert_tokens_to_ids
    config = Gemma3Config(
        text_config=text, vision_config=eyes, mm_tokens_per_image=(side // patch) ** 2, initializer_range=width**-0.5,
        boi_token_index=at("<start_of_image>"), eoi_token_index=at("<end_of_image>"),
            image_token_index=at("<image_soft_token>"),
    )  # fmt: skip
    model = Gemma3ForConditionalGeneration(config).float()
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=width**-0.5)
    return model.eval(), tokenizer


if __name__ == "__main__":
    main()
