"""Questions on many patients: taken apart into conditions, of which each is asked of each patient, and put together."""

import re

import pytest

from recipes.ehr_qa.answer import Answer
from recipes.ehr_qa.query import Query, Result
from recipes.ehr_qa.records import read_record
from recipes.ehr_query.cohort import conditions, is_yes
from recipes.ehr_query.show import cohort
from tests.recipes.ehr_bundles import condition, drug, everything, measured, patient, write
from tests.recipes.test_ehr_ask import QUERIES, asker


@pytest.fixture
def record(tmp_path):
    return read_record(write(tmp_path / "a.json", everything()))


@pytest.mark.parametrize(("question", "parts"), [
    ("Which patients have an A1c above 8 and no metformin?", ["+have an A1c above 8", "-have metformin"]),
    ("who is on a statin but not on aspirin?", ["+on a statin", "-on aspirin"]),
    ("patients with asthma who have never had a flu shot", ["+have asthma", "-have a flu shot"]),
    ("Which patients have diabetes, are on insulin and had no eye exam since 2015?",
     ["+have diabetes", "+on insulin", "-have eye exam since 2015"]),
    ("list all patients without a tetanus shot", ["-have a tetanus shot"]),
    ("Who has cancer of head and neck?", []), ("Who prescribed metformin and not insulin?", []),
    ("Does she have asthma and no inhaler?", []),
])  # fmt: skip
def test_a_question_on_patients_has_conditions(question, parts):
    told = [f"{'+' if c.wanted else '-'}{c.question.rstrip('?').split('patient ')[1]}" for c in conditions(question)]
    assert told == parts


def shown(question):
    """Conditions as `+0 name`: wanted or not, the group, the name; behind a `!` what is not clear."""
    names = [re.sub(".*(?:[Pp]atient|paciente|-il) ", "", c.question.rstrip(" ?")) for c in conditions(question)]
    return [f"{'+' if c.wanted else '-'}{c.group}{' last' * c.last} {name}{'!' * bool(c.unclear)}"
            for c, name in zip(conditions(question), names, strict=True)]  # fmt: skip


@pytest.mark.parametrize(("question", "parts"), [
    ("who has asthma or COPD and takes no inhaler", ["+0 have asthma", "+0 have COPD", "-2 on inhaler"]),
    ("women over 65 with diabetes and no statin",
     ["+0 female", "+1 age above 65", "+2 have diabetes", "-3 have statin"]),
    ("men with hypertension whose last blood pressure was above 140",
     ["+0 male", "+1 have hypertension", "+2 last have blood pressure above 140"]),
    ("patients whose latest A1c is below 8", ["+0 last have A1c below 8"]),
    ("patients aged 40 to 60 with a BMI over 30", ["+0 age at least 40", "+1 age at most 60", "+2 have a BMI over 30"]),
    ("any patients 65 or older without pneumonia vaccine?", ["+0 age at least 65", "-1 have pneumonia vaccine"]),
    ("patients with diabetes or hypertension and a statin",
     ["+0 have diabetes", "+0 have hypertension", "+2 have a statin"]),
    ("which patients take no statin, aspirin or metformin?", ["-0 on statin", "-1 on aspirin", "-2 on metformin"]),
    ("who is diabetic and obese?", ["+0 diabetic", "+1 obese"]),
    ("patients with eGFR below 60 or creatinine above 1.5", ["+0 have eGFR below 60", "+0 have creatinine above 1.5"]),
    ("patients with asthma on metformin and aspirin", ["+0 have asthma", "+1 on metformin", "+2 on aspirin"]),
    ("how many patients have diabetes?", ["+0 have diabetes"]),
    ("patients with asthma and flying objects", ["+0 have asthma and flying objects!"]),
    ("all patients with nausea and vomiting", []),
    ("which patients with asthma or COPD take an inhaler?", ["+0 have asthma", "+0 have COPD", "+2 on an inhaler"]),
    ("men over 50 without asthma have gout", ["+0 male", "+1 age above 50", "-2 have asthma", "+3 have gout"]),
    ("patients over 65 or with diabetes had a flu shot", ["+0 age above 65", "+0 have diabetes", "+2 have a flu shot"]),
    ("Welche Patienten mit Diabetes nehmen Metformin?", ["+0 Diabetes", "+1 Metformin"]),
    ("who has hypertension, diabetes, or asthma?", ["+0 have hypertension", "+0 have diabetes", "+0 have asthma"]),
    ("who has diabetes and is over 65?", ["+0 have diabetes", "+1 age above 65"]),
    ("who has had more than 2 strokes and takes aspirin?", ["+0 have more than 2 strokes", "+1 on aspirin"]),
    ("patients over 100 kg with diabetes", ["+0 have over 100 kg", "+1 have diabetes"]),
    ("which patients have 2+ proteinuria?", []),
    ("who had a stroke more than 10 years ago and takes aspirin?",
     ["+0 have a stroke more than 10 years ago", "+1 on aspirin"]),
    ("patients not over 65 with asthma", ["-0 age above 65", "+1 have asthma"]),
    ("which patients not between 40 and 60 have asthma?",
     ["-0 age at least 40", "-0 age at most 60", "+2 have asthma"]),
    ("women over 50 and men over 60", ["+0 female", "+1 age above 50", "+2 male!", "+3 age above 60"]),
    ("who is allergic to penicillin and aspirin?", ["+0 allergic to penicillin", "+1 allergic to aspirin"]),
    ("who has never smoked and has asthma?", ["-0 have smoked", "+1 have asthma"]),
    ("who treated the asthma and the COPD?", []),
    ("patients without asthma and gout", ["-0 have asthma", "+1 have gout!"]),
    ("Patienten über 65 mit Diabetes ohne Statin", ["+0 age above 65", "+1 Diabetes", "-2 Statin"]),
    ("Patienten, die Diabetes haben und kein Metformin nehmen", ["+0 Diabetes", "-1 Metformin"]),
    ("Frauen mit Bluthochdruck, deren letzter Blutdruck über 140 lag",
     ["+0 female", "+1 Bluthochdruck", "+2 last Blutdruck über 140"]),
    ("Quels patients ont une HbA1c supérieure à 8 et ne prennent pas de metformine ?",
     ["+0 HbA1c supérieure à 8", "-1 metformine"]),
    ("femmes de plus de 65 ans avec un diabète sans statine",
     ["+0 female", "+1 age above 65", "+2 diabète", "-3 statine"]),
    ("¿Quién tiene asma o EPOC y no usa inhalador?", ["+0 asma", "+0 EPOC", "-2 inhalador"]),
    ("mujeres mayores de 65 cuya última presión fue mayor de 140",
     ["+0 female", "+1 age above 65", "+2 last presión mayor de 140"]),
])  # fmt: skip
def test_ages_sexes_alternatives_and_last_values_are_conditions_in_four_languages(question, parts):
    assert shown(question) == parts


def test_of_the_latest_alone_and_drugs_of_the_past(tmp_path, monkeypatch):
    a1c = {"what": "observation", "which": "a1c", "operation": "exists", "value": {"relation": "above", "number": 8}}
    monkeypatch.setitem(QUERIES, "A1c above 8", a1c)
    monkeypatch.setitem(QUERIES, "metformin", {"what": "medication", "which": "metformin", "operation": "exists"})
    name = "Hemoglobin A1c/Hemoglobin.total in Blood"
    sick = [measured("o1", name, 9, "%", "2018-01-01"), measured("o2", name, 7, "%", "2020-01-01")]
    old = drug("m1", "Metformin 500 MG Oral Tablet", "stopped", "2015-01-01")
    record = read_record(write(tmp_path / "a.json", [patient(gender="female"), *sick, old]))
    other = read_record(write(tmp_path / "b.json", [patient("p2"), condition("c", "Asthma", "195967001")]))
    asked = ["who has had an A1c above 8 and takes no metformin", "women whose last A1c was above 8",
             "women who have an A1c above 8 and were never on metformin", "women under 65"]  # fmt: skip
    given = asker().ask_of_all([record, other], asked)
    assert [[answer.answer for answer in answers] for answers in given] == [
        [True, False], [False, False], [False, False], [False, False]
    ]  # fmt: skip
    assert "The latest Hemoglobin A1c/Hemoglobin.total in Blood is not above 8: 7 % (2020-01-01)." in given[0][0].notes
    assert "7 % (2020-01-01)" in given[1][0].said and "69 years" in given[3][0].said
    assert given[1][0].understood == "female; and exists observation “a1c”, above 8, of the latest alone"
    assert given[0][0].understood.endswith("and not active medication “metformin”") and not given[0][0].issue
    assert given[3][0].confidence is None and given[0][0].to_json()["understood"] == given[0][0].understood


def test_conditions_on_patients_hold_together(tmp_path, record):
    other = read_record(write(tmp_path / "b.json", [patient("p2")]))
    [answers] = asker().ask_of_all([other, record], ["Which patients have last sugar? and no her heart?"])
    assert [answer.answer for answer in answers] == [False, True]
    assert answers[1].lines and "Glucose: 91.5 mg/dL (1991-05-06); Not found in the record" in answers[1].said
    first, known, number, *lines = cohort([other, record], answers).splitlines()
    assert number == "  1 of 2 patients."
    assert first.startswith("Which patients") and known.count("“") == 2 and "p1  Yes" in lines[0] and "p2" in lines[-1]
    assert [part["answer"] for part in answers[1].to_json()["parts"]] == ["91.5 mg/dL", None]
    [dark] = asker().ask_of_all([record], ["Which patients have last sugar? and no on the 40th?"])
    assert dark[0].answer is None and "Not understood" in dark[0].said


def test_of_patients_who_smoke_those_who_never_did_are_none():
    def told(*values):
        result = Result(Query(what="observation", which="smoking", operation="exists"), [*values], (), "")
        return is_yes(Answer("who smokes?", [*values], {}, "", result=result))

    assert told("Former smoker") and told("Never smoker", "Current smoker") and not told("Never smoker")


def test_whether_the_last_value_is_within_a_limit_is_of_that_value(tmp_path, monkeypatch):
    a1c = {"what": "observation", "which": "A1c", "operation": "latest", "value": {"relation": "above", "number": 8}}
    monkeypatch.setitem(QUERIES, "A1c above 8", a1c)
    values = [measured("o1", "A1c", 9, "%", "2018-01-01"), measured("o2", "A1c", 7, "%", "2020-01-01")]
    record = read_record(write(tmp_path / "a.json", [patient(), *values]))
    [last, when] = asker().ask(record, ["Was his last A1c above 8?", "When was the last A1c above 8?"])
    assert (last.answer, last.said) == (False, "No: 7 % (2020-01-01).") and "of the latest alone" in last.understood
    assert when.said == "9 % (2018-01-01)." and "is not above 8: 7 % (2020-01-01)." in when.notes[0]
    [other] = asker().ask(record, ["Was his last A1c above 8 mmol/mol?"])
    assert other.answer is None and other.said == "Not compared: 7 % (2020-01-01)."


def test_of_one_patient_what_is_not_looked_up_is_told_and_conditions_hold_together(record, monkeypatch):
    monkeypatch.setitem(QUERIES, "gout or", {"what": "condition", "which": "gout", "operation": "exists"})
    [gout, both, sugar] = asker().ask(
        record, ["gout or lupus?", "Which patients have last sugar? and no her heart?", "last sugar?"]
    )
    assert gout.issue == "Not looked up: lupus; ask of it by itself."
    assert both.answer is True and len(both.parts) == 2 and sugar.issue is None
