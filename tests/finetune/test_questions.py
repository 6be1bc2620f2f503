"""Questions on one context: the loss of separate examples, rows that fit, a run that trains, serves and answers."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from extraction.errors import AssayError
from extraction.example import Branch, Context, Example, ImagePart
from extraction.families import Prompt, family_of
from extraction.generate.spans import NAME
from finetune.encode import IGNORED, Collator, encode, share
from finetune.preview import Preview, stretches
from finetune.run import read_metrics
from finetune.task import load_task
from tests.conftest import command, tiny_gemma
from tests.recipes.ehr_bundles import everything, write

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "recipes" / "ehr_qa" / "release_short.yaml"
TEXT = "\n".join(f"{n}: Glucose {n}.{n} mmol/L" for n in range(1, 40))
ASKED = tuple(
    Branch((f"What was glucose number {n}?",), gold={"evidence": [n], "answer": f"{n}.{n} mmol/L"}) for n in range(1, 9)
)
EXAMPLE = Example(Context("a", (TEXT,)), ASKED)
CONTRACT = load_task("ehr_qa").contract


def separate(row):
    """The examples that a row with branches stands for; one without stands for itself."""
    if "branches" not in row:
        yield row
        return
    context = [token for token, branch in zip(row["input_ids"], row["branches"], strict=True) if branch == 0]
    for branch in range(1, max(row["branches"]) + 1):
        own = [i for i, number in enumerate(row["branches"]) if number == branch]
        yield {
            "input_ids": context + [row["input_ids"][i] for i in own],
            "labels": [IGNORED] * len(context) + [row["labels"][i] for i in own],
        }


@pytest.fixture(scope="module")
def family(tokenizer):
    return family_of(tiny_gemma().config, tokenizer)


def test_a_preview_leaves_no_token_out(tokenizer, family):
    (row,) = encode(EXAMPLE, CONTRACT, family, 4096)
    made = Preview(1, tuple(stretches(row, family)))
    assert made.branches == len(ASKED) and f"{len(ASKED)} branches on one context" in made.summary()
    for (told, own), one, asked in zip(list(made.parts())[1:], separate(row), ASKED, strict=True):
        context = next(made.parts())[1]
        assert "".join(s.text for s in (*context, *own)) == tokenizer.decode(one["input_ids"])
        trained = "".join(s.text for s in own if s.trained)
        assert trained == json.dumps(asked.gold, separators=(",", ":")) + "<end_of_turn>" and told.startswith("branch ")
    assert sum(s.tokens for s in made.stretches) == len(row["input_ids"])


def test_a_row_holds_each_prompt_and_answer_word_for_word(tokenizer, family):
    (row,) = encode(EXAMPLE, CONTRACT, family, 4096)
    assert len(row["input_ids"]) < 0.3 * sum(len(one["input_ids"]) for one in separate(row))
    for one, asked in zip(separate(row), ASKED, strict=True):
        prompt = tokenizer.decode(family.render(CONTRACT.messages([TEXT], asked.parts)).ids)
        answer = json.dumps(asked.gold, separators=(",", ":"))
        assert tokenizer.decode(one["input_ids"]) == f"{prompt}{answer}<end_of_turn>"
        trained = [label for label in one["labels"] if label != IGNORED]
        assert tokenizer.decode(trained).startswith('{"evidence":')


def test_questions_that_do_not_fit_a_row_begin_another(family):
    (whole,) = encode(EXAMPLE, CONTRACT, family, 4096)
    rows = encode(EXAMPLE, CONTRACT, family, len(whole["input_ids"]) - 1)
    assert len(rows) == 2 and all(len(row["input_ids"]) < len(whole["input_ids"]) for row in rows)
    assert [one for row in rows for one in separate(row)] == list(separate(whole))
    with pytest.raises(AssayError, match=r"^a takes \d+ tokens with an answer .*, more than data\.max_length=400"):
        encode(EXAMPLE, CONTRACT, family, 400)


def test_loss_and_gradients_are_those_of_separate_examples(family):
    """The real path: two contexts in a row, a window much shorter than a context, float32."""
    model = tiny_gemma(3).float()
    rows = [encode(Example(EXAMPLE.context, ASKED[:k]), CONTRACT, family, 4096)[0] for k in (3, 1)]

    def run(batch, attention):
        model.set_attn_implementation(attention)
        model.zero_grad()
        labels = batch.pop("labels")[0, 1:]
        trained = labels != IGNORED  # the head's other rows have no part in the loss
        logits = model(**batch, logits_to_keep=trained.nonzero()[:, 0]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, labels[trained], reduction="sum")
        loss.backward()
        return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters()}

    loss, gradients = run(Collator(family, in_row=True)(rows), NAME)
    alone = [run(Collator(family)([one]), "sdpa") for row in rows for one in separate(row)]
    assert loss == pytest.approx(sum(one for one, _ in alone), rel=1e-6)
    for name, gradient in gradients.items():
        summed = sum(own[name] for _, own in alone)
        assert (gradient - summed).norm() <= 1e-4 * summed.norm() + 1e-6, name


def test_a_branch_alone_is_a_row_without_branches():
    assert share([(Prompt([2, 5]), [6, 7])]) == {"input_ids": [2, 5, 6, 7], "labels": [IGNORED, IGNORED, 6, 7]}


def test_pictures_of_the_context_come_first_then_those_of_each_branch(tmp_path):
    """What branches share ends before the first picture that is not the same in all, however alike its tokens are."""
    page, left, right = (ImagePart(tmp_path / f"{name}.png", 1, 72, (9, 9)) for name in "abc")
    soft, place = 9, (slice(1, 3), slice(4, 6))
    prompts = [Prompt([2, soft, soft, 5, soft, soft, 7], (page, own), place) for own in (left, right)]
    row = share([(prompt, [8, 1]) for prompt in prompts])
    assert row["images"] == [page, left, right] and row["branches"] == [0] * 4 + [1] * 5 + [2] * 5
    assert row["input_ids"] == [2, soft, soft, 5, *[soft, soft, 7, 8, 1] * 2]
    same = share([(prompts[0], [8, 1]), (prompts[0], [6, 1])])
    assert same["images"] == [page, left] and same["branches"] == [0] * 6 + [1] * 3 + [2] * 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tokenizer):
    """A tiny model, trained for a few steps on a few bundles."""
    work = tmp_path_factory.mktemp("ehr")
    tiny_gemma(1).to(torch.bfloat16).save_pretrained(work / "model")
    tokenizer.save_pretrained(work / "model")
    for split, sex in (("train", "male"), ("validation", "female")):
        (work / split).mkdir()
        resources = everything()
        next(one for one in resources if one["resourceType"] == "Patient")["gender"] = sex
        write(work / split / "patient.json", resources)
    settings = {
        "model": work / "model",
        "data.train": work / "train",
        "data.validation": work / "validation",
        "data.synthetic": "{}",
        "adapter.start": "null",
        "data.questions": 4,
        "contract.max_answer_tokens": 200,
        "train.output": work / "run",
        "train.max_steps": 2,
        "train.batch_size": 2,
        "train.checkpoint_steps": 2,
        "train.log_steps": 1,
        "train.learning_rate": 0.01,
        "evaluate.documents": 1,
    }
    done = command("train", CONFIG, *(f"{k}={v}" for k, v in settings.items()), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return work


def test_a_run_trains_judges_and_keeps_an_adapter(finished):
    rows = read_metrics(finished / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2]
    judged = next(row for row in rows if "eval_accuracy" in row)
    assert 0 <= judged["eval_accuracy"] <= 1
    weights = load_file(finished / "run" / "adapter" / "adapter_model.safetensors")
    assert any(tensor.abs().sum() > 0 for name, tensor in weights.items() if "lora_B" in name)
    facts = json.loads((finished / "run" / "adapter" / "versions.json").read_text())
    assert facts["eval_accuracy"] == judged["eval_accuracy"]


def test_answers_name_lines_that_the_record_has(finished):
    from recipes.ehr_qa.answer import Answerer
    from recipes.ehr_qa.records import read_record

    bundle = next((finished / "validation").glob("*.json"))
    answerer = Answerer.from_pretrained(finished / "run" / "adapter", dtype="float32")
    questions = ["Who prescribed it?", "Is the patient on Captopril? Answer yes or no.", "When?"]
    together = answerer.answer(bundle, questions)
    assert [given.question for given in together] == questions
    assert [answerer.answer(bundle, [question])[0] for question in questions] == together
    lines = len(answerer.shown(read_record(bundle), questions).lines)
    for given in together:
        assert given.issue or all(1 <= number <= lines for number in given.evidence)
        assert set(given.to_json()) >= {"question", "answer", "said", "evidence", "lines"}
