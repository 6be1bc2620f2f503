"""Grading by code: equal forms are accepted, wrong ones are not."""

import json

import pytest

from extraction.errors import AssayError
from recipes.ehr_qa.grade import grade, score
from recipes.ehr_qa.questions import CATEGORIES, Question


def question(kind, answer, options=(), category=CATEGORIES[0], evidence=(3,)):
    return Question("p1", category, "free", kind, "?", options, answer, None, evidence, ())


OPTIONS = ("Asthma", "Gout", "Stroke", "None of these")


@pytest.mark.parametrize(
    ("kind", "gold", "answer"),
    [
        ("date", "1990-05-06", "1990-05-06T18:38:58+00:00"),
        ("date", "1990-05-06", "1990-05-06 18:38"),
        ("date", "1990-05-06", "May 6, 1990"),
        ("date", "1990-05-06", "6 May 1990"),
        ("date", "1990-05-06", "May 6th, 1990."),
        ("date", "1990-05-06", "06-05-1990"),
        ("date", "1990-05-06", "1990/5/6"),
        ("number", "160.2 cm", "160.2 cm"),
        ("number", "160.2 cm", "160.20cm"),
        ("number", "160.2 cm", "160 centimeters"),
        ("number", "5.10 mmol/L", "5,1 mmol/l"),
        ("number", "1234 pg/mL", "1,234 pg/mL"),
        ("number", "125.4 mm[Hg]", "125.4 mmHg"),
        ("number", "5.506 10*3/uL", "5.506 x10^3/µL"),
        ("number", "3.321 {score}", 3.321),
        ("number", "27.28 kg/m2", "27.28 kg/m²"),
        ("number", "37.5 Cel", "37.5 °C"),
        ("set", ("Gout", "Viral sinusitis"), ["viral sinusitis", "Gout"]),
        ("set", ("Gout", "Viral sinusitis"), "Viral sinusitis (disorder); gout"),
        ("set", ("Gout",), "Gout"),
        ("yes_no", "yes", True),
        ("yes_no", "yes", "Yes."),
        ("yes_no", "no", ["no"]),
        ("name", "Dr. Noé Dibbert", "noé  dibbert"),
        ("text", "Viral sinusitis", "viral sinusitis (disorder)"),
        ("letter", "B", "b"),
        ("letter", "B", "(B)"),
        ("letter", "B", "B. Gout"),
        ("letter", "B", "Gout"),
        ("number", None, None),
        ("date", None, "Not in the record."),
        ("set", None, []),
    ],
)
def test_equal_forms_are_accepted(kind, gold, answer):
    assert grade(question(kind, gold, OPTIONS), answer)


@pytest.mark.parametrize(
    ("kind", "gold", "answer"),
    [
        ("date", "1990-05-06", "1990-05-07"),
        ("date", "1990-05-06", "1990-05"),
        ("date", "1990-05-06", "05/06/1990"),
        ("date", "1990-05-06", None),
        ("number", "160.2 cm", "160.2"),
        ("number", "160.2 cm", "160.2 kg"),
        ("number", "160.2 cm", "161 cm"),
        ("number", "5.3 mmol/L", "5 mmol/L"),
        ("number", "5.3 mmol/L", "5.31 mmol/L"),
        ("number", "<10 mg/L", "10 mg/L"),
        ("number", "88 mg/dL", ["88 mg/dL", "91 mg/dL"]),
        ("set", ("Gout", "Asthma"), ["Gout"]),
        ("set", ("Gout",), ["Gout", "Asthma"]),
        ("set", ("Gout",), [1]),
        ("set", ("Gout",), None),
        ("set", None, ["Gout"]),
        ("yes_no", "yes", "no"),
        ("yes_no", "yes", "yes and no"),
        ("name", "Dr. Noé Dibbert", "Dr. Dibbert"),
        ("text", "Ibuprofen 200 MG Oral Tablet", "Ibuprofen"),
        ("letter", "B", "C"),
        ("letter", "B", "B. Asthma"),
        ("letter", "B", "A or B"),
        ("letter", "B", None),
        ("number", None, "88 mg/dL"),
        ("text", "Gout", {"name": "Gout"}),
    ],
)
def test_wrong_forms_are_refused(kind, gold, answer):
    assert not grade(question(kind, gold, OPTIONS), answer)


def test_the_score_is_the_mean_of_the_categories_not_of_the_questions():
    first = [question("yes_no", "yes") for _ in range(3)]
    second = [question("yes_no", "yes", category=CATEGORIES[1])]
    replies = [{"answer": "yes", "evidence": [3]}] * 3 + [{"answer": "no", "evidence": [4]}]
    result = score([*first, *second], replies, 10)
    assert result.mean == 0.5
    assert result.categories[CATEGORIES[0]] == 1 and result.categories[CATEGORIES[1]] == 0
    assert result.categories[CATEGORIES[2]] is None and result.counts[CATEGORIES[0]] == 3
    assert result.evidence_cited == 0.75 and result.evidence_invented == 0


def test_malformed_replies_are_wrong_and_counted():
    questions = [question("text", None, evidence=()) for _ in range(5)]
    replies = ["{", "[]", None, {"evidence": []}, json.dumps({"answer": None, "evidence": []})]
    result = score(questions, replies, 10)
    assert result.malformed == 4 and result.mean == 0.2 and result.evidence_cited is None


def test_lines_that_the_record_does_not_have_are_counted():
    replies = [{"answer": "yes", "evidence": [3, 99]}, {"answer": "yes", "evidence": "3"}]
    result = score([question("yes_no", "yes")] * 2, replies, {"p1": 10})
    assert result.evidence_invented == 0.5 and result.evidence_cited == 0.5 and result.mean == 1


def test_questions_and_replies_must_match():
    with pytest.raises(AssayError, match="2 questions but 1 replies"):
        score([question("yes_no", "yes")] * 2, [{}], 10)
