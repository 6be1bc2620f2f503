"""Merged and exported models are the ones that were tuned; classification, indexes and searches find what is there."""

import json
import logging
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from extraction.errors import AssayError
from recipes.cli import app
from recipes.contrastive import few, slides, stored
from recipes.contrastive import index as index_module
from recipes.contrastive.adapter import add_towers_adapter
from recipes.contrastive.benchmarks import Benchmark, benchmark_of, benchmarks, read_labelled
from recipes.contrastive.classify import auroc_interval, class_vectors, classify, judged, read_features, zero_shot
from recipes.contrastive.config import PairsConfig, TowersConfig
from recipes.contrastive.data import Left, on_one_line, pieces, read_pairs
from recipes.contrastive.index import Index, recall_of
from recipes.contrastive.load import encode_texts, load
from recipes.contrastive.merge import merge, vectors
from recipes.contrastive.onnx import write_onnx
from recipes.contrastive.patients import check_patients
from recipes.contrastive.probe import curve, fit, point
from recipes.contrastive.retrieval import interval
from recipes.contrastive.run import RUN
from recipes.contrastive.search import _items, _shown, query_vector
from recipes.contrastive.stored import Item
from recipes.tables import table
from tests.recipes.dual_encoders import figure, figures, published_shapes, tiny_biomedclip, tiny_transformers


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("use")
    tiny_biomedclip(folder / "open_clip")
    tiny_transformers(folder / "siglip", "siglip")
    tiny_transformers(folder / "clip", "clip")
    for kind in ("open_clip", "siglip", "clip"):
        adapter(folder / kind, folder / f"{kind}-adapter")
    for split, colours in (("classes", ("red", "blue")), ("more", ("darkred", "darkblue"))):
        for name, colour in zip(("warm_figure", "cold_figure"), colours, strict=True):
            (folder / split / name).mkdir(parents=True)
            for number in range(9):
                image = figure(colour, ("circle", "square", "triangle")[number % 3], "left", 30 + number)
                image.save(folder / split / name / f"{number}.png")
    return folder


def adapter(base, out):
    """An adapter with weights that change something, as a run leaves it."""
    dual = load(str(base))
    settings = TowersConfig(r=4, alpha=8, layers="all-linear", projections=True)
    model = add_towers_adapter(dual.model, settings, 0, str(base))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                parameter.add_(0.05 * noise)
    model.save_pretrained(out)
    values = json.loads((out / "adapter_config.json").read_text())
    (out / "adapter_config.json").write_text(json.dumps({**values, "base_model_name_or_path": str(base)}))
    return out


def run(capsys, *arguments):
    app([str(one) for one in arguments], standalone_mode=False)
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ["open_clip", "siglip", "clip"])
def test_a_merged_model_is_the_tuned_one_in_its_own_layout(work, tmp_path, kind):
    report = merge(work / f"{kind}-adapter", tmp_path / "merged")
    assert max(report.image, report.text) <= 1e-4 < report.effect
    state, base = (load_file(next(folder.glob("*.safetensors"))) for folder in (tmp_path / "merged", work / kind))
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in base.items()}
    if kind == "open_clip":
        sizes = published_shapes(64, 2, 32, 8, len(load(str(work / kind)).words.tokenizer), 64, 32)
        assert {name: tuple(tensor.shape) for name, tensor in state.items()} == sizes
    else:
        from transformers import AutoModel

        own = AutoModel.from_pretrained(tmp_path / "merged").eval()
        live = load(str(work / f"{kind}-adapter"))
        fed = live.words.encode(["a red circle"])
        with torch.no_grad():
            text = own.get_text_features(**fed).pooler_output
        assert torch.allclose(
            torch.nn.functional.normalize(text, dim=1), encode_texts(live, ["a red circle"]), atol=1e-4
        )
    with pytest.raises(AssayError, match="is not empty"):
        merge(work / f"{kind}-adapter", tmp_path / "merged")
    with pytest.raises(AssayError, match="no finished adapter"):
        merge(work / kind, tmp_path / "other")


def test_an_adapter_on_other_modules_is_refused(work, tmp_path):
    folder = shutil.copytree(work / "clip-adapter", tmp_path / "adapter")
    values = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**values, "base_model_name_or_path": str(work / "siglip")}))
    with pytest.raises(AssayError, match="does not fit"):
        load(str(folder))


@pytest.mark.parametrize("kind", ["open_clip-adapter", "siglip"])
def test_onnx_towers_are_torchs(work, tmp_path, kind):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    differences = write_onnx(str(work / kind), tmp_path / "onnx")
    assert max(differences.values()) <= 1e-4
    dual = load(str(work / kind))
    image, text = vectors(dual)
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "text.onnx"))
    fed = {key: value.numpy() for key, value in dual.words.encode(["a longer text than those, of more words"]).items()}
    (made,) = session.run(None, fed)
    expected = encode_texts(dual, ["a longer text than those, of more words"])
    assert np.abs(made - expected.numpy()).max() <= 1e-4 and image.shape[1] == made.shape[1] == text.shape[1]
    facts = json.loads((tmp_path / "onnx" / "preprocessing.json").read_text())
    assert facts["text_tokens"] == dual.words.length and facts["divisor"] == 255
    assert ("HTML" in facts["text_cleaning"]) == (kind != "siglip") == ("to the even" in str(facts["cut_begins"]))


def test_the_papers_benchmarks_have_their_words(tmp_path):
    known = benchmarks()
    assert known.keys() == {"pcam", "lc25000-lung", "lc25000-colon", "tcga-til", "rsna"}
    lung = known["lc25000-lung"]
    assert lung.templates == ("this is an image of {}", "{} presented in image") and lung.published == 0.6523
    for number, name in enumerate(("lung_aca", "lung_n", "lung_scc")):
        folder = tmp_path / "lung_colon_image_set" / "lung_image_sets" / name
        folder.mkdir(parents=True)
        for _ in range(number + 1):
            Image.new("RGB", (8, 8)).save(folder / f"{_}.jpeg")
    assert read_labelled(tmp_path, lung, Left()).labels == [0, 1, 1, 2, 2, 2]
    with pytest.raises(AssayError, match="The class “colon adenocarcinomas” has no example"):
        read_labelled(tmp_path, known["lc25000-colon"], Left())


@pytest.mark.parametrize(
    ("name", "folders", "said"),
    [
        (None, ("a_b", "a b"), "a b and .*a_b would have one name"),
        (None, ("Normal", "normal"), "Normal and .*normal would have one name"),
        (None, ("malignant/benign", "benign"), "malignant/benign lies in the class folder .*malignant,"),
        ("pcam", ("0/0", "1"), "0/0 lies in the class folder .*0,"),
        (None, ("normal",), "holds one class alone, normal"),
    ],
)
def test_class_folders_that_cannot_be_told_apart_are_refused(tmp_path, name, folders, said):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "1.png")
    with pytest.raises(AssayError, match=said):
        read_labelled(tmp_path, benchmark_of(name, tmp_path, ()), Left())


def test_classes_of_the_teaching_images_alone_are_named_and_captions_are_told_apart(tmp_path):
    for folder in ("test/a", "test/b", "train/deep/a", "train/deep/b", "train/deep/c", "own/x_y", "own/x y"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "1.png")
    left = Left()
    found = read_labelled(tmp_path / "train", benchmark_of(None, tmp_path / "test", ()), left, "train")
    assert found.labels == [0, 1] and "no class that is tested (1: " in str(left) and "c with 1 images" in str(left)
    with pytest.raises(AssayError, match=r"x y and .*x_y would have one name"):
        read_pairs(tmp_path / "own", PairsConfig(train=tmp_path, validation=tmp_path), Left())


def test_files_that_are_no_images_and_loose_pictures_are_counted_and_named(tmp_path):
    for name in ("a/1.png", "b/1.png", "loose.png", "c/1.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name, "PNG")
    for name in ("a/1.2.840.7", "a/scan.dicom", "loose.dcm", "b/2.jp2", "b/3.jfif", "b/v.nii.gz"):
        (tmp_path / name).write_bytes(b"\0" * 128 + (b"" if name.startswith("b/") else b"DICM"))
    (tmp_path / "b" / "note.txt").write_text("seen")
    left = Left()
    benchmark = Benchmark("own", ("a {}",), {"a": ("a",), "b": ("b",)})
    found = read_labelled(tmp_path, benchmark, left)  # DICOM is told by its bytes, too
    assert [f"{one.path.parent.name}/{one.path.name}" for one in found.pictures] == [
        "a/1.2.840.7",
        "a/1.png",
        "a/scan.dicom",
        "b/1.png",
    ]
    assert left.counts["image beside the class folders"] == 2
    assert "names (1: " in str(left) and set(left.counts) >= {
        "volumes",
        "images of a kind that is not read",
        "folder of no class that is tested",
    }
    shutil.rmtree(tmp_path / "c")
    again = Left()
    assert len(read_pairs(tmp_path, PairsConfig(train=tmp_path, validation=tmp_path), again)) == 4
    assert again.counts["image beside the class folders"] == 2 and "2.jp2" in str(again)
    (tmp_path / "b" / "1.png").unlink()
    with pytest.raises(AssayError, match=r"class b .* no example; what is there is left out: .*\.jp2"):
        benchmark_of(None, tmp_path, ())


def test_rsna_is_read_as_it_comes(tmp_path):
    file = tmp_path / "stage_2_train_labels.csv"
    file.write_text("patientId,x,y,width,height,Target\na,,,,,0\nb,1,2,3,4,1\nb,5,6,7,8,1\nc,,,,,0\n")
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "b.jpg", "d.png"):
        Image.new("L", (8, 8)).save(tmp_path / "images" / name)
    left = Left()
    assert read_labelled(tmp_path, benchmarks()["rsna"], left).labels == [0, 1]
    assert left.names["labelled patient without an image"] == ["c"]
    assert set(left.counts.values()) == {1} and len(left.counts) == 3
    for content, said in (
        ("patientId,label\na,0\n", "line 2: there is no column Target; what is there: patientId, label"),
        ("patientId,Target\na,0\nb,yes\n", "line 3: the Target “yes” is neither"),
        ("patientId,Target\na,1\nb,1\n", "are to be 0 and 1, both; there are 1"),
    ):
        file.write_text(content)
        with pytest.raises(AssayError, match=said):
            read_labelled(tmp_path, benchmarks()["rsna"], Left())


def test_pcam_is_read_as_it_comes(tmp_path):
    h5py = pytest.importorskip("h5py")

    def write(folder, split, labels, images, key="y"):
        folder.mkdir(exist_ok=True)
        for part, name, values in (("x", "x", np.full((images, 96, 96, 3), 7, np.uint8)), ("y", key, labels)):
            with h5py.File(folder / f"camelyonpatch_level_2_split_{split}_{part}.h5", "w") as file:
                file[name] = np.reshape(values, (-1, 1, 1, 1)) if part == "y" else values
        return folder

    pcam = benchmarks()["pcam"]
    write(tmp_path / "both", "test", [1, 0], 2)
    write(tmp_path / "both", "train", [0, 1, 1], 3)
    found = read_labelled(tmp_path / "both", pcam, Left())
    assert found.labels == [1, 0] and found.pictures[1].open().getpixel((3, 3)) == (7, 7, 7)
    assert read_labelled(tmp_path / "both", pcam, Left(), "train").labels == [0, 1, 1]
    for number, (labels, images, key, said) in enumerate(
        (
            ([1, 0], 2, "label", "has no `y`.*there: label"),
            ([1, 0, 1], 2, "y", "has 2 images, and .* 3 labels"),
            ([1, 1], 2, "y", "0 and 1, both; there are 1"),
            ([0, 1, 2], 3, "y", "there are 0, 1, 2"),
        )
    ):
        with pytest.raises(AssayError, match=said):
            read_labelled(write(tmp_path / str(number), "test", labels, images, key), pcam, Left())
    with pytest.raises(AssayError, match=r"One file \*train_x.h5 is wanted"):
        read_labelled(tmp_path / "0", pcam, Left(), "train")
    (tmp_path / "0" / "camelyonpatch_level_2_split_test_x.h5").write_text("no")
    with pytest.raises(AssayError, match="cannot be read as HDF5"):
        read_labelled(tmp_path / "0", pcam, Left())


def test_a_class_is_the_mean_of_its_templates(work):
    dual = load(str(work / "open_clip"))
    benchmark = benchmark_of(None, work / "classes", ("a {}", "the {} on the left"))
    assert list(benchmark.classes) == ["cold figure", "warm figure"]
    mean = encode_texts(dual, ["a warm figure", "the warm figure on the left"]).mean(0)
    assert np.allclose(class_vectors(dual, benchmark)[1], mean / mean.norm(), atol=1e-6)
    with pytest.raises(AssayError, match=r"has no \{\}"):
        benchmark_of(None, work / "classes", ("a photo",))


def test_long_templates_and_queries_are_cut_and_said(work, capsys):
    dual = load(str(work / "open_clip"))
    class_vectors(dual, benchmark_of(None, work / "classes", ("{} " + "red " * 40,)))
    assert "Note: 2 of 2 texts of classes longer than 32 tokens and cut there." in capsys.readouterr().err
    with pytest.raises(AssayError, match="classes “cold figure” and “warm figure” are the same 32 tokens"):
        class_vectors(dual, benchmark_of(None, work / "classes", ("red " * 40 + "{}",)))
    query_vector(dual, "a red circle " * 20)
    assert "Note: 1 of 1 texts to search for longer than 32 tokens and cut there." in capsys.readouterr().err


def test_figures_are_those_of_the_definition():
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]])
    found = judged(scores, np.array([0, 0, 1, 1]), ["no", "yes"])
    # Pairs of a positive and a negative: .7 over .1 and .6; .2 over .1, under .6.
    assert found.accuracy == 0.5 and found.auroc == 0.75 and found.chance == 0.5
    assert found.by_class == {"no": 0.5, "yes": 0.5}
    assert judged(np.eye(3)[[0, 1, 2, 2]], np.array([0, 1, 2, 2]), list("abc")).auroc == 1.0


@pytest.mark.parametrize("kind", ["open_clip", "siglip-adapter"])
def test_several_classes_are_told_apart_by_the_models_own_probabilities(work, kind):
    from scipy.special import softmax

    dual = load(str(work / kind))
    scale = 10.0
    with torch.no_grad():
        for name, parameter in dual.model.named_parameters():
            if "temperature" in name and name.endswith("scale"):
                parameter.fill_(np.log(scale))
    rng = np.random.default_rng(0)
    cosines, labels = rng.uniform(-1, 1, (60, 3)).astype(np.float32), np.arange(60) % 3
    scores = zero_shot(dual, cosines, np.eye(3, dtype=np.float32))
    probabilities = softmax(scale * cosines.astype(float), axis=1)
    assert np.allclose(softmax(scores.astype(float), axis=1), probabilities, atol=1e-4)
    ranks = [np.mean(probabilities[labels == c, c][:, None] > probabilities[labels != c, c]) for c in range(3)]
    assert judged(scores, labels, list("abc")).auroc == pytest.approx(np.mean(ranks), abs=1e-3)
    assert judged(cosines, labels, list("abc")).auroc != pytest.approx(np.mean(ranks), abs=1e-3)


def test_intervals_have_a_width_where_all_is_right():
    # One pair in order is one success of one: Wilson's interval. 1.96 of its own standard errors lie between the ends.
    assert auroc_interval(1.0, 1, 1) == pytest.approx(interval(1, 1), abs=1e-4)
    assert auroc_interval(0.0, 1, 1) == pytest.approx(interval(0, 1), abs=1e-4)
    low, high = auroc_interval(1.0, 10, 10)
    assert 0.8 < low < 0.9 and high == 1.0
    found = judged(np.eye(3)[[0, 1, 2, 2]], np.array([0, 1, 2, 2]), list("abc"))
    assert found.auroc == 1.0 and found.auroc_interval[0] < 0.6 and found.auroc_interval[1] == 1.0
    low, high = auroc_interval(0.8, 500, 500)
    assert (low, high) == pytest.approx((0.8 - 0.028, 0.8 + 0.026), abs=2e-3)  # Hanley and McNeil: 0.8 +- 0.0272
    assert point(4, [1.0] * 5, 20).interval == pytest.approx(interval(20, 20))


def test_a_linear_probe_is_scipys_minimum_and_learns_with_labels():
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6))
    labels = np.repeat(np.arange(3), 150)
    points = centres[labels] + 1.5 * rng.normal(size=(450, 6))

    def loss(flat):
        weight, bias = flat[:18].reshape(6, 3), flat[18:]
        logits = points[::5] @ weight + bias
        own = logits[np.arange(90), labels[::5]]
        return (logsumexp(logits, axis=1) - own).mean() + 0.05 * (weight**2).sum()

    found = fit(points[::5], labels[::5], 3, 0.1)
    least = minimize(loss, np.zeros(21), tol=1e-10)
    assert loss(np.concatenate([found.weight.ravel(), found.bias])) == pytest.approx(least.fun, abs=1e-6)
    made = curve(points[:, :], labels, points, labels, 3)
    assert [point.labels for point in made] == [1, 4, 16, 64]
    assert made[-1].accuracy > made[0].accuracy
    assert all(point.interval[0] <= point.accuracy <= point.interval[1] for point in made)


def test_classify_prints_zero_shot_and_probe(work, tmp_path, capsys):
    said = run(capsys, "classify", work / "open_clip", work / "more", "--train", work / "classes")
    assert "zero-shot" in said and "linear probe, all labels" in said and "linear probe, 4 a class" in said
    assert "2 classes: cold figure; warm figure\n2 templates: a photo of {}; {} presented in image\n" in said
    assert "none of 16, 64 a class: as many labels again choose the probe's penalty and when LoRA stops, and a" in said
    with pytest.raises(AssayError, match=r"^--lora learns from labelled images: name their folder by --train\."):
        run(capsys, "classify", work / "open_clip", work / "more", "--lora")
    figures = json.loads(run(capsys, "classify", work / "open_clip", work / "more", "--json"))
    assert figures["zero_shot"]["images"] == 18 and figures["linear_probe"] is None
    for name in ("warm_figure", "cold_figure"):
        shutil.copytree(work / "classes" / name, tmp_path / "copies" / name)
    shutil.copy(work / "more" / "warm_figure" / "3.png", tmp_path / "copies" / "cold_figure" / "other.png")
    for train, count in ((work / "more", 18), (work, 18), (tmp_path / "copies", 1)):
        with pytest.raises(AssayError, match=rf"^{count} of the 18 .* training and test data both \(one is .*\.png\)"):
            run(capsys, "classify", work / "open_clip", work / "more", "--train", train)


@pytest.mark.parametrize("kind", ["open_clip", "siglip-adapter"])
def test_a_lora_classifier_begins_as_zero_shot_learns_and_leaves_the_model_as_it_was(work, kind, monkeypatch):
    dual = load(str(work / kind))
    benchmark = benchmark_of(None, work / "more", ())
    classes = class_vectors(dual, benchmark)
    before, truth, test = read_features(dual, work / "more", read_labelled(work / "more", benchmark, Left()),
                                        benchmark, Left())  # fmt: skip
    train = read_labelled(work / "classes", benchmark, Left())
    given = (dual, classes, train.pictures, np.asarray(train.labels), test, truth)
    monkeypatch.setattr("recipes.contrastive.probe.LABELS", (4,))
    monkeypatch.setattr(few, "STEPS", 0)
    plain = judged(zero_shot(dual, before, classes), truth, ["a", "b"]).accuracy
    assert [(one.labels, one.accuracy) for one in few.lora_curve(*given)] == [(4, plain)]
    parts: list[list[str]] = []
    found = classify(
        dual, work / "more", work / "classes", benchmark, Left(), True, lambda one: parts.append(one.table())
    )
    assert len(parts) == 2 and parts[1][:-1] == parts[0] and parts[1] == found.table()
    assert parts[1][-1].startswith("LoRA, 4 a class")
    monkeypatch.setattr(few, "STEPS", 3 * few.CHECK)
    [learned] = few.lora_curve(*given)
    assert learned.accuracy > max(0.9, plain) and learned.interval[0] < learned.accuracy <= learned.interval[1]
    after, _, _ = read_features(dual, work / "more", read_labelled(work / "more", benchmark, Left()), benchmark, Left())
    assert np.allclose(after, before, atol=1e-5)


def test_an_index_grows_by_what_is_new_and_forgets_what_is_gone(work, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stored, "PART", 4)  # several parts, the last not full
    images = tmp_path / "images"
    figures(images, 9, seed=3)
    (images / "deep").mkdir()
    figure("white", "circle", "left", 33).save(images / "deep" / "own.png")
    (images / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnone")
    (images / "scan.dcm").write_bytes(b"\0" * 200)
    out = tmp_path / "index"
    said = run(capsys, "index", images, "--out", out, "--model", work / "open_clip")
    assert "10 images added, 0 there already" in said and "searched exactly" in said
    assert "scan.dcm does not begin as an image" in said and "bad.png is damaged" in said
    own = str((images / "deep" / "own.png").resolve())
    found = json.loads(run(capsys, "search", out, images / "deep" / "own.png", "--json", "--count", 3))
    assert found[0]["image"] == own and found[0]["score"] == pytest.approx(1, abs=1e-3) and len(found) == 3
    (images / "deep" / "own.png").unlink()
    figure("red", "square", "left").save(images / "0.png")
    figure("blue", "square", "left").save(images / "new.png")
    (images / "bad.png").unlink()
    assert "2 images added, 8 there already, 2 gone or changed" in run(capsys, "index", images, "--out", out)
    every = json.loads(run(capsys, "search", out, "a red circle", "--json", "--count", 99))
    assert len(every) == 10 and own not in {hit["image"] for hit in every}
    assert [hit["score"] for hit in every] == sorted((hit["score"] for hit in every), reverse=True)
    page = tmp_path / "page.html"
    run(capsys, "search", out, "<b> circle", "--html", page)
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 10 and "&lt;b&gt; circle" in text and "<b>" not in text
    assert "0 images added, 10 there already, 0 gone" in run(capsys, "index", images, "--out", out)
    for model, query, said in (
        (work / "siglip", "a", "was made by"),
        (work / "open_clip", "gone.png", "There is no file gone.png"),
        (work / "open_clip", "my images/gone for good.h5", "There is no file my images/gone for good.h5"),
        (work / "open_clip", str(images), "is a folder"),
        (work / "open_clip", " ", "nothing to search for"),
    ):
        with pytest.raises(AssayError, match=said):
            run(capsys, "search", out, query, "--model", model)
    with pytest.raises(AssayError, match=r"new\.png is a file, and folders are indexed"):
        run(capsys, "index", images / "new.png", "--out", out)
    with pytest.raises(AssayError, match="holds no index"):
        run(capsys, "search", tmp_path / "none", "a", "--model", work / "open_clip")


def test_dicom_files_and_slides_are_found_with_their_places(work, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pydicom")
    pytest.importorskip("openslide")
    from extraction.slide import slide as slide_module
    from extraction.slide import worker
    from tests.extraction.test_slide import PINK, svs
    from tests.extraction.volumes import enhanced, series

    # The worker's code in this process, for the time that one takes to start.
    monkeypatch.setattr(slide_module, "run_job", lambda data, job, limits, name: worker.work(data, job))
    images, out = tmp_path / "images", tmp_path / "index"
    enhanced(images / "loop.svs")  # a DICOM is one, whatever it is called, and so is a slide
    svs(images / "slide.dcm")
    left = Left()
    made = _items(images, left)
    assert [Path(item.path).name for item in made] == ["loop.svs", "slide.dcm"] and not left.counts
    assert len(list(_shown(made, [], left))) == 5 and left.lines().endswith("slide.dcm: 4 of 8)")
    shutil.rmtree(images)
    series(images / "ct", 3)
    enhanced(images / "loop.dcm")
    svs(images / "a.svs")
    svs(images / "unknown.svs", power="", mpp="")
    said = run(capsys, "index", images, "--out", out, "--model", work / "open_clip")
    # Three slices, a loop, four patches with tissue (half the slide), and a slide as a whole.
    assert "9 images added" in said and re.search(r"frames beside .*loop\.dcm has 4", said)
    assert re.search(r"\n  patches with less than 10% tissue \(4: .*a\.svs: 4 of 8\)", said)
    assert re.search(r"does not say its resolution, and is seen whole \(1: .*unknown\.svs\)", said)
    assert "0 images added, 9 there already, 0 gone" in run(capsys, "index", images, "--out", out)
    figure(PINK, "square", "left", 8).resize((896, 896)).save(tmp_path / "pink.png")
    page = tmp_path / "page.html"
    found = json.loads(run(capsys, "search", out, tmp_path / "pink.png", "--json", "--html", page))
    places = [hit["place"] for hit in found if "place" in hit]
    assert sorted((place["left"], place["top"]) for place in places) == [(0, 0), (0, 896), (896, 0), (896, 896)]
    assert page.read_text().count("data:image/jpeg;base64,") == 10 and "a.svs at 896, 0 (896 wide)" in page.read_text()
    assert len(json.loads(run(capsys, "search", out, images / "a.svs", "--json", "--count", 2))) == 2  # as a whole
    index = Index(out)
    index.drop([next(row for row, item in index.items() if item.place)])  # as if it had been stopped within the slide
    assert "4 images added, 5 there already, 3 gone" in run(capsys, "index", images, "--out", out)
    monkeypatch.setitem(sys.modules, "extraction.volume.picture", None)
    monkeypatch.setattr("recipes.contrastive.slides.find_spec", lambda name: None)
    slides._opened.cache_clear()
    said = run(capsys, "index", images, "--out", tmp_path / "other", "--model", work / "open_clip")
    assert "DICOM image, for pip install 'assay[imaging]' (4: " in said
    assert "slide, for pip install 'assay[imaging]' (2: " in said
    with pytest.raises(AssayError, match=r"loop\.dcm is DICOM; pip install 'assay\[imaging\]' to read it\.$"):
        run(capsys, "search", out, images / "loop.dcm")


def test_links_in_a_folder_are_known_by_their_place(work, tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "index"
    images.mkdir()
    (images / "nothing.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(AssayError, match=r"holds no image .*nothing\.png cannot be read: it is a link that leads to"):
        run(capsys, "index", images, "--out", out, "--model", work / "open_clip")
    assert not out.exists()
    (images / "link.png").symlink_to(work / "classes" / "warm_figure" / "0.png")
    (images / "more").symlink_to(tmp_path / "gone")
    said = run(capsys, "index", images, "--out", out, "--model", work / "open_clip")
    assert "1 images added" in said and "nothing.png cannot be read" in said
    assert re.search(r"\n  link that leads to nothing \(1: .*/more\)", said)
    assert "0 images added, 1 there already" in run(capsys, "index", images, "--out", out)
    [hit] = json.loads(run(capsys, "search", out, "a", "--json"))
    assert hit["image"] == str(images.resolve() / "link.png")
    (images / "link.png").unlink()
    with pytest.raises(AssayError, match=r"holds no picture any more, .* knows 1 of it.* Remove .*index to start anew"):
        run(capsys, "index", images, "--out", out)
    assert len(json.loads(run(capsys, "search", out, "a", "--json"))) == 1


def test_pages_links_and_hidden_files_are_counted_and_named(work, tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "index"
    images.mkdir()
    pages = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "green")]
    pages[0].save(images / "fax.tif", save_all=True, append_images=pages[1:])
    pages[0].save(images / ".own.png")
    (images / "more").symlink_to(work / "more")
    said = run(capsys, "index", images, "--out", out, "--model", work / "open_clip")
    for told in (r"frames beside the one that is seen \(1: .*fax\.tif has 2\)", r"hidden image \(1: .*own\.png\)",
                 r"link to a folder, not followed \(1: .*images/more\)"):  # fmt: skip
        assert re.search(told, said)
    for query, told in (
        ("torn.png", r"^.*torn\.png does not begin as an image: it is damaged, or no \.png; copy it again\.$"),
        ("cut.png", r"^.*cut\.png is damaged and cannot be read; copy it again\.$"),
    ):
        content = (work / "more" / "warm_figure" / "0.png").read_bytes()
        (tmp_path / query).write_bytes(content[2:] if query == "torn.png" else content[:50])
        with pytest.raises(AssayError, match=told):
            run(capsys, "search", out, tmp_path / query)
    with pytest.raises(AssayError, match=r"There is no folder .*none for the page; make it"):
        run(capsys, "search", out, "a", "--html", tmp_path / "none" / "page.html")
    with pytest.raises(AssayError, match=r"cut\.png is no page by its name.* ends in \.html\.$"):
        run(capsys, "search", out, "a", "--html", tmp_path / "cut.png")


def test_an_index_of_a_model_that_is_fed_otherwise_is_refused(work, tmp_path, capsys):
    model = shutil.copytree(work / "open_clip", tmp_path / "model")
    out = tmp_path / "index"
    run(capsys, "index", work / "classes", "--out", out, "--model", model)
    config, vocabulary = model / "open_clip_config.json", model / "tokenizer.json"
    for file, old, new, said in (
        (config, '"mean": [0.48', '"mean": [0.47', "has another preprocessing; name"),
        (vocabulary, '"red"', '"rad"', "has another tokenizer; name"),
    ):
        before = file.read_text()
        file.write_text(before.replace(old, new))
        assert before != file.read_text()
        for asked in (("search", out, "a"), ("index", work / "classes", "--out", out)):
            with pytest.raises(AssayError, match=said):
                run(capsys, *asked)
        file.write_text(before)
    facts = json.loads((out / "index.json").read_text())  # of an index that is older, the weights alone are known
    facts["identity"] = {"base": facts["identity"]["base"]}
    (out / "index.json").write_text(json.dumps(facts))
    run(capsys, "search", out, "a")


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def small_index(folder, monkeypatch, count=400):
    """An index of random vectors in parts of 100, its vectors, and what it said."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(stored, "PART", 100)
    monkeypatch.setattr(index_module, "ROWS", 300)
    made = np.random.default_rng(0).normal(size=(count, 16))
    made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    index = Index(folder)
    index.begin("model", {"base": "x"}, 16)
    index.add((Item(f"/{number}\u2028.png", 1, 1), vector) for number, vector in enumerate(made))
    return index, made, index.build()


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("vectors.faiss", cut),
        ("index.json", lambda file: file.write_text("{}")),
        ("dropped.json", lambda file: file.write_text('["a"]')),
        *((f"parts/000001.{kind}", how) for kind in ("npy", "jsonl") for how in (cut, lambda file: file.unlink())),
        ("parts/000003.jsonl", lambda file: file.unlink()),
    ],
)
def test_a_damaged_index_names_the_file(tmp_path, monkeypatch, file, spoil):
    small_index(tmp_path / "index", monkeypatch)
    spoil(tmp_path / "index" / file)
    index = Index(tmp_path / "index")
    with pytest.raises(AssayError, match=rf"{file} is damaged .*(in a new folder|delete it and run .*)\.$"):
        index.hits(*(found[0] for found in index.search(np.eye(16)[:1], 400)))
        list(index.items())


def test_what_faiss_does_not_know_is_found_exactly(tmp_path, monkeypatch, capsys):
    index, made, _ = small_index(tmp_path / "index", monkeypatch)
    index.add([(Item("/new.png", 1, 1), -made[0])].__iter__())
    assert Index(index.folder).search(-made[:1], 1)[0] == 400
    assert "Searched exactly: " in capsys.readouterr().err
    assert "FAISS" in index.build() and index.search(-made[:1], 1)[0] == 400
    assert not capsys.readouterr().err


def test_where_faiss_finds_too_little_the_search_is_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "RECALL", 1.1)
    index, made, said = small_index(tmp_path / "index", monkeypatch)
    assert "searched exactly; FAISS reaches a recall" in said
    monkeypatch.setattr(index, "_fast", None)
    assert index.search(made[5:6], 1)[0] == 5


def test_an_index_is_filled_by_one_at_a_time(tmp_path):
    index = Index(tmp_path / "index")
    index.begin("model", {"base": "x"}, 16)
    with index.filling(), pytest.raises(AssayError, match="Another `assay index` is filling"):
        Index(tmp_path / "index").begin("model", {"base": "x"}, 16)


def test_faiss_finds_what_the_exact_search_finds(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(stored, "PART", 1500)
    monkeypatch.setattr(index_module, "ROWS", 1000)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 32))
    made = centres[rng.integers(40, size=5000)] + 0.7 * rng.normal(size=(5000, 32))
    made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    index = Index(tmp_path / "index")
    index.begin("model", {"base": "x"}, 32)
    index.add((Item(f"/{number}.png", 1, 1), vector) for number, vector in enumerate(made[:4000]))
    assert "searched by FAISS" in index.build()
    index.add((Item(f"/{number}.png", 1, 1), vector) for number, vector in enumerate(made[4000:], 4000))
    index.build()
    assert index.facts["recall_at_10"] >= 0.97
    queries = made[::50]
    truth, scores = index.exact(queries, 10)
    brute = np.argsort(-(queries @ made.astype(np.float16).astype(np.float32).T), axis=1)[:, :10]
    assert recall_of(truth, brute) == 1.0
    found, near = index.search(queries, 10)
    assert recall_of(found, truth) >= 0.95 and (found[:, 0] == np.arange(0, 5000, 50)).all()
    assert np.allclose(near[:, 0], scores[:, 0], atol=1e-6)
    index.drop([0])
    assert 0 not in index.search(queries[:1], 10)[0] and 0 not in index.exact(queries[:1], 10)[0]
    assert index.hits(np.array([7, -1]), np.array([0.5, -np.inf]))[0].path.name == "7.png"


def test_pairs_of_every_format(tmp_path):
    import io
    import tarfile

    Image.new("RGB", (8, 8)).save(tmp_path / "fig1.jpg")
    (tmp_path / "PMC1").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "PMC1" / "g001.jpg")

    def read(name, **options):
        left = Left()
        path = tmp_path / name
        return read_pairs(path, PairsConfig(train=path, validation=path, **options), left), left

    article = {"pmid": "1", "pmc": "PMC1", "location": "PMC1", "figures": []}
    article["figures"] = [
        {"fig_caption": "CT of the chest.", "fig_id": "F1", "graphic_ref": "g001", "pair_id": "1_F1"},
        {"fig_caption": "Lost.", "graphic_ref": "g002"},
    ]
    (tmp_path / "pmc.jsonl").write_text(json.dumps(article) + "\n")
    [pair], left = read("pmc.jsonl")
    assert pair.image.open().size == (8, 8) and pair.patient == "PMC1" and "g002" in str(left)
    (tmp_path / "some.jsonl").write_text(json.dumps({"image": "fig1.jpg", "caption": ["One.", "Two."], "patient": 7}))
    [pair], _ = read("some.jsonl")
    assert pair.captions == ("One.", "Two.") and pair.patient == "7"
    shards = tmp_path / "shards"
    shards.mkdir()
    with tarfile.open(shards / "0.tar", "w") as tar:
        data = (tmp_path / "fig1.jpg").read_bytes()
        for name, content in (("a/1.jpg", data), ("a/1.txt", b"An image."), ("a/2.jpg", data), ("a/3.txt", b"No.")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    [pair], left = read("shards")
    assert pair.image.open().size == (8, 8) and pair.captions == ("An image.",)
    assert left.counts == {"no caption": 1, "no such image": 1}
    for name in ("lung", "heart"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "classes" / name / "1.png")
    pairs, _ = read("classes", templates=("a {}", "the {}"))
    assert [pair.captions for pair in pairs] == [("a heart", "the heart"), ("a lung", "the lung")]
    (tmp_path / "classes" / "brain").mkdir()
    with pytest.raises(AssayError, match=r"The class brain .* has no example"):
        read("classes")
    (tmp_path / "bad.jsonl").write_text('{"image": "a"}\n{"image":')
    with pytest.raises(AssayError, match=r"bad\.jsonl, line 1: there is no `caption`"):
        read("bad.jsonl")
    (tmp_path / "short.csv").write_text("image,caption\nfig1.jpg\n")
    with pytest.raises(AssayError, match=r"short\.csv, line 2 has 1 cells for 2 columns"):
        read("short.csv")
    (tmp_path / "none.csv").write_text("image,caption\nfig1.jpg, \n")
    with pytest.raises(AssayError, match=r"holds no image with a caption: no caption \(1: fig1\.jpg\)"):
        read("none.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_a_table_is_parted_as_its_header_is(tmp_path, name, mark):
    (tmp_path / name).write_text(f'image{mark}caption\n0.png{mark}"One, two; three."\n')
    rows = [row for _, row in table(tmp_path / name)]
    assert rows == [{"image": "0.png", "caption": "One, two; three."}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "image,caption,caption\n0.png,One.,Two.\n", r"a\.csv has two columns `caption`; rename one"),
        ("a.jsonl", '{"image": "0.png", "image": "1.png"}\n', r"a\.jsonl, line 1 has the key `image` twice"),
    ],
)
def test_a_name_that_is_there_twice_is_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(AssayError, match=said):
        list(table(tmp_path / name))


def test_captions_are_parted():
    said = "CT findings. (A) A mass of 3.2 cm. (B, C) After surgery, e.g. no mass."
    assert pieces(said, "whole") == [said]
    assert pieces(said, "part") == ["CT findings. A mass of 3.2 cm.", "CT findings. After surgery, e.g. no mass."]
    assert pieces(said, "sentence")[1] == "(A) A mass of 3.2 cm."
    assert pieces("Only one (A).", "part") == ["Only one (A)."]
    assert pieces("(A) CT. (B) MRI of the lesion shown in (A).", "part") == ["CT.", "MRI of the lesion shown in (A)."]
    for whole in ("CT (A) and MRI (B) of a mass.", "(A) CT, larger than in (B)", "(a) CT. See (a)."):
        assert pieces(whole, "part") == [whole]
    assert pieces("(a) CT; (b) MRI. (a) is early.", "part") == ["CT;", "MRI. (a) is early."]


def test_a_patient_is_in_one_set_alone(tmp_path):
    left = Left()
    one, two = (
        read_pairs(path, PairsConfig(train=path, validation=path), left)
        for path in (figures(tmp_path / "a", 3, 1), figures(tmp_path / "b", 3, 1))
    )
    with pytest.raises(AssayError, match=r"3 patients are in training and test data both \(1-0, 1-1, 1-2\)"):
        check_patients(one, two)
    assert "as was asked for" in check_patients(one, two, allowed=True)


def test_patients_are_found_by_usual_names_and_pictures_by_their_bytes(tmp_path, capsys):
    def read(name, text):
        (tmp_path / name).write_text(text)
        return read_pairs(tmp_path / name, PairsConfig(train=tmp_path, validation=tmp_path), Left())

    for number, colour in enumerate(("red", "blue", "green")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{number}.png")
    shutil.copy(tmp_path / "0.png", tmp_path / "copy.png")
    one = read("a.csv", "image,caption,PatientID\n0.png,One.,7\n2.png,Two.,\n")
    two = read("b.csv", "image,caption,subject_id\n1.png,One.,7\n")
    assert "told by the column PatientID" in capsys.readouterr().err
    with pytest.raises(AssayError, match=r"1 patients are in training and test data both \(7\)"):
        check_patients(one, two)
    assert "1 of 2 pairs of the training data have no patient" in check_patients(one, two, allowed=True)
    nobody = read("c.csv", "image,caption\ncopy.png,One.\n")
    with pytest.raises(AssayError, match=r"1 images are in .* both \(.*copy\.png is .*0\.png\)"):
        check_patients(one, nobody)
    assert "No patients are found in the validation data" in check_patients(one[1:], nobody)


def test_captions_that_are_no_texts_are_left_out_and_named(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    said = ('"A mass."', "7", "null", "NaN", '["One.", 3, ["Two."]]', "[]", '{"a": 1}')
    path, left = tmp_path / "a.jsonl", Left()
    path.write_text("".join(f'{{"image": "0.png", "caption": {one}}}\n' for one in said))
    pairs = read_pairs(path, PairsConfig(train=path, validation=path), left)
    assert [pair.captions for pair in pairs] == [("A mass.",), ("One.",)]
    assert left.counts == {"a caption that is no text": 7} and "a.jsonl, line 3: null" in str(left)
    figure_rows = [{"fig_caption": None, "graphic_ref": "0.png"}, {"fig_caption": "CT.", "graphic_ref": "0.png"}]
    path.write_text(json.dumps({"pmc": "PMC1", "figures": figure_rows}))
    assert len(read_pairs(path, PairsConfig(train=path, validation=path), left)) == 1


def test_what_is_left_out_has_a_line_for_each_reason_that_no_name_breaks():
    left = Left()
    for number in range(23):
        left.add("hidden image", f"{number}.png")
    left.add("patches", "a\nb\udcff.svs: 4 of 8.", 4)
    first, second = left.lines().split("\n")
    assert first.startswith("  hidden image (23: 0.png, ") and first.endswith(", 19.png, ... and 3 more)")
    assert second == r"  patches (4: a\nb\udcff.svs: 4 of 8)" and "4.png, ... and 18 more); patches" in str(left)
    assert on_one_line("Müller 1.png") == "Müller 1.png"


def test_libraries_are_quiet_before_they_are_imported(monkeypatch):
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    monkeypatch.setattr(log, "level", logging.NOTSET)
    monkeypatch.setitem(sys.modules, "recipes.contrastive.train", None)
    with pytest.raises(ImportError):
        RUN.train(None)
    assert log.level == logging.ERROR
