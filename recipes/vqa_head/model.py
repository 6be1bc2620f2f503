"""Two towers' tokens fused, and a classifier over the training answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from recipes.contrastive.model import DualEncoder
from recipes.vqa_head.config import FusionConfig


class Fusion(nn.Module):
    """METER's co-attention (arXiv 2111.02387): in each layer a stream looks at itself, then at the other one."""

    def __init__(self, image: int, text: int, config: FusionConfig):
        super().__init__()
        width = config.width
        self.image_in, self.text_in = nn.Linear(image, width), nn.Linear(text, width)
        self.kinds = nn.Embedding(2, width)
        self.images = nn.ModuleList(_layer(config) for _ in range(config.layers))
        self.texts = nn.ModuleList(_layer(config) for _ in range(config.layers))
        self.poolers = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(2))

    def forward(self, image: torch.Tensor, text: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        """Fused vectors [n, 2 * width] of tokens [n, tokens, ...] of both; no word where padding is True."""
        image = self.image_in(image) + self.kinds.weight[0]
        text = self.text_in(text) + self.kinds.weight[1]
        for see, read in zip(self.images, self.texts, strict=True):
            image, text = (
                see(image, text, memory_key_padding_mask=padding),
                read(text, image, tgt_key_padding_mask=padding),
            )
        first = [pool(tokens[:, 0]) for pool, tokens in zip(self.poolers, (image, text), strict=True)]
        return torch.cat(first, dim=1)


def _layer(config: FusionConfig) -> nn.Module:
    return nn.TransformerDecoderLayer(
        config.width, config.heads, 4 * config.width, config.dropout, "gelu", batch_first=True
    )


class VqaModel(nn.Module):
    """A dual encoder's towers, their fusion, and a score for every answer."""

    def __init__(self, dual: DualEncoder, config: FusionConfig, answers: int):
        super().__init__()
        self.dual = dual
        towers: list[Any] = [dual.vision, dual.text]
        image, text = (tower.config.hidden_size for tower in towers)
        self.fusion = Fusion(image, text, config)
        width = config.width
        self.classifier = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, answers)
        )

    def forward(
        self, pixels: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Scores [n, answers]."""
        image = self.dual.vision(pixel_values=pixels).last_hidden_state
        text = self.dual.text(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        padding = None if attention_mask is None else attention_mask == 0
        scores: torch.Tensor = self.classifier(self.fusion(image, text, padding))
        return scores
