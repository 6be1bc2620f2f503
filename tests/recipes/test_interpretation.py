"""What a result means by its own range, and flags that say something else."""

import pytest

from recipes.lab_report.interpretation import contradiction, interpret, of_sex
from recipes.lab_report.task import CONTRACT


def row(result, limits, flag=None):
    return {"name": "Test", "result": result, "range": limits, "flag": flag}


@pytest.mark.parametrize(
    ("result", "limits", "flag", "means"),
    [
        ("5.1", "4.0 - 6.0", None, "normal"),
        ("6,0", "4,0 - 6,0", None, "normal"),
        ("6.1", "4.0 - 6.0", "H", "high"),
        ("3.9", "(4.0 - 6.0)", None, "low"),
        ("9.9", "4.0 - 6.0", "HH", "critical"),
        ("5.0", "4.0 - 6.0", "HH", "normal"),
        ("<0.5", "<5.0", None, "normal"),
        ("<5.0", "<5.0", None, "normal"),
        ("5.0", "<5.0", None, "high"),
        ("5.0", "≤ 5.0", None, "normal"),
        ("<0.1", "0.4 - 4", None, "low"),
        ("<1", "0.4 - 4", None, None),
        ("<1", "0 - 4", None, "normal"),
        (">90", "> 60", None, "normal"),
        (">50", "> 60", None, None),
        (">100", "20 - 50", None, "high"),
        ("~5", "4 - 6", None, None),
        ("5.1 mmol/L", "70 - 100 mg/dL", None, None),
        ("Negative", "Negative", None, "normal"),
        ("Not detected", "Negative", None, "normal"),
        ("POSITIVE", "Negative", None, "abnormal"),
        ("5.1", None, "H", None),
        ("pending", "4.0 - 6.0", None, None),
        ("5.1", "Men 4 - 6; women 3 - 5", None, None),
        ("1,000", "500 - 2000", None, None),
    ],
)
def test_a_result_means_what_its_range_says(result, limits, flag, means):
    assert interpret(row(result, limits, flag)) == means


@pytest.mark.parametrize(
    ("result", "limits", "flag"),
    [("145", "70 - 100", "N"), ("5", "4 - 6", "H"), ("7", "4 - 6", "(L)"), ("3", "4 - 6", "↑"), ("5", "4 - 6", "Low")],
)
def test_a_flag_that_says_something_else_is_a_contradiction(result, limits, flag):
    said = contradiction(row(result, limits, flag))
    assert said and flag in said and limits in said


@pytest.mark.parametrize(
    ("result", "limits", "flag"),
    [("145", "70 - 100", "H"), ("145", "70 - 100", "*"), ("5", "4 - 6", "*"), ("5", "4 - 6", None), ("5", None, "H")],
)
def test_a_flag_that_agrees_or_says_nothing_is_none(result, limits, flag):
    assert contradiction(row(result, limits, flag)) is None


@pytest.mark.parametrize(
    ("limits", "sex", "part"),
    [
        ("Male: 0 - 15 Female: 0 - 20", "Female", "0 - 20"),
        ("M: 1,6 - 2,6; F: 1,5 - 2,4", "m", "1,6 - 2,6"),
        ("Männer: < 50 Frauen: < 35", "W", "< 35"),
        ("Male: 0 - 15 Female: 0 - 20", "", "Male: 0 - 15 Female: 0 - 20"),
        ("Male: 0 - 15 Female: 0 - 20", "unknown", "Male: 0 - 15 Female: 0 - 20"),
        ("Children: 0 - 10 Female: 0 - 20", "F", "Children: 0 - 10 Female: 0 - 20"),
        ("Follicular: 3 - 12 Luteal: 1 - 7", "F", "Follicular: 3 - 12 Luteal: 1 - 7"),
        ("0 - 15", "F", "0 - 15"),
    ],
)
def test_of_ranges_of_both_sexes_the_patient_s_holds(limits, sex, part):
    assert of_sex(limits, sex).strip() == part
    data = {"sex": sex, "tests": [row("18", limits)]}
    means = CONTRACT.rules.derived(data).get("/tests/0/interpretation")
    assert means == interpret(row("18", part))
