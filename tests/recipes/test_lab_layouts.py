"""Layouts of laboratories and portals, each with what of it was once read wrongly without a word."""

import json

import pytest

from extraction.api import Extractor
from recipes.lab_report.kinds import misplaced
from recipes.lab_report.lines import rows_like_results
from recipes.lab_report.task import CONTRACT
from tests.conftest import Scripted, document_of

TITLES = "Test                  Result   Unit      Range\n"
SODIUM = ["Sodium", "139", "mmol/L", "136 - 145"]
POTASSIUM = ["Potassium", "4.1", "mmol/L", "3.5 - 5.1"]
TSH = ["TSH", "2.1", "mU/L", "0.4 - 4.0"]


def line(row):
    name, result, unit, limits = row
    return f"{name:<22}{result:<9}{unit:<10}{limits}\n"


def read(pages, *rows):
    """The record of pages whose rows a model gives, first and at each further look."""
    answer = json.dumps({"tests": list(rows)})
    pages = [pages] if isinstance(pages, str) else pages
    [record] = Extractor(Scripted(*[answer] * 8), CONTRACT).read([document_of(*pages)])
    return record


def told(record, key):
    return [row[key] for row in record.data["tests"]]


def test_a_heading_before_a_name_is_no_part_of_it():
    page = TITLES + "Chemistry\n" + line(SODIUM) + "\nHormones\n" + line(TSH)
    record = read(page, {"panel": "Chemistry"}, SODIUM, ["Hormones > TSH", *TSH[1:]])
    assert told(record, "name") == ["Sodium", "TSH"] and told(record, "panel") == ["Chemistry", "Hormones"]
    assert record.status == "ok" and record.fields["/tests/1/name"].evidence.text == "TSH"


def test_a_heading_that_was_read_as_a_row_holds_for_the_rows_below():
    page = TITLES + "Chemistry\n" + line(SODIUM) + "\nHormones\n" + line(TSH)
    record = read(page, {"panel": "Chemistry"}, SODIUM, ["Hormones", "TSH", "mU/L", "0.4 - 4.0"], TSH)
    assert told(record, "panel") == ["Chemistry", "Hormones"] and record.status == "ok"


def test_tables_side_by_side_have_headings_of_their_own():
    lines = [("Chemistry", "Hormones"), (SODIUM, TSH), (POTASSIUM, ["T4", "1.2", "ng/dL", "0.9 - 1.7"])]
    page = "".join(
        f"{left if isinstance(left, str) else line(left).strip():<70}"
        f"{right if isinstance(right, str) else line(right).strip()}\n"
        for left, right in lines
    )
    record = read(page, {"panel": "Chemistry"}, SODIUM, POTASSIUM, TSH, lines[2][1])
    assert told(record, "panel") == ["Chemistry"] * 2 + ["Hormones"] * 2


def test_what_each_page_begins_with_is_no_heading():
    head = "Kilbarron Clinic Laboratory\nPatient: A. Sample\n\n" + TITLES
    pages = [head + "Chemistry\n" + line(SODIUM), head + line(TSH)]
    record = read(pages, {"panel": "Chemistry"}, SODIUM, {"panel": "Kilbarron Clinic Laboratory"}, TSH)
    assert "Kilbarron Clinic Laboratory" not in told(record, "panel")


def test_a_heading_in_the_middle_of_the_page_leaves_the_one_below_it_untold():
    page = TITLES + " " * 40 + "Chemistry\nElectrolytes\n" + line(SODIUM)
    record = read(page, {"panel": "Chemistry > Electrolytes"}, SODIUM)
    assert told(record, "panel") == ["Chemistry > Electrolytes"] and record.status == "ok"


def test_the_rest_of_a_name_is_no_heading():
    rest = "Antibodies (TPO)"
    page = TITLES + line(SODIUM) + f"{rest}\n\n" + line(TSH)
    record = read(page, SODIUM, {"panel": rest}, TSH)
    assert told(record, "panel") == [None, None] and record.status == "partial"


def test_ranges_of_phases_one_below_the_other_are_one_range():
    page = TITLES + line(["Estradiol", "211", "ng/l", "Follicular: 30.9 - 90.4"])
    page += f"{'':41}Ovulation: 60.4 - 533\n{'':41}Luteal: 60.4 - 232\n" + line(TSH)
    whole = "Follicular: 30.9 - 90.4 Ovulation: 60.4 - 533 Luteal: 60.4 - 232"
    for said in ("30.9 - 90.4", "Follicular: 30.9 - 90.4 Ovulation: 60.4 - 533", whole, None):
        record = read(page, ["Estradiol", "211", "ng/l", said], TSH)
        assert told(record, "range") == [whole, "0.4 - 4.0"] and record.status == "ok", said
        assert "/tests/0/interpretation" not in record.derived


def test_the_day_of_another_sample_is_not_that_of_the_rows_below_it():
    page = (
        "Collected: 18 Nov 2024\n"
        + TITLES
        + line(SODIUM)
        + "Sample 2: Serum, collected 18 Nov 2024 10:05\n"
        + line(TSH)
    )
    record = read(page, {"sample_collection_time": "18-11-2024"}, SODIUM, TSH)
    assert told(record, "sample_collection_time") == ["18-11-2024", None] and record.status == "partial"


def test_the_range_of_a_portal_s_card_says_nothing_against_the_value_beside_it():
    page = "Glucose\nNormal range: 65 - 99 mg/dL        Your value: 117 mg/dL\n"
    record = read(page, ["Glucose", "117", "mg/dL", "65 - 99"])
    assert told(record, "name") == ["Glucose"] and told(record, "result") == ["117"]


@pytest.mark.parametrize("text", ["Anti-HAV: Negative", "Anti-HAV:    Negative (0.55)", "Bence-Jones protein: neg"])
def test_a_finding_behind_a_colon_is_a_result(text):
    assert [one.text.split()[-1] for one in rows_like_results(document_of(text))] == [text.split()[-1]]


def test_a_result_of_three_words_beside_a_heading_is_told():
    page = TITLES + line(SODIUM) + f"{'Magnesium':<22}analysis not done\n" + line(POTASSIUM) + line(TSH)
    record = read(page, SODIUM, {"panel": "Magnesium"}, POTASSIUM, TSH)
    assert "Magnesium" not in told(record, "panel") and record.status == "partial"


def test_two_titles_that_ocr_took_for_one_say_nothing_against_results():
    page = "Test                  Finding Reference\n" + line(SODIUM) + line(POTASSIUM) + line(TSH)
    assert told(read(page, SODIUM, POTASSIUM, TSH), "result") == ["139", "4.1", "2.1"]


def test_a_specimen_that_was_read_as_a_name_is_told_by_its_title():
    page = "Test                     Material         Result   Unit      Range\n"
    page += f"{'Methaemoglobin, blood':<25}{'Arterial blood':<17}1.2      %         < 1.4\n"
    record = read(page, ["Arterial blood", "1.2", "%", "< 1.4"])
    assert "Arterial blood" not in told(record, "name") and record.status == "partial"


def test_a_name_that_was_read_as_a_result_is_told_by_its_colon():
    page = "Differential\nNeutrophils: 49.6 %\nEosinophils: 6.7 %\n"
    record = read(page, ["Differential", "Neutrophils", None, None], ["Eosinophils", "6.7", "%"])
    assert ("Differential", "Neutrophils") not in zip(told(record, "name"), told(record, "result"), strict=True)
    assert record.status == "partial"


def test_the_heading_of_other_rows_is_no_method():
    page = "Haematology\nEosinophils: 6.7 %\n\nImmunology\nIgE: 12 kU/L\n"
    rows = [{"panel": "Haematology", "method": "Immunology"}, ["Eosinophils", "6.7", "%"]]
    record = read(page, *rows, {"panel": "Immunology", "method": None}, ["IgE", "12", "kU/L"])
    assert told(record, "method") == [None, None] and record.status == "partial"


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"result": "¤423"}, "result"),
        ({"method": "1.80 - 7.50"}, "method"),
        ({"specimen": "12"}, "specimen"),
        ({"range": "2024"}, "range"),
    ],
)
def test_marks_numbers_and_years_out_of_their_place_are_told(row, key):
    row = {"name": "DHEA-S", "result": "423", "unit": "ug/dL", "range": "88 - 616"} | row
    assert [found for found, _ in misplaced(row)] == [key]


def test_a_heading_in_the_place_of_the_first_title_is_one():
    page = "Electrolytes (mmol/L)   Result       Expected\nSodium                  137          135 - 145\n"
    page += "Chloride                104          98 - 107\n"
    record = read(
        page, {"panel": "Electrolytes"}, ["Sodium", "137", None, "135 - 145"], ["Chloride", "104", None, "98 - 107"]
    )
    assert told(record, "panel") == ["Electrolytes"] * 2


def test_a_line_of_dots_is_no_line():
    dots = "." * 60 + "\n"
    page = dots + TITLES + dots + "Chemistry\n" + dots + line(SODIUM) + dots + line(POTASSIUM) + dots
    record = read(page, {"panel": "Chemistry"}, SODIUM, POTASSIUM)
    assert record.status == "ok" and told(record, "panel") == ["Chemistry"] * 2
