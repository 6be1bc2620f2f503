"""The checks of laboratory rows, through the reading that a user gets."""

import csv
import json

import pytest

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.export.files import export
from extraction.generate import Generation
from recipes.lab_report.checks import CHECKS
from recipes.lab_report.kinds import misplaced
from recipes.lab_report.lines import without_earlier
from recipes.lab_report.medgemma import CONTRACT as IMAGES
from recipes.lab_report.task import CONTRACT, FIELDS, report_schema
from tests.conftest import Reader, Scripted, document_of, record_of

TITLES = "Analyse      Vorwert             Resultat      Einheit"
ROWS = "Kalium               4,1         4,8           mmol/L\nNatrium      139                 141           mmol/L"
PAGE = f"{TITLES}\n{ROWS}"


def test_columns_of_earlier_results_are_not_shown_and_are_known_all_the_same():
    """A value beside the column that was left out, with none of the results', is still told to be of it."""
    answer = json.dumps({"tests": [["Kalium", "4,1", "mmol/L"], ["Natrium", "141", "mmol/L"]]})
    backend = Scripted(answer)
    [record] = Extractor(backend, CONTRACT).read([document_of(PAGE.replace("4,8", "   "))])
    assert "Vorwert" not in backend.asked[0] and "139" not in backend.asked[0] and "4,1" in backend.asked[0]
    assert [(issue.code, issue.path) for issue in record.issues] == [("set_aside", "/tests")]
    [aside, _] = record.set_aside
    assert aside.data["result"] == "4,1" and "Vorwert" in aside.reason
    assert "Vorwert" in {word.text for word in record.document.pages[0].words}


LOOSE = """
Analyse      Vorwert 2020-11-19               Resultat     Einheit    Norm
Bemerkung: keine
             Nierenwerte
Harnstoff                          4.1        4.5          mmol/L     2.5 - 7.1
eGFR                                94        >90          mL/min     > 60
Urat                               350        334          umol/L     202 - 416
"""
BELOW = """
Test         Previous      Result        Unit
             2020-11-19    2021-06-03
Urea         4.1           4.5           mmol/L
Uric acid    350           334           umol/L
"""
TWO = """
             Previous      Result
Test         2020-11-19    and date      Unit       Normal
Urea         4.1           4.5           mmol/L     2.5 - 7.1
Uric acid    350           334           umol/L     202 - 416
"""


@pytest.mark.parametrize("page", [LOOSE, BELOW, TWO])
def test_a_column_of_earlier_results_is_left_out_wherever_its_values_are_told_to_be_under_its_title(page):
    kept = page.split()
    for word in ("Vorwert", "2020-11-19", "Previous", "4.1", "94", "350"):
        kept = [one for one in kept if one != word]
    shown = without_earlier(document_of(page))
    assert [word.text for word in shown.pages[0].words] == kept


@pytest.mark.parametrize(
    "rows",
    [
        "Urea                   4.5                 mmol/L",  # nothing under the title of the results
        "Urea               4.5  4.7                mmol/L",  # two values nearest to the earlier title
    ],
)
def test_a_value_beside_a_title_of_earlier_results_is_shown_where_its_line_does_not_tell_it_to_be_one(rows):
    page = document_of(f"Test      Previous                 Result       Unit\n{rows}")
    assert "4.5" in {word.text for word in without_earlier(page).pages[0].words}


def test_a_column_of_earlier_results_that_was_left_out_is_named_and_is_no_doubt():
    answer = json.dumps({"tests": [["Kalium", "4,8", "mmol/L"], ["Natrium", "141", "mmol/L"]]})
    page = PAGE.replace("  4,1         4,8", "4,1           4,8")
    [record] = Extractor(Scripted(answer), CONTRACT).read([document_of(page)])
    assert record.status == "ok", record.issues
    [column] = record.set_aside
    assert column.data == ["4,1", "139"] and "Vorwert" in column.reason and column.evidence.page == 1
    assert "4,1, 139: earlier results" in "".join(str(part) for part in record.table().renderables)


def test_both_contracts_and_those_of_the_first_version_are_checked_alike(tmp_path):
    assert CONTRACT.rules is IMAGES.rules is CHECKS
    assert CONTRACT.roles == CHECKS.roles and IMAGES.roles.items() <= CHECKS.roles.items()
    assert CONTRACT.scored == IMAGES.scored == CHECKS.scored
    old = CONTRACT.model_dump(mode="json") | {"version": 1, "check_rows": True}
    for name in ("roles", "scored", "checks"):
        del old[name]
    (tmp_path / "contract.json").write_text(json.dumps(old))
    assert Contract.load(tmp_path) == CONTRACT


def test_what_a_result_means_stands_beside_the_data_and_a_flag_that_says_otherwise_is_an_issue():
    page = (
        "Test       Result  Unit    Range\n"
        "Sodium     150     mmol/L  135 - 145   H\nPotassium  4.0     mmol/L  3.5 - 5.1   H"
    )
    rows = [["Sodium", "150", "mmol/L", "135 - 145"], ["Potassium", "4.0", "mmol/L", "3.5 - 5.1"]]
    record = record_of(document_of(page), Generation(json.dumps({"tests": rows}), "stop"))
    assert record.derived == {"/tests/0/interpretation": "high", "/tests/1/interpretation": "normal"}
    assert [(issue.code, issue.path) for issue in record.issues] == [("contradicts", "/tests/1")]
    assert [row["flag"] for row in record.data["tests"]] == ["H", "H"]
    assert record.to_dict()["derived"] == record.derived


def read(answers, page, contract=CONTRACT):
    backend = Scripted(*(json.dumps({"tests": rows}) for rows in answers))
    [record] = Extractor(backend, contract).read([document_of(page)])
    return record, backend


def rows_of(record, *keys):
    return [tuple(row[key] for key in keys) for row in record.data["tests"]]


DAYS = """Test          Unit      Reference      12-01-2026   14-02-2026
Kalium        mmol/L    3.5 - 5.1      4.1          4.8
Natrium       mmol/L    136 - 145                   141
Calcium       mmol/L    2.1 - 2.6      2.2          2.4"""


def test_a_column_a_day_is_read_day_by_day():
    """Each day's values are shown alone, right behind the names, and are of that day, wherever they are printed."""
    first = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Calcium", "2.2", "mmol/L", "2.1 - 2.6"]]
    second = [["Kalium", "4.8", "mmol/L", "3.5 - 5.1"], ["Natrium", "141", "mmol/L", "136 - 145"]]
    second.append(["Calcium", "2.4", "mmol/L", "2.1 - 2.6"])
    record, backend = read([first, second], DAYS)
    assert record.status == "ok", record.issues
    assert rows_of(record, "name", "result", "range", "sample_collection_time") == [
        ("Kalium", "4.1", "3.5 - 5.1", "12-01-2026"),
        ("Calcium", "2.2", "2.1 - 2.6", "12-01-2026"),
        ("Kalium", "4.8", "3.5 - 5.1", "14-02-2026"),
        ("Natrium", "141", "136 - 145", "14-02-2026"),
        ("Calcium", "2.4", "2.1 - 2.6", "14-02-2026"),
    ]
    assert [row.split()[:2] for row in backend.asked[0].splitlines() if "Kalium" in row] == [["Kalium", "4.1"]]
    assert "4.8" not in backend.asked[0] and "Natrium" not in backend.asked[0] and "4.1" not in backend.asked[1]
    printed = {(word.text, word.box) for word in record.document.pages[0].words}
    for path in ("/tests/0/result", "/tests/3/result", "/tests/3/unit", "/tests/3/sample_collection_time"):
        place = record.fields[path].evidence
        assert (place.text, place.box) in printed


def test_one_row_below_days_and_a_title_of_ranges_is_read_day_by_day():
    page = """Analyse       Unité    Fourchette     11/05/2022   31/05/2022   09/02/2023
HbA1c         %        4,0 à 6,0      4,4          4,2          6,9"""
    sheets = CHECKS.sheets(document_of(page))
    assert [[one.value for one in sheet.given] for sheet in sheets] == [["11-05-2022"], ["31-05-2022"], ["09-02-2023"]]


def test_days_a_blank_apart_are_columns_of_their_own():
    page = """Test          12-01-2026 14-02-2026 15-03-2026 Unit      Reference
Kalium        4.1                   4.8        mmol/L    3.5 - 5.1
Natrium       140        141                   mmol/L    136 - 145"""
    sheets = CHECKS.sheets(document_of(page))
    assert [[one.value for one in sheet.given] for sheet in sheets] == [["12-01-2026"], ["14-02-2026"], ["15-03-2026"]]
    shown = ["  ".join(word.text for word in sheet.document.pages[0].words) for sheet in sheets]
    assert ["4.1" in text for text in shown] == [True, False, False]
    assert ["141" in text for text in shown] == [False, True, False]


def test_a_value_of_a_day_that_is_in_no_row_is_an_issue():
    record, _ = read([[["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Calcium", "2.2", "mmol/L", "2.1 - 2.6"]]], DAYS)
    left = [issue.message for issue in record.issues if issue.code == "row_left_out"]
    assert record.status == "partial" and len(left) == 3 and left[1].endswith("Natrium  14-02-2026  141")


def test_days_that_are_no_titles_of_values_part_nothing():
    page = "Afname       Ontvangst    Verslag\n12-01-2026   13-01-2026   14-01-2026\n\n" + PAGE
    equal = DAYS.replace("12-01-2026", "14-02-2026")
    earlier = "Test          12-01-2026   Unit      14-02-2026\n" + "\n".join(DAYS.splitlines()[1:])
    for text in (page, equal, earlier, PAGE):
        document = document_of(text)
        assert [sheet.document for sheet in CHECKS.sheets(document)] == [document]


def test_limits_in_two_columns_are_one_range():
    page = """Test          Result   Unit      Low     High   Flag
Kalium        4.1      mmol/L    3.5     5.1
Natrium       141      mmol/L    136     145
HDL           0.8      mmol/L    1.0     -      L
LDL           4.8      mmol/L            3.0    H"""
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Natrium", "141", "mmol/L", "136 - 145"]]
    rows += [["HDL", "0.8", "mmol/L", ">= 1.0"], ["LDL", "4.8", "mmol/L", "<= 3.0"]]
    record, backend = read([rows], page)
    assert record.status == "ok", record.issues
    assert "3.5 - 5.1" in backend.asked[0] and ">= 1.0" in backend.asked[0] and "<= 3.0" in backend.asked[0]
    low, high = (next(w for w in record.document.pages[0].words if w.text == text) for text in ("3.5", "5.1"))
    assert record.fields["/tests/0/range"].evidence.box == (low.box[0], low.box[1], high.box[2], high.box[3])
    assert record.fields["/tests/3/range"].evidence.text == "<= 3.0"


HEAD = "Patient: P. Sample\nTest          Result   Unit      Range\n"
LINES = "Kalium        4.1      mmol/L    3.5 - 5.1\nNatrium       141      mmol/L    136 - 145"


def test_the_name_of_a_result_is_no_heading():
    """Where no line could be a heading it is dropped; where one could, that the heading was wrong is said."""
    rows = [{"panel": "Kalium"}, ["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Natrium", "141", "mmol/L", "136 - 145"]]
    record, _ = read([rows], HEAD + LINES)
    assert record.status == "ok" and rows_of(record, "name", "panel") == [("Kalium", None), ("Natrium", None)]
    record, _ = read([rows], HEAD + "Klinische chemie\n" + LINES)
    assert record.status == "ok" and {row["panel"] for row in record.data["tests"]} == {"Klinische chemie"}
    assert record.fields["/tests/1/panel"].evidence.text == "Klinische chemie"
    record, _ = read([rows], HEAD + "Klinische chemie\nElektrolyte\n" + LINES)
    assert [(issue.code, issue.path) for issue in record.issues] == [("misplaced", "/tests/0/panel")]
    assert rows_of(record, "panel") == [(None,), (None,)]
    rows[0]["panel"] = "Klinische chemie"
    record, _ = read([rows], HEAD + "Klinische chemie\n" + LINES)
    assert record.status == "ok" and rows_of(record, "panel") == [("Klinische chemie",)] * 2


def test_a_line_whose_value_was_taken_from_another_is_not_read():
    """It is looked at again; what is then read with the value beside it takes the place of what was not."""
    wrong, right = ["Natrium", "4.1", "mmol/L", "136 - 145"], ["Natrium", "141", "mmol/L", "136 - 145"]
    comment = "".join(f"Comment {letter}, in words alone.\n" for letter in "abcdefgh")
    record, backend = read([[["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], wrong], [right]], comment + HEAD + LINES)
    assert len(backend.asked) == 2 and record.status == "ok", record.issues
    assert rows_of(record, "name", "result") == [("Kalium", "4.1"), ("Natrium", "141")]


def test_names_that_were_cut_are_completed_as_printed():
    page = (
        HEAD
        + """Monocytes(Absolute)   0.7   10^9/L   0.1 - 0.9
Total bilirubin *     0.9   mg/dL    0.2 - 1.2
Glucose:              98    mg/dL    70 - 99
Na+                   140   mmol/L   136 - 145
Interleukin 6         3.1   pg/mL    0.0 - 7.0
Alanine transferase,  42    U/L      7 - 56
with phosphate
Thyroid hormone       2.1   mIU/L    0.4 - 4.5
Free T4               1.1   ng/dL    0.8 - 1.8"""
    )
    names = [
        "Monocytes",
        "bilirubin",
        "Glucose",
        "Na",
        "Interleukin",
        "Alanine transferase",
        "Thyroid hormone",
        "Free T4",
    ]
    values = [line.split("  ") for line in page.splitlines()[2:] if "phosphate" not in line]
    values = [[cell.strip() for cell in cells if cell.strip()][1:] for cells in values]
    record, _ = read([[[name, *cells] for name, cells in zip(names, values, strict=True)]], page)
    assert [row["name"] for row in record.data["tests"]] == [
        "Monocytes(Absolute)",
        "Total bilirubin",
        "Glucose",
        "Na+",
        "Interleukin 6",
        "Alanine transferase, with phosphate",
        "Thyroid hormone",
        "Free T4",
    ]
    assert record.fields["/tests/0/name"].evidence.text == "Monocytes(Absolute)"
    # Whether a bare number is a name's or a footnote's cannot be told: all of it is taken, and a person compares.
    assert [(issue.code, issue.path) for issue in record.issues][-1:] == [("added", "/tests/4")]
    [aside] = record.set_aside
    assert aside.data["name"] == "Interleukin" and "Interleukin 6" in aside.reason


def test_a_column_of_numbers_is_one_of_results_where_the_model_gives_it_twice():
    page = """Ampicillin      >=32   R
Ceftriaxone     <=1    S
Vancomycin      1      S
Linezolid       2      S"""
    rows = [[line.split()[0], line.split()[1], None, line.split()[1]] for line in page.splitlines()]
    record, _ = read([rows], page)
    assert rows_of(record, "name", "result", "range") == [(name, value, None) for name, value, _, _ in rows]
    assert {issue.code for issue in record.issues} == {"not_found"}


def test_a_unit_or_range_that_stands_beside_its_result_and_is_in_no_row_is_read_or_said():
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Bikarbonat", "offen", None, None]]
    first, _ = LINES.splitlines()
    record, _ = read([rows], f"{HEAD}{first}\nBikarbonat    offen    mmol/L    22 - 29")
    assert record.status == "ok" and rows_of(record, "unit", "range")[1] == ("mmol/L", "22 - 29")
    record, _ = read([rows[1:]], "Bikarbonat    offen    22 - 29")
    assert [(issue.code, issue.path) for issue in record.issues] == [("value_left_out", "/tests/0/range")]
    rows[1][2:] = ["mmol/L", "22 - 29"]
    record, _ = read([rows], f"{HEAD}{first}\nBikarbonat    offen    mmol/L    22 - 29")
    assert record.status == "ok"


def test_no_unit_or_range_is_missed_that_the_contract_does_not_ask_for():
    few = CONTRACT.with_schema(report_schema((), ("name", "result"), ("name", "result")))
    rows = json.dumps({"tests": [["Kalium", "4.1"], ["Natrium", "141"]]})
    assert record_of(document_of(HEAD + LINES), Generation(rows, "stop"), contract=few).status == "ok"


def test_a_row_is_missed_whose_value_unit_and_range_are_one_cell_or_whose_value_stands_below_all_else():
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"]]
    first, _ = LINES.splitlines()
    record, _ = read([rows], f"{HEAD}{first}\nErythroblasten     0.1 /100 WBC < 0.2")
    assert [issue.code for issue in record.issues] == ["row_left_out"] and "Erythro" in record.issues[0].message
    names = ("Barbiturates", "Cannabinoids", "Fentanyl")
    page = "\n".join(f"{name:14}Random urine   NEGATIVE\n{'':29}NEGATIVE\n" for name in names)
    rows = [[name, "NEGATIVE", None, None] for name in names[:2]]
    record, _ = read([rows], page)
    assert any(issue.code == "row_left_out" and "Fentanyl" in issue.message for issue in record.issues)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("unit", {"name": "Kalium", "result": "4.1", "unit": "mmol/", "range": "3.5 - 5.1"}),
        ("unit", {"name": "Kalium", "result": "4.1", "unit": "mmol/L 3.5 - 5.1"}),
        ("unit", {"name": "Kalium", "result": "4.1", "unit": "g/ (I)"}),
        ("unit", {"name": "LDH", "result": "54", "unit": "UL", "range": "<130"}),
        ("unit", {"name": "WBC", "result": "177", "unit": "μL", "range": "<262"}),
        ("unit", {"name": "Toxoplasma IgM", "result": "Assente", "unit": "α"}),
        (None, {"name": "Neutrofili", "result": "61", "unit": "%"}),
        (None, {"name": "MCV", "result": "92", "unit": "fL", "range": "80 - 96"}),
        (None, {"name": "Volume", "result": "1500", "unit": "mL"}),
        ("result", {"name": "MCH", "result": "H33,4", "unit": "pg", "range": "27,0 - 33,0"}),
        ("result", {"name": "Sodio", "result": "A139", "unit": "mmol/L", "range": "[129 - 138]"}),
        ("result", {"name": "Globulin", "result": "▼2.0", "unit": "g/100 mL", "range": "(2.2 - 3.9)"}),
        ("result", {"name": "Paracetamolo", "result": "8B", "unit": "µg/mL", "range": "10 - 28"}),
        ("result", {"name": "Indeling Glucose na 120 min", "result": "Laag", "range": "3.4 - 4.3"}),
        (None, {"name": "Urobilinogen", "result": "Normal", "range": "0.2 - 1.0"}),
        (None, {"name": "Nitrite", "result": "Negative", "range": "< 1"}),
        (None, {"name": "Leukocytes", "result": "2+", "range": "< 1"}),
        ("result", {"name": "Rapporto aldosterone/renina", "result": "[<19,0]"}),
        ("result", {"name": "G3b", "result": "30 - 44", "unit": "riesgo muy alto"}),
        ("result", {"name": "G5", "result": "< 15"}),
        ("unit", {"name": "Días de abstinencia", "result": "3", "unit": "d - CASA"}),
        (None, {"name": "Factor V", "result": "< 15", "unit": "%"}),
        ("result", {"name": "Tetkik", "result": "Sonuçlar"}),
        ("result", {"name": "LCR", "result": "Glycorachie, lcr, Microscopy", "unit": "mg/dL", "range": "40 - 70"}),
        ("range", {"name": "pH-Wert", "result": "6.9 5.5-8.2"}),
        (None, {"name": "Titre", "result": "1:80"}),
        (None, {"name": "Kweek", "result": "Negatief (geen groei)"}),
        (None, {"name": "Cells", "result": "0 - 2", "unit": "/HPF"}),
        ("range", {"name": "Células", "result": "Abundantes (No se observan)"}),
        (None, {"name": "Kalium", "result": "hemolysed (see note)", "unit": "mmol/L", "range": "3.5 - 5.1"}),
        (None, {"name": "HLA", "result": "H1", "unit": None, "range": None}),
        (None, {"name": "Cells", "result": "not found", "unit": None, "range": None}),
    ],
)
def test_a_value_with_more_or_less_than_its_own_in_it_is_told(key, row):
    assert [found for found, _ in misplaced(row)] == ([key] if key else [])


def test_findings_of_which_nothing_was_read_are_said():
    record, _ = read([[]], "Hepatitis Serology\nAnti-HAV total, serum, ELISA: Negative")
    assert [issue.code for issue in record.issues] == ["added"] and "Anti-HAV" in record.issues[0].message
    assert record.data["tests"][0]["result"] == "Negative"
    # Beginnings of words for findings are those of other words, too.
    record, _ = read([[]], "Dear colleague,\nthe specimens reached us in good condition.\nAbsender\nPosition: Tracking")
    assert record.status == "ok"


def test_a_second_column_of_values_that_is_in_no_row_is_an_issue():
    """Unless its title says that it is of earlier results, or it counts the lines."""
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Natrium", "141", "mmol/L", "136 - 145"]]
    first, second = LINES.splitlines()
    record, _ = read([rows], f"{HEAD}{first}   160\n{second}   5.4")
    [issue] = record.issues
    assert issue.code == "column_left_out" and "160, 5.4" in issue.message and len(record.data["tests"]) == 2
    # OCR takes narrow columns for one cell: of two numbers, and of a number with the unit.
    for place in ("11.2 4.1    mmol/L", "11.2   4.1 mmol/L"):
        page = HEAD + "\n".join(f"{row[0]:14}{place}    {row[3]}" for row in rows)
        record, _ = read([[["Kalium", "11.2", *rows[0][2:]], ["Natrium", "11.2", *rows[1][2:]]]], page)
        assert [issue.code for issue in record.issues if "4.1, 4.1" in issue.message] == ["column_left_out"]
    record, _ = read([rows], f"{HEAD.strip()}        #\n{first}   1\n{second}   2")
    assert record.status == "ok"
    record, _ = read([rows], f"{HEAD.strip()}        Previous 02-Jan-2026\n{first}   4.0\n{second}   140")
    assert record.status == "ok"
    titles = "Patient: P. Sample\n              Result    Previous\nTest          and flag  and date  Unit      Range"
    lines = (
        "Kalium        4.1       4.0       mmol/L    3.5 - 5.1\nNatrium       141       140       mmol/L    136 - 145"
    )
    record, _ = read([rows], f"{titles}\n{lines}")
    assert record.status == "ok"
    between = lines.replace("\n", f"\n{titles.splitlines()[2]}\n")  # the second line of titles on the next page
    record, _ = read([rows], f"{titles}\n{between}")
    assert record.status == "ok", record.issues


def test_nothing_is_carried_into_another_specimen_or_day():
    first, second = LINES.splitlines()
    titles = HEAD.splitlines()[1]
    page = f"""Patient: P. Sample
Collected: 12-01-2026
Specimen: Serum
{titles}
{first}
Collected: 14-02-2026
Specimen: Urine
{titles}
{second}"""
    rows = [{"specimen": "Serum", "sample_collection_time": "12-01-2026"}, ["Kalium", "4.1", "mmol/L", "3.5 - 5.1"]]
    rows.append(["Natrium", "141", "mmol/L", "136 - 145"])
    record, _ = read([rows], page)
    assert rows_of(record, "specimen", "sample_collection_time") == [("Serum", "12-01-2026"), (None, None)]
    assert sorted((issue.code, issue.path.rpartition("/")[2]) for issue in record.issues) == [
        ("misplaced", "sample_collection_time"),
        ("misplaced", "specimen"),
    ]
    # The same head again, as on every page, begins nothing.
    record, _ = read([rows], page.replace("14-02-2026", "12-01-2026").replace("Urine", "Serum"))
    assert record.status == "ok"


WORDS = """Test          Result         Unit      Range
Kalium        4.1            mmol/L    3.5 - 5.1
Colour        Light yellow
Natrium       140            mmol/L    136 - 145
Clarity       Clear"""


def test_a_result_in_words_without_a_range_that_is_in_no_row_is_an_issue():
    """It stands in the columns of results: by its cells alone it could be anything."""
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Natrium", "140", "mmol/L", "136 - 145"]]
    record, _ = read([rows, [], [], []], WORDS)
    left = [issue.message for issue in record.issues if issue.code == "row_left_out"]
    assert [message.rpartition(": ")[2] for message in left] == ["Colour  Light yellow", "Clarity  Clear"]
    whole, _ = read([[rows[0], ["Colour", "Light yellow"], rows[1], ["Clarity", "Clear"]]], WORDS)
    assert whole.status == "ok", whole.issues


def test_what_stands_beside_true_rows_is_no_reason_for_doubt():
    """Codes of laboratories, limits in columns of any title, sex and age in one word, a name below the sample's day."""
    head = "Sample taken: 12-01-2026\nPatient: P. Sample      Sex/Age: Male/75 Y\nSpecimen: 296.394.849\n"
    head += "Возраст: 58 л.\n\n"
    page = f"""{head}Test          Votre     Lab   Unit      De      À
Kalium        4.1       02    mmol/L    3.5     5.1
Natrium       141       01    mmol/L    136     145"""
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Natrium", "141", "mmol/L", "136 - 145"]]
    heading = {"specimen": None, "sample_collection_time": "12-01-2026"}
    answer = {"patient_name": "P. Sample", "sex": "Male", "tests": [heading, *rows]}
    [record] = Extractor(Scripted(json.dumps(answer)), CONTRACT).read([document_of(page)])
    assert record.status == "ok" and record.data["sex"] == "Male", record.issues
    assert rows_of(record, "range", "sample_collection_time")[0] == ("3.5 - 5.1", "12-01-2026")


def test_levels_and_limits_of_detection_are_no_results():
    page = """Test          Result   Unit      Range
Kalium        4.1      mmol/L    3.5 - 5.1
  Detection limit: 0.2 mmol/L
  Desirable  < 5.0 mmol/L
  Nachweisgrenze: 0,2 mmol/L
  Предел обнаружения: 0,2 ммоль/л"""
    row = ["Kalium", "4.1", "mmol/L", "3.5 - 5.1"]
    record, _ = read([[row]], page)
    assert record.status == "ok", record.issues
    # Tests whose names begin so are results all the same, and grams are no age.
    tests = """
High-sensitivity CRP   1.2      mg/L      < 5.0
Target cells           3        %         < 2
Index HOMA             2.1      U         < 2.5
Гемоглобин             145 г/л            120 - 160"""
    record, _ = read([[row], [], [], []], page + tests)
    assert [issue.code for issue in record.issues] == ["row_left_out"] * 4, record.issues


def test_a_line_of_a_ranges_legend_is_no_result():
    """Not even where a second look at that line alone reads it as one."""
    page = f"{HEAD}{LINES}\n  Negative                     < 0.35\n  Positive                     > 0.54"
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Natrium", "141", "mmol/L", "136 - 145"]]
    record, _ = read([[*rows, ["Positive", "> 0.54", None, None]]], page)
    assert rows_of(record, "name") == [("Kalium",), ("Natrium",)] and record.status == "partial"
    assert [one.data["name"] for one in record.set_aside] == ["Positive"]


def test_names_that_begin_as_words_for_findings_do_are_names():
    lines = ["Posaconazol    1.2        mg/L      0.7 - 3.0", "Reaktion       6.0        pH        5.0 - 8.0"]
    page = "\n".join(["Analyse        Resultat   Einheit   Referenz", *lines])
    rows = [["Posaconazol", "1.2", "mg/L", "0.7 - 3.0"], ["Reaktion", "6.0", "pH", "5.0 - 8.0"]]
    record, _ = read([rows], page)
    assert record.status == "ok" and rows_of(record, "name", "result") == [("Posaconazol", "1.2"), ("Reaktion", "6.0")]


TABLE = "Test          Result   Unit      Range\n{}        {}      mmol/L    3.5 - 5.1"


def report(patient, name, value, count="", number="", label="Patient"):
    """A page of a report; its number stands at the bottom."""
    head = f"{label}: {patient}\nSample ID: {number}\n\n"
    return head + TABLE.format(name, value) + "\n" * 55 + count


def pages_of(*pages):
    return [[page.number for page in one.pages] for one in CHECKS.reports(document_of(*pages))]


def test_reports_of_two_patients_in_one_file_are_two_records(tmp_path):
    """Each has its own head, and nothing is carried from one into the next."""
    told = (("Anna Smith", "4.1"), ("John Smith", "4.8"))
    answers = [{"patient_name": who, "tests": [["Kalium", value, "mmol/L", "3.5 - 5.1"]]} for who, value in told]
    backend = Scripted(*map(json.dumps, answers))
    document = document_of(report("Anna Smith", "Kalium", "4.1"), report("John Smith", "Kalium", "4.8"))
    [record] = Extractor(backend, CONTRACT).read([document])
    assert record.status == "ok" and record.several, record.issues
    assert [(one["patient_name"], one["tests"][0]["result"]) for one in record.reports] == [
        ("Anna Smith", "4.1"),
        ("John Smith", "4.8"),
    ]
    cell = record["reports"][1]["tests"][0]["result"]
    assert (cell.page, cell.text, cell.path) == (2, "4.8", "/reports/1/tests/0/result")
    assert record.derived["/reports/1/tests/0/interpretation"] == "normal"
    said = "\n".join(str(part) for part in record.table().renderables)
    assert "report 2 of 2" in said and "John Smith" in said
    (tmp_path / "records").mkdir()
    record.save(tmp_path / "records" / "a.json")
    export(tmp_path / "records", "csv", tmp_path / "out.csv")
    table = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert [(row["document"], row["patient_name"], row["result"], row["page"]) for row in table] == [
        ("a.pdf#1", "Anna Smith", "4.1", "1"),
        ("a.pdf#2", "John Smith", "4.8", "2"),
    ]


def test_what_is_said_of_one_report_is_said_of_no_other(tmp_path):
    """A report that the server refused, and one with a row left out, beside one that is ok."""
    pages = [
        report(who, "Kalium", value) for who, value in (("Anna Smith", "4.1"), ("John Doe", "4.8"), ("Li Wu", "5"))
    ]

    class Server(Reader):
        def answer(self, text):
            if "Li Wu" in text:
                return Generation("", "refused", message="no")
            return Generation(
                '{"tests":[%s]}' % ('["Kalium","4.8","mmol/L","3.5 - 5.1"]' if "John" in text else ""), "stop"
            )

    [record] = Extractor(Server(), CONTRACT).read([document_of(*pages)])
    assert record.status == "partial" and [one and len(one["tests"]) for one in record.reports] == [1, 1, None]
    assert [(issue.code, issue.page) for issue in record.issues] == [("added", 1), ("refused", 3)]
    assert len(record.views) == 3 and record.report_pages == [[1], [2], [3]]
    (tmp_path / "records").mkdir()
    record.save(tmp_path / "records" / "a.json")
    export(tmp_path / "records", "csv", tmp_path / "out.csv")
    table = list(csv.DictReader((tmp_path / "out.documents.csv").open(encoding="utf-8")))
    assert [(row["status"], "no" in row["issues"]) for row in table] == [
        ("partial", True),
        ("ok", False),
        ("failed", True),
    ]


def test_where_a_report_of_a_file_ends():
    one, two = ("Jan Peeters", "Kalium", "4.1"), ("Jan Peeters", "Natrium", "4.2")
    assert pages_of(report(*one), report(*two)) == [[1, 2]]
    assert pages_of(report(*one), report("PEETERS, Jan (M)", "Natrium", "4.2")) == [[1, 2]]
    assert pages_of(report(*one), report("Jan Peelers", "Natrium", "4.2")) == [[1, 2]]  # read by OCR
    assert pages_of(report(*one), report("Marie Dubois", "Natrium", "4.2")) == [[1], [2]]
    # Initials, titles and letters of another script are no other patient; relatives are. A doctor is no patient.
    for named, same in (
        ("Mr. John Smith", ("John A. Smith", "Smith J", "Dr. de Boer", "fasting", "Sex: M")),
        ("Иванов Иван", ("Иванов И.И.", "Ivanov Ivan")),
    ):
        for other in same:
            assert pages_of(report(named, "Kalium", "4.1"), report(other, "Natrium", "4.2")) == [[1, 2]], other
    assert pages_of(report("José Núñez", "Kalium", "4.1"), report("John Smith", "Kalium", "4.2")) == [[1], [2]]
    assert pages_of(report("Maria Jansen", "Kalium", "4.1"), report("Mario Jansen", "Kalium", "4.2")) == [[1], [2]]
    # Pages that go on are one report, pages that count anew are another one, unless its number goes on.
    assert pages_of(report(*one, "Page 1 of 2"), report("Marie Dubois", "Kalium", "4.2", "Page 2 of 2")) == [[1, 2]]
    assert pages_of(report(*one, "1/1", "A1"), report(*two, "1/1", "B2")) == [[1], [2]]
    assert pages_of(report(*one, "1/1", "A1"), report(*two, "1/1", "A1")) == [[1, 2]]
    # A letter before a report and an invoice behind it are of it.
    letter = "Patient: Jan Peeters\n\nDear colleague, please find the results below." + "\n" * 55 + "1/1"
    assert pages_of(letter, report(*one, "1/1"), letter.replace("Dear", "Invoice")) == [[1, 2, 3]]
    others = [report(name, "Kalium", "4.1", label="ФИО") for name in ("Ирина Петрова", "Олег Ким")]
    assert pages_of(*others) == [[1], [2]]


def test_a_page_of_ranges_of_which_nothing_was_read_is_said():
    """Lines that no shape of cells tells, here units between name and value, from right to left."""
    names = ("נויטרופילים", "לימפוציטים", "מונוציטים", "אלבומין")
    lines = [f"(1.{n}0 - 7.50)     {name} מוחלט: x10^3/ul {n}.13(!)" for n, name in enumerate(names)]
    nothing = Generation('{"tests":[]}', "stop")
    record = record_of(document_of("דוח מעבדה\n" + "\n".join(lines)), nothing)
    assert [issue.code for issue in record.issues] == ["row_left_out"] and "4 lines have a range" in record.issues[
        0
    ].message
    letter = (
        "Dear colleague,\nplease find enclosed the request of 12/03/2024.\nTel. 0171 555 2030 - 2034\nPrice   12.50"
    )
    assert record_of(document_of(letter), nothing).status == "ok"


@pytest.mark.parametrize("label", [
    "Collected", "Date of collection", "Entnahmedatum", "Date de prélèvement", "Data da coleta", "Data pobrania",
    "Ημερομηνία δειγματοληψίας", "Дата взятия биоматериала", "Datum odběru", "Provtagningsdatum", "采集时间",
])  # fmt: skip
def test_a_day_of_collection_that_is_nowhere_in_the_record_is_an_issue(label):
    page = f"{label}: 17.04.2026\n\nKalium      4,1      mmol/L"
    rows = json.dumps({"tests": [["Kalium", "4,1", "mmol/L"]]})
    bare = CONTRACT.with_schema(report_schema((), FIELDS, FIELDS))  # as the model card has it, without a head
    [issue] = record_of(document_of(page), Generation(rows, "stop"), contract=bare).issues
    assert issue.code == "value_left_out" and "17.04.2026" in issue.message
    dated = json.dumps({"tests": [{"sample_collection_time": "17.04.2026"}, ["Kalium", "4,1", "mmol/L"]]})
    assert record_of(document_of(page), Generation(dated, "stop"), contract=bare).status == "ok"
    printed = document_of(page.replace(label, "Printed"))
    assert record_of(printed, Generation(rows, "stop"), contract=bare).status == "ok"
    whole = record_of(document_of(page), Generation(rows, "stop"))
    assert whole.status == "ok" and whole.data["collected"] == "17.04.2026"


@pytest.mark.parametrize(
    "printed, below, status",
    [
        ("", "", "ok"),
        ("", "Elektrolyte", "ok"),
        ("70 - 99", "", "ok"),
        ("normal", "", "partial"),
        ("", " " * 29 + "70 - 99", "partial"),
    ],
    ids=["nothing", "a heading below", "a range", "a word", "a range below"],
)
def test_a_made_up_range_is_an_alarm_only_where_something_of_its_row_was_not_read(printed, below, status):
    page = f"Test       Result   Unit     Range\nGlucose    75       mg/dL    {printed}\n{below}\n"
    rows = [["Glucose", "75", "mg/dL", "70 - 100"], ["Urea", "5.0", "mmol/L", "2 - 8"]]
    document = document_of(f"{page}Urea       5.0      mmol/L   2 - 8".replace("\n\n", "\n"))
    [record] = Extractor(Scripted(json.dumps({"tests": rows})), CONTRACT).read([document])
    # A range in the column of the others takes its place.
    assert record.data["tests"][0]["range"] == (printed if "-" in printed else None)
    assert [one.data for one in record.set_aside] == ["70 - 100"]
    assert record.status == status


def test_how_an_organism_responds_is_no_unit():
    page = "Antibiotic     MIC    Interpretation\nLinezolid      2      S\nAmpicillin     <=2    S"
    rows = [["Linezolid", "2", "S", None], ["Ampicillin", "<=2", None, None]]
    [record] = Extractor(Scripted(json.dumps({"tests": rows})), CONTRACT).read([document_of(page)])
    assert [(row["result"], row["unit"]) for row in record.data["tests"]] == [("2", None), ("<=2", None)]
    assert any("how an organism responds" in issue.message for issue in record.issues)


def test_a_flag_in_brackets_is_no_result():
    page = (
        "Test          Result   Unit     Range\nUrea ratio    <B> 3             5 - 20\nUrea    5.0      mmol/L  2 - 8"
    )
    rows = [["Urea ratio", "<B>", None, "5 - 20"], ["Urea", "5.0", "mmol/L", "2 - 8"]]
    [record] = Extractor(Scripted(json.dumps({"tests": rows})), CONTRACT).read([document_of(page)])
    assert [row["name"] for row in record.data["tests"]] == ["Urea"] and record.status == "partial"


@pytest.mark.parametrize(
    "printed, read",
    [
        ("146 - 270 (target EAS: <190)", "146 - 270 (target EAS: <190)"),
        ("146 - 270 (target EAS:\n                                 <190)", "146 - 270 (target EAS: <190)"),
        ("146 - 271 (target EAS: <190)", None),
        ("146 - 270 (target EAS: <190", None),
    ],
    ids=["one line", "two lines", "other limits", "no end"],
)
def test_what_stands_in_brackets_behind_a_range_is_as_printed(printed, read):
    page = f"Test           Result  Unit      Range\nCholesterol    150     mg/dL     {printed}\n"
    page += "Urea           5.0     mmol/L"
    rows = [["Cholesterol", "150", "mg/dL", "146 - 270 (target E)"], ["Urea", "5.0", "mmol/L", None]]
    [record] = Extractor(Scripted(json.dumps({"tests": rows})), CONTRACT).read([document_of(page)])
    assert record.data["tests"][0]["range"] == read and (record.status == "ok") == (read is not None)
