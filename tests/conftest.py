"""Fixtures shared by all tests: the real tokenizer, a tiny random model of the real architecture."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def tokenizer():
    from extraction.generate.models import load_tokenizer

    return load_tokenizer("gemma-3-270m")


def tiny_gemma(seed: int = 0, **changes):
    """A random Gemma 3 decoder with the real vocabulary: two sliding layers, one full, a window of 16."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    settings = {
        "vocab_size": 262144,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    torch.manual_seed(seed)
    return Gemma3ForCausalLM(Gemma3TextConfig(**{**settings, **changes})).float().eval()


@pytest.fixture(scope="session")
def tiny_model():
    return tiny_gemma()


@pytest.fixture(scope="session")
def lab_schema():
    from recipes.lab_report.task import SCHEMA

    return SCHEMA


@pytest.fixture(scope="session")
def shared_data():
    if not SHARED.is_dir():
        pytest.skip("the shared data are not here")
    return SHARED


def document_of(*pages, name="a.pdf"):
    """A document in memory whose pages are texts; a character is 4 points wide, a line 12 high."""
    import re

    from extraction.document import Document, Page, Word

    made = []
    for number, text in enumerate(pages, 1):
        words = [
            Word(m.group(), (50.0 + 4 * m.start(), 50.0 + 12 * row, 50.0 + 4 * m.end(), 60.0 + 12 * row))
            for row, line in enumerate(text.splitlines())
            for m in re.finditer(r"\S+", line)
        ]
        made.append(Page(number, 600, 800, words))
    return Document(Path(name), "0" * 64, made)


def record_of(document, *generations, contract=None):
    """The record of a document that was shown whole, from the model's answer (or answers, one below the other)."""
    from extraction.document import Lines, Window
    from extraction.record.build import build_record
    from extraction.record.part import read_part
    from recipes.lab_report.task import CONTRACT

    contract = contract or CONTRACT
    lines = Lines(document)
    parts = [read_part(Window(lines, 0, len(lines)), generation, contract) for generation in generations]
    return build_record(document, parts, contract)
