"""Dual encoders are loaded by transformers and Pillow alone, and are what open_clip and transformers make of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from PIL import Image
from safetensors.torch import load_file, save_file

from extraction.errors import AssayError
from recipes.contrastive.data import Left
from recipes.contrastive.embed import read_pixels
from recipes.contrastive.images import Picture, Preprocess, picture_of
from recipes.contrastive.layouts import open_clip_model, published_names
from recipes.contrastive.load import encode_pixels, encode_texts, load
from recipes.contrastive.words import Words
from tests.recipes.dual_encoders import (
    MEAN,
    STD,
    figure,
    meta_model,
    published_config,
    published_shapes,
    tiny_biomedclip,
    tiny_transformers,
)

ROOT = Path(__file__).parents[2]
TEXTS = ["a red circle on the left", "the blue square &amp; a  green triangle", "x" * 90]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("dual")
    made = {kind: tiny_transformers(root / kind, kind) for kind in ("siglip", "clip")}
    return made | {"open_clip": tiny_biomedclip(root / "open_clip")}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def pictures():
    # Of the last, the middle lies between two pixels, where torchvision and transformers cut differently.
    sizes = ((41, 41), (91, 50), (59, 32))
    return [figure("blue", "square", "right", 60).resize(size) for size in sizes]


def test_the_published_state_dict_has_a_place_in_the_towers():
    model = meta_model()
    assert sum(parameter.numel() for parameter in model.parameters()) == 195_902_721
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    state, shapes = model.state_dict(), published_shapes()
    table = published_names(model, "open_clip")
    assert table.keys() == shapes.keys()
    assert sorted(name for names in table.values() for name in names) == sorted(state)
    for theirs, ours in table.items():
        first = sum(state[name].shape[0] for name in ours) if state[ours[0]].ndim else None
        assert shapes[theirs] == (() if first is None else (first, *state[ours[0]].shape[1:])), theirs


def test_texts_have_256_tokens_and_not_512(folders, tmp_path):
    folder = shutil.copytree(folders["open_clip"], tmp_path / "model")
    dual = load(str(folder))
    assert dual.words.length == 32 and dual.model.text.config.max_position_embeddings == 64
    assert dual.words.encode([TEXTS[2]])["input_ids"].shape == (1, 32)
    assert dual.words.count_cut(TEXTS) == 1


@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_embeddings_are_those_of_transformers(folders, kind):
    from transformers import AutoModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    dual = load(str(folders[kind]))
    own = AutoModel.from_pretrained(folders[kind]).eval()
    assert not dual.model.training
    processor = {"siglip": SiglipImageProcessorPil, "clip": CLIPImageProcessorPil}[kind].from_pretrained(folders[kind])
    pixels = torch.tensor(np.stack([dual.preprocess.pixels(image) for image in pictures()]))
    wanted = processor(pictures(), return_tensors="pt")["pixel_values"]
    assert torch.allclose(dual.preprocess.normalise(pixels), wanted, atol=1e-6)
    fed = dual.words.encode(TEXTS)
    with torch.no_grad():
        out = own(**fed, pixel_values=wanted)
        logits = dual.model.temperature(dual.model.encode_text(**fed) @ encode_pixels(dual, pixels).T)
    assert torch.allclose(encode_texts(dual, TEXTS), out.text_embeds, atol=1e-6)
    assert torch.allclose(encode_pixels(dual, pixels), out.image_embeds, atol=1e-6)
    assert torch.allclose(logits, out.logits_per_text, atol=1e-4)
    assert dual.sigmoid == (kind == "siglip")
    # As they were trained: SigLIP's texts are all of one length, and nothing is masked.
    assert ("attention_mask" in fed) == (kind == "clip")


def test_open_clip_agrees(folders, tmp_path):
    """In a process of its own: see the module that it runs."""
    folder = shutil.copytree(folders["open_clip"], tmp_path / "model")
    (folder / "texts.json").write_text(json.dumps(TEXTS))
    names = []
    for number, image in enumerate(pictures()):
        image.save(tmp_path / f"{number}.png")
        names.append(str(tmp_path / f"{number}.png"))
    # Packages for this one process: a torchvision that lacks its operators would break transformers in all others.
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("ASSAY_ORACLES"), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "tests.recipes.open_clip_oracle", str(folder), *names]
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip(f"open_clip cannot be imported here: {done.stdout[:200]}")
    assert done.returncode == 0, done.stderr
    differences = list(map(float, done.stdout.split()[-4:]))
    assert max(differences) <= 1e-6, differences


def test_preprocessing_cuts_the_middle_out_of_the_brought_down_image():
    preprocess = Preprocess((32, 32), True, 32, 3, MEAN, STD)
    wide = Image.new("RGB", (300, 100), "black")
    wide.paste("white", (100, 0, 200, 100))
    assert preprocess.pixels(wide)[:, 4:-4].min() > 250


def test_an_image_is_what_its_bytes_are(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert picture_of((tmp_path / "clear.png").read_bytes(), "clear.png").getpixel((1, 1)) == (255, 255, 255)
    with pytest.raises(AssayError, match=r"notes\.png does not begin as an image"):
        picture_of(b"hello", "notes.png")
    with pytest.raises(AssayError, match="no image but plain text"):
        picture_of(b"hello", "notes.txt")
    with pytest.raises(AssayError, match=r"cut\.png is damaged"):
        picture_of((tmp_path / "clear.png").read_bytes()[:40], "cut.png")


def test_a_warning_of_text_in_a_dicom_picture_is_counted_and_the_picture_seen(tmp_path):
    pytest.importorskip("pydicom")
    from tests.extraction.volumes import head, save

    pictures = [Picture(save(tmp_path / f"{n}.dcm", head(n, (0, 0, 0), BurnedInAnnotation="YES"))) for n in range(2)]
    made = list(read_pixels(pictures, Preprocess((8, 8), True, 8, 3, MEAN, STD), left := Left()))
    assert len(made) == 2
    assert list(left.counts.items()) == [
        ("nothing, but a warning: text is burnt into the pictures, which may name the patient", 2)
    ]


def changed(folder, file, change):
    values = json.loads((folder / file).read_text())
    change(values)
    (folder / file).write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda f: changed(f, "preprocessor_config.json", lambda v: v.update(size={"height": 48, "width": 48})),
            "48 x",
        ),
        *(
            (lambda f, c=c: changed(f, c[0], lambda v: v.update({c[1]: c[2]})), f"{c[0]} names {c[2]}, .* is a siglip:")
            for c in (
                ("preprocessor_config.json", "image_processor_type", "CLIPImageProcessorFast"),
                ("preprocessor_config.json", "feature_extractor_type", "ViTFeatureExtractor"),
                ("preprocessor_config.json", "processor_class", "CLIPProcessor"),
                ("tokenizer_config.json", "tokenizer_class", "CLIPTokenizer"),
            )
        ),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x20\0\0\0"), "not whole"),
        (lambda f: [p.unlink() for p in f.glob("vocab*")] + [(f / "tokenizer.json").unlink()], "no tokenizer"),
        (lambda f: changed(f, "config.json", lambda v: v.update(model_type="llama")), "no dual encoder"),
        (lambda f: changed(f, "config.json", lambda v: v["text_config"].update(vocab_size=50)), "tokenizer of"),
        (lambda f: [p.unlink() for p in f.glob("*.safetensors")], "has no weights"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "recipes.contrastive.unpickle"),
    ],
)
def test_what_does_not_belong_together_is_refused(folders, tmp_path, spoil, said):
    folder = shutil.copytree(folders["siglip"], tmp_path / "model")
    spoil(folder)
    with pytest.raises(AssayError, match=said):
        load(str(folder))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda v: v["model_cfg"]["text_cfg"].update(context_length="viel"), r"no config of .*'viel'"),
        (lambda v: v["model_cfg"]["text_cfg"].update(context_length=-3), "context_length -3"),
        (lambda v: v["model_cfg"].update(text_cfg=[]), "no config of"),
        (lambda v: v["model_cfg"]["vision_cfg"].pop("image_size"), "'image_size' is missing"),
        (lambda v: v["preprocess_cfg"].update(mean=[0.5]), r"mean is \[0.5\], and must be 3 numbers"),
        (lambda v: v["preprocess_cfg"].update(std=["a", 1, 1]), "std is .*3 numbers above 0"),
        (lambda v: v["preprocess_cfg"].update(size="32"), "size is .*2 whole numbers"),
        (lambda v: v["preprocess_cfg"].update(interpolation="lanczos"), "known are nearest, bilinear, bicubic"),
    ],
)
def test_a_config_with_other_values_than_wanted_is_refused(folders, tmp_path, spoil, said):
    folder = shutil.copytree(folders["open_clip"], tmp_path / "model")
    changed(folder, "open_clip_config.json", spoil)
    with pytest.raises(AssayError, match=said):
        load(str(folder))


def test_heads_are_those_that_the_config_tells_and_roberta_is_refused():
    def made(vision=None, text=None, **shapes):
        config = published_config()["model_cfg"]
        config["vision_cfg"] |= vision or {}
        config["text_cfg"] |= text or {}
        with init_empty_weights(include_buffers=False):
            known = published_shapes(width=1280, depth=1) | shapes
            model = open_clip_model(config, known, "a folder")
        return model.vision.config.num_attention_heads, model.text.config.num_attention_heads

    huge = {"timm_model_name": "vit_huge_patch14_224"}
    assert made(huge) == (16, 20) and made() == (20, 20)
    mini = {"hf_model_name": "all-MiniLM-L12-v2"}
    assert made(huge, {**mini, "hf_model_config": {"num_attention_heads": 40}}) == (16, 40)
    assert made({"timm_model_name": "vit_own", "head_width": 128}) == (10, 20)
    embeddings = "text.transformer.embeddings"
    for changes, said in (
        ({"text": mini}, "all-MiniLM.* not known here; write text_cfg.hf_model_config.num_attention_heads"),
        ({"vision": {"timm_model_name": "vit_own"}}, "vit_own.* not known here; write vision_cfg.head_width"),
        ({"vision": {"timm_model_name": "vit_so400m_patch14"}}, "1280 wide, which heads of 72 do not divide"),
        ({"text": {"hf_model_name": "FacebookAI/xlm-roberta-base"}}, "RoBERTa as its text tower"),
        ({f"{embeddings}.token_type_embeddings.weight": (1, 1280)}, "RoBERTa as its text tower"),
        ({f"{embeddings}.position_embeddings.weight": (514, 1280)}, "RoBERTa as its text tower"),
        ({"text": {"hf_model_config": {"model_type": "electra"}}}, "electra as its text tower"),
    ):
        with pytest.raises(AssayError, match=said):
            made(**changes)


def test_cut_texts_are_counted_by_bytes():
    def by_bytes(texts, verbose):
        return {"input_ids": [[0, *text.encode(), 1] for text in texts]}

    assert Words(by_bytes, 10, fixed=False, cleaned=False).count_cut(["über", "µµµµµ", "longer text"]) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_mean": 0.5}, "image_mean is 0.5, and must be 3 numbers"),
        ({"image_mean": [0.5] * 4}, "must be 3 numbers"),
        ({"image_std": [1, 1, 0]}, "must be 3 numbers above 0"),
        ({"image_std": "none"}, "image_std is 'none'"),
        ({"size": [32]}, r"size is \[\[32\]\], and must be 1 whole"),
        ({"size": {"height": "32", "width": 32}}, "must be 2 whole numbers above 0"),
        ({"size": {"longest_edge": 32}}, "must name shortest_edge, or height and width"),
        ({"crop_size": [32, 32]}, "crop_size is"),
        ({"resample": "bicubic"}, "resample is 'bicubic'"),
        ({"do_resize": False}, "images would keep sizes"),
        ({"size": {"shortest_edge": 32}, "do_center_crop": False}, "images would keep sizes"),
        ({"size": {"height": 40, "width": 40}, "crop_size": 32}, "crop_size cuts what size"),
        ({"do_normalize": "no"}, "do_normalize is 'no', and must be true or false"),
        ({"rescale_factor": 0}, "rescale_factor is .*1 numbers above 0"),
    ],
)
def test_preprocessing_of_a_wrong_kind_is_refused(folders, tmp_path, change, said):
    folder = shutil.copytree(folders["siglip"], tmp_path / "model")
    changed(folder, "preprocessor_config.json", lambda values: values.update(change))
    with pytest.raises(AssayError, match=rf"preprocessor_config\.json is no image preprocessing \(.*{said}"):
        load(str(folder))


@pytest.mark.parametrize(
    "change", [{"do_normalize": False}, {"rescale_factor": 1 / 127.5}, {"do_rescale": False}, {"crop_size": None}]
)
def test_steps_of_preprocessing_are_those_of_the_config(change):
    from transformers import CLIPImageProcessor

    own = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "resample": 3}
    if "crop_size" in change:  # size alone, brought to without keeping the ratio
        own, change = {**own, "size": {"height": 32, "width": 32}}, {"do_center_crop": False}
    values = {**own, "image_mean": list(MEAN), "image_std": list(STD), **change}
    image = pictures()[1]
    expected = CLIPImageProcessor(**values)(image, return_tensors="pt")["pixel_values"][0]
    preprocess = Preprocess.of_transformers(values)
    made = preprocess.normalise(torch.from_numpy(preprocess.pixels(image)[None].copy()))[0]
    assert (made - expected).abs().max() <= 2e-2 * expected.abs().max()


def test_a_vqa_head_is_no_dual_encoder(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "work/model"}')
    (tmp_path / "vqa_head.json").write_text("{}")
    with pytest.raises(AssayError, match=r"is a VQA head.*`assay evaluate`.* its base model, work/model"):
        load(str(tmp_path))


@pytest.mark.parametrize(("tensor", "use"), [("visual.head.proj.weight", "image"), ("text.proj.0.weight", "text")])
def test_vectors_that_are_no_numbers_are_refused(folders, tmp_path, tensor, use):
    from recipes.contrastive.merge import vectors

    folder = shutil.copytree(folders["open_clip"], tmp_path / "model")
    state = load_file(folder / "open_clip_model.safetensors")
    state[tensor][0, 0] = torch.nan
    save_file(state, folder / "open_clip_model.safetensors")
    dual = load(str(folder), "cpu")
    pixels = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    own = (encode_pixels, pixels) if use == "image" else (encode_texts, TEXTS)
    for make, *given in (own, (vectors,)):
        with pytest.raises(AssayError, match="model makes vectors that are not finite"):
            make(dual, *given)


def test_a_base_that_is_not_there_is_said_to_be_the_adapters(tmp_path, monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "work/model"}')
    with pytest.raises(AssayError, match=r"^The adapter in .* was trained on work/model, which is not found"):
        load(str(tmp_path))


def test_weights_of_another_model_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders["open_clip"], tmp_path / "model")
    state = load_file(folder / "open_clip_model.safetensors")
    state["visual.trunk.extra"] = torch.zeros(2)
    save_file(state, folder / "open_clip_model.safetensors")
    with pytest.raises(AssayError, match="have no place"):
        load(str(folder))
    with pytest.raises(AssayError, match="There is no model"):
        load("nowhere/at/all")


def test_a_published_pickle_is_turned_into_safetensors_once(folders, tmp_path):
    from recipes.contrastive.unpickle import unpickle

    folder = shutil.copytree(folders["open_clip"], tmp_path / "model")
    state = load_file(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    legacy = {**state, "text.transformer.embeddings.position_ids": torch.arange(64)[None]}
    torch.save(legacy, folder / "open_clip_pytorch_model.bin")
    unpickle(folder)
    assert torch.equal(encode_texts(load(str(folder)), TEXTS), encode_texts(load(str(folders["open_clip"])), TEXTS))
