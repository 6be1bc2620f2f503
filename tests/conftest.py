"""Fixtures shared by all tests: Gemma's tokenizer with fewer words, a tiny random model of the real architecture."""

import contextlib
import copy
import hashlib
import io
import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


LONG = """test_scripts test_ray_data test_processes test_qlora test_train test_questions test_hostile test_features
test_contrastive_train test_real_decoder test_shipped""".split()


def pytest_collection_modifyitems(items):
    """Modules that take minutes come first, so that none of them is alone at the end."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session", autouse=True)
def tokenizers_are_read_once():
    """Gemma's tokenizer takes seconds to read, its table for grammars as long: equal files give one object here."""
    from transformers import AutoTokenizer

    read, known = AutoTokenizer.from_pretrained, {}

    def once(source, *arguments, **options):
        kinds = ("tokenizer*", "special_tokens*", "added_tokens*", "vocab*", "merges*", "chat_template*")
        files = sorted(path for kind in kinds for path in Path(source).glob(kind) if path.is_file())
        if not (Path(source) / "tokenizer_config.json").exists():
            return read(source, *arguments, **options)
        key = hashlib.sha256(repr((arguments, options)).encode())
        for path in files:
            key.update(path.name.encode() + b"\0" + path.read_bytes())
        if key.digest() not in known:
            known[key.digest()] = read(source, *arguments, **options)
        return known[key.digest()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AutoTokenizer, "from_pretrained", once)
        yield


# Of Gemma's 262,144 words the tiny models know so many: to read all of them takes each process ten seconds.
WORDS = 12_288
BEGIN, END, SOFT = WORDS - 2, WORDS - 1, WORDS  # what stands around an image, and its own token


def cut_tokenizer(folder):
    """Gemma's tokenizer in `folder` with `WORDS` words: its special ones, letters, bytes and the commonest pieces."""
    from extraction.generate.hub import embedded_model

    whole = embedded_model()
    read = json.loads((whole / "tokenizer.json").read_text(encoding="utf-8"))
    model, images = read["model"], ("<start_of_image>", "<end_of_image>")
    always = {word for word in model["vocab"] if (len(word) == 1 and ord(word) < 0x2600) or word in images}
    ranked = [word for word in sorted(model["vocab"], key=model["vocab"].get) if word not in always]
    kept = always | set(ranked[: WORDS - len(always)])
    # In their order: the ids of the special words stay what they are, those around an image are the last two.
    words = {word: number for number, word in enumerate(sorted(kept, key=model["vocab"].get))}
    merges = [(one, two) for one, two in model["merges"] if one in words and two in words and one + two in words]
    added = [{**one, "id": words[one["content"]]} for one in read["added_tokens"] if one["content"] in words]
    less = {**read, "added_tokens": added, "model": {**model, "vocab": words, "merges": merges}}
    (folder / "tokenizer.json").write_text(json.dumps(less), encoding="utf-8")
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(whole / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """Gemma's own, with the words that `tiny_gemma` knows; `whole_tokenizer` has all of them."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(cut_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="session")
def whole_tokenizer():
    """Gemma's own."""
    from extraction.generate.models import load_tokenizer

    return load_tokenizer("gemma-3-270m")


def tiny_gemma_settings():
    return {
        "vocab_size": WORDS,
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


def tiny_gemma(seed: int = 0, **changes):
    """A random Gemma 3 decoder, the words of `tokenizer`: two sliding layers, one full, a window of 16."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(seed)
    return Gemma3ForCausalLM(Gemma3TextConfig(**{**tiny_gemma_settings(), **changes})).float().eval()


def tiny_medgemma(seed: int = 0, image: int = 112, tokens: int = 16, **changes):
    """A random Gemma 3 with eyes: images of 112 x 112 pixels, 16 tokens each; the decoder of `tiny_gemma`."""
    import torch
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {**tiny_gemma_settings(), "vocab_size": WORDS + 64, **changes}
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": image,
        "patch_size": 14,
        "vision_use_head": False,
    }
    torch.manual_seed(seed)
    images = {"boi_token_index": BEGIN, "eoi_token_index": END, "image_token_index": SOFT, "image_token_id": SOFT}
    config = Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=tokens, initializer_range=0.3, **images
    )
    model = Gemma3ForConditionalGeneration(config).float().eval()
    # transformers starts the projector at zero, where every image would look the same.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.5)
    return model


@pytest.fixture(scope="session")
def eyes():
    return tiny_medgemma()


@pytest.fixture(scope="session")
def image_tokenizer(tokenizer):
    """MedGemma's tokenizer: the one of the 270M decoder has every word of it but the image's own token."""
    from extraction.generate.hub import CHAT_TEMPLATE

    tokenizer = copy.deepcopy(tokenizer)
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer.add_special_tokens({"additional_special_tokens": [names["image_token"]]})
    for name, token in names.items():
        setattr(tokenizer, name, token)
        setattr(tokenizer, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


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
    from extraction.example import Branch
    from extraction.record.build import build_record
    from extraction.record.reply import read_window
    from recipes.lab_report.task import CONTRACT

    contract = contract or CONTRACT
    lines = Lines(document)
    window = Window(lines, 0, len(lines))
    replies = [read_window(window, generation, contract, Branch()) for generation in generations]
    return build_record(document, replies, contract)


def command(*arguments, cwd=None):
    """What `assay ...` printed and its exit code, in this process for the time that imports take."""
    from recipes.cli import main

    out, error, end = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(sys, "argv", ["assay", *map(str, arguments)])
        patch.setenv("PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS", ""))
        if cwd:
            patch.chdir(cwd)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                main()
            except SystemExit as ended:
                end = ended.code or 0
    return SimpleNamespace(returncode=end, stdout=out.getvalue(), stderr=error.getvalue())


def text_of(messages):
    """The text of chat messages."""
    return "".join(item.get("text", "") for message in messages for item in message["content"])


class Reader:
    """A backend that reads text: `answer(text)` is what it writes; a character is a token."""

    sees = False

    def answer(self, text):
        raise NotImplementedError

    def generate(self, examples, contract):
        for example in examples:
            if example is None:
                yield None
                continue
            for number, branch in enumerate(example.branches):
                yield example, number, self.answer(text_of(contract.messages(example.context.parts, branch.parts)))

    def count_tokens(self, messages):
        return len(text_of(messages))


class Scripted(Reader):
    """Answers from a list, then with an empty list, and remembers what it was asked."""

    def __init__(self, *answers, finish="stop", empty='{"tests":[]}'):
        self.answers, self.finish, self.empty, self.asked = list(answers), finish, empty, []

    def answer(self, text):
        from extraction.generate import Generation

        self.asked.append(text)
        return Generation(self.answers.pop(0), self.finish) if self.answers else Generation(self.empty, "stop")


@pytest.fixture
def engine():
    """OCR is installed."""
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")


@pytest.fixture
def no_engine(monkeypatch):
    """OCR is not installed."""
    monkeypatch.setitem(sys.modules, "rapidocr", None)
