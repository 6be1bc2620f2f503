"""Results that are a part of their cells, and names of results that were read as headings."""

import json
import math

from extraction.api import Extractor
from extraction.generate import Generation
from recipes.lab_report.lines import rows_like_results
from recipes.lab_report.task import CONTRACT
from tests.conftest import Scripted, document_of, record_of

PAGE = (
    "Analyse            Normbereich     Wert                            Einheit\n"
    "Klinische Chemie\n"
    "Albumin            35 - 52         41                              g/l\n"
    "Bilirubin          3 - 22          changed 8 (before: 7)           umol/l\n"
    "HDL-Cholesterin    > 1.03          amended 1.18 (before: 1.14)     mmol/l\n"
    "LDL-Cholesterin    < 3.40          9.35                            mmol/l\n"
    "Triglyceride       < 1.70          0.80                            mmol/l\n"
)
FIRST = ["Albumin", "41", "g/l", "35 - 52"]
CHANGED = ["HDL-Cholesterin", "1.18", "mmol/l", "> 1.03"]
REST = [["LDL-Cholesterin", "9.35", "mmol/l", "< 3.40"], ["Triglyceride", "0.80", "mmol/l", "< 1.70"]]


def read(*rows):
    """The record of an answer, which is given again where a line is looked at once more."""
    answer = json.dumps({"tests": [{"panel": "Klinische Chemie"}, *rows]})
    [record] = Extractor(Scripted(answer, answer), CONTRACT).read([document_of(PAGE)])
    return record


def test_a_word_before_a_number_of_its_cell_is_no_result():
    whole = read(FIRST, ["Bilirubin", "8", "umol/l", "3 - 22"], CHANGED, *REST)
    assert whole.status == "ok", whole.issues
    record = read(FIRST, ["Bilirubin", "changed", "umol/l", "3 - 22"], CHANGED, *REST)
    aside = record.set_aside[0]
    assert aside.data["result"] == "changed" and "changed 8 (before: 7)" in aside.reason


def test_the_name_of_a_result_with_its_range_beside_it_is_no_heading_and_its_line_is_not_read():
    record = read(FIRST, ["Bilirubin", "8", "umol/l", "3 - 22"], {"panel": "HDL-Cholesterin"}, *REST)
    assert [row["panel"] for row in record.data["tests"]] == ["Klinische Chemie", None, None]
    assert {issue.code for issue in record.issues} >= {"misplaced", "row_left_out"}
    assert "“> 1.03” beside it" in " ".join(issue.message for issue in record.issues)
    [left] = [issue.message for issue in record.issues if issue.code == "row_left_out"]
    assert "amended 1.18" in left


def test_a_number_before_a_unit_that_is_in_no_row_is_told():
    page = (
        "análisis           código          valor medido unidades           rango de referencia\n"
        "Neutrófilos        70              38.6 %                          40.0 - 74.0\n"
        "Alfafetoproteína   36.70           < 0.4 ng/mL                     <7.4\n"
    )
    rows = [["Neutrófilos", "38.6", "%", "40.0 - 74.0"], ["Alfafetoproteína", "36.70", "ng/mL", "<7.4"]]
    answer = json.dumps({"tests": rows})
    [record] = Extractor(Scripted(answer, answer), CONTRACT).read([document_of(page)])
    [issue] = [issue for issue in record.issues if issue.code == "value_left_out"]
    assert issue.path == "/tests/1" and "“< 0.4” stands before the unit of “36.70”" in issue.message


def test_a_name_in_a_sentence_of_values_is_whole_words():
    page = "HIV-1 RNA (fractie): 19 copies/mL (< 22) - Real-time PCR\nHBV DNA(aantal): 6 IU/mL (< 10) - Real-time PCR\n"
    rows = [["HIV-1 RNA (fractie)", "19", "copies/mL", "< 22"], ["HBV DNA", "6", "IU/mL", "< 10"]]
    [record] = Extractor(Scripted(json.dumps({"tests": rows})), CONTRACT).read([document_of(page)])
    assert [row["name"] for row in record.data["tests"]] == ["HIV-1 RNA (fractie)", "HBV DNA(aantal)"]


CARDS = (
    "Proteins                               Ketone bodies\n"
    "(Reflectance photometry)               (Test strip)\n\n"
    "Negative                               Negative\n\n\n"
    "HPV high risk                          Urobilinogen\n"
    "method Multiplex PCR                   (Dipstick)\n\n"
    "Negative                               Normal\n"
)


def test_a_card_beside_one_that_was_read_is_told():
    rows = [["Proteins", "Negative"], ["HPV high risk", "Negative"], ["Urobilinogen", "Normal"]]
    answer = json.dumps({"tests": rows})
    [record] = Extractor(Scripted(answer, answer), CONTRACT).read([document_of(CARDS)])
    [left] = [issue.message for issue in record.issues if issue.code == "row_left_out"]
    assert left.endswith("Ketone bodies  Negative")


def test_a_card_beside_two_that_were_read_is_told_once():
    three = "Proteins        Ketone bodies        Nitrite\n\nNegative        Negative             Positive\n"
    answer = json.dumps({"tests": [["Proteins", "Negative"], ["Nitrite", "Positive"]]})
    [record] = Extractor(Scripted(answer, answer), CONTRACT).read([document_of(three)])
    assert [issue.code for issue in record.issues].count("row_left_out") == 1, record.issues


def test_words_of_a_method_are_no_unit():
    rows = [["Proteins", "Negative"], ["Ketone bodies", "Negative"]]
    rows += [["HPV high risk", "Negative", "Multiplex PCR"], ["Urobilinogen", "Normal"]]
    answer = json.dumps({"tests": rows})
    [record] = Extractor(Scripted(answer, answer), CONTRACT).read([document_of(CARDS)])
    assert [row["unit"] for row in record.data["tests"]] == [None] * 4
    assert "method Multiplex PCR" in record.set_aside[0].reason


def test_a_finding_under_the_titles_of_results_and_units_a_blank_apart_is_told():
    page = (
        "Test                     Result Unit         Range\n"
        "C-reactive protein       3.1     mg/L        < 5.0\n"
        "Procalcitonin            0.01    ug/L        < 0.05\n"
        "Blood group\n"
        "Determined from the sample above\n"
        "Rhesus                   absent\n"
    )
    assert rows_like_results(document_of(page))[-1].text.split() == ["Rhesus", "absent"]


def test_a_row_that_the_model_is_little_sure_of_is_told_and_one_it_doubts_set_aside():
    rows = [["Kalium", "4.1", "mmol/L", "3.5 - 5.1"], ["Natrium", "141"]]
    page = "\n".join("    ".join(row) for row in rows)
    answer = json.dumps({"tests": rows})

    def read_with(probability):
        """The record of an answer, one token of a name with this probability."""
        at = answer.index("Natrium")
        generation = Generation(answer, "stop", [0, at, at + 7], [0.0, math.log(probability), 0.0])
        return record_of(document_of(page), generation)

    assert read_with(0.5).status == "ok"
    little, less = read_with(0.2), read_with(0.05)
    assert [(one.code, one.path) for one in little.issues] == [("doubtful", "/tests/1")]
    assert "“Natrium” “141” (confidence 0.20)" in little.issues[0].message and len(little.data["tests"]) == 2
    assert [one.code for one in less.issues] == ["set_aside"] and len(less.data["tests"]) == 1
    # What looks like a result by itself is one, whatever the model says.
    rows[1] += ["mmol/L", "135 - 145"]
    page, answer = "\n".join("    ".join(row) for row in rows), json.dumps({"tests": rows})
    assert read_with(0.2).status == "ok" and len(read_with(0.05).data["tests"]) == 2


def test_a_patient_s_line_without_labels_is_no_result():
    page = "Chantal Lambotte    1947-09-27    M    465333245\nKalium    4.1    mmol/L    3.5 - 5.1\n"
    assert [line.text.split()[0] for line in rows_like_results(document_of(page))] == ["Kalium"]


def test_what_a_catalogue_of_tests_calls_normal_is_no_result():
    page = (
        "Test                     Limits         Unit       Result\n"
        "Ammonium                 11 - 51        umol/L     30\n"
        "Lactate                  0.5 - 2.1      mmol/L     1.7\n"
        "Catalogue\n"
        "Test                     Unit     Limits\n"
        "HPV 16                            absent\n"
        "Rotavirus antigen                 negative\n"
        "Brucella IgM                      negative\n"
    )
    rows = [["Ammonium", "30", "umol/L", "11 - 51"], ["Lactate", "1.7", "mmol/L", "0.5 - 2.1"]]
    listed = [["HPV 16", "absent"], ["Rotavirus antigen", "negative"], ["Brucella IgM", "negative"]]
    answer = json.dumps({"tests": [*rows, *([*one, None, None] for one in listed)]})
    [record] = Extractor(Scripted(answer, answer), CONTRACT).read([document_of(page)])
    assert [row["name"] for row in record.data["tests"]] == ["Ammonium", "Lactate"]
    assert "“absent” stands under “Limits”" in record.set_aside[0].reason


def test_the_labelled_day_of_collection_takes_the_place_of_a_day_with_another_label():
    def read_with(head):
        """The record of an answer that takes the day of release for that of collection."""
        page = f"{head}\nKalium    4.1    mmol/L    3.5 - 5.1\n"
        heading = {"sample_collection_time": "20-03-2022 09:15:00"}
        answer = json.dumps({"tests": [heading, ["Kalium", "4.1", "mmol/L", "3.5 - 5.1"]]})
        [record] = Extractor(Scripted(answer, answer), CONTRACT).read([document_of(page)])
        return record

    record = read_with("Collected: 18-03-2022 08:00:00\nReported: 20-03-2022 09:15:00")
    assert record.data["tests"][0]["sample_collection_time"] == "18-03-2022 08:00:00" and record.status == "ok"
    record = read_with("Reported: 20-03-2022 09:15:00")
    assert record.data["tests"][0]["sample_collection_time"] is None
    assert record.status == "ok"  # no day is left that could be its
    record = read_with("21-03-2022\nReported: 20-03-2022 09:15:00")
    assert record.data["tests"][0]["sample_collection_time"] is None
    assert "which is not when the sample was taken" in record.issues[0].message
