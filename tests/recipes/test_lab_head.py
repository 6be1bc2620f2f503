"""What code reads of a report: its head by labels, and the flags of its results."""

import json

import pytest

from extraction.api import Extractor
from extraction.contract import Contract, without_fields
from recipes.lab_report.fields import FIELDS, HEAD
from recipes.lab_report.task import CONTRACT
from tests.conftest import Scripted, document_of

TABLE = "Test          Result   Unit      Range\nPotassium     4.1      mmol/L    3.5 - 5.1"
ANSWER = json.dumps({"tests": [["Potassium", "4.1", "mmol/L", "3.5 - 5.1"]]})


def head_of(page):
    [record] = Extractor(Scripted(ANSWER), CONTRACT).read([document_of(f"{page}\n\n{TABLE}")])
    return {key: record.data[key] for key in HEAD if record.data[key] is not None}, record


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("Patient: Ann Smith      DOB: 01/02/1990      Sex: Female", ("Ann Smith", "01/02/1990", "Female")),
        ("Naam        De Vries, Jan      Geb.        3-4-1960      Geslacht    M", ("De Vries, Jan", "3-4-1960", "M")),
        ("Name:            Geburtsdatum:      Alter/Geschlecht:\nGreta Schöller   03.04.1960         65 J. / w",
         ("Greta Schöller", "03.04.1960", "w")),
        ("Patient name | Ann Smith | Date of birth | 01/02/1990 | M/F | F", ("Ann Smith", "01/02/1990", "F")),
        ("Nom: Éva Roux   Né(e) le: 13-10-1971 (45 ans)   Sexe/âge: Féminin - 45 ans",
         ("Éva Roux", "13-10-1971", "Féminin")),
        ("Πελάτης 7\nΟνοματεπώνυμο: Μαρία Λουκά    Ημ/νία γέννησης: 1/2/1990   Φύλο: Θήλυ",
         ("Μαρία Λουκά", "1/2/1990", "Θήλυ")),
        ("姓名:王伟      出生日期:1990-01-02      性别:男", ("王伟", "1990-01-02", "男")),
        ("Patient / Patiënt: Ann Smith    Birth date / Geboortedatum: 1-2-1990    Sex / Geslacht: F",
         ("Ann Smith", "1-2-1990", "F")),
    ],
)  # fmt: skip
def test_a_patient_is_read_by_the_labels_of_a_head_whatever_their_form_and_language(page, told):
    found, record = head_of(page)
    assert tuple(found.get(key) for key in ("patient_name", "birth_date", "sex")) == told
    assert all(record[key].evidence for key in found)


def test_a_value_is_of_the_field_that_its_own_form_fits():
    """A label that two fields have is of the day or the number beside it; what is another thing's is of none."""
    page = """Sample: 4711-22          Received: 12/03/2024 10:15
Date/time collected: 12/03/2024   08:30      Report date: 13/03/2024
Printed: 14/03/2024      Visit no.: 99812      Ward: B12
MRN: 553-77      Referred by: Dr. Jane Roe      Report status: Final"""
    found, _ = head_of(page)
    assert found == {
        "sample_id": "4711-22", "received": "12/03/2024 10:15", "collected": "12/03/2024 08:30",
        "reported": "13/03/2024", "patient_id": "553-77", "ordered_by": "Dr. Jane Roe", "report_status": "Final",
    }  # fmt: skip


def test_what_is_another_persons_or_an_earlier_samples_or_nothing_is_not_the_patients():
    page = """Patient:                      Sex: [ ] M [x] F
Mother: Jane Roe              Mother DOB: 01/01/1990
MRN:                          Previous sample: 2023-01-05
Doctor: None given            Date of last report: 2023-01-07
Sample status: haemolysed     Next of kin: Bob Roe, DOB: 02/02/1992
Name: Full blood count        Lab no: 24 1187 B"""
    assert head_of(page)[0] == {"sex": "F", "sample_id": "24 1187 B"}


def test_a_name_in_two_parts_is_one():
    assert head_of("Apellidos: García López\nNombre: María del Carmen")[0]["patient_name"] == (
        "García López, María del Carmen"
    )
    assert head_of("Name: Weiß\nVorname: Otto")[0]["patient_name"] == "Weiß, Otto"
    assert head_of("Name: Otto Weiß")[0]["patient_name"] == "Otto Weiß"


def test_a_time_of_collection_is_none_that_stands_beside_another_days_label():
    rows = [{"sample_collection_time": "05-04-2024"}, ["Potassium", "4.1", "mmol/L", "3.5 - 5.1"]]
    answer = json.dumps({"tests": rows})

    def read(label):
        [record] = Extractor(Scripted(answer), CONTRACT).read([document_of(f"{label}: 05.04.2024\n\n{TABLE}")])
        return record.data["tests"][0]["sample_collection_time"], record.status

    assert read("Date printed") == read("Reported") == (None, "ok")
    assert read("Collected") == read("Date") == ("05-04-2024", "ok")


def test_a_patient_on_an_envelopes_window_and_the_laboratory_have_no_label_and_are_less_sure():
    page = """Quarry Hollow Diagnostics
183 Maple Hollow Dr, Fernbrook - Tel. (527) 555-3245

Ann Smith
12 Elm Road
Fernbrook
°01-02-1990 F"""
    found, record = head_of(page)
    assert found == {
        "patient_name": "Ann Smith", "birth_date": "01-02-1990", "sex": "F", "laboratory": "Quarry Hollow Diagnostics"
    }  # fmt: skip
    assert all(record[key].confidence < 0.9 for key in found)
    assert head_of("Patient: Ann Smith")[1]["patient_name"].confidence == 1.0


def test_what_a_page_does_not_say_is_null_and_nothing_below_the_results_is_a_head():
    found, record = head_of("Laboratory report")
    assert found == {} and record.status == "ok", record.issues
    [record] = Extractor(Scripted(ANSWER), CONTRACT).read([document_of(f"{TABLE}\nPatient: Nobody   Sample: 12345")])
    assert record.data["patient_name"] is None and record.data["sample_id"] is None


@pytest.mark.parametrize(
    ("cells", "flag"),
    [
        ("H 151      mmol/L    135 - 145", "H"),
        ("151 H      mmol/L    135 - 145", "H"),
        ("151        mmol/L    135 - 145     HH", "HH"),
        ("151H       mmol/L    135 - 145", "H"),
        ("151 (!)    mmol/L    135 - 145", "(!)"),
        ("151 ↑      mmol/L    135 - 145", "↑"),
        ("151 *      mmol/L    135 - 145", "*"),
        ("151 High   mmol/L    135 - 145", "High"),
        ("141 *      mmol/L    135 - 145", None),  # a footnote's
        ("141        mmol/L    135 - 145     B", None),  # a laboratory's letter
        ("141        mmol/L    135 - 145     N", None),
        ("141        mmol/L    135 - 145     156 H", None),  # of an earlier result
        ("151        mmol/L    135 - 145 (target 120 - 160)", None),  # a dash of a range that was not read
    ],
)
def test_a_flag_is_the_mark_beside_a_result_that_its_range_does_not_speak_against(cells, flag):
    value = "151" if "151" in cells else "141"
    answer = json.dumps({"tests": [["Sodium", value, "mmol/L", "135 - 145"]]})
    page = f"Test          Result   Unit      Range\nSodium        {cells}"
    [record] = Extractor(Scripted(answer), CONTRACT).read([document_of(page)])
    assert record.data["tests"][0]["flag"] == flag, record.data
    assert record.derived["/tests/0/interpretation"] in ("high", "critical", "normal")


def test_the_model_is_not_asked_for_what_is_filled():
    schema = CONTRACT.target.grammar_schema()
    assert list(schema["properties"]) == ["tests"] and CONTRACT.asked != CONTRACT.record_schema
    assert set(without_fields(CONTRACT.record_schema, FIELDS)["properties"]["tests"]["items"]["properties"]) == {"flag"}
    gold = {
        **dict.fromkeys(HEAD),
        "patient_name": "Ann",
        "tests": [{**dict.fromkeys(FIELDS), "name": "K", "flag": "H"}],
    }
    assert "Ann" not in CONTRACT.target.encode(gold) and "H" not in CONTRACT.target.encode(gold)
    plain = Contract.for_schema({"type": "object", "properties": {"a": {"type": "string"}}})
    assert plain.asked == plain.record_schema


@pytest.mark.parametrize("other, told, status", [
    ("Printed: 20/12/21", "04-11-2021", "ok"),
    ("Printed: 05/12/21", None, "partial"),
    ("Collected: 20/11/21", None, "partial"),
], ids=["one day of collection", "day and month unsure", "two days of collection"])  # fmt: skip
def test_a_time_that_the_model_made_up_is_that_of_the_head(other, told, status):
    page = f"Collected: 04/11/21    {other}\nTest      Result   Unit     Range\nSodium    140      mmol/L   136 - 145"
    rows = [{"sample_collection_time": "11-11-2021"}, ["Sodium", "140", "mmol/L", "136 - 145"]]
    [record] = Extractor(Scripted(json.dumps({"tests": rows})), CONTRACT).read([document_of(page)])
    assert (record.data["tests"][0]["sample_collection_time"], record.status) == (told, status)
