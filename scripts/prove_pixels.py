"""Prove that training on pixels teaches to read them: a small Gemma 3 with eyes learns to read printed results.

    .venv/bin/python scripts/prove_pixels.py [--steps 2400] [--json FILE]

A `Gemma3ForConditionalGeneration` of 610,000 weights starts from random ones and is shown pictures of short results
("12.8 H", "<0.5"), in four faces and three sizes, moved, blurred, grey. Then it reads results it has never seen, first
each from its own picture, then each from another's: with the pictures swapped it must fail. Batches are the trainer's
(`finetune.encode`).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE, PATCH = 48, 8
LETTERS = "0123456789.<>HL "
PAD, BEGIN, STOP, BOI, SOFT, EOI, FIRST = range(7)
LONGEST = 6
HELD_OUT = 10  # every so-many-th result is never trained on
PROMPT = [BEGIN, BOI, *[SOFT] * (SIDE // PATCH) ** 2, EOI]
# Pictures get harder by PACE a step while the loss is below ENOUGH; the rate falls to nothing over the last 1 / LAST.
BATCH, RATE, PACE, ENOUGH, LAST = 64, 3e-3, 1 / 300, 0.3, 2.0


def main() -> None:
    """Read the command line, train, test, print."""
    parser = argparse.ArgumentParser(prog="scripts/prove_pixels.py", description="Prove that training reads pixels.")
    parser.add_argument("--steps", type=int, default=2400, help="of training, 64 pictures each")
    parser.add_argument("--count", type=int, default=1000, help="results to read at the end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    figures = prove(arguments.steps, arguments.count, arguments.seed)
    for name, value in figures.items():
        print(f"{name:32} {value}")
    if arguments.json:
        from extraction.files import write_whole

        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


def prove(steps: int, count: int, seed: int, hardest: float = 1.0) -> dict[str, Any]:
    """Train so many steps, then read `count` results that were never trained on.

    `hardest`: how wild pictures get, in training and in reading; see `draw`.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = small_model()
    start = time.perf_counter()
    train(model, rng, steps, hardest)
    seconds = time.perf_counter() - start
    held = [result(rng, held_out=True) for _ in range(count)]
    pictures = [draw(text, rng, hardest) for text in held]
    own = read(model, pictures)
    swapped = read(model, pictures[1:] + pictures[:1])
    blank = read(model, [Image.new("L", (SIDE, SIDE), 230)] * count)
    exact = [sum(a == b for a, b in zip(texts, held, strict=True)) / count for texts in (own, swapped, blank)]
    return {
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "steps": steps,
        "seconds": round(seconds, 1),
        "results never trained on": count,
        "read exactly": exact[0],
        "with the pictures swapped": exact[1],
        "from blank pictures": exact[2],
    }


def small_model() -> Any:
    """A small random model; what transformers leaves at zero starts at random too."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    width = 128
    text = {
        "vocab_size": FIRST + len(LETTERS),
        "hidden_size": width,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 64,
        "max_position_embeddings": 128,
        "pad_token_id": PAD,
        "bos_token_id": BEGIN,
        "eos_token_id": STOP,
    }
    eyes = {
        "hidden_size": width,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
        "vision_use_head": False,
    }
    config = Gemma3Config(
        text_config=text,
        vision_config=eyes,
        mm_tokens_per_image=(SIDE // PATCH) ** 2,
        boi_token_index=BOI,
        eoi_token_index=EOI,
        image_token_index=SOFT,
        initializer_range=width**-0.5,
    )
    model = Gemma3ForConditionalGeneration(config).float()
    # transformers starts the projector at zero, where every image looks the same.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=width**-0.5)
    return model


def train(model: Any, rng: random.Random, steps: int, hardest: float) -> None:
    """Train on pictures drawn as they are needed, harder ones as soon as it reads what it is shown."""
    from tqdm import trange

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    wild, smooth = 0.0, 3.0
    collate = collator_of(model)
    model.train()
    with trange(steps, desc="training", unit="step") as bar:
        for step in bar:
            left = min(1.0, LAST * (1 - step / steps))
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 50) * (0.01 + 0.99 * left)
            texts = [result(rng) for _ in range(BATCH)]
            loss = loss_of(model, collate, [draw(text, rng, wild) for text in texts], texts)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            smooth += 0.05 * (loss.item() - smooth)
            wild = min(hardest, wild + PACE * (smooth < ENOUGH))
            bar.set_postfix(loss=f"{smooth:.3f}", wild=f"{wild:.2f}", refresh=False)


def result(rng: random.Random, held_out: bool = False) -> str:
    """A printed result, of those that training sees or of those that it never sees."""
    while True:
        digits = rng.choice(("{}.{}", "{}.{}", "{}", "{}.{}{}", "{}{}.{}", "{}{}", "{}{}{}", "{}{}.{}{}"))
        text = digits.format(
            rng.randint(1 if digits.startswith("{}{}") else 0, 9), *[rng.randint(0, 9) for _ in range(3)]
        )
        text = rng.choice(("", "", "", "", "<", ">")) + text + rng.choice(("", "", "", " H", " L"))
        if len(text) <= LONGEST and ((sum(map(ord, text)) * 31 + len(text)) % HELD_OUT == 0) == held_out:
            return text


def draw(text: str, rng: random.Random, wild: float) -> Image.Image:
    """A picture of a result; `wild`, 0 to 1, is how far face, size, place and ground may go."""
    faces = _faces()
    font = faces[0, 12]
    if rng.random() < wild:
        drawn = faces[rng.randrange(4), rng.choice((11, 12, 13))]
        font = drawn if drawn.getlength(text) <= SIDE - 3 else font
    ground = 255 - rng.randint(0, round(40 * wild))
    image = Image.new("L", (SIDE, SIDE), ground)
    pen = ImageDraw.Draw(image)
    spare = max(0, SIDE - 3 - round(font.getlength(text)))
    left = 1 + rng.randint(0, round(min(spare, 10) * wild))
    top = 16 + rng.randint(-round(6 * wild), round(6 * wild))
    pen.text((left, top), text, fill=rng.randint(0, round(70 * wild)), font=font)
    if rng.random() < 0.3 * wild:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.6)))
    return image


@cache
def _faces() -> dict[tuple[int, int], Any]:
    """Faces that come with reportlab and Pillow, by number and size in pixels."""
    import reportlab

    folder = Path(reportlab.__file__).parent / "fonts"
    faces: dict[tuple[int, int], Any] = {}
    for size in (11, 12, 13):
        for number, name in enumerate(("Vera", "VeraBd", "VeraIt")):
            faces[number, size] = ImageFont.truetype(str(folder / f"{name}.ttf"), size)
        faces[3, size] = ImageFont.load_default(size)
    return faces


def pixels_of(images: list[Image.Image]) -> torch.Tensor:
    """Pixel values [images, 3, side, side], as Gemma 3's processor scales them."""
    grey = torch.stack([torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8) for image in images])
    return (grey.view(-1, 1, SIDE, SIDE).expand(-1, 3, -1, -1).float() / 255 - 0.5) / 0.5


def collator_of(model: Any) -> Any:
    """The trainer's batches for a model, with enough of a tokenizer: results are tokens already."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    from extraction.families import family_of
    from extraction.generate.spans import NAME
    from finetune.encode import Collator

    marks = {"<pad>": PAD, "<start_of_image>": BOI, "<image_soft_token>": SOFT, "<end_of_image>": EOI}
    words = Tokenizer(WordLevel(marks, unk_token="<pad>"))
    model.set_attn_implementation(NAME)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>")
    return Collator(family_of(model.config, tokenizer), in_row=True)


def loss_of(model: Any, collate: Any, images: list[Image.Image], texts: list[str]) -> torch.Tensor:
    """The loss over the results' letters and their end."""
    from finetune.encode import IGNORED

    examples = []
    for text in texts:
        answer = [FIRST + LETTERS.index(letter) for letter in text] + [STOP]
        examples.append({"input_ids": PROMPT + answer, "labels": [IGNORED] * len(PROMPT) + answer})
    return model(**collate(examples), pixel_values=pixels_of(images)).loss


@torch.inference_mode()
def read(model: Any, images: list[Image.Image]) -> list[str]:
    """What the model reads, greedily, without a cache: the whole row again for each letter."""
    model.eval()
    found = []
    for first in range(0, len(images), 100):
        pixels = pixels_of(images[first : first + 100])
        ids = torch.tensor([PROMPT] * len(pixels))
        for _ in range(LONGEST + 1):
            logits = model(input_ids=ids, pixel_values=pixels, token_type_ids=(ids == SOFT).long()).logits[:, -1]
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], 1)
        for row in ids[:, len(PROMPT) :].tolist():
            letters = row[: row.index(STOP)] if STOP in row else row
            found.append("".join(LETTERS[token - FIRST] if token >= FIRST else "?" for token in letters))
    return found


if __name__ == "__main__":
    main()
