"""Tiny random dual encoders in the layouts that real ones are published in, and the published names of BiomedCLIP."""

import json
import string

import torch
from accelerate import init_empty_weights
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from recipes.contrastive.layouts import open_clip_model, published_state

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
COLOURS = ("red", "green", "blue", "yellow", "white", "purple")
SHAPES = ("circle", "square", "triangle")
PLACES = ("left", "right")
WORDS = (*COLOURS, *SHAPES, *PLACES, "a", "an", "of", "on", "the", "photo", "image", "this", "is", "in", "presented")
LETTERS = [*string.ascii_lowercase, *string.digits, *".,:;()-<>%/'&"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS, *(f"##{one}" for one in LETTERS)]
VOCABULARY = list(dict.fromkeys(VOCABULARY))


def published_shapes(width=768, depth=12, side=224, patch=16, vocabulary=30522, positions=512, embed=512):
    """Names and shapes of a state dict of BiomedCLIP's architecture, as open_clip writes it."""
    wide, between = 4 * width, (width + embed) // 2
    shapes = {
        "logit_scale": (),
        "visual.trunk.cls_token": (1, 1, width),
        "visual.trunk.pos_embed": (1, 1 + (side // patch) ** 2, width),
        "visual.trunk.patch_embed.proj.weight": (width, 3, patch, patch),
        "visual.trunk.patch_embed.proj.bias": (width,),
        "visual.trunk.norm.weight": (width,),
        "visual.trunk.norm.bias": (width,),
        "visual.head.proj.weight": (embed, width),
        "text.proj.0.weight": (between, width),
        "text.proj.2.weight": (embed, between),
        "text.transformer.embeddings.word_embeddings.weight": (vocabulary, width),
        "text.transformer.embeddings.position_embeddings.weight": (positions, width),
        "text.transformer.embeddings.token_type_embeddings.weight": (2, width),
        "text.transformer.embeddings.LayerNorm.weight": (width,),
        "text.transformer.embeddings.LayerNorm.bias": (width,),
    }
    sizes = {
        "visual.trunk.blocks.{}.": {
            "norm1": (width,),
            "norm2": (width,),
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (wide, width),
            "mlp.fc2": (width, wide),
        },
        "text.transformer.encoder.layer.{}.": {
            "attention.self.query": (width, width),
            "attention.self.key": (width, width),
            "attention.self.value": (width, width),
            "attention.output.dense": (width, width),
            "attention.output.LayerNorm": (width,),
            "intermediate.dense": (wide, width),
            "output.dense": (width, wide),
            "output.LayerNorm": (width,),
        },
    }
    for prefix, modules in sizes.items():
        for layer in range(depth):
            for name, shape in modules.items():
                shapes[f"{prefix.format(layer)}{name}.weight"] = shape
                shapes[f"{prefix.format(layer)}{name}.bias"] = shape[:1]
    return shapes


def published_config(embed=512, side=224, tokens=256):
    """`open_clip_config.json` as BiomedCLIP has it; the hub name of its text tower is never asked for."""
    name = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
    return {
        "model_cfg": {
            "embed_dim": embed,
            "vision_cfg": {
                "timm_model_name": "vit_base_patch16_224",
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "image_size": side,
            },
            "text_cfg": {
                "hf_model_name": name,
                "hf_tokenizer_name": name,
                "hf_proj_type": "mlp",
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": tokens,
            },
        },
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD)},
    }


def meta_model(**sizes):
    with init_empty_weights(include_buffers=False):
        return open_clip_model(published_config()["model_cfg"], published_shapes(**sizes), "BiomedCLIP")


def save_tokenizer(folder):
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)


def tiny_biomedclip(folder, seed=0, width=64, depth=2, side=32, patch=8, tokens=32, embed=32):
    """A folder as BiomedCLIP's, with random weights of a small size."""
    torch.manual_seed(seed)
    save_tokenizer(folder)
    shapes = published_shapes(width, depth, side, patch, len(VOCABULARY), 64, embed)
    config = published_config(embed, side, tokens)
    model = open_clip_model(config["model_cfg"], shapes, "tiny")
    with torch.no_grad():
        model.temperature.scale.fill_(2.6593)
    save_file(published_state(model, "open_clip"), folder / "open_clip_model.safetensors", {"format": "pt"})
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def tiny_transformers(folder, kind="siglip", seed=0, side=32):
    """A folder as MedSigLIP's (or a CLIP's), with random weights of a small size."""
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    torch.manual_seed(seed)
    save_tokenizer(folder)
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**text, "image_size": side, "patch_size": 8}
    ids = {"vocab_size": len(VOCABULARY), "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    if kind == "siglip":
        words = {**text, **ids, "max_position_embeddings": 16, "projection_size": 32}
        model = SiglipModel(SiglipConfig(text_config=words, vision_config=vision))
        processing = {"size": {"height": side, "width": side}, "resample": 2}
        mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    else:
        words = {**text, **ids, "max_position_embeddings": 20}
        model = CLIPModel(CLIPConfig(text_config=words, vision_config=vision, projection_dim=32))
        processing = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, "resample": 3}
        mean, std = MEAN, STD
    model.eval().save_pretrained(folder)
    processor = "SiglipImageProcessor" if kind == "siglip" else "CLIPImageProcessor"
    values = {**processing, "image_mean": mean, "image_std": std, "image_processor_type": processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def figure(colour, shape, place, side=40):
    """A drawn figure: one shape of one colour on one side."""
    image = Image.new("RGB", (side, side), "black")
    left = 4 if place == "left" else side // 2
    box = (left, side // 4, left + side // 2 - 4, side // 4 + side // 2 - 4)
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])], fill=colour)
    return image


def figures(folder, count, seed=0):
    """A folder of figures with `captions.csv` (image, caption, patient)."""
    import csv
    import random

    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [(colour, shape, place) for colour in COLOURS for shape in SHAPES for place in PLACES]
    rows = []
    for number in range(count):
        colour, shape, place = kinds[number % len(kinds)] if count >= len(kinds) else rng.choice(kinds)
        image = figure(colour, shape, place, rng.choice((36, 40, 48)))
        image.putpixel((0, 0), (0, 0, seed))  # two sets have no picture in common
        image.save(folder / f"{number}.png")
        row = {"image": f"{number}.png", "caption": f"a {colour} {shape} on the {place}", "patient": f"{seed}-{number}"}
        rows.append(row)
    with (folder / "captions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("image", "caption", "patient"))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "captions.csv"
