"""What is said beside an answer to a typed question: what does not count, is over, cannot be compared, is not here."""

import base64
import json

import pytest

from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_record
from recipes.ehr_qa.resolve import resolve
from recipes.ehr_query.show import result_told
from tests.recipes.ehr_bundles import coded, condition, drug, measured, patient, resource, write


def made(tmp_path, *resources):
    return read_record(write(tmp_path / "a.json", [patient(), *resources]))


def ask(record, what, which, operation, **limits):
    return run(Query(what=what, which=which, operation=operation, **limits), record)


def crp(*values):
    """CRPs of one year each: a number, or one behind a sign."""
    found = []
    for place, value in enumerate(values):
        one = measured(f"o{place}", "CRP", int(value.strip("<>")), "mg/L", f"201{place}-01-05")
        one["valueQuantity"] |= {"comparator": value[0]} if value[0] in "<>" else {}
        found.append(one)
    return found


@pytest.mark.parametrize(("what", "which", "other", "one"), [
    ("procedure", "colonoscopy", "mammogram",
     resource("Procedure", "x1", status="not-done", code=coded("Colonoscopy"), performedDateTime="2018-04-01")),
    ("condition", "breast cancer", "gout",
     resource("FamilyMemberHistory", "x1", status="completed", relationship=coded("mother"),
              condition=[{"code": coded("Malignant neoplasm of breast")}])),
    ("medication", "ibuprofen", "aspirin", drug("x1", "Ibuprofen 200 MG", "active", "2019-01-01", doNotPerform=True)),
    ("observation", "potassium", "sodium",
     {name: value for name, value in measured("x1", "Potassium", 1, "", "2019-01-01").items() if name[:5] != "value"}
     | {"dataAbsentReason": coded("Error")}),
])  # fmt: skip
def test_a_line_that_does_not_count_is_told_where_it_has_the_name_that_was_asked_for(tmp_path, what, which, other, one):
    """Each was "not found", with the same word beside every answer of the section."""
    record = made(tmp_path, one)
    [note] = [note for note in ask(record, what, which, "exists").notes if note.startswith("Not counted")]
    assert record.lines[record.numbers[f"{one['resourceType']}/x1"] - 1].text in note
    assert not any(note.startswith("Not counted") for note in ask(record, what, other, "exists").notes)
    assert any(note.startswith("Not counted") for note in ask(record, what, None, "list").notes)


def test_what_is_only_known_to_be_above_all_is_the_most(tmp_path):
    record = made(tmp_path, *crp("4", "300", ">500", "<5"))
    most, least = (ask(record, "observation", "crp", end) for end in ("maximum", "minimum"))
    assert (most.answer, most.said) == (">500 mg/L", ">500 mg/L (2012-01-05), of 3 values.")
    assert least.answer == "4 mg/L" and "<5 mg/L" in least.notes[0]  # less than 5 may be more than 4
    assert ask(made(tmp_path, *crp("4", ">2")), "observation", "crp", "maximum").answer == "4 mg/L"
    assert ">500 mg/L" in ask(record, "observation", "crp", "trend").notes[0]


def test_what_a_limit_cannot_be_compared_with_is_said_and_no_none(tmp_path):
    record = made(tmp_path, *crp("4", "<5", ">500"))
    below = ask(record, "observation", "crp", "count", value={"relation": "below", "number": 4.5})
    assert below.answer == 1 and below.notes == ("Not compared with 4.5, which does not tell: <5 mg/L.",)
    other = ask(record, "observation", "crp", "list", value={"relation": "above", "number": 1, "unit": "mg/dL"})
    assert other.answer is None and "None within" not in other.said and "Not compared" in other.notes[0]
    none = ask(record, "observation", "crp", "list", value={"relation": "above", "number": 800})
    assert none.said.startswith("Not found") and ">500 mg/L" in none.notes[0]


@pytest.mark.parametrize(("text", "answer"), [("7,9 mmol/L", 1), ("0,125 mmol/L", 0), ("1,234 mmol/L", None)])
def test_a_decimal_comma_is_read_where_it_can_mean_only_that(tmp_path, text, answer):
    one = measured("o1", "Glucose", 0, "", "2010-01-05")
    del one["valueQuantity"]
    limit = {"relation": "above", "number": 7}
    result = ask(made(tmp_path, one | {"valueString": text}), "observation", "glucose", "count", value=limit)
    assert (result.answer or 0) == (answer or 0)
    assert ("Not compared" in str(result.notes)) == (answer is None)


def test_what_is_over_is_said_to_be_over(tmp_path):
    egg = resource("AllergyIntolerance", "s1", clinicalStatus=coded("", "resolved"), code=coded("Eggs"))
    record = made(tmp_path, egg, drug("d1", "Aspirin 81 MG", "stopped", "2010-01-01"),
                  condition("c1", "Gout", "1", "active", "2011-01-01"))  # fmt: skip
    assert ask(record, "allergy", None, "list").said == "Eggs (resolved)."
    assert ask(record, "allergy", "eggs", "exists").said == "Yes: Eggs (resolved)."
    assert ask(record, "medication", None, "list").said == "Aspirin 81 MG (2010-01-01, stopped)."
    assert ask(record, "condition", None, "list").said == "Gout (2011-01-01)."


def test_a_goal_is_found_by_what_it_is_of(tmp_path):
    goal = resource("Goal", "g1", lifecycleStatus="active", description=coded("HbA1c below 7 %"))
    assert ask(made(tmp_path, goal), "care_plan", "a1c", "list").answer == ["HbA1c below 7 %"]


def test_a_line_is_cited_once_and_one_day_is_no_span(tmp_path):
    one = measured("o1", "Blood Pressure", 0, "", "2010-01-05")
    del one["valueQuantity"]
    parts = [{"code": coded(name), "valueQuantity": {"value": 1}} for name in ("Systolic", "Diastolic")]
    record = made(tmp_path, one | {"component": parts})
    told = result_told(ask(record, "observation", "blood pressure", "maximum")).splitlines()
    assert len(told) == len({*told}) == 2
    assert ask(record, "observation", "blood pressure", "count").said == "1, 2010-01-05."


@pytest.mark.parametrize("page", [{"total": 500}, {"link": [{"relation": "next", "url": "http://x/2"}]}])
def test_one_page_of_a_search_is_said_to_be_one(tmp_path, page):
    file = write(tmp_path / "a.json", [patient(), *crp("4")])
    file.write_text(json.dumps(json.loads(file.read_text()) | {"type": "searchset"} | page))
    record = read_record(file)
    result = ask(record, "observation", "crp", "count")
    assert result.answer == 1 and "one page of a search" in result.notes[0]
    assert "one page of a search" in record.lines[-1].text
    assert ask(made(tmp_path, *crp("4")), "observation", "crp", "count").notes == ()


@pytest.mark.parametrize(("what", "name", "asked", "found"), [
    ("allergy", "Penicillinallergie", "penicillin", True),
    ("allergy", "Erdnussallergie", "peanut", True),
    ("allergy", "Erdnussallergie", "nuts", True),
    ("allergy", "Penicillin", "Penicillinallergie", True),
    ("allergy", "Erdnussallergie", "penicillin", False),
    ("condition", "Linksherzinsuffizienz", "heart failure", True),
    ("condition", "Radiusfraktur", "Fraktur", True),
    ("condition", "Niereninsuffizienz", "heart failure", False),
    ("condition", "Prehypertension", "hypertension", False),
    ("procedure", "Cholezystektomie", "gallbladder removal", True),
    ("medication", "NOVORAPID FlexPen", "insuline", True),
    ("medication", "Marcumar 3 mg", "blood thinner", True),
    ("medication", "Norepinephrine", "epinephrine", False),
])  # fmt: skip
def test_a_compound_word_is_found_by_its_parts_and_a_brand_by_its_drug(what, name, asked, found):
    assert bool(resolve(asked, what, [Fact("X/1", what, name, name)]).entries) is found


@pytest.mark.parametrize(("kind", "charset", "shown"), [
    ("text/plain", "utf-8", True), ("text/plain; charset=ISO-8859-1", "latin-1", True),
    ("text/plain", "latin-1", False), ("application/pdf", "utf-8", False),
])  # fmt: skip
def test_a_report_that_is_attached_as_plain_text_is_read(tmp_path, kind, charset, shown):
    data = base64.b64encode("Befund: 8 mm Knoten\nim Oberlappen, größer als 2019".encode(charset)).decode()
    one = {"contentType": kind, "data": data}
    record = made(
        tmp_path,
        resource("DocumentReference", "x1", status="current", type=coded("CT"), content=[{"attachment": one}]),
        resource("DiagnosticReport", "x2", status="final", code=coded("CT chest"), presentedForm=[one]),
    )
    for number in (record.numbers["DocumentReference/x1"], record.numbers["DiagnosticReport/x2"]):
        line = record.lines[number - 1].text
        assert ("Knoten im Oberlappen, größer" in line) is shown and (
            "1 attached text(s) not shown" in line
        ) is not shown
    assert (ask(record, "text", "Knoten", "list").answer is not None) is shown


def test_an_allergy_to_a_class_is_told_of_what_belongs_to_it(tmp_path):
    state = coded("", "active")
    names = ("Penicillin G", "Penicillins")
    own = [resource("AllergyIntolerance", name[-1], code=coded(name), clinicalStatus=state) for name in names]
    record = made(tmp_path, *own)
    result = ask(record, "allergy", "amoxicillin", "exists")
    assert result.answer is None and "is of what the record has an allergy to: Penicillin" in str(result.notes)
    assert "allergy to" not in str(ask(record, "allergy", "peanut", "exists").notes)


def test_what_is_of_no_known_class_and_why_a_drug_was_stopped_and_what_a_value_is_of_are_told(tmp_path):
    stopped = drug("d1", "Amlodipine 5 MG", "stopped", "2010-01-01", statusReason=coded("ankle swelling"))
    goal = resource("Goal", "g1", lifecycleStatus="active", description=coded("CRP below 5"))
    ferritin = measured("o9", "Ferritin", 9, "ug/L", "2010-01-05")
    record = made(tmp_path, stopped, drug("d2", "Qworvol", "active", "2010-01-01"), goal, ferritin, *crp("4"))
    assert "(Qworvol)" in str(ask(record, "medication", "statin", "exists").notes)
    assert ask(record, "medication", "amlodipine", "reason").answer == "stopped because of ankle swelling"
    assert ask(record, "observation", "iron stores", "latest").said == "Ferritin: 9 ug/L (2010-01-05)."
    assert ask(record, "observation", "ferritin", "latest").said == "9 ug/L (2010-01-05)."
    assert "CRP below 5 (" in str(ask(record, "observation", "crp", "status").notes)


SERUM = "[Mass/volume] in Serum or Plasma"


def labs(tmp_path, **values):
    return made(tmp_path, *(
        measured(f"o{n}", f"{name.replace('_', ' ')} {SERUM}", value, "u", f"201{n}-01-05")
        for n, (name, value) in enumerate(values.items())
    ))  # fmt: skip


@pytest.mark.parametrize(("which", "found"), [
    ("kidney function", ["Creatinine", "Urea nitrogen"]), ("Nierenwerte", ["Creatinine", "Urea nitrogen"]),
    ("función renal", ["Creatinine", "Urea nitrogen"]), ("bilan hépatique", ["Alanine aminotransferase"]),
    ("liver", ["Alanine aminotransferase"]), ("inflammation", ["C reactive protein"]), ("thyroid", []),
    ("electrolytes", ["Potassium"]), ("Gerinnung", []), ("egfr", []), ("creatinine", ["Creatinine"]),
])  # fmt: skip
def test_what_is_asked_by_an_organ_or_a_panel_is_all_that_the_record_has_of_it(tmp_path, which, found):
    record = labs(tmp_path, Creatinine=1, Urea_nitrogen=9, Alanine_aminotransferase=30, Potassium=4,
                  C_reactive_protein=3, Creatine_kinase=80)  # fmt: skip
    result = ask(record, "observation", which, "latest")
    assert sorted(item.name.replace(f" {SERUM}", "") for item in result.items) == found
    assert all(f"({item.date})" in result.said for item in result.items)


def test_what_is_one_of_a_panel_by_its_name_is_that_alone_and_the_others_are_near(tmp_path):
    both, one = labs(tmp_path, Ferritin=30, Iron=80), labs(tmp_path, Ferritin=30)
    assert ask(both, "observation", "iron", "latest").answer == "80 u"
    lacking = ask(one, "observation", "iron", "latest")
    assert lacking.answer is None and f"looks alike: Ferritin {SERUM}" in lacking.notes[0]
    listed = ask(both, "observation", "iron studies", "list")
    assert listed.answer == [f"Ferritin {SERUM}: 30 u (2010-01-05)", f"Iron {SERUM}: 80 u (2011-01-05)"]


def test_a_value_of_another_thing_is_told_with_its_name(tmp_path):
    low = made(tmp_path, measured("a", "Low Density Lipoprotein Cholesterol", 100, "mg/dL", "2017-01-01"))
    for operation in ("latest", "maximum", "list"):
        said = ask(low, "observation", "cholesterol", operation).said
        assert said.startswith("Low Density Lipoprotein Cholesterol: 100 mg/dL (2017-01-01)"), said
    assert ask(low, "observation", "Low Density Lipoprotein", "latest").said == "100 mg/dL (2017-01-01)."


def test_a_limit_of_an_age_is_answered(tmp_path):
    record = made(tmp_path, condition("c", "Gout", "90560007", onset="2010-03-01"))
    limit = {"relation": "above", "number": 65}
    assert ask(record, "patient", "age", "exists", value=limit).said.startswith("No: 60 years (on the last day")
    assert ask(record, "patient", "age", "exists", value={**limit, "number": 59}).answer is True
    assert ask(record, "patient", "sex", "exists", value=limit).answer is None


def test_words_of_a_line_that_is_called_otherwise_are_told_and_what_a_plan_does_is_found(tmp_path):
    record = made(
        tmp_path,
        resource("DiagnosticReport", "x", status="final", code=coded("Chest X-ray"), effectiveDateTime="2020-06-01",
                 conclusion="Small nodule in right upper lobe."),
        resource("CarePlan", "k", status="active", title="Self management plan", period={"start": "2020-01-01"},
                 activity=[{"detail": {"code": coded("Dietary regime")}}, {"detail": {"description": "Daily walks"}}]),
        resource("Goal", "g", lifecycleStatus="active", description={"text": "A1c below 6.5"}),
        measured("o", "HIV 1 Ab", 1, "", "2020-01-01"),
    )  # fmt: skip
    nodule = ask(record, "report", "nodule", "exists")
    assert nodule.answer is None and "which has to be read: 2020-06-01 Chest X-ray: Small nodule" in nodule.notes[0]
    assert ask(record, "care_plan", "dietary regime", "exists").answer is True
    assert ask(record, "care_plan", "daily walks", "exists").answer is True
    assert ask(record, "care_plan", "A1c goal", "exists").answer is True
    assert "looks alike: HIV 1 Ab" in ask(record, "observation", "hiv", "exists").notes[0]


def test_what_has_no_day_or_number_is_said_as_it_is_and_a_day_to_come_is_told(tmp_path):
    asthma = condition("c", "Asthma", "195967001")
    asthma["onsetString"] = "in childhood"
    del asthma["onsetDateTime"]
    record = made(tmp_path, asthma, measured("w", "Body Weight", 80, "kg", "2095-01-01"))
    assert ask(record, "condition", "asthma", "first").said == (
        "1 found, none with a date: Asthma: active, onset in childhood."
    )
    assert ask(record, "observation", "weight", "latest").notes == (
        "In the future, which may be a mistake: 2095-01-01.",
    )
    unread = made(tmp_path, measured("w", "Body Weight", 80, "kg", "31/12/2020"))
    assert not any("future" in note for note in ask(unread, "observation", "weight", "list").notes)


def test_an_age_is_that_on_the_day_that_is_asked_for(tmp_path):
    record = made(tmp_path, condition("c", "Stroke", "230690007", onset="2010-02-02"))
    for day, said in [("2000-02-03", "50 years (on 2000-02-03)."), ("2000-02-02", "49 years (on 2000-02-02)."),
                      ("2000-03", "50 years (on 2000-03)."), ("2000", "49 or 50 years (on 2000)."),
                      ("2000-02", "49 or 50 years (on 2000-02)."), ("1940", "not born yet (on 1940).")]:  # fmt: skip
        assert ask(record, "patient", "age", "latest", times=[{"relation": "on", "date": day}]).said == said
    stroke = [{"relation": "on", "step": {"what": "condition", "which": "stroke", "operation": "first"}}]
    then = ask(record, "patient", "age", "latest", times=stroke)
    assert then.said == "59 years (on 2010-02-02)." and then.notes == ("“stroke”: 2010-02-02 (line 3).",)
    gout = [{"relation": "on", "step": {"what": "condition", "which": "gout", "operation": "first"}}]
    assert ask(record, "patient", "age", "latest", times=gout).answer is None
    city = ask(record, "patient", "sex", "latest", times=[{"relation": "before", "date": "2000"}])
    assert city.answer == "male" and "limits of time" in city.notes[0]


def test_a_limit_of_what_has_no_value_is_no_none(tmp_path):
    record = made(tmp_path, drug("m", "Metformin 500 MG Oral Tablet"))
    found = ask(record, "medication", "metformin", "active", value={"relation": "above", "number": 250})
    assert found.answer is None and found.said.startswith("1 found, none with a value to compare: Metformin 500 MG")
