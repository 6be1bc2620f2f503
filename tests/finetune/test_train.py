"""Training on a tiny random model of the real architecture: what is learned, what survives a kill, what is merged."""

import json
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from extraction.errors import AssayError
from extraction.families import family_of
from extraction.generate.models import load_adapter
from extraction.generate.weights import fingerprint
from finetune.adapter import merge
from finetune.answer_loss import AnswerLogProbs, SampledHead
from finetune.config import load_config
from finetune.data import check_split, read_documents
from finetune.encode import encode
from finetune.run import RunFolder, is_whole, mark_whole, read_metrics, versions
from finetune.trainer import FieldTrainer
from recipes.lab_report.synthetic import write_reports
from recipes.lab_report.task import CONTRACT
from tests.conftest import command, tiny_gemma

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "recipes" / "lab_report" / "demo.yaml"


@pytest.fixture(scope="module")
def work(tmp_path_factory, tokenizer):
    """A tiny model in a folder, and data to train it on."""
    folder = tmp_path_factory.mktemp("work")
    tiny_gemma(1).to(torch.bfloat16).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write_reports(folder / "train", names=["simple_list"], count=12, seed=5, max_rows=2)
    write_reports(folder / "validation", names=["simple_list"], count=2, seed=6, max_rows=2)
    return folder


def settings(work, output, **more):
    values = {
        "model": work / "model",
        "data.train": work / "train",
        "data.validation": work / "validation",
        "contract.max_answer_tokens": 20,
        "train.output": output,
        "train.batch_size": 2,
        "train.learning_rate": 0.01,
        "train.checkpoint_steps": 2,
        "train.log_steps": 1,
        "adapter.dropout": 0.1,
        **more,
    }
    return [f"{key}={value}" for key, value in values.items()]


def launch(overrides, check=True):
    done = command("train", DEMO, *overrides, cwd=ROOT)
    assert not check or done.returncode == 0, done.stderr
    return done


def losses(run):
    return {row["step"]: row["loss"] for row in read_metrics(run / "metrics.jsonl") if "loss" in row}


@pytest.fixture(scope="module")
def finished(work):
    launch(settings(work, work / "run"))
    return work / "run"


def test_a_run_leaves_all_that_is_needed_to_repeat_and_to_serve_it(finished):
    assert {p.name for p in finished.iterdir()} == {
        "config.yaml", "metrics.jsonl", "checkpoints", "adapter", "answers", "report.html",
            "report.json"}  # fmt: skip
    assert {p.name for p in (finished / "adapter").iterdir()} >= {
        "adapter_model.safetensors", "adapter_config.json", "contract.json", "versions.json"}  # fmt: skip
    assert sorted(losses(finished)) == list(range(1, 7))
    assert losses(finished)[6] < losses(finished)[1]
    scores = [row for row in read_metrics(finished / "metrics.jsonl") if "eval_micro_f1" in row]
    assert [row["step"] for row in scores] == [2, 4, 6]
    facts = json.loads((finished / "adapter" / "versions.json").read_text())
    assert facts["versions"]["transformers"] and len(facts["base_sha256"]) == 64
    card = (finished / "adapter" / "README.md").read_text()
    assert facts["base_sha256"] in card and facts["checkpoint"] in card and "micro_f1" in card
    assert "documents, judged on" in card
    page = (finished / "report.html").read_text()
    assert "Training loss" in page and "Held-out micro f1" in page and "documents, judged on" in page
    assert "By field" in page and 'href="answers/checkpoint-2.html"' in page
    kept = {path.name for path in (finished / "answers").iterdir()}
    assert kept >= {f"checkpoint-{step}.{kind}" for step in (2, 4, 6) for kind in ("jsonl", "json", "html")}
    assert "http" not in page


def test_a_run_from_a_folder_that_is_not_installed_keeps_its_adapter(monkeypatch):
    def version(name):
        if name == "assay":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("finetune.run.version", version)
    assert versions().keys() == {"torch", "transformers", "peft", "trl", "accelerate"}


def test_killed_and_started_again_it_ends_where_an_undisturbed_run_ends(work, finished):
    run = work / "killed"
    start = [sys.executable, "-m", "recipes.lab_report", "--config", str(DEMO), *settings(work, run)]
    process = subprocess.Popen(start, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(losses(run) if (run / "metrics.jsonl").exists() else ()) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "has not ended" in (run / "report.html").read_text()
    # What a kill in the middle of saving leaves behind: a checkpoint without its mark, newer than the whole one.
    shutil.copytree(run / "checkpoints" / "checkpoint-2", run / "checkpoints" / "checkpoint-5")
    (run / "checkpoints" / "checkpoint-5" / "whole.json").unlink()
    again = launch(settings(work, run))
    seconds = [row["seconds"] for row in read_metrics(run / "metrics.jsonl")]
    assert seconds == sorted(seconds)  # they go on counting
    assert "checkpoint-5 is damaged" in again.stderr and "Going on from checkpoint-" in again.stderr
    assert losses(run).keys() == losses(finished).keys()
    for step, loss in losses(finished).items():
        assert losses(run)[step] == pytest.approx(loss, rel=1e-4), step
    one, two = (load(folder / "adapter") for folder in (finished, run))
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-5) for name in one)


def load(adapter):
    from safetensors.torch import load_file

    return load_file(adapter / "adapter_model.safetensors")


def test_a_finished_run_is_not_trained_again_nor_another_mixed_into_it(work, finished):
    assert "is finished" in launch(settings(work, finished)).stderr
    other = launch(settings(work, finished, **{"train.seed": 9}), check=False)
    assert other.returncode == 2 and "train.seed was 0, now 9" in other.stderr and "Traceback" not in other.stderr


def test_the_merged_model_is_the_trained_one(work, finished):
    report = merge(finished, work / "merged")
    assert 0 < report.mean_difference < 0.2 * report.adapter_effect
    assert json.loads((work / "merged" / "config.json").read_text())["dtype"] == "bfloat16"
    names = {p.name for p in (work / "merged").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "contract.json", "versions.json"} <= names
    with pytest.raises(AssayError, match="not empty"):
        merge(finished, work / "merged")


def test_a_base_that_is_not_the_adapters_own_is_refused(work, finished):
    weights = work / "model" / "model.safetensors"
    original = weights.read_bytes()
    try:
        tiny_gemma(2).to(torch.bfloat16).save_pretrained(work / "model")
        with pytest.raises(AssayError, match="not the base"):
            merge(finished, work / "other")
        with pytest.raises(AssayError, match="other weights than"):
            load_adapter(finished / "adapter")
    finally:
        weights.write_bytes(original)
    assert not (work / "other").exists()


def test_an_adapter_that_changes_nothing_is_refused(work, finished):
    from safetensors.torch import save_file

    idle = work / "idle"
    shutil.copytree(finished / "adapter", idle)
    save_file({k: v * 0 for k, v in load(idle).items()}, idle / "adapter_model.safetensors")
    with pytest.raises(AssayError, match="changes nothing"):
        merge(idle, work / "idle-merged")
    assert not any(p.name.startswith((".idle", "idle-merged")) for p in work.iterdir())


def test_a_run_that_starts_from_an_adapter(work, finished):
    start = finished / "adapter"
    more = {"adapter.start": start, "train.max_steps": 2, "adapter.dropout": 0.0}
    launch(settings(work, work / "second", **more))
    # A new adapter changes nothing in its first step; this one has learned.
    assert losses(work / "second")[1] < losses(finished)[1]
    wrong = launch(settings(work, work / "third", **{"adapter.start": work / "train"}), check=False)
    assert "holds no adapter" in wrong.stderr and not (work / "third").exists()


def test_a_start_that_fails_leaves_no_folder_behind(work, tmp_path):
    (tmp_path / "bad").mkdir()
    done = launch(settings(work, tmp_path / "run", **{"data.train": tmp_path / "bad"}), check=False)
    assert done.returncode == 2 and not (tmp_path / "run").exists() and "\r" not in done.stderr


def test_what_cannot_be_merged_is_said_before_anything_is_loaded(tmp_path):
    run, adapter = tmp_path / "run", tmp_path / "done"
    for folder, name in ((run, "config.yaml"), (adapter, "adapter_config.json"), (tmp_path / "full", "a")):
        folder.mkdir()
        (folder / name).write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for source, said in ((tmp_path / "none", "no folder"), (run, "train it to its end"), (tmp_path, "no finished")):
        with pytest.raises(AssayError, match=said):
            merge(source, tmp_path / "out")
    places = (
        ("full", "not empty"),
        ("full/a", "is a file"),
        ("full/a/b", "/full/a is a file"),
        ("link", "a link to nothing"),
        ("link/b", "/link is a link to nothing"),
        ("/proc/none/b", "cannot be written: /proc says"),
    )
    for place, said in places:
        with pytest.raises(AssayError, match=said):
            merge(adapter, tmp_path / place)
    assert not (tmp_path / "out").exists()


def test_labels_stand_on_the_answer_alone(work, tokenizer):
    family = family_of(tiny_gemma().config, tokenizer)
    example = read_documents(work / "train", CONTRACT)[0]
    [encoded] = encode(example, CONTRACT, family, 4096)
    ids, labels = encoded["input_ids"], encoded["labels"]
    trained = [token for token, label in zip(ids, labels, strict=True) if label != -100]
    assert trained == [label for label in labels if label != -100] == ids[-len(trained) :]
    assert tokenizer.decode(trained) == CONTRACT.target.encode(example.branches[0].gold) + "<end_of_turn>"
    assert tokenizer.decode(ids[: -len(trained)]).endswith("<start_of_turn>model\n")
    with pytest.raises(AssayError, match="max_length=64"):
        encode(example, CONTRACT, family, 64)


def test_the_loss_is_the_models_own():
    torch.manual_seed(0)
    hidden = torch.randn(300, 16, requires_grad=True)
    weight, targets = torch.randn(999, 16), torch.randint(0, 999, (300,))
    AnswerLogProbs.apply(hidden, weight, targets).sum().backward()
    gradient, hidden.grad = hidden.grad.clone(), None
    reference = -torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    reference.backward()
    torch.testing.assert_close(gradient, hidden.grad, atol=1e-4, rtol=1e-4)
    value = AnswerLogProbs.apply(hidden.detach(), weight, targets).sum()
    torch.testing.assert_close(value, reference.detach(), rtol=1e-5, atol=1e-3)


def test_a_token_weighs_the_same_in_a_short_batch_and_in_a_long_one():
    trainer = SimpleNamespace(own_loss=True, usual_tokens=20.0, accelerator=SimpleNamespace(num_processes=1))

    def gradient(tokens):
        log_probs = torch.full((tokens,), -1.0, requires_grad=True)
        loss = FieldTrainer.compute_loss(trainer, lambda **_: log_probs, {"labels": None}, False, torch.tensor(tokens))
        loss.backward()
        return log_probs.grad[0].item()

    assert gradient(5) == gradient(300) == pytest.approx(-1 / 20)


def test_a_sample_of_the_other_words_stands_for_all_of_them():
    torch.manual_seed(0)
    hidden, weight = torch.randn(50, 16) / 4, torch.randn(999, 16)
    used = torch.randperm(999)[:100]
    targets = used[torch.randint(0, 100, (50,))]
    log_probs = torch.log_softmax(hidden @ weight.T, 1).gather(1, targets[:, None]).squeeze(1)
    everything = SampledHead(weight, used, likely=0, sampled=899).log_probs(hidden, targets)
    torch.testing.assert_close(everything, log_probs, rtol=1e-4, atol=1e-4)
    # 1 / p_t = sum_v exp(z_v - z_t): unbiased in the sample, so its mean over draws goes to the whole.
    away = {}
    for likely, chances in ((0, None), (100, torch.softmax(hidden @ weight.T, 1).mean(0))):
        head = SampledHead(weight, used, chances, likely=likely, sampled=200)
        draws = torch.stack([(-head.log_probs(hidden, targets)).exp() for _ in range(400)])
        torch.testing.assert_close(draws.mean(0), (-log_probs).exp(), rtol=0.1, atol=0)
        away[likely] = (draws.log() + log_probs).abs().mean()
    assert away[100] < 0.8 * away[0]  # words that the model thinks of are kept


@pytest.fixture()
def data(work, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(work / "validation", folder)
    return folder


def test_gold_that_does_not_fit_the_schema_is_named_with_its_place(data):
    path = sorted(data.glob("*.json"))[0]
    record = json.loads(path.read_text())
    record["tests"][0]["result"] = 5
    path.write_text(json.dumps(record))
    with pytest.raises(AssayError, match=rf"{path.name} does not fit the schema at /tests/0/result"):
        read_documents(data, CONTRACT)


def test_documents_and_records_come_in_pairs(data, tmp_path):
    with pytest.raises(AssayError, match="does not exist"):
        read_documents(tmp_path / "none", CONTRACT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssayError, match="holds no PDF"):
        read_documents(tmp_path / "empty", CONTRACT)
    sorted(data.glob("*.json"))[0].unlink()
    with pytest.raises(AssayError, match="needs its record"):
        read_documents(data, CONTRACT)


def test_what_is_no_document_is_passed_over_and_told(data, capsys):
    before = len(read_documents(data, CONTRACT))
    assert "Passed over" not in capsys.readouterr().err
    (data / ".ipynb_checkpoints").mkdir()
    for name in ("._x.pdf", ".DS_Store", "notes.docx"):
        (data / name).write_bytes(b"\0")
    assert len(read_documents(data, CONTRACT)) == before
    assert f"Passed over in {data}: notes.docx, hidden files (3);" in capsys.readouterr().err


def test_a_document_in_both_sets_is_refused(data, work):
    examples = read_documents(data, CONTRACT)
    with pytest.raises(AssayError, match="also among the training data"):
        check_split(examples, examples)
    check_split(examples, read_documents(work / "train", CONTRACT))


def test_half_a_checkpoint_is_never_taken_for_a_whole_one(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.open(load_config(DEMO))
    for step in (2, 4, 10):
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"12345678")
        mark_whole(folder)
    (run.checkpoints / "checkpoint-10" / "weights").write_bytes(b"1234")
    assert not is_whole(run.checkpoints / "checkpoint-10")
    assert run.last_checkpoint() == run.checkpoints / "checkpoint-4"
    assert not (run.checkpoints / "checkpoint-10").exists()


def test_an_output_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(AssayError, match="not empty"):
        RunFolder(tmp_path).open(load_config(DEMO))


def test_fingerprints_tell_models_apart(work, tmp_path):
    assert fingerprint(str(work / "model")) == fingerprint(str(work / "model"))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    with pytest.raises(AssayError, match="no safetensors"):
        fingerprint(str(tmp_path / "m"))
