"""Synthetic figures with captions, and a small dual encoder with random weights: for proofs, tests and a first try."""

from __future__ import annotations

import csv
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extraction.errors import AssayError
from extraction.files import whole_folder

if TYPE_CHECKING:
    from PIL import Image

SHAPES = ("circle", "square", "triangle", "ring", "cross")
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 190, 60),
    "blue": (60, 90, 240),
    "yellow": (235, 220, 50),
    "white": (240, 240, 240),
    "purple": (170, 60, 200),
}
PLACES = ("top left", "top right", "bottom left", "bottom right")
COUNTS = ("one", "two", "three")
SIDE = 48  # pixels of a figure; a quarter has four cells of a quarter of it
HELD_OUT = 6  # every so-many-th combination is never trained on
_WORDS = (*SHAPES, *(f"{shape}s" for shape in SHAPES), "crosses", *COLOURS, "top", "bottom", "left", "right", *COUNTS)
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS, "at", "the", "a", "photo", "of", "image", "in")


@dataclass(frozen=True)
class Figure:
    """What a figure shows: shapes of one kind and colour in one quarter."""

    shape: str
    colour: str
    place: str
    count: str

    @property
    def caption(self) -> str:
        """What is said of it: "two red circles at the top left"."""
        many = {"cross": "crosses"}.get(self.shape, f"{self.shape}s") if self.count != "one" else self.shape
        return f"{self.count} {self.colour} {many} at the {self.place}"

    def draw(self, rng: random.Random, shifted: bool = False) -> Image.Image:
        """The figure as an image of SIDE pixels; every drawing differs in cells, size and ground.

        Args:
            shifted: as another apparatus would show it: dim and blurred, on a light ground, colours turned.
        """
        from PIL import Image, ImageDraw, ImageFilter

        ground = rng.randrange(0, 40)
        image = Image.new("RGB", (SIDE, SIDE), (ground, ground, ground))
        pen = ImageDraw.Draw(image)
        cell = SIDE // 4
        cells = rng.sample([(0, 0), (0, 1), (1, 0), (1, 1)], COUNTS.index(self.count) + 1)
        colour = tuple(max(0, min(255, value + rng.randrange(-15, 16))) for value in COLOURS[self.colour])
        for column, row in cells:
            left = 2 * cell * ("right" in self.place) + column * cell
            top = 2 * cell * ("bottom" in self.place) + row * cell
            _shape(pen, self.shape, (left + 1, top + 1, left + cell - rng.randrange(2, 4), top + cell - 2), colour)
        if shifted:
            red, green, blue = image.split()
            image = Image.merge("RGB", (blue, red, green)).filter(ImageFilter.GaussianBlur(0.7))
            image = image.point(lambda value: 255 - 0.6 * value)
        return image


def _shape(pen: Any, shape: str, box: tuple[int, int, int, int], colour: Any) -> None:
    left, top, right, bottom = box
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    elif shape == "triangle":
        pen.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=colour)
    elif shape == "ring":
        pen.ellipse(box, outline=colour, width=2)
    else:
        pen.line((left, top, right, bottom), fill=colour, width=3)
        pen.line((left, bottom, right, top), fill=colour, width=3)


def combinations() -> tuple[list[Figure], list[Figure]]:
    """All figures: those to train on, and those that are never trained on."""
    every = [Figure(*parts) for parts in itertools.product(SHAPES, COLOURS, PLACES, COUNTS)]
    random.Random(0).shuffle(every)
    held_out = every[::HELD_OUT]
    return [figure for figure in every if figure not in held_out], held_out


def write_figures(
    folder: Path, figures: Sequence[Figure], count: int, seed: int, shifted: bool = False, classes: bool = False
) -> Path:
    """Write `count` drawings with `captions.csv` (image, caption, patient), or a folder for each shape (`classes`).

    Raises:
        AssayError: the folder is there and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise AssayError(f"{folder} is not empty; choose another folder.")
    rng = random.Random(seed)
    with whole_folder(folder) as made, (made / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "caption", "patient"))
        for number in range(count):
            figure = figures[number % len(figures)]
            name = f"{figure.shape}/{number:05}.png" if classes else f"{number:05}.png"
            (made / name).parent.mkdir(exist_ok=True)
            figure.draw(rng, shifted).save(made / name)
            writer.writerow((name, figure.caption, f"{seed}-{number}"))
        if classes:
            file.close()
            (made / "captions.csv").unlink()
    return folder if classes else folder / "captions.csv"


def write_model(
    folder: Path,
    width: int = 128,
    depth: int = 3,
    patch: int = 8,
    embed: int = 64,
    side: int = SIDE,
    wide: int = 2,
    words: int = len(VOCABULARY),
    seed: int = 0,
) -> Path:
    """Write a BiomedCLIP of some size with random weights: its layout, its classes.

    Args:
        width, depth, wide: of both towers: width, layers, how much wider the layers' inner parts are.
        patch, side: pixels. embed: width of the common space.
        words: rows of the text tower's table; the tokenizer knows those of the figures' captions.
    """
    import torch
    from safetensors.torch import save_file

    from recipes.contrastive.layouts import HEAD_WIDTH, OPEN_CLIP, published_state

    torch.manual_seed(seed)
    config = {
        "model_cfg": {
            "embed_dim": embed,
            "vision_cfg": {"timm_model_name": "vit_small", "timm_pool": "", "timm_proj": "linear", "image_size": side},
            "text_cfg": {
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "hf_model_config": {"num_attention_heads": width // HEAD_WIDTH},
                "context_length": 32,
            },
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }
    with whole_folder(folder) as made:
        save_tokenizer(made)
        model = _towers(width, depth, wide, (patch, side), embed, words)
        save_file(published_state(model, "open_clip"), made / "open_clip_model.safetensors", {"format": "pt"})
        (made / OPEN_CLIP).write_text(json.dumps(config, indent=1), encoding="utf-8")
    return folder


def _towers(width: int, depth: int, wide: int, image: tuple[int, int], embed: int, words: int) -> Any:
    import math

    import torch
    from torch import nn
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel

    from recipes.contrastive.layouts import HEAD_WIDTH
    from recipes.contrastive.model import DualEncoder, Temperature

    sizes: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // HEAD_WIDTH,
        "intermediate_size": wide * width,
    }
    vision = ViTModel(
        ViTConfig(**sizes, image_size=image[1], patch_size=image[0], layer_norm_eps=1e-6), add_pooling_layer=False
    )
    text = BertModel(BertConfig(**sizes, vocab_size=words, max_position_embeddings=32), add_pooling_layer=False)
    between = (width + embed) // 2
    projection = nn.Sequential(nn.Linear(width, between, bias=False), nn.GELU(), nn.Linear(between, embed, bias=False))
    scale = Temperature(torch.tensor(math.log(1 / 0.07)))  # CLIP's start
    return DualEncoder(vision, text, nn.Linear(width, embed, bias=False), projection, scale, "first")


def save_tokenizer(folder: Path, words: Sequence[str] = VOCABULARY) -> None:
    """Write a BERT tokenizer that knows these words, as BiomedCLIP has its own beside its weights."""
    from transformers import BertTokenizer

    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
