"""Vision computed once: the same training with features as with pixels, and what sees is adapted where it is asked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import finetune.features
from extraction.errors import AssayError
from extraction.families import family_of
from extraction.generate.models import load_adapter, load_model
from extraction.generate.spans import NAME as SPANS
from finetune.adapter import add_adapter, merge
from finetune.config import load_config
from finetune.encode import IGNORED, Collator, load_pictures
from finetune.features import keep_features, keep_pixels
from finetune.memory import Live, held
from finetune.run import RunFolder, read_metrics
from finetune.sets import checked, read_data
from finetune.train import build_trainer, train
from recipes.lab_report.medgemma import CONTRACT
from tests.conftest import BEGIN, END, SOFT, tiny_medgemma

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def work(tmp_path_factory, image_tokenizer):
    """A tiny model with eyes in a folder, and images with their records."""
    folder = tmp_path_factory.mktemp("work")
    tiny_medgemma(1).save_pretrained(folder / "model")
    image_tokenizer.save_pretrained(folder / "model")
    empty = dict.fromkeys(CONTRACT.record_schema["properties"]["tests"]["items"]["properties"])
    for split, count in (("train", 5), ("validation", 1)):
        (folder / split).mkdir()
        for number in range(count):
            # A plain page and one with a gradient: as unlike as the model sees pages.
            Image.linear_gradient("L").rotate(50 * number + (split == "train")).save(folder / split / f"{number}.png")
            record = {"tests": [{**empty, "name": "Glucose", "result": str(number)}]}
            (folder / split / f"{number}.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(autouse=True)
def _tokenizer(monkeypatch, image_tokenizer):
    """The one in the model's folder, without the seconds that reading its files takes."""
    monkeypatch.setattr("extraction.generate.models.load_tokenizer", lambda _: image_tokenizer)


def settings(work, name, *more):
    (work / f"{name}.yaml").write_text(
        f"recipe: recipes.lab_report.medgemma\nmodel: {work / 'model'}\n"
        f"data: {{train: {work / 'train'}, validation: {work / 'validation'}, max_length: 600}}\n"
        f"contract: {{max_answer_tokens: 4}}\nadapter: {{r: 4}}\n"
        f"train: {{output: {work / name}, batch_size: 2, max_steps: 4, checkpoint_steps: 4, log_steps: 1, "
        "learning_rate: 0.01, warmup: 0, dtype: float32}\n"
    )
    return load_config(work / f"{name}.yaml", more)


def losses(run):
    return [row["loss"] for row in read_metrics(run / "metrics.jsonl") if "loss" in row]


def pages(folder, count, start=0):
    """Examples with images as `keep_pixels` gives them."""
    made = []
    for number in range(start, start + count):
        Image.linear_gradient("L").rotate(31 * number).resize((112, 112)).convert("RGB").save(folder / f"{number}.png")
        ids = [2, BEGIN, *[SOFT] * 16, END, 500 + number, 600 + number]
        labels = [IGNORED] * (len(ids) - 2) + ids[-2:]
        made.append({"input_ids": ids, "labels": labels, "files": [str(folder / f"{number}.png")]})
    return made


class Tower:
    """Counts the images that a model's tower sees."""

    def __init__(self, model, most=10**9):
        self.seen, self._most = 0, most
        model.model.vision_tower.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module, args, kwargs):
        if self.seen >= self._most:
            raise KeyboardInterrupt
        self.seen += len(kwargs["pixel_values"])


def test_training_is_the_same_to_the_last_bit(work, monkeypatch, capsys):
    # One image at a time: how many go through the tower together may move its last bits on some machines.
    monkeypatch.setattr(finetune.features, "_BATCH", 1)
    more = ("train.activation_checkpointing=true", "train.batch_size=1", "train.max_steps=3")
    train(settings(work, "once", *more))
    assert "Vision computed once: 4 images" in capsys.readouterr().err
    assert not (work / "once" / "features").exists()  # nothing of the documents stays
    monkeypatch.setattr(finetune.features, "keep_features", lambda *_: None)
    train(settings(work, "pixels", *more))
    one, two = losses(work / "once"), losses(work / "pixels")
    assert len(one) == 3 and one == two and one[-1] != one[0]


def test_two_processes_share_the_work_and_train_the_same(work):
    exact = ("train.max_steps=2", "train.checkpoint_steps=2")
    train(settings(work, "alone", *exact))
    # Two processes with half the batch each: the same examples in a step.
    settings(work, "shared")
    launch = ["accelerate.commands.launch", "--config_file", str(ROOT / "recipes/accelerate/ddp.yaml")]
    run = ["-m", "recipes.lab_report.medgemma", "--config", str(work / "shared.yaml"), *exact, "train.batch_size=1"]
    alone = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", *launch, *run]
    told = subprocess.run(command, cwd=ROOT, env=os.environ | alone, capture_output=True, text=True, timeout=600).stderr
    assert told.count("Vision computed once: 5 images") == 1, told
    assert losses(work / "shared") == pytest.approx(losses(work / "alone"), rel=1e-4)


def test_a_batch_with_features_is_taken_as_one_with_pixels(image_tokenizer, tmp_path, monkeypatch):
    from accelerate.utils import send_to_device
    from torch.utils.data._utils.pin_memory import pin_memory

    eyes = tiny_medgemma()
    eyes.set_attn_implementation(SPANS)
    family = family_of(eyes.config, image_tokenizer)
    examples = pages(tmp_path, 3)
    features = keep_features(eyes, family, examples, tmp_path / "features")
    batch = Collator(family, features)(examples)
    pixels = Collator(family)(examples)
    assert "pixel_values" not in batch and set(batch) - {"mm_encoder_outputs"} == set(pixels) - {"pixel_values"}
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self.clone())  # which needs a GPU
    batch = pin_memory(send_to_device(batch, "cpu"))
    with torch.inference_mode():
        one, two = eyes(**batch), eyes(**pixels)
    assert torch.equal(one.logits, two.logits) and torch.equal(one.loss, two.loss)


def test_a_killed_run_goes_on_and_another_model_begins_anew(image_tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune.features, "_SHARD", 2)
    examples = pages(tmp_path, 5)
    examples.append(examples[0])  # a page in two examples is seen once
    model = tiny_medgemma()
    family = family_of(model.config, image_tokenizer)
    with pytest.raises(KeyboardInterrupt):
        Tower(model, most=4), keep_features(model, family, examples, tmp_path / "features")
    assert not list(tmp_path.rglob("*.tmp"))
    model = tiny_medgemma()
    tower = Tower(model)
    whole = keep_features(model, family, examples, tmp_path / "features")
    assert tower.seen == 1  # of 5, 4 were in whole shards
    files = [example["files"][0] for example in examples]
    with torch.inference_mode():
        right = model.get_image_features(**family.pixels(load_pictures(files))).pooler_output
    assert torch.allclose(whole(files).pooler_output, right, atol=1e-6)
    keep_features(model, family, [*examples, *pages(tmp_path, 1, 9)], tmp_path / "features")
    assert tower.seen == 1 + 6 + 1

    other = tiny_medgemma()
    with torch.no_grad():
        other.model.vision_tower.encoder.layers[1].mlp.fc2.weight *= 2
    tower = Tower(other)
    changed = keep_features(other, family, examples, tmp_path / "features")
    assert tower.seen == 5
    assert not torch.allclose(changed(files).pooler_output, right, atol=1e-2)


def test_a_disk_that_is_too_small_is_said_before(eyes, image_tokenizer, tmp_path, monkeypatch):
    full = type("Usage", (), {"free": 10})()
    monkeypatch.setattr(finetune.features.shutil, "disk_usage", lambda _: full)
    with pytest.raises(AssayError, match=r"features of 1 images take .* GB, and .* 0\.0 GB free; make room"):
        keep_features(eyes, family_of(eyes.config, image_tokenizer), pages(tmp_path, 1), tmp_path / "features")


@pytest.mark.parametrize("vision, projector", [(True, False), (False, True), (False, False)])
def test_options_train_what_they_name(work, vision, projector):
    config = settings(work, "options", f"adapter.vision={vision}", f"adapter.projector={projector}")
    with torch.device("meta"):
        model = add_adapter(tiny_medgemma(), config)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    tower = {n.split("layers.")[1].split(".lora")[0].split(".", 1)[1] for n in trained if "vision_tower" in n}
    layers = {f"self_attn.{x}_proj" for x in ("q", "k", "v", "out")} | {"mlp.fc1", "mlp.fc2"}
    assert tower == (layers if vision else set())
    assert sum("multi_modal_projector" in n for n in trained) == 2 * projector
    assert sum("language_model" in n for n in trained) == 3 * 7 * 2


def test_what_sees_is_trained_saved_and_merged(work, image_tokenizer, capsys):
    adapter = train(settings(work, "eyes", "adapter.vision=true", "adapter.projector=true"))
    assert "Vision computed once" not in capsys.readouterr().err
    report = merge(adapter, work / "eyes-merged")
    assert report.mean_difference < 0.1 * report.adapter_effect
    live, _ = load_adapter(adapter, dtype="float32")
    weights = {n: p for n, p in live.named_parameters() if "lora_B" in n and "language_model" not in n}
    assert len(weights) == 2 * 6 + 1 and all(p.abs().max() > 0 for p in weights.values())
    # Two rows of one length, as the model's own forward takes them.
    rows, family = pages(work, 2), family_of(live.config, image_tokenizer)
    ids = torch.tensor([row["input_ids"] for row in rows])
    batch = {"input_ids": ids, "token_type_ids": (ids == SOFT).long(),
             **family.pixels(load_pictures([row["files"][0] for row in rows]))}  # fmt: skip
    with torch.inference_mode():
        right = live(**batch).logits
        with live.disable_adapter():
            plain = live(**batch).logits
        for n, p in live.named_parameters():  # what the language model learned, taken away
            p.mul_(0.0 if "lora_B" in n and "language_model" in n else 1.0)
        seen = live(**batch).logits
        served, _ = load_adapter(adapter, dtype="float32", merged=True)
        again = served(**batch).logits
        merged = load_model(str(work / "eyes-merged"), dtype="float32")(**batch).logits
    assert torch.allclose(right, again, atol=1e-4)
    assert (seen - plain).abs().mean() > 1e-3  # the eyes' part is in the live adapter
    assert (merged - right).abs().mean() < 0.1 * (plain - right).abs().mean()  # bf16 against float32


def test_four_bits_leave_what_sees_alone(work):
    model = load_model(str(work / "model"), quantization="nf4")
    names = [name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"]
    assert len(names) == 3 * 7 and all("language_model" in name for name in names)


def test_a_model_that_would_pass_over_the_pages_is_refused_before_anything_is_read(work, monkeypatch):
    from transformers import Gemma3ForConditionalGeneration as Model

    def forward(self, input_ids=None, pixel_values=None, labels=None, **_):  # as in transformers 5.17
        raise AssertionError

    monkeypatch.setattr(Model, "forward", forward)
    output = f"train.output={work / 'passed-over'}"
    with pytest.raises(AssayError, match=r"takes no mm_encoder_outputs.*transformers>=5\.18"):
        train(settings(work, "passed-over", "data.train=nowhere", output))
    # Where what sees is trained too, the model is given pixels.
    with pytest.raises(AssayError, match="nowhere"):
        train(settings(work, "passed-over", "data.train=nowhere", output, "adapter.vision=true"))


def test_options_that_cannot_be_are_refused_before_anything_is_read(work):
    nowhere = "data.train=nowhere"
    for more, match in {
        ("contract.view=text", "adapter.vision=true"): "the contract shows its text alone",
        ("model=gemma-3-270m", "adapter.vision=true"): "gemma-3-270m reads text alone",
        ("adapter.projector=true", "adapter.dropout=0.1"): "neither dropout nor DoRA",
        ("adapter.projector=true", "adapter.use_dora=true"): "neither dropout nor DoRA",
        ("adapter.start=lab-report-270m", "adapter.vision=true"): "its modules are its own",
    }.items():
        config = settings(work, "refused", nowhere, f"train.output={work / str(abs(hash(more)))}", *more)
        with pytest.raises(AssayError, match=match):
            train(config)


def test_a_step_with_pictures_holds_what_was_planned(work, image_tokenizer):
    config = settings(work, "planned")
    made = checked(config)
    rows, _, _ = read_data(config, *made)
    planned = held(config, made[2], rows)
    rows = keep_pixels(rows, made[2], work)
    trainer = build_trainer(config, RunFolder(work / "planned"), made[2], rows, lambda _: {}, "micro_f1")
    batch = trainer.data_collator(sorted(rows, key=lambda row: -len(row["input_ids"]))[:2])
    with Live([*trainer.model.parameters(), *trainer.model.buffers()]) as live:
        trainer.compute_loss(trainer.model, batch).backward()
    assert planned["activations"] == pytest.approx(live.peak, rel=0.1)


def test_a_plan_counts_what_sees():
    from finetune.preflight import plan

    demo = Path(__file__).parents[2] / "recipes" / "lab_report"
    sees = ["contract.view=image", "adapter.vision=true", "adapter.projector=true"]
    made = plan(load_config(demo / "lora_medgemma.yaml", sees))
    # r (in + out): 27 layers of four 1152 x 1152 and two 1152 x 4304; the projector's one 1152 x 2560.
    assert made.trained["vision"] == 27 * 16 * (4 * 2 * 1152 + 2 * (1152 + 4304))
    assert made.trained["projector"] == 16 * (1152 + 2560) and made.trained["language"] == 29_802_496
    assert made.modules == 34 * 7 + 27 * 6 + 1
    # What training refuses is planned no more than it is trained.
    with pytest.raises(AssayError, match="the contract shows its text alone"):
        plan(load_config(demo / "demo.yaml", ["adapter.projector=true"]))
    with pytest.raises(AssayError, match="gemma-3-270m reads text alone"):
        plan(load_config(demo / "demo.yaml", ["adapter.projector=true", "contract.view=image"]))
