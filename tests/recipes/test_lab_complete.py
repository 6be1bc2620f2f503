"""What code reads of a report where the model did not: rows from their lines, units, ranges and headings."""

import json

import pytest

from extraction.api import Extractor
from recipes.lab_report.headings import headings
from recipes.lab_report.kinds import misplaced
from recipes.lab_report.task import CONTRACT
from tests.conftest import Scripted, document_of

PAGE = """Patient: P. Sample
Test                  Result   Unit      Range
Klinische Chemie
  Elektrolyte
  Kalium              4.1      mmol/L    3.5 - 5.1
  Natrium             141      mmol/L    136 - 145
  Chlorid         H   112      mmol/L    98 - 107

  Nierenwerte
  Kreatinin           0.9      mg/dL     0.6 - 1.2
"""
ROWS = [
    {"panel": "Klinische Chemie > Elektrolyte"},
    ["Kalium", "4.1", "mmol/L", "3.5 - 5.1"],
    ["Natrium", "141", "mmol/L", "136 - 145"],
    ["Chlorid", "112", "mmol/L", "98 - 107"],
    {"panel": "Klinische Chemie > Nierenwerte"},
    ["Kreatinin", "0.9", "mg/dL", "0.6 - 1.2"],
]


def read(page, *rows):
    """The record of a page whose rows a model gives, first and at each further look."""
    answer = json.dumps({"tests": list(rows)})
    [record] = Extractor(Scripted(*[answer] * 4), CONTRACT).read([document_of(page)])
    return record


def told(record, *keys):
    return [tuple(row[key] for key in keys) for row in record.data["tests"]]


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_a_row_that_the_model_left_out_is_read_from_its_line_and_named(number):
    record = read(PAGE, *(row for at, row in enumerate(ROWS) if at != number))
    keys = ("name", "result", "unit", "range", "flag")
    assert told(record, *keys) == told(read(PAGE, *ROWS), *keys)
    [issue] = [issue for issue in record.issues if issue.code != "not_found"]
    row = [row for row in ROWS if isinstance(row, list)].index(ROWS[number])
    assert (issue.code, issue.path) == ("added", f"/tests/{row}") and ROWS[number][0] in issue.message
    assert record.status == "partial" and record.fields[f"/tests/{row}/result"].confidence is None
    heading = "Nierenwerte" if number == 5 else "Elektrolyte"
    assert record.data["tests"][row]["panel"] == f"Klinische Chemie > {heading}"


def test_issues_of_other_rows_stay_with_them():
    rows = [row for at, row in enumerate(ROWS) if at != 1]
    rows[1] = ["Natrium", "141", "mmol/L", "136 - 146"]
    page = PAGE.replace("136 - 145", "")
    record = read(page, *rows)
    assert ("not_found", "/tests/1/range") not in [(issue.code, issue.path) for issue in record.issues]
    page = PAGE.replace("136 - 145", "136 - 145 mmol")
    assert ("not_found", "/tests/1/range") in [(issue.code, issue.path) for issue in read(page, *rows).issues]


@pytest.mark.parametrize(
    "line",
    [
        "  Chlorid             112      mmol/L    98 - 107    104",
        "  Normal              112      mmol/L    98 - 107",
        "  Chlorid             112                98 - 107",
        "  12-03-2024          112      mmol/L    98 - 107",
    ],
    ids=["a further number", "a level", "no unit where all have one", "a day"],
)
def test_a_line_that_may_say_something_else_is_not_read(line):
    page = PAGE.replace("  Chlorid         H   112      mmol/L    98 - 107", line)
    record = read(page, *(row for at, row in enumerate(ROWS) if at != 3))
    assert "added" not in {issue.code for issue in record.issues}
    assert len(record.data["tests"]) == 3


def test_a_flag_without_a_gap_before_its_result_is_parted_from_it():
    page = """Test      Result   Unit    Range
MCHC      LL291    g/L     331 - 378
Hb        140      g/L     130 - 170"""
    record = read(page, ["MCHC", "LL291", "g/L", "331 - 378"], ["Hb", "140", "g/L", "130 - 170"])
    assert told(record, "name", "result") == [("MCHC", "291"), ("Hb", "140")]
    assert {issue.code for issue in record.issues} == {"added"}
    [aside] = record.set_aside
    assert aside.data["result"] == "LL291"


def test_a_made_up_unit_gives_way_to_what_is_printed_in_its_column():
    page = PAGE.replace("Natrium             141      mmol/L", "Natrium             141      /100 WBC")
    record = read(page, *ROWS[:2], ["Natrium", "141", "%", "136 - 145"], *ROWS[3:])
    assert told(record, "unit")[1] == ("/100 WBC",) and record.fields["/tests/1/unit"].evidence.text == "/100 WBC"
    assert [(one.path, one.data) for one in record.set_aside] == [("/tests/1/unit", "%")] and record.status == "ok"


def test_ranges_below_their_results_are_those_of_the_results_above():
    page = "Sodium   139 mmol/L\n         136-145\n\nPotassium   5.4 mmol/L\n            3.5-5.1\n"
    record = read(page, ["Sodium", "139", "mmol/L"], ["Potassium", "5.4", "mmol/L"])
    assert record.status == "ok" and told(record, "range") == [("136-145",), ("3.5-5.1",)]


def test_a_heading_that_is_the_name_of_a_result_gives_way_to_the_line_above():
    rows = [{"panel": "Kalium"}, *ROWS[1:4], {"panel": "Kreatinin"}, ROWS[5]]
    record = read(PAGE.replace("  Elektrolyte\n", ""), *rows)
    panels = [panel for (panel,) in told(record, "panel")]
    assert panels == [*["Klinische Chemie"] * 3, "Klinische Chemie > Nierenwerte"], record.issues
    assert record.status == "ok"


def test_what_may_be_two_headings_or_one_in_the_other_is_not_told():
    rows = [{"panel": "Kalium"}, *ROWS[1:4], {"panel": "Kreatinin"}, ROWS[5]]
    record = read(PAGE.replace("  Elektrolyte", "Elektrolyte"), *rows)
    assert told(record, "panel")[0] == (None,) and record.status == "partial"


def test_a_heading_that_lines_tell_stands_where_the_model_read_another_one():
    rows = [{"panel": "Klinische Chemie"}, *ROWS[1:4], {"panel": "Klinische Chemie > Elektrolyte"}, ROWS[5]]
    record = read(PAGE, *rows)
    panels = [panel for (panel,) in told(record, "panel")]
    assert panels == [*["Klinische Chemie > Elektrolyte"] * 3, "Klinische Chemie > Nierenwerte"]
    assert record.status == "ok"


def test_a_name_that_is_indented_less_ends_the_heading_above():
    page = PAGE.replace("  Kalium   ", "    Kalium ").replace("  Natrium   ", "    Natrium ")
    record = read(page, *ROWS)
    panels = [panel for (panel,) in told(record, "panel")]
    assert panels[:3] == [*["Klinische Chemie > Elektrolyte"] * 2, "Klinische Chemie"]


def test_words_from_right_to_left_are_indented_from_the_right():
    lines = ["", "כימיה"], ["", "אלקטרוליטים  "], ["141       mmol/L", "נתרן  "], ["4.1       mmol/L", "אשלגן  "]
    page = "\n".join(f"{measured:<30}{name:>20}" for measured, name in lines)
    record = read(page, ["נתרן", "141", "mmol/L"], ["אשלגן", "4.1", "mmol/L"])
    assert {panel for (panel,) in told(record, "panel")} == {"כימיה > אלקטרוליטים"}


@pytest.mark.parametrize(
    "between",
    [
        "    Grenzwerte\n    < 3.0               Niedrig",
        "Test                  Result   Unit      Range",
        "  Probe hämolytisch.",
    ],
    ids=["a legend", "titles", "a sentence"],
)
def test_what_is_no_heading_leaves_the_one_above_in_force(between):
    record = read(PAGE.replace("  Chlorid", f"{between}\n  Chlorid"), {"panel": "none"}, *ROWS[1:4], ROWS[5])
    assert told(record, "panel")[2] == ("Klinische Chemie > Elektrolyte",)


def test_a_heading_that_begins_as_findings_do_is_one():
    page = PAGE.replace("Elektrolyte", "Spurenelemente")
    record = read(page, {"panel": "none"}, *ROWS[1:4], {"panel": "Klinische Chemie > Nierenwerte"}, ROWS[5])
    assert told(record, "panel")[0] == ("Klinische Chemie > Spurenelemente",)


def test_a_heading_that_goes_on_on_another_page_is_the_one_before():
    second = PAGE.replace("Elektrolyte", "Elektrolyte (Fortsetzung)")
    [record] = Extractor(Scripted(*[json.dumps({"tests": ROWS})] * 6), CONTRACT).read([document_of(PAGE, second)])
    assert record.data["tests"][4]["panel"] == "Klinische Chemie > Elektrolyte"


@pytest.mark.parametrize("page", [0, 1])
def test_a_heading_with_other_brackets_is_another_one_and_is_not_told_where_a_page_begins_with_it(page):
    pages = [PAGE.replace("  Nierenwerte", "  Elektrolyte (Urin)"), PAGE.replace("Elektrolyte", "Elektrolyte (Urin)")]
    [record] = Extractor(Scripted(*[json.dumps({"tests": ROWS})] * 6), CONTRACT).read([document_of(*pages)])
    lines = headings(document_of(*pages), {path: one.evidence for path, one in places(record)})
    told = lines.get(("tests", [3, 4][page]))
    assert (told and told.text) == ["Klinische Chemie > Elektrolyte (Urin)", None][page]


def places(record):
    for path, field in record.fields.items():
        if path.startswith("/tests/") and field.evidence:
            yield ("tests", int(path.split("/")[2]), path.split("/")[3]), field


def test_groups_in_a_column_are_no_headings_by_lines():
    page = PAGE.replace("  Kalium ", "Salze       Kalium ").replace("  Natrium ", "            Natrium ")
    record = read(page, {"panel": "Salze"}, *ROWS[1:3])
    assert told(record, "panel")[0] == ("Salze",)


def test_the_title_of_the_names_is_no_heading():
    page = PAGE.replace("Klinische Chemie\n  Elektrolyte\n", "").replace("  Nierenwerte\n", "")
    record = read(page, {"panel": "Test"}, *ROWS[1:4], ROWS[5])
    assert record.status == "ok" and {panel for (panel,) in told(record, "panel")} == {None}


def test_a_heading_with_a_word_in_the_column_of_the_results_is_a_result():
    page = "Groupe sanguin   A\nRhésus           Positif\nTSH              2.10      mUI/l    0.27 - 4.20\n"
    rows = [{"panel": "Groupe sanguin"}, ["Rhésus", "Positif"], ["TSH", "2.10", "mUI/l", "0.27 - 4.20"]]
    record = read(page, *rows)
    assert told(record, "panel") == [(None,), (None,)] and record.status == "partial"
    assert "“Groupe sanguin” has “A” beside it" in record.issues[0].message


def test_a_laboratory_s_name_is_no_heading():
    page = "Cold Spring Reference Laboratory\n\n" + PAGE.replace("Klinische Chemie\n  Elektrolyte\n", "")
    rows = [{"panel": "Cold Spring Reference Laboratory"}, *ROWS[1:4]]
    record = read(page.replace("  Nierenwerte\n  Kreatinin           0.9      mg/dL     0.6 - 1.2\n", ""), *rows)
    assert record.data["laboratory"] == "Cold Spring Reference Laboratory"
    assert record.status == "ok" and {panel for (panel,) in told(record, "panel")} == {None}


def test_a_level_s_limit_is_no_result_of_the_test_above():
    page = PAGE + "  HbA1c               6.1      %         4.0 - 5.6\n  Normal              < 5.7    < 100\n"
    record = read(page, *ROWS, ["HbA1c", "< 5.7", "%", "< 100"])
    assert told(record, "name", "result", "range")[-1] == ("HbA1c", "6.1", "4.0 - 5.6")
    assert "< 5.7" in [aside.data["result"] for aside in record.set_aside]


def test_a_specimen_between_name_and_result_is_no_name():
    page = """Tests                 Type        Finding    Units    Range
Pancreatic elastase
                      Faeces      180        ug/g     > 200
Rotavirus antigen     Faeces      12         mg/L     < 20
Calprotectin          Faeces      30         mg/L     < 50
Lactoferrin           Faeces      3          mg/L     < 7
"""
    rows = [["Rotavirus antigen", "12", "mg/L", "< 20"], ["Calprotectin", "30", "mg/L", "< 50"]]
    record = read(page, ["Faeces", "180", "ug/g", "> 200"], *rows, ["Lactoferrin", "3", "mg/L", "< 7"])
    assert "Faeces" not in [name for (name,) in told(record, "name")] and record.status == "partial"


def test_a_heading_that_was_read_as_a_row_is_set_aside_without_an_alarm():
    """Nothing is lost with it: the heading is alone on its line, and the value is another row's."""
    record = read(PAGE, *ROWS[:1], ["Klinische Chemie", "4.1", "mmol/L"], *ROWS[1:])
    assert record.status == "ok", record.issues
    page = PAGE.replace("Klinische Chemie\n", "Klinische Chemie      siehe unten\n")
    assert read(page, *ROWS[1:4], ["Klinische Chemie", "9.9", "mmol/L"], *ROWS[5:]).status == "partial"


def test_an_invoice_has_no_results():
    page = """Invoice 4711                          Northgate Clinical
Item                  Code     Qty    Unit price    Amount
Hemoglobin A1c        83036    1      11.20         11.20
TSH                   84443    1      90.00         90.00
"""
    record = read(page, ["Hemoglobin A1c", "1", None, "11.20"], ["TSH", "1", None, "90.00"])
    assert record.data["tests"] == [] and record.status == "partial"
    assert "stands in a list of prices" in record.set_aside[0].reason


def test_titles_of_earlier_results_may_have_a_day_in_words_whose_year_is_below():
    page = """Analyse       Vorwert 29. März  Resultat    Einheit
              2018
Farbe         gelb              hellgelb
Protein       0,1               0,2         g/L
Albumin       40                42          g/L
"""
    backend = Scripted(
        json.dumps({"tests": [["Farbe", "hellgelb"], ["Protein", "0,2", "g/L"], ["Albumin", "42", "g/L"]]})
    )
    [record] = Extractor(backend, CONTRACT).read([document_of(page)])
    assert "hellgelb" in backend.asked[0] and "0,1" not in backend.asked[0] and "40" not in backend.asked[0]
    assert record.status == "ok", record.issues


def test_a_result_below_its_limit_of_detection_behind_its_range_is_read():
    page = """Onderzoek           Referentie    Resultaat    Maat
CRP                 <0.55         0.29         mg/dl
Procalcitonine      <0.05         <0.01        ug/l
Haptoglobine        0.30-2.00     0.41         g/l
"""
    rows = [["CRP", "0.29", "mg/dl", "<0.55"], ["Haptoglobine", "0.41", "g/l", "0.30-2.00"]]
    record = read(page, rows[0], ["Procalcitonine", "<0.05", "ug/l", "<0.01"], rows[1])
    assert told(record, "name", "result", "range")[1] == ("Procalcitonine", "<0.01", "<0.05"), record.issues
    page = "Analyse    Referenz    Resultat    Einheit\nNitrit     Negativ     Negativ\n"
    page += "Glukose    < 5         4           g/L"
    assert read(page, ["Nitrit", "Negativ", None, "Negativ"], ["Glukose", "4", "g/L", "< 5"]).status == "ok"


def test_a_finding_glued_to_a_name_by_ocr_is_no_result():
    assert [key for key, _ in misplaced({"name": "QuantiFERON-TB Gold", "result": "neg-QuantiFERON"})] == ["result"]
    assert not [*misplaced({"name": "HBsAg", "result": "non-reactive"})]


@pytest.mark.parametrize("line", ["AMH: Analyse läuft", "AMH : Analyse läuft"])
def test_a_heading_with_a_value_behind_its_colon_is_a_result(line):
    page = f"{line}\nAndrostendion: 1,84 ng/ml  (0,50-3,30)\nInhibin B: 138 pg/ml  (28-358)\n"
    rows = [["Androstendion", "1,84", "ng/ml", "0,50-3,30"], ["Inhibin B", "138", "pg/ml", "28-358"]]
    record = read(page, {"panel": "AMH"}, *rows)
    assert record.status == "partial" and "“AMH” has “Analyse läuft” behind it" in record.issues[0].message
    page = page.replace(line, "Hormone:")
    assert read(page, {"panel": "Hormone"}, *rows).status == "ok"


def test_a_card_whose_value_was_not_found_is_no_heading():
    page = """Creatinine Level                   EGFR
Normal range: 0.50 - 0.90 mg/dL    Normal range: above >=90 mL/min
0.72                               Value
                                   126
"""
    rows = [["Creatinine Level", "0.72", "mg/dL", "0.50 - 0.90"], ["EGFR", "127", "mL/min"]]
    record = read(page, *rows)
    assert [row["name"] for row in record.data["tests"]] == ["Creatinine Level"] and record.status == "partial"


def test_a_result_in_words_that_goes_on_below_is_no_whole_one():
    page = """Onderzoek                 Resultaat        Eenheid
Morfologie erytrocyten    Gemengd beeld
                          (glomerulair)
Leukocyten                3                /mm3
"""
    record = read(page, ["Morfologie erytrocyten", "Gemengd beeld"], ["Leukocyten", "3", "/mm3"])
    assert record.status == "partial" and "goes on below with “(glomerulair)”" in record.set_aside[0].reason


def test_a_name_that_begins_with_a_number_has_its_line():
    page = "1,25-(OH)2-Vitamin D: 51 pg/ml (21-84)\nOsteocalcin: 28 ng/ml (11-43)\n"
    page += "17-OH-Progesteron: 1,2 ng/ml (0,3-2,0)\n"
    record = read(page, ["Osteocalcin", "28", "ng/ml", "11-43"])
    assert [issue.code for issue in record.issues] == ["added", "added"], record.issues
    names = ["1,25-(OH)2-Vitamin D", "Osteocalcin", "17-OH-Progesteron"]
    assert [name for (name,) in told(record, "name")] == names
