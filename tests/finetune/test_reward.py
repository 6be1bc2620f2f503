"""Reinforcement: the metric goes up, a run goes on where it was, and what cannot be is refused before it begins."""

import json
import shutil
from pathlib import Path

import pytest

import recipes
from extraction.errors import AssayError
from extraction.example import Branch, Context, Example
from extraction.generate import LocalBackend
from extraction.generate.backend import Generation
from extraction.reading import record_of
from extraction.record.record import Field, Record, SetAside
from finetune.config import RunConfig, load_config
from finetune.reward import check_settings, reward, weights_of
from finetune.run import read_metrics
from finetune.task import load_task
from recipes.card.examples import Asked
from recipes.card.items import Item, Reading
from recipes.card.rows import by_name
from tests.conftest import command, tiny_gemma, tiny_medgemma
from tests.finetune.reward_task import TASK


@pytest.fixture(scope="module")
def work(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("reward")
    tiny_gemma(1).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "train").mkdir()
    (folder / "validation").mkdir()
    return folder


def config(work, run, **reward):
    train = {"output": work / run, "batch_size": 8, "max_steps": 6, "learning_rate": 0.03, "checkpoint_steps": 3}
    return RunConfig.model_validate({
        "recipe": "tests.finetune.reward_task",
        "model": str(work / "model"),
        "data": {"train": work / "train", "validation": work / "validation"},
        "train": {**train, "log_steps": 1, "scheduler": "constant"},
        "reward": {"generations": 4, **reward},
    })  # fmt: skip


def test_the_metric_goes_up_and_a_run_goes_on_with_the_answers_it_would_have_drawn(work):
    adapter = reward(config(work, "run"))
    rows = read_metrics(work / "run" / "metrics.jsonl")
    judged = [row["eval_accuracy"] for row in rows if "eval_accuracy" in row]
    assert len(judged) == 3 and judged[0] < judged[-1] == 1
    drawn = [row["reward"] for row in rows if "reward" in row]
    assert len(drawn) == 6 and drawn[-1] > drawn[0]
    assert {"contract.json", "versions.json", "README.md"} <= {path.name for path in adapter.iterdir()}
    assert "by what they were worth" in (adapter / "README.md").read_text()
    page = (work / "run" / "report.html").read_text()
    assert ">Reward<" in page and "teach nothing" in page and 'href="answers/checkpoint-0.html"' in page
    # As if it had been stopped after its first checkpoint.
    shutil.rmtree(adapter)
    shutil.rmtree(work / "run" / "checkpoints" / "checkpoint-6")
    reward(config(work, "run"))
    again = [row["reward"] for row in read_metrics(work / "run" / "metrics.jsonl") if "reward" in row]
    assert again == pytest.approx(drawn)


def test_commands_know_a_run_by_reward(work, tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text(config(work, tmp_path / "out").model_dump_json())  # JSON is YAML
    asked = list[RunConfig]()

    def begun(run):
        run.train.output.mkdir(parents=True)
        asked.append(run)

    monkeypatch.setattr("finetune.reward.reward", begun)
    monkeypatch.setattr("finetune.sweep.result_of", lambda _: ("accuracy", 0.5, 1.0))
    done = command("train", file, "--sweep", "adapter.r=2,4")
    assert done.returncode == 0 and [one.adapter.r for one in asked] == [2, 4]
    for name, more in (("train", ()), ("train", ("--dry-run",)), ("plan", ("--measure",))):
        done = command(name, file, *more)
        assert done.returncode == 2 and "assay reward" in done.stderr, (name, more)


def test_answers_to_a_question_share_its_prompt_and_forced_tokens_are_not_learned(tokenizer):
    backend = LocalBackend(tiny_gemma(1), tokenizer, temperature=1.0, seed=3)
    asked = TASK.read(type("Wanted", (), {"split": "train"}))[:2]
    [one, two] = backend.samples([(asked[0], 3), (asked[1], 1)], TASK.contract)
    assert len(one) == 3 and len(two) == 1
    for sample in (*one, *two):
        assert json.loads(sample.generation.text)["answer"] in ("low", "normal", "high", "none")
        assert tokenizer.decode(sample.tokens) == sample.generation.text + "<end_of_turn>"
        assert 0 < sum(sample.chosen) < len(sample.tokens) == len(sample.chosen) and not sample.chosen[-1]
    [[free]] = backend.samples([(asked[0], 1)], TASK.contract, free=True)
    assert all(free.chosen)


def test_a_model_with_eyes_learns_from_text(work, image_tokenizer):
    tiny_medgemma().save_pretrained(work / "eyes")
    image_tokenizer.save_pretrained(work / "eyes")
    made = config(work, "seen", beta=0.1)
    train = made.train.model_copy(update={"max_steps": 1})
    reward(made.model_copy(update={"model": str(work / "eyes"), "train": train}))
    assert any(row.get("kl") is not None for row in read_metrics(work / "seen" / "metrics.jsonl"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"generations": 3}, "A step has 8 answers .* no multiple of reward.generations=3"),
        ({"weights": {"f1": 1.0}}, "the recipe constant has no reward f1; it has metric, valid"),
    ],
)
def test_what_cannot_be_rewarded_is_refused(work, settings, said):
    with pytest.raises(AssayError, match=said):
        reward(config(work, "refused", **settings))
    assert not (work / "refused").exists()


def test_a_document_is_worth_its_fields_its_evidence_and_no_invention():
    task = load_task("lab_report")
    gold = {"tests": [{"name": "Sodium", "result": "140", "unit": "mmol/L"}]}
    example = Example(Context("a", ("Sodium 140 mmol/L",)), (Branch(gold=gold),))
    right = {f"/tests/0/{key}": Field(value, f"/tests/0/{key}", 1.0, None) for key, value in gold["tests"][0].items()}
    made = task.rewards(task.contract, example, Record("a", "ok", gold, fields=right))
    assert made == {"metric": 1, "valid": 1, "evidence": 0, "wrong": 0, "set_aside": 0}
    wrong = {"tests": [{"name": "Sodium", "result": "104", "unit": "mmol/L"}]}
    record = Record("a", "partial", wrong, set_aside=[SetAside("/tests", {}, "it stands nowhere")])
    made = task.rewards(task.contract, example, record)
    assert 0 < made["metric"] < 1 and 0 < made["wrong"] < 1 and made["set_aside"] == 1
    assert task.rewards(task.contract, example, Record.failed("a", "empty", "Nothing."))["metric"] == 0


def test_an_exam_has_the_reward_of_the_public_notebook():
    task, row = load_task("exams"), by_name("medqa")
    item = Item("1", "Which?", "B", {"A": "one", "B": "two"})
    example = Example(Context("1", ("Which?",)), (Branch(source=Asked(item, row, Reading())),))

    def worth(reply):
        return task.rewards(task.contract, example, record_of(example, Generation(reply, "stop"), task.contract))

    assert worth("So it is. Final Answer: (B)") == {"metric": 1, "format": 1, "notebook": 1}
    assert worth("Final Answer: A") == {"metric": 0, "format": 1, "notebook": 0}
    assert worth("(B)") == {"metric": 1, "format": 0, "notebook": 0}
    medgemma = load_config(Path(recipes.__file__).parent / "exams" / "reward_medgemma.yaml")
    check_settings(medgemma, medgemma.reward)
    assert weights_of(medgemma.reward, task, task.contract, example) == {"notebook": 1}


def test_settings_of_a_reward_are_no_training(work):
    from tests.conftest import command

    path = work / "reward.yaml"
    path.write_text(json.dumps(json.loads(config(work, "other").model_dump_json())))
    done = command("train", path)
    assert done.returncode == 2 and "has a section `reward`; start it by assay reward" in done.stderr
