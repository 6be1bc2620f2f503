"""Plain decoders of text: Qwen 3, Llama, SmolLM3, and what has their form."""

from __future__ import annotations

from extraction.families.base import Family


class PlainDecoder(Family):
    """A decoder whose layers all attend to all that stands before."""

    model_types = ("qwen3", "llama", "smollm3", "qwen2")
    # `<|im_start|>`, `<|eot_id|>`, `<|begin_of_text|>`, `</s>` and their like, and what opens thoughts.
    control = r"<(?=\|[\w ]+\|>|/?(?:s|think|tool_call|tool_response)>)"
    thinking = ("<think>", "</think>")


FAMILY = PlainDecoder
