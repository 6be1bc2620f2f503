"""A run's report and card, from what lies in its folder: whole at any moment, by field, with what it cost."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from reportlab.pdfgen.canvas import Canvas

from extraction.contract import Contract
from extraction.document import open_document
from extraction.example import Branch, Context, Example
from extraction.reading import document_example
from extraction.record.record import Record
from extraction.score import Pair, score
from finetune.config import RunConfig
from finetune.data import digest_of
from finetune.details import details_of, keep_details
from finetune.page import note_merge, terms_of, write_report
from finetune.run import RunFolder
from finetune.task import Grade
from finetune.trainer import Report

CONTRACT = Contract.for_schema(
    {"type": "object", "properties": {"seller": {"type": "string"}, "total": {"type": "string"}}}
)
GOLD = [{"seller": "Bolt <b>", "total": "2.00"}, {"seller": "Nut", "total": "3.00"}, {"seller": "Pin", "total": "4"}]
CONFIG = RunConfig(recipe="documents", data={"train": "a", "validation": "b"}, train={"output": "run"})
EXAMPLES = [Example(Context(f"{n}.pdf", (f"text {n}",)), (Branch(gold=gold),)) for n, gold in enumerate(GOLD)]


def graded(said):
    pairs = [Pair(one, gold, f"{n}.pdf") for n, (one, gold) in enumerate(zip(said, GOLD, strict=True))]
    records = [[Record(f"{n}.pdf", "ok", one)] for n, one in enumerate(said)]
    return Grade({"micro_f1": 0.5}, score(pairs, contract=CONTRACT)), records


@pytest.fixture
def folder(tmp_path):
    """A run that was stopped behind its second evaluation."""
    made = RunFolder(tmp_path / "run")
    made.path.mkdir()
    for step, said in ((0, [{}, {"seller": "Nut"}, {}]), (5, [GOLD[0], {**GOLD[1], "total": "9.99"}, GOLD[2]])):
        grade, records = graded(said)
        keep_details(made, f"checkpoint-{step}", grade, EXAMPLES, records)
        made.append_metrics({"step": step, "seconds": 6.0 * step, "eval_micro_f1": 0.1 * step, "eval_wrong_values": 0})
        made.append_metrics({"step": step + 1, "seconds": 6.0 * step + 1, "loss": 3.0})
    return made


def test_details_are_figures_by_field_with_intervals_and_the_worst_without_values():
    made = details_of(graded([GOLD[0], {**GOLD[1], "total": "9.99"}, GOLD[2]])[0])
    total = next(one for one in made["fields"] if one["name"] == "total")
    assert total["values"] == 3 and total["low"] < total["figure"] < 1 == total["high"]
    assert [one["document"] for one in made["worst"]] == ["1.pdf"] and "9.99" not in json.dumps(made)
    answers = [{"kind": "yes", "state": state} for state in ("right", "right", "wrong")]
    of_kinds = details_of(Grade({}, answers=answers))["fields"]
    assert [(one["name"], one["values"]) for one in of_kinds] == [("yes", 3), ("all", 3)]
    assert of_kinds[0]["low"] < of_kinds[0]["figure"] == 2 / 3 < of_kinds[0]["high"]


def test_a_run_that_was_stopped_has_its_report(folder):
    state = SimpleNamespace(is_world_process_zero=True, best_model_checkpoint=None)
    Report(folder, CONFIG).on_log(None, state, None, {})
    page = (folder.path / "report.html").read_text()
    assert "no checkpoint yet" in page and "has not ended" in page and "6 steps in 0.5 minutes" in page
    assert "GB of memory" in page and "transformers" in page
    assert "<th>before</th><th>checkpoint-5</th>" in page and "<td>1.pdf</td>" in page
    assert "9.99" not in page and 'href="answers/checkpoint-5.html"' in page
    assert "<th>F1</th></tr>" in page  # no column of rows where no row is wrong
    assert "Held-out micro f1" in page and "Held-out wrong values" not in page  # a count, however low it is
    beside = (folder.path / "answers" / "checkpoint-5.html").read_text()
    assert "9.99" in beside and "3.00" in beside and "Bolt &lt;b&gt;" in beside and "<b>" not in beside
    assert beside.index("1.pdf") < beside.index("0.pdf") and "asked" not in beside  # of documents nothing is


def test_a_run_by_reward_shows_what_answers_were_worth_and_what_taught_nothing(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.open(CONFIG)
    for step in (1, 2):
        parts = {"rewards/valid/mean": 0.5, "rewards/set_aside/mean": -0.1 * step}
        run.append_metrics({"step": step, "loss": 0.0, "reward": 0.4, "frac_reward_zero_std": 0.25, **parts})
    state = SimpleNamespace(is_world_process_zero=True, best_model_checkpoint="x/checkpoint-2")
    Report(run, CONFIG).on_save(None, state, None)
    page = (run.path / "report.html").read_text()
    assert "Kept: checkpoint-2" in page and "Training loss" not in page and "teach nothing" in page
    titles = [page.index(f"<figcaption>Reward{name}<") for name in ("", ": valid", ": set aside")]
    assert titles == sorted(titles) and ">-0.20<" in page


def test_a_run_has_its_report_from_its_first_moment(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.open(CONFIG)
    state = SimpleNamespace(is_world_process_zero=True, best_model_checkpoint=None)
    Report(run, CONFIG).on_train_begin(None, state, None)
    page = (run.path / "report.html").read_text()
    assert (
        "Nothing was read yet" in page
        and "has not ended" in page
        and "batch_size" in page
        and "<table></table" not in page
    )


def test_the_worst_documents_have_evidence_pages_and_a_merge_is_told(tmp_path):
    run, path = RunFolder(tmp_path / "run"), tmp_path / "bill.pdf"
    run.open(CONFIG)
    canvas = Canvas(str(path))
    canvas.drawString(72, 700, "Bolt 2.00")
    canvas.save()
    example = document_example(open_document(path), CONTRACT, GOLD[0])
    said = Record("bill.pdf", "ok", {"seller": "Bolt", "total": "2.00"})
    grade = Grade({}, score([Pair(said.data, GOLD[0], example.context.name)], contract=CONTRACT))
    keep_details(run, "checkpoint-5", grade, [example], [[said]])
    run.append_metrics({"step": 5, "seconds": 1.0, "eval_micro_f1": 0.5})
    write_report(run, CONFIG, {"checkpoint": "checkpoint-5", "versions": {}})
    assert 'href="answers/checkpoint-5/0.html"' in (page := run.path / "report.html").read_text()
    assert "Bolt" in (run.path / "answers" / "checkpoint-5" / "0.html").read_text()
    note_merge(run.path, "logits differ by 0.0012")
    assert "Merged: logits differ by 0.0012." in page.read_text() and "checkpoint-5/0.html" in page.read_text()


def test_a_field_that_is_nowhere_is_not_told_as_read(folder):
    file = folder.details("checkpoint-5")
    made = json.loads(file.read_text())
    made["fields"][0].update(values=0, figure=1.0)
    file.write_text(json.dumps(made))
    write_report(folder, CONFIG, {"checkpoint": "checkpoint-5", "versions": {}})
    assert "nothing to read, nothing invented" in (folder.path / "report.html").read_text()


def test_a_card_says_the_terms_of_the_base(tmp_path):
    assert "Gemma Terms of Use" in terms_of("gemma-3-270m") and "Gemma Terms of Use" in terms_of("google/gemma-3-1b-it")
    assert "Health AI Developer" in terms_of("google/medgemma-1.5-4b-it")
    assert "see where it came from" in terms_of("google/gemma-4-e2b") and "see where" in terms_of("no/such: name")
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: open-weights-9\n---\n# A model\n")
    assert terms_of(str(tmp_path)) == "open-weights-9"


def test_data_are_known_by_a_hash_whatever_their_order():
    one = digest_of(EXAMPLES)
    assert one == digest_of(EXAMPLES[::-1]) and len(one) == 64
    asked = [replace(EXAMPLES[0], branches=(Branch(("What?",), gold=GOLD[0]),)), *EXAMPLES[1:]]
    true = [replace(EXAMPLES[0], branches=(Branch(gold=GOLD[1]),)), *EXAMPLES[1:]]
    assert len({one, digest_of(EXAMPLES[:2]), digest_of(asked), digest_of(true)}) == 4
