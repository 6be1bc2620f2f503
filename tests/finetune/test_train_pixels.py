"""Training on pages as pixels, from files to a served adapter, on a tiny random model with eyes."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image, ImageDraw

from extraction import Extractor
from extraction.contract import Contract
from extraction.document import open_document
from extraction.errors import AssayError
from extraction.families import family_of
from finetune.check import check
from finetune.config import load_config
from finetune.data import read_documents
from finetune.encode import IGNORED, Collator, encode
from finetune.features import keep_pixels
from finetune.preview import preview
from finetune.run import read_metrics
from finetune.train import train
from recipes.lab_report.medgemma import CONTRACT
from tests.conftest import command, tiny_medgemma


@pytest.fixture(scope="module")
def work(tmp_path_factory, image_tokenizer):
    """A tiny model with eyes in a folder, and images of results with their records."""
    folder = tmp_path_factory.mktemp("work")
    tiny_medgemma(1).save_pretrained(folder / "model")
    image_tokenizer.save_pretrained(folder / "model")
    for split, count in (("train", 6), ("validation", 2)):
        (folder / split).mkdir()
        for number in range(count):
            image = Image.new("RGB", (200, 280), "white")
            ImageDraw.Draw(image).text((20, 40 + 9 * number), f"Glucose {split} {number}", fill="black")
            image.save(folder / split / f"{number}.png")
            test = dict.fromkeys(CONTRACT.record_schema["properties"]["tests"]["items"]["properties"])
            record = {"tests": [{**test, "name": "Glucose", "result": str(number)}]}
            (folder / split / f"{number}.json").write_text(json.dumps(record))
    (folder / "run.yaml").write_text(
        f"recipe: recipes.lab_report.medgemma\nmodel: {folder / 'model'}\n"
        f"data: {{train: {folder / 'train'}, validation: {folder / 'validation'}, max_length: 600}}\n"
        f"contract: {{max_answer_tokens: 8}}\n"
        f"adapter: {{r: 4, target_modules: '.*language_model.*(q|v)_proj'}}\n"
        f"train: {{output: {folder / 'run'}, batch_size: 2, epochs: 2, checkpoint_steps: 6, log_steps: 1, "
        "learning_rate: 0.03, dtype: float32}\n"
    )
    return folder


def test_an_example_holds_its_images_and_trains_its_answer_alone(work, eyes, image_tokenizer, tmp_path):
    family = family_of(eyes.config, image_tokenizer)
    example = read_documents(work / "train", CONTRACT)[0]
    (made,) = encode(example, CONTRACT, family, 600)
    answer = [label for label in made["labels"] if label != IGNORED]
    assert json.loads(image_tokenizer.decode(answer[:-1])) == example.branches[0].gold
    assert made["input_ids"].count(family.soft) == 16 and not family.marks & set(answer)
    kept = [keep_pixels([made], family, tmp_path)[0] for _ in range(2)]
    assert not set(kept[0]["files"]) & set(kept[1]["files"])  # nothing that lies in the folder is written over
    batch = Collator(family, in_row=True)(kept[:1])
    drawn = [picture for image in made["images"] for picture in family.pictures(image)]
    assert torch.equal(batch["pixel_values"], family.pixels(drawn)["pixel_values"])
    with pytest.raises(AssayError, match=r"0\.png takes .* tokens .* 16 of these its images.*data\.max_length=50"):
        encode(example, CONTRACT, family, 50)


def test_a_preview_shows_what_is_trained_and_what_is_seen(work):
    config = load_config(work / "run.yaml")
    made = preview(config, 2)
    [image] = [one for one in made.stretches if one.image]
    assert image.image.path.name == "1.png" and image.tokens == 16 and not image.trained
    assert "(1.png)" in made.summary()
    kept = replace(image, image=replace(image.image, own=True))
    assert 'alt="image: 200 x 280 pixels, 16 tokens"' in replace(made, stretches=(kept,)).html()
    assert '"result":"1"' in "".join(one.text for one in made.stretches if one.trained)
    page = made.html()
    assert page.count("<img ") == 1 and "data:image/png;base64," in page and page.count("<mark>") == 1
    with pytest.raises(AssayError, match="There are 6 rows"):
        preview(config, 7)
    said = command("data", "preview", work / "run.yaml", "1").stdout
    assert "row 1 (0.png): " in said and "<end_of_turn>" in said
    assert "image: 0.png, page 1, 200 x 280 pixels, 16 tokens" in said
    assert command("data", "preview", work / "run.yaml", "1", "--html", work / "one.html").returncode == 0
    assert (work / "one.html").exists()


def test_a_check_says_that_nothing_is_looked_for_in_pixels(work):
    report = check(load_config(work / "run.yaml"))
    assert report.unsought == 8 and report.images == 6 and report.image_tokens == [16] * 6 and not report.spoiled
    assert "8 examples have no words" in str(report)


def test_it_learns_and_is_served_from_its_folder(work):
    adapter = train(load_config(work / "run.yaml"))
    losses = [row["loss"] for row in read_metrics(work / "run" / "metrics.jsonl") if "loss" in row]
    assert len(losses) == 6 and losses[-1] < losses[0]
    assert Contract.load(adapter).view == "image"
    extractor = Extractor.from_pretrained(adapter)
    record = extractor.read([open_document(work / "validation" / "0.png")])[0]
    assert record.status in ("partial", "failed") and record.views == ["image"]


def test_a_model_without_eyes_is_refused_before_anything_is_read(work):
    overrides = ["model=gemma-3-270m", "data.train=nowhere", f"train.output={work / 'other'}"]
    overrides.append("adapter.target_modules=.*(q|v)_proj")
    with pytest.raises(AssayError, match="gemma-3-270m reads text alone"):
        train(load_config(work / "run.yaml", overrides))
