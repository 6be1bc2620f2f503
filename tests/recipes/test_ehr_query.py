"""Typed questions on a record: what a name means, what an operation answers, what is said of what is not there."""

import json

import pytest

from extraction.errors import AssayError
from recipes.cli import app
from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.query import Query, read_query
from recipes.ehr_qa.records import read_record
from tests.recipes.ehr_bundles import coded, condition, drug, everything, measured, patient, resource, write

A1C = "Hemoglobin A1c/Hemoglobin.total in Blood"
MORE = [
    measured("n1", A1C, 7.1, "%", "2010-01-05"),
    measured("n2", A1C, 8.4, "%", "2011-01-05"),
    measured("n3", A1C, 6.9, "%", "2012-01-05"),
    measured("n4", "Hemoglobin [Mass/volume] in Blood", 13.1, "g/dL", "2012-01-05"),
    measured("n5", "Hemoglobin [Presence] in Urine by Test strip", 1, "", "2012-01-05"),
    measured("n6", "High Density Lipoprotein Cholesterol", 52, "mg/dL", "2012-01-05"),
    measured("n7", "Total Cholesterol", 180, "mg/dL", "2012-01-05"),
    condition("n8", "Myocardial Infarction (disorder)", "22298006", onset="2011-06-01"),
    condition("n9", "Stroke", "230690007", onset="2009-01-01")
    | {"verificationStatus": {"coding": [{"code": "refuted"}]}},
    drug("n10", "Simvastatin 20 MG Oral Tablet", "active", "2011-06-02"),
    drug("n11", "Simvastatin 20 MG Oral Tablet", "active", "2011-09-02"),
    drug("n12", "Lasix 40mg", "stopped", "2011-07-01"),
    drug("n13", "Unheard-of 5 MG Oral Tablet", "active", "2011-08-01"),
]


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return read_record(write(tmp_path_factory.mktemp("query") / "a.json", [*everything(), *MORE]))


def ask(record, what, which, operation, **limits):
    return run(Query(what=what, which=which, operation=operation, **limits), record)


@pytest.mark.parametrize(
    ("what", "which", "operation", "answer", "dates"),
    [
        ("observation", "a1c", "latest", "6.9 %", ["2012-01-05"]),
        ("observation", "HbA1c", "first", "7.1 %", ["2010-01-05"]),
        ("observation", "A1C", "maximum", "8.4 %", ["2011-01-05"]),
        ("observation", "a1c", "minimum", "6.9 %", ["2012-01-05"]),
        ("observation", "a1c", "count", 3, ["2010-01-05", "2011-01-05", "2012-01-05"]),
        ("observation", "a1c", "trend", ["2010-01-05: 7.1 %", "2011-01-05: 8.4 %", "2012-01-05: 6.9 %"], None),
        ("observation", "hemoglobin", "latest", "13.1 g/dL", None),  # neither A1c nor that of urine
        ("observation", "systolic", "latest", "121 mm[Hg]", ["1990-05-06"]),
        ("observation", "BP", "maximum",
         ["Systolic Blood Pressure: 121 mm[Hg]", "Diastolic Blood Pressure: 79.5 mm[Hg]"], None),
        ("observation", "cholesterol", "latest",
         ["High Density Lipoprotein Cholesterol: 52 mg/dL", "Total Cholesterol: 180 mg/dL"], None),
        ("observation", "blood sugar", "latest", "91.5 mg/dL", ["1991-05-06"]),
        ("condition", "heart attack", "exists", True, ["2011-06-01"]),
        ("condition", "444814009", "exists", True, ["1990-05-06"]),
        ("condition", "sinus infection", "active", True, None),
        ("condition", "appendicitis", "active", False, ["1985-01-02"]),
        ("condition", "heart disease", "list", ["Myocardial Infarction"], None),
        ("condition", "stroke", "exists", None, []),  # refuted
        ("condition", None, "count", 3, None),
        ("medication", "cholesterol pills", "exists", True, None),
        ("medication", "simvastatine", "latest", "Simvastatin 20 MG Oral Tablet", ["2011-09-02"]),
        ("medication", "statin", "count", 2, None),
        ("medication", "furosemide", "status", "stopped", None),  # by its brand
        ("medication", "water pill", "active", False, None),
        ("medication", "ibuprofen", "reason", "Viral sinusitis", None),
        ("medication", "ibuprofen", "prescriber", "Dr. Noé Dibbert", None),
        ("medication", "captopril", "prescriber", None, None),
        ("medication", None, "active",
         ["Ibuprofen 200 MG Oral Tablet", "Simvastatin 20 MG Oral Tablet", "Unheard-of 5 MG Oral Tablet"], None),
        ("medication", "antidepressant", "exists", None, []),
        ("immunization", "tetanus shot", "latest", "Td (adult) preservative free", ["1990-05-06"]),
        ("allergy", "peanuts", "exists", True, None),
        ("procedure", "appendix removed", "latest", "Appendectomy", ["1985-01-04"]),
        ("patient", "dob", "latest", "1950-02-03", None),
        ("patient", "how old", "latest", "61 years (on the last day of the record, 2012-01-05)", None),
        ("patient", "shoe size", "latest", None, []),
    ],
)  # fmt: skip
def test_an_answer_is_what_the_record_says(record, what, which, operation, answer, dates):
    result = ask(record, what, which, operation)
    assert result.answer == answer, result.said
    if dates is not None:
        assert [item.date for item in result.items] == dates
        assert all(date in result.said for date in dates[:1])
    assert all(item.text == record.lines[item.line - 1].text for item in result.items)


def test_limits_of_time_and_value(record):
    before = {"relation": "before", "step": {"what": "condition", "which": "heart attack", "operation": "first"}}
    result = ask(record, "observation", "a1c", "latest", times=[before])
    assert result.answer == "8.4 %" and any("2011-06-01" in note for note in result.notes)
    assert ask(record, "observation", "a1c", "list", times=[{"relation": "since", "date": "2011"}]).answer == [
        "8.4 % (2011-01-05)", "6.9 % (2012-01-05)"]  # fmt: skip
    assert ask(record, "observation", "a1c", "exists", times=[{"relation": "on", "date": "2010-01-05"}]).answer is True
    assert ask(record, "observation", "a1c", "count", value={"relation": "at least", "number": 7.1}).answer == 2
    # A condition lasts: it was there between its onset and its end, and not after.
    during, later = ({"relation": "on", "date": day} for day in ("1985-01-05", "1985-02"))
    assert ask(record, "condition", "appendicitis", "exists", times=[during]).answer is True
    assert ask(record, "condition", "appendicitis", "exists", times=[later]).answer is None
    unknown = {"relation": "after", "step": {"what": "procedure", "which": "transplant"}}
    assert ask(record, "observation", "a1c", "latest", times=[unknown]).answer is None


def test_what_is_not_there_is_never_a_plain_no(record):
    result = ask(record, "condition", "diabetes", "exists")
    assert result.answer is None and result.said == "Not found in the record (4 lines of conditions searched)."
    assert result.notes[-1] == "Not searched, having no line: 1 Claim."
    result = ask(record, "medication", "antidepressant", "exists")
    assert "Not known whether of this class: 1 (Unheard-of 5 MG Oral Tablet)." in result.notes
    assert any("refuted" in note for note in ask(record, "condition", "stroke", "exists").notes)


@pytest.mark.parametrize(("what", "which"), [("medication", "his meds"), ("condition", "problems"),
                                             ("immunization", "jabs"), ("encounter", "Arztbesuche")])  # fmt: skip
def test_a_section_by_its_own_name_is_all_of_it(record, what, which):
    assert ask(record, what, which, "list").answer == ask(record, what, None, "list").answer


def test_a_name_that_stands_in_another_section_is_told(tmp_path):
    record = made(tmp_path, condition("c1", "History of appendectomy", "1"), drug("d1", "Aspirin 81 MG Oral Tablet"))
    result = ask(record, "procedure", "appendix out", "exists")
    assert result.answer is None
    assert result.notes == ("Other sections have the name: History of appendectomy (conditions, line 3).",)
    assert "Aspirin" in ask(record, "allergy", "aspirin", "exists").notes[0]
    assert ask(record, "condition", "gout", "exists").notes == ()


def test_whether_there_is_a_value_in_words_is_answered_by_the_value(tmp_path):
    """Of one who never smoked "Yes: Tobacco smoking status" would be told."""
    seen = []
    for place, value in enumerate(("Current smoker", "Never smoker")):
        one = measured(f"o{place}", "Tobacco smoking status", 0, "", f"201{place}-01-05")
        del one["valueQuantity"]
        seen.append(one | {"valueCodeableConcept": coded(value)})
    result = ask(made(tmp_path, *seen), "observation", "smoking", "exists")
    assert (result.answer, result.notes) == ("Never smoker", ("Other values before: Current smoker.",))


@pytest.mark.parametrize(("which", "name"), [
    ("high blood pressure", "Pulmonary hypertension"), ("smoker", "Non-smoker"),
    ("heart attack", "Coronary Heart Disease"), ("tumor", "Growth hormone deficiency"),
    ("anxiety", "Ulnar nerve entrapment"),
    ("small cell lung cancer", "Non-small cell lung cancer"),
])  # fmt: skip
def test_a_condition_of_like_words_is_another_one(tmp_path, which, name):
    """Each was a false yes."""
    result = ask(made(tmp_path, condition("c1", name, "1")), "condition", which, "exists")
    assert result.answer is None
    assert ask(made(tmp_path, condition("c1", name, "1")), "condition", name, "exists").answer is True


def test_a_plan_need_not_be_called_so(tmp_path):
    plan = resource("CarePlan", "k1", status="completed", category=[coded("Physical therapy procedure")])
    record = made(tmp_path, plan)
    assert ask(record, "care_plan", "physio plan", "status").answer == "completed"
    assert ask(record, "care_plan", "asthma plan", "status").answer is None


def test_a_score_of_calcium_is_no_calcium(tmp_path):
    record = made(tmp_path, measured("o1", "Calcium", 9.7, "mg/dL", "2010-01-05"))
    assert ask(record, "observation", "calcium score", "latest").answer is None
    assert ask(record, "observation", "calcium", "latest").answer == "9.7 mg/dL"


def test_an_admission_to_the_emergency_room_is_no_stay(tmp_path):
    visits = [resource("Encounter", f"e{n}", status="finished", type=[coded(name)], period={"start": "2010-01-05"})
              for n, name in enumerate(("Emergency Room Admission", "Encounter Inpatient"))]  # fmt: skip
    record = made(tmp_path, *visits)
    assert ask(record, "encounter", "hospital stay", "count").answer == 1
    assert ask(record, "encounter", "ER visit", "count").answer == 1


def test_a_vitamin_is_its_letter_and_number(tmp_path):
    record = made(tmp_path, drug("d1", "Vitamin B 12 5 MG/ML Injectable Solution"))
    assert ask(record, "medication", "vitamina B12", "active").answer is True
    assert ask(record, "medication", "vitamin B6", "active").answer is None


def test_no_known_allergies_are_none(tmp_path):
    none = resource("AllergyIntolerance", "a1", code={"text": "No known allergies"})
    record = read_record(write(tmp_path / "a.json", [patient(), none]))
    assert ask(record, "allergy", None, "list").answer == "none"
    assert ask(record, "allergy", "penicillin", "exists").answer is None


def test_values_in_two_units_are_not_compared(tmp_path):
    glucose = [
        measured("o1", "Glucose", 90, "mg/dL", "2010-01-05"),
        measured("o2", "Glucose", 7.2, "mmol/L", "2011-01-05"),
    ]
    result = ask(read_record(write(tmp_path / "a.json", [patient(), *glucose])), "observation", "sugar", "maximum")
    assert result.answer == ["Glucose: 90 mg/dL", "Glucose: 7.2 mmol/L"]
    assert any("more than one unit" in note for note in result.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no query"),
        ('{"what": "observation"}', "operation Field required"),
        ('{"what": "shoe", "operation": "latest"}', "what Input should be"),
        ('{"what": "observation", "operation": "latest", "times": [{"relation": "on"}]}', "either a date or a step"),
        (
            '{"what": "observation", "operation": "latest", "times": [{"relation": "on", "date": "2010-13-01"}]}',
            "is no day",
        ),
    ],
)
def test_what_is_no_query_is_said(text, said):
    with pytest.raises(AssayError, match=said):
        read_query(text)


def test_the_command_answers_a_patient_and_a_folder(tmp_path):
    from typer.testing import CliRunner

    write(tmp_path / "a.json", [*everything(), *MORE])
    query = '{"what": "observation", "which": "a1c", "operation": "latest"}'
    one = CliRunner().invoke(app, ["query", str(tmp_path / "a.json"), query])
    assert one.exit_code == 0 and one.stdout.splitlines()[0] == "6.9 % (2012-01-05)."
    assert A1C in one.stdout.splitlines()[1]
    (tmp_path / "many").mkdir()
    for name in ("x", "y"):
        own = [json.loads(json.dumps(each).replace("p1", name)) for each in [patient(), *(MORE if name == "x" else [])]]
        write(tmp_path / "many" / f"{name}.json", own)
    many = CliRunner().invoke(app, ["query", str(tmp_path / "many"), query, "--json"])
    answers = {line["patient"]: line["answer"] for line in map(json.loads, many.stdout.splitlines())}
    assert answers == {"x": "6.9 %", "y": None}


def made(tmp_path, *resources):
    return read_record(write(tmp_path / "a.json", [patient(), *resources]))


def pressure(identity, upper, lower, day):
    one = measured(identity, "Blood Pressure", 0, "", day, "vital-signs")
    del one["valueQuantity"]
    parts = (("Systolic Blood Pressure", upper), ("Diastolic Blood Pressure", lower))
    return one | {"component": [{"code": coded(n), "valueQuantity": {"value": v, "unit": "mm[Hg]"}} for n, v in parts]}


def test_a_limit_holds_for_each_component(tmp_path):
    record = made(tmp_path, pressure("o1", 180, 110, "2010-01-05"), pressure("o2", 120, 70, "2011-01-05"))
    high = ask(record, "observation", "blood pressure", "list", value={"relation": "above", "number": 140})
    assert high.answer == ["180 mm[Hg] (2010-01-05)"]


@pytest.mark.parametrize(
    ("has", "asked"),
    [("Hyperthyroidism", "hypothyroidism"), ("Hyponatremia", "hypernatremia"), ("Hypoglycemia", "hyperglycemia")],
)
def test_an_opposite_is_no_other_spelling(tmp_path, has, asked):
    result = ask(made(tmp_path, condition("c1", has, "1")), "condition", asked, "exists")
    assert result.answer is None and has in str(result.notes)


def test_kinds_of_a_condition_stand_beside_its_very_name(tmp_path):
    record = made(
        tmp_path,
        condition("c1", "Hypertension", "1", "resolved", "2000-01-01", "2001-01-01"),
        condition("c2", "Essential hypertension", "2", "active", "2010-01-01"),
    )
    assert ask(record, "condition", "hypertension", "active").answer is True
    assert ask(record, "condition", "high blood pressure", "active").answer is True


@pytest.mark.parametrize("name", ["Family history of diabetes mellitus", "Diabetes mellitus ruled out",
                                  "At risk for diabetes mellitus"])  # fmt: skip
def test_what_the_patient_is_not_said_to_have_is_not_counted_and_said(tmp_path, name):
    result = ask(made(tmp_path, condition("c1", name, "1")), "condition", "diabetes", "exists")
    assert result.answer is None and "family history, risk" in result.notes[0]


@pytest.mark.parametrize(("what", "which", "has", "not_meant"), [
    ("observation", "weight", "Body Weight", "Body Mass Index"),
    ("observation", "lipoprotein a", "Lipoprotein A", "High Density Lipoprotein Cholesterol"),
    ("observation", "PSA", "Prostate specific Ag [Mass/volume] in Serum", "Physical findings of Prostate"),
    ("observation", "exercise", "Exercise", "Alkaline phosphatase [Enzymatic activity/volume] in Serum"),
])  # fmt: skip
def test_what_fits_best_is_meant_and_nothing_beside_it(tmp_path, what, which, has, not_meant):
    own, other = measured("o1", has, 1, "u", "2010-01-05"), measured("o2", not_meant, 2, "u", "2011-01-05")
    assert [item.name for item in ask(made(tmp_path, own, other), what, which, "list").items] == [has]
    assert ask(made(tmp_path, other), what, which, "exists").answer is None


@pytest.mark.parametrize("asked", ["allergy tablets", "allergy pills", "antihistamine", "antihistamines"])
def test_the_form_of_a_drug_is_no_name_of_it(tmp_path, asked):
    """Every tablet would be one against allergies: a false yes."""
    record = made(tmp_path, drug("d1", "Captopril 25 MG Oral Tablet"))
    assert ask(record, "medication", asked, "exists").answer is None
    both = made(tmp_path, drug("d1", "Captopril 25 MG Oral Tablet"), drug("d2", "Loratadine 10 MG Oral Tablet"))
    assert [item.name for item in ask(both, "medication", asked, "list").items] == ["Loratadine 10 MG Oral Tablet"]


def test_a1c_is_no_hemoglobin_and_hepatitis_b_no_hepatitis_a(tmp_path):
    record = made(
        tmp_path, measured("o1", "Hemoglobin A1c", 7.1, "%", "2010-01-05"), condition("c1", "Hepatitis B", "1")
    )
    assert ask(record, "observation", "hemoglobin", "latest").answer is None
    assert ask(record, "condition", "hepatitis a", "exists").answer is None


def test_what_is_only_known_to_be_above_or_below_counts_where_that_tells(tmp_path):
    values = [("o1", 500, ">"), ("o2", 5, "<"), ("o3", 3, None)]
    crp = [measured(i, "CRP", v, "mg/L", f"2010-01-0{i[-1]}") for i, v, _ in values]
    for one, (_, _, sign) in zip(crp, values, strict=True):
        one["valueQuantity"] |= {"comparator": sign} if sign else {}
    record = made(tmp_path, *crp)
    assert ask(record, "observation", "crp", "count", value={"relation": "above", "number": 100}).answer == 1
    assert ask(record, "observation", "crp", "count", value={"relation": "below", "number": 10}).answer == 2
    assert "Not compared" in ask(record, "observation", "crp", "maximum").notes[0]


def test_what_codings_call_a_thing_is_its_name_too(tmp_path):
    one = condition("c1", "AF", "49436004")
    one["code"] = {"text": "AF", "coding": [{"code": "49436004", "display": "Atrial fibrillation (disorder)"}]}
    assert ask(made(tmp_path, one), "condition", "atrial fibrillation", "exists").answer is True


@pytest.mark.parametrize(("code", "answer"), [("no-allergy-info", None), ("no-known-allergies", "none")])
def test_not_known_is_not_none(tmp_path, code, answer):
    one = resource("AllergyIntolerance", "a1", code={"coding": [{"code": code}]})
    result = ask(made(tmp_path, one), "allergy", None, "list")
    assert (result.answer, bool(result.items)) == (answer, answer is not None)


def test_limits_that_are_none_are_said():
    limits = [{"times": [{"relation": "on", "date": ""}]}, {"value": {"relation": "above", "number": float("nan")}}]
    for wrong in limits:
        with pytest.raises(AssayError):
            read_query(json.dumps({"what": "observation", "operation": "latest", **wrong}))
