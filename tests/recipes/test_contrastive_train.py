"""Tuning: gradients of the whole batch, runs that learn and go on, adapters that are what they say."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from extraction.errors import AssayError
from finetune.config import load_config
from finetune.run import read_metrics
from recipes.cli import app
from recipes.contrastive.adapter import add_towers_adapter, targets
from recipes.contrastive.cached import cached_backward
from recipes.contrastive.config import PairsConfig, TowersConfig
from recipes.contrastive.data import Left, Pair, read_pairs
from recipes.contrastive.images import Picture
from recipes.contrastive.load import encode_texts, load
from recipes.contrastive.losses import info_nce, sigmoid
from recipes.contrastive.retrieval import captions_of, interval, recalls, recalls_by_index
from tests.recipes.dual_encoders import figures, tiny_biomedclip, tiny_transformers


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contrastive")
    tiny_biomedclip(folder / "open_clip")
    tiny_transformers(folder / "siglip", "siglip")
    tiny_transformers(folder / "clip", "clip")
    figures(folder / "train", 36, seed=1)
    figures(folder / "validation", 36, seed=2)
    return folder


def config(work, output, *changes, model="open_clip"):
    values = {
        "recipe": "contrastive",
        "model": str(work / model),
        "data": {"train": str(work / "train/captions.csv"), "validation": str(work / "validation/captions.csv")},
        "adapter": {"r": 4, "alpha": 8, "projections": True},
        "train": {
            "output": str(work / output),
            "batch_size": 12,
            "epochs": 2,
            "learning_rate": 0.01,
            "checkpoint_steps": 3,
            "log_steps": 1,
            "dtype": "float32",
        },
        "chunk": 4,
    }
    (work / f"{output}.yaml").write_text(json.dumps(values))
    return load_config(work / f"{output}.yaml", changes)


def run(settings):
    from finetune.run import own_run

    return own_run("contrastive").train(settings)


@pytest.mark.parametrize("loss", [info_nce, sigmoid])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_cached_gradients_are_those_of_the_whole_batch(work, loss, dropout):
    dual = load(str(work / "siglip"))
    settings = TowersConfig(r=4, alpha=8, layers="all-linear", projections=True, dropout=dropout)
    model = add_towers_adapter(dual.model, settings, 0, "siglip").train()
    for name, parameter in model.named_parameters():  # B starts at zero, and would keep A's gradients there
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    base = model.get_base_model()
    generator = torch.Generator().manual_seed(1)
    fed = {
        "pixels": torch.rand(12, 3, 32, 32, generator=generator),
        "input_ids": torch.randint(5, 20, (12, 16), generator=generator),
    }
    groups = torch.tensor([0, 1, 2, 0, 4, 5, 6, 7, 1, 9, 10, 11])

    def gradients(size):
        model.zero_grad()
        chunks = [{key: value[at : at + size] for key, value in fed.items()} for at in range(0, 12, size)]
        if size == 12 and dropout:  # dropout falls by chunk, so the whole is put together from the same falls
            parts = []
            for number, at in enumerate(range(0, 12, 4)):
                with torch.random.fork_rng():
                    torch.manual_seed(7 + number)
                    parts.append(base(**{key: value[at : at + 4] for key, value in fed.items()}))
            image, text = (torch.cat(part) for part in zip(*parts, strict=True))
            value = loss(image, text, base.temperature, groups)
            value.backward()
        else:
            value = cached_backward(
                lambda one: base(**one), chunks, lambda a, b: loss(a, b, base.temperature, groups), seed=7
            )
        return float(value.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    whole, expected = gradients(12)
    value, found = gradients(4)
    assert value == pytest.approx(whole, rel=1e-6)
    assert found.keys() == expected.keys() and any("temperature" in name for name in found)
    for name, gradient in expected.items():
        # The worst of a tensor against the largest of all: rounding of products in float32.
        assert (found[name] - gradient).abs().max() <= 1e-5 * max(1.0, float(gradient.abs().max())), name
        assert gradient.abs().max() > 0, name


def test_an_adapter_with_dora_is_loaded_as_it_was_and_merged(work, tmp_path):
    from recipes.contrastive.merge import merge

    dual = load(str(work / "siglip"), "cpu")
    settings = TowersConfig(r=4, alpha=8, projections=True, use_dora=True)
    model = add_towers_adapter(dual.model, settings, 0, str(work / "siglip")).eval()
    model.peft_config["default"].base_model_name_or_path = str(work / "siglip")
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "temperature" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path / "adapter")
    assert any("lora_magnitude_vector" in name for name in load_file(tmp_path / "adapter/adapter_model.safetensors"))
    with torch.no_grad():
        wanted = model.get_base_model().encode_text(**dual.words.encode(["a red circle"]))
    assert torch.allclose(encode_texts(load(str(tmp_path), "cpu"), ["a red circle"]), wanted, atol=1e-6)
    report = merge(tmp_path, tmp_path / "merged")
    assert max(report.image, report.text) < 1e-5 < report.effect


def test_repeated_captions_are_right_for_each_other():
    image = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    groups = torch.tensor([0, 1, 0, 3])
    scale = torch.nn.Module()
    scale.forward = lambda similarity: 20 * similarity
    text = torch.nn.functional.normalize(image + 0.1 * image.roll(1, 0), dim=1)
    plain, aware = info_nce(image, text, scale), info_nce(image, text, scale, groups)
    swapped = info_nce(image, text[[2, 1, 0, 3]], scale, groups)
    assert torch.allclose(aware, swapped) and not torch.allclose(plain, aware)
    same = text[[0, 1, 0, 3]]  # texts that are equal to the letter take each other's place: InfoNCE needs no telling
    assert torch.allclose(info_nce(image, same, scale), info_nce(image, same, scale, groups))
    assert not torch.allclose(sigmoid(image, same, scale), sigmoid(image, same, scale, groups))
    assert torch.allclose(info_nce(image, text, scale, torch.arange(4)), plain)
    assert torch.allclose(sigmoid(image, text, scale, torch.arange(4)), sigmoid(image, text, scale))
    assert torch.allclose(info_nce(image, text, scale, hard_negatives=1e-9), plain, atol=1e-6)
    assert info_nce(image, text, scale, hard_negatives=5.0) > plain


def test_the_sigmoid_loss_is_transformers_own(work):
    from transformers import AutoModel

    dual = load(str(work / "siglip"))
    own = AutoModel.from_pretrained(work / "siglip").eval()
    pixels = torch.rand(3, 3, 32, 32)
    ids = torch.randint(5, 20, (3, 16))
    with torch.no_grad():
        ours = sigmoid(*dual.model(pixels, ids), dual.model.temperature)
        assert float(ours) == pytest.approx(float(own(ids, pixels, return_loss=True).loss), rel=1e-5)


def test_recall_counts_equal_captions_as_hits_once():
    vectors = np.eye(4, dtype=np.float32)
    image = vectors[[0, 0, 1, 2]]
    found = recalls(image, vectors[[0, 1, 3]], ["a", "a", "b", "c"], ["a", "b", "c"])
    assert found["image_to_text_recall@1"] == 0.75 and found["image_to_text_recall@5"] == 1.0
    assert found["text_to_image_recall@1"] == pytest.approx(2 / 3)
    same = np.ones((4, 4), np.float32) / 2
    assert recalls(same, same, "abcd", "abcd")["recall@1"] == 0.0  # equal vectors tell nothing apart
    # Two captions of an image, one of them another's too: any is a hit, and each is searched for.
    pairs = [Pair(Picture(Path("1")), ("One.", "Two.")), Pair(Picture(Path("2")), ("two. ",))]
    captions, images, texts = captions_of(pairs)
    assert captions == ["One.", "Two."]
    found = recalls(vectors[:2], vectors[[2, 1]], images, texts)
    assert found["image_to_text_recall@1"] == 1.0 and found["text_to_image_recall@1"] == 0.5
    by_index, how = recalls_by_index(vectors[:2], vectors[[2, 1]], images, texts)
    assert by_index["index_image_to_text@1"] == 1.0 and "images are searched exactly" in how
    low, high = interval(9, 10)
    assert (low, high) == pytest.approx((0.596, 0.982), abs=1e-3)


@pytest.mark.parametrize("model", ["open_clip", "siglip", "clip"])
def test_a_run_learns_keeps_its_best_and_is_loaded_again(work, model, capsys):
    output = f"run-{model}"
    adapter = run(config(work, output, model=model))
    rows = read_metrics(work / output / "metrics.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 6 and losses[-1] < losses[0]
    judged = [row["eval_recall@1"] for row in rows if "eval_recall@1" in row]
    assert len(judged) == 2
    weights = load_file(adapter / "adapter_model.safetensors")
    assert any("temperature" in name for name in weights)
    base, tuned = load(str(work / model)), load(str(adapter))
    assert not tuned.model.training and tuned.sigmoid == (model == "siglip")
    texts = ["a red circle on the left", "a blue square on the right"]
    assert not torch.allclose(encode_texts(base, texts), encode_texts(tuned, texts), atol=1e-3)
    scale = tuned.model.get_base_model().temperature.modules_to_save["default"].scale
    assert float(scale.detach().sum()) != float(base.model.temperature.scale.detach().sum())
    card = (adapter / "README.md").read_text()
    assert "recall@1" in card and (work / output / "report.html").exists()
    from recipes.contrastive.evaluate import evaluate

    again = evaluate(str(adapter), work / "validation" / "captions.csv")
    assert again["recall@1"] == pytest.approx(max(judged), abs=1e-6)
    pairs, out = work / "validation" / "captions.csv", work / output / "results"
    app(["evaluate", str(adapter), str(pairs), "--out", str(out)], standalone_mode=False)
    [told] = out.iterdir()
    assert told.name.endswith(".captions.csv.figures.json") and json.loads(told.read_text()) == again
    assert "finished" in _said(capsys, lambda: run(config(work, output, model=model)))


def test_evaluation_reads_as_the_run_did_and_by_all_captions(work, tmp_path):
    from recipes.contrastive.evaluate import evaluate
    from recipes.contrastive.merge import merge

    for split in ("train", "validation"):
        folder = shutil.copytree(work / split, tmp_path / split)
        rows = (folder / "captions.csv").read_text().splitlines()[1:]
        made = [dict(zip(("picture", "said", "person"), row.split(","), strict=True)) for row in rows]
        made = [{**row, "said": [row["said"], f"a photo of {row['said']}"]} for row in made]
        (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in made))
    data = {split: str(tmp_path / split / "pairs.jsonl") for split in ("train", "validation")}
    changes = [f"data.{key}={value}" for key, value in {**data, "image": "picture", "caption": "said"}.items()]
    adapter = run(config(work, "named", "data.patient=person", "train.max_steps=2", *changes))
    merge(adapter, tmp_path / "merged")
    for model in (adapter, tmp_path / "merged"):
        found = evaluate(str(model), Path(data["validation"]))
        assert found["pairs"] == 36 and found["captions"] == 72
        assert found["index_text_to_image@10"] == pytest.approx(found["text_to_image_recall@10"], abs=0.03)


def test_cut_captions_are_counted_in_evaluation(work, capsys):
    from recipes.contrastive.evaluate import evaluate

    rows = "".join(f"{number}.png,{number} {'long words ' * 50},r\n" for number in range(3))
    path = work / "validation" / "cut.csv"
    path.write_text(f"image,caption,patient\n{rows}gone.png,a,r\n")
    evaluate(str(work / "open_clip"), path)
    said = capsys.readouterr().err
    assert "3 of 3 captions longer than 32 tokens and cut there." in said and "no such image (1: " in said


def _said(capsys, work):
    work()
    return capsys.readouterr().err


def test_a_stopped_run_goes_on_to_the_same_adapter(work, capsys):
    whole = run(config(work, "whole"))
    run(config(work, "stopped"))
    shutil.rmtree(work / "stopped" / "adapter")
    (work / "stopped" / "checkpoints" / "checkpoint-6" / "whole.json").unlink()
    file = work / "train" / "captions.csv"
    rows = file.read_text()
    file.write_text(rows.replace("a red circle", "a round red", 1))
    with pytest.raises(AssayError, match=r"The training data are not those .*\(36 then, 36 now, with changes\)"):
        run(config(work, "stopped"))
    assert "checkpoint-6 is damaged" in capsys.readouterr().err
    file.write_text(rows)
    assert torch.equal(*_two(whole, run(config(work, "stopped"))))


def _two(one, two):
    return [
        torch.cat([tensor.flatten() for _, tensor in sorted(load_file(folder / "adapter_model.safetensors").items())])
        for folder in (one, two)
    ]


def test_two_processes_train_what_one_trains(work):
    one = run(config(work, "alone", "train.max_steps=3"))
    config(work, "both", "train.max_steps=3")
    from tests.finetune.test_processes import ALONE, LAUNCHES, ROOT

    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(LAUNCHES / "ddp.yaml")]
    command += ["-m", "recipes.contrastive", "--config", str(work / "both.yaml")]
    command += ["train.max_steps=3", "train.batch_size=6"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ALONE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alone, both = _two(one, work / "both" / "adapter")
    assert (alone - both).norm() <= 1e-4 * alone.norm()


def test_layers_are_chosen_by_tower(work):
    model = load(str(work / "open_clip")).model
    everything = targets(model, TowersConfig(layers="all-linear"))
    attention = targets(model, TowersConfig(towers=("text",)))
    assert "vision" in everything and "fc1" in everything and "intermediate" in everything
    assert "vision" not in attention and "intermediate" not in attention and "query" in attention
    siglip = targets(load(str(work / "siglip")).model, TowersConfig(layers="all-linear"))
    assert "head" not in siglip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.accumulation=2", "raise train.batch_size"),
        ("train.quantization=nf4", "not for dual encoders"),
        ("train.batch_size=99", "less than a batch of 99; set train.batch_size to 36 or less"),
        ("data.validation={train}", "is in training and test data both|patients are in training and test"),
        ("data.caption=words", "there is no `words`"),
        ("data.train=nowhere.csv", "There is no file nowhere.csv"),
    ],
)
def test_what_cannot_be_trained_is_refused(work, change, said):
    change = change.format(train=work / "train" / "captions.csv")
    with pytest.raises(AssayError, match=said):
        run(config(work, f"refused-{abs(hash(change))}", change))


@pytest.mark.parametrize(("model", "kind"), [("siglip", "auto"), ("open_clip", "sigmoid")])
def test_hard_negatives_are_refused_by_the_loss_that_is_trained(work, model, kind):
    changes = ("loss.hard_negatives=0.5", f"loss.kind={kind}")
    with pytest.raises(AssayError, match=r"the loss of this run is sigmoid; leave it out, or set loss\.kind=info_nce"):
        run(config(work, f"hard-{kind}", *changes, model=model))


def test_a_plan_says_what_would_be_trained(work):
    from finetune.run import own_run

    assert own_run("lab_report") is None
    said = own_run("contrastive").plan(config(work, "planned"))
    assert "36 pairs, judged on 36 others" in said and "6 of 12 pairs, 4 through the towers at a time" in said
    assert not (work / "planned").exists()


def test_a_bare_name_is_a_list_of_one(work):
    made = config(work, "bare", "adapter.towers=text", "data.templates=an image of {}")
    assert made.adapter.towers == ("text",) and made.data.templates == ("an image of {}",)
    with pytest.raises(AssayError, match="'image' or 'text', not 'txt'"):
        config(work, "bare", "adapter.towers=txt")


def test_a_text_that_may_be_empty_is_emptied_on_the_command_line(work):
    assert config(work, "bare", "data.patient=").data.patient == ""
    assert config(work, "bare", "data.patient=''", "data.label=").data.label == ""


def test_an_unknown_key_names_the_nearest(work):
    with pytest.raises(AssayError, match=r"did you mean `adapter\.towers`"):
        config(work, "typo", "adapter.tower=image")


def test_bad_captions_and_images_are_left_out_and_counted(work, capsys):
    folder = work / "bad"
    shutil.copytree(work / "train", folder)
    rows = (folder / "captions.csv").read_text().splitlines()
    (folder / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    rows += ["4.png,,p", "gone.png,a caption,p", f"5.png,{'long words ' * 2500},q"]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    Image.new("L", (5, 900)).save(folder / "0.png")
    long = work / "validation" / "long.csv"
    long.write_text((long.parent / "captions.csv").read_text() + f"1.png,{'long words ' * 2500},r\n")
    data = (f"data.train={folder / 'captions.csv'}", f"data.validation={long}")
    run(config(work, "bad-run", *data, "train.max_steps=4"))
    said = capsys.readouterr().err
    assert "no caption (1: 4.png)" in said and "no such image (1:" in said and "gone.png" in said
    assert "1 of 37 texts longer than 32 tokens and cut there" in said
    assert "1 of 37 held-out captions longer than 32 tokens and cut there" in said
    assert "3.png is damaged" in said and "could not be read, and another pair" in said


def test_shards_that_were_cut_and_patients_by_another_name_are_told(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in (("1.png", buffer.getvalue()), ("1.txt", b"One."), ("2.png", buffer.getvalue()),
                              ("2.txt", "Größe".encode("latin-1")), ("1.txt", b"Another.")):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    left = Left()

    def read(path, **options):
        return read_pairs(path, PairsConfig(train=path, validation=path, **options), left)

    [pair] = read(tmp_path / "a.tar")
    assert pair.captions == ("One.",) and left.counts == {
        "a second file of its name": 1,
        "a caption that is no UTF-8": 1,
    }
    (tmp_path / "._a.tar").write_bytes(b"none")
    read(tmp_path)
    assert left.counts["hidden file"] == 1
    (tmp_path / "cut.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:2048])  # between two members
    with pytest.raises(AssayError, match="lacks its end"):
        read(tmp_path / "cut.tar")
    shutil.copy(tmp_path / "a.tar", tmp_path / "a.png")
    (tmp_path / "t.CSV").write_text("image,caption,Patient\na.png,One.,7\n")
    assert read(tmp_path / "t.CSV")[0].patient == "7"
    with pytest.raises(AssayError, match="there is no `person`"):
        read(tmp_path / "t.CSV", patient="person")
