"""The layouts that dual encoders are published in, and which of our modules each of their tensors belongs to.

`open_clip`: a timm ViT and a BERT of transformers, `open_clip_config.json`; BiomedCLIP and its kin. `transformers`:
`SiglipModel` and `CLIPModel`. In both, towers are classes of transformers: neither torchvision nor timm nor open_clip
is needed. Sizes are taken from the tensors themselves, so that no config of a text tower is asked of the hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from extraction.errors import AssayError
from recipes.contrastive.model import DualEncoder, Temperature

Shapes = Mapping[str, tuple[int, ...]]

OPEN_CLIP, TRANSFORMERS = "open_clip_config.json", "config.json"
HEAD_WIDTH = 64  # of an attention head, in the ViTs and BERTs whose names are known to have it
# No tensor tells how many heads an attention has, and another number of them gives other vectors unasked: timm's names
# tell (width of a head), of BERTs the names of those with heads of HEAD_WIDTH.
_VIT_HEADS = {
    **dict.fromkeys(("tiny", "small", "medium", "base", "large"), HEAD_WIDTH),
    **{"huge": 80, "giant": 88, "gigantic": 104, "so400m": 72},
}
_BERTS = re.compile(
    r"(.*[/_-])?((pubmed|biomed|cxr-|bio|clinical|sci|sap)bert|bert[-_](tiny|mini|small|medium|base|large)).*"
)
_ROBERTAS = re.compile(r"roberta|xlm|bertweet|camembert")
# Ours, then theirs; timm keeps query, key and value in one tensor, in this order.
_OPEN_CLIP = (
    (r"vision\.layers\.(\d+)\.attention\.[qkv]_proj\.", r"visual.trunk.blocks.\1.attn.qkv."),
    (r"vision\.layers\.(\d+)\.attention\.o_proj\.", r"visual.trunk.blocks.\1.attn.proj."),
    (r"vision\.layers\.(\d+)\.layernorm_before\.", r"visual.trunk.blocks.\1.norm1."),
    (r"vision\.layers\.(\d+)\.layernorm_after\.", r"visual.trunk.blocks.\1.norm2."),
    (r"vision\.layers\.(\d+)\.mlp\.", r"visual.trunk.blocks.\1.mlp."),
    (r"vision\.embeddings\.cls_token", "visual.trunk.cls_token"),
    (r"vision\.embeddings\.position_embeddings", "visual.trunk.pos_embed"),
    (r"vision\.embeddings\.patch_embeddings\.projection\.", "visual.trunk.patch_embed.proj."),
    (r"vision\.layernorm\.", "visual.trunk.norm."),
    (r"image_projection\.", "visual.head.proj."),
    (r"text_projection\.", "text.proj."),
    (r"text\.", "text.transformer."),
    (r"temperature\.", "logit_"),
)
_TRANSFORMERS = (
    (r"vision\.", "vision_model."),
    (r"text\.", "text_model."),
    (r"image_projection\.", "visual_projection."),
    (r"text_projection\.", "text_projection."),
    (r"temperature\.", "logit_"),
)
# Buffers that older releases of transformers wrote among the weights.
_LEGACY = re.compile(r".*\.position_ids")


def published_names(model: nn.Module, layout: str) -> dict[str, list[str]]:
    """Each published tensor's name with those of ours that it is made of, in order along its first dimension.

    Args:
        layout: `open_clip` or `transformers`.
    """
    rules = _OPEN_CLIP if layout == "open_clip" else _TRANSFORMERS
    table: dict[str, list[str]] = {}
    for name in model.state_dict():
        theirs = next(re.sub(rf"^{ours}", new, name) for ours, new in rules if re.match(ours, name))
        table.setdefault(theirs, []).append(name)
    if layout == "open_clip":
        for theirs, ours in table.items():
            if ".qkv." in theirs:
                ours.sort(key=lambda name: "qkv".index(name.split(".")[-2][0]))
    return table


def fill(model: nn.Module, tensors: Mapping[str, torch.Tensor], layout: str, source: str) -> None:
    """Give a model the tensors of a published state dict.

    Raises:
        AssayError: one is missing, or is there that has no place.
    """
    table = published_names(model, layout)
    extra = sorted(name for name in tensors if name not in table and not _LEGACY.fullmatch(name))
    missing = sorted(table.keys() - tensors.keys())
    if extra or missing:
        raise AssayError(
            f"The weights in {source} are not those of this model: {len(missing)} tensors are missing, {len(extra)} "
            f"have no place ({(missing or extra)[0]} is one of them); take config and weights from one model."
        )
    parts = {name: part for theirs, ours in table.items() for name, part in _split(tensors[theirs], ours)}
    try:
        model.load_state_dict(parts, assign=True)
    except RuntimeError as error:
        said = str(error).splitlines()[1].strip()
        raise AssayError(f"The weights in {source} have other sizes than its config says: {said}") from None


def _split(tensor: torch.Tensor, names: list[str]) -> list[tuple[str, torch.Tensor]]:
    """A tensor's equal parts along its first dimension, each of its own memory, as safetensors wants them."""
    if len(names) == 1:
        return [(names[0], tensor)]
    return [(name, part.clone()) for name, part in zip(names, tensor.chunk(len(names)), strict=True)]


def published_state(model: nn.Module, layout: str) -> dict[str, torch.Tensor]:
    """The state dict of a model by the names that it was published with."""
    state = model.state_dict()
    table = published_names(model, layout)
    return {
        theirs: (state[ours[0]] if len(ours) == 1 else torch.cat([state[name] for name in ours])).contiguous()
        for theirs, ours in table.items()
    }


def open_clip_model(config: Mapping[str, Any], shapes: Shapes, source: str) -> DualEncoder:
    """The dual encoder of a published open_clip config, without weights.

    Args:
        config: of `open_clip_config.json`, its `model_cfg`.
        shapes: of the state dict's tensors.

    Raises:
        AssayError: other towers than a timm ViT and a BERT, other pooling than theirs in BiomedCLIP, or towers whose
            number of attention heads nothing tells.
    """
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    _check_open_clip(vision, text, shapes, source)
    width = int(config["embed_dim"])
    projection = nn.Linear(_shape(shapes, "visual.trunk.norm.weight", source)[0], width, bias=False)
    bias = torch.zeros(shapes["logit_bias"]) if "logit_bias" in shapes else None
    return DualEncoder(
        _vit(shapes, int(vision["image_size"]), _vit_head(vision, source), source),
        _bert(shapes, text, source),
        projection,
        _text_projection(shapes, source),
        Temperature(torch.zeros(()), bias),
        "first",
    )


def _check_open_clip(vision: Mapping[str, Any], text: Mapping[str, Any], shapes: Shapes, source: str) -> None:
    embeddings = "text.transformer.embeddings"
    named = " ".join(str(text.get(key, "")) for key in ("hf_model_name", "hf_tokenizer_name")).casefold()
    kind = _told(text).get("model_type", "bert")
    # RoBERTa's tensors have BERT's names, and its positions begin at 2.
    roberta = (
        bool(_ROBERTAS.search(named))
        or shapes.get(f"{embeddings}.token_type_embeddings.weight", (2,))[0] == 1
        or shapes.get(f"{embeddings}.position_embeddings.weight", (0,))[0] == 514
    )
    known = (
        (str(vision.get("timm_model_name", "")).startswith("vit_"), "a vision tower other than timm's ViT"),
        ("visual.trunk.blocks.0.attn.qkv.weight" in shapes, "a vision tower other than timm's ViT"),
        ("text.transformer.encoder.layer.0.attention.self.query.weight" in shapes, "a text tower other than BERT"),
        (not roberta, "RoBERTa as its text tower"),
        (kind == "bert", f"{kind} as its text tower"),
        (text.get("hf_pooler_type") == "cls_last_hidden_state_pooler", f"the pooling {text.get('hf_pooler_type')}"),
        (vision.get("timm_pool") in ("", "token", None), f"the pooling {vision.get('timm_pool')}"),
        (vision.get("timm_proj") == "linear", f"the projection {vision.get('timm_proj')}"),
    )
    for holds, what in known:
        if not holds:
            raise AssayError(
                f"{source} has {what}, which is not known here; of open_clip's models those with a timm ViT and a BERT "
                "are (BiomedCLIP), of transformers' CLIPModel and SiglipModel."
            )


def _told(text: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a config says of the text tower itself, beside the name that stands for it on the hub."""
    told: Mapping[str, Any] = text.get("hf_model_config") or {}
    return told


def _vit_head(vision: Mapping[str, Any], source: str) -> int:
    """The width of a timm ViT's attention heads."""
    name = str(vision["timm_model_name"])
    width = _VIT_HEADS.get(name.split("_")[1], vision.get("head_width"))
    if type(width) is not int or width < 1:
        raise AssayError(
            f"{source} has the vision tower {name}, and how wide its attention heads are is not known here; write "
            f"vision_cfg.head_width into its {OPEN_CLIP}."
        )
    return width


def _bert_heads(text: Mapping[str, Any], width: int, source: str) -> int:
    """The number of a BERT's attention heads."""
    name, told = str(text.get("hf_model_name", "")), _told(text).get("num_attention_heads")
    if told is None and _BERTS.fullmatch(name.casefold()):
        return max(1, width // HEAD_WIDTH)
    if type(told) is not int or told < 1 or width % told:
        raise AssayError(
            f"{source} has the text tower {name or 'without a name'}, and how many attention heads it has is not known "
            f"here; write text_cfg.hf_model_config.num_attention_heads into its {OPEN_CLIP}."
        )
    return told


def _heads(width: int, head: int, source: str) -> int:
    """How many heads of a width there are; a narrower tower has one."""
    if width > head and width % head:
        raise AssayError(
            f"{source} has a vision tower {width} wide, which heads of {head} do not divide: its config is another "
            "model's; take config and weights from one model."
        )
    return max(1, width // head)


def _shape(shapes: Shapes, name: str, source: str) -> tuple[int, ...]:
    if name not in shapes:
        raise AssayError(f"The weights in {source} are not whole: {name} is missing; copy or fetch them again.")
    return shapes[name]


def _depth(shapes: Shapes, prefix: str) -> int:
    return 1 + max(int(found.group(1)) for name in shapes if (found := re.match(rf"{re.escape(prefix)}(\d+)\.", name)))


def _vit(shapes: Shapes, image_size: int, head: int, source: str) -> nn.Module:
    from transformers import ViTConfig, ViTModel

    width, channels, patch, _ = _shape(shapes, "visual.trunk.patch_embed.proj.weight", source)
    config = ViTConfig(
        hidden_size=width,
        num_hidden_layers=_depth(shapes, "visual.trunk.blocks."),
        num_attention_heads=_heads(width, head, source),
        intermediate_size=_shape(shapes, "visual.trunk.blocks.0.mlp.fc1.weight", source)[0],
        image_size=image_size,
        patch_size=patch,
        num_channels=channels,
        layer_norm_eps=1e-6,  # timm's; transformers has 1e-12
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        qkv_bias="visual.trunk.blocks.0.attn.qkv.bias" in shapes,
    )
    return ViTModel(config, add_pooling_layer=False)


def _bert(shapes: Shapes, text: Mapping[str, Any], source: str) -> nn.Module:
    from transformers import BertConfig, BertModel

    embeddings = "text.transformer.embeddings"
    vocabulary, width = _shape(shapes, f"{embeddings}.word_embeddings.weight", source)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=_depth(shapes, "text.transformer.encoder.layer."),
        num_attention_heads=_bert_heads(text, width, source),
        intermediate_size=_shape(shapes, "text.transformer.encoder.layer.0.intermediate.dense.weight", source)[0],
        max_position_embeddings=_shape(shapes, f"{embeddings}.position_embeddings.weight", source)[0],
        type_vocab_size=_shape(shapes, f"{embeddings}.token_type_embeddings.weight", source)[0],
    )
    return BertModel(config, add_pooling_layer=False)


def _text_projection(shapes: Shapes, source: str) -> nn.Module:
    """open_clip's `mlp` (two layers, no biases) or `linear`, whichever the weights are of."""
    if "text.proj.weight" in shapes:
        out, width = shapes["text.proj.weight"]
        return nn.Linear(width, out, bias=False)
    between, width = _shape(shapes, "text.proj.0.weight", source)
    out = _shape(shapes, "text.proj.2.weight", source)[0]
    return nn.Sequential(nn.Linear(width, between, bias=False), nn.GELU(), nn.Linear(between, out, bias=False))


def transformers_model(config: Any) -> DualEncoder:
    """The dual encoder of a transformers config of CLIP or SigLIP, without weights."""
    from transformers import CLIPModel, SiglipModel

    if config.model_type == "siglip":
        own = SiglipModel(config)
        temperature = Temperature(torch.zeros(1), torch.zeros(1))
        return DualEncoder(own.vision_model, own.text_model, nn.Identity(), nn.Identity(), temperature, "pooler")
    clip: Any = CLIPModel(config)
    return DualEncoder(
        clip.vision_model,
        clip.text_model,
        clip.visual_projection,
        clip.text_projection,
        Temperature(torch.zeros(())),
        "pooler",
    )
