"""Typed questions on records of other systems than Synthea, with answers worked out by hand from the resources."""

import json

import pytest

from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_record
from tests.recipes.ehr_bundles import write, write_lines
from tests.recipes.other_systems import au, ips, us_core
from tests.recipes.other_systems_europe import latin, mii, swiss, uk


def before(day, **more):
    return {"times": [{"relation": "before", "date": day}], **more}


def on(day, **more):
    return {"times": [{"relation": "on", "date": day}], **more}


def above(number, unit=None, **more):
    return {"value": {"relation": "above", "number": number, "unit": unit}, **more}


UNSURE = "within these limits or not"

# What, which, operation, answer; then the days of the lines (`dates`), what has to be said besides (`says`), limits.
IPS = [
    ("allergy", None, "list", "none", {}),
    ("allergy", "penicillin", "exists", None, {"says": "no known allergies"}),
    ("condition", "high blood pressure", "active", True, {"dates": ["2014-06"]}),
    ("condition", "pyelonephritis", "active", False, {}),
    ("condition", "migraine", "exists", None, before("2009-06", says=UNSURE)),
    ("condition", "migraine", "exists", True, before("2010")),
    ("condition", None, "active", ["Migraine", "Essential hypertension"], {}),
    ("condition", "pregnancy", "exists", None, {}),
    ("medication", "enalapril", "latest", "enalapril", {"dates": ["2017-03"]}),
    ("medication", "C09AA02", "exists", True, {}),
    ("medication", "376772000", "exists", True, {}),
    ("medication", "ACE inhibitor", "active", True, {}),
    ("medication", "anastrozole", "status", "completed", {}),
    ("medication", "blood thinner", "exists", None, {}),
    ("procedure", "pacemaker", "exists", True, {"dates": ["2019-05-20"]}),
    ("procedure", None, "list", "none", {}),
    ("procedure", "colonoscopy", "exists", None, {}),
    ("immunization", None, "list", None, {"says": "no information"}),
    ("immunization", "flu shot", "latest", None, {}),
    ("observation", "pregnancy status", "latest", "Not pregnant", {"dates": ["2021-03-01"]}),
    ("observation", "smoking", "latest", "Ex-smoker", {}),
    ("observation", "creatinine", "latest", "0.9 mg/dL", {"dates": ["2021-03-01"]}),
    ("observation", "hemoglobin", "exists", None, on("2020-01-15", says=UNSURE)),
    ("report", "patient summary", "latest", "Patient summary Document", {"dates": ["2021-03-05"]}),
]
US = [
    ("patient", "race", "latest", "Black or African American", {}),
    ("medication", "lisinopril", "count", 1, {"says": "dispensed"}),
    ("medication", "lisinopril", "latest", "Lisinopril 10 MG Oral Tablet", {"dates": ["2021-02-01"]}),
    ("medication", "lisinopril", "prescriber", "Dr. Noé Ruiz", {}),
    ("medication", "314076", "exists", True, {}),
    ("medication", None, "list", ["Aspirin 81 MG Oral Tablet", "Lisinopril 10 MG Oral Tablet"], {}),
    ("medication", "metformin", "exists", None, {}),
    ("medication", "water pill", "active", None, {}),
    ("observation", "a1c", "list", ["8.1 % (2021-02-01)", "7.4 % (2021-06-15)"], {}),
    ("observation", "a1c", "exists", None, {"value": {"relation": "below", "number": 7, "unit": "%"}}),
    ("observation", "potassium", "latest", "4.1 mmol/L", {"dates": ["2021-06-01"], "says": "without a value"}),
    ("observation", "blood sugar", "latest", "95 mg/dL", {}),
    ("observation", "glucose", "first", "120 mg/dL", {}),
    ("observation", "blood pressure", "list", ["152 mmHg (2021-05-11)"], above(140)),
    ("encounter", "emergency visits", "count", 1, {"dates": ["2021-05-10"]}),
    ("encounter", "inpatient stay", "count", 1, {"dates": ["2021-05-11"]}),
    ("condition", "breast cancer", "exists", None, {"says": "family"}),
    ("condition", "family history of breast cancer", "exists", True, {}),
    ("condition", "pneumonia", "exists", None, {"says": "refuted"}),
    ("condition", "pulmonary embolism", "exists", None, {"says": "suspected"}),
    ("condition", None, "list", ["Hypertension"], {"says": "suspected"}),
    ("procedure", "colonoscopy", "exists", None, {}),
    ("care_plan", "colonoscopy", "status", "active", {}),
    ("allergy", None, "list", None, {"says": "no known drug allergy"}),
    ("allergy", "drug", "list", "none", {}),
    ("report", "discharge summary", "latest", "Discharge summary", {"dates": ["2021-05-13"]}),
]
AU = [
    ("patient", "indigenous status", "latest", "Neither Aboriginal nor Torres Strait Islander origin", {}),
    ("condition", "acid reflux", "exists", True, {"dates": ["2018"]}),
    ("condition", "GERD", "active", True, {}),
    ("condition", "iron deficiency anemia", "active", False, {}),
    ("condition", "anaemia", "exists", True, before("2016-12")),
    ("condition", "asthma", "active", False, {}),
    ("medication", "perindopril", "active", True, {"dates": ["2019-04-01"]}),
    ("medication", "perindopril", "reason", "Hypertension", {}),
    ("medication", "paracetamol", "exists", None, {}),
    ("medication", "albuterol", "status", "stopped", {}),
    ("medication", "inhaler", "list", ["Salbutamol 100 microgram/actuation inhaler"], {}),
    ("medication", "salbutamol", "exists", True, on("2011")),
    ("allergy", "penicillin", "exists", True, {}),
    ("allergy", "latex", "exists", None, {"says": "entered in error"}),
    ("immunization", "covid vaccine", "latest", "COVID-19 Vaccine AstraZeneca", {"dates": ["2021-07-03"]}),
    ("immunization", "flu jab", "latest", "FluQuadri", {"dates": ["2022-04-20"]}),
    ("immunization", "pneumococcal vaccine", "exists", None, {}),
    ("observation", "hemoglobin", "trend", ["2016-02-11: 98 g/L", "2022-08-01: 141 g/L"], {}),
    ("observation", "A1c", "latest", "38 mmol/mol", {}),
    ("observation", "a1c", "exists", None, above(6.5, "%", says="not compared")),
    ("observation", "kidney function", "count", 1, above(60)),
    ("observation", "59261-8", "exists", True, {}),
    ("procedure", "appendectomy", "latest", "Laparoscopic appendicectomy", {"dates": ["1999-12-31"]}),
    ("procedure", "gastroscopy", "exists", None, {}),
    ("encounter", "er visit", "count", 1, {"dates": ["2012-03-03"]}),
]
CH = [
    ("condition", "high blood pressure", "active", True, {}),
    ("condition", "atrial fibrillation", "exists", True, {"dates": ["2019-02-11"]}),
    ("condition", "type 2 diabetes", "exists", True, {}),
    ("condition", "diabetes", "exists", None, before("2016", says=UNSURE)),  # recorded then: it may have been there
    ("condition", "pulmonary embolism", "exists", None, {"says": "suspected"}),
    ("condition", "breast cancer", "exists", None, {"says": "family"}),
    ("condition", "heart attack", "exists", None, {"says": "excluded"}),
    ("condition", "dementia", "exists", None, {}),
    ("medication", "apixaban", "active", True, {}),
    ("medication", "blood thinner", "latest", "Eliquis Filmtabl 5 mg", {"dates": ["2019-02-12"]}),
    ("medication", "apixaban", "reason", "Vorhofflimmern", {}),
    ("medication", "beta blocker", "list", ["Metoprolol"], {}),
    ("medication", "metformin", "status", "completed", {}),
    ("medication", "antibiotic", "exists", None, {}),
    ("allergy", "penicillin", "exists", True, {}),
    ("immunization", "tetanus", "latest", "Boostrix Polio", {"dates": ["2015-03-20"]}),
    ("immunization", "flu shot", "latest", "Grippeimpfung", {"dates": ["2019-11-02"]}),
    ("observation", "potassium", "latest", "4.4 mmol/L", {"dates": ["2019-02-10"]}),
    ("observation", "creatinine", "trend", ["2019-02-10: 88 umol/L", "2020-06-30: 97 umol/L"], {}),
    ("observation", "weight", "latest", "71.5 kg", {}),
    ("procedure", "appendix removed", "latest", "Appendektomie", {"dates": ["1966"]}),
    ("procedure", "colonoscopy", "exists", True, {"times": [{"relation": "since", "date": "2017"}]}),
    ("report", "chest x-ray", "latest", "Röntgen Thorax", {"dates": ["2019-02-10"]}),
    ("encounter", "hospital stay", "count", 1, {}),
]
MII = [
    ("condition", "sepsis", "exists", True, {"dates": ["2023-10-28"]}),
    ("condition", "hypertension", "active", True, {}),
    ("condition", "hypertension", "exists", None, before("2014", says=UNSURE)),
    ("condition", "I10.90", "exists", True, {}),
    ("condition", "I10", "exists", True, {}),
    ("condition", "pulmonary embolism", "exists", None, {"says": "refuted"}),
    ("condition", "pneumonia", "exists", None, {"says": "suspected"}),
    ("condition", "stroke", "active", False, {}),
    ("condition", "type 2 diabetes", "exists", True, {}),
    ("condition", "E11", "active", True, {"dates": ["2019-03-03"]}),
    ("medication", "J01CR05", "count", 1, {"says": "given"}),
    ("medication", "piperacillin", "latest", "Piperacillin und Enzym-Inhibitoren", {"dates": ["2023-10-28"]}),
    ("medication", "vancomycin", "exists", None, {}),
    ("medication", "ramipril", "active", True, {"dates": ["2015"]}),
    ("medication", "ACE inhibitor", "exists", True, {}),
    ("medication", "antibiotic", "exists", True, {}),
    ("observation", "crp", "maximum", "240.5 mg/L", {"dates": ["2023-10-28"]}),
    ("observation", "crp", "latest", "<0.6 mg/L", {"dates": ["2023-11-20"]}),
    ("observation", "crp", "count", 2, above(100)),
    ("observation", "lactate", "latest", "1.9 mmol/L", {}),  # by the clock before the other one, in winter time
    ("observation", "lactate", "first", "4.1 mmol/L", {}),
    ("observation", "lactate", "list", ["3.2 mmol/L (2023-10-29)", "1.9 mmol/L (2023-10-29)"], on("2023-10-29")),
    ("observation", "pH", "latest", "7.29 [pH]", {}),
    ("observation", "hemoglobin", "latest", "13.4 g/dL", {}),
    ("observation", "718-7", "latest", "13.4 g/dL", {}),
    ("observation", "sodium", "exists", None, before("2014-06", says=UNSURE)),
    ("encounter", "inpatient stay", "count", 1, {"dates": ["2023-10-28"]}),
    ("encounter", "hospital stay", "reason", "Sepsis, nicht näher bezeichnet", {}),
    ("allergy", None, "list", "none", {}),
    ("procedure", "colonoscopy", "exists", None, {}),
    ("procedure", "8-930", "exists", True, {}),
]
# Written after the code had been mended by the others.
UK = [
    ("patient", "ethnicity", "latest", "British, Mixed British", {}),
    ("condition", "underactive thyroid", "active", True, {"dates": ["2004-09"]}),
    ("condition", "40930008", "first", "Hypothyroidism", {"dates": ["2004-09"]}),
    ("condition", "diabetes", "exists", None, {"says": "refuted"}),
    ("condition", "ischemic heart disease", "exists", None, {"says": "family"}),
    ("condition", "DVT", "exists", None, {"says": "suspected"}),
    ("condition", "esophageal varices", "active", False, {}),
    ("condition", "esophageal varices", "exists", None, before("2001-06", says=UNSURE)),
    ("medication", "thyroxine", "active", True, {}),
    ("medication", "levothyroxine", "reason", "Hypothyroidism", {}),
    ("medication", "levothyroxine", "prescriber", None, {}),
    ("medication", "iron tablets", "status", "completed", {}),
    ("medication", "ferrous fumarate", "exists", True, on("2018-08")),
    ("medication", "co-amoxiclav", "exists", None, {}),
    ("medication", "antibiotic", "list", ["Clarithromycin 500mg tablets"], {}),
    ("medication", "clarithromycin", "prescriber", "Dr. Noé Patel", {}),
    ("medication", None, "active", ["Levothyroxine sodium 50microgram tablets"], {}),
    ("allergy", "penicillin", "exists", True, {}),
    ("allergy", "amoxicillin", "latest", "Allergy to amoxicillin", {"dates": ["1989-06-01"]}),
    ("immunization", "flu jab", "exists", True, {"dates": ["2022-10-11"]}),
    ("immunization", "shingles vaccine", "exists", None, {}),
    ("observation", "urea", "trend", ["2018-05-14: 6.1 mmol/L", "2022-10-11: 7.9 mmol/L"], {}),
    ("observation", "BUN", "maximum", "7.9 mmol/L", {}),
    ("observation", "ferritin", "minimum", "9 ug/L", {}),
    ("observation", "cervical smear", "latest", "Negative", {"dates": ["2019-02-02"]}),
    ("procedure", "appendix removed", "latest", "Appendicectomy", {"dates": ["1975"]}),
    ("procedure", "appendicectomy", "exists", None, before("1975-06", says=UNSURE)),
    ("procedure", "hysterectomy", "exists", None, {"says": "entered in error"}),
    ("encounter", "A&E visit", "count", 1, {"dates": ["2017-08-08"]}),
    ("encounter", "telephone appointment", "count", 1, {}),
    ("encounter", "telehealth visit", "reason", "Acute sinusitis", {}),
    ("encounter", "hospital admission", "exists", None, {}),
]
LATIN = [
    ("condition", "asthma", "active", True, {}),
    ("condition", "asthma", "exists", None, before("1985", says=UNSURE)),
    ("condition", "hypothyroidism", "active", True, {}),
    ("condition", "schizophrenia", "active", False, {}),
    ("condition", "type 2 diabetes", "active", True, {}),
    ("condition", "pregnancy", "active", False, {}),
    ("condition", "pregnancy", "exists", True, on("2015-06")),
    ("condition", "pregnancy", "exists", None, on("2016")),
    ("condition", "celiac disease", "exists", None, {"says": "suspected"}),
    ("medication", "metformin", "reason", "Diabete mellito tipo 2", {}),
    ("medication", "omeprazole", "exists", None, {}),
    ("medication", "ibuprofen", "active", False, {}),
    ("medication", "levothyroxine", "prescriber", "Dra. Vidal", {}),
    ("medication", "amoxicillin", "latest", "Amoxicilina 500 mg", {"dates": ["2023-02-02"]}),
    ("medication", "antibiotic", "exists", True, {}),
    ("allergy", "penicillin", "exists", None, {"says": "refuted"}),
    ("allergy", "nuts", "active", False, {}),
    ("allergy", "peanut", "exists", None, {}),
    ("immunization", "tetanus shot", "exists", True, {}),
    ("observation", "blood sugar", "maximum", ["Glucosa: 155 mg/dL", "Glucosa: 6.9 mmol/L"], {"says": "unit"}),
    ("observation", "glucose", "exists", None, above(200, "mg/dL", says="not compared")),
    ("observation", "covid test", "latest", "positivo", {}),
    ("observation", "systolic", "latest", "138 mm[Hg]", {}),
    ("observation", "diastolic", "latest", None, {}),
    ("observation", "ANA", "latest", "1 / 160", {"dates": ["2021-05-05"]}),
    ("observation", "ferritin", "latest", None, {"says": "without a value"}),
    ("procedure", "c-section", "latest", "Cesárea", {"dates": ["2015-11-03"]}),
    ("procedure", "tonsillectomy", "latest", None, {"says": "none with a date"}),
    ("encounter", "inpatient stay", "count", 1, {"dates": ["2015-11-02"]}),
]
SYSTEMS = {"ips": (ips, IPS), "us": (us_core, US), "au": (au, AU), "ch": (swiss, CH), "mii": (mii, MII)} | {
    "uk": (uk, UK), "latin": (latin, LATIN)}  # fmt: skip
CASES = [(name, *case) for name, (_, cases) in SYSTEMS.items() for case in cases]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("systems"), {}
    for name, (resources, _) in SYSTEMS.items():
        if name == "us":  # an export refers by type and id
            export = json.loads(json.dumps(resources()).replace("urn:uuid:p1", "Patient/p1"))
            made[name] = read_record(write_lines(folder / "us.ndjson", export))
        else:
            made[name] = read_record(write(folder / f"{name}.json", resources()))
    return made


@pytest.mark.parametrize(("system", "what", "which", "operation", "answer", "more"), CASES)
def test_a_record_of_another_system_is_answered_from(records, system, what, which, operation, answer, more):
    record = records[system]
    limits = {name: more[name] for name in ("times", "value") if name in more}
    result = run(Query(what=what, which=which, operation=operation, **limits), record)
    assert result.answer == answer, f"{result.said} {result.notes}"
    if "dates" in more:
        assert [item.date for item in result.items] == more["dates"]
    assert more.get("says", "").casefold() in " ".join([result.said, *result.notes]).casefold()
    assert all(item.text == record.lines[item.line - 1].text for item in result.items)
