"""A dual encoder: two towers of transformers, what projects them into one space, and a temperature."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from extraction.errors import AssayError

Pooling = Literal["first", "pooler"]


class Temperature(nn.Module):
    """What makes logits of cosine similarities: times exp(scale), plus a bias where the sigmoid loss has one.

    A module, and no bare parameters as in the published models, so that PEFT can train and save it with an adapter.
    """

    bias: nn.Parameter | None

    def __init__(self, scale: torch.Tensor, bias: torch.Tensor | None = None):
        super().__init__()
        self.scale = nn.Parameter(scale)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias))

    def forward(self, similarity: torch.Tensor) -> torch.Tensor:
        """Logits of similarities, in any shape."""
        logits = similarity * self.scale.float().exp()
        return logits if self.bias is None else logits + self.bias.float()


class DualEncoder(nn.Module):
    """Images and texts as vectors of length 1 in one space.

    Args:
        vision, text: towers of transformers.
        image_projection, text_projection: from a tower's width to the common one; identity where the tower ends in it.
        pooling: a tower's vector: its first token's last state (BiomedCLIP), or its own pooled output.
    """

    def __init__(
        self,
        vision: nn.Module,
        text: nn.Module,
        image_projection: nn.Module,
        text_projection: nn.Module,
        temperature: Temperature,
        pooling: Pooling,
    ):
        super().__init__()
        self.vision, self.text = vision, text
        self.image_projection, self.text_projection = image_projection, text_projection
        self.temperature = temperature
        self.pooling = pooling

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors [n, width] of pixels [n, 3, height, width], normalised as the model wants them."""
        out = self.vision(pixel_values=pixels)
        return nn.functional.normalize(self.image_projection(self._pooled(out)).float(), dim=-1)

    def encode_text(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors [n, width] of tokens [n, length]; the mask [n, length] is 0 on padding."""
        out = self.text(input_ids=input_ids, attention_mask=attention_mask)
        return nn.functional.normalize(self.text_projection(self._pooled(out)).float(), dim=-1)

    def forward(
        self, pixels: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of images and of texts."""
        return self.encode_image(pixels), self.encode_text(input_ids, attention_mask)

    def _pooled(self, out: Any) -> torch.Tensor:
        pooled: torch.Tensor = out.last_hidden_state[:, 0] if self.pooling == "first" else out.pooler_output
        return pooled


def finite(vectors: torch.Tensor, name: str) -> torch.Tensor:
    """The vectors, unless some are no numbers: every figure and ranking made of those would be empty of sense.

    Args:
        name: of the model that made them.

    Raises:
        AssayError: some are NaN or infinite.
    """
    if not vectors.isfinite().all():
        raise AssayError(
            f"{name} makes vectors that are not finite (NaN): its weights or its preprocessing are damaged. Copy or "
            "fetch it again; if you tuned it, tune it with a lower learning rate."
        )
    return vectors
