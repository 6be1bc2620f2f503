"""Names over several lines or beside abbreviations, and cards side by side, as a model is shown them."""

import pytest

from extraction.document import page_text
from extraction.reading import document_example
from finetune.data import divide
from recipes.lab_report.checks import CHECKS
from recipes.lab_report.fields import FIELDS
from recipes.lab_report.task import CONTRACT
from tests.conftest import document_of


def shown(text):
    document = CHECKS.shown(document_of(text))
    return [" ".join(line.split()) for page in document.pages for line in page_text(page).splitlines() if line.strip()]


TITLES = "Test                      Result  Unit     Range"
PLAIN = "Creatinine                0.92    mg/dL    0.70 - 1.30"


@pytest.mark.parametrize(
    "lines",
    [
        """
Albumin/creatinine ratio,
random urine              12      mg/g     0 - 30""",
        """
Albumin/creatinine ratio,  12      mg/g     0 - 30
random urine""",
        """
Albumin/creatinine ratio,
                          12      mg/g     0 - 30
random urine""",
    ],
    ids=["beside the last line", "beside the first", "between them"],
)
def test_a_name_of_several_lines_is_shown_on_that_of_its_values(lines):
    assert shown(f"{TITLES}{lines}\n{PLAIN}")[1] == "Albumin/creatinine ratio, random urine 12 mg/g 0 - 30"


@pytest.mark.parametrize(
    "above, row",
    [
        ("Lipids", "cholesterol               5.2     mmol/L   0 - 5.0"),
        ("Hormones of the thyroid", "Thyreotropin              2.1     mU/L     0.4 - 4.0"),
        ("Creatinine                0.92    mg/dL    0.70 - 1.30", "(enzymatic)"),
        ("Creatinine                0.92    mg/dL    0.70 - 1.30", "calculated"),
        ("Free T4", "hs-CRP                    1.2     mg/L     0 - 5"),
    ],
    ids=["heading over small letters", "long heading", "method in brackets", "method", "small letters of a name"],
)
def test_headings_and_methods_are_no_part_of_a_name(above, row):
    plain = [" ".join(line.split()) for line in (above, row)]
    assert shown(f"{TITLES}\n{above}\n{row}\nAlkaline phosphatase, all  70      U/L      30 - 120")[1:3] == plain


def test_abbreviations_beside_names_in_chinese_are_not_shown():
    page = (
        "检验项目      缩写    结果    单位      参考范围\n"
        "白细胞计数    WBC     6.42    10^9/L    3.5-9.5\n"
        "总胆固醇      TC      5.2     mmol/L    0-5.2"
    )
    assert shown(page) == ["检验项目 结果 单位 参考范围", "白细胞计数 6.42 10^9/L 3.5-9.5", "总胆固醇 5.2 mmol/L 0-5.2"]


def test_numbers_that_count_the_results_are_no_part_of_their_names():
    rows = ["1 S. CREATININE   1.10   mg/dL", "2 URIC ACID       5.0    mg/dL", "3 IRON            0.71   mg/L"]
    told = [" ".join(row.split()[1:]) for row in rows]
    assert shown("\n".join(rows)) == told
    assert shown("\n".join(rows[:2])) == [" ".join(row.split()) for row in rows[:2]]  # they may be of names


CARDS = """Collected: 10 Apr 2025
Glucose                       Urea
Normal range: 74 - 106 mg/dL  Normal range: 7 - 25 mg/dL
   118                           15
Sodium                        Potassium
Normal range: 136 - 145       Normal range: 3.5 - 5.1
   140                           4.2
Printed on 11 Apr 2025 for the patient's own records"""


def test_cards_side_by_side_are_shown_one_column_after_the_other():
    first, second = (
        [word.text for word in sheet.document.pages[0].words] for sheet in CHECKS.sheets(document_of(CARDS))
    )
    assert "Glucose" in first and "118" in first and "Printed" in first and not {"Urea", "15", "4.2"} & {*first}
    assert "Urea" in second and "4.2" in second and not {"Glucose", "118", "140", "Printed"} & {*second}
    assert "Collected:" in first and "Collected:" in second


def test_each_column_of_cards_is_taught_its_own_rows():
    told = {"Glucose": "118", "Urea": "15", "Sodium": "140", "Potassium": "4.2"}
    rows = [{**dict.fromkeys(FIELDS), "name": name, "result": result} for name, result in told.items()]
    example = document_example(document_of(CARDS), CONTRACT, gold={"tests": rows})
    taught = divide(example, CONTRACT, lambda parts: True)
    assert [[row["name"] for row in one.branches[0].gold["tests"]] for one in taught] == [
        ["Glucose", "Sodium"],
        ["Urea", "Potassium"],
    ]


def test_values_may_stand_above_the_label():
    lines = CARDS.splitlines()
    lines[2:4], lines[5:7] = lines[3:1:-1], lines[6:4:-1]
    first, second = (
        [word.text for word in sheet.document.pages[0].words] for sheet in CHECKS.sheets(document_of("\n".join(lines)))
    )
    assert "Glucose" in first and not {"Urea", "15"} & {*first}
    assert "Urea" in second and not {"Glucose", "118"} & {*second}


def test_labels_of_a_patient_s_data_are_no_cards():
    page = "Patient: 1234    Requested: 10 Apr 2025\nWard: 3   Printed: 11 Apr 2025\nSodium  140  mmol/L  136 - 145"
    [sheet] = CHECKS.sheets(document_of(page))
    assert "140" in {word.text for word in sheet.document.pages[0].words}
