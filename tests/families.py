"""The table of model families: tiny random models of the real classes, each with a tokenizer of its family's form."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
        "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
SLIDING = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"] * 2, "num_hidden_layers": 4}


@dataclass(frozen=True)
class Kind:
    """A row of the table.

    Attributes:
        turn, ends: what opens and closes a turn in its chat template.
        answers: what the template puts between the opening of the model's turn and its answer.
        tokens: special tokens besides those.
        image: what the template writes for an image; None for a model that reads text alone.
        role: the model's name in a turn.
        build: the model, of a number of words and the id of each special token.
    """

    build: Callable[[int, Callable[[str], int]], Any]
    turn: tuple[str, str]
    ends: str
    answers: str = ""
    tokens: tuple[str, ...] = ()
    image: str | None = None
    role: str = "assistant"
    bos: str = "<bos>"
    processor: dict[str, Any] = field(default_factory=dict)

    @property
    def template(self) -> str:
        return (
            "{{ bos_token }}{%- for m in messages -%}{%- set a = m['role'] == 'assistant' -%}"
            f"{{{{ '{self.turn[0]}' + ('{self.role}' if a else m['role']) + '{self.turn[1]}' }}}}"
            f"{{%- if a -%}}{{{{ '{self.answers}' }}}}{{%- endif -%}}"
            "{%- if m['content'] is string -%}{{ m['content'] | trim }}{%- else -%}{%- for i in m['content'] -%}"
            f"{{%- if i['type'] == 'image' -%}}{{{{ '{self.image}' }}}}"
            "{%- else -%}{{ i['text'] | trim }}{%- endif -%}{%- endfor -%}{%- endif -%}"
            f"{{{{ '{self.ends}' }}}}{{%- endfor -%}}"
            f"{{%- if add_generation_prompt -%}}{{{{ '{self.turn[0]}{self.role}{self.turn[1]}' }}}}"
            f"{{%- if not enable_thinking -%}}{{{{ '{self.answers}' }}}}{{%- endif -%}}{{%- endif -%}}"
        )


def gemma3_text(words, _):
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    return Gemma3ForCausalLM(Gemma3TextConfig(**TEXT, **SLIDING, vocab_size=words))


def gemma3(words, at):
    import torch
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 112, "patch_size": 14, "vision_use_head": False}  # fmt: skip
    config = Gemma3Config(
        text_config={**TEXT, **SLIDING, "vocab_size": words}, vision_config=vision, mm_tokens_per_image=16,
        boi_token_index=at("<start_of_image>"), eoi_token_index=at("<end_of_image>"),
        image_token_index=at("<image_soft_token>"), image_token_id=at("<image_soft_token>"),
        initializer_range=0.2,
    )  # fmt: skip
    model = Gemma3ForConditionalGeneration(config)
    # transformers starts the projector at zero, where every image would look the same.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.5)
    return model


GEMMA4 = {**TEXT, **SLIDING, "num_kv_shared_layers": 2, "global_head_dim": 64, "hidden_size_per_layer_input": 8,
          "final_logit_softcapping": 30.0, "use_bidirectional_attention": "vision"}  # fmt: skip


def gemma4_text(words, _):
    from transformers import Gemma4ForCausalLM, Gemma4TextConfig

    return Gemma4ForCausalLM(Gemma4TextConfig(**GEMMA4, vocab_size=words, vocab_size_per_layer_input=words))


def gemma4(words, at):
    from transformers import Gemma4Config, Gemma4ForConditionalGeneration

    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
              "num_key_value_heads": 2, "head_dim": 8, "patch_size": 4, "position_embedding_size": 64,
              "initializer_range": 0.2}  # fmt: skip
    config = Gemma4Config(
        text_config={**GEMMA4, "vocab_size": words, "vocab_size_per_layer_input": words},
        vision_config=vision, audio_config=None, initializer_range=0.2,
        boi_token_id=at("<|image>"), eoi_token_id=at("<image|>"), image_token_id=at("<|image|>"),
    )  # fmt: skip
    return Gemma4ForConditionalGeneration(config)


def qwen3_vl(words, at):
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "patch_size": 4,
              "out_hidden_size": TEXT["hidden_size"], "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
              "initializer_range": 0.2}  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 4, 4], "mrope_interleaved": True}
    text = {**TEXT, "num_hidden_layers": 3, "vocab_size": words, "rope_parameters": rope}
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, image_token_id=at("<|image_pad|>"),
        vision_start_token_id=at("<|vision_start|>"), vision_end_token_id=at("<|vision_end|>"),
        video_token_id=at("<|video_pad|>"),
    )  # fmt: skip
    return Qwen3VLForConditionalGeneration(config)


def decoder(name, **more):
    def build(words, _):
        import transformers

        config = getattr(transformers, f"{name}Config")(**TEXT, num_hidden_layers=3, vocab_size=words, **more)
        return getattr(transformers, f"{name}ForCausalLM")(config)

    return build


GEMMA3_TURNS = {"turn": ("<start_of_turn>", "\\n"), "ends": "<end_of_turn>\\n", "role": "model"}
GEMMA4_TURNS = {"turn": ("<|turn>", "\\n"), "ends": "<turn|>\\n", "role": "model",
                "answers": "<|channel>thought\\n<channel|>"}  # fmt: skip
CHATML = {"turn": ("<|im_start|>", "\\n"), "ends": "<|im_end|>\\n", "bos": ""}
KINDS = {
    "gemma3_text": Kind(gemma3_text, **GEMMA3_TURNS),
    "gemma3": Kind(gemma3, **GEMMA3_TURNS, image="<start_of_image>", tokens=("<end_of_image>", "<image_soft_token>")),
    "gemma4_text": Kind(gemma4_text, **GEMMA4_TURNS),
    "gemma4": Kind(gemma4, **GEMMA4_TURNS, image="\\n\\n<|image|>\\n\\n", tokens=("<|image>", "<image|>"),
                   processor={"image_processor_type": "Gemma4ImageProcessor", "max_soft_tokens": 70, "patch_size": 4}),
    "qwen3_vl": Kind(qwen3_vl, **CHATML, image="<|vision_start|><|image_pad|><|vision_end|>",
                     tokens=("<|video_pad|>",)),
    "qwen3": Kind(decoder("Qwen3"), **CHATML, answers="<think>\\n\\n</think>\\n\\n"),
    "llama": Kind(decoder("Llama"), ("<|start_header_id|>", "<|end_header_id|>\\n\\n"), "<|eot_id|>",
                  bos="<|begin_of_text|>"),
    "smollm3": Kind(decoder("SmolLM3"), **CHATML, answers="<think>\\n\\n</think>\\n\\n"),
    "qwen2": Kind(decoder("Qwen2"), **CHATML),
}  # fmt: skip
SEEING = [name for name, kind in KINDS.items() if kind.image]


@cache
def tokenizer_of(name):
    """A tokenizer of single bytes with the family's special tokens and chat template."""
    import re

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    kind = KINDS[name]
    written = f"{kind.bos}{''.join(kind.turn)}{kind.ends}{kind.answers}{kind.image or ''}"
    special = dict.fromkeys(("<pad>", kind.bos or "<bos>", "<eos>", *re.findall(r"<[^<>\s]+>", written), *kind.tokens))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({token: i for i, token in enumerate([*special, *letters])}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>",
                                   bos_token=kind.bos or None, additional_special_tokens=list(special)[3:])  # fmt: skip
    made.chat_template = kind.template
    return made


def model_of(name, seed=0):
    """A random model in evaluation mode, float32."""
    import torch

    torch.manual_seed(seed)
    tokenizer = tokenizer_of(name)
    words = -(-len(tokenizer) // 64) * 64
    return KINDS[name].build(words, tokenizer.convert_tokens_to_ids).float().eval()


def save(name, folder, seed=0):
    """A random model with its tokenizer in a folder, as models are stored."""
    import json

    model_of(name, seed).save_pretrained(folder)
    tokenizer_of(name).save_pretrained(folder)
    if KINDS[name].processor:
        (folder / "preprocessor_config.json").write_text(json.dumps(KINDS[name].processor))
    return folder
