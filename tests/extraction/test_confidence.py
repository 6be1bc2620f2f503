"""Confidence: what a person is asked to look at, and how far records can be relied on."""

import io
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from extraction.evidence import PageEvidence
from extraction.record.record import Field, Issue, Record
from extraction.score import Pair, score, score_files
from recipes.lab_report.checks import CHECKS
from tests.extraction.test_score import has_value, json_values, lab, some, tests


def record(rows, sure=(), issues=(), status="ok"):
    """A record whose values have the confidences `sure` in turn; 0.99 for those left over."""
    places = [f"/tests/{number}/{key}" for number, row in enumerate(rows) for key, value in row.items() if value]
    values = dict(itertools.zip_longest(places, sure, fillvalue=0.99))
    fields = {
        path: Field("x", path, confidence, PageEvidence("x", page=1, box=(1, 2, 3, 4)))
        for path, confidence in values.items()
    }
    return Record("a.pdf", status, {"tests": rows}, list(issues), fields)


def scored(record, gold, **options):
    return score([Pair(None, {"tests": gold}, **options).predicted(record.to_dict())], CHECKS)


def at(data, pointer):
    for step in pointer.split("/")[1:]:
        data = data[int(step) if isinstance(data, list) else step.replace("~1", "/").replace("~0", "~")]
    return data


@given(tests, some)
@settings(max_examples=100, deadline=None)
def test_every_predicted_value_is_judged_as_the_score_counts_it(predicted, gold):
    document = score([({"tests": predicted}, {"tests": gold})], CHECKS).documents[0]
    for name, counts in document.fields.items():
        judged = [cell.right for cell in document.cells if cell.field == name]
        assert (sum(judged), len(judged) - sum(judged)) == (counts.tp, counts.fp)
    assert all(at({"tests": predicted}, cell.pointer) is not None for cell in document.cells)


@given(json_values, json_values.filter(has_value))
@settings(max_examples=100, deadline=None)
def test_values_of_any_json_are_found_by_their_pointers(predicted, gold):
    document = score([(predicted, gold)]).documents[0]
    assert len({cell.pointer for cell in document.cells}) == document.counts.tp + document.counts.fp
    assert all(not isinstance(at(predicted, cell.pointer), dict | list) for cell in document.cells)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.5, 0.9, 0.95, 1.0, None])), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_measures_follow_their_definitions(values):
    rows = [lab(f"{chr(65 + i) * 6} {i}", None, None) for i in range(len(values))]
    gold = [row for row, (right, _) in zip(rows, values, strict=True) if right]
    outcome = scored(record(rows, [sure for _, sure in values]), gold).reliability
    known = [(right, sure) for right, sure in values if sure is not None]
    if not known:
        assert outcome is None
        return
    pairs = [(a, b) for (right, a), (wrong, b) in itertools.product(known, known) if right and not wrong]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]
    assert outcome.auroc == (pytest.approx(sum(wins) / len(wins)) if wins else None)
    assert sum(bin.values for bin in outcome.bins) == len(known)
    gaps = [
        abs(sum(right - sure for right, sure in known if bin.low <= sure < bin.high + (bin.high == 1)))
        for bin in outcome.bins
    ]
    assert outcome.calibration_error == pytest.approx(sum(gaps) / len(known))
    for review in outcome.reviews:
        seen = [right for right, sure in values if sure is None or sure < review.below]
        assert (review.reviewed, review.caught) == (len(seen), seen.count(False))
        assert review.silent == review.wrong - review.caught  # the record is ok
    json.dumps(outcome.to_dict(), allow_nan=False)


def test_the_review_of_a_score_is_the_review_of_the_record():
    rows = [lab("Sodium", "140"), lab("Urea", "31"), lab("CRP", "2")]
    doubtful = record(rows, [0.3, None, 0.7], [Issue("not_found", "…", "/tests/1"), Issue("unread", "…", page=2)])
    outcome = scored(doubtful, rows).reliability
    for below in (0.2, 0.5, 0.8, 1):
        assert outcome.review(below).reviewed == len(doubtful.review(below))


def test_values_are_for_review_when_unsure_unknown_or_named_by_an_issue():
    rows = [lab("Sodium", "140"), lab("Urea", "31"), lab("CRP", "2")]
    doubtful = record(rows, [0.3, None, 0.7], [Issue("not_found", "…", "/tests/1/unit")])
    assert [field.path for field in doubtful.review(0.5)] == ["/tests/0/name", "/tests/0/result", "/tests/1/unit"]
    assert "/tests/0/unit" in {field.path for field in doubtful.review(0.75)}
    doubtful.issues.append(Issue("invalid", "…", "/tests/2"))
    assert {"/tests/2/name", "/tests/2/result", "/tests/2/unit"} < {field.path for field in doubtful.review(0.5)}
    doubtful.issues.append(Issue("invalid", "…", "/"))
    assert len(doubtful.review(0)) == 9
    # A row's issue does not name the rows whose numbers begin alike.
    assert (
        record([lab("Urea")] * 11, issues=[Issue("invalid", "…", "/tests/1")]).review(0.5)[-1].path == "/tests/1/unit"
    )


def test_a_wrong_value_that_nothing_points_at_is_the_one_that_counts():
    gold = [lab("Sodium", "140", "mmol/L")]
    wrong = [lab("Sodium", "149", "mmol/L")]
    assert scored(record(wrong), gold).reliability.review(0.9).silent == 1
    assert scored(record(wrong, [0.99, 0.5]), gold).reliability.review(0.9).silent == 0
    assert scored(record(wrong, [0.99, None]), gold).reliability.review(0.9).silent == 0
    named = [Issue("differs", "…", "/tests/0/result")]
    assert scored(record(wrong, issues=named), gold).reliability.review(0.9).silent == 0
    partial = scored(record(wrong, status="partial"), gold).reliability.review(0.9)
    assert (partial.silent, partial.ok_values, partial.wrong - partial.caught) == (0, 0, 1)


def test_rows_that_gold_does_not_judge_are_not_judged():
    outcome = scored(record([lab("Sodium"), lab("Zinc")]), [lab("Sodium")], complete=False)
    assert len(outcome.reliability.right) == 3 and outcome.unjudged == 1
    outcome = scored(record([lab("Sodium")]), [lab("Sodium")], unlabelled=["unit"])
    assert len(outcome.reliability.right) == 2
    assert len(outcome.on(["name"]).reliability.right) == 1


def test_records_on_disk_say_their_confidence_and_plain_data_says_none(tmp_path):
    gold = [lab("Sodium", "140", "mmol/L"), lab("Urea", "31", None)]
    wrong = record([lab("Sodium", "149", "mmol/L"), lab("Urea", "31", None)], [0.9, 0.4])
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "a.json").write_text(json.dumps({"tests": gold}))
    wrong.save(tmp_path / "a.json")
    outcome = score_files(tmp_path / "a.json", tmp_path / "gold" / "a.json")
    assert outcome.reliability.auroc == 1 and outcome.to_dict()["reliability"]["auroc"] == 1
    out = io.StringIO()
    Console(file=out, width=100).print(outcome.reliability.table())
    assert "AUROC 1.000" in out.getvalue() and "1 of 1" in out.getvalue()
    (tmp_path / "a.json").write_text(json.dumps(wrong.data))
    outcome = score_files(tmp_path / "a.json", tmp_path / "gold" / "a.json")
    assert outcome.reliability is None and outcome.to_dict()["reliability"] is None


@pytest.mark.parametrize("evidence", [None, [], {"/tests/0/name": "x"}, {"/tests/0/name": {"confidence": "high"}}])
def test_a_record_from_elsewhere_may_say_anything(evidence):
    content = {"status": "ok", "data": {"tests": [lab("Sodium")]}, "evidence": evidence, "issues": [None, {"path": 3}]}
    assert score([Pair(None, {"tests": []}).predicted(content)]).reliability is None


def test_the_terminal_and_the_file_say_what_is_not_known():
    doubtful = record([lab("Sodium", "140"), lab("Urea", "31")], [0.99, None])
    assert doubtful.to_dict()["evidence"]["/tests/0/result"]["confidence"] is None
    out = io.StringIO()
    Console(file=out, width=100).print(doubtful.table())
    assert "140 ?" in out.getvalue() and "31 ?" not in out.getvalue() and "1 of 6 values" in out.getvalue()
    assert doubtful["tests"][0]["result"].confidence is None
